//! Losses from the logs of inspect_ai.
//!
//! A log is one model on one task: `eval` (task, model, time), `results` (metrics of each scorer) and
//! `samples`, each with `id`, `epoch`, `scores` by scorer, `target`, `choices` and `metadata`. The files are
//! archives `.eval`, as the program writes them by default, or JSON (`--log-format json`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use relscale::Error;
use serde_json::Value;

use super::harness::{Document, Model, Scored, Selection, json, logs};

mod archive;

/// Difference from the program's own number that rounding explains.
const TOLERANCE: f64 = 1e-6;

/// Logs of inspect_ai under one folder.
///
/// A model is known by the name that the program was given (`hf/EleutherAI/pythia-160m`), with its revision
/// (`-M revision=step1000`) if that is not `main`, or its folder (`-M model_path=./ckpt1` of `hf/local`). Of
/// several logs of a model on a task the newest counts.
#[derive(Debug)]
pub struct Logs {
    dir: PathBuf,
    files: Vec<File>,
}

/// One log without its samples, which are read when they are asked for.
#[derive(Debug)]
struct File {
    path: PathBuf,
    time: String,
    task: String,
    model: Model,
}

impl Logs {
    /// Finds the logs in `dir` and its folders.
    ///
    /// # Errors
    /// A folder without logs; a file `.json` that is not JSON; an archive `.eval` that is damaged or of an
    /// evaluation that was not finished.
    pub fn find(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let mut files = Vec::new();
        logs::walk(dir, 0, &mut |path| {
            match path.extension().and_then(|e| e.to_str()) {
                Some("json") => files.extend(File::read(&path, &json::read(&path)?)),
                Some("eval") => files.extend(File::read(&path, &archive::read(&path, false)?)),
                _ => {}
            }
            Ok(())
        })?;
        if files.is_empty() {
            let message = "no log of inspect_ai, neither `.eval` nor JSON";
            return Err(Error::format(dir, message));
        }
        files.sort_by(|a, b| (&a.time, &a.path).cmp(&(&b.time, &b.path)));
        Ok(Self {
            dir: dir.to_owned(),
            files,
        })
    }

    /// The models, by name and revision.
    #[must_use]
    pub fn models(&self) -> Vec<&Model> {
        let mut all: BTreeMap<(&str, Option<&str>), &Model> = BTreeMap::new();
        for File { model, .. } in &self.files {
            all.insert((&model.name, model.revision.as_deref()), model);
        }
        all.into_values().collect()
    }

    /// Reads the samples of all models, with warnings about what was left out. The metric of the
    /// selection is the name of a scorer, by default the first of the task; the cluster is a field of
    /// `metadata`. The loss of a sample is one minus its score, averaged over its epochs.
    ///
    /// # Errors
    /// By file: a log that did not succeed; samples without a score, or with one that is no share; an
    /// epoch that occurs twice; a mean that differs from the accuracy or mean in the results; a task that
    /// models ran in different versions. A task or scorer that the logs do not have.
    pub fn read(&self, selection: &Selection) -> Result<(Vec<Scored>, Vec<String>), Error> {
        let time = selection.time.as_deref().unwrap_or("");
        let mut newest: BTreeMap<(&str, Option<&str>, &str), &File> = BTreeMap::new();
        let mut warnings = Vec::new();
        for file in self.files.iter().filter(|f| f.time.starts_with(time)) {
            let File { task, model, .. } = file;
            if !selection.tasks.is_empty() && !selection.tasks.contains(task) {
                continue;
            }
            let key = (
                model.name.as_str(),
                model.revision.as_deref(),
                task.as_str(),
            );
            if let Some(older) = newest.insert(key, file) {
                let (time, last) = (&older.time, &file.time);
                warnings.push(format!(
                    "{model}: {task} of {time} left out for the newer one of {last}"
                ));
            }
        }
        let mut scored = Vec::new();
        for file in newest.into_values() {
            let log = match file.path.extension().is_some_and(|e| e == "eval") {
                true => archive::read(&file.path, true)?,
                false => json::read(&file.path)?,
            };
            let one = file.scored(&log, selection, &mut warnings);
            scored.push(one.map_err(|message| Error::format(&file.path, message))?);
        }
        let has = |task: &&String| !scored.iter().any(|s| s.distribution == **task);
        if scored.is_empty() || selection.tasks.iter().any(|task| has(&task)) {
            let all: BTreeSet<&str> = self.files.iter().map(|f| f.task.as_str()).collect();
            let all: Vec<&str> = all.into_iter().collect();
            let message = format!("not every task asked for; it has {}", all.join(", "));
            return Err(Error::format(&self.dir, message));
        }
        logs::check_forms(&scored, &mut warnings)?;
        logs::complete_chances(&mut scored);
        Ok((scored, warnings))
    }
}

/// If true, a file `.eval` or `.json` is a log of inspect_ai, as far as it can be read.
pub(super) fn is_log(path: &Path) -> bool {
    // No other program writes archives of this name, damaged or not.
    path.extension().is_some_and(|e| e == "eval")
        || json::read(path).is_ok_and(|log| File::read(path, &log).is_some())
}

impl File {
    /// The log in a file, if it is one.
    fn read(path: &Path, log: &Value) -> Option<Self> {
        let eval = log.get("eval")?;
        let text = |field: &str| eval.get(field)?.as_str().map(str::to_owned);
        let argument = |field: &str| eval.get("model_args")?.get(field)?.as_str();
        // Checkpoints of one training run have one name and differ in the revision, folders on disk
        // (`hf/local`) in the path.
        let parts = [
            argument("revision").filter(|revision| *revision != "main"),
            argument("model_path").map(|path| path.trim_end_matches('/')),
        ];
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        let revision = parts.collect::<Vec<_>>().join("/");
        Some(Self {
            path: path.to_owned(),
            time: text("created")?,
            task: text("task")?,
            model: Model {
                name: text("model")?,
                revision: (!revision.is_empty()).then_some(revision),
                params: None,
            },
        })
    }

    fn scored(
        &self,
        log: &Value,
        selection: &Selection,
        warnings: &mut Vec<String>,
    ) -> Result<Scored, String> {
        let status = log
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or("missing");
        if status != "success" {
            return Err(format!(
                "the status of the log is `{status}`, not `success`"
            ));
        }
        let results = log.get("results").and_then(|r| r.get("scores")?.as_array());
        let results: Vec<&Value> = results.into_iter().flatten().collect();
        let name = |score: &&Value| {
            score
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let names: Vec<String> = results.iter().map(name).collect();
        let wanted = selection.metric.as_ref().or(names.first());
        let at = wanted.and_then(|w| names.iter().position(|n| n == w));
        let (Some(wanted), Some(at)) = (wanted, at) else {
            let wanted = selection.metric.as_deref().unwrap_or("");
            return Err(format!("no scorer `{wanted}`; it has {}", names.join(", ")));
        };
        let documents = self.documents(log, wanted, selection.cluster_field.as_deref())?;
        let value = 1.0 - logs::mean_loss(&documents);
        let metrics = results[at].get("metrics");
        let stated = ["accuracy", "mean"]
            .iter()
            .find_map(|m| metrics?.get(m)?.get("value")?.as_f64());
        match stated {
            Some(stated) if (stated - value).abs() > TOLERANCE => {
                return Err(format!(
                    "the samples have a mean `{wanted}` of {value} and the results say {stated}: the \
                     score of a sample is no mean over its epochs, or not that of its value"
                ));
            }
            Some(_) => {}
            None => warnings.push(format!(
                "{}: the results have neither accuracy nor mean of `{wanted}` to compare with",
                self.path.display()
            )),
        }
        let version = log.get("eval").and_then(|e| e.get("task_version"));
        let form = format!("version {}", version.unwrap_or(&Value::Null));
        Ok(Scored {
            model: self.model.clone(),
            distribution: self.task.clone(),
            scorer: format!("1-{wanted}"),
            metric: stated.map(|_| (wanted.clone(), "mean".to_owned())),
            documents,
            value,
            results: self.path.clone(),
            form,
            hash: None,
        })
    }

    /// The samples, each with the mean loss of its epochs.
    fn documents(
        &self,
        log: &Value,
        scorer: &str,
        cluster_field: Option<&str>,
    ) -> Result<Vec<Document>, String> {
        let samples = log.get("samples").and_then(Value::as_array);
        let samples = samples.ok_or("no `samples`; the log is a header only")?;
        let mut order: Vec<Document> = Vec::new();
        let mut place: BTreeMap<String, (usize, BTreeSet<u64>)> = BTreeMap::new();
        for sample in samples {
            let id = match sample.get("id") {
                Some(Value::String(id)) => id.clone(),
                Some(id @ Value::Number(_)) => id.to_string(),
                _ => return Err("a sample has no `id`".to_owned()),
            };
            let of = |message: String| format!("sample `{id}`: {message}");
            let epoch = sample.get("epoch").and_then(Value::as_u64).unwrap_or(1);
            let value = sample
                .get("scores")
                .and_then(|s| s.get(scorer)?.get("value"));
            let value = value.ok_or_else(|| of(format!("no score by `{scorer}`")))?;
            let score = share(value).ok_or_else(|| {
                of(format!(
                    "the score by `{scorer}` is {value}, not between 0 and 1"
                ))
            })?;
            let next = order.len();
            let (at, epochs) = place.entry(id.clone()).or_insert((next, BTreeSet::new()));
            if !epochs.insert(epoch) {
                return Err(of(format!("epoch {epoch} occurs twice")));
            }
            if *at == next {
                let cluster = self.cluster(sample, &id, cluster_field).map_err(of)?;
                order.push(Document {
                    id,
                    cluster,
                    loss: 0.0,
                    weight: 1.0,
                    chance: chance(sample, scorer),
                });
            }
            // Divided by the number of epochs below.
            order[*at].loss += 1.0 - score;
        }
        for (at, epochs) in place.values() {
            order[*at].loss /= epochs.len() as f64;
        }
        if order.is_empty() {
            return Err("no samples".to_owned());
        }
        Ok(order)
    }

    fn cluster(&self, sample: &Value, id: &str, field: Option<&str>) -> Result<String, String> {
        let Some(field) = field else {
            // Samples of two tasks have the same numbers and nothing in common.
            return Ok(format!("{}/{id}", self.task));
        };
        match sample.get("metadata").and_then(|m| m.get(field)) {
            Some(Value::String(name)) => Ok(name.clone()),
            Some(value) => Ok(value.to_string()),
            None => Err(format!("metadata has no field `{field}`")),
        }
    }
}

/// A score as a share: letters (correct, partial, incorrect, no answer), words and numbers, as the
/// program's own metrics read them.
fn share(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Bool(yes) => f64::from(*yes),
        Value::String(text) => match text.as_str() {
            "C" => 1.0,
            "P" => 0.5,
            "I" | "N" => 0.0,
            other => match other.to_ascii_lowercase().as_str() {
                "yes" | "true" => 1.0,
                "no" | "false" => 0.0,
                number => number.parse().ok()?,
            },
        },
        other => other.as_f64()?,
    };
    (0.0..=1.0).contains(&number).then_some(number)
}

/// Loss of a guess, for the scorer of choices with one correct choice.
fn chance(sample: &Value, scorer: &str) -> Option<f64> {
    let choices = sample.get("choices")?.as_array()?.len();
    let single = sample.get("target").is_some_and(Value::is_string);
    (scorer == "choice" && single && choices > 1).then(|| 1.0 - 1.0 / choices as f64)
}
