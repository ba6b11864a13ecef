//! The key of a log: everything that makes its scores comparable.

use std::ops::Range;
use std::path::Path;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::distribution_hash;
use crate::distribution::Distribution;
use crate::error::Error;
use crate::evaluate::{Bos, Settings};
use crate::ladder::Run;
use crate::scorer::Scorer;

/// Facts that the records of a log have in common. Records of different keys never share a log.
///
/// [`Settings::batch_tokens`] is not part of it: it changes no score.
// Exhaustive on purpose: a new field separates scores that were taken for comparable, and must break
// code that writes keys without knowing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// [`checkpoint_hash`](super::checkpoint_hash) of the model, or another name that changes when
    /// the model does.
    pub checkpoint: String,
    /// Name of the distribution.
    pub distribution: String,
    /// [`distribution_hash`](super::distribution_hash) of the distribution.
    pub distribution_hash: String,
    /// Number of items of the distribution.
    pub items: usize,
    /// Names of the scorers, in the order of a record's scores.
    pub scorers: Vec<String>,
    /// Policy for the beginning-of-sequence token. In the file: `model_default`, `never`,
    /// `first <id>` or `every_window <id>`.
    #[serde(serialize_with = "write_bos", deserialize_with = "read_bos")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub bos: Bos,
    /// Input tokens per window; `None` for the model's context.
    pub context: Option<usize>,
    /// Newly scored tokens per window; `None` for the whole window.
    pub stride: Option<usize>,
    /// If true, contexts that are too long were truncated on the left.
    pub truncate: bool,
    /// If true, special tokens written in a text became their ids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub special_tokens_parsed: bool,
    /// Backend and precision, as named by the caller (`"cpu f32"`).
    pub backend: String,
    /// Version of this crate.
    pub version: String,
    /// Version of the backend and of its kernels, as named by the caller; empty if it is not recorded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend_version: String,
    /// The run that the checkpoint belongs to, with its size and compute, if it is part of the key
    /// ([`Key::with_run`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Places of the log's items, counted from 0 and without the end, if the log is of a part of the
    /// distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range<usize>>,
}

impl Key {
    /// The key of scoring `distribution` with `scorers` and `settings` on `backend`, by a tokenizer
    /// that reads special tokens in texts as text.
    ///
    /// # Errors
    /// An item that cannot be read.
    pub fn new(
        checkpoint: impl Into<String>,
        backend: impl Into<String>,
        distribution: &dyn Distribution,
        scorers: &[&dyn Scorer],
        settings: &Settings,
    ) -> Result<Self, Error> {
        Ok(Self {
            checkpoint: checkpoint.into(),
            distribution: distribution.name().to_owned(),
            distribution_hash: distribution_hash(distribution)?,
            items: distribution.len(),
            scorers: scorers.iter().map(|s| s.name().to_owned()).collect(),
            bos: settings.bos,
            context: settings.context,
            stride: settings.stride,
            truncate: settings.truncate,
            // `batch_tokens` is left out on purpose: scores do not depend on it (on some backends
            // up to rounding), and a run may go on with less memory.
            special_tokens_parsed: false,
            backend: backend.into(),
            // A new version may round or tokenise in another way, and nobody would notice within
            // one log.
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend_version: String::new(),
            run: None,
            range: None,
        })
    }

    /// The same key for a part of the items: those at the places `range`.
    ///
    /// # Errors
    /// A range without items, or beyond those of the distribution.
    pub fn with_range(mut self, range: Range<usize>) -> Result<Self, Error> {
        if range.is_empty() || range.end > self.items {
            return Err(Error::Option {
                option: "range",
                message: format!("{range:?} is not a part of {} items", self.items),
            });
        }
        self.range = Some(range);
        Ok(self)
    }

    /// The same key on a backend of this version ("relscale-cpu 0.1.0, kernels 1").
    #[must_use]
    pub fn with_backend_version(mut self, version: impl Into<String>) -> Self {
        self.backend_version = version.into();
        self
    }

    /// The same key for scores of `run`: those of a run with other parameters, tokens, FLOPs, budget,
    /// corpus or seed then have another key.
    ///
    /// Scores do not depend on these numbers, and the laws that are fitted to them do.
    #[must_use]
    pub fn with_run(mut self, run: &Run) -> Self {
        let optional = |name: &str, value: Option<String>| {
            value.map_or_else(String::new, |value| format!(", {name} {value}"))
        };
        self.run = Some(format!(
            "{} of {}: {} parameters, {} tokens, {} FLOPs, budget {}{}{}{}{}",
            distinct(&run.id),
            distinct(&run.corpus),
            run.params,
            run.tokens,
            run.flops,
            run.budget,
            optional("seed", run.seed.map(|s| s.to_string())),
            optional("epochs", run.epochs.map(|e| e.to_string())),
            optional("trajectory", run.trajectory.as_deref().map(distinct)),
            if run.held_out { ", held out" } else { "" },
        ));
        self
    }

    /// The key of the log `path`, from its first line.
    ///
    /// # Errors
    /// A file that is no log, or whose first line is damaged or not whole.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        super::format::read_key(path.as_ref())
    }

    /// Places of the items that a complete log has a record of.
    pub(super) fn places(&self) -> Range<usize> {
        self.range.clone().unwrap_or(0..self.items)
    }

    /// The same key for a tokenizer
    /// [told to parse special tokens](crate::tokenizer::Tokenizer::with_special_tokens_parsed).
    #[must_use]
    pub fn with_special_tokens_parsed(mut self, parsed: bool) -> Self {
        self.special_tokens_parsed = parsed;
        self
    }

    /// Refuses this key, which the log `path` has, if it differs from `wanted`.
    ///
    /// # Errors
    /// An [`Error::Key`] with the first field that differs and both values.
    pub fn ensure_equals(&self, wanted: &Self, path: &Path) -> Result<(), Error> {
        // Through JSON, so that a new field cannot be forgotten here.
        let map = |key: &Self| match serde_json::to_value(key) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (there, wanted) = (map(self), map(wanted));
        // A field with its default value is left out, so either map may lack one.
        let mut fields = wanted.keys().chain(there.keys());
        match fields.find(|field| there.get(*field) != wanted.get(*field)) {
            None => Ok(()),
            Some(field) => {
                let value = |map: &serde_json::Map<_, _>| match map.get(field) {
                    Some(value) => value.clone(),
                    None if field == "special_tokens_parsed" => false.into(),
                    None if field == "backend_version" => "".into(),
                    None => serde_json::Value::Null,
                };
                let (there, wanted) = (value(&there), value(&wanted));
                Err(Error::Key {
                    path: path.to_owned(),
                    field: field.clone(),
                    message: format!(
                        "the log has {there}, not {wanted}; {}",
                        way_on(field, &there)
                    ),
                })
            }
        }
    }
}

/// A name as part of a sentence: in quotes if it could be taken for more than a name. Different runs then
/// never make the same sentence.
fn distinct(name: &str) -> String {
    match name.contains([' ', ',', ':', '"']) {
        true => format!("{name:?}"),
        false => name.to_owned(),
    }
}

/// The way out where a log differs in a field.
fn way_on(field: &str, there: &serde_json::Value) -> &'static str {
    match (field, there.as_str()) {
        ("backend_version", Some("")) => {
            "it is of an earlier version of relscale, which did not record this: finish it with that \
             version, or score into another file with this one"
        }
        ("version" | "backend_version", _) => {
            "two versions may round differently: install the version of the log here to go on with it, \
             or score into another file"
        }
        _ => "score into another file",
    }
}

fn write_bos<S: Serializer>(bos: &Bos, to: S) -> Result<S::Ok, S::Error> {
    match bos {
        Bos::ModelDefault => to.serialize_str("model_default"),
        Bos::Never => to.serialize_str("never"),
        Bos::First(id) => to.collect_str(&format_args!("first {id}")),
        Bos::EveryWindow(id) => to.collect_str(&format_args!("every_window {id}")),
    }
}

fn read_bos<'de, D: Deserializer<'de>>(from: D) -> Result<Bos, D::Error> {
    let text = String::deserialize(from)?;
    let token = |id: &str| id.parse().ok();
    let bos = match text.split_once(' ') {
        None if text == "model_default" => Some(Bos::ModelDefault),
        None if text == "never" => Some(Bos::Never),
        Some(("first", id)) => token(id).map(Bos::First),
        Some(("every_window", id)) => token(id).map(Bos::EveryWindow),
        _ => None,
    };
    bos.ok_or_else(|| {
        let wanted = "`model_default`, `never`, `first <id>` or `every_window <id>`";
        D::Error::invalid_value(Unexpected::Str(&text), &wanted)
    })
}
