//! The runs that spoil a law: deletion at the level of runs.

use crate::fit::comparison::Comparison;
use crate::fit::contrast::fit_readout;
use crate::fit::corpus::Corpus;
use crate::fit::design::Design;
use crate::fit::estimate::{Coefficient, Estimate};
use crate::fit::options::Options;
use crate::fit::readings::ReadingPlan;
use crate::fit::result::OutlyingRun;
use crate::fit::stats::regression::{Block, outliers};

/// Level of the outlier test, after Bonferroni. Stricter than other checks: noise of trained runs has
/// heavier tails than the normal distribution, by which one ladder in five would have an outlier at
/// 0.05, and a run should not be named for its tail.
const OUTLYING: f64 = 0.01;

/// The runs whose ratio or aggregate loss their budget (or line) does not expect.
pub(super) fn outlying_runs(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Vec<OutlyingRun> {
    let (corpus, plan) = (comparison.corpus(), &comparison.view.plan);
    // Checkpoints of one training run move together, and none of them is judged by the others.
    if !plan.main().regression.clusters().is_empty() {
        return Vec::new();
    }
    let whole = (comparison.unmoderated).plain_estimate(Coefficient::Slope, options.alpha);
    let mut found = Vec::new();
    let mut add = |y: &[f64], in_aggregate: bool| {
        for o in outliers(blocks(corpus, plan, y), OUTLYING) {
            let delta_beta = without(comparison, o.label, options);
            found.push(OutlyingRun {
                spoils: delta_beta.is_none_or(|d| spoils(&whole, &d)),
                run: corpus.run_name(o.label).to_owned(),
                in_aggregate,
                studentised: o.studentised,
                p_value: o.p_value,
                delta_beta,
            });
        }
    };
    add(&comparison.y, false);
    if plan.design == Design::Isoflop {
        add(&corpus.aggregate, true);
    }
    found
}

/// If true, the law says something else, or says it less clearly, because of the run left out of `rest`.
///
/// Heavy tails and noise that grows with size make unusual runs in half of all ladders, of which few
/// matter to the law.
fn spoils(whole: &Estimate, rest: &Estimate) -> bool {
    rest.standard_error < 0.8 * whole.standard_error
        || (rest.value - whole.value).abs() > rest.standard_error
}

/// The size profiles of `y`, or its regression on the terms of the runs.
fn blocks(corpus: &Corpus<'_>, plan: &ReadingPlan, y: &[f64]) -> Vec<Block> {
    let pick = |v: &[f64], runs: &[usize]| -> Vec<f64> { runs.iter().map(|&m| v[m]).collect() };
    if plan.design == Design::Isoflop {
        let profiles = plan.main().profiles.iter();
        return profiles
            .filter_map(|p| {
                let poly = p.poly.as_ref()?;
                Some(Block {
                    columns: poly.powers(&pick(&corpus.size, &p.members)),
                    y: pick(y, &p.members),
                    labels: p.members.clone(),
                })
            })
            .collect();
    }
    let runs = plan.runs();
    let width = runs.first().map_or(0, |&m| plan.run_design[m].len());
    let column = |k: usize| runs.iter().map(|&m| plan.run_design[m][k]).collect();
    vec![Block {
        columns: (0..width).map(column).collect(),
        y: pick(y, &runs),
        labels: runs,
    }]
}

/// `Δβ` without the run at `position`, with the variance of runs and frontier.
fn without(
    comparison: &Comparison<'_, '_>,
    position: usize,
    options: &Options,
) -> Option<Estimate> {
    let view = comparison.view;
    let members: Vec<usize> = (view.members.iter().copied())
        .filter(|m| *m != position)
        .collect();
    let plan = ReadingPlan::new(comparison.corpus(), &members, options).ok()?;
    let fitted = fit_readout(plan.main(), &comparison.y).ok()?;
    Some(fitted.plain_estimate(Coefficient::Slope, options.alpha))
}
