//! The line of one error rate, or of the ratio of two, with the variances of level and slope.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::fit::contrast::{MOST_DF, fit_readings, frontier_variance};
use crate::fit::error::FitError;
use crate::fit::estimate::{Coefficient, Estimate, PerCoefficient};
use crate::fit::options::{ItemSampling, Options};
use crate::fit::readings::ReadingPlan;

use super::side::{Equation, ProfileReadings, Shape, Side, columns};

/// One side or the ratio of two, with variances of level and slope.
pub(super) struct ErrorLine {
    line: PerCoefficient<f64>,
    pub(super) run: PerCoefficient<f64>,
    run_df: f64,
    /// `None` if the clusters of a side carry no variance.
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
        let (item, item_df) = items(t, b);
        Ok(Self {
            line: PerCoefficient::from_fn(|k| t.line[k] - minus(k)),
            run,
            run_df,
            item,
            item_df,
        })
    }

    pub(super) fn estimate(&self, k: Coefficient, options: &Options) -> Estimate {
        let item = match options.items {
            ItemSampling::Population => self.item.map_or(0.0, |v| v[k]),
            ItemSampling::Fixed => 0.0,
        };
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
fn less(a: &ProfileReadings, b: Option<&ProfileReadings>) -> ProfileReadings {
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
    let fitted = fit_readings(&readout.regression, main.readings, frontier)?;
    let check = plan
        .check()
        .zip(check)
        .filter(|_| options.specification_term);
    let run = PerCoefficient::from_fn(|k| {
        let run = fitted.run.variance(k) + fitted.frontier.variance(k);
        check.map_or(run, |(readout, c)| {
            run + (readout.coefficient(k, &c.readings) - fitted.value(k)).powi(2)
        })
    });
    Ok((run, fitted.run_df.slope))
}

/// Variances of level and slope by the sampling of items, and their degrees of freedom.
fn items(t: &Side, b: Option<&Side>) -> (Option<PerCoefficient<f64>>, f64) {
    let sides = [Some((t, 1.0)), b.map(|b| (b, -1.0))];
    let mut sum: BTreeMap<usize, PerCoefficient<f64>> = BTreeMap::new();
    let mut fewest = usize::MAX;
    let mut known = true;
    for (side, sign) in sides.into_iter().flatten() {
        let Some(pulls) = &side.pulls else {
            known = false;
            continue;
        };
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

/// A regression with the influence of a unit residual of each run on its coefficients.
struct Influences<'e> {
    equation: &'e Equation,
    rows: DMatrix<f64>,
}

impl<'e> Influences<'e> {
    fn new(equation: &'e Equation, x: &DMatrix<f64>) -> Self {
        let mut rows = x * &equation.inverse;
        for (r, w) in equation.root_weights.iter().enumerate() {
            rows.row_mut(r).scale_mut(*w);
        }
        Self { equation, rows }
    }
}

/// Variances of level and slope of one regression, or of the difference of two over the same runs,
/// and their degrees of freedom.
fn equations(plan: &ReadingPlan, t: &Equation, b: Option<&Equation>) -> RunVariance {
    let columns = columns(plan, &plan.runs());
    let n = columns.first().map_or(0, Vec::len);
    let x = DMatrix::from_fn(n, columns.len(), |r, k| columns[k][r]);
    let left = (n - columns.len()) as f64;
    let t = Influences::new(t, &x);
    let b = b.map(|b| Influences::new(b, &x));
    // Clusters are those of readings, which may be means over replicates.
    let of_readings = plan.main().regression.clusters();
    let clusters: Vec<usize> = (of_readings.iter().zip(&plan.groups))
        .flat_map(|(c, g)| std::iter::repeat_n(*c, g.members.len()))
        .collect();
    if clusters.is_empty() {
        (independent(&t, b.as_ref(), left), left)
    } else {
        clustered(&t, b.as_ref(), &clusters, left)
    }
}

/// Variances with residuals that are independent between runs, of two sides in one run not.
fn independent(t: &Influences<'_>, b: Option<&Influences<'_>>, left: f64) -> PerCoefficient<f64> {
    let form = |one: &Influences<'_>, two: &Influences<'_>, k: usize| {
        let residuals = one.equation.residuals.iter().zip(&two.equation.residuals);
        let dispersion = residuals.map(|(a, b)| a * b).sum::<f64>() / left;
        dispersion * one.rows.column(k).dot(&two.rows.column(k))
    };
    PerCoefficient::from_fn(|k| {
        let k = k.column();
        let own = form(t, t, k);
        match b {
            // Two distributions that are equal leave rounding.
            Some(b) => (own + form(b, b, k) - 2.0 * form(t, b, k)).max(0.0),
            None => own,
        }
    })
}

/// Variances with noise that the checkpoints of one training run share.
fn clustered(
    t: &Influences<'_>,
    b: Option<&Influences<'_>>,
    clusters: &[usize],
    left: f64,
) -> RunVariance {
    let groups = clusters.iter().max().map_or(1, |m| m + 1);
    let mut sums = vec![PerCoefficient::<f64>::default(); groups];
    for (r, &cluster) in clusters.iter().enumerate() {
        for k in [Coefficient::Level, Coefficient::Slope] {
            let of = |i: &Influences<'_>| i.rows[(r, k.column())] * i.equation.residuals[r];
            sums[cluster][k] += of(t);
            if let Some(b) = b {
                sums[cluster][k] -= of(b);
            }
        }
    }
    let (g, n) = (groups as f64, clusters.len() as f64);
    // Not CR2: the two regressions have weights of their own and no common hat matrix.
    let factor = g / (g - 1.0).max(1.0) * (n - 1.0) / left;
    let variance =
        PerCoefficient::from_fn(|k| factor * sums.iter().map(|s| s[k] * s[k]).sum::<f64>());
    (variance, (g - 1.0).max(1.0))
}
