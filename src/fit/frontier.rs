//! Size profiles and the compute-optimal frontier of an IsoFLOP ladder.
//!
//! At one budget the loss is a shallow asymmetric bowl over `ln N`. A polynomial through the sizes
//! near the best one gives its minimum; a straight line through the minima of all budgets gives the
//! frontier `ln N*(C)`. Reading at a smoothed minimum instead of at the best run removes the jitter
//! of picking a winner, and a cubic rather than a parabola removes the bias of asymmetry when the
//! sizes are off-centre.

use serde::{Deserialize, Serialize};

/// Window of sizes around the best one, in `ln N`, for the default cubic.
pub(crate) const WIDE: f64 = 2.079_441_541_679_835_7; // ln 8
/// Window of the narrow quadratic that checks it.
pub(crate) const NARROW: f64 = 1.386_294_361_119_890_6; // ln 4

/// Least-squares polynomial on fixed abscissae: everything it gives is linear in the ordinates.
#[derive(Debug, Clone)]
pub(crate) struct Poly {
    centre: f64,
    scale: f64,
    /// Orthonormal columns.
    q: Vec<Vec<f64>>,
    /// Upper triangle, `V = Q R` for the monomials of the scaled abscissa.
    r: Vec<Vec<f64>>,
}

impl Poly {
    /// `None` where the abscissae have fewer than `degree + 1` distinct values.
    pub(crate) fn new(u: &[f64], degree: usize) -> Option<Self> {
        let n = u.len() as f64;
        if u.len() <= degree {
            return None;
        }
        let centre = u.iter().sum::<f64>() / n;
        let scale = u.iter().fold(0.0, |m: f64, v| m.max((v - centre).abs()));
        if degree > 0 && !(scale > 0.0 && scale.is_finite()) {
            return None;
        }
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let mut q: Vec<Vec<f64>> = Vec::with_capacity(degree + 1);
        let mut r = vec![vec![0.0; degree + 1]; degree + 1];
        for k in 0..=degree {
            let mut v: Vec<f64> = u
                .iter()
                .map(|x| ((x - centre) / scale).powi(k as i32))
                .collect();
            let before = dot(&v, &v).sqrt();
            // Twice is enough: one pass leaves an error that grows with the condition number.
            for _ in 0..2 {
                for (i, qi) in q.iter().enumerate() {
                    let c = dot(qi, &v);
                    r[i][k] += c;
                    for (a, b) in v.iter_mut().zip(qi) {
                        *a -= c * b;
                    }
                }
            }
            let norm = dot(&v, &v).sqrt();
            if !(norm > 1e-7 * before) {
                return None;
            }
            r[k][k] = norm;
            v.iter_mut().for_each(|a| *a /= norm);
            q.push(v);
        }
        Some(Self {
            centre,
            scale,
            q,
            r,
        })
    }

    fn row(&self, basis: &[f64]) -> Vec<f64> {
        // Solve Rᵀ z = basis; the row is Q z.
        let p = self.q.len();
        let mut z = vec![0.0; p];
        for i in 0..p {
            let s: f64 = (0..i).map(|k| self.r[k][i] * z[k]).sum();
            z[i] = (basis[i] - s) / self.r[i][i];
        }
        let n = self.q.first().map_or(0, Vec::len);
        (0..n)
            .map(|j| (0..p).map(|i| z[i] * self.q[i][j]).sum())
            .collect()
    }

    /// Weights of the ordinates in the fitted value at `at`.
    pub(crate) fn value_row(&self, at: f64) -> Vec<f64> {
        let t = (at - self.centre) / self.scale;
        let basis: Vec<f64> = (0..self.q.len()).map(|k| t.powi(k as i32)).collect();
        self.row(&basis)
    }

    /// Weights of the ordinates in the fitted slope at `at`.
    pub(crate) fn slope_row(&self, at: f64) -> Vec<f64> {
        let t = (at - self.centre) / self.scale;
        let basis: Vec<f64> = (0..self.q.len())
            .map(|k| match k {
                0 => 0.0,
                k => k as f64 * t.powi(k as i32 - 1) / self.scale,
            })
            .collect();
        self.row(&basis)
    }

    /// The abscissa of the interior minimum of a quadratic or cubic, if there is one.
    pub(crate) fn minimum(&self, y: &[f64]) -> Option<f64> {
        let p = self.q.len();
        let mut c = [0.0; 4];
        for i in (0..p).rev() {
            let s: f64 = (i + 1..p).map(|k| self.r[i][k] * c[k]).sum();
            c[i] = (dot(&self.q[i], y) - s) / self.r[i][i];
        }
        let root = (c[2] * c[2] - 3.0 * c[1] * c[3]).sqrt();
        // The root of the derivative where the second derivative is positive, in the form that does
        // not cancel and holds for a vanishing cubic term.
        let t = -c[1] / (c[2] + root);
        let curvature = 2.0 * c[2] + 6.0 * c[3] * t;
        (t.is_finite() && curvature > 0.0).then_some(self.centre + self.scale * t)
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
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
pub(crate) fn bowl(
    members: &[usize],
    size: &[f64],
    a: &[f64],
    window: f64,
    max_degree: usize,
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
    if max_degree == 0 {
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
        4 | 5 => 2,
        _ => max_degree,
    };
    let u: Vec<f64> = used.iter().map(|&m| size[m]).collect();
    let low = u.iter().copied().fold(f64::INFINITY, f64::min);
    let high = u.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let poly = if degree > 0 {
        Poly::new(&u, degree)
    } else {
        None
    };
    match poly {
        None => Some(lone(low, high)),
        Some(poly) => {
            let y: Vec<f64> = used.iter().map(|&m| a[m]).collect();
            let minimum = poly.minimum(&y).filter(|m| *m > low && *m < high);
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

/// A straight line through points, with what its slope's variance needs.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) mean_x: f64,
    pub(crate) level: f64,
    pub(crate) slope: f64,
    /// Residual variance; 0 for two points.
    pub(crate) s2: f64,
    pub(crate) sxx: f64,
    pub(crate) df: usize,
}

pub(crate) fn line(x: &[f64], y: &[f64]) -> Option<Line> {
    let n = x.len() as f64;
    if x.len() < 2 || x.len() != y.len() {
        return None;
    }
    let mean_x = x.iter().sum::<f64>() / n;
    let level = y.iter().sum::<f64>() / n;
    let sxx: f64 = x.iter().map(|v| (v - mean_x) * (v - mean_x)).sum();
    if !(sxx > 0.0) {
        return None;
    }
    let slope = x.iter().zip(y).map(|(v, w)| (v - mean_x) * w).sum::<f64>() / sxx;
    let rss: f64 = x
        .iter()
        .zip(y)
        .map(|(v, w)| {
            let e = w - level - slope * (v - mean_x);
            e * e
        })
        .sum();
    let df = x.len() - 2;
    Some(Line {
        mean_x,
        level,
        slope,
        s2: if df > 0 { rss / df as f64 } else { 0.0 },
        sxx,
        df,
    })
}

impl Line {
    pub(crate) fn at(&self, x: f64) -> f64 {
        self.level + self.slope * (x - self.mean_x)
    }
}
