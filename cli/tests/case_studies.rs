//! The case studies end to end on a small sample, interrupted and resumed.

mod common;

#[path = "../examples/case_studies/study.rs"]
mod study;

use std::fs;
use std::path::{Path, PathBuf};

use relscale::fit::{Analysis, Flag};
use study::{Arguments, LADDER, run};

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

mod material {
    use super::*;

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn the_studies_run_and_resume() {
        let data = common::material("evals");
        let out = std::env::temp_dir().join(format!("relscale-studies-{}", std::process::id()));
        let mut arguments = Arguments {
            data: data.parent().unwrap().to_owned(),
            out: out.clone(),
            bytes: 600,
            items: 1,
            ladder: LADDER.into(),
        };
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
