//! From runs to readings: one log error ratio per scale, linear in the log errors of the runs.
//!
//! Whatever the shape of the ladder, what leaves this module is a [`Readout`]: a sparse matrix `L`
//! with readings `f = L y` for any per-run scalar `y`, and a small regression of `f` on the scale.
//! Exponents, levels, contrasts and item influences are then weights over runs, `δ̂ = Σ_r W_r y_r`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ladder::{Cell, Ladder, Scores};

use super::error::FitError;
use super::frontier::{Bowl, NARROW, Profile, WIDE, argmin, bowl};
use super::inference::Stage;
use super::options::{Averaging, Axis, DesignChoice, OptimumRule, Options, Weighting};
use super::stats::regression::Line;

/// The design that a corpus was fitted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Design {
    /// Several sizes at every budget.
    Isoflop,
    /// One size at every budget.
    Rungs,
    /// Sizes crossed with training lengths.
    Grid,
}

impl Design {
    /// `isoflop`, `rungs` or `grid`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Isoflop => "isoflop",
            Self::Rungs => "rungs",
            Self::Grid => "grid",
        }
    }
}

/// Errors of one distribution over the runs of one corpus.
#[derive(Debug, Clone)]
pub(crate) struct Losses {
    /// Per run of the corpus; NaN where the run was not scored.
    pub(crate) log_error: Vec<f64>,
    /// Indices into the clusters of the ladder's distribution: those scored alike in all runs.
    pub(crate) clusters: Vec<usize>,
    /// Weight of each cluster, mean over runs.
    pub(crate) weights: Vec<f64>,
    /// Stratum of each cluster, counted from 0; no stratum has a single cluster.
    pub(crate) strata: Vec<usize>,
    /// `ln E` without cluster `g`, for which the rest of its stratum stands in, at `g * runs + r`;
    /// empty with fewer than two clusters or where an error vanishes.
    pub(crate) without: Vec<f64>,
    /// Clusters left out because some run lacks them or has another number of rows.
    pub(crate) dropped: usize,
}

/// One corpus of a ladder.
#[derive(Debug)]
pub(crate) struct Corpus<'a> {
    pub(crate) ladder: &'a Ladder,
    pub(crate) name: &'a str,
    /// Indices into the ladder's runs.
    pub(crate) runs: Vec<usize>,
    /// `ln` of the axis.
    pub(crate) log_scale: Vec<f64>,
    /// `ln N`.
    pub(crate) size: Vec<f64>,
    /// `ln(D/N)`.
    pub(crate) ratio: Vec<f64>,
    /// By index of the ladder's distributions; `None` where nothing is usable.
    pub(crate) losses: Vec<Option<Losses>>,
    /// Log aggregate loss; NaN where missing.
    pub(crate) aggregate: Vec<f64>,
    /// Whether the aggregate is a mean that contains the tested distributions.
    pub(crate) aggregate_from_tested: bool,
    /// Distributions in that mean.
    pub(crate) aggregate_members: Vec<usize>,
    pub(crate) design: Design,
}

/// Stratum of each cluster by its name. A single cluster says nothing about the spread of its
/// stratum: such strata are pooled, and a lone one joins the smallest of the others.
fn strata(names: &[&str]) -> Vec<usize> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (g, name) in names.iter().enumerate() {
        let stratum = name.split_once('/').map_or("", |(stratum, _)| stratum);
        members.entry(stratum).or_default().push(g);
    }
    let (single, mut several): (Vec<_>, Vec<_>) = members.into_values().partition(|m| m.len() == 1);
    let pooled = single.concat();
    match several.iter_mut().min_by_key(|m| m.len()) {
        Some(smallest) if pooled.len() == 1 => smallest.extend(pooled),
        _ if pooled.is_empty() => (),
        _ => several.push(pooled),
    }
    let mut of = vec![0; names.len()];
    for (h, members) in several.iter().enumerate() {
        members.iter().for_each(|&g| of[g] = h);
    }
    of
}

/// Number of clusters in each stratum.
pub(crate) fn stratum_sizes(strata: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; strata.iter().max().map_or(0, |h| h + 1)];
    strata.iter().for_each(|&h| sizes[h] += 1);
    sizes
}

type Pair = (f64, f64);

fn sum_pairs(pairs: impl Iterator<Item = Pair>) -> Pair {
    pairs.fold((0.0, 0.0), |t, p| (t.0 + p.0, t.1 + p.1))
}

/// `whole − part`, added up anew by `anew` where subtraction would lose digits because the part is
/// most of the whole.
fn without(whole: Pair, part: Pair, anew: impl FnOnce() -> Pair) -> Pair {
    if part.0 > 0.5 * whole.0 || part.1 > 0.5 * whole.1 {
        anew()
    } else {
        (whole.0 - part.0, whole.1 - part.1)
    }
}

/// The two sums of a run without each cluster in turn, the others of its stratum weighted up to stand
/// in for it. With one stratum that changes nothing of the ratio and is left out.
fn leave_one_out(pairs: &[Pair], strata: &[usize], sizes: &[usize]) -> Vec<Pair> {
    let total = sum_pairs(pairs.iter().copied());
    let of = |keep: &dyn Fn(usize) -> bool| {
        sum_pairs((0..pairs.len()).filter(|&i| keep(i)).map(|i| pairs[i]))
    };
    if sizes.len() < 2 {
        return (0..pairs.len())
            .map(|g| without(total, pairs[g], || of(&|i| i != g)))
            .collect();
    }
    let mut within = vec![(0.0, 0.0); sizes.len()];
    for (p, &h) in pairs.iter().zip(strata) {
        within[h] = (within[h].0 + p.0, within[h].1 + p.1);
    }
    let outside: Vec<Pair> = (0..sizes.len())
        .map(|h| without(total, within[h], || of(&|i| strata[i] != h)))
        .collect();
    (0..pairs.len())
        .map(|g| {
            let h = strata[g];
            let rest = without(within[h], pairs[g], || of(&|i| strata[i] == h && i != g));
            let n = sizes[h] as f64;
            let k = n / (n - 1.0);
            (outside[h].0 + k * rest.0, outside[h].1 + k * rest.1)
        })
        .collect()
}

/// Clusters present with one number of rows in every scored run, and how many are not.
pub(crate) fn complete_clusters(by_run: &[&[Cell]]) -> (Vec<usize>, usize) {
    let scored = by_run.iter().filter(|c| !c.is_empty()).count();
    let mut seen: BTreeMap<usize, (usize, u64, bool)> = BTreeMap::new();
    for cells in by_run {
        for c in *cells {
            let e = seen.entry(c.cluster).or_insert((0, c.rows, true));
            e.0 += 1;
            e.2 &= e.1 == c.rows;
        }
    }
    let complete = |n: &(usize, u64, bool)| n.0 == scored && n.2;
    let clusters: Vec<usize> = seen
        .iter()
        .filter(|(_, n)| complete(n))
        .map(|(&g, _)| g)
        .collect();
    let dropped = seen.len() - clusters.len();
    (clusters, dropped)
}

fn losses(
    scores: &Scores,
    runs: &[usize],
    averaging: Averaging,
    stratified: bool,
) -> Option<Losses> {
    let by_run: Vec<_> = runs.iter().map(|&r| scores.run(r)).collect();
    let scored = by_run.iter().filter(|c| !c.is_empty()).count();
    if scored == 0 {
        return None;
    }
    let (clusters, dropped) = complete_clusters(&by_run);
    if clusters.is_empty() {
        return None;
    }
    let (n, g) = (runs.len(), clusters.len());
    let mut log_error = vec![f64::NAN; n];
    let mut without = if g > 1 {
        vec![f64::NAN; n * g]
    } else {
        Vec::new()
    };
    let strata = if stratified {
        let names = scores.clusters();
        strata(
            &clusters
                .iter()
                .map(|&c| names[c].as_str())
                .collect::<Vec<_>>(),
        )
    } else {
        vec![0; g]
    };
    let sizes = stratum_sizes(&strata);
    let mut weights = vec![0.0; g];
    let mut usable = true;
    for (r, cells) in by_run.iter().enumerate() {
        if cells.is_empty() {
            continue;
        }
        let mut own = cells.iter().peekable();
        let kept: Vec<(f64, f64)> = clusters
            .iter()
            .filter_map(|&want| {
                while own.next_if(|c| c.cluster < want).is_some() {}
                own.next_if(|c| c.cluster == want)
                    .map(|c| (c.loss, c.weight))
            })
            .collect();
        for (w, k) in weights.iter_mut().zip(&kept) {
            *w += k.1 / scored as f64;
        }
        // Both averages are a ratio of sums of per-cluster pairs.
        let pairs: Vec<(f64, f64)> = match averaging {
            Averaging::Micro => kept,
            Averaging::Macro => kept.iter().map(|k| (k.0 / k.1, 1.0)).collect(),
        };
        let total = sum_pairs(pairs.iter().copied());
        let value = libm::log(total.0 / total.1);
        if !value.is_finite() {
            return None;
        }
        log_error[r] = value;
        if without.is_empty() {
            continue;
        }
        for (i, rest) in leave_one_out(&pairs, &strata, &sizes)
            .into_iter()
            .enumerate()
        {
            let value = libm::log(rest.0 / rest.1);
            usable &= value.is_finite();
            without[i * n + r] = value;
        }
    }
    if !usable {
        without.clear();
    }
    Some(Losses {
        log_error,
        clusters,
        weights,
        strata,
        without,
        dropped,
    })
}

impl<'a> Corpus<'a> {
    pub(crate) fn new(
        ladder: &'a Ladder,
        name: &'a str,
        options: &Options,
    ) -> Result<Self, FitError> {
        let all = ladder.runs();
        let runs: Vec<usize> = (0..all.len()).filter(|&r| all[r].corpus == name).collect();
        let of = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
            runs.iter().map(|&r| libm::log(f(r))).collect()
        };
        let log_scale = of(&|r| match options.axis {
            Axis::Flops => all[r].flops,
            Axis::Params => all[r].params,
            Axis::Tokens => all[r].tokens,
        });
        let size = of(&|r| all[r].params);
        let tokens = of(&|r| all[r].tokens);
        let ratio: Vec<f64> = tokens.iter().zip(&size).map(|(d, n)| d - n).collect();
        let losses: Vec<Option<Losses>> = ladder
            .scores()
            .iter()
            .map(|s| {
                let stratified = options.stratified.iter().any(|n| n == s.name());
                losses(s, &runs, options.averaging, stratified)
            })
            .collect();
        let (aggregate, aggregate_members) = match &options.aggregate {
            Some(wanted) => {
                let at = position(ladder, wanted)?;
                let Some(l) = &losses[at] else {
                    return Err(FitError::Unsupported {
                        reason: format!("corpus {name:?} has no usable aggregate loss {wanted:?}"),
                    });
                };
                (l.log_error.clone(), vec![at])
            }
            None => {
                // Only distributions that every run has: a mean over another set of distributions
                // in some runs would move the optimum.
                let fitted = |r: usize| !all[runs[r]].held_out;
                let everywhere = |l: &Losses| {
                    let of = l.log_error.iter().enumerate();
                    of.filter(|(r, _)| fitted(*r)).all(|(_, v)| v.is_finite())
                };
                let members: Vec<usize> = (0..losses.len())
                    .filter(|&d| losses[d].as_ref().is_some_and(everywhere))
                    // A bounded error has no place in a mean of logarithms.
                    .filter(|&d| !options.error_rates.contains(ladder.scores()[d].name()))
                    .collect();
                (mean_log(&losses, &members, runs.len()), members)
            }
        };
        let design = match options.design {
            DesignChoice::Auto => detect(ladder, &runs),
            DesignChoice::Isoflop => Design::Isoflop,
            DesignChoice::Rungs => Design::Rungs,
            DesignChoice::Grid => Design::Grid,
        };
        if design == Design::Isoflop && options.axis != Axis::Flops {
            return Err(FitError::Unsupported {
                reason: "an IsoFLOP ladder is scaled along FLOPs".into(),
            });
        }
        Ok(Self {
            ladder,
            name,
            runs,
            log_scale,
            size,
            ratio,
            losses,
            aggregate,
            aggregate_from_tested: options.aggregate.is_none(),
            aggregate_members,
            design,
        })
    }

    pub(crate) fn losses(&self, distribution: usize) -> Result<&Losses, FitError> {
        let found = self.losses.get(distribution).and_then(Option::as_ref);
        found.ok_or_else(|| {
            let scores = self.ladder.scores().get(distribution);
            let name = scores.map_or("", Scores::name);
            let without_error = |r: &usize| {
                let cells = scores.map_or(&[][..], |s| s.run(*r));
                !cells.is_empty() && cells.iter().all(|c| c.loss == 0.0)
            };
            let reason = match self.runs.iter().position(without_error) {
                Some(r) => format!(
                    "the error of run {:?} on {name:?} is zero and has no logarithm: only an error \
                     rate, declared as one, may vanish",
                    self.run_name(r)
                ),
                None => format!(
                    "corpus {:?} has no cluster of {name:?} scored in all of its runs",
                    self.name
                ),
            };
            FitError::Unsupported { reason }
        })
    }

    pub(crate) fn held_out(&self, position: usize) -> bool {
        let run = self
            .runs
            .get(position)
            .and_then(|&r| self.ladder.runs().get(r));
        run.is_some_and(|r| r.held_out)
    }

    pub(crate) fn run_name(&self, position: usize) -> &str {
        let run = self
            .runs
            .get(position)
            .and_then(|&r| self.ladder.runs().get(r));
        run.map_or("", |r| &r.id)
    }
}

pub(crate) fn mean_log(losses: &[Option<Losses>], members: &[usize], runs: usize) -> Vec<f64> {
    let n = members.len() as f64;
    (0..runs)
        .map(|r| {
            let value = |&d: &usize| losses[d].as_ref().map_or(f64::NAN, |l| l.log_error[r]);
            members.iter().map(value).sum::<f64>() / n
        })
        .collect()
}

pub(crate) fn position(ladder: &Ladder, distribution: &str) -> Result<usize, FitError> {
    ladder
        .scores()
        .iter()
        .position(|s| s.name() == distribution)
        .ok_or_else(|| FitError::Unknown {
            what: "distribution",
            name: distribution.into(),
            known: ladder.distributions().map(Into::into).collect(),
        })
}

/// IsoFLOP where at least three budgets hold at least three sizes each and most runs; a grid where at
/// least two sizes were trained for several lengths; rungs otherwise.
fn detect(ladder: &Ladder, runs: &[usize]) -> Design {
    let all = ladder.runs();
    let mut budgets: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut sizes: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for &r in runs.iter().filter(|&&r| !all[r].held_out) {
        let run = &all[r];
        budgets
            .entry(run.budget.to_bits())
            .or_default()
            .push(run.params);
        sizes
            .entry(run.params.to_bits())
            .or_default()
            .push(run.tokens);
    }
    let spread = |v: &Vec<f64>, tolerance: f64| {
        let mut v = v.clone();
        v.sort_by(f64::total_cmp);
        v.dedup_by(|a, b| (*a / *b - 1.0).abs() <= tolerance);
        v.len()
    };
    let wide: Vec<usize> = budgets
        .values()
        .map(|v| spread(v, 1e-9))
        .filter(|&k| k >= 3)
        .collect();
    let covered: usize = wide.iter().sum();
    if wide.len() >= 3 && 2 * covered >= runs.len() {
        Design::Isoflop
    } else if sizes.len() >= 2 && sizes.values().filter(|v| spread(v, 0.02) >= 2).count() >= 2 {
        Design::Grid
    } else {
        Design::Rungs
    }
}

/// Runs that are read together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) budget: f64,
    /// Positions in the corpus.
    pub(crate) members: Vec<usize>,
    /// Mean log scale, not centred.
    pub(crate) log_scale: f64,
}

/// One rule for reading, and the regression of its readings.
#[derive(Debug, Clone)]
pub(crate) struct Readout {
    pub(crate) rule: &'static str,
    /// Per reading: weights of runs (positions in the corpus).
    pub(crate) rows: Vec<Vec<(usize, f64)>>,
    /// Per reading: the same for the slope along `ln N` at the point read.
    pub(crate) slopes: Vec<Vec<(usize, f64)>>,
    pub(crate) stage: Stage,
    /// `ln N` read, where there is one.
    pub(crate) read_at: Vec<f64>,
    /// The smoothed frontier, where the rule has one.
    pub(crate) frontier: Option<Frontier>,
    /// Per reading: the size profile it was read from; empty where the design has none.
    pub(crate) bowls: Vec<Bowl>,
}

impl Readout {
    pub(crate) fn readings(&self, y: &[f64]) -> Vec<f64> {
        apply(&self.rows, y)
    }
    pub(crate) fn mean_slope(&self, y: &[f64]) -> f64 {
        let s = apply(&self.slopes, y);
        s.iter().sum::<f64>() / s.len().max(1) as f64
    }
    /// Weights over the runs of the corpus of the level (0) or the exponent (1).
    pub(crate) fn run_weights(&self, coefficient: usize, runs: usize) -> Vec<f64> {
        let mut w = vec![0.0; runs];
        for (q, row) in self.stage.weights_of(coefficient).iter().zip(&self.rows) {
            for &(r, v) in row {
                w[r] += q * v;
            }
        }
        w
    }
}

fn apply(rows: &[Vec<(usize, f64)>], y: &[f64]) -> Vec<f64> {
    rows.iter()
        .map(|row| row.iter().map(|&(r, v)| v * y[r]).sum())
        .collect()
}

/// Minima of the budgets and the line through them.
#[derive(Debug, Clone)]
pub(crate) struct Frontier {
    pub(crate) minima: Vec<f64>,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) inside: Vec<bool>,
    pub(crate) line: Line,
}

/// All rules of reading one corpus over one set of runs.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) design: Design,
    pub(crate) groups: Vec<Group>,
    /// Log scale at which levels are quoted: the mean over readings.
    pub(crate) origin: f64,
    /// Centred log scale per reading.
    pub(crate) x: Vec<f64>,
    pub(crate) readouts: Vec<Readout>,
    pub(crate) main: usize,
    /// The specification check.
    pub(crate) check: Option<usize>,
    /// Budgets that could not be read, with the reason.
    pub(crate) refused: Vec<(f64, String)>,
    /// Rows of the run-level regression that item-by-run noise is taken around; NaN rows for runs
    /// that are not used.
    pub(crate) run_design: Vec<Vec<f64>>,
    /// `ln(D/N)` at which a grid is read.
    pub(crate) ratio: Option<f64>,
}

impl Plan {
    pub(crate) fn main(&self) -> &Readout {
        &self.readouts[self.main]
    }
    pub(crate) fn scales(&self) -> Vec<f64> {
        self.x.iter().map(|x| libm::exp(self.origin + x)).collect()
    }
}

/// Rules for the sizes of one budget.
struct Rule {
    name: &'static str,
    window: f64,
    degree: usize,
    /// Degree with five sizes.
    five: usize,
    smooth: bool,
}

const SMOOTHED: Rule = Rule {
    name: "smoothed",
    window: WIDE,
    degree: 3,
    five: 2,
    smooth: true,
};
const CHECK: Rule = Rule {
    name: "narrow",
    window: NARROW,
    degree: 2,
    five: 2,
    smooth: true,
};
/// The check where the narrow window holds the sizes of the wide one: cubics through five sizes, which
/// the main rule reads by quadratics.
const CUBIC: Rule = Rule {
    name: "cubic",
    window: WIDE,
    degree: 3,
    five: 3,
    smooth: true,
};
const BEST: Rule = Rule {
    name: "best_run",
    window: -1.0,
    degree: 0,
    five: 0,
    smooth: false,
};
const PARABOLA: Rule = Rule {
    name: "parabola",
    window: f64::INFINITY,
    degree: 2,
    five: 2,
    smooth: false,
};

fn by_budget(corpus: &Corpus<'_>, members: &[usize]) -> Vec<Group> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for &m in members {
        // Positive floats sort like their bits.
        let budget = corpus.ladder.runs()[corpus.runs[m]].budget;
        groups.entry(budget.to_bits()).or_default().push(m);
    }
    groups
        .into_iter()
        .map(|(bits, members)| Group {
            budget: f64::from_bits(bits),
            log_scale: members.iter().map(|&m| corpus.log_scale[m]).sum::<f64>()
                / members.len() as f64,
            members,
        })
        .collect()
}

fn check_spread(corpus: &Corpus<'_>, groups: &[Group]) -> Result<(), FitError> {
    for g in groups {
        for &m in &g.members {
            if (corpus.log_scale[m] - g.log_scale).abs() > 0.02 {
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

fn too_few(corpus: &Corpus<'_>, what: &str, found: usize, needed: usize) -> FitError {
    FitError::TooFew {
        what: format!("{what} of corpus {:?}", corpus.name),
        found,
        needed,
    }
}

/// Centred scales and their mean.
fn centred(groups: &[Group]) -> (f64, Vec<f64>) {
    let origin = groups.iter().map(|g| g.log_scale).sum::<f64>() / groups.len() as f64;
    (
        origin,
        groups.iter().map(|g| g.log_scale - origin).collect(),
    )
}

/// Reads every group by one rule with the log aggregate losses `a`.
fn isoflop_readout(
    corpus: &Corpus<'_>,
    groups: &[Group],
    x: &[f64],
    a: &[f64],
    rule: &Rule,
    options: &Options,
) -> Result<Readout, FitError> {
    let bowls: Vec<_> = groups
        .iter()
        .filter_map(|g| {
            bowl(
                &g.members,
                &corpus.size,
                a,
                rule.window,
                [rule.five, rule.degree],
            )
        })
        .collect();
    let minima: Vec<f64> = bowls
        .iter()
        .zip(groups)
        .filter_map(|(b, g)| match b.minimum {
            // The check must exist wherever the main rule does, or a hard profile would shrink the
            // interval: the best run stands in for a vertex outside its narrow window.
            None if rule.name == CHECK.name || rule.name == CUBIC.name => {
                argmin(&g.members, a).map(|best| corpus.size[best])
            }
            minimum => minimum,
        })
        .collect();
    if minima.len() != groups.len() {
        return Err(too_few(
            corpus,
            "bracketed minima",
            minima.len(),
            groups.len(),
        ));
    }
    let frontier = Line::new(x, &minima)?;
    let mut rows = Vec::with_capacity(bowls.len());
    let mut slopes = Vec::with_capacity(bowls.len());
    let mut inside = Vec::with_capacity(bowls.len());
    let mut read_at = Vec::with_capacity(bowls.len());
    for ((b, &xj), &own) in bowls.iter().zip(x).zip(&minima) {
        let wanted = if rule.smooth {
            frontier.at(xj).value
        } else {
            own
        };
        let at = wanted.clamp(b.low, b.high);
        inside.push((wanted - at).abs() <= 1e-9);
        let sparse = |row: Vec<f64>| b.members.iter().copied().zip(row).collect::<Vec<_>>();
        match &b.poly {
            None => {
                rows.push(sparse(vec![1.0]));
                slopes.push(Vec::new());
                read_at.push(own);
            }
            Some(poly) => {
                rows.push(sparse(poly.value_row(at)?));
                slopes.push(sparse(poly.slope_row(at)?));
                read_at.push(at);
            }
        }
    }
    Ok(Readout {
        rule: rule.name,
        stage: Stage::new(
            line_columns(x),
            reading_weights(&rows, options),
            Vec::new(),
            options,
        )?,
        rows,
        slopes,
        read_at,
        frontier: rule.smooth.then(|| Frontier {
            minima,
            profiles: bowls.iter().map(|b| b.profile).collect(),
            inside,
            line: frontier,
        }),
        bowls,
    })
}

fn line_columns(x: &[f64]) -> Vec<Vec<f64>> {
    vec![vec![1.0; x.len()], x.to_vec()]
}

/// Relative design weights `1/h_j`, `h_j = Σ_r L_jr²`, where asked for and unequal enough to matter.
fn reading_weights(rows: &[Vec<(usize, f64)>], options: &Options) -> Vec<f64> {
    let h: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().map(|(_, v)| v * v).sum())
        .collect();
    let high = h.iter().copied().fold(0.0, f64::max);
    let low = h.iter().copied().fold(f64::INFINITY, f64::min);
    if options.weighting == Weighting::Design && high > 3.0 * low && low > 0.0 {
        h.iter().map(|v| high / v).collect()
    } else {
        vec![1.0; rows.len()]
    }
}

fn isoflop(corpus: &Corpus<'_>, members: &[usize], options: &Options) -> Result<Plan, FitError> {
    let groups = by_budget(corpus, members);
    check_spread(corpus, &groups)?;
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for g in groups {
        let wide = bowl(&g.members, &corpus.size, &corpus.aggregate, WIDE, [2, 3]);
        match wide.and_then(|b| b.minimum) {
            Some(_) => kept.push(g),
            None => refused.push((
                g.budget,
                "the aggregate loss has no interior minimum over its sizes".to_owned(),
            )),
        }
    }
    if kept.len() < 3 {
        return Err(too_few(
            corpus,
            "budgets with a bracketed minimum",
            kept.len(),
            3,
        ));
    }
    let (origin, x) = centred(&kept);
    let read = |rule: &Rule| isoflop_readout(corpus, &kept, &x, &corpus.aggregate, rule, options);
    let mut readouts = vec![read(&SMOOTHED)?];
    // Rules beside the main one are reported where they exist; a narrow window or a parabola need
    // not have a minimum where the wide cubic has one.
    let mut index = BTreeMap::new();
    for rule in [&CHECK, &BEST, &PARABOLA] {
        if let Ok(r) = read(rule) {
            index.insert(rule.name, readouts.len());
            readouts.push(r);
        }
    }
    // With six sizes or fewer the narrow window may hold what the wide one does, and agree with it for
    // no other reason.
    let mut check = index.get(CHECK.name).copied();
    let alike = |c: usize| {
        let pairs = readouts[0].rows.iter().zip(&readouts[c].rows);
        2 * pairs.filter(|(a, b)| a == b).count() > kept.len()
    };
    if check.is_some_and(alike) {
        let other = read(&CUBIC).ok().filter(|r| r.rows != readouts[0].rows);
        check = other.map(|r| {
            readouts.push(r);
            readouts.len() - 1
        });
    }
    let missing = |name: &str| FitError::Unsupported {
        reason: format!(
            "corpus {:?} cannot be read by the rule {name:?}",
            corpus.name
        ),
    };
    let (main, check) = match options.optimum {
        OptimumRule::Smoothed => (0, check),
        OptimumRule::BestRun => (
            *index.get(BEST.name).ok_or_else(|| missing(BEST.name))?,
            None,
        ),
        OptimumRule::Parabola => (
            *index
                .get(PARABOLA.name)
                .ok_or_else(|| missing(PARABOLA.name))?,
            None,
        ),
    };
    let mut run_design = vec![Vec::new(); corpus.runs.len()];
    let frontier = readouts[0].frontier.as_ref().map(|f| f.line.clone());
    let full = kept.iter().map(|g| g.members.len()).sum::<usize>() >= 10;
    for (g, &xj) in kept.iter().zip(&x) {
        for &m in &g.members {
            let n = frontier
                .as_ref()
                .map_or(0.0, |f| corpus.size[m] - f.at(xj).value);
            run_design[m] = if full {
                vec![1.0, xj, n, n * n, n * n * n]
            } else {
                vec![1.0, xj]
            };
        }
    }
    Ok(Plan {
        design: Design::Isoflop,
        groups: kept,
        origin,
        x,
        readouts,
        main,
        check,
        refused,
        run_design,
        ratio: None,
    })
}

fn rungs(corpus: &Corpus<'_>, members: &[usize], options: &Options) -> Result<Plan, FitError> {
    let groups = by_budget(corpus, members);
    if groups.len() < 3 {
        return Err(too_few(corpus, "budgets", groups.len(), 3));
    }
    check_spread(corpus, &groups)?;
    for g in &groups {
        let first = g.members.first().map_or(0.0, |&m| corpus.size[m]);
        if let Some(&m) = g
            .members
            .iter()
            .find(|&&m| (corpus.size[m] - first).abs() > 0.02)
        {
            return Err(FitError::Unsupported {
                reason: format!(
                    "budget {:e} of corpus {:?} holds runs of several sizes (run {:?}): rungs have \
                     one size a budget, IsoFLOP three sizes or more in each of three budgets",
                    g.budget,
                    corpus.name,
                    corpus.run_name(m)
                ),
            });
        }
    }
    let (origin, x) = centred(&groups);
    let rows: Vec<Vec<(usize, f64)>> = groups
        .iter()
        .map(|g| {
            let share = 1.0 / g.members.len() as f64;
            g.members.iter().map(|&m| (m, share)).collect()
        })
        .collect();
    let mut run_design = vec![Vec::new(); corpus.runs.len()];
    for (g, &xj) in groups.iter().zip(&x) {
        for &m in &g.members {
            run_design[m] = vec![1.0, xj];
        }
    }
    let clusters = trajectories(corpus, groups.iter().map(|g| g.members.as_slice()));
    let readout = Readout {
        rule: "run",
        stage: Stage::new(
            line_columns(&x),
            reading_weights(&rows, options),
            clusters,
            options,
        )?,
        slopes: vec![Vec::new(); rows.len()],
        read_at: groups
            .iter()
            .map(|g| g.members.first().map_or(f64::NAN, |&m| corpus.size[m]))
            .collect(),
        rows,
        frontier: None,
        bowls: Vec::new(),
    };
    Ok(Plan {
        design: Design::Rungs,
        groups,
        origin,
        x,
        readouts: vec![readout],
        main: 0,
        check: None,
        refused: Vec::new(),
        run_design,
        ratio: None,
    })
}

/// Cluster of each reading: checkpoints of one training run are one cluster. Empty where every
/// reading stands by itself.
fn trajectories<'m>(
    corpus: &Corpus<'_>,
    readings: impl Iterator<Item = &'m [usize]>,
) -> Vec<usize> {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut clusters = Vec::new();
    for members in readings {
        let first = members
            .first()
            .map(|&m| &corpus.ladder.runs()[corpus.runs[m]]);
        let name = first.map_or("", |r| r.trajectory.as_deref().unwrap_or(&r.id));
        let next = ids.len();
        clusters.push(*ids.entry(name).or_insert(next));
    }
    if ids.len() == clusters.len() {
        clusters.clear();
    }
    clusters
}

/// Group of each of `members` by size; sizes within 2 % of the next are one.
fn by_size(corpus: &Corpus<'_>, members: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    let size = |i: usize| corpus.size[members[i]];
    order.sort_by(|&a, &b| size(a).total_cmp(&size(b)).then(a.cmp(&b)));
    let mut groups = vec![0; members.len()];
    for pair in order.windows(2) {
        let next = usize::from(size(pair[1]) - size(pair[0]) > 0.02);
        groups[pair[1]] = groups[pair[0]] + next;
    }
    groups
}

fn grid(corpus: &Corpus<'_>, members: &[usize], options: &Options) -> Result<Plan, FitError> {
    let groups: Vec<Group> = members
        .iter()
        .map(|&m| Group {
            budget: corpus.ladder.runs()[corpus.runs[m]].budget,
            members: vec![m],
            log_scale: corpus.log_scale[m],
        })
        .collect();
    if groups.len() < 5 {
        return Err(too_few(corpus, "runs of a grid", groups.len(), 5));
    }
    let (origin, x) = centred(&groups);
    let mean = members.iter().map(|&m| corpus.ratio[m]).sum::<f64>() / members.len() as f64;
    let reference = options.tokens_per_param.map_or(mean, libm::log);
    let d: Vec<f64> = members
        .iter()
        .map(|&m| corpus.ratio[m] - reference)
        .collect();
    let product =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let mut plane = line_columns(&x);
    plane.push(d.clone());
    let mut bent = plane.clone();
    bent.extend([product(&x, &x), product(&x, &d), product(&d, &d)]);
    let clusters = trajectories(corpus, groups.iter().map(|g| g.members.as_slice()));
    let rows: Vec<Vec<(usize, f64)>> = members.iter().map(|&m| vec![(m, 1.0)]).collect();
    let read = |rule: &'static str, columns: Vec<Vec<f64>>| -> Result<Readout, FitError> {
        Ok(Readout {
            rule,
            stage: Stage::new(columns, vec![1.0; members.len()], clusters.clone(), options)?
                .by_size(by_size(corpus, members)),
            rows: rows.clone(),
            slopes: vec![Vec::new(); members.len()],
            read_at: members.iter().map(|&m| corpus.size[m]).collect(),
            frontier: None,
            bowls: Vec::new(),
        })
    };
    let mut run_design = vec![Vec::new(); corpus.runs.len()];
    for (i, &m) in members.iter().enumerate() {
        run_design[m] = plane.iter().map(|c| c[i]).collect();
    }
    let mut readouts = vec![read("plane", plane)?];
    let check = read("quadratic", bent).ok().map(|r| {
        readouts.push(r);
        1
    });
    Ok(Plan {
        design: Design::Grid,
        groups,
        origin,
        x,
        readouts,
        main: 0,
        check,
        refused: Vec::new(),
        run_design,
        ratio: Some(reference),
    })
}

/// Plans the reading of `corpus` over the runs at `members` (positions).
pub(crate) fn plan(
    corpus: &Corpus<'_>,
    members: &[usize],
    options: &Options,
) -> Result<Plan, FitError> {
    match corpus.design {
        Design::Isoflop => isoflop(corpus, members, options),
        Design::Rungs => rungs(corpus, members, options),
        Design::Grid => grid(corpus, members, options),
    }
}

/// A smoothed read-out with another loss in the role of the aggregate.
pub(crate) fn read_by(
    corpus: &Corpus<'_>,
    plan: &Plan,
    a: &[f64],
    options: &Options,
) -> Result<Readout, FitError> {
    isoflop_readout(corpus, &plan.groups, &plan.x, a, &SMOOTHED, options)
}
