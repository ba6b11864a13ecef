//! The decoder: loads a checkpoint onto a backend and runs its forward pass over a batch.

use std::path::Path;

use crate::backend::{
    Activation, Attention, Backend, Columns, Embed, Linear, LogProb, Norm, NormKind, Role, Rope,
    Target, Tensor,
};
use crate::checkpoint::{HostTensor, Weights};
use crate::error::Error;
use crate::model::config::Config;
use crate::model::{Batch, Model};

/// A decoder-only transformer on a backend.
///
/// # Examples
/// ```no_run
/// use relscale::backend::reference::Reference;
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
    frequencies: Vec<f64>,
    embedding: B::Buffer,
    layers: Vec<Layer<B::Buffer>>,
    norm: B::Buffer,
    /// The LM head; absent when it is the embedding table.
    head: Option<B::Buffer>,
}

/// Weights of one block.
#[derive(Debug)]
struct Layer<T> {
    attention_norm: T,
    /// Queries, keys and values in one matrix.
    qkv: Projection<T>,
    /// Weights of the norms of queries and keys.
    qk_norm: Option<(T, T)>,
    output: Projection<T>,
    mlp_norm: T,
    /// Gate and up projection in one matrix.
    gate_up: Projection<T>,
    down: Projection<T>,
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
    /// Loads a checkpoint folder in the Hugging Face layout (`config.json` and safetensors).
    ///
    /// Tensors are read one after the other; beside the backend's copy at most one projection
    /// stands in host memory.
    ///
    /// # Errors
    /// Anything unsupported in `config.json`, and any tensor that is missing, of the wrong shape,
    /// not finite, or not part of the architecture: each by file and name.
    pub fn load(dir: impl AsRef<Path>, backend: B) -> Result<Self, Error> {
        let config = Config::load(&dir)?;
        let mut loader = Loader { weights: Weights::open(&dir)?, backend: &backend };
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let embedding = loader.matrix("model.embed_tokens.weight", vocab, hidden)?;
        let mut layers = Vec::new();
        for index in 0..config.num_hidden_layers {
            layers.push(loader.layer(&config, index)?);
        }
        let norm = loader.vector("model.norm.weight", hidden)?;
        let head = if config.tie_word_embeddings {
            // Some writers store the tied copy as well.
            loader.weights.ignore("lm_head.weight");
            None
        } else {
            Some(loader.matrix("lm_head.weight", vocab, hidden)?)
        };
        loader.weights.finish(config.architecture.name())?;
        let frequencies = config.rope.frequencies(config.head_dim);
        Ok(Self { backend, config, frequencies, embedding, layers, norm, head })
    }

    /// What `config.json` says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The backend it runs on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn check(&self, batch: &Batch) -> Result<(), Error> {
        let (depth, limit) = (batch.depth(), self.config.max_position_embeddings);
        if depth > limit {
            return Err(Error::batch(format!("{depth} tokens exceed the context of {limit}")));
        }
        let vocab = self.config.vocab_size;
        let targets = batch.targets().iter().map(|t| t.token);
        match batch.tokens().iter().copied().chain(targets).find(|&t| t as usize >= vocab) {
            Some(t) => Err(Error::batch(format!("token {t} is outside the vocabulary of {vocab}"))),
            None => Ok(()),
        }
    }

    fn norm(&self, x: &B::Buffer, rows: usize, weight: &B::Buffer) -> Result<B::Buffer, Error> {
        let width = self.config.hidden_size;
        self.backend.norm(Columns::all(x, rows, width), &self.rms(width, weight))
    }

    fn rms<'a>(&self, width: usize, weight: &'a B::Buffer) -> Norm<'a, B::Buffer> {
        Norm { kind: NormKind::Rms, epsilon: self.config.rms_norm_eps, width, weight, bias: None }
    }

    fn project(
        &self,
        x: &B::Buffer,
        rows: usize,
        to: &Projection<B::Buffer>,
    ) -> Result<B::Buffer, Error> {
        let op = Linear {
            weight: &to.weight,
            bias: to.bias.as_ref(),
            inputs: to.inputs,
            outputs: to.outputs,
        };
        self.backend.linear(Columns::all(x, rows, to.inputs), &op)
    }

    /// Self-attention of a block before its output projection.
    fn attend(
        &self,
        layer: &Layer<B::Buffer>,
        x: &B::Buffer,
        batch: &Batch,
        positions: &[u32],
    ) -> Result<B::Buffer, Error> {
        let (config, backend, rows) = (&self.config, &self.backend, positions.len());
        let dim = config.head_dim;
        let (q_width, kv_width) =
            (config.num_attention_heads * dim, config.num_key_value_heads * dim);
        let qkv = self.project(x, rows, &layer.qkv)?;
        let stride = layer.qkv.outputs;
        let q = Columns::block(&qkv, rows, stride, 0, q_width);
        let k = Columns::block(&qkv, rows, stride, q_width, kv_width);
        let v = Columns::block(&qkv, rows, stride, q_width + kv_width, kv_width);
        let rope = Rope { positions, head_dim: dim, frequencies: &self.frequencies, scale: 1.0 };
        let (q, k) = match &layer.qk_norm {
            None => (backend.rope(q, &rope)?, backend.rope(k, &rope)?),
            Some((q_weight, k_weight)) => {
                let q = backend.norm(q, &self.rms(dim, q_weight))?;
                let k = backend.norm(k, &self.rms(dim, k_weight))?;
                (
                    backend.rope(Columns::all(&q, rows, q_width), &rope)?,
                    backend.rope(Columns::all(&k, rows, kv_width), &rope)?,
                )
            }
        };
        let op = Attention {
            segments: batch.segments(),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: dim,
            scale: 1.0 / (dim as f64).sqrt(),
            window: None,
            soft_cap: None,
        };
        backend.attention(Columns::all(&q, rows, q_width), Columns::all(&k, rows, kv_width), v, &op)
    }

    fn mlp(
        &self,
        layer: &Layer<B::Buffer>,
        x: &B::Buffer,
        rows: usize,
    ) -> Result<B::Buffer, Error> {
        let width = self.config.intermediate_size;
        let gate_up = self.project(x, rows, &layer.gate_up)?;
        let hidden = self.backend.activate(
            Columns::block(&gate_up, rows, 2 * width, 0, width),
            Some(Columns::block(&gate_up, rows, 2 * width, width, width)),
            Activation::Silu,
        )?;
        self.project(&hidden, rows, &layer.down)
    }
}

impl<B: Backend> Model for Transformer<B> {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_len(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        self.check(batch)?;
        if batch.targets().is_empty() {
            return Ok(Vec::new());
        }
        let (backend, width) = (&self.backend, self.config.hidden_size);
        let positions = batch.positions();
        let scored = Scored::new(batch.targets());
        let mut rows = positions.len();
        let mut x = backend.embed(
            &self.embedding,
            &Embed { tokens: batch.tokens(), vocab: self.config.vocab_size, width, scale: 1.0 },
        )?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = self.norm(&x, rows, &layer.attention_norm)?;
            let mut attended = self.attend(layer, &normed, batch, &positions)?;
            drop(normed);
            // After the last attention nothing but the scored rows is needed.
            if index + 1 == self.layers.len() && scored.rows.len() < rows {
                let heads = layer.output.inputs;
                attended = backend.gather(Columns::all(&attended, rows, heads), &scored.rows)?;
                x = backend.gather(Columns::all(&x, rows, width), &scored.rows)?;
                rows = scored.rows.len();
            }
            x = backend.add(x, &self.project(&attended, rows, &layer.output)?)?;
            drop(attended);
            let normed = self.norm(&x, rows, &layer.mlp_norm)?;
            x = backend.add(x, &self.mlp(layer, &normed, rows)?)?;
        }
        let x = self.norm(&x, rows, &self.norm)?;
        let op = LogProb {
            weight: self.head.as_ref().unwrap_or(&self.embedding),
            bias: None,
            inputs: width,
            vocab: self.config.vocab_size,
            soft_cap: None,
            targets: &scored.targets,
        };
        Ok(scored.restore(backend.log_prob(Columns::all(&x, rows, width), &op)?))
    }
}

/// Targets ordered by row, over the scored rows only, and the way back to the order asked for.
struct Scored {
    /// Rows of the batch that are scored, rising.
    rows: Vec<usize>,
    /// Targets in terms of `rows`, rising.
    targets: Vec<Target>,
    /// `targets[i]` was asked for as number `order[i]`.
    order: Vec<usize>,
}

impl Scored {
    fn new(asked: &[Target]) -> Self {
        let mut order: Vec<usize> = (0..asked.len()).collect();
        order.sort_by_key(|&i| asked[i].row);
        let mut rows: Vec<usize> = order.iter().map(|&i| asked[i].row).collect();
        rows.dedup();
        let mut targets = Vec::with_capacity(asked.len());
        let mut at = 0;
        for &i in &order {
            while rows[at] != asked[i].row {
                at += 1;
            }
            targets.push(Target { row: at, token: asked[i].token });
        }
        Self { rows, targets, order }
    }

    fn restore(&self, values: Vec<f64>) -> Vec<f64> {
        let mut out = vec![0.0; values.len()];
        for (&i, value) in self.order.iter().zip(values) {
            out[i] = value;
        }
        out
    }
}

/// Reads tensors and hands them to the backend.
struct Loader<'a, B: Backend> {
    weights: Weights,
    backend: &'a B,
}

impl<B: Backend> Loader<'_, B> {
    fn upload(
        &self,
        host: &HostTensor,
        rows: usize,
        cols: usize,
        role: Role,
    ) -> Result<B::Buffer, Error> {
        self.backend.upload(&Tensor { values: host.values(), rows, cols, role })
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<B::Buffer, Error> {
        let host = self.weights.tensor(name, &[rows, cols])?;
        self.upload(&host, rows, cols, Role::Matrix)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<B::Buffer, Error> {
        let host = self.weights.tensor(name, &[len])?;
        self.upload(&host, 1, len, Role::Dense)
    }

    /// Several `[outputs, inputs]` matrices as one, their outputs one after the other.
    fn projection(
        &mut self,
        parts: &[(String, usize)],
        inputs: usize,
        bias: bool,
    ) -> Result<Projection<B::Buffer>, Error> {
        let outputs = parts.iter().map(|(_, n)| n).sum();
        let mut weight: Option<HostTensor> = None;
        let mut biases: Option<HostTensor> = None;
        for (name, outputs) in parts {
            let part = self.weights.tensor(&format!("{name}.weight"), &[*outputs, inputs])?;
            extend(&mut weight, part);
            if bias {
                let part = self.weights.tensor(&format!("{name}.bias"), &[*outputs])?;
                extend(&mut biases, part);
            }
        }
        let weight = weight.ok_or_else(|| Error::batch("a projection without parts"))?;
        Ok(Projection {
            weight: self.upload(&weight, outputs, inputs, Role::Matrix)?,
            bias: biases.map(|b| self.upload(&b, 1, outputs, Role::Dense)).transpose()?,
            inputs,
            outputs,
        })
    }

    fn layer(&mut self, config: &Config, index: usize) -> Result<Layer<B::Buffer>, Error> {
        let (hidden, dim, mlp) = (config.hidden_size, config.head_dim, config.intermediate_size);
        let (q, kv) = (config.num_attention_heads * dim, config.num_key_value_heads * dim);
        let name = |part: &str| format!("model.layers.{index}.{part}");
        // Written by old versions; derived from the configuration, not read.
        self.weights.ignore(&name("self_attn.rotary_emb.inv_freq"));
        let bias = config.attention_bias;
        Ok(Layer {
            attention_norm: self.vector(&name("input_layernorm.weight"), hidden)?,
            qkv: self.projection(
                &[
                    (name("self_attn.q_proj"), q),
                    (name("self_attn.k_proj"), kv),
                    (name("self_attn.v_proj"), kv),
                ],
                hidden,
                bias,
            )?,
            qk_norm: if config.architecture.qk_norm() {
                Some((
                    self.vector(&name("self_attn.q_norm.weight"), dim)?,
                    self.vector(&name("self_attn.k_norm.weight"), dim)?,
                ))
            } else {
                None
            },
            output: self.projection(&[(name("self_attn.o_proj"), hidden)], q, bias)?,
            mlp_norm: self.vector(&name("post_attention_layernorm.weight"), hidden)?,
            gate_up: self.projection(
                &[(name("mlp.gate_proj"), mlp), (name("mlp.up_proj"), mlp)],
                hidden,
                config.mlp_bias,
            )?,
            down: self.projection(&[(name("mlp.down_proj"), hidden)], mlp, config.mlp_bias)?,
        })
    }
}

fn extend(whole: &mut Option<HostTensor>, part: HostTensor) {
    match whole {
        None => *whole = Some(part),
        Some(whole) => whole.append(part),
    }
}
