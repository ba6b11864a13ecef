//! A power law in compute down to a floor, alone and against the law without one.
//!
//! # References
//! - G. H. Golub, V. Pereyra (1973), *SIAM J. Numerical Analysis* 10:413 (variable projection).
//! - D. M. Bates, D. G. Watts (1988), *Nonlinear Regression Analysis*, §6.1 (profile intervals).
//! - C. M. Hurvich, C.-L. Tsai (1989), *Biometrika* 76:297 (AICc).

use super::ln_add_exp;
use super::nonlinear::{
    Contour, Polished, Problem, Profile, accumulate, non_negative, polish, profile_end,
};
use super::points::Points;
use crate::fit::error::FitError;
use crate::fit::stats::checks::check_probability;
use crate::fit::stats::quantile::{f_quantile, f_sf};
use crate::fit::stats::regression::Line;

/// Exponents tried for the floor law.
const FLOOR_GRID: usize = 200;
/// Range of b·range(x): below it the law is a straight line in x, above it one step.
pub(super) const FLOOR_RANGE: [f64; 2] = [1e-3, 50.0];

/// E(x) = ε + A·e^{−b·x}: a power law in compute down to a floor. x = ln(F/F₀).
///
/// **Units**: ε and A in those of the errors, b per nat of compute, A at x = 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FloorLaw {
    /// ε ≥ 0.
    pub(crate) floor: f64,
    /// A ≥ 0, the reducible error at x = 0.
    pub(crate) amplitude: f64,
    /// b > 0.
    pub(crate) exponent: f64,
    /// Σ (ln E − ln Ê)².
    rss: f64,
    /// Profile interval of b; `None` is an end that the data do not determine.
    pub(crate) exponent_interval: (Option<f64>, Option<f64>),
    /// Profile interval of ε; a lower end of 0 is the boundary, not an estimate.
    pub(crate) floor_interval: (Option<f64>, Option<f64>),
}

impl FloorLaw {
    /// φ(x) = ε/E(x), the share of the error that scale does not remove.
    pub(crate) fn floor_share(&self, x: f64) -> f64 {
        (self.floor.ln() - self.curve().ln_error(x)).exp()
    }

    /// The law without its intervals.
    pub(crate) fn curve(&self) -> FloorCurve {
        FloorCurve {
            floor: self.floor,
            amplitude: self.amplitude,
            exponent: self.exponent,
        }
    }
}

/// The parameters of E(x) = ε + A·e^{−b·x}.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FloorCurve {
    /// ε ≥ 0.
    pub(crate) floor: f64,
    /// A ≥ 0.
    pub(crate) amplitude: f64,
    /// b > 0.
    pub(crate) exponent: f64,
}

impl FloorCurve {
    /// ln E at x, without overflow for any finite x.
    pub(crate) fn ln_error(&self, x: f64) -> f64 {
        ln_add_exp(self.floor.ln(), self.amplitude.ln() - self.exponent * x)
    }
}

/// Fits the floor law to `errors` at x = `ln_flops` (natural logarithms, any origin).
///
/// For each of 200 exponents b with b·range(x) from 1e-3 to 50, (ε, A) is the non-negative least
/// squares solution of the relative residuals; every local minimum is then polished in
/// (ln ε, ln A, ln b) on log-residuals. Intervals are
/// {θ : RSS(θ) ≤ RSS_min·(1 + F_{1,J−3}(`level`)/(J − 3))}, J points.
///
/// **Assumptions**: the floor law holds over the range; with seven budgets over two decades its
/// floor is often not identified, which the intervals say.
///
/// # Errors
/// When lengths differ, there are fewer than four points, a number is not finite, an error is
/// not positive, all x are equal, or `level` is outside (0, 1).
pub(crate) fn fit_floor_law(
    ln_flops: &[f64],
    errors: &[f64],
    level: f64,
) -> Result<FloorLaw, FitError> {
    check_probability("confidence level", level)?;
    let fitted = Fitted::new(ln_flops, errors)?;
    let (exponent_interval, floor_interval) =
        (fitted.problem).intervals(&fitted.fit, fitted.power_cost, fitted.range, level);
    let FloorCurve {
        floor,
        amplitude,
        exponent,
    } = fitted.curve();
    Ok(FloorLaw {
        floor,
        amplitude,
        exponent,
        rss: fitted.problem.rss(&fitted.fit.parameters),
        exponent_interval,
        floor_interval,
    })
}

/// The law of [`fit_floor_law`] without the search for its intervals, which takes most of the time.
///
/// # Errors
/// As [`fit_floor_law`].
pub(crate) fn fit_floor_curve(ln_flops: &[f64], errors: &[f64]) -> Result<FloorCurve, FitError> {
    Ok(Fitted::new(ln_flops, errors)?.curve())
}

/// A fit, and what its intervals need.
struct Fitted {
    problem: FloorProblem,
    fit: Polished<3>,
    /// Cost of the law without a floor.
    power_cost: f64,
    /// Range of x, and its mean, which the problem is centred at.
    range: f64,
    centre: f64,
}

impl Fitted {
    fn new(ln_flops: &[f64], errors: &[f64]) -> Result<Self, FitError> {
        let points = Points::new(ln_flops, errors, 4)?;
        // At ln F near 45, the squares of e^{−b·x} would underflow for the larger exponents of the
        // grid.
        let centre = points.x_mean;
        let problem = FloorProblem {
            x: points.x.iter().map(|x| x - centre).collect(),
            ln_e: points.ln_e.clone(),
        };
        let with_floor = problem.search(points.range);
        // Without a floor the law is a straight line in logarithms.
        let power = polish(
            &problem,
            [f64::NEG_INFINITY, points.ln_e_mean, points.slope_guess()],
            [false, true, true],
            None,
        );
        let reached = with_floor.as_ref().map_or(f64::INFINITY, |f| f.cost);
        // Without a floor ln ε runs to −∞; a tie is decided for the law with fewer parameters.
        let no_floor = power.cost.is_finite() && power.cost <= reached * (1.0 + 1e-12);
        let fit = match (no_floor, with_floor) {
            (true, _) => power,
            (false, Some(fit)) => fit,
            (false, None) => {
                return Err(FitError::NoConvergence {
                    what: "the floor law".to_owned(),
                });
            }
        };
        Ok(Self {
            problem,
            fit,
            power_cost: power.cost,
            range: points.range,
            centre,
        })
    }

    fn curve(&self) -> FloorCurve {
        let [ln_floor, ln_amplitude, ln_b] = self.fit.parameters;
        let b = ln_b.exp();
        FloorCurve {
            floor: ln_floor.exp(),
            amplitude: (ln_amplitude + b * self.centre).exp(),
            exponent: b,
        }
    }
}

/// The floor law beside the power law without a floor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LawComparison {
    /// The floor law.
    pub(crate) floor: FloorLaw,
    /// AICc of the floor law less that of the power law; `None` when there are too few points for
    /// its correction.
    pub(crate) aicc_difference: Option<f64>,
    /// P(F > f) of the floor law against the power law, 1 and J − 3 degrees of freedom;
    /// conservative, because under the null hypothesis the floor is at its boundary.
    pub(crate) floor_p_value: f64,
}

/// Fits the power law ln E = ln α − β·x and the floor law to `errors` at x = `ln_flops`.
///
/// Both minimise the same log-residuals, so their AICc are comparable.
///
/// # Errors
/// As [`fit_floor_law`].
pub(crate) fn compare_laws(
    ln_flops: &[f64],
    errors: &[f64],
    level: f64,
) -> Result<LawComparison, FitError> {
    let n = errors.len();
    let floor = fit_floor_law(ln_flops, errors, level)?;
    let points = Points::new(ln_flops, errors, 4)?;
    let power_rss = Line::new(&points.x, &points.ln_e)?.fit().rss();
    let df = n as f64 - 3.0;
    // `max` also where both are exact: 0/0 is no evidence for a floor.
    let f = ((power_rss - floor.rss).max(0.0) / floor.rss * df).max(0.0);
    let f = if f.is_nan() { 0.0 } else { f };
    // The variance counts as a parameter.
    // AICc, not AIC: with seven readings the correction is larger than the penalty itself.
    let both = aicc(floor.rss, n, 4).zip(aicc(power_rss, n, 3));
    Ok(LawComparison {
        aicc_difference: both.map(|(floor, power)| floor - power),
        floor_p_value: f_sf(f, 1.0, df),
        floor,
    })
}

/// Akaike's criterion with its small-sample correction, n·ln(rss/n) + 2k + 2k(k + 1)/(n − k − 1);
/// `None` where that is undefined.
pub(super) fn aicc(rss: f64, n: usize, k: usize) -> Option<f64> {
    let (n, k) = (n as f64, k as f64);
    let left = n - k - 1.0;
    let value = n * (rss / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / left;
    (left > 0.0 && value.is_finite()).then_some(value)
}

struct FloorProblem {
    x: Vec<f64>,
    ln_e: Vec<f64>,
}

/// The two ends of an interval; `None` where the data do not determine one.
type Ends = (Option<f64>, Option<f64>);

impl FloorProblem {
    /// For a fixed b: the sum of squared relative residuals at the best ε, A ≥ 0, and those.
    fn project(&self, b: f64) -> (f64, [f64; 2]) {
        let mut gram = [[0.0; 3]; 3];
        for (x, ln_e) in self.x.iter().zip(&self.ln_e) {
            let row = [(-ln_e).exp(), (-b * x - ln_e).exp(), 1.0];
            accumulate(&mut gram, &row);
        }
        non_negative(&gram)
    }

    /// The best of the polished local minima over a grid of exponents.
    fn search(&self, range: f64) -> Option<Polished<3>> {
        let [lowest, highest] = FLOOR_RANGE;
        let grid: Vec<f64> = (0..FLOOR_GRID)
            .map(|k| {
                let share = k as f64 / (FLOOR_GRID - 1) as f64;
                (lowest.ln() + share * (highest / lowest).ln()).exp() / range
            })
            .collect();
        let scan: Vec<(f64, [f64; 2])> = grid.iter().map(|b| self.project(*b)).collect();
        let mut best: Option<Polished<3>> = None;
        for k in 0..grid.len() {
            let here = scan[k].0;
            // `<=` on one side and `<` on the other: a plateau gives one start, not one per point.
            let lower = k == 0 || here <= scan[k - 1].0;
            let upper = k + 1 == grid.len() || here < scan[k + 1].0;
            if !(lower && upper && here.is_finite()) {
                continue;
            }
            let [floor, amplitude] = scan[k].1;
            // Logarithms need a positive start: a thousandth of the whole stands for zero.
            let size = floor + amplitude;
            let start = [
                floor.max(1e-3 * size).ln(),
                amplitude.max(1e-3 * size).ln(),
                grid[k].ln(),
            ];
            let polished = polish(self, start, [true; 3], None);
            if best.as_ref().is_none_or(|b| polished.cost < b.cost) {
                best = Some(polished);
            }
        }
        best
    }

    /// Profile intervals of b and ε at the fit, the law without a floor costing `power_cost`.
    fn intervals(
        &self,
        fit: &Polished<3>,
        power_cost: f64,
        range: f64,
        level: f64,
    ) -> (Ends, Ends) {
        // Four points leave one degree of freedom, whose F quantile is 161: intervals are wide,
        // rightly.
        let df = self.x.len() as f64 - 3.0;
        if df <= 0.0 {
            return ((None, None), (None, None));
        }
        let contour = Contour {
            least: fit.cost,
            threshold: fit.cost * (1.0 + f_quantile(level, 1.0, df) / df),
        };
        let by_exponent = |u: f64, near: &[f64; 3]| {
            polish(self, [near[0], near[1], u], [true, true, false], None)
        };
        let by_floor = |u: f64, near: &[f64; 3]| {
            polish(self, [u, near[1], near[2]], [false, true, true], None)
        };
        let end = |profile: Profile<'_, 3>, from: f64, to: f64| {
            profile_end(profile, &fit.parameters, [from, to], contour).map(f64::exp)
        };
        let [ln_floor, _, ln_b] = fit.parameters;
        let smallest = self.ln_e.iter().copied().fold(f64::INFINITY, f64::min);
        // A floor of e^-40 of the smallest error is none.
        let negligible = smallest - 40.0;
        // Zero cannot be reached in ln ε, so the law without a floor is asked directly.
        let floor_low = if ln_floor == f64::NEG_INFINITY || power_cost <= contour.threshold {
            Some(0.0)
        } else {
            end(&by_floor, ln_floor, negligible)
        };
        // From no floor at all, the search for the upper end starts at a negligible one.
        let from = ln_floor.max(negligible);
        let limit = FLOOR_RANGE.map(|b| (b / range).ln());
        (
            (
                end(&by_exponent, ln_b, limit[0]),
                end(&by_exponent, ln_b, limit[1]),
            ),
            (floor_low, end(&by_floor, from, smallest)),
        )
    }
}

impl Problem<3> for FloorProblem {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn residual(&self, i: usize, &[ln_floor, ln_a, ln_b]: &[f64; 3]) -> (f64, [f64; 3]) {
        let b = ln_b.exp();
        let reducible = ln_a - b * self.x[i];
        let total = ln_add_exp(ln_floor, reducible);
        let share = (reducible - total).exp();
        (
            self.ln_e[i] - total,
            [(ln_floor - total).exp(), share, -share * b * self.x[i]],
        )
    }
}
