//! Any bytes as the files of a tokenizer: they load or are refused, and never panic.
//!
//! The first byte tells which file of which folder changes, and whether the rest of the bytes are edits
//! of it (an offset in two bytes and a value each) or the whole file.
#![no_main]

#[path = "common/panics.rs"]
mod panics;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::tokenizer::Tokenizer;

/// The folders, with the file that changes.
const FILES: [(&str, &str); 13] = [
    ("gpt2", "vocab.json"),
    ("gpt2", "merges.txt"),
    ("qwen2", "tokenizer_config.json"),
    ("added", "added_tokens.json"),
    ("pairs-normalised", "tokenizer.model"),
    ("unigrams", "tokenizer.model"),
    ("gemma", "tokenizer.model"),
    ("qwen", "qwen.tiktoken"),
    ("llama3", "tokenizer.model"),
    ("unigrams-normalised", "tokenizer.model"),
    ("t5-json", "tokenizer.json"),
    ("tekken", "tekken.json"),
    ("t5", "spiece.model"),
];

/// A copy of each folder for this process.
fn folder(name: &str) -> PathBuf {
    static FOLDERS: OnceLock<PathBuf> = OnceLock::new();
    let all = FOLDERS.get_or_init(|| {
        let all = std::env::temp_dir().join(format!("relscale-fuzz-{}", std::process::id()));
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tokenizers");
        for (name, _) in FILES {
            fs::create_dir_all(all.join(name)).unwrap();
            for entry in fs::read_dir(format!("{fixtures}/{name}")).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), all.join(name).join(entry.file_name())).unwrap();
            }
        }
        all
    });
    all.join(name)
}

fuzz_target!(|bytes: &[u8]| {
    panics::let_panics_unwind();
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    let (name, file) = FILES[usize::from(kind & 127) % FILES.len()];
    let path = folder(name).join(file);
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
    match Tokenizer::load(folder(name)) {
        Ok(tokenizer) => {
            let _ = tokenizer.encode("It's 2024:  naïve ﬁ½\n🙂 <s> </s>");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    fs::write(&path, original).unwrap();
});
