//! Sizes about an expected optimum.

use serde::{Deserialize, Serialize};

use super::check::error;
use super::{PlannedRun, RecipeError};

/// Keeps only the sizes about the expected optimum `N*(C) = params·(C/flops)^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(clippy::exhaustive_structs, reason = "callers write it as a literal")]
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

impl Bracket {
    /// The sizes nearest to evenly spaced targets about the optimum of `budget`.
    pub(super) fn keep(
        &self,
        budget: f64,
        runs: &[PlannedRun],
    ) -> Result<Vec<PlannedRun>, RecipeError> {
        let optimum = self.params.ln() + self.exponent * (budget / self.flops).ln();
        let span = self.span.ln();
        let offset = |r: &PlannedRun| (r.params as f64).ln() - optimum;
        let inside: Vec<&PlannedRun> = runs
            .iter()
            // A size exactly on the edge, as a factor of two makes them, must not fall out by
            // rounding.
            .filter(|r| offset(r).abs() <= span * (1.0 + 1e-12))
            .collect();
        let wanted = self.sizes as usize;
        let below = inside.iter().filter(|r| offset(r) < 0.0).count();
        // A minimum needs sizes on both sides; one side only would be refused by the analysis.
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
