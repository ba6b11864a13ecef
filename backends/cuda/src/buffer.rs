//! Buffers on the device and blocks of their columns.

use std::sync::Arc;

use relscale::backend::{Columns, ShapeError};

use crate::device::Device;
use crate::format::Format;
use crate::memory::Memory;

/// Values on the device: weights and results in the backend's format, vectors in f32.
#[derive(Debug)]
pub struct Buffer {
    pub(crate) memory: Arc<Memory>,
    pub(crate) format: Format,
    pub(crate) len: usize,
    /// The shape of a weight.
    pub(crate) matrix: Option<Matrix>,
    /// The bias of a product, which is still to be added to every row.
    pub(crate) bias: Option<Bias>,
}

/// Summands in f32 of every row of a product, which whatever reads the product adds: a kernel that has the
/// sum in f32 anyway saves the pass, and the rounding, that storing the sum would take.
#[derive(Debug, Clone)]
pub(crate) struct Bias {
    pub(crate) memory: Arc<Memory>,
    /// Place of the first summand in `memory`, in values.
    pub(crate) start: usize,
    /// Number of summands: the width of the rows.
    pub(crate) width: usize,
}

impl Bias {
    pub(crate) fn pointer(&self) -> u64 {
        self.memory.pointer() + 4 * self.start as u64
    }

    /// The summands of a block of columns; `None` if the block is not one of such rows.
    fn of(&self, x: &Columns<'_, Buffer>) -> Option<Self> {
        let first = x.start.checked_rem(self.width)?;
        (x.stride == self.width && first + x.width <= self.width).then(|| Self {
            memory: Arc::clone(&self.memory),
            start: self.start + first,
            width: x.width,
        })
    }

    /// True if both are the same summands.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
            && (self.start, self.width) == (other.start, other.width)
    }
}

/// The shape of a weight, whose rows and columns are filled up with zeros to multiples of 16 bytes: so
/// every product has sizes that the fastest algorithms take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Number of rows in memory.
    pub(crate) height: usize,
    /// Number of columns in memory.
    pub(crate) stride: usize,
}

impl Matrix {
    pub(crate) fn new(rows: usize, cols: usize, format: Format) -> Self {
        let lane = format.lane() as usize;
        Self {
            rows,
            cols,
            height: rows.next_multiple_of(lane),
            stride: cols.next_multiple_of(lane),
        }
    }
}

/// A weight as products and embeddings read it, with its sizes in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) pointer: u64,
    pub(crate) outputs: u32,
    pub(crate) inputs: u32,
}

impl Buffer {
    /// A weight on `device`, which must be `rows × cols`.
    pub(crate) fn weight(
        &self,
        device: &Arc<Device>,
        rows: usize,
        cols: usize,
    ) -> Result<Weight, ShapeError> {
        self.ensure_on(device)?;
        match self.matrix {
            Some(m) if (m.rows, m.cols) == (rows, cols) => Ok(Weight {
                pointer: self.memory.pointer(),
                outputs: small("outputs", m.height)?,
                inputs: small("inputs", m.stride)?,
            }),
            Some(Matrix {
                rows: r, cols: c, ..
            }) => Err(ShapeError::new(format!(
                "a weight of {r} × {c}, expected {rows} × {cols}"
            ))),
            None => Err(ShapeError::new(
                "a weight was uploaded as a vector or activation",
            )),
        }
    }

    /// The values, on the host; of a weight without what it is filled up with, of a product with its bias.
    pub(crate) fn read(&self, device: &Device) -> Result<Vec<f32>, relscale::Error> {
        if let Some(bias) = self.bias.as_ref().filter(|_| self.len > 0) {
            let mut values = self.format.read(device, &self.memory, self.len)?;
            let all = Format::F32.read(device, &bias.memory, bias.start + bias.width)?;
            for row in values.chunks_mut(bias.width) {
                for (x, b) in row.iter_mut().zip(&all[bias.start..]) {
                    *x += b;
                }
            }
            return Ok(values);
        }
        let Some(m) = self.matrix.filter(|_| self.len > 0) else {
            return self.format.read(device, &self.memory, self.len);
        };
        let all = self.format.read(device, &self.memory, m.rows * m.stride)?;
        let rows = all.chunks_exact(m.stride);
        Ok(rows.flat_map(|row| &row[..m.cols]).copied().collect())
    }

    /// Refuses a buffer of another device. One of another stream of the same device is no better: nothing
    /// orders its use.
    pub(crate) fn ensure_on(&self, device: &Arc<Device>) -> Result<(), ShapeError> {
        if self.memory.is_on(device) {
            return Ok(());
        }
        Err(ShapeError::new(
            "a buffer of another `Cuda`: each has a device and a stream of its own",
        ))
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
    /// Number of rows that the memory has from the first one on, at least `rows`.
    pub(crate) room: usize,
    /// Summands that are still to be added to every row.
    pub(crate) bias: Option<Bias>,
    /// Memory of the values, if it is not that of the caller's buffer.
    _copy: Option<Arc<Memory>>,
}

impl View {
    /// The block `x`, on `device`, in `format`; `copy` makes a buffer in this format, and without a bias,
    /// of one that is not or whose bias is not one of the block's rows.
    pub(crate) fn new<'a>(
        x: Columns<'a, Buffer>,
        (device, format): (&Arc<Device>, Format),
        copy: impl FnOnce(&'a Buffer) -> Result<Arc<Memory>, relscale::Error>,
    ) -> Result<Self, relscale::Error> {
        let check = || {
            x.buffer.ensure_on(device)?;
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
        let bias = x.buffer.bias.as_ref().and_then(|bias| bias.of(&x));
        let as_it_is = x.buffer.format == format && bias.is_some() == x.buffer.bias.is_some();
        let copy = (!as_it_is).then(|| copy(x.buffer)).transpose()?;
        let memory = copy.as_ref().unwrap_or(&x.buffer.memory);
        let values = memory.bytes() / format.bytes();
        Ok(Self {
            room: room(values, x.start, x.width, x.stride),
            pointer: memory.pointer() + (x.start * format.bytes()) as u64,
            rows,
            width,
            stride,
            bias,
            _copy: copy,
        })
    }

    /// A whole result of `rows × width`, which the view owns.
    pub(crate) fn whole(result: Buffer, rows: u32, width: u32) -> Self {
        let values = result.memory.bytes() / result.format.bytes();
        Self {
            room: room(values, 0, width as usize, width as usize),
            pointer: result.memory.pointer(),
            rows,
            width,
            stride: width,
            bias: result.bias,
            _copy: Some(result.memory),
        }
    }

    /// The `rows` rows of the block from row `start` on, all of them inside; valid while `self` is.
    pub(crate) fn rows_from(&self, start: usize, rows: usize, format: Format) -> Self {
        let skipped = start * self.stride as usize * format.bytes();
        Self {
            pointer: self.pointer + skipped as u64,
            room: self.room - start,
            rows: rows as u32,
            width: self.width,
            stride: self.stride,
            bias: self.bias.clone(),
            _copy: None,
        }
    }

    /// Address of the summands that are still to be added to every row; null if there are none.
    pub(crate) fn bias(&self) -> u64 {
        self.bias.as_ref().map_or(0, Bias::pointer)
    }

    /// True if every row, and its bias, can be read 16 bytes at a time in a format of `bytes` bytes per
    /// value.
    pub(crate) fn is_wide(&self, bytes: usize) -> bool {
        let lane = (16 / bytes) as u32;
        self.pointer.is_multiple_of(16)
            && self.bias().is_multiple_of(16)
            && self.stride.is_multiple_of(lane)
            && self.width.is_multiple_of(lane)
    }
}

/// Number of whole rows of `width` values, `stride` apart, among so many values from `start` on.
fn room(values: usize, start: usize, width: usize, stride: usize) -> usize {
    match values.checked_sub(start.saturating_add(width)) {
        Some(rest) => rest / stride.max(1) + 1,
        None => 0,
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
