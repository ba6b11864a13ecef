//! The ratio of two laws with floors: fit, redrawn pairs, intervals and words.

use super::comparison::Comparison;
use super::estimate::Interval;
use super::floored::{Floored, Place, Refit};
use super::logarithm::{exp, range};
use super::options::Options;
use super::result::{FloorRatio, Prediction, RatioLimit};
use super::stats::labels;
use super::stats::laws::{PairCovariance, PairDraw, PairNoise};

/// Half the step of the numerical derivative at the top, in nats of the scale: the error, its square,
/// is below the rounding of any loss, and rounding over it still leaves ten digits.
const STEP: f64 = 1e-3;

/// A floor below this share of the smallest error is none: a search that runs to zero stops on its way.
const NO_FLOOR: f64 = 1e-6;

/// The ratio of two floored laws; `None` where one cannot be fitted, no residual is left or the options
/// leave it out.
pub(crate) fn floor_ratio(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Option<FloorRatio> {
    if options.floor_draws == 0 || !comparison.may_have_floors() {
        return None;
    }
    let view = comparison.view;
    let all: Vec<usize> = (0..comparison.fitted.readings.len()).collect();
    let pair = Pair {
        treatment: Floored::fit(view, &comparison.log_treatment, &all)?,
        baseline: Floored::fit(view, &comparison.log_baseline, &all)?,
    };
    let noise = noise(comparison, &pair)?;
    let redrawn = Redrawn {
        draws: redraw(comparison, &pair, &noise, options)?,
        pair,
        comparison,
        options,
    };
    let ends = range(&view.plan.x);
    let predictions: Option<Vec<Prediction>> = (options.predict_at.iter())
        .map(|&scale| {
            let x = libm::log(scale) - view.plan.origin;
            let [ratio, law] = [redrawn.ratio(x, 1.0)?, redrawn.ratio(x, 0.0)?];
            Some(Prediction::new(scale, x, ends, ratio, law))
        })
        .collect();
    let mut result = FloorRatio {
        treatment: pair.treatment.report(),
        baseline: pair.baseline.report(),
        reference: redrawn.ratio(0.0, 0.0)?,
        top: redrawn.ratio(ends[1], 0.0)?,
        top_exponent: redrawn.exponent(ends[1])?,
        limit: redrawn.limit()?,
        predictions: predictions?,
        residual_sd: noise.difference().sqrt(),
        draws: redrawn.draws.len(),
        sentence: String::new(),
    };
    result.sentence = sentence(comparison, &result, options);
    Some(result)
}

/// Laws of treatment and baseline.
#[derive(Debug, Clone, Copy)]
struct Pair {
    treatment: Floored,
    baseline: Floored,
}

impl Pair {
    fn ln_ratio(&self, at: &Place) -> f64 {
        self.treatment.ln_error(at) - self.baseline.ln_error(at)
    }
}

/// Noise of both errors about their laws; `None` without a degree of freedom.
fn noise(comparison: &Comparison<'_, '_>, pair: &Pair) -> Option<PairNoise> {
    let view = comparison.view;
    let regression = &comparison.readout().regression;
    let readings = comparison.fitted.readings.len();
    let residuals = |log_errors: &[f64], law: &Floored| -> Vec<f64> {
        let at = |i: usize| law.ln_error(&Place::reading(view, i));
        log_errors
            .iter()
            .enumerate()
            .map(|(i, e)| e - at(i))
            .collect()
    };
    let treatment = residuals(&comparison.log_treatment, &pair.treatment);
    let baseline = residuals(&comparison.log_baseline, &pair.baseline);
    let difference: Vec<f64> = treatment
        .iter()
        .zip(&baseline)
        .map(|(t, b)| t - b)
        .collect();
    let series = [&treatment, &baseline, &difference];
    let left = readings
        .checked_sub(pair.treatment.parameters())
        .filter(|n| *n > 0)? as f64;
    let covariance = |[t, b, d]: [f64; 3]| PairCovariance::of_variances(t, b, d);
    // The components of the line's residuals, where readings share effects by size or training run.
    let effects = series.map(|e| regression.effects_in(e));
    if let [Some(t), Some(b), Some(d)] = effects {
        let groups = regression.groups().to_vec();
        let number = labels::count(&groups) as f64;
        return Some(PairNoise {
            readings,
            groups,
            shared: covariance([t, b, d].map(|e| e.shared)),
            own: covariance([t, b, d].map(|e| e.own)),
            df: (number - 2.0).max(1.0),
        });
    }
    let variance = |e: &Vec<f64>| e.iter().map(|e| e * e).sum::<f64>() / left;
    Some(PairNoise {
        readings,
        groups: Vec::new(),
        shared: PairCovariance::default(),
        own: covariance(series.map(variance)),
        df: left,
    })
}

/// Pairs refitted to redrawn noise. `None` if a refit fails: percentiles of those left would be those
/// of the easy draws.
fn redraw(
    comparison: &Comparison<'_, '_>,
    pair: &Pair,
    noise: &PairNoise,
    options: &Options,
) -> Option<Vec<(Pair, PairDraw)>> {
    let treatment = Refit::new(comparison.view, &pair.treatment).ok()?;
    let baseline = Refit::new(comparison.view, &pair.baseline).ok()?;
    (0..u64::from(options.floor_draws))
        .map(|replicate| {
            let draw = noise.draw(options.seed, replicate);
            let pair = Pair {
                treatment: treatment.fit(&draw.first).ok()?,
                baseline: baseline.fit(&draw.second).ok()?,
            };
            Some((pair, draw))
        })
        .collect()
}

/// A fitted pair and its redrawn ones.
struct Redrawn<'c, 'v, 'a> {
    pair: Pair,
    draws: Vec<(Pair, PairDraw)>,
    comparison: &'c Comparison<'v, 'a>,
    options: &'c Options,
}

impl Redrawn<'_, '_, '_> {
    /// `G` at `x`, with `new` times the noise of a new reading.
    fn ratio(&self, x: f64, new: f64) -> Option<Interval> {
        let at = Place::at(self.comparison.view, x, self.options.axis);
        let beside = self
            .comparison
            .fitted
            .beside_run(self.options.items)
            .at(x)
            .sqrt();
        let draws = (self.draws.iter())
            .map(|(p, d)| p.ln_ratio(&at) + beside * d.other + new * d.new)
            .collect();
        Some(self.percentiles(self.pair.ln_ratio(&at), draws)?.map(exp))
    }

    /// `d ln G / d ln F` at `x`.
    fn exponent(&self, x: f64) -> Option<Interval> {
        let at = |x| Place::at(self.comparison.view, x, self.options.axis);
        let (low, high) = (at(x - STEP), at(x + STEP));
        let slope = |p: &Pair| (p.ln_ratio(&high) - p.ln_ratio(&low)) / (2.0 * STEP);
        let beside = self.comparison.fitted.beside_run(self.options.items).slope;
        let beside = beside.max(0.0).sqrt();
        let draws = self
            .draws
            .iter()
            .map(|(p, d)| slope(p) + beside * d.other)
            .collect();
        self.percentiles(slope(&self.pair), draws)
    }

    /// The ratio of the floors, if they differ from zero in all draws but the share that an interval
    /// leaves out on one side.
    fn limit(&self) -> Option<RatioLimit> {
        let comparison = self.comparison;
        let allowed = self.options.alpha / 2.0 * self.draws.len() as f64;
        let absent = |log_errors: &[f64], of: fn(&Pair) -> &Floored| {
            let [smallest, _] = range(log_errors);
            let none = |p: &Pair| of(p).floor() < NO_FLOOR * exp(smallest);
            none(&self.pair) || self.draws.iter().filter(|d| none(&d.0)).count() as f64 > allowed
        };
        let sides = [
            (
                comparison.treatment,
                absent(&comparison.log_treatment, |p| &p.treatment),
            ),
            (
                comparison.baseline,
                absent(&comparison.log_baseline, |p| &p.baseline),
            ),
        ];
        let floors: Vec<String> = (sides.iter().filter(|s| s.1))
            .map(|s| comparison.name(s.0).to_owned())
            .collect();
        if !floors.is_empty() {
            return Some(RatioLimit::NotIdentified { floors });
        }
        // The few draws without a floor would be infinite in logarithms.
        let ln = |p: &Pair| {
            let [t, b] = [p.treatment, p.baseline].map(|l| libm::log(l.floor().max(1e-300)));
            t - b
        };
        // Items, frontier and specification move the ratio as they do at the top, the nearest to the limit
        // that was measured.
        let [_, top] = range(&comparison.view.plan.x);
        let beside = comparison
            .fitted
            .beside_run(self.options.items)
            .at(top)
            .sqrt();
        let draws = (self.draws.iter())
            .map(|(p, d)| ln(p) + beside * d.other)
            .collect();
        let interval = self.percentiles(ln(&self.pair), draws)?;
        Some(RatioLimit::Identified(interval.map(exp)))
    }

    /// `value` with the percentiles of its redrawn values.
    fn percentiles(&self, value: f64, mut draws: Vec<f64>) -> Option<Interval> {
        if !value.is_finite() || draws.iter().any(|d| d.is_nan()) {
            return None;
        }
        draws.sort_by(f64::total_cmp);
        // At 199 draws and 5 %, the fifth from either side.
        let rank = (0.5 * self.options.alpha * (draws.len() + 1) as f64)
            .round()
            .max(1.0) as usize;
        let (lower, upper) = (draws.get(rank - 1)?, draws.get(draws.len() - rank)?);
        Some(Interval {
            value,
            lower: *lower,
            upper: *upper,
        })
    }
}

/// The result in words.
fn sentence(comparison: &Comparison<'_, '_>, result: &FloorRatio, options: &Options) -> String {
    let [treatment, baseline] =
        [comparison.treatment, comparison.baseline].map(|d| comparison.name(d));
    let percent = options.level_percent();
    let quoted = |i: &Interval| format!("{:.3} [{:.3}, {:.3}]", i.value, i.lower, i.upper);
    let limit = match &result.limit {
        RatioLimit::Identified(limit) => format!("tends to {} at unlimited scale", quoted(limit)),
        RatioLimit::NotIdentified { floors } => format!(
            "has no identified limit: the floor of {} is not told from zero",
            floors.join(" and of ")
        ),
    };
    format!(
        "By two laws with floors the ratio of {treatment} to {baseline} is {} at the top of the \
         ladder and {limit} ({percent} % intervals).",
        quoted(&result.top)
    )
}
