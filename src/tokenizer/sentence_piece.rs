//! SentencePiece pairs of a GGUF file: the merges follow from the scores of the tokens.

use std::cmp::Ordering;

use serde_json::{Value as Json, json};

use super::metadata::{NORMAL, TOKENS, USER_DEFINED, Vocabulary, flag, numbers};
use crate::checkpoint::gguf::{Gguf, Value};
use crate::error::Error;

const SCORES: &str = "tokenizer.ggml.scores";

/// Longest accepted token: every cut of one is tried. Real tokens have less than a hundred bytes.
const MAX_PIECE_BYTES: usize = 1024;
/// Merges take at most this, or 64 times the bytes of the tokens. Those of real vocabularies take less
/// than four times the tokens; of `a`, `aa`, `aaa` and so on, every cut of each would be a merge.
const MAX_MERGED_BYTES: usize = 1 << 20;

/// The tokenizer as JSON. Texts begin with the beginning-of-sequence token unless the file says
/// otherwise.
pub(super) fn tokenizer(file: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<(Json, bool), Error> {
    let merges = merges(file, vocabulary)?;
    let unknown = match file.get("tokenizer.ggml.unknown_token_id") {
        // SentencePiece's default is the token 0.
        Some(Value::Unsigned(id)) => usize::try_from(*id).ok(),
        _ => Some(0),
    };
    let unknown = unknown.and_then(|id| vocabulary.tokens.get(id));
    let mut steps = Vec::new();
    if flag(file, "tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        steps.push(json!({"type": "Prepend", "prepend": "▁"}));
    }
    // After the prefix, as in SentencePiece: a space at the start of a text becomes a second mark.
    steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
    let json = json!({
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "model": {"type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true,
                  "ignore_merges": false, "vocab": vocabulary.ids, "merges": merges},
    });
    Ok((json, true))
}

/// All pairs of tokens that together are a token, in the order in which they are merged: the whole
/// with the highest score first.
fn merges<'a>(file: &Gguf, vocabulary: &Vocabulary<'a>) -> Result<Vec<[&'a str; 2]>, Error> {
    let scores = scores(file, vocabulary)?;
    let mut found = pairs(file, vocabulary)?;
    let length = |text: &str| text.chars().count();
    // The order of `transformers`, which converts scores to merges in the same way: by score, then
    // longer parts first. The sort is stable, so remaining ties keep the order of the ids.
    found.sort_by(|(x, xa, xb), (y, ya, yb)| {
        let by_score = scores[*y]
            .partial_cmp(&scores[*x])
            .unwrap_or(Ordering::Equal);
        by_score
            .then_with(|| length(ya).cmp(&length(xa)))
            .then_with(|| length(yb).cmp(&length(xb)))
    });
    Ok(found.into_iter().map(|(_, a, b)| [a, b]).collect())
}

/// The score of every token.
fn scores(file: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<Vec<f64>, Error> {
    let scores: Vec<f64> = numbers(file, SCORES)?
        .filter_map(|v| v.as_f64())
        // NaN has no place in an order; without it the count differs from that of the tokens, which
        // is the error.
        .filter(|score| !score.is_nan())
        .collect();
    if scores.len() != vocabulary.tokens.len() {
        let message = format!(
            "{} scores for {} tokens",
            scores.len(),
            vocabulary.tokens.len()
        );
        return Err(file.error(SCORES, message));
    }
    Ok(scores)
}

/// Every token that text can become, cut into two such tokens in every possible way.
fn pairs<'a>(
    file: &Gguf,
    vocabulary: &Vocabulary<'a>,
) -> Result<Vec<(usize, &'a str, &'a str)>, Error> {
    let ordinary = |id: usize| matches!(vocabulary.kinds[id], NORMAL | USER_DEFINED);
    let part = |text: &str| vocabulary.ids.get(text).is_some_and(|&id| ordinary(id));
    let mut found = Vec::new();
    let mut merged = 0;
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if !ordinary(id) {
            continue;
        }
        if token.len() > MAX_PIECE_BYTES {
            let message = format!("token {id} has {} bytes", token.len());
            return Err(file.error(TOKENS, message));
        }
        let first = found.len();
        for (at, _) in token.char_indices().skip(1) {
            let (a, b) = token.split_at(at);
            if part(a) && part(b) {
                found.push((id, a, b));
                merged += token.len();
            }
        }
        // Checked per token, so that the list never grows far beyond the bound.
        if merged > MAX_MERGED_BYTES.max(64 * vocabulary.bytes) {
            let message = format!("the merges of tokens up to {id} have {merged} bytes");
            return Err(file.error(TOKENS, message));
        }
        found[first..].sort_by_key(|(_, a, b)| (vocabulary.ids.get(a), vocabulary.ids.get(b)));
    }
    Ok(found)
}
