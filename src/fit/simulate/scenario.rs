//! Calibrated scenarios.

use serde::{Deserialize, Serialize};

use super::{ItemTruth, Shape, Simulation};

/// Scenarios under which intervals should cover, with `treatment`, `baseline` and `aggregate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scenario {
    /// Normal run noise.
    Plain,
    /// Items are a sample.
    Items,
    /// Items are a sample whose slopes do not differ.
    HomogeneousItems,
    /// Student's t with 5 degrees of freedom, three times the noise at the small end.
    HeavyTails,
    /// A shock on the treatment by budget.
    BudgetShock,
    /// Sizes drift off-centre over the budgets.
    DriftingGrid,
    /// Curvature of the profile drifts with scale.
    ShapeDrift,
    /// Both drifts.
    BothDrifts,
    /// Strong quartic, optima drifting apart, larger models noisier, heavy tails, nine sizes.
    HeldOut,
}

impl Simulation {
    /// One of the calibrated scenarios.
    #[must_use]
    pub fn scenario(scenario: Scenario) -> Self {
        let mut s = Self::default();
        let drifting = Shape::Isoflop {
            sizes: 12,
            drift: 1.5,
        };
        match scenario {
            Scenario::Plain => {}
            Scenario::Items | Scenario::HomogeneousItems => {
                let mut of = |at: usize, items: usize, clusters: usize| {
                    let mut truth = ItemTruth::new(items, clusters);
                    if scenario == Scenario::HomogeneousItems {
                        truth.slope = [0.0, 0.0];
                    }
                    s.distributions[at].items = Some(truth);
                };
                // Unequal on purpose: the item parts of the two then differ in degrees of freedom.
                of(0, 600, 30);
                of(1, 1500, 50);
            }
            Scenario::HeavyTails => {
                s.tails = Some(5);
                // Small models scatter three times as much as large ones, which least squares does
                // not weigh.
                s.noise_ends = [1.6, 1.6 / 3.0];
            }
            // In one distribution only: a shock common to both would cancel in the ratio.
            Scenario::BudgetShock => s.distributions[0].budget_noise = 0.002,
            Scenario::DriftingGrid => s.shape = drifting,
            Scenario::ShapeDrift | Scenario::BothDrifts => {
                s.distributions[0].shift = 0.0;
                // A profile shape that drifts with scale is what one shape for all budgets got
                // wrong in every replicate.
                s.distributions[0].curvature_drift = 0.12;
                s.distributions[2].curvature_drift = 0.06;
                if scenario == Scenario::BothDrifts {
                    s.shape = drifting;
                }
            }
            // Written after the read-off was chosen. The specification term was added because of
            // it, so that this scenario tests the read-off but not the term.
            Scenario::HeldOut => {
                s.shape = Shape::Isoflop {
                    sizes: 9,
                    drift: 1.0,
                };
                s.tails = Some(5);
                s.noise_by_size = 0.25;
                for (d, k4) in s.distributions.iter_mut().zip([0.0020, 0.0012, 0.0014]) {
                    d.profile[2] = k4;
                }
                s.distributions[0].shift_drift = 0.03;
                s.distributions[1].shift_drift = -0.03;
            }
        }
        s
    }
}
