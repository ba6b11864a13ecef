//! A reader of the pickles in PyTorch files, which runs no code.
//!
//! A pickle is a program for a machine with a stack that may call any function of Python. This machine
//! knows the operations that build tensors, dictionaries, tuples, texts and numbers, and refuses every
//! other by its name. Nothing in it recurses: objects refer to each other by their numbers.

use std::collections::HashMap;

use value::{Global, Object, Value};
pub(super) use value::{Storage, View};

mod build;
mod value;

/// Largest accepted protocol; PyTorch writes 2 unless it is told otherwise.
const MAX_PROTOCOL: u8 = 5;
/// Largest accepted number of values on the stack and of open marks.
// A dictionary is written in portions of a thousand pairs, so an honest stack has about two thousand
// values.
const MAX_STACK: usize = 1 << 16;

/// The members of the dictionary that a pickle holds.
///
/// # Errors
/// A message that names the operation and its position.
pub(super) fn members(pickle: &[u8]) -> Result<Members<'_>, String> {
    let mut machine = Machine {
        input: pickle,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
        // A tensor takes about twenty objects, pairs and memos, and at least a hundred and fifty
        // bytes. With no bound a pickle of bytes that each make an object would take a hundred times
        // its size.
        left: pickle.len() / 4 + 1024,
    };
    let root = loop {
        let at = machine.at;
        let code = machine.bytes(1).map_err(|e| located(&e, at, None))?[0];
        match machine.step(code) {
            Ok(None) => {}
            Ok(Some(root)) => break root,
            Err(message) => return Err(located(&message, at, Some(code))),
        }
    };
    if machine.at != pickle.len() || !machine.stack.is_empty() {
        return Err("something is left over after the pickle's end".to_owned());
    }
    let Value::Object(root) = root else {
        return Err(format!(
            "is {}, not a dictionary of tensors",
            machine.kind(root)
        ));
    };
    if !matches!(machine.objects[root], Object::Dictionary(_)) {
        let kind = machine.kind(Value::Object(root));
        return Err(format!("is {kind}, not a dictionary of tensors"));
    }
    Ok(Members {
        objects: machine.objects,
        root,
    })
}

/// The dictionary of a pickle.
pub(super) struct Members<'a> {
    objects: Vec<Object<'a>>,
    root: usize,
}

/// A value of the dictionary.
pub(super) enum Member<'a, 'b> {
    Tensor(&'b View, &'b Storage<'a>),
    /// Anything else, by its kind.
    Other(&'static str),
}

impl<'a> Members<'a> {
    /// Names and values, in order; a name that is no text is `None`.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<&'a str>, Member<'a, '_>)> {
        let pairs = match &self.objects[self.root] {
            Object::Dictionary(pairs) => pairs.as_slice(),
            _ => &[],
        };
        pairs.iter().map(|&(name, value)| {
            let name = match name {
                Value::Text(name) => Some(name),
                _ => None,
            };
            (name, self.member(value))
        })
    }

    fn member(&self, value: Value<'a>) -> Member<'a, '_> {
        if let Value::Object(index) = value
            && let Object::Tensor(view) = &self.objects[index]
            && let Object::Storage(storage) = &self.objects[view.storage]
        {
            return Member::Tensor(view, storage);
        }
        Member::Other(value::kind(value, &self.objects))
    }
}

/// A message with the position of the operation it is about.
fn located(message: &str, at: usize, code: Option<u8>) -> String {
    match code {
        None => format!("byte {at}: {message}"),
        Some(code) if code.is_ascii_graphic() => {
            format!("byte {at}, operation `{}`: {message}", char::from(code))
        }
        Some(code) => format!("byte {at}, operation 0x{code:02x}: {message}"),
    }
}

/// The machine of a pickle.
struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    objects: Vec<Object<'a>>,
    /// Number of objects, pairs and memos that may still be made.
    left: usize,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// Runs one operation; the result of the last.
    fn step(&mut self, code: u8) -> Step<Option<Value<'a>>> {
        match code {
            0x80 => {
                let protocol = self.bytes(1)?[0];
                if protocol > MAX_PROTOCOL {
                    return Err(format!("protocol {protocol}; up to {MAX_PROTOCOL} is read"));
                }
            }
            // Frames only help a reader of a stream.
            0x95 => drop(self.bytes(8)?),
            b'.' => return self.pop().map(Some),
            b'(' => {
                if self.marks.len() >= MAX_STACK {
                    return Err(format!("more than {MAX_STACK} open marks"));
                }
                self.marks.push(self.stack.len());
            }
            b'N' => self.push(Value::Other(value::NONE))?,
            0x88 | 0x89 => self.push(Value::Other("a truth value"))?,
            b'J' | b'K' | b'M' | 0x8a => {
                let number = self.integer(code)?;
                self.push(Value::Integer(number))?;
            }
            b'G' => {
                self.bytes(8)?;
                self.push(Value::Other("a number"))?;
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' => {
                let text = self.text(code)?;
                self.push(Value::Text(text))?;
            }
            b'c' | 0x93 => {
                let global = self.global(code)?;
                self.push(Value::Global(global))?;
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(code)?,
            b')' | b't' | 0x85..=0x87 => self.tuple(code)?,
            b'}' | b'd' | b's' | b'u' => self.dictionary(code)?,
            b']' | b'l' | b'a' | b'e' => self.list(code)?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.state()?,
            _ => return Err("is no part of a dictionary of tensors and is not run".to_owned()),
        }
        Ok(None)
    }

    fn bytes(&mut self, length: usize) -> Step<&'a [u8]> {
        let rest = &self.input[self.at..];
        if length > rest.len() {
            return Err(format!("{length} bytes where {} are left", rest.len()));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// A number of `width` bytes, the lowest first.
    fn unsigned(&mut self, width: usize) -> Step<u64> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.bytes(width)?);
        Ok(u64::from_le_bytes(wide))
    }

    fn push(&mut self, value: Value<'a>) -> Step<()> {
        if self.stack.len() >= MAX_STACK {
            return Err(format!("more than {MAX_STACK} values on the stack"));
        }
        self.stack.push(value);
        Ok(())
    }

    /// The topmost value above the last mark.
    fn pop(&mut self) -> Step<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("the stack is empty".to_owned());
        }
        self.stack
            .pop()
            .ok_or_else(|| "the stack is empty".to_owned())
    }

    /// The height of the stack at the last mark, which is closed.
    fn mark(&mut self) -> Step<usize> {
        self.marks.pop().ok_or_else(|| "no mark is open".to_owned())
    }

    fn spend(&mut self, count: usize) -> Step<()> {
        let left = self.left.checked_sub(count);
        self.left = left.ok_or("more objects than a pickle of this length has")?;
        Ok(())
    }

    fn push_object(&mut self, object: Object<'a>) -> Step<()> {
        self.spend(1)?;
        self.objects.push(object);
        self.push(Value::Object(self.objects.len() - 1))
    }

    fn kind(&self, value: Value<'_>) -> &'static str {
        value::kind(value, &self.objects)
    }

    fn integer(&mut self, code: u8) -> Step<i64> {
        Ok(match code {
            b'K' => self.unsigned(1)? as i64,
            b'M' => self.unsigned(2)? as i64,
            b'J' => i64::from(self.unsigned(4)? as u32 as i32),
            _ => {
                let width = self.unsigned(1)? as usize;
                if width > 8 {
                    return Err(format!("an integer of {width} bytes"));
                }
                // Shifting up and down again copies the sign into the upper bits. Zero takes no bytes.
                let unused = (64 - 8 * width as u32).min(63);
                (self.unsigned(width)? << unused) as i64 >> unused
            }
        })
    }

    fn text(&mut self, code: u8) -> Step<&'a str> {
        let width = match code {
            0x8c | b'U' => 1,
            0x8d => 8,
            _ => 4,
        };
        let length = self.unsigned(width)?;
        let length = usize::try_from(length).map_err(|_| format!("a text of {length} bytes"))?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| "a text is not UTF-8".to_owned())
    }

    /// One of the few functions and classes of Python that have a meaning here.
    fn global(&mut self, code: u8) -> Step<Global> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => (module, name),
                _ => return Err("the name of a function is no text".to_owned()),
            }
        };
        Global::named(module, name).ok_or_else(|| {
            // A hostile name could be megabytes.
            let shown: String = format!("{module}.{name}").chars().take(80).collect();
            if matches!(module, "torch" | "torch._utils") {
                return format!(
                    "`{shown}` makes tensors that are not read (float8, quantised, sparse or \
                     complex); name the checkpoint that they were made of"
                );
            }
            format!(
                "`{shown}` is no part of a dictionary of tensors: it may run code and is not \
                 called; save the weights alone with torch.save(model.state_dict(), …)"
            )
        })
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|&b| b == b'\n');
        let line = self.bytes(length.ok_or("a name does not end")?)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| "a name is not UTF-8".to_owned())
    }

    fn memo(&mut self, code: u8) -> Step<()> {
        let number = match code {
            b'q' | b'h' => self.unsigned(1)? as u32,
            b'r' | b'j' => self.unsigned(4)? as u32,
            _ => self.memo.len() as u32,
        };
        if matches!(code, b'h' | b'j') {
            let value = self.memo.get(&number).copied();
            return self.push(value.ok_or_else(|| format!("memo {number} is empty"))?);
        }
        self.spend(1)?;
        let top = self.stack.last().copied().ok_or("the stack is empty")?;
        self.memo.insert(number, top);
        Ok(())
    }
}
