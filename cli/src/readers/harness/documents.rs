//! The documents of one sample file, checked against the results beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use relscale::Error;
use serde_json::Value;

use super::logs::Document;
use super::metric::Metric;
use super::results::Evaluation;
use super::{asked, json};

/// Difference from the harness's own number that rounding explains. Its sums are in another order; the
/// numbers have six digits or more.
const TOLERANCE: f64 = 1e-6;

/// The sample file of a task.
fn samples(e: &Evaluation, task: &str) -> Result<PathBuf, Error> {
    if task.contains(['/', '\\']) {
        return Err(Error::format(
            &e.path,
            format!("the task `{task}` is no name of a file"),
        ));
    }
    let name = format!("samples_{task}_{}.jsonl", e.time);
    let of = |end| e.path.with_file_name(format!("{name}{end}"));
    let found = ["", ".gz", ".zst"].map(of).into_iter().find(|p| p.exists());
    let message =
        "the results are here and the samples are not; run the harness with --log_samples";
    found.ok_or_else(|| Error::format(of(""), message))
}

/// Reads the documents of a task and compares number and mean with the results.
pub(super) fn read(
    e: &Evaluation,
    task: &str,
    metric: &Metric,
    cluster_field: Option<&str>,
) -> Result<Vec<Document>, Error> {
    let path = samples(e, task)?;
    let mut documents = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    // Losses of our own are of the log-likelihoods, which every filter repeats.
    let mut wanted = metric.logged.as_ref().map(|l| l.1.clone());
    json::each_line(&path, |line, sample| {
        let filter = sample
            .get("filter")
            .and_then(Value::as_str)
            .unwrap_or("none");
        if filter != wanted.get_or_insert_with(|| filter.to_owned()) {
            return Ok(());
        }
        let id = sample.get("doc_id").ok_or("no doc_id")?;
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        if let Some(first) = lines.insert(id.clone(), line) {
            return Err(format!("document {id} is also on line {first}"));
        }
        documents.push(document(&sample, id, task, metric, cluster_field)?);
        Ok(())
    })?;
    if documents.is_empty() {
        let filter = wanted.unwrap_or_default();
        return Err(Error::format(
            path,
            format!("no document with the filter `{filter}`"),
        ));
    }
    let found = documents.len() as u64;
    if let Some(stated) = e.documents(task).filter(|n| *n != found) {
        let message = format!("{found} documents; {} says {stated}", e.path.display());
        return Err(Error::format(path, message));
    }
    compare(e, task, metric, mean(&documents), &path)?;
    Ok(documents)
}

fn document(
    sample: &Value,
    id: String,
    task: &str,
    metric: &Metric,
    cluster_field: Option<&str>,
) -> Result<Document, String> {
    let (loss, weight) = metric.of_document(sample)?;
    if !(loss.is_finite() && loss >= 0.0) {
        return Err(format!(
            "the loss of document {id} by {} is {loss}",
            metric.scorer
        ));
    }
    let responses = sample.get("filtered_resps").and_then(Value::as_array);
    let choices = responses.map_or(0, |r| asked(sample, r.len()));
    let cluster = match cluster_field {
        // Documents of two tasks have the same numbers and nothing in common.
        None => format!("{task}/{id}"),
        Some(field) => match sample.get("doc").and_then(|doc| doc.get(field)) {
            Some(Value::String(name)) => name.clone(),
            Some(value) => value.to_string(),
            None => return Err(format!("doc has no field `{field}`")),
        },
    };
    Ok(Document {
        id,
        cluster,
        loss,
        weight,
        chance: metric.chance(sample, choices),
    })
}

/// `Σ loss·weight / Σ weight`.
pub(in crate::readers) fn mean(documents: &[Document]) -> f64 {
    let total: f64 = documents.iter().map(|d| d.loss * d.weight).sum();
    total / documents.iter().map(|d| d.weight).sum::<f64>()
}

/// Refuses a mean loss that does not give the harness's own number.
pub(super) fn compare(
    e: &Evaluation,
    name: &str,
    metric: &Metric,
    loss: f64,
    samples: &Path,
) -> Result<(), Error> {
    let Some((logged, filter)) = &metric.logged else {
        return Ok(());
    };
    let stated = e.value(name, logged, filter).filter(|v| v.is_finite());
    let own = metric.of_mean(loss);
    match stated {
        Some(stated) if (own - stated).abs() <= TOLERANCE * stated.abs().max(1.0) => Ok(()),
        Some(stated) => {
            let message = format!(
                "the documents give a `{logged}` of {own} and {} says {stated}: it is no mean over \
                 documents, or the two are of different evaluations",
                e.path.display()
            );
            Err(Error::format(samples, message))
        }
        None => {
            let message = format!("`{logged},{filter}` of `{name}` is not a number");
            Err(Error::format(&e.path, message))
        }
    }
}
