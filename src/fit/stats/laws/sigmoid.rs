//! A sigmoid of the loss: the second step from a loss to an accuracy.

use nalgebra::SMatrix;

use super::nonlinear::{Problem, linearise, polish};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_finite, check_length};

/// Number of parameters: lower end, height, middle, logarithm of the width.
const TERMS: usize = 4;

/// `y(L) = low + height/(1 + exp((L − middle)/width))`, by least squares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sigmoid {
    /// Lower end, height, middle, `ln width`.
    pub(crate) parameters: [f64; TERMS],
    /// Covariance matrix of the parameters; a row of zeros for one that is given.
    pub(crate) covariance: [[f64; TERMS]; TERMS],
    /// Variance of one observation.
    pub(crate) variance: f64,
    pub(crate) df: usize,
}

struct Points<'a> {
    losses: &'a [f64],
    values: &'a [f64],
}

impl Problem<TERMS> for Points<'_> {
    fn len(&self) -> usize {
        self.losses.len()
    }

    fn residual(&self, i: usize, p: &[f64; TERMS]) -> (f64, [f64; TERMS]) {
        let (value, _, gradient) = curve(p, self.losses[i]);
        (self.values[i] - value, gradient)
    }
}

/// Value, derivative by the loss, and derivatives by the parameters.
pub(crate) fn curve(p: &[f64; TERMS], loss: f64) -> (f64, f64, [f64; TERMS]) {
    let [low, height, middle, log_width] = *p;
    let width = libm::exp(log_width);
    let z = (loss - middle) / width;
    let share = 1.0 / (1.0 + libm::exp(z));
    // σ' = σ(1 − σ); beyond |z| of 700 both factors are exactly 0 and 1.
    let slope = height * share * (1.0 - share);
    (
        low + height * share,
        -slope / width,
        [1.0, share, slope / width, slope * z],
    )
}

/// Fits the sigmoid to `values` over `losses`; `low` fixes the lower end.
///
/// # Errors
/// Lengths that differ, numbers that are not finite, fewer than two points more than terms, values that do
/// not fall with the loss, and points that leave a term open.
pub(crate) fn fit_sigmoid(
    losses: &[f64],
    values: &[f64],
    low: Option<f64>,
) -> Result<Sigmoid, FitError> {
    check_length("values", values.len(), losses.len())?;
    check_finite("a loss", losses)?;
    check_finite("a value", values)?;
    let terms = TERMS - usize::from(low.is_some());
    // Two degrees of freedom are the least for an interval.
    check_count("points of a sigmoid", losses.len(), terms + 2)?;
    let points = Points { losses, values };
    let free = [low.is_none(), true, true, true];
    let start = start(&points, low)?;
    let best = polish(&points, start, free, None);
    let p = best.parameters;
    let df = losses.len() - terms;
    let variance = 2.0 * best.cost / df as f64;
    let open = || FitError::Singular {
        what: "a sigmoid of the loss (its middle, width or an end)".into(),
    };
    let span = range(losses);
    let inside = (span.0 - (span.1 - span.0)..=span.1 + (span.1 - span.0)).contains(&p[2]);
    // A middle far outside the losses is an exponential, whose height and middle are one number.
    // A plateau shows neither its middle nor its width.
    let gain = curve(&p, span.0).0 - curve(&p, span.1).0;
    if !p.iter().all(|v| v.is_finite()) || p[1] <= 0.0 || !inside || gain < 1e-6 * p[1] {
        return Err(open());
    }
    let state = linearise(&points, &p, free, f64::INFINITY);
    let inverse: SMatrix<f64, TERMS, TERMS> = state.newton.try_inverse().ok_or_else(open)?;
    let mut covariance = [[0.0; TERMS]; TERMS];
    for (i, row) in covariance.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            if free[i] && free[j] {
                *cell = variance * inverse[(i, j)];
            }
        }
    }
    let sound = covariance.iter().flatten().all(|v| v.is_finite());
    let positive = (0..TERMS).all(|k| covariance[k][k] >= 0.0);
    (sound && positive).then_some(()).ok_or_else(open)?;
    Ok(Sigmoid {
        parameters: p,
        covariance,
        variance,
        df,
    })
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (
        low,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// The best of a grid of middles and widths, with both linear terms by least squares.
fn start(points: &Points<'_>, low: Option<f64>) -> Result<[f64; TERMS], FitError> {
    /// Middles across the losses, and widths from a fiftieth of their span to twice it: minima of a
    /// sigmoid are wider than a step of this grid.
    const STEPS: usize = 40;
    let (least, most) = range(points.losses);
    let span = most - least;
    let mut best: Option<(f64, [f64; TERMS])> = None;
    for i in 0..=STEPS {
        let middle = least - 0.5 * span + 2.0 * span * i as f64 / STEPS as f64;
        for k in 0..=STEPS {
            let width = span * 0.02 * libm::pow(100.0, k as f64 / STEPS as f64);
            let unit = [0.0, 1.0, middle, libm::log(width)];
            let shares: Vec<f64> = points.losses.iter().map(|l| curve(&unit, *l).0).collect();
            let n = shares.len() as f64;
            let (base, mean) = match low {
                Some(low) => (low, 0.0),
                None => (
                    points.values.iter().sum::<f64>() / n,
                    shares.iter().sum::<f64>() / n,
                ),
            };
            let pairs = || shares.iter().zip(points.values);
            let square: f64 = shares.iter().map(|s| (s - mean).powi(2)).sum();
            let product: f64 = pairs().map(|(s, y)| (s - mean) * (y - base)).sum();
            let height = product / square;
            let bottom = base - height * mean;
            let rss: f64 = pairs()
                .map(|(s, y)| (y - bottom - height * s).powi(2))
                .sum();
            if height > 0.0 && rss.is_finite() && best.is_none_or(|b| rss < b.0) {
                best = Some((rss, [bottom, height, middle, libm::log(width)]));
            }
        }
    }
    best.map(|b| b.1).ok_or_else(|| FitError::Unsupported {
        reason: "the accuracy does not rise as the loss falls: no sigmoid joins them".into(),
    })
}
