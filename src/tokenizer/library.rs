//! Tokenizers of the `tokenizers` library, with the parts of it that encode a text.

use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny};
use serde_json::Value;
use tokenizers::{
    Decoder, Encoding, ModelWrapper, NormalizedString, NormalizerWrapper, PostProcessor,
    TokenizerImpl,
};

use super::pre_tokenizer::PreTokenizer;
use crate::error::Error;

/// A tokenizer whose post-processor and decoder are not read: nothing is decoded, and what the
/// post-processor adds to a text is not scored.
pub(super) type Library = TokenizerImpl<ModelWrapper, Normalizer, PreTokenizer, Unread, Unread>;

/// The tokenizer of a `tokenizer.json` whose stages [`check`](super::stages::check) accepts.
///
/// # Errors
/// A file that the library does not read.
pub(super) fn read(path: &Path, json: &[u8]) -> Result<Library, Error> {
    serde_json::from_slice(json).map_err(|e| Error::format(path, e))
}

/// The token that stands for what the vocabulary lacks, by its name or its id.
pub(super) fn unknown(token: &Value, tokenizer: &Library) -> Option<u32> {
    match token {
        Value::String(name) => tokenizer.token_to_id(name),
        id => id.as_u64().and_then(|id| u32::try_from(id).ok()),
    }
}

/// A normaliser.
///
/// It is read from a tree: from a text the library may read another stage than was checked, where a key
/// comes twice.
#[derive(Debug)]
pub(super) struct Normalizer(pub(super) NormalizerWrapper);

impl tokenizers::Normalizer for Normalizer {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        tokenizers::Normalizer::normalize(&self.0, text)
    }
}

impl<'de> Deserialize<'de> for Normalizer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let stage = Value::deserialize(from)?;
        let stage = NormalizerWrapper::deserialize(stage).map_err(D::Error::custom)?;
        Ok(Self(stage))
    }
}

/// A part of a file that is not read.
#[derive(Debug)]
pub(super) struct Unread;

impl PostProcessor for Unread {
    fn added_tokens(&self, _: bool) -> usize {
        0
    }

    fn process_encodings(
        &self,
        encodings: Vec<Encoding>,
        _: bool,
    ) -> tokenizers::Result<Vec<Encoding>> {
        Ok(encodings)
    }
}

impl Decoder for Unread {
    fn decode_chain(&self, tokens: Vec<String>) -> tokenizers::Result<Vec<String>> {
        Ok(tokens)
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from)?;
        Ok(Self)
    }
}
