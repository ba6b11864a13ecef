//! The decoder: loads a checkpoint onto a backend. Its forward pass is in `forward`.

use std::path::Path;

use crate::backend::{Backend, HostTensor, NormKind, Role, Tensor};
use crate::checkpoint::Weights;
use crate::error::Error;
use crate::model::architecture::Names;
use crate::model::config::{Config, NormPlacement, Positions, QkNorm};
use crate::model::gguf;

mod forward;

/// A decoder-only transformer on a backend.
///
/// # Examples
/// ```no_run
/// use relscale::backend::Reference;
/// use relscale::model::{Batch, Model, Transformer};
///
/// let model = Transformer::load("checkpoint", Reference::<f64>::new())?;
/// let mut batch = Batch::new();
/// let segment = batch.segment(None, &[1, 274])?;
/// batch.target(segment, 0, 274)?;
/// batch.target(segment, 1, 287)?;
/// let nats: Vec<f64> = model.log_likelihoods(&batch)?;
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug)]
pub struct Transformer<B: Backend> {
    backend: B,
    config: Config,
    /// Rotary frequencies of layers that see everything and of those that a window confines; none
    /// where positions are learned.
    frequencies: Option<[Vec<f64>; 2]>,
    embedding: B::Buffer,
    /// Table of learned positions.
    positions: Option<B::Buffer>,
    layers: Vec<Layer<B::Buffer>>,
    norm: NormWeights<B::Buffer>,
    /// The LM head; absent when it is the embedding table.
    head: Option<B::Buffer>,
}

/// Weights of one block.
#[derive(Debug)]
struct Layer<T> {
    before_attention: Option<NormWeights<T>>,
    /// Queries, keys and values in one matrix.
    qkv: Projection<T>,
    /// Norms of queries and keys.
    qk_norm: Option<[NormWeights<T>; 2]>,
    output: Projection<T>,
    after_attention: Option<NormWeights<T>>,
    before_mlp: Option<NormWeights<T>>,
    /// Gate and up projection in one matrix, or up alone.
    gate_up: Projection<T>,
    down: Projection<T>,
    after_mlp: Option<NormWeights<T>>,
}

/// Weights of a norm.
#[derive(Debug)]
struct NormWeights<T> {
    weight: T,
    bias: Option<T>,
    /// Elements normalised together.
    width: usize,
}

/// A matrix and its bias.
#[derive(Debug)]
struct Projection<T> {
    weight: T,
    bias: Option<T>,
    inputs: usize,
    outputs: usize,
}

impl<B: Backend> Transformer<B> {
    /// Loads a checkpoint folder in the Hugging Face layout (`config.json` and safetensors), or a GGUF
    /// file: `path` itself, or the only one in a folder without safetensors.
    ///
    /// Tensors are read one after the other; beside the backend's copy at most one projection
    /// of a block stands in host memory, twice for a moment where the file orders it in another
    /// way. [`Self::memory_estimate`] says beforehand what it takes,
    /// [`Self::load_with_memory_limit`] refuses what takes too much.
    ///
    /// # Errors
    /// Anything unsupported in `config.json` or the metadata, and any tensor that is missing, of the wrong shape,
    /// not finite, or not part of the architecture: each by file and name.
    pub fn load(path: impl AsRef<Path>, backend: B) -> Result<Self, Error> {
        // The weights first: they know files that cannot be read at all.
        let weights = Weights::open(&path)?;
        let config = Config::load(&path)?;
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
            Positions::Rotary { .. } => None,
            Positions::Learned => {
                let name = format!("{prefix}{}", names.positions);
                Some(loader.table(&name, config.max_position_embeddings)?)
            }
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
        let frequencies = loader.frequencies()?;
        loader.weights.finish(config.architecture.name())?;
        Ok(Self {
            backend,
            config,
            frequencies,
            embedding,
            positions,
            layers,
            norm,
            head,
        })
    }

    /// What `config.json` or the metadata says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The backend it runs on.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// Where the tensors are, and what their names begin with.
pub(super) fn names(weights: &Weights, config: &Config) -> (&'static Names, &'static str) {
    let names = if weights.is_gguf() {
        gguf::names(config.architecture)
    } else {
        config.architecture.names()
    };
    let there = |p: &&&str| weights.contains(&format!("{p}{}.weight", names.embedding));
    let prefix = names.prefixes.iter().find(there);
    (names, prefix.unwrap_or(&names.prefixes[0]))
}

/// Reads tensors and hands them to the backend.
struct Loader<'a, B: Backend> {
    weights: Weights,
    backend: &'a B,
    config: &'a Config,
    names: &'static Names,
    prefix: &'static str,
}

impl<B: Backend> Loader<'_, B> {
    fn upload(
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

    /// Rotary frequencies of layers that see everything and of those that a window confines.
    fn frequencies(&mut self) -> Result<Option<[Vec<f64>; 2]>, Error> {
        let dim = self.config.head_dim;
        let Positions::Rotary { full, sliding } = self.config.positions else {
            return Ok(None);
        };
        let mut all = [full, sliding].map(|rope| rope.frequencies(dim));
        if self.weights.is_gguf() && self.weights.contains(gguf::ROPE_DIVISORS) {
            // How GGUF stores the scaling rule of Llama 3.
            let divisors = self.weights.tensor(gguf::ROPE_DIVISORS, &[all[0].len()])?;
            for (i, divisor) in divisors.values().to_f32().into_iter().enumerate() {
                if divisor <= 0.0 {
                    let message = format!("divisor {divisor} of frequency {i} is not positive");
                    return Err(self.weights.error(gguf::ROPE_DIVISORS, message));
                }
                all.iter_mut().for_each(|f| f[i] /= f64::from(divisor));
            }
        }
        Ok(Some(all))
    }

    /// A table of `rows` hidden states.
    fn table(&mut self, name: &str, rows: usize) -> Result<B::Buffer, Error> {
        let cols = self.config.hidden_size;
        let (name, shape, weights) = (format!("{name}.weight"), [rows, cols], &mut self.weights);
        self.backend.upload_rows(shape, Role::Matrix, &mut |rows| {
            weights.rows(&name, shape, rows)
        })
    }

    fn norm(&mut self, name: String, width: usize) -> Result<NormWeights<B::Buffer>, Error> {
        let mut host = self.weights.tensor(&format!("{name}.weight"), &[width])?;
        if self.names.norms_less_one {
            host = host.plus_one();
        }
        let weight = self.upload(&host, 1, width, Role::Dense)?;
        let bias = match self.config.norm {
            NormKind::Rms => None,
            NormKind::Layer => {
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

    /// `[outputs, inputs]` matrices as one, their outputs one after the other. `names` are those
    /// of the parts, or the one of all; `outputs` their numbers of outputs.
    fn projection(
        &mut self,
        at: &str,
        names: &[&str],
        outputs: &[usize],
        inputs: usize,
        bias: bool,
    ) -> Result<Projection<B::Buffer>, Error> {
        let whole = outputs.iter().sum();
        let outputs = if names.len() == 1 { &[whole] } else { outputs };
        let mut weight: Option<HostTensor> = None;
        let mut biases: Option<HostTensor> = None;
        for (part, (name, &outputs)) in names.iter().zip(outputs).enumerate() {
            // Queries and keys, not values.
            let alternate = self.names.halves_alternate && names == self.names.qkv && part < 2;
            let dim = self.config.head_dim;
            let name = format!("{at}{name}");
            let weight_name = format!("{name}.weight");
            let part = if self.names.transposed {
                self.weights
                    .tensor(&weight_name, &[inputs, outputs])?
                    .transposed(outputs)
            } else {
                self.weights.tensor(&weight_name, &[outputs, inputs])?
            };
            let ordered = |part: HostTensor, cols| {
                if alternate {
                    part.halves_first(dim, cols)
                } else {
                    part
                }
            };
            extend(&mut weight, ordered(part, inputs));
            if bias {
                let part = self.weights.tensor(&format!("{name}.bias"), &[outputs])?;
                extend(&mut biases, ordered(part, 1));
            }
        }
        let mut weight = weight.ok_or_else(|| Error::batch("a projection without parts"))?;
        if self.names.head_by_head && names == self.names.qkv {
            let (heads, dim) = (self.config.num_attention_heads, self.config.head_dim);
            weight = weight.parts_first(heads, 3, dim * inputs);
            biases = biases.map(|b| b.parts_first(heads, 3, dim));
        }
        Ok(Projection {
            weight: self.upload(&weight, whole, inputs, Role::Matrix)?,
            bias: biases
                .map(|b| self.upload(&b, 1, whole, Role::Dense))
                .transpose()?,
            inputs,
            outputs: whole,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer<B::Buffer>, Error> {
        let (config, names) = (self.config, self.names);
        let (hidden, dim, mlp) = (
            config.hidden_size,
            config.head_dim,
            config.intermediate_size,
        );
        let (q, kv) = (
            config.num_attention_heads * dim,
            config.num_key_value_heads * dim,
        );
        let at = &format!("{}{}.{index}.", self.prefix, names.layer);
        // Written by old versions; derived from the configuration, not read.
        for name in names.derived {
            self.weights.ignore(&format!("{at}{name}"));
        }
        for name in names.masks {
            self.weights.ignore_mask(&format!("{at}{name}"));
        }
        let before = config.norm_placement != NormPlacement::After;
        let after = config.norm_placement != NormPlacement::Before;
        let mut norm = |there: bool, name: &str, width: usize| {
            there
                .then(|| self.norm(format!("{at}{name}"), width))
                .transpose()
        };
        let before_attention = norm(before, names.before_attention, hidden)?;
        let after_attention = norm(after, names.after_attention, hidden)?;
        let before_mlp = norm(before, names.before_mlp, hidden)?;
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
        let gate_up: &[usize] = if config.gated_mlp {
            &[mlp, mlp]
        } else {
            &[mlp]
        };
        Ok(Layer {
            before_attention,
            qkv: self.projection(at, names.qkv, &[q, kv, kv], hidden, config.qkv_bias)?,
            qk_norm,
            output: self.projection(at, &[names.output], &[hidden], q, config.output_bias)?,
            after_attention,
            before_mlp,
            gate_up: self.projection(at, names.gate_up, gate_up, hidden, config.mlp_bias)?,
            down: self.projection(at, &[names.down], &[hidden], mlp, config.mlp_bias)?,
            after_mlp,
        })
    }
}

fn extend(whole: &mut Option<HostTensor>, part: HostTensor) {
    match whole {
        None => *whole = Some(part),
        Some(whole) => whole.append(part),
    }
}
