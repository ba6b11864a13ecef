//! Shapes of ln G against ln F that compete with a line.
//!
//! # References
//! - C. M. Hurvich, C.-L. Tsai (1989), *Biometrika* 76:297 (AICc).

use super::floor::aicc;
use super::nonlinear::{Problem, polish};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_finite, check_length};
use crate::fit::stats::regression::{Errors, LinearFit, TEstimate};

/// Values of b·range(x) tried for the exponential approach: below the first it is a parabola, above the
/// last a step after the first reading.
const APPROACH_RANGE: [f64; 2] = [0.1, 20.0];
const APPROACH_GRID: usize = 60;
/// Breaks tried between two readings.
const BREAKS: usize = 16;

/// A shape of f(x), f = ln G and x = ln(F/F₀), with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    /// f = a + s·x.
    Line { level: f64, slope: f64 },
    /// e^f = c + s·x.
    SemiLog { level: f64, slope: f64 },
    /// f = g + a·e^{−b·x}.
    Approach {
        limit: f64,
        amplitude: f64,
        rate: f64,
    },
    /// f = a + s·x + t·max(x − c, 0).
    Broken {
        level: f64,
        slope: f64,
        change: f64,
        at: f64,
    },
}

impl Curve {
    /// f(x); NaN where a straight line of G is not positive.
    pub(crate) fn value(&self, x: f64) -> f64 {
        match *self {
            Self::Line { level, slope } => level + slope * x,
            Self::SemiLog { level, slope } => libm::log(level + slope * x),
            Self::Approach {
                limit,
                amplitude,
                rate,
            } => limit + amplitude * libm::exp(-rate * x),
            Self::Broken {
                level,
                slope,
                change,
                at,
            } => level + slope * x + change * (x - at).max(0.0),
        }
    }

    /// f'(x).
    pub(crate) fn slope(&self, x: f64) -> f64 {
        match *self {
            Self::Line { slope, .. } => slope,
            Self::SemiLog { level, slope } => slope / (level + slope * x),
            Self::Approach {
                amplitude, rate, ..
            } => -rate * amplitude * libm::exp(-rate * x),
            Self::Broken {
                slope, change, at, ..
            } => slope + if x > at { change } else { 0.0 },
        }
    }

    /// Derivatives of f(x) by the parameters.
    fn gradient(&self, x: f64) -> Vec<f64> {
        match *self {
            Self::Line { .. } => vec![1.0, x],
            Self::SemiLog { level, slope } => {
                let value = level + slope * x;
                vec![1.0 / value, x / value]
            }
            Self::Approach {
                amplitude, rate, ..
            } => {
                let e = libm::exp(-rate * x);
                vec![1.0, e, -amplitude * x * e]
            }
            Self::Broken { change, at, .. } => {
                let beyond = if x > at { 1.0 } else { 0.0 };
                vec![1.0, x, (x - at).max(0.0), -change * beyond]
            }
        }
    }

    /// Derivatives of f'(x) by the parameters.
    fn slope_gradient(&self, x: f64) -> Vec<f64> {
        match *self {
            Self::Line { .. } => vec![0.0, 1.0],
            Self::SemiLog { level, slope } => {
                let square = (level + slope * x).powi(2);
                vec![-slope / square, level / square]
            }
            Self::Approach {
                amplitude, rate, ..
            } => {
                let e = libm::exp(-rate * x);
                vec![0.0, -rate * e, amplitude * e * (rate * x - 1.0)]
            }
            Self::Broken { at, .. } => vec![0.0, 1.0, if x > at { 1.0 } else { 0.0 }, 0.0],
        }
    }
}

/// A fitted shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShapeFit {
    pub(crate) curve: Curve,
    pub(crate) rss: f64,
    /// The fit seen as linear in its parameters; `None` where they are not all determined.
    linear: Option<LinearFit>,
}

impl ShapeFit {
    fn new(curve: Curve, x: &[f64], f: &[f64]) -> Self {
        let residuals: Vec<f64> = x.iter().zip(f).map(|(x, f)| f - curve.value(*x)).collect();
        let rows: Vec<Vec<f64>> = x.iter().map(|x| curve.gradient(*x)).collect();
        let columns: Vec<Vec<f64>> = (0..rows.first().map_or(0, Vec::len))
            .map(|k| rows.iter().map(|r| r[k]).collect())
            .collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        Self {
            curve,
            rss: residuals.iter().map(|e| e * e).sum(),
            linear: LinearFit::new(&columns, &residuals).ok(),
        }
    }

    /// f(x) with its standard error; `None` where it is not determined.
    pub(crate) fn at(&self, x: f64) -> Option<TEstimate> {
        self.estimate(self.curve.value(x), &self.curve.gradient(x))
    }

    /// f'(x) with its standard error.
    pub(crate) fn slope_at(&self, x: f64) -> Option<TEstimate> {
        self.estimate(self.curve.slope(x), &self.curve.slope_gradient(x))
    }

    fn estimate(&self, value: f64, gradient: &[f64]) -> Option<TEstimate> {
        let fit = self.linear.as_ref().filter(|l| l.df() > 0)?;
        let error = fit.estimate(gradient, Errors::Classical).ok()?;
        let found = TEstimate { value, ..error };
        [found.value, found.standard_error]
            .iter()
            .all(|v| v.is_finite())
            .then_some(found)
    }

    /// Variance of a reading about the shape.
    pub(crate) fn variance(&self) -> Option<f64> {
        self.linear
            .as_ref()
            .filter(|l| l.df() > 0)
            .map(LinearFit::variance)
    }
}

/// AICc of a fit of n readings with p parameters and the variance; `None` with too few readings.
pub(crate) fn shape_aicc(rss: f64, n: usize, p: usize) -> Option<f64> {
    // An exact fit leaves rounding, of any size.
    aicc(rss.max(1e-28 * n as f64), n, p + 1)
}

/// The fewest readings for which AICc of p parameters is defined: the variance is one more, and the
/// correction divides by n − p − 2.
pub(crate) fn fewest_readings(p: usize) -> usize {
    p + 3
}

fn check(x: &[f64], f: &[f64], parameters: usize) -> Result<(), FitError> {
    check_length("readings", f.len(), x.len())?;
    check_count("readings of a shape", x.len(), parameters + 1)?;
    check_finite("x", x)?;
    check_finite("readings", f)
}

fn linear(columns: &[&[f64]], f: &[f64]) -> Result<LinearFit, FitError> {
    LinearFit::new(columns, f)
}

/// The power law.
pub(crate) fn fit_line(x: &[f64], f: &[f64]) -> Result<ShapeFit, FitError> {
    check(x, f, 2)?;
    let fit = linear(&[&vec![1.0; x.len()], x], f)?;
    let [level, slope] = [fit.coefficients()[0], fit.coefficients()[1]];
    Ok(ShapeFit::new(Curve::Line { level, slope }, x, f))
}

/// The semi-log law, by least squares of ln G as all shapes.
pub(crate) fn fit_semi_log(x: &[f64], f: &[f64]) -> Result<ShapeFit, FitError> {
    check(x, f, 2)?;
    let values: Vec<f64> = f.iter().map(|f| libm::exp(*f)).collect();
    let start = linear(&[&vec![1.0; x.len()], x], &values)?;
    let start = [start.coefficients()[0], start.coefficients()[1]];
    let fit = polish(&Straight { x, f }, start, [true; 2], None);
    if !fit.cost.is_finite() {
        return Err(no_convergence("the semi-log law"));
    }
    let [level, slope] = fit.parameters;
    Ok(ShapeFit::new(Curve::SemiLog { level, slope }, x, f))
}

/// The exponential approach to a limit.
pub(crate) fn fit_approach(x: &[f64], f: &[f64]) -> Result<ShapeFit, FitError> {
    check(x, f, 3)?;
    let range = range(x);
    let [low, high] = APPROACH_RANGE.map(|b| libm::log(b / range));
    let mut best: Option<(f64, [f64; 3])> = None;
    for k in 0..APPROACH_GRID {
        let ln_b = low + (high - low) * k as f64 / (APPROACH_GRID - 1) as f64;
        let b = libm::exp(ln_b);
        let column: Vec<f64> = x.iter().map(|x| libm::exp(-b * x)).collect();
        let (rss, limit, amplitude) = simple(&column, f);
        // NaN from a column that overflows is no fit.
        if best.is_none_or(|(least, _)| rss < least) && rss.is_finite() {
            best = Some((rss, [limit, amplitude, ln_b]));
        }
    }
    let (_, start) = best.ok_or_else(|| no_convergence("the exponential approach"))?;
    let fit = polish(&Approaching { x, f }, start, [true; 3], None);
    // At an end of the range a limit is not what the readings show; polishing would walk on for ever.
    let [limit, amplitude, ln_b] =
        if fit.cost.is_finite() && (low..=high).contains(&fit.parameters[2]) {
            fit.parameters
        } else {
            start
        };
    let rate = libm::exp(ln_b);
    Ok(ShapeFit::new(
        Curve::Approach {
            limit,
            amplitude,
            rate,
        },
        x,
        f,
    ))
}

/// Two lines that meet: the break lies between the second and the last but one reading.
pub(crate) fn fit_broken(x: &[f64], f: &[f64]) -> Result<ShapeFit, FitError> {
    check(x, f, 4)?;
    let mut order = x.to_vec();
    order.sort_by(f64::total_cmp);
    // The line is taken out once; what a hinge adds is one product per break.
    let rest = without_line(x, f);
    let mut best: Option<(f64, f64)> = None;
    for gap in order[1..order.len() - 1].windows(2) {
        for k in 0..BREAKS {
            let at = gap[0] + (gap[1] - gap[0]) * k as f64 / BREAKS as f64;
            let hinge: Vec<f64> = x.iter().map(|x| (x - at).max(0.0)).collect();
            let hinge = without_line(x, &hinge);
            let gain = product(&hinge, &rest).powi(2) / product(&hinge, &hinge);
            if best.is_none_or(|(most, _)| gain > most) && gain.is_finite() {
                best = Some((gain, at));
            }
        }
    }
    let (_, at) = best.ok_or_else(|| no_convergence("the broken power law"))?;
    let hinge: Vec<f64> = x.iter().map(|x| (x - at).max(0.0)).collect();
    let fit = linear(&[&vec![1.0; x.len()], x, &hinge], f)?;
    let [level, slope, change] = [0, 1, 2].map(|k| fit.coefficients()[k]);
    let curve = Curve::Broken {
        level,
        slope,
        change,
        at,
    };
    Ok(ShapeFit::new(curve, x, f))
}

/// RSS, intercept and slope of the line of `f` on one `column`, in plain sums: starts are compared a
/// hundred times per law.
fn simple(column: &[f64], f: &[f64]) -> (f64, f64, f64) {
    let n = f.len() as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (c, m) = (mean(column), mean(f));
    let deviations: Vec<f64> = column.iter().map(|v| v - c).collect();
    let values: Vec<f64> = f.iter().map(|v| v - m).collect();
    let slope = product(&deviations, &values) / product(&deviations, &deviations);
    let rest: Vec<f64> = (values.iter().zip(&deviations))
        .map(|(v, d)| v - slope * d)
        .collect();
    (product(&rest, &rest), m - slope * c, slope)
}

/// `v` less its line on `x`.
fn without_line(x: &[f64], v: &[f64]) -> Vec<f64> {
    let (_, a, b) = simple(x, v);
    x.iter().zip(v).map(|(x, v)| v - a - b * x).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn no_convergence(what: &str) -> FitError {
    FitError::NoConvergence {
        what: what.to_owned(),
    }
}

fn range(x: &[f64]) -> f64 {
    let low = x.iter().copied().fold(f64::INFINITY, f64::min);
    x.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low
}

struct Straight<'a> {
    x: &'a [f64],
    f: &'a [f64],
}

impl Problem<2> for Straight<'_> {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn residual(&self, i: usize, &[level, slope]: &[f64; 2]) -> (f64, [f64; 2]) {
        let value = level + slope * self.x[i];
        (
            self.f[i] - libm::log(value),
            [1.0 / value, self.x[i] / value],
        )
    }
}

struct Approaching<'a> {
    x: &'a [f64],
    f: &'a [f64],
}

impl Problem<3> for Approaching<'_> {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn residual(&self, i: usize, &[limit, amplitude, ln_b]: &[f64; 3]) -> (f64, [f64; 3]) {
        let b = libm::exp(ln_b);
        let e = libm::exp(-b * self.x[i]);
        let derivative = -amplitude * e * b * self.x[i];
        (self.f[i] - limit - amplitude * e, [1.0, e, derivative])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales() -> Vec<f64> {
        (0..9).map(|j| -3.0 + 0.75 * f64::from(j)).collect()
    }

    fn of(curve: Curve) -> Vec<f64> {
        scales().iter().map(|x| curve.value(*x)).collect()
    }

    #[test]
    fn every_shape_finds_its_own_law() {
        let x = scales();
        let broken = Curve::Broken {
            level: 0.2,
            slope: 0.03,
            change: -0.02,
            at: 0.0,
        };
        for (curve, fit) in [
            (
                Curve::Line {
                    level: 0.2,
                    slope: 0.01,
                },
                fit_line as fn(&[f64], &[f64]) -> Result<ShapeFit, FitError>,
            ),
            (
                Curve::SemiLog {
                    level: 1.3,
                    slope: 0.04,
                },
                fit_semi_log,
            ),
            (
                Curve::Approach {
                    limit: 0.1,
                    amplitude: 0.05,
                    rate: 0.3,
                },
                fit_approach,
            ),
            (broken, fit_broken),
        ] {
            let found = fit(&x, &of(curve)).unwrap();
            for at in [-3.0, 0.4, 3.0, 5.0] {
                let error = found.curve.value(at) - curve.value(at);
                assert!(error.abs() < 1e-6, "{curve:?} {found:?}");
                let h = 1e-5;
                let slope = (curve.value(at + h) - curve.value(at - h)) / (2.0 * h);
                assert!((curve.slope(at) - slope).abs() < 1e-6, "{curve:?}");
            }
        }
    }

    #[test]
    fn errors_are_those_of_the_linear_model_and_of_differences() {
        let x = scales();
        let noise = [1.1, -0.7, 0.3, -1.2, 0.9, -0.4, 0.2, 0.6, -0.8].map(|e| 1e-3 * e);
        let with = |curve: Curve| -> Vec<f64> {
            of(curve).iter().zip(noise).map(|(f, e)| f + e).collect()
        };
        let f = with(Curve::Line {
            level: 0.2,
            slope: 0.01,
        });
        let line = fit_line(&x, &f).unwrap();
        let direct = crate::fit::stats::regression::Line::new(&x, &f).unwrap();
        let (a, b) = (line.at(4.0).unwrap(), direct.at(4.0));
        assert!(
            (a.value - b.value).abs() < 1e-12
                && (a.standard_error / b.standard_error - 1.0).abs() < 1e-9
        );
        let (a, b) = (line.slope_at(4.0).unwrap(), direct.slope());
        assert!((a.standard_error / b.standard_error - 1.0).abs() < 1e-9 && a.df == 7.0);
        // The derivative by every parameter is that of a difference.
        for curve in [
            Curve::SemiLog {
                level: 1.3,
                slope: 0.04,
            },
            Curve::Approach {
                limit: 0.1,
                amplitude: 0.05,
                rate: 0.3,
            },
        ] {
            let h = 1e-6;
            let moved = |k: usize, h: f64| match curve {
                Curve::SemiLog { level, slope } => [
                    Curve::SemiLog {
                        level: level + h,
                        slope,
                    },
                    Curve::SemiLog {
                        level,
                        slope: slope + h,
                    },
                    curve,
                ][k],
                Curve::Approach {
                    limit,
                    amplitude,
                    rate,
                } => [
                    Curve::Approach {
                        limit: limit + h,
                        amplitude,
                        rate,
                    },
                    Curve::Approach {
                        limit,
                        amplitude: amplitude + h,
                        rate,
                    },
                    Curve::Approach {
                        limit,
                        amplitude,
                        rate: rate + h,
                    },
                ][k],
                other => other,
            };
            for (k, (g, s)) in curve
                .gradient(1.3)
                .iter()
                .zip(curve.slope_gradient(1.3))
                .enumerate()
            {
                let (up, down) = (moved(k, h), moved(k, -h));
                assert!((g - (up.value(1.3) - down.value(1.3)) / (2.0 * h)).abs() < 1e-7);
                assert!((s - (up.slope(1.3) - down.slope(1.3)) / (2.0 * h)).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn too_few_readings_are_refused() {
        let x = scales();
        let f = of(Curve::Line {
            level: 0.2,
            slope: 0.01,
        });
        assert!(fit_broken(&x[..4], &f[..4]).is_err());
        assert!(fit_approach(&x[..3], &f[..3]).is_err());
        assert!(fit_line(&x[..2], &f[..2]).is_err());
        assert!(fit_line(&x, &f[..8]).is_err());
        assert_eq!(shape_aicc(1e-5, 7, 5), None);
        assert!(shape_aicc(1e-5, fewest_readings(5), 5).is_some());
        assert!(shape_aicc(0.0, 7, 2).is_some());
    }
}
