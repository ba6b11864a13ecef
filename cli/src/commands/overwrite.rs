//! Outputs that would replace what a command reads.

use std::fs;
use std::path::{Path, PathBuf};

use relscale::checkpoint::{Checkpoint, describes_model};

use super::CommandError;

/// Refuses an output that would replace an input, a log in a folder among the inputs, or another output.
/// Each output comes with its option and may not be asked for.
///
/// Asked before anything is computed: an output that is refused at the end has cost the whole run.
pub(super) fn refuse<'a>(
    inputs: impl IntoIterator<Item = &'a Path>,
    outputs: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
) -> Result<(), CommandError> {
    let inputs: Vec<&Path> = inputs.into_iter().collect();
    let folders = inputs.iter().filter(|path| path.is_dir());
    let folders: Vec<PathBuf> = folders
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let inputs: Vec<PathBuf> = inputs.into_iter().filter_map(place).collect();
    let mut taken: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in outputs {
        let Some((path, to)) = path.and_then(|path| Some((path, place(path)?))) else {
            continue;
        };
        let shown = path.display();
        if inputs.contains(&to) {
            return Err(CommandError::Usage(format!(
                "{option} {shown}: this file is read by the command, and the output would replace it"
            )));
        }
        if folders.iter().any(|folder| to.starts_with(folder)) && is_log(&to) {
            return Err(CommandError::Usage(format!(
                "{option} {shown}: this file is in a folder of logs that is read by the command, and the \
                 output would replace it; name a file elsewhere"
            )));
        }
        if let Some((other, _)) = taken.iter().find(|(_, place)| *place == to) {
            return Err(CommandError::Usage(format!(
                "{option} {shown}: {other} writes the same file"
            )));
        }
        taken.push((option, to));
    }
    Ok(())
}

/// The files on disk that a checkpoint is read from, and those of the base of an adapter.
pub(super) fn checkpoint_files(checkpoint: &Path, base: Option<&Path>) -> Vec<PathBuf> {
    let mut place = Checkpoint::from(checkpoint);
    if let Some(base) = base {
        place = place.with_base(base);
    }
    // A base that is not found is refused where the checkpoint is loaded.
    let folders = [Some(checkpoint.to_owned()), place.whole().ok()];
    let of_folder = |path: PathBuf| -> Vec<PathBuf> {
        if !path.is_dir() {
            return beside(path);
        }
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        files.filter(|file| is_of_checkpoint(file)).collect()
    };
    folders.into_iter().flatten().flat_map(of_folder).collect()
}

/// A file, and the GGUF files beside it if it is one: a model may be in several.
fn beside(file: PathBuf) -> Vec<PathBuf> {
    let is_gguf = |path: &Path| (path.extension()).is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
    if !is_gguf(&file) {
        return vec![file];
    }
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let parts = entries
        .map(|entry| entry.path())
        .filter(|path| is_gguf(path));
    parts.chain([file.clone()]).collect()
}

/// If true, a file of a checkpoint folder may be read with it. Scores and tables in the folder are not.
fn is_of_checkpoint(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let weights = ["safetensors", "bin", "gguf"];
    describes_model(name, false)
        || name == "adapter_config.json"
        || name.ends_with(".index.json")
        || extension.is_some_and(|e| weights.contains(&e.to_ascii_lowercase().as_str()))
}

/// If true, a file is there that may be one of those for which a folder of logs is read. A table from an
/// earlier time is none, and is written again.
fn is_log(path: &Path) -> bool {
    let read = ["json", "jsonl", "eval", "gz", "zst", "part", "error"];
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.exists() && extension.is_some_and(|extension| read.contains(&extension))
}

/// The one path of a regular file, or of one that is not there yet. None for a folder, and for devices
/// and pipes, whose content no output replaces.
fn place(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        return path.is_file().then(|| path.canonicalize().ok())?;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}
