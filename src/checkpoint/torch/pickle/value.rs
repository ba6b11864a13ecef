//! Values that the pickle of a dictionary of tensors is made of.

use safetensors::Dtype;

/// A value on the stack. Copies of a value are the same object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Integer(i64),
    Text(&'a str),
    Global(Global),
    /// Number of an object.
    Object(usize),
    /// Something without a meaning for tensors, by its kind.
    Other(&'static str),
}

/// Kind of a list.
pub(super) const LIST: &str = "a list";
/// Kind of `None`.
pub(super) const NONE: &str = "None";

/// A value with parts.
#[derive(Debug)]
pub(super) enum Object<'a> {
    Tuple(Box<[Value<'a>]>),
    Dictionary(Vec<(Value<'a>, Value<'a>)>),
    Storage(Storage<'a>),
    Tensor(Box<View>),
}

/// Numbers in a record of their own.
#[derive(Debug)]
pub(in super::super) struct Storage<'a> {
    pub(in super::super) dtype: Dtype,
    pub(in super::super) key: &'a str,
    pub(in super::super) elements: u64,
}

/// A tensor as the pickle says, unchecked.
#[derive(Debug)]
pub(in super::super) struct View {
    /// Number of the object with the storage.
    pub(super) storage: usize,
    pub(in super::super) offset: i64,
    pub(in super::super) shape: Vec<i64>,
    pub(in super::super) strides: Vec<i64>,
}

/// A function or class of Python.
#[derive(Debug, Clone, Copy)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", _) => Self::Storage(match name.strip_suffix("Storage")? {
                "Double" => Dtype::F64,
                "Float" => Dtype::F32,
                "Half" => Dtype::F16,
                "BFloat16" => Dtype::BF16,
                "Long" => Dtype::I64,
                "Int" => Dtype::I32,
                "Short" => Dtype::I16,
                "Char" => Dtype::I8,
                "Byte" => Dtype::U8,
                "Bool" => Dtype::BOOL,
                _ => return None,
            }),
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OrderedDict => "OrderedDict",
            Self::RebuildTensor => "_rebuild_tensor_v2",
            Self::RebuildParameter => "_rebuild_parameter",
            Self::Storage(_) => "a storage",
        }
    }
}

/// The kind of a value, for messages.
pub(super) fn kind(value: Value<'_>, objects: &[Object<'_>]) -> &'static str {
    match value {
        Value::Integer(_) => "an integer",
        Value::Text(_) => "a text",
        Value::Global(_) => "a class",
        Value::Other(kind) => kind,
        Value::Object(index) => match objects[index] {
            Object::Tuple(_) => "a tuple",
            Object::Dictionary(_) => "a dictionary",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        },
    }
}
