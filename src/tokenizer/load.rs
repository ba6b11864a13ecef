//! The tokenizer of a checkpoint, from whichever files it has.

use std::path::Path;

use serde_json::Value;

use super::bos::{BosToken, Own, TOKENIZER_CONFIG, settings};
#[cfg(feature = "tokenizers")]
use super::{
    HuggingFace, added_tokens, charsmap, ends, folder, library, metadata, special, stages,
};
use super::{Kind, Tokenizer, files};
#[cfg(feature = "tokenizers")]
use crate::checkpoint::read_text;
use crate::checkpoint::{Checkpoint, gguf};
use crate::error::Error;

/// Largest accepted file of a vocabulary: four times the largest real one, which has a quarter million
/// tokens.
#[cfg(feature = "tokenizers")]
pub(super) const MAX_TOKENIZER_BYTES: u64 = 128 << 20;

/// Class name that marks a checkpoint as byte-level in its `tokenizer_config.json`.
pub(super) const BYTE_CLASS: &str = "ByteTokenizer";

/// A tokenizer of the `tokenizers` library as it was read.
#[cfg(feature = "tokenizers")]
pub(super) struct Built {
    pub(super) tokenizer: library::Library,
    /// The file with the vocabulary.
    pub(super) path: std::path::PathBuf,
    pub(super) bos: BosToken,
    pub(super) charsmap: Option<charsmap::Charsmap>,
    /// The token that stands for what the vocabulary lacks.
    pub(super) unknown: Option<u32>,
    pub(super) warnings: Vec<String>,
}

#[cfg(feature = "tokenizers")]
impl Built {
    /// A tokenizer whose normalisation is all in its stages.
    pub(super) fn new(
        tokenizer: library::Library,
        path: &Path,
        bos: BosToken,
        warnings: Vec<String>,
    ) -> Self {
        Self {
            tokenizer,
            path: path.to_owned(),
            bos,
            charsmap: None,
            unknown: None,
            warnings,
        }
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a checkpoint folder or a GGUF file; of an adapter, its own or its base's.
    ///
    /// In a folder it is the first of these: `tokenizer.json`; bytes if `tokenizer_config.json` has
    /// `"tokenizer_class": "ByteTokenizer"`; `tekken.json`; `vocab.json` with `merges.txt`, a `.tiktoken`
    /// file, or `tokenizer.model` (SentencePiece's or tiktoken's), whichever the class of the tokenizer
    /// has; the metadata of the only GGUF file.
    ///
    /// # Errors
    /// None of these; a file that cannot be read, or that needs the feature `tokenizers` in a build
    /// without it; a kind of tokenizer that is not supported; a beginning-of-sequence token that is
    /// not in the vocabulary.
    pub fn load(checkpoint: impl Into<Checkpoint>) -> Result<Self, Error> {
        let dir = &checkpoint.into().tokenizer()?;
        let json = dir.join("tokenizer.json");
        let config = settings(&dir.join(TOKENIZER_CONFIG))?;
        let mut warnings = Vec::new();
        if json.exists() {
            return Self::from_json(&json, dir, &config);
        }
        if config["tokenizer_class"] == BYTE_CLASS {
            // Bytes need no token but the one that begins a text: if one is named, texts begin with
            // it.
            let first = config["bos_token_id"].as_u64();
            let first = first.and_then(|id| u32::try_from(id).ok());
            let own = Own::first(first);
            let bos = BosToken::of_checkpoint(dir, &config, &|_| None, own, &mut warnings)?;
            return Ok(Self {
                kind: Kind::Bytes,
                path: dir.join(TOKENIZER_CONFIG),
                bos,
                parses_special_tokens: false,
                warnings,
            });
        }
        #[cfg(feature = "tokenizers")]
        if let Some(found) = folder::tokenizer(dir, &config)? {
            return Self::from_library(found.build(dir, &config)?);
        }
        if let Some(file) = gguf::find(dir)? {
            return Self::from_gguf(&file);
        }
        Err(files::no_tokenizer(dir))
    }

    #[cfg(feature = "tokenizers")]
    fn from_json(path: &Path, dir: &Path, config: &Value) -> Result<Self, Error> {
        let text = read_text(path, MAX_TOKENIZER_BYTES)?;
        // Before the library sees the text: it trusts what it reads, and takes memory for stages
        // while it builds them.
        let checked = stages::check(path, &text)?;
        let first = checked.first;
        let tokenizer = library::read(path, text.as_bytes())?;
        drop(text);
        let mut warnings = Vec::new();
        warnings.extend(added_tokens::contradiction(
            &checked.added_tokens,
            &tokenizer,
        ));
        let id = |name: &str| tokenizer.token_to_id(name);
        let own = Own::first(first);
        let bos = BosToken::of_checkpoint(dir, config, &id, own, &mut warnings)?;
        warnings.extend(bos.against_processor(first, config));
        Self::from_library(Built {
            unknown: library::unknown(&checked.unknown, &tokenizer),
            ..Built::new(tokenizer, path, bos, warnings)
        })
    }

    #[cfg(feature = "tokenizers")]
    fn from_library(built: Built) -> Result<Self, Error> {
        let Built {
            mut tokenizer,
            path,
            ..
        } = built;
        stages::check_model(&path, &tokenizer)?;
        // A file may pad or cut every text. Both would change what is scored, in silence.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| Error::format(&path, e))?;
        // The post-processor would add tokens, repeat those of the text, and cut white space from
        // offsets.
        tokenizer.with_post_processor(None::<library::Unread>);
        tokenizer.with_decoder(None::<library::Unread>);
        tokenizer.set_encode_special_tokens(true);
        Ok(Self {
            kind: Kind::HuggingFace(Box::new(HuggingFace {
                byte_level: ends::is_byte_level(&tokenizer),
                special: special::SpecialTokens::of(&tokenizer),
                charsmap: built.charsmap,
                unknown: built.unknown,
                tokenizer,
            })),
            path,
            bos: built.bos,
            parses_special_tokens: false,
            warnings: built.warnings,
        })
    }

    #[cfg(feature = "tokenizers")]
    fn from_gguf(path: &Path) -> Result<Self, Error> {
        let (tokenizer, bos, unknown) = metadata::tokenizer(&gguf::Gguf::open(path)?)?;
        Self::from_library(Built {
            unknown,
            ..Built::new(tokenizer, path, bos, Vec::new())
        })
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
}
