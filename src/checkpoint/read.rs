//! Reading tensors at their positions in files.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use super::Entry;
use super::blocks::Storage;
use super::plain::{self, Checked};
use super::strided::Span;
use crate::backend::HostTensor;
use crate::error::Error;

/// Reads the elements `part` of a tensor, whole units of its type; all elements if `None`.
pub(super) fn read_entry(
    files: &mut [(PathBuf, File)],
    entry: &Entry,
    name: &str,
    part: Option<Range<usize>>,
) -> Result<HostTensor, Error> {
    let (path, file) = &mut files[entry.file];
    let error = |message: String| Error::Tensor {
        path: path.clone(),
        tensor: name.to_owned(),
        message,
    };
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
    let (offset, len) = (
        entry.offset + bytes.start,
        (bytes.end - bytes.start) as usize,
    );
    let (tensor, found) =
        contents(file, entry.storage, offset, len).map_err(|e| Error::io(&*path, e))?;
    let (tensor, found) = match span {
        None => (tensor, found),
        // Elements between those of the tensor may be anything.
        Some(span) => checked(tensor.picked(1, span.positions())),
    };
    // One NaN makes every loss NaN, far from its cause. Here the tensor and the element are still
    // known.
    match found {
        None => Ok(tensor),
        Some(index) => Err(error(format!("element {} is not finite", first + index))),
    }
}

/// Reads `len` bytes of whole units from `offset` on.
fn contents(file: &mut File, storage: Storage, offset: u64, len: usize) -> io::Result<Checked> {
    if let Some(read) = plain::read(file, storage, offset, len)? {
        return Ok(read);
    }
    let Storage::Blocks(block) = storage else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    file.seek(SeekFrom::Start(offset))?;
    Ok(checked(block.read(file, len)?))
}

fn checked(tensor: HostTensor) -> Checked {
    let first = tensor.first_not_finite();
    (tensor, first)
}
