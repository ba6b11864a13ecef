//! Data flows one way through the crate: which module may use which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module, and what it may use besides itself and `error`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("input", &[]),
    ("output", &[]),
    ("threads", &[]),
    ("backend", &[]),
    ("checkpoint", &["backend", "input", "threads"]),
    ("model", &["backend", "checkpoint"]),
    ("tokenizer", &["checkpoint", "input"]),
    ("distribution", &["input"]),
    ("scorer", &["distribution"]),
    (
        "evaluate",
        &["model", "distribution", "scorer", "tokenizer"],
    ),
    ("ladder", &["input", "checkpoint", "threads"]),
    (
        "log",
        &[
            "checkpoint",
            "model",
            "distribution",
            "scorer",
            "tokenizer",
            "evaluate",
            "ladder",
            "input",
            "output",
        ],
    ),
    ("fit", &["ladder", "threads"]),
    ("report", &["fit", "ladder"]),
    ("isoflop", &["fit", "ladder"]),
    ("conformance", &["backend", "checkpoint", "model"]),
    ("error", &[]),
];

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn modules_use_only_what_comes_before_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&src, &mut all);
    let mut seen = BTreeSet::new();
    for path in all {
        let relative = path.strip_prefix(&src).unwrap().with_extension("");
        let module = relative.iter().next().unwrap().to_str().unwrap().to_owned();
        // Unit tests in a file of their own may use anything.
        if module == "lib" || relative.iter().any(|part| part == "tests") {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} has no place in the flow: add it to MAY_USE"));
        seen.insert(module.clone());
        let text = fs::read_to_string(&path).unwrap();
        // Tests at the end of a file may use anything.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
            // What a macro names is used where it is called.
            for used in line.replace("$crate::", "").split("crate::").skip(1) {
                let end = used.find(|c: char| !c.is_alphanumeric() && c != '_');
                let (used, rest) = used.split_at(end.unwrap_or(used.len()));
                // An exported macro stands at the root, whatever module it is written in.
                let is_macro = rest.starts_with('!');
                if used.is_empty() || is_macro || [&*module, "error", "Error"].contains(&used) {
                    continue;
                }
                assert!(
                    allowed.contains(&used),
                    "{}: {module} must not use {used}: {line}",
                    path.display()
                );
            }
        }
    }
    assert!(seen.len() >= 10, "{seen:?}");
}
