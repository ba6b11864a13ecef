//! Planning an IsoFLOP suite: from budgets and shape rules to the list of runs.
//!
//! A suite trains, at every compute budget, models of several sizes for as long as the budget
//! lasts. A [`Recipe`] holds the rules; [`Recipe::runs`] applies them. With
//! [`Recipe::relative_scaling_laws`] it gives the 85 configurations a corpus of the suite behind
//! the paper, exactly.
//!
//! # References
//! Held, Hall, Liang & Yang (2025), *Relative Scaling Laws for LLMs*, arXiv:2510.24626; the rules
//! are those of the public run table of that suite. Hoffmann et al. (2022), *Training
//! Compute-Optimal Large Language Models*, arXiv:2203.15556, for IsoFLOP profiles.

use std::fmt;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::fit::planning::Plan;
use crate::ladder::FlopConvention;

/// What a recipe cannot mean.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecipeError {
    /// Field of [`Recipe`].
    pub field: &'static str,
    /// What is wrong with its value.
    pub message: String,
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recipe: `{}`: {}", self.field, self.message)
    }
}

impl std::error::Error for RecipeError {}

/// Hidden sizes tried at the budgets up to a highest one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widths {
    /// Highest budget these are for; `None` for all that are left.
    pub highest_budget: Option<f64>,
    /// Smallest hidden size.
    pub first: u32,
    /// Largest hidden size.
    pub last: u32,
    /// From one to the next.
    pub step: u32,
}

/// Keeps the sizes about the expected optimum `N*(C) = params·(C/flops)^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bracket {
    /// Expected optimal number of parameters at `flops`.
    pub params: f64,
    /// The budget at which it is expected, in the convention of the recipe.
    pub flops: f64,
    /// `d ln N* / d ln C`, about ½.
    pub exponent: f64,
    /// Sizes kept at every budget, evenly in `ln N`; at least 3.
    pub sizes: u32,
    /// Largest ratio to the optimum, either way; 8 suits the estimator.
    pub span: f64,
}

/// The rules of a suite.
///
/// **Shape rules.** With hidden size h: `layers = round(h / (layer_offset + layer_slope·log₂ h))`,
/// ties to even; `heads = max(1, h div head_dim)`, every head its own keys and values; a gated MLP
/// of width `mlp_ratio·h`.
///
/// **Batch rules.** B is the power of two at or above `budget / (f·S·step_target)`, f FLOPs a
/// token and S the sequence length; it is halved while `lr_scale·√B/h` exceeds `lr_max`. Runs with
/// B below `batch_min`, or whose whole number of steps misses the budget by more than `tolerance`,
/// are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Compute budgets, FLOPs.
    pub budgets: Vec<f64>,
    /// What a budget counts: [`FlopConvention::ForwardOnly`], [`FlopConvention::Training`] (three
    /// times as much) or [`FlopConvention::SixNd`].
    pub convention: FlopConvention,
    /// Hidden sizes; the first entry whose `highest_budget` is not below the budget applies.
    pub widths: Vec<Widths>,
    /// Keep only sizes about an expected optimum.
    pub bracket: Option<Bracket>,
    /// See the shape rules.
    pub layer_offset: f64,
    /// See the shape rules.
    pub layer_slope: f64,
    /// Width of an attention head.
    pub head_dim: u32,
    /// Width of the MLP in hidden sizes.
    pub mlp_ratio: u32,
    /// Whether queries and keys are normalised.
    pub qk_norm: bool,
    /// Whether embedding and LM head share their weights.
    pub tied_embeddings: bool,
    /// Vocabulary.
    pub vocab: u32,
    /// Tokens of a training sequence.
    pub sequence: u32,
    /// Steps aimed at before the batch is rounded up.
    pub step_target: f64,
    /// Smallest batch, sequences.
    pub batch_min: u32,
    /// Learning rate is this times √B / h.
    pub lr_scale: f64,
    /// Highest learning rate.
    pub lr_max: f64,
    /// β₂ is this to the power B / `beta2_batch`.
    pub beta2_base: f64,
    /// See `beta2_base`.
    pub beta2_batch: f64,
    /// Largest relative miss of the budget.
    pub tolerance: f64,
}

/// One run of a suite.
///
/// **Units**: `budget` and the FLOPs in FLOPs of the whole run; `batch` in sequences; `tokens` in
/// training tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// Batch.
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
    /// The suite of the paper: 7 budgets of forward FLOPs, 85 runs a corpus.
    ///
    /// # Examples
    /// ```
    /// use relscale::isoflop::Recipe;
    ///
    /// let runs = Recipe::relative_scaling_laws().runs()?;
    /// assert_eq!(runs.len(), 85);
    /// let run = runs.iter().find(|r| r.budget == 1e19 && r.hidden == 2048).unwrap();
    /// assert_eq!((run.layers, run.batch), (21, 16));
    /// # Ok::<(), relscale::isoflop::RecipeError>(())
    /// ```
    #[must_use]
    pub fn relative_scaling_laws() -> Self {
        let widths = |highest_budget, step| Widths {
            highest_budget,
            first: 512,
            last: 4096,
            step,
        };
        Self {
            budgets: vec![1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20],
            convention: FlopConvention::ForwardOnly,
            widths: vec![widths(Some(9e18), 128), widths(None, 256)],
            bracket: None,
            layer_offset: 55.0,
            layer_slope: 4.0,
            head_dim: 128,
            mlp_ratio: 4,
            qk_norm: true,
            tied_embeddings: false,
            vocab: 128_256,
            sequence: 4096,
            step_target: 65_536.0,
            batch_min: 8,
            lr_scale: 0.33,
            lr_max: 0.01,
            beta2_base: 0.98,
            beta2_batch: 128.0,
            tolerance: 0.01,
        }
    }

    /// The same rules with the budgets and sizes of `plan`, as the advisor of the estimator gives
    /// them: budgets evenly in ln FLOPs, `plan.sizes` sizes about the optimum.
    ///
    /// Budgets are taken in the convention of the recipe.
    #[must_use]
    pub fn for_plan(mut self, plan: &Plan, optimum: Bracket) -> Self {
        let step = (plan.highest_flops / plan.lowest_flops).ln()
            / f64::from(plan.budgets.saturating_sub(1).max(1));
        self.budgets = (0..plan.budgets)
            .map(|k| plan.lowest_flops * libm::exp(step * f64::from(k)))
            .collect();
        self.bracket = Some(Bracket {
            sizes: plan.sizes,
            ..optimum
        });
        self
    }

    /// The runs, by budget and then by size.
    ///
    /// # Errors
    /// The first field whose value makes no sense; a budget at which no run is left, or fewer
    /// sizes than `bracket` asks for.
    pub fn runs(&self) -> Result<Vec<PlannedRun>, RecipeError> {
        self.check()?;
        let mut runs = Vec::new();
        for &budget in &self.budgets {
            let Some(widths) = self
                .widths
                .iter()
                .find(|w| w.highest_budget.is_none_or(|h| budget <= h))
            else {
                return Err(error("widths", format!("none for budget {budget:e}")));
            };
            let mut found = Vec::new();
            for hidden in (widths.first..=widths.last).step_by(widths.step as usize) {
                found.extend(self.run(budget, hidden)?);
            }
            if found.is_empty() {
                let message = format!("no size can be trained at {budget:e}");
                return Err(error("budgets", message));
            }
            runs.extend(match &self.bracket {
                Some(bracket) => bracket.keep(budget, &found)?,
                None => found,
            });
        }
        Ok(runs)
    }

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
        (h / (self.layer_offset + self.layer_slope * libm::log2(h))).round_ties_even()
    }

    fn heads(&self, hidden: u32) -> u32 {
        (hidden / self.head_dim).max(1)
    }

    /// The run of one budget and hidden size; `None` where a rule leaves it out.
    fn run(&self, budget: f64, hidden: u32) -> Result<Option<PlannedRun>, RecipeError> {
        let heads = self.heads(hidden);
        if !hidden.is_multiple_of(heads) {
            let message = format!("hidden size {hidden} does not split into {heads} heads");
            return Err(error("widths", message));
        }
        let layers = self.layers(hidden);
        if !(1.0..=1e6).contains(&layers) {
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
        let sequence = f64::from(self.sequence);
        let wanted = budget / (per_token * self.step_target * sequence);
        if wanted > 2f64.powi(40) {
            let message = format!("{budget:e} needs a batch of {wanted:e} sequences");
            return Err(error("budgets", message));
        }
        let mut batch = (wanted.ceil().max(1.0) as u64).next_power_of_two();
        let rate = |batch: u64| self.lr_scale * (batch as f64).sqrt() / f64::from(hidden);
        while batch > 0 && rate(batch) > self.lr_max {
            batch /= 2;
        }
        if batch < u64::from(self.batch_min) {
            return Ok(None);
        }
        let step = per_token * batch as f64 * sequence;
        let steps = (budget / step).round_ties_even();
        if (steps * step - budget).abs() > self.tolerance * budget || steps > 2f64.powi(40) {
            return Ok(None);
        }
        let tokens = steps as u64 * batch * u64::from(self.sequence);
        let forward_flops = forward * tokens as f64;
        Ok(Some(PlannedRun {
            budget,
            hidden,
            layers: layers as u32,
            heads,
            mlp: self.mlp_ratio * hidden,
            batch,
            steps: steps as u64,
            tokens,
            lr: rate(batch),
            beta2: libm::pow(self.beta2_base, batch as f64 / self.beta2_batch),
            params,
            forward_flops,
            training_flops: 3.0 * forward_flops,
        }))
    }

    fn check(&self) -> Result<(), RecipeError> {
        if self.budgets.is_empty() {
            return Err(error("budgets", "there are none"));
        }
        for &budget in &self.budgets {
            positive("budgets", budget)?;
        }
        if matches!(
            self.convention,
            FlopConvention::Unspecified | FlopConvention::Other
        ) {
            let message = format!(
                "`{}` is not one of forward_only, training, 6nd",
                self.convention.as_str()
            );
            return Err(error("convention", message));
        }
        for w in &self.widths {
            if w.first == 0 || w.step == 0 || w.last < w.first || w.last > 1 << 20 {
                let (first, last, step) = (w.first, w.last, w.step);
                let message = format!("{first} to {last} by {step}: not within 1..=2^20");
                return Err(error("widths", message));
            }
        }
        for (field, value) in [
            ("head_dim", self.head_dim),
            ("mlp_ratio", self.mlp_ratio),
            ("vocab", self.vocab),
            ("sequence", self.sequence),
            ("batch_min", self.batch_min),
        ] {
            if value == 0 || value > 1 << 24 {
                return Err(error(field, format!("{value} is not in 1..=2^24")));
            }
        }
        if self.mlp_ratio > 1 << 10 {
            return Err(error(
                "mlp_ratio",
                format!("{} is above 1024", self.mlp_ratio),
            ));
        }
        for (field, value) in [
            ("step_target", self.step_target),
            ("lr_scale", self.lr_scale),
            ("lr_max", self.lr_max),
            ("beta2_base", self.beta2_base),
            ("beta2_batch", self.beta2_batch),
            ("tolerance", self.tolerance),
        ] {
            positive(field, value)?;
        }
        if let Some(b) = &self.bracket {
            positive("bracket.params", b.params)?;
            positive("bracket.flops", b.flops)?;
            if b.sizes < 3 {
                return Err(error("bracket.sizes", format!("{} is below 3", b.sizes)));
            }
            if !(b.span > 1.0 && b.span.is_finite() && b.exponent.is_finite()) {
                return Err(error("bracket.span", format!("{} is not above 1", b.span)));
            }
        }
        Ok(())
    }
}

impl Bracket {
    /// The sizes nearest to evenly spaced targets about the optimum of `budget`.
    fn keep(&self, budget: f64, runs: &[PlannedRun]) -> Result<Vec<PlannedRun>, RecipeError> {
        let optimum = self.params.ln() + self.exponent * (budget / self.flops).ln();
        let span = self.span.ln();
        let offset = |r: &PlannedRun| (r.params as f64).ln() - optimum;
        let inside: Vec<&PlannedRun> = runs
            .iter()
            .filter(|r| offset(r).abs() <= span * (1.0 + 1e-12))
            .collect();
        let wanted = self.sizes as usize;
        let below = inside.iter().filter(|r| offset(r) < 0.0).count();
        if inside.len() < wanted || below == 0 || below == inside.len() {
            let (n, optimum) = (inside.len(), optimum.exp());
            let message = format!(
                "budget {budget:e} has {n} sizes within a factor {} of {optimum:.3e} parameters, \
                 {below} of them below; {wanted} on both sides are asked for",
                self.span
            );
            return Err(error("bracket.sizes", message));
        }
        // From the smallest to the largest inside; each target takes the nearest size left.
        let (low, high) = (offset(inside[0]), offset(inside[inside.len() - 1]));
        let mut kept: Vec<usize> = Vec::with_capacity(wanted);
        for k in 0..wanted {
            let target = low + (high - low) * k as f64 / (wanted - 1) as f64;
            let nearest = (0..inside.len())
                .filter(|i| !kept.contains(i))
                .min_by(|&a, &b| {
                    let distance = |i: usize| (offset(inside[i]) - target).abs();
                    distance(a).total_cmp(&distance(b))
                });
            kept.extend(nearest);
        }
        kept.sort_unstable();
        Ok(kept.into_iter().map(|i| *inside[i]).collect())
    }
}

/// Writes runs as CSV, one line a run, numbers in shortest form that reads back equal.
///
/// # Errors
/// Whatever `writer` returns.
pub fn write_csv(runs: &[PlannedRun], writer: impl Write) -> Result<(), std::io::Error> {
    let mut out = csv::Writer::from_writer(writer);
    for run in runs {
        out.serialize(run)?;
    }
    out.flush()?;
    Ok(())
}

fn error(field: &'static str, message: impl Into<String>) -> RecipeError {
    RecipeError {
        field,
        message: message.into(),
    }
}

fn positive(field: &'static str, value: f64) -> Result<(), RecipeError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(error(field, format!("{value} is not positive")))
    }
}
