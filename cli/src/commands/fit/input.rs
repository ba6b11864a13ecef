//! Tables of losses that `relscale fit` reads.

use std::io::{BufRead, Cursor, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use relscale::ladder::{Ladder, LadderError, RunTable, Tables, TrainedRun};
use serde_json::{Map, Value};

use crate::commands::{CommandError, logs};
use crate::json;
use crate::output::{note, warning};
use crate::readers::harness::{Model, Selection};
use crate::readers::logged::{self, Logged};
use crate::released;

/// Limit of the first line of a table, in bytes: beyond the names of any columns, and the exact value does
/// not matter.
const LONGEST_HEADER: u64 = 1 << 26;

/// The tables of losses.
#[derive(Debug, Args)]
pub(super) struct InputArguments {
    /// Tables of losses and of runs, folders of logs, or - for standard input
    #[arg(value_name = "TABLE", required_unless_present = "scores")]
    tables: Vec<PathBuf>,
    /// Table, as TABLE; repeatable
    #[arg(long, value_name = "FILE")]
    scores: Vec<PathBuf>,
    /// Column that is the scale instead of training compute, such as test_time_tokens
    #[arg(long, value_name = "COLUMN")]
    scale: Option<String>,
    /// Columns of wide tables that are the losses of a distribution each [default: all columns of
    /// numbers that are nothing else]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    distributions: Vec<String>,
    /// Columns that have another name in the tables, such as loss=bpb
    #[arg(long, value_name = "COLUMN=NAME", value_delimiter = ',', value_parser = column)]
    columns: Vec<(String, String)>,
}

/// A column and its name in the tables, `loss=bpb`.
fn column(text: &str) -> Result<(String, String), String> {
    let (column, name) = text
        .split_once('=')
        .ok_or("COLUMN=NAME, such as loss=bpb")?;
    Ok((column.trim().to_owned(), name.trim().to_owned()))
}

impl InputArguments {
    /// Tables, files of runs and folders that are read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.tables.iter().chain(&self.scores).cloned().collect()
    }

    /// Reads the tables, with notes on standard error.
    pub(super) fn ladder(&self) -> Result<Ladder, CommandError> {
        let paths = || self.tables.iter().chain(&self.scores);
        if paths().filter(|path| *path == Path::new("-")).count() > 1 {
            let message = "standard input (-) can be read once".to_owned();
            return Err(CommandError::Usage(message));
        }
        let mut tables = Tables::new().distributions(&self.distributions);
        if let Some(scale) = &self.scale {
            tables = tables.along(scale);
        }
        for (column, name) in &self.columns {
            tables = tables.column(column, name)?;
        }
        let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
            paths().partition(|path| path.is_dir());
        for file in &files {
            tables = tables.open(file)?;
        }
        for folder in folders {
            tables = self.add_logs(tables, folder, &files)?;
        }
        let (ladder, notes) = tables.ladder()?;
        for text in notes {
            note(&format!("note: {text}"));
        }
        Ok(ladder)
    }

    /// Adds the losses of a folder of logs. The runs are those of the tables of runs among `files`, or of
    /// released ladders.
    fn add_logs(
        &self,
        tables: Tables,
        folder: &Path,
        files: &[&PathBuf],
    ) -> Result<Tables, CommandError> {
        let Logged {
            models,
            scored,
            warnings,
        } = logged::read(folder, &Selection::default())?;
        for found in warnings {
            warning(&found);
        }
        let (mut runs, refused) = self.runs(files)?;
        let mut tables = tables;
        if runs.is_empty() {
            let names = models.iter();
            let names = names.map(|m: &Model| (m.name.as_str(), m.revision.as_deref(), m.params));
            let released = released::named_runs(&names.collect::<Vec<_>>());
            let released = released.map_err(|e| match &refused {
                Some(refused) => format!("{e}; the tables given do not describe runs: {refused}"),
                None => e.to_string(),
            })?;
            let mut csv = Vec::new();
            released.write_csv(&mut csv)?;
            tables = tables.add(Cursor::new(csv), "runs of released ladders")?;
            runs = released.runs;
        }
        let models: Vec<&Model> = models.iter().collect();
        let runs = logs::assigned(&models, &runs)?;
        let csv = logs::losses(&runs, &scored)?;
        Ok(tables.add(Cursor::new(csv), &folder.display().to_string())?)
    }

    /// The runs of the tables of runs among `files`, and the first refusal of a table of losses, which
    /// repeats its runs or does not describe them.
    fn runs(
        &self,
        files: &[&PathBuf],
    ) -> Result<(Vec<TrainedRun>, Option<LadderError>), CommandError> {
        let (mut runs, mut refused): (Vec<TrainedRun>, Option<LadderError>) = (Vec::new(), None);
        for file in files.iter().filter(|file| **file != Path::new("-")) {
            match RunTable::from_csv_of_models(file) {
                Ok(table) => runs.extend(table.runs),
                Err(e) if self.has_losses(file, &e) => refused = refused.or(Some(e)),
                // Its runs would be missing without a word.
                Err(e) => return Err(e.into()),
            }
        }
        Ok((runs, refused))
    }

    /// If true, a table that was refused as one of runs holds losses. One that is no text, whose columns
    /// are not seen here, is taken to.
    fn has_losses(&self, file: &Path, refusal: &LadderError) -> bool {
        let header = match refusal {
            LadderError::MissingColumn { found, .. } => Some(found.clone()),
            _ => header(file),
        };
        let is_read = |column: &str| column == "loss" || column == "distribution";
        let is_of_losses = |name: &String| {
            let mut renamed = self.columns.iter();
            is_read(name)
                || self.distributions.contains(name)
                || renamed.any(|(column, other)| other == name && is_read(column))
        };
        header.is_none_or(|names| names.iter().any(is_of_losses))
    }
}

/// The names of the columns of a table, from its first line. None if it is no text.
fn header(file: &Path) -> Option<Vec<String>> {
    let mut line = String::new();
    let source = relscale::input::open(file).ok()?;
    source.take(LONGEST_HEADER).read_line(&mut line).ok()?;
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.starts_with("PAR1") {
        return None;
    }
    if line.starts_with('{') {
        let fields: Map<String, Value> = json::parse(line).ok()?;
        return Some(fields.into_iter().map(|(name, _)| name).collect());
    }
    let names = line.split([',', ';', '\t']);
    let name = |text: &str| text.trim().trim_matches('"').to_owned();
    Some(names.map(name).collect())
}
