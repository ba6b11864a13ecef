//! Stages of a `tokenizer.json` that the `tokenizers` library may run.
//!
//! The stages are a small language, and a file of a few kilobytes in it can request more memory than
//! there is.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokenizers::ModelWrapper;

use super::added_tokens::{self, MAX_ADDED};
use super::bos::field_error;
use super::charsmap::Charsmap;
use super::expressions;
use super::library::Library;
use super::search::LIMITS;
use crate::error::Error;

/// The stages of a file. Vocabulary and merges are left to the library.
#[derive(Deserialize)]
struct Stages {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    /// Not used, but the library must not be the first to find that it holds `1e999`.
    #[serde(default, rename = "decoder")]
    _decoder: Value,
    #[serde(default)]
    added_tokens: Value,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    merges: Option<IgnoredAny>,
    #[serde(default)]
    unk_token: Value,
    #[serde(default)]
    unk_id: Value,
}

/// Parts of a file that the library does not keep.
pub(super) struct Checked {
    /// The token that the post-processor begins a text with.
    pub(super) first: Option<u32>,
    pub(super) added_tokens: Value,
    /// The unknown token, by name or by id.
    pub(super) unknown: Value,
}

/// Largest accepted factor by which normaliser and pre-tokenizer lengthen a text. Those of real
/// tokenizers, which write a space as `▁` or a byte as a letter, have two to six.
// Items have no bound on their length, so a factor must have one: forty doublings made a terabyte
// of one letter.
const MAX_LENGTHENING: f64 = 64.0;

/// Most bytes that the stages together may put before every text. Those of real tokenizers put a `▁`
/// there.
const MAX_PREPENDED: usize = 64;
/// Largest accepted number of letters of all regular expressions together, with repetitions counted.
/// A class of Unicode is five letters and compiles to tens of kilobytes. Real tokenizers have less
/// than 2000 letters.
// The bound keeps compiled expressions below 128 MB; its exact value does not matter.
const MAX_EXPRESSIONS: f64 = 16_384.0;

/// Refuses stages that no tokenizer of a supported model has and an attack would: those that lengthen
/// a text without bound, those whose data the library trusts, and random omission of merges.
///
/// # Errors
/// Text that is not JSON, or a field that is refused.
pub(super) fn check(path: &Path, text: &str) -> Result<Checked, Error> {
    let stages: Stages = serde_json::from_str(text).map_err(|e| Error::format(path, e))?;
    let refuse = |field: &str, message: String| Err(field_error(path.to_owned(), field, message));
    let mut unknown = Value::Null;
    if let Some(model) = stages.model {
        unknown = match model.unk_id {
            Value::Null => model.unk_token,
            id => id,
        };
        if let Some(dropout) = model.dropout.filter(|d| *d != 0.0) {
            let message = format!("{dropout} would encode a text in another way each time");
            return refuse("model.dropout", message);
        }
        let prefix = model.continuing_subword_prefix.unwrap_or_default();
        if model.merges.is_some() && !prefix.is_empty() {
            // The library cuts the prefix off every merged token, even where it is not there.
            let message = format!("{prefix:?} is not supported with merges");
            return refuse("model.continuing_subword_prefix", message);
        }
    }
    for (field, stage, kinds) in [
        ("normalizer", &stages.normalizer, NORMALIZERS),
        ("pre_tokenizer", &stages.pre_tokenizer, PRE_TOKENIZERS),
    ] {
        if let Some(message) = unnamed(stage, kinds).filter(|_| !stage.is_null()) {
            return refuse(field, message);
        }
    }
    let prepended = prepended(&stages.normalizer);
    if prepended > MAX_PREPENDED {
        let message = format!("puts {prepended} bytes before every text");
        return refuse("normalizer", message);
    }
    // Floats, which saturate at infinity where integers of a hostile file would overflow.
    let (mut lengthening, mut letters) = (1.0, 0.0);
    for (field, stage) in [
        ("normalizer", &stages.normalizer),
        ("pre_tokenizer", &stages.pre_tokenizer),
    ] {
        if let Some(message) = panics(stage).or_else(|| backtracking(stage)) {
            return refuse(field, message);
        }
        letters += expressions(stage);
        if letters > MAX_EXPRESSIONS {
            let message = format!("expressions of {letters:e} letters, repetitions counted");
            return refuse(field, message);
        }
        lengthening *= longest(stage).map_err(|m| field_error(path.to_owned(), field, m))?;
        if lengthening > MAX_LENGTHENING {
            let message = format!("could make a text {lengthening:e} times as long");
            return refuse(field, message);
        }
    }
    // After the tables of the normaliser were checked, which it trusts as it is built.
    added_tokens::check(path, &stages.added_tokens, &stages.normalizer)?;
    Ok(Checked {
        first: begins_with(&stages.post_processor, None),
        added_tokens: stages.added_tokens,
        unknown,
    })
}

/// The kinds of normalisers that the library has.
const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
/// The kinds of pre-tokenizers that the library has.
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Delimiter",
    "Digits",
    "FixedLength",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];

/// The message about a stage that does not say its kind. The library would guess it from its fields, of
/// which there may be a list without names.
fn unnamed(stage: &Value, kinds: &[&str]) -> Option<String> {
    let kind = stage["type"].as_str();
    if !kind.is_some_and(|kind| kinds.contains(&kind)) {
        return Some(match &stage["type"] {
            Value::Null => "a stage has no `type`".to_owned(),
            kind => format!("{kind} is no type of a stage"),
        });
    }
    parts(stage).find_map(|stage| unnamed(stage, kinds))
}

/// An upper bound on the factor by which a stage lengthens a long text.
///
/// # Errors
/// A message about a stage that is not supported.
fn longest(stage: &Value) -> Result<f64, String> {
    let mut factor = 1.0;
    if let Some(table) = stage.get("precompiled_charsmap") {
        let table = table.as_str().and_then(|table| base64::decode(table).ok());
        let table = table.ok_or("`precompiled_charsmap` is not base64")?;
        let table = Charsmap::read(&table).map_err(|m| format!("`precompiled_charsmap`: {m}"))?;
        factor *= table.lengthening();
    }
    if stage["type"] == "ByteLevel" || stage.get("trim_offsets").is_some() {
        // Bytes above 127 become letters of two bytes.
        factor *= 2.0;
    }
    if stage["type"] == "Metaspace" || stage.get("replacement").is_some() {
        // A mark of up to four bytes before every byte.
        factor *= 5.0;
    }
    if let (Some(pattern), Some(content)) = (stage.get("pattern"), stage["content"].as_str()) {
        // An expression may match the empty text, before every letter.
        let fixed = pattern["String"].as_str().filter(|p| !p.is_empty());
        factor *= match fixed {
            Some(pattern) => (content.len() as f64 / pattern.len() as f64).max(1.0),
            None => 1.0 + content.len() as f64,
        };
    }
    for list in ["normalizers", "pretokenizers"] {
        for stage in stage[list].as_array().into_iter().flatten() {
            // Stages run one after the other, so their factors multiply.
            factor *= longest(stage)?;
        }
    }
    Ok(factor)
}

/// Number of letters of the regular expressions of a stage, each multiplied by all its repetitions, and by
/// the engines that it may have.
fn expressions(stage: &Value) -> f64 {
    let mut letters = match stage["pattern"]["Regex"].as_str() {
        None => 0.0,
        Some(expression) => {
            let mut letters = expression.len() as f64;
            let parts: Vec<&str> = expression.split('{').collect();
            for pair in parts.windows(2) {
                // `\x{4000}` is one letter, not a repetition.
                let letter = ["\\x", "\\u", "\\U"].iter().any(|l| pair[0].ends_with(l));
                let count = pair[1].split_once('}').map_or("", |(count, _)| count);
                let counts = count
                    .split(',')
                    .filter_map(|n| n.trim().parse::<f64>().ok());
                if !letter {
                    // Nested repetitions multiply, `((a{100}){100}){100}` is a million. Side by
                    // side they only add, so this counts too much, never too little.
                    letters *= counts.fold(1.0, f64::max);
                }
            }
            if expressions::examine(expression) == Ok(true) {
                letters *= LIMITS.len() as f64;
            }
            letters
        }
    };
    for list in ["normalizers", "pretokenizers"] {
        for stage in stage[list].as_array().into_iter().flatten() {
            letters += expressions(stage);
        }
    }
    letters
}

/// Bytes that a normaliser puts before a text, whatever its length.
fn prepended(stage: &Value) -> usize {
    let own = stage["prepend"].as_str().map_or(0, str::len);
    let parts = stage["normalizers"].as_array().into_iter().flatten();
    parts.map(prepended).fold(own, usize::saturating_add)
}

/// The message about a stage on which the library panics: as it is built, or over a text.
fn panics(stage: &Value) -> Option<String> {
    let message = match stage["type"].as_str() {
        Some("FixedLength") if stage["length"] == 0 => Some("`length` is 0".to_owned()),
        Some("Precompiled") if stage.get("precompiled_charsmap").is_none() => {
            Some("`precompiled_charsmap` is missing".to_owned())
        }
        // A letter put before a text without taking the place of another has no place in it, and the
        // next stage looks for one.
        Some("Prepend") if stage["prepend"] == "" => Some("`prepend` is empty".to_owned()),
        Some("Replace") => replaces_nothing(&stage["pattern"]),
        _ => None,
    };
    message.or_else(|| parts(stage).find_map(panics))
}

/// The message about a pattern that may match no letters, or whose search may be given up: a normaliser has
/// no way to say so.
fn replaces_nothing(pattern: &Value) -> Option<String> {
    if pattern["String"] == "" {
        return Some("replaces the empty text".to_owned());
    }
    let expression = pattern["Regex"].as_str()?;
    let shown: String = expression.chars().take(60).collect();
    match (
        expressions::examine(expression),
        regex_syntax::parse(expression),
    ) {
        (Ok(false), Ok(parsed)) if parsed.properties().minimum_len() == Some(0) => Some(format!(
            "the expression {shown:?} may replace the empty text"
        )),
        (Ok(false), Ok(_)) => None,
        // The message of an expression that is refused anywhere follows.
        (Err(_), _) => None,
        _ => Some(format!(
            "the expression {shown:?} of a `Replace` is more than a regular one"
        )),
    }
}

/// The message about an expression whose search takes more than time in proportion to the text.
fn backtracking(stage: &Value) -> Option<String> {
    let own = stage["pattern"]["Regex"].as_str().and_then(|expression| {
        let reason = expressions::examine(expression).err()?;
        let shown: String = expression.chars().take(60).collect();
        Some(format!("the expression {shown:?} {reason}"))
    });
    own.or_else(|| parts(stage).find_map(backtracking))
}

/// The stages of a sequence.
fn parts(stage: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["normalizers", "pretokenizers"].into_iter();
    lists.flat_map(|list| stage[list].as_array().into_iter().flatten())
}

/// Refuses models that take more than time in proportion to the text.
pub(super) fn check_model(path: &Path, tokenizer: &Library) -> Result<(), Error> {
    let refuse = |field: &str, message: String| Err(field_error(path.to_owned(), field, message));
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(_) => refuse(
            "model.type",
            "WordPiece, which takes time with the cube of a word; no model that is scored here has it"
                .to_owned(),
        ),
        // Every place of a text is compared with the tokens that could begin there.
        ModelWrapper::Unigram(model) => {
            let longest = model.iter().map(|(token, _)| token.len()).max();
            match longest.filter(|longest| *longest > MAX_ADDED) {
                Some(longest) => {
                    refuse("model.vocab", format!("{longest} bytes are no plausible token"))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The token that a text begins with after a post-processor; `first` is that before it.
fn begins_with(processor: &Value, first: Option<u32>) -> Option<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    if let Some(processors) = processor["processors"].as_array() {
        return processors.iter().fold(first, |f, p| begins_with(p, f));
    }
    if let Some(class) = processor["cls"].as_array() {
        return class.get(1).and_then(id);
    }
    let Some(template) = processor["single"].as_array() else {
        return first;
    };
    // A sequence in the template stands for the text, which begins with `first`.
    template.iter().find_map(|piece| {
        let name = piece["SpecialToken"]["id"].as_str();
        let Some(name) = name else {
            return first;
        };
        id(&processor["special_tokens"][name]["ids"][0])
    })
}
