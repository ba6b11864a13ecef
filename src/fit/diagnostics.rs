//! What to look at before believing a line: curvature, influence, backtests, other rules of reading.

use std::collections::{BTreeMap, BTreeSet};

use super::contrast::{Fitted, View, fit_readings, fit_readout};
use super::design::{Corpus, Design, Plan, Readout};
use super::error::FitError;
use super::inference::{Cov, Estimate, Interval, Stage};
use super::options::{Items, Options};
use super::result::{
    Backtest, BandPoint, Curvature, DifferenceLaw, Holdout, LackOfFit, LeaveOneOut, NextPower,
    Parity, Prediction, Resampling, RuleResult, SemiLog,
};
use super::stats::quantile::{f_quantile, f_sf, t_critical};
use super::stats::regression::{ConfidenceSet, Errors, Line, LinearFit, fieller, rank_trend};
use super::stats::resample::{
    CrossedBootstrap, autocorrelation, crossed_bootstrap, pairs_bootstrap, permutation_test,
    wild_test,
};
use super::stats::sums::dot;
use super::verdict::{Evidence, Verdict, decide};

/// `exp` that stays finite and positive: results are written as JSON, which has no infinity.
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x.clamp(-700.0, 700.0))
}

/// The decision by an exponent and a level alone, without adjustment for other tests.
pub(crate) fn unadjusted(
    level: &Estimate,
    slope: &Estimate,
    x: &[f64],
    options: &Options,
) -> Verdict {
    decide(&Evidence {
        level: level.interval(),
        ends: ends(level.value, slope.value, x),
        slope: slope.value,
        differs: slope.p_value <= options.alpha,
        equivalent: slope.equivalence_p(options.margin()) <= options.alpha,
    })
}

fn range(x: &[f64]) -> (f64, f64) {
    let low = x.iter().copied().fold(f64::INFINITY, f64::min);
    let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

/// Fitted values at the ends of the ladder.
pub(crate) fn ends(level: f64, slope: f64, x: &[f64]) -> (f64, f64) {
    let (low, high) = range(x);
    (level + slope * low, level + slope * high)
}

fn plain_verdict(fitted: &Fitted, x: &[f64], options: &Options) -> Verdict {
    let (level, slope) = fitted.plain(options.alpha);
    unadjusted(&level, &slope, x, options)
}

/// The rules of the plan, and some others, beside the headline's.
pub(crate) fn panel(
    plan: &Plan,
    y: &[f64],
    extra: Vec<(String, Fitted)>,
    options: &Options,
) -> Result<Vec<RuleResult>, FitError> {
    let main = fit_readout(plan.main(), y)?;
    let expected = plain_verdict(&main, &plan.x, options);
    let mut all = Vec::with_capacity(plan.readouts.len() + extra.len());
    for r in &plan.readouts {
        if let Ok(fitted) = fit_readout(r, y) {
            all.push((r.rule.to_owned(), fitted));
        }
    }
    all.extend(extra);
    let row = |(rule, fitted): (String, Fitted)| {
        let verdict = plain_verdict(&fitted, &plan.x, options);
        RuleResult {
            main: rule == plan.main().rule,
            rule,
            delta_beta: fitted.plain(options.alpha).1,
            sign_flips: fitted.slope * main.slope < 0.0,
            verdict_flips: verdict != expected,
            verdict,
        }
    };
    Ok(all.into_iter().map(row).collect())
}

/// The quadratic term beside the terms of `stage`, and the small-sample information criteria.
pub(crate) fn curvature(
    stage: &Stage,
    f: &[f64],
    options: &Options,
) -> Result<Curvature, FitError> {
    let n = f.len() as f64;
    let p = stage.columns.len();
    let square: Vec<f64> = stage.columns[1].iter().map(|x| x * x).collect();
    let columns: Vec<&[f64]> = stage
        .columns
        .iter()
        .chain([&square])
        .map(Vec::as_slice)
        .collect();
    let with = |columns: &[&[f64]]| LinearFit::weighted(columns, f, &stage.weights).ok();
    let bent = with(&columns).filter(|fit| fit.df() > 0);
    let aicc = |fit: &LinearFit| -> Option<f64> {
        let k = fit.coefficients().len() as f64 + 1.0;
        (fit.rss() > 0.0 && n - k - 1.0 > 0.0)
            .then(|| n * libm::log(fit.rss() / n) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0))
    };
    let coefficient = match &bent {
        None => None,
        Some(fit) => {
            let unit: Vec<f64> = (0..=p).map(|i| if i == p { 1.0 } else { 0.0 }).collect();
            let e = fit.estimate(&unit, Errors::Classical)?;
            Some(Estimate::new(
                e.value,
                e.standard_error.powi(2),
                e.df,
                options.alpha,
            ))
        }
    };
    let flat = columns.get(..1).and_then(with);
    Ok(Curvature {
        questioned: coefficient.is_some_and(|c| c.p_value < 0.05),
        coefficient,
        aicc: [
            flat.as_ref().and_then(aicc),
            aicc(&stage.fit(f)?),
            bent.as_ref().and_then(aicc),
        ],
    })
}

/// Runs among `members` grouped by size and tokens where all of a group have seeds, no two the same;
/// any other run stands alone. Positions in `members`.
fn replicates(corpus: &Corpus<'_>, members: &[usize]) -> Vec<Vec<usize>> {
    let runs = corpus.ladder.runs();
    let mut alike: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for (i, &m) in members.iter().enumerate() {
        let run = &runs[corpus.runs[m]];
        let key = (run.params.to_bits(), run.tokens.to_bits());
        alike.entry(key).or_default().push(i);
    }
    let mut groups = Vec::with_capacity(alike.len());
    for group in alike.into_values() {
        let seeds: BTreeSet<u64> = group
            .iter()
            .filter_map(|&i| runs[corpus.runs[members[i]]].seed)
            .collect();
        if seeds.len() == group.len() {
            groups.push(group);
        } else {
            groups.extend(group.into_iter().map(|i| vec![i]));
        }
    }
    groups
}

/// Tests the size profiles of `y` against seed replicates.
pub(crate) fn lack_of_fit(corpus: &Corpus<'_>, readout: &Readout, y: &[f64]) -> Option<LackOfFit> {
    let (mut budgets, mut df, mut pure_df) = (0, 0, 0);
    let (mut lack, mut pure) = (0.0, 0.0);
    for bowl in &readout.bowls {
        let Some(poly) = &bowl.poly else { continue };
        let groups = replicates(corpus, &bowl.members);
        if groups.len() == bowl.members.len() || groups.len() <= poly.terms() {
            continue;
        }
        let pick = |v: &[f64]| -> Vec<f64> { bowl.members.iter().map(|&m| v[m]).collect() };
        let residuals = poly.residuals(&pick(&corpus.size), &pick(y))?;
        for group in &groups {
            // Replicates share a fitted value: residuals spread about their mean as the runs do.
            let mean = group.iter().map(|&i| residuals[i]).sum::<f64>() / group.len() as f64;
            lack += group.len() as f64 * mean * mean;
            pure += (group.iter().map(|&i| (residuals[i] - mean).powi(2))).sum::<f64>();
        }
        budgets += 1;
        df += groups.len() - poly.terms();
        pure_df += bowl.members.len() - groups.len();
    }
    let f = (lack / df as f64) / (pure / pure_df as f64);
    (f.is_finite() && pure > 0.0).then(|| LackOfFit {
        budgets,
        f,
        df,
        pure_df,
        pure_sd: (pure / pure_df as f64).sqrt(),
        p_value: f_sf(f, df as f64, pure_df as f64),
    })
}

/// Tests the size profiles of `y` for the power after their last, with one coefficient for all
/// budgets read by the same degree.
pub(crate) fn next_power(corpus: &Corpus<'_>, readout: &Readout, y: &[f64]) -> Option<NextPower> {
    // Power: sums of products of the residuals of that power with those of `y` and with themselves.
    let mut powers: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    let (mut rss, mut size, mut budgets, mut df) = (0.0, 0.0, 0, 0);
    for bowl in &readout.bowls {
        let Some(poly) = &bowl.poly else { continue };
        let power = poly.terms();
        if bowl.members.len() <= power {
            continue;
        }
        let pick = |v: &[f64]| -> Vec<f64> { bowl.members.iter().map(|&m| v[m]).collect() };
        let (n, values) = (pick(&corpus.size), pick(y));
        // Another centre changes the power by lower ones, which the polynomial takes out.
        let middle = n.iter().sum::<f64>() / n.len() as f64;
        let raised: Vec<f64> = n.iter().map(|u| (u - middle).powi(power as i32)).collect();
        let (e, z) = (poly.residuals(&n, &values)?, poly.residuals(&n, &raised)?);
        rss += dot(&e, &e);
        size += dot(&values, &values);
        df += n.len() - power;
        budgets += 1;
        // As many sizes as coefficients determine the power by rounding only.
        let own = dot(&z, &z);
        if own > 1e-16 * dot(&raised, &raised) {
            let sums = powers.entry(power).or_default();
            sums.0 += dot(&e, &z);
            sums.1 += own;
        }
    }
    let explained: f64 = powers.values().map(|(ez, zz)| ez * ez / zz).sum();
    let (k, left) = (powers.len(), rss - explained);
    // What rounding leaves of values without noise is no noise.
    if k == 0 || df <= k || left.is_nan() || left <= 1e-20 * size {
        return None;
    }
    let residual_df = df - k;
    let f = (explained / k as f64) / (left / residual_df as f64);
    let (&power, &(ez, zz)) = powers.last_key_value()?;
    f.is_finite().then(|| NextPower {
        budgets,
        power,
        coefficient: ez / zz,
        f,
        df: k,
        residual_df,
        p_value: f_sf(f, k as f64, residual_df as f64),
    })
}

/// A straight line of `exp(f)` in the log scale.
pub(crate) fn semi_log(
    stage: &Stage,
    log_values: &[f64],
    options: &Options,
) -> Result<SemiLog, FitError> {
    let values: Vec<f64> = log_values.iter().map(|v| exp(*v)).collect();
    let fitted = fit_readings(stage, values, Cov::default())?;
    let decade = std::f64::consts::LN_10;
    let n = fitted.readings.len() as f64;
    let mean = fitted.readings.iter().sum::<f64>() / n;
    let total: f64 = fitted
        .readings
        .iter()
        .map(|v| (v - mean) * (v - mean))
        .sum();
    let left: f64 = fitted.fit.residuals().iter().map(|e| e * e).sum();
    Ok(SemiLog {
        level: fitted.level,
        slope_per_decade: Estimate::new(
            fitted.slope * decade,
            fitted.run.slope * decade * decade,
            fitted.run_df[1],
            options.alpha,
        ),
        r_squared: if total > 0.0 { 1.0 - left / total } else { 0.0 },
    })
}

/// The law of `E_t − E_b` from the log readings of both.
pub(crate) fn difference(
    stage: &Stage,
    treatment: &[f64],
    baseline: &[f64],
    options: &Options,
) -> Result<DifferenceLaw, FitError> {
    let gap: Vec<f64> = (treatment.iter().zip(baseline))
        .map(|(t, b)| exp(*t) - exp(*b))
        .collect();
    let fitted = fit_readings(stage, gap, Cov::default())?;
    let law = |f: &[f64]| (stage.coefficient(0, f), -stage.coefficient(1, f));
    let ((log_t, beta_t), (log_b, beta_b)) = (law(treatment), law(baseline));
    let value = exp(log_t) - exp(log_b);
    let slope_from_laws = beta_b * exp(log_b) - beta_t * exp(log_t);
    let shrinks = |level: f64, slope: f64| level * slope < 0.0;
    let grows = |level: f64, slope: f64| level * slope > 0.0;
    let ratio = (log_t - log_b, beta_b - beta_t);
    Ok(DifferenceLaw {
        value,
        slope: Estimate::new(
            fitted.slope,
            fitted.run.slope,
            fitted.run_df[1],
            options.alpha,
        ),
        slope_from_laws,
        discordant: (shrinks(value, slope_from_laws) && grows(ratio.0, ratio.1))
            || (grows(value, slope_from_laws) && shrinks(ratio.0, ratio.1)),
    })
}

/// Fieller's set of the scales with `G = 1`.
pub(crate) fn parity(fitted: &Fitted, origin: f64, options: &Options) -> Parity {
    let v = fitted.covariance(options.items);
    let t = t_critical(1.0 - options.alpha, fitted.variance(1, options.items).1);
    let decades = |x: f64| (origin + x) / std::f64::consts::LN_10;
    let at = -fitted.level / fitted.slope;
    let set = fieller([fitted.level, fitted.slope], [v.level, v.cross, v.slope], t);
    Parity {
        log10_scale: at.is_finite().then(|| decades(at)),
        set: in_decades(set.shifted(origin)),
    }
}

/// The line with its bands from end to end.
pub(crate) fn band(fitted: &Fitted, origin: f64, x: &[f64], options: &Options) -> Vec<BandPoint> {
    let points = 41;
    let v = fitted.covariance(options.items);
    let df = fitted.variance(1, options.items).1;
    let t = t_critical(1.0 - options.alpha, df);
    let wide = (2.0 * f_quantile(1.0 - options.alpha, 2.0, df)).sqrt();
    let (low, high) = range(x);
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
    let (low, high) = range(x);
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

/// Level and exponent of a classical fit.
fn classical(fit: &LinearFit, options: &Options) -> Result<(Estimate, Estimate), FitError> {
    let c = fit.covariance(Errors::Classical)?;
    let b = fit.coefficients();
    let of = |k: usize| Estimate::new(b[k], c[k][k], fit.df() as f64, options.alpha);
    Ok((of(0), of(1)))
}

/// The line without each reading.
pub(crate) fn leave_one_out(
    stage: &Stage,
    fitted: &Fitted,
    x: &[f64],
    options: &Options,
) -> Result<LeaveOneOut, FitError> {
    let (level, slope) = classical(&fitted.fit, options)?;
    let whole = unadjusted(&level, &slope, x, options);
    let n = fitted.readings.len();
    let mut values = Vec::with_capacity(n);
    let mut same = 0;
    for j in 0..n {
        let rest: Vec<usize> = (0..n).filter(|&i| i != j).collect();
        let fit = stage.fit_some(&rest, &fitted.readings);
        let Some((level, slope)) = fit.ok().and_then(|f| classical(&f, options).ok()) else {
            continue;
        };
        same += usize::from(unadjusted(&level, &slope, x, options) == whole);
        values.push(slope.value);
    }
    let (lower, upper) = if values.is_empty() {
        (fitted.slope, fitted.slope)
    } else {
        range(&values)
    };
    Ok(LeaveOneOut {
        lower,
        upper,
        verdict_stability: if values.is_empty() {
            1.0
        } else {
            same as f64 / values.len() as f64
        },
        delta_beta: values,
    })
}

/// Second opinions. Orders and signs of readings mean something only where they stand by themselves
/// on one line, so that grids have none.
pub(crate) fn resampling(
    plan: &Plan,
    fitted: &Fitted,
    options: &Options,
) -> Result<Resampling, FitError> {
    let (x, f) = (&plan.x, &fitted.readings);
    if plan.design == Design::Grid {
        return Ok(Resampling::default());
    }
    let level = 1.0 - options.alpha;
    let permutation = permutation_test(x, f, options.seed)?;
    let around = |(lower, upper): (f64, f64)| Interval {
        value: fitted.slope,
        lower,
        upper,
    };
    let bootstrap = pairs_bootstrap(x, f, level, options.seed).ok();
    let trend = rank_trend(x, f, level).ok();
    let series = autocorrelation(fitted.fit.residuals(), options.seed)?;
    Ok(Resampling {
        permutation_p: Some(permutation.p_value),
        sign_flip_p: wild_test(x, f, 0.0, options.seed).ok().map(|w| w.p_value),
        mann_kendall_p: trend.as_ref().map(|t| t.p_value),
        // With four readings no pair of order statistics reaches the level: the interval is infinite.
        theil_sen: trend
            .filter(|t| t.lower.is_finite() && t.upper.is_finite())
            .map(|t| Interval {
                value: t.slope,
                lower: t.lower,
                upper: t.upper,
            }),
        bootstrap_percentile: bootstrap.as_ref().map(|b| around(b.percentile)),
        bootstrap_bca: bootstrap.as_ref().map(|b| around(b.bca)),
        exact: permutation.exact,
        autocorrelation: Some(series.lag_one),
        autocorrelation_p: Some(series.p_value),
    })
}

/// The crossed bootstrap of the exponent; `None` where readings are not equally weighted and by
/// themselves on one line.
pub(crate) fn crossed(
    view: &View<'_>,
    terms: &[(usize, f64)],
    fitted: &Fitted,
    options: &Options,
) -> Option<CrossedBootstrap> {
    let plan = &view.plan;
    if plan.design == Design::Grid || !plan.main().stage.plain() {
        return None;
    }
    let line = Line::new(&plan.x, &fitted.readings).ok()?;
    let (samples, noise) = match options.items {
        Items::Fixed => (Vec::new(), 0.0),
        Items::Population => (view.samples(terms), fitted.idiosyncratic.slope),
    };
    let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
    let extra = fitted.frontier.slope + fitted.specification.slope;
    let level = 1.0 - options.alpha;
    let b = crossed_bootstrap(&line, &samples, extra, noise, level, options.seed).ok()?;
    let ends = [b.lower, b.upper];
    // A draw whose variance vanishes has an infinite t.
    ends.iter()
        .all(|e| e.value.is_finite() && e.monte_carlo_error.is_finite())
        .then_some(b)
}

/// Readings in the order in which they are held out: by scale, and by size on a grid. Each level is
/// a set of readings that leave together.
fn levels(plan: &Plan) -> Vec<Vec<usize>> {
    let key: &[f64] = match plan.design {
        Design::Grid => &plan.main().read_at,
        Design::Isoflop | Design::Rungs => &plan.x,
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

/// What a prediction is made at.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Centred log scale.
    pub(crate) x: f64,
    pub(crate) params: f64,
    pub(crate) tokens: f64,
    /// Row of the terms of the main rule.
    pub(crate) terms: Vec<f64>,
}

/// Log ratios at targets by a competing law fitted to some of the readings, where it can.
type Competitor<'a> = dyn Fn(&[usize], &[Target]) -> Option<Vec<f64>> + 'a;

/// Predicts the largest one, two and three levels of scale from the rest, and held-out runs from all.
pub(crate) fn backtest(
    plan: &Plan,
    fitted: &Fitted,
    reading: &dyn Fn(usize) -> Target,
    held_out: &[(Target, String, f64)],
    floors: &Competitor<'_>,
    options: &Options,
) -> Backtest {
    let stage = &plan.main().stage;
    let readings = &fitted.readings;
    let levels = levels(plan);
    let predict = |seen: &[usize], targets: &[(Target, Option<String>, f64)]| -> Vec<Holdout> {
        let fit = match stage.fit_some(seen, readings) {
            Ok(fit) if fit.df() > 0 => fit,
            _ => return Vec::new(),
        };
        let mean = seen.iter().map(|&i| readings[i]).sum::<f64>() / seen.len() as f64;
        let last = seen.last().map_or(mean, |&i| readings[i]);
        let at: Vec<Target> = targets.iter().map(|t| t.0.clone()).collect();
        let with_floors = floors(seen, &at);
        let mut all = Vec::with_capacity(targets.len());
        for (n, (target, run, actual)) in targets.iter().enumerate() {
            let Ok(line) = fit.estimate(&target.terms, Errors::Classical) else {
                continue;
            };
            let variance = line.standard_error.powi(2) + fit.variance();
            let new = Estimate::new(line.value, variance, line.df, options.alpha);
            let competitor = with_floors.as_ref().and_then(|p| p.get(n));
            all.push(Holdout {
                run: run.clone(),
                fitted: seen.len(),
                scale: exp(plan.origin + target.x),
                predicted: new.interval(),
                actual: *actual,
                error: actual - new.value,
                constant_error: actual - mean,
                last_error: actual - last,
                floors_error: competitor.map(|p| actual - p).filter(|e| e.is_finite()),
                inside: new.lower <= *actual && *actual <= new.upper,
            });
        }
        all
    };
    let mut holdouts = Vec::new();
    for k in 1..=3 {
        let Some(kept) = levels.len().checked_sub(k).filter(|&n| n >= 3) else {
            break;
        };
        let (seen, unseen) = levels.split_at(kept);
        let unseen: Vec<_> = unseen
            .concat()
            .into_iter()
            .map(|i| (reading(i), None, readings[i]))
            .collect();
        holdouts.extend(predict(&seen.concat(), &unseen));
    }
    let everything = levels.concat();
    let named: Vec<_> = held_out
        .iter()
        .map(|(t, run, y)| (t.clone(), Some(run.clone()), *y))
        .collect();
    let targets = if named.is_empty() {
        Vec::new()
    } else {
        predict(&everything, &named)
    };
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
        targets,
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

/// The ratio with each error read by its own rule.
pub(crate) fn paired(
    plan: &Plan,
    treatment: (&Readout, &[f64]),
    baseline: (&Readout, &[f64]),
) -> Result<Fitted, FitError> {
    let t = treatment.0.readings(treatment.1);
    let b = baseline.0.readings(baseline.1);
    let f: Vec<f64> = t.iter().zip(&b).map(|(t, b)| t - b).collect();
    fit_readings(&plan.main().stage, f, Cov::default())
}

fn in_decades(set: ConfidenceSet) -> ConfidenceSet {
    let k = std::f64::consts::LN_10;
    match set {
        ConfidenceSet::Bounded { lower, upper } => ConfidenceSet::Bounded {
            lower: lower / k,
            upper: upper / k,
        },
        ConfidenceSet::Outside { below, above } => ConfidenceSet::Outside {
            below: below / k,
            above: above / k,
        },
        ConfidenceSet::Below { upper } => ConfidenceSet::Below { upper: upper / k },
        ConfidenceSet::Above { lower } => ConfidenceSet::Above { lower: lower / k },
        other => other,
    }
}
