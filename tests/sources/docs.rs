//! The documentation keeps up with the code: names, numbers, paths and links are those of today.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use relscale::fit::{Flag, Options, Verdict, analyze};
use relscale::ladder::Ladder;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every name that a type is read from. Serde lists them when it refuses another.
fn names<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
    let Err(error) = serde_json::from_str::<T>("\"\"") else {
        panic!("an empty name was read");
    };
    let message = error.to_string();
    let listed = message.split_once("expected one of ").expect(&message).1;
    listed
        .split('`')
        .skip(1)
        .step_by(2)
        .map(Into::into)
        .collect()
}

#[test]
fn every_verdict_and_flag_has_an_entry_and_every_entry_a_name() {
    let chapter = read("docs/verdicts-and-flags.md");
    let entries: BTreeSet<String> = chapter
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(Into::into)
        .collect();
    let (verdicts, flags) = (names::<Verdict>(), names::<Flag>());
    assert!(verdicts.contains("crosses_parity") && flags.contains("near_floor"));
    let known: BTreeSet<String> = verdicts.union(&flags).cloned().collect();
    assert_eq!(entries, known);
}

#[test]
fn the_worked_example_quotes_what_the_command_prints() {
    let mut options = Options::new("english-help");
    options.aggregate = Some("aggregate".into());
    let ladder = Ladder::load_csv(root().join("suite/scores.csv")).unwrap();
    let printed = analyze(&ladder, &options).unwrap();
    let printed = printed.details();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: BTreeSet<String> = printed.lines().map(words).collect();
    let chapter = read("docs/worked-example.md");
    let quoted: Vec<String> = chapter
        .lines()
        .filter(|line| line.starts_with("Corpus ") || line.contains("[+") || line.contains("[-"))
        .map(words)
        .collect();
    let quoted: Vec<&String> = quoted
        .iter()
        .filter(|line| line.starts_with("Corpus ") || line.split(' ').nth(1).is_some_and(signed))
        .collect();
    assert_eq!(quoted.len(), 6);
    for line in quoted {
        assert!(printed.contains(line), "not printed any more: {line}");
    }
}

fn signed(word: &str) -> bool {
    word.starts_with(['+', '-']) && word.parse::<f64>().is_ok()
}

/// Markdown files that people read, beside the folders of build products and test data.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![];
    let folders = [
        "",
        ".github",
        "docs",
        "examples",
        "benches",
        "suite",
        "cli",
        "cli/cluster",
        "backends/cpu",
        "backends/cuda",
        "backends/cuda/sim",
    ];
    for folder in folders {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_')
        .collect()
}

#[test]
fn links_lead_somewhere() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (_, rest) in text
            .match_indices("](")
            .map(|(at, _)| text.split_at(at + 2))
        {
            let Some(target) = rest.split_once(')').map(|r| r.0) else {
                continue;
            };
            if target.contains("://") || target.starts_with('<') {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(file.exists(), "{}: no {target}", path.display());
            if place.is_empty() || file.extension().is_none_or(|e| e != "md") {
                continue;
            }
            let there = fs::read_to_string(&file).unwrap();
            let found = there
                .lines()
                .filter(|line| line.starts_with('#'))
                .any(|line| anchor(line.trim_start_matches('#').trim()) == place);
            assert!(found, "{}: no heading for {target}", path.display());
        }
    }
}

#[test]
fn paths_in_code_spans_exist() {
    let places = [
        "src/",
        "tests/",
        "cli/",
        "backends/",
        "benches/",
        "docs/",
        "fuzz/",
        "suite/",
        ".ci/",
    ];
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        // Fenced blocks hold commands with outputs that need not exist.
        let prose: String = text.split("```").step_by(2).collect();
        for span in prose.split('`').skip(1).step_by(2) {
            let word = span.split_whitespace().next_back().unwrap_or("");
            let plain = word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
            if !plain || !places.iter().any(|p| word.starts_with(p)) {
                continue;
            }
            let local = path.parent().unwrap().join(word);
            let found = root().join(word).exists() || local.exists();
            assert!(found, "{}: no {word}", path.display());
        }
    }
}

#[test]
fn tests_against_hostile_input_exist() {
    let mut files = vec![];
    for package in ["", "cli", "backends/cpu", "backends/cuda"] {
        for folder in ["src", "tests"] {
            sources(&root().join(package).join(folder), &mut files);
        }
    }
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    let code: String = texts.collect();
    let chapter = read("docs/hostile-input.md");
    let mut named = 0;
    for row in chapter.lines().filter(|line| line.starts_with("| ")) {
        let Some(tests) = row.split('|').nth(3) else {
            continue;
        };
        for name in tests
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|n| n.contains('_'))
        {
            let file = name.starts_with("bad_");
            assert!(
                file || code.contains(&format!("fn {name}(")),
                "no test {name}"
            );
            named += usize::from(!file);
        }
    }
    assert!(named > 25, "{named}");
}

#[test]
fn the_book_lists_every_chapter() {
    let summary = read("docs/SUMMARY.md");
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let chapter = name.ends_with(".md") && name != "SUMMARY.md";
        assert!(
            !chapter || summary.contains(&format!("]({name})")),
            "{name}"
        );
    }
}

/// Rust files under a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn documentation_starts_with_its_subject() {
    let mut files = vec![];
    for folder in [
        "src",
        "cli/src",
        "backends/cpu/src",
        "backends/cuda/src",
        "backends/cuda/sim/src",
    ] {
        sources(&root().join(folder), &mut files);
    }
    let doc = |line: &str| {
        let line = line.trim_start();
        let text = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))?;
        Some(text.trim().to_owned())
    };
    let mut first_lines = 0;
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let mut before = None;
        for line in text.lines().map(doc) {
            if let (None, Some(first)) = (&before, &line) {
                let word = first.split(' ').next().unwrap_or_default();
                let question = ["What", "Whether", "Where", "How"].contains(&word);
                assert!(!question, "{}: {first}", path.display());
                first_lines += 1;
            }
            before = line;
        }
    }
    assert!(first_lines > 1000, "{first_lines}");
}
