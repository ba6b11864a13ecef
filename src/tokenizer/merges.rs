//! Merges that follow from a vocabulary alone: every token, cut into two tokens.

use std::collections::HashMap;

/// Longest accepted token: every cut of one is tried. Real tokens have less than a hundred bytes.
pub(super) const MAX_PIECE_BYTES: usize = 1024;
/// Merges take at most this, or 64 times the bytes of the tokens. Those of real vocabularies take less
/// than four times the tokens; of `a`, `aa`, `aaa` and so on, every cut of each would be a merge.
const MAX_MERGED_BYTES: usize = 1 << 20;

/// Every token that text can become, cut into two such tokens in every possible way: the place of the
/// token in `tokens` and its two parts. The cuts of one token stand in the order of the places of their
/// parts.
///
/// `ids` has the place of every token in `tokens`, and `ordinary` is true for a token that text can become.
///
/// # Errors
/// A message about a token that is too long, or about merges that grow without bound.
pub(super) fn pairs<'a>(
    tokens: impl Iterator<Item = &'a str> + Clone,
    ids: &HashMap<&'a str, usize>,
    ordinary: impl Fn(usize) -> bool,
) -> Result<Vec<(usize, &'a str, &'a str)>, String> {
    let part = |text: &str| ids.get(text).is_some_and(|&id| ordinary(id));
    let all: usize = tokens.clone().map(str::len).sum();
    let mut found = Vec::new();
    let mut merged = 0;
    for (id, token) in tokens.enumerate() {
        if !ordinary(id) {
            continue;
        }
        if token.len() > MAX_PIECE_BYTES {
            return Err(format!("token {id} has {} bytes", token.len()));
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
        if merged > MAX_MERGED_BYTES.max(64 * all) {
            return Err(format!(
                "the merges of tokens up to {id} have {merged} bytes"
            ));
        }
        found[first..].sort_by_key(|(_, a, b)| (ids.get(a), ids.get(b)));
    }
    Ok(found)
}
