//! Memory of a checkpoint, from its headers alone.

use crate::backend::{Backend, Precision, Role};
use crate::checkpoint::{Checkpoint, Weights};
use crate::error::Error;
use crate::model::config::{Config, NormParameters, Positions, QkNorm};
use crate::model::transformer::{Transformer, names, untie};

/// Estimated memory of a checkpoint on a backend, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// Weights, in the layout of the backend.
    pub weights: u64,
    /// Activations of a batch, at their peak.
    pub activations: u64,
}

impl MemoryEstimate {
    /// Weights and activations together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.activations)
    }
}

impl<B: Backend> Transformer<B> {
    /// Estimates the memory of a checkpoint on `backend` with batches of `batch_tokens` tokens.
    ///
    /// Only `config.json` and the headers of the safetensors files are read, or the header of a GGUF
    /// file. A stored LM head that the configuration ties to the embedding table is compared with it.
    ///
    /// The estimate covers the weights as the backend keeps them ([`Backend::tensor_bytes`]) and the
    /// activations of a batch in which every token is scored. A prefix that an
    /// [`evaluation`](crate::evaluate) keeps counts among the tokens of the batch. A sequence longer
    /// than a batch is computed alone, and its activations exceed the estimate in proportion. An evaluation
    /// may make smaller batches ([`Model::enough_tokens`](crate::model::Model::enough_tokens)). The
    /// program itself, the texts, their scores and the tokenizer are not covered.
    ///
    /// With the CPU backend, the resident memory of a process that loads and scores stays below 1.15
    /// times the total plus 64 MB (`benches/NOTES.md` has measurements). With a GPU the estimate is
    /// of the device's memory, and counts activations as `f32`; what its backend takes beside, such as
    /// the logits of some rows and scratch memory, is not covered.
    ///
    /// # Errors
    /// As for [`Transformer::load`], about the configuration and the headers.
    pub fn memory_estimate(
        checkpoint: impl Into<Checkpoint>,
        backend: &B,
        batch_tokens: usize,
    ) -> Result<MemoryEstimate, Error> {
        let checkpoint = checkpoint.into();
        let mut weights = Weights::open(&checkpoint)?;
        let mut config = Config::load(checkpoint)?;
        untie(&mut config, &mut weights)?;
        let sizes = Sizes {
            backend,
            config: &config,
            weights: &weights,
        };
        Ok(MemoryEstimate {
            weights: sizes.weights(),
            activations: sizes.activations(batch_tokens),
        })
    }

    /// Loads a checkpoint whose [`memory_estimate`](Self::memory_estimate) is at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`] before any tensor is read; else as for [`Transformer::load`].
    pub fn load_with_memory_limit(
        checkpoint: impl Into<Checkpoint>,
        backend: B,
        batch_tokens: usize,
        limit: u64,
    ) -> Result<Self, Error> {
        let checkpoint = checkpoint.into();
        let estimate = Self::memory_estimate(&checkpoint, &backend, batch_tokens)?.total();
        if estimate > limit {
            return Err(Error::MemoryLimit {
                path: checkpoint.path().to_owned(),
                estimate,
                limit,
            });
        }
        Self::load(checkpoint, backend)
    }
}

struct Sizes<'a, B> {
    backend: &'a B,
    config: &'a Config,
    weights: &'a Weights,
}

impl<B: Backend> Sizes<'_, B> {
    fn dense(&self, len: usize) -> u64 {
        dense(self.backend, len)
    }

    /// Bytes of a matrix, in the precision of the tensors it is made of.
    fn matrix(&self, tensors: &[String], shape: [usize; 2]) -> u64 {
        let precision = |name: &String| self.weights.precision(&format!("{name}.weight"));
        let mut all = tensors
            .iter()
            .map(|name| precision(name).unwrap_or(Precision::F32));
        let first = all.next().unwrap_or(Precision::F32);
        // Tensors of different precision are joined in `f32`.
        let met = if all.all(|p| p == first) {
            first
        } else {
            Precision::F32
        };
        self.backend.tensor_bytes(shape, met, Role::Matrix)
    }

    fn weights(&self) -> u64 {
        let (config, (names, prefix)) = (self.config, names(self.weights, self.config));
        let (hidden, (q, kv)) = (config.hidden_size, widths(config));
        let table = |name: String, rows| self.matrix(&[name], [rows, hidden]);
        let mut outside = table(format!("{prefix}{}", names.embedding), config.vocab_size);
        if let Positions::Learned { offset } = config.positions {
            let rows = config.max_position_embeddings + offset;
            outside = outside.saturating_add(table(format!("{prefix}{}", names.positions), rows));
        }
        if !config.tie_word_embeddings {
            let there = |name: &&&str| self.weights.contains(&format!("{name}.weight"));
            let name = names.heads.iter().find(there).unwrap_or(&names.heads[0]);
            outside = outside.saturating_add(table((*name).to_owned(), config.vocab_size));
        }
        if config.head_bias {
            outside = outside.saturating_add(self.dense(config.vocab_size));
        }
        // Every layer is like the first but for precision, which files do not mix in practice.
        let at = |name: &&str| format!("{prefix}{}.0.{name}", names.layer);
        let projection = |names: &[&str], outputs: usize, inputs: usize, bias: bool| {
            let names: Vec<String> = names.iter().map(at).collect();
            let bias = if bias { self.dense(outputs) } else { 0 };
            self.matrix(&names, [outputs, inputs]).saturating_add(bias)
        };
        let ups = if config.gated_mlp { 2 } else { 1 };
        let norms = config.norm_placement.count() as u64;
        let norm = |width| match config.norm_parameters {
            // Without weights of its own a norm is computed with ones.
            NormParameters::None | NormParameters::Weight => self.dense(width),
            NormParameters::WeightAndBias => 2 * self.dense(width),
        };
        let layer = [
            projection(names.qkv, q + 2 * kv, hidden, config.qkv_bias),
            projection(&[names.output], hidden, q, config.output_bias),
            norms * norm(hidden),
            match config.qk_norm {
                QkNorm::None => 0,
                QkNorm::Head => 2 * norm(config.head_dim),
                QkNorm::Width => norm(q).saturating_add(norm(kv)),
            },
        ];
        let layer = layer.into_iter().fold(0, u64::saturating_add);
        if config.embedding_norm {
            outside = outside.saturating_add(norm(hidden));
        }
        (layer.saturating_mul(config.num_hidden_layers as u64))
            .saturating_add(self.mlps(&format!("{prefix}{}", names.layer), ups))
            .saturating_add(outside)
            .saturating_add(norm(hidden))
    }

    /// Bytes of the MLPs of all layers, whose names begin with `layers`.
    fn mlps(&self, layers: &str, ups: usize) -> u64 {
        let (config, (names, _)) = (self.config, names(self.weights, self.config));
        let hidden = config.hidden_size;
        let block = |at: &str, gate_up: &[&str], down: &str, width: usize| {
            let whole = |names: &[&str], outputs, inputs| {
                let names: Vec<String> = names.iter().map(|name| format!("{at}{name}")).collect();
                let bias = if config.mlp_bias {
                    self.dense(outputs)
                } else {
                    0
                };
                self.matrix(&names, [outputs, inputs]).saturating_add(bias)
            };
            whole(gate_up, ups * width, hidden).saturating_add(whole(&[down], hidden, width))
        };
        let sparse = (0..config.num_hidden_layers).find(|&layer| config.is_sparse(layer));
        let dense = (0..config.num_hidden_layers).find(|&layer| !config.is_sparse(layer));
        let count = config.sparse_layers();
        let mut all = 0u64;
        if let Some(layer) = dense {
            let at = format!("{layers}.{layer}.");
            let one = block(&at, names.gate_up, names.down, config.intermediate_size);
            let layers = config.num_hidden_layers - count;
            all = one.saturating_mul(layers as u64);
        }
        if let (Some(layer), Some(experts)) = (sparse, &config.experts) {
            let (at, names) = (format!("{layers}.{layer}."), &names.experts);
            let matrix = |name, outputs| self.matrix(&[format!("{at}{name}")], [outputs, hidden]);
            let part = |at: String, width| block(&at, names.gate_up, names.down, width);
            let expert = part(
                format!("{at}{}.0.", names.expert),
                experts.intermediate_size,
            );
            let mut one = expert
                .saturating_mul(experts.count as u64)
                .saturating_add(matrix(names.router, experts.count));
            if let Some(width) = experts.shared_intermediate_size {
                one = one
                    .saturating_add(matrix(names.shared_gate, 1))
                    .saturating_add(part(format!("{at}{}.", names.shared), width));
            }
            all = all.saturating_add(one.saturating_mul(count as u64));
        }
        all
    }

    fn activations(&self, tokens: usize) -> u64 {
        // The table of rotations reaches to the furthest position, which no sequence of a batch
        // exceeds.
        let positions = tokens.min(self.config.max_position_embeddings);
        let tables = if matches!(self.config.positions, Positions::Rotary { .. }) {
            self.dense(self.config.head_dim)
        } else {
            0
        };
        (activations_of_a_token(self.backend, self.config).saturating_mul(tokens as u64))
            .saturating_add(tables.saturating_mul(positions as u64))
    }
}

/// Number of elements of the queries and of the keys of one token.
fn widths(config: &Config) -> (usize, usize) {
    (
        config.num_attention_heads * config.head_dim,
        config.num_key_value_heads * config.head_dim,
    )
}

fn dense<B: Backend>(backend: &B, len: usize) -> u64 {
    backend.tensor_bytes([1, len], Precision::F32, Role::Dense)
}

/// Bytes of activations per token: those of one layer, attention and MLP together.
///
/// Only one of the two is computed at a time, but a backend keeps the memory of the other for the
/// next layer.
fn activations_of_a_token<B: Backend>(backend: &B, config: &Config) -> u64 {
    let (hidden, (q, kv)) = (config.hidden_size, widths(config));
    // In the worst case all tokens visit the same experts.
    let any_dense = config.sparse_layers() < config.num_hidden_layers;
    let experts = config.experts.as_ref();
    let widths = [
        any_dense.then_some(config.intermediate_size),
        experts.map(|experts| experts.intermediate_size),
        experts.and_then(|experts| experts.shared_intermediate_size),
    ];
    let mlp = widths.into_iter().flatten().max().unwrap_or(0);
    // Their inputs, and the sum of their results.
    let mixture = if experts.is_some() { 2 * hidden } else { 0 };
    let gate_up = if config.gated_mlp { 2 * mlp } else { mlp };
    let rotary = matches!(config.positions, Positions::Rotary { .. });
    // The residual stream, its norm, and the norm again in the layout of a product.
    let stream = 3 * hidden;
    let turned = usize::from(rotary) + usize::from(config.qk_norm != QkNorm::None);
    // Keys and values a second time in the layout of attention, and the result.
    let attention = q + 2 * kv + turned * (q + kv) + 2 * kv + q;
    // The activated block, and again in the layout of a product.
    let mlp = gate_up + 2 * mlp + mixture;
    // The largest logit and a sum for each tile of the vocabulary.
    // 256 is the tile of the CPU backend. Another tile changes a fraction of a per cent of the
    // estimate.
    let head = 2 * config.vocab_size.div_ceil(256);
    dense(backend, stream + attention + mlp + head)
}

/// Memory of one token of a kept prefix, as a multiple of the activations of one token.
///
/// A prefix keeps its keys and values in every layer. The layer being computed holds them twice more:
/// joined with those of the batch, and in the layout of attention.
pub(super) fn prefix_cost<B: Backend>(backend: &B, config: &Config) -> f64 {
    let (_, kv) = widths(config);
    let kept = dense(backend, (config.num_hidden_layers + 2) * 2 * kv);
    // `max(1)` for a backend that reports no memory, which would otherwise divide by zero.
    kept as f64 / activations_of_a_token(backend, config).max(1) as f64
}
