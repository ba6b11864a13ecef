//! PyTorch files: a zip archive with a pickle that describes tensors, and their numbers in records.
//!
//! No code of the pickle is run. A tensor is a view of a storage: an offset, and a step per dimension.

use std::collections::HashSet;
use std::path::Path;

use safetensors::Dtype;

use super::Entry;
use super::blocks::Storage;
use super::files::file_size;
use super::folder::Opened;
use crate::error::Error;
use archive::Archive;
use pickle::{Member, View};

mod archive;
mod pickle;

/// Largest accepted pickle: two hundred bytes per tensor, and no model has a hundred thousand.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
/// Largest accepted number of dimensions; weights have two.
const MAX_DIMENSIONS: usize = 8;
/// Largest accepted number of times that the numbers of a file are used.
// An embedding table that is also the LM head is used twice. With no bound a small file of views of
// one storage would stand for a model beyond all memory.
const MAX_USES: u64 = 4;

/// Opens the PyTorch file with the number `number`.
///
/// # Errors
/// No archive of `torch.save`, a pickle that does more than describe tensors, or tensors that are not
/// in the file.
pub(super) fn open(path: &Path, number: usize) -> Result<Opened, Error> {
    // Before the file is opened: a pipe would wait for a writer.
    let size = file_size(path)?;
    let file = crate::input::file(path).map_err(|e| Error::io(path, e))?;
    let archive = Archive::open(path, file, size)?;
    let pickle = pickle_of(&archive, path)?;
    let said = |message| Error::format(path, format!("{}: {message}", archive.full("data.pkl")));
    let members = pickle::members(&pickle).map_err(said)?;
    let mut seen = HashSet::new();
    let mut tensors = Vec::new();
    let mut used = 0u64;
    for (name, member) in members.iter() {
        let Some(name) = name else {
            return Err(said("a tensor's name is no text".to_owned()));
        };
        let error = |message| Error::Tensor {
            path: path.to_owned(),
            tensor: name.to_owned(),
            message,
        };
        if !seen.insert(name) {
            return Err(error("is there twice".to_owned()));
        }
        let (view, storage) = match member {
            Member::Tensor(view, storage) => (view, storage),
            Member::Other(kind) => return Err(error(no_tensor(kind))),
        };
        let entry = entry(&archive, number, view, storage).map_err(error)?;
        used = used.saturating_add(entry.bytes as u64);
        tensors.push((name.to_owned(), entry));
    }
    if used > size.saturating_mul(MAX_USES) {
        let message = format!("{used} bytes of tensors in a file of {size}");
        return Err(Error::format(path, message));
    }
    Ok((archive.into_file(), tensors))
}

/// The pickle of an archive.
fn pickle_of(archive: &Archive<'_>, path: &Path) -> Result<Vec<u8>, Error> {
    match archive.read("byteorder", 16)?.as_deref() {
        // Missing before version 2.1, which wrote the order of its machine; those in use are little.
        None | Some(b"little") => {}
        Some(order) => {
            let order = String::from_utf8_lossy(order).into_owned();
            let message = format!("has the byte order `{order}`; little-endian files are read");
            return Err(Error::format(path, message));
        }
    }
    archive.read("data.pkl", MAX_PICKLE_BYTES)?.ok_or_else(|| {
        let message = format!("holds no record `{}`", archive.full("data.pkl"));
        Error::format(path, message)
    })
}

/// The message about a member of the dictionary that is no tensor.
fn no_tensor(kind: &str) -> String {
    let message = format!("is {kind}, not a tensor");
    if kind == "a dictionary" {
        // Training programs save the model beside the state of the optimiser.
        return message + "; if it is the model's state in a checkpoint of training, save it alone";
    }
    message
}

/// Position and form of a tensor.
fn entry(
    archive: &Archive<'_>,
    number: usize,
    view: &View,
    storage: &pickle::Storage<'_>,
) -> Result<Entry, String> {
    let form = Form::of(view)?;
    let record = format!("data/{}", storage.key);
    let Some(place) = archive.record(&record) else {
        return Err(format!("record `{}` is missing", archive.full(&record)));
    };
    let width = storage.dtype.bitsize() as u64 / 8;
    let held = (place.end - place.start) / width;
    if held != storage.elements {
        let (record, said) = (archive.full(&record), storage.elements);
        let message = format!("`{record}` holds {held} elements, the pickle says {said}");
        return Err(message);
    }
    if form.elements > 0 && form.last.is_none_or(|last| last >= held) {
        return Err(format!(
            "shape {:?} with strides {:?} from element {} leaves a storage of {held} elements",
            view.shape, view.strides, view.offset
        ));
    }
    // Otherwise a storage of one number could stand for a tensor of any size.
    if form.elements > held {
        return Err(format!(
            "shape {:?} with strides {:?} repeats the {held} elements of its storage; save a copy \
             (`tensor.contiguous()`)",
            view.shape, view.strides
        ));
    }
    Ok(Entry {
        file: number,
        storage: Storage::of_safetensors(storage.dtype),
        strides: form.strides,
        shape: form.shape,
        // Neither overflows: all elements are within the record, which is within the file.
        offset: place.start + form.offset * width,
        bytes: (form.elements * width) as usize,
    })
}

/// Shape and strides that fit each other.
struct Form {
    shape: Vec<usize>,
    /// `None` if the elements follow each other row by row.
    strides: Option<Box<[usize]>>,
    offset: u64,
    elements: u64,
    /// Position of the last element in the storage; `None` if it overflows.
    last: Option<u64>,
}

impl Form {
    fn of(view: &View) -> Result<Self, String> {
        let (dimensions, steps) = (view.shape.len(), view.strides.len());
        if dimensions != steps || dimensions > MAX_DIMENSIONS {
            return Err(format!("{dimensions} dimensions and {steps} strides"));
        }
        let sizes = |numbers: &[i64], what: &str| {
            let size = |&n: &i64| usize::try_from(n).map_err(|_| format!("a {what} of {n}"));
            numbers.iter().map(size).collect::<Result<Vec<_>, _>>()
        };
        let shape = sizes(&view.shape, "dimension")?;
        let strides = sizes(&view.strides, "stride")?;
        let offset = sizes(&[view.offset], "storage offset")?[0] as u64;
        let product = |n: u64, &length: &usize| n.checked_mul(length as u64);
        let elements = shape.iter().try_fold(1, product);
        let elements = elements.ok_or_else(|| format!("shape {shape:?}"))?;
        if elements == 0 {
            // Of no elements, none has a position.
            return Ok(Self {
                shape,
                strides: None,
                offset: 0,
                elements,
                last: None,
            });
        }
        let reach = |at: u64, (&n, &step): (&usize, &usize)| {
            at.checked_add((n as u64 - 1).checked_mul(step as u64)?)
        };
        let last = shape.iter().zip(&strides).try_fold(offset, reach);
        let mut expected = 1;
        let mut in_rows = true;
        for (&length, &step) in shape.iter().zip(&strides).rev() {
            // The stride of a dimension of one is never used.
            in_rows &= length == 1 || step == expected;
            expected = length.saturating_mul(expected);
        }
        Ok(Self {
            strides: (!in_rows).then(|| strides.into_boxed_slice()),
            shape,
            offset,
            elements,
            last,
        })
    }
}

impl Storage {
    /// The storage of a type of safetensors.
    pub(super) fn of_safetensors(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            other => Self::Other(other),
        }
    }
}
