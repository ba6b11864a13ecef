//! Size profiles and the compute-optimal frontier of an IsoFLOP ladder.
//!
//! At one budget the loss is a shallow asymmetric bowl over `ln N`. A polynomial through the sizes
//! near the best one gives its minimum; a straight line through the minima of all budgets gives the
//! frontier `ln N*(C)`. Reading at a smoothed minimum instead of at the best run removes the jitter
//! of picking a winner, and a cubic rather than a parabola removes the bias of asymmetry when the
//! sizes are off-centre.

use serde::{Deserialize, Serialize};

use super::error::FitError;
use super::stats::regression::LinearFit;

/// Window of sizes around the best one, in `ln N`, for the default cubic.
pub(crate) const WIDE: f64 = 2.079_441_541_679_835_7; // ln 8
/// Window of the narrow quadratic that checks it.
pub(crate) const NARROW: f64 = 1.386_294_361_119_890_6; // ln 4

/// Least-squares polynomial on fixed abscissae: everything it gives is linear in the ordinates.
#[derive(Debug, Clone)]
pub(crate) struct Poly {
    centre: f64,
    scale: f64,
    fit: LinearFit,
}

impl Poly {
    /// Fits `y` over `u`; `None` where `u` has fewer than `degree + 1` distinct values.
    pub(crate) fn new(u: &[f64], y: &[f64], degree: usize) -> Option<Self> {
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
            fit: LinearFit::new(&columns, y).ok()?,
        })
    }

    /// Residuals of another ordinate over the same abscissae by the same polynomial.
    pub(crate) fn residuals(&self, u: &[f64], y: &[f64]) -> Option<Vec<f64>> {
        let other = Self::new(u, y, self.terms() - 1)?;
        Some(other.fit.residuals().to_vec())
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

/// How the profile of one budget was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Profile {
    /// Cubic through the sizes of the window.
    Cubic,
    /// Quadratic through the sizes of the window.
    Quadratic,
    /// Too few sizes: the best run.
    BestRun,
}

/// Sizes of one budget within a window of the best, and the polynomial through them.
#[derive(Debug, Clone)]
pub(crate) struct Bowl {
    /// Positions of the runs used.
    pub(crate) members: Vec<usize>,
    /// `None` for a best-run reading.
    pub(crate) poly: Option<Poly>,
    pub(crate) profile: Profile,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// `ln N` of the minimum; `None` where it is not bracketed.
    pub(crate) minimum: Option<f64>,
}

/// Position in `members` of the least `a`, the first of equals.
pub(crate) fn argmin(members: &[usize], a: &[f64]) -> Option<usize> {
    members
        .iter()
        .copied()
        .min_by(|&i, &j| a[i].total_cmp(&a[j]))
}

fn distinct(members: &[usize], size: &[f64]) -> usize {
    let mut s: Vec<f64> = members.iter().map(|&m| size[m]).collect();
    s.sort_by(f64::total_cmp);
    s.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    s.len()
}

/// The bowl of the runs `members` (positions) with log sizes `size` and log aggregate losses `a`.
///
/// `degrees` are those with five sizes and with more; four make a quadratic.
pub(crate) fn bowl(
    members: &[usize],
    size: &[f64],
    a: &[f64],
    window: f64,
    [five, more]: [usize; 2],
) -> Option<Bowl> {
    let best = argmin(members, a)?;
    let lone = |low: f64, high: f64| Bowl {
        members: vec![best],
        poly: None,
        profile: Profile::BestRun,
        low,
        high,
        minimum: Some(size[best]),
    };
    if more == 0 {
        return Some(lone(size[best], size[best]));
    }
    let near = |w: f64| -> Vec<usize> {
        let inside = |&&m: &&usize| (size[m] - size[best]).abs() <= w + 1e-9;
        members.iter().filter(inside).copied().collect()
    };
    let mut used = near(window);
    if distinct(&used, size) < 4 && window < WIDE {
        // The narrow window of a coarse grid: widen it to four sizes, but not beyond the wide one.
        let mut w: Vec<f64> = near(WIDE)
            .iter()
            .map(|&m| (size[m] - size[best]).abs())
            .collect();
        w.sort_by(f64::total_cmp);
        for reach in w {
            used = near(reach);
            if distinct(&used, size) >= 4 {
                break;
            }
        }
    }
    let degree = match distinct(&used, size) {
        0..=3 => 0,
        4 => 2,
        5 => five,
        _ => more,
    };
    let u: Vec<f64> = used.iter().map(|&m| size[m]).collect();
    let low = u.iter().copied().fold(f64::INFINITY, f64::min);
    let high = u.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let y: Vec<f64> = used.iter().map(|&m| a[m]).collect();
    let poly = if degree > 0 {
        Poly::new(&u, &y, degree)
    } else {
        None
    };
    match poly {
        None => Some(lone(low, high)),
        Some(poly) => {
            let minimum = poly.minimum().filter(|m| *m > low && *m < high);
            Some(Bowl {
                members: used,
                poly: Some(poly),
                profile: if degree == 3 {
                    Profile::Cubic
                } else {
                    Profile::Quadratic
                },
                low,
                high,
                minimum,
            })
        }
    }
}
