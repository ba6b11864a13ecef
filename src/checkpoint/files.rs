//! Files as a stranger may have left them: too large, not regular, pointers, or other than what is
//! read.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::folder::{INDEX, SINGLE, TORCH_INDEX, TORCH_SINGLE};
use crate::error::Error;

/// Length of a regular file. Others are refused: opening a pipe would wait for a writer.
pub(crate) fn file_size(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(Error::format(path, "is not a regular file"))
    }
}

/// The text of a regular file of at most `limit` bytes, even if it grows while it is read.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let bytes = read_bytes(path, limit)?;
    let mut text = String::from_utf8(bytes).map_err(|_| {
        Error::io(
            path,
            io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"),
        )
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        // Editors on Windows put it before UTF-8, and no JSON parser takes it.
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// The bytes of a regular file of at most `limit` bytes, even if it grows while it is read.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let io = |e| Error::io(path, e);
    let size = file_size(path)?;
    let mut bytes = Vec::new();
    if size <= limit {
        let file = crate::input::file(path).map_err(io)?;
        // One byte more than allowed shows that the file has grown since its size was asked for.
        file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    }
    let size = size.max(bytes.len() as u64);
    if size > limit {
        let message = format!("{size} bytes are no plausible {}", name_of(path));
        return Err(Error::format(path, message));
    }
    refuse_lfs_pointer(path, &bytes)?;
    Ok(bytes)
}

/// The mark that some programs put before a text. It is no part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Refuses the pointer that a clone without Git LFS has in place of a large file.
///
/// No file that is read here begins like one: as the length of a safetensors header, these bytes are
/// above the limit.
pub(super) fn refuse_lfs_pointer(path: &Path, start: &[u8]) -> Result<(), Error> {
    // `version https://git-lfs…`. Four bytes, because a GGUF file is asked after its magic number,
    // before more is read.
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

/// The error about a folder without a file that can be read, which names what is there instead.
pub(super) fn nothing_to_read(dir: &Path) -> Error {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut there: Vec<(bool, String)> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| Some((is_torch(&name)?, name)))
        .collect();
    // Safetensors first: they are the better file to name.
    there.sort();
    let message = match there.as_slice() {
        [] => format!("neither {SINGLE}, {INDEX}, {TORCH_SINGLE} nor a GGUF file is there"),
        [(_, first), ..] if first.starts_with("consolidated") => format!(
            "holds {first}, the layout of Mistral's or Llama's own programs; download the files of \
             the same model in the layout of transformers ({SINGLE}, or shards with {INDEX})"
        ),
        [(torch, first), .., (_, last)] if first.contains("-of-") => {
            let index = if *torch { TORCH_INDEX } else { INDEX };
            format!(
                "holds the shards {first} to {last} without {index}, which says that none is \
                 missing; download it, or load and save the model again with transformers"
            )
        }
        [(torch, first), ..] => {
            let name = if *torch { TORCH_SINGLE } else { SINGLE };
            format!(
                "holds {first}, but neither {SINGLE}, {INDEX}, {TORCH_SINGLE} nor a GGUF file; \
                 rename it to {name} if it is the whole model in the layout of transformers"
            )
        }
    };
    Error::format(dir, message)
}

/// True for files that PyTorch may have written, false for safetensors, `None` for files that hold
/// no weights.
fn is_torch(name: &str) -> Option<bool> {
    // What trainers leave beside the weights.
    const OTHERS: [&str; 5] = [
        "training_args",
        "optimizer",
        "scheduler",
        "rng_state",
        "scaler",
    ];
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "safetensors" => Some(false),
        "bin" | "pt" | "pth" | "ckpt" => {
            (!OTHERS.iter().any(|other| stem.starts_with(other))).then_some(true)
        }
        _ => None,
    }
}
