//! Tables of losses as people have them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use relscale::fit::{self, Contrast, Options};
use relscale::ladder::{Ladder, LadderError};

/// A ladder of rungs on which `law` is scored by `scorer` and the other distributions by bits per byte.
fn table(scorer: &str) -> String {
    let mut text = "corpus,run,budget,flops,params,tokens,distribution,loss,scorer\n".to_owned();
    for i in 0..6 {
        let flops = 1e18 * 10f64.powi(i);
        let (params, tokens) = ((flops / 120.0).sqrt(), (flops / 0.3).sqrt());
        for (k, name) in ["web", "news", "law"].into_iter().enumerate() {
            let wobble = 1e-4 * f64::from((i * 7 + k as i32 * 5) % 4);
            let loss = 3.0 * (flops / 1e18).powf(-0.04 - 0.004 * k as f64 + wobble);
            let scorer = if name == "law" {
                scorer
            } else {
                "bits_per_byte"
            };
            text += &format!("c,r{i},{flops},{flops},{params},{tokens},{name},{loss},{scorer}\n");
        }
    }
    text
}

fn read(text: &str) -> Result<Ladder, LadderError> {
    Ladder::from_csv(text.as_bytes(), "t.csv")
}

#[test]
fn the_scorer_of_a_table_comes_back() {
    let ladder = read(&table("error_rate")).unwrap();
    let of = |l: &Ladder, name: &str| l.distribution(name).unwrap().scorer().map(str::to_owned);
    assert_eq!(of(&ladder, "law").as_deref(), Some("error_rate"));
    let mut written = Vec::new();
    ladder.write_csv(&mut written).unwrap();
    let again = read(std::str::from_utf8(&written).unwrap()).unwrap();
    assert_eq!(of(&again, "law").as_deref(), Some("error_rate"));
    assert_eq!(of(&again, "web").as_deref(), Some("bits_per_byte"));
    // A column `score` beside the losses is no misspelling.
    let text = table("").replace("loss,scorer", "loss,score");
    assert_eq!(of(&read(&text).unwrap(), "law"), None);
}

#[test]
fn two_scorers_of_a_distribution_are_refused_by_line() {
    let text = table("brier").replacen("brier", "error_rate", 1);
    let error = read(&text).unwrap_err().to_string();
    for part in [
        "t.csv, line 7",
        "\"law\"",
        "\"error_rate\"",
        "\"brier\"",
        "two names",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let error = read(&table("brier").replacen("brier", "", 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no named scorer"), "{error}");
}

#[test]
fn comparisons_across_scorers_are_refused_unless_asked_for() {
    let mixed = read(&table("error_rate")).unwrap();
    let mut options = Options::new("web");
    let error = fit::analyze(&mixed, &options).unwrap_err().to_string();
    for part in [
        "bits_per_byte (\"news\", \"web\")",
        "error_rate (\"law\")",
        "across_scorers",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    // The other treatments are compared by name, and all of them if asked for.
    options.treatments = vec!["news".into()];
    assert_eq!(fit::analyze(&mixed, &options).unwrap().laws.len(), 1);
    options.contrasts = vec![Contrast::new("law", "news")];
    assert!(fit::analyze(&mixed, &options).is_err());
    options.across_scorers = true;
    assert_eq!(fit::analyze(&mixed, &options).unwrap().contrasts.len(), 1);
    let mut all = Options::new("web");
    all.across_scorers = true;
    let with = fit::analyze(&mixed, &all).unwrap();
    assert_eq!(with.laws.len(), 2);
    // Without stated scorers, as in tables of before, nothing is refused and the laws are the same.
    let plain = read(&table("").replace("bits_per_byte", "")).unwrap();
    let without = fit::analyze(&plain, &Options::new("web")).unwrap();
    assert_eq!(format!("{:?}", with.laws), format!("{:?}", without.laws));
    let json = serde_json::to_string(&Options::new("web")).unwrap();
    assert!(!json.contains("across_scorers"), "{json}");
}

/// The rows of `table` without scorers, as CSV.
fn plain() -> String {
    let text = table("").replace("bits_per_byte", "");
    text.replace(",scorer", "").replace(",\n", "\n")
}

/// A file of this test and process.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("relscale-fit-tables-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Standard output without its first line, which names the tables, and standard error.
fn fit(arguments: &[&str], input: &[u8]) -> (String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relscale"))
        .arg("fit")
        .args(arguments)
        .args(["--baseline", "web"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().skip(1).collect::<Vec<_>>().join("\n"), said)
}

#[test]
fn the_fit_reads_positional_tables_flags_standard_input_and_tables_of_runs() {
    let text = plain();
    let path = file("losses.csv", text.as_bytes());
    let path = path.to_str().unwrap();
    let (expected, _) = fit(&["--scores", path], b"");
    assert!(expected.contains("law"), "{expected}");
    assert_eq!(fit(&[path], b"").0, expected);
    assert_eq!(fit(&["-"], text.as_bytes()).0, expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    assert_eq!(fit(&["-"], &gzip.finish().unwrap()).0, expected);
    // Runs described apart, and the losses with other names.
    let cut = |places: &[usize]| {
        let rows = text.lines().map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            places
                .iter()
                .map(|p| fields[*p])
                .collect::<Vec<_>>()
                .join(",")
        });
        rows.fold(String::new(), |all, row| all + &row + "\n")
    };
    // One row per run: the rows of a run follow each other, one per distribution.
    let all = cut(&[0, 1, 2, 3, 4, 5]);
    let (header, rows) = all.split_once('\n').unwrap();
    let runs = rows
        .lines()
        .step_by(3)
        .fold(format!("{header}\n"), |all, row| all + row + "\n");
    let losses = cut(&[1, 6, 7]).replace("distribution,loss", "domain,bpb");
    let (runs, losses) = (
        file("runs.csv", runs.as_bytes()),
        file("bare.csv", losses.as_bytes()),
    );
    let arguments = [losses.to_str().unwrap(), runs.to_str().unwrap()];
    let names = ["--columns", "loss=bpb,distribution=domain"];
    assert_eq!(fit(&[arguments, names].concat(), b"").0, expected);
}

#[test]
fn parquet_of_polars_and_wide_tables_are_fitted() {
    let fixture = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tables");
        root.join(name).to_str().unwrap().to_owned()
    };
    let run = |name: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_relscale"))
            .args(["fit", &fixture(name), "--baseline", "news"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{name}: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().skip(1).collect::<Vec<_>>().join("\n"), said)
    };
    let (expected, said) = run("index.csv");
    assert!(said.is_empty(), "{said}");
    for name in ["polars.parquet", "snappy.parquet", "long.jsonl.zst"] {
        assert_eq!(run(name).0, expected, "{name}");
    }
    let (wide, said) = run("wide.parquet");
    assert_eq!(wide, expected);
    assert!(
        said.contains("note: ") && said.contains("code, law, news"),
        "{said}"
    );
}

#[test]
fn input_of_the_fit_that_cannot_be_read_is_refused() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_relscale"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = run(&["fit", "--baseline", "web"]);
    assert!(code == Some(2) && said.contains("TABLE"), "{said}");
    let (code, said) = run(&["fit", "-", "-", "--baseline", "web"]);
    assert!(code == Some(2) && said.contains("standard input"), "{said}");
    let (code, said) = run(&["fit", "x.csv", "--columns", "loss", "--baseline", "web"]);
    assert!(code == Some(2) && said.contains("loss=bpb"), "{said}");
    let folder = file("notes.md", b"x").with_file_name("");
    let empty = folder.join("empty");
    fs::create_dir_all(&empty).unwrap();
    let (code, said) = run(&["fit", empty.to_str().unwrap(), "--baseline", "web"]);
    assert!(code == Some(1) && said.contains("without logs"), "{said}");
    let (code, said) = run(&["fit", "/nowhere/x.csv", "--baseline", "web"]);
    assert!(
        code == Some(1) && said.contains("/nowhere/x.csv: "),
        "{said}"
    );
}

/// A log of inspect_ai of one model on one task whose samples have these scores.
fn log(model: &str, task: &str, scores: &[f64]) -> String {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let samples = scores.iter().enumerate().map(|(id, value)| {
        serde_json::json!({"id": id, "epoch": 1, "target": "x", "scores": {"match": {"value": value}}})
    });
    serde_json::json!({
        "status": "success",
        "eval": {"created": "2026-11-28T10:00:00", "task": task, "model": model, "task_version": 0},
        "results": {"scores": [{"name": "match", "metrics": {"accuracy": {"value": mean}}}]},
        "samples": samples.collect::<Vec<_>>(),
    })
    .to_string()
}

#[test]
fn a_folder_of_logs_is_a_table() {
    let folder = file("logs", b"").with_file_name("inspect");
    fs::create_dir_all(&folder).unwrap();
    let mut runs = "corpus,run,budget,flops,params,tokens,model\n".to_owned();
    for i in 0..6 {
        let flops = 1e18 * 10f64.powi(i);
        let (params, tokens) = ((flops / 120.0).sqrt(), (flops / 0.3).sqrt());
        runs += &format!("c,r{i},{flops},{flops},{params},{tokens},hf/org/m{i}\n");
        for (k, task) in ["web", "law"].into_iter().enumerate() {
            let share = |id: i32| {
                let wobble = 1e-3 * f64::from((i * 7 + id * 5) % 4);
                1.0 - 0.5 * (flops / 1e18).powf(-0.04 - 0.004 * k as f64 - wobble)
            };
            let scores: Vec<f64> = (0..8).map(share).collect();
            let text = log(&format!("hf/org/m{i}"), task, &scores);
            fs::write(folder.join(format!("{task}-{i}.json")), text).unwrap();
        }
    }
    let runs = file("runs-of-logs.csv", runs.as_bytes());
    let (runs, folder) = (runs.to_str().unwrap(), folder.to_str().unwrap());
    let losses = file("losses-of-logs.csv", b"");
    let losses = losses.to_str().unwrap();
    let written = Command::new(env!("CARGO_BIN_EXE_relscale"))
        .args(["inspect", runs, folder, "--out", losses])
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let (expected, _) = fit(&[losses], b"");
    assert!(expected.contains("law"), "{expected}");
    assert_eq!(fit(&[folder, runs], b"").0, expected);
    // Without the table, the names are those of no release.
    let output = Command::new(env!("CARGO_BIN_EXE_relscale"))
        .args(["fit", folder, "--baseline", "web"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a table of runs"), "{said}");
}
