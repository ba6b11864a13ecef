//! The header of a GGUF file: metadata by key, and where each tensor is.
//!
//! Versions 2 and 3, little endian, as the format's specification in the `ggml` repository has
//! them. Every count and length is checked against what is left of the file before anything of
//! that size is allocated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::checkpoint::blocks::{GGML_TYPES, Storage, ggml_name};
use crate::checkpoint::{INDEX, SINGLE, file_size, refuse_lfs_pointer};
use crate::error::Error;

/// A GGUF file with its header read.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub(super) path: PathBuf,
    metadata: BTreeMap<String, Value>,
    pub(super) tensors: Vec<TensorInfo>,
}

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any unsigned integer, or a signed one that is not negative.
    Unsigned(u64),
    /// A negative integer.
    Negative(i64),
    /// A number with a fraction; of 32 bits as the decimal number it was written as.
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Numbers(Numbers),
}

/// An array of numbers, in the bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    kind: u32,
    bytes: Vec<u8>,
}

/// A tensor: dimensions slowest first, as everywhere else (the file has them the other way).
#[derive(Debug)]
pub(super) struct TensorInfo {
    pub(super) name: String,
    pub(super) storage: Storage,
    pub(super) shape: Vec<usize>,
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

const MAGIC: [u8; 4] = *b"GGUF";
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
const MAX_DIMENSIONS: u32 = 4;
/// Largest accepted header: vocabulary, scores and merges of the largest models are a tenth of it.
const MAX_HEADER_BYTES: u64 = 128 << 20;
/// Largest accepted number of tensors and of metadata values.
const MAX_ENTRIES: u64 = 1 << 16;

/// Bytes of a number or truth value of that type.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// The number that these bytes are.
fn number(kind: u32, bytes: &[u8]) -> Value {
    let mut wide = [0u8; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(wide);
    let unused = 64 - 8 * bytes.len() as u32;
    let signed = (unsigned << unused) as i64 >> unused;
    match kind {
        1 | 3 | 5 | 11 if signed < 0 => Value::Negative(signed),
        6 => {
            // 1e-5 in `f32` was 1e-5 in the file it was converted from.
            let x = f32::from_bits(unsigned as u32);
            Value::Float(x.to_string().parse().unwrap_or(f64::from(x)))
        }
        7 => Value::Bool(unsigned != 0),
        12 => Value::Float(f64::from_bits(unsigned)),
        _ => Value::Unsigned(unsigned),
    }
}

impl Value {
    /// As a floating-point number.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(x) => Some(*x as f64),
            Self::Negative(x) => Some(*x as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsigned(x) => write!(f, "{x}"),
            Self::Negative(x) => write!(f, "{x}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Bool(x) => write!(f, "{x}"),
            Self::Text(x) => write!(f, "{x:?}"),
            Self::Texts(x) => write!(f, "{} strings", x.len()),
            Self::Numbers(x) => write!(f, "{} numbers", x.values().len()),
        }
    }
}

impl Numbers {
    /// The numbers one after the other.
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        let kind = self.kind;
        self.bytes
            .chunks_exact(width(kind).unwrap_or(1))
            .map(move |bytes| number(kind, bytes))
    }
}

/// The GGUF file that `path` stands for: the file itself, or the only one in a folder that has no
/// safetensors.
///
/// # Errors
/// A folder with several GGUF files and nothing else to load, a single file of a folder's.
pub(crate) fn find(path: &Path) -> Result<Option<PathBuf>, Error> {
    if path.is_file() {
        let extension = path.extension().and_then(|e| e.to_str());
        if matches!(extension, Some("safetensors" | "json")) {
            let message = "is one file of a checkpoint: name the folder it is in";
            return Err(Error::format(path, message));
        }
        return Ok(Some(path.to_owned()));
    }
    if path.join(SINGLE).exists() || path.join(INDEX).exists() {
        return Ok(None);
    }
    let Ok(entries) = fs::read_dir(path) else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| Error::io(path, e))?.path();
        if file
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
        {
            found.push(file);
        }
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        n => Err(Error::format(
            path,
            format!("{n} GGUF files are there: name the one to load"),
        )),
    }
}

/// Reads on from the start of a file and knows how much of it is left.
struct Header<'a> {
    path: &'a Path,
    input: BufReader<File>,
    left: u64,
    read: u64,
}

impl Header<'_> {
    fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::format(self.path, format!("GGUF header: {message}"))
    }

    fn bytes(&mut self, length: u64, what: &str) -> Result<Vec<u8>, Error> {
        if length > self.left {
            let left = self.left;
            return Err(self.error(format!("{what} of {length} bytes where {left} are left")));
        }
        let mut bytes = Vec::new();
        (&mut self.input)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io(self.path, e))?;
        if bytes.len() as u64 != length {
            return Err(self.error(format!("the file ends in {what}")));
        }
        self.left -= length;
        self.read += length;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, Error> {
        let bytes = self.bytes(4, what)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&mut self, what: &str) -> Result<u64, Error> {
        let mut wide = [0u8; 8];
        wide.copy_from_slice(&self.bytes(8, what)?);
        Ok(u64::from_le_bytes(wide))
    }

    fn text(&mut self, what: &str) -> Result<String, Error> {
        let length = self.u64(what)?;
        let bytes = self.bytes(length, what)?;
        String::from_utf8(bytes).map_err(|_| self.error(format!("{what} is not UTF-8")))
    }

    /// A number of things that take at least `least` bytes each.
    fn count(&mut self, least: u64, what: &str) -> Result<u64, Error> {
        let count = self.u64(what)?;
        if count
            .checked_mul(least)
            .is_none_or(|bytes| bytes > self.left)
        {
            let left = self.left;
            return Err(self.error(format!("{what}: {count}, but only {left} bytes are left")));
        }
        Ok(count)
    }

    fn value(&mut self, key: &str) -> Result<Value, Error> {
        let kind = self.u32(key)?;
        if let Some(width) = width(kind) {
            return Ok(number(kind, &self.bytes(width as u64, key)?));
        }
        match kind {
            TEXT => Ok(Value::Text(self.text(key)?)),
            ARRAY => {
                let kind = self.u32(key)?;
                if kind == TEXT {
                    let count = self.count(8, key)?;
                    let texts = (0..count).map(|_| self.text(key)).collect::<Result<_, _>>();
                    return texts.map(Value::Texts);
                }
                let Some(width) = width(kind) else {
                    return Err(self.error(format!(
                        "`{key}` is an array of type {kind}; arrays of numbers and of strings \
                         are read"
                    )));
                };
                let count = self.count(width as u64, key)?;
                let bytes = self.bytes(count * width as u64, key)?;
                Ok(Value::Numbers(Numbers { kind, bytes }))
            }
            _ => Err(self.error(format!("`{key}` has the unknown type {kind}"))),
        }
    }
}

impl Gguf {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// A file that is no GGUF of version 2 or 3, a header that is malformed or contradicts the
    /// file's length, a tensor of a type that is not read.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let size = file_size(path)?;
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut header = Header {
            path,
            input: BufReader::new(file),
            left: size.min(MAX_HEADER_BYTES),
            read: 0,
        };
        let magic = header.bytes(size.min(4), "magic number")?;
        refuse_lfs_pointer(path, &magic)?;
        if size < 24 || magic != MAGIC {
            return Err(Error::format(path, "is not a GGUF file"));
        }
        match header.u32("version")? {
            2 | 3 => {}
            version if version.swap_bytes() <= 3 => {
                return Err(header.error("big-endian files are not read"));
            }
            version => return Err(header.error(format!("version {version}; 2 and 3 are read"))),
        }
        // A tensor has a name, one dimension or none, a type and an offset; a value a key and one
        // byte.
        let tensor_count = header.count(24, "number of tensors")?;
        let value_count = header.count(13, "number of metadata values")?;
        if tensor_count.max(value_count) > MAX_ENTRIES {
            let message = format!("{tensor_count} tensors and {value_count} metadata values");
            return Err(header.error(message));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..value_count {
            let key = header.text("a metadata key")?;
            let value = header.value(&key)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(header.error(format!("`{key}` is there twice")));
            }
        }
        let mut gguf = Self {
            path: path.to_owned(),
            metadata,
            tensors: Vec::new(),
        };
        let mut names = BTreeSet::new();
        for _ in 0..tensor_count {
            let tensor = gguf.tensor(&mut header)?;
            if !names.insert(tensor.name.clone()) {
                return Err(gguf.tensor_error(&tensor.name, "is there twice"));
            }
            gguf.tensors.push(tensor);
        }
        let alignment = match gguf.get("general.alignment") {
            None => 32,
            Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= 1 << 20 => *n,
            Some(value) => {
                let message = format!("{value} is no power of two up to 2^20");
                return Err(gguf.error("general.alignment", message));
            }
        };
        gguf.place(header.read.next_multiple_of(alignment), alignment, size)?;
        match gguf.get("split.count") {
            None | Some(Value::Unsigned(0 | 1)) => Ok(gguf),
            Some(value) => {
                let message = format!("{value}: a model in several files is not read; merge them");
                Err(gguf.error("split.count", message))
            }
        }
    }

    /// Reads where one tensor is, counted from the start of the data.
    fn tensor(&self, header: &mut Header<'_>) -> Result<TensorInfo, Error> {
        let name = header.text("a tensor's name")?;
        let dimensions = header.u32(&name)?;
        if dimensions > MAX_DIMENSIONS {
            return Err(self.tensor_error(&name, format!("{dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        let mut elements = 1u64;
        for _ in 0..dimensions {
            let length = header.u64(&name)?;
            let fits = usize::try_from(length).ok().filter(|n| *n > 0);
            let product = elements.checked_mul(length);
            let (Some(length), Some(product)) = (fits, product) else {
                return Err(self.tensor_error(&name, format!("a dimension of {length}")));
            };
            shape.push(length);
            elements = product;
        }
        let number = header.u32(&name)?;
        let offset = header.u64(&name)?;
        let Some(storage) = Storage::of_ggml(number) else {
            let message = format!(
                "type {} ({number}) is not supported; supported: {GGML_TYPES}",
                ggml_name(number)
            );
            return Err(self.tensor_error(&name, message));
        };
        let (unit, unit_bytes) = storage.unit();
        let row = shape.first().copied().unwrap_or(1) as u64;
        if !row.is_multiple_of(unit) {
            let message = format!("rows of {row} are no whole blocks of {unit}");
            return Err(self.tensor_error(&name, message));
        }
        let bytes = (elements / unit).checked_mul(unit_bytes);
        let Some(bytes) = bytes.and_then(|b| usize::try_from(b).ok()) else {
            return Err(self.tensor_error(&name, format!("{elements} elements")));
        };
        shape.reverse();
        Ok(TensorInfo {
            name,
            storage,
            shape,
            offset,
            bytes,
        })
    }

    /// Checks that the tensors lie in the file, aligned and apart, and counts their offsets from
    /// the start of the file.
    fn place(&mut self, start: u64, alignment: u64, size: u64) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        order.sort_by_key(|&i| self.tensors[i].offset);
        let mut free = 0;
        for i in order {
            let tensor = &self.tensors[i];
            let (offset, bytes) = (tensor.offset, tensor.bytes as u64);
            let message = if !offset.is_multiple_of(alignment) {
                Some(format!("offset {offset} is no multiple of {alignment}"))
            } else if offset < free {
                Some(format!("offset {offset} lies in another tensor"))
            } else {
                let end = start
                    .checked_add(offset)
                    .and_then(|at| at.checked_add(bytes));
                end.is_none_or(|end| end > size)
                    .then(|| format!("{bytes} bytes at {offset} go beyond the file's {size}"))
            };
            if let Some(message) = message {
                return Err(self.tensor_error(&tensor.name, message));
            }
            free = offset + bytes;
            self.tensors[i].offset = start + offset;
        }
        Ok(())
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A value of the metadata.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// All keys of the metadata.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.metadata.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, tensor: &str) -> Option<&[usize]> {
        let found = self.tensors.iter().find(|t| t.name == tensor);
        found.map(|t| t.shape.as_slice())
    }

    /// An error about a metadata key.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> Error {
        Error::Config {
            path: self.path.clone(),
            field: key.to_owned(),
            message: message.into(),
        }
    }

    fn tensor_error(&self, tensor: &str, message: impl Into<String>) -> Error {
        Error::Tensor {
            path: self.path.clone(),
            tensor: tensor.to_owned(),
            message: message.into(),
        }
    }
}
