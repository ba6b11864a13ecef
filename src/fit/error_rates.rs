//! Laws of error rates: counts instead of logarithms, over the runs of a corpus.
//!
//! Rungs and grids are one regression of counts on the scale, with the dispersion between runs as
//! its variance; the residuals of two distributions in one run may be correlated. On an IsoFLOP
//! ladder the profile of every budget is a regression of counts, read at the frontier, and the line
//! through the readings has the variance of any other law. Items are a delete-one-cluster jackknife
//! of the whole fit; since noise of items in runs is part of both variances, their sum errs on the
//! wide side.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use super::contrast::{fit_readings, frontier_variance};
use super::design::{self, Corpus, Design, Plan, Readout, complete_clusters};
use super::diagnostics as diag;
use super::error::FitError;
use super::inference::Estimate;
use super::options::{Items, Options};
use super::result::{CountsLaw, Equivalence, RateLaw};
use super::stats::counts::{CountsFit, fit_counts};
use super::stats::multiplicity::{Correction, adjust};
use super::stats::regression::LinearFit;
use super::verdict::{Evidence, Verdict, decide};

/// The laws of all corpora so far.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) laws: Vec<CountsLaw>,
    pub(crate) rates: Vec<RateLaw>,
    /// Centred scales at the ends of each law's ladder.
    ends: Vec<[f64; 2]>,
}

impl Rates {
    /// Adjusts for the number of laws, decides, and sorts.
    pub(crate) fn decide(&mut self, options: &Options) -> Result<(), FitError> {
        let p: Vec<f64> = self.laws.iter().map(|l| l.delta_beta.p_value).collect();
        let tost: Vec<f64> = self.laws.iter().map(|l| l.equivalence.p_value).collect();
        let holm = adjust(&p, Correction::Holm)?;
        let equivalent = adjust(&tost, Correction::Holm)?;
        for (i, law) in self.laws.iter_mut().enumerate() {
            law.holm_p = holm[i];
            law.equivalence.holm_p = equivalent[i];
            let level = law.gamma.map(libm::log);
            law.verdict = decide(&Evidence {
                level,
                ends: diag::ends(level.value, law.delta_beta.value, &self.ends[i]),
                slope: law.delta_beta.value,
                differs: holm[i] <= options.alpha,
                equivalent: equivalent[i] <= options.alpha,
            });
        }
        let by_name = |a: &CountsLaw, b: &CountsLaw| {
            (&a.corpus, &a.treatment).cmp(&(&b.corpus, &b.treatment))
        };
        self.laws.sort_by(by_name);
        Ok(())
    }
}

/// Adds the laws of `treatments` against `baseline` in one corpus; returns what was refused.
pub(crate) fn fit(
    corpus: &Corpus<'_>,
    (treatments, baseline): (&[usize], usize),
    cluster_ids: &[Vec<usize>],
    options: &Options,
    rates: &mut Rates,
) -> Vec<(usize, FitError)> {
    let mut refused = Vec::new();
    for &t in treatments {
        if let Err(error) = pair(corpus, t, baseline, cluster_ids, options, rates) {
            refused.push((t, error));
        }
    }
    refused
}

fn pair(
    corpus: &Corpus<'_>,
    treatment: usize,
    baseline: usize,
    cluster_ids: &[Vec<usize>],
    options: &Options,
    rates: &mut Rates,
) -> Result<(), FitError> {
    let scores = corpus.ladder.scores();
    let members: Vec<usize> = (0..corpus.runs.len())
        .filter(|&m| !corpus.held_out(m))
        .filter(|&m| {
            let scored = |d: usize| !scores[d].run(corpus.runs[m]).is_empty();
            scored(treatment) && scored(baseline)
        })
        .filter(|&m| corpus.design != Design::Isoflop || corpus.aggregate[m].is_finite())
        .collect();
    let plan = design::plan(corpus, &members, options)?;
    let side = |d: usize| Side::new(corpus, &plan, d, &cluster_ids[d], options);
    let (t, b) = (side(treatment)?, side(baseline)?);
    let pre_onset = [&t, &b]
        .into_iter()
        .filter_map(|s| s.data.as_ref())
        .any(|c| c.pre_onset);
    // The baseline's own law comes with its first pair.
    for (d, s) in [(treatment, &t), (baseline, &b)] {
        let known = rates
            .rates
            .iter()
            .any(|r| r.corpus == corpus.name && r.distribution == scores[d].name());
        if s.data.is_some() && !known {
            let law = rate_law(corpus, &plan, d, s, options)?;
            rates.rates.push(law);
        }
    }
    let both = combine(&plan, &t, Some(&b), options)?;
    let delta_beta = both.estimate(1, options);
    let gamma = both.estimate(0, options);
    finite(&[delta_beta, gamma], scores[treatment].name())?;
    let margin = options.margin();
    rates.laws.push(CountsLaw {
        corpus: corpus.name.into(),
        treatment: scores[treatment].name().into(),
        baseline: scores[baseline].name().into(),
        design: plan.design,
        delta_beta,
        gamma: gamma.interval().map(diag::exp),
        reference_flops: diag::exp(plan.origin),
        run_variance: both.run[1],
        item_variance: both.item.map(|v| v[1]),
        holm_p: 1.0,
        equivalence: Equivalence {
            margin_percent: options.margin_percent,
            margin,
            p_value: delta_beta.equivalence_p(margin),
            holm_p: 1.0,
        },
        pre_onset,
        verdict: Verdict::Inconclusive,
    });
    let end = |f: fn(f64, f64) -> f64, from: f64| plan.x.iter().copied().fold(from, f);
    rates.ends.push([
        end(f64::min, f64::INFINITY),
        end(f64::max, f64::NEG_INFINITY),
    ]);
    Ok(())
}

fn rate_law(
    corpus: &Corpus<'_>,
    plan: &Plan,
    distribution: usize,
    side: &Side,
    options: &Options,
) -> Result<RateLaw, FitError> {
    let name = corpus.ladder.scores()[distribution].name();
    let Some(data) = &side.data else {
        return Err(FitError::Unknown {
            what: "error rate",
            name: name.into(),
            known: options.error_rates.iter().cloned().collect(),
        });
    };
    let own = combine(plan, side, None, options)?;
    let (slope, level) = (own.estimate(1, options), own.estimate(0, options));
    finite(&[slope, level], name)?;
    Ok(RateLaw {
        corpus: corpus.name.into(),
        distribution: name.into(),
        beta: Estimate {
            value: -slope.value,
            lower: -slope.upper,
            upper: -slope.lower,
            ..slope
        },
        alpha: level.interval().map(diag::exp),
        reference_flops: diag::exp(plan.origin),
        dispersion: data.dispersion,
        runs: data.runs,
        zeros: data.zeros,
        ceiling: data.ceiling,
        below_ceiling: data.below_ceiling,
        above_ceiling: data.above_ceiling,
        pre_onset: data.pre_onset,
    })
}

/// What a result may hold.
fn finite(estimates: &[Estimate], name: &str) -> Result<(), FitError> {
    let sound = estimates.iter().all(|e| {
        let numbers = [e.value, e.lower, e.upper, e.standard_error, e.df];
        numbers.iter().all(|v| v.is_finite()) && e.value.abs() < 600.0
    });
    if sound {
        Ok(())
    } else {
        Err(FitError::Unsupported {
            reason: format!("the counts of {name:?} give no finite result"),
        })
    }
}

/// What is known of an error rate beside its line.
struct Data {
    dispersion: f64,
    runs: usize,
    zeros: usize,
    ceiling: Option<f64>,
    below_ceiling: Option<usize>,
    above_ceiling: Option<usize>,
    pre_onset: bool,
}

/// One distribution over the runs of a plan.
struct Side {
    /// Level and exponent of `ln E`.
    line: [f64; 2],
    shape: Shape,
    /// Item pulls on level and exponent by ladder-wide cluster, scaled by √((G − 1)/G).
    pulls: Option<BTreeMap<usize, [f64; 2]>>,
    data: Option<Data>,
}

enum Shape {
    Equation(Equation),
    Readings {
        main: (Vec<f64>, f64),
        check: Option<(Vec<f64>, f64)>,
    },
}

/// A regression over runs, of counts or of logarithms.
struct Equation {
    coefficients: Vec<f64>,
    inverse: DMatrix<f64>,
    root_weights: Vec<f64>,
    residuals: Vec<f64>,
}

/// Counts of one distribution: (wrong, items) by run of the corpus and complete cluster.
struct Counts {
    cells: Vec<Vec<(f64, f64)>>,
    total: Vec<(f64, f64)>,
    clusters: Vec<usize>,
}

impl Counts {
    fn new(corpus: &Corpus<'_>, distribution: usize, runs: &[usize]) -> Result<Self, FitError> {
        let scores = &corpus.ladder.scores()[distribution];
        let name = scores.name();
        let by_run: Vec<_> = runs.iter().map(|&m| scores.run(corpus.runs[m])).collect();
        let (clusters, _) = complete_clusters(&by_run);
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
        for (&m, row) in runs.iter().zip(&by_run) {
            for c in row
                .iter()
                .filter(|c| clusters.binary_search(&c.cluster).is_ok())
            {
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
                cells[m].push((c.loss.min(c.weight), c.weight));
            }
            total[m] = cells[m]
                .iter()
                .fold((0.0, 0.0), |t, c| (t.0 + c.0, t.1 + c.1));
        }
        Ok(Self {
            cells,
            total,
            clusters,
        })
    }

    /// The counts without one cluster.
    fn without(&self, g: usize) -> Vec<(f64, f64)> {
        self.total
            .iter()
            .zip(&self.cells)
            .map(|(t, cells)| match cells.get(g) {
                Some(c) => ((t.0 - c.0).max(0.0), t.1 - c.1),
                None => *t,
            })
            .map(|(w, m)| (w.min(m), m))
            .collect()
    }
}

impl Side {
    fn new(
        corpus: &Corpus<'_>,
        plan: &Plan,
        distribution: usize,
        ids: &[usize],
        options: &Options,
    ) -> Result<Self, FitError> {
        let name = corpus.ladder.scores()[distribution].name();
        let runs: Vec<usize> = plan.groups.iter().flat_map(|g| g.members.clone()).collect();
        if !options.error_rates.contains(name) {
            return Self::logarithms(corpus, plan, distribution, ids, &runs);
        }
        let counts = Counts::new(corpus, distribution, &runs)?;
        let (shape, dispersion, fitted) = shape(corpus, plan, &runs, &counts.total)?;
        let line = line(plan, &shape);
        let g = counts.clusters.len();
        let moved: Option<Vec<[f64; 2]>> = (g > 1 && options.items == Items::Population)
            .then(|| {
                (0..g)
                    .map(|g| {
                        let fit = self::shape(corpus, plan, &runs, &counts.without(g));
                        fit.ok().map(|f| self::line(plan, &f.0))
                    })
                    .collect()
            })
            .flatten();
        let pulls = moved.map(|m| pulls(&m, counts.clusters.iter().map(|&c| ids[c])));
        let total = |m: &usize| counts.total[*m];
        let ceiling = options.chance.get(name).copied();
        let below = |c: f64| {
            let below = |m: &&usize| {
                let (w, n) = total(m);
                let error = (dispersion.max(1.0) * c * (1.0 - c).max(0.0) / n).sqrt();
                c - w / n > 3.0 * error
            };
            runs.iter().filter(below).count()
        };
        let below_ceiling = ceiling.map(below);
        Ok(Self {
            line,
            shape,
            pulls,
            data: Some(Data {
                dispersion,
                runs: runs.len(),
                zeros: runs.iter().filter(|m| total(m).0 == 0.0).count(),
                ceiling,
                below_ceiling,
                above_ceiling: ceiling.map(|c| fitted.iter().filter(|f| **f > c).count()),
                pre_onset: below_ceiling.is_some_and(|n| n < runs.len().min(4)),
            }),
        })
    }

    /// A distribution whose loss is no rate, in the same form.
    fn logarithms(
        corpus: &Corpus<'_>,
        plan: &Plan,
        distribution: usize,
        ids: &[usize],
        runs: &[usize],
    ) -> Result<Self, FitError> {
        let losses = corpus.losses(distribution)?;
        let shape = |y: &[f64]| -> Result<Shape, FitError> {
            if plan.design == Design::Isoflop {
                let read = |r: &Readout| (r.readings(y), r.mean_slope(y));
                return Ok(Shape::Readings {
                    main: read(plan.main()),
                    check: plan.check.map(|c| read(&plan.readouts[c])),
                });
            }
            let columns = columns(plan, runs);
            let borrowed: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let values: Vec<f64> = runs.iter().map(|&m| y[m]).collect();
            let fit = LinearFit::new(&borrowed, &values)?;
            let x = DMatrix::from_fn(runs.len(), columns.len(), |r, k| columns[k][r]);
            let inverse = (x.transpose() * x).try_inverse();
            Ok(Shape::Equation(Equation {
                coefficients: fit.coefficients().to_vec(),
                inverse: inverse.ok_or_else(|| FitError::Singular {
                    what: "a line through the runs".into(),
                })?,
                root_weights: vec![1.0; runs.len()],
                residuals: fit.residuals().to_vec(),
            }))
        };
        let own = shape(&losses.log_error)?;
        let n = corpus.runs.len();
        let moved: Result<Vec<[f64; 2]>, FitError> = losses
            .without
            .chunks_exact(n)
            .map(|y| Ok(line(plan, &shape(y)?)))
            .collect();
        let moved = moved.ok().filter(|m| m.len() > 1);
        Ok(Self {
            line: line(plan, &own),
            shape: own,
            pulls: moved.map(|m| pulls(&m, losses.clusters.iter().map(|&c| ids[c]))),
            data: None,
        })
    }
}

/// Centred leave-one-out values, times √((G − 1)/G).
fn pulls(moved: &[[f64; 2]], ids: impl Iterator<Item = usize>) -> BTreeMap<usize, [f64; 2]> {
    let g = moved.len() as f64;
    let mean = [0, 1].map(|k| moved.iter().map(|m| m[k]).sum::<f64>() / g);
    let scale = ((g - 1.0) / g).sqrt();
    ids.zip(moved)
        .map(|(id, m)| (id, [0, 1].map(|k| scale * (m[k] - mean[k]))))
        .collect()
}

/// Columns of the regression over runs, in the order of `runs`.
fn columns(plan: &Plan, runs: &[usize]) -> Vec<Vec<f64>> {
    let width = runs.first().map_or(0, |&m| plan.run_design[m].len());
    (0..width)
        .map(|k| runs.iter().map(|&m| plan.run_design[m][k]).collect())
        .collect()
}

/// The fit of counts with its dispersion and fitted rates.
fn shape(
    corpus: &Corpus<'_>,
    plan: &Plan,
    runs: &[usize],
    counts: &[(f64, f64)],
) -> Result<(Shape, f64, Vec<f64>), FitError> {
    if plan.design == Design::Isoflop {
        let (main, dispersion) = profiles(corpus, plan.main(), counts)?;
        let check = plan
            .check
            .map(|c| profiles(corpus, &plan.readouts[c], counts).map(|f| f.0))
            .transpose()?;
        let fitted = main.0.iter().map(|f| libm::exp(*f)).collect();
        return Ok((Shape::Readings { main, check }, dispersion, fitted));
    }
    let columns = columns(plan, runs);
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let wrong: Vec<f64> = runs.iter().map(|&m| counts[m].0).collect();
    let items: Vec<f64> = runs.iter().map(|&m| counts[m].1).collect();
    let CountsFit {
        coefficients,
        dispersion,
        rates,
        residuals,
        root_weights,
        inverse,
        ..
    } = fit_counts(&columns, &wrong, &items)?;
    let equation = Equation {
        coefficients,
        inverse,
        root_weights,
        residuals,
    };
    Ok((Shape::Equation(equation), dispersion, rates))
}

/// Readings of the size profiles of all budgets with their mean slope along ln N, and the pooled
/// dispersion (1 where every budget is its best run).
fn profiles(
    corpus: &Corpus<'_>,
    readout: &Readout,
    counts: &[(f64, f64)],
) -> Result<((Vec<f64>, f64), f64), FitError> {
    let mut readings = Vec::with_capacity(readout.bowls.len());
    let (mut slope, mut chi2, mut df) = (0.0, 0.0, 0.0);
    for (bowl, at) in readout.bowls.iter().zip(&readout.read_at) {
        let Some(poly) = &bowl.poly else {
            let sum = bowl
                .members
                .iter()
                .fold((0.0, 0.0), |t, &m| (t.0 + counts[m].0, t.1 + counts[m].1));
            let value = libm::log(sum.0 / sum.1);
            if !value.is_finite() {
                return Err(FitError::Unsupported {
                    reason: "the best run of a budget makes no error".into(),
                });
            }
            readings.push(value);
            continue;
        };
        let scale = (bowl.high - bowl.low).max(1e-9);
        let columns: Vec<Vec<f64>> = (0..poly.terms() as i32)
            .map(|k| {
                let z = |&m: &usize| ((corpus.size[m] - at) / scale).powi(k);
                bowl.members.iter().map(z).collect()
            })
            .collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let wrong: Vec<f64> = bowl.members.iter().map(|&m| counts[m].0).collect();
        let items: Vec<f64> = bowl.members.iter().map(|&m| counts[m].1).collect();
        let fit = fit_counts(&columns, &wrong, &items)?;
        readings.push(fit.coefficients[0]);
        slope += fit.coefficients[1] / scale / readout.bowls.len() as f64;
        chi2 += fit.dispersion * fit.df as f64;
        df += fit.df as f64;
    }
    Ok(((readings, slope), if df > 0.0 { chi2 / df } else { 1.0 }))
}

/// Level and exponent.
fn line(plan: &Plan, shape: &Shape) -> [f64; 2] {
    match shape {
        Shape::Equation(e) => [e.coefficients[0], e.coefficients[1]],
        Shape::Readings { main, .. } => {
            let stage = &plan.main().stage;
            [0, 1].map(|k| stage.coefficient(k, &main.0))
        }
    }
}

/// One or two sides as a line with variances of level and exponent.
struct Combined {
    line: [f64; 2],
    run: [f64; 2],
    run_df: f64,
    item: Option<[f64; 2]>,
    item_df: f64,
}

impl Combined {
    fn estimate(&self, k: usize, options: &Options) -> Estimate {
        let item = match options.items {
            Items::Population => self.item.map_or(0.0, |v| v[k]),
            Items::Fixed => 0.0,
        };
        let total = self.run[k] + item;
        let spread = self.run[k] * self.run[k] / self.run_df + item * item / self.item_df;
        let df = if spread > 0.0 {
            (total * total / spread).clamp(1.0, 1e6)
        } else {
            self.run_df
        };
        Estimate::new(self.line[k], total, df, options.alpha)
    }
}

fn combine(
    plan: &Plan,
    t: &Side,
    b: Option<&Side>,
    options: &Options,
) -> Result<Combined, FitError> {
    let minus = |k: usize| b.map_or(0.0, |b| b.line[k]);
    let line = [0, 1].map(|k| t.line[k] - minus(k));
    let (run, run_df) = match (&t.shape, b.map(|b| &b.shape)) {
        (Shape::Equation(t), None) => equations(plan, t, None),
        (Shape::Equation(t), Some(Shape::Equation(b))) => equations(plan, t, Some(b)),
        (Shape::Readings { main, check }, other) => {
            let less = |a: &(Vec<f64>, f64), b: Option<&(Vec<f64>, f64)>| match b {
                None => a.clone(),
                Some(b) => (
                    a.0.iter().zip(&b.0).map(|(a, b)| a - b).collect(),
                    a.1 - b.1,
                ),
            };
            let (other_main, other_check) = match other {
                Some(Shape::Readings { main, check }) => (Some(main), check.as_ref()),
                _ => (None, None),
            };
            let readout = plan.main();
            let (readings, slope) = less(main, other_main);
            let fitted = fit_readings(&readout.stage, readings, frontier_variance(readout, slope))?;
            let mut run = [
                fitted.run.level + fitted.frontier.level,
                fitted.run.slope + fitted.frontier.slope,
            ];
            if let (true, Some(c), Some(check)) = (options.specification_term, plan.check, check) {
                let stage = &plan.readouts[c].stage;
                let (readings, _) = less(check, other_check);
                run[0] += (stage.coefficient(0, &readings) - fitted.level).powi(2);
                run[1] += (stage.coefficient(1, &readings) - fitted.slope).powi(2);
            }
            (run, fitted.run_df[1])
        }
        (Shape::Equation(_), Some(Shape::Readings { .. })) => {
            return Err(FitError::Unsupported {
                reason: "two sides of one plan read in two ways".into(),
            });
        }
    };
    let sides = [Some((t, 1.0)), b.map(|b| (b, -1.0))];
    let mut sum: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
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
            (0..2).for_each(|k| e[k] += sign * pull[k]);
        }
    }
    let variance = [0, 1].map(|k| sum.values().map(|v| v[k] * v[k]).sum::<f64>());
    Ok(Combined {
        line,
        run,
        run_df,
        item: known.then_some(variance),
        item_df: (fewest.saturating_sub(1)).clamp(1, 1_000_000) as f64,
    })
}

/// Variances of level and exponent of one regression, or of the difference of two over the same runs,
/// and their degrees of freedom.
fn equations(plan: &Plan, t: &Equation, b: Option<&Equation>) -> ([f64; 2], f64) {
    let runs: Vec<usize> = plan.groups.iter().flat_map(|g| g.members.clone()).collect();
    let columns = columns(plan, &runs);
    let (n, p) = (runs.len(), columns.len());
    let x = DMatrix::from_fn(n, p, |r, k| columns[k][r]);
    let left = (n - p) as f64;
    // Influence of a unit residual of each run on the coefficients.
    let weight = |e: &Equation| {
        let mut rows = &x * &e.inverse;
        for (r, w) in e.root_weights.iter().enumerate() {
            rows.row_mut(r).scale_mut(*w);
        }
        rows
    };
    // Clusters are those of readings, which may be means over replicates.
    let of_readings = plan.main().stage.clusters();
    let clusters: Vec<usize> = (of_readings.iter().zip(&plan.groups))
        .flat_map(|(c, g)| std::iter::repeat_n(*c, g.members.len()))
        .collect();
    let (rows_t, rows_b) = (weight(t), b.map(weight));
    if clusters.is_empty() {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let form = |one: (&Equation, &DMatrix<f64>), two: (&Equation, &DMatrix<f64>), k: usize| {
            let dispersion = product(&one.0.residuals, &two.0.residuals) / left;
            dispersion * one.1.column(k).dot(&two.1.column(k))
        };
        let variance = [0, 1].map(|k| {
            let own = form((t, &rows_t), (t, &rows_t), k);
            match (b, &rows_b) {
                (Some(b), Some(rows)) => {
                    let cross = form((t, &rows_t), (b, rows), k);
                    (own + form((b, rows), (b, rows), k) - 2.0 * cross).max(0.0)
                }
                _ => own,
            }
        });
        return (variance, left);
    }
    // Checkpoints of one training run share their noise.
    let groups = clusters.iter().max().map_or(1, |m| m + 1);
    let mut sums = vec![[0.0; 2]; groups];
    for r in 0..n {
        for (k, sum) in sums[clusters[r]].iter_mut().enumerate() {
            *sum += rows_t[(r, k)] * t.residuals[r];
            if let (Some(b), Some(rows)) = (b, &rows_b) {
                *sum -= rows[(r, k)] * b.residuals[r];
            }
        }
    }
    let g = groups as f64;
    let factor = g / (g - 1.0).max(1.0) * (n as f64 - 1.0) / left;
    let variance = [0, 1].map(|k| factor * sums.iter().map(|s| s[k] * s[k]).sum::<f64>());
    (variance, (g - 1.0).max(1.0))
}
