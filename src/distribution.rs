//! Test distributions: finite samples of items to score.
//!
//! A module for each kind of file people have: running text ([`texts`]), the same sentences in
//! several forms ([`matched`]), multiple choice ([`mmlu`], [`behaviours`], [`multiple_choice`]).
//! Each gives one [`Items`] for every distribution to be compared (a region, a group of subjects),
//! with the clusters in it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use crate::error::Error;

pub mod jsonl;

/// A finite sample of items with stable ids and cluster ids.
///
/// Items of one cluster (a document, a subject, a speaker) are not independent; clusters are.
pub trait Distribution: Send + Sync {
    /// Name in results.
    fn name(&self) -> &str;

    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item number `index`, the same at every call.
    ///
    /// # Errors
    /// An index that is not there, or an item that cannot be read.
    fn item(&self, index: usize) -> Result<Cow<'_, Item>, Error>;
}

/// Something to score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Unique in its distribution.
    pub id: String,
    /// Items that share it are not independent.
    pub cluster: String,
    /// What is scored.
    pub content: Content,
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

/// What is scored of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A running text, every token of it.
    Text(String),
    /// A running text in token ids.
    Tokens(Vec<u32>),
    /// Continuations of one context, of which `gold` is right.
    Choices {
        /// What comes before; may be empty where a beginning-of-sequence token is used.
        context: String,
        /// The continuations, with the space between where there is one.
        choices: Vec<String>,
        /// Index of the right one.
        gold: usize,
        /// A context without the question (`"Answer:"`), after which every choice is scored too
        /// where it is given: how likely the choice is anyway.
        unconditional: Option<String>,
    },
    /// Continuations of one context in token ids.
    ChoicesTokens {
        /// What comes before.
        context: Vec<u32>,
        /// The continuations.
        choices: Vec<Vec<u32>>,
        /// Index of the right one.
        gold: usize,
        /// A context without the question, as in [`Content::Choices`].
        unconditional: Option<Vec<u32>>,
    },
}

/// Items held in memory.
///
/// # Examples
/// ```
/// use relscale::distribution::{Content, Distribution, Item, Items};
///
/// let item = Item { id: "1".into(), cluster: "a".into(), content: Content::Text("Hello".into()) };
/// let greetings = Items::new("greetings", vec![item])?;
/// assert_eq!(greetings.len(), 1);
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Items {
    name: String,
    items: Vec<Item>,
}

impl Items {
    /// A distribution of `items`.
    ///
    /// # Errors
    /// The first item that has nothing to score, a gold index without a choice, or an id that
    /// another item has.
    pub fn new(name: impl Into<String>, items: Vec<Item>) -> Result<Self, Error> {
        let mut seen = HashMap::new();
        for item in &items {
            item.check()?;
            if seen.insert(item.id.as_str(), ()).is_some() {
                return Err(Error::item(&item.id, "another item has the same id"));
            }
        }
        Ok(Self {
            name: name.into(),
            items,
        })
    }

    /// The same items under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The first `items` items of every cluster, in their order.
    ///
    /// # Examples
    /// ```
    /// use relscale::distribution::{Content, Distribution, Item, Items};
    ///
    /// let item = |id: &str, cluster: &str| Item {
    ///     id: id.into(),
    ///     cluster: cluster.into(),
    ///     content: Content::Text("Hello".into()),
    /// };
    /// let items = vec![item("1", "a"), item("2", "b"), item("3", "a")];
    /// assert_eq!(Items::new("greetings", items)?.first_of_cluster(1).len(), 2);
    /// # Ok::<(), relscale::Error>(())
    /// ```
    #[must_use]
    pub fn first_of_cluster(mut self, items: usize) -> Self {
        let mut taken: HashMap<String, usize> = HashMap::new();
        self.items.retain(|item| {
            let taken = taken.entry(item.cluster.clone()).or_default();
            *taken += 1;
            *taken <= items
        });
        self
    }

    /// Asks for the log-likelihood of every choice after `context` too (`"Answer:"`, or an empty
    /// one where a beginning-of-sequence token is used), which
    /// [`Normalisation::Unconditional`](crate::scorer::Normalisation) needs. Items in tokens stay
    /// as they are.
    #[must_use]
    pub fn with_unconditional(mut self, context: &str) -> Self {
        for item in &mut self.items {
            if let Content::Choices { unconditional, .. } = &mut item.content {
                *unconditional = Some(context.to_owned());
            }
        }
        self
    }
}

impl Distribution for Items {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn item(&self, index: usize) -> Result<Cow<'_, Item>, Error> {
        match self.items.get(index) {
            Some(item) => Ok(Cow::Borrowed(item)),
            None => Err(Error::item(
                index.to_string(),
                format!("`{}` has {} items", self.name, self.items.len()),
            )),
        }
    }
}

/// The name of a file without its folder and extension.
fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
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
        Content::ChoicesTokens { choices, gold, .. } => {
            count(*gold, choices.len(), choices.iter().position(Vec::is_empty))
        }
    }
}
