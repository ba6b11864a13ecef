//! Norms of a layer, and the experts in place of its MLP.

/// Placement of norms around a sublayer (attention or MLP).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormPlacement {
    /// Before the sublayer, on the residual stream it reads.
    Before,
    /// After the sublayer, on the output it adds to the stream.
    After,
    /// Before and after.
    Both,
    /// One norm for both sublayers, on the residual stream that they read side by side.
    Shared,
}

/// Learned parameters of a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormParameters {
    /// No parameters.
    None,
    /// A factor for each element.
    Weight,
    /// A factor and a summand for each element.
    WeightAndBias,
}

impl NormPlacement {
    /// Number of norms of a layer.
    pub(in crate::model) fn count(self) -> usize {
        match self {
            Self::Shared => 1,
            Self::Before | Self::After => 2,
            Self::Both => 4,
        }
    }
}

/// Norms of queries and keys before the rotary embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QkNorm {
    /// No norm.
    None,
    /// One norm over each head.
    Head,
    /// One norm over all heads together.
    Width,
}

/// A mixture of experts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Experts {
    /// Number of experts.
    pub count: usize,
    /// Number of experts per token.
    pub top_k: usize,
    /// Width of the MLP of an expert.
    pub intermediate_size: usize,
    /// Width of the MLP of the expert that every token visits.
    pub shared_intermediate_size: Option<usize>,
    /// If true, the weights of the experts of a token add up to one.
    pub normalise: bool,
    /// Layers with experts, one entry per layer; the others have one MLP.
    pub layers: Vec<bool>,
}
