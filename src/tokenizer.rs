//! Tokenizers: text to token ids.

use std::path::PathBuf;

use crate::error::Error;
use bos::BosToken;
use gaps::{Gap, dropped_after};
#[cfg(feature = "tokenizers")]
use gaps::{cap, gaps};

#[cfg(feature = "tokenizers")]
mod added_tokens;
#[cfg(feature = "tokenizers")]
mod alphabet;
mod bos;
#[cfg(feature = "tokenizers")]
mod charsmap;
#[cfg(feature = "tokenizers")]
mod ends;
#[cfg(feature = "tokenizers")]
mod expressions;
mod files;
#[cfg(feature = "tokenizers")]
mod folder;
mod gaps;
#[cfg(feature = "tokenizers")]
mod library;
mod load;
#[cfg(feature = "tokenizers")]
mod merges;
#[cfg(feature = "tokenizers")]
mod metadata;
#[cfg(feature = "tokenizers")]
mod pre_tokenizer;
#[cfg(feature = "tokenizers")]
mod search;
#[cfg(feature = "tokenizers")]
mod sentence_piece;
#[cfg(feature = "tokenizers")]
mod special;
#[cfg(feature = "tokenizers")]
mod stages;
#[cfg(feature = "tokenizers")]
mod words;

/// A map from text to token ids: a `tokenizer.json` of Hugging Face, the files of older checkpoints
/// (`vocab.json` and `merges.txt`, SentencePiece, tiktoken, Tekken), the metadata of a GGUF file, or plain
/// bytes.
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
    parses_special_tokens: bool,
    /// Non-fatal findings at load.
    warnings: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Bytes,
    #[cfg(feature = "tokenizers")]
    HuggingFace(Box<HuggingFace>),
}

/// A tokenizer of the `tokenizers` library.
#[cfg(feature = "tokenizers")]
#[derive(Debug)]
struct HuggingFace {
    tokenizer: library::Library,
    /// If true, tokens have one letter per byte.
    byte_level: bool,
    special: Option<special::SpecialTokens>,
    /// The table by which a text is normalised before the library has it.
    charsmap: Option<charsmap::Charsmap>,
    /// The token that stands for what the vocabulary lacks.
    unknown: Option<u32>,
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
    /// Number of bytes of the text that no token stands for, white space aside: letters that the
    /// vocabulary lacks, or that a stage removes. It is a lower bound where letters of several bytes are
    /// left out, since the library then places other tokens on parts of them.
    pub dropped_bytes: usize,
    /// Those bytes, by their places.
    gaps: Vec<Gap>,
    /// Number of bytes of the text that unknown tokens stand for: letters that the vocabulary lacks, many of
    /// which may share one token.
    pub unknown_bytes: usize,
}

impl Encoding {
    /// Number of bytes without a token after the byte `start` of the text, white space aside.
    pub(crate) fn dropped_after(&self, start: usize) -> usize {
        dropped_after(&self.gaps, start)
    }
}

/// The tokens of a text with their places in it.
struct Encoded {
    tokens: Vec<u32>,
    /// The byte of the text at which each token ends.
    ends: Vec<usize>,
    gaps: Vec<Gap>,
    /// Number of bytes that unknown tokens stand for.
    unknown: usize,
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
    /// Number of bytes of both texts that no token stands for, white space aside.
    pub dropped_bytes: usize,
    /// Number of bytes of both texts that unknown tokens stand for.
    pub unknown_bytes: usize,
}

impl Tokenizer {
    /// The tokenizer with one token per byte of UTF-8, whose id is the byte.
    pub fn bytes() -> Self {
        Self {
            kind: Kind::Bytes,
            path: PathBuf::from("bytes"),
            bos: BosToken::default(),
            parses_special_tokens: false,
            warnings: Vec::new(),
        }
    }

    /// If true, special tokens written in a text (`<|endoftext|>`) become their ids.
    ///
    /// They are ordinary text by default, because a document must not be able to end itself. The byte
    /// tokenizer has no special tokens.
    #[must_use]
    pub fn with_special_tokens_parsed(mut self, parsed: bool) -> Self {
        self.parses_special_tokens = parsed;
        match &mut self.kind {
            Kind::Bytes => {}
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => inner.tokenizer.set_encode_special_tokens(!parsed),
        }
        self
    }

    /// True if special tokens written in a text become their ids, as far as the tokenizer has any.
    pub fn parses_special_tokens(&self) -> bool {
        self.parses_special_tokens
    }

    /// A special token that is written in `text` and that [`encode`](Self::encode) encodes as ordinary
    /// text; the first of several.
    pub(crate) fn special_token_as_text(&self, text: &str) -> Option<u32> {
        match &self.kind {
            Kind::Bytes => {
                let _ = text;
                None
            }
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => match &inner.special {
                Some(special) if !self.parses_special_tokens() => special.find(text),
                _ => None,
            },
        }
    }

    /// Non-fatal findings at load, one sentence each: files that contradict each other, and that other
    /// programs may read otherwise.
    ///
    /// [`Evaluation::warnings`](crate::evaluate::Evaluation::warnings) includes them.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
    /// [`encode`](Self::encode) never adds the token. Where the two disagree, as `transformers` 5 no
    /// longer reads `add_bos_token`, [`warnings`](Self::warnings) says so.
    pub fn adds_bos(&self) -> bool {
        self.bos.added
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// A tokenizer that cannot encode the text.
    pub fn encode(&self, text: &str) -> Result<Encoding, Error> {
        let Encoded {
            tokens,
            ends,
            gaps,
            unknown,
        } = self.encode_with_ends(text)?;
        Ok(Encoding {
            tokens,
            first_token_bytes: ends.first().copied().unwrap_or(0),
            dropped_bytes: dropped_after(&gaps, 0),
            gaps,
            unknown_bytes: unknown,
        })
    }

    /// The tokens of `text`, the byte of the text at which each ends, and what has none.
    fn encode_with_ends(&self, text: &str) -> Result<Encoded, Error> {
        match &self.kind {
            Kind::Bytes => Ok(Encoded {
                tokens: text.bytes().map(u32::from).collect(),
                ends: (1..=text.len()).collect(),
                gaps: Vec::new(),
                unknown: 0,
            }),
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => {
                let normal = inner.charsmap.as_ref().map(|map| map.normalise(text));
                let text = normal.as_ref().map_or(text, |normal| &normal.text);
                let encoding = inner.tokenizer.encode(text, false);
                let encoding = encoding.map_err(|e| Error::format(&self.path, e))?;
                let (ranges, tokens) = (encoding.get_offsets(), encoding.get_tokens());
                let unknown = (encoding.get_ids().iter().zip(ranges))
                    .filter(|(id, _)| Some(**id) == inner.unknown)
                    .map(|(_, (start, end))| end.saturating_sub(*start))
                    .sum();
                let mut ends = ends::ends(ranges, tokens, inner.byte_level);
                let mut gaps = gaps(text, ranges);
                if inner.byte_level {
                    cap(&mut gaps, text, tokens);
                }
                if let Some(normal) = &normal {
                    ends.iter_mut().for_each(|end| *end = normal.end(*end));
                    for gap in &mut gaps {
                        gap.start = normal.end(gap.start);
                    }
                }
                Ok(Encoded {
                    tokens: encoding.get_ids().to_vec(),
                    ends,
                    gaps,
                    unknown,
                })
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
        let Encoded {
            tokens: whole,
            ends,
            gaps,
            unknown,
        } = self.encode_with_ends(&text)?;
        if whole.is_empty() {
            let message = "the tokenizer has no token for a context and its continuation";
            return Err(Error::format(&self.path, message));
        }
        let alone = self.encode_with_ends(trimmed)?.tokens;
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
            // What has no token has no loss, and its bytes would lower that of the others.
            bytes: (text.len() - end).saturating_sub(dropped_after(&gaps, end)),
            spanned: trimmed.len() - end,
            dropped_bytes: dropped_after(&gaps, 0),
            unknown_bytes: unknown,
        })
    }
}
