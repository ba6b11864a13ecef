//! Results files: what was evaluated, when, and the harness's own numbers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use relscale::Error;
use serde_json::{Map, Value};

use super::{json, number};

/// One results file, `results_<time>.json`.
#[derive(Debug)]
pub(super) struct Evaluation {
    pub(super) path: PathBuf,
    /// Time in the names of the results and of the samples.
    pub(super) time: String,
    pub(super) model: Model,
    all: Value,
}

/// The model of a results file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    /// Name that the harness was given: a repository, a folder.
    pub name: String,
    /// Revision other than `main`, with what else tells checkpoints of one name apart: a folder in the
    /// repository, a GGUF file, the path of a folder on disk.
    pub revision: Option<String>,
    /// Number of parameters as the harness counted them.
    pub params: Option<u64>,
}

/// The name, with `@` and the revision where there is one.
impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

impl Evaluation {
    pub(super) fn read(path: &Path, time: &str) -> Result<Self, Error> {
        let all = json::read(path)?;
        let name = all.get("model_name").and_then(Value::as_str);
        let Some(name) = name.filter(|_| all.get("results").is_some_and(Value::is_object)) else {
            let message =
                "no `model_name` and `results`; it is not of lm-evaluation-harness 0.4.3 or later";
            return Err(Error::format(path, message));
        };
        let config = all.get("config");
        let params = config.and_then(|c| c.get("model_num_parameters")?.as_u64());
        let model = Model {
            name: name.to_owned(),
            revision: revision(config),
            params,
        };
        Ok(Self {
            path: path.to_owned(),
            time: time.to_owned(),
            model,
            all,
        })
    }

    /// The object `field` of `name` in the results.
    fn of<'a>(&'a self, field: &str, name: &str) -> Option<&'a Value> {
        self.all.get(field)?.get(name)
    }

    fn names<'a>(&'a self, field: &str) -> Vec<&'a str> {
        let object = self.all.get(field).and_then(Value::as_object);
        object.map_or_else(Vec::new, |o| o.keys().map(String::as_str).collect())
    }

    /// Tasks, which have samples.
    pub(super) fn tasks(&self) -> Vec<&str> {
        self.names("configs")
    }

    /// Groups that the harness aggregated.
    pub(super) fn groups(&self) -> Vec<&str> {
        self.names("groups")
    }

    /// Tasks of a group, at any depth.
    pub(super) fn leaves<'a>(&'a self, group: &'a str) -> BTreeSet<&'a str> {
        let (mut leaves, mut seen) = (BTreeSet::new(), BTreeSet::from([group.to_owned()]));
        let mut open = vec![group];
        while let Some(name) = open.pop() {
            let children = self.of("group_subtasks", name).and_then(Value::as_array);
            for child in children.into_iter().flatten().filter_map(Value::as_str) {
                // A hand-made file may name a group as its own member.
                if seen.insert(child.to_owned()) {
                    open.push(child);
                }
            }
            if self.tasks().contains(&name) {
                leaves.insert(name);
            }
        }
        leaves
    }

    /// Metrics of a task or group with the filters of each.
    pub(super) fn metrics<'a>(&'a self, name: &str) -> Vec<(&'a str, &'a str)> {
        let results = self.of("results", name).and_then(Value::as_object);
        let keys = results.into_iter().flat_map(Map::keys);
        keys.filter_map(|key| key.split_once(','))
            .filter(|(metric, _)| !metric.ends_with("_stderr"))
            .collect()
    }

    /// The metric that the task names first.
    pub(super) fn first_metric<'a>(&'a self, task: &str) -> Option<&'a str> {
        let list = self.of("configs", task)?.get("metric_list")?.as_array()?;
        list.first()?.get("metric")?.as_str()
    }

    /// Filters of a metric, in the order of the task.
    pub(super) fn filters<'a>(&'a self, task: &str, metric: &str) -> Vec<&'a str> {
        let list = self
            .of("configs", task)
            .and_then(|c| c.get("filter_list")?.as_array());
        let place = |filter: &str| {
            let mut names = list
                .into_iter()
                .flatten()
                .filter_map(|f| f.get("name")?.as_str());
            names.position(|name| name == filter)
        };
        let all = self.metrics(task).into_iter();
        let mut found: Vec<&str> = all.filter(|m| m.0 == metric).map(|m| m.1).collect();
        found.sort_by_key(|filter| (place(filter).is_none(), place(filter)));
        found
    }

    /// The harness's own value.
    pub(super) fn value(&self, name: &str, metric: &str, filter: &str) -> Option<f64> {
        let key = format!("{metric},{filter}");
        let results = (self.of("results", name)).or_else(|| self.of("groups", name));
        results.and_then(|r| r.get(key)).and_then(number)
    }

    /// A field of the entry of a metric in the configuration of a task.
    fn entry<'a>(&'a self, task: &str, metric: &str, field: &str) -> Option<&'a Value> {
        let list = self.of("configs", task)?.get("metric_list")?.as_array()?;
        let entry = list
            .iter()
            .find(|m| m.get("metric").is_some_and(|name| name == metric));
        entry?.get(field)
    }

    pub(super) fn aggregation<'a>(&'a self, task: &str, metric: &str) -> Option<&'a str> {
        self.entry(task, metric, "aggregation")?.as_str()
    }

    pub(super) fn higher_is_better(&self, task: &str, metric: &str) -> Option<bool> {
        let stated = self
            .of("higher_is_better", task)
            .and_then(|all| all.get(metric));
        (stated.and_then(Value::as_bool))
            .or_else(|| self.entry(task, metric, "higher_is_better")?.as_bool())
    }

    /// Kind of the requests: `multiple_choice`, `loglikelihood`, `loglikelihood_rolling` or
    /// `generate_until`.
    pub(super) fn output_type<'a>(&'a self, task: &str) -> &'a str {
        let kind = self
            .of("configs", task)
            .and_then(|c| c.get("output_type")?.as_str());
        kind.unwrap_or("")
    }

    /// Number of documents of a task.
    pub(super) fn documents(&self, task: &str) -> Option<u64> {
        self.of("n-samples", task)?.get("effective")?.as_u64()
    }

    /// Version and number of shots of a task, which models must have in common to be compared on it.
    pub(super) fn form(&self, task: &str) -> String {
        let of = |field| {
            self.of(field, task)
                .map_or_else(|| "?".to_owned(), Value::to_string)
        };
        format!("version {}, {} shots", of("versions"), of("n-shot"))
    }

    /// Hash of documents and prompts.
    pub(super) fn hash<'a>(&'a self, task: &str) -> Option<&'a str> {
        self.of("task_hashes", task)?.as_str()
    }
}

/// The revision of the model, and the folder and the GGUF file in its repository if there are any.
fn revision(config: Option<&Value>) -> Option<String> {
    let config = config?;
    let arguments = config.get("model_args");
    let argument = |name: &str| -> Option<String> {
        match arguments? {
            Value::String(text) => (text.split(','))
                .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned),
            object => object.get(name)?.as_str().map(str::to_owned),
        }
    };
    let stated = config.get("model_revision").and_then(Value::as_str);
    let revision = argument("revision").or_else(|| stated.map(str::to_owned));
    // Checkpoints of one training run have one name and differ in this.
    let parts = [
        revision.filter(|r| r != "main"),
        argument("subfolder"),
        argument("gguf_file"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|p| !p.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_tells_checkpoints_of_one_name_apart_is_part_of_the_model() {
        let of = |arguments: Value| revision(Some(&json!({ "model_args": arguments })));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(json!("pretrained=x,revision=main")), None);
        assert_eq!(
            of(json!("pretrained=x,gguf_file=a-q4.gguf")),
            some("a-q4.gguf")
        );
        assert_eq!(
            of(json!({"revision": "v1", "subfolder": "sub", "gguf_file": "a.gguf"})),
            some("v1/sub/a.gguf")
        );
    }
}
