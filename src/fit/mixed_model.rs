//! The mixed model of one law's runs, if seed replicates allow it.

use std::collections::BTreeMap;

use super::design::Design;
use super::estimate::{Coefficient, Estimate};
use super::options::Options;
use super::result::MixedReport;
use super::stats::mixed::random_effects;
use super::view::CorpusView;

/// Fewest budgets whose variance is estimated: with nine degrees of freedom the standard deviation
/// between budgets is known to a quarter.
const FEWEST_BUDGETS: usize = 10;

/// A run of the mixed model.
struct Row {
    run: usize,
    /// The group with whose runs it shares a random effect.
    budget: usize,
    /// Terms of the fixed effects.
    terms: Vec<f64>,
}

/// A second opinion on the exponent of `y`: random effects of budgets and runs. `None` unless the
/// options ask for it, with fewer than ten budgets, without seed replicates, and if runs are
/// checkpoints of one another.
pub(crate) fn mixed_model(
    view: &CorpusView<'_>,
    y: &[f64],
    options: &Options,
) -> Option<MixedReport> {
    if !options.mixed_model {
        return None;
    }
    let rows = rows(view)?;
    let groups: Vec<usize> = rows.iter().map(|r| r.budget).collect();
    let budgets = groups.iter().max()? + 1;
    if budgets < FEWEST_BUDGETS {
        return None;
    }
    let width = rows.first()?.terms.len();
    // Quadratic profiles leave the column of the cubic term empty.
    let columns: Vec<Vec<f64>> = (0..width)
        .map(|k| rows.iter().map(|r| r.terms[k]).collect::<Vec<f64>>())
        .filter(|c| c.iter().any(|v| *v != 0.0))
        .collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let values: Vec<f64> = rows.iter().map(|r| y[r.run]).collect();
    let fit = random_effects(&columns, &values, &groups).ok()?;
    let slope = fit.coefficients.get(Coefficient::Slope.column())?;
    let variance = slope.standard_error.powi(2);
    let report = MixedReport {
        delta_beta: Estimate::new(slope.value, variance, slope.df, options.alpha),
        budget_sd: fit.budget_variance.sqrt(),
        run_sd: fit.run_variance.sqrt(),
        runs: values.len(),
        budgets,
    };
    let d = report.delta_beta;
    let deviations = [report.budget_sd, report.run_sd];
    [d.value, d.lower, d.upper, d.standard_error]
        .iter()
        .chain(&deviations)
        .all(|v| v.is_finite())
        .then_some(report)
}

/// The runs with their fixed effects; `None` if no two runs are seed replicates, or if they share a
/// training run.
fn rows(view: &CorpusView<'_>) -> Option<Vec<Row>> {
    let (corpus, plan) = (view.corpus, &view.plan);
    let run = |m: usize| &corpus.ladder.runs()[corpus.runs[m]];
    if view.members.iter().any(|&m| run(m).trajectory.is_some()) {
        return None;
    }
    let config = |m: usize| [run(m).budget, run(m).params, run(m).tokens].map(f64::to_bits);
    let mut configs: BTreeMap<[u64; 3], usize> = BTreeMap::new();
    for &m in &view.members {
        let next = configs.len();
        configs.entry(config(m)).or_insert(next);
    }
    if configs.len() == view.members.len() {
        return None;
    }
    match plan.design {
        Design::Rungs => Some(rungs(view)),
        Design::Grid => view
            .members
            .iter()
            .map(|&m| {
                Some(Row {
                    run: m,
                    budget: *configs.get(&config(m))?,
                    terms: plan.run_design[m].clone(),
                })
            })
            .collect(),
        Design::Isoflop => isoflop(view),
    }
}

/// A line in the scale.
fn rungs(view: &CorpusView<'_>) -> Vec<Row> {
    let groups = view.plan.groups.iter().zip(&view.plan.x).enumerate();
    groups
        .flat_map(|(budget, (group, &x))| {
            group.members.iter().map(move |&run| Row {
                run,
                budget,
                terms: vec![1.0, x],
            })
        })
        .collect()
}

/// A line in the scale and, for each budget, the powers of its size profile; `None` if a budget is read
/// at its best run.
fn isoflop(view: &CorpusView<'_>) -> Option<Vec<Row>> {
    let main = view.plan.main();
    let width = 2 + 3 * main.profiles.len();
    let mut rows = Vec::new();
    for (j, profile) in main.profiles.iter().enumerate() {
        let degree = profile.poly.as_ref()?.terms() - 1;
        for &run in &profile.members {
            let mut terms = vec![0.0; width];
            (terms[0], terms[1]) = (1.0, view.plan.x[j]);
            let z = (view.corpus.size[run] - main.read_at[j]) / profile.width();
            for k in 0..degree {
                terms[2 + 3 * j + k] = z.powi(k as i32 + 1);
            }
            rows.push(Row {
                run,
                budget: j,
                terms,
            });
        }
    }
    Some(rows)
}
