//! The case studies end to end on a small sample, interrupted and resumed.

use crate::common;

#[path = "../../examples/case_studies/study.rs"]
mod study;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use relscale::fit::{Analysis, Flag};
use study::{Arguments, run};

fn logs(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            logs(&path, found);
        } else if path.extension().is_some_and(|e| e == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
}

/// Arguments for a small sample of the data around `evals`.
fn arguments(evals: &Path, out: &Path, more: &[&str]) -> Arguments {
    let folders = ["--data", evals.parent().unwrap().to_str().unwrap()];
    let out = [
        "--out",
        out.to_str().unwrap(),
        "--bytes",
        "600",
        "--items",
        "1",
    ];
    let all = ["case_studies"].iter().chain(&folders).chain(&out);
    Arguments::parse_from(all.chain(more))
}

#[test]
fn settings_of_the_committed_ladder_are_not_those_of_another() {
    let out = Path::new("out");
    let refused = |more: &[&str]| {
        let all = ["case_studies", "--data", "d", "--out", "o"];
        Arguments::try_parse_from(all.iter().chain(more)).is_err()
    };
    // The committed ladder has its own; they are asked for with a ladder of one's own only.
    assert!(refused(&["--bos", "1"]) && refused(&["--context", "64"]));
    assert!(refused(&["--runs", "r.csv", "--bos", "begin"]));
    let other = arguments(Path::new("data/evals"), out, &["--runs", "r.csv"]);
    assert!(other.bos.is_none() && other.context.is_none() && other.aggregate.is_none());
}

mod material {
    use super::*;

    /// A folder of one run whose context is twice that of the committed ladder.
    fn ladder_of_one(folder: &Path) -> PathBuf {
        let checkpoint = folder.join("checkpoint");
        fs::create_dir_all(&checkpoint).unwrap();
        let model = common::material("models/stories260k");
        for file in fs::read_dir(model).unwrap() {
            let file = file.unwrap();
            if file.path().is_file() {
                fs::copy(file.path(), checkpoint.join(file.file_name())).unwrap();
            }
        }
        let bytes = r#"{"tokenizer_class": "ByteTokenizer", "bos_token_id": 1}"#;
        fs::write(checkpoint.join("tokenizer_config.json"), bytes).unwrap();
        let table = folder.join("runs.csv");
        let csv = "run,corpus,budget,flops,params,tokens,checkpoint\none,c,9.36e15,9.36e15,260000,6e9,checkpoint\n";
        fs::write(&table, csv).unwrap();
        table
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn another_ladder_is_read_by_its_own_window_and_token() {
        let data = common::material("evals");
        let out = std::env::temp_dir().join(format!("relscale-studies-own-{}", std::process::id()));
        let table = ladder_of_one(&out.join("ladder"));
        let covariate = out.join("speakers.csv");
        fs::write(&covariate, "country,speakers\nUSA,8.5\nIND,8.1\n").unwrap();
        let more = [
            "--runs",
            table.to_str().unwrap(),
            "--shots",
            "1",
            "--prompt",
            "letter",
            "--covariate",
            covariate.to_str().unwrap(),
        ];
        let (text, scored) = run(&arguments(&data, &out.join("out"), &more)).unwrap();
        assert!(scored > 100, "{scored}");
        // The context of the checkpoint, and not the 256 bytes of the committed ladder.
        assert!(
            text.contains("1-shot, only those that fit 512 tokens"),
            "{text}"
        );
        assert!(text.contains("not fitted"), "one run is no ladder: {text}");
        let mut all = Vec::new();
        logs(&out.join("out/logs"), &mut all);
        let log = fs::read_to_string(&all[0]).unwrap();
        assert!(log.contains("model_default"), "{log}");
        fs::remove_dir_all(&out).unwrap();
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn the_studies_run_and_resume() {
        let data = common::material("evals");
        let out = std::env::temp_dir().join(format!("relscale-studies-{}", std::process::id()));
        let mut arguments = arguments(&data, &out, &[]);
        let (text, scored) = run(&arguments).unwrap();
        for part in ["mmlu", "genres", "regions", "dialects", "risk"] {
            for file in [".json", ".csv", "-ratios.svg", "-exponents.svg"] {
                let path = out.join(format!("{part}{file}"));
                assert!(
                    fs::metadata(&path).unwrap().len() > 1000,
                    "{}",
                    path.display()
                );
            }
        }
        let analysis = |part: &str| -> Analysis {
            let json = fs::read(out.join(format!("{part}.json"))).unwrap();
            serde_json::from_slice(&json).unwrap()
        };
        // Models of this size know nothing of the subjects, and the table says so.
        let questions = analysis("mmlu");
        assert_eq!(questions.laws.len(), 3);
        for law in &questions.laws {
            assert!(law.flags.contains(&Flag::PreOnset), "{}", law.treatment);
        }
        assert!((questions.options.chance["humanities"] - 4f64.ln()).abs() < 1e-12);
        assert!(text.contains("at chance: no law"), "{text}");
        assert_eq!(analysis("genres").laws.len(), 17);
        assert_eq!(analysis("regions").laws.len(), 20);
        assert_eq!(analysis("dialects").laws.len(), 14);

        // Started again, nothing is scored.
        assert_eq!(run(&arguments).unwrap(), (text.clone(), 0));

        // Interrupted: a log that was cut, one that was not begun. The rest is as it was.
        let mut all = Vec::new();
        logs(&out.join("logs"), &mut all);
        let bytes = fs::read(&all[3]).unwrap();
        fs::write(&all[3], &bytes[..bytes.len() - 5]).unwrap();
        let gone = fs::read_to_string(&all[40]).unwrap();
        fs::remove_file(&all[40]).unwrap();
        let missing = 1 + gone.lines().count() - 1;
        assert!(missing < scored);
        assert_eq!(run(&arguments).unwrap(), (text, missing));
        assert_eq!(fs::read(&all[3]).unwrap(), bytes);

        // Other items are another distribution: its log is not overwritten.
        arguments.bytes = 700;
        let e = run(&arguments).unwrap_err().to_string();
        assert!(e.contains("distribution_hash"), "{e}");
        fs::remove_dir_all(&out).unwrap();
    }
}
