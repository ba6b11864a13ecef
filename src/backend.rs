//! The kernels a transformer needs, as a trait that other crates implement.
//!
//! A [`Backend`] owns buffers and computes on them. Three methods are required ([`Backend::name`],
//! [`Backend::upload`], [`Backend::read`]). Every kernel has a provided implementation, which reads
//! its inputs, runs the kernel of [`Reference`] and uploads the result. A new backend therefore
//! works from its first line and overrides what it makes fast.
//!
//! All matrices are row-major. An activation has one row per token of the batch.

use std::ops::Range;

use crate::error::Error;

mod check;
mod ops;
pub(crate) mod reference;
mod route;
mod tensor;

pub use check::{
    Overflow, ShapeError, check_attention, check_len, check_rows, check_segments, check_targets,
    check_width,
};
pub use ops::{
    Activation, Attention, Choice, Embed, Linear, LogProb, Norm, NormKind, Pointwise, Rope, Route,
    Routing, Segment, Target,
};
pub use reference::Reference;
pub use route::choose_experts;
pub use tensor::{Columns, HostTensor, Precision, Role, Tensor, Values};

/// The buffers of a device and the kernels on them.
///
/// The provided kernels define the meaning of each operation. An implementation may differ from
/// them by rounding only; the crate's conformance kit (feature `conformance`) checks that. Wrong
/// lengths, indices or shapes are errors, never undefined behaviour. Blocks that have rows and no columns
/// are refused, as operands ([`Columns::check`]) and as results ([`check_width`]). Every other size may be
/// zero: an operation on nothing returns nothing or an error, and does not panic.
///
/// # Errors
/// Methods return [`Error::Backend`] with the cause as its source: a [`ShapeError`] for operands
/// that do not fit each other, the device's own error where the device fails. A backend without
/// memory for a tensor or a result returns [`Error::OutOfMemory`], so that a caller can try again
/// with a smaller batch.
/// One that does not compute what only some architectures need (an activation, linear biases,
/// [`pointwise`](Self::pointwise), experts) returns [`Error::Unsupported`], never another result.
pub trait Backend: Send + Sync {
    /// Values on the device, in the backend's own layout.
    type Buffer: Send + Sync;

    /// Short name for messages and results (`"cpu"`).
    fn name(&self) -> &str;

    /// The device and its driver, where results may depend on them (`"NVIDIA H200, CUDA driver 13.0"`).
    ///
    /// It is recorded beside scores, and is no part of what makes them comparable
    /// ([`Log::score`](crate::log::Log::score)).
    fn device(&self) -> Option<String> {
        None
    }

    /// Number of rows from which on larger batches take no less time per row. `None` if larger batches are
    /// always faster, or if that is not known.
    fn enough_tokens(&self) -> Option<usize> {
        None
    }

    /// Copies host values to the device.
    ///
    /// # Errors
    /// A number of values other than `rows × cols`, or a device without memory for them.
    fn upload(&self, tensor: &Tensor<'_>) -> Result<Self::Buffer, Error>;

    /// Uploads a matrix of `rows × cols` values that `read` returns some rows at a time, in rising
    /// order and in one precision.
    ///
    /// The matrix then need not be in host memory beside the device's copy.
    ///
    /// # Errors
    /// As for [`upload`](Self::upload), and the errors of `read`.
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

    /// Bytes of memory of an uploaded tensor of `rows × cols` values, in the layout of its role.
    ///
    /// Activations are [`Role::Dense`] and [`Precision::F32`].
    fn tensor_bytes(&self, [rows, cols]: [usize; 2], precision: Precision, role: Role) -> u64 {
        let _ = (precision, role);
        4u64.saturating_mul(rows as u64).saturating_mul(cols as u64)
    }

    /// Copies a buffer to the host, row-major.
    ///
    /// # Errors
    /// A device that fails.
    fn read(&self, buffer: &Self::Buffer) -> Result<Vec<f32>, Error>;

    /// Rows of an embedding table, multiplied by `scale`.
    ///
    /// **Shapes**: table `[vocab, width]` → `[tokens.len(), width]`.
    ///
    /// # Errors
    /// A token outside the table, or a table of another shape.
    fn embed(&self, table: &Self::Buffer, op: &Embed<'_>) -> Result<Self::Buffer, Error> {
        let out = reference::embed(&self.read(table)?, op).map_err(|e| fail(self, e))?;
        dense(self, &out, op.tokens.len())
    }

    /// Normalises every group of `op.width` elements of the block.
    ///
    /// **Shapes**: `[rows, x.width]` → the same.
    ///
    /// # Errors
    /// Lengths that do not fit; a sum of squares that is not finite ([`Overflow`]). A backend that cannot
    /// look at its results without waiting for them may go on instead.
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
        let out = reference::norm(x.of(&host), &op).map_err(|e| Error::backend(self.name(), e))?;
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
        let out = reference::linear(x.of(&host), &op).map_err(|e| fail(self, e))?;
        dense(self, &out, x.rows)
    }

    /// Rotary position embedding in the half-split layout (Su et al. 2021, arXiv 2104.09864).
    ///
    /// Within a head, element `i` is paired with element `i + frequencies.len()`.
    ///
    /// **Shapes**: `[rows, heads × head_dim]` → the same.
    ///
    /// # Errors
    /// Lengths that do not fit.
    fn rope(&self, x: Columns<'_, Self::Buffer>, op: &Rope<'_>) -> Result<Self::Buffer, Error> {
        let host = self.read(x.buffer)?;
        let out = reference::rope(x.of(&host), op).map_err(|e| fail(self, e))?;
        dense(self, &out, x.rows)
    }

    /// Causal softmax attention over the forest.
    ///
    /// A row sees the keys of its segment up to its own, and those of all ancestors of its segment.
    ///
    /// The queries belong to the last rows. There are fewer queries than keys if a prefix was
    /// computed before: its keys and values are then the first rows, and it has no queries.
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
        let out =
            reference::attention(q.of(&hq), k.of(&hk), v.of(&hv), op).map_err(|e| fail(self, e))?;
        dense(self, &out, q.rows)
    }

    /// `f(gate) ⊙ up` with the activation `f`, or `f(gate)` without `up`.
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
            None => reference::activate(gate.of(&hg), None, function),
            Some(up) => {
                let hu = self.read(up.buffer)?;
                reference::activate(gate.of(&hg), Some(up.of(&hu)), function)
            }
        }
        .map_err(|e| fail(self, e))?;
        dense(self, &out, gate.rows)
    }

    /// A function of every element of the block.
    ///
    /// **Shapes**: `[rows, width]` → the same.
    ///
    /// # Errors
    /// Lengths that do not fit.
    fn pointwise(
        &self,
        x: Columns<'_, Self::Buffer>,
        function: Pointwise,
    ) -> Result<Self::Buffer, Error> {
        let host = self.read(x.buffer)?;
        let out = reference::pointwise(x.of(&host), function).map_err(|e| fail(self, e))?;
        dense(self, &out, x.rows)
    }

    /// The experts of each row, by the logits of a router.
    ///
    /// A row is routed to the experts with the `top_k` largest logits; of equal logits, that of the expert
    /// with the lowest number is taken first. The weights are computed in `f64` and returned in the order of
    /// falling logits ([`choose_experts`] defines them). The choice depends on the logits of the row alone.
    ///
    /// **Shapes**: `[rows, experts]` → `rows × top_k` choices.
    ///
    /// # Errors
    /// Lengths that do not fit, or more experts per row than there are.
    fn route(&self, logits: Columns<'_, Self::Buffer>, op: &Route) -> Result<Vec<Choice>, Error> {
        let host = self.read(logits.buffer)?;
        choose_experts(logits.of(&host), op).map_err(|e| fail(self, e))
    }

    /// Adds `weights[i]·y[i]` to row `rows[i]` of `x`. Takes `x` so that its memory can be reused.
    ///
    /// **Shapes**: `[n, y.width]` and `[rows.len(), y.width]` → `[n, y.width]`, `rows` rising.
    ///
    /// # Errors
    /// Lengths that do not fit, or rows that do not rise or are outside `x`.
    fn add_rows(
        &self,
        x: Self::Buffer,
        y: Columns<'_, Self::Buffer>,
        rows: &[usize],
        weights: &[f64],
    ) -> Result<Self::Buffer, Error> {
        let (mut hx, hy) = (self.read(&x)?, self.read(y.buffer)?);
        reference::add_rows(&mut hx, y.of(&hy), rows, weights).map_err(|e| fail(self, e))?;
        dense(self, &hx, 1)
    }

    /// `x + y`, element by element. Takes `x` so that its memory can be reused.
    ///
    /// # Errors
    /// Different lengths.
    fn add(&self, x: Self::Buffer, y: &Self::Buffer) -> Result<Self::Buffer, Error> {
        let (mut hx, hy) = (self.read(&x)?, self.read(y)?);
        reference::add(&mut hx, &hy).map_err(|e| fail(self, e))?;
        dense(self, &hx, 1)
    }

    /// Copies rows of the block, in the order of `rows`.
    ///
    /// **Shapes**: `[x.rows, width]` → `[rows.len(), width]`.
    ///
    /// # Errors
    /// A row outside the block.
    fn gather(&self, x: Columns<'_, Self::Buffer>, rows: &[usize]) -> Result<Self::Buffer, Error> {
        let host = self.read(x.buffer)?;
        let out = reference::gather(x.of(&host), rows).map_err(|e| fail(self, e))?;
        dense(self, &out, rows.len())
    }

    /// Stacks the rows of `x` above those of `y`.
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
        let out = reference::concat(x.of(&hx), y.of(&hy)).map_err(|e| fail(self, e))?;
        dense(self, &out, x.rows.saturating_add(y.rows))
    }

    /// Log-probability of each target under the softmax of its row's logits.
    ///
    /// **Shapes**: `[rows, inputs]` → one number per target.
    ///
    /// **Units**: nats, ≤ 0.
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
        reference::log_prob(x.of(&host), &op).map_err(|e| fail(self, e))
    }
}

/// The error of `backend` about operands that do not fit.
fn fail<B: Backend + ?Sized>(backend: &B, misfit: ShapeError) -> Error {
    Error::backend(backend.name(), misfit)
}

/// Uploads a dense result of `rows` rows.
fn dense<B: Backend + ?Sized>(
    backend: &B,
    values: &[f32],
    rows: usize,
) -> Result<B::Buffer, Error> {
    // No rows have no width: an empty result is uploaded as 0 × 0.
    let cols = values.len().checked_div(rows).unwrap_or(0);
    backend.upload(&Tensor {
        values: Values::F32(values),
        rows,
        cols,
        role: Role::Dense,
    })
}
