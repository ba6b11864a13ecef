//! Common parts of the commands that turn logs of other programs into a table of losses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use relscale::Error;
use relscale::ladder::{Run, RunTable, TrainedRun};
use relscale::log::LongTable;
use relscale::scorer::{ItemScore, Score};

use super::{CommandError, overwrite};
use crate::output::{print, warning};
use crate::readers::harness::{Model, Scored, Selection};
use crate::released;

/// Options of every command that reads logs.
#[derive(Debug, Args)]
pub(super) struct LogArguments {
    /// Table of runs (CSV) and folder of logs
    #[arg(value_name = "[RUNS.csv] LOGS", required = true)]
    inputs: Vec<PathBuf>,
    /// Table of the losses
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Task or group that becomes a distribution; repeatable [default: all tasks]
    #[arg(long, value_name = "NAME")]
    task: Vec<String>,
    /// Metric that becomes the loss
    #[arg(long, value_name = "NAME[,FILTER]")]
    metric: Option<String>,
    /// Start of the times that count, such as 2026-11-02 [default: the newest of each task]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Field of the documents that names their cluster (a subject, an author) [default: each document]
    #[arg(long, value_name = "FIELD")]
    cluster: Option<String>,
}

impl LogArguments {
    /// The table of runs, if there is one, and the folder of logs.
    pub(super) fn paths(&self) -> Result<(Option<&PathBuf>, &PathBuf), CommandError> {
        let inputs = self.inputs.iter().map(PathBuf::as_path);
        overwrite::refuse(inputs, [("--out", Some(self.out.as_path()))])?;
        let (tables, folders): (Vec<&PathBuf>, Vec<&PathBuf>) =
            self.inputs.iter().partition(|path| !path.is_dir());
        match (tables.as_slice(), folders.as_slice()) {
            ([], [folder]) => Ok((None, folder)),
            ([table], [folder]) => Ok((Some(table), folder)),
            _ => {
                let message = "one folder of logs and at most one table of runs are needed";
                Err(CommandError::Usage(message.to_owned()))
            }
        }
    }

    pub(super) fn selection(&self) -> Selection {
        Selection {
            tasks: self.task.clone(),
            metric: self.metric.clone(),
            time: self.time.clone(),
            cluster_field: self.cluster.clone(),
        }
    }

    /// Writes the losses of the models that have a run.
    pub(super) fn write(
        &self,
        table: Option<&PathBuf>,
        models: &[&Model],
        (scored, warnings): (Vec<Scored>, Vec<String>),
    ) -> Result<(), CommandError> {
        for found in warnings {
            warning(&found);
        }
        let table = match table {
            Some(path) => RunTable::from_csv_of_models(path)?,
            None => {
                let names = models.iter();
                let names = names.map(|m| (m.name.as_str(), m.revision.as_deref(), m.params));
                released::named_runs(&names.collect::<Vec<_>>())?
            }
        };
        let runs = assigned(models, &table.runs)?;
        let rows = write(self, &table, &runs, &scored)?;
        print(&summary(&runs, &scored, rows, self))?;
        Ok(())
    }
}

/// The run of each model, by the model's name in words. Models and runs without a partner are left out
/// with a warning.
pub(super) fn assigned<'a>(
    models: &[&Model],
    runs: &'a [TrainedRun],
) -> Result<BTreeMap<String, &'a Run>, String> {
    let mut found: BTreeMap<String, &Run> = BTreeMap::new();
    let mut taken: BTreeMap<&str, String> = BTreeMap::new();
    for model in models {
        let run = match fitting(model, models, runs).as_slice() {
            [] => {
                warning(&format!(
                    "{model}: left out: no run of the table has this model"
                ));
                continue;
            }
            [one] => &one.run,
            [one, two, ..] => {
                let (one, two) = (&one.run.id, &two.run.id);
                return Err(format!(
                    "{model}: the runs `{one}` and `{two}` both have this model"
                ));
            }
        };
        if let Some(other) = taken.insert(&run.id, model.to_string()) {
            return Err(format!(
                "run `{}`: the logs of {other} and of {model} both fit; write the whole name, with \
                 @REVISION, into the column `model`",
                run.id
            ));
        }
        found.insert(model.to_string(), run);
    }
    for TrainedRun { run, .. } in runs {
        if !taken.contains_key(run.id.as_str()) {
            warning(&format!("run `{}`: left out: no logs of it", run.id));
        }
    }
    if found.is_empty() {
        let names: Vec<String> = models.iter().map(ToString::to_string).collect();
        return Err(format!(
            "no run of the table has a model of the logs, which are of {}",
            names.join(", ")
        ));
    }
    Ok(found)
}

/// The runs that have the model. A run whose label is the whole name of a model, this one or another, is
/// not taken for its last part.
fn fitting<'a>(model: &Model, models: &[&Model], runs: &'a [TrainedRun]) -> Vec<&'a TrainedRun> {
    let is_whole =
        |model: &Model, run: &TrainedRun| is_whole_name(model, &run.checkpoint.to_string_lossy());
    let whole: Vec<&TrainedRun> = (runs.iter()).filter(|run| is_whole(model, run)).collect();
    if !whole.is_empty() {
        return whole;
    }
    let is_taken = |run: &TrainedRun| models.iter().any(|other| is_whole(other, run));
    (runs.iter())
        .filter(|run| is_named(model, &run.checkpoint.to_string_lossy()) && !is_taken(run))
        .collect()
}

/// If true, `label` of a table of runs is the whole name of the model, with the revision where there is
/// one.
fn is_whole_name(model: &Model, label: &str) -> bool {
    let name = model.name.trim_end_matches('/');
    without_revision(model, label).contains(&name)
}

/// If true, `label` of a table of runs names the model: its whole name, its last part, the name of its
/// folder of logs, or a path that ends in it, each with the revision where there is one.
///
/// A repository of another organisation is another model, though the last part be the same.
fn is_named(model: &Model, label: &str) -> bool {
    let name = model.name.trim_end_matches('/');
    let last = name.rsplit('/').next().unwrap_or(name);
    let folder = name.replace('/', "__");
    without_revision(model, label).into_iter().any(|label| {
        let end = label.rsplit('/').next().unwrap_or(label);
        let is_of_another = match (organisation(name), owner(label)) {
            (Some(own), Some(other)) => own != other,
            _ => false,
        };
        label == name || end == folder || (end == last && !is_of_another)
    })
}

/// `label` without the revision of the model, by each mark that may stand before it.
fn without_revision<'a>(model: &Model, label: &'a str) -> Vec<&'a str> {
    let label = label.trim_end_matches('/');
    let Some(revision) = &model.revision else {
        return vec![label];
    };
    let rest = label.strip_suffix(revision.as_str());
    let marks = ['@', '/', '-'].into_iter();
    marks.filter_map(|mark| rest?.strip_suffix(mark)).collect()
}

/// The organisation of a label that reads as a repository, `ORG/NAME`, and not as a path.
fn owner(label: &str) -> Option<&str> {
    let (owner, name) = label.split_once('/')?;
    (!label.starts_with(['/', '.']) && !name.contains('/')).then_some(owner)
}

/// The organisation of a model, which is the part before the last: inspect_ai puts a provider before it.
fn organisation(name: &str) -> Option<&str> {
    if name.starts_with(['/', '.']) {
        return None;
    }
    let (before, _) = name.rsplit_once('/')?;
    before.rsplit('/').next()
}

/// Writes the rows of all runs that have logs; returns their number.
fn write(
    arguments: &LogArguments,
    table: &RunTable,
    runs: &BTreeMap<String, &Run>,
    scored: &[Scored],
) -> Result<usize, Error> {
    let mut rows = 0;
    LongTable::write(
        &arguments.out,
        table.flop_convention,
        |out| -> Result<(), Error> {
            for one in scored {
                let Some(run) = runs.get(&one.model.to_string()) else {
                    continue;
                };
                for document in &one.documents {
                    let item = ItemScore {
                        id: document.id.clone(),
                        cluster: document.cluster.clone(),
                        score: Score {
                            loss: document.loss * document.weight,
                            weight: document.weight,
                        },
                    };
                    out.add_item(run, &one.distribution, &item, &one.scorer, document.chance)?;
                    rows += 1;
                }
            }
            Ok(())
        },
    )?;
    Ok(rows)
}

/// The losses of all runs that have logs as a long table in CSV, without the columns that describe runs.
pub(super) fn losses(
    runs: &BTreeMap<String, &Run>,
    scored: &[Scored],
) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record([
        "run",
        "distribution",
        "cluster",
        "item",
        "loss",
        "weight",
        "scorer",
        "chance",
    ])?;
    for one in scored {
        let Some(run) = runs.get(&one.model.to_string()) else {
            continue;
        };
        for document in &one.documents {
            out.write_record([
                &run.id,
                &one.distribution,
                &document.cluster,
                &document.id,
                // `Display` writes the shortest decimals that read back to the same bits.
                &document.loss.to_string(),
                &document.weight.to_string(),
                &one.scorer,
                &document.chance.map_or_else(String::new, |c| c.to_string()),
            ])?;
        }
    }
    out.into_inner().map_err(|e| e.into_error().into())
}

/// One line per run and distribution: the metric, and the loss where that is another number.
fn summary(
    runs: &BTreeMap<String, &Run>,
    scored: &[Scored],
    rows: usize,
    arguments: &LogArguments,
) -> String {
    let mut text = String::new();
    for one in scored {
        let Some(run) = runs.get(&one.model.to_string()) else {
            continue;
        };
        let metric = match &one.metric {
            Some((metric, filter)) => format!("{metric},{filter} = {}", one.value),
            None => "not a metric of the harness".to_owned(),
        };
        text += &format!(
            "{} on {}: {} {} ({metric}), {} documents\n",
            run.id,
            one.distribution,
            one.loss(),
            one.scorer,
            one.documents.len()
        );
    }
    text += &format!("Wrote {rows} rows to {}.\n", arguments.out.display());
    text
}

#[cfg(test)]
mod tests {
    use relscale::ladder::Scale;

    use super::*;

    fn model(name: &str, revision: Option<&str>) -> Model {
        Model {
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
            params: None,
        }
    }

    #[test]
    fn a_model_of_another_organisation_is_another_model() {
        let own = model("EleutherAI/pythia-160m", None);
        for (label, fits) in [
            ("EleutherAI/pythia-160m", true),
            ("pythia-160m", true),
            ("EleutherAI__pythia-160m", true),
            ("runs/EleutherAI__pythia-160m", true),
            ("/data/models/pythia-160m", true),
            ("./models/pythia-160m", true),
            ("myorg/pythia-160m", false),
            ("EleutherAI/pythia-70m", false),
        ] {
            assert_eq!(is_named(&own, label), fits, "{label}");
        }
        let step = model("EleutherAI/pythia-160m", Some("step1000"));
        assert!(is_named(&step, "EleutherAI/pythia-160m@step1000"));
        assert!(is_named(&step, "pythia-160m/step1000"));
        assert!(!is_named(&step, "myorg/pythia-160m@step1000"));
        assert!(!is_named(&step, "EleutherAI/pythia-160m"));
        let (one, two) = (
            model("hf/local", Some("./ckpt1")),
            model("hf/local", Some("ckpt1")),
        );
        assert!(is_named(&one, "hf/local@./ckpt1") && is_named(&two, "hf/local@ckpt1"));
        assert!(!is_named(&one, "hf/local@./ckpt2") && !is_named(&one, "hf/local"));
        // A provider stands before the organisation, and a folder has none.
        let of_inspect = model("hf/EleutherAI/pythia-160m", None);
        assert!(is_named(&of_inspect, "EleutherAI/pythia-160m"));
        assert!(!is_named(&of_inspect, "myorg/pythia-160m"));
        assert!(is_named(
            &model("/data/pythia-160m", None),
            "EleutherAI/pythia-160m"
        ));
    }

    #[test]
    fn a_whole_name_goes_before_its_last_part() {
        let run = |id: &str, label: &str| {
            let scale = Scale {
                params: 1e8,
                tokens: 2e9,
                flops: 1e18,
            };
            TrainedRun {
                run: Run::new(id, scale),
                checkpoint: label.into(),
                base: None,
            }
        };
        let runs = [
            run("short", "pythia-160m"),
            run("whole", "EleutherAI/pythia-160m"),
        ];
        let (hub, local) = (
            model("EleutherAI/pythia-160m", None),
            model("/data/pythia-160m", None),
        );
        let found = assigned(&[&hub, &local], &runs).unwrap();
        assert_eq!(found[&hub.name].id, "whole");
        assert_eq!(found[&local.name].id, "short");
    }
}
