//! The surface L(N, D): the fit, its certificate, intervals and the allocation of compute.
//!
//! # References
//! - J. Hoffmann et al. (2022), arXiv:2203.15556, §3.3 (approach 3).
//! - S. Czech et al. (2026), arXiv:2603.22339 (variable projection).
//! - G. A. F. Seber, C. J. Wild (1989), *Nonlinear Regression*, §5.1 (linearised intervals).
//! - P. J. Huber, E. M. Ronchetti (2009), *Robust Statistics*, §7.6 (covariance of M-estimates).

use nalgebra::{SMatrix, SVector};
use serde::{Deserialize, Serialize};

use super::super::quantile::t_critical;
use super::super::regression::{check_count, check_finite, check_length, check_probability};
use super::{
    Certificate, Points, Problem, check_huber, condition, linearise, ln_add_exp, non_negative,
    polish,
};
use crate::fit::error::FitError;
use crate::fit::estimate::Interval;

/// Exponents tried along each axis of the surface, and their range.
const SURFACE_GRID: usize = 64;
const SURFACE_LOW: f64 = 0.05;
const SURFACE_HIGH: f64 = 1.5;
/// Local minima of the surface's grid that are polished.
const MAX_SURFACE_STARTS: usize = 8;

/// L(N, D) = E + A/N^α + B/D^β (Hoffmann et al. 2022, approach 3).
///
/// **Units**: E, A, B in those of the losses; N parameters, D tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// E ≥ 0, the irreducible loss.
    pub floor: f64,
    /// A ≥ 0.
    pub a: f64,
    /// B ≥ 0.
    pub b: f64,
    /// α > 0.
    pub alpha: f64,
    /// β > 0.
    pub beta: f64,
    /// Σ (ln L − ln L̂)².
    pub rss: f64,
    /// The minimised sum of Huber's (or squared-half) log-residuals.
    pub cost: f64,
    /// Evidence of convergence.
    pub certificate: Certificate,
}

impl Surface {
    /// ln L at N parameters and D tokens, both positive.
    pub fn ln_loss(&self, params: f64, tokens: f64) -> f64 {
        let by_params = self.a.ln() - self.alpha * params.ln();
        let by_tokens = self.b.ln() - self.beta * tokens.ln();
        ln_add_exp(self.floor.ln(), ln_add_exp(by_params, by_tokens))
    }

    /// The (N*, D*) that minimise L under C = k·N·D: N* = (αA/βB)^{1/(α+β)}·(C/k)^{β/(α+β)}.
    ///
    /// `flops` is C and `flops_per_param_token` is k, 6 in the usual convention.
    ///
    /// # Errors
    /// When an argument is not positive, or A or B is zero, so that there is no interior optimum.
    ///
    /// # References
    /// J. Hoffmann et al. (2022), equation 4.
    pub fn allocation(
        &self,
        flops: f64,
        flops_per_param_token: f64,
    ) -> Result<(f64, f64), FitError> {
        for (what, value) in [
            ("flops", flops),
            ("flops_per_param_token", flops_per_param_token),
            ("A of the surface", self.a),
            ("B of the surface", self.b),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(FitError::Domain {
                    what: what.to_owned(),
                    value,
                });
            }
        }
        let sum = self.alpha + self.beta;
        let ln_product = flops.ln() - flops_per_param_token.ln();
        let ln_ratio = self.alpha.ln() + self.a.ln() - self.beta.ln() - self.b.ln();
        let ln_params = (ln_ratio + self.beta * ln_product) / sum;
        Ok((ln_params.exp(), (ln_product - ln_params).exp()))
    }

    /// β/(α + β), the exponent of N* in compute.
    pub fn params_exponent(&self) -> f64 {
        self.beta / (self.alpha + self.beta)
    }
}

/// Fits the surface to `losses` of models with `params` parameters and `tokens` training tokens.
///
/// On a 64 × 64 grid of (α, β) in \[0.05, 1.5\]², (E, A, B) is the non-negative least-squares
/// solution of the relative residuals; every local minimum is polished in
/// (ln E, ln A, ln B, α, β) on log-residuals, with Huber's loss of threshold `huber`
/// (1e-3 in the original; `None` for least squares).
///
/// # Errors
/// When lengths differ, there are fewer than six models, a number is not positive and finite, or
/// all N or all D are equal.
///
/// # Examples
/// ```
/// use relscale::fit::laws::fit_surface;
/// let (mut n, mut d, mut l) = (vec![], vec![], vec![]);
/// for i in 0..5 {
///     for j in 0..5 {
///         let (params, tokens) = (1e8 * 2_f64.powi(i), 1e9 * 3_f64.powi(j));
///         n.push(params);
///         d.push(tokens);
///         l.push(1.7 + 400.0 / params.powf(0.34) + 410.0 / tokens.powf(0.28));
///     }
/// }
/// let surface = fit_surface(&n, &d, &l, Some(1e-3))?;
/// assert!((surface.alpha - 0.34).abs() < 1e-6 && (surface.floor - 1.7).abs() < 1e-6);
/// # Ok::<(), relscale::fit::error::FitError>(())
/// ```
pub fn fit_surface(
    params: &[f64],
    tokens: &[f64],
    losses: &[f64],
    huber: Option<f64>,
) -> Result<Surface, FitError> {
    check_huber(huber)?;
    let (problem, [n_mean, d_mean]) = SurfaceProblem::new(params, tokens, losses)?;
    let axis: Vec<f64> = (0..SURFACE_GRID)
        .map(|k| {
            let share = k as f64 / (SURFACE_GRID - 1) as f64;
            (SURFACE_LOW.ln() + share * (SURFACE_HIGH / SURFACE_LOW).ln()).exp()
        })
        .collect();
    let scan = problem.scan(&axis);
    let at = |i: usize, j: usize| scan[i * SURFACE_GRID + j].0;
    let mut minima: Vec<(usize, usize)> = Vec::new();
    for i in 0..SURFACE_GRID {
        for j in 0..SURFACE_GRID {
            let here = at(i, j);
            let around = (i.saturating_sub(1)..=(i + 1).min(SURFACE_GRID - 1)).flat_map(|a| {
                (j.saturating_sub(1)..=(j + 1).min(SURFACE_GRID - 1)).map(move |b| (a, b))
            });
            let lowest = around
                .filter(|n| *n != (i, j))
                .all(|(a, b)| here < at(a, b) || (here == at(a, b) && (i, j) < (a, b)));
            if lowest && here.is_finite() {
                minima.push((i, j));
            }
        }
    }
    minima.sort_by(|a, b| at(a.0, a.1).total_cmp(&at(b.0, b.1)));
    minima.truncate(MAX_SURFACE_STARTS);
    let mut polished = Vec::with_capacity(minima.len());
    for (i, j) in &minima {
        let linear = scan[i * SURFACE_GRID + j].1;
        let size: f64 = linear.iter().sum();
        let ln = |v: f64| v.max(1e-3 * size).ln();
        let start = [
            ln(linear[0]),
            ln(linear[1]),
            ln(linear[2]),
            axis[*i],
            axis[*j],
        ];
        polished.push(polish(&problem, start, [true; 5], huber));
    }
    let Some(fit) = polished
        .iter()
        .filter(|p| p.cost.is_finite())
        .min_by(|a, b| a.cost.total_cmp(&b.cost))
    else {
        return Err(FitError::NoConvergence {
            what: "the loss surface".to_owned(),
        });
    };
    let agreeing = polished
        .iter()
        .filter(|p| p.cost <= fit.cost * (1.0 + 1e-6) + 1e-28)
        .count();
    let [ln_e, ln_a, ln_b, alpha, beta] = fit.parameters;
    let ln_total = ln_add_exp(ln_e, ln_add_exp(ln_a, ln_b));
    let mut at_bound: Vec<String> = [("floor", ln_e), ("a", ln_a), ("b", ln_b)]
        .into_iter()
        .filter(|(_, v)| v - ln_total < -20.0)
        .map(|(name, _)| name.to_owned())
        .collect();
    for (name, value) in [("alpha", alpha), ("beta", beta)] {
        if !(value > 1e-3 && value < 2.0 * SURFACE_HIGH) {
            at_bound.push(name.to_owned());
        }
    }
    Ok(Surface {
        floor: ln_e.exp(),
        a: (ln_a + alpha * n_mean).exp(),
        b: (ln_b + beta * d_mean).exp(),
        alpha,
        beta,
        rss: problem.rss(&fit.parameters),
        cost: fit.cost,
        certificate: Certificate {
            gradient: fit.gradient,
            condition: condition(&problem, &fit.parameters, huber),
            starts: polished.len(),
            agreeing,
            at_bound,
        },
    })
}

/// Intervals of a [`Surface`]; `None` for what is at its bound or not determined by the data.
///
/// They are linearised (delta-method) intervals on the scale that each quantity varies on: E, A, B,
/// N*, D* in logarithms, the exponents as they are, with Student's t and n − p degrees of freedom.
/// The covariance is s²(J'J)⁻¹, with s² = RSS/(n − p), for independent runs and least squares;
/// H⁻¹(Σ ψ²JJ')H⁻¹·n/(n − p), H = Σ ψ'JJ', with Huber's loss; and the sandwich clustered by training
/// run, with as many degrees of freedom as training runs less one, where runs are checkpoints.
///
/// A parameter at its bound is held there: the others' intervals are conditional on it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SurfaceIntervals {
    /// Confidence level.
    pub level: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Standard deviation of the log-residuals, √(RSS/(n − p)).
    pub residual_sd: f64,
    /// E.
    pub floor: Option<Interval>,
    /// A.
    pub a: Option<Interval>,
    /// B.
    pub b: Option<Interval>,
    /// α.
    pub alpha: Option<Interval>,
    /// β.
    pub beta: Option<Interval>,
    /// β/(α + β), the exponent of N* in compute.
    pub params_exponent: Option<Interval>,
    /// ln E, ln A and ln B at the centres of ln N and ln D, α, β.
    parameters: [f64; 5],
    centres: [f64; 2],
    /// Covariance of `parameters`; zero for those held.
    covariance: Option<[[f64; 5]; 5]>,
}

/// The compute-optimal size and data for one amount of compute.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Allocation {
    /// C.
    pub flops: f64,
    /// N*.
    pub params: f64,
    /// Interval of N*; `None` where the data do not determine it.
    pub params_interval: Option<Interval>,
    /// D*.
    pub tokens: f64,
    /// Interval of D*.
    pub tokens_interval: Option<Interval>,
    /// L(N*, D*).
    pub loss: f64,
}

/// Above this condition number the linearisation says nothing about single parameters.
const LARGEST_CONDITION: f64 = 1e7;

impl SurfaceIntervals {
    /// Intervals of `surface`, which [`fit_surface`] fitted to the same data with the same `huber`.
    ///
    /// `trajectories` names the training run of each model, where some are checkpoints of one run.
    ///
    /// # Errors
    /// As [`fit_surface`]; fewer models than parameters plus one, fewer than two training runs, or
    /// a `level` outside (0, 1).
    pub fn new(
        surface: &Surface,
        data: [&[f64]; 3],
        trajectories: Option<&[usize]>,
        huber: Option<f64>,
        level: f64,
    ) -> Result<Self, FitError> {
        check_huber(huber)?;
        check_probability("confidence level", level)?;
        let [params, tokens, losses] = data;
        let (problem, centres) = SurfaceProblem::new(params, tokens, losses)?;
        if let Some(t) = trajectories {
            check_length("trajectories", t.len(), losses.len())?;
        }
        let [n_mean, d_mean] = centres;
        let parameters = [
            surface.floor.ln(),
            surface.a.ln() - surface.alpha * n_mean,
            surface.b.ln() - surface.beta * d_mean,
            surface.alpha,
            surface.beta,
        ];
        let held = |name: &str| surface.certificate.at_bound.iter().any(|b| b == name);
        // A vanished term takes its exponent with it.
        let free = [
            !held("floor"),
            !held("a"),
            !held("b"),
            !held("alpha") && !held("a"),
            !held("beta") && !held("b"),
        ];
        let used: Vec<usize> = (0..5).filter(|k| free[*k]).collect();
        let (n, p) = (problem.len(), used.len());
        check_count("models of a surface with intervals", n, p + 1)?;
        let threshold = huber.unwrap_or(f64::INFINITY);
        let left = (n - p) as f64;
        let residual_sd = (surface.rss / left).sqrt();
        let mut groups: Vec<usize> = trajectories.unwrap_or_default().to_vec();
        groups.sort_unstable();
        groups.dedup();
        let clustered = trajectories.filter(|_| groups.len() < n);
        let df = if clustered.is_some() {
            check_count("training runs of a surface", groups.len(), 2)?;
            groups.len() as f64 - 1.0
        } else {
            left
        };
        let state = linearise(&problem, &parameters, free, threshold);
        let inverse = (condition(&problem, &parameters, huber) < LARGEST_CONDITION)
            .then(|| state.newton.try_inverse())
            .flatten();
        let covariance = inverse.map(|inverse| {
            let mut meat = SMatrix::<f64, 5, 5>::zeros();
            let scores = |i: usize| -> SVector<f64, 5> {
                let (r, jacobian) = problem.residual(i, &parameters);
                let clipped = r.clamp(-threshold, threshold);
                SVector::from_fn(|k, _| if free[k] { clipped * jacobian[k] } else { 0.0 })
            };
            let covariance = match (clustered, huber) {
                (Some(of), _) => {
                    let mut sums = vec![SVector::<f64, 5>::zeros(); groups.len()];
                    for (i, g) in of.iter().enumerate() {
                        if let Ok(at) = groups.binary_search(g) {
                            sums[at] += scores(i);
                        }
                    }
                    sums.iter().for_each(|s| meat += s * s.transpose());
                    let factor = (df + 1.0) / df * (n as f64 - 1.0) / left;
                    inverse * meat * inverse * factor
                }
                (None, Some(_)) => {
                    for i in 0..n {
                        let s = scores(i);
                        meat += s * s.transpose();
                    }
                    inverse * meat * inverse * (n as f64 / left)
                }
                (None, None) => inverse * (surface.rss / left),
            };
            std::array::from_fn(|a| {
                std::array::from_fn(|b| {
                    if free[a] && free[b] {
                        covariance[(a, b)]
                    } else {
                        0.0
                    }
                })
            })
        });
        let mut intervals = Self {
            level,
            df,
            residual_sd,
            floor: None,
            a: None,
            b: None,
            alpha: None,
            beta: None,
            params_exponent: None,
            parameters,
            centres,
            covariance,
        };
        let unit = |k: usize| std::array::from_fn(|i| if i == k { 1.0 } else { 0.0 });
        let mut with_origin = unit(1);
        with_origin[3] = n_mean;
        let ln = |i: &Self, value: f64, g: [f64; 5]| i.around(value, g).map(|i| i.map(f64::exp));
        intervals.floor = ln(&intervals, parameters[0], unit(0)).filter(|_| free[0]);
        intervals.a = ln(&intervals, surface.a.ln(), with_origin).filter(|_| free[1]);
        let mut with_origin = unit(2);
        with_origin[4] = d_mean;
        intervals.b = ln(&intervals, surface.b.ln(), with_origin).filter(|_| free[2]);
        intervals.alpha = intervals.around(surface.alpha, unit(3)).filter(|_| free[3]);
        intervals.beta = intervals.around(surface.beta, unit(4)).filter(|_| free[4]);
        let square = (surface.alpha + surface.beta).powi(2);
        let share = [
            0.0,
            0.0,
            0.0,
            -surface.beta / square,
            surface.alpha / square,
        ];
        intervals.params_exponent = intervals
            .around(surface.params_exponent(), share)
            .filter(|_| free[3] && free[4]);
        Ok(intervals)
    }

    /// value ± t·√(g'Vg), where that is finite.
    fn around(&self, value: f64, gradient: [f64; 5]) -> Option<Interval> {
        let covariance = self.covariance.as_ref()?;
        let variance: f64 = (0..5)
            .flat_map(|a| (0..5).map(move |b| (a, b)))
            .map(|(a, b)| gradient[a] * covariance[a][b] * gradient[b])
            .sum();
        let half = t_critical(self.level, self.df) * variance.max(0.0).sqrt();
        let interval = Interval {
            value,
            lower: value - half,
            upper: value + half,
        };
        (interval.lower.is_finite() && interval.upper.is_finite()).then_some(interval)
    }

    /// [`Surface::allocation`] with intervals: those of a linearised ln N*, and D* = C/(k·N*).
    ///
    /// # Errors
    /// As [`Surface::allocation`].
    pub fn allocation(
        &self,
        surface: &Surface,
        flops: f64,
        flops_per_param_token: f64,
    ) -> Result<Allocation, FitError> {
        let (params, tokens) = surface.allocation(flops, flops_per_param_token)?;
        let [_, _, _, alpha, beta] = self.parameters;
        let [n_mean, d_mean] = self.centres;
        let ln_product = flops.ln() - flops_per_param_token.ln();
        let (sum, ln_params) = (alpha + beta, params.ln());
        let gradient = [
            0.0,
            1.0 / sum,
            -1.0 / sum,
            (1.0 / alpha + n_mean - ln_params) / sum,
            (ln_product - 1.0 / beta - d_mean - ln_params) / sum,
        ];
        let finite = |i: &Interval| [i.value, i.lower, i.upper].iter().all(|v| v.is_finite());
        let ln_interval = self
            .around(ln_params, gradient)
            .filter(|_| self.params_exponent.is_some());
        let reversed = ln_interval.map(|i| Interval {
            value: ln_product - i.value,
            lower: ln_product - i.upper,
            upper: ln_product - i.lower,
        });
        Ok(Allocation {
            flops,
            params,
            params_interval: ln_interval.map(|i| i.map(f64::exp)).filter(finite),
            tokens,
            tokens_interval: reversed.map(|i| i.map(f64::exp)).filter(finite),
            loss: surface.ln_loss(params, tokens).exp(),
        })
    }
}

/// Whether `params` and `tokens` are spread widely enough to tell the five parameters apart: at
/// least eight models, three sizes, three training lengths, and ln N and ln D not on one line.
///
/// # Errors
/// When they are not, with what is missing.
pub fn check_surface_design(params: &[f64], tokens: &[f64]) -> Result<(), FitError> {
    check_length("tokens", tokens.len(), params.len())?;
    check_count("models of a loss surface", params.len(), 8)?;
    let logs = |v: &[f64]| v.iter().map(|v| v.ln()).collect::<Vec<f64>>();
    let (n, d) = (logs(params), logs(tokens));
    for (what, values) in [("sizes", &n), ("training lengths", &d)] {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        // Rounding of token counts is no variation.
        sorted.dedup_by(|a, b| (*a - *b).abs() < 0.02);
        check_count(&format!("{what} of a loss surface"), sorted.len(), 3)?;
    }
    let centred = |v: &[f64]| -> Vec<f64> {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.iter().map(|v| v - mean).collect()
    };
    let (n, d) = (centred(&n), centred(&d));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let r2 = product(&n, &d).powi(2) / (product(&n, &n) * product(&d, &d));
    if r2.is_nan() || r2 >= 0.998 {
        return Err(FitError::Singular {
            what: "a loss surface over sizes and training lengths that move together".to_owned(),
        });
    }
    Ok(())
}

struct SurfaceProblem {
    n: Vec<f64>,
    d: Vec<f64>,
    ln_l: Vec<f64>,
}

impl SurfaceProblem {
    /// Centred logarithms, and their centres.
    fn new(params: &[f64], tokens: &[f64], losses: &[f64]) -> Result<(Self, [f64; 2]), FitError> {
        check_length("tokens", tokens.len(), params.len())?;
        // Spread and positivity of both axes.
        let positive = |what: &str, values: &[f64]| match values.iter().position(|v| *v <= 0.0) {
            Some(i) => Err(FitError::Domain {
                what: format!("{what}[{i}]"),
                value: values[i],
            }),
            None => check_finite(what, values),
        };
        positive("params", params)?;
        positive("tokens", tokens)?;
        let ln_n: Vec<f64> = params.iter().map(|v| v.ln()).collect();
        let ln_d: Vec<f64> = tokens.iter().map(|v| v.ln()).collect();
        let by_n = Points::new(&ln_n, losses, 6)?;
        let by_d = Points::new(&ln_d, losses, 6)?;
        let problem = Self {
            n: ln_n.iter().map(|v| v - by_n.x_mean).collect(),
            d: ln_d.iter().map(|v| v - by_d.x_mean).collect(),
            ln_l: by_n.ln_e,
        };
        Ok((problem, [by_n.x_mean, by_d.x_mean]))
    }

    /// The projected problem at every pair of exponents.
    fn scan(&self, axis: &[f64]) -> Vec<(f64, [f64; 3])> {
        let relative: Vec<f64> = self.ln_l.iter().map(|l| (-l).exp()).collect();
        let column = |x: &[f64], exponent: f64| -> Vec<f64> {
            x.iter()
                .zip(&self.ln_l)
                .map(|(x, l)| (-exponent * x - l).exp())
                .collect()
        };
        let by_n: Vec<Vec<f64>> = axis.iter().map(|a| column(&self.n, *a)).collect();
        let by_d: Vec<Vec<f64>> = axis.iter().map(|b| column(&self.d, *b)).collect();
        let sum = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let ones = vec![1.0; relative.len()];
        // Everything but the products of the two varying columns is shared along rows.
        let edge = |columns: &[Vec<f64>]| -> Vec<[f64; 3]> {
            columns
                .iter()
                .map(|c| [sum(c, &relative), sum(c, c), sum(c, &ones)])
                .collect()
        };
        let (edge_n, edge_d) = (edge(&by_n), edge(&by_d));
        let corner = [sum(&relative, &relative), sum(&relative, &ones)];
        let mut scan = Vec::with_capacity(axis.len() * axis.len());
        for (a, n) in by_n.iter().zip(&edge_n) {
            for (b, d) in by_d.iter().zip(&edge_d) {
                let cross = sum(a, b);
                let gram = [
                    [corner[0], n[0], d[0], corner[1]],
                    [n[0], n[1], cross, n[2]],
                    [d[0], cross, d[1], d[2]],
                    [corner[1], n[2], d[2], relative.len() as f64],
                ];
                scan.push(non_negative(&gram));
            }
        }
        scan
    }
}

impl Problem<5> for SurfaceProblem {
    fn len(&self) -> usize {
        self.n.len()
    }

    fn residual(&self, i: usize, &[ln_e, ln_a, ln_b, alpha, beta]: &[f64; 5]) -> (f64, [f64; 5]) {
        let by_n = ln_a - alpha * self.n[i];
        let by_d = ln_b - beta * self.d[i];
        let total = ln_add_exp(ln_e, ln_add_exp(by_n, by_d));
        let (share_n, share_d) = ((by_n - total).exp(), (by_d - total).exp());
        (
            self.ln_l[i] - total,
            [
                (ln_e - total).exp(),
                share_n,
                share_d,
                -share_n * self.n[i],
                -share_d * self.d[i],
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_models_are_refused() {
        assert!(fit_surface(&[1e6; 6], &[1e9; 6], &[3.0; 6], None).is_err());
    }

    #[test]
    fn the_surface_allocates_compute_where_its_derivatives_balance() {
        let surface = Surface {
            floor: 1.7,
            a: 400.0,
            b: 410.0,
            alpha: 0.34,
            beta: 0.28,
            rss: 0.0,
            cost: 0.0,
            certificate: Certificate {
                gradient: 0.0,
                condition: 1.0,
                starts: 1,
                agreeing: 1,
                at_bound: vec![],
            },
        };
        let (n, d) = surface.allocation(1e21, 6.0).unwrap();
        assert!((6.0 * n * d / 1e21 - 1.0).abs() < 1e-12);
        let best = surface.ln_loss(n, d);
        for k in [0.9, 1.1] {
            assert!(surface.ln_loss(n * k, d / k) > best);
        }
    }

    #[test]
    fn a_noisy_surface_with_outliers_is_found_by_huber() {
        let (mut n, mut d, mut l) = (vec![], vec![], vec![]);
        for i in 0..7 {
            for j in 0..7 {
                let params = 5e7 * 2_f64.powi(i);
                let tokens = 1e9 * 2.5_f64.powi(j);
                let noise = 2e-4 * f64::from((i * 31 + j * 17) % 11 - 5);
                let wild = if (i + 2 * j) % 9 == 0 { 0.03 } else { 0.0 };
                n.push(params);
                d.push(tokens);
                let loss: f64 = 1.69 + 406.4 / params.powf(0.34) + 410.7 / tokens.powf(0.28);
                l.push(loss * (noise + wild).exp());
            }
        }
        let robust = fit_surface(&n, &d, &l, Some(1e-3)).unwrap();
        let plain = fit_surface(&n, &d, &l, None).unwrap();
        assert!(
            (robust.params_exponent() - 0.28 / 0.62).abs() < 0.02,
            "{robust:?}"
        );
        assert!(robust.certificate.gradient < 1e-6, "{robust:?}");
        assert!(
            (robust.params_exponent() - 0.28 / 0.62).abs()
                < (plain.params_exponent() - 0.28 / 0.62).abs()
        );
    }
}
