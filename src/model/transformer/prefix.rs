//! A prefix that many batches share, computed once.

use std::borrow::Cow;

use super::Transformer;
use super::forward::{KeysValues, Pass, at_layer};
use crate::backend::{Backend, Segment};
use crate::error::Error;
use crate::model::{Batch, Model};

/// A transformer after a prefix, whose keys and values it keeps.
pub(super) struct AfterPrefix<'a, B: Backend> {
    model: &'a Transformer<B>,
    /// Number of tokens of the prefix.
    past: usize,
    kept: Vec<KeysValues<B::Buffer>>,
}

impl<'a, B: Backend> AfterPrefix<'a, B> {
    /// Computes the prefix.
    pub(super) fn new(model: &'a Transformer<B>, prefix: &[u32]) -> Result<Self, Error> {
        let (len, limit) = (prefix.len(), model.context_len());
        // A prefix that fills the context leaves no token to score.
        if len == 0 || len >= limit {
            return Err(Error::batch(format!(
                "a prefix of {len} tokens in a context of {limit}"
            )));
        }
        model.check_tokens(prefix.iter().copied())?;
        Ok(Self {
            model,
            past: len,
            kept: model.keep(prefix)?,
        })
    }
}

impl<B: Backend> Model for AfterPrefix<'_, B> {
    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn context_len(&self) -> usize {
        self.model.context_len() - self.past
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        let past = self.past;
        self.model.check(batch, past)?;
        // The prefix is a segment before all others, which every root continues.
        let mut segments = vec![Segment {
            start: 0,
            len: past,
            parent: None,
            position: 0,
        }];
        segments.extend(batch.segments().iter().map(|s| Segment {
            start: s.start + past,
            parent: Some(s.parent.map_or(0, |parent| parent + 1)),
            position: s.position + past,
            ..*s
        }));
        let positions = batch.positions().into_iter().map(|p| p + past as u32);
        let pass = Pass {
            tokens: batch.tokens(),
            positions: positions.collect(),
            segments: Cow::Owned(segments),
            past,
            kept: &self.kept,
        };
        self.model.score(batch.targets(), &pass)
    }

    fn device(&self) -> Option<String> {
        self.model.device()
    }
}

impl<B: Backend> Transformer<B> {
    /// Computes the keys and values of every layer for a sequence from position 0 on.
    fn keep(&self, tokens: &[u32]) -> Result<Vec<KeysValues<B::Buffer>>, Error> {
        let rows = tokens.len();
        let mut whole = Batch::new();
        whole.segment(None, tokens)?;
        let pass = Pass::of(&whole);
        let all: Vec<usize> = (0..rows).collect();
        let mut kept = Vec::with_capacity(self.layers.len());
        let mut x = self.embed(tokens, &pass.positions)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let heads = self.with_norm(&x, rows, layer.before_attention.as_ref(), |x| {
                self.heads(index, x, &pass.positions)
            });
            let heads = heads.map_err(|e| at_layer(index, e))?;
            kept.push([
                // A copy, because `heads` also holds the queries: keeping it would take several
                // times the memory with grouped heads.
                self.backend.gather(heads.k(), &all)?,
                self.backend.gather(heads.v(), &all)?,
            ]);
            // Nothing reads the hidden states after the last layer.
            if index + 1 < self.layers.len() {
                let attended = self.attend(index, &heads, &pass);
                let attended = attended.map_err(|e| at_layer(index, e))?;
                // Before the rest of the layer, for the same reason.
                drop(heads);
                let done = self.finish(layer, x, &attended, rows);
                x = done.map_err(|e| at_layer(index, e))?;
            }
        }
        Ok(kept)
    }
}
