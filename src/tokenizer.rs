//! Text to tokens.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::{gguf, read_text};
use crate::error::Error;

#[cfg(feature = "tokenizers")]
mod metadata;
#[cfg(feature = "tokenizers")]
mod stages;

/// Turns text into token ids: a `tokenizer.json` of Hugging Face, the metadata of a GGUF file, or
/// plain bytes.
///
/// Text is taken as it is: no special tokens are added, and those that occur in it are encoded as
/// ordinary text unless [asked for](Tokenizer::with_special_tokens_parsed).
///
/// # Examples
/// ```
/// let tokenizer = relscale::tokenizer::Tokenizer::bytes();
/// assert_eq!(tokenizer.encode("né")?.tokens, [0x6e, 0xc3, 0xa9]);
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    kind: Kind,
    path: PathBuf,
    bos: Bos,
}

#[derive(Debug)]
enum Kind {
    Bytes,
    #[cfg(feature = "tokenizers")]
    HuggingFace(Box<tokenizers::Tokenizer>),
}

/// A text in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Bytes of the text that the first token stands for: they are not scored where no
    /// beginning-of-sequence token precedes it.
    pub first_token_bytes: usize,
}

/// A context and its continuation in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Tokens of the context; none where it is empty or one token spans it and the cut.
    pub context: Vec<u32>,
    /// Tokens of the continuation, at least one.
    pub continuation: Vec<u32>,
    /// Bytes of the text that the tokens of the continuation stand for.
    pub bytes: usize,
    /// How many of them belong to the context and are not white space at its end: a token spans
    /// the cut where there are any.
    pub spanned: usize,
}

/// The beginning-of-sequence token, and whether it is put before a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bos {
    token: Option<u32>,
    added: bool,
}

impl Bos {
    /// As the files of a folder say it; `id` finds a token by name, `first` is what the
    /// post-processor begins with.
    fn of_checkpoint(
        dir: &Path,
        config: &Value,
        id: &dyn Fn(&str) -> Option<u32>,
        first: Option<u32>,
    ) -> Result<Self, Error> {
        let token = Self::token(dir, config, id)?;
        let processor = token.is_some() && first == token;
        let added = match &config["add_bos_token"] {
            Value::Null => processor,
            Value::Bool(added) => *added && token.is_some(),
            other => {
                let path = dir.join("tokenizer_config.json");
                let message = format!("{other} is neither true nor false");
                return Err(field_error(path, "add_bos_token", message));
            }
        };
        Ok(Self { token, added })
    }

    fn token(
        dir: &Path,
        config: &Value,
        id: &dyn Fn(&str) -> Option<u32>,
    ) -> Result<Option<u32>, Error> {
        let map = settings(&dir.join("special_tokens_map.json"))?;
        for (file, values) in [
            ("tokenizer_config.json", config),
            ("special_tokens_map.json", &map),
        ] {
            let Some(value) = values.get("bos_token") else {
                continue;
            };
            // A null says that there is none, whatever config.json says.
            let name = match value {
                Value::Null => return Ok(None),
                Value::Object(token) => token.get("content").and_then(Value::as_str),
                other => other.as_str(),
            };
            return match name.and_then(id) {
                Some(id) => Ok(Some(id)),
                None => {
                    let message = format!("{value} is not in the vocabulary");
                    Err(field_error(dir.join(file), "bos_token", message))
                }
            };
        }
        let model = settings(&dir.join("config.json"))?;
        for (file, values) in [("tokenizer_config.json", config), ("config.json", &model)] {
            let value = &values["bos_token_id"];
            if value.is_null() {
                continue;
            }
            return match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => Ok(Some(id)),
                None => {
                    let message = format!("{value} is no token id");
                    Err(field_error(dir.join(file), "bos_token_id", message))
                }
            };
        }
        Ok(None)
    }
}

fn field_error(path: PathBuf, field: &str, message: String) -> Error {
    Error::Config {
        path,
        field: field.to_owned(),
        message,
    }
}

/// Largest accepted file of settings: ten times the largest real one, of a quarter million tokens.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;
/// Largest accepted `tokenizer.json`: four times the largest real one, likewise.
#[cfg(feature = "tokenizers")]
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;

/// A JSON file of settings, null where it is not there.
fn settings(path: &Path) -> Result<Value, Error> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = read_text(path, MAX_SETTINGS_BYTES)?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e))
}

/// Class name that marks a checkpoint as byte-level in its `tokenizer_config.json`.
const BYTE_CLASS: &str = "ByteTokenizer";

impl Tokenizer {
    /// One token a byte of UTF-8, its id the byte.
    pub fn bytes() -> Self {
        Self {
            kind: Kind::Bytes,
            path: PathBuf::from("bytes"),
            bos: Bos::default(),
        }
    }

    /// The tokenizer of a checkpoint folder: `tokenizer.json`, or bytes where
    /// `tokenizer_config.json` says `"tokenizer_class": "ByteTokenizer"`, or the metadata of the only
    /// GGUF file; or of a GGUF file.
    ///
    /// # Errors
    /// None of these, a file that cannot be read, one that needs the feature `tokenizers`
    /// without it, a kind of tokenizer that is not supported, or a beginning-of-sequence token that is none.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = path.as_ref();
        let json = dir.join("tokenizer.json");
        let config = settings(&dir.join("tokenizer_config.json"))?;
        if json.exists() {
            return Self::from_json(&json, dir, &config);
        }
        if config["tokenizer_class"] == BYTE_CLASS {
            // It would name no such token if texts did not begin with it.
            let first = config["bos_token_id"].as_u64();
            let first = first.and_then(|id| u32::try_from(id).ok());
            let bos = Bos::of_checkpoint(dir, &config, &|_| None, first)?;
            return Ok(Self {
                kind: Kind::Bytes,
                path: dir.join("tokenizer_config.json"),
                bos,
            });
        }
        if let Some(file) = gguf::find(dir)? {
            return Self::from_gguf(&file);
        }
        Err(Error::format(
            dir,
            format!(
                "no tokenizer: neither tokenizer.json, a tokenizer_config.json with the class \
                 {BYTE_CLASS} nor a GGUF file is there"
            ),
        ))
    }

    #[cfg(feature = "tokenizers")]
    fn from_json(path: &Path, dir: &Path, config: &Value) -> Result<Self, Error> {
        let text = read_text(path, MAX_TOKENIZER_BYTES)?;
        let first = stages::check(path, &text)?;
        let tokenizer = stages::guarded(path, || tokenizers::Tokenizer::from_bytes(&text))?;
        drop(text);
        let bos = Bos::of_checkpoint(dir, config, &|name| tokenizer.token_to_id(name), first)?;
        Self::from_library(tokenizer, path, bos)
    }

    #[cfg(feature = "tokenizers")]
    fn from_library(
        mut tokenizer: tokenizers::Tokenizer,
        path: &Path,
        bos: Bos,
    ) -> Result<Self, Error> {
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| Error::format(path, e))?;
        // It would add tokens, repeat those of the text, and cut white space from offsets.
        tokenizer.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        tokenizer.with_decoder(None::<tokenizers::DecoderWrapper>);
        tokenizer.set_encode_special_tokens(true);
        Ok(Self {
            kind: Kind::HuggingFace(Box::new(tokenizer)),
            path: path.to_owned(),
            bos,
        })
    }

    #[cfg(feature = "tokenizers")]
    fn from_gguf(path: &Path) -> Result<Self, Error> {
        let (tokenizer, bos) = metadata::tokenizer(&gguf::Gguf::open(path)?)?;
        Self::from_library(tokenizer, path, bos)
    }

    #[cfg(not(feature = "tokenizers"))]
    fn from_gguf(path: &Path) -> Result<Self, Error> {
        Err(Error::format(
            path,
            "reading it needs the feature `tokenizers`",
        ))
    }

    #[cfg(not(feature = "tokenizers"))]
    fn from_json(path: &Path, _: &Path, _: &Value) -> Result<Self, Error> {
        Err(Error::format(
            path,
            "reading it needs the feature `tokenizers`",
        ))
    }

    /// Whether special tokens written in a text (`<|endoftext|>`) become their ids. They are
    /// ordinary text by default: a document must not be able to end itself.
    ///
    /// Bytes have none.
    #[must_use]
    pub fn with_special_tokens_parsed(mut self, parsed: bool) -> Self {
        match &mut self.kind {
            Kind::Bytes => {
                let _ = parsed;
            }
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => inner.set_encode_special_tokens(!parsed),
        }
        self
    }

    /// Whether special tokens written in a text become their ids.
    pub fn parses_special_tokens(&self) -> bool {
        match &self.kind {
            Kind::Bytes => false,
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => !inner.get_encode_special_tokens(),
        }
    }

    /// Id of the beginning-of-sequence token of the checkpoint: `bos_token` of
    /// `tokenizer_config.json` or `special_tokens_map.json`, or `bos_token_id` of
    /// `tokenizer_config.json`, `config.json` or GGUF metadata, whichever comes first.
    pub fn bos(&self) -> Option<u32> {
        self.bos.token
    }

    /// Whether the checkpoint's own tokenizer puts [`bos`](Self::bos) before a text:
    /// `add_bos_token` of `tokenizer_config.json` or GGUF metadata, else whether the post-processor of
    /// `tokenizer.json` does, or the byte tokenizer's settings name the token.
    /// [`encode`](Self::encode) never does.
    pub fn adds_bos(&self) -> bool {
        self.bos.added
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// A tokenizer that cannot encode the text.
    pub fn encode(&self, text: &str) -> Result<Encoding, Error> {
        let (tokens, ends) = self.encode_with_ends(text)?;
        Ok(Encoding {
            tokens,
            first_token_bytes: ends.first().copied().unwrap_or(0),
        })
    }

    /// The tokens of `text`, and the byte at which each ends in it.
    fn encode_with_ends(&self, text: &str) -> Result<(Vec<u32>, Vec<usize>), Error> {
        match &self.kind {
            Kind::Bytes => Ok((
                text.bytes().map(u32::from).collect(),
                (1..=text.len()).collect(),
            )),
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(tokenizer) => {
                let encoding = stages::guarded(&self.path, || tokenizer.encode(text, false))?;
                let ends = encoding.get_offsets().iter().map(|o| o.1);
                Ok((encoding.get_ids().to_vec(), ends.collect()))
            }
        }
    }

    /// The tokens of `context` and of `continuation` right after it.
    ///
    /// The two are encoded together, as a model saw such text in training, and cut where the
    /// context's own tokens end. White space at the end of the context goes to the continuation,
    /// where tokenizers that write the space into the next token expect it, so that it does not
    /// matter on which side of the cut it is written. Where a token spans the cut, it belongs to
    /// the continuation, which is therefore never empty.
    ///
    /// lm-evaluation-harness moves white space in the same way, but cuts after as many tokens as
    /// the context alone has. Where a token spans the cut, that drops tokens of the text, and may
    /// leave none of the continuation; this cut is after the last token that both encodings share.
    ///
    /// # Errors
    /// A tokenizer that cannot encode the texts, or an empty continuation.
    ///
    /// # Examples
    /// ```
    /// let tokenizer = relscale::tokenizer::Tokenizer::bytes();
    /// let pair = tokenizer.encode_pair("1 + 1 = ", "2")?;
    /// assert_eq!((pair.context.len(), pair.continuation.len(), pair.bytes), (7, 2, 2));
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn encode_pair(&self, context: &str, continuation: &str) -> Result<Pair, Error> {
        if continuation.is_empty() {
            return Err(Error::format(&self.path, "an empty continuation"));
        }
        let trimmed = context.trim_end();
        let text = format!("{context}{continuation}");
        let (whole, ends) = self.encode_with_ends(&text)?;
        if whole.is_empty() {
            let message = "the tokenizer has no token for a context and its continuation";
            return Err(Error::format(&self.path, message));
        }
        let (alone, _) = self.encode_with_ends(trimmed)?;
        let common = whole.iter().zip(&alone).take_while(|(a, b)| a == b).count();
        // A continuation that the tokenizer drops (a lone joiner) still needs a token.
        let cut = common.min(whole.len() - 1);
        let end = if cut == alone.len() {
            trimmed.len()
        } else {
            let end = cut.checked_sub(1).and_then(|last| ends.get(last));
            end.map_or(0, |end| trimmed.len().min(*end))
        };
        let mut context = whole;
        let continuation = context.split_off(cut);
        Ok(Pair {
            context,
            continuation,
            bytes: text.len() - end,
            spanned: trimmed.len() - end,
        })
    }
}
