//! Files that `relscale fit` writes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use relscale::fit::Analysis;

use super::figures::FigureArguments;
use super::predictions;
use crate::commands::{CommandError, at};
use crate::output::print;

/// Results on the terminal and in files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::commands) struct OutputArguments {
    /// Write the laws with their intervals and verdicts as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Add readings, diagnostics and alternatives to the JSON
    #[arg(long, requires = "json")]
    details: bool,
    #[command(flatten)]
    figures: FigureArguments,
}

impl OutputArguments {
    /// Prints the analysis and writes the files asked for.
    pub(in crate::commands) fn write(&self, analysis: &Analysis) -> Result<(), CommandError> {
        print(&analysis.to_string())?;
        print(&predictions::text(analysis))?;
        if let Some(path) = &self.json {
            write_json(analysis, self.details, path)?;
        }
        self.figures.write(analysis)
    }
}

fn write_json(analysis: &Analysis, details: bool, path: &Path) -> Result<(), CommandError> {
    let mut file = BufWriter::new(File::create(path).map_err(at(path))?);
    if details {
        serde_json::to_writer_pretty(&mut file, analysis).map_err(at(path))?;
    } else {
        serde_json::to_writer_pretty(&mut file, &analysis.summary()).map_err(at(path))?;
    }
    file.flush().map_err(at(path))?;
    Ok(())
}
