//! Tokenizers: text to token ids.

use std::path::{Path, PathBuf};

use serde_json::Value;

#[cfg(feature = "tokenizers")]
use crate::checkpoint::read_text;
use crate::checkpoint::{Checkpoint, gguf};
use crate::error::Error;
use bos::{BosToken, Own, TOKENIZER_CONFIG, settings};

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
#[cfg(feature = "tokenizers")]
mod merges;
#[cfg(feature = "tokenizers")]
mod metadata;
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
    tokenizer: tokenizers::Tokenizer,
    /// If true, tokens have one letter per byte.
    byte_level: bool,
    special: Option<special::SpecialTokens>,
    /// The table by which a text is normalised before the library has it.
    charsmap: Option<charsmap::Charsmap>,
}

/// A tokenizer of the `tokenizers` library as it was read.
#[cfg(feature = "tokenizers")]
struct Built {
    tokenizer: tokenizers::Tokenizer,
    /// The file with the vocabulary.
    path: PathBuf,
    bos: BosToken,
    charsmap: Option<charsmap::Charsmap>,
    warnings: Vec<String>,
}

#[cfg(feature = "tokenizers")]
impl Built {
    /// A tokenizer whose normalisation is all in its stages.
    fn new(
        tokenizer: tokenizers::Tokenizer,
        path: &Path,
        bos: BosToken,
        warnings: Vec<String>,
    ) -> Self {
        Self {
            tokenizer,
            path: path.to_owned(),
            bos,
            charsmap: None,
            warnings,
        }
    }
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
}

/// A part of a text without tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gap {
    start: usize,
    /// Number of its bytes, white space aside.
    bytes: usize,
}

fn dropped_after(gaps: &[Gap], start: usize) -> usize {
    let after = gaps.iter().filter(|gap| gap.start >= start);
    after.map(|gap| gap.bytes).sum()
}

/// The parts of `text` between the ranges of its tokens.
#[cfg(feature = "tokenizers")]
fn gaps(text: &str, ranges: &[(usize, usize)]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut covered = 0;
    for &(start, end) in ranges.iter().chain([&(text.len(), text.len())]) {
        if covered < start && start <= text.len() {
            // White space may be folded or cut off, and stands in the token beside it.
            let bytes = match text.get(covered..start) {
                Some(gap) => {
                    let letters = gap.chars().filter(|c| !c.is_whitespace());
                    letters.map(char::len_utf8).sum()
                }
                // The library counts on where it left letters out, and may end inside one.
                None => {
                    let gap = text.as_bytes()[covered..start].iter();
                    gap.filter(|byte| !byte.is_ascii_whitespace()).count()
                }
            };
            if bytes > 0 {
                gaps.push(Gap {
                    start: covered,
                    bytes,
                });
            }
        }
        covered = covered.max(end);
    }
    gaps
}

/// Takes from the `gaps` what exceeds the bytes that a byte-level tokenizer can have lost.
///
/// The library places the tokens behind lost bytes too early, so that too much of the text seems to have
/// none.
#[cfg(feature = "tokenizers")]
fn cap(gaps: &mut [Gap], text: &str, tokens: &[String]) {
    let kept: usize = tokens.iter().map(|token| ends::length(token, true)).sum();
    let mut left = text.len().saturating_sub(kept);
    for gap in gaps {
        gap.bytes = gap.bytes.min(left);
        left -= gap.bytes;
    }
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
}

/// Largest accepted file of a vocabulary: four times the largest real one, which has a quarter million
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
            parses_special_tokens: false,
            warnings: Vec::new(),
        }
    }

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
        let first = stages::check(path, &text)?;
        let tokenizer = stages::guarded(path, || tokenizers::Tokenizer::from_bytes(&text))?;
        drop(text);
        let mut warnings = Vec::new();
        let id = |name: &str| tokenizer.token_to_id(name);
        let own = Own::first(first);
        let bos = BosToken::of_checkpoint(dir, config, &id, own, &mut warnings)?;
        warnings.extend(bos.against_processor(first, config));
        Self::from_library(Built::new(tokenizer, path, bos, warnings))
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
        tokenizer.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        tokenizer.with_decoder(None::<tokenizers::DecoderWrapper>);
        tokenizer.set_encode_special_tokens(true);
        Ok(Self {
            kind: Kind::HuggingFace(Box::new(HuggingFace {
                byte_level: ends::is_byte_level(&tokenizer),
                special: special::SpecialTokens::of(&tokenizer),
                charsmap: built.charsmap,
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
        let (tokenizer, bos) = metadata::tokenizer(&gguf::Gguf::open(path)?)?;
        Self::from_library(Built::new(tokenizer, path, bos, Vec::new()))
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
    ///
    /// # Errors
    /// A tokenizer that cannot search the text.
    pub(crate) fn special_token_as_text(&self, text: &str) -> Result<Option<u32>, Error> {
        match &self.kind {
            Kind::Bytes => {
                let _ = text;
                Ok(None)
            }
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => match &inner.special {
                Some(special) if !self.parses_special_tokens() => {
                    stages::guarded(&self.path, || Ok(special.find(text)))
                }
                _ => Ok(None),
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
        let Encoded { tokens, ends, gaps } = self.encode_with_ends(text)?;
        Ok(Encoding {
            tokens,
            first_token_bytes: ends.first().copied().unwrap_or(0),
            dropped_bytes: dropped_after(&gaps, 0),
            gaps,
        })
    }

    /// The tokens of `text`, the byte of the text at which each ends, and what has none.
    fn encode_with_ends(&self, text: &str) -> Result<Encoded, Error> {
        match &self.kind {
            Kind::Bytes => Ok(Encoded {
                tokens: text.bytes().map(u32::from).collect(),
                ends: (1..=text.len()).collect(),
                gaps: Vec::new(),
            }),
            #[cfg(feature = "tokenizers")]
            Kind::HuggingFace(inner) => {
                let normal = inner.charsmap.as_ref().map(|map| map.normalise(text));
                let text = normal.as_ref().map_or(text, |normal| &normal.text);
                let encoding = stages::guarded(&self.path, || inner.tokenizer.encode(text, false))?;
                let (ranges, tokens) = (encoding.get_offsets(), encoding.get_tokens());
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
        })
    }
}
