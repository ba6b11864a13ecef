//! The commands that need no files of one's own: demo, simulate, and report of what is there.

use std::fs;
use std::path::Path;

use relscale::fit::Analysis;
use relscale::ladder::Ladder;
use serde_json::Value;

use crate::common::{file, relscale};

fn done(arguments: &[&str]) -> String {
    let output = relscale(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], parts: &[&str]) {
    let output = relscale(arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
}

#[test]
fn the_demo_is_the_committed_ladder_and_its_files_give_it_again() {
    let folder = file("demo");
    let out = folder.to_str().unwrap();
    let printed = done(&["demo", "--out", out]);
    let alone = done(&["demo"]);
    assert!(printed.starts_with(&alone), "{printed}");
    let table = folder.join("losses.csv");
    let fitted = done(&[
        "fit",
        "--scores",
        table.to_str().unwrap(),
        "--baseline",
        "english-help",
        "--aggregate",
        "aggregate",
    ]);
    // All but the name of the table.
    let laws = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(laws(&fitted), laws(&alone));
    assert!(fs::read_dir(folder.join("pictures")).unwrap().count() >= 3);
    let laws: Value = serde_json::from_slice(&fs::read(folder.join("laws.json")).unwrap()).unwrap();
    assert_eq!(laws["laws"].as_array().unwrap().len(), 6);

    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite/scores.csv");
    let (whole, demo) = (
        Ladder::load_csv(suite).unwrap(),
        Ladder::load_csv(table).unwrap(),
    );
    assert_eq!((demo.runs().len(), demo.scores().len()), (47, 8));
    for run in demo.runs() {
        for name in demo.distributions() {
            let error = |ladder: &Ladder| ladder.error(&run.id, name).unwrap();
            // Six decimals are committed.
            assert!(
                (error(&whole) - error(&demo)).abs() < 1e-6,
                "{} on {name}",
                run.id
            );
        }
    }
}

#[test]
fn a_report_repeats_what_the_fit_printed() {
    let scores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite/scores.csv");
    let (json, laws) = (file("analysis.json"), file("laws.json"));
    let (json, laws) = (json.to_str().unwrap(), laws.to_str().unwrap());
    let (first, second) = (file("first"), file("second"));
    let fit = [
        "fit",
        "--scores",
        scores.to_str().unwrap(),
        "--baseline",
        "english-help",
        "--aggregate",
        "aggregate",
        "--predict-at",
        "1e13",
        "--worst",
        "treatments",
        "--group",
        "code=go-code,rust-code",
    ];
    let plots = [
        "--json",
        json,
        "--details",
        "--plots",
        first.to_str().unwrap(),
    ];
    let printed = done(&[&fit[..], &plots].concat());
    // With details, the same tables are printed and the same analysis is written.
    let twin = file("twin.json");
    let written = ["--details", "--json", twin.to_str().unwrap()];
    let report = ["report", json, "--plots", second.to_str().unwrap()];
    let again = done(&[&report[..], &written].concat());
    assert_eq!(printed, again);
    assert_eq!(fs::read(json).unwrap(), fs::read(twin).unwrap());
    let mut pictures = 0;
    for entry in fs::read_dir(first).unwrap() {
        let path = entry.unwrap().path();
        let twin = second.join(path.file_name().unwrap());
        assert_eq!(
            fs::read(&path).unwrap(),
            fs::read(twin).unwrap(),
            "{}",
            path.display()
        );
        pictures += 1;
    }
    assert!(pictures >= 3);
    done(&[&fit[..], &["--json", laws]].concat());
    refused(&["report", laws], &[laws, "no details", "--details"]);
    let text = fs::read_to_string(json).unwrap();
    for (change, parts) in [
        (
            text.replacen("\"schema\": ", "\"schema\": 9", 1),
            ["has schema 9", "reads schema"],
        ),
        (
            text.replacen("\"delta_beta\"", "\"delta_beat\"", 1),
            ["`laws[0]", "missing field `delta_beta`"],
        ),
        ("{\"laws\": []}".to_owned(), ["no `schema`", "--details"]),
        (text[..text.len() / 2].to_owned(), ["EOF", "line"]),
    ] {
        fs::write(laws, change).unwrap();
        refused(&["report", laws], &[laws, parts[0], parts[1]]);
    }
    refused(&["report", "/nowhere.json"], &["/nowhere.json"]);
}

#[test]
fn every_kind_of_analysis_is_read_back() {
    for scenario in [
        "plain",
        "items",
        "homogeneous-items",
        "heavy-tails",
        "drifting-grid",
        "held-out",
    ] {
        let (table, json) = (file("kinds.csv"), file("kinds.json"));
        let table = table.to_str().unwrap();
        done(&["simulate", "--scenario", scenario, "--out", table]);
        let fit = [
            "fit",
            "--scores",
            table,
            "--baseline",
            "baseline",
            "--aggregate",
            "aggregate",
        ];
        let path = json.to_str().unwrap();
        let printed = done(&[&fit[..], &["--json", path, "--details"]].concat());
        let twin = file("kinds-twin.json");
        let again = [
            "report",
            path,
            "--details",
            "--json",
            twin.to_str().unwrap(),
        ];
        assert_eq!(printed, done(&again), "{scenario}");
    }
}

#[test]
fn a_simulated_ladder_has_the_truth_that_its_file_says() {
    let table = file("losses.csv");
    let out = table.to_str().unwrap();
    let first = ["simulate", "--replicate", "2", "--out", out];
    done(&first);
    let truth: Value =
        serde_json::from_slice(&fs::read(file("losses.truth.json")).unwrap()).unwrap();
    let exponent = &truth["exponents"][0];
    assert_eq!(exponent["treatment"], "treatment");
    let json = file("fitted.json");
    let path = json.to_str().unwrap();
    done(&[
        "fit",
        "--scores",
        out,
        "--baseline",
        "baseline",
        "--aggregate",
        "aggregate",
        "--json",
        path,
        "--details",
    ]);
    let analysis: Analysis = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let (found, true_value) = (
        &analysis.laws[0].delta_beta,
        exponent["delta_beta"].as_f64().unwrap(),
    );
    // This draw is fixed: its interval covers the truth, and is far from zero width or all numbers.
    assert!(
        found.lower < true_value && true_value < found.upper,
        "{found:?}, {true_value}"
    );
    assert!(found.upper - found.lower < 0.01);

    // The same bytes from the truth, on standard output and with the same seed given.
    let bytes = fs::read_to_string(&table).unwrap();
    let again = file("again.truth.json");
    fs::copy(file("losses.truth.json"), &again).unwrap();
    let again = again.to_str().unwrap();
    assert_eq!(
        done(&["simulate", "--simulation", again, "--replicate", "2"]),
        bytes
    );
    assert_eq!(
        done(&["simulate", "--seed", "7", "--replicate", "2"]),
        bytes
    );
    assert_ne!(
        done(&["simulate", "--seed", "8", "--replicate", "2"]),
        bytes
    );
    assert_ne!(done(&["simulate", "--replicate", "3"]), bytes);

    refused(
        &["simulate", "--baseline", "basline"],
        &["has treatment, baseline", "did you mean `baseline`?"],
    );
    let wrong = file("wrong.toml");
    fs::write(&wrong, "run_nose = 0.1\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    refused(
        &["simulate", "--simulation", wrong],
        &[wrong, "`run_nose`", "did you mean `run_noise`?"],
    );
}
