//! Tokenizers: text to token ids.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checkpoint::gguf;
#[cfg(feature = "tokenizers")]
use crate::checkpoint::read_text;
use crate::error::Error;
use bos::{BosToken, TOKENIZER_CONFIG, settings};

mod bos;
#[cfg(feature = "tokenizers")]
mod metadata;
#[cfg(feature = "tokenizers")]
mod sentence_piece;
#[cfg(feature = "tokenizers")]
mod stages;
#[cfg(feature = "tokenizers")]
mod words;

/// A map from text to token ids: a `tokenizer.json` of Hugging Face, the metadata of a GGUF file, or
/// plain bytes.
///
/// No special tokens are added to a text, and those that are written in it are encoded as ordinary
/// text unless [`with_special_tokens_parsed`](Tokenizer::with_special_tokens_parsed) is set.
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
    bos: BosToken,
}

#[derive(Debug)]
enum Kind {
    Bytes,
    #[cfg(feature = "tokenizers")]
    HuggingFace(Box<tokenizers::Tokenizer>),
}

/// The tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Number of bytes of the text that the first token stands for. They are not scored unless a
    /// beginning-of-sequence token precedes the text.
    pub first_token_bytes: usize,
}

/// The tokens of a context and of its continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair {
    /// Tokens of the context; none if it is empty or its only token spans the cut.
    pub context: Vec<u32>,
    /// Tokens of the continuation, at least one.
    pub continuation: Vec<u32>,
    /// Number of bytes of the text that the tokens of the continuation stand for.
    pub bytes: usize,
    /// Number of those bytes that belong to the context, white space at its end aside. It is above 0
    /// if a token spans the cut.
    pub spanned: usize,
}

/// Largest accepted `tokenizer.json`: four times the largest real one, which has a quarter million
/// tokens.
#[cfg(feature = "tokenizers")]
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;

/// Class name that marks a checkpoint as byte-level in its `tokenizer_config.json`.
const BYTE_CLASS: &str = "ByteTokenizer";

impl Tokenizer {
    /// The tokenizer with one token per byte of UTF-8, whose id is the byte.
    pub fn bytes() -> Self {
        Self {
            kind: Kind::Bytes,
            path: PathBuf::from("bytes"),
            bos: BosToken::default(),
        }
    }

    /// Loads the tokenizer of a checkpoint folder or a GGUF file.
    ///
    /// In a folder it is the first of these: `tokenizer.json`; bytes if `tokenizer_config.json` has
    /// `"tokenizer_class": "ByteTokenizer"`; the metadata of the only GGUF file.
    ///
    /// # Errors
    /// None of these; a file that cannot be read, or that needs the feature `tokenizers` in a build
    /// without it; a kind of tokenizer that is not supported; a beginning-of-sequence token that is
    /// not in the vocabulary.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = path.as_ref();
        let json = dir.join("tokenizer.json");
        let config = settings(&dir.join(TOKENIZER_CONFIG))?;
        if json.exists() {
            return Self::from_json(&json, dir, &config);
        }
        if config["tokenizer_class"] == BYTE_CLASS {
            // Bytes need no token but the one that begins a text: if one is named, texts begin with
            // it.
            let first = config["bos_token_id"].as_u64();
            let first = first.and_then(|id| u32::try_from(id).ok());
            let bos = BosToken::of_checkpoint(dir, &config, &|_| None, first)?;
            return Ok(Self {
                kind: Kind::Bytes,
                path: dir.join(TOKENIZER_CONFIG),
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
        // Before the library sees the text: it trusts what it reads, and takes memory for stages
        // while it builds them.
        let first = stages::check(path, &text)?;
        let tokenizer = stages::guarded(path, || tokenizers::Tokenizer::from_bytes(&text))?;
        drop(text);
        let bos = BosToken::of_checkpoint(dir, config, &|name| tokenizer.token_to_id(name), first)?;
        Self::from_library(tokenizer, path, bos)
    }

    #[cfg(feature = "tokenizers")]
    fn from_library(
        mut tokenizer: tokenizers::Tokenizer,
        path: &Path,
        bos: BosToken,
    ) -> Result<Self, Error> {
        // A file may pad or cut every text. Both would change what is scored, in silence.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| Error::format(path, e))?;
        // The post-processor would add tokens, repeat those of the text, and cut white space from
        // offsets.
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

    /// If true, special tokens written in a text (`<|endoftext|>`) become their ids.
    ///
    /// They are ordinary text by default, because a document must not be able to end itself. The byte
    /// tokenizer has no special tokens.
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

    /// True if special tokens written in a text become their ids.
    pub fn parses_special_tokens(&self) -> bool {
        match &self.kind {
            Kind::Bytes => false,
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => !inner.get_encode_special_tokens(),
        }
    }

    /// Id of the beginning-of-sequence token of the checkpoint.
    ///
    /// It is the first of these: `bos_token` of `tokenizer_config.json`, of
    /// `special_tokens_map.json`; `bos_token_id` of `tokenizer_config.json`, of `config.json`, of GGUF
    /// metadata.
    pub fn bos(&self) -> Option<u32> {
        self.bos.token
    }

    /// True if the checkpoint's own tokenizer puts [`bos`](Self::bos) before a text.
    ///
    /// `add_bos_token` of `tokenizer_config.json` or GGUF metadata decides. Without it, the
    /// post-processor of `tokenizer.json` does; for bytes, the name of the token in the settings.
    /// [`encode`](Self::encode) never adds the token.
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

    /// The tokens of `text`, and the byte of the text at which each ends.
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
    /// The two are encoded together, as a model saw such text in training, and cut after the last
    /// token that they share with the encoding of the context alone. White space at the end of the
    /// context goes to the continuation, because tokenizers put the space into the next token; it
    /// does not matter on which side of the cut it is written. A token that spans the cut belongs to
    /// the continuation, which is therefore never empty.
    ///
    /// lm-evaluation-harness moves white space in the same way, but cuts after as many tokens as the
    /// context alone has. If a token spans the cut, that drops tokens of the text, and may leave none
    /// of the continuation.
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
        // A tokenizer may drop the whole continuation, such as a lone zero-width joiner; the last
        // token then stands for it.
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
