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
/// A folder without logs of either, or with logs of both; the errors of [`harness::Logs`] and [`inspect::Logs`].
pub fn read(dir: impl AsRef<Path>, selection: &Selection) -> Result<Logged, Error> {
    let dir = dir.as_ref();
    let (mut of_harness, mut of_inspect) = (Vec::new(), Vec::new());
    walk(dir, 0, &mut |path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        if name.starts_with("results") || name.starts_with("samples_") {
            of_harness.push(path);
        } else if name.ends_with(".eval") || name.ends_with(".json") {
            of_inspect.push(path);
        }
        Ok(())
    })?;
    let cloned = |models: Vec<&Model>| models.into_iter().cloned().collect();
    if let Some(one) = of_harness.first() {
        // Other JSON may lie beside the results.
        if let Some(other) = of_inspect.iter().find(|path| inspect::is_log(path)) {
            // Each program has names of its own for models, and metrics of its own.
            let message = format!(
                "holds logs of lm-evaluation-harness ({}) and of inspect_ai ({}), which are read one at a \
                 time; move one kind elsewhere, or make a table of each with `relscale harness` and \
                 `relscale inspect` and give `relscale fit` both",
                inside(dir, one),
                inside(dir, other)
            );
            return Err(Error::format(dir, message));
        }
        let logs = harness::Logs::find(dir)?;
        let (scored, warnings) = logs.read(selection)?;
        Ok(Logged {
            models: cloned(logs.models()),
            scored,
            warnings,
        })
    } else if !of_inspect.is_empty() {
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

/// The path of a file of `dir` without the folder.
fn inside(dir: &Path, file: &Path) -> String {
    let path = file.strip_prefix(dir).unwrap_or(file);
    path.display().to_string()
}
