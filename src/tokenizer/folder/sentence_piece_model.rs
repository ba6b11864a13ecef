//! SentencePiece models: pairs with a fallback to bytes, and unigrams.
//!
//! For the classes of Llama, Gemma and T5 the pipeline is that of `transformers` 5. Without a class it
//! follows the rules in the file, as the `sentencepiece` library does.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::super::charsmap::{self, Charsmap};
use super::super::load::MAX_TOKENIZER_BYTES;
use super::super::{alphabet, merges};
use super::added::Added;
use super::wire::{BPE, BYTE, CONTROL, Model, UNIGRAM, UNKNOWN, USER_DEFINED};
use super::{Class, Found, Settings, remedy, shown};
use crate::checkpoint::read_bytes;
use crate::error::Error;
use crate::tokenizer::bos::field_error;

/// The mark that stands for a space in tokens.
const MARK: &str = "▁";
/// Models for which `transformers` 5 drops the class of Llama, and with it the space before a text.
const WITHOUT_PREFIX: [&str; 5] = ["mistral", "mixtral", "ministral", "phi3", "phimoe"];

pub(super) fn tokenizer(settings: &Settings<'_>, path: &Path) -> Result<Found, Error> {
    let bytes = read_bytes(path, MAX_TOKENIZER_BYTES)?;
    let model = Model::read(path, &bytes)?;
    let refuse = |field: &str, message: String| Err(field_error(path.to_owned(), field, message));
    let unigram = model.trainer.model == UNIGRAM;
    let fits = match settings.class {
        Class::Llama | Class::Gemma => model.trainer.model == BPE,
        Class::T5 => unigram,
        _ => unigram || model.trainer.model == BPE,
    };
    if !fits {
        let kind = match model.trainer.model {
            UNIGRAM => "unigrams",
            BPE => "pairs",
            3 => "words",
            _ => "characters",
        };
        let class = settings.class;
        let message = format!(
            "{kind} with the class {class:?} are not supported; {}",
            remedy(settings.dir)
        );
        return refuse("trainer_spec.model_type", message);
    }
    if !model.normalizer.escape_whitespaces || model.trainer.whitespace_as_suffix {
        let message = "spaces that are not marked at the start of words are not supported";
        return refuse("normalizer_spec.escape_whitespaces", message.to_owned());
    }
    let ids = ids(path, &model)?;
    let mut warnings = Vec::new();
    let (mut pipeline, table) = pipeline(settings, path, &model, &mut warnings)?;
    pipeline["model"] = match unigram {
        true => unigrams(settings, path, &model, &mut warnings)?,
        false => pairs(settings, path, &model, &ids, &mut warnings)?,
    };
    let mut found = finish(settings, path, &model, &ids, pipeline, warnings)?;
    found.charsmap = table;
    Ok(found)
}

/// Adds the tokens that are found in a text whole, and the one that begins texts.
fn finish(
    settings: &Settings<'_>,
    path: &Path,
    model: &Model<'_>,
    ids: &HashMap<&str, usize>,
    pipeline: Json,
    warnings: Vec<String>,
) -> Result<Found, Error> {
    let mut added = Added::of(settings)?;
    let whole = (model.pieces.iter()).filter(|p| matches!(p.kind, CONTROL | USER_DEFINED));
    let whole = whole.map(|piece| (piece.text.clone(), piece.kind == CONTROL));
    added.precede(whole.chain(extra_tokens(settings)?.map(|name| (name, true))));
    // The reader bounds the number of tokens far below 2³².
    let id = |name: &str| ids.get(name).map(|&id| id as u32);
    let count = model.pieces.len() + extra_tokens(settings)?.count();
    let extra = |name: &str| extra_id(settings, name, model.pieces.len());
    let taken = |id: u32| (id as usize) < count;
    let mut found = settings.found(
        path,
        pipeline,
        added,
        &|name| id(name).or_else(|| extra(name)),
        &taken,
        count,
    )?;
    if settings.class == Class::Unnamed {
        let named = model.trainer.model == BPE && model.trainer.bos_id >= 0;
        found.bos = id(&model.trainer.bos_piece).filter(|_| named);
        found.adds_bos = found.bos.is_some();
    }
    found.warnings.extend(warnings);
    Ok(found)
}

/// The places of the tokens.
fn ids<'a>(path: &Path, model: &'a Model<'_>) -> Result<HashMap<&'a str, usize>, Error> {
    let mut ids = HashMap::with_capacity(model.pieces.len());
    for (id, piece) in model.pieces.iter().enumerate() {
        let field = || format!("pieces[{id}]");
        let refuse = |message: String| field_error(path.to_owned(), &field(), message);
        if piece.text.is_empty() {
            return Err(refuse("an empty token".to_owned()));
        }
        if !piece.score.is_finite() {
            return Err(refuse(format!("the score {}", piece.score)));
        }
        if let Some(other) = ids.insert(piece.text.as_str(), id) {
            let message = format!("{} is token {other} already", shown(&piece.text));
            return Err(refuse(message));
        }
    }
    Ok(ids)
}

/// Normaliser and pre-tokenizer, and the table that comes before them.
fn pipeline(
    settings: &Settings<'_>,
    path: &Path,
    model: &Model<'_>,
    warnings: &mut Vec<String>,
) -> Result<(Json, Option<Charsmap>), Error> {
    let spec = &model.normalizer;
    let own = matches!(settings.class, Class::T5 | Class::Unnamed);
    let table = match spec.charsmap {
        [] => None,
        table if own => Some(
            Charsmap::read(table)
                .map_err(|m| field_error(path.to_owned(), "precompiled_charsmap", m))?,
        ),
        _ => {
            warnings.push(
                "the model normalises texts by a table (precompiled_charsmap), which transformers 5 \
                 leaves out for this class, and so do we"
                    .to_owned(),
            );
            None
        }
    };
    if spec.remove_extra_whitespaces && !own {
        warnings.push(
            "the model removes extra spaces (remove_extra_whitespaces), which transformers 5 leaves \
             in texts for this class, and so do we"
                .to_owned(),
        );
    }
    let stages = match settings.class {
        Class::Llama => {
            json!({"pre_tokenizer": llama_spaces(settings, spec.add_dummy_prefix, warnings)?})
        }
        Class::Gemma => json!({"normalizer": marks()}),
        // As transformers, by the library's own reading of the table.
        Class::T5 => json!({
            "normalizer": table.map(|_| charsmap::json(spec.charsmap)),
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always",
                 "split": true}]},
        }),
        _ => {
            let kept = model.pieces.iter().filter(|p| p.kind == USER_DEFINED);
            let kept = kept.map(|piece| piece.text.clone());
            let table = table.map(|table| table.keeping(kept));
            return Ok((own_rules(model, warnings), table));
        }
    };
    Ok((stages, None))
}

/// The normaliser that follows the rules of the model, after its table.
fn own_rules(model: &Model<'_>, warnings: &mut Vec<String>) -> Json {
    let mut steps: Vec<Json> = Vec::new();
    if model.normalizer.remove_extra_whitespaces {
        let replace = |pattern: &str, content: &str| json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": content});
        steps.push(replace("^ +| +$", ""));
        steps.push(replace(" {2,}", " "));
    }
    if model.normalizer.add_dummy_prefix {
        // Before spaces become marks, as in SentencePiece: a space at the start of a text becomes a
        // second mark.
        steps.push(json!({"type": "Prepend", "prepend": MARK}));
        if model.pieces.iter().any(|piece| piece.kind == USER_DEFINED) {
            warnings.push(
                "the model has user-defined tokens; the text after one begins with a space as the \
                 start of a text does"
                    .to_owned(),
            );
        }
        warnings.push(
            "no tokenizer class is named, and texts begin with a space, as the model has it; \
             transformers 5 puts none there without the class LlamaTokenizer"
                .to_owned(),
        );
    }
    steps.push(marks());
    json!({"normalizer": {"type": "Sequence", "normalizers": steps}})
}

/// The normaliser that writes spaces as marks.
fn marks() -> Json {
    json!({"type": "Replace", "pattern": {"String": " "}, "content": MARK})
}

/// Llama's pre-tokenizer: it marks spaces, and the start of a text.
fn llama_spaces(
    settings: &Settings<'_>,
    dummy_prefix: bool,
    warnings: &mut Vec<String>,
) -> Result<Json, Error> {
    let prefix = settings.flag("add_prefix_space")?.unwrap_or(true);
    // In the legacy form the text after a special token begins with a space, too. `transformers` has
    // it only where the settings say so.
    let scheme = match (prefix, settings.flag("legacy")?) {
        (false, _) => "never",
        (true, Some(true)) => "always",
        (true, _) => "first",
    };
    if prefix != dummy_prefix {
        warnings.push(format!(
            "texts begin with {} space, as transformers 5 has it; the model has add_dummy_prefix \
             {dummy_prefix}",
            if prefix { "a" } else { "no" }
        ));
    }
    if prefix && WITHOUT_PREFIX.contains(&settings.model.as_str()) {
        warnings.push(format!(
            "texts begin with a space, as the class of Llama and the model have it; transformers 5 \
             puts none there for the model_type {}",
            settings.model
        ));
    }
    Ok(json!({"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": false}))
}

/// The model of pairs.
fn pairs(
    settings: &Settings<'_>,
    path: &Path,
    model: &Model<'_>,
    ids: &HashMap<&str, usize>,
    warnings: &mut Vec<String>,
) -> Result<Json, Error> {
    let ordinary = |id: usize| !matches!(model.pieces[id].kind, UNKNOWN | CONTROL | BYTE);
    let texts = model.pieces.iter().map(|piece| piece.text.as_str());
    let mut found = merges::pairs(texts, ids, ordinary)
        .map_err(|message| field_error(path.to_owned(), "pieces", message))?;
    let length = |text: &str| text.chars().count();
    let score = |id: usize| model.pieces[id].score;
    if settings.class == Class::Unnamed {
        // By score, as `sentencepiece`; the sort is stable.
        found.sort_by(|x, y| score(y.0).total_cmp(&score(x.0)));
    } else {
        // By id, as `transformers`; of the cuts of one token that with the shorter first part first.
        found.sort_by_key(|(id, a, _)| (*id, length(a)));
        let mut known = found.windows(2);
        if known.any(|pair| score(pair[0].0) < score(pair[1].0)) {
            warnings.push(
                "the scores of the model order its merges otherwise than its ids, by which they are \
                 ordered here and in transformers 5"
                    .to_owned(),
            );
        }
    }
    let merges: Vec<[&str; 2]> = found.into_iter().map(|(_, a, b)| [a, b]).collect();
    let fallback = settings.class != Class::Unnamed || model.trainer.byte_fallback;
    if fallback {
        let missing =
            alphabet::missing_among(|b| ids.contains_key(format!("<0x{b:02X}>").as_str()));
        warnings.extend(missing.map(|bytes| {
            format!("the model has no token for {bytes}, with which it would write unknown letters")
        }));
    }
    // Llama's class names no unknown token to the library.
    let unknown = (settings.class != Class::Llama).then_some(&model.trainer.unk_piece);
    let unknown = unknown.filter(|name| ids.contains_key(name.as_str()));
    Ok(
        json!({"type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": fallback,
              "ignore_merges": false, "vocab": ids, "merges": merges}),
    )
}

/// The model of unigrams.
fn unigrams(
    settings: &Settings<'_>,
    path: &Path,
    model: &Model<'_>,
    warnings: &mut Vec<String>,
) -> Result<Json, Error> {
    let unknown = usize::try_from(model.trainer.unk_id).unwrap_or(usize::MAX);
    if unknown >= model.pieces.len() {
        let message = format!("{unknown} is not in the vocabulary");
        return Err(field_error(path.to_owned(), "trainer_spec.unk_id", message));
    }
    if settings.class == Class::T5 && unknown != 2 {
        warnings.push(format!(
            "unknown letters are token {unknown}, as the model has it; transformers 5 takes token 2"
        ));
    }
    let normal = |kind: u64| !matches!(kind, UNKNOWN | CONTROL | BYTE);
    let scores = model.pieces.iter().map(|piece| f64::from(piece.score));
    let lowest = scores.fold(0.0, f64::min);
    let mut vocabulary: Vec<(String, f64)> = Vec::new();
    for piece in &model.pieces {
        let score = match normal(piece.kind) {
            true => f64::from(piece.score),
            // Text never becomes such a token: its letters one by one score higher. The library has
            // no other way to leave a token out.
            false => (lowest - 1.0) * (piece.text.chars().count() + 1) as f64,
        };
        vocabulary.push((piece.text.clone(), score));
    }
    vocabulary.extend(extra_tokens(settings)?.map(|name| (name, 0.0)));
    let fallback = settings.class == Class::Unnamed && model.trainer.byte_fallback;
    Ok(
        json!({"type": "Unigram", "unk_id": unknown, "vocab": vocabulary,
              "byte_fallback": fallback}),
    )
}

/// Number of tokens that the class of T5 puts behind the vocabulary unless the settings say otherwise.
const EXTRA_IDS: u64 = 100;

fn extra_count(settings: &Settings<'_>) -> Result<u64, Error> {
    if settings.class != Class::T5 {
        return Ok(0);
    }
    match &settings.config["extra_ids"] {
        Json::Null => Ok(EXTRA_IDS),
        value => value
            .as_u64()
            .filter(|n| *n <= 10 * EXTRA_IDS)
            .ok_or_else(|| {
                let path = settings.dir.join(crate::tokenizer::bos::TOKENIZER_CONFIG);
                field_error(
                    path,
                    "extra_ids",
                    format!("{value} is no number up to 1000"),
                )
            }),
    }
}

/// The tokens that the class of T5 puts behind the vocabulary.
fn extra_tokens(settings: &Settings<'_>) -> Result<impl Iterator<Item = String> + use<>, Error> {
    let count = extra_count(settings)?;
    Ok((0..count)
        .rev()
        .map(|number| format!("<extra_id_{number}>")))
}

/// The id of such a token, in a vocabulary of `count` others.
fn extra_id(settings: &Settings<'_>, name: &str, count: usize) -> Option<u32> {
    let mut extra = extra_tokens(settings).ok()?;
    let place = extra.position(|token| token == name)?;
    u32::try_from(count + place).ok()
}
