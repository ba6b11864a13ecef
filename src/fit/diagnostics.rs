//! What to look at before believing a line: curvature, influence, backtests, other rules of reading.

use super::contrast::{Fitted, fit_readings, fit_readout};
use super::design::{Design, Plan, Readout};
use super::error::FitError;
use super::inference::{Cov, Estimate, Interval, Stage};
use super::options::{Items, Options};
use super::quantile::{f_quantile, t_critical, t_sf};
use super::result::{
    Backtest, BandPoint, Curvature, DifferenceLaw, Holdout, LeaveOneOut, Parity, Prediction,
    RuleResult, SemiLog,
};
use super::verdict::{Evidence, Verdict, decide};

/// `exp` that stays finite and positive: results are written as JSON, which has no infinity.
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x.clamp(-700.0, 700.0))
}

/// `max` of the two one-sided p-values of `|value| < margin`.
pub(crate) fn equivalence(value: f64, standard_error: f64, df: f64, margin: f64) -> f64 {
    if standard_error > 0.0 {
        let upper = t_sf((margin - value) / standard_error, df);
        let lower = t_sf((value + margin) / standard_error, df);
        upper.max(lower)
    } else if value.abs() < margin {
        0.0
    } else {
        1.0
    }
}

/// The decision by an exponent and a level alone, without adjustment for other tests.
pub(crate) fn unadjusted(
    level: &Estimate,
    slope: &Estimate,
    ends: (f64, f64),
    options: &Options,
) -> Verdict {
    let tost = equivalence(
        slope.value,
        slope.standard_error,
        slope.df,
        options.margin(),
    );
    decide(&Evidence {
        level: (level.value, level.lower, level.upper),
        ends,
        slope: slope.value,
        differs: slope.p_value <= options.alpha,
        equivalent: tost <= options.alpha,
    })
}

/// Fitted values at the ends of the ladder.
pub(crate) fn ends(level: f64, slope: f64, x: &[f64]) -> (f64, f64) {
    let low = x.iter().copied().fold(f64::INFINITY, f64::min);
    let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (level + slope * low, level + slope * high)
}

pub(crate) fn plain_verdict(fitted: &Fitted, x: &[f64], options: &Options) -> Verdict {
    let (level, slope) = fitted.plain(options.alpha);
    unadjusted(&level, &slope, ends(fitted.level, fitted.slope, x), options)
}

/// The other rules beside the headline's.
pub(crate) fn panel(
    plan: &Plan,
    y: &[f64],
    extra: Vec<(String, Fitted)>,
    options: &Options,
) -> Vec<RuleResult> {
    let main = fit_readout(plan.main(), y);
    let expected = plain_verdict(&main, &plan.x, options);
    let own = plan
        .readouts
        .iter()
        .map(|r| (r.rule.to_owned(), fit_readout(r, y)));
    own.chain(extra)
        .map(|(rule, fitted)| {
            let verdict = plain_verdict(&fitted, &plan.x, options);
            RuleResult {
                main: rule == plan.main().rule,
                rule,
                delta_beta: fitted.plain(options.alpha).1,
                sign_flips: fitted.slope * main.slope < 0.0,
                verdict_flips: verdict != expected,
                verdict,
            }
        })
        .collect()
}

/// The quadratic term beside the terms of `stage`, and the small-sample information criteria.
pub(crate) fn curvature(stage: &Stage, f: &[f64], options: &Options) -> Curvature {
    let n = f.len() as f64;
    let rss = |s: &Stage| s.sigma2(&s.residuals(f)) * s.df;
    let with = |extra: &dyn Fn(&[f64]) -> Vec<f64>| -> Option<Stage> {
        let terms = stage.terms.iter().map(|t| extra(t)).collect();
        Stage::new(terms, &stage.reading_weights(), &[], options).ok()
    };
    let bent = with(&|t| {
        let mut row = vec![1.0, t[1] * t[1], t[1]];
        row.extend_from_slice(t.get(2..).unwrap_or(&[]));
        row
    });
    let mean = f.iter().sum::<f64>() / n;
    let flat: f64 = f.iter().map(|v| (v - mean) * (v - mean)).sum();
    let aicc = |rss: f64, terms: f64| -> Option<f64> {
        let k = terms + 1.0;
        (rss > 0.0 && n - k - 1.0 > 0.0)
            .then(|| n * libm::log(rss / n) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0))
    };
    let p = stage.terms.first().map_or(2, Vec::len) as f64;
    let coefficient = bent.as_ref().map(|s| {
        let fitted = fit_readings(s, f.to_vec(), Cov::default());
        Estimate::new(
            fitted.slope,
            fitted.run.slope,
            fitted.run_df[1],
            options.alpha,
        )
    });
    Curvature {
        questioned: coefficient.is_some_and(|c| c.p_value < 0.05),
        coefficient,
        aicc: [
            aicc(flat, 1.0),
            aicc(rss(stage), p),
            bent.as_ref().and_then(|s| aicc(rss(s), p + 1.0)),
        ],
    }
}

/// A straight line of `exp(f)` in the log scale.
pub(crate) fn semi_log(stage: &Stage, log_values: &[f64], options: &Options) -> SemiLog {
    let values: Vec<f64> = log_values.iter().map(|v| exp(*v)).collect();
    let fitted = fit_readings(stage, values, Cov::default());
    let slope = Estimate::new(
        fitted.slope * std::f64::consts::LN_10,
        fitted.run.slope * std::f64::consts::LN_10 * std::f64::consts::LN_10,
        fitted.run_df[1],
        options.alpha,
    );
    let n = fitted.readings.len() as f64;
    let mean = fitted.readings.iter().sum::<f64>() / n;
    let total: f64 = fitted
        .readings
        .iter()
        .map(|v| (v - mean) * (v - mean))
        .sum();
    let left: f64 = fitted.residuals.iter().map(|e| e * e).sum();
    SemiLog {
        level: fitted.level,
        slope_per_decade: slope,
        r_squared: if total > 0.0 { 1.0 - left / total } else { 0.0 },
    }
}

/// The law of `E_t − E_b` from the log readings of both.
pub(crate) fn difference(
    stage: &Stage,
    treatment: &[f64],
    baseline: &[f64],
    options: &Options,
) -> DifferenceLaw {
    let gap: Vec<f64> = treatment
        .iter()
        .zip(baseline)
        .map(|(t, b)| exp(*t) - exp(*b))
        .collect();
    let fitted = fit_readings(stage, gap, Cov::default());
    let law = |f: &[f64]| (exp(stage.coefficient(0, f)), -stage.coefficient(1, f));
    let ((error_t, beta_t), (error_b, beta_b)) = (law(treatment), law(baseline));
    let value = error_t - error_b;
    let slope_from_laws = beta_b * error_b - beta_t * error_t;
    let (log_ratio, exponent) = (
        stage.coefficient(0, treatment) - stage.coefficient(0, baseline),
        beta_b - beta_t,
    );
    DifferenceLaw {
        value,
        slope: Estimate::new(
            fitted.slope,
            fitted.run.slope,
            fitted.run_df[1],
            options.alpha,
        ),
        slope_from_laws,
        discordant: (value * slope_from_laws) * (log_ratio * exponent) < 0.0,
    }
}

/// Fieller's set `{x: (a + δx)² ≤ t²·Var}` on the scale axis.
pub(crate) fn parity(fitted: &Fitted, origin: f64, options: &Options) -> Parity {
    let v = fitted.covariance(options.items);
    let df = fitted.variance(1, options.items).1;
    let t = t_critical(1.0 - options.alpha, df);
    let (a, d) = (fitted.level, fitted.slope);
    let qa = d * d - t * t * v.slope;
    let qb = a * d - t * t * v.cross;
    let qc = a * a - t * t * v.level;
    let disc = qb * qb - qa * qc;
    let scale = |x: f64| exp(origin + x);
    if qa > 0.0 {
        // The set contains −a/δ, so that a negative discriminant is rounding.
        let root = disc.max(0.0).sqrt();
        Parity::Bounded {
            scale: scale(-a / d),
            lower: scale((-qb - root) / qa),
            upper: scale((-qb + root) / qa),
        }
    } else if disc > 0.0 && qa < 0.0 {
        let root = disc.sqrt();
        Parity::Unbounded {
            below: scale((-qb + root) / qa),
            above: scale((-qb - root) / qa),
        }
    } else {
        Parity::Everywhere
    }
}

/// The line with its bands on `points` scales from end to end.
pub(crate) fn band(fitted: &Fitted, origin: f64, x: &[f64], options: &Options) -> Vec<BandPoint> {
    let points = 41;
    let v = fitted.covariance(options.items);
    let df = fitted.variance(1, options.items).1;
    let t = t_critical(1.0 - options.alpha, df);
    let wide = (2.0 * f_quantile(1.0 - options.alpha, 2.0, df)).sqrt();
    let low = x.iter().copied().fold(f64::INFINITY, f64::min);
    let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (0..points)
        .map(|i| {
            let at = low + (high - low) * f64::from(i) / f64::from(points - 1);
            let m = fitted.level + fitted.slope * at;
            let se = v.at(at).sqrt();
            BandPoint {
                scale: exp(origin + at),
                ratio: exp(m),
                lower: exp(m - t * se),
                upper: exp(m + t * se),
                simultaneous_lower: exp(m - wide * se),
                simultaneous_upper: exp(m + wide * se),
            }
        })
        .collect()
}

/// Predictions at the scales asked for.
pub(crate) fn predictions(
    fitted: &Fitted,
    origin: f64,
    x: &[f64],
    options: &Options,
) -> Vec<Prediction> {
    let v = fitted.covariance(options.items);
    let df = fitted.variance(1, options.items).1;
    let t = t_critical(1.0 - options.alpha, df);
    let low = x.iter().copied().fold(f64::INFINITY, f64::min);
    let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    options
        .predict_at
        .iter()
        .map(|&scale| {
            let at = libm::log(scale) - origin;
            let m = fitted.level + fitted.slope * at;
            let around = |variance: f64| Interval {
                value: exp(m),
                lower: exp(m - t * variance.sqrt()),
                upper: exp(m + t * variance.sqrt()),
            };
            let beyond = (at - high).max(low - at).max(0.0);
            Prediction {
                scale,
                ratio: around(v.at(at) + fitted.sigma2),
                line: around(v.at(at)),
                decades_beyond: beyond / std::f64::consts::LN_10,
                beyond_one_ladder: beyond > high - low,
            }
        })
        .collect()
}

/// The line without each reading.
pub(crate) fn leave_one_out(
    stage: &Stage,
    fitted: &Fitted,
    x: &[f64],
    options: &Options,
) -> LeaveOneOut {
    let whole = {
        let v = stage.covariance_with(fitted.sigma2);
        let level = Estimate::new(fitted.level, v.level, stage.df, options.alpha);
        let slope = Estimate::new(fitted.slope, v.slope, stage.df, options.alpha);
        unadjusted(&level, &slope, ends(fitted.level, fitted.slope, x), options)
    };
    let mut values = Vec::new();
    let mut same = 0;
    for j in 0..x.len() {
        let Some(w) = stage.without(j, &fitted.readings, &fitted.residuals) else {
            continue;
        };
        let level = Estimate::new(w.level, w.level_variance, w.df, options.alpha);
        let slope = Estimate::new(w.slope, w.slope_variance, w.df, options.alpha);
        let verdict = unadjusted(&level, &slope, ends(w.level, w.slope, x), options);
        same += usize::from(verdict == whole);
        values.push(w.slope);
    }
    let n = values.len();
    let or_whole = |v: f64| if v.is_finite() { v } else { fitted.slope };
    LeaveOneOut {
        lower: or_whole(values.iter().copied().fold(f64::INFINITY, f64::min)),
        upper: or_whole(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        verdict_stability: if n > 0 { same as f64 / n as f64 } else { 1.0 },
        delta_beta: values,
    }
}

/// Readings in the order in which they are held out: by scale, and by size on a grid. Each level is
/// a set of readings that leave together.
fn levels(plan: &Plan) -> Vec<Vec<usize>> {
    let key: Vec<f64> = match plan.design {
        Design::Grid => plan.main().read_at.clone(),
        Design::Isoflop | Design::Rungs => plan.x.clone(),
    };
    let mut order: Vec<usize> = (0..key.len()).collect();
    order.sort_by(|&a, &b| key[a].total_cmp(&key[b]).then(a.cmp(&b)));
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match levels.last_mut() {
            Some(l) if l.last().is_some_and(|&p| (key[p] - key[i]).abs() < 1e-9) => l.push(i),
            _ => levels.push(vec![i]),
        }
    }
    levels
}

/// Predicts the largest one, two and three levels of scale from the rest.
///
/// `treatment` and `baseline` are the log readings of both errors, for the ratio of two laws with
/// floors; it needs `x`, the scale alone, and is left out on grids.
pub(crate) fn backtest(
    plan: &Plan,
    readings: &[f64],
    floors: &dyn Fn(&[usize], &[usize]) -> Option<Vec<f64>>,
    options: &Options,
) -> Backtest {
    let stage = &plan.main().stage;
    let levels = levels(plan);
    let weights = stage.reading_weights();
    let mut holdouts = Vec::new();
    for k in 1..=3 {
        let Some(kept) = levels.len().checked_sub(k).filter(|&n| n >= 3) else {
            break;
        };
        let (seen, unseen) = levels.split_at(kept);
        let seen: Vec<usize> = seen.concat();
        let unseen: Vec<usize> = unseen.concat();
        let pick = |v: &[f64]| -> Vec<f64> { seen.iter().map(|&i| v[i]).collect() };
        let terms = seen.iter().map(|&i| stage.terms[i].clone()).collect();
        let Ok(part) = Stage::new(terms, &pick(&weights), &[], options) else {
            break;
        };
        let f = pick(readings);
        let sigma2 = part.sigma2(&part.residuals(&f));
        let t = t_critical(1.0 - options.alpha, part.df);
        let mean = f.iter().sum::<f64>() / f.len() as f64;
        let last = f.last().copied().unwrap_or(mean);
        let with_floors = floors(&seen, &unseen);
        for (n, &i) in unseen.iter().enumerate() {
            let (value, factor) = part.predict(&stage.terms[i], &f);
            let half = t * (sigma2 * (1.0 + factor)).sqrt();
            let actual = readings[i];
            holdouts.push(Holdout {
                fitted: seen.len(),
                scale: exp(plan.origin + plan.x[i]),
                predicted: Interval {
                    value,
                    lower: value - half,
                    upper: value + half,
                },
                actual,
                error: actual - value,
                constant_error: actual - mean,
                last_error: actual - last,
                floors_error: with_floors
                    .as_ref()
                    .and_then(|p| p.get(n))
                    .map(|p| actual - p)
                    .filter(|e| e.is_finite()),
                inside: (actual - value).abs() <= half,
            });
        }
    }
    summarise(holdouts)
}

fn summarise(holdouts: Vec<Holdout>) -> Backtest {
    let mean = |f: &dyn Fn(&Holdout) -> Option<f64>| -> Option<f64> {
        let values: Vec<f64> = holdouts.iter().filter_map(f).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Backtest {
        law_error: mean(&|h| Some(h.error.abs())),
        constant_error: mean(&|h| Some(h.constant_error.abs())),
        last_error: mean(&|h| Some(h.last_error.abs())),
        floors_error: mean(&|h| h.floors_error.map(f64::abs)),
        coverage: mean(&|h| Some(if h.inside { 1.0 } else { 0.0 })),
        holdouts,
    }
}

/// Local exponents between neighbouring scales.
pub(crate) fn local_exponents(plan: &Plan, readings: &[f64]) -> Vec<f64> {
    if plan.design == Design::Grid {
        return Vec::new();
    }
    let steps = plan.x.windows(2).zip(readings.windows(2));
    steps
        .map(|(x, f)| (f[1] - f[0]) / (x[1] - x[0]))
        .filter(|v| v.is_finite())
        .collect()
}

/// Readings of one distribution by another loss's frontier, for the panel.
pub(crate) fn paired(
    plan: &Plan,
    treatment: (&Readout, &[f64]),
    baseline: (&Readout, &[f64]),
) -> Result<Fitted, FitError> {
    let t = treatment.0.readings(treatment.1);
    let b = baseline.0.readings(baseline.1);
    let f: Vec<f64> = t.iter().zip(&b).map(|(t, b)| t - b).collect();
    if f.len() != plan.x.len() {
        return Err(FitError::Length {
            what: "readings".into(),
            found: f.len(),
            needed: plan.x.len(),
        });
    }
    Ok(fit_readings(&plan.main().stage, f, Cov::default()))
}

/// Effective exponents' intervals by both item assumptions.
pub(crate) fn both(fitted: &Fitted, options: &Options) -> (Estimate, Estimate) {
    (
        fitted.estimate(1, options.items, options.alpha),
        fitted.estimate(1, Items::Fixed, options.alpha),
    )
}
