//! Checkpoint folders: one file of safetensors or of PyTorch, or several with an index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;

use super::blocks::Storage;
use super::entries::Entries;
use super::files::{file_size, read_text, refuse_lfs_pointer};
use super::{Entry, Weights, torch};
use crate::error::Error;

/// Largest accepted shard index: a hundred bytes per tensor, and no model has a million tensors.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Largest accepted header, as in the safetensors crate.
// A file that this crate reads and the original library refuses would be of no use to anyone.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Weights of a folder in one file.
pub(super) const SINGLE: &str = "model.safetensors";
/// The index of weights in several files.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Weights of a folder in one PyTorch file.
pub(super) const TORCH_SINGLE: &str = "pytorch_model.bin";
/// The index of weights in several PyTorch files.
pub(super) const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// The files with the weights of a folder.
#[derive(Debug)]
pub(super) struct Layout {
    /// True for PyTorch files.
    torch: bool,
    /// True for one file; else an index says which ones.
    single: bool,
    /// The file or the index.
    file: &'static str,
    /// An index beside the file, which is not read.
    left_over: Option<&'static str>,
}

impl Layout {
    /// The weights that `transformers` would load from a folder, if there are any.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        // Its order: an index beside a whole file is left over from shards.
        [(SINGLE, INDEX, false), (TORCH_SINGLE, TORCH_INDEX, true)]
            .into_iter()
            .find_map(|(file, index, torch)| {
                let [whole, shards] = [file, index].map(|name| dir.join(name).exists());
                (whole || shards).then_some(Self {
                    torch,
                    single: whole,
                    file: if whole { file } else { index },
                    left_over: (whole && shards).then_some(index),
                })
            })
    }

    /// The matrices of an adapter, in the order of PEFT.
    pub(super) fn of_adapter(dir: &Path) -> Option<Self> {
        let files = [
            ("adapter_model.safetensors", false),
            ("adapter_model.bin", true),
        ];
        let found = files.into_iter().find(|(file, _)| dir.join(file).exists());
        found.map(|(file, torch)| Self {
            torch,
            single: true,
            file,
            left_over: None,
        })
    }

    /// The file, or the index.
    pub(super) fn file(&self) -> &'static str {
        self.file
    }

    /// The files that are read: the one, or the index and those that it names.
    pub(super) fn files(&self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut files = vec![dir.join(self.file)];
        if !self.single {
            files.extend(self.shards(dir)?.into_keys().map(|shard| dir.join(shard)));
        }
        Ok(files)
    }

    /// The names of the files that the index names, with the tensors of each.
    fn shards(&self, dir: &Path) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let index = &dir.join(self.file);
        let text = read_text(index, MAX_INDEX_BYTES)?;
        // Everything else in an index, such as the total size, is not needed and could be wrong.
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
            // A shard is of the format of its index, and named so.
            let ending = if self.torch { ".bin" } else { ".safetensors" };
            if !file.ends_with(ending) {
                let message =
                    format!("`weight_map.{tensor}` names `{file}`, which is no {ending} file");
                return Err(Error::format(index, message));
            }
            shards.entry(file).or_insert_with(Vec::new).push(tensor);
        }
        Ok(shards)
    }
}

/// The index of a checkpoint in several files.
#[derive(Deserialize)]
#[serde(expecting = "an object with `weight_map`")]
struct Index {
    weight_map: Entries<String>,
}

impl Weights {
    /// Opens the files of a folder.
    pub(super) fn open_folder(&mut self, layout: &Layout) -> Result<(), Error> {
        if !layout.single {
            return self.open_shards(layout);
        }
        self.open_file(layout.file, layout.torch)?;
        if let Some(index) = layout.left_over {
            self.warn(format!("{} is read, {index} beside it is not", layout.file));
        }
        Ok(())
    }

    /// Opens the files that an index names.
    fn open_shards(&mut self, layout: &Layout) -> Result<(), Error> {
        for (file, tensors) in layout.shards(&self.dir)? {
            let number = self.files.len();
            self.open_file(&file, layout.torch)?;
            for tensor in tensors {
                // Otherwise a shard of another checkpoint, dropped into the folder, would be read
                // in silence.
                if self.entries.get(&tensor).is_none_or(|e| e.file != number) {
                    return Err(Error::Tensor {
                        path: self.dir.join(&file),
                        tensor,
                        message: format!("{} says it is in this file, but it is not", layout.file),
                    });
                }
            }
        }
        Ok(())
    }

    /// Takes the names of wrappers out of those of the tensors: `torch.compile` saves `_orig_mod.`
    /// before or within them, and data parallel training `module.` before them.
    pub(super) fn unwrap_names(&mut self) -> Result<(), Error> {
        for (name, entry) in std::mem::take(&mut self.entries) {
            let mut plain = name.replace("_orig_mod.", "");
            while let Some(rest) = plain.strip_prefix("module.") {
                plain = rest.to_owned();
            }
            let path = &self.files[entry.file].0;
            if self.entries.contains_key(&plain) {
                return Err(Error::Tensor {
                    path: path.clone(),
                    message: format!("is there twice, once as `{name}`"),
                    tensor: plain,
                });
            }
            self.entries.insert(plain, entry);
        }
        Ok(())
    }

    /// Opens the file `name` of the folder.
    fn open_file(&mut self, name: &str, torch: bool) -> Result<(), Error> {
        let path = self.dir.join(name);
        let number = self.files.len();
        let (file, tensors) = if torch {
            torch::open(&path, number)?
        } else {
            safetensors(&path, number)?
        };
        for (tensor, entry) in tensors {
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
}

/// A file, and its tensors by name.
pub(super) type Opened = (File, Vec<(String, Entry)>);

/// Opens the safetensors file with the number `number`.
fn safetensors(path: &Path, number: usize) -> Result<Opened, Error> {
    // Before the file is opened: a pipe would wait for a writer.
    let size = file_size(path)?;
    let mut file = crate::input::file(path).map_err(|e| Error::io(path, e))?;
    let (metadata, data_start) = header(path, &mut file, size)?;
    let entry = |(tensor, info): (String, &TensorInfo)| {
        let (start, end) = info.data_offsets;
        let entry = Entry {
            file: number,
            storage: Storage::of_safetensors(info.dtype),
            shape: info.shape.clone(),
            strides: None,
            offset: data_start + start as u64,
            bytes: end - start,
        };
        (tensor, entry)
    };
    let tensors = metadata.tensors().into_iter().map(entry).collect();
    Ok((file, tensors))
}

/// Reads the header of a safetensors file of `size` bytes; returns it and the offset of the data.
fn header(path: &Path, file: &mut File, size: u64) -> Result<(Metadata, u64), Error> {
    let io = |e| Error::io(path, e);
    if size < 8 {
        let message = format!("{size} bytes hold no safetensors header");
        return Err(Error::format(path, message));
    }
    let mut prefix = [0u8; 8];
    file.read_exact(&mut prefix).map_err(io)?;
    refuse_lfs_pointer(path, &prefix)?;
    let header_len = u64::from_le_bytes(prefix);
    // Checked against the file before anything of that length is allocated.
    let Some(data_start) = header_len.checked_add(8).filter(|end| *end <= size) else {
        let message = format!("header of {header_len} bytes in a file of {size}");
        return Err(Error::format(path, message));
    };
    if header_len > MAX_HEADER_BYTES {
        let message = format!("a header of {header_len} bytes");
        return Err(Error::format(path, message));
    }
    let mut header = vec![0u8; header_len as usize];
    file.read_exact(&mut header).map_err(io)?;
    let malformed =
        |e: &dyn std::fmt::Display| Error::format(path, format!("safetensors header: {e}"));
    let Entries::<TensorInfo>(mut tensors) =
        serde_json::from_slice(&header).map_err(|e| malformed(&e))?;
    // The text is of about the size of the parsed header; only one of them stays.
    drop(header);
    // `Metadata::new` expects this order and reports anything else as a hole.
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    // Checks shapes, and that the tensors follow each other without holes.
    let metadata = Metadata::new(None, tensors).map_err(|e| malformed(&e))?;
    let (held, said) = (size - data_start, metadata.data_len() as u64);
    if said != held {
        // Bytes that no tensor owns are as suspicious as missing ones; the safetensors library
        // refuses both.
        let message = format!("{held} bytes of tensors are there, the header says {said}");
        return Err(Error::format(path, message));
    }
    Ok((metadata, data_start))
}
