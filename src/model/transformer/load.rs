//! Weights of a checkpoint onto a backend, tensor by tensor.

use super::{Block, Layer, Mlp, NormWeights, Rotation, Transformer};
use crate::backend::{Backend, HostTensor, Role, Tensor};
use crate::checkpoint::Weights;
use crate::error::Error;
use crate::model::architecture::Names;
use crate::model::config::{Config, NormParameters, NormPlacement, Positions, QkNorm, RopeConfig};
use crate::model::config_gguf::ROPE_DIVISORS;

/// Loads all weights.
pub(super) fn load<B: Backend>(
    backend: B,
    mut config: Config,
    mut weights: Weights,
) -> Result<Transformer<B>, Error> {
    untie(&mut config, &mut weights)?;
    let (names, prefix) = names(&weights, &config);
    let mut loader = Loader {
        weights,
        backend: &backend,
        config: &config,
        names,
        prefix,
    };
    let (hidden, vocab) = (config.hidden_size, config.vocab_size);
    let embedding = loader.table(&format!("{prefix}{}", names.embedding), vocab)?;
    let positions = match config.positions {
        Positions::Rotary { .. } | Positions::LinearBiases => None,
        Positions::Learned { offset } => {
            let name = format!("{prefix}{}", names.positions);
            Some(loader.table(&name, config.max_position_embeddings + offset)?)
        }
    };
    let embedding_norm = match config.embedding_norm {
        true => Some(loader.norm(format!("{prefix}{}", names.embedding_norm), hidden)?),
        false => None,
    };
    let mut layers = Vec::new();
    for index in 0..config.num_hidden_layers {
        layers.push(loader.layer(index)?);
    }
    let norm = loader.norm(format!("{prefix}{}", names.norm), hidden)?;
    let head = if config.tie_word_embeddings {
        // Some writers store the tied copy as well.
        for name in names.heads {
            loader.weights.ignore(&format!("{name}.weight"));
        }
        None
    } else {
        let found = |name: &&&str| loader.weights.contains(&format!("{name}.weight"));
        let name = names.heads.iter().find(found).unwrap_or(&names.heads[0]);
        Some(loader.table(name, vocab)?)
    };
    let head_bias = loader.head_bias(vocab)?;
    let rotations = loader.rotations()?;
    for part in names.other_parts {
        loader.weights.ignore_below(part);
    }
    if config.cuts_context() {
        loader.weights.warn(format!(
            "the context is cut at {} tokens: beyond, the frequencies of the rotary embedding \
             (longrope) depend on the length of the whole text",
            config.max_position_embeddings
        ));
    }
    // Last, when everything known was read or ignored.
    loader.weights.finish(config.architecture.name())?;
    let warnings = loader.weights.warnings().to_vec();
    Ok(Transformer {
        backend,
        slopes: config.slopes(),
        config,
        rotations,
        embedding,
        embedding_norm,
        positions,
        layers,
        norm,
        head,
        head_bias,
        warnings,
    })
}

/// Uses the stored LM head where the configuration ties it to the embedding table and the two differ.
///
/// `transformers` does so since version 5; before, it overwrote the stored head. Such files come from
/// programs that untie the two in training and leave the configuration as it was.
pub(in crate::model) fn untie(config: &mut Config, weights: &mut Weights) -> Result<(), Error> {
    let (names, prefix) = names(weights, config);
    let embedding = format!("{prefix}{}.weight", names.embedding);
    let mut heads = names.heads.iter().map(|name| format!("{name}.weight"));
    let head = heads.find(|head| weights.contains(head));
    if config.tie_word_embeddings {
        weights.refuse_adapted(&embedding, head.as_deref().unwrap_or_default())?;
    }
    let Some(head) = head else {
        return Ok(());
    };
    let shape = [config.vocab_size, config.hidden_size];
    if config.tie_word_embeddings
        && weights.contains(&embedding)
        && !weights.equal(&embedding, &head, shape)?
    {
        weights.warn(format!(
            "{head} differs from {embedding}, to which the configuration ties it \
             (tie_word_embeddings); the stored {head} is used, as by transformers 5"
        ));
        config.tie_word_embeddings = false;
    }
    Ok(())
}

/// Names of the tensors, and the prefix of those names.
pub(in crate::model) fn names(
    weights: &Weights,
    config: &Config,
) -> (&'static Names, &'static str) {
    let family = config.architecture.family();
    let names = match &family.gguf {
        Some(gguf) if weights.is_gguf() => &gguf.tensors,
        _ => &family.tensors,
    };
    // The norm too: a checkpoint with a missing embedding keeps its prefix, for the error's sake.
    let there = |p: &&&str| {
        [names.embedding, names.norm]
            .iter()
            .any(|name| weights.contains(&format!("{p}{name}.weight")))
    };
    let prefix = names.prefixes.iter().find(there);
    (names, prefix.unwrap_or(&names.prefixes[0]))
}

/// Reads tensors and hands them to the backend.
pub(super) struct Loader<'a, B: Backend> {
    pub(super) weights: Weights,
    pub(super) backend: &'a B,
    pub(super) config: &'a Config,
    pub(super) names: &'static Names,
    prefix: &'static str,
}

impl<B: Backend> Loader<'_, B> {
    pub(super) fn upload(
        &self,
        host: &HostTensor,
        rows: usize,
        cols: usize,
        role: Role,
    ) -> Result<B::Buffer, Error> {
        self.backend.upload(&Tensor {
            values: host.values(),
            rows,
            cols,
            role,
        })
    }

    /// Rotations of layers with full attention and of those with a window.
    fn rotations(&mut self) -> Result<Option<[Rotation; 2]>, Error> {
        let dim = self.config.head_dim;
        let Positions::Rotary { full, sliding } = &self.config.positions else {
            return Ok(None);
        };
        let scales = [full, sliding].map(RopeConfig::attention_factor);
        let mut all = [full, sliding].map(|rope| rope.frequencies(dim));
        if self.weights.is_gguf() && self.weights.contains(ROPE_DIVISORS) {
            // GGUF stores the scaling rule of Llama 3 as these divisors.
            let divisors = self.weights.tensor(ROPE_DIVISORS, &[all[0].len()])?;
            for (i, divisor) in divisors.values().to_f32().into_iter().enumerate() {
                if divisor <= 0.0 {
                    let message = format!("divisor {divisor} of frequency {i} is not positive");
                    return Err(self.weights.error(ROPE_DIVISORS, message));
                }
                // Divided, not multiplied by the reciprocal, as `ggml` does.
                all.iter_mut().for_each(|f| f[i] /= f64::from(divisor));
            }
        }
        let ([full, sliding], [full_scale, sliding_scale]) = (all, scales);
        Ok(Some([
            Rotation {
                frequencies: full,
                scale: full_scale,
            },
            Rotation {
                frequencies: sliding,
                scale: sliding_scale,
            },
        ]))
    }

    /// Uploads the bias of the LM head, if it has one.
    fn head_bias(&mut self, vocab: usize) -> Result<Option<B::Buffer>, Error> {
        if !self.config.head_bias {
            return Ok(None);
        }
        let host = self
            .weights
            .tensor(&format!("{}.bias", self.names.heads[0]), &[vocab])?;
        self.upload(&host, 1, vocab, Role::Dense).map(Some)
    }

    /// Uploads a table of `rows` hidden states.
    fn table(&mut self, name: &str, rows: usize) -> Result<B::Buffer, Error> {
        let cols = self.config.hidden_size;
        let (name, shape, weights) = (format!("{name}.weight"), [rows, cols], &mut self.weights);
        if !weights.is_by_rows(&name) {
            let host = weights.tensor(&name, &shape)?;
            return self.upload(&host, rows, cols, Role::Matrix);
        }
        // In pieces: a table of 256,000 tokens is the largest tensor, and stood in memory three
        // times (`benches/NOTES.md`).
        self.backend.upload_rows(shape, Role::Matrix, &mut |rows| {
            weights.rows(&name, shape, rows)
        })
    }

    /// Uploads the weights of a norm.
    fn norm(&mut self, mut name: String, width: usize) -> Result<NormWeights<B::Buffer>, Error> {
        if self.config.parallel_residual && self.config.norm_placement == NormPlacement::Before {
            for (usual, other) in self.names.side_by_side {
                if let Some(at) = name.strip_suffix(usual) {
                    name = format!("{at}{other}");
                }
            }
        }
        let parameters = self.config.norm_parameters;
        let mut host = match parameters {
            // A product with one is exact, so backends need no norm without weights.
            NormParameters::None => HostTensor::F32(vec![1.0; width]),
            _ => self.weights.tensor(&format!("{name}.weight"), &[width])?,
        };
        if self.names.norms_less_one {
            host = host.plus_one();
        }
        let weight = self.upload(&host, 1, width, Role::Dense)?;
        let bias = match parameters {
            NormParameters::None | NormParameters::Weight => None,
            NormParameters::WeightAndBias => {
                let host = self.weights.tensor(&format!("{name}.bias"), &[width])?;
                Some(self.upload(&host, 1, width, Role::Dense)?)
            }
        };
        Ok(NormWeights {
            weight,
            bias,
            width,
        })
    }

    /// Uploads the weights of a layer.
    fn layer(&mut self, index: usize) -> Result<Layer<B::Buffer>, Error> {
        let (config, names) = (self.config, self.names);
        let (hidden, dim) = (config.hidden_size, config.head_dim);
        let (q, kv) = (
            config.num_attention_heads * dim,
            config.num_key_value_heads * dim,
        );
        let at = &format!("{}{}.{index}.", self.prefix, names.layer);
        // Old versions of `transformers` wrote tensors that follow from the configuration.
        for name in names.derived {
            self.weights.ignore(&format!("{at}{name}"));
        }
        for name in names.masks {
            self.weights.ignore_mask(&format!("{at}{name}"));
        }
        let before = config.norm_placement != NormPlacement::After;
        let after = matches!(
            config.norm_placement,
            NormPlacement::After | NormPlacement::Both
        );
        let before_both = config.norm_placement == NormPlacement::Shared;
        let mut norm = |there: bool, name: &str, width: usize| {
            there
                .then(|| self.norm(format!("{at}{name}"), width))
                .transpose()
        };
        let before_attention = norm(before, names.before_attention, hidden)?;
        let after_attention = norm(after, names.after_attention, hidden)?;
        let before_mlp = norm(before && !before_both, names.before_mlp, hidden)?;
        let after_mlp = norm(after, names.after_mlp, hidden)?;
        let mut qk = |q_width: usize, k_width: usize| -> Result<_, Error> {
            let [q, k] = names.qk_norm.map(|name| format!("{at}{name}"));
            Ok(Some([self.norm(q, q_width)?, self.norm(k, k_width)?]))
        };
        let qk_norm = match config.qk_norm {
            QkNorm::None => None,
            QkNorm::Head => qk(dim, dim)?,
            QkNorm::Width => qk(q, kv)?,
        };
        let mlp = match config.is_sparse(index) {
            true => Mlp::Experts(self.mixture(at)?),
            false => {
                Mlp::Dense(self.block(at, (names.gate_up, names.down), config.intermediate_size)?)
            }
        };
        Ok(Layer {
            before_attention,
            qkv: self.projection(at, names.qkv, &[q, kv, kv], hidden, config.qkv_bias)?,
            qk_norm,
            output: self.projection(at, &[names.output], &[hidden], q, config.output_bias)?,
            after_attention,
            before_mlp,
            mlp,
            after_mlp,
        })
    }

    /// Uploads an MLP whose hidden layer has `width` elements.
    pub(super) fn block(
        &mut self,
        at: &str,
        (gate_up, down): (&[&str], &str),
        width: usize,
    ) -> Result<Block<B::Buffer>, Error> {
        let (hidden, bias) = (self.config.hidden_size, self.config.mlp_bias);
        let widths: &[usize] = if self.config.gated_mlp {
            &[width, width]
        } else {
            &[width]
        };
        Ok(Block {
            gate_up: self.projection(at, gate_up, widths, hidden, bias)?,
            down: self.projection(at, &[down], &[hidden], width, bias)?,
        })
    }
}
