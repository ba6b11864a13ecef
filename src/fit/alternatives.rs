//! The comparison by other estimators and in other forms.

use super::comparison::Comparison;
use super::contrast::{FittedContrast, fit_readings, fit_readout};
use super::corpus::mean_log;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate, LineCovariance};
use super::floor_ratio::floor_ratio;
use super::logarithm::exp;
use super::loss_to_loss::loss_to_loss;
use super::mixed_model::mixed_model;
use super::options::{ItemSampling, Options};
use super::path::{LadderPath, ladder_path};
use super::readings::{FEWEST_SERIAL, ReadingRegression, Readout, read_by};
use super::result::{
    Alternatives, CrossedBootstrap, DifferenceLaw, RuleResult, SemiLog, SerialReport,
};
use super::shapes::shapes;
use super::stats::regression::Line;
use super::stats::resample::crossed_bootstrap;
use super::verdict::{LineEstimates, Verdict, unadjusted};
use super::wild::wild_bootstrap;

/// Every alternative that the ladder and the options allow.
pub(crate) fn alternatives(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Result<Alternatives, FitError> {
    let fitted = &comparison.fitted;
    let regression = &comparison.readout().regression;
    let floor_ratio = floor_ratio(comparison, options);
    Ok(Alternatives {
        fixed_items: fitted.estimate(Coefficient::Slope, ItemSampling::Fixed, options.alpha),
        rules: rules(comparison, options)?,
        difference: difference(comparison, options)?,
        semi_log: semi_log(regression, &fitted.readings, options)?,
        per_log_params: per_log_params(comparison, options)?,
        shapes: shapes(comparison, floor_ratio.as_ref(), options),
        floor_ratio,
        loss_to_loss: loss_to_loss(comparison, options).ok(),
        autocorrelated: autocorrelated(comparison, options),
        wild_bootstrap: match options.wild_bootstrap {
            true => wild_bootstrap(comparison, options),
            false => None,
        },
        mixed_model: mixed_model(comparison.view, &comparison.y, options),
        crossed_bootstrap: if options.crossed_bootstrap {
            crossed(comparison, options)
        } else {
            None
        },
    })
}

/// `Δβ` with errors that are correlated along the scale; `None` where they have no order, or are few.
fn autocorrelated(comparison: &Comparison<'_, '_>, options: &Options) -> Option<SerialReport> {
    let plan = &comparison.view.plan;
    if !plan.has_order() || plan.x.len() < FEWEST_SERIAL {
        return None;
    }
    let mut fitted = comparison.unmoderated.clone();
    let (scatter, rho) = plan.main().regression.serial(&fitted.fit).ok()?;
    (fitted.run, fitted.run_df) = (scatter.line, scatter.df);
    let delta_beta = fitted.estimate(Coefficient::Slope, options.items, options.alpha);
    let numbers = [delta_beta.lower, delta_beta.upper, rho];
    (numbers.iter().all(|v| v.is_finite())).then_some(SerialReport { rho, delta_beta })
}

/// `Δβ` by the rules of the plan, and by those that need another loss.
fn rules(comparison: &Comparison<'_, '_>, options: &Options) -> Result<Vec<RuleResult>, FitError> {
    let plan = &comparison.view.plan;
    let y = &comparison.y;
    let main = fit_readout(plan.main(), y)?;
    let expected = plain_verdict(&main, &plan.x, options);
    let mut all: Vec<(String, FittedContrast)> = plan
        .readouts
        .iter()
        .filter_map(|r| Some((r.rule.to_owned(), fit_readout(r, y).ok()?)))
        .collect();
    // Other designs read no optimum.
    if plan.design == Design::Isoflop {
        // Of a ratio of errors there is no least value to read it at.
        let own = own_optimum(comparison, options).ok();
        all.extend(own.map(|f| ("own_optimum".to_owned(), f)));
        let other = held_out_aggregate(comparison, options);
        all.extend(other.map(|f| ("held_out_aggregate".to_owned(), f)));
    }
    let row = |(rule, fitted): (String, FittedContrast)| {
        let verdict = plain_verdict(&fitted, &plan.x, options);
        RuleResult {
            main: rule == plan.main().rule,
            rule,
            delta_beta: fitted.plain_estimate(Coefficient::Slope, options.alpha),
            sign_flips: fitted.slope * main.slope < 0.0,
            verdict_flips: verdict != expected,
            verdict,
        }
    };
    Ok(all.into_iter().map(row).collect())
}

fn plain_verdict(fitted: &FittedContrast, x: &[f64], options: &Options) -> Verdict {
    let line = LineEstimates {
        level: fitted.plain_estimate(Coefficient::Level, options.alpha),
        slope: fitted.plain_estimate(Coefficient::Slope, options.alpha),
        cross: Some(fitted.run.plus(fitted.frontier).cross),
    };
    unadjusted(&line, x, options)
}

/// The ratio with each error read at its own optimum.
fn own_optimum(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Result<FittedContrast, FitError> {
    let plan = &comparison.view.plan;
    let corpus = comparison.corpus();
    let own = |d: usize| -> Result<Vec<f64>, FitError> {
        if corpus.is_ratio(d) {
            return Err(FitError::Unsupported {
                reason: format!("the ratio {:?} has no optimal size", corpus.name_of(d)),
            });
        }
        let log_error = &corpus.losses(d)?.log_error;
        let readout: Readout = read_by(corpus, plan, log_error, options)?;
        Ok(readout.readings(log_error))
    };
    let (t, b) = (own(comparison.treatment)?, own(comparison.baseline)?);
    let readings = t.iter().zip(&b).map(|(t, b)| t - b).collect();
    // No frontier term: each error is at its own minimum, where its slope along ln N vanishes.
    fit_readings(&plan.main().regression, readings, LineCovariance::default())
}

/// The ratio at the optimum of an aggregate without the two distributions compared; `None` if the
/// aggregate is a distribution of its own or has no other members.
fn held_out_aggregate(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Option<FittedContrast> {
    let corpus = comparison.corpus();
    let both = [comparison.treatment, comparison.baseline];
    let compared: Vec<usize> = both.into_iter().flat_map(|d| corpus.parts(d)).collect();
    let others: Vec<usize> = corpus
        .aggregate_members
        .iter()
        .copied()
        .filter(|d| !compared.contains(d))
        .collect();
    if !corpus.aggregate_from_tested || others.is_empty() {
        return None;
    }
    let a = mean_log(&corpus.losses, &others, corpus.runs.len());
    let readout = read_by(corpus, &comparison.view.plan, &a, options).ok()?;
    fit_readout(&readout, &comparison.y).ok()
}

/// The law of `E_t − E_b` from the readings of both.
fn difference(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Result<DifferenceLaw, FitError> {
    let regression = &comparison.readout().regression;
    let (treatment, baseline) = (&comparison.log_treatment, &comparison.log_baseline);
    let gap: Vec<f64> = (treatment.iter().zip(baseline))
        .map(|(t, b)| exp(*t) - exp(*b))
        .collect();
    let fitted = fit_readings(regression, gap, LineCovariance::default())?;
    let law = |f: &[f64]| {
        let of = |k| regression.coefficient(k, f);
        (of(Coefficient::Level), -of(Coefficient::Slope))
    };
    let ((log_t, beta_t), (log_b, beta_b)) = (law(treatment), law(baseline));
    let value = exp(log_t) - exp(log_b);
    // By the power laws, not the fitted line: differences bend where ratios do not, and the flag
    // compares the two laws.
    let slope_from_laws = beta_b * exp(log_b) - beta_t * exp(log_t);
    let shrinks = |level: f64, slope: f64| level * slope < 0.0;
    let grows = |level: f64, slope: f64| level * slope > 0.0;
    let ratio = (log_t - log_b, beta_b - beta_t);
    Ok(DifferenceLaw {
        value,
        slope: Estimate::new(
            fitted.slope,
            fitted.run.slope,
            fitted.run_df.slope,
            options.alpha,
        ),
        slope_from_laws,
        discordant: (shrinks(value, slope_from_laws) && grows(ratio.0, ratio.1))
            || (grows(value, slope_from_laws) && shrinks(ratio.0, ratio.1)),
    })
}

/// `d ln G / d ln N` of rungs that differ in size alone; `None` for others.
fn per_log_params(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Result<Option<Estimate>, FitError> {
    let view = comparison.view;
    let (plan, main) = (&view.plan, view.plan.main());
    let path = ladder_path(view.corpus, &view.members);
    if plan.design != Design::Rungs || path != Some(LadderPath::EqualTokens) {
        return Ok(None);
    }
    let mean = main.read_at.iter().sum::<f64>() / main.read_at.len() as f64;
    let size: Vec<f64> = main.read_at.iter().map(|n| n - mean).collect();
    // Compute per parameter: 1 in the convention 6ND, less where embeddings are counted apart.
    let rate = Line::new(&size, &plan.x)?.slope().value;
    let along = main.regression.of_line(&size, options)?;
    let fitted = comparison.fitted.along(&along, rate)?;
    Ok(Some(fitted.estimate(
        Coefficient::Slope,
        options.items,
        options.alpha,
    )))
}

/// A straight line of `exp(f)` in the log scale.
pub(crate) fn semi_log(
    regression: &ReadingRegression,
    log_values: &[f64],
    options: &Options,
) -> Result<SemiLog, FitError> {
    let values: Vec<f64> = log_values.iter().map(|v| exp(*v)).collect();
    let fitted = fit_readings(regression, values, LineCovariance::default())?;
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
            fitted.run_df.slope,
            options.alpha,
        ),
        r_squared: if total > 0.0 { 1.0 - left / total } else { 0.0 },
    })
}

/// The crossed bootstrap of the slope; `None` unless readings are equally weighted and by themselves on
/// one line.
fn crossed(comparison: &Comparison<'_, '_>, options: &Options) -> Option<CrossedBootstrap> {
    let (plan, fitted) = (&comparison.view.plan, &comparison.fitted);
    if plan.design == Design::Grid || !plan.main().regression.plain() {
        return None;
    }
    let line = Line::new(&plan.x, &fitted.readings).ok()?;
    let (samples, noise) = match options.items {
        ItemSampling::Fixed => (Vec::new(), 0.0),
        ItemSampling::Population => (
            comparison.view.samples(&comparison.terms()),
            fitted.idiosyncratic.slope,
        ),
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
