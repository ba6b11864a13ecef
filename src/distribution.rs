//! Test distributions: finite samples of items to score.
//!
//! A [`Distribution`] is anything with numbered items; [`Items`] holds them in memory and reads the
//! items file of this crate ([`Items::from_jsonl`]).

mod items;
pub mod jsonl;
#[cfg(feature = "parquet")]
mod parquet;

use std::borrow::Cow;

use crate::error::Error;

pub use items::Items;

/// A finite sample of items with stable ids and cluster ids.
///
/// Items of one cluster (a document, a subject, a speaker) depend on each other; clusters do not.
pub trait Distribution: Send + Sync {
    /// Name in results.
    fn name(&self) -> &str;

    /// Number of items.
    fn len(&self) -> usize;

    /// True if there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item number `index`, the same for every call.
    ///
    /// # Errors
    /// An index out of range, or an item that cannot be read.
    fn item(&self, index: usize) -> Result<Cow<'_, Item>, Error>;
}

/// One item of a distribution.
// Exhaustive: authors of distributions write it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Id, unique in its distribution.
    pub id: String,
    /// Cluster. Items that share one depend on each other.
    pub cluster: String,
    /// The scored content.
    pub content: Content,
}

/// The content of an item.
// Exhaustive: authors of distributions write it down, and whoever scores must handle every form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A running text; every token is scored.
    Text(String),
    /// A running text in token ids.
    Tokens(Vec<u32>),
    /// Continuations of one context, of which `gold` is right.
    Choices {
        /// Text before the continuations; may be empty if a beginning-of-sequence token is used.
        context: String,
        /// The continuations, each with the space that joins it to the context, if there is one.
        choices: Vec<String>,
        /// Index of the right continuation.
        gold: usize,
        /// A context without the question (`"Answer:"`). If given, every choice is scored after it
        /// too: how likely the choice is without the question.
        unconditional: Option<String>,
    },
    /// Continuations, each of a context of its own, of which `gold` is right: partial evaluation, as in
    /// WinoGrande, where the contexts differ and the continuations do not.
    Pairs {
        /// Context and continuation of each choice, the continuation with the space that joins them.
        pairs: Vec<(String, String)>,
        /// Index of the right pair.
        gold: usize,
    },
    /// Continuations of one context in token ids.
    ChoicesTokens {
        /// Tokens before the continuations.
        context: Vec<u32>,
        /// The continuations.
        choices: Vec<Vec<u32>>,
        /// Index of the right continuation.
        gold: usize,
        /// A context without the question, as in [`Content::Choices`].
        unconditional: Option<Vec<u32>>,
    },
}

impl Content {
    /// True if a tokenizer is needed to score it.
    #[must_use]
    pub fn is_text(&self) -> bool {
        match self {
            Self::Text(_) | Self::Choices { .. } | Self::Pairs { .. } => true,
            Self::Tokens(_) | Self::ChoicesTokens { .. } => false,
        }
    }
}

impl Item {
    /// Checks that there is something to score.
    ///
    /// # Errors
    /// An [`Error::Item`]: an empty text or choice, or a gold index without a choice.
    pub fn check(&self) -> Result<(), Error> {
        check(&self.content).map_err(|message| Error::item(&self.id, message))
    }
}

fn check(content: &Content) -> Result<(), String> {
    let count = |gold: usize, choices: usize, empty: Option<usize>| {
        if gold >= choices {
            Err(format!("gold is {gold} of {choices} choices"))
        } else if let Some(empty) = empty {
            Err(format!("choice {empty} is empty"))
        } else {
            Ok(())
        }
    };
    match content {
        Content::Text(text) if text.is_empty() => Err("the text is empty".to_owned()),
        Content::Tokens(tokens) if tokens.is_empty() => Err("there are no tokens".to_owned()),
        Content::Text(_) | Content::Tokens(_) => Ok(()),
        Content::Choices { choices, gold, .. } => count(
            *gold,
            choices.len(),
            choices.iter().position(String::is_empty),
        ),
        Content::Pairs { pairs, gold } => count(
            *gold,
            pairs.len(),
            pairs.iter().position(|(_, choice)| choice.is_empty()),
        ),
        Content::ChoicesTokens { choices, gold, .. } => {
            count(*gold, choices.len(), choices.iter().position(Vec::is_empty))
        }
    }
}
