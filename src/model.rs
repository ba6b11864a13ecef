//! What can be scored: a batch of token segments, and the [`Model`] that assigns it probabilities.

use std::fmt;
use std::sync::Arc;

use crate::backend::{Segment, Target};
use crate::error::Error;

mod architecture;
mod config;
mod config_gguf;
mod config_json;
mod memory;
mod transformer;

pub use architecture::Architecture;
pub use config::{
    Config, NormPlacement, Positions, QkNorm, RopeConfig, RopeScaling, SlidingLayers,
};
pub use memory::MemoryEstimate;
pub use transformer::Transformer;

/// A forest of token segments with explicit scoring targets.
///
/// A prefix shared by several continuations stands once and is computed once: a child segment
/// attends to its ancestors and to itself, never to its siblings. Targets name exactly the
/// positions and tokens to score.
///
/// # Examples
/// A context of three tokens with two continuations, ⟨7 8⟩ and ⟨9⟩. The first token of each is
/// read at the context's last row, so that the second needs no segment at all, and the last token
/// of a continuation is never an input:
/// ```
/// use relscale::model::Batch;
///
/// let mut batch = Batch::new();
/// let context = batch.segment(None, &[1, 2, 3])?;
/// let first = batch.segment(Some(context), &[7])?;
/// batch.target(context, 2, 7)?;
/// batch.target(first, 0, 8)?;
/// batch.target(context, 2, 9)?;
/// assert_eq!(batch.tokens().len(), 4);
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    segments: Vec<Segment>,
    targets: Vec<Target>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a run of tokens that continues `parent`, or starts a sequence; returns its index.
    ///
    /// # Errors
    /// No tokens, or a parent that is not there.
    pub fn segment(&mut self, parent: Option<usize>, tokens: &[u32]) -> Result<usize, Error> {
        if tokens.is_empty() {
            return Err(Error::batch("a segment needs at least one token"));
        }
        let position = match parent {
            None => 0,
            Some(p) => {
                let parent = self
                    .segments
                    .get(p)
                    .ok_or_else(|| Error::batch(format!("there is no segment {p} to continue")))?;
                parent.position + parent.len
            }
        };
        self.segments.push(Segment {
            start: self.tokens.len(),
            len: tokens.len(),
            parent,
            position,
        });
        self.tokens.extend_from_slice(tokens);
        Ok(self.segments.len() - 1)
    }

    /// Asks for the log-probability of `token` right after the token at `offset` of `segment`.
    /// Answers come in the order of the calls.
    ///
    /// # Errors
    /// A segment or an offset that is not there.
    pub fn target(&mut self, segment: usize, offset: usize, token: u32) -> Result<(), Error> {
        match self.segments.get(segment) {
            Some(s) if offset < s.len => {
                self.targets.push(Target {
                    row: s.start + offset,
                    token,
                });
                Ok(())
            }
            Some(s) => {
                let len = s.len;
                Err(Error::batch(format!(
                    "offset {offset} in segment {segment} of {len} tokens"
                )))
            }
            None => Err(Error::batch(format!(
                "there is no segment {segment} to score"
            ))),
        }
    }

    /// The tokens of all segments, one after the other.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The targets, in the order they were asked for.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The logical position of every token.
    pub fn positions(&self) -> Vec<u32> {
        let mut positions = Vec::with_capacity(self.tokens.len());
        for segment in &self.segments {
            // A position beyond 2³² is far beyond any context; models refuse it by `depth`.
            positions.extend((0..segment.len).map(|i| (segment.position + i) as u32));
        }
        positions
    }

    /// Number of tokens on the longest path from a root.
    pub fn depth(&self) -> usize {
        self.segments
            .iter()
            .map(|s| s.position + s.len)
            .max()
            .unwrap_or(0)
    }
}

/// Something that assigns probabilities to tokens.
///
/// Implemented by [`Transformer`] on any backend; a remote server or another engine can be a
/// `Model` too.
pub trait Model: Send + Sync {
    /// Number of tokens it knows; ids are below it.
    fn vocab_size(&self) -> usize;

    /// Longest sequence it accepts, in tokens.
    fn context_len(&self) -> usize;

    /// The log-probability of each target given everything before it on its path.
    ///
    /// **Units**: nats, ≤ 0 up to rounding. `f64` so that the sum over a long text and the oracle
    /// lose nothing; a backend that computes in `f32` widens its result.
    ///
    /// # Errors
    /// Tokens outside the vocabulary, sequences beyond the context, or a failing backend.
    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error>;

    /// The model after `prefix`: what continues it in any number of batches is computed without
    /// computing it again. The model that is returned answers a batch as this one answers the same
    /// batch with `prefix` before each of its roots, to the bit where that does not depend on how a
    /// batch is cut, and its context is shorter by the prefix. Nothing of the prefix itself can be
    /// asked for. A [`Transformer`] keeps its keys and values, in every block.
    ///
    /// # Examples
    /// ```no_run
    /// # use relscale::backend::Reference;
    /// use relscale::model::{Batch, Model, Transformer};
    ///
    /// let model = Transformer::load("checkpoint", Reference::<f32>::new())?;
    /// let instructions = model.with_prefix(&[1, 2, 3, 4])?;
    /// for question in [[5, 6], [7, 8]] {
    ///     let mut batch = Batch::new();
    ///     let segment = batch.segment(None, &question)?;
    ///     batch.target(segment, 1, 9)?;
    ///     let nats = instructions.log_likelihoods(&batch)?;
    /// }
    /// # Ok::<(), relscale::Error>(())
    /// ```
    ///
    /// # Errors
    /// No tokens, tokens outside the vocabulary, as many as the context holds, or a failing backend.
    /// A model that keeps nothing, as the provided method says, refuses every prefix.
    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        let _ = prefix;
        Err(Error::batch("this model keeps no prefix"))
    }

    /// Memory that a token of a prefix takes while [`after`](Self::with_prefix) keeps it, as a multiple of
    /// what a token of a batch takes while it is computed; none where the model keeps no prefix.
    /// [`evaluate`](crate::evaluate::log_likelihoods) decides by it when to keep one.
    fn prefix_cost(&self) -> Option<f64> {
        None
    }

    /// Models that give the answers of this one and may be asked side by side; none where it is one
    /// by itself. See [`Replicas`].
    fn replicas(&self) -> &[Box<dyn Model>] {
        &[]
    }
}

/// Implements [`Model`] for pointers to one, so that a model can be borrowed, boxed or shared.
macro_rules! model_behind {
    ($($pointer:ty),*) => {$(
        impl<T: Model + ?Sized> Model for $pointer {
            fn vocab_size(&self) -> usize {
                (**self).vocab_size()
            }

            fn context_len(&self) -> usize {
                (**self).context_len()
            }

            fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
                (**self).log_likelihoods(batch)
            }

            fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
                (**self).with_prefix(prefix)
            }

            fn prefix_cost(&self) -> Option<f64> {
                (**self).prefix_cost()
            }

            fn replicas(&self) -> &[Box<dyn Model>] {
                (**self).replicas()
            }
        }
    )*};
}

model_behind!(&T, Box<T>, Arc<T>);

/// One checkpoint loaded several times (on several GPUs, say) as one model.
///
/// What scores with it ([`evaluate`](crate::evaluate), [`Log::score`](crate::log::Log::score)) gives
/// each replica a batch as soon as it is free. Batches are those that one model would get, and answers
/// are handed on in their order: everything is as with one model, to the bit where the replicas give
/// the same bits. There is no gain unless there are several batches a replica: see
/// [`Options::max_tokens`](crate::evaluate::Options::max_tokens).
///
/// # Examples
/// ```no_run
/// # use relscale::backend::Reference;
/// # struct Cuda;
/// # impl Cuda { fn on_device(_: usize) -> Result<Reference<f32>, relscale::Error> { Ok(Reference::new()) } }
/// use relscale::model::{Model, Replicas, Transformer};
///
/// let mut loaded: Vec<Box<dyn Model>> = Vec::new();
/// for device in 0..4 {
///     loaded.push(Box::new(Transformer::load("checkpoint", Cuda::on_device(device)?)?));
/// }
/// let model = Replicas::new(loaded)?;
/// # Ok::<(), relscale::Error>(())
/// ```
pub struct Replicas(Vec<Box<dyn Model>>);

impl Replicas {
    /// Takes models that give the same answers, which is not checked beyond their sizes.
    ///
    /// # Errors
    /// No model, or models of different vocabularies or contexts.
    pub fn new(models: Vec<Box<dyn Model>>) -> Result<Self, Error> {
        let sizes = |model: &dyn Model| (model.vocab_size(), model.context_len());
        let Some(first) = models.first().map(|model| sizes(&**model)) else {
            return Err(Error::batch("no replica of the model"));
        };
        match models.iter().position(|model| sizes(&**model) != first) {
            None => Ok(Self(models)),
            Some(other) => Err(Error::batch(format!(
                "replica {other} has vocabulary and context {:?}, replica 0 has {first:?}",
                sizes(&*models[other])
            ))),
        }
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replicas({})", self.0.len())
    }
}

impl Model for Replicas {
    fn vocab_size(&self) -> usize {
        self.0[0].vocab_size()
    }

    fn context_len(&self) -> usize {
        self.0[0].context_len()
    }

    /// The answers of the first replica.
    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        self.0[0].with_prefix(prefix)
    }

    fn prefix_cost(&self) -> Option<f64> {
        self.0[0].prefix_cost()
    }

    /// The answers of the first replica.
    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        self.0[0].log_likelihoods(batch)
    }

    fn replicas(&self) -> &[Box<dyn Model>] {
        &self.0
    }
}
