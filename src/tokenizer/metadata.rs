//! The tokenizer in the metadata of a GGUF file, as a tokenizer of the `tokenizers` library.
//!
//! There are two kinds: byte-level pairs with merges (`gpt2`), within the words of a named
//! pre-tokenizer, and SentencePiece pairs with scores and a fallback to bytes (`llama`).

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::checkpoint::gguf::{Gguf, Value};
use crate::error::Error;
use crate::tokenizer::added_tokens;
use crate::tokenizer::bos::BosToken;
use crate::tokenizer::library::{self, Library};
use crate::tokenizer::sentence_piece;
use crate::tokenizer::words::{PRES, named};

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";

/// Kind of a token that text can become.
pub(super) const NORMAL: u64 = 1;
/// Kind of a token that text never becomes here.
const CONTROL: u64 = 3;
/// Kind of a token that is found in a text whole.
pub(super) const USER_DEFINED: u64 = 4;

/// The tokenizer of the file, its beginning-of-sequence token, and the token that stands for what the
/// vocabulary lacks.
///
/// # Errors
/// A key that is missing or malformed, a kind of tokenizer or pre-tokenizer that is not supported.
pub(super) fn tokenizer(file: &Gguf) -> Result<(Library, BosToken, Option<u32>), Error> {
    let vocabulary = Vocabulary::read(file)?;
    let (mut json, adds_bos) = match text(file, MODEL)? {
        "gpt2" => byte_pairs(file, &vocabulary)?,
        "llama" => sentence_piece::tokenizer(file, &vocabulary)?,
        other => {
            let message = format!("`{other}` is not supported; supported: gpt2, llama");
            return Err(file.error(MODEL, message));
        }
    };
    json["version"] = json!("1.0");
    json["added_tokens"] = vocabulary.added();
    check_added(file, &json)?;
    let bytes = serde_json::to_vec(&json).map_err(|e| Error::format(file.path(), e))?;
    let unknown = json["model"]["unk_token"].take();
    // Tree and text of a large vocabulary are tens of megabytes each; the library takes as much
    // again.
    drop(json);
    let tokenizer = library::read(file.path(), &bytes)?;
    let unknown = library::unknown(&unknown, &tokenizer);
    Ok((tokenizer, bos(file, &vocabulary, adds_bos)?, unknown))
}

/// Refuses added tokens as in a `tokenizer.json`, by the key that they come from.
fn check_added(file: &Gguf, json: &Json) -> Result<(), Error> {
    let checked = added_tokens::check(file.path(), &json["added_tokens"], &json["normalizer"]);
    checked.map_err(|e| match e {
        Error::Config { message, .. } => file.error(TOKENS, message),
        other => other,
    })
}

/// The beginning-of-sequence token. Texts begin with it as `adds_bos` says unless the file says
/// otherwise.
fn bos(file: &Gguf, vocabulary: &Vocabulary<'_>, adds_bos: bool) -> Result<BosToken, Error> {
    const ID: &str = "tokenizer.ggml.bos_token_id";
    // An id beyond the vocabulary would only fail in the embedding, with no word of this key.
    let known = |id: &u64| (*id as usize) < vocabulary.tokens.len();
    let token = match file.get(ID) {
        None => None,
        Some(Value::Unsigned(id)) if known(id) => u32::try_from(*id).ok(),
        Some(value) => {
            let message = format!("{value} is not in the vocabulary");
            return Err(file.error(ID, message));
        }
    };
    let added = flag(file, "tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    Ok(BosToken {
        token,
        added: added && token.is_some(),
    })
}

/// Byte-level pairs: the tokenizer as JSON, and true if texts begin with the beginning-of-sequence
/// token unless the file says otherwise.
fn byte_pairs(file: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<(Json, bool), Error> {
    let name = text(file, PRE)?;
    let Some(pre) = named(name) else {
        let names: Vec<&str> = PRES.iter().flat_map(|p| p.names).copied().collect();
        let message = format!("`{name}` is not supported; supported: {}", names.join(", "));
        return Err(file.error(PRE, message));
    };
    let mut merges = Vec::new();
    for (number, merge) in texts(file, MERGES)?.iter().enumerate() {
        // Within a token a space is another character, so the only space is between the two.
        match merge.split_once(' ') {
            Some((a, b)) if !a.is_empty() && !b.is_empty() => merges.push([a, b]),
            _ => return Err(file.error(MERGES, format!("merge {number}, {merge:?}, is no pair"))),
        }
    }
    let json = pre.pipeline(&json!(vocabulary.ids), &json!(merges));
    Ok((json, pre.adds_bos))
}

/// The tokens of a file with their kinds.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: &'a [String],
    pub(super) kinds: Vec<u64>,
    pub(super) ids: HashMap<&'a str, usize>,
}

impl<'a> Vocabulary<'a> {
    fn read(file: &'a Gguf) -> Result<Self, Error> {
        let tokens = texts(file, TOKENS)?;
        let kinds: Vec<u64> = match file.get(TYPES) {
            None => vec![NORMAL; tokens.len()],
            Some(_) => numbers(file, TYPES)?
                .filter_map(|v| match v {
                    Value::Unsigned(kind) => Some(kind),
                    _ => None,
                })
                .collect(),
        };
        if kinds.len() != tokens.len() {
            let message = format!("{} kinds for {} tokens", kinds.len(), tokens.len());
            return Err(file.error(TYPES, message));
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            // The library would keep the last, so the first could never be produced.
            if let Some(other) = ids.insert(token.as_str(), id) {
                let message = format!("tokens {other} and {id} are both {token:?}");
                return Err(file.error(TOKENS, message));
            }
        }
        Ok(Self { tokens, kinds, ids })
    }

    /// The control tokens, and the tokens that are found in a text whole, as JSON.
    fn added(&self) -> Json {
        let tokens = self.tokens.iter().zip(&self.kinds).enumerate();
        let added = tokens.filter(|(_, (_, kind))| matches!(**kind, CONTROL | USER_DEFINED));
        added
            .map(|(id, (token, kind))| {
                json!({"id": id, "content": token, "single_word": false, "lstrip": false,
                       "rstrip": false, "normalized": false, "special": *kind == CONTROL})
            })
            .collect()
    }
}

fn text<'a>(file: &'a Gguf, key: &str) -> Result<&'a str, Error> {
    match file.get(key) {
        Some(Value::Text(text)) => Ok(text),
        Some(value) => Err(file.error(key, format!("{value} is not a string"))),
        None => Err(file.error(key, "missing")),
    }
}

fn texts<'a>(file: &'a Gguf, key: &str) -> Result<&'a [String], Error> {
    match file.get(key) {
        Some(Value::Texts(texts)) => Ok(texts),
        Some(value) => Err(file.error(key, format!("{value} is no array of strings"))),
        None => Err(file.error(key, "missing")),
    }
}

pub(super) fn numbers<'a>(
    file: &'a Gguf,
    key: &str,
) -> Result<impl Iterator<Item = Value> + use<'a>, Error> {
    match file.get(key) {
        Some(Value::Numbers(numbers)) => Ok(numbers.values()),
        Some(value) => Err(file.error(key, format!("{value} is no array of numbers"))),
        None => Err(file.error(key, "missing")),
    }
}

pub(super) fn flag(file: &Gguf, key: &str) -> Result<Option<bool>, Error> {
    match file.get(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(value) => Err(file.error(key, format!("{value} is neither true nor false"))),
    }
}
