//! Results that `relscale fit` prints and writes.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use relscale::fit::Analysis;
use relscale::log::file_hash;
use relscale::output::{self, NewFile};
use relscale::report::{self, Audience, Sheet};
use serde::Serialize;

use super::figures::FigureArguments;
use super::predictions;
use crate::commands::{CommandError, at, overwrite};
use crate::html;
use crate::output::print;
use crate::screen;

/// Results on the terminal and in files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::commands) struct OutputArguments {
    /// Form of the laws on standard output
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    format: Format,
    /// Print the power law of each distribution instead of the relative laws; JSON has both
    #[arg(long, conflicts_with_all = ["methods", "details"])]
    absolute: bool,
    /// Print the methods in a paragraph for a paper instead of the laws
    #[arg(long, conflicts_with = "format")]
    methods: bool,
    /// Write the laws with their intervals and verdicts as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print all tables instead of the first screen; add readings, diagnostics and alternatives to JSON
    #[arg(long)]
    details: bool,
    /// Write one HTML page with the answer, drawings, a sortable table and the methods
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    figures: FigureArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// First screen for a terminal; all tables with --details
    Table,
    /// Table for GitHub and notebooks
    Markdown,
    /// Table for a paper, with the package booktabs
    Latex,
    /// One row per law, numbers in full
    Csv,
    /// The numbers to quote; everything with --details
    Json,
}

impl OutputArguments {
    /// Refuses files that would replace one that is read, each other, or one of the `others` that are
    /// written, each with its option.
    pub(in crate::commands) fn refuse_overwrites<'a>(
        &'a self,
        inputs: impl IntoIterator<Item = &'a Path>,
        others: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
    ) -> Result<(), CommandError> {
        let own = [
            ("--json", self.json.as_deref()),
            ("--report", self.report.as_deref()),
        ];
        let inputs = inputs.into_iter().chain(self.figures.labels());
        overwrite::refuse(inputs, others.into_iter().chain(own))
    }

    /// Prints the analysis and writes the files asked for. `inputs` are the files that were read.
    pub(in crate::commands) fn write(
        &self,
        analysis: &Analysis,
        inputs: &[PathBuf],
    ) -> Result<(), CommandError> {
        if self.methods {
            print(&format!(
                "{}\n",
                report::methods(analysis, &hashed(inputs)?)
            ))?;
        } else {
            self.print(analysis)?;
        }
        if let Some(path) = &self.json {
            let file = NewFile::create(path).map_err(at(path))?;
            self.write_json(analysis, BufWriter::new(file.file()))
                .map_err(at(path))?;
            file.publish().map_err(at(path))?;
        }
        if let Some(path) = &self.report {
            let page = html::page(analysis, &hashed(inputs)?)?;
            output::write(path, page).map_err(at(path))?;
        }
        self.figures.write(analysis)
    }

    fn print(&self, analysis: &Analysis) -> Result<(), CommandError> {
        let absolute = |audience| Sheet::absolute(analysis, audience);
        match self.format {
            Format::Table if self.absolute => print(&absolute(Audience::Screen).to_string())?,
            Format::Markdown if self.absolute => print(&absolute(Audience::Paper).markdown())?,
            Format::Latex if self.absolute => print(&absolute(Audience::Paper).latex())?,
            Format::Csv if self.absolute => print(&absolute(Audience::File).csv())?,
            Format::Table if self.details => {
                print(&analysis.details())?;
                print(&predictions::text(analysis))?;
            }
            Format::Table => {
                screen::show(analysis)?;
                print(&predictions::text(analysis))?;
                print(MORE)?;
            }
            Format::Markdown => print(&report::markdown(analysis))?,
            Format::Latex => print(&report::latex(analysis))?,
            Format::Csv => print(&report::csv(analysis))?,
            Format::Json => {
                let mut json = Vec::new();
                self.write_json(analysis, &mut json)?;
                print(&String::from_utf8(json)?)?;
            }
        }
        Ok(())
    }

    fn write_json(&self, analysis: &Analysis, to: impl Write) -> std::io::Result<()> {
        if self.details {
            write_pretty(analysis, to)
        } else {
            write_pretty(&analysis.summary(), to)
        }
    }
}

const MORE: &str = "
Not shown: floors, shapes, absolute laws, surfaces, backtests (see --details).
Also: --format markdown|latex|csv|json, --report FILE.html, --plots, --methods.
";

fn write_pretty(value: &impl Serialize, mut to: impl Write) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut to, value)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// Names of the files with the SHA-256 of their bytes. Standard input and folders have no bytes to
/// read again.
fn hashed(inputs: &[PathBuf]) -> Result<Vec<(String, String)>, CommandError> {
    let files = inputs.iter().filter(|path| path.is_file());
    files
        .map(|path| {
            let hash = file_hash(path)?;
            Ok((path.display().to_string(), hash))
        })
        .collect()
}
