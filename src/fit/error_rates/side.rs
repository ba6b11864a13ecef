//! One distribution over the runs of a plan: an error rate as counts, any other loss as logarithms.

use std::collections::BTreeMap;

use crate::fit::corpus::{Corpus, complete_clusters, stratum_sizes};
use crate::fit::design::Design;
use crate::fit::error::FitError;
use crate::fit::estimate::{Coefficient, PerCoefficient};
use crate::fit::options::{ItemSampling, Options};
use crate::fit::readings::{ReadingPlan, Readout};
use crate::fit::stats::counts::fit_counts;

use super::checks::overdispersed;
use super::equation::{Equation, Values, columns};

/// Item pulls on level and slope by ladder-wide cluster, scaled by √((G − 1)/G).
pub(super) type Pulls = BTreeMap<usize, PerCoefficient<f64>>;

/// One distribution over the runs of a plan.
pub(super) struct Side {
    /// Level and slope of `ln E`.
    pub(super) line: PerCoefficient<f64>,
    pub(super) shape: Shape,
    /// The errors of the runs of the plan.
    pub(super) values: Values,
    /// `None` if the clusters carry no variance, and for a rate with fixed items.
    pub(super) pulls: Option<Pulls>,
    pub(super) clusters: Clusters,
    /// `None` for a loss that is no error rate.
    pub(super) data: Option<Data>,
}

/// The clusters of one distribution, as far as reservations are about them.
pub(super) struct Clusters {
    /// Clusters beyond one per stratum.
    pub(super) df: usize,
    /// Clusters left out because some run lacks them or has another number of rows.
    pub(super) dropped: usize,
    /// If true, they show no variance: there are fewer than two, or there is no law without one of them.
    pub(super) silent: bool,
}

/// Description of an error rate beside its line.
pub(super) struct Data {
    pub(super) dispersion: f64,
    pub(super) overdispersed: bool,
    pub(super) runs: usize,
    pub(super) zeros: usize,
    pub(super) ceiling: Option<f64>,
    pub(super) below_ceiling: Option<usize>,
    pub(super) above_ceiling: Option<usize>,
    pub(super) pre_onset: bool,
}

/// The fit of one side.
pub(super) enum Shape {
    /// One regression over all runs.
    Equation(Equation),
    /// Readings of size profiles, by the main rule and by the check.
    Profiles {
        main: ProfileReadings,
        check: Option<ProfileReadings>,
    },
}

/// Readings of the size profiles of all budgets, and their mean slope along `ln N`.
#[derive(Clone)]
pub(super) struct ProfileReadings {
    pub(super) readings: Vec<f64>,
    pub(super) slope: f64,
}

impl Shape {
    /// Level and slope of the line.
    fn line(&self, plan: &ReadingPlan) -> PerCoefficient<f64> {
        PerCoefficient::from_fn(|k: Coefficient| match self {
            Self::Equation(e) => e.coefficients[k.column()],
            Self::Profiles { main, .. } => plan.main().coefficient(k, &main.readings),
        })
    }
}

/// Wrong answers and items.
type Count = (f64, f64);

/// Counts of one distribution by run of the corpus and complete cluster.
struct Counts {
    cells: Vec<Vec<Count>>,
    total: Vec<Count>,
    clusters: Vec<usize>,
    dropped: usize,
}

impl Counts {
    fn new(corpus: &Corpus<'_>, distribution: usize, runs: &[usize]) -> Result<Self, FitError> {
        let scores = &corpus.ladder.scores()[distribution];
        let name = scores.name();
        let by_run: Vec<_> = runs.iter().map(|&m| scores.run(corpus.runs[m])).collect();
        let (clusters, dropped) = complete_clusters(&by_run);
        if clusters.is_empty() {
            return Err(FitError::Unsupported {
                reason: format!(
                    "corpus {:?} has no cluster of {name:?} scored in all of its runs",
                    corpus.name
                ),
            });
        }
        let mut cells = vec![Vec::new(); corpus.runs.len()];
        let mut total = vec![(0.0, 0.0); corpus.runs.len()];
        let complete = |cluster: usize| clusters.binary_search(&cluster).is_ok();
        for (&m, row) in runs.iter().zip(&by_run) {
            for c in row.iter().filter(|c| complete(c.cluster)) {
                // Means of thousands of zeros and ones round.
                if c.loss > c.weight * (1.0 + 1e-9) {
                    return Err(FitError::Unsupported {
                        reason: format!(
                            "the loss of run {:?} on {name:?} is {}: not an error rate",
                            corpus.run_name(m),
                            c.loss / c.weight
                        ),
                    });
                }
                // Rounding past "all wrong" would make a negative count of right answers.
                cells[m].push((c.loss.min(c.weight), c.weight));
            }
            total[m] = sum(cells[m].iter());
        }
        Ok(Self {
            cells,
            total,
            clusters,
            dropped,
        })
    }

    /// The counts without one cluster.
    fn without(&self, g: usize) -> Vec<Count> {
        self.total
            .iter()
            .zip(&self.cells)
            .map(|(t, cells)| match cells.get(g) {
                Some(c) => ((t.0 - c.0).max(0.0), t.1 - c.1),
                None => *t,
            })
            // Rounding of the difference may leave more errors than items.
            .map(|(w, m)| (w.min(m), m))
            .collect()
    }
}

fn sum<'c>(counts: impl Iterator<Item = &'c Count>) -> Count {
    counts.fold((0.0, 0.0), |t, c| (t.0 + c.0, t.1 + c.1))
}

impl Side {
    pub(super) fn new(
        corpus: &Corpus<'_>,
        plan: &ReadingPlan,
        distribution: usize,
        ids: &[usize],
        options: &Options,
    ) -> Result<Self, FitError> {
        let name = corpus.ladder.scores()[distribution].name();
        if options.error_rates.contains(name) {
            let ceiling = options.chance_of(corpus.ladder, name);
            let sampled = options.items == ItemSampling::Population;
            Self::counts(corpus, plan, distribution, ids, ceiling, sampled)
        } else {
            Self::logarithms(corpus, plan, distribution, ids)
        }
    }

    /// Readings of the size profiles; `None` where the runs are one regression.
    pub(super) fn readings(&self) -> Option<&ProfileReadings> {
        match &self.shape {
            Shape::Profiles { main, .. } => Some(main),
            Shape::Equation(_) => None,
        }
    }

    /// Items of each run; `None` for a loss that is no error rate, and for readings of budgets.
    pub(super) fn items(&self) -> Option<&[f64]> {
        match (&self.shape, &self.values) {
            (Shape::Equation(_), Values::Counts { items, .. }) => Some(items),
            _ => None,
        }
    }

    /// An error rate, with `ceiling` the rate of a guess.
    fn counts(
        corpus: &Corpus<'_>,
        plan: &ReadingPlan,
        distribution: usize,
        ids: &[usize],
        ceiling: Option<f64>,
        sampled: bool,
    ) -> Result<Self, FitError> {
        let runs = plan.runs();
        let counts = Counts::new(corpus, distribution, &runs)?;
        let fit = fit_shape(corpus, plan, &runs, &counts.total)?;
        let g = counts.clusters.len();
        let without = |g: usize| {
            let fit = fit_shape(corpus, plan, &runs, &counts.without(g)).ok()?;
            Some(fit.shape.line(plan))
        };
        let moved: Option<Vec<_>> = (g > 1 && sampled)
            // A refit per cluster, not its linearisation: counts of a few errors are far from
            // linear.
            .then(|| (0..g).map(without).collect())
            .flatten();
        let total = |m: &usize| counts.total[*m];
        let below = |c: f64| {
            let below = |m: &&usize| {
                let (w, n) = total(m);
                // A dispersion below one is luck, and must not make chance look far away.
                let error = (fit.dispersion.max(1.0) * c * (1.0 - c).max(0.0) / n).sqrt();
                // Three deviations, because some of many runs at chance pass two of them.
                c - w / n > 3.0 * error
            };
            runs.iter().filter(below).count()
        };
        let below_ceiling = ceiling.map(below);
        Ok(Self {
            line: fit.shape.line(plan),
            clusters: Clusters {
                df: g - 1,
                dropped: counts.dropped,
                // Without a cluster that holds nearly all errors there may be no law.
                silent: g < 2 || (sampled && moved.is_none()),
            },
            pulls: moved.map(|m| pulls(&m, counts.clusters.iter().map(|&c| ids[c]))),
            values: of_runs(&runs, &counts.total),
            data: Some(Data {
                dispersion: fit.dispersion,
                overdispersed: overdispersed(fit.dispersion, fit.df),
                runs: runs.len(),
                zeros: runs.iter().filter(|m| total(m).0 == 0.0).count(),
                ceiling,
                below_ceiling,
                above_ceiling: ceiling.map(|c| fit.rates.iter().filter(|f| **f > c).count()),
                // Four runs are the fewest with which a line can be doubted.
                pre_onset: below_ceiling.is_some_and(|n| n < runs.len().min(4)),
            }),
            shape: fit.shape,
        })
    }

    /// A distribution whose loss is no rate, in the same form.
    fn logarithms(
        corpus: &Corpus<'_>,
        plan: &ReadingPlan,
        distribution: usize,
        ids: &[usize],
    ) -> Result<Self, FitError> {
        let losses = corpus.losses(distribution)?;
        let own = log_shape(plan, &losses.log_error)?;
        let n = corpus.runs.len();
        let moved: Result<Vec<_>, FitError> = losses
            .without
            .chunks_exact(n)
            .map(|y| Ok(log_shape(plan, y)?.line(plan)))
            .collect();
        let moved = moved.ok().filter(|m| m.len() > 1);
        Ok(Self {
            line: own.line(plan),
            shape: own,
            clusters: Clusters {
                df: losses.clusters.len() - stratum_sizes(&losses.strata).len(),
                dropped: losses.dropped,
                silent: moved.is_none(),
            },
            values: Values::Logarithms(plan.runs().iter().map(|&m| losses.log_error[m]).collect()),
            pulls: moved.map(|m| pulls(&m, losses.clusters.iter().map(|&c| ids[c]))),
            data: None,
        })
    }
}

/// Centred leave-one-out values, times √((G − 1)/G).
fn pulls(moved: &[PerCoefficient<f64>], ids: impl Iterator<Item = usize>) -> Pulls {
    let g = moved.len() as f64;
    let mean =
        PerCoefficient::from_fn(|k: Coefficient| moved.iter().map(|m| m[k]).sum::<f64>() / g);
    let scale = ((g - 1.0) / g).sqrt();
    ids.zip(moved)
        .map(|(id, m)| (id, PerCoefficient::from_fn(|k| scale * (m[k] - mean[k]))))
        .collect()
}

/// The fit of the per-run logarithms `y`.
fn log_shape(plan: &ReadingPlan, y: &[f64]) -> Result<Shape, FitError> {
    if plan.design == Design::Isoflop {
        let read = |r: &Readout| ProfileReadings {
            readings: r.readings(y),
            slope: r.mean_slope(y),
        };
        return Ok(Shape::Profiles {
            main: read(plan.main()),
            check: plan.check().map(read),
        });
    }
    let runs = plan.runs();
    let values = Values::Logarithms(runs.iter().map(|&m| y[m]).collect());
    Ok(Shape::Equation(values.fit(&columns(plan, &runs))?))
}

/// The fit of counts with its dispersion and fitted rates.
struct CountsShape {
    shape: Shape,
    dispersion: f64,
    /// Degrees of freedom of the dispersion; 0 if every budget is read at its best run.
    df: usize,
    rates: Vec<f64>,
}

fn fit_shape(
    corpus: &Corpus<'_>,
    plan: &ReadingPlan,
    runs: &[usize],
    counts: &[Count],
) -> Result<CountsShape, FitError> {
    if plan.design == Design::Isoflop {
        let (main, dispersion, df) = read_profiles(corpus, plan.main(), counts)?;
        let check = plan
            .check()
            .map(|c| read_profiles(corpus, c, counts).map(|f| f.0))
            .transpose()?;
        return Ok(CountsShape {
            rates: main.readings.iter().map(|f| libm::exp(*f)).collect(),
            shape: Shape::Profiles { main, check },
            dispersion,
            df,
        });
    }
    let fit = of_runs(runs, counts).fit(&columns(plan, runs))?;
    Ok(CountsShape {
        dispersion: fit.dispersion,
        df: fit.df,
        rates: fit.fitted.clone(),
        shape: Shape::Equation(fit),
    })
}

/// The counts of `runs`, of counts by run of the corpus.
fn of_runs(runs: &[usize], counts: &[Count]) -> Values {
    Values::Counts {
        wrong: runs.iter().map(|&m| counts[m].0).collect(),
        items: runs.iter().map(|&m| counts[m].1).collect(),
    }
}

/// Readings of the size profiles of all budgets, and the pooled dispersion (1 if every budget is read
/// at its best run) with its degrees of freedom.
fn read_profiles(
    corpus: &Corpus<'_>,
    readout: &Readout,
    counts: &[Count],
) -> Result<(ProfileReadings, f64, usize), FitError> {
    let mut readings = Vec::with_capacity(readout.profiles.len());
    let (mut slope, mut chi2, mut df) = (0.0, 0.0, 0);
    for (profile, at) in readout.profiles.iter().zip(&readout.read_at) {
        let Some(poly) = &profile.poly else {
            // Too few sizes for a profile: the best run is read as it is.
            let sum = sum(profile.members.iter().map(|&m| &counts[m]));
            let value = libm::log(sum.0 / sum.1);
            // A single run without errors has no logarithm, and no neighbours to lend it one.
            if !value.is_finite() {
                return Err(FitError::Unsupported {
                    reason: "the best run of a budget makes no error".into(),
                });
            }
            readings.push(value);
            continue;
        };
        let scale = profile.width();
        let columns: Vec<Vec<f64>> = (0..poly.terms() as i32)
            .map(|k| {
                // Centred where it is read: the first two coefficients are then value and slope
                // there.
                let z = |&m: &usize| ((corpus.size[m] - at) / scale).powi(k);
                profile.members.iter().map(z).collect()
            })
            .collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let wrong: Vec<f64> = profile.members.iter().map(|&m| counts[m].0).collect();
        let items: Vec<f64> = profile.members.iter().map(|&m| counts[m].1).collect();
        let fit = fit_counts(&columns, &wrong, &items)?;
        readings.push(fit.coefficients[0]);
        slope += fit.coefficients[1] / scale / readout.profiles.len() as f64;
        chi2 += fit.dispersion * fit.df as f64;
        df += fit.df;
    }
    let dispersion = if df > 0 { chi2 / df as f64 } else { 1.0 };
    Ok((ProfileReadings { readings, slope }, dispersion, df))
}
