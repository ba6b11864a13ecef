//! A folder without a tokenizer that can be read.

use std::fs;
use std::path::Path;

use super::BYTE_CLASS;
use crate::error::Error;

/// The error about such a folder, which names the tokenizer of another kind that is there.
pub(super) fn no_tokenizer(dir: &Path) -> Error {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let has = |name: &str| names.iter().any(|n| n == name);
    let found = if has("tokenizer.model") {
        Some("tokenizer.model")
    } else if has("vocab.json") && has("merges.txt") {
        Some("vocab.json and merges.txt")
    } else {
        let other = |n: &&String| n.ends_with(".tiktoken") || *n == "tekken.json";
        names.iter().find(other).map(String::as_str)
    };
    let message = match found {
        Some(found) => format!(
            "has {found}, but not tokenizer.json, which is read; write it with \
             python -c \"from transformers import AutoTokenizer as T; \
             T.from_pretrained('{0}').save_pretrained('{0}')\"",
            dir.display()
        ),
        None => format!(
            "no tokenizer: neither tokenizer.json, a tokenizer_config.json with the class \
             {BYTE_CLASS} nor a GGUF file is there"
        ),
    };
    Error::format(dir, message)
}
