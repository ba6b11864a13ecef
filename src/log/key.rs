//! What makes scores comparable: hashes of a checkpoint and of a distribution.

use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::distribution::{Content, Distribution};
use crate::error::Error;
use crate::evaluate::{Bos, Options};
use crate::scorer::Scorer;

/// What the records of a log have in common. Records of different keys never share a log.
///
/// `max_tokens` is not in it: it does not change a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Key {
    /// [`checkpoint_hash`] of the model, or another name of it that changes when it does.
    pub checkpoint: String,
    /// Name of the distribution.
    pub distribution: String,
    /// [`distribution_hash`].
    pub distribution_hash: String,
    /// Number of its items.
    pub items: usize,
    /// Names of the scorers, in the order of the scores of a record.
    pub scorers: Vec<String>,
    /// Beginning-of-sequence token: `model_default` (the checkpoint's files say it), `never`,
    /// `first <id>` or `every_window <id>`.
    pub bos: String,
    /// Input tokens of a window; `None` for the model's context.
    pub context: Option<usize>,
    /// Tokens newly scored a window; `None` for the whole window.
    pub stride: Option<usize>,
    /// Whether the start of a context that is too long is dropped.
    pub truncate: bool,
    /// Whether special tokens written in a text become their ids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub special_tokens_parsed: bool,
    /// Backend and precision, as the caller names them (`"cpu f32"`).
    pub backend: String,
    /// Version of this crate.
    pub version: String,
    /// The items that the log is of, where it is of a part of the distribution: their places,
    /// counted from 0, without the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range<usize>>,
}

impl Key {
    /// The key of scoring `distribution` with `scorers` and `options` on `backend`, special tokens
    /// written in texts being text.
    ///
    /// # Errors
    /// An item that cannot be read.
    pub fn new(
        checkpoint: impl Into<String>,
        backend: impl Into<String>,
        distribution: &dyn Distribution,
        scorers: &[&dyn Scorer],
        options: &Options,
    ) -> Result<Self, Error> {
        let scorers = scorers.iter().map(|s| s.name().to_owned()).collect();
        let hash = distribution_hash(distribution)?;
        let (name, items) = (distribution.name(), distribution.len());
        let (checkpoint, backend) = (checkpoint.into(), backend.into());
        Ok(Self::of(
            checkpoint, backend, name, hash, items, scorers, options,
        ))
    }

    /// The key of a distribution of `items` items with the hash `hash`.
    pub fn of(
        checkpoint: String,
        backend: String,
        distribution: &str,
        hash: String,
        items: usize,
        scorers: Vec<String>,
        options: &Options,
    ) -> Self {
        Self {
            checkpoint,
            distribution: distribution.to_owned(),
            distribution_hash: hash,
            items,
            scorers,
            bos: match options.bos {
                Bos::ModelDefault => "model_default".to_owned(),
                Bos::Never => "never".to_owned(),
                Bos::First(id) => format!("first {id}"),
                Bos::EveryWindow(id) => format!("every_window {id}"),
            },
            context: options.context,
            stride: options.stride,
            truncate: options.truncate,
            special_tokens_parsed: false,
            backend,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            range: None,
        }
    }

    /// The key of a log of a part of the items: `range` are their places in the distribution.
    ///
    /// # Errors
    /// A range without items, or with some that the distribution does not have.
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

    /// The key of the log `path`, from its first line.
    ///
    /// # Errors
    /// A file that is not a log, or whose first line is damaged or not whole.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        super::read_key(path.as_ref())
    }

    /// The places of the items that a log has a record of when it is complete.
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

    /// Refuses `self`, which the log `path` has, where `wanted` is another.
    pub fn expect(&self, wanted: &Self, path: &Path) -> Result<(), Error> {
        // Through JSON, so that a new field cannot be forgotten here.
        let map = |key: &Self| match serde_json::to_value(key) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (there, wanted) = (map(self), map(wanted));
        // A field that is left out where it says nothing is there in one of them only.
        let mut fields = wanted.keys().chain(there.keys());
        match fields.find(|field| there.get(*field) != wanted.get(*field)) {
            None => Ok(()),
            Some(field) => {
                let value = |map: &serde_json::Map<_, _>| match map.get(field) {
                    Some(value) => value.clone(),
                    None if field == "special_tokens_parsed" => false.into(),
                    None => serde_json::Value::Null,
                };
                let (there, wanted) = (value(&there), value(&wanted));
                Err(Error::Key {
                    path: path.to_owned(),
                    field: field.clone(),
                    message: format!("the log has {there}, not {wanted}; score into another file"),
                })
            }
        }
    }
}

/// SHA-256 over what a checkpoint computes with: of a folder `config.json`, `tokenizer.json`,
/// `tokenizer_config.json`, `special_tokens_map.json` and every `.safetensors` file with their index or
/// `.gguf` file, of a file its bytes.
///
/// 64 hexadecimal digits. Files are streamed.
///
/// # Errors
/// A folder without weights, or a file that cannot be read.
pub fn checkpoint_hash(path: impl AsRef<Path>) -> Result<String, Error> {
    let path = path.as_ref();
    let mut hash = Sha256::new();
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        add_file(&mut hash, path)?;
        return Ok(hex(&hash.finalize()));
    }
    let counts = |name: &str| {
        let described = [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ];
        described.contains(&name) || is_weights(name) || name == "model.safetensors.index.json"
    };
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| Error::io(path, e))? {
        let entry = entry.map_err(|e| Error::io(path, e))?;
        if let Some(name) = entry.file_name().to_str().filter(|name| counts(name)) {
            files.push((name.to_owned(), entry.path()));
        }
    }
    if !files.iter().any(|(name, _)| is_weights(name)) {
        return Err(Error::format(
            path,
            "holds no `.safetensors` or `.gguf` file to hash",
        ));
    }
    files.sort();
    for (name, file) in &files {
        add(&mut hash, name.as_bytes());
        add_file(&mut hash, file)?;
    }
    Ok(hex(&hash.finalize()))
}

fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".gguf")
}

/// SHA-256 over the ids, clusters and contents of the items, in their order.
///
/// 64 hexadecimal digits.
///
/// # Errors
/// An item that cannot be read.
///
/// # Examples
/// ```
/// use relscale::distribution::{Content, Item, Items};
/// use relscale::log::distribution_hash;
///
/// let of = |text: &str| {
///     let content = Content::Text(text.into());
///     let item = Item { id: "1".into(), cluster: "a".into(), content };
///     distribution_hash(&Items::new("greetings", vec![item])?)
/// };
/// assert_eq!(of("Hello")?.len(), 64);
/// assert_ne!(of("Hello")?, of("Hallo")?);
/// # Ok::<(), relscale::Error>(())
/// ```
pub fn distribution_hash(distribution: &dyn Distribution) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for index in 0..distribution.len() {
        let item = distribution.item(index)?;
        add(&mut hash, item.id.as_bytes());
        add(&mut hash, item.cluster.as_bytes());
        match &item.content {
            Content::Text(text) => {
                hash.update([0]);
                add(&mut hash, text.as_bytes());
            }
            Content::Tokens(tokens) => {
                hash.update([1]);
                add_tokens(&mut hash, tokens);
            }
            Content::Choices {
                context,
                choices,
                gold,
                unconditional,
            } => {
                hash.update([2]);
                add_number(&mut hash, *gold);
                add(&mut hash, context.as_bytes());
                add_number(&mut hash, choices.len());
                choices.iter().for_each(|c| add(&mut hash, c.as_bytes()));
                hash.update([u8::from(unconditional.is_some())]);
                add(&mut hash, unconditional.as_deref().unwrap_or("").as_bytes());
            }
            Content::ChoicesTokens {
                context,
                choices,
                gold,
                unconditional,
            } => {
                hash.update([3]);
                add_number(&mut hash, *gold);
                add_tokens(&mut hash, context);
                add_number(&mut hash, choices.len());
                choices.iter().for_each(|c| add_tokens(&mut hash, c));
                hash.update([u8::from(unconditional.is_some())]);
                add_tokens(&mut hash, unconditional.as_deref().unwrap_or(&[]));
            }
        }
    }
    Ok(hex(&hash.finalize()))
}

// Every field is preceded by its length, so that no two sequences of fields have the same bytes.

fn add_number(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}

fn add(hash: &mut Sha256, bytes: &[u8]) {
    add_number(hash, bytes.len());
    hash.update(bytes);
}

fn add_tokens(hash: &mut Sha256, tokens: &[u32]) {
    add_number(hash, tokens.len());
    tokens.iter().for_each(|t| hash.update(t.to_le_bytes()));
}

fn add_file(hash: &mut Sha256, path: &Path) -> Result<(), Error> {
    // Opening a pipe would wait for a writer.
    let size = crate::checkpoint::file_size(path)?;
    hash.update(size.to_le_bytes());
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => hash.update(&block[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path, e)),
        }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
