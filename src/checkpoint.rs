//! Weights on disk: safetensors files of a checkpoint folder, or a GGUF file, read tensor by tensor.
//!
//! Only headers are kept in memory. A tensor is read at its position when it is asked for, so a
//! truncated file is an error and the file never stands in memory beside the backend's copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;

use crate::backend::{HostTensor, Precision};
use crate::error::Error;
use blocks::Storage;
use entries::Entries;
use gguf::Gguf;

mod blocks;
mod entries;
pub(crate) mod gguf;

/// The tensors of a checkpoint: `model.safetensors` of a folder, the shards that its
/// `model.safetensors.index.json` names, or a GGUF file.
#[derive(Debug)]
pub struct Weights {
    dir: PathBuf,
    files: Vec<(PathBuf, File)>,
    entries: BTreeMap<String, Entry>,
    unread: BTreeSet<String>,
    is_gguf: bool,
}

/// Where a tensor is.
#[derive(Debug)]
struct Entry {
    file: usize,
    storage: Storage,
    shape: Vec<usize>,
    offset: u64,
    bytes: usize,
}

impl HostTensor {
    /// Appends `other`; tensors of different precision meet in `f32`.
    pub(crate) fn append(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::F32(a), Self::F32(b)) => a.extend(b),
            (Self::F16(a), Self::F16(b)) => a.extend(b),
            (Self::Bf16(a), Self::Bf16(b)) => a.extend(b),
            (a, b) => {
                let mut wide = a.values().to_f32();
                wide.extend(b.values().to_f32());
                *self = Self::F32(wide);
            }
        }
    }

    /// The transposed matrix of one with rows of `cols`.
    pub(crate) fn transposed(self, cols: usize) -> Self {
        let rows = self.values().len().checked_div(cols).unwrap_or(0);
        self.picked(
            1,
            (0..cols).flat_map(|c| (0..rows).map(move |r| r * cols + c)),
        )
    }

    /// From rows of `cols` in which the two halves of each head of `dim` rows alternate to one half
    /// after the other.
    pub(crate) fn halves_first(self, dim: usize, cols: usize) -> Self {
        let heads = (self.values().len() / cols.max(1))
            .checked_div(dim)
            .unwrap_or(0);
        let half = dim / 2;
        let order = (0..heads).flat_map(|head| (0..dim).map(move |r| (head, r)));
        let order = order.map(|(head, r)| head * dim + 2 * (r % half) + r / half);
        self.picked(cols, order)
    }

    /// From `groups` of `parts` blocks each to all first blocks, all second blocks and so on.
    pub(crate) fn parts_first(self, groups: usize, parts: usize, block: usize) -> Self {
        let order = (0..parts).flat_map(|p| (0..groups).map(move |g| g * parts + p));
        self.picked(block, order)
    }

    /// Blocks of `block` elements in another order.
    fn picked(self, block: usize, order: impl Iterator<Item = usize>) -> Self {
        fn pick<T: Copy>(v: &[T], block: usize, order: impl Iterator<Item = usize>) -> Vec<T> {
            let mut out = Vec::with_capacity(v.len());
            for i in order {
                out.extend_from_slice(&v[i * block..][..block]);
            }
            out
        }
        match self {
            Self::F32(v) => Self::F32(pick(&v, block, order)),
            Self::F16(v) => Self::F16(pick(&v, block, order)),
            Self::Bf16(v) => Self::Bf16(pick(&v, block, order)),
        }
    }

    /// One more than each element, in `f32`.
    pub(crate) fn plus_one(&self) -> Self {
        let mut values = self.values().to_f32();
        values.iter_mut().for_each(|x| *x += 1.0);
        Self::F32(values)
    }
}

/// Largest accepted shard index: a hundred bytes a tensor, and no model has a million.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Largest accepted header, as in the safetensors crate.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The index of a checkpoint in several files.
#[derive(Deserialize)]
#[serde(expecting = "an object with `weight_map`")]
struct Index {
    weight_map: Entries<String>,
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Weights {
    /// Opens the files of the folder `path` and reads their headers, or those of a GGUF file: `path`
    /// itself, or the only one in a folder without safetensors.
    ///
    /// Symbolic links are followed, also out of the folder: the cache of the Hugging Face hub is
    /// made of them, and who can place one can place a file. Names in the index are another
    /// matter, as they come with a download: they must be names of files in the folder.
    ///
    /// # Errors
    /// Neither safetensors nor GGUF, a header that is malformed or contradicts the file's length, an index
    /// that names a file outside the folder or a tensor that its file does not hold.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = path.as_ref();
        fs::metadata(dir).map_err(|e| Error::io(dir, e))?;
        refuse_pickle(dir)?;
        if let Some(file) = gguf::find(dir)? {
            return Self::from_gguf(Gguf::open(file)?);
        }
        let mut weights = Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            unread: BTreeSet::new(),
            is_gguf: false,
        };
        let index = dir.join(INDEX);
        if index.exists() {
            weights.open_shards(&index)?;
        } else if dir.join(SINGLE).exists() {
            weights.open_file(SINGLE)?;
        } else {
            let message = format!("neither {SINGLE}, {INDEX} nor a GGUF file is there");
            return Err(Error::format(dir, message));
        }
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
        })
    }

    fn open_shards(&mut self, index: &Path) -> Result<(), Error> {
        let text = read_text(index, MAX_INDEX_BYTES)?;
        let Index { weight_map } =
            serde_json::from_str(&text).map_err(|e| Error::format(index, e))?;
        let mut shards = BTreeMap::new();
        for (tensor, file) in weight_map.0 {
            // A name with a folder in it could leave the checkpoint.
            if Path::new(&file).file_name() != Some(file.as_ref()) {
                return Err(Error::format(
                    index,
                    format!("`weight_map.{tensor}` names `{file}`, which is not in the folder"),
                ));
            }
            shards.entry(file).or_insert_with(Vec::new).push(tensor);
        }
        for (file, tensors) in shards {
            let number = self.files.len();
            self.open_file(&file)?;
            for tensor in tensors {
                if self.entries.get(&tensor).is_none_or(|e| e.file != number) {
                    return Err(Error::Tensor {
                        path: self.dir.join(&file),
                        tensor,
                        message: format!("{INDEX} says it is in this file, but it is not"),
                    });
                }
            }
        }
        Ok(())
    }

    fn open_file(&mut self, name: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        let io = |e| Error::io(&path, e);
        let size = file_size(&path)?;
        let mut file = File::open(&path).map_err(io)?;
        let mut prefix = [0u8; 8];
        if size < 8 {
            return Err(Error::format(
                &path,
                format!("{size} bytes hold no safetensors header"),
            ));
        }
        file.read_exact(&mut prefix).map_err(io)?;
        refuse_lfs_pointer(&path, &prefix)?;
        let header_len = u64::from_le_bytes(prefix);
        // Checked against the file before anything of that length is allocated.
        let data_start = header_len
            .checked_add(8)
            .filter(|end| *end <= size)
            .ok_or_else(|| {
                Error::format(
                    &path,
                    format!("header of {header_len} bytes in a file of {size}"),
                )
            })?;
        if header_len > MAX_HEADER_BYTES {
            return Err(Error::format(
                &path,
                format!("a header of {header_len} bytes"),
            ));
        }
        let mut header = vec![0u8; header_len as usize];
        file.read_exact(&mut header).map_err(io)?;
        let malformed =
            |e: &dyn std::fmt::Display| Error::format(&path, format!("safetensors header: {e}"));
        let Entries::<TensorInfo>(mut tensors) =
            serde_json::from_slice(&header).map_err(|e| malformed(&e))?;
        drop(header);
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        // Checks shapes, and that the tensors follow each other without holes.
        let metadata = Metadata::new(None, tensors).map_err(|e| malformed(&e))?;
        let (held, said) = (size - data_start, metadata.data_len() as u64);
        if said != held {
            // Bytes that no tensor owns are as suspicious as missing ones; the safetensors library
            // refuses both.
            let message = format!("{held} bytes of tensors are there, the header says {said}");
            return Err(Error::format(&path, message));
        }
        let number = self.files.len();
        for (tensor, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let entry = Entry {
                file: number,
                storage: match info.dtype {
                    Dtype::F32 => Storage::F32,
                    Dtype::F16 => Storage::F16,
                    Dtype::BF16 => Storage::Bf16,
                    other => Storage::Other(other),
                },
                shape: info.shape.clone(),
                offset: data_start + start as u64,
                bytes: end - start,
            };
            if let Some(before) = self.entries.insert(tensor.clone(), entry) {
                let other = self.files[before.file].0.display().to_string();
                return Err(Error::Tensor {
                    path,
                    tensor,
                    message: format!("also in {other}"),
                });
            }
        }
        self.files.push((path, file));
        Ok(())
    }

    /// Whether they are those of a GGUF file, with its names and its order of rows.
    pub(crate) fn is_gguf(&self) -> bool {
        self.is_gguf
    }

    /// Whether the checkpoint holds the tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Reads one tensor of the shape it must have.
    ///
    /// # Errors
    /// A missing tensor, another shape, a type of safetensors other than `F32`, `F16` and `BF16`, a
    /// value that is not finite, or a failing read.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<HostTensor, Error> {
        self.part(name, shape, None)
    }

    /// Reads some rows of a matrix of the shape it must have.
    pub(crate) fn rows(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
    ) -> Result<HostTensor, Error> {
        let cols = shape[1];
        self.part(name, &shape, Some(rows.start * cols..rows.end * cols))
    }

    /// Reads the elements `part`, whole units of its type, of a tensor; all where none.
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
                message: "missing".to_owned(),
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
                "type {dtype:?} is not supported; supported: F32, F16, BF16"
            )));
        }
        let first = part.as_ref().map_or(0, |part| part.start);
        // The header was checked against the file's length, so what is allocated is bounded by it.
        let bytes = match part {
            None => 0..entry.bytes as u64,
            Some(part) => entry.storage.bytes(part.start)..entry.storage.bytes(part.end),
        };
        file.seek(SeekFrom::Start(entry.offset + bytes.start))
            .map_err(|e| Error::io(&*path, e))?;
        let tensor = entry
            .storage
            .read(file, (bytes.end - bytes.start) as usize)
            .map_err(|e| Error::io(&*path, e))?;
        if let Some(index) = first_not_finite(&tensor) {
            return Err(error(format!("element {} is not finite", first + index)));
        }
        self.unread.remove(name);
        Ok(tensor)
    }

    /// The precision a tensor is read in, where it is there.
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

    /// Marks a tensor as known to be without use.
    pub(crate) fn ignore(&mut self, name: &str) {
        self.unread.remove(name);
    }

    /// Marks a tensor as without use if its shape is that of a causal mask, `[1, 1, n, n]`, or of
    /// the number that fills one. Under the same name others may keep a bias.
    pub(crate) fn ignore_mask(&mut self, name: &str) {
        let shape = self.entries.get(name).map(|e| e.shape.as_slice());
        if matches!(shape, Some([] | [1])) || matches!(shape, Some([1, 1, n, m]) if n == m) {
            self.unread.remove(name);
        }
    }

    /// Refuses a checkpoint with tensors that nobody asked for: they would change the computation
    /// of the architecture that wrote them.
    ///
    /// # Errors
    /// The first such tensor.
    pub(crate) fn finish(&self, architecture: &str) -> Result<(), Error> {
        match self.unread.first() {
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

/// Length of a file, which must be a regular one: opening a pipe would wait for a writer.
pub(crate) fn file_size(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(Error::format(path, "is not a regular file"))
    }
}

/// The text of a regular file of at most `limit` bytes, also where it grows meanwhile.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let io = |e| Error::io(path, e);
    let size = file_size(path)?;
    let mut text = String::new();
    if size <= limit {
        let file = File::open(path).map_err(io)?;
        file.take(limit + 1).read_to_string(&mut text).map_err(io)?;
    }
    let size = size.max(text.len() as u64);
    if size > limit {
        let message = format!("{size} bytes are no plausible {}", name_of(path));
        return Err(Error::format(path, message));
    }
    refuse_lfs_pointer(path, text.as_bytes())?;
    Ok(text)
}

/// Refuses what a clone without Git LFS leaves in the place of a large file. No file that is read
/// here begins like this: as the length of a safetensors header it is above the limit.
fn refuse_lfs_pointer(path: &Path, start: &[u8]) -> Result<(), Error> {
    if start.starts_with(b"vers") {
        let message = "is a Git LFS pointer, not the file itself; `git lfs pull` fetches it";
        return Err(Error::format(path, message));
    }
    Ok(())
}

/// The name of a file, for messages.
fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
}

/// Refuses the files of PyTorch, with the way out: the file itself, or a folder with nothing else.
fn refuse_pickle(path: &Path) -> Result<(), Error> {
    let pickle = |file: &Path| {
        let extension = file.extension().and_then(|e| e.to_str());
        matches!(extension, Some("bin" | "pt" | "pth" | "ckpt"))
    };
    let folder = if path.is_file() {
        if !pickle(path) {
            return Ok(());
        }
        // A bare file name has the parent "".
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    } else {
        if path.join(SINGLE).exists() || path.join(INDEX).exists() || !path.is_dir() {
            return Ok(());
        }
        let entries = fs::read_dir(path).map_err(|e| Error::io(path, e))?;
        let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        if path.join("pytorch_model.bin.index.json").exists() || files.any(|f| pickle(&f)) {
            // A GGUF file beside it can be read.
            if gguf::find(path)?.is_some() {
                return Ok(());
            }
            path
        } else {
            return Ok(());
        }
    };
    let message = format!(
        "holds a PyTorch pickle, which can run code and is not read; convert it with \
         python -c \"from transformers import AutoModelForCausalLM as M; \
         M.from_pretrained('{0}').save_pretrained('{0}')\"",
        folder.display()
    );
    Err(Error::format(path, message))
}

fn first_not_finite(tensor: &HostTensor) -> Option<usize> {
    match tensor {
        HostTensor::F32(v) => v.iter().position(|x| !x.is_finite()),
        HostTensor::F16(v) => v.iter().position(|x| !x.is_finite()),
        HostTensor::Bf16(v) => v.iter().position(|x| !x.is_finite()),
    }
}
