//! The files beside the weights that change scores.

/// Configuration, and the tokenizer in one file.
const DESCRIBED: [&str; 4] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// Files of a tokenizer that are read where there is no `tokenizer.json`; those in `.tiktoken` beside them.
const TOKENIZERS: [&str; 6] = [
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "tekken.json",
];

/// True for the name of a file of a checkpoint folder that describes the model or its tokenizer, and so
/// changes scores.
///
/// Downloads and hashes ([`checkpoint_hash`](crate::log::checkpoint_hash)) cover these files and the
/// weights. Where there is a `tokenizer.json` (`has_tokenizer_json`), no other tokenizer is read.
///
/// # Examples
/// ```
/// use relscale::checkpoint::describes_model;
///
/// assert!(describes_model("config.json", true));
/// assert!(describes_model("vocab.json", false) && !describes_model("vocab.json", true));
/// assert!(!describes_model("README.md", false));
/// ```
#[must_use]
pub fn describes_model(name: &str, has_tokenizer_json: bool) -> bool {
    let is_tokenizer =
        || TOKENIZERS.contains(&name) || name.ends_with(".tiktoken") && !name.contains('/');
    DESCRIBED.contains(&name) || !has_tokenizer_json && is_tokenizer()
}
