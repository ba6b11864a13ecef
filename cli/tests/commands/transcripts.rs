//! Transcripts of the program: what it prints, word by word.
//!
//! The files of `cli/tests/transcripts` are Markdown. A block `console` holds commands, each after `$ ` and
//! followed by its exit code after `? `, if that is not 0, and by what it prints: standard output, then
//! standard error. `| head -N` at the end of a command keeps the first N lines. Commands of a file run one
//! after the other in one folder, which [`prepare`] fills.
//!
//! `TRANSCRIPTS=overwrite cargo test --workspace --test commands transcripts` writes what is printed now; read the
//! difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHECKPOINT: &str = "checkpoints/balanced/isoflop-6ep10-d8-L1-B2-balanced";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A folder of small inputs: the table of the demo, two items, a checkpoint, a study, logs of programs.
fn prepare(name: &str) -> PathBuf {
    let name = format!("relscale-transcripts-{}-{name}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    let suite = root().join("../suite");
    copy_all(&suite.join(CHECKPOINT), &folder.join("checkpoint"));
    let table = root().join("src/commands/demo/losses.csv");
    fs::copy(table, folder.join("losses.csv")).unwrap();
    for logs in ["harness_logs", "inspect_logs"] {
        copy_all(&root().join("tests/data").join(logs), &folder.join(logs));
    }
    let ladder = fs::read_to_string(suite.join("ladder.csv")).unwrap();
    let header = ladder.lines().next().unwrap();
    let run = ladder
        .lines()
        .find(|row| row.ends_with(CHECKPOINT))
        .unwrap();
    let run = run.replace(CHECKPOINT, "checkpoint");
    for (name, text) in [
        ("runs.csv", format!("{header}\n{run}\n")),
        ("models.csv", MODELS.to_owned()),
        (
            "names.csv",
            MODELS
                .replace(",model", "")
                .replace(",tiny/a", "")
                .replace(",tiny/b", ""),
        ),
        ("items.jsonl", ITEMS.to_owned()),
        ("study.json", STUDY.to_owned()),
        ("wrong.csv", losses_without("loss", &folder)),
        (
            "wrong.toml",
            "baseline = \"english-help\"\nmargin_percnt = 1\n".to_owned(),
        ),
        ("not.json", "not json\n".to_owned()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &to),
            false => drop(fs::copy(path, to).unwrap()),
        }
    }
}

const MODELS: &str = "\
run,corpus,budget,flops,params,tokens,model
small,web,1e12,1e12,4e3,4e7,tiny/a
large,web,1e13,1e13,9e3,2e8,tiny/b
";

const ITEMS: &str = "\
{\"id\": \"text\", \"text\": \"A text that is scored whole.\"}
{\"id\": \"question\", \"context\": \"One and one is\", \"choices\": [\" two\", \" three\"], \"gold\": 0}
";

const STUDY: &str = "\
{\"runs\": \"runs.csv\", \"backend\": \"cpu f32\", \"unit_flops\": 1e15,
 \"distributions\": [{\"kind\": \"items\", \"path\": \"items.jsonl\", \"scorers\": [\"nats_per_token\"]}]}
";

fn losses_without(column: &str, folder: &Path) -> String {
    let table = fs::read_to_string(folder.join("losses.csv")).unwrap();
    table.replacen(&format!(",{column},"), ",los,", 1)
}

/// A command of a transcript and what it printed when the transcript was written.
struct Step {
    command: String,
    expected: String,
}

/// The output of the program now, in the form of the transcript.
fn printed(command: &str, folder: &Path) -> String {
    let (command, lines) = match command.split_once(" | head -") {
        Some((command, lines)) => (command, lines.parse().unwrap()),
        None => (command, usize::MAX),
    };
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("relscale"), "{command}");
    let output = Command::new(env!("CARGO_BIN_EXE_relscale"))
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let text = text
        .concat()
        .replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
    let text = text.replace(folder.to_str().unwrap(), "[CWD]");
    let code = output.status.code().unwrap();
    let mut all = if code == 0 {
        String::new()
    } else {
        format!("? {code}\n")
    };
    for line in text.lines().take(lines) {
        all += without_times(line).trim_end();
        all += "\n";
    }
    all
}

/// Times and speeds differ from run to run.
fn without_times(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_time = |i: usize| {
        words
            .get(i + 1)
            .is_some_and(|unit| unit.trim_end_matches([',', ';']) == "s")
    };
    let shown = words
        .iter()
        .enumerate()
        .map(|(i, word)| match word.parse::<f64>() {
            Ok(_) if is_time(i) => "[..]".to_owned(),
            _ => match word.trim_start_matches('(').parse::<f64>() {
                Ok(_) if words.get(i + 1) == Some(&"tokens/s);") => "([..]".to_owned(),
                _ => (*word).to_owned(),
            },
        });
    shown.collect::<Vec<_>>().join(" ")
}

/// The steps of a transcript, and its text with `{}` in the place of each step.
fn parse(text: &str) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut between) = (Vec::<Step>::new(), vec![String::new()]);
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ => {}
        }
        match line.strip_prefix("$ ") {
            Some(command) if inside => {
                let (command, expected) = (command.to_owned(), String::new());
                steps.push(Step { command, expected });
                between.push(String::new());
            }
            _ if inside && line != "```console" => {
                steps.last_mut().unwrap().expected += &format!("{line}\n");
            }
            _ => *between.last_mut().unwrap() += &format!("{line}\n"),
        }
    }
    (steps, between)
}

#[test]
fn the_program_prints_what_the_transcripts_say() {
    let overwrite = std::env::var("TRANSCRIPTS").is_ok_and(|v| v == "overwrite");
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("tests/transcripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    let (mut different, mut count) = (String::new(), 0);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let (steps, between) = parse(&text);
        let folder = prepare(path.file_stem().unwrap().to_str().unwrap());
        let mut now = between[0].clone();
        for (step, after) in steps.iter().zip(&between[1..]) {
            let Step { command, expected } = step;
            let printed = printed(command, &folder);
            if printed != *expected {
                different += &format!("$ {command}\n-- before\n{expected}-- now\n{printed}\n");
            }
            now += &format!("$ {command}\n{printed}{after}");
            count += 1;
        }
        if overwrite {
            fs::write(&path, now).unwrap();
        }
        fs::remove_dir_all(folder).unwrap();
    }
    assert!(count > 40, "{count}");
    assert!(overwrite || different.is_empty(), "{different}");
}
