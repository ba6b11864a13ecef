//! Competing shapes of the ratio: fits, weights, ordered backtests and the average.

use super::comparison::Comparison;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Interval, LineCovariance};
use super::floored::{Floored, Place};
use super::logarithm::{exp, range};
use super::options::Options;
use super::result::{
    FloorRatio, Prediction, RatioShape, RefusedShape, ShapeComparison, ShapeResult,
};
use super::stats::labels;
use super::stats::laws::shapes::{
    ShapeFit, fewest_readings, fit_approach, fit_broken, fit_line, fit_semi_log, shape_aicc,
};
use super::stats::quantile::t_critical;
use super::stats::regression::TEstimate;

/// Largest number of readings held out.
const MOST_HELD_OUT: usize = 3;

/// Parameters of a ratio of two floored laws of the scale: two of each law and one common factor.
const PAIR_PARAMETERS: usize = 5;

type Fit = fn(&[f64], &[f64]) -> Result<ShapeFit, FitError>;

/// Shapes fitted to `ln G` itself, with the numbers of their parameters.
const OWN: [(RatioShape, usize, Fit); 4] = [
    (RatioShape::Power, 2, fit_line),
    (RatioShape::SemiLog, 2, fit_semi_log),
    (RatioShape::ExponentialApproach, 3, fit_approach),
    (RatioShape::BrokenPower, 4, fit_broken),
];

/// The shapes of one comparison; `None` where there are too few readings for a line.
pub(crate) fn shapes(
    comparison: &Comparison<'_, '_>,
    floors: Option<&FloorRatio>,
    options: &Options,
) -> Option<ShapeComparison> {
    let readings = Readings::of(comparison, options);
    let mut refused = Vec::new();
    let mut fitted = Vec::new();
    for (shape, parameters, fit) in OWN {
        match candidate(&readings, shape, parameters, fit) {
            Ok(candidate) => fitted.push(candidate),
            Err(reason) => refused.push(RefusedShape { shape, reason }),
        }
    }
    let of_pair = floors
        .ok_or_else(|| "no ratio of laws with floors was fitted".to_owned())
        .and_then(|ratio| Ok((pair(comparison, &readings)?, ratio)));
    match of_pair {
        Ok((fit, ratio)) => fitted.push(fit.with(ratio, &readings, options)?),
        Err(reason) => refused.push(RefusedShape {
            shape: RatioShape::FloorRatio,
            reason,
        }),
    }
    let least = fitted.iter().map(|c| c.aicc).fold(f64::INFINITY, f64::min);
    let total: f64 = fitted
        .iter()
        .map(|c| libm::exp(0.5 * (least - c.aicc)))
        .sum();
    for c in &mut fitted {
        c.weight = libm::exp(0.5 * (least - c.aicc)) / total;
    }
    weigh_by_backtest(&mut fitted);
    // By weight, and as listed where weights are equal.
    fitted.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let average = Average {
        candidates: &fitted,
        comparison,
        options,
    };
    let top = readings.ends[1];
    let predictions: Option<Vec<Prediction>> = (options.predict_at.iter().enumerate())
        .map(|(i, &scale)| average.prediction(i, scale))
        .collect();
    Some(ShapeComparison {
        readings: readings.x.len(),
        top_exponent: average.of(|c| c.slope_at(top))?,
        predictions: predictions?,
        shapes: fitted
            .iter()
            .map(|c| c.report(&readings, options))
            .collect(),
        refused,
    })
}

/// Readings that scatter independently: on a grid those of its sizes.
struct Readings {
    x: Vec<f64>,
    f: Vec<f64>,
    /// Smallest and largest scale of the runs.
    ends: [f64; 2],
    /// Variance that one reading of a size has beside the mean of the size; 0 on other designs.
    own: f64,
    /// Covariance of level and slope by items, frontier and specification, which readings do not scatter by.
    beside: LineCovariance,
}

impl Readings {
    fn of(comparison: &Comparison<'_, '_>, options: &Options) -> Self {
        let plan = &comparison.view.plan;
        let readings = &comparison.fitted.readings;
        let ends = range(&plan.x);
        let regression = &comparison.readout().regression;
        let (mut x, mut f, mut own) = (plan.x.clone(), readings.clone(), 0.0);
        if plan.design == Design::Grid {
            let groups = regression.groups();
            let number = labels::count(groups);
            // ln G at the ratio of the law: what the fitted plane gives the other ratios is taken out.
            let at_ratio: Vec<f64> = readings
                .iter()
                .zip(&regression.columns[2])
                .map(|(f, d)| f - comparison.fitted.fit.coefficients()[2] * d)
                .collect();
            let mean = |v: &[f64], g: usize| {
                let of: Vec<f64> = (v.iter().zip(groups))
                    .filter(|(_, o)| **o == g)
                    .map(|(v, _)| *v)
                    .collect();
                of.iter().sum::<f64>() / of.len() as f64
            };
            x = (0..number).map(|g| mean(&plan.x, g)).collect();
            f = (0..number).map(|g| mean(&at_ratio, g)).collect();
            own = regression.effects_in(readings).map_or(0.0, |e| e.own);
        }
        // In the order of the scale, which hold-outs follow.
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&a, &b| x[a].total_cmp(&x[b]).then(a.cmp(&b)));
        Self {
            x: order.iter().map(|&i| x[i]).collect(),
            f: order.iter().map(|&i| f[i]).collect(),
            ends,
            own,
            beside: comparison.fitted.beside_run(options.items),
        }
    }

    /// Factor, at least 1, by which errors at the held-out readings exceed what the fits to the others say:
    /// the root mean square of errors over half-widths at 95 %, times the 1.96 of a normal one.
    ///
    /// Without it a shape that bends too little extrapolates with an error that only its shape explains:
    /// averages of nine readings of two floored laws covered a decade beyond 65 % of the time.
    fn excess(&self, fit: impl Fn(&[f64], &[f64]) -> Option<ShapeFit>) -> f64 {
        let mut squares = Vec::new();
        for k in 1..=MOST_HELD_OUT {
            let seen = self.x.len().saturating_sub(k);
            let Some(fitted) = fit(&self.x[..seen], &self.f[..seen]) else {
                continue;
            };
            for (x, f) in self.x[seen..].iter().zip(&self.f[seen..]) {
                let Some((e, own)) = fitted.at(*x).zip(fitted.variance()) else {
                    continue;
                };
                let half = t_critical(0.95, e.df) * (e.standard_error.powi(2) + own).sqrt();
                squares.push(((f - e.value) / half * 1.96).powi(2));
            }
        }
        let mean = squares.iter().sum::<f64>() / squares.len().max(1) as f64;
        // An exact law has no half-width: 0/0.
        if mean.is_finite() {
            mean.sqrt().max(1.0)
        } else {
            1.0
        }
    }

    /// Mean |error| at the largest one, two and three readings by what `fit` makes of the others.
    fn backtest(&self, fit: impl Fn(&[f64], &[f64]) -> Option<ShapeFit>) -> Vec<Option<f64>> {
        (1..=MOST_HELD_OUT)
            .map(|k| {
                let seen = self.x.len().checked_sub(k)?;
                let fitted = fit(&self.x[..seen], &self.f[..seen])?;
                let errors = (self.x[seen..].iter().zip(&self.f[seen..]))
                    .map(|(x, f)| (f - fitted.curve.value(*x)).abs());
                let mean = errors.sum::<f64>() / k as f64;
                Some(mean).filter(|m| m.is_finite())
            })
            .collect()
    }
}

/// Weights of the candidates in predictions: by their errors at the held-out readings, as the likelihood
/// of three normal errors of unknown variance, MSE^(−3/2). By AICc where some shape could not be held
/// out.
///
/// AICc asks for the law within the ladder, and its correction keeps the ratio of floors out of all but
/// long ladders, though it extrapolates best: averages by AICc covered a decade beyond nine readings of
/// two floored laws 71 % of the time.
fn weigh_by_backtest(candidates: &mut [Candidate]) {
    let squares = |c: &Candidate| -> Option<f64> {
        let errors: Option<Vec<f64>> = c.backtest.iter().copied().collect();
        let errors = errors?;
        let mean = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
        // An exact law would take all of the weight, and two of them none.
        Some(mean.max(1e-24))
    };
    let all: Option<Vec<f64>> = candidates.iter().map(squares).collect();
    let Some(all) = all else {
        for c in candidates {
            c.prediction_weight = c.weight;
        }
        return;
    };
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let raw: Vec<f64> = all.iter().map(|s| libm::pow(s / least, -1.5)).collect();
    let total: f64 = raw.iter().sum();
    for (c, w) in candidates.iter_mut().zip(raw) {
        c.prediction_weight = w / total;
    }
}

/// Reason for which a shape is left out of a comparison by AICc.
fn too_few(readings: usize, parameters: usize) -> Option<String> {
    let needed = fewest_readings(parameters);
    (readings < needed).then(|| {
        format!("{parameters} parameters need {needed} readings for AICc, and there are {readings}")
    })
}

/// A shape with its weight, and what it says at the scales asked for.
struct Candidate {
    shape: RatioShape,
    parameters: usize,
    rss: f64,
    aicc: f64,
    weight: f64,
    prediction_weight: f64,
    backtest: Vec<Option<f64>>,
    saying: Saying,
}

/// Source of the values of a candidate.
enum Saying {
    /// A fit of `ln G`.
    Own {
        fit: Box<ShapeFit>,
        /// Factor of its standard errors beyond the readings.
        excess: f64,
        /// As in [`Readings`].
        own: f64,
        beside: LineCovariance,
    },
    /// The ratio of two laws with floors, by its result, whose intervals have all sources of variance.
    Pair {
        ratio: Box<FloorRatio>,
        df: f64,
        alpha: f64,
    },
}

fn candidate(
    readings: &Readings,
    shape: RatioShape,
    parameters: usize,
    fit: Fit,
) -> Result<Candidate, String> {
    let n = readings.x.len();
    if let Some(reason) = too_few(n, parameters) {
        return Err(reason);
    }
    let fitted = fit(&readings.x, &readings.f).map_err(|e| e.to_string())?;
    if fitted.slope_at(readings.ends[1]).is_none() {
        return Err("its parameters are not determined".to_owned());
    }
    let aicc = shape_aicc(fitted.rss, n, parameters).ok_or("its AICc is not finite")?;
    Ok(Candidate {
        shape,
        parameters,
        rss: fitted.rss,
        aicc,
        weight: 0.0,
        prediction_weight: 0.0,
        backtest: readings.backtest(|x, f| fit(x, f).ok()),
        saying: Saying::Own {
            excess: readings.excess(|x, f| fit(x, f).ok()),
            fit: Box::new(fitted),
            own: readings.own,
            beside: readings.beside,
        },
    })
}

/// The ratio of floored laws by its residuals in `ln G`.
struct PairFit {
    rss: f64,
    aicc: f64,
    backtest: Vec<Option<f64>>,
}

/// The ratio of two laws with floors, or the reason for which it is not compared. It is fitted to both
/// errors and not to their ratio, so its sum of squares is not the least, and its weight if anything
/// too small.
fn pair(comparison: &Comparison<'_, '_>, readings: &Readings) -> Result<PairFit, String> {
    let n = readings.x.len();
    if comparison.view.plan.design == Design::Grid {
        return Err("surfaces are fitted to runs, and shapes are compared by size".to_owned());
    }
    if let Some(reason) = too_few(n, PAIR_PARAMETERS) {
        return Err(reason);
    }
    let missing = || "no law with a floor could be fitted".to_owned();
    let mut order: Vec<usize> = (0..n).collect();
    let x = &comparison.view.plan.x;
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]).then(a.cmp(&b)));
    let errors = |seen: usize| -> Option<Vec<f64>> {
        let law = |e: &[f64]| Floored::fit(comparison.view, e, &order[..seen]);
        let t = law(&comparison.log_treatment)?;
        let b = law(&comparison.log_baseline)?;
        let error = |&i: &usize| {
            let at = Place::reading(comparison.view, i);
            comparison.fitted.readings[i] - (t.ln_error(&at) - b.ln_error(&at))
        };
        Some(order.iter().map(error).collect())
    };
    let residuals = errors(n).ok_or_else(missing)?;
    let rss = residuals.iter().map(|e| e * e).sum();
    let backtest = (1..=MOST_HELD_OUT)
        .map(|k| {
            let seen = n.checked_sub(k)?;
            let unseen = errors(seen)?;
            let mean = unseen[seen..].iter().map(|e| e.abs()).sum::<f64>() / k as f64;
            Some(mean).filter(|m| m.is_finite())
        })
        .collect();
    Ok(PairFit {
        rss,
        aicc: shape_aicc(rss, n, PAIR_PARAMETERS).ok_or("its AICc is not finite")?,
        backtest,
    })
}

impl PairFit {
    fn with(self, ratio: &FloorRatio, readings: &Readings, options: &Options) -> Option<Candidate> {
        Some(Candidate {
            shape: RatioShape::FloorRatio,
            parameters: PAIR_PARAMETERS,
            rss: self.rss,
            aicc: self.aicc,
            weight: 0.0,
            prediction_weight: 0.0,
            backtest: self.backtest,
            saying: Saying::Pair {
                ratio: Box::new(ratio.clone()),
                df: readings.x.len().checked_sub(PAIR_PARAMETERS)? as f64,
                alpha: options.alpha,
            },
        })
    }
}

impl Candidate {
    /// `ln G` at `x`, which is the scale of prediction `i`, with the noise of a new reading if `new`.
    fn at(&self, i: usize, x: f64, new: bool) -> Option<TEstimate> {
        match &self.saying {
            Saying::Own {
                fit,
                excess,
                own,
                beside,
            } => {
                let mut value = fit.at(x)?;
                let mut square = (excess * value.standard_error).powi(2) + beside.at(x);
                if new {
                    square += fit.variance()? + own;
                }
                value.standard_error = square.sqrt();
                Some(value)
            }
            Saying::Pair { ratio, df, alpha } => {
                let p = ratio.predictions.get(i)?;
                let interval = if new { p.ratio } else { p.line };
                Some(estimate(interval.map(libm::log), *df, *alpha))
            }
        }
    }

    /// `d ln G / d ln F` at `x`, the largest scale.
    fn slope_at(&self, x: f64) -> Option<TEstimate> {
        match &self.saying {
            // Not widened: at the top the readings themselves bear on it.
            Saying::Own { fit, beside, .. } => {
                let mut slope = fit.slope_at(x)?;
                let square = slope.standard_error.powi(2) + beside.slope.max(0.0);
                slope.standard_error = square.sqrt();
                Some(slope)
            }
            Saying::Pair { ratio, df, alpha } => Some(estimate(ratio.top_exponent, *df, *alpha)),
        }
    }

    fn report(&self, readings: &Readings, options: &Options) -> ShapeResult {
        let slope = self.slope_at(readings.ends[1]);
        let interval = slope.map_or((f64::NAN, f64::NAN), |s| s.interval(1.0 - options.alpha));
        ShapeResult {
            shape: self.shape,
            parameters: self.parameters,
            rss: self.rss,
            aicc: self.aicc,
            weight: self.weight,
            prediction_weight: self.prediction_weight,
            top_exponent: Interval {
                value: slope.map_or(f64::NAN, |s| s.value),
                lower: interval.0,
                upper: interval.1,
            },
            backtest_errors: self.backtest.clone(),
        }
    }
}

/// An estimate with the width of `interval`.
fn estimate(interval: Interval, df: f64, alpha: f64) -> TEstimate {
    let half = 0.5 * (interval.upper - interval.lower);
    TEstimate {
        value: interval.value,
        standard_error: half / t_critical(1.0 - alpha, df),
        df,
    }
}

/// The average of the candidates.
struct Average<'c, 'v, 'a> {
    candidates: &'c [Candidate],
    comparison: &'c Comparison<'v, 'a>,
    options: &'c Options,
}

impl Average<'_, '_, '_> {
    fn prediction(&self, i: usize, scale: f64) -> Option<Prediction> {
        let plan = &self.comparison.view.plan;
        let x = libm::log(scale) - plan.origin;
        let line = self.of(|c| c.at(i, x, false))?;
        let new = self.of(|c| c.at(i, x, true))?;
        Some(Prediction::new(
            scale,
            x,
            range(&plan.x),
            new.map(exp),
            line.map(exp),
        ))
    }

    /// Σ wᵢ·vᵢ with the half-width Σ wᵢ·tᵢ·√(sᵢ² + (vᵢ − v̄)²) over the candidates that have a value: a
    /// straight line of G has none where it is negative.
    fn of(&self, value: impl Fn(&Candidate) -> Option<TEstimate>) -> Option<Interval> {
        let all: Vec<(f64, TEstimate)> = (self.candidates.iter())
            .filter_map(|c| Some((c.prediction_weight, value(c)?)))
            .collect();
        let total: f64 = all.iter().map(|(w, _)| w).sum();
        let mean = all.iter().map(|(w, e)| w * e.value).sum::<f64>() / total;
        let half = (all.iter())
            .map(|(w, e)| {
                let t = t_critical(1.0 - self.options.alpha, e.df);
                let square = e.standard_error.powi(2) + (e.value - mean).powi(2);
                w * t * square.sqrt()
            })
            .sum::<f64>()
            / total;
        (mean.is_finite() && half.is_finite()).then_some(Interval {
            value: mean,
            lower: mean - half,
            upper: mean + half,
        })
    }
}
