//! Weights on disk: safetensors or PyTorch files of a checkpoint folder, or a GGUF file, read tensor by
//! tensor.
//!
//! Only headers stay in memory. A tensor is read at its position when it is needed, so a truncated
//! file is an error, and the file is never in memory beside the backend's copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::backend::{HostTensor, Precision};
use crate::error::Error;
use blocks::Storage;
use files::{ADAPTER, nothing_to_read, refuse_adapter};
use folder::Layout;
use gguf::Gguf;
use strided::Span;

mod blocks;
mod entries;
mod files;
mod folder;
pub(crate) mod gguf;
mod layout;
mod strided;
mod torch;

#[cfg(feature = "tokenizers")]
pub(crate) use files::read_bytes;
pub(crate) use files::{file_size, read_text};
pub(crate) use folder::{TORCH_INDEX, is_torch};

/// The tensors of a checkpoint: `model.safetensors` of a folder, the shards that its
/// `model.safetensors.index.json` names, the same of PyTorch (`pytorch_model.bin`), or a GGUF file.
#[derive(Debug)]
pub struct Weights {
    dir: PathBuf,
    files: Vec<(PathBuf, File)>,
    entries: BTreeMap<String, Entry>,
    /// Tensors that were neither read nor ignored.
    unread: BTreeSet<String>,
    is_gguf: bool,
    /// Non-fatal findings, one sentence each.
    warnings: Vec<String>,
}

/// Position and form of a tensor.
#[derive(Debug)]
struct Entry {
    file: usize,
    storage: Storage,
    shape: Vec<usize>,
    /// Steps between the elements of each dimension, where they do not follow each other row by row.
    strides: Option<Box<[usize]>>,
    /// Position of the first element.
    offset: u64,
    /// Number of bytes of all elements.
    bytes: usize,
}

impl Weights {
    /// Opens a checkpoint folder or a GGUF file and reads the headers.
    ///
    /// Of several formats in a folder, safetensors are read before PyTorch files, as by transformers,
    /// and both before GGUF. The GGUF file is `path` itself, or the only one in a folder.
    ///
    /// A PyTorch file is a pickle, which may hold code. None is run: only tensors, dictionaries, texts
    /// and numbers are built, and anything else is refused by its name.
    ///
    /// Symbolic links are followed, even out of the folder: the cache of the Hugging Face hub
    /// consists of them, and whoever can place a link can place a file. Names in an index must be
    /// names of files in the folder, because an index comes with a download.
    ///
    /// # Errors
    /// None of the formats; a header that is malformed or contradicts the length of the file; an
    /// index that names a file outside the folder, or a tensor that its file does not hold.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = path.as_ref();
        fs::metadata(dir).map_err(|e| Error::io(dir, e))?;
        refuse_adapter(dir)?;
        if let Some(file) = gguf::find(dir)? {
            return Self::from_gguf(Gguf::open(file)?);
        }
        let mut weights = Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            unread: BTreeSet::new(),
            is_gguf: false,
            warnings: Vec::new(),
        };
        let Some(layout) = Layout::of(dir) else {
            return Err(nothing_to_read(dir));
        };
        weights.open_folder(&layout)?;
        if dir.join(ADAPTER).exists() {
            let warning = format!(
                "the adapter of {ADAPTER} is not applied: the weights are read as they are stored"
            );
            weights.warn(warning);
        }
        weights.unwrap_names()?;
        weights.unread = weights.entries.keys().cloned().collect();
        Ok(weights)
    }

    fn from_gguf(gguf: Gguf) -> Result<Self, Error> {
        let file = File::open(&gguf.path).map_err(|e| Error::io(&gguf.path, e))?;
        let mut entries = BTreeMap::new();
        for tensor in gguf.tensors {
            let entry = Entry {
                file: 0,
                storage: tensor.storage,
                shape: tensor.shape,
                strides: None,
                offset: tensor.offset,
                bytes: tensor.bytes,
            };
            entries.insert(tensor.name, entry);
        }
        Ok(Self {
            dir: gguf.path.clone(),
            files: vec![(gguf.path, file)],
            unread: entries.keys().cloned().collect(),
            entries,
            is_gguf: true,
            warnings: Vec::new(),
        })
    }

    /// Non-fatal findings so far, one sentence each.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds a finding that is no error and that whoever reads the numbers should know.
    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// True if two matrices of the same shape hold the same numbers.
    pub(crate) fn equal(&mut self, a: &str, b: &str, shape: [usize; 2]) -> Result<bool, Error> {
        // A megabyte of each at a time: an embedding table may be gigabytes.
        let step = ((1 << 18) / shape[1].max(1)).max(1);
        for first in (0..shape[0]).step_by(step) {
            let rows = first..shape[0].min(first + step);
            let [a, b] = [
                self.rows(a, shape, rows.clone())?,
                self.rows(b, shape, rows)?,
            ];
            // Both are loaded then, and what is not read here is checked there.
            if a.values().to_f32() != b.values().to_f32() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True for a GGUF file, which has names and an order of rows of its own.
    pub(crate) fn is_gguf(&self) -> bool {
        self.is_gguf
    }

    /// True if the checkpoint holds the tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Reads the tensor `name`, which must have the shape `shape`.
    ///
    /// # Errors
    /// A missing tensor, another shape, a safetensors type other than `F32`, `F16` and `BF16`, a value
    /// that is not finite, or a read that fails.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<HostTensor, Error> {
        self.part(name, shape, None)
    }

    /// Reads some rows of the matrix `name`, which must have the shape `shape`.
    pub(crate) fn rows(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
    ) -> Result<HostTensor, Error> {
        let cols = shape[1];
        self.part(name, &shape, Some(rows.start * cols..rows.end * cols))
    }

    /// Reads the elements `part` of a tensor, whole units of its type; all elements if `None`.
    fn part(
        &mut self,
        name: &str,
        shape: &[usize],
        part: Option<Range<usize>>,
    ) -> Result<HostTensor, Error> {
        let Some(entry) = self.entries.get(name) else {
            return Err(Error::Tensor {
                path: self.dir.clone(),
                tensor: name.to_owned(),
                message: self.missing(name),
            });
        };
        let (path, file) = &mut self.files[entry.file];
        let error = |message: String| Error::Tensor {
            path: path.clone(),
            tensor: name.to_owned(),
            message,
        };
        if entry.shape != shape {
            return Err(error(format!(
                "shape {:?}, expected {shape:?}",
                entry.shape
            )));
        }
        if let Storage::Other(dtype) = entry.storage {
            return Err(error(format!(
                "type {dtype:?} is not supported; supported: F32, F16, BF16 (of a quantised \
                 checkpoint, name the one it was made of)"
            )));
        }
        let first = part.as_ref().map_or(0, |part| part.start);
        let span = entry.strides.as_ref().map(|strides| {
            let elements = entry.bytes / entry.storage.unit().1 as usize;
            Span::of(&entry.shape, strides, part.clone().unwrap_or(0..elements))
        });
        // The header was checked against the length of the file, which bounds the allocation.
        let bytes = match span.as_ref().map(Span::range).or(part) {
            None => 0..entry.bytes as u64,
            Some(part) => entry.storage.bytes(part.start)..entry.storage.bytes(part.end),
        };
        file.seek(SeekFrom::Start(entry.offset + bytes.start))
            .map_err(|e| Error::io(&*path, e))?;
        let mut tensor = entry
            .storage
            .read(file, (bytes.end - bytes.start) as usize)
            .map_err(|e| Error::io(&*path, e))?;
        if let Some(span) = span {
            tensor = tensor.picked(1, span.positions());
        }
        // One NaN makes every loss NaN, far from its cause. Here the tensor and the element are
        // still known.
        if let Some(index) = tensor.first_not_finite() {
            return Err(error(format!("element {} is not finite", first + index)));
        }
        self.unread.remove(name);
        Ok(tensor)
    }

    /// The message about a tensor that is missing.
    fn missing(&self, name: &str) -> String {
        let packed = name.strip_suffix("weight").map(|at| format!("{at}qweight"));
        match packed.filter(|packed| self.contains(packed)) {
            None => "missing".to_owned(),
            Some(packed) => format!(
                "missing; {packed} is there instead: weights that GPTQ or AWQ quantised are not \
                 read; name the checkpoint that was quantised, or a GGUF file of it"
            ),
        }
    }

    /// The precision that a tensor is read in, if the checkpoint holds it.
    pub(crate) fn precision(&self, name: &str) -> Option<Precision> {
        self.entries.get(name).map(|entry| match entry.storage {
            Storage::F16 => Precision::F16,
            Storage::Bf16 => Precision::Bf16,
            Storage::F32 | Storage::Blocks(_) | Storage::Other(_) => Precision::F32,
        })
    }

    /// An error about a tensor.
    pub(crate) fn error(&self, tensor: &str, message: String) -> Error {
        let entry = self.entries.get(tensor);
        Error::Tensor {
            path: entry.map_or(&self.dir, |e| &self.files[e.file].0).clone(),
            tensor: tensor.to_owned(),
            message,
        }
    }

    /// Marks a tensor as known and not needed.
    pub(crate) fn ignore(&mut self, name: &str) {
        self.unread.remove(name);
    }

    /// Marks all tensors whose names begin so as known and not needed.
    pub(crate) fn ignore_below(&mut self, prefix: &str) {
        self.unread.retain(|name| !name.starts_with(prefix));
    }

    /// Marks a tensor as known and not needed if its shape is that of a causal mask, `[1, 1, n, n]`,
    /// or of its fill value. Under the same name another checkpoint may have a bias.
    pub(crate) fn ignore_mask(&mut self, name: &str) {
        let shape = self.entries.get(name).map(|e| e.shape.as_slice());
        if matches!(shape, Some([] | [1])) || matches!(shape, Some([1, 1, n, m]) if n == m) {
            self.unread.remove(name);
        }
    }

    /// Refuses a checkpoint with a tensor that was neither read nor ignored: it would change the
    /// computation of the architecture that wrote it.
    ///
    /// The frequencies of rotary embeddings follow from the configuration, wherever a program left
    /// them.
    pub(crate) fn finish(&self, architecture: &str) -> Result<(), Error> {
        let derived = |name: &&String| {
            let last = name.rsplit_once("rotary_emb.").map(|(_, last)| last);
            matches!(
                last,
                Some("inv_freq" | "original_inv_freq" | "cos_cached" | "sin_cached")
            )
        };
        match self.unread.iter().find(|name| !derived(name)) {
            None => Ok(()),
            Some(tensor) => Err(Error::Tensor {
                path: self.files[self.entries[tensor].file].0.clone(),
                tensor: tensor.clone(),
                message: format!(
                    "is not part of {architecture} as {} describes it",
                    if self.is_gguf {
                        "the metadata"
                    } else {
                        "config.json"
                    }
                ),
            }),
        }
    }
}
