//! The command line: one module per command.
//!
//! Exit codes: 0 done, 1 input refused or a failure, 2 a mistake on the command line, 3 interrupted with
//! everything saved.

pub mod completions;
pub mod demo;
pub mod engine;
pub mod fetch;
mod fields;
pub mod fit;
pub mod harness;
mod hub;
pub mod inspect;
pub mod ladder;
mod logs;
pub mod man;
mod overwrite;
pub mod plan;
pub mod report;
pub mod schema;
pub mod score;
pub mod simulate;
pub mod study;
mod values;

use std::error::Error;
use std::process::ExitCode;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand};

use crate::interrupt;
use crate::output::{Verbosity, error, set_verbosity, warning};

/// Relative scaling laws: how the gap between test distributions evolves with training compute.
#[derive(Debug, Parser)]
#[command(
    name = "relscale",
    version,
    after_help = EXAMPLES,
    max_term_width = 100,
    styles = STYLES
)]
struct Program {
    #[command(flatten)]
    remarks: RemarkArguments,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  relscale demo
  relscale fit losses.csv --baseline web --plots out/
  relscale score --checkpoint DIR --items texts.jsonl --out scores.jsonl
  relscale ladder --checkpoints DIR --texts DIR --baseline web --out OUT
  relscale harness runs.csv LOGS --out losses.csv

Results go to standard output, remarks to standard error.
Exit codes: 0 done, 1 input refused or failure, 2 mistake on the command line, 3 interrupted with
everything saved. NO_COLOR=1 turns colours off.
Every command has its own --help.";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Amount of remarks, of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Remarks")]
struct RemarkArguments {
    /// Show neither progress nor notes, only warnings and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Show details: files, sizes and times
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    // Boxed: it has far more fields than the others.
    Fit(Box<fit::FitArguments>),
    Fetch(fetch::FetchArguments),
    Score(score::ScoreArguments),
    Ladder(ladder::LadderArguments),
    Study(study::StudyArguments),
    Harness(harness::HarnessArguments),
    Inspect(inspect::InspectArguments),
    Plan(plan::PlanArguments),
    Simulate(simulate::SimulateArguments),
    Report(report::ReportArguments),
    Demo(demo::DemoArguments),
    Schema(schema::SchemaArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
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
    /// The user stopped the command; the message says how to go on: exit code 3.
    Interrupted(String),
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl CommandError {
    /// [`CommandError::Interrupted`] with this way to go on if `error` is that the user stopped the
    /// command, [`CommandError::Failed`] otherwise.
    fn stopped(error: Box<dyn Error + Send + Sync>, go_on: impl FnOnce() -> String) -> Self {
        match interrupt::is_cause_of(&*error) {
            true => Self::Interrupted(go_on()),
            false => Self::Failed(error),
        }
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
    set_verbosity(match &program.remarks {
        RemarkArguments { quiet: true, .. } => Verbosity::Quiet,
        RemarkArguments { verbose: true, .. } => Verbosity::Verbose,
        _ => Verbosity::Normal,
    });
    match run(&program.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Usage(message)) => {
            error(&message);
            ExitCode::from(2)
        }
        Err(CommandError::Failed(failure)) => {
            error(&failure.to_string());
            ExitCode::FAILURE
        }
        Err(CommandError::Interrupted(message)) => {
            warning(&format!("interrupted: {message}"));
            ExitCode::from(3)
        }
    }
}

fn run(command: &Command) -> Result<(), CommandError> {
    match command {
        Command::Fit(arguments) => fit::run(arguments),
        Command::Fetch(arguments) => fetch::run(arguments),
        Command::Score(arguments) => score::run(arguments),
        Command::Ladder(arguments) => ladder::run(arguments),
        Command::Study(arguments) => study::run(arguments),
        Command::Harness(arguments) => harness::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    }
}

/// Names the file that could not be read or written.
fn at<E: std::fmt::Display>(path: &std::path::Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
