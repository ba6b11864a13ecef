//! Predictions of the largest scales from the others, and of held-out runs from all.

use crate::fit::comparison::Comparison;
use crate::fit::design::Design;
use crate::fit::error::FitError;
use crate::fit::estimate::Estimate;
use crate::fit::floored::{Floored, Place};
use crate::fit::logarithm::exp;
use crate::fit::options::Options;
use crate::fit::readings::{ReadingPlan, ReadingRegression, Scatter};
use crate::fit::result::{Backtest, Holdout};
use crate::fit::stats::regression::LinearFit;
use crate::fit::stats::sums::dot;

/// Largest number of levels of scale held out: three, as far as a ladder of six budgets can be asked
/// and still leave a line to fit.
const MOST_LEVELS: usize = 3;

/// A point to predict.
#[derive(Debug, Clone)]
struct Target {
    /// The run, if it is held out by name.
    run: Option<String>,
    place: Place,
    /// `ln G` read there.
    actual: f64,
}

impl Target {
    /// Reading `i` of the comparison.
    fn reading(comparison: &Comparison<'_, '_>, i: usize) -> Self {
        Self {
            run: None,
            place: Place::reading(comparison.view, i),
            actual: comparison.fitted.readings[i],
        }
    }

    /// Row of the terms of the main rule.
    fn terms(&self, plan: &ReadingPlan) -> Vec<f64> {
        match plan.ratio {
            Some(reference) => {
                let ratio = libm::log(self.place.tokens / self.place.params) - reference;
                vec![1.0, self.place.x, ratio]
            }
            None => vec![1.0, self.place.x],
        }
    }
}

/// Predicts the largest one, two and three levels of scale from the rest, and held-out runs from all
/// readings.
pub(super) fn backtest(comparison: &Comparison<'_, '_>, options: &Options) -> Backtest {
    let levels = levels(&comparison.view.plan);
    let mut holdouts = Vec::new();
    for k in 1..=MOST_LEVELS {
        // A line through two levels has no residual to predict with.
        let Some(kept) = levels.len().checked_sub(k).filter(|&n| n >= 3) else {
            break;
        };
        let (seen, unseen) = levels.split_at(kept);
        let unseen: Vec<Target> = unseen
            .concat()
            .into_iter()
            .map(|i| Target::reading(comparison, i))
            .collect();
        holdouts.extend(predict(comparison, &seen.concat(), unseen, options));
    }
    let held_out = held_out(comparison);
    let targets = if held_out.is_empty() {
        Vec::new()
    } else {
        predict(comparison, &levels.concat(), held_out, options)
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

/// Readings in the order in which they are held out: by scale, and by size on a grid. Each level is a
/// set of readings that leave together.
fn levels(plan: &ReadingPlan) -> Vec<Vec<usize>> {
    let key: &[f64] = match plan.design {
        // By size: predicting a longer training of a size already seen would be too easy.
        Design::Grid => &plan.main().read_at,
        Design::Isoflop | Design::Rungs => &plan.x,
    };
    let mut order: Vec<usize> = (0..key.len()).collect();
    order.sort_by(|&a, &b| key[a].total_cmp(&key[b]).then(a.cmp(&b)));
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match levels.last_mut() {
            // Equal sizes differ by the rounding of their logarithm at most.
            Some(l) if l.last().is_some_and(|&p| (key[p] - key[i]).abs() < 1e-9) => l.push(i),
            _ => levels.push(vec![i]),
        }
    }
    levels
}

/// Runs that the ladder marks as held out and that were scored on both distributions.
fn held_out(comparison: &Comparison<'_, '_>) -> Vec<Target> {
    let (corpus, y) = (comparison.corpus(), &comparison.y);
    (0..corpus.runs.len())
        .filter(|&r| corpus.held_out(r) && y[r].is_finite())
        .map(|r| Target {
            run: Some(corpus.run_name(r).to_owned()),
            place: Place::run(
                comparison.view,
                Some(r),
                corpus.log_scale[r] - comparison.view.plan.origin,
            ),
            actual: y[r],
        })
        .collect()
}

/// Predicts `targets` from the readings `seen`: by the law, by a constant ratio, by the last ratio and
/// by the ratio of two laws with floors.
fn predict(
    comparison: &Comparison<'_, '_>,
    seen: &[usize],
    targets: Vec<Target>,
    options: &Options,
) -> Vec<Holdout> {
    let (plan, readings) = (&comparison.view.plan, &comparison.fitted.readings);
    // Without frontier, specification and items: the readings themselves use the whole ladder's
    // frontier and items, and those held out with them, so this tests the law in F and not the
    // read-off.
    let Ok((fit, scatter)) = fit_seen(&plan.main().regression, seen, readings) else {
        return Vec::new();
    };
    let mean = seen.iter().map(|&i| readings[i]).sum::<f64>() / seen.len() as f64;
    let last = seen.last().map_or(mean, |&i| readings[i]);
    let with_floors = floors(comparison, seen, &targets);
    let mut all = Vec::with_capacity(targets.len());
    for (n, target) in targets.into_iter().enumerate() {
        let row = target.terms(plan);
        let value = dot(&row, fit.coefficients());
        let new = Estimate::new(value, scatter.of_new(&row), scatter.df.slope, options.alpha);
        let actual = target.actual;
        let competitor = with_floors.as_ref().and_then(|p| p.get(n));
        all.push(Holdout {
            run: target.run,
            fitted: seen.len(),
            scale: exp(plan.origin + target.place.x),
            predicted: new.interval(),
            actual,
            error: actual - new.value,
            constant_error: actual - mean,
            last_error: actual - last,
            floors_error: competitor.map(|p| actual - p).filter(|e| e.is_finite()),
            inside: new.lower <= actual && actual <= new.upper,
        });
    }
    all
}

/// The line through the readings `seen`, and their scatter about it.
fn fit_seen(
    regression: &ReadingRegression,
    seen: &[usize],
    readings: &[f64],
) -> Result<(LinearFit, Scatter), FitError> {
    let regression = regression.of_some(seen)?;
    let readings: Vec<f64> = seen.iter().map(|&i| readings[i]).collect();
    let fit = regression.fit(&readings)?;
    let scatter = regression.scatter(&fit)?;
    Ok((fit, scatter))
}

/// Log ratios at `targets` by two laws with floors fitted to the readings `seen`, if both can be.
fn floors(comparison: &Comparison<'_, '_>, seen: &[usize], targets: &[Target]) -> Option<Vec<f64>> {
    if !comparison.may_have_floors() {
        return None;
    }
    let law = |log_errors: &[f64]| Floored::fit(comparison.view, log_errors, seen);
    let (t, b) = (
        law(&comparison.log_treatment)?,
        law(&comparison.log_baseline)?,
    );
    let ln_ratio = |target: &Target| t.ln_error(&target.place) - b.ln_error(&target.place);
    Some(targets.iter().map(ln_ratio).collect())
}
