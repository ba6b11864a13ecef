//! The command line: one module per command.
//!
//! Exit codes: 0 for success, 1 for input that is refused or a failure, 2 for a mistake on the
//! command line.

pub mod engine;
pub mod fit;
pub mod harness;
pub mod inspect;
pub mod ladder;
mod logs;
pub mod plan;
pub mod score;
pub mod study;
mod values;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::note;

/// Relative scaling laws: how the gap between test distributions evolves with training compute.
#[derive(Debug, Parser)]
#[command(name = "relscale", version, after_help = EXAMPLES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  relscale fit --scores losses.csv --baseline web --plots out/
  relscale score --checkpoint DIR --items texts.jsonl --out scores.jsonl
  relscale ladder --checkpoints DIR --texts DIR --baseline web --out OUT
  relscale harness runs.csv LOGS --out losses.csv

Exit codes: 0 success, 1 input refused or failure, 2 mistake on the command line.
Every command has its own --help.";

#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::FitArguments),
    Score(score::ScoreArguments),
    Ladder(ladder::LadderArguments),
    Study(study::StudyArguments),
    Harness(harness::HarnessArguments),
    Inspect(inspect::InspectArguments),
    Plan(plan::PlanArguments),
}

/// Reason why a command ended without success.
///
/// Exhaustive: each variant is an exit code of the program.
#[derive(Debug)]
pub enum CommandError {
    /// Options that contradict each other: exit code 2.
    Usage(String),
    /// Input that was refused, or a failure: exit code 1.
    Failed(Box<dyn Error + Send + Sync>),
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the program on the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            // `--help | head` may close the pipe; nothing is lost.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match &program.command {
        Command::Fit(arguments) => fit::run(arguments),
        Command::Score(arguments) => score::run(arguments),
        Command::Ladder(arguments) => ladder::run(arguments),
        Command::Study(arguments) => study::run(arguments),
        Command::Harness(arguments) => harness::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Usage(message)) => {
            note(&format!("error: {message}"));
            ExitCode::from(2)
        }
        Err(CommandError::Failed(error)) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Names the file that could not be read or written.
fn at<E: std::fmt::Display>(path: &std::path::Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
