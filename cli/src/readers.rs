//! Readers of benchmark files.
//!
//! One module per kind of file: running text ([`texts`]), the same sentences in several forms
//! ([`matched`]), multiple choice ([`mmlu`], [`behaviours`], [`multiple_choice`]). Each returns one
//! [`Items`](relscale::distribution::Items) per distribution to compare (a region, a group of
//! subjects), with its clusters. [`harness`] reads losses
//! that lm-evaluation-harness has computed, [`inspect`] scores of inspect_ai, [`logged`] either.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::input::stem;
use serde_json::{Map, Value};

pub mod behaviours;
pub mod harness;
pub mod inspect;
pub mod logged;
pub mod matched;
pub mod mmlu;
pub mod multiple_choice;
pub(crate) mod rows;
pub mod texts;

/// The string or number in `field`; `None` if it is absent.
fn name(line: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match line.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(Value::Number(name)) => Ok(Some(name.to_string())),
        Some(_) => Err(format!("`{field}` is neither a string nor a number")),
    }
}

/// The ids of a file with their lines, to refuse duplicates.
#[derive(Default)]
struct Ids(HashMap<String, usize>);

impl Ids {
    fn insert(&mut self, id: &str, line: usize) -> Result<(), String> {
        match self.0.insert(id.to_owned(), line) {
            Some(before) => Err(format!("id `{id}` is also on line {before}")),
            None => Ok(()),
        }
    }
}

/// The files of `dir` with this extension, in alphabetical order.
fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = entries(dir)?;
    found.retain(|path| {
        path.is_file()
            && path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case(extension))
    });
    Ok(found)
}

/// The entries of `dir` that are not hidden, in alphabetical order.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
        let path = entry.map_err(|e| Error::io(dir, e))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
