//! Tensors on their way to a backend, and blocks of the buffers it holds.

use half::{bf16, f16};

use super::ShapeError;

/// The use a tensor is uploaded for, so that a backend chooses its layout once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new role must break implementations"
)]
pub enum Role {
    /// A vector or an activation: read element by element, row-major.
    Dense,
    /// A weight of shape `[outputs, inputs]`: the right operand of [`Backend::linear`] and
    /// [`Backend::log_prob`], or the table of [`Backend::embed`].
    ///
    /// [`Backend::linear`]: super::Backend::linear
    /// [`Backend::log_prob`]: super::Backend::log_prob
    /// [`Backend::embed`]: super::Backend::embed
    Matrix,
}

/// Precision of host values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new precision must break implementations"
)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

/// Borrowed host values, in the precision of the checkpoint.
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new precision must break implementations"
)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl Values<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F16(v) => v.len(),
            Self::Bf16(v) => v.len(),
        }
    }

    /// True if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Precision of the values.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::F16(_) => Precision::F16,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// The values widened to `f32`, which is exact.
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::F32(v) => v.to_vec(),
            Self::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Self::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
        }
    }
}

/// Owned host values, in the precision of the checkpoint.
#[derive(Debug, Clone)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new precision must break implementations"
)]
pub enum HostTensor {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
}

impl HostTensor {
    /// A view of the values for upload.
    pub fn values(&self) -> Values<'_> {
        match self {
            Self::F32(v) => Values::F32(v),
            Self::F16(v) => Values::F16(v),
            Self::Bf16(v) => Values::Bf16(v),
        }
    }
}

/// A host matrix to upload.
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Tensor<'a> {
    /// `rows × cols` values, row-major.
    pub values: Values<'a>,
    /// Number of rows, 1 for a vector.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Use of the tensor.
    pub role: Role,
}

/// A block of adjacent columns of a row-major matrix held in a backend's buffer.
///
/// One product can compute queries, keys and values together, and each is then read without a
/// copy.
#[derive(Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Columns<'a, B> {
    /// The matrix.
    pub buffer: &'a B,
    /// Number of rows of the matrix.
    pub rows: usize,
    /// Distance between two rows, in elements.
    pub stride: usize,
    /// First column of the block.
    pub start: usize,
    /// Number of columns of the block.
    pub width: usize,
}

// Derived impls would ask for `B: Clone`, but only the reference is copied.
impl<B> Clone for Columns<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Columns<'_, B> {}

impl<'a, B> Columns<'a, B> {
    /// All columns of a `rows × width` matrix.
    pub fn all(buffer: &'a B, rows: usize, width: usize) -> Self {
        Self::block(buffer, rows, width, 0, width)
    }

    /// The block `start..start + width` of a matrix with rows of `stride` elements.
    pub fn block(buffer: &'a B, rows: usize, stride: usize, start: usize, width: usize) -> Self {
        Self {
            buffer,
            rows,
            stride,
            start,
            width,
        }
    }

    /// Checks the block against a buffer of `len` elements.
    ///
    /// # Errors
    /// A block that reaches beyond its rows, or rows that reach beyond the buffer; rows without columns, of
    /// which any buffer would hold any number.
    pub fn check(&self, len: usize) -> Result<(), ShapeError> {
        if self.width == 0 && self.rows > 0 {
            let message = format!("{} rows have no columns", self.rows);
            return Err(ShapeError::new(message));
        }
        let end = self.start.checked_add(self.width);
        let size = self.rows.checked_mul(self.stride);
        match (end, size) {
            (Some(end), Some(size)) if end <= self.stride && size <= len => Ok(()),
            _ => Err(ShapeError::new(format!(
                "columns {}+{} of {} rows with stride {} do not fit a buffer of {len}",
                self.start, self.width, self.rows, self.stride
            ))),
        }
    }

    /// The same block of another buffer.
    pub(super) fn of<C>(self, buffer: &'a C) -> Columns<'a, C> {
        Columns::block(buffer, self.rows, self.stride, self.start, self.width)
    }
}
