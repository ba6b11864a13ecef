//! The line of one error rate, or of the ratio of two, with the variances of level and slope.

use std::collections::BTreeMap;

use crate::fit::contrast::{MOST_DF, fit_readings, frontier_variance, specification_variance};
use crate::fit::error::FitError;
use crate::fit::estimate::{Coefficient, Estimate, PerCoefficient};
use crate::fit::options::{ItemSampling, Options};
use crate::fit::readings::ReadingPlan;

use super::equation::{Difference, Equation, clusters, columns};
use super::side::{ProfileReadings, Shape, Side};

/// One side or the ratio of two, with variances of level and slope.
pub(super) struct ErrorLine {
    line: PerCoefficient<f64>,
    pub(super) run: PerCoefficient<f64>,
    run_df: f64,
    /// `None` if the clusters of no side carry variance, and with fixed items.
    pub(super) item: Option<PerCoefficient<f64>>,
    item_df: f64,
}

/// Variances of level and slope, with their degrees of freedom.
type RunVariance = (PerCoefficient<f64>, f64);

impl ErrorLine {
    /// The line of `t`, or of the ratio of `t` to `b`.
    pub(super) fn new(
        plan: &ReadingPlan,
        t: &Side,
        b: Option<&Side>,
        options: &Options,
    ) -> Result<Self, FitError> {
        let minus = |k: Coefficient| b.map_or(0.0, |b| b.line[k]);
        let (run, run_df) = match (&t.shape, b.map(|b| &b.shape)) {
            (Shape::Equation(t), None) => equations(plan, t, None),
            (Shape::Equation(t), Some(Shape::Equation(b))) => equations(plan, t, Some(b)),
            (Shape::Profiles { main, check }, other) => {
                let (other_main, other_check) = match other {
                    Some(Shape::Profiles { main, check }) => (Some(main), check.as_ref()),
                    _ => (None, None),
                };
                let main = less(main, other_main);
                let check = check.as_ref().map(|c| less(c, other_check));
                profiles(plan, main, check.as_ref(), options)?
            }
            (Shape::Equation(_), Some(Shape::Profiles { .. })) => {
                return Err(FitError::Unsupported {
                    reason: "two sides of one plan read in two ways".into(),
                });
            }
        };
        let (item, item_df) = items(t, b, options);
        Ok(Self {
            line: PerCoefficient::from_fn(|k| t.line[k] - minus(k)),
            run,
            run_df,
            item,
            item_df,
        })
    }

    pub(super) fn estimate(&self, k: Coefficient, options: &Options) -> Estimate {
        let item = self.item.map_or(0.0, |v| v[k]);
        // Added, with the noise of items in runs counted twice: counts do not let it be taken out,
        // and this errs on the wide side.
        let total = self.run[k] + item;
        let spread = self.run[k] * self.run[k] / self.run_df + item * item / self.item_df;
        let df = if spread > 0.0 {
            (total * total / spread).clamp(1.0, MOST_DF)
        } else {
            self.run_df
        };
        Estimate::new(self.line[k], total, df, options.alpha)
    }
}

/// Readings of the ratio of two sides.
pub(super) fn less(a: &ProfileReadings, b: Option<&ProfileReadings>) -> ProfileReadings {
    match b {
        None => a.clone(),
        Some(b) => ProfileReadings {
            readings: a
                .readings
                .iter()
                .zip(&b.readings)
                .map(|(a, b)| a - b)
                .collect(),
            slope: a.slope - b.slope,
        },
    }
}

/// Variances of the line through the readings of size profiles: runs, frontier and specification.
fn profiles(
    plan: &ReadingPlan,
    main: ProfileReadings,
    check: Option<&ProfileReadings>,
    options: &Options,
) -> Result<RunVariance, FitError> {
    let readout = plan.main();
    let frontier = frontier_variance(readout, main.slope);
    let mut fitted = fit_readings(&readout.regression, main.readings, frontier)?;
    let check = plan
        .check()
        .zip(check)
        .filter(|_| options.specification_term);
    if let Some((readout, c)) = check {
        let gap =
            PerCoefficient::from_fn(|k| readout.coefficient(k, &c.readings) - fitted.value(k));
        fitted.specification = specification_variance(plan.design, gap);
    }
    let run = PerCoefficient::from_fn(|k| fitted.run_variance(k).0);
    Ok((run, fitted.run_variance(Coefficient::Slope).1))
}

/// Variances of level and slope by the sampling of items, and their degrees of freedom.
fn items(t: &Side, b: Option<&Side>, options: &Options) -> (Option<PerCoefficient<f64>>, f64) {
    if options.items == ItemSampling::Fixed {
        return (None, 1.0);
    }
    let sides = [Some((t, 1.0)), b.map(|b| (b, -1.0))];
    let mut sum: BTreeMap<usize, PerCoefficient<f64>> = BTreeMap::new();
    let mut fewest = usize::MAX;
    let mut known = false;
    for (side, sign) in sides.into_iter().flatten() {
        // What the other side shows is a part of the variance: a flag says that this one shows none.
        let Some(pulls) = &side.pulls else {
            continue;
        };
        known = true;
        fewest = fewest.min(pulls.len());
        for (id, pull) in pulls {
            let e = sum.entry(*id).or_default();
            e.level += sign * pull.level;
            e.slope += sign * pull.slope;
        }
    }
    let variance =
        // Summed by cluster before squaring: a cluster in both rates is left out of both at once.
        PerCoefficient::from_fn(|k: Coefficient| sum.values().map(|v| v[k] * v[k]).sum::<f64>());
    let df = (fewest.saturating_sub(1)).clamp(1, MOST_DF as usize) as f64;
    (known.then_some(variance), df)
}

/// Variances of level and slope of one regression, or of the difference of two over the same runs.
fn equations(plan: &ReadingPlan, t: &Equation, b: Option<&Equation>) -> RunVariance {
    let columns = columns(plan, &plan.runs());
    let clusters = clusters(plan);
    let pair = Difference::new(&columns, &clusters, t, b);
    let variance = PerCoefficient::from_fn(|k: Coefficient| pair.variance(k.column()));
    (variance, pair.df())
}
