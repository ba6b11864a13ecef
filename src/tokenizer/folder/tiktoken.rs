//! tiktoken files: one token per line, in base64, with its rank. The merges follow from the ranks.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde_json::json;

use super::super::load::MAX_TOKENIZER_BYTES;
use super::super::words::{Pre, named};
use super::super::{alphabet, merges};
use super::added::Added;
use super::{Class, Found, Settings, shown};
use crate::checkpoint::read_text;
use crate::error::Error;

/// Longest accepted line: the longest accepted token in base64, and a rank.
const MAX_LINE_BYTES: usize = merges::MAX_PIECE_BYTES / 3 * 4 + 16;
/// Number of tokens of the Llama 3 and Qwen 1 vocabularies, by which they are known.
const LLAMA3_TOKENS: usize = 128_000;
const QWEN_TOKENS: usize = 151_643;

/// True if a file is in this form: a first line of base64 and a number.
pub(super) fn is_ranks(path: &Path) -> Result<bool, Error> {
    let mut start = Vec::new();
    // A pipe would wait for a writer.
    crate::checkpoint::file_size(path)?;
    let file = crate::input::file(path).map_err(|e| Error::io(path, e))?;
    let first = file.take(MAX_LINE_BYTES as u64).read_to_end(&mut start);
    first.map_err(|e| Error::io(path, e))?;
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or(&start);
    Ok(std::str::from_utf8(line).is_ok_and(|line| token(line).is_ok()))
}

pub(super) fn tokenizer(settings: &Settings<'_>, path: &Path) -> Result<Found, Error> {
    let text = read_text(path, MAX_TOKENIZER_BYTES)?;
    let ranks = Ranks::read(path, &text)?;
    let (pre, special) = kind(settings, path, ranks.tokens.len())?;
    let places: HashMap<&str, usize> = (ranks.tokens.iter().enumerate())
        .map(|(place, (token, _))| (token.as_str(), place))
        .collect();
    let texts = ranks.tokens.iter().map(|(token, _)| token.as_str());
    let mut found = merges::pairs(texts, &places, |_| true).map_err(|m| Error::format(path, m))?;
    // The rank of the whole; the cuts of one token keep the order of their parts.
    found.sort_by_key(|(place, _, _)| *place);
    let merges: Vec<[&str; 2]> = found.into_iter().map(|(_, a, b)| [a, b]).collect();
    let ids: HashMap<&str, u32> = (ranks.tokens.iter())
        .map(|(token, rank)| (token.as_str(), *rank))
        .collect();
    let mut json = pre.pipeline(&json!(ids), &json!(merges));
    // A word that is a token stays whole, whatever its parts.
    json["model"]["ignore_merges"] = json!(true);
    let taken: std::collections::HashSet<u32> = ids.values().copied().collect();
    let mut added = Added::of(settings)?;
    added.precede(special.into_iter().map(|name| (name, true)));
    let id = |name: &str| ids.get(name).copied();
    let mut found = settings.found(path, json, added, &id, &|id| taken.contains(&id), ids.len())?;
    let first = |name: &str| {
        let tokens = found.json["added_tokens"].as_array().into_iter().flatten();
        let mut ids = tokens.filter(|token| token["content"] == name);
        ids.next()
            .and_then(|token| u32::try_from(token["id"].as_u64()?).ok())
    };
    // Llama 3 names it only in its program.
    let bos = first("<|begin_of_text|>");
    found.adds_bos = bos.is_some();
    found.bos = bos.or(found.bos);
    Ok(found)
}

/// The words of a file's texts, and its special tokens where only the program of the model names them.
fn kind(
    settings: &Settings<'_>,
    path: &Path,
    count: usize,
) -> Result<(&'static Pre, Vec<String>), Error> {
    let name = match settings.class {
        Class::Gpt2 => "gpt-2",
        Class::Qwen | Class::Qwen2 => "qwen2",
        Class::Llama => "llama3",
        Class::Unnamed if settings.model == "llama" || count == LLAMA3_TOKENS => "llama3",
        Class::Unnamed if count == QWEN_TOKENS => "qwen2",
        _ => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            return Err(settings.refused(&file));
        }
    };
    let pre = named(name).ok_or_else(|| settings.refused("a tiktoken file"))?;
    // Settings that list them come first.
    let listed = settings.config["added_tokens_decoder"].is_object();
    Ok((
        pre,
        if listed {
            Vec::new()
        } else {
            specials(name, count)
        },
    ))
}

/// The special tokens of the original programs: `Tokenizer` of meta-llama/llama3 and `QWenTokenizer`.
fn specials(name: &str, count: usize) -> Vec<String> {
    let numbered = |name: &'static str, range: std::ops::Range<u32>| {
        range.map(move |number| format!("<|{name}_{number}|>"))
    };
    let plain = |names: &'static [&'static str]| names.iter().map(|name| format!("<|{name}|>"));
    match (name, count) {
        ("llama3", LLAMA3_TOKENS) => plain(&["begin_of_text", "end_of_text"])
            .chain(numbered("reserved_special_token", 0..4))
            .chain(plain(&["start_header_id", "end_header_id"]))
            .chain(numbered("reserved_special_token", 4..5))
            .chain(plain(&["eot_id"]))
            .chain(numbered("reserved_special_token", 5..251))
            .collect(),
        ("qwen2", QWEN_TOKENS) => plain(&["endoftext", "im_start", "im_end"])
            .chain(numbered("extra", 0..205))
            .collect(),
        _ => Vec::new(),
    }
}

/// The tokens of a file, in letters of byte-level tokenizers, in the order of their ranks.
struct Ranks {
    tokens: Vec<(String, u32)>,
}

impl Ranks {
    fn read(path: &Path, text: &str) -> Result<Self, Error> {
        let error = |line: usize, message: String| Error::Line {
            path: path.to_owned(),
            line,
            message,
        };
        let mut lines: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut ranks: HashMap<u32, usize> = HashMap::new();
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() {
                continue;
            }
            let (bytes, rank) = token(line).map_err(|message| error(number, message))?;
            if let Some(other) = ranks.insert(rank, number) {
                return Err(error(
                    number,
                    format!("the rank {rank} is that of line {other}"),
                ));
            }
            tokens.push((
                bytes.iter().map(|&byte| alphabet::letter(byte)).collect(),
                rank,
            ));
            if let Some(other) = lines.insert(bytes, number) {
                return Err(error(number, format!("the token is that of line {other}")));
            }
        }
        if let Some(bytes) = alphabet::missing_among(|byte| lines.contains_key(&[byte][..])) {
            let message = format!("has no token for {bytes}, from which every text is made");
            return Err(Error::format(path, message));
        }
        tokens.sort_by_key(|(_, rank)| *rank);
        Ok(Self { tokens })
    }
}

/// The token and rank of a line.
fn token(line: &str) -> Result<(Vec<u8>, u32), String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("{} bytes are no plausible token", line.len()));
    }
    let (token, rank) = (line.split_once(' ')).ok_or("is no token in base64 and a rank")?;
    // The library takes groups without their padding, as the end of a cut line would be.
    let whole = token.len().is_multiple_of(4);
    let bytes = whole.then(|| base64::decode(token).ok()).flatten();
    let bytes = bytes.ok_or_else(|| format!("{} is not base64", shown(token)))?;
    if bytes.is_empty() {
        return Err("an empty token".to_owned());
    }
    let rank = rank
        .parse()
        .map_err(|_| format!("{} is no rank", shown(rank)))?;
    Ok((bytes, rank))
}
