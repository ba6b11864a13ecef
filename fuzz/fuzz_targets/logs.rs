//! Any bytes as logs of lm-evaluation-harness and inspect_ai: they are read or refused, never panic, and
//! never give a loss that is no number.
//!
//! The first byte tells which file changes, and whether the rest of the bytes are edits of it (an offset
//! in two bytes and a value each) or the whole file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::Error;
use relscale_cli::readers::harness::{self, Scored, Selection};
use relscale_cli::readers::inspect;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/data");
/// Folders and their files; the others of a folder stay as they are.
const FILES: [(&str, &str); 9] = [
    (
        "harness_logs/tiny__a",
        "results_2026-11-28T17-44-18.319681.json",
    ),
    (
        "harness_logs/tiny__a",
        "samples_large_2026-11-28T17-44-18.319681.jsonl",
    ),
    (
        "harness_logs/tiny__a",
        "results_2026-11-28T17-43-38.033196.json",
    ),
    (
        "harness_logs/tiny__a",
        "samples_generated_2026-11-28T17-43-38.033196.jsonl",
    ),
    (
        "harness_logs/tiny__a",
        "samples_lambada_2026-11-28T17-43-38.033196.jsonl",
    ),
    (
        "harness_logs/tiny__a",
        "samples_numeric_mutual_2026-11-28T17-43-38.033196.jsonl",
    ),
    (
        "harness_logs/tiny__a",
        "samples_wino_2026-11-28T17-43-38.033196.jsonl",
    ),
    (
        "inspect_logs",
        "2026-11-28T17-49-26-00-00_letters_Dejx5mpvw8a7wmNwYX9xPp.json",
    ),
    (
        "inspect_logs",
        "2026-11-28T17-49-29-00-00_sums_MN3am6uqWV2TuxYVmkiZFt.json",
    ),
];

/// A copy of the logs for this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let all = std::env::temp_dir().join(format!("relscale-fuzz-logs-{}", std::process::id()));
        for name in ["harness_logs/tiny__a", "inspect_logs"] {
            fs::create_dir_all(all.join(name)).unwrap();
            for entry in fs::read_dir(format!("{DATA}/{name}")).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), all.join(name).join(entry.file_name())).unwrap();
            }
        }
        all
    })
}

fn read(name: &str) -> Result<(Vec<Scored>, Vec<String>), Error> {
    let dir = folder().join(name);
    if name == "inspect_logs" {
        inspect::Logs::find(dir)?.read(&Selection::default())
    } else {
        harness::Logs::find(dir)?.read(&Selection::default())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    let (name, file) = FILES[usize::from(kind & 127) % FILES.len()];
    let path = folder().join(name).join(file);
    let original = fs::read(&path).unwrap();
    let mut changed = original.clone();
    if kind < 128 {
        for edit in rest.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % changed.len();
            changed[at] = edit[2];
        }
    } else {
        changed = rest.to_vec();
    }
    fs::write(&path, changed).unwrap();
    match read(name) {
        Ok((scored, _)) => assert!(scored.iter().all(|one| one.loss().is_finite())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    fs::write(&path, original).unwrap();
});
