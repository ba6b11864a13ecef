//! Whole models on the backend.

use super::bounds::{MODEL_OPERAND_ROUNDOFFS, MODEL_ROUNDOFFS, Roundoff, close_f64, oracle};
use super::kit::{Failure, Kit};
use super::tiny::{Tiny, VOCAB, some_tokens};
use crate::backend::{Backend, Target, reference};
use crate::error::Error;
use crate::model::{Batch, Model, Transformer};

/// Texts scored from their second token on, and one token after their last.
fn rolling(texts: &[&[u32]]) -> Result<Batch, Error> {
    let mut batch = Batch::new();
    for text in texts {
        let segment = batch.segment(None, text)?;
        for (offset, &token) in text[1..].iter().chain(&[3]).enumerate() {
            batch.target(segment, offset, token)?;
        }
    }
    Ok(batch)
}

/// A forest with targets in every segment, out of order and repeated.
fn forest_batch() -> Result<Batch, Error> {
    let mut batch = Batch::new();
    // 60 and 11 tokens: the end of a block of 64 keys falls within the question, and its answers
    // start beyond.
    let context = batch.segment(None, &some_tokens(60, 0))?;
    let question = batch.segment(Some(context), &some_tokens(11, 1))?;
    let mut answers = Vec::new();
    for (i, len) in [1, 4, 2].into_iter().enumerate() {
        let answer = batch.segment(Some(question), &some_tokens(len, 2 + i))?;
        answers.push((answer, len));
    }
    let other = batch.segment(None, &some_tokens(5, 9))?;
    let early = batch.segment(Some(context), &some_tokens(2, 10))?;
    // Backwards, because models must return targets in the caller's order and not in that of the
    // rows.
    for &(segment, len) in answers.iter().rev() {
        for offset in 0..len {
            batch.target(segment, offset, (7 * offset + segment) as u32)?;
        }
    }
    for (segment, offset, token) in [
        (context, 0, 1),
        (question, 10, 5),
        (question, 10, 6),
        (other, 4, 52),
        (early, 1, 0),
        (context, 59, 5),
    ] {
        batch.target(segment, offset, token)?;
    }
    Ok(batch)
}

/// The path to one target as a sequence of its own.
fn unshared(batch: &Batch, target: Target) -> Result<Batch, Error> {
    let segments = batch.segments();
    let segment = segments
        .iter()
        .find(|s| (s.start..s.start + s.len).contains(&target.row))
        .ok_or_else(|| Error::batch("a target outside the batch"))?;
    let path = reference::visible(segments, segment, target.row, None);
    let tokens: Vec<u32> = path.iter().map(|&row| batch.tokens()[row]).collect();
    let mut alone = Batch::new();
    let whole = alone.segment(None, &tokens)?;
    alone.target(whole, tokens.len() - 1, target.token)?;
    Ok(alone)
}

/// The same two texts with two answers each: after nothing, and after `prefix`.
fn with_and_without(prefix: &[u32], seed: usize) -> Result<[Batch; 2], Error> {
    let (mut short, mut long) = (Batch::new(), Batch::new());
    let root = long.segment(None, prefix)?;
    for (len, parent) in [(9, None), (50, None), (3, Some(1)), (5, Some(1))] {
        let tokens = some_tokens(len, seed + len);
        let here = short.segment(parent, &tokens)?;
        // Segments of the longer batch are counted after the prefix.
        let there = long.segment(Some(parent.map_or(root, |p| p + 1)), &tokens)?;
        for offset in 0..len {
            let token = (offset * 5 % VOCAB) as u32;
            short.target(here, offset, token)?;
            long.target(there, offset, token)?;
        }
    }
    Ok([short, long])
}

impl<B: Backend> Kit<B> {
    /// Two tiny decoders against the reference in `f64`.
    ///
    /// Bound: 1024 u nats per token, about 50 times the error of `f32` on these models, and 16 r if
    /// operands are rounded further ([`Roundoff`](super::Roundoff)).
    pub fn model(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let batch = forest_batch()?;
            let want = Transformer::load(tiny.path(), oracle())?.log_likelihoods(&batch)?;
            let got = self.load(&tiny)?.log_likelihoods(&batch)?;
            let Roundoff {
                arithmetic,
                operands,
                ..
            } = self.roundoff;
            let bound = MODEL_ROUNDOFFS * arithmetic + MODEL_OPERAND_ROUNDOFFS * operands;
            let bound = vec![bound; want.len()];
            let what = format!("{} against the reference", tiny.name);
            close_f64(what, &got, &want, &bound)?;
        }
        Ok(())
    }

    /// Tokens that follow a target change nothing about it.
    pub fn model_causality(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let tokens = some_tokens(70, 3);
            let score = |tokens: &[u32]| -> Result<Vec<f64>, Error> {
                let mut batch = Batch::new();
                let segment = batch.segment(None, tokens)?;
                for offset in 0..20 {
                    batch.target(segment, offset, 7)?;
                }
                model.log_likelihoods(&batch)
            };
            let before = score(&tokens)?;
            let mut changed = tokens.clone();
            // The same tokens in another order, so that only a model that looks ahead can tell.
            changed[20..].reverse();
            let what = format!("{}: other later tokens", tiny.name);
            self.same(what, &before, &score(&changed)?)?;
            let what = format!("{}: no later tokens", tiny.name);
            self.same(what, &before, &score(&tokens[..20])?)?;
        }
        Ok(())
    }

    /// A sequence gets the same results whatever else is in the batch, and in any order.
    pub fn model_packing(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            // A text of one token, and one longer than a block, between others.
            let texts: Vec<Vec<u32>> = [3, 1, 65, 17, 40]
                .iter()
                .enumerate()
                .map(|(i, &n)| some_tokens(n, i))
                .collect();
            let mut alone = Vec::new();
            for text in &texts {
                alone.push(model.log_likelihoods(&rolling(&[text])?)?);
            }
            for order in [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]] {
                let batch = rolling(&order.map(|i| texts[i].as_slice()))?;
                let want: Vec<f64> = order.iter().flat_map(|&i| alone[i].clone()).collect();
                let what = format!("{}: texts {order:?} in one batch", tiny.name);
                self.same(what, &want, &model.log_likelihoods(&batch)?)?;
            }
        }
        Ok(())
    }

    /// A path of a forest gets the results that it gets as a sequence of its own.
    pub fn model_sharing(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let batch = forest_batch()?;
            let together = model.log_likelihoods(&batch)?;
            for (&target, &together) in batch.targets().iter().zip(&together) {
                let alone = model.log_likelihoods(&unshared(&batch, target)?)?;
                let what = format!("{}: {target:?} alone", tiny.name);
                self.same(what, &[together], &alone)?;
            }
        }
        Ok(())
    }

    /// The tokens after a prefix get the same results when the prefix was computed before.
    pub fn model_prefix(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            // A single token, within a block of keys, and a whole block.
            for len in [1, 17, 64] {
                let prefix = some_tokens(len, 20);
                let after = model.with_prefix(&prefix)?;
                // Two batches: nothing of the first may stay in the kept prefix.
                for seed in [21, 22] {
                    let [short, long] = with_and_without(&prefix, seed)?;
                    let want = model.log_likelihoods(&long)?;
                    let what = format!("{}: after {len} tokens", tiny.name);
                    self.same(what, &want, &after.log_likelihoods(&short)?)?;
                }
            }
        }
        Ok(())
    }

    /// The same call gives the same results, on the same model and on one that is loaded again.
    pub fn model_repeatability(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let (model, again) = (self.load(&tiny)?, self.load(&tiny)?);
            let batch = forest_batch()?;
            let first = model.log_likelihoods(&batch)?;
            // Three more times: a race shows seldom at the first.
            for _ in 0..3 {
                let what = format!("{}: again", tiny.name);
                self.repeated(what, &first, &model.log_likelihoods(&batch)?)?;
            }
            let what = format!("{}: reloaded", tiny.name);
            self.repeated(what, &first, &again.log_likelihoods(&batch)?)?;
        }
        Ok(())
    }

    /// The probabilities of all next tokens sum to 1.
    ///
    /// Bound: 1024 u, as for [`Kit::model`].
    pub fn model_normalisation(&self) -> Result<(), Failure> {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let mut batch = Batch::new();
            let segment = batch.segment(None, &some_tokens(9, 1))?;
            for token in 0..model.vocab_size() as u32 {
                batch.target(segment, 8, token)?;
            }
            let total: f64 = model.log_likelihoods(&batch)?.iter().map(|l| l.exp()).sum();
            let bound = [MODEL_ROUNDOFFS * self.roundoff.arithmetic];
            let what = format!("{}: sum of probabilities", tiny.name);
            close_f64(what, &[total], &[1.0], &bound)?;
        }
        Ok(())
    }

    fn load(&self, tiny: &Tiny) -> Result<Transformer<B>, Error> {
        Transformer::load(tiny.path(), self.backend())
    }
}
