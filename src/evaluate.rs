//! Scores a distribution with a model.
//!
//! [`Evaluation`] names the model, the tokenizer and the scorers; [`Evaluation::run`] gives the
//! [`Scores`] of a distribution. Items become token paths, paths become batches, and the answers of
//! the batches become scores.
//!
//! # Agreement with lm-evaluation-harness
//! With [`Bos::First`] and the harness's prefix token, [`truncate`](Evaluation::truncate), and a
//! whole window as stride, log-likelihoods are those of the harness's `hf` model up to rounding
//! (`cli/tests/harness_agreement/`). The differences are deliberate:
//! - **First token of a text.** The harness puts a token before a rolling text whatever the
//!   checkpoint's tokenizer does, and puts it twice if the tokenizer adds it too.
//!   [`Bos::ModelDefault`] does what the tokenizer does.
//! - **Overlap.** Windows may overlap ([`Evaluation::stride`]); only the harness's last window does.
//! - **Tokens across the cut.** A token that spans context and choice is scored with the choice
//!   ([`Tokenizer::encode_pair`]); the harness cuts by number of tokens.
//! - **Bytes of a choice.** [`BitsPerByte`](crate::scorer::BitsPerByte) counts the bytes that the
//!   choice's tokens stand for, including its space. Accuracies per character and per byte leave
//!   that space out, as the harness does.
//! - **Long contexts.** A context that is too long is an error unless
//!   [`truncate`](Evaluation::truncate) is set.

mod collect;
mod forest;
mod origin;
mod packing;
mod replicas;
mod scores;
mod settings;
#[cfg(test)]
mod tests;
mod windows;

use std::fmt;

use crate::distribution::Distribution;
use crate::error::Error;
use crate::model::Model;
use crate::scorer::{Likelihoods, Score, Scorer};
use crate::tokenizer::Tokenizer;
use collect::Pending;
use packing::pack;
use replicas::answers;
use windows::Windows;

pub use scores::{ItemScores, Scores};
pub use settings::{Bos, Settings};

/// Progress of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Input tokens computed so far. A prefix shared within a batch, or cached for several batches,
    /// counts once.
    pub tokens: usize,
    /// Input tokens in total.
    pub total: usize,
}

/// An evaluation of one model, ready to run on any number of distributions.
///
/// Items are computed in the order of their tokens, in batches of at most
/// [`batch_tokens`](Self::batch_tokens), and of fewer where the model has
/// [enough](Model::enough_tokens); a prefix that the paths of a batch share (few-shot examples,
/// a question) is computed once.
///
/// # Prefixes shared by many batches
/// A prefix that fills one batch and continues in the next is cached and computed once for all of
/// them, if the model can keep one ([`Model::with_prefix`]) and the prefix is at least 1/32 of
/// `batch_tokens`. One prefix is cached at a time, by each replica. Its memory counts towards
/// `batch_tokens` ([`Model::prefix_cost`]), so the budget bounds both. A prefix that would leave the
/// batches less than 1/8 of the budget is computed again in every batch.
///
/// # Examples
/// A model that finds every byte equally likely needs 8 bits per byte, and ln 256 nats per token:
/// ```
/// use relscale::distribution::{Content, Item, Items};
/// use relscale::evaluate::Evaluation;
/// use relscale::model::{Batch, Model};
/// use relscale::scorer::{BitsPerByte, NatsPerToken};
/// use relscale::tokenizer::Tokenizer;
///
/// struct Uniform;
///
/// impl Model for Uniform {
///     fn vocab_size(&self) -> usize {
///         256
///     }
///     fn context_len(&self) -> usize {
///         1024
///     }
///     fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, relscale::Error> {
///         Ok(vec![-256f64.ln(); batch.targets().len()])
///     }
/// }
///
/// let item = Item { id: "a".into(), cluster: "a".into(), content: Content::Text("Hello".into()) };
/// let texts = Items::new("texts", vec![item])?;
/// let scores = Evaluation::new(&Uniform)
///     .tokenizer(&Tokenizer::bytes())
///     .scorers(&[&BitsPerByte, &NatsPerToken])
///     .run(&texts)?;
/// assert!((scores.error("bits_per_byte")? - 8.0).abs() < 1e-12);
/// assert!((scores.error("nats_per_token")? - 256f64.ln()).abs() < 1e-12);
/// // Without a beginning-of-sequence token the first byte is not scored.
/// assert_eq!(scores.of("bits_per_byte")?[0].score.weight, 4.0);
/// # Ok::<(), relscale::Error>(())
/// ```
#[must_use]
pub struct Evaluation<'a> {
    /// Copies of one model; at least one.
    models: Vec<&'a dyn Model>,
    tokenizer: Option<&'a Tokenizer>,
    scorers: Vec<&'a dyn Scorer>,
    settings: Settings,
    progress: Box<dyn Fn(Progress) + 'a>,
    stop: Box<dyn Fn() -> bool + 'a>,
}

impl<'a> Evaluation<'a> {
    /// An evaluation of `model` with the default [`Settings`], without tokenizer and scorers.
    pub fn new(model: &'a dyn Model) -> Self {
        Self {
            models: vec![model],
            tokenizer: None,
            scorers: Vec::new(),
            settings: Settings::default(),
            progress: Box::new(|_| {}),
            stop: Box::new(|| false),
        }
    }

    /// Adds copies of the model, loaded on other devices, that compute side by side with it.
    ///
    /// Each copy takes the next batch as soon as it is free. Batches are the same as for one model and
    /// answers are handed on in their order, so the result is the same, to the bit if the copies
    /// give the same bits. Several copies pay off only if there are several batches for each:
    /// see [`batch_tokens`](Self::batch_tokens).
    ///
    /// # Examples
    /// ```no_run
    /// # use relscale::backend::Reference;
    /// # use relscale::distribution::Items;
    /// # struct Cuda;
    /// # impl Cuda { fn on_device(_: usize) -> Result<Reference<f32>, relscale::Error> { Ok(Reference::new()) } }
    /// use relscale::evaluate::Evaluation;
    /// use relscale::model::Transformer;
    ///
    /// let first = Transformer::load("checkpoint", Cuda::on_device(0)?)?;
    /// let second = Transformer::load("checkpoint", Cuda::on_device(1)?)?;
    /// let evaluation = Evaluation::new(&first).replicas([&second]);
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn replicas<M: Model + 'a>(mut self, copies: impl IntoIterator<Item = &'a M>) -> Self {
        let copies = copies.into_iter().map(|copy| copy as &dyn Model);
        self.models.extend(copies);
        self
    }

    /// Sets the tokenizer, which items in text need. Items in token ids do not.
    pub fn tokenizer(mut self, tokenizer: &'a Tokenizer) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// Sets the scorers. Every item is computed once, however many there are.
    pub fn scorers(mut self, scorers: &[&'a dyn Scorer]) -> Self {
        self.scorers = scorers.to_vec();
        self
    }

    /// Calls `progress` after every batch.
    pub fn progress(mut self, progress: impl Fn(Progress) + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Ends the evaluation with [`Error::Interrupted`] once `stop` returns true. `stop` is called on the
    /// calling thread: after every 1,024 tokenised items, before the first batch, and after every batch but
    /// the last. A batch is computed to its end: [`batch_tokens`](Self::batch_tokens) bounds the time until
    /// the evaluation ends.
    ///
    /// Every item that was complete by then has been handed on, and no other: [`for_each`](Self::for_each)
    /// gave it to its sink, a [log](crate::log::Log::score) keeps it, and scoring again goes on from there.
    ///
    /// # Examples
    /// A token that another thread sets to cancel the evaluation:
    /// ```
    /// # use relscale::distribution::{Content, Item, Items};
    /// # use relscale::evaluate::Evaluation;
    /// # use relscale::model::{Batch, Model};
    /// # use relscale::tokenizer::Tokenizer;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// # struct Uniform;
    /// # impl Model for Uniform {
    /// #     fn vocab_size(&self) -> usize { 256 }
    /// #     fn context_len(&self) -> usize { 1024 }
    /// #     fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, relscale::Error> {
    /// #         Ok(vec![-1.0; batch.targets().len()])
    /// #     }
    /// # }
    /// # let item = |id: &str| Item {
    /// #     id: id.into(), cluster: id.into(), content: Content::Text(format!("{id}: hello")),
    /// # };
    /// # let texts = Items::new("texts", vec![item("a"), item("b")])?;
    /// # let (model, tokenizer) = (Uniform, Tokenizer::bytes());
    /// let cancelled = AtomicBool::new(false);
    /// let evaluation = Evaluation::new(&model)
    ///     .tokenizer(&tokenizer)
    ///     .batch_tokens(8)
    ///     .stop_when(|| cancelled.load(Ordering::Relaxed));
    /// let mut done = Vec::new();
    /// let result = evaluation.for_each(&texts, &[0, 1], |_, answer| {
    ///     done.push(answer.id);
    ///     // Here by the same thread, after the first item.
    ///     cancelled.store(true, Ordering::Relaxed);
    ///     Ok(())
    /// });
    /// assert!(matches!(result, Err(relscale::Error::Interrupted)));
    /// assert_eq!(done, ["a"]);
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn stop_when(mut self, stop: impl Fn() -> bool + 'a) -> Self {
        self.stop = Box::new(stop);
        self
    }

    /// Replaces all settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the token budget of one batch ([`Settings::batch_tokens`]).
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.settings.batch_tokens = tokens;
        self
    }

    /// Sets the policy for the beginning-of-sequence token ([`Settings::bos`]).
    pub fn bos(mut self, bos: Bos) -> Self {
        self.settings.bos = bos;
        self
    }

    /// Sets the input tokens per window of a running text ([`Settings::context`]).
    pub fn context(mut self, tokens: usize) -> Self {
        self.settings.context = Some(tokens);
        self
    }

    /// Sets the newly scored tokens per window after the first ([`Settings::stride`]).
    pub fn stride(mut self, tokens: usize) -> Self {
        self.settings.stride = Some(tokens);
        self
    }

    /// If true, truncates contexts that are too long ([`Settings::truncate`]).
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.settings.truncate = truncate;
        self
    }

    /// Scores every item of a distribution with every scorer.
    ///
    /// # Errors
    /// No scorer; whatever [`log_likelihoods`](Self::log_likelihoods) or a scorer refuses.
    pub fn run(&self, distribution: &dyn Distribution) -> Result<Scores, Error> {
        if self.scorers.is_empty() {
            return Err(Error::Option {
                option: "scorers",
                message: "none is set".to_owned(),
            });
        }
        let items = self.each_in_order(distribution, |answer| {
            Ok(ItemScores {
                scores: self.score(&answer)?,
                id: answer.id,
                cluster: answer.cluster,
                warnings: answer.warnings,
            })
        })?;
        let names = self.scorers.iter().map(|scorer| scorer.name().to_owned());
        Ok(Scores::new(names.collect(), items))
    }

    /// The log-likelihoods of every item of a distribution, in its order. Scorers are not used.
    ///
    /// # Errors
    /// An item, by id, that is in text without a tokenizer, that has no token to score, or whose
    /// context and choice exceed the model's context; a setting outside its range; replicas of
    /// other sizes than the model; whatever the model returns; [`Error::Interrupted`] if
    /// [`stop_when`](Self::stop_when) says so.
    pub fn log_likelihoods(
        &self,
        distribution: &dyn Distribution,
    ) -> Result<Vec<Likelihoods>, Error> {
        self.each_in_order(distribution, Ok)
    }

    /// Hands the log-likelihoods of the items at `indices` to `sink`, each as soon as the batch that
    /// completes it is computed.
    ///
    /// The order is that of computing: the same for every call with the same arguments, and for any
    /// number of replicas. An error of `sink` ends the evaluation and is returned. Progress is
    /// reported after the sinks of a batch.
    ///
    /// # Errors
    /// As [`log_likelihoods`](Self::log_likelihoods), and whatever `sink` returns. All items are
    /// prepared, and refused if they must be, before anything is computed.
    pub fn for_each(
        &self,
        distribution: &dyn Distribution,
        indices: &[usize],
        mut sink: impl FnMut(usize, Likelihoods) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Before texts are tokenised, which takes longer than any check.
        replicas::check(&self.models)?;
        let model = self.models[0];
        let batch_tokens = self.settings.batch_tokens;
        let windows = Windows::new(model, self.tokenizer, &self.settings)?;
        let (mut pending, groups) = Pending::prepare(
            &windows,
            self.tokenizer,
            distribution,
            indices,
            batch_tokens,
            &self.stop,
        )?;
        let batches = pack(
            &groups,
            batch_tokens,
            model.prefix_cost(),
            model.enough_tokens(),
        );
        // In tokens and not in items, because time goes with tokens: items of one benchmark differ
        // a hundredfold in length.
        let total = batches.iter().map(|batch| batch.cost).sum();
        let mut tokens = 0;
        if !batches.is_empty() && (self.stop)() {
            return Err(Error::Interrupted);
        }
        answers(&self.models, &batches, &mut |batch, answer| {
            pending.fill(batch, answer, &mut sink)?;
            // After the sink, so that progress never counts what is not recorded.
            tokens += batch.cost;
            (self.progress)(Progress { tokens, total });
            // Nothing is left to be stopped after the last batch.
            if tokens < total && (self.stop)() {
                return Err(Error::Interrupted);
            }
            Ok(())
        })
    }

    /// The result of `finish` for every item, in the distribution's order.
    fn each_in_order<T>(
        &self,
        distribution: &dyn Distribution,
        finish: impl Fn(Likelihoods) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let indices: Vec<usize> = (0..distribution.len()).collect();
        let mut results: Vec<Option<T>> = indices.iter().map(|_| None).collect();
        self.for_each(distribution, &indices, |index, answer| {
            results[index] = Some(finish(answer)?);
            Ok(())
        })?;
        // Every index was handed to the sink: nothing is lost here.
        Ok(results.into_iter().flatten().collect())
    }

    /// One score per scorer.
    pub(crate) fn score(&self, answer: &Likelihoods) -> Result<Vec<Score>, Error> {
        self.scorers.iter().map(|s| s.score(answer)).collect()
    }

    /// The scorers, the settings, and whether the tokenizer parses special tokens: what a log
    /// compares with its key.
    pub(crate) fn identity(&self) -> (&[&'a dyn Scorer], &Settings, bool) {
        let parses = self.tokenizer.is_some_and(Tokenizer::parses_special_tokens);
        (&self.scorers, &self.settings, parses)
    }
}

impl fmt::Debug for Evaluation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scorers: Vec<&str> = self.scorers.iter().map(|scorer| scorer.name()).collect();
        f.debug_struct("Evaluation")
            .field("models", &self.models.len())
            .field("scorers", &scorers)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
