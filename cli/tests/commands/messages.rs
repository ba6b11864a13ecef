//! Transcripts of the program: exit codes, and messages that say what to do.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::common::{file, relscale, suite};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The arguments are refused as a mistake on the command line, and the message holds `parts`.
fn misused(arguments: &[&str], parts: &[&str]) {
    let output = relscale(arguments);
    let message = err(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert!(out(&output).is_empty(), "{arguments:?}");
}

/// The input is refused in one line that holds `parts`.
fn refused(arguments: &[&str], parts: &[&str]) {
    let output = relscale(arguments);
    let message = err(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(message.starts_with("error: "), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
}

#[test]
fn every_command_explains_itself() {
    let whole = relscale(&["--help"]);
    assert!(whole.status.success());
    let listed = out(&whole);
    let commands = listed.split("Commands:").nth(1).unwrap();
    let commands = commands.lines().skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|name| *name != "help").collect();
    assert!(commands.len() > 10, "{listed}");
    for command in commands {
        let output = relscale(&[command, "--help"]);
        let help = out(&output);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(err(&output).is_empty(), "{command}");
        let usage = format!("Usage: relscale {command}");
        let example = format!("\n  relscale {command}");
        for part in [usage.as_str(), "Examples:\n", &example] {
            assert!(help.contains(part), "no {part:?} in {help}");
        }
    }
    for part in ["plan", "run", "list", "merge"] {
        let help = relscale(&["study", part, "--help"]);
        assert!(out(&help).contains(&format!("Usage: relscale study {part}")));
    }
    let version = relscale(&["--version"]);
    assert_eq!(
        out(&version),
        format!("relscale {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_options_of_every_command_are_these() {
    for (command, options) in [
        (
            &["fit"][..],
            "scores scale baseline treatment contrast group worst partial-pooling aggregate design margin-percent alpha error-rate \
             surface-huber stratified crossed-bootstrap max-t json details plots format report methods",
        ),
        (
            &["score"],
            "checkpoint base items out per-token batch-tokens max-tokens threads backend device \
             precision memory-limit bos bos-first context stride truncate repeat",
        ),
        (
            &["ladder"],
            "checkpoints runs base list texts baseline aggregate out context stride batch-tokens \
             backend device precision threads memory-limit",
        ),
        (
            &["plan"],
            "preset recipe csv json corpora peak-tflops mfu target-delta-beta margin-percent \
             budget-noise run-noise cluster-noise clusters optimum",
        ),
        (&["inspect"], "out task metric time cluster"),
        (&["harness"], "out task metric time cluster"),
        (&["study", "run"], "shard threads device"),
        (&["study", "list"], "left"),
        (&["study", "merge"], "out scorer"),
    ] {
        let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let help = out(&relscale(&arguments));
        for option in options.split_whitespace() {
            assert!(
                help.contains(&format!("--{option}")),
                "{command:?}: no --{option} in {help}"
            );
        }
    }
}

/// As [`misused`], for a fit with a table and a baseline.
fn misfitted(more: &[&str], parts: &[&str]) {
    misused(
        &[&["fit", "--scores", "a", "--baseline", "b"], more].concat(),
        parts,
    );
}

#[test]
fn mistakes_on_the_command_line_come_with_a_way_out() {
    misused(&[], &["Usage: relscale [OPTIONS] <COMMAND>"]);
    misused(
        &["scores"],
        &["unrecognized subcommand 'scores'", "'score'"],
    );
    misused(&["train"], &["'train'", "'--help'"]);
    misused(
        &["fit", "--score", "a.csv", "--baseline", "web"],
        &["unexpected argument '--score'", "'--scores'"],
    );
    misused(&["fit", "--baseline", "web"], &["<TABLE>"]);
    misfitted(
        &["--baseline", "c"],
        &["'--baseline <NAME>' cannot be used multiple times"],
    );
    misfitted(
        &["--treatment", "b"],
        &["--treatment b: `b` is the baseline"],
    );
    misfitted(&["--design", "rung"], &["invalid value 'rung'", "rungs"]);
    for (option, value, message) in [
        ("--contrast", "law", "`law` is not a pair"),
        ("--contrast", "a:b,c:d,e:f", "two as T1:B1,T2:B2"),
        ("--group", "risky", "expected NAME=A,B"),
        ("--group", "risky=a:1,b", "some members have a weight"),
    ] {
        misfitted(&[option, value], &["invalid value", message]);
    }
    misfitted(&["--format", "tex"], &["invalid value 'tex'", "latex"]);
    misused(
        &["plan", "--run-noise", "-1"],
        &[
            "invalid value '-1'",
            "--run-noise <X>",
            "not a number from 0 on",
        ],
    );
    for option in ["--mfu", "--peak-tflops"] {
        for value in ["0", "-1"] {
            let said = format!("invalid value '{value}' for '{option} <X>': not a number above 0");
            misused(&["plan", option, value], &[&said]);
        }
    }
    misfitted(
        &["--chance", "c=0.5", "--chance", "c=0.75"],
        &["--chance c: two chance levels"],
    );
    misused(&["plan", "--optimum", "1e9"], &["--target-delta-beta <X>"]);
    misused(
        &["ladder", "--texts", "a", "--baseline", "b", "--out", "c"],
        &["--checkpoints <DIR>", "--runs <FILE.csv>"],
    );
    misused(&["ladder", "--checkpoints", "a"], &["--texts <DIR>"]);
    misused(&["study", "run", "folder"], &["--shard <K/N>"]);
    misused(
        &["study", "run", "folder", "a/b/0-1", "--shard", "0/1"],
        &["cannot be used with"],
    );
    misused(
        &["study", "run", "folder", "--shard", "1"],
        &["not K/N, such as 0/8"],
    );
}

#[test]
fn options_that_a_backend_does_not_honour_are_refused_in_one_line() {
    let score = ["score", "--checkpoint", "a", "--items", "b", "--out", "c"];
    for (options, named) in [
        (&["--precision", "f16"][..], ["--precision", "cpu backend"]),
        (&["--device", "1"], ["--device", "cpu backend"]),
        (&["--mode", "fast"], ["--mode", "cpu backend"]),
        (
            &["--backend", "cuda", "--threads", "2"],
            ["--threads", "cuda backend"],
        ),
        (
            &["--backend", "reference", "--precision", "f32"],
            ["--precision", "reference backend"],
        ),
    ] {
        let arguments: Vec<&str> = score.iter().chain(options).copied().collect();
        misused(&arguments, &named);
        assert_eq!(err(&relscale(&arguments)).lines().count(), 1);
    }
    // The CPU backend computes in f32: asking for it is fine, and the missing file is found next.
    let arguments: Vec<&str> = score
        .iter()
        .chain(&["--precision", "f32"])
        .copied()
        .collect();
    refused(&arguments, &["b: "]);
}

#[test]
fn input_that_is_refused_is_named() {
    refused(
        &[
            "fit",
            "--scores",
            "/nowhere/losses.csv",
            "--baseline",
            "web",
        ],
        &["/nowhere/losses.csv"],
    );
    let wrong = file("wrong.csv");
    fs::write(&wrong, "run,budget,flop\na,1,1\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    refused(
        &["fit", "--scores", wrong, "--baseline", "web"],
        &[wrong, "column", "\"flops\""],
    );
    refused(
        &[
            "fit",
            "--scores",
            &suite("scores.csv"),
            "--baseline",
            "english",
        ],
        &["\"english\"", "english-help"],
    );
    let recipe = file("recipe.json");
    fs::write(&recipe, r#"{"recipe": {}, "seed": 1}"#).unwrap();
    let recipe = recipe.to_str().unwrap();
    refused(&["plan", "--recipe", recipe], &[recipe, "recipe"]);
    refused(&["study", "list", "/nowhere"], &["/nowhere/plan.json"]);
}

#[test]
fn a_fit_prints_its_laws_and_writes_its_files() {
    let (json, plots) = (file("laws.json"), file("plots"));
    let scores = suite("scores.csv");
    let arguments = [
        "fit",
        "--scores",
        &scores,
        "--baseline",
        "english-help",
        "--aggregate",
        "aggregate",
        "--json",
        json.to_str().unwrap(),
        "--plots",
        plots.to_str().unwrap(),
    ];
    let output = relscale(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).is_empty());
    assert!(out(&output).contains("Corpus balanced"), "{}", out(&output));
    let laws: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert!(!laws["laws"].as_array().unwrap().is_empty());
    assert!(fs::read_dir(plots).unwrap().count() >= 3);
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_output_quietly() {
    for arguments in [&["plan"][..], &["--help"]] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_relscale"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(program.stdout.take());
        let output = program.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(output.stderr.is_empty(), "{}", err(&output));
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = relscale(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for part in ["ladder", "--baseline", "--batch-tokens"] {
            let part = if shell == "fish" {
                part.trim_start_matches("--")
            } else {
                part
            };
            assert!(out(&output).contains(part), "{shell}: no {part}");
        }
    }
    misused(&["completions", "tcsh"], &["'tcsh'", "bash"]);
    let page = out(&relscale(&["man"]));
    assert!(
        page.contains(".TH relscale 1") && page.contains("relscale\\-fit(1)"),
        "{page}"
    );
    let folder = file("man");
    let written = relscale(&["man", folder.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", err(&written));
    let page = fs::read_to_string(folder.join("relscale-study-run.1")).unwrap();
    assert!(page.contains("\\-\\-shard"), "{page}");
    assert!(fs::read_dir(folder).unwrap().count() >= 13);
}

#[test]
fn a_name_that_is_almost_there_is_suggested() {
    let scores = suite("scores.csv");
    let fit = ["fit", "--scores", &scores, "--baseline"];
    for (options, meant) in [
        (&["englsh-help"][..], "did you mean `english-help`?"),
        (
            &["english-help", "--treatment", "Go-code"],
            "did you mean `go-code`?",
        ),
        (
            &["english-help", "--aggregate", "agregate"],
            "did you mean `aggregate`?",
        ),
    ] {
        let arguments: Vec<&str> = fit.iter().chain(options).copied().collect();
        refused(&arguments, &[meant]);
    }
    let output = relscale(&[&fit[..], &["physics"]].concat());
    assert!(!err(&output).contains("did you mean"), "{}", err(&output));
}

#[test]
fn remarks_are_as_many_as_asked_for() {
    let checkpoint = suite("checkpoints/balanced/isoflop-6ep10-d8-L1-B2-balanced");
    let items = file("remarks.jsonl");
    fs::write(&items, "{\"id\": \"a\", \"text\": \"Some text.\"}\n").unwrap();
    let scores = file("remarks-out.jsonl");
    let score = |options: &[&str]| {
        let (items, scores) = (items.to_str().unwrap(), scores.to_str().unwrap());
        let first = [
            "score",
            "--checkpoint",
            &checkpoint,
            "--items",
            items,
            "--out",
            scores,
        ];
        let output = relscale(&[&first[..], options].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(out(&output).is_empty());
        // Standard error is no terminal here: neither bars nor colours.
        assert!(!err(&output).contains('\u{1b}'), "{}", err(&output));
        err(&output)
    };
    assert_eq!(score(&["--quiet"]), "");
    assert!(score(&[]).starts_with("1 items, "));
    let verbose = score(&["-v"]);
    assert!(
        verbose.contains(".part: 0 of 1 items are scored"),
        "{verbose}"
    );
    assert!(verbose.lines().count() > score(&[]).lines().count());
    misused(&["plan", "-q", "-v"], &["'--quiet'", "'--verbose'"]);
    // Errors stay.
    refused(
        &["fit", "-q", "--scores", "/nowhere", "--baseline", "a"],
        &["/nowhere"],
    );
}

#[test]
fn several_checkpoints_are_scored_into_one_file() {
    let checkpoints = [8, 12].map(|d| {
        suite(&format!(
            "checkpoints/balanced/isoflop-6ep10-d{d}-L1-B2-balanced"
        ))
    });
    let items = file("several.jsonl");
    fs::write(
        &items,
        "{\"id\": \"a\", \"text\": \"One.\"}\n{\"id\": \"b\", \"text\": \"Two.\"}\n",
    )
    .unwrap();
    let score = |checkpoints: &[String], name: &str| {
        let scores = file(name);
        let mut arguments = vec!["score", "--items", items.to_str().unwrap(), "--out"];
        arguments.push(scores.to_str().unwrap());
        for checkpoint in checkpoints {
            arguments.extend(["--checkpoint", checkpoint]);
        }
        let output = relscale(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let text = fs::read_to_string(scores).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    let all = score(&checkpoints, "all-scores.jsonl");
    let each = checkpoints
        .iter()
        .map(|c| score(std::slice::from_ref(c), "one-scores.jsonl"));
    let each: Vec<_> = each.flatten().collect();
    assert_eq!(all.len(), 4);
    for (i, (all, one)) in all.into_iter().zip(each).enumerate() {
        assert_eq!(all["checkpoint"], checkpoints[i / 2].as_str());
        assert_eq!(all["log_likelihood"], one["log_likelihood"]);
        assert_eq!(all["id"], one["id"]);
        assert!(one.get("checkpoint").is_none());
    }
}

#[test]
fn a_recipe_is_read_back() {
    let (first, second) = (file("first.json"), file("second.json"));
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let preset = relscale(&["plan", "--preset", "relative-scaling-laws", "--json", first]);
    assert_eq!(preset.status.code(), Some(0), "{}", err(&preset));
    let again = relscale(&["plan", "--recipe", first, "--json", second]);
    assert_eq!(again.status.code(), Some(0), "{}", err(&again));
    assert_eq!(out(&preset), out(&again));
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn the_seeds_of_a_plan_are_runs_of_its_table() {
    let [json, again, csv] = ["seeds.json", "seeds-again.json", "seeds.csv"].map(file);
    let [path, again_path, table] = [&json, &again, &csv].map(|file| file.to_str().unwrap());
    let one = relscale(&["plan", "--json", path, "--csv", table]);
    assert_eq!(one.status.code(), Some(0), "{}", err(&one));
    let runs = fs::read_to_string(&csv).unwrap();
    let rows = runs.lines().count() - 1;
    let text = fs::read_to_string(&json).unwrap();
    fs::write(&json, text.replace("\"seeds\": 1", "\"seeds\": 2")).unwrap();
    let plan = [
        "plan", "--recipe", path, "--csv", table, "--json", again_path,
    ];
    let two = relscale(&plan);
    assert_eq!(two.status.code(), Some(0), "{}", err(&two));
    assert!(out(&two).contains("(1 corpora, 2 seeds)"), "{}", out(&two));
    let repeated = fs::read_to_string(&csv).unwrap();
    assert!(repeated.starts_with(&format!("seed,{}", runs.lines().next().unwrap())));
    assert_eq!(repeated.lines().count() - 1, 2 * rows);
    let first = runs.lines().nth(1).unwrap();
    for (at, line) in repeated.lines().skip(1).take(2).enumerate() {
        assert_eq!(line, format!("{},{first}", at + 1));
    }
    // The file that is written has them too.
    assert_eq!(fs::read(&json).unwrap(), fs::read(&again).unwrap());
    fs::write(&json, text.replace("\"seeds\": 1", "\"seeds\": 0")).unwrap();
    refused(&["plan", "--recipe", path], &["seeds.json", "`seeds`: 0"]);
}

#[test]
fn the_corpora_of_a_plan_are_read_back() {
    let [json, again, csv] = ["corpora.json", "corpora-again.json", "corpora.csv"].map(file);
    let [path, again_path, table] = [&json, &again, &csv].map(|file| file.to_str().unwrap());
    let three = relscale(&["plan", "--corpora", "3", "--json", path]);
    assert_eq!(three.status.code(), Some(0), "{}", err(&three));
    let read = relscale(&[
        "plan", "--recipe", path, "--json", again_path, "--csv", table,
    ]);
    assert_eq!(read.status.code(), Some(0), "{}", err(&read));
    assert!(
        out(&read).contains("(3 corpora, 1 seeds)"),
        "{}",
        out(&read)
    );
    assert_eq!(out(&read), out(&three));
    assert_eq!(fs::read(&json).unwrap(), fs::read(&again).unwrap());
    assert!(fs::read_to_string(&csv).unwrap().starts_with("corpus,"));
    // The option goes before the file.
    let two = relscale(&["plan", "--recipe", path, "--corpora", "2"]);
    assert!(out(&two).contains("(2 corpora,"), "{}", out(&two));
    let text = fs::read_to_string(&json).unwrap();
    fs::write(&json, text.replace("\"corpora\": 3", "\"corpora\": 0")).unwrap();
    refused(
        &["plan", "--recipe", path],
        &["corpora.json", "`corpora`: 0"],
    );
}
