//! A folder without a tokenizer that can be read.

use std::fs;
use std::path::Path;

use super::load::BYTE_CLASS;
use crate::error::Error;

/// The error about such a folder, which names what is there instead.
pub(super) fn no_tokenizer(dir: &Path) -> Error {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let has = |name: &str| names.iter().any(|n| n == name);
    let unread = |name: &&String| {
        let known = [
            "tekken.json",
            "vocab.txt",
            "tokenizer.model",
            "spiece.model",
        ];
        known.contains(&name.as_str()) || name.ends_with(".tiktoken") || name.ends_with(".model")
    };
    let found = match (has("vocab.json"), has("merges.txt")) {
        (true, true) => Some("vocab.json and merges.txt"),
        (true, false) => Some("vocab.json without merges.txt"),
        (false, true) => Some("merges.txt without vocab.json"),
        (false, false) => names.iter().find(unread).map(String::as_str),
    };
    let message = match found {
        // What the feature reads does not come here with it.
        Some(found) if cfg!(feature = "tokenizers") => format!(
            "has {found}, which is not read; write a tokenizer.json with \
             python -c \"from transformers import AutoTokenizer as T; \
             T.from_pretrained('{0}').save_pretrained('{0}')\"",
            dir.display()
        ),
        Some(found) => format!("has {found}; reading it needs the feature `tokenizers`"),
        None => format!(
            "no tokenizer: neither tokenizer.json, vocab.json with merges.txt, tokenizer.model, tekken.json, a \
             tiktoken file, a tokenizer_config.json with the class {BYTE_CLASS} nor a GGUF file is \
             there"
        ),
    };
    Error::format(dir, message)
}
