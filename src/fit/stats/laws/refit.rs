//! A floor law fitted again to many redrawn errors.
//!
//! The scan over exponents uses projections that are made once, so that a draw costs microseconds:
//! errors are redrawn about a fit, and relative residuals are weighted by that fit.

use super::floor::{FLOOR_RANGE, FloorCurve};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_finite, check_length};

/// Exponents scanned: neighbours differ by 19 %.
const GRID: usize = 64;
/// Most Gauss–Newton steps that follow the scan. Residuals of redrawn errors are small, so each step about
/// squares the distance from the minimum, which is 9 % at most after the scan; three do but at a kink.
const STEPS: usize = 8;

/// Refits of a floor law at fixed x with the weights of one fit.
#[derive(Debug)]
pub(crate) struct FloorRefit {
    /// x about its middle.
    x: Vec<f64>,
    centre: f64,
    /// 1/Ê.
    inverse: Vec<f64>,
    scan: Vec<Projection>,
    /// Range of ln b.
    limits: [f64; 2],
}

/// The columns e^{−bx}/Ê and 1/Ê as an orthonormal pair.
#[derive(Debug)]
struct Projection {
    ln_b: f64,
    /// e^{−bx}/Ê, normalised, and its length.
    reducible: Vec<f64>,
    length: f64,
    /// Direction that 1/Ê adds, normalised, and its length.
    floor: Vec<f64>,
    floor_length: f64,
    /// Product of 1/Ê with `reducible`.
    cross: f64,
}

/// A projected fit at one exponent.
#[derive(Debug, Clone, Copy)]
struct Projected {
    rss: f64,
    floor: f64,
    amplitude: f64,
}

impl FloorRefit {
    /// Refits about `curve`, fitted at `x`.
    ///
    /// # Errors
    /// When a number is not finite.
    pub(crate) fn new(curve: &FloorCurve, x: &[f64]) -> Result<Self, FitError> {
        check_finite("x", x)?;
        let low = x.iter().copied().fold(f64::INFINITY, f64::min);
        let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let centre = 0.5 * (low + high);
        let inverse: Vec<f64> = x.iter().map(|x| libm::exp(-curve.ln_error(*x))).collect();
        check_finite("1/E of a law", &inverse)?;
        let limits = FLOOR_RANGE.map(|b| libm::log(b / (high - low)));
        check_finite("exponents of a law", &limits)?;
        let mut refit = Self {
            x: x.iter().map(|x| x - centre).collect(),
            centre,
            inverse,
            scan: Vec::new(),
            limits,
        };
        let step = (limits[1] - limits[0]) / (GRID - 1) as f64;
        refit.scan = (0..GRID)
            .map(|k| refit.project(limits[0] + step * k as f64))
            .collect();
        Ok(refit)
    }

    /// The law fitted to the errors Ê·`factors`.
    ///
    /// # Errors
    /// When `factors` are not one per x, or not finite.
    pub(crate) fn fit(&self, factors: &[f64]) -> Result<FloorCurve, FitError> {
        check_length("factors", factors.len(), self.x.len())?;
        check_finite("factors", factors)?;
        let square: f64 = factors.iter().map(|f| f * f).sum();
        let fitted = |p: &Projection| p.fit(factors, square, &self.inverse);
        let scan = self.scan.iter().map(|p| (p, fitted(p)));
        let Some((start, mut best)) = scan.min_by(|a, b| a.1.rss.total_cmp(&b.1.rss)) else {
            return Err(FitError::NoConvergence {
                what: "a redrawn floor law".to_owned(),
            });
        };
        let mut ln_b = start.ln_b;
        let mut step = self.step(start, best, factors);
        for _ in 0..STEPS {
            // A millionth of b moves no digit that an interval shows.
            if step.abs() < 1e-6 {
                break;
            }
            let projection = self.project((ln_b + step).clamp(self.limits[0], self.limits[1]));
            let next = fitted(&projection);
            if next.rss < best.rss {
                (ln_b, best) = (projection.ln_b, next);
                step = self.step(&projection, best, factors);
            } else {
                // The floor reached zero on the way, where the profile has a kink.
                step *= 0.4;
            }
        }
        let b = libm::exp(ln_b);
        Ok(FloorCurve {
            floor: best.floor,
            amplitude: best.amplitude * libm::exp(b * self.centre),
            exponent: b,
        })
    }

    fn project(&self, ln_b: f64) -> Projection {
        let b = libm::exp(ln_b);
        let column = (self.x.iter().zip(&self.inverse)).map(|(x, w)| libm::exp(-b * x) * w);
        let mut reducible: Vec<f64> = column.collect();
        let length = normalise(&mut reducible);
        let cross = product(&reducible, &self.inverse);
        let mut floor: Vec<f64> = (self.inverse.iter().zip(&reducible))
            .map(|(w, q)| w - cross * q)
            .collect();
        let floor_length = normalise(&mut floor);
        Projection {
            ln_b,
            reducible,
            length,
            floor,
            floor_length,
            cross,
        }
    }

    /// The Gauss–Newton step in ln b with ε and A eliminated (Kaufman's form): the residual on the
    /// part of the derivative that the other columns do not explain.
    fn step(&self, projection: &Projection, here: Projected, factors: &[f64]) -> f64 {
        let b = libm::exp(projection.ln_b);
        let scale = here.amplitude * projection.length * b;
        let mut slope: Vec<f64> = (self.x.iter().zip(&projection.reducible))
            .map(|(x, q)| -scale * x * q)
            .collect();
        let mut rest = factors.to_vec();
        for basis in [
            Some(&projection.reducible),
            Some(&projection.floor).filter(|_| here.floor > 0.0),
        ]
        .into_iter()
        .flatten()
        {
            for v in [&mut slope, &mut rest] {
                let k = product(v, basis);
                v.iter_mut().zip(basis).for_each(|(v, q)| *v -= k * q);
            }
        }
        let step = product(&slope, &rest) / product(&slope, &slope);
        // A tenth of a nat is the distance between scanned exponents' midpoints; a flat profile would
        // otherwise send b out of its range.
        if step.is_finite() {
            step.clamp(-0.2, 0.2)
        } else {
            0.0
        }
    }
}

impl Projection {
    /// Non-negative least squares of `factors`, of squared length `square`.
    fn fit(&self, factors: &[f64], square: f64, inverse: &[f64]) -> Projected {
        let (a, e) = (
            product(&self.reducible, factors),
            product(&self.floor, factors),
        );
        let floor = e / self.floor_length;
        let amplitude = (a - self.cross * floor) / self.length;
        if floor > 0.0 && amplitude >= 0.0 && floor.is_finite() {
            return Projected {
                rss: square - a * a - e * e,
                floor,
                amplitude,
            };
        }
        if floor > 0.0 && floor.is_finite() {
            // A rising law is a floor only.
            let length = product(inverse, inverse);
            let k = product(inverse, factors);
            return Projected {
                rss: square - k * k / length,
                floor: k / length,
                amplitude: 0.0,
            };
        }
        Projected {
            rss: square - a * a,
            floor: 0.0,
            amplitude: a / self.length,
        }
    }
}

/// Plain sums: a handful of terms of one size, millions of times.
fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Divides by the length, and gives it.
fn normalise(v: &mut [f64]) -> f64 {
    let length = product(v, v).sqrt();
    v.iter_mut().for_each(|v| *v /= length);
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::stats::laws::fit_floor_curve;
    use crate::fit::stats::random::Stream;

    const CURVE: FloorCurve = FloorCurve {
        floor: 1.2,
        amplitude: 1.9,
        exponent: 0.21,
    };

    fn scales() -> Vec<f64> {
        (0..7).map(|j| -2.3 + 0.75 * f64::from(j)).collect()
    }

    #[test]
    fn errors_of_the_law_give_the_law() {
        let refit = FloorRefit::new(&CURVE, &scales()).unwrap();
        let found = refit.fit(&[1.0; 7]).unwrap();
        assert!((found.floor / CURVE.floor - 1.0).abs() < 1e-6, "{found:?}");
        assert!(
            (found.exponent / CURVE.exponent - 1.0).abs() < 1e-6,
            "{found:?}"
        );
        assert!(
            (found.amplitude / CURVE.amplitude - 1.0).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn redrawn_laws_are_those_of_the_whole_search() {
        let x = scales();
        let refit = FloorRefit::new(&CURVE, &x).unwrap();
        for draw in 0..200 {
            let mut stream = Stream::new(3, "refit", draw);
            let factors: Vec<f64> = x
                .iter()
                .map(|_| libm::exp(1e-3 * stream.normal()))
                .collect();
            let errors: Vec<f64> = (x.iter().zip(&factors))
                .map(|(x, f)| libm::exp(CURVE.ln_error(*x)) * f)
                .collect();
            let (one, two) = (
                refit.fit(&factors).unwrap(),
                fit_floor_curve(&x, &errors).unwrap(),
            );
            // Relative residuals and differences of logarithms differ by their squares.
            for at in [-2.0, 2.2, 4.5] {
                let difference = one.ln_error(at) - two.ln_error(at);
                assert!(
                    difference.abs() < 2e-4,
                    "draw {draw} at {at}: {one:?} {two:?}"
                );
            }
        }
    }

    #[test]
    fn a_law_that_rises_is_its_floor_and_none_is_negative() {
        let refit = FloorRefit::new(&CURVE, &scales()).unwrap();
        let rising: Vec<f64> = scales().iter().map(|x| libm::exp(0.5 * x)).collect();
        let found = refit.fit(&rising).unwrap();
        assert!(found.floor >= 0.0 && found.amplitude >= 0.0, "{found:?}");
        // Errors that bend down in logarithms: no floor could be positive.
        let falling = |x: &f64| libm::exp(-0.3 * x - 0.02 * x * x - CURVE.ln_error(*x));
        let steep: Vec<f64> = scales().iter().map(falling).collect();
        let found = refit.fit(&steep).unwrap();
        assert!(found.floor == 0.0 && found.amplitude > 0.0, "{found:?}");
        assert!(refit.fit(&[1.0; 6]).is_err());
        assert!(refit.fit(&[f64::NAN; 7]).is_err());
    }
}
