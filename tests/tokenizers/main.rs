//! Tokenizers of folders without `tokenizer.json`, against the libraries that are right for them;
//! `tests/fixtures/make_tokenizers.py` makes the folders.
#![cfg(feature = "tokenizers")]

#[path = "../common/bounded.rs"]
mod bounded;
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod lossless;
mod orders;
mod settings;
mod specials;
mod stages;
mod tables;

use std::fs;
use std::path::Path;

use common::fixture;
use common::folder::Folder;
use relscale::Error;
use relscale::tokenizer::Tokenizer;
use serde_json::Value;

impl Folder {
    /// With the files of a fixture.
    fn fixture(name: &str) -> Self {
        Self::copy(&fixture("tokenizers").join(name))
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    fn load(&self) -> Result<Tokenizer, Error> {
        Tokenizer::load(self.path())
    }

    /// Loads, which must fail, and the error.
    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

/// The golden file of a folder of tokenizers.
fn golden(folder: &Path) -> Value {
    let file = folder.join("golden.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The lines on which a tokenizer differs from the golden file, with both results.
fn differing(tokenizer: &Tokenizer, lines: &Value, want: &Value) -> Vec<String> {
    let (lines, want) = (lines.as_array().unwrap(), want.as_array().unwrap());
    assert_eq!(lines.len(), want.len());
    let mut found = Vec::new();
    for (line, want) in lines.iter().zip(want) {
        let (text, want) = (line.as_str().unwrap(), ids(want));
        let got = tokenizer.encode(text).unwrap().tokens;
        if got != want {
            found.push(format!("{text:?}\n  {got:?}\n  {want:?}"));
        }
    }
    found
}

/// True if both results of a differing line have the same tokens in another order.
///
/// Two cuts of a run of letters into unigrams then score the same but for rounding: `sentencepiece` sums
/// in f32, the `tokenizers` library in f64.
fn tied(differing: &str) -> bool {
    let lines: Vec<&str> = differing.lines().collect();
    let tokens = |line: &str| {
        let mut ids: Vec<u32> = serde_json::from_str(line.trim()).unwrap();
        ids.sort_unstable();
        ids
    };
    tokens(lines[lines.len() - 2]) == tokens(lines[lines.len() - 1])
}

#[test]
fn every_line_has_the_tokens_of_the_library_that_is_right() {
    let folder = fixture("tokenizers");
    let golden = golden(&folder);
    let tokenizers = golden["tokenizers"].as_object().unwrap();
    assert!(tokenizers.len() >= 18);
    for (name, want) in tokenizers {
        let tokenizer = Tokenizer::load(folder.join(name)).unwrap();
        let tokenizer = tokenizer.with_special_tokens_parsed(true);
        let mut wrong = differing(&tokenizer, &golden["lines"], &want["ids"]);
        if !want["special"].is_null() {
            wrong.extend(differing(&tokenizer, &golden["special"], &want["special"]));
        }
        if name.starts_with("unigrams") && wrong.len() == 1 && tied(&wrong[0]) {
            wrong.clear();
        }
        assert!(
            wrong.is_empty(),
            "{name}: {} lines, the first\n{}",
            wrong.len(),
            wrong[0]
        );
    }
}

#[test]
#[ignore = "reads 10,000 lines that `make_tokenizers.py agree` writes to target/tokenizers"]
fn ten_thousand_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tokenizers");
    let golden = golden(&folder);
    let lines = golden["lines"].as_array().unwrap().len();
    let mut worst = 0;
    for (name, want) in golden["tokenizers"].as_object().unwrap() {
        let tokenizer = Tokenizer::load(folder.join(name)).unwrap();
        let tokenizer = tokenizer.with_special_tokens_parsed(true);
        let wrong = differing(&tokenizer, &golden["lines"], &want["ids"]);
        let (ties, wrong): (Vec<_>, Vec<_>) = wrong
            .into_iter()
            .partition(|line| name.starts_with("unigrams") && tied(line));
        let right = lines - wrong.len();
        println!("{name:22} {right} of {lines}, of which {} ties", ties.len());
        wrong.iter().take(3).for_each(|line| println!("{line}"));
        worst = worst.max(wrong.len()).max(ties.len().saturating_sub(1));
    }
    assert_eq!(worst, 0, "lines differ");
}
