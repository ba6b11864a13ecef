//! The file that describes a study.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Source;
use crate::hub::joined;
use relscale::Error;
use relscale::evaluate::Settings;
use relscale::input;

use crate::json;

/// A study as its author writes it.
///
/// Exhaustive: it mirrors the fields of the file, and tests and programs build it by its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// The table of runs ([`RunTable::from_csv`](relscale::ladder::RunTable::from_csv)).
    pub runs: PathBuf,
    /// Folder of the base of every adapter that has none in the table, or a folder of bases
    /// ([`Checkpoint::with_base`](relscale::checkpoint::Checkpoint::with_base)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Distributions to score.
    pub distributions: Vec<Source>,
    /// Windows, beginning-of-sequence tokens and batches.
    #[serde(default)]
    pub scoring: Settings,
    /// If true, special tokens written in a text become their ids
    /// ([`Tokenizer::with_special_tokens_parsed`](relscale::tokenizer::Tokenizer::with_special_tokens_parsed)).
    #[serde(default)]
    pub special_tokens: bool,
    /// Backend and precision ([`EngineBackend::by_name`](crate::engine::EngineBackend::by_name)).
    #[serde(default = "cpu")]
    pub backend: String,
    /// Most FLOPs that one unit may cost ([`Unit::flops`](super::Unit::flops)).
    pub unit_flops: f64,
}

fn cpu() -> String {
    "cpu f32".to_owned()
}

impl Study {
    /// Reads a study from a file in JSON, or in TOML if its name ends in `.toml`. Relative paths are
    /// relative to the folder of the file.
    ///
    /// # Errors
    /// A file that cannot be read or is not a study, with the line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = input::text(path, json::SETTINGS).map_err(|e| Error::io(path, e))?;
        let mut study: Self = match path.extension().is_some_and(|e| e == "toml") {
            true => toml::from_str(&text).map_err(|e| {
                let before = e.span().map_or(0, |at| at.start);
                let line = 1 + text[..before].matches('\n').count();
                Error::format(path, format!("line {line}: {}", e.message()))
            })?,
            false => json::parse(&text).map_err(|e| Error::format(path, e))?,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        study.runs = folder.join(&study.runs);
        study.base = study.base.map(|base| joined(folder, &base));
        for source in &mut study.distributions {
            source.path = folder.join(&source.path);
        }
        Ok(study)
    }
}
