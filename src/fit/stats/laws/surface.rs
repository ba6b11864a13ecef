//! The surface L(N, D) = E + A/N^α + B/D^β: the fit, its certificate and the allocation of compute.
//!
//! # References
//! - J. Hoffmann et al. (2022), arXiv:2203.15556, §3.3 (approach 3); T. Besiroglu et al. (2024),
//!   arXiv:2404.10102.
//! - S. Czech et al. (2026), arXiv:2603.22339 (variable projection).

use super::ln_add_exp;
use super::nonlinear::{Polished, Problem, condition, non_negative, polish};
use super::points::Points;
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_domain, check_length, check_positive};

/// Exponents tried along each axis of the surface, and their range.
const SURFACE_GRID: usize = 64;
// Hoffmann et al. found 0.34 and 0.28. The grid only gives starts; polishing may leave it.
const SURFACE_LOW: f64 = 0.05;
const SURFACE_HIGH: f64 = 1.5;
/// Local minima of the surface's grid that are polished.
// Bounds the time that a noisy grid can cost. Starts come lowest first, so the value matters
// little.
const MAX_SURFACE_STARTS: usize = 8;

/// Evidence that a nonlinear fit has converged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Certificate {
    /// Largest |cosine| between the (Huber-clipped) residuals and a column of the Jacobian: 0 at
    /// an exact stationary point, scale-free.
    pub(crate) gradient: f64,
    /// Condition number of the Jacobian with columns scaled to length one. Above 1e6 the
    /// parameters are not separately identified, though predictions inside the data may be.
    pub(crate) condition: f64,
    /// Local minima of the grid that were polished.
    pub(crate) starts: usize,
    /// Polished minima that reached the reported fit.
    pub(crate) agreeing: usize,
    /// Names of parameters at the edge of their range; intervals are one-sided there.
    pub(crate) at_bound: Vec<String>,
}

/// L(N, D) = E + A/N^α + B/D^β (Hoffmann et al. 2022, approach 3).
///
/// **Units**: E, A, B in those of the losses; N parameters, D tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LossSurface {
    /// E ≥ 0, the irreducible loss.
    pub(crate) floor: f64,
    /// A ≥ 0.
    pub(crate) a: f64,
    /// B ≥ 0.
    pub(crate) b: f64,
    /// α > 0.
    pub(crate) alpha: f64,
    /// β > 0.
    pub(crate) beta: f64,
    /// Σ (ln L − ln L̂)².
    pub(crate) rss: f64,
    /// Evidence of convergence.
    pub(crate) certificate: Certificate,
}

/// The parameters of L(N, D) = E + A/N^α + B/D^β.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SurfaceCurve {
    /// E ≥ 0.
    pub(crate) floor: f64,
    /// A ≥ 0.
    pub(crate) a: f64,
    /// B ≥ 0.
    pub(crate) b: f64,
    /// α > 0.
    pub(crate) alpha: f64,
    /// β > 0.
    pub(crate) beta: f64,
}

impl SurfaceCurve {
    /// From ln E, ln A and ln B at the `centres` of ln N and ln D, α and β.
    pub(super) fn of([ln_e, ln_a, ln_b, alpha, beta]: [f64; 5], centres: [f64; 2]) -> Self {
        Self {
            floor: ln_e.exp(),
            a: (ln_a + alpha * centres[0]).exp(),
            b: (ln_b + beta * centres[1]).exp(),
            alpha,
            beta,
        }
    }

    /// The reverse of [`SurfaceCurve::of`].
    pub(super) fn centred(&self, centres: [f64; 2]) -> [f64; 5] {
        [
            self.floor.ln(),
            self.a.ln() - self.alpha * centres[0],
            self.b.ln() - self.beta * centres[1],
            self.alpha,
            self.beta,
        ]
    }

    /// ln L at N parameters and D tokens, both positive.
    pub(crate) fn ln_loss(&self, params: f64, tokens: f64) -> f64 {
        let by_params = self.a.ln() - self.alpha * params.ln();
        let by_tokens = self.b.ln() - self.beta * tokens.ln();
        ln_add_exp(self.floor.ln(), ln_add_exp(by_params, by_tokens))
    }
}

impl SurfaceCurve {
    /// The (N*, D*) that minimise L under C = k·N·D: N* = (αA/βB)^{1/(α+β)}·(C/k)^{β/(α+β)}
    /// (Hoffmann et al. 2022, equation 4).
    ///
    /// `flops` is C and `flops_per_param_token` is k, 6 in the usual convention.
    ///
    /// # Errors
    /// When an argument is not positive, or A or B is zero, so that there is no interior optimum.
    pub(crate) fn allocation(
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
            check_domain(what, value, value > 0.0 && value.is_finite())?;
        }
        let sum = self.alpha + self.beta;
        let ln_product = flops.ln() - flops_per_param_token.ln();
        let ln_ratio = self.alpha.ln() + self.a.ln() - self.beta.ln() - self.b.ln();
        let ln_params = (ln_ratio + self.beta * ln_product) / sum;
        Ok((ln_params.exp(), (ln_product - ln_params).exp()))
    }

    /// β/(α + β), the exponent of N* in compute.
    pub(crate) fn params_exponent(&self) -> f64 {
        self.beta / (self.alpha + self.beta)
    }
}

impl LossSurface {
    /// [`SurfaceCurve::allocation`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn allocation(
        &self,
        flops: f64,
        flops_per_param_token: f64,
    ) -> Result<(f64, f64), FitError> {
        self.curve().allocation(flops, flops_per_param_token)
    }

    /// β/(α + β), the exponent of N* in compute.
    pub(crate) fn params_exponent(&self) -> f64 {
        self.curve().params_exponent()
    }

    /// The parameters.
    pub(crate) fn curve(&self) -> SurfaceCurve {
        SurfaceCurve {
            floor: self.floor,
            a: self.a,
            b: self.b,
            alpha: self.alpha,
            beta: self.beta,
        }
    }

    /// ln L at N parameters and D tokens, both positive.
    pub(crate) fn ln_loss(&self, params: f64, tokens: f64) -> f64 {
        self.curve().ln_loss(params, tokens)
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
pub(crate) fn fit_surface(
    params: &[f64],
    tokens: &[f64],
    losses: &[f64],
    huber: Option<f64>,
) -> Result<LossSurface, FitError> {
    check_huber(huber)?;
    let (problem, [n_mean, d_mean]) = SurfaceProblem::new(params, tokens, losses)?;
    let polished: Vec<Polished<5>> = problem
        .starts()
        .into_iter()
        .map(|start| polish(&problem, start, [true; 5], huber))
        .collect();
    let Some(fit) = polished
        .iter()
        .filter(|p| p.cost.is_finite())
        .min_by(|a, b| a.cost.total_cmp(&b.cost))
    else {
        return Err(FitError::NoConvergence {
            what: "the loss surface".to_owned(),
        });
    };
    // 1e-28 stands for an exact fit, whose costs are rounding and differ by any factor.
    let agreeing = polished
        .iter()
        .filter(|p| p.cost <= fit.cost * (1.0 + 1e-6) + 1e-28)
        .count();
    let [ln_e, ln_a, ln_b, alpha, beta] = fit.parameters;
    Ok(LossSurface {
        floor: ln_e.exp(),
        a: (ln_a + alpha * n_mean).exp(),
        b: (ln_b + beta * d_mean).exp(),
        alpha,
        beta,
        rss: problem.rss(&fit.parameters),
        certificate: Certificate {
            gradient: fit.gradient,
            condition: condition(&problem, &fit.parameters, huber),
            starts: polished.len(),
            agreeing,
            at_bound: at_bound(&fit.parameters),
        },
    })
}

/// Names of the parameters at the edge of their range.
fn at_bound(&[ln_e, ln_a, ln_b, alpha, beta]: &[f64; 5]) -> Vec<String> {
    let ln_total = ln_add_exp(ln_e, ln_add_exp(ln_a, ln_b));
    // A term of e^-20 of the loss is below the last digit that losses are reported with.
    let vanished = [("floor", ln_e), ("a", ln_a), ("b", ln_b)]
        .into_iter()
        .filter(|(_, v)| v - ln_total < -20.0);
    let extreme = [("alpha", alpha), ("beta", beta)]
        .into_iter()
        // Below 1e-3 the term is one more constant, above 3 it matters for the smallest models
        // only.
        .filter(|(_, v)| !(*v > 1e-3 && *v < 2.0 * SURFACE_HIGH));
    vanished
        .chain(extreme)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Refuses a threshold of Huber's loss that is not positive and finite.
pub(super) fn check_huber(huber: Option<f64>) -> Result<(), FitError> {
    let value = huber.unwrap_or(1.0);
    check_domain("Huber's threshold", value, value > 0.0 && value.is_finite())
}

/// Centred logarithms of sizes, training lengths and losses.
#[derive(Debug, Clone)]
pub(super) struct SurfaceProblem {
    pub(super) n: Vec<f64>,
    pub(super) d: Vec<f64>,
    pub(super) ln_l: Vec<f64>,
}

impl SurfaceProblem {
    /// Centred logarithms, and their centres.
    pub(super) fn new(
        params: &[f64],
        tokens: &[f64],
        losses: &[f64],
    ) -> Result<(Self, [f64; 2]), FitError> {
        check_length("tokens", tokens.len(), params.len())?;
        check_positive("params", params)?;
        check_positive("tokens", tokens)?;
        let ln_n: Vec<f64> = params.iter().map(|v| v.ln()).collect();
        let ln_d: Vec<f64> = tokens.iter().map(|v| v.ln()).collect();
        // Five parameters and one residual.
        let by_n = Points::new(&ln_n, losses, 6)?;
        let by_d = Points::new(&ln_d, losses, 6)?;
        let problem = Self {
            n: ln_n.iter().map(|v| v - by_n.x_mean).collect(),
            d: ln_d.iter().map(|v| v - by_d.x_mean).collect(),
            ln_l: by_n.ln_e,
        };
        Ok((problem, [by_n.x_mean, by_d.x_mean]))
    }

    /// Starts from the local minima of the grid, the lowest eight.
    fn starts(&self) -> Vec<[f64; 5]> {
        let axis: Vec<f64> = (0..SURFACE_GRID)
            .map(|k| {
                let share = k as f64 / (SURFACE_GRID - 1) as f64;
                (SURFACE_LOW.ln() + share * (SURFACE_HIGH / SURFACE_LOW).ln()).exp()
            })
            .collect();
        let scan = self.scan(&axis);
        let at = |i: usize, j: usize| scan[i * SURFACE_GRID + j].0;
        let near = |i: usize| i.saturating_sub(1)..=(i + 1).min(SURFACE_GRID - 1);
        let mut minima: Vec<(usize, usize)> = Vec::new();
        for i in 0..SURFACE_GRID {
            for j in 0..SURFACE_GRID {
                let here = at(i, j);
                let lowest = near(i)
                    .flat_map(|a| near(j).map(move |b| (a, b)))
                    .filter(|n| *n != (i, j))
                    // Equal neighbours: the first in order is the minimum, so that a plateau gives
                    // one start.
                    .all(|(a, b)| here < at(a, b) || (here == at(a, b) && (i, j) < (a, b)));
                if lowest && here.is_finite() {
                    minima.push((i, j));
                }
            }
        }
        minima.sort_by(|a, b| at(a.0, a.1).total_cmp(&at(b.0, b.1)));
        minima.truncate(MAX_SURFACE_STARTS);
        let start = |(i, j): (usize, usize)| {
            let linear = scan[i * SURFACE_GRID + j].1;
            let size: f64 = linear.iter().sum();
            // Logarithms need a positive start: a thousandth of the whole stands for zero.
            let [e, a, b] = linear.map(|v| v.max(1e-3 * size).ln());
            [e, a, b, axis[i], axis[j]]
        };
        minima.into_iter().map(start).collect()
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

impl SurfaceProblem {
    /// The problem of some of the runs, with repetitions.
    pub(super) fn of_runs(&self, runs: &[usize]) -> Self {
        let pick = |v: &[f64]| -> Vec<f64> { runs.iter().map(|&i| v[i]).collect() };
        Self {
            n: pick(&self.n),
            d: pick(&self.d),
            ln_l: pick(&self.ln_l),
        }
    }
}

impl Problem<5> for SurfaceProblem {
    fn len(&self) -> usize {
        self.n.len()
    }

    fn residual(&self, i: usize, &[ln_e, ln_a, ln_b, alpha, beta]: &[f64; 5]) -> (f64, [f64; 5]) {
        let by_n = ln_a - alpha * self.n[i];
        let by_d = ln_b - beta * self.d[i];
        let terms = [ln_e, by_n, by_d].map(f64::exp);
        let sum = terms[0] + terms[1] + terms[2];
        // Four transcendental functions instead of seven; the logarithmic form where terms overflow.
        let (total, [share_e, share_n, share_d]) = if sum.is_normal() {
            (sum.ln(), terms.map(|t| t / sum))
        } else {
            let total = ln_add_exp(ln_e, ln_add_exp(by_n, by_d));
            (total, [ln_e, by_n, by_d].map(|t| (t - total).exp()))
        };
        (
            self.ln_l[i] - total,
            [
                share_e,
                share_n,
                share_d,
                -share_n * self.n[i],
                -share_d * self.d[i],
            ],
        )
    }
}
