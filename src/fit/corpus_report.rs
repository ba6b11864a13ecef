//! The report on one corpus: scales read, budgets refused, frontier and surface of the aggregate loss.

use std::collections::BTreeSet;

use crate::ladder::Run;

use super::corpus::Corpus;
use super::design::Design;
use super::diagnostics::{lack_of_fit, next_power};
use super::estimate::Estimate;
use super::flags::design_flags;
use super::logarithm::exp;
use super::options::Options;
use super::path::{epochs, ladder_path};
use super::result::{CorpusReport, FrontierReport, ProfilePoint, Refused};
use super::surface::surface;
use super::view::CorpusView;

pub(crate) fn corpus_report(view: &CorpusView<'_>, options: &Options) -> CorpusReport {
    let (corpus, plan) = (view.corpus, &view.plan);
    CorpusReport {
        surface: surface(view, &corpus.aggregate, options),
        corpus: corpus.name.into(),
        design: plan.design,
        runs: view.members.len(),
        budgets: distinct(view.members.iter().map(|&m| corpus.budget[m])),
        budget_labels: distinct(view.members.iter().map(|&m| run_of(corpus, m).budget)),
        scales: plan.scales(),
        reference_flops: exp(plan.origin),
        aggregate_from_tested: corpus.aggregate_from_tested,
        refused_budgets: plan
            .refused
            .iter()
            .map(|(budget, reason)| Refused {
                corpus: corpus.name.into(),
                distribution: None,
                budget: Some(*budget),
                reason: reason.clone(),
            })
            .collect(),
        path: match plan.design {
            Design::Rungs => ladder_path(corpus, &view.members),
            _ => None,
        },
        epochs: epochs(corpus, &view.members),
        reading_clusters: (plan.main().regression.clusters().iter().max()).map(|m| m + 1),
        flags: design_flags(view)
            .into_iter()
            .filter_map(|(raised, flag)| raised.then_some(flag))
            .collect(),
        frontier: frontier(view, options),
        profiles: profiles(view),
    }
}

fn run_of<'a>(corpus: &Corpus<'a>, position: usize) -> &'a Run {
    &corpus.ladder.runs()[corpus.runs[position]]
}

/// Number of different values.
fn distinct(values: impl Iterator<Item = f64>) -> usize {
    values.map(f64::to_bits).collect::<BTreeSet<u64>>().len()
}

fn frontier(view: &CorpusView<'_>, options: &Options) -> Option<FrontierReport> {
    let (corpus, plan) = (view.corpus, &view.plan);
    let main = plan.main();
    let f = main.frontier.as_ref()?;
    let slope = f.line.slope();
    Some(FrontierReport {
        minima: f.minima.iter().map(|m| exp(*m)).collect(),
        smoothed: plan.x.iter().map(|&x| exp(f.line.at(x).value)).collect(),
        profiles: main.profiles.iter().map(|p| p.fit).collect(),
        inside: f.inside.clone(),
        residual_sd: f.line.fit().variance().sqrt(),
        exponent: Estimate::new(
            slope.value,
            slope.standard_error.powi(2),
            slope.df,
            options.alpha,
        ),
        lack_of_fit: lack_of_fit(corpus, main, &corpus.aggregate),
        next_power: next_power(corpus, main, &corpus.aggregate),
    })
}

/// The runs that have an aggregate loss.
fn profiles(view: &CorpusView<'_>) -> Vec<ProfilePoint> {
    let corpus = view.corpus;
    view.members
        .iter()
        .filter(|&&m| corpus.aggregate[m].is_finite())
        .map(|&m| {
            let run = run_of(corpus, m);
            ProfilePoint {
                run: run.id.clone(),
                budget: corpus.budget[m],
                params: run.params,
                aggregate: exp(corpus.aggregate[m]),
            }
        })
        .collect()
}
