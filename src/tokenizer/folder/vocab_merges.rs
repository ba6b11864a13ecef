//! `vocab.json` and `merges.txt`: byte-level pairs.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value as Json, json};

use super::super::alphabet;
use super::super::load::MAX_TOKENIZER_BYTES;
use super::super::words::named;
use super::added::Added;
use super::{Class, Found, Settings, shown};
use crate::checkpoint::read_text;
use crate::error::Error;

/// Models whose own `tokenizer.json` cuts numbers into digits, which these files do not record.
const DIGITS: [&str; 2] = ["starcoder2", "gpt_bigcode"];

pub(super) fn tokenizer(
    settings: &Settings<'_>,
    vocabulary: &Path,
    merges: &Path,
) -> Result<Found, Error> {
    let ids = read_vocabulary(vocabulary)?;
    let text = read_text(merges, MAX_TOKENIZER_BYTES)?;
    let merges = read_merges(merges, &text, &ids)?;
    let json = pipeline(settings, &ids, &merges)?;
    let taken: std::collections::HashSet<u32> = ids.values().copied().collect();
    let added = Added::of(settings)?;
    let mut found = settings.found(
        vocabulary,
        json,
        added,
        &|name| ids.get(name).copied(),
        &|id| taken.contains(&id),
        ids.len(),
    )?;
    let missing = alphabet::missing(|letter| ids.contains_key(letter));
    found.warnings.extend(missing.map(|bytes| {
        format!("vocab.json has no token for {bytes}; these bytes of a text are left out")
    }));
    if DIGITS.contains(&settings.model.as_str()) {
        found.warnings.push(format!(
            "vocab.json does not record that {} cuts numbers into digits, as its tokenizer.json does",
            settings.model
        ));
    }
    Ok(found)
}

fn pipeline(
    settings: &Settings<'_>,
    ids: &HashMap<String, u32>,
    merges: &[[&str; 2]],
) -> Result<Json, Error> {
    let prefix = settings.flag("add_prefix_space")?.unwrap_or(false);
    let mut json = match (settings.class, named("qwen2")) {
        (Class::Qwen2, Some(qwen)) => qwen.pipeline(&json!(ids), &json!(merges)),
        _ => json!({
            "normalizer": (settings.class == Class::NeoX).then(|| json!({"type": "NFC"})),
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix,
                              "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "fuse_unk": false, "byte_fallback": false,
                      "ignore_merges": false, "vocab": ids, "merges": merges},
        }),
    };
    if settings.class == Class::Qwen2 {
        // Before every word, as `transformers` has it for this class.
        json["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = json!(prefix);
    }
    Ok(json)
}

/// The ids of the tokens.
fn read_vocabulary(path: &Path) -> Result<HashMap<String, u32>, Error> {
    let text = read_text(path, MAX_TOKENIZER_BYTES)?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let ids = reader
        .deserialize_map(Ids)
        .map_err(|e| Error::format(path, e))?;
    reader.end().map_err(|e| Error::format(path, e))?;
    if ids.is_empty() {
        return Err(Error::format(path, "has no tokens"));
    }
    let mut tokens: HashMap<u32, &str> = HashMap::with_capacity(ids.len());
    for (token, id) in &ids {
        if let Some(other) = tokens.insert(*id, token) {
            let (a, b) = (token.as_str().min(other), other.max(token));
            let message = format!("{} and {} both have the id {id}", shown(a), shown(b));
            return Err(Error::format(path, message));
        }
    }
    Ok(ids)
}

/// Reads a map from tokens to ids, and refuses a token that is there twice.
struct Ids;

impl<'de> Visitor<'de> for Ids {
    type Value = HashMap<String, u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tokens to ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        use serde::de::Error as _;
        let mut ids = HashMap::new();
        while let Some((token, id)) = map.next_entry::<String, u32>()? {
            if ids.contains_key(&token) {
                return Err(A::Error::custom(format!(
                    "the token {} twice",
                    shown(&token)
                )));
            }
            ids.insert(token, id);
        }
        Ok(ids)
    }
}

/// The pairs of `merges.txt`, one per line.
fn read_merges<'a>(
    path: &Path,
    text: &'a str,
    ids: &HashMap<String, u32>,
) -> Result<Vec<[&'a str; 2]>, Error> {
    let mut merges = Vec::new();
    let mut whole = String::new();
    for (number, line) in text.lines().enumerate() {
        // A version may stand in any line for the library; empty lines end files of other programs.
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        let error = |message: String| Error::Line {
            path: path.to_owned(),
            line: number + 1,
            message,
        };
        let pair = line.split_once(' ');
        let Some((a, b)) = pair.filter(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains(' '))
        else {
            return Err(error(format!("{} is no pair of tokens", shown(line))));
        };
        whole.clear();
        whole.push_str(a);
        whole.push_str(b);
        if let Some(token) = [a, b, &whole].into_iter().find(|t| !ids.contains_key(*t)) {
            return Err(error(format!("{} is not in vocab.json", shown(token))));
        }
        merges.push([a, b]);
    }
    Ok(merges)
}
