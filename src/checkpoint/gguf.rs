//! GGUF files: metadata by key, and the position of each tensor.
//!
//! Versions 2 and 3, little endian, as specified in the `ggml` repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::blocks::{GGML_TYPES, Storage, ggml_name};
use crate::checkpoint::files::{file_size, refuse_lfs_pointer};
use crate::checkpoint::folder::Layout;
use crate::error::Error;
use header::Header;

mod header;
mod split;
mod value;

pub(crate) use value::Value;

/// A GGUF file with its header read, and with those of the other files if it is the first of several.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub(super) path: PathBuf,
    /// All files, this one first.
    pub(super) files: Vec<PathBuf>,
    metadata: BTreeMap<String, Value>,
    pub(super) tensors: Vec<TensorInfo>,
}

/// Position and form of a tensor. The slowest dimension is first, unlike in the file.
#[derive(Debug)]
pub(super) struct TensorInfo {
    pub(super) name: String,
    /// Number of the file.
    pub(super) file: usize,
    pub(super) storage: Storage,
    pub(super) shape: Vec<usize>,
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

const MAGIC: [u8; 4] = *b"GGUF";
// `GGML_MAX_DIMS`: no tensor of `ggml` has more.
const MAX_DIMENSIONS: u32 = 4;
/// Largest accepted number of tensors and of metadata values.
// The largest models have a few thousand tensors and a hundred values. The bound keeps a header of
// 128 MiB from becoming millions of map entries.
const MAX_ENTRIES: u64 = 1 << 16;

/// True if the name is that of a GGUF file, whatever the case of its ending.
fn is_named_gguf(path: &Path) -> bool {
    let ending = path.extension();
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

/// The GGUF file that `path` stands for: the file itself, or the only one in a folder without other
/// weights.
///
/// # Errors
/// A folder with GGUF files of several models and nothing else to load, or one file of a checkpoint
/// folder.
pub(crate) fn find(path: &Path) -> Result<Option<PathBuf>, Error> {
    if path.is_file() {
        let extension = path.extension().and_then(|e| e.to_str());
        let part = ["safetensors", "json", "bin", "pt", "pth", "ckpt"];
        if extension.is_some_and(|extension| part.contains(&extension)) {
            let message = "is one file of a checkpoint: name the folder it is in";
            return Err(Error::format(path, message));
        }
        return Ok(Some(path.to_owned()));
    }
    if Layout::of(path).is_some() {
        return Ok(None);
    }
    let Ok(entries) = fs::read_dir(path) else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| Error::io(path, e))?.path();
        if is_named_gguf(&file) {
            found.push(file);
        }
    }
    if let Some(first) = split::first(&found) {
        return Ok(Some(first.clone()));
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        n => Err(Error::format(
            path,
            format!("{n} GGUF files are there: name the one to load"),
        )),
    }
}

impl Gguf {
    /// Reads the header of a file, and of the other files if it is the first of several.
    ///
    /// # Errors
    /// A file that is not GGUF of version 2 or 3, a header that is malformed or contradicts the
    /// length of the file, a tensor of a type that is not read; files that do not belong together.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let mut gguf = Self::open_file(path.as_ref())?;
        gguf.join_parts()?;
        Ok(gguf)
    }

    /// Reads the header of one file.
    fn open_file(path: &Path) -> Result<Self, Error> {
        let size = file_size(path)?;
        let file = crate::input::file(path).map_err(|e| Error::io(path, e))?;
        let mut header = Header::new(path, file, size);
        let magic = header.bytes(size.min(4), "magic number")?;
        refuse_lfs_pointer(path, &magic)?;
        if size < 24 || magic != MAGIC {
            return Err(Error::format(path, "is not a GGUF file"));
        }
        match header.u32("version")? {
            2 | 3 => {}
            // A big-endian file has the version's bytes the other way round, which says more than
            // "version 50331648".
            version if version.swap_bytes() <= 3 => {
                return Err(header.error("big-endian files are not read"));
            }
            version => return Err(header.error(format!("version {version}; 2 and 3 are read"))),
        }
        // The least bytes of a tensor: a name's length, a number of dimensions, a type, an offset. Of a
        // value: a key's length, a type and one byte.
        let tensor_count = header.count(24, "number of tensors")?;
        let value_count = header.count(13, "number of metadata values")?;
        if tensor_count.max(value_count) > MAX_ENTRIES {
            let message = format!("{tensor_count} tensors and {value_count} metadata values");
            return Err(header.error(message));
        }
        let mut gguf = Self {
            path: path.to_owned(),
            files: vec![path.to_owned()],
            metadata: BTreeMap::new(),
            tensors: Vec::new(),
        };
        gguf.read_metadata(&mut header, value_count)?;
        gguf.read_tensors(&mut header, tensor_count)?;
        let alignment = gguf.alignment()?;
        gguf.place(header.read.next_multiple_of(alignment), alignment, size)?;
        Ok(gguf)
    }

    fn read_metadata(&mut self, header: &mut Header<'_>, count: u64) -> Result<(), Error> {
        for _ in 0..count {
            let key = header.text("a metadata key")?;
            let value = header.value(&key)?;
            if self.metadata.insert(key.clone(), value).is_some() {
                return Err(header.error(format!("`{key}` is there twice")));
            }
        }
        Ok(())
    }

    fn read_tensors(&mut self, header: &mut Header<'_>, count: u64) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for _ in 0..count {
            let tensor = self.tensor(header)?;
            if !names.insert(tensor.name.clone()) {
                return Err(self.tensor_error(&tensor.name, "is there twice"));
            }
            self.tensors.push(tensor);
        }
        Ok(())
    }

    /// Alignment of the tensors in bytes, 32 unless the metadata has another.
    fn alignment(&self) -> Result<u64, Error> {
        const KEY: &str = "general.alignment";
        match self.get(KEY) {
            // The default of the specification.
            None => Ok(32),
            // Zero would divide by zero below, and 2^63 would overflow the start of the data. No
            // writer aligns to more than a page.
            Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= 1 << 20 => Ok(*n),
            Some(value) => {
                let message = format!("{value} is no power of two up to 2^20");
                Err(self.error(KEY, message))
            }
        }
    }

    /// Reads the position of one tensor, counted from the start of the data.
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
            // With a dimension of zero the product is zero, and the others could be anything.
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
                "type {} ({number}) is not read; name a file of the same model with one of the types \
                 {GGML_TYPES}, or the folder that it was made from",
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
        // GGUF lists the fastest dimension first.
        shape.reverse();
        Ok(TensorInfo {
            name,
            file: 0,
            storage,
            shape,
            offset,
            bytes,
        })
    }

    /// Checks that the tensors are in the file, aligned and apart, and turns their offsets into those
    /// from the start of the file.
    fn place(&mut self, start: u64, alignment: u64, size: u64) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        // By offset, so that one pass finds every overlap. Gaps are allowed: alignment makes them.
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
            // Within `size`, so neither sum overflows.
            free = offset + bytes;
            self.tensors[i].offset = start + offset;
        }
        Ok(())
    }

    /// The files of the model that the file `path` is or begins.
    ///
    /// # Errors
    /// As for [`Gguf::open`], of a file with the name of a part.
    pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
        match split::PartName::of(path) {
            Some(name) if name.count > 1 => Ok(Self::open(path)?.files),
            _ => Ok(vec![path.to_owned()]),
        }
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
