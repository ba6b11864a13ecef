//! One run: its shape, parameters, FLOPs and batches.

use serde::{Deserialize, Serialize};

use super::check::error;
use super::{Recipe, RecipeError};
use crate::ladder::FlopConvention;

/// One run of a suite.
///
/// **Units**: `budget` and the FLOPs in FLOPs of the whole run; `batch` in sequences; `tokens` in
/// training tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlannedRun {
    /// The budget it belongs to.
    pub budget: f64,
    /// Hidden size.
    pub hidden: u32,
    /// Layers.
    pub layers: u32,
    /// Attention heads (and key–value heads).
    pub heads: u32,
    /// Width of the MLP.
    pub mlp: u32,
    /// Sequences per batch.
    pub batch: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Training tokens.
    pub tokens: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Second-moment decay of the optimiser.
    pub beta2: f64,
    /// Parameters, embeddings included.
    pub params: u64,
    /// FLOPs of the forward passes, attention unmasked.
    pub forward_flops: f64,
    /// FLOPs of training: three times the forward passes.
    pub training_flops: f64,
}

impl PlannedRun {
    /// `6·parameters·tokens`, the usual approximation of the training FLOPs.
    #[must_use]
    pub fn six_nd(&self) -> f64 {
        6.0 * self.params as f64 * self.tokens as f64
    }

    /// Hours of one accelerator that reaches `mfu` of `peak` FLOP/s.
    #[must_use]
    pub fn hours(&self, peak: f64, mfu: f64) -> f64 {
        self.training_flops / (peak * mfu * 3600.0)
    }
}

impl Recipe {
    /// FLOPs of the forward pass of one token of a full sequence, attention unmasked.
    ///
    /// `L·(6·h·i + 2·h·(n·d + 2·n·d) + 2·h² + (2·S²·n·d + 3·S²·n + 2·S²·d·n)/S) + 2·h·V` for L
    /// layers, hidden size h, MLP width i, n heads of width d, sequence length S, vocabulary V.
    #[must_use]
    pub fn forward_flops_per_token(&self, hidden: u32) -> f64 {
        let (h, s) = (f64::from(hidden), f64::from(self.sequence));
        let n = f64::from(self.heads(hidden));
        let d = h / n;
        let i = f64::from(self.mlp_ratio) * h;
        // The whole square, not the causal half: the convention of the suite whose budgets these
        // are.
        let attention = (2.0 * s * s * n * d + 3.0 * s * s * n + 2.0 * s * s * d * n) / s;
        let layer = 6.0 * h * i + 2.0 * h * (n * d + 2.0 * n * d) + 2.0 * h * h + attention;
        self.layers(hidden) * layer + 2.0 * h * f64::from(self.vocab)
    }

    /// Parameters of a model of this hidden size: projections, gated MLP, norms, embeddings.
    #[must_use]
    pub fn params(&self, hidden: u32) -> u64 {
        let h = u64::from(hidden);
        let head = h / u64::from(self.heads(hidden));
        let norms = 2 * h + if self.qk_norm { 2 * head } else { 0 };
        let layer = 4 * h * h + 3 * h * h * u64::from(self.mlp_ratio) + norms;
        let tables = if self.tied_embeddings { 1 } else { 2 };
        self.layers(hidden) as u64 * layer + tables * u64::from(self.vocab) * h + h
    }

    fn layers(&self, hidden: u32) -> f64 {
        let h = f64::from(hidden);
        // Ties to even, as Python's `round` does, which made the public table. `libm` gives the
        // same bits on every machine, and a layer may hang on one.
        (h / (self.layer_offset + self.layer_slope * libm::log2(h))).round_ties_even()
    }

    fn heads(&self, hidden: u32) -> u32 {
        (hidden / self.head_dim).max(1)
    }

    /// The run of one budget and hidden size; `None` where a rule leaves it out.
    pub(super) fn run(&self, budget: f64, hidden: u32) -> Result<Option<PlannedRun>, RecipeError> {
        let heads = self.heads(hidden);
        if !hidden.is_multiple_of(heads) {
            let message = format!("hidden size {hidden} does not split into {heads} heads");
            return Err(error("widths", message));
        }
        let layers = self.layers(hidden);
        // A recipe far from any model gives hidden sizes that no machine holds. With at most 1,000
        // layers, the widest hidden size and the largest MLP, the parameters still fit 64 bits.
        if !(1.0..=1e3).contains(&layers) {
            let message = format!("hidden size {hidden} gets {layers} layers");
            return Err(error("layer_offset", message));
        }
        let forward = self.forward_flops_per_token(hidden);
        let params = self.params(hidden);
        let per_token = match self.convention {
            FlopConvention::ForwardOnly => forward,
            FlopConvention::SixNd => 6.0 * params as f64,
            _ => 3.0 * forward,
        };
        let Some((batch, steps)) = self.schedule(budget, per_token, hidden)? else {
            return Ok(None);
        };
        let tokens = steps
            .checked_mul(batch)
            .and_then(|sequences| sequences.checked_mul(u64::from(self.sequence)))
            .ok_or_else(|| error("sequence", format!("{steps} steps of {batch} sequences")))?;
        let forward_flops = forward * tokens as f64;
        Ok(Some(PlannedRun {
            budget,
            hidden,
            layers: layers as u32,
            heads,
            mlp: self.mlp_ratio * hidden,
            batch,
            steps,
            tokens,
            lr: self.learning_rate(batch, hidden),
            beta2: libm::pow(self.beta2_base, batch as f64 / self.beta2_batch),
            params,
            forward_flops,
            training_flops: 3.0 * forward_flops,
        }))
    }

    /// Batch and steps by the batch rules; `None` where they leave the run out.
    fn schedule(
        &self,
        budget: f64,
        per_token: f64,
        hidden: u32,
    ) -> Result<Option<(u64, u64)>, RecipeError> {
        // No run has more steps or a larger batch; below it a step count is exact in `f64`.
        const MOST: f64 = 1_099_511_627_776.0;
        let sequence = f64::from(self.sequence);
        let wanted = budget / (per_token * self.step_target * sequence);
        if wanted > MOST {
            let message = format!("{budget:e} needs a batch of {wanted:e} sequences");
            return Err(error("budgets", message));
        }
        // A power of two splits evenly over devices; it is at least what the step target asks for.
        let mut batch = (wanted.ceil().max(1.0) as u64).next_power_of_two();
        // Halved until the learning rate fits: the rate follows the root of the batch, so a smaller
        // batch is the remedy.
        while batch > 0 && self.learning_rate(batch, hidden) > self.lr_max {
            batch /= 2;
        }
        if batch < u64::from(self.batch_min) {
            return Ok(None);
        }
        let step = per_token * batch as f64 * sequence;
        let steps = (budget / step).round_ties_even();
        // Whole steps miss the budget where there are few of them; the analysis flags runs 2 % off
        // and refuses those 10 % off.
        if (steps * step - budget).abs() > self.tolerance * budget || steps > MOST {
            return Ok(None);
        }
        Ok(Some((batch, steps as u64)))
    }

    fn learning_rate(&self, batch: u64, hidden: u32) -> f64 {
        self.lr_scale * (batch as f64).sqrt() / f64::from(hidden)
    }
}
