//! Scores of items, in memory or in a log.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Evaluation, Progress, Settings};
use relscale::log::{Key, Log, Record};
use relscale::scorer::{self, Scorer};

use crate::between::{Between, Stopped};
use crate::errors::{Raise, detached, of_json};
use crate::model::Model;

/// Scores items; returns columns with one row per item and scorer, in the order of the items.
///
/// The items are the lines of `lines` or, without them, those of the file `name`.
#[pyfunction]
#[allow(
    clippy::too_many_arguments,
    reason = "the package's own function names them"
)]
pub(crate) fn score<'py>(
    py: Python<'py>,
    model: &Model,
    name: String,
    lines: Option<String>,
    scorers: Vec<String>,
    settings: &str,
    log: Option<PathBuf>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let settings: Settings =
        serde_json::from_str(settings).map_err(|e| of_json(py, "OptionError", &e))?;
    let scored = detached(py, || -> Result<_, Stopped> {
        let items = match lines {
            Some(lines) => Items::read_jsonl(Cursor::new(lines), &name)?,
            None => Items::from_jsonl(&name)?,
        };
        let scorers: Vec<Box<dyn Scorer>> = scorers
            .iter()
            .map(|s| scorer::by_name(s))
            .collect::<Result<_, _>>()?;
        let between = Between::new(progress);
        let result = scores(model, &items, &scorers, settings, log, &between);
        let records = between.settle(result)?;
        Ok((items, records))
    })?;
    columns(py, &scored.0, &scorers, &scored.1).map_err(|e| e.raised(py))?
}

/// The records of the items by id, of a log if there is one.
fn scores(
    model: &Model,
    items: &Items,
    scorers: &[Box<dyn Scorer>],
    settings: Settings,
    log: Option<PathBuf>,
    between: &Between,
) -> Result<BTreeMap<String, Record>, Error> {
    let scorers: Vec<&dyn Scorer> = scorers.iter().map(|s| &**s).collect();
    let mut evaluation = Evaluation::new(&*model.model)
        .scorers(&scorers)
        .settings(settings)
        .progress(|p: Progress| between.report((p.tokens, p.total)))
        .stop_when(|| between.stop());
    let is_text = |i| items.item(i).is_ok_and(|item| item.content.is_text());
    let has_text = (0..items.len()).any(is_text);
    if has_text {
        evaluation = evaluation.tokenizer(model.tokenizer()?);
    }
    let Some(path) = log else {
        let scores = evaluation.run(items)?;
        let records = scores.items().iter().map(|item| {
            let record = Record {
                cluster: item.cluster.clone(),
                scores: item.scores.clone(),
                warnings: item.warnings.iter().map(ToString::to_string).collect(),
            };
            (item.id.clone(), record)
        });
        return Ok(records.collect());
    };
    let hash = model.pin.hash()?;
    // The log says which files were scored: those of the hash, which was taken later than the model.
    model.pin.ensure_unchanged()?;
    let key = Key::new(hash, model.backend.as_str(), items, &scorers, &settings)?;
    let key = key
        .with_backend_version(version(&model.backend))
        .with_special_tokens_parsed(has_text && model.special_tokens);
    let mut log = Log::open(path, &key)?;
    log.score(&evaluation, items)?;
    Ok(log.table().records().clone())
}

/// Version of a backend and of its kernels, as logs of the program have it.
fn version(backend: &str) -> String {
    match backend {
        // A part of the crate whose version is in every key.
        "reference f64" => String::new(),
        _ => format!(
            "relscale-cpu {}, kernels {}",
            relscale_cpu::VERSION,
            relscale_cpu::KERNEL_REVISION
        ),
    }
}

/// The columns of the long table that ladders are read from.
fn columns<'py>(
    py: Python<'py>,
    items: &Items,
    scorers: &[String],
    records: &BTreeMap<String, Record>,
) -> Result<PyResult<Bound<'py, PyDict>>, Error> {
    let mut text: [Vec<String>; 5] = Default::default();
    let mut numbers: [Vec<f64>; 2] = Default::default();
    for index in 0..items.len() {
        let item = items.item(index)?;
        let Some(record) = records.get(&item.id) else {
            continue;
        };
        for (scorer, score) in scorers.iter().zip(&record.scores) {
            let warnings = record.warnings.join("; ");
            let row = [items.name(), &item.id, &record.cluster, scorer, &warnings];
            for (column, value) in text.iter_mut().zip(row) {
                column.push(value.to_owned());
            }
            // As everywhere in that table: the mean loss per unit of weight.
            numbers[0].push(score.loss / score.weight);
            numbers[1].push(score.weight);
        }
    }
    let dict = || -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        let [distribution, item, cluster, scorer, warnings] = text;
        let [loss, weight] = numbers;
        columns.set_item("distribution", distribution)?;
        columns.set_item("item", item)?;
        columns.set_item("cluster", cluster)?;
        columns.set_item("scorer", scorer)?;
        columns.set_item("loss", loss)?;
        columns.set_item("weight", weight)?;
        columns.set_item("warnings", warnings)?;
        Ok(columns)
    };
    Ok(dict())
}
