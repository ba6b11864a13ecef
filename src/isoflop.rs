//! Planning an IsoFLOP suite: from budgets and shape rules to the list of runs.
//!
//! A suite trains, at every compute budget, models of several sizes for as long as the budget
//! lasts. A [`Recipe`] holds the rules; [`Recipe::runs`] applies them. With
//! [`Recipe::relative_scaling_laws`] it gives the 85 configurations per corpus of the suite behind
//! the paper, exactly.
//!
//! # References
//! Held, Hall, Liang & Yang (2025), *Relative Scaling Laws for LLMs*, arXiv:2510.24626; the rules
//! are those of the public run table of that suite. Hoffmann et al. (2022), *Training
//! Compute-Optimal Large Language Models*, arXiv:2203.15556, for IsoFLOP profiles.

mod bracket;
mod check;
mod run;

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::fit::power::PlannedLadder;
use crate::ladder::FlopConvention;

pub use bracket::Bracket;
pub use check::RecipeError;
pub use run::PlannedRun;

use check::error;

/// Hidden sizes tried at every budget up to a highest one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(clippy::exhaustive_structs, reason = "callers write it as a literal")]
pub struct Widths {
    /// Highest budget of this entry; `None` for all that are left.
    pub highest_budget: Option<f64>,
    /// Smallest hidden size.
    pub first: u32,
    /// Largest hidden size.
    pub last: u32,
    /// Difference from one size to the next.
    pub step: u32,
}

/// The rules of a suite.
///
/// **Shape rules.** With hidden size h: `layers = round(h / (layer_offset + layer_slope·log₂ h))`,
/// ties to even; `heads = max(1, h div head_dim)`, every head its own keys and values; a gated MLP
/// of width `mlp_ratio·h`.
///
/// **Batch rules.** B is the power of two at or above `budget / (f·S·step_target)`, f FLOPs per
/// token and S the sequence length; it is halved while `lr_scale·√B/h` exceeds `lr_max`. Runs with
/// B below `batch_min`, or whose whole number of steps misses the budget by more than `tolerance`,
/// are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "callers change single rules of a preset by struct update"
)]
pub struct Recipe {
    /// Compute budgets, FLOPs.
    pub budgets: Vec<f64>,
    /// Meaning of a budget: [`FlopConvention::ForwardOnly`], [`FlopConvention::Training`] (three
    /// times as much) or [`FlopConvention::SixNd`].
    pub convention: FlopConvention,
    /// Hidden sizes; the first entry whose `highest_budget` is not below the budget applies.
    pub widths: Vec<Widths>,
    /// If given, only sizes about an expected optimum are kept.
    pub bracket: Option<Bracket>,
    /// `layer_offset` of the shape rules.
    pub layer_offset: f64,
    /// `layer_slope` of the shape rules.
    pub layer_slope: f64,
    /// Width of an attention head.
    pub head_dim: u32,
    /// Width of the MLP in hidden sizes.
    pub mlp_ratio: u32,
    /// If true, queries and keys are normalised.
    pub qk_norm: bool,
    /// If true, embedding and LM head share their weights.
    pub tied_embeddings: bool,
    /// Vocabulary.
    pub vocab: u32,
    /// Tokens of a training sequence.
    pub sequence: u32,
    /// Steps aimed at before the batch is rounded up.
    pub step_target: f64,
    /// Smallest batch, sequences.
    pub batch_min: u32,
    /// The learning rate is `lr_scale·√B/h`.
    pub lr_scale: f64,
    /// Highest learning rate.
    pub lr_max: f64,
    /// The second-moment decay is `β₂ = beta2_base^(B/beta2_batch)`.
    pub beta2_base: f64,
    /// Batch, in sequences, at which β₂ is `beta2_base`.
    pub beta2_batch: f64,
    /// Largest relative miss of the budget.
    pub tolerance: f64,
}

impl Recipe {
    /// The suite of the paper: 7 budgets of forward FLOPs, 85 runs per corpus.
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
        // Finer steps at small budgets, as in the suite: few sizes can be trained there.
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
            // The numbers of the suite's public run table; its 85 configurations are tested one by
            // one.
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

    /// The same rules with the budgets and sizes of a plan of the power analysis: budgets evenly in
    /// ln FLOPs, `plan.sizes` sizes about the optimum.
    ///
    /// Budgets are taken in the convention of the recipe.
    #[must_use]
    pub fn for_ladder(mut self, plan: &PlannedLadder, optimum: Bracket) -> Self {
        // Evenly in the logarithm, as the forecast of the plan assumes.
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
            let mut found: Vec<PlannedRun> = Vec::new();
            for hidden in (widths.first..=widths.last).step_by(widths.step as usize) {
                found.extend(self.run(budget, hidden)?);
            }
            // A budget without a size would leave the ladder shorter than the plan says, in
            // silence.
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
}

/// Writes runs as CSV, one line per run, numbers in the shortest form that reads back equal.
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
