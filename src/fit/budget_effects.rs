//! The mixed model of one law's runs, where seed replicates allow it.

use std::collections::BTreeMap;

use super::design::Design;
use super::estimate::Estimate;
use super::options::Options;
use super::result::MixedReport;
use super::stats::mixed::random_effects;
use super::view::CorpusView;

/// Fewest budgets whose variance is worth estimating.
const BUDGETS: usize = 10;

/// A second opinion on the exponent of `y`: random effects of budgets and runs. `None` where it was
/// not asked for, where there are fewer than ten budgets or no seed replicates, and where runs are
/// checkpoints of one another.
pub(crate) fn mixed_model(
    view: &CorpusView<'_>,
    y: &[f64],
    options: &Options,
) -> Option<MixedReport> {
    if !options.mixed_model {
        return None;
    }
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
    // Rows of the fixed effects, with the budget that each run shares its effect with.
    let mut rows: Vec<(usize, usize, Vec<f64>)> = Vec::new();
    match plan.design {
        Design::Rungs => {
            for (j, group) in plan.groups.iter().enumerate() {
                rows.extend(group.members.iter().map(|&m| (m, j, vec![1.0, plan.x[j]])));
            }
        }
        Design::Grid => {
            for &m in &view.members {
                rows.push((m, *configs.get(&config(m))?, plan.run_design[m].clone()));
            }
        }
        Design::Isoflop => {
            let main = plan.main();
            let width = 2 + 3 * main.profiles.len();
            for (j, profile) in main.profiles.iter().enumerate() {
                let degree = match &profile.poly {
                    Some(poly) => poly.terms() - 1,
                    None => return None,
                };
                let scale = profile.width();
                for &m in &profile.members {
                    let mut row = vec![0.0; width];
                    (row[0], row[1]) = (1.0, plan.x[j]);
                    let z = (corpus.size[m] - main.read_at[j]) / scale;
                    for k in 0..degree {
                        row[2 + 3 * j + k] = z.powi(k as i32 + 1);
                    }
                    rows.push((m, j, row));
                }
            }
        }
    }
    let groups: Vec<usize> = rows.iter().map(|r| r.1).collect();
    let budgets = groups.iter().max()? + 1;
    if budgets < BUDGETS {
        return None;
    }
    let width = rows.first()?.2.len();
    let columns: Vec<Vec<f64>> = (0..width)
        .map(|k| rows.iter().map(|r| r.2[k]).collect::<Vec<f64>>())
        .filter(|c| c.iter().any(|v| *v != 0.0))
        .collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let values: Vec<f64> = rows.iter().map(|r| y[r.0]).collect();
    let fit = random_effects(&columns, &values, &groups).ok()?;
    let slope = fit.coefficients.get(1)?;
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
    .then_some(report)
}
