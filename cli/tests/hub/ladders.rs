//! Ladders and studies whose checkpoints come from the hub, within a disk budget.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Place, copy, suite, transfers};

/// Texts of a ladder: a few lines of four distributions of the suite.
fn texts(place: &Place) -> String {
    let folder = place.path("texts");
    fs::create_dir_all(&folder).unwrap();
    for name in ["english-help", "german-help", "python-code", "aggregate"] {
        let text = fs::read_to_string(suite(&format!("texts/{name}.jsonl"))).unwrap();
        let lines: Vec<&str> = text.lines().take(3).collect();
        fs::write(
            Path::new(&folder).join(format!("{name}.jsonl")),
            lines.join("\n"),
        )
        .unwrap();
    }
    folder
}

/// Two tables of the same runs, by folders on disk and by addresses, with the folders.
fn tables(place: &Place) -> (String, String, Vec<PathBuf>) {
    let ladder = fs::read_to_string(suite("ladder.csv")).unwrap();
    let mut lines = ladder.lines();
    let header = lines.next().unwrap();
    let (mut here, mut there, mut folders) =
        (vec![header.to_owned()], vec![header.to_owned()], vec![]);
    for line in lines.filter(|line| line.starts_with("balanced,") || line.contains(",balanced,")) {
        let (rest, checkpoint) = line.rsplit_once(',').unwrap();
        let folder = suite(checkpoint);
        let name = checkpoint.rsplit('/').next().unwrap();
        place.hub.add(&format!("org/{name}"), "main", &folder);
        here.push(format!("{rest},{}", folder.display()));
        there.push(format!("{rest},hf://org/{name}"));
        folders.push(folder);
    }
    let write = |name: &str, rows: Vec<String>| {
        let path = place.path(name);
        fs::write(&path, rows.join("\n")).unwrap();
        path
    };
    (write("here.csv", here), write("there.csv", there), folders)
}

/// Bytes of all files under a folder, links not followed.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => bytes(&entry.path()),
        kind if kind.is_file() => entry.metadata().unwrap().len(),
        _ => 0,
    };
    entries.map(size).sum()
}

/// The analysis without the name of the table.
fn laws(out: &str) -> serde_json::Value {
    let text = fs::read(Path::new(out).join("analysis.json")).unwrap();
    let mut analysis: serde_json::Value = serde_json::from_slice(&text).unwrap();
    analysis.as_object_mut().unwrap().remove("ladder");
    analysis
}

#[test]
fn a_ladder_on_the_hub_has_the_laws_of_one_on_disk() {
    let place = Place::new("ladder");
    let (here, there, folders) = tables(&place);
    let texts = texts(&place);
    let (one, two) = (place.path("one"), place.path("two"));
    let arguments = |runs: &str, out: &str| {
        [
            "ladder",
            "--runs",
            runs,
            "--texts",
            &texts,
            "--baseline",
            "english-help",
            "--out",
            out,
        ]
        .map(str::to_owned)
    };
    let run = |runs: &str, out: &str, more: &[&str]| {
        let arguments = arguments(runs, out);
        let all: Vec<&str> = arguments
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        place.done(&all)
    };
    run(&here, &one, &[]);
    assert!(place.hub.seen().is_empty());

    // A checkpoint that was there before is not the program's to remove.
    let name = folders[0].file_name().unwrap().to_str().unwrap();
    let own = place.done(&["fetch", &format!("org/{name}")]);
    let own = PathBuf::from(own.trim()).join("model.safetensors");
    assert!(own.exists());
    let before = bytes(&place.folder.join("home"));

    let largest = folders.iter().map(|folder| bytes(folder)).max().unwrap();
    let budget = (largest + largest / 2).to_string();
    let sum: u64 = folders.iter().map(|folder| bytes(folder)).sum();
    assert!(sum > 3 * largest, "{sum}");
    run(&there, &two, &["--disk-budget", &budget]);
    assert_eq!(laws(&one), laws(&two));
    let losses = |out: &str| fs::read(Path::new(out).join("scores.csv")).unwrap();
    assert!(losses(&one) == losses(&two));
    assert!(own.exists());
    // The budget, and the references and locks, which are a few bytes each.
    let after = bytes(&place.folder.join("home")) - before;
    assert!(
        after <= largest + largest / 2 + 41 * folders.len() as u64,
        "{after}"
    );

    // The scores are complete: no file is downloaded, though most are gone.
    place.hub.seen();
    let text = run(&there, &two, &["--disk-budget", &budget]);
    assert!(text.contains("Scored 0 documents"), "{text}");
    let seen = place.hub.seen();
    assert!(!seen.is_empty() && transfers(&seen).is_empty(), "{seen:?}");

    let three = place.path("three");
    let arguments = arguments(&there, &three);
    let mut command = place.command(&arguments.each_ref().map(String::as_str));
    place.refused(
        command.args(["--disk-budget", "1kB"]),
        &[
            "`disk-budget`",
            "1.00 kB are too few: hf://org/",
            "give at least ",
        ],
    );
}

#[test]
fn a_study_pins_the_commits_of_its_checkpoints() {
    let place = Place::new("study");
    let (here, there, _) = tables(&place);
    let texts = texts(&place);
    let plan = |name: &str, runs: &str| {
        let runs = fs::read_to_string(runs).unwrap();
        let rows: Vec<&str> = runs.lines().take(4).collect();
        fs::write(place.path(&format!("{name}.csv")), rows.join("\n")).unwrap();
        let study = format!(
            "{{\"runs\": \"{name}.csv\", \"unit_flops\": 1e15, \"distributions\": [{{\"kind\": \
             {{\"regions\": {{}}}}, \"path\": {texts:?}, \"scorers\": [\"bits_per_byte\"]}}]}}"
        );
        let file = place.path(&format!("{name}.json"));
        fs::write(&file, study).unwrap();
        let folder = place.path(name);
        place.done(&["study", "plan", &file, &folder, "--disk-budget", "300kB"]);
        folder
    };
    let merged = |folder: &str| {
        place.done(&[
            "study",
            "run",
            folder,
            "--shard",
            "0/1",
            "--disk-budget",
            "300kB",
        ]);
        let table = format!("{folder}.losses.csv");
        place.done(&["study", "merge", folder, "--out", &table]);
        fs::read(table).unwrap()
    };
    let (on_disk, on_hub) = (plan("disk", &here), plan("hub", &there));
    let text = fs::read_to_string(Path::new(&on_hub).join("plan.json")).unwrap();
    assert!(
        text.contains("hf://org/") && !text.contains("@main"),
        "{text}"
    );
    // The revision moves to another checkpoint: the plan stays with the old one.
    let name = fs::read_to_string(&there).unwrap();
    let name = name
        .lines()
        .nth(1)
        .unwrap()
        .rsplit("hf://")
        .next()
        .unwrap()
        .to_owned();
    place.hub.add_files(
        &name,
        "main",
        [("config.json".to_owned(), b"{}".to_vec())].into(),
    );
    assert!(merged(&on_disk) == merged(&on_hub));
}

#[test]
fn a_table_of_a_released_ladder_needs_no_weights() {
    let place = Place::new("list");
    for step in ["step1000", "step2000"] {
        place.hub.add("EleutherAI/pythia-160m", step, &place.source);
    }
    let text = place.done(&[
        "fetch",
        "--list",
        "pythia-160m@step2000",
        "pythia-160m@step1000",
    ]);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(
        rows[1].ends_with(",hf://EleutherAI/pythia-160m@step1000"),
        "{text}"
    );
    // 1,000 steps of 2,097,152 tokens.
    assert!(rows[1].contains("2097152000"), "{text}");
    let seen = place.hub.seen();
    let paths: Vec<_> = transfers(&seen).iter().map(|s| s.path.clone()).collect();
    assert!(
        paths.iter().all(|path| path.ends_with("/config.json")),
        "{paths:?}"
    );
}

#[test]
fn a_score_takes_an_address() {
    let place = Place::new("score");
    let items = place.path("items.jsonl");
    fs::write(&items, "{\"id\": \"a\", \"text\": \"Hello, world!\"}\n").unwrap();
    let score = |checkpoint: &str, out: &str| {
        let out = place.path(out);
        place.done(&[
            "score",
            "--checkpoint",
            checkpoint,
            "--items",
            &items,
            "--out",
            &out,
        ]);
        fs::read_to_string(out).unwrap()
    };
    let source = place.source.to_str().unwrap();
    assert_eq!(
        score(super::ADDRESS, "hub.jsonl"),
        score(source, "disk.jsonl")
    );
}

#[test]
fn the_hash_of_an_adapter_on_a_base_of_its_own_is_not_kept() {
    let place = Place::new("adapter");
    let fixture = |path: &str| {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        fixtures.join(path)
    };
    let [base, adapter] = ["base", "adapter"].map(|name| place.folder.join(name));
    copy(&fixture("checkpoints/llama-plain"), &base);
    copy(&fixture("adapters/patterns"), &adapter);
    // A token per printable letter.
    let letters = (b' '..=b'~').zip(0..);
    let vocabulary: serde_json::Map<String, serde_json::Value> = letters
        .map(|(letter, id): (u8, u32)| (char::from(letter).to_string(), id.into()))
        .collect();
    let tokenizer = serde_json::json!({"version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}});
    fs::write(base.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let path = adapter.join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["base_model_name_or_path"] = base.to_str().unwrap().into();
    fs::write(&path, config.to_string()).unwrap();
    place.hub.add("org/base", "main", &base);
    place.hub.add("org/adapter", "main", &adapter);
    let texts = place.folder.join("letters");
    fs::create_dir_all(&texts).unwrap();
    for name in ["one", "two"] {
        let line = format!("{{\"text\": \"{name} and other words\"}}\n");
        fs::write(texts.join(format!("{name}.jsonl")), line).unwrap();
    }
    let (runs, out) = (place.path("runs.csv"), place.path("out"));
    let rows = ["base", "adapter"]
        .map(|name| format!("{name},{name},1e18,1e18,1e8,1e9,hf://org/{name}\n"));
    let header = "run,corpus,budget,flops,params,tokens,checkpoint\n";
    fs::write(&runs, header.to_owned() + &rows.concat()).unwrap();
    let arguments = [
        "ladder",
        "--runs",
        &runs,
        "--texts",
        texts.to_str().unwrap(),
    ];
    let mut command = place.command(&arguments);
    // One run per corpus is scored and not fitted.
    let output = command.args(["--baseline", "one", "--out", &out]).output();
    let message = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    for (name, is_kept) in [("base", true), ("adapter", false)] {
        let logs = Path::new(&out).join("logs").join(name);
        assert!(logs.join("two.jsonl").exists(), "{name}: {message}");
        // The base is a folder on disk, whose files may be others at the next call.
        assert_eq!(logs.join("checkpoint.json").exists(), is_kept, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_kept_hash_is_refused() {
    let place = Place::new("kept");
    let texts = texts(&place);
    let (runs, out) = (place.path("runs.csv"), place.path("out"));
    let header = "run,corpus,budget,flops,params,tokens,checkpoint\n";
    let row = format!("a,a,1e18,1e18,1e8,1e9,{}\n", super::ADDRESS);
    fs::write(&runs, header.to_owned() + &row).unwrap();
    let logs = Path::new(&out).join("logs/a");
    fs::create_dir_all(&logs).unwrap();
    super::pipe(&logs.join("checkpoint.json"));
    let arguments = ["ladder", "--runs", &runs, "--texts", &texts];
    let mut command = place.command(&arguments);
    place.refused(
        command.args(["--baseline", "english-help", "--out", &out]),
        &["checkpoint.json: is not a regular file"],
    );
}
