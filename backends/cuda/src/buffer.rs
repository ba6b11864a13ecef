//! Buffers on the device and blocks of their columns.

use relscale::backend::{Columns, ShapeError};

use crate::device::Memory;
use crate::format::Format;

/// Values on the device: weights and results in the backend's format, vectors in f32.
#[derive(Debug)]
pub struct Buffer {
    pub(crate) memory: Memory,
    pub(crate) format: Format,
    pub(crate) len: usize,
    /// Rows and columns of a weight.
    pub(crate) matrix: Option<(usize, usize)>,
}

impl Buffer {
    /// Address of a weight, which must be `rows × cols`.
    pub(crate) fn weight(&self, rows: usize, cols: usize) -> Result<u64, ShapeError> {
        match self.matrix {
            Some(shape) if shape == (rows, cols) => Ok(self.memory.pointer()),
            Some((r, c)) => Err(ShapeError::new(format!(
                "a weight of {r} × {c}, expected {rows} × {cols}"
            ))),
            None => Err(ShapeError::new(
                "a weight was uploaded as a vector or activation",
            )),
        }
    }
}

/// A block of columns in the backend's format.
#[derive(Debug)]
pub(crate) struct View {
    /// Address of the first value.
    pub(crate) pointer: u64,
    pub(crate) rows: u32,
    pub(crate) width: u32,
    /// Distance between two rows, in values.
    pub(crate) stride: u32,
    /// The converted copy that holds the values, if the buffer is in another format.
    _copy: Option<Memory>,
}

impl View {
    /// The block `x` in `format`; `copy` converts a buffer in another format.
    pub(crate) fn new<'a>(
        x: Columns<'a, Buffer>,
        format: Format,
        copy: impl FnOnce(&'a Buffer) -> Result<Memory, relscale::Error>,
    ) -> Result<Self, relscale::Error> {
        let check = || {
            x.check(x.buffer.len)?;
            if x.buffer.matrix.is_some() {
                return Err(ShapeError::new("an activation was uploaded as a weight"));
            }
            Ok((
                small("rows", x.rows)?,
                small("columns", x.width)?,
                small("columns", x.stride)?,
            ))
        };
        let (rows, width, stride) = check().map_err(crate::fail)?;
        let copy = if x.buffer.format == format {
            None
        } else {
            Some(copy(x.buffer)?)
        };
        let memory = copy.as_ref().unwrap_or(&x.buffer.memory);
        Ok(Self {
            pointer: memory.pointer() + (x.start * format.bytes()) as u64,
            rows,
            width,
            stride,
            _copy: copy,
        })
    }

    /// A whole result of `rows × width`, which the view owns.
    pub(crate) fn whole(result: Buffer, rows: u32, width: u32) -> Self {
        Self {
            pointer: result.memory.pointer(),
            rows,
            width,
            stride: width,
            _copy: Some(result.memory),
        }
    }

    /// The `rows` rows of the block from row `start` on, all of them inside; valid while `self` is.
    pub(crate) fn rows_from(&self, start: usize, rows: usize, format: Format) -> Self {
        let skipped = start * self.stride as usize * format.bytes();
        Self {
            pointer: self.pointer + skipped as u64,
            rows: rows as u32,
            width: self.width,
            stride: self.stride,
            _copy: None,
        }
    }

    /// True if every row can be read 16 bytes at a time in a format of `bytes` bytes per value.
    pub(crate) fn is_wide(&self, bytes: usize) -> bool {
        let lane = (16 / bytes) as u32;
        self.pointer.is_multiple_of(16)
            && self.stride.is_multiple_of(lane)
            && self.width.is_multiple_of(lane)
    }
}

/// The count of `what`, which the kernels index with 31 bits.
pub(crate) fn small(what: &str, count: usize) -> Result<u32, ShapeError> {
    match u32::try_from(count) {
        Ok(small) if small <= i32::MAX as u32 => Ok(small),
        _ => Err(ShapeError::new(format!(
            "{count} {what} are more than the device indexes"
        ))),
    }
}
