//! Folders of logs of a program that is told by their content.

use std::path::Path;

use relscale::Error;

use super::harness::{self, Model, Scored, Selection, logs::walk};
use super::inspect;

/// The content of a folder of logs.
///
/// Exhaustive: what the readers of both programs return.
#[derive(Debug)]
pub struct Logged {
    /// The models that were evaluated.
    pub models: Vec<Model>,
    /// Their documents with losses, one entry per model and distribution.
    pub scored: Vec<Scored>,
    /// Findings that are no errors.
    pub warnings: Vec<String>,
}

/// Models, documents and warnings of a folder of logs of lm-evaluation-harness or inspect_ai.
///
/// # Errors
/// A folder without logs of either; the errors of [`harness::Logs`] and [`inspect::Logs`].
pub fn read(dir: impl AsRef<Path>, selection: &Selection) -> Result<Logged, Error> {
    let dir = dir.as_ref();
    let (mut of_harness, mut of_inspect) = (false, false);
    walk(dir, 0, &mut |path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        of_harness |= name.starts_with("results") || name.starts_with("samples_");
        of_inspect |= name.ends_with(".eval") || name.ends_with(".json");
        Ok(())
    })?;
    let cloned = |models: Vec<&Model>| models.into_iter().cloned().collect();
    if of_harness {
        let logs = harness::Logs::find(dir)?;
        let (scored, warnings) = logs.read(selection)?;
        Ok(Logged {
            models: cloned(logs.models()),
            scored,
            warnings,
        })
    } else if of_inspect {
        let logs = inspect::Logs::find(dir)?;
        let (scored, warnings) = logs.read(selection)?;
        Ok(Logged {
            models: cloned(logs.models()),
            scored,
            warnings,
        })
    } else {
        let message = "is a folder without logs of lm-evaluation-harness (results_*.json beside \
                       samples_*.jsonl) or inspect_ai; give tables by their files";
        Err(Error::format(dir, message))
    }
}
