//! Nonlinear least squares in a few parameters: variable projection, polishing, profiles.
//!
//! # References
//! - G. H. Golub, V. Pereyra (1973), *SIAM J. Numerical Analysis* 10:413 (variable projection).
//! - J. J. Moré (1978), *Lecture Notes in Mathematics* 630:105 (Levenberg–Marquardt).
//! - P. J. Huber (1964), *Annals of Mathematical Statistics* 35:73.
//! - D. M. Bates, D. G. Watts (1988), *Nonlinear Regression Analysis*, §6.1 (profile intervals).

use nalgebra::{DMatrix, SMatrix, SVector, SymmetricEigen};

use crate::fit::stats::sums::compensated_sum;

/// A nonlinear least-squares problem in P parameters.
pub(super) trait Problem<const P: usize> {
    fn len(&self) -> usize;
    /// Observed minus predicted logarithm of point i, and the prediction's derivatives.
    fn residual(&self, i: usize, parameters: &[f64; P]) -> (f64, [f64; P]);

    fn rss(&self, parameters: &[f64; P]) -> f64 {
        compensated_sum((0..self.len()).map(|i| self.residual(i, parameters).0.powi(2)))
    }
}

/// Adds row·row' to `gram`.
pub(super) fn accumulate<const Q: usize>(gram: &mut [[f64; Q]; Q], row: &[f64; Q]) {
    for (line, a) in gram.iter_mut().zip(row) {
        for (cell, b) in line.iter_mut().zip(row) {
            *cell += a * b;
        }
    }
}

/// Non-negative least squares from the Gram matrix of (columns, target), Q − 1 = P columns.
///
/// Tries every subset of columns: with at most three that is seven tiny solves, and exact.
pub(super) fn non_negative<const Q: usize, const P: usize>(
    gram: &[[f64; Q]; Q],
) -> (f64, [f64; P]) {
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
            // 1e-7 is the root of rounding: a smaller pivot has no correct digit.
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
        // A noiseless surface leaves rounding here. It only ranks starts, so lost digits do no
        // harm.
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
pub(super) struct Polished<const P: usize> {
    pub(super) parameters: [f64; P],
    pub(super) cost: f64,
    /// Largest |cosine| between the clipped residuals and a column of the Jacobian.
    pub(super) gradient: f64,
}

/// Levenberg–Marquardt on the free parameters, with Huber's loss when a threshold is given.
///
/// The damped matrix is Σ ψ'(r)·JJ' + λ·diag(Σ w(r)·JJ'), w = ψ(r)/r: Newton's method on the
/// piecewise-quadratic loss as λ → 0, a scaled gradient step as λ grows.
pub(super) fn polish<const P: usize>(
    problem: &impl Problem<P>,
    start: [f64; P],
    free: [bool; P],
    huber: Option<f64>,
) -> Polished<P> {
    // The limit ends walks along a floor that runs to zero; its exact value does not matter.
    polish_until(problem, start, free, huber, (500, 0.0))
}

/// [`polish`] with at most `steps` steps, and no more after one that gains less than the share `gain`
/// of the cost: for redrawn errors, whose fits need two digits and not ten.
pub(super) fn polish_until<const P: usize>(
    problem: &impl Problem<P>,
    start: [f64; P],
    free: [bool; P],
    huber: Option<f64>,
    (steps, least_gain): (usize, f64),
) -> Polished<P> {
    let threshold = huber.unwrap_or(f64::INFINITY);
    let mut parameters = start;
    let mut cost = huber_cost(problem, &parameters, threshold);
    // A first step close to Newton's, for starts from a fine grid are near their minimum. The value
    // is customary.
    let mut damping = 1e-3;
    let mut state = linearise(problem, &parameters, free, threshold);
    // Twelve steps that gain nothing: the cost is flat to rounding, and more damping cannot help.
    let mut still = 0;
    for _ in 0..steps {
        if !cost.is_finite() || cost == 0.0 {
            break;
        }
        let mut trial = parameters;
        let mut next = f64::INFINITY;
        if let Some(step) = state.step(damping) {
            for k in 0..P {
                if free[k] {
                    // No parameter, all logarithms or exponents of order one, moves further at once.
                    trial[k] += step[k].clamp(-3.0, 3.0);
                }
            }
            next = huber_cost(problem, &trial, threshold);
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
            if gain < least_gain {
                break;
            }
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

/// Σ ρ(r): ½·r² within the threshold, linear beyond.
fn huber_cost<const P: usize>(
    problem: &impl Problem<P>,
    parameters: &[f64; P],
    threshold: f64,
) -> f64 {
    compensated_sum((0..problem.len()).map(|i| {
        let r = problem.residual(i, parameters).0.abs();
        if r <= threshold {
            0.5 * r * r
        } else {
            threshold * (r - 0.5 * threshold)
        }
    }))
}

/// The local quadratic model of a loss.
pub(super) struct Linearised<const P: usize> {
    /// Σ ψ'(r)·JJ'.
    pub(super) newton: SMatrix<f64, P, P>,
    /// Σ ψ(r)·J.
    descent: SVector<f64, P>,
    /// The diagonal of Σ w(r)·JJ'.
    scale: [f64; P],
    /// Largest |cosine| between the clipped residuals and a column of J.
    gradient: f64,
}

impl<const P: usize> Linearised<P> {
    /// The damped step; `None` where the matrix is not definite.
    fn step(&self, damping: f64) -> Option<SVector<f64, P>> {
        let mut matrix = self.newton;
        for k in 0..P {
            // 1e-300 keeps a pivot off zero where damping times scale underflows, and changes no
            // other.
            matrix[(k, k)] += damping * self.scale[k] + 1e-300;
        }
        matrix
            .cholesky()
            .map(|c| c.solve(&self.descent))
            .filter(|s| s.iter().all(|v| v.is_finite()))
    }
}

/// Sums over the points at `parameters`; those that are not `free` have no derivatives.
pub(super) fn linearise<const P: usize>(
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
            // A floor held at zero has ln ε = −∞, whose derivative is not a number.
            if !free[k] || !jacobian[k].is_finite() {
                jacobian[k] = 0.0;
            }
        }
        let clipped = r.clamp(-threshold, threshold);
        // ψ(r)/r tends to one at zero.
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
pub(super) fn condition<const P: usize>(
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
    let matrix = DMatrix::from_fn(used.len(), used.len(), |a, b| {
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

/// The profile of a cost over one parameter: the polished fit with that parameter held, from a start.
pub(super) type Profile<'a, const P: usize> = &'a dyn Fn(f64, &[f64; P]) -> Polished<P>;

/// The contour of a cost that ends an interval.
#[derive(Clone, Copy)]
pub(super) struct Contour {
    /// The least cost.
    pub(super) least: f64,
    /// The cost on the contour.
    pub(super) threshold: f64,
}

impl Contour {
    /// √(cost above its least) on the contour.
    fn goal(self) -> f64 {
        (self.threshold - self.least).max(0.0).sqrt()
    }

    /// √(cost above its least) less that on the contour: nearly linear in the profiled parameter.
    fn excess(self, cost: f64) -> f64 {
        (cost - self.least).max(0.0).sqrt() - self.goal()
    }
}

/// A point of a profile: the value held, and the excess there.
type Held = (f64, f64);

/// The end of a profile interval between the estimate `from` and the limit `to`: where the
/// profiled cost first reaches the contour. `None` when it never does.
pub(super) fn profile_end<const P: usize>(
    profile: Profile<'_, P>,
    at_estimate: &[f64; P],
    [from, to]: [f64; 2],
    contour: Contour,
) -> Option<f64> {
    // March outwards with growing steps, each fit starting from the last.
    let sign = if to > from { 1.0 } else { -1.0 };
    let mut near = *at_estimate;
    let mut inside = (from, -contour.goal());
    // Parameters are logarithms, so the first step is 5 %; it doubles, so its size hardly matters.
    let mut step = 0.05;
    let outside = loop {
        let next = inside.0 + sign * step;
        let last = sign * (next - to) >= 0.0;
        let next = if last { to } else { next };
        let fit = profile(next, &near);
        // A profile that cannot be evaluated ends the interval too.
        if fit.cost.is_nan() || fit.cost > contour.threshold {
            break (next, contour.excess(fit.cost));
        }
        if last {
            return None;
        }
        inside = (next, contour.excess(fit.cost));
        near = fit.parameters;
        step *= 2.0;
    };
    Some(crossing(profile, near, [inside, outside], contour))
}

/// The crossing of the profile with its contour between two points: false position, Illinois variant.
fn crossing<const P: usize>(
    profile: Profile<'_, P>,
    mut near: [f64; P],
    [mut inside, mut outside]: [Held; 2],
    contour: Contour,
) -> f64 {
    let mut same = 0;
    // Sixty halvings alone would be below rounding.
    for _ in 0..60 {
        let width = outside.0 - inside.0;
        if width.abs() <= 1e-9 * (1.0 + inside.0.abs()) {
            break;
        }
        let share = -inside.1 / (outside.1 - inside.1);
        // A cost without bound says nothing about where: halve.
        let share = if share.is_finite() {
            // Too close to an end the bracket would hardly shrink. The exact bounds do not matter.
            share.clamp(0.02, 0.98)
        } else {
            0.5
        };
        let next = inside.0 + share * width;
        let fit = profile(next, &near);
        let value = contour.excess(fit.cost);
        if fit.cost <= contour.threshold {
            inside = (next, value);
            near = fit.parameters;
            outside.1 *= if same > 0 { 0.5 } else { 1.0 };
            same = 1;
        } else {
            outside = (next, value);
            inside.1 *= if same < 0 { 0.5 } else { 1.0 };
            same = -1;
        }
        // Far beyond the digits that a profile, itself polished to 1e-14, can give an end.
        if value.abs() <= 1e-10 * contour.goal() {
            return next;
        }
    }
    0.5 * (inside.0 + outside.0)
}
