//! `tekken.json`, the file of Mistral's tokenizers: tokens of bytes by rank, with the special tokens in
//! front of them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::super::load::MAX_TOKENIZER_BYTES;
use super::super::words::named;
use super::super::{alphabet, merges};
use super::{Found, shown};
use crate::checkpoint::read_text;
use crate::error::Error;
use crate::tokenizer::bos::field_error;

pub(super) const FILE: &str = "tekken.json";
/// The first special tokens where the file lists none, as `mistral-common` has them.
const USUAL: [&str; 20] = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];
/// Most special tokens that are accepted; released files have 1000.
const MAX_SPECIAL: usize = 1 << 16;

#[derive(Deserialize)]
struct File {
    config: Config,
    vocab: Vec<Token>,
    special_tokens: Option<Vec<Special>>,
}

#[derive(Deserialize)]
struct Config {
    pattern: String,
    default_vocab_size: usize,
    default_num_special_tokens: usize,
}

#[derive(Deserialize)]
struct Token {
    rank: usize,
    token_bytes: String,
}

#[derive(Deserialize)]
struct Special {
    rank: usize,
    token_str: String,
}

/// Reads the file as `mistral-common` does. The id of a token is its rank after the special tokens.
///
/// # Errors
/// Words of another expression; ranks that are not the places in the list; tokens that are no base64 or
/// come twice; fewer tokens than the vocabulary has; special tokens that could be words of a text.
pub(super) fn tokenizer(path: &Path) -> Result<Found, Error> {
    let text = read_text(path, MAX_TOKENIZER_BYTES)?;
    let file: File = serde_json::from_str(&text)
        .map_err(|e| Error::format(path, format!("{e}; {}", remedy(path))))?;
    drop(text);
    let refuse = |field: &str, message: String| Err(field_error(path.to_owned(), field, message));
    // Another expression would cut texts otherwise than it was tested.
    let Some(pre) = named("tekken").filter(|pre| pre.expressions == [&*file.config.pattern]) else {
        let message = format!(
            "{}: only the words of Mistral's Tekken are read; {}",
            shown(&file.config.pattern),
            remedy(path)
        );
        return refuse("config.pattern", message);
    };
    let specials = specials(path, &file)?;
    let first = specials.len();
    let size = file.config.default_vocab_size.checked_sub(first);
    let Some(size) = size.filter(|size| *size <= file.vocab.len()) else {
        let message = format!(
            "{} of {first} special tokens and {} others",
            file.config.default_vocab_size,
            file.vocab.len()
        );
        return refuse("config.default_vocab_size", message);
    };
    let tokens = tokens(path, &file.vocab[..size])?;
    let places: HashMap<&str, usize> = (tokens.iter().enumerate())
        .map(|(place, token)| (token.as_str(), place))
        .collect();
    let texts = tokens.iter().map(String::as_str);
    let mut found = merges::pairs(texts, &places, |_| true)
        .map_err(|message| field_error(path.to_owned(), "vocab", message))?;
    // The rank of the whole; the cuts of one token keep the order of their parts.
    found.sort_by_key(|(place, _, _)| *place);
    let merges: Vec<[&str; 2]> = found.into_iter().map(|(_, a, b)| [a, b]).collect();
    let mut ids: HashMap<&str, usize> = (tokens.iter().enumerate())
        .map(|(place, token)| (token.as_str(), first + place))
        .collect();
    // The library gives an added token the id that the vocabulary has for it.
    for (id, special) in specials.iter().enumerate() {
        if ids.insert(special, id).is_some() {
            let message = format!("{} is a token of the vocabulary", shown(special));
            return refuse("special_tokens", message);
        }
    }
    let mut json = pre.pipeline(&json!(ids), &json!(merges));
    let added = specials.iter().enumerate().map(|(id, content)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    });
    json["added_tokens"] = Json::Array(added.collect());
    json["version"] = json!("1.0");
    let bos = specials.iter().position(|special| special == "<s>");
    Ok(Found {
        path: path.to_owned(),
        json,
        bos: bos.and_then(|id| u32::try_from(id).ok()),
        adds_bos: bos.is_some(),
        charsmap: None,
        warnings: Vec::new(),
    })
}

/// All special tokens: those of the file, then numbered ones.
fn specials(path: &Path, file: &File) -> Result<Vec<String>, Error> {
    let count = file.config.default_num_special_tokens;
    let refuse = |field: &str, message: String| Err(field_error(path.to_owned(), field, message));
    let mut names: Vec<String> = match &file.special_tokens {
        None => USUAL.iter().map(|name| (*name).to_owned()).collect(),
        Some(listed) => {
            if let Some((place, token)) = (listed.iter().enumerate()).find(|(i, t)| t.rank != *i) {
                let message = format!("rank {} in place {place}", token.rank);
                return refuse("special_tokens", message);
            }
            listed.iter().map(|token| token.token_str.clone()).collect()
        }
    };
    if count < names.len() || count > MAX_SPECIAL {
        let message = format!(
            "{count}, with {} named and at most {MAX_SPECIAL}",
            names.len()
        );
        return refuse("config.default_num_special_tokens", message);
    }
    names.extend((names.len()..count).map(|id| format!("<SPECIAL_{id}>")));
    // Within brackets no special token is a word, which would be found in a text as a token of the
    // vocabulary.
    let bracketed = |name: &str| {
        let inner = (name.strip_prefix('<').and_then(|n| n.strip_suffix('>')))
            .or_else(|| name.strip_prefix('[').and_then(|n| n.strip_suffix(']')));
        inner.is_some_and(|inner| inner.contains(char::is_alphanumeric))
    };
    if let Some(name) = names.iter().find(|name| !bracketed(name)) {
        let message = format!(
            "{} is not a name in brackets; {}",
            shown(name),
            remedy(path)
        );
        return refuse("special_tokens", message);
    }
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => refuse("special_tokens", format!("{} comes twice", shown(name))),
        None => Ok(names),
    }
}

/// The tokens in letters of byte-level tokenizers.
fn tokens(path: &Path, vocab: &[Token]) -> Result<Vec<String>, Error> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut tokens = Vec::with_capacity(vocab.len());
    for (place, token) in vocab.iter().enumerate() {
        let error =
            |message: String| field_error(path.to_owned(), &format!("vocab[{place}]"), message);
        if token.rank != place {
            return Err(error(format!("rank {}", token.rank)));
        }
        let bytes = base64::decode(&token.token_bytes).ok();
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return Err(error(format!(
                "{} is not base64",
                shown(&token.token_bytes)
            )));
        };
        tokens.push(bytes.iter().map(|&byte| alphabet::letter(byte)).collect());
        if let Some(other) = places.insert(bytes, place) {
            return Err(error(format!("the bytes of token {other}")));
        }
    }
    match alphabet::missing_among(|byte| places.contains_key(&[byte][..])) {
        None => Ok(tokens),
        Some(bytes) => {
            let message = format!("has no token for {bytes}, from which every text is made");
            Err(Error::format(path, message))
        }
    }
}

/// The way out for a file that is not read.
fn remedy(path: &Path) -> String {
    format!(
        "write a tokenizer.json with python -c \"from transformers.integrations.mistral import \
         convert_tekken_tokenizer as convert; convert('{}').save_pretrained('{}')\"",
        path.display(),
        path.parent().unwrap_or(path).display()
    )
}
