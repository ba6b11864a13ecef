//! One corpus of a ladder as columns of numbers: scales, sizes, errors and the aggregate loss.

mod budgets;
mod composite;
mod losses;

use crate::ladder::{Ladder, Scores};

use super::design::{Design, detect};
use super::error::FitError;
use super::options::{Axis, DesignChoice, Options};

use self::budgets::common_labels;
pub(crate) use self::composite::{Composite, merged};
pub(crate) use self::losses::{Losses, complete_clusters, stratum_sizes};

/// One corpus of a ladder.
#[derive(Debug)]
pub(crate) struct Corpus<'a> {
    pub(crate) ladder: &'a Ladder,
    pub(crate) name: &'a str,
    /// Indices into the ladder's runs.
    pub(crate) runs: Vec<usize>,
    /// Label of the budget, one for all runs whose labels mean the same budget.
    pub(crate) budget: Vec<f64>,
    /// `ln` of the axis.
    pub(crate) log_scale: Vec<f64>,
    /// `ln N`.
    pub(crate) size: Vec<f64>,
    /// `ln(D/N)`.
    pub(crate) ratio: Vec<f64>,
    /// Linear combinations of distributions, numbered after those of the ladder.
    composites: Vec<Composite>,
    /// Errors by index of the ladder's distributions, then of `composites`; `None` where nothing is
    /// usable.
    pub(crate) losses: Vec<Option<Losses>>,
    /// Log aggregate loss; NaN where missing.
    pub(crate) aggregate: Vec<f64>,
    /// If true, the aggregate is a mean that contains the tested distributions.
    pub(crate) aggregate_from_tested: bool,
    /// Distributions in that mean.
    pub(crate) aggregate_members: Vec<usize>,
    pub(crate) design: Design,
}

impl<'a> Corpus<'a> {
    pub(crate) fn new(
        ladder: &'a Ladder,
        name: &'a str,
        composites: &[Composite],
        options: &Options,
    ) -> Result<Self, FitError> {
        let all = ladder.runs();
        let runs: Vec<usize> = (0..all.len()).filter(|&r| all[r].corpus == name).collect();
        let log = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
            runs.iter().map(|&r| libm::log(f(r))).collect()
        };
        let budget = common_labels(
            &log(&|r| all[r].budget),
            &runs.iter().map(|&r| all[r].budget).collect::<Vec<_>>(),
            &log(&|r| all[r].params),
        );
        let log_scale = log(&|r| match options.axis {
            Axis::Flops => all[r].flops,
            Axis::Params => all[r].params,
            Axis::Tokens => all[r].tokens,
        });
        let size = log(&|r| all[r].params);
        let tokens = log(&|r| all[r].tokens);
        let ratio: Vec<f64> = tokens.iter().zip(&size).map(|(d, n)| d - n).collect();
        let mut losses: Vec<Option<Losses>> = ladder
            .scores()
            .iter()
            .map(|s| {
                let stratified = options.stratified.iter().any(|n| n == s.name());
                Losses::new(s, &runs, options.averaging, stratified)
            })
            .collect();
        let (aggregate, aggregate_members) = aggregate(ladder, name, &runs, &losses, options)?;
        for composite in composites {
            losses.push(composite.losses(&losses, runs.len()));
        }
        let design = match options.design {
            // Sizes are compared at equal compute only; at equal values of another scale the largest is
            // best.
            DesignChoice::Auto if ladder.scale_name().is_some() => Design::Rungs,
            DesignChoice::Auto => detect(ladder, &runs, &budget),
            DesignChoice::Isoflop => Design::Isoflop,
            DesignChoice::Rungs => Design::Rungs,
            DesignChoice::Grid => Design::Grid,
        };
        // Budgets of one FLOP count hold many sizes: along another axis they are no budgets.
        if design == Design::Isoflop && options.axis != Axis::Flops {
            return Err(FitError::Unsupported {
                reason: "an IsoFLOP ladder is scaled along FLOPs".into(),
            });
        }
        Ok(Self {
            ladder,
            name,
            runs,
            budget,
            log_scale,
            size,
            ratio,
            composites: composites.to_vec(),
            losses,
            aggregate,
            // The optimum is then picked by the losses under test, whose noise favours the run it
            // picks.
            aggregate_from_tested: options.aggregate.is_none(),
            aggregate_members,
            design,
        })
    }

    /// Errors of one distribution.
    pub(crate) fn losses(&self, distribution: usize) -> Result<&Losses, FitError> {
        let found = self.losses.get(distribution).and_then(Option::as_ref);
        found.ok_or_else(|| {
            // A composite lacks what one of its distributions lacks.
            let missing = |&d: &usize| self.losses.get(d).is_none_or(Option::is_none);
            let distribution = (self.parts(distribution).into_iter())
                .find(missing)
                .unwrap_or(distribution);
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

    /// If true, the run at `position` is to be predicted and not fitted.
    pub(crate) fn held_out(&self, position: usize) -> bool {
        let run = self
            .runs
            .get(position)
            .and_then(|&r| self.ladder.runs().get(r));
        run.is_some_and(|r| r.held_out)
    }

    /// Identifier of the run at `position`.
    pub(crate) fn run_name(&self, position: usize) -> &str {
        let run = self
            .runs
            .get(position)
            .and_then(|&r| self.ladder.runs().get(r));
        run.map_or("", |r| &r.id)
    }
}

/// Log aggregate loss per run, and the distributions that it is a mean of.
fn aggregate(
    ladder: &Ladder,
    corpus: &str,
    runs: &[usize],
    losses: &[Option<Losses>],
    options: &Options,
) -> Result<(Vec<f64>, Vec<usize>), FitError> {
    if let Some(wanted) = &options.aggregate {
        let at = position(ladder, wanted)?;
        let Some(own) = &losses[at] else {
            return Err(FitError::Unsupported {
                reason: format!("corpus {corpus:?} has no usable aggregate loss {wanted:?}"),
            });
        };
        return Ok((own.log_error.clone(), vec![at]));
    }
    // Only distributions that every run has: a mean over another set of distributions in some runs
    // would move the optimum.
    let fitted = |r: usize| !ladder.runs()[runs[r]].held_out;
    let everywhere = |l: &Losses| {
        let of = l.log_error.iter().enumerate();
        of.filter(|(r, _)| fitted(*r)).all(|(_, v)| v.is_finite())
    };
    let members: Vec<usize> = (0..losses.len())
        .filter(|&d| losses[d].as_ref().is_some_and(everywhere))
        // A bounded error has no place in a mean of logarithms.
        .filter(|&d| !options.error_rates.contains(ladder.scores()[d].name()))
        .collect();
    Ok((mean_log(losses, &members, runs.len()), members))
}

/// Mean log error of `members` per run.
pub(crate) fn mean_log(losses: &[Option<Losses>], members: &[usize], runs: usize) -> Vec<f64> {
    let n = members.len() as f64;
    (0..runs)
        .map(|r| {
            let value = |&d: &usize| losses[d].as_ref().map_or(f64::NAN, |l| l.log_error[r]);
            members.iter().map(value).sum::<f64>() / n
        })
        .collect()
}

/// Position of a distribution among the scores of the ladder.
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
