//! The size profile of one budget and its minimum.
//!
//! At one budget the loss is a shallow asymmetric bowl over `ln N`. A polynomial through the sizes
//! near the best one gives its minimum; a straight line through the minima of all budgets gives the
//! frontier `ln N*(C)`. Reading at a smoothed minimum instead of at the best run removes the jitter
//! of picking a winner, and a cubic rather than a parabola removes the bias of asymmetry when the
//! sizes are off-centre.

use serde::{Deserialize, Serialize};

use crate::fit::error::FitError;
use crate::fit::logarithm::range;
use crate::fit::stats::regression::LinearFit;

use super::SparseRow;

/// Window of sizes around the best one, `ln 8`: it holds seven sizes in steps of a factor of two.
/// Further out profiles leave the cubic (quartic terms show on public ladders).
pub(super) const WIDE: f64 = 2.079_441_541_679_835_7;
/// Window of the quadratic that checks the cubic, `ln 4`: five sizes in steps of a factor of two.
pub(super) const NARROW: f64 = 1.386_294_361_119_890_6;

/// Widest window, `ln 64`, for budgets that have fewer than four sizes within the other one: sizes in
/// steps of a factor of 8. There the profiles of a public ladder are a quarter above their minimum, and
/// their cubic terms more than half of their squares: no parabola describes them any further.
const WIDEST: f64 = 2.0 * WIDE;

/// Degree of the polynomial through four sizes, through five and through more. Fewer are read at the
/// best run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Degrees {
    pub(super) four: usize,
    pub(super) five: usize,
    /// 0 reads every profile at its best run.
    pub(super) more: usize,
}

/// Form in which the size profile of one budget was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProfileFit {
    /// Cubic through the sizes of the window.
    Cubic,
    /// Quadratic through the sizes of the window.
    Quadratic,
    /// Too few sizes: the best run.
    BestRun,
}

/// Sizes of one budget within a window of the best, and the polynomial through them.
#[derive(Debug, Clone)]
pub(crate) struct SizeProfile {
    /// Positions of the runs used.
    pub(crate) members: Vec<usize>,
    /// The polynomial; `None` if the best run is read.
    pub(crate) poly: Option<Poly>,
    pub(crate) fit: ProfileFit,
    /// Smallest and largest `ln N` used.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// `ln N` of the minimum; `None` if it is not bracketed.
    pub(crate) minimum: Option<f64>,
    /// If true, sizes further than a factor of 8 from the best were needed to have four.
    pub(crate) widened: bool,
}

impl SizeProfile {
    /// The profile of the runs `members` (positions) with log sizes `size` and log aggregate losses
    /// `a`; `None` without runs.
    pub(super) fn new(
        members: &[usize],
        size: &[f64],
        a: &[f64],
        window: f64,
        degrees: Degrees,
    ) -> Option<Self> {
        let best = best_run(members, a)?;
        let read_at_best = |[low, high]: [f64; 2]| Self {
            members: vec![best],
            poly: None,
            fit: ProfileFit::BestRun,
            low,
            high,
            minimum: Some(size[best]),
            widened: false,
        };
        if degrees.more == 0 {
            return Some(read_at_best([size[best]; 2]));
        }
        let used = in_window(members, size, size[best], window);
        let (degree, fit) = match distinct(&used, size) {
            // Three sizes fit a parabola exactly: its vertex is the noise of three runs.
            0..=3 => (0, ProfileFit::BestRun),
            n => {
                let degree = match n {
                    4 => degrees.four,
                    5 => degrees.five,
                    _ => degrees.more,
                };
                match degree {
                    3 => (3, ProfileFit::Cubic),
                    degree => (degree, ProfileFit::Quadratic),
                }
            }
        };
        let reach = used.iter().map(|&m| (size[m] - size[best]).abs());
        let widened = window <= WIDE && reach.fold(0.0, f64::max) > WIDE + EDGE;
        let u: Vec<f64> = used.iter().map(|&m| size[m]).collect();
        let y: Vec<f64> = used.iter().map(|&m| a[m]).collect();
        let [low, high] = range(&u);
        let poly = if degree > 0 {
            Poly::new(&u, &y, degree)
        } else {
            None
        };
        let Some(poly) = poly else {
            return Some(read_at_best([low, high]));
        };
        // Strictly inside: a vertex at the edge is a profile that still falls there.
        let minimum = poly.minimum().filter(|m| *m > low && *m < high);
        Some(Self {
            members: used,
            poly: Some(poly),
            fit,
            low,
            high,
            minimum,
            widened,
        })
    }

    /// Width in `ln N`, by which the powers of a regression are scaled; positive for one size too.
    pub(crate) fn width(&self) -> f64 {
        // Only divided by; 1e-9 stands for "not zero".
        (self.high - self.low).max(1e-9)
    }

    /// The size within the profile that is nearest to `wanted`.
    pub(super) fn nearest(&self, wanted: f64) -> f64 {
        wanted.clamp(self.low, self.high)
    }

    /// Weights of runs in the value and the slope at `at`; the best run by itself has no slope.
    pub(super) fn rows(&self, at: f64) -> Result<(SparseRow, SparseRow), FitError> {
        let sparse = |row: Vec<f64>| self.members.iter().copied().zip(row).collect::<SparseRow>();
        Ok(match &self.poly {
            None => (sparse(vec![1.0]), Vec::new()),
            Some(poly) => (sparse(poly.value_row(at)?), sparse(poly.slope_row(at)?)),
        })
    }
}

/// Position in `members` of the least `a`, the first of equals.
pub(super) fn best_run(members: &[usize], a: &[f64]) -> Option<usize> {
    members
        .iter()
        .copied()
        .min_by(|&i, &j| a[i].total_cmp(&a[j]))
}

/// Rounding of log sizes: sizes in steps of two lie on the edge of a window.
const EDGE: f64 = 1e-9;

/// Runs whose log size lies within `window` of `centre`.
///
/// The window of a coarse grid is widened to the nearest runs until it holds four sizes, but not beyond
/// [`WIDEST`]: sizes a factor of 3.5 apart leave three within `ln 8`, too few for a parabola.
fn in_window(members: &[usize], size: &[f64], centre: f64, window: f64) -> Vec<usize> {
    let distance = |m: usize| (size[m] - centre).abs();
    let near = |w: f64| -> Vec<usize> {
        let inside = |&&m: &&usize| distance(m) <= w + EDGE;
        members.iter().filter(inside).copied().collect()
    };
    let used = near(window);
    if distinct(&used, size) >= 4 {
        return used;
    }
    let mut reach: Vec<f64> = near(WIDEST).iter().map(|&m| distance(m)).collect();
    reach.sort_by(f64::total_cmp);
    let wider = reach.into_iter().filter(|&w| w > window).map(near);
    let enough = |used: &Vec<usize>| distinct(used, size) >= 4;
    wider
        .into_iter()
        .find(enough)
        // Three sizes at most: the best run is read, and the window only tells where sizes lie.
        .unwrap_or_else(|| near(window.max(WIDE)))
}

/// Number of distinct sizes; log sizes are one up to rounding.
pub(super) fn distinct(members: &[usize], size: &[f64]) -> usize {
    let mut s: Vec<f64> = members.iter().map(|&m| size[m]).collect();
    s.sort_by(f64::total_cmp);
    s.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    s.len()
}

/// Least-squares polynomial on fixed abscissae: everything it gives is linear in the ordinates.
#[derive(Debug, Clone)]
pub(crate) struct Poly {
    centre: f64,
    scale: f64,
    fit: LinearFit,
}

impl Poly {
    /// Fits `y` over `u`; `None` if `u` has fewer than `degree + 1` distinct values.
    pub(crate) fn new(u: &[f64], y: &[f64], degree: usize) -> Option<Self> {
        Self::weighted(u, y, &vec![1.0; y.len()], degree)
    }

    /// [`new`](Self::new) with positive `weights` of the ordinates.
    pub(crate) fn weighted(u: &[f64], y: &[f64], weights: &[f64], degree: usize) -> Option<Self> {
        // Powers of ln N near 20 are nearly collinear; centred and scaled they span [−1, 1].
        let centre = u.iter().sum::<f64>() / u.len() as f64;
        let scale = u.iter().fold(0.0, |m: f64, v| m.max((v - centre).abs()));
        if scale.is_nan() || scale <= 0.0 {
            return None;
        }
        let columns: Vec<Vec<f64>> = (0..=degree)
            .map(|k| {
                u.iter()
                    .map(|x| ((x - centre) / scale).powi(k as i32))
                    .collect()
            })
            .collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        Some(Self {
            centre,
            scale,
            fit: LinearFit::weighted(&columns, y, weights).ok()?,
        })
    }

    /// Residuals of another ordinate over the same abscissae by the same polynomial.
    pub(crate) fn residuals(&self, u: &[f64], y: &[f64]) -> Option<Vec<f64>> {
        let other = Self::new(u, y, self.terms() - 1)?;
        Some(other.fit.residuals().to_vec())
    }

    /// Powers of other abscissae as this polynomial has them, by columns.
    pub(crate) fn powers(&self, u: &[f64]) -> Vec<Vec<f64>> {
        let t: Vec<f64> = u.iter().map(|x| (x - self.centre) / self.scale).collect();
        (0..self.terms() as i32)
            .map(|k| t.iter().map(|t| t.powi(k)).collect())
            .collect()
    }

    /// Number of coefficients.
    pub(crate) fn terms(&self) -> usize {
        self.fit.coefficients().len()
    }

    fn row(&self, term: impl Fn(i32) -> f64) -> Result<Vec<f64>, FitError> {
        let terms: Vec<f64> = (0..self.fit.coefficients().len())
            .map(|k| term(k as i32))
            .collect();
        self.fit.weights_of(&terms)
    }

    /// Weights of the ordinates in the fitted value at `at`.
    pub(crate) fn value_row(&self, at: f64) -> Result<Vec<f64>, FitError> {
        let t = (at - self.centre) / self.scale;
        self.row(|k| t.powi(k))
    }

    /// Weights of the ordinates in the fitted slope at `at`.
    pub(crate) fn slope_row(&self, at: f64) -> Result<Vec<f64>, FitError> {
        let t = (at - self.centre) / self.scale;
        self.row(|k| match k {
            0 => 0.0,
            k => f64::from(k) * t.powi(k - 1) / self.scale,
        })
    }

    /// The abscissa of the interior minimum of a quadratic or cubic, if there is one.
    pub(crate) fn minimum(&self) -> Option<f64> {
        let at = |k: usize| self.fit.coefficients().get(k).copied().unwrap_or(0.0);
        let (c1, c2, c3) = (at(1), at(2), at(3));
        // The root of the derivative where the second derivative is positive, in the form that does
        // not cancel and holds for a vanishing cubic term.
        let t = -c1 / (c2 + (c2 * c2 - 3.0 * c1 * c3).sqrt());
        let curvature = 2.0 * c2 + 6.0 * c3 * t;
        (t.is_finite() && curvature > 0.0).then_some(self.centre + self.scale * t)
    }
}
