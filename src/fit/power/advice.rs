//! The effect of single changes of a plan.

use serde::{Deserialize, Serialize};

use super::{Forecast, PlannedLadder};
use crate::fit::error::FitError;

/// One change of a [`PlannedLadder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// Start a decade of compute lower, with as many budgets.
    DecadeBelow,
    /// End a decade of compute higher, with as many budgets.
    DecadeAbove,
    /// Two more budgets within the range.
    TwoBudgets,
    /// Twice the model sizes per budget.
    DoubleSizes,
    /// Twice the seeds.
    DoubleSeeds,
    /// Twice the clusters of items.
    DoubleClusters,
}

/// The effect of one change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Advice {
    /// The change.
    pub change: Change,
    /// The plan after it.
    pub plan: PlannedLadder,
    /// Its forecast.
    pub forecast: Forecast,
    /// Minimum detectable δ after over before; below 1 is better.
    pub detectable_ratio: f64,
    /// Training FLOPs after over before.
    pub flops_ratio: f64,
}

impl Change {
    const ALL: [Self; 6] = [
        Self::DecadeBelow,
        Self::DecadeAbove,
        Self::TwoBudgets,
        Self::DoubleSizes,
        Self::DoubleSeeds,
        Self::DoubleClusters,
    ];

    /// The plan after the change; `None` where it means nothing: an exhaustive benchmark has no
    /// clusters to add.
    fn of(self, plan: &PlannedLadder) -> Option<PlannedLadder> {
        let mut plan = *plan;
        match self {
            Self::DecadeBelow => plan.lowest_flops *= 0.1,
            Self::DecadeAbove => plan.highest_flops *= 10.0,
            Self::TwoBudgets => plan.budgets = plan.budgets.saturating_add(2),
            Self::DoubleSizes => plan.sizes = plan.sizes.saturating_mul(2),
            Self::DoubleSeeds => plan.seeds = plan.seeds.saturating_mul(2),
            Self::DoubleClusters if plan.clusters > 1 => {
                plan.clusters = plan.clusters.saturating_mul(2);
            }
            Self::DoubleClusters => return None,
        }
        Some(plan)
    }
}

impl PlannedLadder {
    /// The effect of each single change of the plan, best first: the smallest detectable δ, and of
    /// equals the cheaper.
    ///
    /// # Errors
    /// As [`forecast`](Self::forecast).
    pub fn advise(&self, margin: f64) -> Result<Vec<Advice>, FitError> {
        let now = self.forecast(margin)?;
        let mut advice = Vec::new();
        for change in Change::ALL {
            let Some(plan) = change.of(self) else {
                continue;
            };
            let forecast = plan.forecast(margin)?;
            advice.push(Advice {
                change,
                plan,
                forecast,
                detectable_ratio: forecast.minimum_detectable / now.minimum_detectable,
                flops_ratio: forecast.flops / now.flops,
            });
        }
        // Ties in effect are common (doubling seeds or sizes): the cheaper change comes first.
        advice.sort_by(|a, b| {
            (a.detectable_ratio.total_cmp(&b.detectable_ratio))
                .then(a.flops_ratio.total_cmp(&b.flops_ratio))
        });
        Ok(advice)
    }
}
