//! `relscale fit`: relative scaling laws of a table of losses.

mod covariate;
mod estimator;
mod figures;
mod input;
mod labels;
mod named;
pub(super) mod options_file;
mod output;
mod predictions;

pub(super) use output::OutputArguments;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use relscale::fit::{self, FitError};

use super::CommandError;
use crate::output::{detail, spinner};
use crate::suggest::did_you_mean;

const AFTER: &str = "\
Examples:
  relscale fit losses.csv --baseline web
  relscale fit losses.parquet runs.csv --baseline web --treatment law --treatment code --plots out/
  relscale fit wide.csv.gz --baseline web --distributions web,law,code
  relscale fit LOGS runs.csv --baseline arc_easy
  zcat losses.jsonl.gz | relscale fit - --baseline web --columns loss=bpb,distribution=domain
  relscale fit losses.csv --baseline web --json laws.json --details
  relscale fit losses.csv --baseline web --plots out/ --preset paper --labels names.csv
  relscale fit losses.csv --baseline web --report laws.html
  relscale fit losses.csv --baseline web --format latex > laws.tex
  relscale fit losses.csv --baseline web --group risky=fraud,weapons --contrast risky:news
  relscale fit losses.csv --options options.toml --alpha 0.1
  relscale fit losses.csv --baseline web --predict-at 1e22,1e23 --held-out largest-run
  relscale fit losses.csv --baseline all --contrast tuning=client-after:all-after,client:all

A table is CSV (also .tsv), JSON lines or Parquet, plain or compressed (.gz, .zst). A long one has one row
per run, distribution and item cluster, with the columns corpus,run,budget,flops,params,tokens,
distribution,loss and, optionally, cluster, item, weight, seed, trajectory, epochs, held_out,
flop_convention, chance, standard_error, scorer and scale_name. A wide one has a column of losses per
distribution. Tables without losses describe runs and are joined by the column run. Folders hold logs of
lm-evaluation-harness or inspect_ai. Along --scale COLUMN the columns budget and flops are not read, and
params and tokens may be left out.

The file of --options has the names of the fields of `relscale::fit::Options`, such as
  baseline = \"web\"
  optimum = \"best_run\"
  predict_at = [1e22, 1e23]
`relscale schema options` lists them. A flag overrides the file; a repeatable flag replaces its list.";

/// Fits the relative scaling laws of tables of losses.
///
/// Prints the answer in words and one line per law, the worst first; writes JSON, SVG and a web page on request.
#[derive(Debug, Args)]
#[command(after_help = AFTER, allow_negative_numbers = true)]
pub struct FitArguments {
    #[command(flatten)]
    input: input::InputArguments,
    #[command(flatten)]
    estimator: estimator::EstimatorArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) fn run(arguments: &FitArguments) -> Result<(), CommandError> {
    let inputs = arguments.input.files();
    let others = arguments.estimator.files();
    let read = inputs.iter().map(PathBuf::as_path).chain(others);
    arguments.output.refuse_overwrites(read, [])?;
    let options = arguments.estimator.options()?;
    let ladder = arguments.estimator.held_out(arguments.input.ladder()?)?;
    detail(&format!(
        "{} runs on {} distributions",
        ladder.runs().len(),
        ladder.distributions().count()
    ));
    let start = Instant::now();
    let fitting = spinner("Fitting");
    let analysis = fit::analyze(&ladder, &options);
    fitting.finish_and_clear();
    let analysis = analysis.map_err(|e| explained(&e))?;
    detail(&format!("fitted in {:.2} s", start.elapsed().as_secs_f64()));
    arguments.output.write(&analysis, &inputs)
}

/// The error with the name that was meant, where a name is not in the ladder.
fn explained(error: &FitError) -> String {
    let meant = match error {
        FitError::Unknown { name, known, .. } => {
            did_you_mean(name, known.iter().map(String::as_str))
        }
        _ => String::new(),
    };
    format!("{error}{meant}")
}
