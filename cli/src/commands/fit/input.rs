//! Tables of losses that `relscale fit` reads.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use clap::Args;
use relscale::ladder::{Ladder, LadderError, RunTable, Tables, TrainedRun};

use crate::commands::{CommandError, logs};
use crate::output::{note, warning};
use crate::readers::harness::{Model, Selection};
use crate::readers::logged::{self, Logged};
use crate::released;

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
            tables = add_logs(tables, folder, &files)?;
        }
        let (ladder, notes) = tables.ladder()?;
        for text in notes {
            note(&format!("note: {text}"));
        }
        Ok(ladder)
    }
}

/// Adds the losses of a folder of logs. The runs are those of the tables of runs among `files`, or of
/// released ladders.
fn add_logs(tables: Tables, folder: &Path, files: &[&PathBuf]) -> Result<Tables, CommandError> {
    let Logged {
        models,
        scored,
        warnings,
    } = logged::read(folder, &Selection::default())?;
    for found in warnings {
        warning(&found);
    }
    // A table of losses is none of runs: it repeats them.
    let (mut runs, mut refused): (Vec<TrainedRun>, Option<LadderError>) = (Vec::new(), None);
    for file in files.iter().filter(|file| **file != Path::new("-")) {
        match RunTable::from_csv_of_models(file) {
            Ok(table) => runs.extend(table.runs),
            Err(e) => refused = refused.or(Some(e)),
        }
    }
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
