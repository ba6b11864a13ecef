//! `relscale inspect`: logs of inspect_ai to a table of losses.

use clap::Args;

use super::CommandError;
use super::logs::LogArguments;
use crate::output::spinner;
use crate::readers::inspect::Logs;

const AFTER: &str = "\
Examples:
  relscale inspect runs.csv LOGS --out losses.csv
  relscale inspect runs.csv LOGS --out losses.csv --task arithmetic --metric match --cluster level

LOGS is a folder of logs, as `inspect eval --log-dir LOGS` writes them (.eval, or JSON). RUNS.csv
has the columns corpus,run,budget,flops,params,tokens and, where a run is not named like its model,
`model`. The loss is one minus the score by the scorer that --metric names, by default the first of the
task; --cluster names a field of the metadata.";

/// Turns logs of inspect_ai into a table of losses.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct InspectArguments {
    #[command(flatten)]
    logs: LogArguments,
}

pub(super) fn run(arguments: &InspectArguments) -> Result<(), CommandError> {
    let (table, folder) = arguments.logs.paths()?;
    let reading = spinner("Reading the logs");
    let logs = Logs::find(folder)?;
    let read = logs.read(&arguments.logs.selection())?;
    reading.finish_and_clear();
    arguments.logs.write(table, &logs.models(), read)
}
