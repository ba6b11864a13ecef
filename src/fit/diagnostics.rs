//! Diagnostics of a law: curvature, influence, second opinions, profiles, items and backtests.

mod backtest;
mod items;
mod outliers;
mod profiles;

use self::backtest::backtest;
use self::items::item_report;
use self::outliers::outlying_runs;
pub(crate) use self::profiles::{lack_of_fit, next_power};
use super::comparison::Comparison;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate, Interval};
use super::flags::QUESTIONED;
use super::logarithm::range;
use super::options::Options;
use super::readings::{ReadingPlan, ReadingRegression};
use super::result::{Curvature, Diagnostics, LeaveOneOut, Resampling, VarianceComponents};
use super::stats::regression::{Errors, LinearFit, rank_trend};
use super::stats::resample::{autocorrelation, pairs_bootstrap, permutation_test, wild_test};
use super::verdict::{LineEstimates, unadjusted};

impl Diagnostics {
    /// Every diagnostic of one comparison.
    pub(crate) fn of(comparison: &Comparison<'_, '_>, options: &Options) -> Result<Self, FitError> {
        let (plan, fitted) = (&comparison.view.plan, &comparison.fitted);
        let (corpus, readout) = (comparison.corpus(), comparison.readout());
        Ok(Self {
            variance: VarianceComponents {
                run: fitted.run.slope,
                frontier: fitted.frontier.slope,
                specification: fitted.specification.slope,
                item: fitted.item.slope,
                idiosyncratic: fitted.idiosyncratic.slope,
                total: fitted.variance(Coefficient::Slope, options.items).0,
            },
            curvature: curvature(&readout.regression, &fitted.readings, options)?,
            local_exponents: local_exponents(plan, &fitted.readings),
            lack_of_fit: lack_of_fit(corpus, readout, &comparison.y),
            next_power: next_power(corpus, readout, &comparison.y),
            leave_one_out: leave_readings_out(
                &readout.regression,
                &fitted.readings,
                &fitted.fit,
                &plan.x,
                options,
            )?,
            outlying_runs: outlying_runs(comparison, options),
            resampling: resampling(comparison, options)?,
            items: item_report(comparison, options),
            backtest: backtest(comparison, options),
        })
    }
}

/// The quadratic term beside the terms of `stage`, and the small-sample information criteria.
pub(crate) fn curvature(
    regression: &ReadingRegression,
    f: &[f64],
    options: &Options,
) -> Result<Curvature, FitError> {
    let n = f.len() as f64;
    let p = regression.columns.len();
    // Not centred again: x is centred, and the coefficient of a square does not depend on its
    // centre.
    let square: Vec<f64> = regression.columns[1].iter().map(|x| x * x).collect();
    let columns: Vec<&[f64]> = regression
        .columns
        .iter()
        .chain([&square])
        .map(Vec::as_slice)
        .collect();
    let with = |columns: &[&[f64]]| LinearFit::weighted(columns, f, &regression.weights).ok();
    // Three readings are a parabola.
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
    // A constant ratio competes too: the line must beat it before its slope is worth a word.
    let flat = columns.get(..1).and_then(with);
    Ok(Curvature {
        questioned: coefficient.is_some_and(|c| c.p_value < QUESTIONED),
        coefficient,
        aicc: [
            flat.as_ref().and_then(aicc),
            aicc(&regression.fit(f)?),
            bent.as_ref().and_then(aicc),
        ],
    })
}

/// Exponents between neighbouring scales.
fn local_exponents(plan: &ReadingPlan, readings: &[f64]) -> Vec<f64> {
    if plan.design == Design::Grid {
        return Vec::new();
    }
    let steps = plan.x.windows(2).zip(readings.windows(2));
    steps
        .map(|(x, f)| (f[1] - f[0]) / (x[1] - x[0]))
        .filter(|v| v.is_finite())
        .collect()
}

/// Level and slope of a classical fit.
fn classical(fit: &LinearFit, options: &Options) -> Result<LineEstimates, FitError> {
    let c = fit.covariance(Errors::Classical)?;
    let b = fit.coefficients();
    let of = |k: Coefficient| {
        let k = k.column();
        Estimate::new(b[k], c[k][k], fit.df() as f64, options.alpha)
    };
    Ok(LineEstimates {
        level: of(Coefficient::Level),
        slope: of(Coefficient::Slope),
        cross: Some(c[Coefficient::Level.column()][Coefficient::Slope.column()]),
    })
}

/// The line through `readings`, whose fit is `fit`, without each of them.
pub(crate) fn leave_readings_out(
    regression: &ReadingRegression,
    readings: &[f64],
    fit: &LinearFit,
    x: &[f64],
    options: &Options,
) -> Result<LeaveOneOut, FitError> {
    // By classical errors throughout, so that a verdict changes by the reading left out and not by
    // the form of the variance.
    let whole = classical(fit, options)?;
    let verdict = unadjusted(&whole, x, options);
    let n = readings.len();
    let mut values = Vec::with_capacity(n);
    let mut same = 0;
    for j in 0..n {
        let rest: Vec<usize> = (0..n).filter(|&i| i != j).collect();
        let fit = regression.fit_some(&rest, readings);
        let Some(line) = fit.ok().and_then(|f| classical(&f, options).ok()) else {
            continue;
        };
        same += usize::from(unadjusted(&line, x, options) == verdict);
        values.push(line.slope.value);
    }
    Ok(LeaveOneOut::of(values, same, whole.slope.value))
}

impl LeaveOneOut {
    /// The exponents `values`, of which `same` have the verdict of the whole, with exponent `whole`.
    pub(crate) fn of(values: Vec<f64>, same: usize, whole: f64) -> Self {
        // A reading that a coefficient rests on cannot be left out; there may be no other.
        let [lower, upper] = if values.is_empty() {
            [whole; 2]
        } else {
            range(&values)
        };
        Self {
            lower,
            upper,
            verdict_stability: if values.is_empty() {
                1.0
            } else {
                same as f64 / values.len() as f64
            },
            delta_beta: values,
        }
    }
}

/// Second opinions. The order and the signs of readings carry meaning only on one line, so that grids
/// have none.
fn resampling(comparison: &Comparison<'_, '_>, options: &Options) -> Result<Resampling, FitError> {
    let (plan, fitted) = (&comparison.view.plan, &comparison.fitted);
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
        // Robust to unequal noise along the ladder, which the permutation test is not.
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
