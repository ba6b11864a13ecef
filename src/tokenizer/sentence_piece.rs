//! SentencePiece pairs of a GGUF file: the merges follow from the scores of the tokens.

use std::cmp::Ordering;

use serde_json::{Value as Json, json};

use super::metadata::{NORMAL, TOKENS, USER_DEFINED, Vocabulary, flag, numbers};
use crate::checkpoint::gguf::{Gguf, Value};
use crate::error::Error;
use crate::tokenizer::merges::pairs;

const SCORES: &str = "tokenizer.ggml.scores";

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
    let ordinary = |id: usize| matches!(vocabulary.kinds[id], NORMAL | USER_DEFINED);
    let found = pairs(
        vocabulary.tokens.iter().map(String::as_str),
        &vocabulary.ids,
        ordinary,
    );
    let mut found = found.map_err(|message| file.error(TOKENS, message))?;
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
