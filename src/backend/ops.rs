//! Parameters of the kernels.
//!
//! The structs are exhaustive on purpose: a backend that was written before a field existed must
//! stop compiling, not compute without it.

#[cfg(doc)]
use super::{Backend, Role};

/// A run of tokens in a batch that starts a sequence or continues another segment.
///
/// The rows of a segment are `start..start + len`. Its first token has the logical position
/// `position`, which is the number of tokens of all its ancestors. The first segment starts at row
/// 0, each segment starts where the one before it ends, and a parent precedes its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Segment {
    /// First row.
    pub start: usize,
    /// Number of rows, at least 1.
    pub len: usize,
    /// Index of the segment that this one continues.
    pub parent: Option<usize>,
    /// Logical position of the first token.
    pub position: usize,
}

/// A token to score under the next-token distribution of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Target {
    /// Row of the hidden states.
    pub row: usize,
    /// Token to score.
    pub token: u32,
}

/// Parameters of [`Backend::embed`].
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Embed<'a> {
    /// Row of the table to copy, for each output row.
    pub tokens: &'a [u32],
    /// Number of rows of the table.
    pub vocab: usize,
    /// Number of columns of the table.
    pub width: usize,
    /// Factor on every element, 1 for most architectures.
    pub scale: f64,
}

/// A normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new kind must break implementations"
)]
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
    /// The normalisation.
    pub kind: NormKind,
    /// ε in the formula of [`NormKind`].
    pub epsilon: f64,
    /// Number of elements normalised together: the width of the block or a divisor of it, such as
    /// that of one head.
    pub width: usize,
    /// `width` factors, applied after the normalisation.
    pub weight: &'a B,
    /// `width` summands, added after the factors.
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
    /// Number of elements of a head; the width of the block is a multiple of it.
    pub head_dim: usize,
    /// Angular frequency of each rotated pair, in radians per position. Twice their number is at
    /// most `head_dim`; the remaining elements of a head pass through.
    pub frequencies: &'a [f64],
    /// Factor on cosine and sine, 1 unless the scaling rule of a checkpoint has another.
    pub scale: f64,
}

/// Parameters of [`Backend::attention`].
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Attention<'a> {
    /// The forest of segments of all rows.
    pub segments: &'a [Segment],
    /// Number of query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Number of key heads, and of value heads.
    pub kv_heads: usize,
    /// Number of elements of a head.
    pub head_dim: usize,
    /// Factor on the products of queries and keys.
    pub scale: f64,
    /// Number of positions that a query sees, its own included; all of them if `None`.
    pub window: Option<usize>,
    /// c in `c·tanh(s/c)`, which replaces each scaled product s; `None` leaves them unchanged.
    pub soft_cap: Option<f64>,
    /// Slope m of each query head in `−m·d`, which is added to the score of a key d positions before
    /// the query (Press, Smith and Lewis 2022, arXiv 2108.12409); `None` adds nothing.
    pub slopes: Option<&'a [f64]>,
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new kind must break implementations"
)]
pub enum Activation {
    /// `x / (1 + e^−x)`.
    Silu,
    /// `x·Φ(x)` by its tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415).
    GeluTanh,
    /// `x·Φ(x)` by the error function.
    GeluErf,
    /// `max(x, 0)`. NaN and −∞, which come of an overflow, stay as they are.
    Relu,
}

/// A function of every element ([`Backend::pointwise`]).
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new kind must break implementations"
)]
pub enum Pointwise {
    /// `f·x` for this factor f.
    Scale(f64),
    /// `min(max(x, −b), b)` for this bound b ≥ 0.
    Clip(f64),
}

/// The function that turns the logits of a router into weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new kind must break implementations"
)]
pub enum Routing {
    /// Softmax over all experts.
    Softmax,
    /// `1 / (1 + e^−l)` of each logit l.
    Sigmoid,
}

/// Parameters of [`Backend::route`].
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a new semantic field must break implementations"
)]
pub struct Route {
    /// Number of experts per row, at least 1 and at most the number of logits.
    pub top_k: usize,
    /// The function of the logits.
    pub function: Routing,
    /// If true, the weights of a row are divided by their sum.
    pub normalise: bool,
}

/// An expert that a row was routed to.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "the two parts of a choice")]
pub struct Choice {
    /// Number of the expert.
    pub expert: usize,
    /// Factor on its result.
    pub weight: f64,
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
    /// c in `c·tanh(l/c)`, which replaces each logit l; `None` leaves them unchanged.
    pub soft_cap: Option<f64>,
    /// The targets. Their rows are in non-decreasing order and may repeat.
    pub targets: &'a [Target],
}
