//! `relscale report`: the results of an analysis again, without fitting.

use std::path::{Path, PathBuf};

use clap::Args;
use relscale::fit::{Analysis, SCHEMA};
use relscale::input;
use serde_json::Value;

use super::fit::OutputArguments;
use super::{CommandError, at};
use crate::json;

const AFTER: &str = "\
Examples:
  relscale fit losses.csv --baseline web --json analysis.json --details
  relscale report analysis.json --plots out/

ANALYSIS.json is what `relscale fit --json FILE --details`, `relscale ladder` and `relscale demo --out`
write.";

/// Prints and draws an analysis again, without fitting.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ReportArguments {
    /// The analysis
    #[arg(value_name = "ANALYSIS.json")]
    analysis: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) fn run(arguments: &ReportArguments) -> Result<(), CommandError> {
    let analysis = &arguments.analysis;
    arguments
        .output
        .refuse_overwrites([analysis.as_path()], [])?;
    arguments.output.write(&read(analysis)?, &[])
}

/// Reads an analysis.
///
/// # Errors
/// A file that is none, that holds only what one quotes, or that has another schema: each with the way
/// out.
fn read(path: &Path) -> Result<Analysis, String> {
    let text = input::text(path, json::RESULTS).map_err(at(path))?;
    let name = path.display();
    let value: Value = json::parse(&text).map_err(|e| format!("{name}: this is not JSON: {e}"))?;
    let again = "fit the table again with `relscale fit --json FILE --details`";
    match value.get("schema").and_then(Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) => {
            return Err(format!(
                "{name}: has schema {schema}, this version of relscale reads schema {SCHEMA}; {again}"
            ));
        }
        None => {
            return Err(format!(
                "{name}: no analysis, since it has no `schema`; `relscale fit --json FILE --details` \
                 writes one"
            ));
        }
    }
    if value.get("corpora").is_none() {
        return Err(format!(
            "{name}: holds what one quotes and no details; {again}"
        ));
    }
    serde_path_to_error::deserialize(value)
        .map_err(|e| format!("{name}: `{}`: {}; {again}", e.path(), e.inner()))
}
