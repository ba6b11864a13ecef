//! The program under attack: files that are no files, outputs that already stand, numbers that are slips.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{copy, file, program, relscale, suite};

const CHECKPOINT: &str = "checkpoints/balanced/isoflop-1.8ep11-d12-L1-B2-balanced";

/// Standard error of the program, and its exit code.
fn said(arguments: &[&str]) -> (String, Option<i32>) {
    let output = relscale(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (text, output.status.code())
}

fn folder(name: &str) -> PathBuf {
    let folder = file(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn old_scores_stay_until_the_new_ones_are_whole() {
    let folder = folder("old-scores");
    let (items, out) = (folder.join("items.jsonl"), folder.join("out.jsonl"));
    fs::write(&items, "{\"id\":\"a\",\"tokens\":[1,2,3]}\n").unwrap();
    fs::write(&out, "old").unwrap();
    // The second checkpoint does not exist, so nothing is whole.
    let checkpoint = suite(CHECKPOINT);
    let mut arguments = vec!["score", "--items", text(&items), "--out", text(&out)];
    arguments.extend(["--checkpoint", &checkpoint, "--checkpoint", "/none"]);
    let (message, code) = said(&arguments);
    assert_eq!(code, Some(1), "{message}");
    assert_eq!(fs::read_to_string(&out).unwrap(), "old");
    arguments.truncate(7);
    let (message, code) = said(&arguments);
    assert_eq!(code, Some(0), "{message}");
    assert!(fs::read_to_string(&out).unwrap().contains("log_likelihood"));
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !text(Path::new(name)).ends_with(".tmp")),
        "{left:?}"
    );
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_refused_wherever_a_file_is_named() {
    let folder = folder("devices");
    let (items, pipe) = (folder.join("items.jsonl"), folder.join("pipe"));
    fs::write(&items, "{\"id\":\"a\",\"tokens\":[1,2,3]}\n").unwrap();
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (checkpoint, out) = (suite(CHECKPOINT), folder.join("out.jsonl"));
    let study = folder.join("study.json");
    for odd in ["/dev/zero", text(&pipe)] {
        let content = format!("{{\"runs\": {odd:?}, \"distributions\": [], \"unit_flops\": 1e15}}");
        fs::write(&study, content).unwrap();
        for arguments in [
            &[
                "score",
                "--checkpoint",
                &checkpoint,
                "--items",
                odd,
                "--out",
                text(&out),
            ][..],
            &["study", "plan", odd, text(&folder)],
            &["study", "plan", text(&study), text(&folder)],
            &["ladder", "--runs", odd, "--list"],
            &["report", odd],
            &["fit", text(&items), "--options", odd, "--baseline", "x"],
            &["plan", "--recipe", odd],
            &[
                "fit",
                text(&items),
                "--baseline",
                "x",
                "--covariate",
                &format!("{odd}:x"),
            ],
        ] {
            let (message, code) = said(arguments);
            assert!(matches!(code, Some(1 | 2)), "{arguments:?}: {message}");
            assert!(
                message.contains("regular file") || code == Some(2),
                "{arguments:?}: {message}"
            );
        }
    }
    let (message, code) = said(&["fit", "/dev/zero", "--baseline", "x"]);
    assert!(code == Some(1) && message.contains("device"), "{message}");
}

#[test]
fn absurd_numbers_of_threads_are_refused() {
    let folder = folder("threads");
    let (items, out) = (folder.join("items.jsonl"), folder.join("out.jsonl"));
    fs::write(&items, "{\"id\":\"a\",\"tokens\":[1,2,3]}\n").unwrap();
    let checkpoint = suite(CHECKPOINT);
    let arguments = [
        "score",
        "--checkpoint",
        &checkpoint,
        "--items",
        text(&items),
        "--out",
    ];
    let arguments = [&arguments[..], &[text(&out), "--threads", "1000000"]].concat();
    let (message, code) = said(&arguments);
    assert!(
        code == Some(1) && message.contains("1000000 are more than"),
        "{message}"
    );
}

#[test]
fn keys_of_settings_that_come_twice_are_refused() {
    let folder = folder("twice");
    let study = folder.join("study.json");
    let content = r#"{"runs": "a.csv", "runs": "b.csv", "distributions": [], "unit_flops": 1e15}"#;
    fs::write(&study, content).unwrap();
    let (message, code) = said(&["study", "plan", text(&study), text(&folder)]);
    assert!(code == Some(1) && message.contains("twice"), "{message}");
}

/// A disk that is full, as far as a process can tell: no file may be longer than a kilobyte.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_a_reason_and_what_was_there() {
    let folder = folder("full");
    let items = folder.join("items.jsonl");
    let line = |i: usize| {
        let tokens: Vec<usize> = (0..8).map(|t| 1 + (i * 7 + t) % 200).collect();
        format!("{{\"id\":\"{i}\",\"tokens\":{tokens:?}}}\n")
    };
    fs::write(&items, (0..40).map(line).collect::<String>()).unwrap();
    let (checkpoint, scores) = (suite(CHECKPOINT), suite("scores.csv"));
    let (out, part) = (folder.join("out"), folder.join("out.part"));
    let fit = ["fit", &scores, "--baseline", "english-help", "--quiet"];
    let score = [
        "score",
        "--checkpoint",
        &checkpoint,
        "--items",
        text(&items),
    ];
    // What is written, and the file that the message names.
    for (arguments, named) in [
        ([&score[..], &["--out", text(&out)]].concat(), &part),
        (
            [&fit[..], &["--json", text(&out), "--details"]].concat(),
            &out,
        ),
        ([&fit[..], &["--report", text(&out)]].concat(), &out),
        (vec!["simulate", "--out", text(&out)], &out),
    ] {
        fs::write(&out, "old").unwrap();
        // The signal would end the process without a word; a full disk sends none.
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]);
        limited.arg(program()).args(&arguments);
        let output = limited.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        for part in [text(named), "File too large"] {
            assert!(
                message.contains(part),
                "{arguments:?}: no {part:?} in {message}"
            );
        }
        assert_eq!(fs::read(&out).unwrap(), b"old", "{arguments:?}");
        let left = fs::read_dir(&folder).unwrap();
        let left = left.map(|e| e.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> = left.filter(|name| name.ends_with(".tmp")).collect();
        assert!(left.is_empty(), "{arguments:?}: {left:?}");
    }
    // With room again, scoring goes on from what was saved.
    let (message, code) = said(&[&score[..], &["--out", text(&out)]].concat());
    assert_eq!(code, Some(0), "{message}");
    assert!(!part.exists());
}

#[cfg(unix)]
#[test]
fn unfinished_scores_that_were_changed_are_refused_by_line() {
    let folder = folder("changed-part");
    let items = folder.join("items.jsonl");
    let line = |i: usize| format!("{{\"id\":\"{i}\",\"tokens\":[1,2,{}]}}\n", 3 + i);
    fs::write(&items, (0..100).map(line).collect::<String>()).unwrap();
    let (checkpoint, out) = (suite(CHECKPOINT), folder.join("out"));
    let part = folder.join("out.part");
    let score = [
        "score",
        "--checkpoint",
        &checkpoint,
        "--items",
        text(&items),
        "--out",
        text(&out),
    ];
    // Room for the first line and some of a hundred others.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""]);
    let output = limited.arg(program()).args(score).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let whole = fs::read_to_string(&part).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    assert!(lines.len() > 3, "{whole}");

    // Another digit, a line twice, and lines as an earlier version wrote them.
    let digit = lines[1].rfind("},\"check\"").unwrap() - 1;
    let mut other = lines[1].to_owned();
    let new = if &other[digit..=digit] == "7" {
        "8"
    } else {
        "7"
    };
    other.replace_range(digit..=digit, new);
    let unchecked = |line: &str| {
        let at = line.rfind(",\"check\"").unwrap();
        format!("{}}}\n", &line[..at])
    };
    for (bytes, parts) in [
        (
            [lines[0], other.as_str(), lines[2]].concat(),
            ["line 2", "checksum"],
        ),
        (
            [lines[0], lines[1], lines[2], lines[1]].concat(),
            ["line 4", "a second time"],
        ),
        (
            [unchecked(lines[0]), unchecked(lines[1])].concat(),
            ["line 1", "earlier version"],
        ),
    ] {
        fs::write(&part, &bytes).unwrap();
        let (message, code) = said(&score);
        assert_eq!(code, Some(1), "{message}");
        for said in parts.iter().chain(&["out.part", "remove this file"]) {
            assert!(message.contains(said), "no {said:?} in {message}");
        }
        assert_eq!(fs::read_to_string(&part).unwrap(), bytes);
        assert!(!out.exists());
    }
    // Unchanged, they are gone on from.
    fs::write(&part, &whole).unwrap();
    let (message, code) = said(&score);
    assert_eq!(code, Some(0), "{message}");
    assert!(!part.exists() && out.exists());
}

/// The library panics on each, which would end the process where panics abort (`.ci/release` runs this test
/// so).
#[test]
fn tokenizers_that_the_library_panics_on_are_refused_before_it_sees_them() {
    let folder = folder("panics");
    copy(Path::new(&suite(CHECKPOINT)), &folder);
    let (items, out) = (folder.join("items.jsonl"), folder.join("out.jsonl"));
    fs::write(&items, "{\"id\":\"a\",\"text\":\"aaaa\"}\n").unwrap();
    let zero = r#""pre_tokenizer": {"type": "FixedLength", "length": 0}"#;
    let empty = r#""normalizer": {"type": "Strip", "strip_left": true, "strip_right": true},
        "added_tokens": [{"id": 1, "content": " ", "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": true, "special": false}]"#;
    let huge = r#""decoder": {"type": "CTC", "pad_token": "p", "x": 1e999}"#;
    let list = r#""pre_tokenizer": ["FixedLength", 0]"#;
    let table = r#""normalizer": {"type": "Precompiled"}"#;
    let front = r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace",
        "pattern": {"Regex": "^"}, "content": "a"}, {"type": "Lowercase"}]}"#;
    let start = r#""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?<=a\\K)a"},
        "behavior": "Isolated", "invert": false}"#;
    for (stage, named) in [
        (zero, "pre_tokenizer"),
        (list, "pre_tokenizer"),
        (table, "normalizer"),
        (front, "normalizer"),
        (start, "pre_tokenizer"),
        (empty, "added_tokens"),
        (huge, "number out of range"),
    ] {
        let model = r#"{"type": "BPE", "vocab": {"a": 0}, "merges": []}"#;
        let tokenizer = format!(r#"{{"version": "1.0", "model": {model}, {stage}}}"#);
        fs::write(folder.join("tokenizer.json"), tokenizer).unwrap();
        let arguments = [
            "score",
            "--checkpoint",
            text(&folder),
            "--items",
            text(&items),
        ];
        let (message, code) = said(&[&arguments[..], &["--out", text(&out)]].concat());
        assert_eq!(code, Some(1), "{stage}: {message}");
        let is_named = message.contains("tokenizer.json") && message.contains(named);
        assert!(
            is_named && !message.contains("panicked"),
            "{stage}: {message}"
        );
    }
}

/// A name could move the cursor and write over the message that names it.
#[test]
fn names_in_messages_do_not_command_the_terminal() {
    let arguments = [
        "score",
        "--checkpoint",
        "x",
        "--items",
        "no\u{1b}[2K\u{1b}[1A\u{9b}2J\rsuch",
        "--out",
        "x.jsonl",
    ];
    let (message, code) = said(&arguments);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("such"), "{message}");
    let is_obeyed = |c: char| c.is_control() && c != '\n';
    assert!(!message.contains(is_obeyed), "{message:?}");
}

#[test]
fn outputs_do_not_replace_what_is_read() {
    let folder = folder("over-inputs");
    fs::create_dir_all(folder.join("out")).unwrap();
    let inputs = [
        "items.jsonl",
        "losses.csv",
        "options.toml",
        "covariate.csv",
        "analysis.json",
        "recipe.json",
        "simulation.toml",
        "out/runs.csv",
        "items.jsonl.part",
        "out/results.json",
        "out/plan.json",
    ];
    let content = |name: &str| match name {
        // Read before it could be replaced. No ladder has the last column.
        "out/runs.csv" => "corpus,run,budget,flops,params,tokens,checkpoint,remarks\n\
             web,a,1e18,1e18,1e8,2e9,a,precious\n"
            .to_owned(),
        name => format!("{name} is precious"),
    };
    for name in inputs {
        fs::write(folder.join(name), content(name)).unwrap();
    }
    let (replaced, twice) = ("the output would replace it", "writes the same file");
    let checkpoint = suite(CHECKPOINT);
    for (line, expected) in [
        (
            "score --checkpoint CHECKPOINT --items items.jsonl --out items.jsonl",
            replaced,
        ),
        ("fit losses.csv --baseline x --json losses.csv", replaced),
        (
            "fit losses.csv --baseline x --json ../over-inputs/losses.csv",
            replaced,
        ),
        ("fit losses.csv --baseline x --report losses.csv", replaced),
        (
            "fit losses.csv --options options.toml --baseline x --json options.toml",
            replaced,
        ),
        (
            "fit losses.csv --baseline x --covariate covariate.csv:y --json covariate.csv",
            replaced,
        ),
        (
            "fit losses.csv --baseline x --json new --report out/../new",
            twice,
        ),
        ("report analysis.json --json analysis.json", replaced),
        ("plan --recipe recipe.json --json recipe.json", replaced),
        ("plan --csv new --json new", twice),
        (
            "simulate --simulation simulation.toml --out simulation.toml",
            replaced,
        ),
        ("simulate --out new --truth new", twice),
        ("harness losses.csv out --out losses.csv", replaced),
        ("harness losses.csv out --out out/results.json", replaced),
        ("inspect out --out out/results.json", replaced),
        (
            "fit losses.csv out --baseline x --json out/results.json",
            replaced,
        ),
        ("study merge out --out out/plan.json", replaced),
        (
            "score --checkpoint CHECKPOINT --items items.jsonl.part --out items.jsonl",
            replaced,
        ),
        ("demo --json new --report new", twice),
        ("demo --out out --json out/laws.json", twice),
        (
            "ladder --runs out/runs.csv --texts out --baseline x --out out",
            replaced,
        ),
    ] {
        let words = line.split(' ').map(|word| match word {
            "CHECKPOINT" => &checkpoint,
            word => word,
        });
        let output = Command::new(program())
            .args(words)
            .current_dir(&folder)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert!(message.contains(expected), "{line}: {message}");
        for name in inputs {
            let found = fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(found, content(name), "{line}");
        }
        assert!(!folder.join("new").exists(), "{line}");
    }
    // Devices lose nothing.
    let (message, code) = said(&["plan", "--csv", "/dev/null", "--json", "/dev/null"]);
    assert_eq!(code, Some(0), "{message}");
}

#[test]
fn scores_and_tables_replace_neither_checkpoints_nor_texts() {
    let folder = folder("over-checkpoints");
    let (model, base) = (folder.join("model"), folder.join("base"));
    copy(Path::new(&suite(CHECKPOINT)), &model);
    copy(Path::new(&suite(CHECKPOINT)), &base);
    copy(
        Path::new(&suite(CHECKPOINT)),
        &folder.join("bases/org/base"),
    );
    copy(
        Path::new(&suite(CHECKPOINT)),
        &folder.join("cache/models--org--base/snapshots/main"),
    );
    let refs = folder.join("cache/models--org--base/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::write(refs.join("main"), "main").unwrap();
    fs::create_dir_all(folder.join("texts/empty")).unwrap();
    for (adapter, base) in [("adapter", text(&base)), ("other", "org/base")] {
        let adapter = folder.join(adapter);
        fs::create_dir_all(&adapter).unwrap();
        let config = serde_json::json!({ "peft_type": "LORA", "base_model_name_or_path": base });
        fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
        fs::write(adapter.join("adapter_model.safetensors"), "").unwrap();
    }
    fs::write(folder.join("a.gguf"), "precious").unwrap();
    fs::write(
        folder.join("items.jsonl"),
        "{\"id\":\"a\",\"tokens\":[1,2,3]}\n",
    )
    .unwrap();
    fs::write(folder.join("texts/a.txt"), "Some text.").unwrap();
    fs::write(folder.join("texts/README.md"), "About the texts.").unwrap();
    fs::write(
        folder.join("runs.csv"),
        "run,corpus,budget,flops,params,tokens,checkpoint\nr,web,1e18,1e18,1e8,2e9,model\n",
    )
    .unwrap();
    let study = serde_json::json!({"runs": "runs.csv", "unit_flops": 1e15, "distributions": [
        {"kind": "items", "path": "items.jsonl", "scorers": ["nats_per_token"]},
        {"kind": {"regions": {}}, "path": "texts", "scorers": ["bits_per_byte"]}]});
    fs::write(folder.join("study.json"), study.to_string()).unwrap();
    let said = |line: &str| {
        let output = Command::new(program())
            .args(line.split(' '))
            .current_dir(&folder)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        (message, output.status.code())
    };
    let (message, code) = said("study plan study.json plan");
    assert_eq!(code, Some(0), "{message}");
    // What a folder of texts holds besides, a region without texts among it, is not left out in silence.
    assert!(
        message.contains("left out, not texts: README.md, empty"),
        "{message}"
    );
    for (line, out) in [
        ("score --checkpoint model", "model/model.safetensors"),
        ("score --checkpoint model", "model/config.json"),
        ("score --checkpoint a.gguf", "a.gguf"),
        ("score --checkpoint adapter", "adapter/adapter_config.json"),
        ("score --checkpoint adapter", "base/model.safetensors"),
        (
            "score --checkpoint other --base bases",
            "bases/org/base/model.safetensors",
        ),
        (
            "score --checkpoint other --base cache",
            "cache/models--org--base/snapshots/main/model.safetensors",
        ),
        ("study merge plan", "items.jsonl"),
        ("study merge plan", "texts/a.txt"),
    ] {
        let before = fs::read(folder.join(out)).unwrap();
        let items = match line.starts_with("score") {
            true => " --items items.jsonl",
            false => "",
        };
        let (message, code) = said(&format!("{line}{items} --out {out}"));
        assert_eq!(code, Some(2), "{line}, {out}: {message}");
        assert!(
            message.contains("the output would replace it"),
            "{line}, {out}: {message}"
        );
        assert!(fs::read(folder.join(out)).unwrap() == before, "{out}");
    }
    // Scores beside the weights are none of them, and are written again.
    for _ in 0..2 {
        let (message, code) =
            said("score --checkpoint model --items items.jsonl --out model/scores.jsonl");
        assert_eq!(code, Some(0), "{message}");
    }
}
