//! The beginning-of-sequence token in the files of a checkpoint folder.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::read_text;
use crate::error::Error;

pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
/// Largest accepted file of settings: ten times the largest real one, which has a quarter million
/// tokens.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

/// The beginning-of-sequence token of a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BosToken {
    pub(super) token: Option<u32>,
    /// If true, the tokenizer of the checkpoint puts the token before a text.
    pub(super) added: bool,
}

/// The rule of a tokenizer for the token, where the settings of its folder say nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    pub(super) token: Option<u32>,
    pub(super) added: Added,
}

/// When a tokenizer puts the token before a text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Added {
    #[cfg_attr(
        not(feature = "tokenizers"),
        allow(dead_code, reason = "files of that feature")
    )]
    Always,
    /// If it is the one that the tokenizer begins texts with.
    IfFirst(Option<u32>),
}

impl Own {
    /// Of a tokenizer that begins texts with `first`.
    pub(super) fn first(first: Option<u32>) -> Self {
        Self {
            token: None,
            added: Added::IfFirst(first),
        }
    }
}

impl BosToken {
    /// Reads the token of a folder. `id` finds a token by name, and `own` is what the tokenizer itself
    /// says. Findings that are no errors go to `warnings`.
    pub(super) fn of_checkpoint(
        dir: &Path,
        config: &Value,
        id: &dyn Fn(&str) -> Option<u32>,
        own: Own,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let token = match Self::by_name(dir, config, id, warnings)? {
            Some(found) => found,
            None => Self::by_id(dir, config)?.or(own.token),
        };
        let added = match &config["add_bos_token"] {
            Value::Null => match own.added {
                Added::Always => token.is_some(),
                // A post-processor that begins with another token, such as `[CLS]`, does not add this
                // one.
                Added::IfFirst(first) => token.is_some() && first == token,
            },
            Value::Bool(added) => *added && token.is_some(),
            other => {
                let path = dir.join(TOKENIZER_CONFIG);
                let message = format!("{other} is neither true nor false");
                return Err(field_error(path, "add_bos_token", message));
            }
        };
        Ok(Self { token, added })
    }

    /// A warning if the post-processor of `tokenizer.json`, which begins a text with `first`, does
    /// otherwise.
    #[cfg(feature = "tokenizers")]
    pub(super) fn against_processor(self, first: Option<u32>, config: &Value) -> Option<String> {
        let Some(first) = first else {
            return self.added.then(|| {
                format!(
                    "{TOKENIZER_CONFIG} has add_bos_token true, and texts begin with token {}; the \
                     post-processor of tokenizer.json, which transformers 5 follows, adds none",
                    self.token.unwrap_or_default()
                )
            });
        };
        if self.token != Some(first) {
            return Some(format!(
                "the post-processor of tokenizer.json begins texts with token {first}, which is not \
                 the beginning-of-sequence token; it is not added"
            ));
        }
        (!self.added && config["add_bos_token"] == false).then(|| {
            format!(
                "{TOKENIZER_CONFIG} has add_bos_token false, and no token is put before texts; the \
                 post-processor of tokenizer.json, which transformers 5 follows, adds token {first}"
            )
        })
    }

    /// The token that a file names, `Some(None)` if a file says that there is none.
    fn by_name(
        dir: &Path,
        config: &Value,
        id: &dyn Fn(&str) -> Option<u32>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Option<u32>>, Error> {
        let map = settings(&dir.join(SPECIAL_TOKENS))?;
        for (file, values) in [(TOKENIZER_CONFIG, config), (SPECIAL_TOKENS, &map)] {
            let Some(value) = values.get("bos_token") else {
                continue;
            };
            // A null says that there is none, whatever config.json says.
            let name = match value {
                Value::Null => return Ok(Some(None)),
                Value::Object(token) => token.get("content").and_then(Value::as_str),
                other => other.as_str(),
            };
            if name == Some("") {
                warnings.push(format!("bos_token of {file} is empty and stands for none"));
                return Ok(Some(None));
            }
            return match name.and_then(id) {
                Some(id) => Ok(Some(Some(id))),
                None => {
                    let message = format!(
                        "{value} is not in the vocabulary; name a token of tokenizer.json, or null \
                         for none"
                    );
                    Err(field_error(dir.join(file), "bos_token", message))
                }
            };
        }
        Ok(None)
    }

    /// The token whose id a file has.
    fn by_id(dir: &Path, config: &Value) -> Result<Option<u32>, Error> {
        const FIELD: &str = "bos_token_id";
        let model = settings(&dir.join("config.json"))?;
        for (file, values) in [(TOKENIZER_CONFIG, config), ("config.json", &model)] {
            let value = &values[FIELD];
            if value.is_null() {
                continue;
            }
            return match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => Ok(Some(id)),
                None => {
                    let message = format!("{value} is no token id");
                    Err(field_error(dir.join(file), FIELD, message))
                }
            };
        }
        Ok(None)
    }
}

/// An error about a field of a file.
pub(super) fn field_error(path: PathBuf, field: &str, message: String) -> Error {
    Error::Config {
        path,
        field: field.to_owned(),
        message,
    }
}

/// A JSON file of settings; null if it does not exist.
pub(super) fn settings(path: &Path) -> Result<Value, Error> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = read_text(path, MAX_SETTINGS_BYTES)?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e))
}
