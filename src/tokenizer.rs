//! Text to tokens.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Turns text into token ids: a `tokenizer.json` of Hugging Face, or plain bytes.
///
/// Text is taken as it is: no special tokens are added, and those that occur in it are encoded as
/// ordinary text.
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

/// Class name that marks a checkpoint as byte-level in its `tokenizer_config.json`.
const BYTE_CLASS: &str = "ByteTokenizer";

impl Tokenizer {
    /// One token a byte of UTF-8, its id the byte.
    pub fn bytes() -> Self {
        Self {
            kind: Kind::Bytes,
            path: PathBuf::from("bytes"),
        }
    }

    /// The tokenizer of a checkpoint folder: `tokenizer.json`, or bytes where
    /// `tokenizer_config.json` says `"tokenizer_class": "ByteTokenizer"`.
    ///
    /// # Errors
    /// Neither file, a file that cannot be read, or a `tokenizer.json` without the feature
    /// `tokenizers`.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let json = dir.join("tokenizer.json");
        if json.exists() {
            return Self::from_json(&json);
        }
        let config = dir.join("tokenizer_config.json");
        if config.exists() {
            let text = fs::read_to_string(&config).map_err(|e| Error::io(&config, e))?;
            let value: serde_json::Value =
                serde_json::from_str(&text).map_err(|e| Error::format(&config, e))?;
            if value["tokenizer_class"] == BYTE_CLASS {
                return Ok(Self {
                    kind: Kind::Bytes,
                    path: config,
                });
            }
        }
        Err(Error::format(
            dir,
            format!(
                "no tokenizer: neither tokenizer.json nor a tokenizer_config.json with the class \
                 {BYTE_CLASS} is there"
            ),
        ))
    }

    #[cfg(feature = "tokenizers")]
    fn from_json(path: &Path) -> Result<Self, Error> {
        let mut tokenizer =
            tokenizers::Tokenizer::from_file(path).map_err(|e| Error::format(path, e))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| Error::format(path, e))?;
        tokenizer.set_encode_special_tokens(true);
        Ok(Self {
            kind: Kind::HuggingFace(Box::new(tokenizer)),
            path: path.to_owned(),
        })
    }

    #[cfg(not(feature = "tokenizers"))]
    fn from_json(path: &Path) -> Result<Self, Error> {
        Err(Error::format(
            path,
            "reading it needs the feature `tokenizers`",
        ))
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// A tokenizer that cannot encode the text.
    pub fn encode(&self, text: &str) -> Result<Encoding, Error> {
        match &self.kind {
            Kind::Bytes => Ok(Encoding {
                tokens: text.bytes().map(u32::from).collect(),
                first_token_bytes: text.len().min(1),
            }),
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(tokenizer) => {
                let encoding = tokenizer
                    .encode(text, false)
                    .map_err(|e| Error::format(&self.path, format!("cannot encode a text: {e}")))?;
                Ok(Encoding {
                    tokens: encoding.get_ids().to_vec(),
                    first_token_bytes: encoding.get_offsets().first().map_or(0, |o| o.1),
                })
            }
        }
    }

    /// The tokens of `context` and of `continuation` right after it.
    ///
    /// The two are encoded together, as a model saw such text in training, and cut where the
    /// context's own tokens end. Spaces at the end of the context go to the continuation, where
    /// tokenizers that write the space into the next token expect them. Where a token spans the
    /// cut, it belongs to the continuation, which is therefore never empty.
    ///
    /// # Errors
    /// A tokenizer that cannot encode the texts, or an empty continuation.
    pub fn encode_pair(
        &self,
        context: &str,
        continuation: &str,
    ) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let trimmed = context.trim_end_matches(' ');
        let whole = self.encode(&format!("{context}{continuation}"))?.tokens;
        let alone = self.encode(trimmed)?.tokens;
        let common = whole.iter().zip(&alone).take_while(|(a, b)| a == b).count();
        // A continuation that the tokenizer drops (a lone joiner) still needs a token.
        let cut = common.min(whole.len().saturating_sub(1));
        if continuation.is_empty() || whole.is_empty() {
            return Err(Error::format(&self.path, "an empty continuation"));
        }
        let (context, continuation) = whole.split_at(cut);
        Ok((context.to_vec(), continuation.to_vec()))
    }
}
