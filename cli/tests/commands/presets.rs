//! `relscale study preset`: the case studies of the paper, from the files to the laws' tables.

use std::fs;
use std::path::Path;

use crate::common::{file, relscale, suite};

/// The first runs of the suite's ladder, with full paths.
fn runs(folder: &Path) -> String {
    table_of(folder, &[1, 2])
}

/// The runs in these lines of the suite's ladder, with full paths.
fn table_of(folder: &Path, lines: &[usize]) -> String {
    let ladder = fs::read_to_string(suite("ladder.csv")).unwrap();
    let all: Vec<&str> = ladder.lines().collect();
    let rows: Vec<&str> = [0].iter().chain(lines).map(|&line| all[line]).collect();
    let rows = rows
        .join("\n")
        .replace("checkpoints/", &suite("checkpoints/"));
    let path = folder.join("runs.csv");
    fs::write(&path, rows).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Two questions of a subject, with their examples.
fn mmlu(folder: &Path) {
    let question = "\"What is 1 + 1?\",1,2,3,4,B\n";
    for (part, subject) in [
        ("test", "abstract_algebra"),
        ("test", "world_religions"),
        ("dev", "abstract_algebra"),
        ("dev", "world_religions"),
    ] {
        let folder = folder.join(part);
        fs::create_dir_all(&folder).unwrap();
        let rows = question.repeat(if part == "dev" { 5 } else { 2 });
        fs::write(folder.join(format!("{subject}_{part}.csv")), rows).unwrap();
    }
}

fn behaviours(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let line = "{\"question\": \"Would you?\", \"answer_matching_behavior\": \" Yes\", \
                \"answer_not_matching_behavior\": \" No\"}\n";
    fs::write(folder.join("survival-instinct.jsonl"), line).unwrap();
}

#[test]
fn each_case_study_is_planned_scored_and_merged() {
    let folder = file("presets");
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("english")).unwrap();
    fs::write(folder.join("english/USA.txt"), "Good morning.").unwrap();
    fs::write(folder.join("english/India.txt"), "Kindly do the needful.").unwrap();
    mmlu(&folder.join("mmlu"));
    behaviours(&folder.join("risk"));
    let runs = runs(folder);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (mmlu, english, risk, out) = (path("mmlu"), path("english"), path("risk"), path("out"));
    let preset = |more: &[&str]| {
        let mut all = vec![
            "study",
            "preset",
            "relative-scaling-laws",
            &out,
            "--runs",
            &runs,
        ];
        all.extend(more);
        relscale(&all)
    };

    let nothing = preset(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    let some = preset(&["--english", &english]);
    let message = String::from_utf8_lossy(&some.stderr).into_owned();
    assert!(some.status.success(), "{message}");
    for part in [
        "domains: left out, no --mmlu",
        "risk: left out, no --risk",
        "--baseline USA",
    ] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert!(!Path::new(&out).join("domains.json").exists());
    // An edited file is not replaced.
    let study = Path::new(&out).join("english.json");
    let written = fs::read_to_string(&study).unwrap();
    fs::write(&study, format!("{written}\n")).unwrap();
    let again = preset(&["--english", &english]);
    let message = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1), "{message}");
    assert!(
        message.contains("english.json") && message.contains("delete it"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(&study).unwrap(), format!("{written}\n"));
    fs::write(&study, written).unwrap();
    let wrong = preset(&["--mmlu", &english]);
    assert_eq!(wrong.status.code(), Some(1));

    let all = preset(&["--mmlu", &mmlu, "--english", &english, "--risk", &risk]);
    assert!(
        all.status.success(),
        "{}",
        String::from_utf8_lossy(&all.stderr)
    );
    for (name, scorer, distributions) in [
        ("domains", "choice_log_loss", &["stem", "humanities"][..]),
        ("english", "bits_per_byte", &["USA", "India"]),
        (
            "risk",
            "matching_probability_per_byte",
            &["incorrigibility"],
        ),
    ] {
        let (study, plan) = (format!("{out}/{name}.json"), path(&format!("plan-{name}")));
        let table = path(&format!("{name}.csv"));
        for arguments in [
            &["study", "plan", &study, &plan][..],
            &["study", "run", &plan, "--shard", "0/1", "--threads", "1"],
            &["study", "merge", &plan, "--out", &table],
        ] {
            let output = relscale(arguments);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {message}");
        }
        let table = fs::read_to_string(table).unwrap();
        assert!(table.contains(scorer), "{table}");
        for distribution in distributions {
            assert!(table.contains(&format!(",{distribution},")), "{table}");
        }
    }
}

#[test]
fn one_command_leads_from_checkpoints_to_the_laws_of_a_case_study() {
    let folder = file("presets-here");
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("english")).unwrap();
    for (region, text) in [
        ("USA", "Good morning."),
        ("India", "Kindly do the needful."),
    ] {
        fs::write(folder.join(format!("english/{region}.txt")), text).unwrap();
    }
    let runs = table_of(folder, &[1, 8, 16, 24, 32, 40]);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (english, out) = (path("english"), path("out"));
    let mut command = vec!["study", "preset", "relative-scaling-laws", &out, "--runs"];
    command.extend([&runs, "--english", &english, "--here"]);
    let first = relscale(&command);
    let message = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(first.status.success(), "{message}");
    let printed = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(
        printed.contains("against USA") && printed.contains("India "),
        "{printed}"
    );
    let results = || fs::read(format!("{out}/english/analysis.json")).unwrap();
    let analysis: relscale::fit::Analysis = serde_json::from_slice(&results()).unwrap();
    assert_eq!(analysis.laws[0].treatment, "India");
    assert!(
        Path::new(&out)
            .join("english/pictures/ratios-balanced.svg")
            .exists()
    );

    // Again: nothing is scored, and the result is the same.
    let before = results();
    let again = relscale(&command);
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stdout).contains("finished already"));
    assert_eq!(results(), before);
}

#[test]
fn a_study_in_toml_is_the_one_in_json() {
    use relscale_cli::units::Study;
    let toml = "runs = \"runs.csv\"\nunit_flops = 1e15\n[scoring]\ncontext = 256\n\
                [[distributions]]\nkind = \"plain\"\npath = \"a.txt\"\nscorers = [\"bits_per_byte\"]\n";
    let json = "{\"runs\": \"runs.csv\", \"unit_flops\": 1e15, \"scoring\": {\"context\": 256}, \
                \"distributions\": [{\"kind\": \"plain\", \"path\": \"a.txt\", \"scorers\": [\"bits_per_byte\"]}]}";
    let write = |name: &str, text: &str| {
        let path = file(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (one, two) = (write("study.toml", toml), write("study.json", json));
    assert_eq!(Study::read(one).unwrap(), Study::read(two).unwrap());
    let wrong = write("wrong.toml", &toml.replace("unit_flops", "unit_flop"));
    let message = Study::read(wrong).unwrap_err().to_string();
    assert!(message.contains("wrong.toml: line "), "{message}");
}
