//! Before training: what a ladder can detect, and what to buy to detect more.
//!
//! Var δ̂ ≈ (σ_B² + σ_v²·h̄/R)/Σx² + s̄²·Var(e₁) + ω²/G, with h̄ ≈ 9/(4K) the variance of a cubic
//! read in the middle of K sizes and Σx² = J(J + 1)·ln²(F_max/F_min)/(12(J − 1)) for J evenly
//! spaced budgets. Range enters squared, counts only linearly: widen the ladder before adding
//! budgets, runs or items.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::error::FitError;
use super::stats::checks::check_probability;
use super::stats::quantile::{chi_mean, nct_cdf, nct_sf, normal_cdf, t_critical, t_quantile};

/// Probability that the two-sided t test at level `alpha` rejects δ = 0 when the truth is `delta`.
///
/// NaN when an argument is outside its domain.
///
/// # Examples
/// ```
/// let power = relscale::fit::planning::power(0.0022, 6.27e-4, 5.0, 0.05);
/// assert!((power - 0.80).abs() < 0.005);
/// ```
pub fn power(delta: f64, standard_error: f64, df: f64, alpha: f64) -> f64 {
    let critical = t_critical(1.0 - alpha, df);
    let shift = delta / standard_error;
    nct_sf(critical, df, shift) + nct_cdf(-critical, df, shift)
}

/// The multiple c of the standard error that is detected with probability `power`: the minimum
/// detectable |δ| is c·s.e. (4.26, 3.51, 3.27, 3.11, 2.95 for ν = 3, 5, 7, 10, 20 at 80 %, 5 %).
///
/// # Errors
/// When `df` is not positive, `alpha` or `wanted` is outside (0, 1), or `wanted` ≤ `alpha`.
pub fn detectable_multiple(df: f64, alpha: f64, wanted: f64) -> Result<f64, FitError> {
    check_probability("alpha", alpha)?;
    check_probability("power", wanted)?;
    let domain = |what: &str, value: f64| FitError::Domain {
        what: what.to_owned(),
        value,
    };
    if df.is_nan() || df <= 0.0 {
        return Err(domain("degrees of freedom", df));
    }
    if wanted <= alpha {
        return Err(domain("power", wanted));
    }
    let (mut low, mut high) = (0.0, 1.0);
    while power(high, 1.0, df, alpha) < wanted {
        low = high;
        high *= 2.0;
        if high > 1e9 {
            return Err(FitError::NoConvergence {
                what: "the detectable multiple".to_owned(),
            });
        }
    }
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if power(middle, 1.0, df, alpha) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(0.5 * (low + high))
}

/// Probability that TOST at level `alpha` finds |δ| < `margin` when the truth is `delta`.
///
/// E over s = √(χ²_ν/ν) of the probability that δ̂ falls within ±(margin − t·s·s.e.). NaN when an
/// argument is outside its domain.
///
/// # References
/// K. F. Phillips (1990), *J. Pharmacokinetics and Biopharmaceutics* 18:137.
pub fn equivalence_power(delta: f64, standard_error: f64, df: f64, margin: f64, alpha: f64) -> f64 {
    if !(standard_error > 0.0 && margin > 0.0 && delta.is_finite() && alpha > 0.0 && alpha < 1.0) {
        return f64::NAN;
    }
    let critical = t_quantile(1.0 - alpha, df);
    let (room, shift) = (margin / standard_error, delta / standard_error);
    chi_mean(df, |s| {
        let half = room - critical * s;
        if half <= 0.0 {
            0.0
        } else {
            normal_cdf(half - shift) - normal_cdf(-half - shift)
        }
    })
}

/// A ladder that is not trained yet, and the noise expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
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

/// What a [`Plan`] promises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

impl Plan {
    /// Forecasts the analysis of this plan; `margin` is that of the equivalence test.
    ///
    /// # Errors
    /// [`FitError::Domain`] when a field is outside its range, all noise is zero, or `margin` is
    /// not positive.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::planning::Plan;
    /// let plan = Plan {
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
    /// # Ok::<(), relscale::fit::error::FitError>(())
    /// ```
    pub fn forecast(&self, margin: f64) -> Result<Forecast, FitError> {
        let domain = |what: &str, value: f64| {
            Err(FitError::Domain {
                what: what.to_owned(),
                value,
            })
        };
        if !(self.lowest_flops > 0.0 && self.lowest_flops.is_finite()) {
            return domain("lowest_flops", self.lowest_flops);
        }
        if !(self.highest_flops > self.lowest_flops && self.highest_flops.is_finite()) {
            return domain("highest_flops", self.highest_flops);
        }
        for (what, value, least) in [
            ("budgets", self.budgets, 3),
            ("sizes", self.sizes, 1),
            ("seeds", self.seeds, 1),
        ] {
            if value < least {
                return domain(what, f64::from(value));
            }
        }
        for (what, value) in [
            ("budget_noise", self.budget_noise),
            ("run_noise", self.run_noise),
            ("frontier_error", self.frontier_error),
            ("cluster_noise", self.cluster_noise),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return domain(what, value);
            }
        }
        if self.clusters == 1 {
            return domain("clusters", 1.0);
        }
        if !(margin > 0.0 && margin.is_finite()) {
            return domain("margin", margin);
        }
        let j = f64::from(self.budgets);
        let range = (self.highest_flops / self.lowest_flops).ln();
        let spread = j * (j + 1.0) * range * range / (12.0 * (j - 1.0));
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
            return domain("the total noise", variance);
        }
        let mut inverse = (run / variance).powi(2) / (j - 2.0);
        if self.clusters > 1 {
            inverse += (item_variance / variance).powi(2) / f64::from(self.clusters - 1);
        }
        let df = 1.0 / inverse;
        let standard_error = variance.sqrt();
        let step = range / (j - 1.0);
        let ladder: f64 = (0..self.budgets)
            .map(|k| self.lowest_flops * (step * f64::from(k)).exp())
            .sum();
        Ok(Forecast {
            run_variance,
            frontier_variance,
            item_variance,
            standard_error,
            df,
            minimum_detectable: detectable_multiple(df, 0.05, 0.8)? * standard_error,
            equivalence_power: equivalence_power(0.0, standard_error, df, margin, 0.05),
            flops: ladder * f64::from(self.sizes) * f64::from(self.seeds),
        })
    }

    /// The cheapest plan that detects `target` with 80 % probability at 5 %: the same range, items
    /// and noise, with the budgets, sizes and seeds that cost the fewest FLOPs; of equals, the one
    /// with the smaller detectable δ. `None` where no plan within `budgets`, `sizes` and `seeds`
    /// does: then a wider range or more clusters are needed, see [`Plan::advise`].
    ///
    /// # Errors
    /// As [`Plan::forecast`], and [`FitError::Domain`] when `target` is not positive.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::planning::Plan;
    /// let plan = Plan {
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
    /// let cheapest = plan.cheapest(0.002, 0.00217, 5..=9, 7..=15, 1..=3)?.unwrap();
    /// assert!(cheapest.forecast(0.00217)?.minimum_detectable <= 0.002);
    /// assert_eq!(plan.cheapest(1e-5, 0.00217, 5..=9, 7..=15, 1..=3)?, None);
    /// # Ok::<(), relscale::fit::error::FitError>(())
    /// ```
    pub fn cheapest(
        &self,
        target: f64,
        margin: f64,
        budgets: RangeInclusive<u32>,
        sizes: RangeInclusive<u32>,
        seeds: RangeInclusive<u32>,
    ) -> Result<Option<Plan>, FitError> {
        if !(target > 0.0 && target.is_finite()) {
            return Err(FitError::Domain {
                what: "target".to_owned(),
                value: target,
            });
        }
        let mut best: Option<(Plan, Forecast)> = None;
        for budgets in budgets {
            for sizes in sizes.clone() {
                for seeds in seeds.clone() {
                    let plan = Plan {
                        budgets,
                        sizes,
                        seeds,
                        ..*self
                    };
                    let forecast = plan.forecast(margin)?;
                    let better = best.is_none_or(|(_, b)| {
                        (forecast.flops, forecast.minimum_detectable)
                            < (b.flops, b.minimum_detectable)
                    });
                    if forecast.minimum_detectable <= target && better {
                        best = Some((plan, forecast));
                    }
                }
            }
        }
        Ok(best.map(|(plan, _)| plan))
    }

    /// What each single change of the plan would bring, best first: the smallest detectable δ,
    /// and of equals the cheaper.
    ///
    /// # Errors
    /// As [`Plan::forecast`].
    pub fn advise(&self, margin: f64) -> Result<Vec<Advice>, FitError> {
        let now = self.forecast(margin)?;
        let mut changes = vec![
            (
                Change::DecadeBelow,
                Plan {
                    lowest_flops: 0.1 * self.lowest_flops,
                    ..*self
                },
            ),
            (
                Change::DecadeAbove,
                Plan {
                    highest_flops: 10.0 * self.highest_flops,
                    ..*self
                },
            ),
            (
                Change::TwoBudgets,
                Plan {
                    budgets: self.budgets.saturating_add(2),
                    ..*self
                },
            ),
            (
                Change::DoubleSizes,
                Plan {
                    sizes: self.sizes.saturating_mul(2),
                    ..*self
                },
            ),
            (
                Change::DoubleSeeds,
                Plan {
                    seeds: self.seeds.saturating_mul(2),
                    ..*self
                },
            ),
        ];
        if self.clusters > 1 {
            changes.push((
                Change::DoubleClusters,
                Plan {
                    clusters: self.clusters.saturating_mul(2),
                    ..*self
                },
            ));
        }
        let mut advice = Vec::with_capacity(changes.len());
        for (change, plan) in changes {
            let forecast = plan.forecast(margin)?;
            advice.push(Advice {
                change,
                plan,
                forecast,
                detectable_ratio: forecast.minimum_detectable / now.minimum_detectable,
                flops_ratio: forecast.flops / now.flops,
            });
        }
        advice.sort_by(|a, b| {
            (a.detectable_ratio.total_cmp(&b.detectable_ratio))
                .then(a.flops_ratio.total_cmp(&b.flops_ratio))
        });
        Ok(advice)
    }
}

/// One change of a [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What one change would bring.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// The change.
    pub change: Change,
    /// The plan after it.
    pub plan: Plan,
    /// Its forecast.
    pub forecast: Forecast,
    /// Minimum detectable δ after over before; below 1 is better.
    pub detectable_ratio: f64,
    /// Training FLOPs after over before.
    pub flops_ratio: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
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
    fn detectable_multiples_are_those_of_the_noncentral_t() {
        for (df, wanted) in [
            (3.0, 4.26),
            (5.0, 3.51),
            (7.0, 3.27),
            (10.0, 3.11),
            (20.0, 2.95),
        ] {
            let found = detectable_multiple(df, 0.05, 0.8).unwrap();
            assert!((found - wanted).abs() < 0.006, "{df}: {found}");
        }
        assert!(detectable_multiple(5.0, 0.05, 0.04).is_err());
        assert!(detectable_multiple(f64::NAN, 0.05, 0.8).is_err());
    }

    #[test]
    fn powers_have_their_limits() {
        assert!((power(0.0, 1.0, 5.0, 0.05) - 0.05).abs() < 1e-12);
        assert!(power(100.0, 1.0, 5.0, 0.05) > 1.0 - 1e-12);
        // At the margin TOST rejects with at most α; with vanishing noise exactly α.
        let at_margin = equivalence_power(1.0, 1e-3, 5.0, 1.0, 0.05);
        assert!((at_margin - 0.05).abs() < 1e-9, "{at_margin}");
        assert!(equivalence_power(0.0, 1e-3, 5.0, 1.0, 0.05) > 1.0 - 1e-9);
        assert!(equivalence_power(0.0, 1e3, 5.0, 1.0, 0.05) < 1e-3);
        assert!(equivalence_power(0.0, 0.0, 5.0, 1.0, 0.05).is_nan());
    }

    #[test]
    fn equivalence_power_agrees_with_simulation() {
        // 20,000 seeded replicates of an estimate with 5 degrees of freedom.
        let (delta, margin) = (0.3, 4.0);
        let mut hits = 0;
        for replicate in 0..20_000 {
            let mut stream = super::super::stats::random::Stream::new(9, "tost", replicate);
            let estimate = super::super::stats::regression::TEstimate {
                value: delta + stream.normal(),
                standard_error: (stream.chi2(5.0) / 5.0).sqrt(),
                df: 5.0,
            };
            hits += i32::from(estimate.equivalence_p(margin) <= 0.05);
        }
        let found = f64::from(hits) / 20_000.0;
        let wanted = equivalence_power(delta, 1.0, 5.0, margin, 0.05);
        assert!((found - wanted).abs() < 0.012, "{found} {wanted}");
    }

    #[test]
    fn range_comes_before_count() {
        let advice = PLAN.advise(0.00217).unwrap();
        let rank = |change| advice.iter().position(|a| a.change == change).unwrap();
        assert!(rank(Change::DecadeAbove) < rank(Change::TwoBudgets));
        assert!(rank(Change::DecadeBelow) < rank(Change::DoubleSizes));
        // An extra decade below is cheap.
        assert!(advice[rank(Change::DecadeBelow)].flops_ratio < 1.1);
        // When items dominate, buy clusters.
        let scarce = Plan {
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
            Plan {
                lowest_flops: 0.0,
                ..PLAN
            },
            Plan {
                highest_flops: 1e18,
                ..PLAN
            },
            Plan { budgets: 2, ..PLAN },
            Plan { sizes: 0, ..PLAN },
            Plan {
                run_noise: f64::NAN,
                ..PLAN
            },
            Plan {
                clusters: 1,
                ..PLAN
            },
        ] {
            assert!(bad.forecast(0.002).is_err());
        }
        assert!(PLAN.forecast(0.0).is_err());
    }
}
