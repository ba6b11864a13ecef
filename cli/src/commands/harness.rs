//! `relscale harness`: logs of lm-evaluation-harness to a table of losses.

use clap::Args;

use super::CommandError;
use super::logs::LogArguments;
use crate::output::spinner;
use crate::readers::harness::Logs;

const AFTER: &str = "\
Examples:
  relscale harness runs.csv LOGS --out losses.csv
  relscale harness runs.csv LOGS --out losses.csv --metric acc_norm --task arc_easy --task arc_challenge
  relscale harness LOGS --out losses.csv --task mmlu_stem --task mmlu_humanities
  relscale fit losses.csv --baseline arc_easy

LOGS is a folder as `lm_eval run --output_path LOGS --log_samples` writes it, of any number of models,
tasks and times. RUNS.csv has the columns corpus,run,budget,flops,params,tokens and, where a run is not
named like its model, `model`: the harness's name of it, with @REVISION if that is not main. Without
RUNS.csv the names of released ladders are recognised (`relscale ladder --help`).

Every number that the harness also has is compared with it. By default the loss is the log loss of each
kind of requests: choice_log_loss, answer_nats, bits_per_byte. Accuracies are written as one minus the
accuracy, perplexities as their logarithm; the column `scorer` says which.";

/// Turns logs of lm-evaluation-harness into a table of losses.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct HarnessArguments {
    #[command(flatten)]
    logs: LogArguments,
}

pub(super) fn run(arguments: &HarnessArguments) -> Result<(), CommandError> {
    let (table, folder) = arguments.logs.paths()?;
    let reading = spinner("Reading the logs");
    let logs = Logs::find(folder)?;
    let read = logs.read(&arguments.logs.selection())?;
    reading.finish_and_clear();
    arguments.logs.write(table, &logs.models(), read)
}
