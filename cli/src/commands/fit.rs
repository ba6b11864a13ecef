//! `relscale fit`: relative scaling laws of a table of losses.

mod estimator;
mod input;
mod named;
mod output;

use clap::Args;
use relscale::fit;

use super::CommandError;

const AFTER: &str = "\
Examples:
  relscale fit --scores losses.csv --baseline web
  relscale fit --scores losses.csv --baseline web --treatment law --treatment code --plots out/
  relscale fit --scores losses.csv --baseline web --json laws.json --details
  relscale fit --scores losses.csv --baseline web --group risky=fraud,weapons --contrast risky:news
  relscale fit --scores losses.csv --baseline all --contrast tuning=client-after:all-after,client:all

The table has one row per run, distribution and item cluster, with the columns
corpus,run,budget,flops,params,tokens,distribution,loss and, optionally, cluster, weight, seed,
trajectory, epochs, held_out, flop_convention, chance, scorer and scale_name. Along --scale COLUMN the columns budget
and flops are not read, and params and tokens may be left out.";

/// Fits the relative scaling laws of a table of losses.
///
/// Prints one law per treatment distribution; writes JSON and SVG on request.
#[derive(Debug, Args)]
#[command(after_help = AFTER, allow_negative_numbers = true)]
pub struct FitArguments {
    #[command(flatten)]
    input: input::InputArguments,
    #[command(flatten)]
    estimator: estimator::EstimatorArguments,
    #[command(flatten)]
    output: output::OutputArguments,
}

pub(super) fn run(arguments: &FitArguments) -> Result<(), CommandError> {
    let options = arguments.estimator.options()?;
    let ladder = arguments.input.ladder()?;
    let analysis = fit::analyze(&ladder, &options)?;
    arguments.output.write(&analysis)
}
