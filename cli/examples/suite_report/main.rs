//! Report on the suite in `suite/study`: every relative law of three corpora.
//!
//! Reads the losses of 255 small models (and 90 further seeds; `suite/README.md` describes how they are
//! made), fits absolute and relative laws, relates the exponents of languages to their share of the
//! training mixture, compares corpora, and shows how much the answers depend on rules, seeds and the
//! largest budget. Writes `report.md`, the figures and `study.json`.
//!
//! ```sh
//! cargo run --release -p relscale-cli --example suite_report -- --out study/ [--suite suite/study]
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use relscale::fit::{Estimate, Flag, Options, Verdict, analyze};
use relscale::report::plot::PlotError;
use relscale_cli::output::{note, print};
use table::{Table, read_shares};

mod corpora;
mod laws;
mod robustness;
mod table;

/// The distribution that the others are compared with.
pub(crate) const BASELINE: &str = "english-help";
/// The distribution whose loss picks the compute-optimal sizes.
pub(crate) const AGGREGATE: &str = "aggregate";

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) fn options() -> Options {
    let mut options = Options::new(BASELINE);
    options.aggregate = Some(AGGREGATE.to_owned());
    options
}

pub(crate) fn interval(e: &Estimate) -> String {
    format!("{:+.4} [{:+.4}, {:+.4}]", e.value, e.lower, e.upper)
}

pub(crate) fn p(value: f64) -> String {
    if value < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{value:.3}")
    }
}

pub(crate) fn name(verdict: Verdict) -> String {
    verdict.as_str().replace('_', " ")
}

/// The name that files use, with spaces.
pub(crate) fn flag(flag: Flag) -> String {
    match serde_json::to_value(flag) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => format!("{flag:?}"),
    }
}

pub(crate) fn is_language(distribution: &str) -> bool {
    distribution.ends_with("-help") && distribution != BASELINE
}

/// The report as it grows.
pub(crate) struct Study {
    out: PathBuf,
    pub(crate) report: String,
}

impl Study {
    /// Writes a figure, or a remark if the analysis holds nothing to draw.
    pub(crate) fn figure(
        &mut self,
        file: &str,
        svg: std::result::Result<String, PlotError>,
        caption: &str,
    ) -> Result<()> {
        let svg = match svg {
            Err(PlotError::Nothing { what }) => {
                writeln!(self.report, "\n{caption}: nothing to draw, no {what}.\n")?;
                return Ok(());
            }
            other => other?,
        };
        fs::write(self.out.join(file), svg)?;
        writeln!(self.report, "\n![{caption}]({file})\n")?;
        Ok(())
    }
}

/// Report on the suite of this repository
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of the report
    #[arg(long, value_name = "DIR", default_value = "study")]
    out: PathBuf,
    /// Folder of the suite's tables
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../suite/study"))]
    suite: PathBuf,
}

fn run(Arguments { out, suite }: &Arguments) -> Result<()> {
    fs::create_dir_all(out)?;
    let table = Table::read(&suite.join("scores.csv.gz"))?;
    let shares = read_shares(&suite.join("shares.csv"))?;
    let ladder = table.ladder(|_, _, seed| seed == "0")?;
    let analysis = analyze(&ladder, &options())?;
    let mut study = Study {
        out: out.clone(),
        report: String::new(),
    };
    study.runs(&ladder, &analysis)?;
    study.absolute(&analysis)?;
    study.relative(&analysis)?;
    study.shares(&table, &analysis, &shares)?;
    study.corpora(&analysis, &shares)?;
    study.rules(&analysis)?;
    study.backtest(&analysis)?;
    study.seeds(&table, &analysis)?;
    fs::write(out.join("report.md"), &study.report)?;
    fs::write(
        out.join("study.json"),
        serde_json::to_string_pretty(&analysis)?,
    )?;
    print(&format!(
        "{analysis}\nThe report is in {}.\n",
        out.join("report.md").display()
    ))?;
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
