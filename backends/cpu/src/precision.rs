//! Precision of products with weights.

/// Precision of the products of activations with weights.
///
/// Everything else is computed in `f32` in both: the sums of products, attention, norms, the residual
/// stream and the log-softmax. Both give the same bits on every processor, with any number of threads and
/// in any batch.
///
/// Exhaustive: a further precision would be a decision of every caller that matches on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Activations as they are, weights as stored.
    #[default]
    F32,
    /// Activations and weights are rounded to bfloat16 (8 significant bits) before each product; below
    /// 2⁻⁵⁶ (1.4e-17) they count as zero.
    ///
    /// On processors with AVX-512 BF16 a product takes half the time; everywhere weights in `f32` take half
    /// the memory. A log-likelihood changes by about 1e-2 nats per token (root mean square), a mean over
    /// many tokens by far less.
    Bf16,
}
