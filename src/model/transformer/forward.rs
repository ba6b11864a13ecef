//! The forward pass over the rows of a batch, which may follow rows computed before.

use std::borrow::Cow;

use super::{Block, Layer, Mlp, NormWeights, Projection, Transformer};
use crate::backend::{
    Backend, Columns, Embed, Linear, LogProb, Norm, Overflow, Pointwise, Segment, Target,
};
use crate::error::Error;
use crate::model::{Batch, Model, NormPlacement, Positions};

/// Keys and values of a layer, of rows that were computed before.
pub(super) type KeysValues<T> = [T; 2];

/// Rows that are computed together.
pub(super) struct Pass<'a, T> {
    pub(super) tokens: &'a [u32],
    /// Logical position of each token.
    pub(super) positions: Vec<u32>,
    /// The forest of all rows, those computed before included.
    pub(super) segments: Cow<'a, [Segment]>,
    /// Number of rows computed before.
    pub(super) past: usize,
    /// Keys and values of those rows, one pair per layer.
    pub(super) kept: &'a [KeysValues<T>],
}

impl<'a, T> Pass<'a, T> {
    /// A batch of which nothing was computed before.
    pub(super) fn of(batch: &'a Batch) -> Self {
        Self {
            tokens: batch.tokens(),
            positions: batch.positions(),
            segments: Cow::Borrowed(batch.segments()),
            past: 0,
            kept: &[],
        }
    }
}

impl<B: Backend> Transformer<B> {
    /// Checks a batch whose roots follow `past` tokens.
    pub(super) fn check(&self, batch: &Batch, past: usize) -> Result<(), Error> {
        let (depth, limit) = (batch.depth().saturating_add(past), self.context_len());
        if depth > limit {
            return Err(Error::batch(format!(
                "{depth} tokens exceed the context of {limit}"
            )));
        }
        let targets = batch.targets().iter().map(|t| t.token);
        // All tokens before any work: a backend would find the wrong target only after the last
        // layer.
        self.check_tokens(batch.tokens().iter().copied().chain(targets))
    }

    pub(super) fn check_tokens(&self, mut tokens: impl Iterator<Item = u32>) -> Result<(), Error> {
        let vocab = self.config.vocab_size;
        match tokens.find(|&t| t as usize >= vocab) {
            Some(t) => Err(Error::batch(format!(
                "token {t} is outside the vocabulary of {vocab}"
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn norm(
        &self,
        x: Columns<'_, B::Buffer>,
        norm: &NormWeights<B::Buffer>,
    ) -> Result<B::Buffer, Error> {
        let op = Norm {
            kind: self.config.norm,
            epsilon: self.config.norm_eps,
            width: norm.width,
            weight: &norm.weight,
            bias: norm.bias.as_ref(),
        };
        self.backend.norm(x, &op)
    }

    /// `x` normalised, if there is a norm.
    fn norm_if_any(
        &self,
        x: B::Buffer,
        rows: usize,
        norm: Option<&NormWeights<B::Buffer>>,
    ) -> Result<B::Buffer, Error> {
        match norm {
            Some(norm) => self.norm(Columns::all(&x, rows, norm.width), norm),
            None => Ok(x),
        }
    }

    /// Runs `next` on `x` normalised, if there is a norm, and on `x` itself if not.
    pub(super) fn with_norm<T>(
        &self,
        x: &B::Buffer,
        rows: usize,
        norm: Option<&NormWeights<B::Buffer>>,
        next: impl FnOnce(&B::Buffer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match norm {
            Some(norm) => next(&self.norm(Columns::all(x, rows, norm.width), norm)?),
            None => next(x),
        }
    }

    /// `x` times `factor`.
    fn scaled(
        &self,
        x: B::Buffer,
        [rows, width]: [usize; 2],
        factor: f64,
    ) -> Result<B::Buffer, Error> {
        if factor == 1.0 {
            // The product would be exact; this saves the pass.
            return Ok(x);
        }
        let x = Columns::all(&x, rows, width);
        self.backend.pointwise(x, Pointwise::Scale(factor))
    }

    pub(super) fn project(
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

    /// Hidden states before the first layer.
    pub(super) fn embed(&self, tokens: &[u32], positions: &[u32]) -> Result<B::Buffer, Error> {
        let (config, backend, width) = (&self.config, &self.backend, self.config.hidden_size);
        let op = Embed {
            tokens,
            vocab: config.vocab_size,
            width,
            scale: config.embedding_scale,
        };
        let mut x = backend.embed(&self.embedding, &op)?;
        if let Some(norm) = &self.embedding_norm {
            x = self.norm(Columns::all(&x, tokens.len(), width), norm)?;
        }
        let (Some(table), &Positions::Learned { offset }) = (&self.positions, &config.positions)
        else {
            return Ok(x);
        };
        let rows: Vec<u32> = positions.iter().map(|&p| p + offset as u32).collect();
        let op = Embed {
            tokens: &rows,
            vocab: config.max_position_embeddings + offset,
            width,
            scale: 1.0,
        };
        backend.add(x, &backend.embed(table, &op)?)
    }

    fn mlp(
        &self,
        layer: &Layer<B::Buffer>,
        x: &B::Buffer,
        rows: usize,
    ) -> Result<B::Buffer, Error> {
        match &layer.mlp {
            Mlp::Dense(block) => self.block(block, x, rows),
            Mlp::Experts(mixture) => self.mixture(mixture, x, rows),
        }
    }

    /// One MLP.
    pub(super) fn block(
        &self,
        block: &Block<B::Buffer>,
        x: &B::Buffer,
        rows: usize,
    ) -> Result<B::Buffer, Error> {
        let width = block.down.inputs;
        let gate_up = self.project(x, rows, &block.gate_up)?;
        let stride = block.gate_up.outputs;
        // Without a gate the projection is the up block alone, which is activated.
        let up = self
            .config
            .gated_mlp
            .then(|| Columns::block(&gate_up, rows, stride, width, width));
        let hidden = self.backend.activate(
            Columns::block(&gate_up, rows, stride, 0, width),
            up,
            self.config.activation,
        )?;
        self.project(&hidden, rows, &block.down)
    }

    /// Hidden states after a layer, from those before it and its attention.
    pub(super) fn finish(
        &self,
        layer: &Layer<B::Buffer>,
        x: B::Buffer,
        attended: &B::Buffer,
        rows: usize,
    ) -> Result<B::Buffer, Error> {
        let backend = &self.backend;
        let attended = self.project(attended, rows, &layer.output)?;
        let attended = self.norm_if_any(attended, rows, layer.after_attention.as_ref())?;
        let (size, factor) = ([rows, layer.output.outputs], self.config.residual_scale);
        let attended = self.scaled(attended, size, factor)?;
        let mlp = |x: &B::Buffer| {
            let before = match self.config.norm_placement {
                NormPlacement::Shared => layer.before_attention.as_ref(),
                _ => layer.before_mlp.as_ref(),
            };
            let out = self.with_norm(x, rows, before, |x| self.mlp(layer, x, rows))?;
            let out = self.norm_if_any(out, rows, layer.after_mlp.as_ref())?;
            self.scaled(out, size, factor)
        };
        if self.config.parallel_residual {
            // With one norm for both sublayers it is computed a second time here: a layer then holds
            // no more at once than any other.
            let added = mlp(&x)?;
            // Attention before MLP, as in the other branch: another order would round differently.
            backend.add(backend.add(x, &attended)?, &added)
        } else {
            let x = backend.add(x, &attended)?;
            // Freed before the MLP, which needs the most memory of a layer.
            drop(attended);
            let added = mlp(&x)?;
            backend.add(x, &added)
        }
    }

    /// The log-probability of each target.
    pub(super) fn score(
        &self,
        targets: &[Target],
        pass: &Pass<'_, B::Buffer>,
    ) -> Result<Vec<f64>, Error> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let (backend, width) = (&self.backend, self.config.hidden_size);
        let scored = Scored::new(targets);
        let mut rows = pass.tokens.len();
        let mut x = self.embed(pass.tokens, &pass.positions)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let attended = self.with_norm(&x, rows, layer.before_attention.as_ref(), |x| {
                self.attend(index, &self.heads(index, x, &pass.positions)?, pass)
            });
            let mut attended = attended.map_err(|e| at_layer(index, e))?;
            // After the last attention only the scored rows are needed: the rest of the layer and
            // the LM head skip all others.
            if index + 1 == self.layers.len() && scored.rows.len() < rows {
                let heads = layer.output.inputs;
                attended = backend.gather(Columns::all(&attended, rows, heads), &scored.rows)?;
                x = backend.gather(Columns::all(&x, rows, width), &scored.rows)?;
                rows = scored.rows.len();
            }
            let done = self.finish(layer, x, &attended, rows);
            x = done.map_err(|e| at_layer(index, e))?;
        }
        let x = self.norm(Columns::all(&x, rows, width), &self.norm)?;
        // A factor on the logits is one on what they are products of.
        let x = self.scaled(x, [rows, width], self.config.logit_scale)?;
        let op = LogProb {
            // A tied head is the embedding itself: it stands in memory once.
            weight: self.head.as_ref().unwrap_or(&self.embedding),
            bias: self.head_bias.as_ref(),
            inputs: width,
            vocab: self.config.vocab_size,
            soft_cap: self.config.final_logit_softcapping,
            targets: &scored.targets,
        };
        Ok(scored.restore(backend.log_prob(Columns::all(&x, rows, width), &op)?))
    }
}

/// `error` with the number of the layer, if it is an overflow: all layers run the same operations.
pub(super) fn at_layer(layer: usize, error: Error) -> Error {
    match error {
        Error::Backend { backend, source } => match source.downcast::<Overflow>() {
            Ok(overflow) => Error::backend(backend, overflow.in_layer(layer)),
            Err(source) => Error::backend(backend, source),
        },
        other => other,
    }
}

/// Targets in the order of their rows, counted among the scored rows only, and the way back.
struct Scored {
    /// Scored rows of the batch, rising.
    rows: Vec<usize>,
    /// Targets whose rows are indices into `rows`, rising.
    targets: Vec<Target>,
    /// `targets[i]` is target `order[i]` of the batch.
    order: Vec<usize>,
}

impl Scored {
    fn new(asked: &[Target]) -> Self {
        let mut order: Vec<usize> = (0..asked.len()).collect();
        // Backends take targets by rising row. A stable sort keeps those of a row in the caller's
        // order.
        order.sort_by_key(|&i| asked[i].row);
        let mut rows: Vec<usize> = order.iter().map(|&i| asked[i].row).collect();
        rows.dedup();
        let mut targets = Vec::with_capacity(asked.len());
        let mut at = 0;
        for &i in &order {
            while rows[at] != asked[i].row {
                at += 1;
            }
            targets.push(Target {
                row: at,
                token: asked[i].token,
            });
        }
        Self {
            rows,
            targets,
            order,
        }
    }

    fn restore(&self, values: Vec<f64>) -> Vec<f64> {
        let mut out = vec![0.0; values.len()];
        for (&i, value) in self.order.iter().zip(values) {
            out[i] = value;
        }
        out
    }
}
