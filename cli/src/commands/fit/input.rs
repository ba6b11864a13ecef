//! Table of losses that `relscale fit` reads.

use std::path::PathBuf;

use clap::Args;
use relscale::ladder::Ladder;

use crate::commands::CommandError;

/// The table of losses.
#[derive(Debug, Args)]
pub(super) struct InputArguments {
    /// Table of losses (CSV)
    #[arg(long, value_name = "FILE.csv")]
    scores: PathBuf,
    /// Column of the table that is the scale instead of training compute, such as test_time_tokens
    #[arg(long, value_name = "COLUMN")]
    scale: Option<String>,
}

impl InputArguments {
    /// Reads the table.
    pub(super) fn ladder(&self) -> Result<Ladder, CommandError> {
        Ok(match &self.scale {
            Some(column) => Ladder::load_csv_along(&self.scores, column)?,
            None => Ladder::load_csv(&self.scores)?,
        })
    }
}
