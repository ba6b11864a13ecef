//! Ctrl-C: the program saves, says how to go on, and goes on to the same bytes.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

/// A path in a folder, as an argument.
fn inside(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relscale"));
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
fn whole(arguments: &[&str]) -> Output {
    let output = command(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
    output
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(kill.success());
}

fn until(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn lines(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.iter().filter(|b| **b == b'\n').count()
}

/// Interrupts the program once some file has three lines, and expects that it says how to go on.
fn interrupted(arguments: &[&str], file: impl Fn() -> Vec<PathBuf>) {
    let child = command(arguments).spawn().unwrap();
    until("scores", || file().iter().any(|file| lines(file) >= 3));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    for part in [
        "warning: interrupted: ",
        "the same command goes on from there",
    ] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert!(output.stdout.is_empty());
}

/// Files under a folder with an extension.
fn found(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut all = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(found(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// One small checkpoint, as a path of the suite.
const CHECKPOINT: &str = "checkpoints/balanced/isoflop-1.8ep12-d24-L1-B8-balanced";

#[test]
fn a_score_goes_on_to_the_same_bytes() {
    let folder = tempdir().unwrap();
    let checkpoint = suite().join(CHECKPOINT).display().to_string();
    // Seconds of work, so that the interrupt comes before the end on any machine.
    let text = suite().join("texts/english-help.jsonl");
    let text = fs::read_to_string(text).unwrap();
    let texts: Vec<String> = (0..20)
        .map(|copy| text.replace("{\"id\":\"", &format!("{{\"id\":\"{copy}/")))
        .collect();
    let items = inside(&folder, "items.jsonl");
    fs::write(&items, texts.concat()).unwrap();
    let (one, two) = (inside(&folder, "one.jsonl"), inside(&folder, "two.jsonl"));
    let arguments = |out| {
        vec![
            "score",
            "--checkpoint",
            &checkpoint,
            "--items",
            &items,
            "--per-token",
            "--out",
            out,
            // An item per batch, so that there is something to interrupt.
            "--batch-tokens",
            "64",
            "--threads",
            "1",
        ]
    };
    whole(&arguments(&one));
    let part = PathBuf::from(format!("{two}.part"));
    assert!(!Path::new(&format!("{one}.part")).exists());

    interrupted(&arguments(&two), || vec![part.clone()]);
    assert!(!Path::new(&two).exists());
    let (saved, all) = (lines(&part) - 1, lines(Path::new(&items)));
    assert!(saved >= 2 && saved < all, "{saved}");

    // Another way of scoring does not go on from there.
    let mut other = arguments(&two);
    other.extend(["--context", "32"]);
    let refused = command(&other).output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("`context` differs"), "{message}");

    let rest = whole(&arguments(&two));
    let message = String::from_utf8(rest.stderr).unwrap();
    assert!(
        message.contains(&format!("{} items, ", all - saved)),
        "{message}"
    );
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert!(!part.exists());
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let folder = tempdir().unwrap();
    let checkpoint = suite().join(CHECKPOINT).display().to_string();
    let items = suite()
        .join("texts/english-help.jsonl")
        .display()
        .to_string();
    let out = inside(&folder, "out.jsonl");
    // The reference backend and one batch for all items: minutes of work without a place to stop.
    let mut child = command(&[
        "score",
        "--checkpoint",
        &checkpoint,
        "--items",
        &items,
        "--out",
        &out,
        "--backend",
        "reference",
        "--batch-tokens",
        "1000000",
    ])
    .spawn()
    .unwrap();
    let part = PathBuf::from(format!("{out}.part"));
    until("header", || lines(&part) == 1);
    // The batch begins after the header without a sign; stopped before it, the program ends as after one.
    thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("Stopping at the end of this batch"), "{line}");
    let start = Instant::now();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A table of one run per budget, and its texts.
fn ladder(folder: &TempDir) -> (String, String) {
    let table = fs::read_to_string(suite().join("ladder.csv")).unwrap();
    let mut rows = table.lines();
    let mut text = format!("{}\n", rows.next().unwrap());
    let mut budgets = vec![];
    for row in rows {
        let budget = row.split(',').nth(2).unwrap().to_owned();
        if !budgets.contains(&budget) {
            let checkpoint = suite().join("checkpoints").display().to_string();
            text += &format!("{}\n", row.replace("checkpoints", &checkpoint));
            budgets.push(budget);
        }
    }
    fs::create_dir(folder.path().join("texts")).unwrap();
    for name in ["english-help", "french-help", "german-help"] {
        let file = format!("texts/{name}.jsonl");
        let items = fs::read_to_string(suite().join(&file)).unwrap();
        let few: Vec<&str> = items.lines().take(30).collect();
        fs::write(folder.path().join(file), few.join("\n") + "\n").unwrap();
    }
    fs::write(folder.path().join("runs.csv"), text).unwrap();
    (inside(folder, "runs.csv"), inside(folder, "texts"))
}

#[test]
fn a_ladder_goes_on_to_the_same_bytes() {
    let folder = tempdir().unwrap();
    let (runs, texts) = ladder(&folder);
    let (one, two) = (inside(&folder, "one"), inside(&folder, "two"));
    let arguments = |out| {
        vec![
            "ladder",
            "--runs",
            &runs,
            "--texts",
            &texts,
            "--baseline",
            "english-help",
            "--out",
            out,
            "--batch-tokens",
            "64",
            "--threads",
            "1",
        ]
    };
    let printed = whole(&arguments(&one)).stdout;
    interrupted(&arguments(&two), || {
        found(&Path::new(&two).join("logs"), "jsonl")
    });
    assert!(!Path::new(&two).join("analysis.json").exists());
    let rest = whole(&arguments(&two)).stdout;
    for file in ["scores.csv", "analysis.json", "runs.csv"] {
        let read = |out: &str| fs::read(Path::new(out).join(file)).unwrap();
        assert_eq!(read(&one), read(&two), "{file}");
    }
    // The same laws; the last line has the number of documents of this call.
    let laws = |printed: Vec<u8>| {
        let text = String::from_utf8(printed).unwrap();
        text.rsplit_once("\nScored ").unwrap().0.to_owned()
    };
    assert_eq!(laws(printed), laws(rest));
}

#[test]
fn a_study_goes_on_to_the_same_bytes() {
    let folder = tempdir().unwrap();
    ladder(&folder);
    let study = serde_json::json!({
        "runs": "runs.csv", "backend": "cpu f32", "unit_flops": 1e15,
        "scoring": {"batch_tokens": 64},
        "distributions": [{"kind": "items", "path": "texts/english-help.jsonl",
                           "scorers": ["bits_per_byte"]}],
    });
    let file = inside(&folder, "study.json");
    fs::write(&file, study.to_string()).unwrap();
    let tables = ["one", "two"].map(|name| {
        let plan = inside(&folder, name);
        whole(&["study", "plan", &file, &plan]);
        let run = ["study", "run", &plan, "--shard", "0/1", "--threads", "1"];
        if name == "two" {
            let child = command(&run).spawn().unwrap();
            let parts = || found(Path::new(&plan), "part");
            until("scores", || parts().iter().any(|file| lines(file) >= 3));
            interrupt(&child);
            let output = child.wait_with_output().unwrap();
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(3), "{message}");
            assert!(message.contains("the same command goes on"), "{message}");
            // Being stopped is no failure of the unit.
            assert!(found(Path::new(&plan), "error").is_empty());
        }
        whole(&run);
        let table = inside(&folder, &format!("{name}.csv"));
        whole(&["study", "merge", &plan, "--out", &table]);
        fs::read(table).unwrap()
    });
    assert_eq!(tables[0], tables[1]);
}
