//! The kernels a transformer needs, as a trait that other crates implement.
//!
//! A [`Backend`] owns buffers and computes on them. Three methods are required ([`Backend::name`],
//! [`Backend::upload`], [`Backend::read`]); every kernel has a provided implementation that reads
//! its inputs, runs the kernel of [`Reference`] and uploads the result. A new backend therefore works
//! from its first line and overrides what it can make fast.
//!
//! All matrices are row-major. An activation has one row a token of the batch.

use std::ops::Range;

use half::{bf16, f16};

use crate::error::Error;

pub(crate) mod reference;

pub use reference::{Reference, check_attention, check_targets};

/// What a tensor will be used for, so that a backend can choose its layout once, at upload.
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
    Matrix,
}

/// Host values in the precision a checkpoint stores them in.
#[derive(Debug, Clone, Copy)]
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

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their precision.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::F16(_) => Precision::F16,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// The values widened (exactly) to `f32`.
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::F32(v) => v.to_vec(),
            Self::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Self::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
        }
    }
}

/// A tensor in host memory, in the precision it was stored in.
#[derive(Debug, Clone)]
pub enum HostTensor {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
}

impl HostTensor {
    /// A view for upload.
    pub fn values(&self) -> Values<'_> {
        match self {
            Self::F32(v) => Values::F32(v),
            Self::F16(v) => Values::F16(v),
            Self::Bf16(v) => Values::Bf16(v),
        }
    }
}

/// The precision of host values.
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

/// A host matrix on its way to a backend.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// `rows × cols` values, row-major.
    pub values: Values<'a>,
    /// Number of rows (1 for a vector).
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// What it will be used for.
    pub role: Role,
}

/// A block of adjacent columns of a row-major matrix held in a backend's buffer.
///
/// Lets one product compute queries, keys and values at once and each be read without a copy.
#[derive(Debug)]
pub struct Columns<'a, B> {
    /// The matrix.
    pub buffer: &'a B,
    /// Its number of rows.
    pub rows: usize,
    /// Distance between two rows, in elements.
    pub stride: usize,
    /// First column of the block.
    pub start: usize,
    /// Number of columns of the block.
    pub width: usize,
}

impl<B> Clone for Columns<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Columns<'_, B> {}

impl<'a, B> Columns<'a, B> {
    /// All columns of a `rows × width` matrix.
    pub fn all(buffer: &'a B, rows: usize, width: usize) -> Self {
        Self {
            buffer,
            rows,
            stride: width,
            start: 0,
            width,
        }
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
    /// A message when the block reaches outside its row, or the rows outside the buffer.
    pub fn check(&self, len: usize) -> Result<(), String> {
        let end = self.start.checked_add(self.width);
        let size = self.rows.checked_mul(self.stride);
        match (end, size) {
            (Some(end), Some(size)) if end <= self.stride && size <= len => Ok(()),
            _ => Err(format!(
                "columns {}+{} of {} rows with stride {} do not fit a buffer of {len}",
                self.start, self.width, self.rows, self.stride
            )),
        }
    }
}

/// A run of tokens in a batch, continuing its parent's run.
///
/// The rows of a segment are `start..start + len`; its first token stands at logical `position`,
/// which is the number of tokens of all its ancestors. Segments are ordered: the first starts at
/// row 0, each starts where the one before it ends, and a parent comes before its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First row.
    pub start: usize,
    /// Number of rows, at least 1.
    pub len: usize,
    /// Index of the segment it continues.
    pub parent: Option<usize>,
    /// Logical position of its first token.
    pub position: usize,
}

/// Checks the ordering rules of [`Segment`] for a batch of `rows` rows.
///
/// # Errors
/// A message naming the first segment that breaks them.
pub fn check_segments(segments: &[Segment], rows: usize) -> Result<(), String> {
    let mut next = 0usize;
    for (index, segment) in segments.iter().enumerate() {
        let position = match segment.parent {
            None => 0,
            Some(parent) if parent < index => segments[parent].position + segments[parent].len,
            Some(parent) => return Err(format!("segment {index} precedes its parent {parent}")),
        };
        if segment.start != next || segment.len == 0 || segment.position != position {
            return Err(format!(
                "segment {index} is {segment:?}, expected start {next} and position {position}"
            ));
        }
        next = next
            .checked_add(segment.len)
            .ok_or_else(|| format!("segment {index} is longer than memory"))?;
    }
    if next == rows {
        Ok(())
    } else {
        Err(format!("segments cover {next} of {rows} rows"))
    }
}

/// One token to score: the row whose next-token distribution is read, and the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Row of the batch.
    pub row: usize,
    /// Token whose probability is wanted.
    pub token: u32,
}

/// Parameters of [`Backend::embed`].
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Embed<'a> {
    /// Row of the table for each output row.
    pub tokens: &'a [u32],
    /// Number of rows of the table.
    pub vocab: usize,
    /// Number of columns of the table.
    pub width: usize,
    /// Factor on every element (1 for most architectures).
    pub scale: f64,
}

/// Which normalisation [`Backend::norm`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + ε)` (Zhang and Sennrich 2019, arXiv 1910.07467).
    Rms,
    /// `(x − mean(x)) / sqrt(var(x) + ε)` (Ba, Kiros and Hinton 2016, arXiv 1607.06450).
    Layer,
}

/// Parameters of [`Backend::norm`].
#[derive(Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Norm<'a, B> {
    /// Which normalisation.
    pub kind: NormKind,
    /// ε in the formula of the kind.
    pub epsilon: f64,
    /// Elements normalised together: the block's width, or a divisor of it (one head).
    pub width: usize,
    /// `width` factors.
    pub weight: &'a B,
    /// `width` summands.
    pub bias: Option<&'a B>,
}

/// Parameters of [`Backend::linear`].
#[derive(Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Linear<'a, B> {
    /// `[outputs, inputs]`, uploaded as [`Role::Matrix`].
    pub weight: &'a B,
    /// `outputs` summands.
    pub bias: Option<&'a B>,
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
}

/// Parameters of [`Backend::rope`].
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Rope<'a> {
    /// Logical position of each row.
    pub positions: &'a [u32],
    /// Elements of a head; the block is `heads × head_dim` wide.
    pub head_dim: usize,
    /// Angular frequency of each rotated pair, radians a position; `2 × len ≤ head_dim`, the
    /// remaining elements of a head pass through.
    pub frequencies: &'a [f64],
    /// Factor on cosine and sine (1 unless the scaling rule asks for another).
    pub scale: f64,
}

/// Parameters of [`Backend::attention`].
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Attention<'a> {
    /// The forest of segments, see [`Segment`].
    pub segments: &'a [Segment],
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Factor on query–key products.
    pub scale: f64,
    /// A query sees only keys less than this many positions back, itself included.
    pub window: Option<usize>,
    /// `c·tanh(score/c)` is applied to the scaled scores.
    pub soft_cap: Option<f64>,
}

/// The function [`Backend::activate`] applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^−x)`.
    Silu,
    /// `x·Φ(x)` by its tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415).
    GeluTanh,
    /// `x·Φ(x)` by the error function.
    GeluErf,
}

/// Parameters of [`Backend::log_prob`].
#[derive(Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct LogProb<'a, B> {
    /// LM head, `[vocab, inputs]`, uploaded as [`Role::Matrix`].
    pub weight: &'a B,
    /// `vocab` summands.
    pub bias: Option<&'a B>,
    /// Width of a hidden state.
    pub inputs: usize,
    /// Size of the vocabulary.
    pub vocab: usize,
    /// `c·tanh(logit/c)` is applied to the logits.
    pub soft_cap: Option<f64>,
    /// What to score; rows may repeat, and come in non-decreasing order.
    pub targets: &'a [Target],
}

/// The device side of a transformer: buffers and the kernels on them.
///
/// The provided kernels define what each operation means. An implementation may differ from them
/// by rounding only; the crate's conformance kit (feature `conformance`) checks that it does.
/// Wrong lengths, indices or shapes are errors, never undefined behaviour. Every size may be zero:
/// an operation on nothing gives nothing or an error, and does not panic.
pub trait Backend: Send + Sync {
    /// Values on the device, in whatever layout the backend likes.
    type Buffer: Send + Sync;

    /// Short name for messages and results (`"cpu"`).
    fn name(&self) -> &str;

    /// Copies host values to the device.
    ///
    /// # Errors
    /// When the number of values is not `rows × cols`, or the device is out of memory.
    fn upload(&self, tensor: &Tensor<'_>) -> Result<Self::Buffer, Error>;

    /// [`upload`](Self::upload) of a matrix of `rows × cols` values that `read` hands out some rows
    /// at a time, in rising order and in one precision, so that it need not stand in host memory
    /// beside the device's copy.
    ///
    /// # Errors
    /// As [`upload`](Self::upload), and whatever `read` returns.
    fn upload_rows(
        &self,
        [rows, cols]: [usize; 2],
        role: Role,
        read: &mut dyn FnMut(Range<usize>) -> Result<HostTensor, Error>,
    ) -> Result<Self::Buffer, Error> {
        let host = read(0..rows)?;
        self.upload(&Tensor {
            values: host.values(),
            rows,
            cols,
            role,
        })
    }

    /// Bytes of memory that a tensor of `rows × cols` values takes once it is uploaded, in the
    /// layout of its role. Activations are [`Role::Dense`] and [`Precision::F32`].
    fn tensor_bytes(&self, [rows, cols]: [usize; 2], precision: Precision, role: Role) -> u64 {
        let _ = (precision, role);
        4u64.saturating_mul(rows as u64).saturating_mul(cols as u64)
    }

    /// Copies a buffer to the host, row-major.
    ///
    /// # Errors
    /// When the device fails.
    fn read(&self, buffer: &Self::Buffer) -> Result<Vec<f32>, Error>;

    /// Rows of an embedding table, times `scale`.
    ///
    /// **Shapes**: table `[vocab, width]` → `[tokens.len(), width]`.
    ///
    /// # Errors
    /// A token outside the table, or a table of another shape.
    fn embed(&self, table: &Self::Buffer, op: &Embed<'_>) -> Result<Self::Buffer, Error> {
        let out = reference::embed(&self.read(table)?, op).map_err(|m| fail(self, m))?;
        dense(self, &out, op.tokens.len())
    }

    /// Normalises every group of `op.width` elements of the block.
    ///
    /// **Shapes**: `[rows, x.width]` → the same.
    ///
    /// # Errors
    /// Lengths that do not fit.
    fn norm(
        &self,
        x: Columns<'_, Self::Buffer>,
        op: &Norm<'_, Self::Buffer>,
    ) -> Result<Self::Buffer, Error> {
        let (host, weight) = (self.read(x.buffer)?, self.read(op.weight)?);
        let bias = op.bias.map(|b| self.read(b)).transpose()?;
        let op = Norm {
            kind: op.kind,
            epsilon: op.epsilon,
            width: op.width,
            weight: &weight,
            bias: bias.as_ref(),
        };
        let out = reference::norm(with(x, &host), &op).map_err(|m| fail(self, m))?;
        dense(self, &out, x.rows)
    }

    /// `x·Wᵀ + b`.
    ///
    /// **Shapes**: `[rows, inputs]` → `[rows, outputs]`.
    ///
    /// # Errors
    /// Lengths that do not fit.
    fn linear(
        &self,
        x: Columns<'_, Self::Buffer>,
        op: &Linear<'_, Self::Buffer>,
    ) -> Result<Self::Buffer, Error> {
        let (host, weight) = (self.read(x.buffer)?, self.read(op.weight)?);
        let bias = op.bias.map(|b| self.read(b)).transpose()?;
        let op = Linear {
            weight: &weight,
            bias: bias.as_ref(),
            inputs: op.inputs,
            outputs: op.outputs,
        };
        let out = reference::linear(with(x, &host), &op).map_err(|m| fail(self, m))?;
        dense(self, &out, x.rows)
    }

    /// Rotary position embedding in the half-split layout: within a head, element `i` is paired
    /// with element `i + frequencies.len()` (Su et al. 2021, arXiv 2104.09864).
    ///
    /// **Shapes**: `[rows, heads × head_dim]` → the same.
    ///
    /// # Errors
    /// Lengths that do not fit.
    fn rope(&self, x: Columns<'_, Self::Buffer>, op: &Rope<'_>) -> Result<Self::Buffer, Error> {
        let host = self.read(x.buffer)?;
        let out = reference::rope(with(x, &host), op).map_err(|m| fail(self, m))?;
        dense(self, &out, x.rows)
    }

    /// Causal softmax attention over the forest: the keys of a row are those of its segment up to
    /// itself and of all its segment's ancestors.
    ///
    /// The queries are those of the last rows. There are fewer than keys where a prefix was computed
    /// before: then its keys and values stand in the first rows, and nobody asks for it.
    ///
    /// **Shapes**: queries `[queries, heads × head_dim]`, keys and values
    /// `[rows, kv_heads × head_dim]` with `queries ≤ rows`, segments of `rows` rows
    /// → `[queries, heads × head_dim]`.
    ///
    /// # Errors
    /// Lengths that do not fit, or segments that break the rules of [`Segment`].
    fn attention(
        &self,
        q: Columns<'_, Self::Buffer>,
        k: Columns<'_, Self::Buffer>,
        v: Columns<'_, Self::Buffer>,
        op: &Attention<'_>,
    ) -> Result<Self::Buffer, Error> {
        let (hq, hk, hv) = (
            self.read(q.buffer)?,
            self.read(k.buffer)?,
            self.read(v.buffer)?,
        );
        let out = reference::attention(with(q, &hq), with(k, &hk), with(v, &hv), op)
            .map_err(|m| fail(self, m))?;
        dense(self, &out, q.rows)
    }

    /// `f(gate) ⊙ up`, or `f(gate)` without `up`.
    ///
    /// **Shapes**: both `[rows, width]` → `[rows, width]`.
    ///
    /// # Errors
    /// Lengths that do not fit.
    fn activate(
        &self,
        gate: Columns<'_, Self::Buffer>,
        up: Option<Columns<'_, Self::Buffer>>,
        function: Activation,
    ) -> Result<Self::Buffer, Error> {
        let hg = self.read(gate.buffer)?;
        let out = match up {
            None => reference::activate(with(gate, &hg), None, function),
            Some(up) => {
                let hu = self.read(up.buffer)?;
                reference::activate(with(gate, &hg), Some(with(up, &hu)), function)
            }
        }
        .map_err(|m| fail(self, m))?;
        dense(self, &out, gate.rows)
    }

    /// `x + y`, element by element; takes `x` so that it can be reused.
    ///
    /// # Errors
    /// Different lengths.
    fn add(&self, x: Self::Buffer, y: &Self::Buffer) -> Result<Self::Buffer, Error> {
        let (mut hx, hy) = (self.read(&x)?, self.read(y)?);
        reference::add(&mut hx, &hy).map_err(|m| fail(self, m))?;
        dense(self, &hx, 1)
    }

    /// The rows named, in the order given.
    ///
    /// **Shapes**: `[rows, width]` → `[op.len(), width]`.
    ///
    /// # Errors
    /// A row that is not there.
    fn gather(&self, x: Columns<'_, Self::Buffer>, rows: &[usize]) -> Result<Self::Buffer, Error> {
        let host = self.read(x.buffer)?;
        let out = reference::gather(with(x, &host), rows).map_err(|m| fail(self, m))?;
        dense(self, &out, rows.len())
    }

    /// The rows of `x`, then those of `y`.
    ///
    /// **Shapes**: `[m, width]` and `[n, width]` → `[m + n, width]`.
    ///
    /// # Errors
    /// Blocks of different widths, or that do not fit their buffers.
    fn concat(
        &self,
        x: Columns<'_, Self::Buffer>,
        y: Columns<'_, Self::Buffer>,
    ) -> Result<Self::Buffer, Error> {
        let (hx, hy) = (self.read(x.buffer)?, self.read(y.buffer)?);
        let out = reference::concat(with(x, &hx), with(y, &hy)).map_err(|m| fail(self, m))?;
        dense(self, &out, x.rows.saturating_add(y.rows))
    }

    /// Log-probability of each target under the softmax of its row's logits.
    ///
    /// **Shapes**: `[rows, inputs]` → one number a target. **Units**: nats, ≤ 0.
    ///
    /// # Errors
    /// A target outside the rows or the vocabulary, or lengths that do not fit.
    fn log_prob(
        &self,
        x: Columns<'_, Self::Buffer>,
        op: &LogProb<'_, Self::Buffer>,
    ) -> Result<Vec<f64>, Error> {
        let (host, weight) = (self.read(x.buffer)?, self.read(op.weight)?);
        let bias = op.bias.map(|b| self.read(b)).transpose()?;
        let op = LogProb {
            weight: &weight,
            bias: bias.as_ref(),
            inputs: op.inputs,
            vocab: op.vocab,
            soft_cap: op.soft_cap,
            targets: op.targets,
        };
        reference::log_prob(with(x, &host), &op).map_err(|m| fail(self, m))
    }
}

/// An error of `backend`.
fn fail<B: Backend + ?Sized>(backend: &B, message: String) -> Error {
    Error::backend(backend.name(), message)
}

/// Uploads a dense result of `rows` rows.
fn dense<B: Backend + ?Sized>(
    backend: &B,
    values: &[f32],
    rows: usize,
) -> Result<B::Buffer, Error> {
    let cols = values.len().checked_div(rows).unwrap_or(0);
    backend.upload(&Tensor {
        values: Values::F32(values),
        rows,
        cols,
        role: Role::Dense,
    })
}

/// The same block over another buffer.
fn with<'a, B, C>(x: Columns<'_, B>, buffer: &'a C) -> Columns<'a, C> {
    Columns {
        buffer,
        rows: x.rows,
        stride: x.stride,
        start: x.start,
        width: x.width,
    }
}
