//! Power analysis: the exponents that a ladder can detect before it is trained, and the cheapest
//! change that lets it detect smaller ones.
//!
//! The variance of an estimated relative exponent is about
//!
//! ```text
//! Var δ̂ ≈ (σ_B² + σ_v²·h̄/R)/Σx² + s̄²·Var(e₁) + ω²/G
//! ```
//!
//! with σ_B the noise that the runs of a budget share, σ_v that of single runs, R seeds, h̄ ≈ 9/(4K)
//! the variance of a cubic read in the middle of K sizes, `Σx² = J(J + 1)·ln²(F_max/F_min)/(12(J − 1))`
//! for J evenly spaced budgets, s̄²·Var(e₁) the part of the uncertain frontier, and ω²/G that of G
//! clusters of items. The range enters squared, counts only linearly: widen the ladder before adding
//! budgets, runs or items.

mod advice;
mod exponent_test;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

pub use advice::{Advice, Change};
pub use exponent_test::ExponentTest;

use super::error::FitError;

/// Level of the test and power at which exponents count as detected.
const ALPHA: f64 = 0.05;
const WANTED_POWER: f64 = 0.8;

/// A ladder that is not trained yet, and the noise expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "callers write it as a literal; the formula has these ten numbers"
)]
pub struct PlannedLadder {
    /// The smallest budget in FLOPs.
    pub lowest_flops: f64,
    /// The largest budget in FLOPs.
    pub highest_flops: f64,
    /// J, evenly spaced in ln FLOPs; at least 3.
    pub budgets: u32,
    /// K model sizes per budget, within ±ln 8 of the optimum; at least 1.
    pub sizes: u32,
    /// R seeds per configuration; at least 1.
    pub seeds: u32,
    /// σ_B: standard deviation of ln G shared by all runs of a budget.
    pub budget_noise: f64,
    /// σ_v: standard deviation of ln G between runs of a budget.
    pub run_noise: f64,
    /// s̄·√Var(e₁): standard error that the uncertain frontier adds to δ̂.
    pub frontier_error: f64,
    /// ω: standard deviation between clusters of δ measured on one cluster.
    pub cluster_noise: f64,
    /// G clusters of items; 0 for an exhaustive benchmark, whose items are no sample.
    pub clusters: u32,
}

/// The analysis expected of a [`PlannedLadder`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Forecast {
    /// Variance of δ̂ from runs.
    pub run_variance: f64,
    /// Variance of δ̂ from the frontier.
    pub frontier_variance: f64,
    /// Variance of δ̂ from items.
    pub item_variance: f64,
    /// Standard error of δ̂.
    pub standard_error: f64,
    /// Satterthwaite's degrees of freedom.
    pub df: f64,
    /// The |δ| detected with 80 % probability at 5 %.
    pub minimum_detectable: f64,
    /// Probability of concluding "persists" when δ = 0, for the margin given.
    pub equivalence_power: f64,
    /// Total training FLOPs.
    pub flops: f64,
}

/// The plans to choose from, and what the chosen one must detect.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "callers write it as a literal; it names the arguments of one method"
)]
pub struct Search {
    /// The |δ| to detect.
    pub target: f64,
    /// Margin of the equivalence test.
    pub margin: f64,
    /// Numbers of budgets.
    pub budgets: RangeInclusive<u32>,
    /// Numbers of model sizes per budget.
    pub sizes: RangeInclusive<u32>,
    /// Numbers of seeds per configuration.
    pub seeds: RangeInclusive<u32>,
}

impl PlannedLadder {
    /// Forecasts the analysis of this ladder; `margin` is that of the equivalence test.
    ///
    /// # Errors
    /// [`FitError::Domain`] when a field is outside its range, all noise is zero, or `margin` is
    /// not positive.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::power::PlannedLadder;
    /// let plan = PlannedLadder {
    ///     lowest_flops: 1e18,
    ///     highest_flops: 1e20,
    ///     budgets: 7,
    ///     sizes: 12,
    ///     seeds: 1,
    ///     budget_noise: 0.0025,
    ///     run_noise: 0.0,
    ///     frontier_error: 0.0,
    ///     cluster_noise: 0.0,
    ///     clusters: 0,
    /// };
    /// let forecast = plan.forecast(0.00217)?;
    /// assert!((forecast.minimum_detectable - 0.0022).abs() < 1e-4);
    /// # Ok::<(), relscale::fit::FitError>(())
    /// ```
    pub fn forecast(&self, margin: f64) -> Result<Forecast, FitError> {
        self.check()?;
        if !(margin > 0.0 && margin.is_finite()) {
            return Err(domain("margin", margin));
        }
        let j = f64::from(self.budgets);
        let range = (self.highest_flops / self.lowest_flops).ln();
        // Σx² of evenly spaced budgets in closed form; a plan has no other spacing.
        let spread = j * (j + 1.0) * range * range / (12.0 * (j - 1.0));
        // 9/(4K), the variance of a cubic in the middle of K sizes; a single size is read as it is,
        // at 1.
        let reading = (2.25 / f64::from(self.sizes)).min(1.0) / f64::from(self.seeds);
        let run_variance = (self.budget_noise.powi(2) + self.run_noise.powi(2) * reading) / spread;
        let frontier_variance = self.frontier_error.powi(2);
        let item_variance = if self.clusters == 0 {
            0.0
        } else {
            self.cluster_noise.powi(2) / f64::from(self.clusters)
        };
        let run = run_variance + frontier_variance;
        let variance = run + item_variance;
        if variance <= 0.0 || !variance.is_finite() {
            return Err(domain("the total noise", variance));
        }
        // Satterthwaite's formula, as in the analysis that the plan is for.
        let mut inverse = (run / variance).powi(2) / (j - 2.0);
        if self.clusters > 1 {
            inverse += (item_variance / variance).powi(2) / f64::from(self.clusters - 1);
        }
        let test = ExponentTest {
            standard_error: variance.sqrt(),
            df: 1.0 / inverse,
            alpha: ALPHA,
        };
        let step = range / (j - 1.0);
        let ladder: f64 = (0..self.budgets)
            .map(|k| self.lowest_flops * (step * f64::from(k)).exp())
            .sum();
        Ok(Forecast {
            run_variance,
            frontier_variance,
            item_variance,
            standard_error: test.standard_error,
            df: test.df,
            minimum_detectable: test.minimum_detectable(WANTED_POWER)?,
            equivalence_power: test.equivalence_power(0.0, margin),
            flops: ladder * f64::from(self.sizes) * f64::from(self.seeds),
        })
    }

    /// The cheapest plan that detects `search.target` with 80 % probability at 5 %: the same range,
    /// items and noise, with the budgets, sizes and seeds that cost the fewest FLOPs; of equals, the
    /// one with the smaller detectable δ. `None` where no plan of the search does: then a wider range
    /// or more clusters are needed, see [`advise`](Self::advise).
    ///
    /// # Errors
    /// As [`forecast`](Self::forecast), and [`FitError::Domain`] when the target is not positive.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::power::{PlannedLadder, Search};
    /// let plan = PlannedLadder {
    ///     lowest_flops: 1e18,
    ///     highest_flops: 1e20,
    ///     budgets: 7,
    ///     sizes: 12,
    ///     seeds: 1,
    ///     budget_noise: 0.001,
    ///     run_noise: 0.004,
    ///     frontier_error: 0.0,
    ///     cluster_noise: 0.0,
    ///     clusters: 0,
    /// };
    /// let search = Search {
    ///     target: 0.002,
    ///     margin: 0.00217,
    ///     budgets: 5..=9,
    ///     sizes: 7..=15,
    ///     seeds: 1..=3,
    /// };
    /// let cheapest = plan.cheapest(&search)?.unwrap();
    /// assert!(cheapest.forecast(0.00217)?.minimum_detectable <= 0.002);
    /// assert_eq!(plan.cheapest(&Search { target: 1e-5, ..search })?, None);
    /// # Ok::<(), relscale::fit::FitError>(())
    /// ```
    pub fn cheapest(&self, search: &Search) -> Result<Option<Self>, FitError> {
        if !(search.target > 0.0 && search.target.is_finite()) {
            return Err(domain("target", search.target));
        }
        let mut best: Option<(Self, Forecast)> = None;
        for budgets in search.budgets.clone() {
            for sizes in search.sizes.clone() {
                for seeds in search.seeds.clone() {
                    let plan = Self {
                        budgets,
                        sizes,
                        seeds,
                        ..*self
                    };
                    let forecast = plan.forecast(search.margin)?;
                    let better = best.is_none_or(|(_, b)| {
                        // Of plans that cost the same, the more sensitive one.
                        (forecast.flops, forecast.minimum_detectable)
                            < (b.flops, b.minimum_detectable)
                    });
                    if forecast.minimum_detectable <= search.target && better {
                        best = Some((plan, forecast));
                    }
                }
            }
        }
        Ok(best.map(|(plan, _)| plan))
    }

    fn check(&self) -> Result<(), FitError> {
        if !(self.lowest_flops > 0.0 && self.lowest_flops.is_finite()) {
            return Err(domain("lowest_flops", self.lowest_flops));
        }
        if !(self.highest_flops > self.lowest_flops && self.highest_flops.is_finite()) {
            return Err(domain("highest_flops", self.highest_flops));
        }
        for (what, value, least) in [
            // Two budgets leave the slope no degree of freedom.
            ("budgets", self.budgets, 3),
            ("sizes", self.sizes, 1),
            ("seeds", self.seeds, 1),
        ] {
            if value < least {
                return Err(domain(what, f64::from(value)));
            }
        }
        for (what, value) in [
            ("budget_noise", self.budget_noise),
            ("run_noise", self.run_noise),
            ("frontier_error", self.frontier_error),
            ("cluster_noise", self.cluster_noise),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(domain(what, value));
            }
        }
        // One cluster is a sample whose variance cannot be estimated.
        match self.clusters {
            1 => Err(domain("clusters", 1.0)),
            _ => Ok(()),
        }
    }
}

fn domain(what: &str, value: f64) -> FitError {
    FitError::Domain {
        what: what.to_owned(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: PlannedLadder = PlannedLadder {
        lowest_flops: 1e18,
        highest_flops: 1e20,
        budgets: 7,
        sizes: 12,
        seeds: 1,
        budget_noise: 0.0,
        run_noise: 0.003,
        frontier_error: 1e-4,
        cluster_noise: 0.004,
        clusters: 50,
    };

    #[test]
    fn range_comes_before_count() {
        let advice = PLAN.advise(0.00217).unwrap();
        let rank = |change| advice.iter().position(|a| a.change == change).unwrap();
        assert!(rank(Change::DecadeAbove) < rank(Change::TwoBudgets));
        assert!(rank(Change::DecadeBelow) < rank(Change::DoubleSizes));
        // An extra decade below is cheap.
        assert!(advice[rank(Change::DecadeBelow)].flops_ratio < 1.1);
        // When items dominate, buy clusters.
        let scarce = PlannedLadder {
            cluster_noise: 0.05,
            ..PLAN
        };
        assert_eq!(
            scarce.advise(0.00217).unwrap()[0].change,
            Change::DoubleClusters
        );
    }

    #[test]
    fn odd_plans_are_refused() {
        for bad in [
            PlannedLadder {
                lowest_flops: 0.0,
                ..PLAN
            },
            PlannedLadder {
                highest_flops: 1e18,
                ..PLAN
            },
            PlannedLadder { budgets: 2, ..PLAN },
            PlannedLadder { sizes: 0, ..PLAN },
            PlannedLadder {
                run_noise: f64::NAN,
                ..PLAN
            },
            PlannedLadder {
                clusters: 1,
                ..PLAN
            },
        ] {
            assert!(bad.forecast(0.002).is_err());
        }
        assert!(PLAN.forecast(0.0).is_err());
    }
}
