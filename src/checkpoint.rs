//! Weights on disk: safetensors or PyTorch files of a checkpoint folder, or a GGUF file, read tensor by
//! tensor.
//!
//! Only headers stay in memory. A tensor is read at its position when it is needed, so a truncated
//! file is an error, and the file is never in memory beside the backend's copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::backend::{HostTensor, Precision};
use crate::error::Error;
use adapter::ADAPTER;
use adapter::merge::{Delta, Factors};
use blocks::Storage;
use files::nothing_to_read;
use folder::Layout;
use gguf::Gguf;
use read::read_entry;

mod adapter;
mod blocks;
mod description;
mod entries;
mod files;
mod folder;
pub(crate) mod gguf;
mod layout;
mod place;
mod plain;
mod read;
mod strided;
mod torch;

pub use description::describes_model;
#[cfg(feature = "tokenizers")]
pub(crate) use files::read_bytes;
pub(crate) use files::{file_size, read_text};
pub use place::Checkpoint;

/// The files that the weights of a whole model are read from, an index among them.
///
/// # Errors
/// As [`Weights::open`], without reading the weights themselves.
pub(crate) fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    if let Some(file) = gguf::find(dir)? {
        return Gguf::files(&file);
    }
    let layout = Layout::of(dir).ok_or_else(|| nothing_to_read(dir))?;
    layout.files(dir)
}

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
    /// Additions of an adapter, by the matrix.
    deltas: BTreeMap<String, Delta>,
    /// Tensors that an adapter replaced.
    replaced: BTreeSet<String>,
    /// The matrices of the tensor that was read last, which may be read in parts.
    factors: Option<(String, Factors)>,
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
    /// Opens a checkpoint folder, a GGUF file or a LoRA adapter and reads the headers.
    ///
    /// Of several formats in a folder, safetensors are read before PyTorch files, as by transformers,
    /// and both before GGUF. The GGUF file is `path` itself, or the only one in a folder.
    ///
    /// A PyTorch file is a pickle, which may hold code. None is run: only tensors, dictionaries, texts
    /// and numbers are built, and anything else is refused by its name.
    ///
    /// A folder with `adapter_config.json` and no whole model is a LoRA adapter of PEFT. It is merged
    /// into its base (see [`Checkpoint`]) as tensors are read: `W + s·B·A`, where `s` is `α/r`, or
    /// `α/√r` with `use_rslora`. Each element is computed in `f64` and rounded once, to `f32`.
    ///
    /// Symbolic links are followed, even out of the folder: the cache of the Hugging Face hub
    /// consists of them, and whoever can place a link can place a file. Names in an index must be
    /// names of files in the folder, because an index comes with a download.
    ///
    /// # Errors
    /// None of the formats; a header that is malformed or contradicts the length of the file; an
    /// index that names a file outside the folder, or a tensor that its file does not hold.
    pub fn open(checkpoint: impl Into<Checkpoint>) -> Result<Self, Error> {
        let checkpoint = checkpoint.into();
        let path = checkpoint.path();
        fs::metadata(path).map_err(|e| Error::io(path, e))?;
        match checkpoint.adapter()? {
            None => Self::of_model(path),
            Some((base, adapter)) => {
                fs::metadata(&base).map_err(|e| Error::io(&base, e))?;
                adapter.merge(Self::of_model(&base)?)
            }
        }
    }

    /// Opens the folder or the GGUF file of a whole model.
    fn of_model(dir: &Path) -> Result<Self, Error> {
        if let Some(file) = gguf::find(dir)? {
            return Self::from_gguf(Gguf::open(file)?);
        }
        let mut weights = Self::empty(dir);
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

    /// No tensors of a folder.
    fn empty(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            unread: BTreeSet::new(),
            is_gguf: false,
            deltas: BTreeMap::new(),
            replaced: BTreeSet::new(),
            factors: None,
            warnings: Vec::new(),
        }
    }

    fn from_gguf(gguf: Gguf) -> Result<Self, Error> {
        let mut weights = Self::empty(&gguf.path);
        for path in gguf.files {
            let file = crate::input::file(&path).map_err(|e| Error::io(&path, e))?;
            weights.files.push((path, file));
        }
        let mut entries = BTreeMap::new();
        for tensor in gguf.tensors {
            let entry = Entry {
                file: tensor.file,
                storage: tensor.storage,
                shape: tensor.shape,
                strides: None,
                offset: tensor.offset,
                bytes: tensor.bytes,
            };
            entries.insert(tensor.name, entry);
        }
        weights.unread = entries.keys().cloned().collect();
        weights.entries = entries;
        weights.is_gguf = true;
        Ok(weights)
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
        let step = match self.is_by_rows(a) && self.is_by_rows(b) {
            true => ((1 << 18) / shape[1].max(1)).max(1),
            false => shape[0].max(1),
        };
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

    /// True unless the elements of a row lie apart with those of other rows between them, as in a transposed
    /// view. Some rows of such a tensor cost as much as all of them.
    pub(crate) fn is_by_rows(&self, name: &str) -> bool {
        let strides = self.entries.get(name).and_then(|e| e.strides.as_deref());
        strides.is_none_or(|strides| strides.iter().all(|step| *step <= strides[0]))
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
        if entry.shape != shape {
            let message = format!("shape {:?}, expected {shape:?}", entry.shape);
            return Err(self.error(name, message));
        }
        let mut tensor = read_entry(&mut self.files, entry, name, part.clone())?;
        if let Some(delta) = self.deltas.get(name) {
            let factors = match self.factors.take() {
                Some((of, factors)) if of == name => factors,
                _ => delta.factors(&mut self.files, name)?,
            };
            // Deltas are of matrices.
            let (rows, columns) = (shape[0], shape[1]);
            let part = part.unwrap_or(0..rows * columns);
            tensor = delta.add(&factors, &tensor, part.clone(), columns);
            if let Some(index) = tensor.first_not_finite() {
                let message = format!("element {} is not finite once merged", part.start + index);
                return Err(self.error(name, message));
            }
            self.factors = (part.end < rows * columns).then(|| (name.to_owned(), factors));
        }
        self.unread.remove(name);
        Ok(tensor)
    }

    /// Refuses an adapter of the embedding table or the LM head where both are one matrix.
    ///
    /// The merge of PEFT then changes both, or the one that the adapter does not hold stays as it was:
    /// it depends on the order in which the model was built.
    pub(crate) fn refuse_adapted(&self, embedding: &str, head: &str) -> Result<(), Error> {
        let changed = |name: &str| self.deltas.contains_key(name);
        let replaced = |name: &str| self.replaced.contains(name);
        if changed(embedding) || changed(head) || replaced(embedding) && !replaced(head) {
            let message = "the adapter changes it, and the base uses it as the LM head, too \
                           (tie_word_embeddings); merge it with PEFT and name the merged folder";
            return Err(self.error(embedding, message.to_owned()));
        }
        Ok(())
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
        // Sums of an adapter are not rounded to half precision.
        if self.deltas.contains_key(name) {
            return Some(Precision::F32);
        }
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

    /// A maker of errors about the tensor `name` of a file.
    fn error_in(&self, file: usize, name: &str) -> impl Fn(String) -> Error + use<> {
        let (path, tensor) = (self.files[file].0.clone(), name.to_owned());
        move |message| Error::Tensor {
            path: path.clone(),
            tensor: tensor.clone(),
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
