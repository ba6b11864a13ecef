//! Parametric laws of one distribution: power, semi-log, floor, and the surface L(N, D).
//!
//! Every law is fitted to logarithmic residuals ln E − ln Ê, the scale on which noise between
//! runs is roughly constant. Nonlinear fits are deterministic: linear parameters are eliminated
//! (variable projection, non-negative least squares) and the rest searched on a grid, then every
//! local minimum of the grid is polished by Levenberg–Marquardt with analytic derivatives, so
//! there are no random starts to agree or disagree. Each fit carries a [`Certificate`].
//!
//! # References
//! - G. H. Golub, V. Pereyra (1973), *SIAM J. Numerical Analysis* 10:413 (variable projection).
//! - J. J. Moré (1978), *Lecture Notes in Mathematics* 630:105 (Levenberg–Marquardt).
//! - J. Hoffmann et al. (2022), arXiv:2203.15556, §3.3; T. Besiroglu et al. (2024),
//!   arXiv:2404.10102; S. Czech et al. (2026), arXiv:2603.22339.
//! - D. M. Bates, D. G. Watts (1988), *Nonlinear Regression Analysis*, §6.1 (profile intervals).

mod surface;

use nalgebra::{SMatrix, SVector, SymmetricEigen};
use serde::{Deserialize, Serialize};

use super::quantile::{f_quantile, f_sf, t_critical};
use super::regression::{
    Line, check_count, check_finite, check_length, check_probability, compensated_sum,
};
use crate::fit::error::FitError;

pub use surface::{Allocation, Surface, SurfaceIntervals, check_surface_design, fit_surface};

/// What a nonlinear fit can show for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Largest |cosine| between the (Huber-clipped) residuals and a column of the Jacobian: 0 at
    /// an exact stationary point, scale-free.
    pub gradient: f64,
    /// Condition number of the Jacobian with columns scaled to length one. Above 1e6 the
    /// parameters are not separately identified, though predictions inside the data may be.
    pub condition: f64,
    /// Local minima of the grid that were polished, and how many of them reached the reported fit.
    pub starts: usize,
    /// See `starts`.
    pub agreeing: usize,
    /// Names of parameters at the edge of their range; intervals are one-sided there.
    pub at_bound: Vec<String>,
}

/// E(x) = ε + A·e^{−b·x}: a power law in compute down to a floor. x = ln(F/F₀).
///
/// **Units**: ε and A in those of the errors, b per nat of compute, A at x = 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FloorLaw {
    /// ε ≥ 0.
    pub floor: f64,
    /// A ≥ 0, the reducible error at x = 0.
    pub amplitude: f64,
    /// b > 0.
    pub exponent: f64,
    /// Σ (ln E − ln Ê)².
    pub rss: f64,
    /// Σ ρ(ln E − ln Ê): ½·r² within the Huber threshold, linear beyond; rss/2 without one.
    pub cost: f64,
    /// Profile interval of b; `None` is an end that the data do not determine.
    pub exponent_interval: (Option<f64>, Option<f64>),
    /// Profile interval of ε; a lower end of 0 is the boundary, not an estimate.
    pub floor_interval: (Option<f64>, Option<f64>),
    /// Evidence of convergence.
    pub certificate: Certificate,
}

impl FloorLaw {
    /// ln E at x, without overflow for any finite x.
    pub fn ln_error(&self, x: f64) -> f64 {
        ln_add_exp(self.floor.ln(), self.amplitude.ln() - self.exponent * x)
    }

    /// φ(x) = ε/E(x), the share of the error that scale does not remove.
    pub fn floor_share(&self, x: f64) -> f64 {
        (self.floor.ln() - self.ln_error(x)).exp()
    }

    /// −d ln E/dx = b·(1 − φ(x)): the exponent that a pure power law sees locally.
    pub fn local_exponent(&self, x: f64) -> f64 {
        self.exponent * (1.0 - self.floor_share(x))
    }
}

/// Fits the floor law to `errors` at x = `ln_flops` (natural logarithms, any origin).
///
/// For each of 200 exponents b with b·range(x) from 1e-3 to 50, (ε, A) is the non-negative least
/// squares solution of the relative residuals; every local minimum is then polished in
/// (ln ε, ln A, ln b) on log-residuals, by least squares or with Huber's loss of threshold
/// `huber` (in log-error units). Intervals are {θ : RSS(θ) ≤ RSS_min·(1 + F_{1,J−3}(`level`)/(J − 3))}.
///
/// **Assumptions**: the floor law holds over the range; with seven budgets over two decades its
/// floor is often not identified, which the intervals say.
///
/// # Errors
/// When lengths differ, there are fewer than four points, a number is not finite, an error is
/// not positive, all x are equal, `huber` is not positive, or `level` is outside (0, 1).
///
/// # Examples
/// ```
/// use relscale::fit::laws::fit_floor_law;
/// let x: Vec<f64> = (0..7).map(|j| j as f64 - 3.0).collect();
/// let errors: Vec<f64> = x.iter().map(|x| 1.8 + 1.2 * (-0.15 * x).exp()).collect();
/// let law = fit_floor_law(&x, &errors, None, 0.95)?;
/// assert!((law.floor - 1.8).abs() < 1e-9 && (law.exponent - 0.15).abs() < 1e-9);
/// # Ok::<(), relscale::fit::error::FitError>(())
/// ```
pub fn fit_floor_law(
    ln_flops: &[f64],
    errors: &[f64],
    huber: Option<f64>,
    level: f64,
) -> Result<FloorLaw, FitError> {
    let n = errors.len();
    check_probability("confidence level", level)?;
    check_huber(huber)?;
    let points = Points::new(ln_flops, errors, 4)?;
    let centre = points.x_mean;
    let problem = FloorProblem {
        x: points.x.iter().map(|x| x - centre).collect(),
        ln_e: points.ln_e.clone(),
    };
    let range = points.range;
    let grid: Vec<f64> = (0..FLOOR_GRID)
        .map(|k| {
            let share = k as f64 / (FLOOR_GRID - 1) as f64;
            (1e-3_f64.ln() + share * (50.0_f64 / 1e-3).ln()).exp() / range
        })
        .collect();
    let scan: Vec<(f64, [f64; 2])> = grid.iter().map(|b| problem.project(*b)).collect();
    // The smallest polishable share; a parameter below it stands for zero.
    let mut best: Option<(Polished<3>, usize, usize)> = None;
    let (mut starts, mut costs) = (0, Vec::new());
    for k in 0..grid.len() {
        let here = scan[k].0;
        let lower = k == 0 || here <= scan[k - 1].0;
        let upper = k + 1 == grid.len() || here < scan[k + 1].0;
        if !(lower && upper && here.is_finite()) {
            continue;
        }
        starts += 1;
        let [floor, amplitude] = scan[k].1;
        let size = floor + amplitude;
        let start = [
            floor.max(1e-3 * size).ln(),
            amplitude.max(1e-3 * size).ln(),
            grid[k].ln(),
        ];
        let polished = polish(&problem, start, [true; 3], huber);
        costs.push(polished.cost);
        if best.as_ref().is_none_or(|(b, ..)| polished.cost < b.cost) {
            best = Some((polished, k, starts));
        }
    }
    // Without a floor the law is a straight line in logarithms.
    let power = polish(
        &problem,
        [f64::NEG_INFINITY, points.ln_e_mean, points.slope_guess()],
        [false, true, true],
        huber,
    );
    let no_floor = power.cost.is_finite() && {
        let reached = best.as_ref().map_or(f64::INFINITY, |b| b.0.cost);
        power.cost <= reached * (1.0 + 1e-12)
    };
    let fit = match (no_floor, best) {
        (true, _) => power,
        (false, Some(best)) => best.0,
        (false, None) => {
            return Err(FitError::NoConvergence {
                what: "the floor law".to_owned(),
            });
        }
    };
    let agreeing = costs
        .iter()
        .filter(|c| **c <= fit.cost * (1.0 + 1e-6) + 1e-28)
        .count();
    let [ln_floor, ln_amplitude, ln_b] = fit.parameters;
    let b = ln_b.exp();
    let mut at_bound = Vec::new();
    let share = (ln_floor - ln_add_exp(ln_floor, ln_amplitude)).exp();
    if share < 1e-9 {
        at_bound.push("floor".to_owned());
    }
    if share > 1.0 - 1e-9 {
        at_bound.push("amplitude".to_owned());
    }
    if b * range < 1.01e-3 || b * range > 49.5 {
        at_bound.push("exponent".to_owned());
    }
    let rss = problem.rss(&fit.parameters);
    let df = n as f64 - 3.0;
    let (exponent_interval, floor_interval) = if df > 0.0 {
        let threshold = fit.cost * (1.0 + f_quantile(level, 1.0, df) / df);
        let by_exponent = |u: f64, near: &[f64; 3]| {
            polish(&problem, [near[0], near[1], u], [true, true, false], huber)
        };
        let by_floor = |u: f64, near: &[f64; 3]| {
            polish(&problem, [u, near[1], near[2]], [false, true, true], huber)
        };
        let end = |profile: &dyn Fn(f64, &[f64; 3]) -> Polished<3>, from: f64, to: f64| {
            profile_end(profile, &fit.parameters, [from, to], [fit.cost, threshold])
        };
        let smallest = problem.ln_e.iter().copied().fold(f64::INFINITY, f64::min);
        let floor_low = if ln_floor == f64::NEG_INFINITY || power.cost <= threshold {
            Some(0.0)
        } else {
            end(&by_floor, ln_floor, smallest - 40.0).map(f64::exp)
        };
        // From no floor at all, the search for the upper end starts at a negligible one.
        let from = ln_floor.max(smallest - 40.0);
        (
            (
                end(&by_exponent, ln_b, (1e-3 / range).ln()).map(f64::exp),
                end(&by_exponent, ln_b, (50.0 / range).ln()).map(f64::exp),
            ),
            (floor_low, end(&by_floor, from, smallest).map(f64::exp)),
        )
    } else {
        ((None, None), (None, None))
    };
    Ok(FloorLaw {
        floor: ln_floor.exp(),
        amplitude: (ln_amplitude + b * centre).exp(),
        exponent: b,
        rss,
        cost: fit.cost,
        exponent_interval,
        floor_interval,
        certificate: Certificate {
            gradient: fit.gradient,
            condition: condition(&problem, &fit.parameters, huber),
            starts,
            agreeing,
            at_bound,
        },
    })
}

/// The law with the fewest assumptions that a ladder can still reject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LawComparison {
    /// ln E = ln α − β·x: slope −β and Σ of squared log-residuals.
    pub power: StraightLaw,
    /// E = a − b·x: slope −b; log-residuals of the fitted line.
    pub semi_log: StraightLaw,
    /// The floor law and its rss.
    pub floor: FloorLaw,
    /// AICc of the floor law; `None` when there are too few points for its correction.
    pub floor_aicc: Option<f64>,
    /// F of the floor law against the power law, 1 and J − 3 degrees of freedom.
    pub floor_f: f64,
    /// P(F > f); conservative, because under the null hypothesis the floor is at its boundary.
    pub floor_p_value: f64,
}

/// A two-parameter law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StraightLaw {
    /// Value (ln E or E) at x = 0.
    pub level: f64,
    /// Its change per nat of compute.
    pub slope: f64,
    /// Σ (ln E − ln Ê)².
    pub rss: f64,
    /// n·ln(rss/n) + 2k + 2k(k + 1)/(n − k − 1) with k = 3 (the variance counts).
    pub aicc: Option<f64>,
}

/// Fits power, semi-log and floor law to `errors` at x = `ln_flops` and compares them.
///
/// All three minimise the same log-residuals, so their AICc are comparable.
///
/// # Errors
/// As [`fit_floor_law`].
///
/// # References
/// C. M. Hurvich, C.-L. Tsai (1989), *Biometrika* 76:297 (AICc).
pub fn compare_laws(
    ln_flops: &[f64],
    errors: &[f64],
    level: f64,
) -> Result<LawComparison, FitError> {
    let n = errors.len();
    let floor = fit_floor_law(ln_flops, errors, None, level)?;
    let points = Points::new(ln_flops, errors, 4)?;
    let line = Line::new(&points.x, &points.ln_e)?;
    let slope = line.slope().value;
    let power = StraightLaw {
        level: line.at(0.0).value,
        slope,
        rss: line.fit().rss(),
        aicc: aicc(line.fit().rss(), n, 3),
    };
    let problem = SemiLogProblem {
        x: points.x.iter().map(|x| x - points.x_mean).collect(),
        ln_e: points.ln_e.clone(),
    };
    let middle = points.ln_e_mean.exp();
    // A start that is positive over the whole range.
    let tilt = (slope * middle).clamp(-0.9 * middle / points.range, 0.9 * middle / points.range);
    let straight = polish(&problem, [middle, tilt], [true; 2], None);
    let [height, tilt] = straight.parameters;
    let rss = 2.0 * straight.cost;
    let df = n as f64 - 3.0;
    let floor_f = ((power.rss - floor.rss).max(0.0) / floor.rss * df).max(0.0);
    let floor_f = if floor_f.is_nan() { 0.0 } else { floor_f };
    Ok(LawComparison {
        power,
        semi_log: StraightLaw {
            level: height - tilt * points.x_mean,
            slope: tilt,
            rss,
            aicc: aicc(rss, n, 3),
        },
        floor_aicc: aicc(floor.rss, n, 4),
        floor_f,
        floor_p_value: f_sf(floor_f, 1.0, df),
        floor,
    })
}

/// Akaike's criterion with its small-sample correction; `None` where that is undefined.
fn aicc(rss: f64, n: usize, k: usize) -> Option<f64> {
    let (n, k) = (n as f64, k as f64);
    let left = n - k - 1.0;
    let value = n * (rss / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / left;
    (left > 0.0 && value.is_finite()).then_some(value)
}

/// One prediction of a held-out reading from the readings below it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Readings fitted, the lowest in x.
    pub fitted: usize,
    /// x of the reading held out.
    pub x: f64,
    /// y of the reading held out.
    pub observed: f64,
    /// The straight line's prediction.
    pub predicted: f64,
    /// Whether its prediction interval holds the reading.
    pub covered: bool,
    /// Half the width of that interval.
    pub half_width: f64,
    /// |observed − mean of the fitted readings|.
    pub constant_error: f64,
    /// |observed − last fitted reading|.
    pub last_error: f64,
}

/// Ordered backtest of a straight line: fits the lowest J − 1, J − 2 and J − 3 readings (at least
/// three) and predicts every reading above.
///
/// `x` must increase. Pool the outcome over distributions: a handful of points prove nothing.
///
/// # Errors
/// When lengths differ, a number is not finite, `x` does not increase, there are fewer than four
/// readings, or `level` is outside (0, 1).
pub fn ordered_backtest(x: &[f64], y: &[f64], level: f64) -> Result<Vec<HeldOut>, FitError> {
    check_probability("confidence level", level)?;
    check_length("y", y.len(), x.len())?;
    check_finite("x", x)?;
    check_finite("y", y)?;
    let n = x.len();
    check_count("readings", n, 4)?;
    if let Some(w) = x.windows(2).find(|w| w[0] >= w[1]) {
        return Err(FitError::Domain {
            what: "a step of x".to_owned(),
            value: w[1] - w[0],
        });
    }
    let mut outcomes = Vec::new();
    for fitted in (n.saturating_sub(3).max(3)..n).rev() {
        let line = Line::new(&x[..fitted], &y[..fitted])?;
        let mean = compensated_sum(y[..fitted].iter().map(|y| y / fitted as f64));
        for k in fitted..n {
            let prediction = line.prediction(x[k]);
            let half_width = t_critical(level, prediction.df) * prediction.standard_error;
            outcomes.push(HeldOut {
                fitted,
                x: x[k],
                observed: y[k],
                predicted: prediction.value,
                covered: (y[k] - prediction.value).abs() <= half_width,
                half_width,
                constant_error: (y[k] - mean).abs(),
                last_error: (y[k] - y[fitted - 1]).abs(),
            });
        }
    }
    Ok(outcomes)
}

/// Exponents tried for the floor law.
const FLOOR_GRID: usize = 200;
/// ln(e^a + e^b).
fn ln_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}

fn check_huber(huber: Option<f64>) -> Result<(), FitError> {
    match huber {
        Some(value) if !(value > 0.0 && value.is_finite()) => Err(FitError::Domain {
            what: "Huber's threshold".to_owned(),
            value,
        }),
        _ => Ok(()),
    }
}

/// Checked positive errors at distinct x, with their logarithms.
struct Points {
    x: Vec<f64>,
    ln_e: Vec<f64>,
    x_mean: f64,
    ln_e_mean: f64,
    range: f64,
}

impl Points {
    fn new(x: &[f64], errors: &[f64], needed: usize) -> Result<Self, FitError> {
        check_length("errors", errors.len(), x.len())?;
        check_count("points of a law", x.len(), needed)?;
        check_finite("x", x)?;
        check_finite("errors", errors)?;
        if let Some(i) = errors.iter().position(|e| *e <= 0.0) {
            return Err(FitError::Domain {
                what: format!("errors[{i}]"),
                value: errors[i],
            });
        }
        let n = x.len() as f64;
        let low = x.iter().copied().fold(f64::INFINITY, f64::min);
        let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = high - low;
        if !(range > 1e-9 * (1.0 + high.abs()) && range.is_finite()) {
            return Err(FitError::Singular {
                what: "a law at a single scale".to_owned(),
            });
        }
        let ln_e: Vec<f64> = errors.iter().map(|e| e.ln()).collect();
        Ok(Self {
            x: x.to_vec(),
            x_mean: compensated_sum(x.iter().map(|x| x / n)),
            ln_e_mean: compensated_sum(ln_e.iter().map(|e| e / n)),
            ln_e,
            range,
        })
    }

    /// ln of the steepness of a decreasing straight line.
    fn slope_guess(&self) -> f64 {
        let covariance: f64 = (self.x.iter().zip(&self.ln_e))
            .map(|(x, e)| (x - self.x_mean) * (e - self.ln_e_mean))
            .sum();
        let square: f64 = self.x.iter().map(|x| (x - self.x_mean).powi(2)).sum();
        (-covariance / square).max(1e-6 / self.range).ln()
    }
}

/// A nonlinear least-squares problem in P parameters.
trait Problem<const P: usize> {
    fn len(&self) -> usize;
    /// Observed minus predicted logarithm of point i, and the prediction's derivatives.
    fn residual(&self, i: usize, parameters: &[f64; P]) -> (f64, [f64; P]);

    fn rss(&self, parameters: &[f64; P]) -> f64 {
        compensated_sum((0..self.len()).map(|i| self.residual(i, parameters).0.powi(2)))
    }
}

struct FloorProblem {
    x: Vec<f64>,
    ln_e: Vec<f64>,
}

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

struct SemiLogProblem {
    x: Vec<f64>,
    ln_e: Vec<f64>,
}

impl Problem<2> for SemiLogProblem {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn residual(&self, i: usize, &[level, slope]: &[f64; 2]) -> (f64, [f64; 2]) {
        let value = level + slope * self.x[i];
        if value <= 0.0 {
            return (f64::INFINITY, [0.0; 2]);
        }
        (self.ln_e[i] - value.ln(), [1.0 / value, self.x[i] / value])
    }
}

/// Adds row·row' to `gram`.
fn accumulate<const Q: usize>(gram: &mut [[f64; Q]; Q], row: &[f64; Q]) {
    for (line, a) in gram.iter_mut().zip(row) {
        for (cell, b) in line.iter_mut().zip(row) {
            *cell += a * b;
        }
    }
}

/// Non-negative least squares from the Gram matrix of (columns, target), Q − 1 = P columns.
///
/// Tries every subset of columns: with at most three that is seven tiny solves, and exact.
fn non_negative<const Q: usize, const P: usize>(gram: &[[f64; Q]; Q]) -> (f64, [f64; P]) {
    let mut best = (f64::INFINITY, [0.0; P]);
    // All columns first: a solution without a negative entry is the constrained one too.
    for subset in (1_usize..1 << P).rev() {
        // Cholesky on the unit-diagonal scaling of the chosen columns, in place.
        let mut chosen = [0; P];
        let mut m = 0;
        for k in (0..P).filter(|k| subset >> k & 1 == 1) {
            chosen[m] = k;
            m += 1;
        }
        let chosen = &chosen[..m];
        let scale = |k: usize| gram[k][k].sqrt();
        let mut lower = [[0.0; P]; P];
        let mut y = [0.0; P];
        let mut explained = 0.0;
        let mut sound = true;
        for a in 0..m {
            let i = chosen[a];
            for b in 0..=a {
                let j = chosen[b];
                let product: f64 = (0..b).map(|c| lower[a][c] * lower[b][c]).sum();
                let value = gram[i][j] / scale(i) / scale(j) - product;
                lower[a][b] = if a == b {
                    value.sqrt()
                } else {
                    value / lower[b][b]
                };
            }
            sound &= lower[a][a] > 1e-7;
            let product: f64 = (0..a).map(|c| lower[a][c] * y[c]).sum();
            y[a] = (gram[i][P] / scale(i) - product) / lower[a][a];
            explained += y[a] * y[a];
        }
        if !sound {
            continue;
        }
        let mut solution = [0.0; P];
        for a in (0..m).rev() {
            let product: f64 = (a + 1..m).map(|c| lower[c][a] * solution[chosen[c]]).sum();
            solution[chosen[a]] = (y[a] - product) / lower[a][a];
        }
        for i in chosen {
            solution[*i] /= scale(*i);
        }
        let rss = (gram[P][P] - explained).max(0.0);
        if solution.iter().all(|v| *v >= 0.0) && rss < best.0 {
            best = (rss, solution);
            if m == P {
                break;
            }
        }
    }
    best
}

/// A polished fit.
#[derive(Clone, Copy)]
struct Polished<const P: usize> {
    parameters: [f64; P],
    cost: f64,
    gradient: f64,
}

/// Levenberg–Marquardt on the free parameters, with Huber's loss when a threshold is given.
///
/// The damped matrix is Σ ψ'(r)·JJ' + λ·diag(Σ w(r)·JJ'), w = ψ(r)/r: Newton's method on the
/// piecewise-quadratic loss as λ → 0, a scaled gradient step as λ grows.
fn polish<const P: usize>(
    problem: &impl Problem<P>,
    start: [f64; P],
    free: [bool; P],
    huber: Option<f64>,
) -> Polished<P> {
    let threshold = huber.unwrap_or(f64::INFINITY);
    let cost_of = |parameters: &[f64; P]| -> f64 {
        compensated_sum((0..problem.len()).map(|i| {
            let r = problem.residual(i, parameters).0.abs();
            if r <= threshold {
                0.5 * r * r
            } else {
                threshold * (r - 0.5 * threshold)
            }
        }))
    };
    let mut parameters = start;
    let mut cost = cost_of(&parameters);
    let mut damping = 1e-3;
    let mut state = linearise(problem, &parameters, free, threshold);
    let mut still = 0;
    for _ in 0..500 {
        if !cost.is_finite() || cost == 0.0 {
            break;
        }
        let mut matrix = state.newton;
        for k in 0..P {
            matrix[(k, k)] += damping * state.scale[k] + 1e-300;
        }
        let step = matrix
            .cholesky()
            .map(|c| c.solve(&state.descent))
            .filter(|s| s.iter().all(|v| v.is_finite()));
        let mut trial = parameters;
        let mut next = f64::INFINITY;
        if let Some(step) = &step {
            for k in 0..P {
                if free[k] {
                    // No parameter, all logarithms or exponents of order one, moves further at once.
                    trial[k] += step[k].clamp(-3.0, 3.0);
                }
            }
            next = cost_of(&trial);
            // The model promises less than rounding can show.
            if next >= cost && step.dot(&state.descent) <= 1e-15 * cost {
                break;
            }
        }
        if next < cost {
            let gain = (cost - next) / cost;
            parameters = trial;
            cost = next;
            damping = (damping * 0.2).max(1e-15);
            state = linearise(problem, &parameters, free, threshold);
            still = if gain < 1e-14 { still + 1 } else { 0 };
        } else {
            damping *= 4.0;
            still += 1;
        }
        if state.gradient < 1e-14 || still > 12 || damping > 1e16 {
            break;
        }
    }
    Polished {
        parameters,
        cost,
        gradient: state.gradient,
    }
}

/// The local quadratic model of a loss.
struct Linearised<const P: usize> {
    newton: SMatrix<f64, P, P>,
    descent: SVector<f64, P>,
    scale: [f64; P],
    gradient: f64,
}

fn linearise<const P: usize>(
    problem: &impl Problem<P>,
    parameters: &[f64; P],
    free: [bool; P],
    threshold: f64,
) -> Linearised<P> {
    let mut newton = SMatrix::<f64, P, P>::zeros();
    let mut descent = SVector::<f64, P>::zeros();
    let mut scale = [0.0; P];
    let mut length = [0.0; P];
    let mut clipped_square = 0.0;
    for i in 0..problem.len() {
        let (r, mut jacobian) = problem.residual(i, parameters);
        for k in 0..P {
            if !free[k] || !jacobian[k].is_finite() {
                jacobian[k] = 0.0;
            }
        }
        let clipped = r.clamp(-threshold, threshold);
        let weight = if r == 0.0 { 1.0 } else { clipped / r };
        let inside = f64::from(u8::from(r.abs() <= threshold));
        clipped_square += clipped * clipped;
        for a in 0..P {
            descent[a] += clipped * jacobian[a];
            scale[a] += weight * jacobian[a] * jacobian[a];
            length[a] += jacobian[a] * jacobian[a];
            for b in 0..P {
                newton[(a, b)] += inside * jacobian[a] * jacobian[b];
            }
        }
    }
    let mut gradient = 0.0_f64;
    for k in 0..P {
        if length[k] > 0.0 && clipped_square > 0.0 {
            gradient = gradient.max(descent[k].abs() / (length[k] * clipped_square).sqrt());
        }
        if scale[k] == 0.0 {
            // A parameter that is fixed or without effect: keep the matrix definite.
            newton[(k, k)] += 1.0;
        }
    }
    Linearised {
        newton,
        descent,
        scale,
        gradient,
    }
}

/// Condition number of the column-scaled Jacobian, over the parameters that have an effect.
fn condition<const P: usize>(
    problem: &impl Problem<P>,
    parameters: &[f64; P],
    huber: Option<f64>,
) -> f64 {
    let threshold = huber.unwrap_or(f64::INFINITY);
    let state = linearise(problem, parameters, [true; P], threshold);
    let used: Vec<usize> = (0..P).filter(|k| state.scale[*k] > 0.0).collect();
    if used.is_empty() || used.iter().any(|k| state.newton[(*k, *k)] <= 0.0) {
        return f64::INFINITY;
    }
    let matrix = nalgebra::DMatrix::from_fn(used.len(), used.len(), |a, b| {
        let (i, j) = (used[a], used[b]);
        state.newton[(i, j)] / (state.newton[(i, i)] * state.newton[(j, j)]).sqrt()
    });
    let Some(eigen) = SymmetricEigen::try_new(matrix, f64::EPSILON, 10_000) else {
        return f64::INFINITY;
    };
    let (low, high) = (eigen.eigenvalues.min(), eigen.eigenvalues.max());
    // An eigenvalue at rounding level is zero.
    if low <= f64::EPSILON * high {
        f64::INFINITY
    } else {
        (high / low).sqrt()
    }
}

/// The end of a profile interval between the estimate `from` and the limit `to`: where the
/// profiled cost first reaches `threshold`. `None` when it never does.
fn profile_end<const P: usize>(
    profile: &dyn Fn(f64, &[f64; P]) -> Polished<P>,
    at_estimate: &[f64; P],
    [from, to]: [f64; 2],
    [least, threshold]: [f64; 2],
) -> Option<f64> {
    // March outwards with growing steps, each fit starting from the last, then false position
    // (Illinois variant) on the root of the cost above its least, which is nearly linear in θ.
    let goal = (threshold - least).max(0.0).sqrt();
    let excess = |cost: f64| (cost - least).max(0.0).sqrt() - goal;
    let sign = if to > from { 1.0 } else { -1.0 };
    let mut near = *at_estimate;
    let mut inside = (from, -goal);
    let mut step = 0.05;
    let mut outside = loop {
        let next = inside.0 + sign * step;
        let last = sign * (next - to) >= 0.0;
        let next = if last { to } else { next };
        let fit = profile(next, &near);
        // A profile that cannot be evaluated ends the interval too.
        if fit.cost.is_nan() || fit.cost > threshold {
            break (next, excess(fit.cost));
        }
        if last {
            return None;
        }
        inside = (next, excess(fit.cost));
        near = fit.parameters;
        step *= 2.0;
    };
    let mut same = 0;
    for _ in 0..60 {
        let width = outside.0 - inside.0;
        if width.abs() <= 1e-9 * (1.0 + inside.0.abs()) {
            break;
        }
        let share = -inside.1 / (outside.1 - inside.1);
        // A cost without bound says nothing about where: halve.
        let share = if share.is_finite() {
            share.clamp(0.02, 0.98)
        } else {
            0.5
        };
        let next = inside.0 + share * width;
        let fit = profile(next, &near);
        let value = excess(fit.cost);
        if fit.cost <= threshold {
            inside = (next, value);
            near = fit.parameters;
            outside.1 *= if same > 0 { 0.5 } else { 1.0 };
            same = 1;
        } else {
            outside = (next, value);
            inside.1 *= if same < 0 { 0.5 } else { 1.0 };
            same = -1;
        }
        if value.abs() <= 1e-10 * goal {
            return Some(next);
        }
    }
    Some(0.5 * (inside.0 + outside.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(floor: f64, amplitude: f64, b: f64, noise: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let x: Vec<f64> = (0..noise.len()).map(|j| -2.3 + 0.75 * j as f64).collect();
        let errors = (x.iter().zip(noise))
            .map(|(x, e)| (floor + amplitude * (-b * x).exp()) * e.exp())
            .collect();
        (x, errors)
    }
    const NOISE: [f64; 7] = [1.1e-3, -0.7e-3, 0.3e-3, -1.2e-3, 0.9e-3, -0.4e-3, 0.2e-3];

    #[test]
    fn floor_laws_are_recovered_over_a_wide_range() {
        for (floor, amplitude, b) in [
            (1.8, 1.2, 0.15),
            (0.02, 3.0, 0.4),
            (5e-4, 2e-5, 0.9),
            (700.0, 50.0, 0.05),
        ] {
            let (x, errors) = ladder(floor, amplitude, b, &[0.0; 7]);
            let law = fit_floor_law(&x, &errors, None, 0.95).unwrap();
            assert!((law.floor / floor - 1.0).abs() < 1e-6, "{law:?}");
            assert!((law.exponent / b - 1.0).abs() < 1e-6, "{law:?}");
            assert!(law.certificate.gradient < 1e-3 || law.rss < 1e-24);
        }
    }

    #[test]
    fn a_pure_power_law_has_its_floor_at_zero() {
        let (x, errors) = ladder(0.0, 3.0, 0.1, &[0.0; 7]);
        let law = fit_floor_law(&x, &errors, None, 0.95).unwrap();
        assert!(law.floor < 1e-4 * 3.0, "{law:?}");
        assert!((law.exponent - 0.1).abs() < 1e-4, "{law:?}");
        let comparison = compare_laws(&x, &errors, 0.95).unwrap();
        assert!((comparison.power.slope + 0.1).abs() < 1e-12);
    }

    #[test]
    fn intervals_hold_the_estimate_and_open_where_nothing_is_known() {
        let (x, errors) = ladder(1.0, 3.0, 0.1, &NOISE);
        let law = fit_floor_law(&x, &errors, None, 0.95).unwrap();
        let (low, high) = law.exponent_interval;
        assert!(low.is_none_or(|l| l < law.exponent));
        assert!(high.is_none_or(|h| h > law.exponent));
        assert!(law.floor_interval.0.is_none_or(|l| l <= law.floor));
        assert!(law.floor_interval.1.is_none_or(|h| h >= law.floor));
        // The ends lie on the contour.
        let (low, high) = (low.unwrap(), high.unwrap());
        assert!(low > 0.0 && high < 1.0, "{law:?}");
    }

    #[test]
    fn an_increasing_error_is_flat_and_flagged() {
        let (x, errors) = ladder(1.0, 0.3, -0.2, &[0.0; 6]);
        let law = fit_floor_law(&x, &errors, None, 0.95).unwrap();
        assert!(!law.certificate.at_bound.is_empty(), "{law:?}");
        assert!(law.rss.is_finite());
    }

    #[test]
    fn the_semi_log_law_wins_on_its_own_data() {
        let x: Vec<f64> = (0..8).map(|j| 0.6 * f64::from(j) - 2.0).collect();
        let errors: Vec<f64> = (x.iter().zip(NOISE.iter().cycle()))
            .map(|(x, e)| (1.0 - 0.18 * x) * (0.3 * e).exp())
            .collect();
        let comparison = compare_laws(&x, &errors, 0.95).unwrap();
        assert!((comparison.semi_log.slope + 0.18).abs() < 1e-3);
        assert!(comparison.semi_log.aicc.unwrap() < comparison.power.aicc.unwrap());
    }

    #[test]
    fn backtests_look_only_down() {
        let x: Vec<f64> = (0..7).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 0.1 * x).collect();
        let outcomes = ordered_backtest(&x, &y, 0.95).unwrap();
        assert_eq!(outcomes.len(), 6);
        assert!(
            outcomes
                .iter()
                .all(|o| (o.observed - o.predicted).abs() < 1e-12)
        );
        assert!(ordered_backtest(&[1.0, 1.0, 2.0, 3.0], &[0.0; 4], 0.95).is_err());
    }

    #[test]
    fn odd_input_is_refused() {
        let x = [0.0, 1.0, 2.0, 3.0];
        assert!(fit_floor_law(&x, &[1.0, 0.0, 1.0, 1.0], None, 0.95).is_err());
        assert!(fit_floor_law(&x[..3], &[1.0; 3], None, 0.95).is_err());
        assert!(fit_floor_law(&[1.0; 4], &[1.0; 4], None, 0.95).is_err());
        assert!(fit_floor_law(&x, &[1.0; 4], Some(-1.0), 0.95).is_err());
        assert!(fit_floor_law(&x, &[1.0; 4], None, 0.95).is_ok());
        let wild = [1e-300, 1e300, 1.0, 1e-200];
        let _ = fit_floor_law(&x, &wild, None, 0.95);
        let _ = compare_laws(&[-1e8, 0.0, 1.0, 1e8], &wild, 0.95);
    }
}
