//! `relscale fit` on the committed ladder: options beside the laws.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use relscale::fit::Analysis;

fn scores() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite/scores.csv");
    path.to_str().unwrap().to_owned()
}

/// A file of this test and process.
fn file(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("relscale-fit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn fit(options: &[&str]) -> Output {
    let scores = scores();
    let first = ["fit", "--scores", &scores, "--aggregate", "aggregate"];
    let mut program = Command::new(env!("CARGO_BIN_EXE_relscale"));
    program.args(first).args(options).output().unwrap()
}

/// The printed text, and the whole analysis.
fn fitted(name: &str, options: &[&str]) -> (String, Analysis) {
    let json = file(name);
    let path = json.to_str().unwrap();
    let output = fit(&[options, &["--json", path, "--details"]].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    let analysis = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), analysis)
}

fn refused(options: &[&str], code: i32, parts: &[&str]) {
    let output = fit(options);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
}

#[test]
fn ratios_are_predicted_with_intervals() {
    let base = ["--baseline", "english-help", "--treatment", "german-help"];
    let predict = [&base[..], &["--predict-at", "1e11,1e14"]].concat();
    let (printed, analysis) = fitted("predict.json", &predict);
    let [inside, beyond] = analysis.laws[0].predictions.as_slice() else {
        panic!("{:?}", analysis.laws[0].predictions);
    };
    let law = &analysis.laws[0];
    for p in [inside, beyond] {
        let at = (p.scale / law.reference_flops).powf(law.delta_beta.value);
        assert!((p.line.value / (law.gamma.value * at) - 1.0).abs() < 1e-9);
        assert!(p.ratio.lower < p.line.lower && p.line.upper < p.ratio.upper);
        let line = format!(
            "  german-help at {:.3e}: {:.4} [{:.4}, {:.4}], of the law itself [{:.4}, {:.4}]",
            p.scale, p.ratio.value, p.ratio.lower, p.ratio.upper, p.line.lower, p.line.upper
        );
        assert!(printed.contains(&line), "no {line} in {printed}");
    }
    assert_eq!(inside.decades_beyond, 0.0);
    let remark = format!("{:.1} decades beyond the ladder", beyond.decades_beyond);
    assert!(printed.contains(&remark), "{printed}");
    refused(
        &[&base[..], &["--predict-at", "1e22;1e23"]].concat(),
        2,
        &["`1e22;1e23` is not a number"],
    );
    refused(
        &[&base[..], &["--predict-at", "-1"]].concat(),
        1,
        &["predict_at"],
    );
}

#[test]
fn runs_are_held_out_and_predicted() {
    let base = ["--baseline", "english-help", "--treatment", "german-help"];
    let (_, all) = fitted("all.json", &base);
    let table = fs::read_to_string(scores()).unwrap();
    let run = table.lines().last().unwrap().split(',').nth(1).unwrap();
    let (printed, without) = fitted("held-out.json", &[&base[..], &["--held-out", run]].concat());
    let targets = &without.laws[0].diagnostics.backtest.targets;
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].run.as_deref(), Some(run));
    let line = format!(
        "  german-help of {run} at {:.3e}: predicted ",
        targets[0].scale
    );
    assert!(printed.contains(&line), "no {line} in {printed}");
    assert!(
        printed.contains(" of 1 readings lie inside their intervals."),
        "{printed}"
    );
    // The run was not fitted.
    assert_ne!(all.laws[0].delta_beta, without.laws[0].delta_beta);
    let almost = &run[..run.len() - 1];
    let meant = format!("did you mean `{run}`?");
    refused(
        &[&base[..], &["--held-out", almost]].concat(),
        1,
        &["no such run", &meant],
    );
}

#[test]
fn a_covariate_and_another_axis_come_from_flags() {
    let table = file("speakers.csv");
    let rows = "distribution,speakers\ngerman-help,8.1\nfrench-help,8.5\nitalian-help,7.8\nspanish-help,8.7\n";
    fs::write(&table, rows).unwrap();
    let column = format!("{}:speakers", table.display());
    let treatments = ["german-help", "french-help", "italian-help", "spanish-help"];
    let mut options = vec!["--baseline", "english-help", "--covariate", &column];
    treatments
        .iter()
        .for_each(|t| options.extend(["--treatment", t]));
    let (_, analysis) = fitted("covariate.json", &options);
    assert_eq!(analysis.options.covariate.len(), 4);
    assert_eq!(analysis.covariate.len(), 1);

    // One run per budget, so that its parameters are a scale as well.
    let (shape, rungs) = (file("rungs.toml"), file("rungs.csv"));
    fs::write(&shape, "shape = \"rungs\"\n").unwrap();
    let (shape, rungs) = (shape.to_str().unwrap(), rungs.to_str().unwrap());
    let json = file("axis.json");
    let by_params = [
        "--baseline",
        "baseline",
        "--axis",
        "params",
        "--details",
        "--json",
    ];
    for arguments in [
        vec!["simulate", "--simulation", shape, "--out", rungs],
        [
            &["fit", "--scores", rungs],
            &by_params[..],
            &[json.to_str().unwrap()],
        ]
        .concat(),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_relscale"));
        let output = program.args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{message}");
    }
    let analysis: Analysis = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!(analysis.scale_in_words(), "parameters");
    refused(
        &[
            "--baseline",
            "english-help",
            "--axis",
            "params",
            "--scale",
            "params",
        ],
        2,
        &["'--axis <AXIS>' cannot be used with '--scale <COLUMN>'"],
    );
}

#[test]
fn an_options_file_repeats_an_analysis() {
    let base = [
        "--baseline",
        "english-help",
        "--alpha",
        "0.1",
        "--treatment",
        "go-code",
    ];
    let (printed, first) = fitted("first.json", &base);
    let path = file("first.json");
    let (again, second) = fitted("second.json", &["--options", path.to_str().unwrap()]);
    assert_eq!(first, second);
    assert_eq!(printed, again);
    let wrong = file("wrong.toml");
    fs::write(&wrong, "baseline = \"english-help\"\nalfa = 0.1\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    refused(
        &["--options", wrong],
        1,
        &[wrong, "unknown field `alfa`", "did you mean `alpha`?"],
    );
    refused(&[], 2, &["--baseline <NAME>"]);
}
