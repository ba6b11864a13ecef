//! From runs to readings: one log error ratio per scale, linear in the log errors of the runs.
//!
//! For any design of the ladder the result is a [`Readout`]: a sparse matrix `L` with readings
//! `f = L y` for any per-run scalar `y`, and a small regression of `f` on the scale. Exponents, levels,
//! contrasts and item influences are then weights over runs, `δ̂ = Σ_r W_r y_r`.

mod grid;
mod isoflop;
mod profile;
mod regression;
mod robust;
mod rungs;

use std::collections::BTreeMap;

use super::corpus::Corpus;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, PerCoefficient};
use super::options::{CovarianceType, Options, Weighting};
use super::stats::labels;
use super::stats::regression::Line;

pub(crate) use self::isoflop::read_by;
pub use self::profile::ProfileFit;
pub(crate) use self::profile::SizeProfile;
pub(crate) use self::regression::{ReadingRegression, Scatter};

/// All rules of reading one corpus over one set of runs.
#[derive(Debug, Clone)]
pub(crate) struct ReadingPlan {
    pub(crate) design: Design,
    pub(crate) groups: Vec<Group>,
    /// Log scale at which levels are quoted: the mean over readings.
    pub(crate) origin: f64,
    /// Centred log scale per reading.
    pub(crate) x: Vec<f64>,
    pub(crate) readouts: Vec<Readout>,
    /// Index of the readout that laws use.
    pub(crate) main: usize,
    /// Index of the readout that the specification term compares with.
    pub(crate) check: Option<usize>,
    /// Budgets that could not be read, with the reason.
    pub(crate) refused: Vec<(f64, String)>,
    /// Per run: its row of the regression around which item-by-run noise is taken; empty for runs that
    /// are not used.
    pub(crate) run_design: Vec<Vec<f64>>,
    /// `ln(D/N)` at which a grid is read.
    pub(crate) ratio: Option<f64>,
}

impl ReadingPlan {
    /// Plans the reading of `corpus` over the runs at `members` (positions).
    pub(crate) fn new(
        corpus: &Corpus<'_>,
        members: &[usize],
        options: &Options,
    ) -> Result<Self, FitError> {
        let plan = match corpus.design {
            Design::Isoflop => isoflop::plan(corpus, members, options),
            Design::Rungs => rungs::plan(corpus, members, options),
            Design::Grid => grid::plan(corpus, members, options),
        }?;
        if options.covariance == CovarianceType::Ar1 {
            plan.check_order(corpus)?;
        }
        Ok(plan)
    }

    /// Refuses readings of which none has a neighbour, or too few to say how neighbours are correlated.
    fn check_order(&self, corpus: &Corpus<'_>) -> Result<(), FitError> {
        if !self.has_order() {
            return Err(FitError::Unsupported {
                reason: format!(
                    "the runs of corpus {:?} form a grid and have no order for the covariance ar1: \
                     name the training runs of checkpoints in the column trajectory",
                    corpus.name
                ),
            });
        }
        match self.x.len() {
            n if n < FEWEST_SERIAL => Err(too_few(
                corpus,
                "readings for the covariance ar1",
                n,
                FEWEST_SERIAL,
            )),
            _ => Ok(()),
        }
    }

    /// If true, neighbours among the readings are neighbours along the scale or in one training run.
    pub(crate) fn has_order(&self) -> bool {
        self.design != Design::Grid || !self.main().regression.clusters().is_empty()
    }

    pub(crate) fn main(&self) -> &Readout {
        &self.readouts[self.main]
    }

    pub(crate) fn check(&self) -> Option<&Readout> {
        self.check.map(|c| &self.readouts[c])
    }

    pub(crate) fn scales(&self) -> Vec<f64> {
        self.x.iter().map(|x| libm::exp(self.origin + x)).collect()
    }

    /// Mean number of distinct sizes per budget; infinite where readings are not made from size
    /// profiles. `size` holds `ln N` per run of the corpus.
    pub(crate) fn sizes_per_reading(&self, size: &[f64]) -> f64 {
        match self.design {
            Design::Isoflop => {
                let sizes = (self.groups.iter()).map(|g| profile::distinct(&g.members, size));
                sizes.sum::<usize>() as f64 / self.groups.len().max(1) as f64
            }
            Design::Rungs | Design::Grid => f64::INFINITY,
        }
    }

    /// Positions of the runs read, group by group.
    pub(crate) fn runs(&self) -> Vec<usize> {
        self.groups.iter().flat_map(|g| g.members.clone()).collect()
    }
}

/// Fewest readings for an autocorrelation: with seven, its likelihood is nearly flat and intervals are
/// half as wide again whatever it is.
pub(crate) const FEWEST_SERIAL: usize = 8;

/// Runs that are read together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) budget: f64,
    /// Positions in the corpus.
    pub(crate) members: Vec<usize>,
    /// Mean log scale, not centred.
    pub(crate) log_scale: f64,
}

/// One rule of reading, and the regression of its readings.
#[derive(Debug, Clone)]
pub(crate) struct Readout {
    pub(crate) rule: &'static str,
    /// Per reading: weights of runs (positions in the corpus).
    pub(crate) rows: Vec<SparseRow>,
    /// Per reading: weights of runs in the slope along `ln N` at the point read.
    pub(crate) slopes: Vec<SparseRow>,
    pub(crate) regression: ReadingRegression,
    /// `ln N` read.
    pub(crate) read_at: Vec<f64>,
    /// The smoothed frontier, if the rule has one.
    pub(crate) frontier: Option<Frontier>,
    /// Per reading: the size profile it was read from; empty if the design has none.
    pub(crate) profiles: Vec<SizeProfile>,
}

/// Runs and their weights.
pub(crate) type SparseRow = Vec<(usize, f64)>;

/// Minima of the budgets and the line through them.
#[derive(Debug, Clone)]
pub(crate) struct Frontier {
    /// `ln N` of the minimum of each budget.
    pub(crate) minima: Vec<f64>,
    /// Per budget: true if the smoothed size lies within the sizes trained.
    pub(crate) inside: Vec<bool>,
    pub(crate) line: Line,
}

impl Readout {
    pub(crate) fn readings(&self, y: &[f64]) -> Vec<f64> {
        apply(&self.rows, y)
    }

    /// Mean over readings of the slope of `y` along `ln N`.
    pub(crate) fn mean_slope(&self, y: &[f64]) -> f64 {
        // The mean slope, because the error of the frontier moves all readings along their profiles
        // at once.
        let s = apply(&self.slopes, y);
        s.iter().sum::<f64>() / s.len().max(1) as f64
    }

    /// Weights over the runs of the corpus of level and slope.
    pub(crate) fn run_weights(&self, runs: usize) -> PerCoefficient<Vec<f64>> {
        PerCoefficient::from_fn(|coefficient| {
            let mut w = vec![0.0; runs];
            let readings = self.regression.weights_of(coefficient);
            for (q, row) in readings.iter().zip(&self.rows) {
                for &(r, v) in row {
                    w[r] += q * v;
                }
            }
            w
        })
    }

    /// Level or slope of the line through `readings`.
    pub(crate) fn coefficient(&self, coefficient: Coefficient, readings: &[f64]) -> f64 {
        self.regression.coefficient(coefficient, readings)
    }
}

fn apply(rows: &[SparseRow], y: &[f64]) -> Vec<f64> {
    rows.iter()
        .map(|row| row.iter().map(|&(r, v)| v * y[r]).sum())
        .collect()
}

/// Largest distance of a run's log scale from the mean of its budget, and of a log size from the next
/// of one size.
///
/// Logged FLOPs of one budget agree to better than 0.1 %, and rounded token counts to two percent.
pub(crate) const SPREAD: f64 = 0.02;

/// Largest distance of a run's log scale from the mean of its budget that is read at all; beyond
/// [`SPREAD`] it is flagged. Counts of a second convention are off by more.
const LARGEST_SPREAD: f64 = 0.1;

/// Groups `members` by the label of their budget, in ascending order, and by size within.
fn by_budget(corpus: &Corpus<'_>, members: &[usize]) -> Vec<Group> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for &m in members {
        // Positive floats sort like their bits.
        groups
            .entry(corpus.budget[m].to_bits())
            .or_default()
            .push(m);
    }
    groups
        .into_iter()
        .map(|(bits, mut members)| {
            members.sort_by(|&a, &b| corpus.size[a].total_cmp(&corpus.size[b]).then(a.cmp(&b)));
            (bits, members)
        })
        .map(|(bits, members)| Group {
            budget: f64::from_bits(bits),
            // The mean of what the runs really took, not the label, which may be a round number.
            log_scale: members.iter().map(|&m| corpus.log_scale[m]).sum::<f64>()
                / members.len() as f64,
            members,
        })
        .collect()
}

fn check_spread(corpus: &Corpus<'_>, groups: &[Group]) -> Result<(), FitError> {
    for g in groups {
        for &m in &g.members {
            if (corpus.log_scale[m] - g.log_scale).abs() > LARGEST_SPREAD {
                return Err(FitError::Unsupported {
                    reason: format!(
                        "run {:?} of corpus {:?} is {:.1}% away from the mean scale of budget {:e}: \
                         one budget holds one FLOP count, in one convention",
                        corpus.run_name(m),
                        corpus.name,
                        100.0 * libm::expm1(corpus.log_scale[m] - g.log_scale),
                        g.budget,
                    ),
                });
            }
        }
    }
    Ok(())
}

/// If true, the runs of some budget differ in scale by more than counts of one budget should.
pub(crate) fn spread_out(corpus: &Corpus<'_>, groups: &[Group]) -> bool {
    let off = |g: &Group, m: usize| (corpus.log_scale[m] - g.log_scale).abs();
    (groups.iter()).any(|g| g.members.iter().any(|&m| off(g, m) > SPREAD))
}

fn too_few(corpus: &Corpus<'_>, what: &str, found: usize, needed: usize) -> FitError {
    FitError::TooFew {
        what: format!("{what} of corpus {:?}", corpus.name),
        found,
        needed,
    }
}

/// Mean log scale and centred log scales.
fn centred(groups: &[Group]) -> (f64, Vec<f64>) {
    // The mean over readings, not the middle of the range: there level and slope are uncorrelated,
    // and γ is known best.
    let origin = groups.iter().map(|g| g.log_scale).sum::<f64>() / groups.len() as f64;
    (
        origin,
        groups.iter().map(|g| g.log_scale - origin).collect(),
    )
}

fn line_columns(x: &[f64]) -> Vec<Vec<f64>> {
    vec![vec![1.0; x.len()], x.to_vec()]
}

/// Relative design weights `1/h_j`, `h_j = Σ_r L_jr²`, if the options ask for them.
///
/// Up to a factor of three between the variances equal weights lose nothing that a simulation shows,
/// and keep the exact enumerations of the diagnostics.
fn reading_weights(rows: &[SparseRow], options: &Options) -> Vec<f64> {
    let h: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().map(|(_, v)| v * v).sum())
        .collect();
    let high = h.iter().copied().fold(0.0, f64::max);
    let low = h.iter().copied().fold(f64::INFINITY, f64::min);
    // A weight of 1/0 for a reading without runs would take the whole line.
    if options.weighting == Weighting::Design && high > 3.0 * low && low > 0.0 {
        h.iter().map(|v| high / v).collect()
    } else {
        vec![1.0; rows.len()]
    }
}

/// Cluster of each reading: checkpoints of one training run are one cluster. Empty if every reading
/// stands by itself.
fn trajectories(corpus: &Corpus<'_>, groups: &[Group]) -> Vec<usize> {
    let clusters = training_runs(corpus, groups);
    let number = labels::count(&clusters);
    // CR2 by singletons would be HC2, which is not what the default asks for. One cluster has no
    // variance at all: its readings scatter about the line of those training runs, which is flagged.
    if number == clusters.len() || number == 1 {
        return Vec::new();
    }
    clusters
}

/// Readings that have a training run in common, by themselves or by way of others, numbered from 0 in the
/// order of the first. Seeds that are averaged in one reading tie the readings of each together.
pub(crate) fn training_runs(corpus: &Corpus<'_>, groups: &[Group]) -> Vec<usize> {
    let name = |&member: &usize| corpus.ladder.runs()[corpus.runs[member]].training_run();
    let names = |group: &Group| group.members.iter().map(name).collect();
    labels::by_shared_keys(groups.iter().map(names))
}
