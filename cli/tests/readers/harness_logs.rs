//! Folders of logs of lm-evaluation-harness. `data/harness_logs` is as that program wrote it; the script
//! `harness_logs/make.py` says how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use relscale::ladder::Ladder;
use relscale_cli::readers::harness::{Logs, Scored, Selection};
use serde_json::Value;

use crate::common::relscale;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/harness_logs")
}

/// An empty folder of this test and process.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("relscale-logs-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all.sort();
    all
}

/// A copy of the golden logs whose files `edit` changes; it returns the new text by path.
fn edited(name: &str, edit: impl Fn(&Path, String) -> String) -> PathBuf {
    let to = folder(name);
    for path in files(&golden()) {
        let copy = to.join(path.strip_prefix(golden()).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&copy, edit(&path, text)).unwrap();
    }
    to
}

fn is(path: &Path, start: &str) -> bool {
    path.file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .starts_with(start)
}

fn read(dir: &Path, task: &str, metric: Option<&str>) -> Result<Vec<Scored>, String> {
    let selection = Selection {
        tasks: (!task.is_empty())
            .then(|| task.to_owned())
            .into_iter()
            .collect(),
        metric: metric.map(str::to_owned),
        ..Selection::default()
    };
    let logs = Logs::find(dir).map_err(|e| e.to_string())?;
    Ok(logs.read(&selection).map_err(|e| e.to_string())?.0)
}

/// The newest results of each task and group, by model.
fn results() -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut newest: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for path in files(&golden()).into_iter().filter(|p| is(p, "results_")) {
        let text = fs::read_to_string(path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let of = newest
            .entry(value["model_name"].as_str().unwrap().to_owned())
            .or_default();
        for (name, results) in value["results"].as_object().unwrap() {
            of.insert(name.clone(), results.clone());
        }
    }
    newest
}

#[test]
fn every_metric_is_that_of_the_results_file() {
    let mut compared = 0;
    for (model, all) in results() {
        for (name, values) in &all {
            for (key, value) in values.as_object().unwrap() {
                let skipped = ["stderr", "bleu", "sample_"]
                    .iter()
                    .any(|s| key.contains(s));
                let Some(value) = value.as_f64().filter(|_| key.contains(',') && !skipped) else {
                    continue;
                };
                let scored = read(&golden(), name, Some(key)).unwrap();
                let one = scored.iter().find(|s| s.model.name == model).unwrap();
                let from_loss = match key.split(',').next().unwrap() {
                    "bits_per_byte" | "brier_score" => one.loss(),
                    "perplexity" | "word_perplexity" | "byte_perplexity" => one.loss().exp(),
                    _ => 1.0 - one.loss(),
                };
                for got in [one.value, from_loss] {
                    let wrong = (got - value).abs() / value.abs().max(1.0);
                    assert!(wrong < 1e-6, "{model} {name} {key}: {got} is not {value}");
                }
                compared += 1;
            }
        }
    }
    // Two models on ten tasks and three groups.
    assert!(compared >= 2 * 25, "{compared}");
}

#[test]
fn the_folder_is_read_in_one_call() {
    let logs = Logs::find(golden()).unwrap();
    let names: Vec<String> = logs.models().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["tiny/a", "tiny/b"]);
    let (scored, warnings) = logs.read(&Selection::default()).unwrap();
    let of_a: Vec<(&str, &str, usize)> = (scored.iter())
        .filter(|s| s.model.name == "tiny/a")
        .map(|s| {
            (
                s.distribution.as_str(),
                s.scorer.as_str(),
                s.documents.len(),
            )
        })
        .collect();
    let expected = [
        ("generated", "1-exact_match,letter", 5),
        ("lambada", "answer_nats", 4),
        ("large", "choice_log_loss", 4),
        ("numeric", "choice_log_loss", 5),
        ("numeric_mutual", "choice_log_loss", 5),
        ("repeated", "choice_log_loss", 4),
        ("rolling", "bits_per_byte", 3),
        ("several", "error_rate", 2),
        ("small", "choice_log_loss", 2),
        ("wino", "choice_log_loss", 5),
        ("worded", "choice_log_loss", 4),
    ];
    assert_eq!(of_a, expected);
    let says = |parts: &[&str]| {
        let of = |w: &&String| parts.iter().all(|part| w.contains(part));
        assert!(
            warnings.iter().any(|w| of(&w)),
            "no {parts:?} in {warnings:?}"
        );
    };
    says(&["several: several choices", "acc"]);
    says(&["tiny/a", "numeric", "left out for the newer one"]);
    says(&[
        "generated",
        "letter",
        "whole",
        "--metric exact_match,FILTER",
    ]);
}

#[test]
fn losses_are_of_the_correct_choice() {
    // The choices of `numeric` are numbers, given by index, and those of `worded` words, given by text.
    for task in ["numeric", "worded", "numeric_mutual", "wino"] {
        let scored = read(&golden(), task, Some("choice_log_loss")).unwrap();
        for one in scored {
            let dir = golden().join(one.model.name.replace('/', "__"));
            let start = format!("samples_{task}_2");
            let path = files(&dir).into_iter().rfind(|p| is(p, &start)).unwrap();
            let text = fs::read_to_string(path).unwrap();
            for (line, document) in text.lines().zip(&one.documents) {
                let sample: Value = serde_json::from_str(line).unwrap();
                let doc = &sample["doc"];
                let choices = doc.get("choices").or(doc.get("options")).unwrap();
                let choices = choices.as_array().unwrap();
                let gold = match task {
                    "worded" => choices.iter().position(|c| *c == doc["answer"]).unwrap(),
                    _ => doc["gold"].as_u64().unwrap() as usize,
                };
                let likelihood = |n: usize| -> f64 {
                    sample["filtered_resps"][n][0]
                        .as_str()
                        .unwrap()
                        .parse()
                        .unwrap()
                };
                let all: f64 = (0..choices.len()).map(|n| likelihood(n).exp()).sum();
                let expected = all.ln() - likelihood(gold);
                let loss = document.loss;
                assert!(
                    (loss - expected).abs() < 1e-9,
                    "{task}: {loss} is not {expected}"
                );
                let chance = (choices.len() as f64).ln();
                assert!((document.chance.unwrap() - chance).abs() < 1e-15);
            }
        }
    }
}

#[test]
fn groups_have_the_weights_of_the_harness() {
    let of = |group: &str| {
        let scored = read(&golden(), group, Some("acc")).unwrap();
        let one = scored
            .into_iter()
            .find(|s| s.model.name == "tiny/a")
            .unwrap();
        let weights: Vec<f64> = one.documents.iter().map(|d| d.weight).collect();
        (one, weights)
    };
    let (by_size, weights) = of("by_size");
    assert_eq!(weights, [1.0; 6]);
    assert!(
        by_size
            .documents
            .iter()
            .any(|d| d.id == "small/0" && d.cluster == "small/0")
    );
    // Four documents of `large` weigh as much as two of `small`.
    let (_, weights) = of("equal");
    let close = |w: &[f64], to: f64| w.iter().all(|w| (w - to).abs() < 1e-12);
    assert!(
        close(&weights[..4], 0.75) && close(&weights[4..], 1.5),
        "{weights:?}"
    );
    assert_eq!(of("nested").1.len(), 10);
    let error = read(&golden(), "no_such", None).unwrap_err();
    assert!(
        error.contains("no task or group `no_such`") && error.contains("by_size"),
        "{error}"
    );
}

#[test]
fn metrics_that_are_no_losses_are_refused_by_name() {
    for (task, metric, parts) in [
        (
            "generated",
            "bleu",
            &["bleu of the whole task", "no mean"][..],
        ),
        (
            "numeric",
            "exact_match",
            &["task `numeric`", "no metric `exact_match`", "acc_norm,none"],
        ),
        (
            "rolling",
            "choice_log_loss",
            &["no metric", "word_perplexity,none"],
        ),
        (
            "several",
            "choice_log_loss",
            &["samples_several", "line 1", "several choices"],
        ),
        ("generated", "exact_match,none", &["exact_match,letter"]),
    ] {
        let error = read(&golden(), task, Some(metric)).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
    }
    // Several correct choices have no common chance level.
    let scored = read(&golden(), "several", Some("acc")).unwrap();
    assert!(
        scored
            .iter()
            .all(|s| s.documents.iter().all(|d| d.chance.is_none()))
    );
}

/// The logs with this edit are refused with a message that holds `parts`.
fn refused(name: &str, task: &str, edit: impl Fn(&Path, String) -> String, parts: &[&str]) {
    let dir = edited(name, edit);
    let error = read(&dir, task, None).unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{name}: no {part:?} in {error}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn damaged_logs_are_refused_by_file_and_line() {
    let of = |start: &'static str, change: fn(String) -> String| {
        move |path: &Path, text: String| if is(path, start) { change(text) } else { text }
    };
    let samples = "samples_lambada_";
    refused(
        "cut",
        "lambada",
        of(samples, |t| t[..t.len() - 40].to_owned()),
        &["samples_lambada_", "line 4", "cut off"],
    );
    refused(
        "count",
        "lambada",
        of(samples, |t| {
            t.lines().take(3).collect::<Vec<_>>().join("\n")
        }),
        &["samples_lambada_", "3 documents", "results_", "says 4"],
    );
    refused(
        "twice",
        "lambada",
        of(samples, |t| t.replace("\"doc_id\": 3", "\"doc_id\": 1")),
        &["line 4", "document 1 is also on line 2"],
    );
    refused(
        "number",
        "lambada",
        of(samples, |t| t.replace("\"doc_id\": 3", "\"id\": 3")),
        &["line 4", "no doc_id"],
    );
    refused(
        "text",
        "lambada",
        of(samples, |_| "\u{0}{}[".to_owned()),
        &["line 1", "not JSON"],
    );
    refused(
        "list",
        "lambada",
        of(samples, |_| "[[[1]]]\n".to_owned()),
        &["line 1"],
    );
    refused(
        "empty",
        "lambada",
        of(samples, |_| String::new()),
        &["samples_lambada_", "no document"],
    );
    refused(
        "results",
        "lambada",
        of("results_", |t| t[..t.len() / 2].to_owned()),
        &["results_", "line"],
    );
    refused(
        "another",
        "lambada",
        of("results_", |_| "{}".to_owned()),
        &["results_", "model_name"],
    );
    refused(
        "path",
        "",
        of("results_", |t| t.replace("\"lambada\"", "\"../lambada\"")),
        &["results_", "../lambada"],
    );
    // The documents of another evaluation.
    refused(
        "mean",
        "rolling",
        of("samples_rolling_", |t| {
            t.replace("\"bits_per_byte\": [-", "\"bits_per_byte\": [-9")
        }),
        &["samples_rolling_", "the documents give", "results_"],
    );
    let deep = "[".repeat(100_000);
    refused(
        "deep",
        "lambada",
        move |path: &Path, text: String| {
            if is(path, samples) {
                deep.clone()
            } else {
                text
            }
        },
        &["line 1", "recursion"],
    );
}

/// The logs with a field of the first document of `task` changed.
fn with_field(name: &str, task: &'static str, field: &'static str, value: &'static str) -> PathBuf {
    edited(name, move |path, text| {
        if !is(path, &format!("samples_{task}_")) {
            return text;
        }
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut first: Value = serde_json::from_str(&lines[0]).unwrap();
        first[field] = "@".into();
        lines[0] = first.to_string().replace("\"@\"", value);
        lines.join("\n")
    })
}

#[test]
fn numbers_that_are_none_are_refused_by_line() {
    let cases = [
        ("acc", "NaN", "acc", "`acc` is null"),
        ("acc", "Infinity", "acc", "`acc` is null"),
        ("acc", "7.0", "acc", "no greatest value"),
        ("acc", "\"x\"", "acc", "not a number"),
        ("acc", "[]", "acc", "not a number"),
        ("acc", "0.5", "choice_log_loss", "`acc` is 0.5"),
        (
            "filtered_resps",
            "[[\"nan\", \"False\"]]",
            "choice_log_loss",
            "loss of document 0",
        ),
        ("filtered_resps", "[]", "choice_log_loss", "target"),
        (
            "filtered_resps",
            "7",
            "choice_log_loss",
            "no array filtered_resps",
        ),
    ];
    for (i, (field, value, metric, part)) in cases.into_iter().enumerate() {
        let dir = with_field(&format!("field-{i}"), "numeric", field, value);
        let error = read(&dir, "numeric", Some(metric)).unwrap_err();
        let all = ["samples_numeric_", "line 1", part];
        assert!(
            all.iter().all(|p| error.contains(p)),
            "{field} {value}: {error}"
        );
        fs::remove_dir_all(dir).unwrap();
    }
    // A document is right in the samples and wrong in the results.
    for (i, value) in ["1.0", "0.0"].into_iter().enumerate() {
        let dir = with_field(&format!("mean-{i}"), "generated", "exact_match", value);
        let read = read(&dir, "generated", Some("exact_match"));
        if let Err(error) = read {
            assert!(
                error.contains("the documents give") && error.contains("results_"),
                "{error}"
            );
            fs::remove_dir_all(dir).unwrap();
            return;
        }
    }
    panic!("both values were taken");
}

#[test]
fn models_of_different_forms_are_not_compared() {
    let dir = edited("versions", |path, text| {
        if path.to_str().unwrap().contains("tiny__b") && is(path, "results_") {
            return text.replace("\"rolling\": 1.0", "\"rolling\": 2.0");
        }
        text
    });
    let error = read(&dir, "rolling", None).unwrap_err();
    for part in [
        "tiny__b",
        "`rolling`",
        "version 2.0",
        "version 1.0",
        "tiny__a",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    assert_eq!(read(&dir, "lambada", None).unwrap().len(), 2);
    // A file that is missing, one without results, and none at all.
    for path in files(&dir).iter().filter(|p| is(p, "samples_lambada_")) {
        fs::remove_file(path).unwrap();
    }
    let error = read(&dir, "lambada", None).unwrap_err();
    assert!(error.contains("--log_samples"), "{error}");
    for path in files(&dir).iter().filter(|p| is(p, "results_")) {
        fs::remove_file(path).unwrap();
    }
    let error = read(&dir, "", None).unwrap_err();
    assert!(error.contains("results_<time>.json"), "{error}");
}

#[test]
fn samples_without_results_are_left_out_by_name() {
    let dir = edited("orphans", |_, text| text);
    let mut results = files(&dir).into_iter().filter(|p| is(p, "results_"));
    fs::remove_file(results.next_back().unwrap()).unwrap();
    let (_, warnings) = Logs::find(&dir)
        .unwrap()
        .read(&Selection::default())
        .unwrap();
    let left_out = (warnings.iter())
        .filter(|w| w.contains("samples_") && w.contains("no results of this time"));
    assert!(left_out.count() > 0, "{warnings:?}");
}

const RUNS: &str = "run,corpus,budget,flops,params,tokens,model\n\
                    small,web,1e12,1e12,4e3,4e7,\n";

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_command_writes_a_table_for_the_fit() {
    let dir = folder("command");
    let (runs, out) = (text(&dir.join("runs.csv")), text(&dir.join("out.csv")));
    let table = RUNS.replace("4e7,\n", "4e7,tiny/a\nlarge,web,1e13,1e13,9e3,2e8,./x/b\n");
    fs::write(&runs, table + "other,web,1e13,1e13,9e3,2e8,c\n").unwrap();
    let logs = text(&golden());
    let output = relscale(&[
        "harness", &runs, &logs, "--out", &out, "--metric", "acc", "--task", "numeric", "--task",
        "by_size", "--task", "lambada",
    ]);
    let (shown, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("run `other`: left out") && said.contains("newer"),
        "{said}"
    );
    assert!(
        shown.contains("Wrote 30 rows") && shown.contains("acc,none = "),
        "{shown}"
    );
    let ladder = Ladder::load_csv(&out).unwrap();
    let stated = |model: &str, task: &str| results()[model][task]["acc,none"].as_f64().unwrap();
    for (run, model) in [("small", "tiny/a"), ("large", "tiny/b")] {
        for task in ["numeric", "by_size", "lambada"] {
            let accuracy = 1.0 - ladder.error(run, task).unwrap();
            assert!(
                (accuracy - stated(model, task)).abs() < 1e-12,
                "{run} {task}"
            );
        }
    }
    let scores = ladder.distribution("numeric").unwrap();
    assert_eq!(
        (scores.scorer(), scores.chance()),
        (Some("error_rate"), Some(0.75))
    );
    assert_eq!(ladder.distribution("lambada").unwrap().chance(), None);
    // With --cluster, documents of one subject are one cluster.
    let output = relscale(&[
        "harness",
        &runs,
        &logs,
        "--out",
        &out,
        "--task",
        "numeric",
        "--cluster",
        "subject",
    ]);
    assert!(output.status.success());
    let ladder = Ladder::load_csv(&out).unwrap();
    assert_eq!(
        ladder.distribution("numeric").unwrap().clusters(),
        ["river", "stone"]
    );
    assert_eq!(
        ladder.distribution("numeric").unwrap().scorer(),
        Some("choice_log_loss")
    );
}

#[test]
fn a_table_of_several_losses_is_not_compared_unasked() {
    let dir = folder("mixed");
    let (runs, out) = (text(&dir.join("runs.csv")), text(&dir.join("out.csv")));
    fs::write(
        &runs,
        RUNS.replace("4e7,\n", "4e7,a\n") + "large,web,1e13,1e13,9e3,2e8,tiny__b\n",
    )
    .unwrap();
    let output = relscale(&[
        "harness",
        &runs,
        &text(&golden()),
        "--out",
        &out,
        "--task",
        "numeric",
        "--task",
        "lambada",
        "--task",
        "rolling",
    ]);
    assert!(output.status.success());
    let fit = ["fit", "--scores", &out, "--baseline", "numeric"];
    let said = String::from_utf8(relscale(&fit).stderr).unwrap();
    for part in [
        "answer_nats (\"lambada\")",
        "bits_per_byte (\"rolling\")",
        "choice_log_loss",
        "across",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    // Two budgets are too few for a law, which is the next question.
    let asked = relscale(&[&fit[..], &["--across-scorers"]].concat());
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(!said.contains("scored by"), "{said}");
}

#[test]
fn released_models_need_no_table() {
    let dir = edited("released", |path, text| {
        if !is(path, "results_") {
            return text;
        }
        let step = if text.contains("tiny/a") { 1000 } else { 2000 };
        let mut all: Value = serde_json::from_str(&text).unwrap();
        all["model_name"] = "EleutherAI/pythia-14m".into();
        all["config"]["model_num_parameters"] = 14_067_712.into();
        all["config"]["model_revision"] = format!("step{step}").into();
        all.to_string()
    });
    let (logs, out) = (text(&dir), text(&dir.join("out.csv")));
    let output = relscale(&["harness", &logs, "--out", &out, "--task", "rolling"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let ladder = Ladder::load_csv(&out).unwrap();
    let runs: Vec<(&str, f64)> = ladder
        .runs()
        .iter()
        .map(|r| (r.id.as_str(), r.tokens))
        .collect();
    let step = 2_097_152_000.0;
    assert_eq!(
        runs,
        [
            ("pythia-14m-step1000", step),
            ("pythia-14m-step2000", 2.0 * step)
        ]
    );
    // Names that are not known need a table, and a table must have the models.
    let output = relscale(&["harness", &text(&golden()), "--out", &out]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("tiny/a") && said.contains("a table of runs"),
        "{said}"
    );
    let runs = text(&dir.join("runs.csv"));
    fs::write(&runs, RUNS).unwrap();
    let output = relscale(&["harness", &runs, &logs, "--out", &out]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("EleutherAI/pythia-14m@step1000"), "{said}");
    // Two checkpoints of one run have one name.
    fs::write(&runs, RUNS.replace("4e7,\n", "4e7,pythia-14m-step1000\n")).unwrap();
    let output = relscale(&["harness", &runs, &logs, "--out", &out, "--task", "rolling"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("step2000: left out"),
        "{said}"
    );
}

#[test]
fn a_refused_table_of_runs_beside_logs_is_named() {
    let dir = folder("refused-runs");
    let (runs, other) = (text(&dir.join("runs.csv")), text(&dir.join("other.csv")));
    fs::write(&runs, RUNS.replace("4e7,\n", "4e7,tiny/a\n")).unwrap();
    let said = |table: &str| {
        fs::write(&other, table).unwrap();
        let fit = [
            "fit",
            &text(&golden()),
            &runs,
            &other,
            "--baseline",
            "numeric",
        ];
        String::from_utf8(relscale(&fit).stderr).unwrap()
    };
    let refusal = "no column named \"corpus\"";
    let message = said("run,params,tokens,model\nlarge,9e3,2e8,tiny/b\n");
    assert!(
        message.contains("other.csv") && message.contains(refusal),
        "{message}"
    );
    // A table of losses is none of runs.
    let message = said("run,distribution,loss\nsmall,news,0.5\n");
    assert!(!message.contains(refusal), "{message}");
}

#[test]
fn compressed_samples_and_results_are_read_as_they_are() {
    let to = folder("compressed");
    for path in files(&golden()) {
        let copy = to.join(path.strip_prefix(golden()).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let bytes = fs::read(&path).unwrap();
        let name = copy.to_str().unwrap();
        if is(&path, "samples_") {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut out, &bytes).unwrap();
            fs::write(format!("{name}.gz"), out.finish().unwrap()).unwrap();
        } else {
            fs::write(copy, bytes).unwrap();
        }
    }
    let of = |dir: &Path| {
        let scored = read(dir, "", None).unwrap();
        let one = |s: &Scored| (s.model.clone(), s.distribution.clone(), s.documents.clone());
        scored.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(of(&to), of(&golden()));
    fs::remove_dir_all(to).unwrap();
}
