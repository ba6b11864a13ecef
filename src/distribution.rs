//! Test distributions: finite samples of items to score.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;

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
    },
    /// Continuations of one context in token ids.
    ChoicesTokens {
        /// What comes before.
        context: Vec<u32>,
        /// The continuations.
        choices: Vec<Vec<u32>>,
        /// Index of the right one.
        gold: usize,
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
            check(item).map_err(|m| Error::item(&item.id, m))?;
            if seen.insert(item.id.as_str(), ()).is_some() {
                return Err(Error::item(&item.id, "another item has the same id"));
            }
        }
        Ok(Self {
            name: name.into(),
            items,
        })
    }

    /// Reads a file of JSON lines; the distribution is named after the file.
    ///
    /// A line is one of `{"id", "cluster"?, "text"}`, `{"id", "cluster"?, "tokens": [..]}`,
    /// `{"id", "cluster"?, "context", "choices": [..], "gold"}` and
    /// `{"id", "cluster"?, "context_tokens": [..], "choices_tokens": [[..], ..], "gold"}`; ids and
    /// clusters are strings or integers, further fields are ignored. An item without a cluster is
    /// its own. Empty lines are skipped.
    ///
    /// # Errors
    /// A file that cannot be read, or the first line that is not such an object, by number.
    pub fn from_jsonl(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut items = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
            let line = line.map_err(|e| Error::io(path, e))?;
            let number = number + 1;
            let error = |message: String| Error::Line {
                path: path.to_owned(),
                line: number,
                message,
            };
            let text = std::str::from_utf8(&line).map_err(|e| error(format!("not UTF-8: {e}")))?;
            if text.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(text).map_err(|e| error(e.to_string()))?;
            let item = line.into_item().map_err(error)?;
            if let Some(before) = lines.insert(item.id.clone(), number) {
                return Err(error(format!("id `{}` is also on line {before}", item.id)));
            }
            items.push(item);
        }
        Ok(Self { name, items })
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

/// Checks that there is something to score.
fn check(item: &Item) -> Result<(), String> {
    let count = |gold: usize, choices: usize, empty: Option<usize>| {
        if gold >= choices {
            Err(format!("gold is {gold} of {choices} choices"))
        } else if let Some(empty) = empty {
            Err(format!("choice {empty} is empty"))
        } else {
            Ok(())
        }
    };
    match &item.content {
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

/// An id as files write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(i64),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Number(number) => number.to_string(),
        }
    }
}

/// A line of an items file.
#[derive(Deserialize)]
struct Line {
    id: Name,
    cluster: Option<Name>,
    text: Option<String>,
    tokens: Option<Vec<u32>>,
    context: Option<String>,
    choices: Option<Vec<String>>,
    context_tokens: Option<Vec<u32>>,
    choices_tokens: Option<Vec<Vec<u32>>>,
    gold: Option<usize>,
}

impl Line {
    fn into_item(self) -> Result<Item, String> {
        let parts = (
            self.text,
            self.tokens,
            (self.context, self.choices),
            (self.context_tokens, self.choices_tokens),
            self.gold,
        );
        let content = match parts {
            (Some(text), None, (None, None), (None, None), None) => Content::Text(text),
            (None, Some(tokens), (None, None), (None, None), None) => Content::Tokens(tokens),
            (None, None, (Some(context), Some(choices)), (None, None), Some(gold)) => {
                Content::Choices {
                    context,
                    choices,
                    gold,
                }
            }
            (None, None, (None, None), (Some(context), Some(choices)), Some(gold)) => {
                Content::ChoicesTokens {
                    context,
                    choices,
                    gold,
                }
            }
            _ => {
                return Err(
                    "expected exactly one of: text; tokens; context, choices and gold; \
                            context_tokens, choices_tokens and gold"
                        .to_owned(),
                );
            }
        };
        let id = String::from(self.id);
        let cluster = self.cluster.map_or_else(|| id.clone(), String::from);
        let item = Item {
            id,
            cluster,
            content,
        };
        check(&item)?;
        Ok(item)
    }
}
