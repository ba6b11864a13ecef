//! Added tokens, which are found in a text before it is cut into words.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use super::bos::field_error;
use super::library::Library;
use crate::error::Error;

/// Longest accepted added token, in bytes. The library takes time and memory with the square of it; those
/// of real tokenizers have less than a hundred.
pub(super) const MAX_ADDED: usize = 1024;
/// Most bytes of all added tokens together: twenty times the most of any real tokenizer.
const MAX_ADDED_TOGETHER: usize = 4 << 20;

/// Refuses added tokens that the library takes too long for, or panics on: those that are long, those that
/// the normaliser makes empty, and white space beside tokens that swallow the white space after them.
pub(super) fn check(path: &Path, added: &Value, normalizer: &Value) -> Result<(), Error> {
    let refuse = |message: String| Err(field_error(path.to_owned(), "added_tokens", message));
    let is_normalized = |token: &Value| token["normalized"] == true;
    let mut tokens = added.as_array().into_iter().flatten();
    let normalizer = match tokens.any(is_normalized) {
        true => NormalizerWrapper::deserialize(normalizer).ok(),
        false => None,
    };
    let mut together = 0;
    let (mut swallows, mut blank) = (false, None);
    for token in added.as_array().into_iter().flatten() {
        let Some(content) = token["content"].as_str() else {
            continue;
        };
        together += content.len();
        if content.len() > MAX_ADDED || together > MAX_ADDED_TOGETHER {
            let bytes = content.len().max(together);
            return refuse(format!(
                "{bytes} bytes of added tokens are no plausible ones"
            ));
        }
        let mut text = NormalizedString::from(content);
        if let Some(normalizer) = normalizer.as_ref().filter(|_| is_normalized(token)) {
            normalizer
                .normalize(&mut text)
                .map_err(|e| Error::format(path, e))?;
        }
        if text.is_empty() && !content.is_empty() {
            return refuse(format!("the normaliser makes nothing of {content:?}"));
        }
        swallows |= token["rstrip"] == true;
        if !content.is_empty() && text.get().chars().all(char::is_whitespace) {
            blank = Some(content);
        }
    }
    match blank.filter(|_| swallows) {
        // The library would find the token within the white space that another has swallowed.
        Some(content) => refuse(format!(
            "{content:?} is white space, which the tokens with `rstrip` take for themselves"
        )),
        None => Ok(()),
    }
}

/// A warning about added tokens whose ids in the file are not those that the library gives them: it keeps
/// those of the vocabulary, and counts on behind it.
pub(super) fn contradiction(added: &Value, tokenizer: &Library) -> Option<String> {
    let tokens = added.as_array().into_iter().flatten();
    let mut others = tokens.filter_map(|token| {
        let (content, said) = (token["content"].as_str()?, token["id"].as_u64()?);
        let id = tokenizer.token_to_id(content)?;
        (u64::from(id) != said).then_some((content, said, id))
    });
    let (content, said, id) = others.next()?;
    let more = match others.count() {
        0 => String::new(),
        n => format!(", and {n} more differ"),
    };
    Some(format!(
        "added_tokens: {content:?} has the id {said} in tokenizer.json and {id} in the vocabulary, which is \
         taken, as by transformers{more}"
    ))
}
