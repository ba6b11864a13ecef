//! Intervals of a loss surface and of the allocation of compute.
//!
//! # References
//! - G. A. F. Seber, C. J. Wild (1989), *Nonlinear Regression*, §5.1 (linearised intervals).
//! - P. J. Huber, E. M. Ronchetti (2009), *Robust Statistics*, §7.6 (covariance of M-estimates).

use nalgebra::{SMatrix, SVector};

use super::nonlinear::{Problem, condition, linearise};
use super::surface::{LossSurface, SurfaceProblem, check_huber};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_length, check_probability};
use crate::fit::stats::quantile::t_critical;

/// Above this condition number the linearisation says nothing about single parameters.
const LARGEST_CONDITION: f64 = 1e7;

/// Intervals of a [`LossSurface`] as \[lower, upper\]; `None` for what is at its bound or not
/// determined by the data.
///
/// They are linearised (delta-method) intervals on the scale that each quantity varies on: E, A, B,
/// N*, D* in logarithms, the exponents as they are, with Student's t and n − p degrees of freedom.
/// The covariance is s²(J'J)⁻¹, with s² = RSS/(n − p), for independent runs and least squares;
/// H⁻¹(Σ ψ²JJ')H⁻¹·n/(n − p), H = Σ ψ'JJ', with Huber's loss; and the sandwich clustered by training
/// run, with as many degrees of freedom as training runs less one, where runs are checkpoints. J is
/// the Jacobian of the log-predictions and ψ the clipped residual.
///
/// A parameter at its bound is held there: the others' intervals are conditional on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SurfaceIntervals {
    /// Degrees of freedom.
    pub(crate) df: f64,
    /// t²·κ/(n − p) of a profile of the floor, κ being the variance of ln E with dependent runs over that
    /// without.
    pub(crate) floor_excess: f64,
    /// Standard errors of α, β and β/(α + β).
    pub(crate) errors: [Option<f64>; 3],
    /// Standard deviation of the log-residuals, √(RSS/(n − p)).
    pub(crate) residual_sd: f64,
    /// E.
    pub(crate) floor: Option<[f64; 2]>,
    /// A.
    pub(crate) a: Option<[f64; 2]>,
    /// B.
    pub(crate) b: Option<[f64; 2]>,
    /// α.
    pub(crate) alpha: Option<[f64; 2]>,
    /// β.
    pub(crate) beta: Option<[f64; 2]>,
    /// β/(α + β), the exponent of N* in compute.
    pub(crate) params_exponent: Option<[f64; 2]>,
    linear: Linearisation,
}

/// The compute-optimal size and data for one amount of compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Allocation {
    /// C.
    pub(crate) flops: f64,
    /// N*.
    pub(crate) params: f64,
    /// Interval of N*; `None` where the data do not determine it.
    pub(crate) params_interval: Option<[f64; 2]>,
    /// D*.
    pub(crate) tokens: f64,
    /// Interval of D*.
    pub(crate) tokens_interval: Option<[f64; 2]>,
    /// L(N*, D*).
    pub(crate) loss: f64,
}

impl SurfaceIntervals {
    /// Intervals of `surface`, which [`fit_surface`](super::fit_surface) fitted to the same `data`
    /// (sizes, training lengths, losses) with the same `huber`.
    ///
    /// `trajectories` names the training run of each model, where some are checkpoints of one run.
    ///
    /// # Errors
    /// As [`fit_surface`](super::fit_surface); fewer models than parameters plus one, fewer than
    /// two training runs, or a `level` outside (0, 1).
    pub(crate) fn new(
        surface: &LossSurface,
        data: [&[f64]; 3],
        trajectories: Option<&[usize]>,
        huber: Option<f64>,
        level: f64,
    ) -> Result<Self, FitError> {
        check_huber(huber)?;
        check_probability("confidence level", level)?;
        let [params, tokens, losses] = data;
        let (problem, centres) = SurfaceProblem::new(params, tokens, losses)?;
        let runs = Trajectories::new(trajectories, losses.len())?;
        let free = free(surface);
        let n = problem.len();
        let p = free.iter().filter(|f| **f).count();
        // Parameters at a bound are held and cost no degree of freedom.
        check_count("models of a surface with intervals", n, p + 1)?;
        let left = (n - p) as f64;
        let df = match &runs {
            Some(runs) => {
                check_count("training runs of a surface", runs.number, 2)?;
                runs.number as f64 - 1.0
            }
            None => left,
        };
        let parameters = [
            surface.floor.ln(),
            // At the centres of the data: at N = D = 1, ln A and α are almost perfectly correlated.
            surface.a.ln() - surface.alpha * centres[0],
            surface.b.ln() - surface.beta * centres[1],
            surface.alpha,
            surface.beta,
        ];
        let critical = t_critical(level, df);
        let dependent = runs.is_some();
        let own = covariance(&problem, &parameters, free, huber, runs, surface.rss);
        let inflation = match (dependent, &own) {
            (true, Some(own)) => covariance(&problem, &parameters, free, huber, None, surface.rss)
                .map_or(1.0, |alone| own[0][0] / alone[0][0]),
            _ => 1.0,
        };
        let linear = Linearisation {
            critical,
            parameters,
            centres,
            covariance: own,
        };
        let mut intervals = Self::read(surface, linear, free, df, (surface.rss / left).sqrt());
        // A floor at its bound has no variance: 0/0.
        let inflation = if inflation.is_finite() {
            inflation
        } else {
            1.0
        };
        intervals.floor_excess = critical * critical * inflation / left;
        Ok(intervals)
    }

    /// The intervals of every parameter by one linearisation.
    fn read(
        surface: &LossSurface,
        linear: Linearisation,
        free: [bool; 5],
        df: f64,
        residual_sd: f64,
    ) -> Self {
        let [n_mean, d_mean] = linear.centres;
        let unit = |k: usize| std::array::from_fn(|i| if i == k { 1.0 } else { 0.0 });
        // ln A and ln B are at the origin of ln N and ln D, the parameters at their centres.
        let (mut ln_a, mut ln_b) = (unit(1), unit(2));
        (ln_a[3], ln_b[4]) = (n_mean, d_mean);
        let square = (surface.alpha + surface.beta).powi(2);
        let share = [
            0.0,
            0.0,
            0.0,
            -surface.beta / square,
            surface.alpha / square,
        ];
        let plain = |value: f64, gradient| linear.around(value, gradient);
        let ln = |value: f64, gradient| plain(value, gradient).map(|i| i.map(f64::exp));
        let error = |i: Option<[f64; 2]>| i.map(|[l, u]| 0.5 * (u - l) / linear.critical);
        let alpha = plain(surface.alpha, unit(3)).filter(|_| free[3]);
        let beta = plain(surface.beta, unit(4)).filter(|_| free[4]);
        let exponent = plain(surface.params_exponent(), share).filter(|_| free[3] && free[4]);
        Self {
            df,
            floor_excess: 0.0,
            errors: [alpha, beta, exponent].map(error),
            residual_sd,
            floor: ln(linear.parameters[0], unit(0)).filter(|_| free[0]),
            a: ln(surface.a.ln(), ln_a).filter(|_| free[1]),
            b: ln(surface.b.ln(), ln_b).filter(|_| free[2]),
            alpha,
            beta,
            params_exponent: exponent,
            linear,
        }
    }

    /// [`LossSurface::allocation`] with intervals: those of a linearised ln N*, and D* = C/(k·N*).
    ///
    /// # Errors
    /// As [`LossSurface::allocation`].
    pub(crate) fn allocation(
        &self,
        surface: &LossSurface,
        flops: f64,
        flops_per_param_token: f64,
    ) -> Result<Allocation, FitError> {
        let (params, tokens) = surface.allocation(flops, flops_per_param_token)?;
        let [_, _, _, alpha, beta] = self.linear.parameters;
        let [n_mean, d_mean] = self.linear.centres;
        let ln_product = flops.ln() - flops_per_param_token.ln();
        let (sum, ln_params) = (alpha + beta, params.ln());
        let gradient = [
            0.0,
            1.0 / sum,
            -1.0 / sum,
            (1.0 / alpha + n_mean - ln_params) / sum,
            (ln_product - 1.0 / beta - d_mean - ln_params) / sum,
        ];
        let ln_interval = self
            .linear
            .around(ln_params, gradient)
            .filter(|_| self.params_exponent.is_some());
        // Not from its own gradient: N*·D* = C/k is exact, so the two intervals must mirror each
        // other.
        let reversed = ln_interval.map(|[lower, upper]| [ln_product - upper, ln_product - lower]);
        let exp = |ends: [f64; 2]| ends.map(f64::exp);
        let finite = |ends: &[f64; 2]| ends.iter().all(|v| v.is_finite());
        Ok(Allocation {
            flops,
            params,
            params_interval: ln_interval.map(exp).filter(finite),
            tokens,
            tokens_interval: reversed.map(exp).filter(finite),
            loss: surface.ln_loss(params, tokens).exp(),
        })
    }
}

/// Parameters that are not at their bound; a vanished term takes its exponent with it.
fn free(surface: &LossSurface) -> [bool; 5] {
    let held = |name: &str| surface.certificate.at_bound.iter().any(|b| b == name);
    [
        !held("floor"),
        !held("a"),
        !held("b"),
        !held("alpha") && !held("a"),
        !held("beta") && !held("b"),
    ]
}

/// Models that are checkpoints of fewer training runs.
pub(super) struct Trajectories {
    /// The training run of every model, from 0.
    of: Vec<usize>,
    number: usize,
}

impl Trajectories {
    /// Models of each training run.
    pub(super) fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.number];
        for (i, &run) in self.of.iter().enumerate() {
            members[run].push(i);
        }
        members
    }

    /// `None` where every model is a training run of its own.
    pub(super) fn new(labels: Option<&[usize]>, models: usize) -> Result<Option<Self>, FitError> {
        let Some(labels) = labels else {
            return Ok(None);
        };
        check_length("trajectories", labels.len(), models)?;
        let mut names = labels.to_vec();
        names.sort_unstable();
        names.dedup();
        let of = labels.iter().map(|l| names.partition_point(|n| n < l));
        Ok((names.len() < models).then(|| Self {
            of: of.collect(),
            number: names.len(),
        }))
    }
}

/// Covariance of the parameters, zero for those held; `None` where the fit does not determine them.
fn covariance(
    problem: &SurfaceProblem,
    parameters: &[f64; 5],
    free: [bool; 5],
    huber: Option<f64>,
    runs: Option<Trajectories>,
    rss: f64,
) -> Option<[[f64; 5]; 5]> {
    // Before inverting: the inverse exists in floating point long after it has stopped meaning
    // anything.
    if condition(problem, parameters, huber) >= LARGEST_CONDITION {
        return None;
    }
    let threshold = huber.unwrap_or(f64::INFINITY);
    let state = linearise(problem, parameters, free, threshold);
    let inverse = state.newton.try_inverse()?;
    let n = problem.len();
    let left = (n - free.iter().filter(|f| **f).count()) as f64;
    let scores = |i: usize| -> SVector<f64, 5> {
        let (r, jacobian) = problem.residual(i, parameters);
        let clipped = r.clamp(-threshold, threshold);
        SVector::from_fn(|k, _| if free[k] { clipped * jacobian[k] } else { 0.0 })
    };
    let mut meat = SMatrix::<f64, 5, 5>::zeros();
    let covariance = match (runs, huber) {
        (Some(runs), _) => {
            let mut sums = vec![SVector::<f64, 5>::zeros(); runs.number];
            for (i, run) in runs.of.iter().enumerate() {
                sums[*run] += scores(i);
            }
            sums.iter().for_each(|s| meat += s * s.transpose());
            let g = runs.number as f64;
            // The usual small-sample factor of a clustered sandwich, which is too narrow without
            // it.
            let factor = g / (g - 1.0) * (n as f64 - 1.0) / left;
            inverse * meat * inverse * factor
        }
        (None, Some(_)) => {
            for i in 0..n {
                let s = scores(i);
                meat += s * s.transpose();
            }
            inverse * meat * inverse * (n as f64 / left)
        }
        (None, None) => inverse * (rss / left),
    };
    let entry = |a: usize, b: usize| {
        if free[a] && free[b] {
            covariance[(a, b)]
        } else {
            0.0
        }
    };
    Some(std::array::from_fn(|a| {
        std::array::from_fn(|b| entry(a, b))
    }))
}

/// A fit seen as linear in its parameters.
#[derive(Debug, Clone, PartialEq)]
struct Linearisation {
    /// The quantile of t.
    critical: f64,
    /// ln E, ln A and ln B at the centres of ln N and ln D, α, β.
    parameters: [f64; 5],
    centres: [f64; 2],
    /// Covariance of `parameters`; zero for those held.
    covariance: Option<[[f64; 5]; 5]>,
}

impl Linearisation {
    /// value ± t·√(g'Vg), where that is finite.
    fn around(&self, value: f64, gradient: [f64; 5]) -> Option<[f64; 2]> {
        let covariance = self.covariance.as_ref()?;
        let variance: f64 = (0..5)
            .flat_map(|a| (0..5).map(move |b| (a, b)))
            .map(|(a, b)| gradient[a] * covariance[a][b] * gradient[b])
            .sum();
        // Rounding makes the variance of a combination that hardly varies negative.
        let half = self.critical * variance.max(0.0).sqrt();
        let ends = [value - half, value + half];
        ends.iter().all(|v| v.is_finite()).then_some(ends)
    }
}
