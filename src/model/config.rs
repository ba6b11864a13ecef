//! A decoder by plain options, whatever its architecture and file format.
//!
//! [`config_json`](super::config_json) and [`config_gguf`](super::config_gguf) read it;
//! [`architecture`](super::architecture) has the differences between architectures.

use std::path::Path;

use crate::backend::{Activation, NormKind};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::gguf::{self, Gguf};
use crate::error::Error;
use crate::model::architecture::Architecture;
use crate::model::{config_gguf, config_json};

mod parts;
mod rope;

pub use parts::{Experts, NormParameters, NormPlacement, QkNorm};
pub use rope::{RopeConfig, RopeScaling};

/// The decoder that a checkpoint describes, by options that are the same for all architectures.
///
/// Fields are named as in Hugging Face `config.json`, where most architectures agree on a name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Architecture that wrote the checkpoint.
    pub architecture: Architecture,
    /// Number of tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key heads, and of value heads.
    pub num_key_value_heads: usize,
    /// Number of elements of a head.
    pub head_dim: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Kind of all norms.
    pub norm: NormKind,
    /// Learned parameters of all norms.
    pub norm_parameters: NormParameters,
    /// ε of all norms.
    pub norm_eps: f64,
    /// Placement of the norms of a layer.
    pub norm_placement: NormPlacement,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// If true, attention and MLP of a layer read the same residual stream; if false, the MLP reads
    /// the stream with the attention added.
    pub parallel_residual: bool,
    /// Encoding of positions.
    pub positions: Positions,
    /// Layers whose queries and keys are rotated, one entry per layer; all layers if `None`.
    pub rotary_layers: Option<Vec<bool>>,
    /// Number of positions that a query sees, its own included, in the layers of
    /// [`sliding_layers`](Self::sliding_layers).
    pub sliding_window: Option<usize>,
    /// Layers with the sliding window.
    pub sliding_layers: SlidingLayers,
    /// Bound of the magnitude of queries, keys and values before their rotation.
    pub clip_qkv: Option<f64>,
    /// Factor on the products of queries and keys.
    pub attention_scale: f64,
    /// Soft cap on attention scores.
    pub attn_logit_softcapping: Option<f64>,
    /// Factor on what attention and MLP add to the residual stream.
    pub residual_scale: f64,
    /// Factor on logits, before their soft cap.
    pub logit_scale: f64,
    /// Soft cap on logits.
    pub final_logit_softcapping: Option<f64>,
    /// Factor on token embeddings.
    pub embedding_scale: f64,
    /// If true, token embeddings pass a norm.
    pub embedding_norm: bool,
    /// The experts that some layers have in place of one MLP.
    pub experts: Option<Experts>,
    /// If true, the MLP multiplies an activated gate with a second projection.
    pub gated_mlp: bool,
    /// Activation of the MLP.
    pub activation: Activation,
    /// If true, the LM head is the embedding table.
    pub tie_word_embeddings: bool,
    /// If true, the LM head has a bias.
    pub head_bias: bool,
    /// If true, the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// If true, the output projection of attention has a bias.
    pub output_bias: bool,
    /// If true, the projections of the MLP have biases.
    pub mlp_bias: bool,
    /// Beginning-of-sequence token, if the file names exactly one.
    pub bos_token_id: Option<u32>,
}

/// Encoding of positions.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Positions {
    /// Rotary embedding of queries and keys.
    Rotary {
        /// In layers of full attention.
        full: RopeConfig,
        /// In layers with a sliding window.
        sliding: RopeConfig,
    },
    /// A learned table, added to the token embeddings. Its last `max_position_embeddings` rows are
    /// read.
    Learned {
        /// Number of rows before that of position 0.
        offset: usize,
    },
    /// Linear biases on attention scores (ALiBi), with the slopes 2^(−8i/n) of n heads.
    LinearBiases,
}

impl Positions {
    /// The same rotary embedding in all layers.
    pub(super) fn everywhere(rope: RopeConfig) -> Self {
        Self::Rotary {
            full: rope.clone(),
            sliding: rope,
        }
    }
}

/// Layers with a sliding window, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlidingLayers {
    /// All layers from this one on.
    From(usize),
    /// All layers but the last of every run of this many.
    AllButEvery(usize),
    /// The layers with `true`.
    Listed(Vec<bool>),
}

/// The sizes of a decoder.
pub(super) struct Sizes {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) head_dim: usize,
    pub(super) max_position_embeddings: usize,
}

/// Largest accepted value of any dimension: far above that of any real model, and small enough that
/// a product of four dimensions fits 128 bits.
pub(super) const MAX_DIMENSION: u64 = 1 << 28;
/// Most layers of a model: a hundred times those of any real one. Lists with a value per layer are made
/// before the first tensor is looked for.
pub(super) const MAX_LAYERS: usize = 1 << 14;

impl Config {
    /// Reads `config.json` of a checkpoint folder or of the base of an adapter, or the metadata of a
    /// GGUF file.
    ///
    /// The GGUF file is `path` itself, or the only one in a folder without other weights.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON; a field that is missing, malformed or not
    /// supported, by name and value.
    pub fn load(checkpoint: impl Into<Checkpoint>) -> Result<Self, Error> {
        let path = checkpoint.into().whole()?;
        match gguf::find(&path)? {
            Some(file) => config_gguf::read(&Gguf::open(file)?),
            None => config_json::load(&path),
        }
    }

    /// Reads the text of a `config.json`. `path` is for messages only.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        config_json::parse(text, path)
    }

    /// Number of parameters: embeddings, projections with their biases, and norms.
    ///
    /// An embedding table that is also the LM head counts once.
    ///
    /// # Examples
    /// ```
    /// use std::path::Path;
    /// use relscale::model::Config;
    ///
    /// // Pythia-70M.
    /// let text = r#"{"architectures": ["GPTNeoXForCausalLM"], "vocab_size": 50304, "hidden_size": 512,
    ///     "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048,
    ///     "max_position_embeddings": 2048, "rotary_pct": 0.25, "use_parallel_residual": true,
    ///     "hidden_act": "gelu", "tie_word_embeddings": false}"#;
    /// let config = Config::parse(text, Path::new("config.json"))?;
    /// assert_eq!(config.parameters(), 70_426_624);
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn parameters(&self) -> u64 {
        // No product of dimensions, each at most 2^28, leaves 128 bits.
        let wide = |n: usize| n as u128;
        let (hidden, mlp) = (wide(self.hidden_size), wide(self.intermediate_size));
        let q = wide(self.num_attention_heads) * wide(self.head_dim);
        let kv = wide(self.num_key_value_heads) * wide(self.head_dim);
        let bias = |there: bool, n: u128| if there { n } else { 0 };
        let norm = |width: u128| match self.norm_parameters {
            NormParameters::None => 0,
            NormParameters::Weight => width,
            NormParameters::WeightAndBias => 2 * width,
        };
        let norms = self.norm_placement.count() as u128;
        let qk_norms = match self.qk_norm {
            QkNorm::None => 0,
            QkNorm::Head => 2 * norm(wide(self.head_dim)),
            QkNorm::Width => norm(q) + norm(kv),
        };
        let attention = (q + 2 * kv) * hidden + q * hidden;
        let biases = bias(self.qkv_bias, q + 2 * kv) + bias(self.output_bias, hidden);
        let ups = if self.gated_mlp { 2 } else { 1 };
        let block = |mlp: u128| (ups + 1) * mlp * hidden + bias(self.mlp_bias, ups * mlp + hidden);
        let layer = attention + biases + norms * norm(hidden) + qk_norms;
        let layers = wide(self.num_hidden_layers);
        let sparse = wide(self.sparse_layers());
        let mixture = self.experts.as_ref().map_or(0, |experts| {
            let shared = experts.shared_intermediate_size;
            wide(experts.count) * (hidden + block(wide(experts.intermediate_size)))
                + shared.map_or(0, |width| hidden + block(wide(width)))
        });
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let positions = match self.positions {
            Positions::Rotary { .. } | Positions::LinearBiases => 0,
            Positions::Learned { offset } => wide(self.max_position_embeddings) + wide(offset),
        };
        let all = layers * layer
            + (layers - sparse) * block(mlp)
            + sparse * mixture
            + bias(self.embedding_norm, norm(hidden))
            + (tables * wide(self.vocab_size) + positions) * hidden
            + bias(self.head_bias, wide(self.vocab_size))
            + norm(hidden);
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// True if the layer has the sliding window.
    pub fn is_sliding(&self, layer: usize) -> bool {
        self.sliding_window.is_some()
            && match &self.sliding_layers {
                SlidingLayers::From(first) => layer >= *first,
                SlidingLayers::AllButEvery(n) => !(layer + 1).is_multiple_of(*n),
                SlidingLayers::Listed(list) => list.get(layer).copied().unwrap_or(false),
            }
    }

    /// True if the layer has experts in place of one MLP.
    pub fn is_sparse(&self, layer: usize) -> bool {
        let experts = self.experts.as_ref();
        experts.is_some_and(|experts| experts.layers.get(layer).copied().unwrap_or(false))
    }

    /// Number of layers with experts.
    pub(super) fn sparse_layers(&self) -> usize {
        (0..self.num_hidden_layers)
            .filter(|&layer| self.is_sparse(layer))
            .count()
    }

    /// Slope of each query head, if attention has linear biases.
    ///
    /// Of n heads, the first p = 2^⌊log₂ n⌋ have the slopes 2^(−8i/p) for i = 1, 2, …; the others those
    /// of 2p heads for odd i.
    pub(super) fn slopes(&self) -> Option<Vec<f64>> {
        if self.positions != Positions::LinearBiases {
            return None;
        }
        let heads = self.num_attention_heads;
        let power = 1usize << heads.ilog2();
        let slope = |i: usize, of: usize| libm::exp2(-8.0 * i as f64 / of as f64);
        let first = (1..=power).map(|i| slope(i, power));
        let others = (1..).step_by(2).map(|i| slope(i, 2 * power));
        Some(first.chain(others).take(heads).collect())
    }

    /// True if the context ends where the rotary embedding would change with the length of a text.
    pub(super) fn cuts_context(&self) -> bool {
        let longrope = |rope: &RopeConfig| matches!(rope.scaling, RopeScaling::LongRope { .. });
        match &self.positions {
            Positions::Rotary { full, sliding } => longrope(full) || longrope(sliding),
            Positions::Learned { .. } | Positions::LinearBiases => false,
        }
    }

    /// True if queries and keys of the layer are rotated.
    pub fn is_rotary(&self, layer: usize) -> bool {
        let listed = self.rotary_layers.as_ref();
        matches!(self.positions, Positions::Rotary { .. })
            && listed.is_none_or(|list| list.get(layer).copied().unwrap_or(true))
    }

    /// A Llama of these sizes, from which every architecture's description starts.
    pub(super) fn llama_like(architecture: Architecture, sizes: Sizes, norm_eps: f64) -> Self {
        let rope = RopeConfig {
            theta: 10_000.0,
            partial_rotary_factor: 1.0,
            scaling: RopeScaling::Default,
        };
        Self {
            architecture,
            vocab_size: sizes.vocab_size,
            hidden_size: sizes.hidden_size,
            intermediate_size: sizes.intermediate_size,
            num_hidden_layers: sizes.num_hidden_layers,
            num_attention_heads: sizes.num_attention_heads,
            num_key_value_heads: sizes.num_key_value_heads,
            head_dim: sizes.head_dim,
            max_position_embeddings: sizes.max_position_embeddings,
            norm: NormKind::Rms,
            norm_parameters: NormParameters::Weight,
            norm_eps,
            norm_placement: NormPlacement::Before,
            qk_norm: QkNorm::None,
            parallel_residual: false,
            positions: Positions::everywhere(rope),
            rotary_layers: None,
            sliding_window: None,
            clip_qkv: None,
            sliding_layers: SlidingLayers::From(0),
            attention_scale: 1.0 / (sizes.head_dim as f64).sqrt(),
            attn_logit_softcapping: None,
            residual_scale: 1.0,
            logit_scale: 1.0,
            final_logit_softcapping: None,
            embedding_scale: 1.0,
            embedding_norm: false,
            experts: None,
            gated_mlp: true,
            activation: Activation::Silu,
            tie_word_embeddings: false,
            head_bias: false,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            bos_token_id: None,
        }
    }

    /// Turns all norms into LayerNorms with biases, and the MLP into one without a gate.
    pub(super) fn with_layer_norm(&mut self) {
        self.norm = NormKind::Layer;
        self.norm_parameters = NormParameters::WeightAndBias;
        self.gated_mlp = false;
        self.mlp_bias = true;
    }
}

#[cfg(test)]
mod tests;
