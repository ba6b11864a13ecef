//! Rungs: one size per budget. The reading is the run itself, or the mean of its seeds.

use crate::fit::corpus::Corpus;
use crate::fit::design::Design;
use crate::fit::error::FitError;
use crate::fit::options::Options;

use super::{
    Group, ReadingPlan, ReadingRegression, Readout, SPREAD, SparseRow, by_budget, centred,
    check_spread, line_columns, reading_weights, too_few, trajectories,
};

pub(super) fn plan(
    corpus: &Corpus<'_>,
    members: &[usize],
    options: &Options,
) -> Result<ReadingPlan, FitError> {
    let groups = by_budget(corpus, members);
    if groups.len() < 3 {
        return Err(too_few(corpus, "budgets", groups.len(), 3));
    }
    check_spread(corpus, &groups)?;
    // A mean over sizes is the loss of no model, and its mix may change along the ladder.
    check_sizes(corpus, &groups)?;
    let (origin, x) = centred(&groups);
    let rows: Vec<SparseRow> = groups
        .iter()
        .map(|g| {
            // The mean over seeds is the reading, so a rung with many seeds does not pull the line
            // harder.
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
    let readout = Readout {
        rule: "run",
        regression: ReadingRegression::new(
            line_columns(&x),
            reading_weights(&rows, options),
            trajectories(corpus, &groups),
            options,
        )?,
        slopes: vec![Vec::new(); rows.len()],
        read_at: groups
            .iter()
            .map(|g| g.members.first().map_or(f64::NAN, |&m| corpus.size[m]))
            .collect(),
        rows,
        frontier: None,
        profiles: Vec::new(),
    };
    Ok(ReadingPlan {
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

/// Refuses budgets with several sizes.
fn check_sizes(corpus: &Corpus<'_>, groups: &[Group]) -> Result<(), FitError> {
    for g in groups {
        let first = g.members.first().map_or(0.0, |&m| corpus.size[m]);
        let differs = |&&m: &&usize| (corpus.size[m] - first).abs() > SPREAD;
        if let Some(&m) = g.members.iter().find(differs) {
            let way_out = match corpus.ladder.scale_name() {
                None => {
                    "rungs have one size per budget, IsoFLOP three sizes or more in each of three \
                     budgets"
                }
                Some(_) => "give each model a corpus of its own",
            };
            return Err(FitError::Unsupported {
                reason: format!(
                    "budget {:e} of corpus {:?} holds runs of several sizes (run {:?}): {way_out}",
                    g.budget,
                    corpus.name,
                    corpus.run_name(m)
                ),
            });
        }
    }
    Ok(())
}
