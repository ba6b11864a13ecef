//! The decoder, in three parts: its weights onto a backend (`load`), a batch through it (`forward`),
//! and a prefix that many batches share (`prefix`).

use crate::backend::Backend;
use crate::checkpoint::{Checkpoint, Weights};
use crate::error::Error;
use crate::model::{Batch, Config, Model, memory};

mod attention;
mod experts;
mod forward;
mod load;
mod prefix;
mod projection;

use experts::Mixture;
use forward::Pass;
pub(super) use load::{names, untie};
use prefix::AfterPrefix;

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
    /// Rotations of layers with full attention and of those with a window; `None` if nothing is
    /// rotated.
    rotations: Option<[Rotation; 2]>,
    embedding: B::Buffer,
    embedding_norm: Option<NormWeights<B::Buffer>>,
    /// Slope of the linear bias of each query head.
    slopes: Option<Vec<f64>>,
    /// Table of learned positions.
    positions: Option<B::Buffer>,
    layers: Vec<Layer<B::Buffer>>,
    norm: NormWeights<B::Buffer>,
    /// The LM head; `None` if it is the embedding table.
    head: Option<B::Buffer>,
    head_bias: Option<B::Buffer>,
    /// Non-fatal findings at load.
    warnings: Vec<String>,
}

/// A rotary embedding as it is computed.
#[derive(Debug)]
struct Rotation {
    /// Angular frequency of each rotated pair.
    frequencies: Vec<f64>,
    /// Factor on cosine and sine.
    scale: f64,
}

/// Weights of one layer.
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
    mlp: Mlp<T>,
    after_mlp: Option<NormWeights<T>>,
}

/// Weights of what follows attention in a layer.
#[derive(Debug)]
enum Mlp<T> {
    Dense(Block<T>),
    Experts(Mixture<T>),
}

/// Weights of one MLP.
#[derive(Debug)]
struct Block<T> {
    /// Gate and up projection in one matrix; up alone without a gate.
    gate_up: Projection<T>,
    down: Projection<T>,
}

/// Weights of a norm.
#[derive(Debug)]
struct NormWeights<T> {
    weight: T,
    bias: Option<T>,
    /// Number of elements normalised together.
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
    /// Loads a checkpoint folder in the Hugging Face layout (`config.json` and safetensors or PyTorch
    /// files), a GGUF file, or a LoRA adapter on its base (see [`Checkpoint`]).
    ///
    /// Tensors are read one after the other. Beside the backend's copy, host memory holds at most one
    /// projection of a layer, for a moment twice if the file orders its elements otherwise.
    /// [`Self::memory_estimate`] returns the memory of the loaded checkpoint, and
    /// [`Self::load_with_memory_limit`] refuses checkpoints beyond a limit.
    ///
    /// # Errors
    /// A field of `config.json` or a key of the metadata that is not supported; a tensor that is
    /// missing, has another shape, is not finite or is not part of the architecture; a backend
    /// without memory for a tensor.
    pub fn load(checkpoint: impl Into<Checkpoint>, backend: B) -> Result<Self, Error> {
        let checkpoint = checkpoint.into();
        // The weights first: their error says what is there instead of a checkpoint, where the
        // configuration would only be missing.
        let weights = Weights::open(&checkpoint)?;
        let config = Config::load(checkpoint)?;
        load::load(backend, config, weights)
    }

    /// The configuration of the checkpoint.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The backend of the model.
    pub fn backend(&self) -> &B {
        &self.backend
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
        self.check(batch, 0)?;
        self.score(batch.targets(), &Pass::of(batch))
    }

    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        Ok(Box::new(AfterPrefix::new(self, prefix)?))
    }

    fn prefix_cost(&self) -> Option<f64> {
        Some(memory::prefix_cost(&self.backend, &self.config))
    }

    fn enough_tokens(&self) -> Option<usize> {
        match self.config.experts {
            None => self.backend.enough_tokens(),
            // Each expert computes a part of a batch, and its weights are read for it.
            Some(_) => None,
        }
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn device(&self) -> Option<String> {
        self.backend.device()
    }
}
