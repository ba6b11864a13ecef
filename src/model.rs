//! Models that assign probabilities to tokens, and the batches they are given.
//!
//! [`Model`] is the seam: everything that scores takes one. [`Transformer`] is the model of this
//! crate, a decoder on any [`Backend`](crate::backend::Backend).

use std::sync::Arc;

use crate::error::Error;

mod architecture;
mod batch;
mod config;
mod config_gguf;
mod config_json;
mod memory;
mod transformer;

pub use architecture::Architecture;
pub use batch::Batch;
pub use config::{
    Config, Experts, NormParameters, NormPlacement, Positions, QkNorm, RopeConfig, RopeScaling,
    SlidingLayers,
};
pub use memory::MemoryEstimate;
pub use transformer::Transformer;

/// An assignment of probabilities to tokens.
///
/// [`Transformer`] implements it on any backend; a remote server or another engine can, too. A
/// borrowed, boxed or shared model is a model.
pub trait Model: Send + Sync {
    /// Number of tokens of the vocabulary; ids are below it.
    fn vocab_size(&self) -> usize;

    /// Number of tokens of the longest sequence that the model accepts.
    fn context_len(&self) -> usize;

    /// The log-probability of each target given everything before it on its path, in the order of
    /// the targets.
    ///
    /// **Units**: nats, ≤ 0 up to rounding.
    ///
    /// The type is `f64` so that neither the sum over a long text nor the oracle loses digits. A
    /// backend that computes in `f32` widens its result.
    ///
    /// # Errors
    /// Tokens outside the vocabulary, sequences beyond the context, or a backend that fails.
    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error>;

    /// The model after `prefix`, which is computed once for any number of batches.
    ///
    /// The returned model answers a batch as this one answers it with `prefix` before each root: to
    /// the bit, if the answers of this one do not depend on how tokens are cut into batches. Its
    /// context is shorter by the prefix, and no target can be within the prefix. [`Transformer`]
    /// keeps the keys and values of every layer. The provided method refuses every prefix.
    ///
    /// # Errors
    /// No tokens, tokens outside the vocabulary, a prefix that fills the context, or a backend that
    /// fails.
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
    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        let _ = prefix;
        Err(Error::batch("this model keeps no prefix"))
    }

    /// Memory of one token of a prefix that [`with_prefix`](Self::with_prefix) keeps, as a multiple
    /// of the memory of one token of a batch. `None` if the model keeps no prefix.
    ///
    /// An [`evaluation`](crate::evaluate) charges a kept prefix to the token budget of its batches
    /// at this rate, and keeps none without it.
    fn prefix_cost(&self) -> Option<f64> {
        None
    }

    /// Number of tokens from which on a larger batch takes no less time per token. `None` if larger batches
    /// are always faster, or if that is not known.
    ///
    /// An [`evaluation`](crate::evaluate) makes batches of about as many tokens, where they share no prefix.
    fn enough_tokens(&self) -> Option<usize> {
        None
    }

    /// Non-fatal findings at load, one sentence each: input that was read otherwise than its files
    /// say, or than other programs read it.
    ///
    /// Whoever reads the numbers should know them.
    /// [`Evaluation::warnings`](crate::evaluate::Evaluation::warnings) collects them, and
    /// [`Log::score`](crate::log::Log::score) records them.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// The device that computes, where results may depend on it
    /// ([`Backend::device`](crate::backend::Backend::device)).
    fn device(&self) -> Option<String> {
        None
    }
}

/// Implements [`Model`] for pointers to one, so that a model can be borrowed, boxed or shared.
macro_rules! model_behind {
    ($($pointer:ty),*) => {$(
        // A method that is provided must be forwarded, too, or the pointer would answer differently.
        #[deny(clippy::missing_trait_methods)]
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

            fn enough_tokens(&self) -> Option<usize> {
                (**self).enough_tokens()
            }

            fn warnings(&self) -> &[String] {
                (**self).warnings()
            }

            fn device(&self) -> Option<String> {
                (**self).device()
            }
        }
    )*};
}

model_behind!(&T, Box<T>, Arc<T>);

#[cfg(test)]
mod tests {
    use super::*;

    /// A model that keeps prefixes, and says how many tokens it has kept.
    struct Counting(usize);

    impl Model for Counting {
        fn vocab_size(&self) -> usize {
            11
        }

        fn context_len(&self) -> usize {
            100 - self.0
        }

        fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
            Ok(vec![-(self.0 as f64); batch.targets().len()])
        }

        fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
            Ok(Box::new(Self(self.0 + prefix.len())))
        }

        fn prefix_cost(&self) -> Option<f64> {
            Some(0.5)
        }

        fn enough_tokens(&self) -> Option<usize> {
            Some(7)
        }

        fn device(&self) -> Option<String> {
            Some("counter".to_owned())
        }
    }

    type Answers = (
        [usize; 2],
        Vec<f64>,
        Option<f64>,
        Option<usize>,
        Option<String>,
    );

    /// Everything a model says, asked through a generic parameter.
    fn answers(model: impl Model) -> Answers {
        let mut batch = Batch::new();
        let segment = batch.segment(None, &[1, 2]).unwrap();
        batch.target(segment, 1, 3).unwrap();
        let after = model.with_prefix(&[4, 5, 6]).unwrap();
        let mut nats = model.log_likelihoods(&batch).unwrap();
        nats.extend(after.log_likelihoods(&batch).unwrap());
        (
            [model.vocab_size(), after.context_len()],
            nats,
            model.prefix_cost(),
            model.enough_tokens(),
            model.device(),
        )
    }

    #[test]
    fn a_model_is_a_model_behind_every_pointer() {
        let device = Some("counter".to_owned());
        let want = ([11, 97], vec![-0.0, -3.0], Some(0.5), Some(7), device);
        let boxed: Box<dyn Model> = Box::new(Counting(0));
        let shared: Arc<dyn Model> = Arc::new(Counting(0));
        assert_eq!(answers(Counting(0)), want);
        assert_eq!(answers(&*boxed), want);
        assert_eq!(answers(&boxed), want);
        assert_eq!(answers(boxed), want);
        assert_eq!(answers(Arc::clone(&shared)), want);
        assert_eq!(answers(Box::new(shared)), want);
    }
}
