//! The mixed model of one law's runs, where seed replicates allow it.

use super::design::Design;
use super::estimate::{Coefficient, Estimate};
use super::options::Options;
use super::result::MixedReport;
use super::stats::labels;
use super::stats::mixed::fit_mixed;
use super::view::CorpusView;

/// Fewest budgets whose variance is worth estimating: with fewer than eight degrees of freedom its
/// interval spans an order of magnitude.
const BUDGETS: usize = 10;

/// One run: its position in the corpus, the group that shares its random effect, its fixed effects.
struct Row {
    run: usize,
    group: usize,
    fixed: Vec<f64>,
}

/// A second opinion on the exponent of `y`: random effects of budgets and runs.
///
/// `None` where it was not asked for, where there are fewer than ten budgets or no seed replicates,
/// and where runs are checkpoints of one another.
pub(crate) fn mixed_model(
    view: &CorpusView<'_>,
    y: &[f64],
    options: &Options,
) -> Option<MixedReport> {
    if !options.mixed_model {
        return None;
    }
    let configs = replicated(view)?;
    let rows = match view.plan.design {
        Design::Rungs => rungs(view),
        Design::Grid => grid(view, &configs),
        Design::Isoflop => isoflop(view)?,
    };
    let groups: Vec<usize> = rows.iter().map(|r| r.group).collect();
    let budgets = groups.iter().max()? + 1;
    if budgets < BUDGETS {
        return None;
    }
    let width = rows.first()?.fixed.len();
    let columns: Vec<Vec<f64>> = (0..width)
        .map(|k| rows.iter().map(|r| r.fixed[k]).collect::<Vec<f64>>())
        // Budgets read by quadratics leave their third power empty.
        .filter(|c| c.iter().any(|v| *v != 0.0))
        .collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let values: Vec<f64> = rows.iter().map(|r| y[r.run]).collect();
    let fit = fit_mixed(&columns, &values, &groups).ok()?;
    let slope = fit.coefficients.get(Coefficient::Slope.column())?;
    let report = MixedReport {
        delta_beta: Estimate::new(
            slope.value,
            slope.standard_error.powi(2),
            slope.df,
            options.alpha,
        ),
        budget_sd: fit.budget_variance.sqrt(),
        run_sd: fit.run_variance.sqrt(),
        runs: values.len(),
        budgets,
    };
    finite(&report).then_some(report)
}

/// The configuration of every run (budget, size, tokens), numbered by first appearance; `None` where
/// no two runs share one, or where runs are checkpoints.
fn replicated(view: &CorpusView<'_>) -> Option<Vec<usize>> {
    let corpus = view.corpus;
    let run = |m: usize| &corpus.ladder.runs()[corpus.runs[m]];
    if view.members.iter().any(|&m| run(m).trajectory.is_some()) {
        return None;
    }
    let config = |&m: &usize| [run(m).budget, run(m).params, run(m).tokens].map(f64::to_bits);
    let configs = labels::by_key(view.members.iter().map(config));
    (labels::count(&configs) < configs.len()).then_some(configs)
}

/// A line in the scale; runs of a rung share its effect.
fn rungs(view: &CorpusView<'_>) -> Vec<Row> {
    let plan = &view.plan;
    let mut rows = Vec::new();
    for (j, group) in plan.groups.iter().enumerate() {
        rows.extend(group.members.iter().map(|&run| Row {
            run,
            group: j,
            fixed: vec![1.0, plan.x[j]],
        }));
    }
    rows
}

/// The regression over runs; runs of one configuration share its effect.
fn grid(view: &CorpusView<'_>, configs: &[usize]) -> Vec<Row> {
    let members = view.members.iter().zip(configs);
    members
        .map(|(&run, &group)| Row {
            run,
            group,
            fixed: view.plan.run_design[run].clone(),
        })
        .collect()
}

/// A line in the scale and a size profile per budget, zero at the size that is read; runs of a budget
/// share its effect. `None` where a budget has no profile.
fn isoflop(view: &CorpusView<'_>) -> Option<Vec<Row>> {
    let plan = &view.plan;
    let main = plan.main();
    // Three powers per budget: profiles are cubics at most.
    let width = 2 + 3 * main.profiles.len();
    let mut rows = Vec::new();
    for (j, profile) in main.profiles.iter().enumerate() {
        let degree = profile.poly.as_ref()?.terms() - 1;
        let scale = profile.width();
        for &run in &profile.members {
            let mut fixed = vec![0.0; width];
            (fixed[0], fixed[1]) = (1.0, plan.x[j]);
            let z = (view.corpus.size[run] - main.read_at[j]) / scale;
            for k in 0..degree {
                fixed[2 + 3 * j + k] = z.powi(k as i32 + 1);
            }
            rows.push(Row {
                run,
                group: j,
                fixed,
            });
        }
    }
    Some(rows)
}

/// True for a report without NaN or infinity, which JSON would lose.
fn finite(report: &MixedReport) -> bool {
    let d = report.delta_beta;
    [
        d.value,
        d.lower,
        d.upper,
        d.standard_error,
        report.budget_sd,
        report.run_sd,
    ]
    .iter()
    .all(|v| v.is_finite())
}
