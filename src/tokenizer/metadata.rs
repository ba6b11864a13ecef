//! The tokenizer in the metadata of a GGUF file, as a tokenizer of the `tokenizers` library.
//!
//! Two kinds: byte-level pairs with merges (`gpt2`), cut into words as the named
//! pre-tokenizer does, and SentencePiece pairs with scores and bytes to fall back to (`llama`),
//! whose merges follow from the scores.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::checkpoint::gguf::{Gguf, Value};
use crate::error::Error;
use crate::tokenizer::Bos;
use crate::tokenizer::stages::guarded;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";

// Kinds of tokens.
const NORMAL: u64 = 1;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// Words as GPT-2 cuts them.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Words as `cl100k_base` and Llama 3 cut them: up to three digits.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a text is cut into words.
struct Pre {
    /// Names in the file.
    names: &'static [&'static str],
    /// Cut out one after the other.
    expressions: &'static [&'static str],
    /// Whether texts are composed (NFC) first.
    composed: bool,
    /// Whether a word that is a token is taken whole, whatever the merges.
    ignore_merges: bool,
    /// Whether texts begin with the beginning-of-sequence token unless the file says otherwise.
    adds_bos: bool,
}

const PLAIN: Pre = Pre {
    names: &[],
    expressions: &[],
    composed: false,
    ignore_merges: false,
    adds_bos: false,
};

const PRES: &[Pre] = &[
    Pre {
        names: &["gpt-2"],
        expressions: &[GPT2],
        ..PLAIN
    },
    Pre {
        names: &["olmo"],
        expressions: &[GPT2],
        composed: true,
        ..PLAIN
    },
    Pre {
        names: &["smollm", "starcoder", "refact", "command-r"],
        expressions: &[r"\p{N}", GPT2],
        ..PLAIN
    },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3"],
        expressions: &[LLAMA3],
        ignore_merges: true,
        adds_bos: true,
        ..PLAIN
    },
    Pre {
        names: &["dbrx"],
        expressions: &[LLAMA3],
        ..PLAIN
    },
    Pre {
        names: &["qwen2"],
        expressions: &[QWEN2],
        composed: true,
        ..PLAIN
    },
    // What llama.cpp does where the writer did not know the tokenizer.
    Pre {
        names: &["default"],
        expressions: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ..PLAIN
    },
];

/// The tokenizer of the file and its beginning-of-sequence token.
///
/// # Errors
/// A key that is missing or malformed, a kind of tokenizer or pre-tokenizer that is not supported.
pub(super) fn tokenizer(file: &Gguf) -> Result<(tokenizers::Tokenizer, Bos), Error> {
    let vocabulary = Vocabulary::read(file)?;
    let (mut json, adds_bos) = match text(file, MODEL)? {
        "gpt2" => byte_pairs(file, &vocabulary)?,
        "llama" => sentence_pieces(file, &vocabulary)?,
        other => {
            let message = format!("`{other}` is not supported; supported: gpt2, llama");
            return Err(file.error(MODEL, message));
        }
    };
    json["version"] = json!("1.0");
    json["added_tokens"] = vocabulary.added();
    let bytes = serde_json::to_vec(&json).map_err(|e| Error::format(file.path(), e))?;
    drop(json);
    let tokenizer = guarded(file.path(), || tokenizers::Tokenizer::from_bytes(bytes))?;
    let bos = match file.get("tokenizer.ggml.bos_token_id") {
        None => None,
        Some(value) => {
            let known = |id: &u64| (*id as usize) < vocabulary.tokens.len();
            match value {
                Value::Unsigned(id) if known(id) => u32::try_from(*id).ok(),
                _ => {
                    let message = format!("{value} is not in the vocabulary");
                    return Err(file.error("tokenizer.ggml.bos_token_id", message));
                }
            }
        }
    };
    let added = flag(file, "tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    let bos = Bos {
        token: bos,
        added: added && bos.is_some(),
    };
    Ok((tokenizer, bos))
}

/// Byte-level pairs: the tokenizer as JSON, and whether it adds the token to begin with.
fn byte_pairs(file: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<(Json, bool), Error> {
    let name = text(file, PRE)?;
    let Some(pre) = PRES.iter().find(|p| p.names.contains(&name)) else {
        let names: Vec<&str> = PRES.iter().flat_map(|p| p.names).copied().collect();
        let message = format!("`{name}` is not supported; supported: {}", names.join(", "));
        return Err(file.error(PRE, message));
    };
    let mut merges = Vec::new();
    for (number, merge) in texts(file, MERGES)?.iter().enumerate() {
        // A space inside of a token is written as another character.
        match merge.split_once(' ') {
            Some((a, b)) if !a.is_empty() && !b.is_empty() => merges.push([a, b]),
            _ => return Err(file.error(MERGES, format!("merge {number}, {merge:?}, is no pair"))),
        }
    }
    let split = |expression: &&str| {
        json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated",
               "invert": false})
    };
    let mut cuts: Vec<Json> = pre.expressions.iter().map(split).collect();
    cuts.push(
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                     "use_regex": false}),
    );
    let normalizer = pre.composed.then(|| json!({"type": "NFC"}));
    let json = json!({
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts},
        "model": {"type": "BPE", "fuse_unk": false, "byte_fallback": false,
                  "ignore_merges": pre.ignore_merges, "vocab": vocabulary.ids, "merges": merges},
    });
    Ok((json, pre.adds_bos))
}

/// SentencePiece pairs: the tokenizer as JSON, and that it adds the token to begin with.
fn sentence_pieces(file: &Gguf, vocabulary: &Vocabulary<'_>) -> Result<(Json, bool), Error> {
    let scores: Vec<f64> = numbers(file, SCORES)?
        .filter_map(|v| v.as_f64())
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
    // A pair is merged where both and the whole are tokens that text can become; the whole with the
    // highest score first.
    let ordinary = |id: usize| matches!(vocabulary.kinds[id], NORMAL | USER_DEFINED);
    let mut found: Vec<(usize, &str, &str)> = Vec::new();
    let mut merged = 0;
    for (id, token) in vocabulary
        .tokens
        .iter()
        .enumerate()
        .filter(|(id, _)| ordinary(*id))
    {
        if token.len() > MAX_PIECE_BYTES {
            let message = format!("token {id} has {} bytes", token.len());
            return Err(file.error(TOKENS, message));
        }
        let first = found.len();
        for (at, _) in token.char_indices().skip(1) {
            let (a, b) = token.split_at(at);
            let part = |text: &str| vocabulary.ids.get(text).is_some_and(|&id| ordinary(id));
            if part(a) && part(b) {
                found.push((id, a, b));
                merged += token.len();
            }
        }
        if merged > MAX_MERGED_BYTES.max(64 * vocabulary.bytes) {
            let message = format!("the merges of tokens up to {id} have {merged} bytes");
            return Err(file.error(TOKENS, message));
        }
        found[first..].sort_by_key(|(_, a, b)| (vocabulary.ids.get(a), vocabulary.ids.get(b)));
    }
    let length = |text: &str| text.chars().count();
    found.sort_by(|(x, xa, xb), (y, ya, yb)| {
        let by_score = scores[*y]
            .partial_cmp(&scores[*x])
            .unwrap_or(Ordering::Equal);
        by_score
            .then_with(|| length(ya).cmp(&length(xa)))
            .then_with(|| length(yb).cmp(&length(xb)))
    });
    let merges: Vec<[&str; 2]> = found.into_iter().map(|(_, a, b)| [a, b]).collect();
    let unknown = match file.get("tokenizer.ggml.unknown_token_id") {
        Some(Value::Unsigned(id)) => usize::try_from(*id).ok(),
        _ => Some(0),
    };
    let unknown = unknown.and_then(|id| vocabulary.tokens.get(id));
    let mut steps = Vec::new();
    if flag(file, "tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        steps.push(json!({"type": "Prepend", "prepend": "▁"}));
    }
    steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
    let json = json!({
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "model": {"type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true,
                  "ignore_merges": false, "vocab": vocabulary.ids, "merges": merges},
    });
    Ok((json, true))
}

/// Longest accepted token of a SentencePiece vocabulary: every cut of one is tried. Real ones have
/// less than a hundred bytes.
const MAX_PIECE_BYTES: usize = 1024;
/// Merges take no more than this, or 64 times the tokens; those of real vocabularies take less than
/// four times the tokens. Of `a`, `aa`, `aaa` and so on, every cut of each would be one.
const MAX_MERGED_BYTES: usize = 1 << 20;

/// Tokens with their kinds.
struct Vocabulary<'a> {
    tokens: &'a [String],
    /// Bytes of all tokens.
    bytes: usize,
    kinds: Vec<u64>,
    ids: HashMap<&'a str, usize>,
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
            if let Some(other) = ids.insert(token.as_str(), id) {
                let message = format!("tokens {other} and {id} are both {token:?}");
                return Err(file.error(TOKENS, message));
            }
        }
        Ok(Self {
            tokens,
            bytes: tokens.iter().map(String::len).sum(),
            kinds,
            ids,
        })
    }

    /// Control tokens, which text never becomes here, and those that are found in a text whole.
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

fn numbers<'a>(file: &'a Gguf, key: &str) -> Result<impl Iterator<Item = Value> + use<'a>, Error> {
    match file.get(key) {
        Some(Value::Numbers(numbers)) => Ok(numbers.values()),
        Some(value) => Err(file.error(key, format!("{value} is no array of numbers"))),
        None => Err(file.error(key, "missing")),
    }
}

fn flag(file: &Gguf, key: &str) -> Result<Option<bool>, Error> {
    match file.get(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(value) => Err(file.error(key, format!("{value} is neither true nor false"))),
    }
}
