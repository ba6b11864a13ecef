//! Logs of inspect_ai. `data/inspect_logs` is as that program wrote it; the script
//! `inspect_logs/make.py` says how.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use relscale::ladder::Ladder;
use relscale_cli::readers::harness::{Scored, Selection};
use relscale_cli::readers::inspect::Logs;
use relscale_cli::readers::logged;
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inspect_logs")
}

/// An empty folder of this test and process.
fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("relscale-inspect-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The logs in the order of their times.
fn logs() -> Vec<Value> {
    let mut paths: Vec<PathBuf> = fs::read_dir(golden())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    paths.iter().map(read).collect()
}

fn read(
    dir: &Path,
    task: &str,
    scorer: Option<&str>,
) -> Result<(Vec<Scored>, Vec<String>), String> {
    let selection = Selection {
        tasks: vec![task.to_owned()],
        metric: scorer.map(str::to_owned),
        ..Selection::default()
    };
    let logs = Logs::find(dir).map_err(|e| e.to_string())?;
    logs.read(&selection).map_err(|e| e.to_string())
}

#[test]
fn scores_are_those_of_the_results() {
    let mut compared = 0;
    for log in logs() {
        let text = |field: &str| log["eval"][field].as_str().unwrap();
        for score in log["results"]["scores"].as_array().unwrap() {
            let name = score["name"].as_str().unwrap();
            let metrics = &score["metrics"];
            let stated = metrics.get("accuracy").or(metrics.get("mean")).unwrap();
            let selection = Selection {
                tasks: vec![text("task").to_owned()],
                metric: Some(name.to_owned()),
                time: Some(text("created").to_owned()),
                ..Selection::default()
            };
            let (scored, _) = Logs::find(golden()).unwrap().read(&selection).unwrap();
            let one = scored
                .iter()
                .find(|s| s.model.name == text("model"))
                .unwrap();
            let value = stated["value"].as_f64().unwrap();
            assert!((one.value - value).abs() < 1e-12 && (1.0 - one.loss() - value).abs() < 1e-12);
            compared += 1;
        }
    }
    assert_eq!(compared, 7);
}

#[test]
fn the_newest_log_counts_and_epochs_are_averaged() {
    let (scored, warnings) = read(&golden(), "letters", None).unwrap();
    assert_eq!(scored.len(), 2);
    assert!(
        scored
            .iter()
            .all(|s| s.scorer == "1-choice" && s.documents.len() == 4)
    );
    assert!(
        scored
            .iter()
            .all(|s| s.documents.iter().all(|d| d.chance == Some(0.75)))
    );
    assert!(
        warnings.len() == 1 && warnings[0].contains("mockllm/small: letters of"),
        "{warnings:?}"
    );
    let (scored, _) = read(&golden(), "sums", None).unwrap();
    let ids: Vec<&str> = scored[0].documents.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["sum-0", "sum-1", "sum-2", "sum-3", "sum-4"]);
    // Two epochs: a sample is right in none, one or both.
    let halves = |s: &Scored| {
        s.documents
            .iter()
            .all(|d| (d.loss * 2.0).fract() == 0.0 && d.weight == 1.0)
    };
    assert!(scored.iter().all(halves) && scored[0].documents[0].chance.is_none());
}

#[test]
fn revisions_of_a_model_are_models_of_their_own() {
    let dir = folder("revisions");
    let mut log = logs()
        .into_iter()
        .find(|l| l["eval"]["task"] == "sums")
        .unwrap();
    for revision in ["main", "step1000", "step2000"] {
        log["eval"]["model_args"] = serde_json::json!({ "revision": revision });
        fs::write(dir.join(format!("{revision}.json")), log.to_string()).unwrap();
    }
    let found = Logs::find(&dir).unwrap();
    let revisions = found.models().into_iter().map(|m| m.revision.clone());
    let wanted = [
        None,
        Some("step1000".to_owned()),
        Some("step2000".to_owned()),
    ];
    assert_eq!(revisions.collect::<Vec<_>>(), wanted);
    let (scored, warnings) = read(&dir, "sums", None).unwrap();
    assert_eq!(scored.len(), 3);
    assert!(
        warnings.iter().all(|w| !w.contains("left out")),
        "{warnings:?}"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn damaged_logs_are_refused_by_file_and_sample() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 8] = [
        (|l| l["status"] = "error".into(), "`error`, not `success`"),
        (
            |l| l["samples"][1]["scores"]["match"]["value"] = 7.into(),
            "sample `sum-1`",
        ),
        (
            |l| l["samples"][1]["scores"] = Value::Null,
            "sample `sum-1`: no score by `match`",
        ),
        (|l| l["samples"][1]["id"] = Value::Null, "no `id`"),
        (
            |l| l["samples"][1]["id"] = "sum-0".into(),
            "sample `sum-0`: epoch 1 occurs twice",
        ),
        (|l| l["samples"] = Value::Null, "a header only"),
        (|l| l["samples"] = Vec::<Value>::new().into(), "no samples"),
        (
            |l| l["results"]["scores"][0]["metrics"]["accuracy"]["value"] = 0.99.into(),
            "results say 0.99",
        ),
    ];
    for (i, (edit, part)) in cases.into_iter().enumerate() {
        let dir = folder(&format!("bad-{i}"));
        let mut log = logs()
            .into_iter()
            .find(|l| l["eval"]["task"] == "sums")
            .unwrap();
        edit(&mut log);
        fs::write(dir.join("log.json"), log.to_string()).unwrap();
        let error = read(&dir, "sums", Some("match")).unwrap_err();
        assert!(
            error.contains("log.json") && error.contains(part),
            "no {part:?} in {error}"
        );
        fs::remove_dir_all(dir).unwrap();
    }
    let dir = folder("others");
    fs::write(dir.join("log.json"), "{\"eval\": ").unwrap();
    assert!(read(&dir, "sums", None).unwrap_err().contains("line 1"));
    fs::write(dir.join("log.json"), "{}").unwrap();
    assert!(
        read(&dir, "sums", None)
            .unwrap_err()
            .contains("no log of inspect_ai")
    );
    fs::write(dir.join("a.eval"), "PK").unwrap();
    let error = read(&dir, "sums", None).unwrap_err();
    assert!(
        error.contains("a.eval") && error.contains("zip container"),
        "{error}"
    );
    let error = read(&golden(), "sums", Some("bleu")).unwrap_err();
    assert!(
        error.contains("no scorer `bleu`; it has match, f1"),
        "{error}"
    );
    assert!(
        read(&golden(), "no", None)
            .unwrap_err()
            .contains("letters, sums")
    );
}

#[test]
fn the_command_writes_a_table() {
    let dir = folder("command");
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (runs, out) = (text(dir.join("runs.csv")), text(dir.join("out.csv")));
    let header = "run,corpus,budget,flops,params,tokens\n";
    fs::write(
        &runs,
        format!("{header}small,web,1e12,1e12,4e3,4e7\nlarge,web,1e13,1e13,9e3,2e8\n"),
    )
    .unwrap();
    let logs = text(golden());
    let arguments = [
        "inspect",
        &runs,
        &logs,
        "--out",
        &out,
        "--task",
        "sums",
        "--metric",
        "match",
        "--cluster",
        "level",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_relscale"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let ladder = Ladder::load_csv(&out).unwrap();
    let scores = ladder.distribution("sums").unwrap();
    assert_eq!(
        (scores.clusters().len(), scores.scorer()),
        (2, Some("1-match"))
    );
    assert!(ladder.error("large", "sums") < ladder.error("small", "sums"));
}

/// Archives as the program wrote them, and as it converts them.
fn archives(form: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/inspect_archives")
        .join(form)
}

#[test]
fn archives_hold_what_their_conversion_to_json_holds() {
    for task in ["sums", "letters"] {
        let sorted = |form: &str| {
            let (scored, warnings) = read(&archives(form), task, None).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            let of = |s: &Scored| {
                let mut documents = s.documents.clone();
                documents.sort_by(|a, b| a.id.cmp(&b.id));
                (s.model.clone(), s.scorer.clone(), s.value, documents)
            };
            scored.iter().map(of).collect::<Vec<_>>()
        };
        let json = sorted("json");
        assert_eq!(json.len(), 2);
        assert_eq!(sorted("zstd"), json, "{task}");
        assert_eq!(sorted("deflate"), json, "{task}");
    }
    let selection = Selection {
        tasks: vec!["sums".to_owned()],
        cluster_field: Some("level".to_owned()),
        ..Selection::default()
    };
    let (scored, _) = Logs::find(archives("zstd"))
        .unwrap()
        .read(&selection)
        .unwrap();
    let clusters = scored[0].documents.iter().map(|d| d.cluster.as_str());
    assert_eq!(clusters.collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[test]
fn damaged_archives_are_named_with_their_member() {
    let mut names = fs::read_dir(archives("deflate")).unwrap();
    let of_sums = |p: &PathBuf| p.to_str().unwrap().contains("sums");
    let path = names.find_map(|e| Some(e.unwrap().path()).filter(of_sums));
    let bytes = fs::read(path.unwrap()).unwrap();
    let dir = folder("damaged");
    let archive = dir.join("a.eval");
    // Any byte changed: read or refused, by name.
    for at in (0..bytes.len()).step_by(97) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x55;
        fs::write(&archive, &bytes).unwrap();
        if let Err(e) = read(&dir, "sums", None) {
            assert!(
                e.contains("a.eval") || e.contains("not every task"),
                "{at}: {e}"
            );
        }
    }
    let data = bytes
        .windows(14)
        .position(|w| w == b"samples/sum-0_")
        .unwrap();
    let mut changed = bytes.clone();
    changed[data + 200] ^= 0xff;
    fs::write(&archive, &changed).unwrap();
    let error = read(&dir, "sums", None).unwrap_err();
    assert!(error.contains("`samples/sum-0_epoch_1.json`"), "{error}");
    for end in [0, 100, bytes.len() - 10] {
        fs::write(&archive, &bytes[..end]).unwrap();
        let error = read(&dir, "sums", None).unwrap_err();
        assert!(error.contains("a.eval"), "{error}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn folders_on_disk_are_models_of_their_own() {
    let dir = folder("model-paths");
    let mut log = logs()
        .into_iter()
        .find(|l| l["eval"]["task"] == "sums")
        .unwrap();
    log["eval"]["model"] = "hf/local".into();
    for (name, path) in [("one", "./ckpt1"), ("two", "./ckpt2/")] {
        log["eval"]["model_args"] = serde_json::json!({ "model_path": path });
        fs::write(dir.join(format!("{name}.json")), log.to_string()).unwrap();
    }
    let found = Logs::find(&dir).unwrap();
    let models: Vec<String> = found.models().iter().map(ToString::to_string).collect();
    assert_eq!(models, ["hf/local@./ckpt1", "hf/local@./ckpt2"]);
    let (scored, warnings) = read(&dir, "sums", None).unwrap();
    assert_eq!(scored.len(), 2);
    assert!(
        warnings.iter().all(|w| !w.contains("left out")),
        "{warnings:?}"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn logs_of_two_programs_in_one_folder_are_refused_by_name() {
    let dir = folder("two-programs");
    let results = dir.join("results_2026-11-28T17-49-26.json");
    fs::write(&results, "{}").unwrap();
    // Other JSON beside results is no log.
    fs::write(dir.join("notes.json"), "{}").unwrap();
    let read = || logged::read(&dir, &Selection::default());
    let message = read().unwrap_err().to_string();
    assert!(!message.contains("inspect_ai ("), "{message}");
    let sums = logs()
        .into_iter()
        .find(|l| l["eval"]["task"] == "sums")
        .unwrap();
    fs::write(dir.join("sums.json"), sums.to_string()).unwrap();
    let message = read().unwrap_err().to_string();
    for part in [
        "lm-evaluation-harness (results_2026-11-28T17-49-26.json)",
        "inspect_ai (sums.json)",
        "`relscale inspect`",
    ] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    fs::remove_file(results).unwrap();
    assert_eq!(read().unwrap().scored.len(), 1);
    fs::remove_dir_all(dir).unwrap();
}
