//! Folders of logs: several models, tasks and times.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use relscale::{Error, input};

use super::SEVERAL;
pub(in crate::readers) use super::documents::mean as mean_loss;
use super::documents::{mean, read};
use super::group::group;
use super::metric::Metric;
use super::results::{Evaluation, Model};
use crate::readers::entries;

/// Logs of lm-evaluation-harness 0.4.3 or later under one folder, as `--output_path` and
/// `--log_samples` write them: `results_<time>.json` beside `samples_<task>_<time>.jsonl`.
///
/// A model is known by the name that the harness was given, with its revision if that is not `main`.
/// Of several evaluations of a model on a task the newest counts.
///
/// # Examples
/// ```no_run
/// use relscale_cli::readers::harness::{Logs, Selection};
///
/// let logs = Logs::find("out")?;
/// let (scored, warnings) = logs.read(&Selection::default())?;
/// for one in &scored {
///     println!("{} on {}: {} {}", one.model, one.distribution, one.loss(), one.scorer);
/// }
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug)]
pub struct Logs {
    dir: PathBuf,
    evaluations: Vec<Evaluation>,
    /// Sample files without results.
    orphans: Vec<PathBuf>,
}

/// Logs to read, and the loss of their documents.
///
/// Exhaustive: callers build it by its fields.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Tasks and groups, each a distribution; all tasks if empty.
    pub tasks: Vec<String>,
    /// Metric as `NAME` or `NAME,FILTER`; `None` for the log loss of the task's kind of requests:
    /// `choice_log_loss`, `answer_nats`, `bits_per_byte`, or the first metric of generated text.
    pub metric: Option<String>,
    /// Start of the times that count, such as `2026-11-02`; `None` for all.
    pub time: Option<String>,
    /// Field of `doc` that names the cluster; `None` makes each document a cluster.
    pub cluster_field: Option<String>,
}

/// Losses of one model on one distribution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scored {
    /// The model.
    pub model: Model,
    /// Name of the task or group.
    pub distribution: String,
    /// Name of the loss in tables.
    pub scorer: String,
    /// The harness's name of the metric with its filter; `None` for losses that it does not compute.
    pub metric: Option<(String, String)>,
    /// Documents in the order of the files.
    pub documents: Vec<Document>,
    /// Mean loss as the harness's metric.
    pub value: f64,
    /// File of the results.
    pub(in crate::readers) results: PathBuf,
    /// Version of the task, which models must have in common.
    pub(in crate::readers) form: String,
    /// Hash of documents and prompts.
    pub(in crate::readers) hash: Option<String>,
}

impl Scored {
    /// Mean loss of the documents, `Σ loss·weight / Σ weight`.
    #[must_use]
    pub fn loss(&self) -> f64 {
        mean(&self.documents)
    }
}

/// Loss of one document.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Document {
    /// `doc_id`; in a group `task/doc_id`.
    pub id: String,
    /// Documents that were drawn together.
    pub cluster: String,
    /// Loss per unit of weight, finite and at least 0.
    pub loss: f64,
    /// Bytes, words or documents.
    pub weight: f64,
    /// Loss of a model that knows nothing, if it is known.
    pub chance: Option<f64>,
}

impl Logs {
    /// Finds the logs in `dir` and its folders and reads the results files.
    ///
    /// # Errors
    /// A folder without results; a results file that is not JSON or not of the harness.
    pub fn find(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let (mut evaluations, mut samples) = (Vec::new(), Vec::new());
        walk(dir, 0, &mut |path| {
            let name = path.file_name().and_then(|s| s.to_str()).unwrap_or("");
            let stem = input::stem(&path);
            // `.jsonl` of `samples_….jsonl.gz`.
            let extension = name
                .strip_prefix(&stem)
                .and_then(|end| end.split('.').nth(1));
            let Some((_, time)) = stem.rsplit_once('_').filter(|(_, t)| is_time(t)) else {
                return Ok(());
            };
            match extension {
                Some("json") => evaluations.push(Evaluation::read(&path, time)?),
                Some("jsonl") if stem.starts_with("samples_") => {
                    samples.push((path.with_file_name(""), time.to_owned(), path.clone()));
                }
                _ => {}
            }
            Ok(())
        })?;
        if evaluations.is_empty() {
            let message = "no results of lm-evaluation-harness 0.4.3 or later: `results_<time>.json` \
                           beside `samples_<task>_<time>.jsonl`, as --output_path and --log_samples \
                           write them";
            return Err(Error::format(dir, message));
        }
        let known: BTreeSet<(PathBuf, String)> = (evaluations.iter())
            .map(|e| (e.path.with_file_name(""), e.time.clone()))
            .collect();
        samples.retain(|(folder, time, _)| !known.contains(&(folder.clone(), time.clone())));
        // By time, so that the last that fits is the newest.
        evaluations.sort_by(|a, b| (&a.time, &a.path).cmp(&(&b.time, &b.path)));
        Ok(Self {
            dir: dir.to_owned(),
            evaluations,
            orphans: samples.into_iter().map(|s| s.2).collect(),
        })
    }

    /// The models, by name and revision.
    #[must_use]
    pub fn models(&self) -> Vec<&Model> {
        let mut all: BTreeMap<(&str, Option<&str>), &Model> = BTreeMap::new();
        for Evaluation { model, .. } in &self.evaluations {
            all.insert((&model.name, model.revision.as_deref()), model);
        }
        all.into_values().collect()
    }

    /// Reads the documents of all models, with warnings about what was left out.
    ///
    /// # Errors
    /// By file and line: text that is not JSON, documents that occur twice, missing fields, losses that
    /// are negative or not finite. By file: missing samples; a number of documents or a mean that
    /// differs from the results; a task that models ran in different versions or with different
    /// numbers of shots. A task or metric that the logs do not have.
    pub fn read(&self, selection: &Selection) -> Result<(Vec<Scored>, Vec<String>), Error> {
        let mut scored: Vec<Scored> = Vec::new();
        let mut warnings: Vec<String> = (self.orphans.iter())
            .map(|path| {
                format!(
                    "{}: left out: no results of this time beside it",
                    path.display()
                )
            })
            .collect();
        for model in self.models() {
            for (e, name) in self.newest(model, selection, &mut warnings) {
                scored.push(self.one(e, name, selection, &mut warnings)?);
            }
        }
        for wanted in &selection.tasks {
            if !scored.iter().any(|s| s.distribution == *wanted) {
                return Err(self.unknown(wanted));
            }
        }
        if scored.is_empty() {
            let message = match &selection.time {
                Some(time) => format!("no task of a time that starts with `{time}`"),
                None => "no tasks in the results".to_owned(),
            };
            return Err(Error::format(&self.dir, message));
        }
        check_forms(&scored, &mut warnings)?;
        complete_chances(&mut scored);
        warnings.dedup();
        Ok((scored, warnings))
    }

    fn unknown(&self, wanted: &str) -> Error {
        let all = self
            .evaluations
            .iter()
            .flat_map(|e| [e.tasks(), e.groups()].concat());
        let all: BTreeSet<&str> = all.collect();
        let all: Vec<&str> = all.into_iter().collect();
        let message = format!("no task or group `{wanted}`; it has {}", all.join(", "));
        Error::format(&self.dir, message)
    }

    /// The newest evaluation of a model on each task or group that is wanted.
    fn newest<'a>(
        &'a self,
        model: &Model,
        selection: &Selection,
        warnings: &mut Vec<String>,
    ) -> Vec<(&'a Evaluation, &'a str)> {
        let mut found: BTreeMap<&str, Vec<&Evaluation>> = BTreeMap::new();
        let same =
            |e: &&Evaluation| (&e.model.name, &e.model.revision) == (&model.name, &model.revision);
        let time = selection.time.as_deref().unwrap_or("");
        for e in self
            .evaluations
            .iter()
            .filter(same)
            .filter(|e| e.time.starts_with(time))
        {
            let names = match selection.tasks.is_empty() {
                true => e.tasks(),
                false => [e.tasks(), e.groups()].concat(),
            };
            let wanted = |name: &&str| {
                selection.tasks.is_empty() || selection.tasks.iter().any(|task| task == name)
            };
            // A group may also be listed among the tasks.
            for name in names.into_iter().filter(wanted).collect::<BTreeSet<_>>() {
                found.entry(name).or_default().push(e);
            }
        }
        let mut older: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        let mut newest = Vec::new();
        for (name, mut all) in found {
            let Some(last) = all.pop() else { continue };
            for e in all {
                older.entry((&e.time, &last.time)).or_default().push(name);
            }
            newest.push((last, name));
        }
        for ((time, last), names) in older {
            warnings.push(format!(
                "{model}: {} of {time} left out for the newer one of {last}",
                names.join(", ")
            ));
        }
        newest
    }

    /// Documents of one model on a task or group.
    fn one(
        &self,
        e: &Evaluation,
        name: &str,
        selection: &Selection,
        warnings: &mut Vec<String>,
    ) -> Result<Scored, Error> {
        let wanted = selection.metric.as_deref();
        let metric = |task: &str| {
            Metric::of(e, task, wanted)
                .map_err(|m| Error::format(&e.path, format!("task `{task}`: {m}")))
        };
        let cluster = selection.cluster_field.as_deref();
        let is_task = e.tasks().contains(&name);
        let (metric, documents) = if is_task {
            let metric = metric(name)?;
            match read(e, name, &metric, cluster) {
                // The default is no choice of the caller's: the task has another metric.
                Err(Error::Line { message, .. })
                    if wanted.is_none() && message.contains(SEVERAL) =>
                {
                    let first = e.first_metric(name);
                    let metric = Metric::of(e, name, first)
                        .map_err(|m| Error::format(&e.path, format!("task `{name}`: {m}")))?;
                    let first = first.unwrap_or_default();
                    warnings.push(format!(
                        "{name}: {SEVERAL}, which have no log loss; `{first}` is taken"
                    ));
                    let documents = read(e, name, &metric, cluster)?;
                    (metric, documents)
                }
                documents => (metric, documents?),
            }
        } else {
            let leaves: Vec<&str> = e.leaves(name).into_iter().collect();
            let mut parts = Vec::new();
            for task in &leaves {
                let metric = metric(task)?;
                let documents = read(e, task, &metric, cluster)?;
                parts.push((*task, metric, documents));
            }
            group(e, name, parts, &self.evaluations)?
        };
        if let Some((logged, filter)) = &metric.logged
            && wanted.is_none_or(|w| !w.contains(','))
            && is_task
            && let filters = e.filters(name, logged)
            && filters.len() > 1
        {
            warnings.push(format!(
                "{name}: `{logged}` with the filter `{filter}` of {}; choose with --metric {logged},FILTER",
                filters.join(", ")
            ));
        }
        Ok(Scored {
            model: e.model.clone(),
            distribution: name.to_owned(),
            scorer: metric.scorer.clone(),
            value: metric.of_mean(mean(&documents)),
            metric: metric.logged,
            documents,
            results: e.path.clone(),
            form: e.form(name),
            hash: e.hash(name).map(str::to_owned),
        })
    }
}

/// Refuses a distribution that models ran in different forms, and warns of other prompts.
pub(in crate::readers) fn check_forms(
    scored: &[Scored],
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let mut first: BTreeMap<&str, &Scored> = BTreeMap::new();
    for one in scored {
        let known = first.entry(&one.distribution).or_insert(one);
        let at = known.results.display();
        let both = |what: String| {
            let message = format!("`{}`: {what} {at}", one.distribution);
            Error::format(&one.results, message)
        };
        if known.form != one.form {
            let (form, other) = (&one.form, &known.form);
            return Err(both(format!("{form}, and {other} in")));
        }
        if known.scorer != one.scorer {
            let (scorer, other) = (&one.scorer, &known.scorer);
            return Err(both(format!("scored by {scorer}, and by {other} in")));
        }
        if known.hash != one.hash {
            warnings.push(format!(
                "{}: documents or prompts of {} differ from those of {}",
                one.distribution, one.model, known.model
            ));
        }
    }
    Ok(())
}

/// Drops the chance levels of distributions of which some document has none.
pub(in crate::readers) fn complete_chances(scored: &mut [Scored]) {
    let lacking: BTreeSet<String> = (scored.iter())
        .filter(|s| s.documents.iter().any(|d| d.chance.is_none()))
        .map(|s| s.distribution.clone())
        .collect();
    for one in scored
        .iter_mut()
        .filter(|s| lacking.contains(&s.distribution))
    {
        one.documents.iter_mut().for_each(|d| d.chance = None);
    }
}

/// If true, the end of a file's name is a time as the harness writes it, `2026-11-02T10-30-00.123456`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |b: &u8| b.is_ascii_digit() || *b == b'-' || *b == b'.';
    bytes.len() >= 19 && bytes[10] == b'T' && bytes[..10].iter().chain(&bytes[11..]).all(digits)
}

/// Depth limit of the search, which also ends a cycle of links.
const DEEPEST: usize = 6;

/// Calls `found` with every file at and below `dir`.
pub(in crate::readers) fn walk(
    dir: &Path,
    depth: usize,
    found: &mut impl FnMut(PathBuf) -> Result<(), Error>,
) -> Result<(), Error> {
    for path in entries(dir)? {
        if path.is_dir() {
            if depth < DEEPEST {
                walk(&path, depth + 1, found)?;
            }
        } else {
            found(path)?;
        }
    }
    Ok(())
}
