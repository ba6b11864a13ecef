//! Grids: sizes crossed with training lengths. Every run is a reading, and a data-per-parameter term
//! of the regression takes the place of an optimum.

use crate::fit::corpus::Corpus;
use crate::fit::design::Design;
use crate::fit::error::FitError;
use crate::fit::options::Options;
use crate::fit::stats::labels;

use super::{
    Group, ReadingPlan, ReadingRegression, Readout, SPREAD, SparseRow, centred, line_columns,
    too_few, trajectories,
};

/// Fewest runs: a plane has three terms, and two degrees of freedom are the least for an interval.
const FEWEST_RUNS: usize = 5;

pub(super) fn plan(
    corpus: &Corpus<'_>,
    members: &[usize],
    options: &Options,
) -> Result<ReadingPlan, FitError> {
    let groups: Vec<Group> = members
        .iter()
        .map(|&m| Group {
            budget: corpus.ladder.runs()[corpus.runs[m]].budget,
            members: vec![m],
            log_scale: corpus.log_scale[m],
        })
        .collect();
    if groups.len() < FEWEST_RUNS {
        return Err(too_few(corpus, "runs of a grid", groups.len(), FEWEST_RUNS));
    }
    let (origin, x) = centred(&groups);
    let mean = members.iter().map(|&m| corpus.ratio[m]).sum::<f64>() / members.len() as f64;
    // In the middle of the runs: elsewhere the law would be quoted by extrapolation in D/N.
    let ratio = options.tokens_per_param.map_or(mean, libm::log);
    let d: Vec<f64> = members.iter().map(|&m| corpus.ratio[m] - ratio).collect();
    let product =
        |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let mut plane = line_columns(&x);
    plane.push(d.clone());
    let mut bent = plane.clone();
    bent.extend([product(&x, &x), product(&x, &d), product(&d, &d)]);
    let mut run_design = vec![Vec::new(); corpus.runs.len()];
    for (i, &m) in members.iter().enumerate() {
        run_design[m] = plane.iter().map(|c| c[i]).collect();
    }
    let runs = trajectories(corpus, &groups);
    let read = |rule, columns| readout(corpus, members, rule, columns, &runs, options);
    let mut readouts = vec![read("plane", plane)?];
    // Six terms need more runs than three: without them there is no check.
    readouts.extend(read("quadratic", bent).ok());
    Ok(ReadingPlan {
        design: Design::Grid,
        groups,
        origin,
        x,
        main: 0,
        check: (readouts.len() > 1).then_some(1),
        readouts,
        refused: Vec::new(),
        run_design,
        ratio: Some(ratio),
    })
}

/// Cluster of each run: its training run, or its size where a size has several. What a size has of its own
/// does not average out over seeds.
fn clusters(runs: &[usize], sizes: &[usize]) -> Vec<usize> {
    // Two clusters would leave no degree of freedom.
    if labels::count(sizes) < 3 || labels::count(runs) <= labels::count(sizes) {
        runs.to_vec()
    } else {
        sizes.to_vec()
    }
}

/// The regression of the runs at `members` on `columns`.
fn readout(
    corpus: &Corpus<'_>,
    members: &[usize],
    rule: &'static str,
    columns: Vec<Vec<f64>>,
    runs: &[usize],
    options: &Options,
) -> Result<Readout, FitError> {
    let (n, sizes) = (members.len(), by_size(corpus, members));
    let rows: Vec<SparseRow> = members.iter().map(|&m| vec![(m, 1.0)]).collect();
    Ok(Readout {
        rule,
        regression: ReadingRegression::new(columns, vec![1.0; n], clusters(runs, &sizes), options)?
            .along(runs.to_vec())
            .by_size(sizes),
        rows,
        slopes: vec![Vec::new(); n],
        read_at: members.iter().map(|&m| corpus.size[m]).collect(),
        frontier: None,
        profiles: Vec::new(),
    })
}

/// Group of each of `members` by size; a log size within [`SPREAD`] of the next smaller one is the
/// same size.
fn by_size(corpus: &Corpus<'_>, members: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    let size = |i: usize| corpus.size[members[i]];
    // Ties by position, so that the groups do not depend on the sort.
    order.sort_by(|&a, &b| size(a).total_cmp(&size(b)).then(a.cmp(&b)));
    let mut groups = vec![0; members.len()];
    for pair in order.windows(2) {
        let next = usize::from(size(pair[1]) - size(pair[0]) > SPREAD);
        groups[pair[1]] = groups[pair[0]] + next;
    }
    groups
}
