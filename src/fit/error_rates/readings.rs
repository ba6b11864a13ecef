//! Rates and ratios behind laws of counts: of each run, or of each budget at its optimum.

use crate::fit::corpus::Corpus;
use crate::fit::estimate::Coefficient;
use crate::fit::logarithm::exp;
use crate::fit::readings::ReadingPlan;
use crate::fit::result::{CountsReading, RateReading};

use super::side::{Shape, Side};

/// Scale, size and name of each run of the plan, or of each budget of an IsoFLOP ladder.
fn places(corpus: &Corpus<'_>, plan: &ReadingPlan, side: &Side) -> Vec<(Option<String>, f64, f64)> {
    match &side.shape {
        Shape::Equation(_) => plan
            .runs()
            .into_iter()
            .map(|m| {
                let id = corpus.run_name(m).to_owned();
                (Some(id), exp(corpus.log_scale[m]), exp(corpus.size[m]))
            })
            .collect(),
        Shape::Profiles { .. } => plan
            .scales()
            .into_iter()
            .zip(&plan.main().read_at)
            .map(|(scale, size)| (None, scale, exp(*size)))
            .collect(),
    }
}

/// Errors of the runs, or of the budgets at their optima.
fn errors(side: &Side) -> Vec<f64> {
    match side.readings() {
        Some(main) => main.readings.iter().map(|f| exp(*f)).collect(),
        None => side.values.errors(),
    }
}

/// Errors by the law, in the order of [`errors`].
fn fitted(plan: &ReadingPlan, side: &Side) -> Vec<f64> {
    match &side.shape {
        Shape::Equation(e) => e.fitted.clone(),
        Shape::Profiles { .. } => {
            let (level, slope) = (side.line[Coefficient::Level], side.line[Coefficient::Slope]);
            plan.x.iter().map(|x| exp(level + slope * x)).collect()
        }
    }
}

/// The rates behind the law of one distribution.
pub(super) fn of_rate(corpus: &Corpus<'_>, plan: &ReadingPlan, side: &Side) -> Vec<RateReading> {
    let (errors, fitted) = (errors(side), fitted(plan, side));
    let items = side.items();
    let mut readings: Vec<RateReading> = places(corpus, plan, side)
        .into_iter()
        .enumerate()
        .map(|(i, (run, scale, params))| RateReading {
            run,
            scale,
            params,
            items: items.map(|m| m[i]),
            rate: errors[i],
            fitted: fitted[i],
            residual: match &side.shape {
                Shape::Equation(e) => e.residuals[i],
                Shape::Profiles { .. } => libm::log(errors[i] / fitted[i]),
            },
        })
        .collect();
    readings.sort_by(|a, b| a.scale.total_cmp(&b.scale));
    readings
}

/// The ratios of `t` to `b`.
pub(super) fn of_ratio(
    corpus: &Corpus<'_>,
    plan: &ReadingPlan,
    t: &Side,
    b: &Side,
) -> Vec<CountsReading> {
    let (errors, fitted) = ([t, b].map(errors), [t, b].map(|s| fitted(plan, s)));
    let mut readings: Vec<CountsReading> = places(corpus, plan, t)
        .into_iter()
        .enumerate()
        .map(|(i, (run, scale, params))| {
            let (treatment_error, baseline_error) = (errors[0][i], errors[1][i]);
            let ratio = libm::log(treatment_error / baseline_error);
            CountsReading {
                run,
                scale,
                params,
                treatment_error,
                baseline_error,
                log_ratio: Some(ratio).filter(|r| r.is_finite()),
                fitted: libm::log(fitted[0][i] / fitted[1][i]),
            }
        })
        .collect();
    readings.sort_by(|a, b| a.scale.total_cmp(&b.scale));
    readings
}
