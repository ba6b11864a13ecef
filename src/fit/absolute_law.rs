//! The law of one distribution by itself.

use super::alternatives::semi_log;
use super::contrast::{self, FittedContrast};
use super::design::Design;
use super::diagnostics::curvature;
use super::error::FitError;
use super::estimate::Coefficient;
use super::logarithm::{exp, is_representable, range};
use super::options::Options;
use super::result::{AbsoluteLaw, FloorReport};
use super::stats::laws::compare_laws;
use super::surface::surface;
use super::view::CorpusView;
use crate::ladder::Ladder;

/// The power law of one distribution, with its floor and its surface where they can be fitted.
pub(crate) fn absolute_law(
    view: &CorpusView<'_>,
    distribution: usize,
    options: &Options,
) -> Result<AbsoluteLaw, FitError> {
    let (corpus, plan) = (view.corpus, &view.plan);
    let name = corpus.name_of(distribution);
    let log_errors = &corpus.losses(distribution)?.log_error;
    if !view.members.iter().all(|&r| log_errors[r].is_finite()) {
        return Err(FitError::Unsupported {
            reason: format!(
                "{name:?} is missing in some runs of corpus {:?}",
                corpus.name
            ),
        });
    }
    let fitted = contrast::fit(view, &[(distribution, 1.0)], options)?;
    let slope = fitted.estimate(Coefficient::Slope, options.items, options.alpha);
    let level = fitted.estimate(Coefficient::Level, options.items, options.alpha);
    if ![slope.lower, slope.upper, level.value]
        .into_iter()
        .all(is_representable)
    {
        return Err(FitError::Unsupported {
            reason: format!("the errors of {name:?} are too far apart for a finite result"),
        });
    }
    let regression = &plan.main().regression;
    Ok(AbsoluteLaw {
        corpus: corpus.name.into(),
        distribution: name.into(),
        beta: slope.negated(),
        alpha: level.interval().map(exp),
        reference_flops: exp(plan.origin),
        semi_log: semi_log(regression, &fitted.readings, options)?,
        curvature: curvature(regression, &fitted.readings, options)?,
        errors: fitted.readings.iter().map(|f| exp(*f)).collect(),
        floor: floor(view, &fitted.readings, options),
        readings_past_chance: readings_past_chance(&fitted, corpus.ladder, name, options),
        surface: surface(view, log_errors, options),
    })
}

/// The law with a floor through the readings; `None` on grids, whose floor is that of the surface.
fn floor(view: &CorpusView<'_>, readings: &[f64], options: &Options) -> Option<FloorReport> {
    let plan = &view.plan;
    // On a grid the scale alone does not fix the error; the surface has the floor instead.
    if plan.design == Design::Grid {
        return None;
    }
    let errors: Vec<f64> = readings.iter().map(|f| exp(*f)).collect();
    let c = compare_laws(&plan.x, &errors, 1.0 - options.alpha).ok()?;
    let [_, last] = range(&plan.x);
    let share = c.floor.floor_share(last);
    let both = |i: (Option<f64>, Option<f64>)| [i.0, i.1].map(|v| v.filter(|v| v.is_finite()));
    let numbers = [c.floor.floor, c.floor.amplitude, c.floor.exponent, share];
    numbers.iter().all(|v| v.is_finite()).then(|| FloorReport {
        floor: c.floor.floor,
        floor_interval: both(c.floor.floor_interval),
        amplitude: c.floor.amplitude,
        exponent: c.floor.exponent,
        exponent_interval: both(c.floor.exponent_interval),
        floor_share: share,
        aicc_difference: c.aicc_difference,
        // Without residual degrees of freedom nothing speaks for a floor.
        p_value: if c.floor_p_value.is_finite() {
            c.floor_p_value
        } else {
            1.0
        },
    })
}

/// Number of readings that have left the chance level by more than three standard errors of `ln E`.
fn readings_past_chance(
    fitted: &FittedContrast,
    ladder: &Ladder,
    name: &str,
    options: &Options,
) -> Option<usize> {
    let chance = libm::log(options.chance_of(ladder, name)?);
    // The scatter of one reading and the sampling of items, not the error of the line, which is
    // smaller.
    let error = (fitted.sigma2 + fitted.item.level).sqrt();
    let either_side = options.chance_either_side.contains(name);
    let distance = |f: &f64| match chance - f {
        above if either_side => above.abs(),
        below => below,
    };
    // Three deviations, because of many readings at chance some pass two.
    let past = fitted.readings.iter().filter(|f| distance(f) > 3.0 * error);
    Some(past.count())
}
