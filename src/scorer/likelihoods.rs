//! The input of a scorer: the log-likelihoods of an item.

use std::fmt;

/// Log-likelihoods of an item: one sequence for a text, one per choice otherwise.
// Exhaustive, so that the author of a scorer can write one down in a test; `Default` fills the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Likelihoods {
    /// The item's id.
    pub id: String,
    /// The item's cluster.
    pub cluster: String,
    /// Index of the right choice; `None` for a text.
    pub gold: Option<usize>,
    /// The scored sequences.
    pub sequences: Vec<Sequence>,
    /// One sequence per choice after the unconditional context; empty if the item has none.
    pub unconditional: Vec<Sequence>,
    /// Non-fatal adjustments made while scoring the item.
    pub warnings: Vec<Warning>,
}

/// A scored sequence of tokens.
// Exhaustive for the same reason as `Likelihoods`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequence {
    /// Log-probability of each scored token, in nats.
    pub log_likelihoods: Vec<f64>,
    /// UTF-8 bytes that the scored tokens stand for; `None` if the text is not known.
    ///
    /// For a choice these are its own bytes and those of the context that its tokens span: spaces at
    /// the end of the context, and the start of a token across the cut.
    pub bytes: Option<usize>,
    /// Length of a choice as written; `None` if its text is not known.
    pub length: Option<Length>,
}

impl Sequence {
    /// Sum over the scored tokens.
    ///
    /// **Units**: nats, ≤ 0.
    pub fn log_likelihood(&self) -> f64 {
        // In index order, so that the bits are the same wherever the sequence was computed.
        self.log_likelihoods.iter().sum()
    }
}

/// Length of a choice, for normalising its log-likelihood.
///
/// The one space that joins a choice to its context does not count, as in lm-evaluation-harness,
/// where it belongs to neither. The space of a choice that is nothing but a space does count.
// Exhaustive: the two lengths are the harness's two conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Number of UTF-8 bytes.
    pub bytes: usize,
    /// Number of Unicode scalar values, as `len` counts in Python.
    pub characters: usize,
}

impl Length {
    /// The length of `choice`.
    ///
    /// # Examples
    /// ```
    /// use relscale::scorer::Length;
    ///
    /// assert_eq!(Length::of(" né"), Length { bytes: 3, characters: 2 });
    /// ```
    pub fn of(choice: &str) -> Self {
        let joined = choice.strip_prefix(' ').filter(|text| !text.is_empty());
        let text = joined.unwrap_or(choice);
        Self {
            bytes: text.len(),
            characters: text.chars().count(),
        }
    }
}

/// Non-fatal adjustment made while scoring an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A token holds the end of the context and the start of a choice. It is scored with the choice.
    TokenSpansCut {
        /// Index of the choice.
        choice: usize,
        /// Bytes of the context scored with the choice, not counting white space at the context's
        /// end.
        bytes: usize,
    },
    /// The context exceeded the model's, and its first tokens were dropped.
    ContextTruncated {
        /// Index of the choice.
        choice: usize,
        /// Number of tokens dropped.
        tokens: usize,
    },
    /// A special token is written in the text and was encoded as ordinary text
    /// ([`with_special_tokens_parsed`](crate::tokenizer::Tokenizer::with_special_tokens_parsed)).
    SpecialTokenAsText {
        /// Id of the token, the first of several.
        token: u32,
    },
    /// The tokenizer has no token for a part of the text and left it out. Its bytes do not count.
    TextDropped {
        /// Number of bytes without a token, not counting white space. For a question, the largest such number
        /// of any choice taken together with its context.
        bytes: usize,
    },
    /// The vocabulary lacks a part of the text, for which unknown tokens stand. One may stand for many
    /// letters, so that losses per byte say little.
    TextUnknown {
        /// Number of bytes that unknown tokens stand for; of a question, the most of one of its choices
        /// with the context.
        bytes: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenSpansCut { choice, bytes } => write!(
                f,
                "choice {choice}: a token spans the cut, {bytes} bytes of the context are scored"
            ),
            Self::ContextTruncated { choice, tokens } => write!(
                f,
                "choice {choice}: the first {tokens} tokens of the context were dropped"
            ),
            Self::SpecialTokenAsText { token } => write!(
                f,
                "the special token {token} is written in the text and was encoded as ordinary text"
            ),
            Self::TextDropped { bytes } => write!(
                f,
                "the tokenizer has no token for {bytes} bytes of the text, which were left out"
            ),
            Self::TextUnknown { bytes } => write!(
                f,
                "the vocabulary lacks {bytes} bytes of the text, for which unknown tokens stand"
            ),
        }
    }
}
