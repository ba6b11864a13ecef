//! Operations of a pickle that build values from those on the stack.

use super::value::{self, Global, Object, Storage, Value, View};
use super::{Machine, Step};

impl<'a> Machine<'a> {
    pub(super) fn tuple(&mut self, code: u8) -> Step<()> {
        let first = match code {
            b')' => self.stack.len(),
            b't' => self.mark()?,
            _ => {
                let floor = self.marks.last().copied().unwrap_or(0);
                let length = usize::from(code - 0x84);
                let first = self.stack.len().checked_sub(length);
                first.filter(|f| *f >= floor).ok_or("the stack is empty")?
            }
        };
        let items = self.stack.split_off(first);
        self.push_object(Object::Tuple(items.into_boxed_slice()))
    }

    pub(super) fn dictionary(&mut self, code: u8) -> Step<()> {
        match code {
            b'}' => self.push_object(Object::Dictionary(Vec::new())),
            b'd' => {
                let first = self.mark()?;
                let items = self.stack.split_off(first);
                self.push_object(Object::Dictionary(Vec::new()))?;
                self.put(&items)
            }
            b's' => {
                let value = self.pop()?;
                let name = self.pop()?;
                self.put(&[name, value])
            }
            _ => {
                let first = self.mark()?;
                let items = self.stack.split_off(first);
                self.put(&items)
            }
        }
    }

    /// Puts names and values, which alternate, into the dictionary on top.
    fn put(&mut self, items: &[Value<'a>]) -> Step<()> {
        if !items.len().is_multiple_of(2) {
            return Err("a name without a value".to_owned());
        }
        self.spend(items.len() / 2)?;
        let Some(&Value::Object(index)) = self.stack.last() else {
            return Err("there is no dictionary to put it in".to_owned());
        };
        let Object::Dictionary(pairs) = &mut self.objects[index] else {
            return Err("there is no dictionary to put it in".to_owned());
        };
        pairs.extend(items.as_chunks::<2>().0.iter().map(|&[k, v]| (k, v)));
        Ok(())
    }

    /// Lists have no meaning for tensors, so their items are dropped.
    pub(super) fn list(&mut self, code: u8) -> Step<()> {
        match code {
            b']' => return self.push(Value::Other(value::LIST)),
            b'a' => drop(self.pop()?),
            _ => {
                let first = self.mark()?;
                self.stack.truncate(first);
            }
        }
        match (code, self.stack.last()) {
            (b'l', _) => self.push(Value::Other(value::LIST)),
            (_, Some(Value::Other(value::LIST))) => Ok(()),
            _ => Err("there is no list to put it in".to_owned()),
        }
    }

    /// Makes a storage, numbers outside of the pickle, from its persistent id.
    pub(super) fn storage(&mut self) -> Step<()> {
        let id = self.pop()?;
        let parts = match id {
            Value::Object(index) => match &self.objects[index] {
                Object::Tuple(parts) => &**parts,
                _ => &[],
            },
            _ => &[],
        };
        let &[
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
            Value::Integer(elements),
        ] = parts
        else {
            return Err("the persistent id is none of a storage".to_owned());
        };
        let elements = u64::try_from(elements).map_err(|_| format!("{elements} elements"))?;
        self.push_object(Object::Storage(Storage {
            dtype,
            key,
            elements,
        }))
    }

    /// Calls a known function with a tuple of arguments.
    pub(super) fn call(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let Value::Global(function) = self.pop()? else {
            return Err("what is called is no function".to_owned());
        };
        let Value::Object(arguments) = arguments else {
            return Err("the arguments are no tuple".to_owned());
        };
        let Object::Tuple(arguments) = &self.objects[arguments] else {
            return Err("the arguments are no tuple".to_owned());
        };
        match (function, &**arguments) {
            (Global::OrderedDict, []) => self.push_object(Object::Dictionary(Vec::new())),
            // Gradients and hooks, which follow, have no meaning here.
            (Global::RebuildParameter, &[tensor, _, _]) => self.push(tensor),
            (
                Global::RebuildTensor,
                &[
                    Value::Object(storage),
                    Value::Integer(offset),
                    Value::Object(shape),
                    Value::Object(strides),
                    _,
                    _,
                    ref further @ ..,
                ],
            ) if matches!(self.objects[storage], Object::Storage(_)) => {
                self.check_metadata(further)?;
                let (shape, strides) = (self.integers(shape)?, self.integers(strides)?);
                self.push_object(Object::Tensor(Box::new(View {
                    storage,
                    offset,
                    shape,
                    strides,
                })))
            }
            _ => Err(format!("{} with other arguments", function.name())),
        }
    }

    /// Refuses a tensor whose numbers are not those of its storage. Behind gradients and hooks, PyTorch
    /// writes a dictionary if a view is negated or conjugated, and nothing otherwise.
    fn check_metadata(&self, further: &[Value<'a>]) -> Step<()> {
        let is_empty = |argument: &Value<'_>| match *argument {
            Value::Other(kind) => kind == value::NONE,
            Value::Object(index) => {
                matches!(&self.objects[index], Object::Dictionary(pairs) if pairs.is_empty())
            }
            _ => false,
        };
        if further.iter().all(is_empty) {
            return Ok(());
        }
        Err(
            "a tensor has metadata (a negated or conjugated view); save \
             `t.resolve_neg().resolve_conj().clone()`"
                .to_owned(),
        )
    }

    /// The integers of a tuple.
    fn integers(&self, tuple: usize) -> Step<Vec<i64>> {
        // `MAX_DIMS` of PyTorch: a longer list is no shape.
        const MAX_DIMENSIONS: usize = 64;
        let Object::Tuple(items) = &self.objects[tuple] else {
            return Err("a shape is no tuple".to_owned());
        };
        if items.len() > MAX_DIMENSIONS {
            return Err(format!("{} dimensions", items.len()));
        }
        let integer = |item: &Value<'_>| match item {
            Value::Integer(n) => Some(*n),
            _ => None,
        };
        let integers: Option<Vec<i64>> = items.iter().map(integer).collect();
        integers.ok_or_else(|| "a shape is not of integers".to_owned())
    }

    /// Drops the attributes of a dictionary: versions of the modules of a model.
    pub(super) fn state(&mut self) -> Step<()> {
        self.pop()?;
        match self.stack.last() {
            Some(&Value::Object(index)) if matches!(self.objects[index], Object::Dictionary(_)) => {
                Ok(())
            }
            _ => Err("attributes of something else than a dictionary".to_owned()),
        }
    }
}
