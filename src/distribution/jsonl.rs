//! Files of JSON lines: the items file of this crate, and the pieces for reading any other.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Content, Item, Items, check};
use crate::error::Error;
use crate::input;

impl Items {
    /// Reads a file of JSON lines; the distribution is named after the file.
    ///
    /// A line is one of `{"id", "cluster"?, "text"}`, `{"id", "cluster"?, "tokens": [..]}`,
    /// `{"id", "cluster"?, "context", "choices": [..], "gold", "unconditional"?}` and
    /// `{"id", "cluster"?, "context_tokens": [..], "choices_tokens": [[..], ..], "gold",
    /// "unconditional_tokens"?}`, or `{"id", "cluster"?, "contexts": [..], "choices": [..], "gold"}`
    /// with one context per choice ([`Content::Pairs`]). Ids and clusters are strings or integers. An item without a cluster
    /// is a cluster of its own. Empty lines are skipped; other fields are refused, so that a
    /// misspelt `unconditional` is not ignored. The file may be compressed with gzip or Zstandard (feature
    /// `compressed`), or Parquet with columns of these names (feature `parquet`).
    ///
    /// # Errors
    /// A file that cannot be read or has no items, or the first line that is not such an object, by
    /// number.
    pub fn from_jsonl(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut lines = Lines::default();
        each_line(path, |number, line| lines.add(number, line))?;
        lines.items(path, input::stem(path))
    }

    /// Reads lines as those of [`from_jsonl`](Self::from_jsonl) from `source`, which is not compressed;
    /// `name` is that of the distribution, and stands for the file in errors.
    ///
    /// # Errors
    /// As [`from_jsonl`](Self::from_jsonl).
    ///
    /// # Examples
    /// ```
    /// use relscale::distribution::{Distribution, Items};
    ///
    /// let lines = r#"{"id": 1, "text": "Hello"}"#;
    /// let items = Items::read_jsonl(lines.as_bytes(), "greetings")?;
    /// assert_eq!((items.name(), items.len()), ("greetings", 1));
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn read_jsonl(source: impl BufRead, name: &str) -> Result<Self, Error> {
        let path = Path::new(name);
        let mut lines = Lines::default();
        each_line_of(source, path, |number, line| lines.add(number, line))?;
        lines.items(path, name.to_owned())
    }
}

/// Calls `read` with the number (from 1) and the value of every line that is not empty. A byte-order
/// mark at the start of the file is skipped. The file may be compressed
/// ([`input::open`]) or, with the feature `parquet`, Parquet, whose columns are then the fields.
///
/// # Errors
/// A file that cannot be read, or an [`Error::Line`] for the first line that is not UTF-8, is not a
/// `T` in JSON, or is refused by `read`.
pub fn each_line<T: DeserializeOwned, E: std::fmt::Display>(
    path: &Path,
    read: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    #[cfg(feature = "parquet")]
    {
        let file = input::file(path).map_err(io)?;
        if input::parquet::is_parquet_file(&file).map_err(io)? {
            return super::parquet::each_row(path, file, read);
        }
    }
    each_line_of(input::open(path).map_err(io)?, path, read)
}

/// The same for lines that `path` stands for in errors.
fn each_line_of<T: DeserializeOwned, E: std::fmt::Display>(
    input: impl BufRead,
    path: &Path,
    mut read: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    // Bytes, not `lines()`: its error about UTF-8 has no line number.
    for (number, line) in input.split(b'\n').enumerate() {
        let line = line.map_err(io)?;
        let number = number + 1;
        let error = |message: String| Error::Line {
            path: path.to_owned(),
            line: number,
            message,
        };
        let text = std::str::from_utf8(&line).map_err(|e| error(format!("not UTF-8: {e}")))?;
        let text = match number {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text),
            _ => text,
        };
        // Files that were edited by hand often end in empty lines.
        if text.trim().is_empty() {
            continue;
        }
        let value = input::json(text).map_err(|e| error(in_line(&e)))?;
        read(number, value).map_err(|e| error(e.to_string()))?;
    }
    Ok(())
}

/// The fault of a line, by column. The parser's own message would say "line 1" for every line.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("column {}: {what}", error.column()),
        None => text,
    }
}

/// Items of the lines read so far.
#[derive(Default)]
struct Lines {
    items: Vec<Item>,
    seen: Ids,
}

impl Lines {
    fn add(&mut self, number: usize, line: Line) -> Result<(), String> {
        let item = line.into_item()?;
        self.seen.insert(&item.id, number)?;
        self.items.push(item);
        Ok(())
    }

    fn items(self, path: &Path, name: String) -> Result<Items, Error> {
        if self.items.is_empty() {
            return Err(Error::format(path, "no items"));
        }
        let items = self.items;
        Ok(Items { name, items })
    }
}

/// The ids of a file, each with its line.
#[derive(Debug, Default)]
struct Ids(HashMap<String, usize>);

impl Ids {
    fn insert(&mut self, id: &str, line: usize) -> Result<(), String> {
        match self.0.insert(id.to_owned(), line) {
            Some(before) => Err(format!("id `{id}` is also on line {before}")),
            None => Ok(()),
        }
    }
}

/// An id in a file: a string or an integer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    // Data sets number their items; an integer is written back exactly, a fraction would not be.
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
#[serde(deny_unknown_fields)]
struct Line {
    id: Name,
    cluster: Option<Name>,
    text: Option<String>,
    tokens: Option<Vec<u32>>,
    context: Option<String>,
    contexts: Option<Vec<String>>,
    choices: Option<Vec<String>>,
    unconditional: Option<String>,
    context_tokens: Option<Vec<u32>>,
    choices_tokens: Option<Vec<Vec<u32>>>,
    unconditional_tokens: Option<Vec<u32>>,
    gold: Option<usize>,
}

impl Line {
    fn into_item(self) -> Result<Item, String> {
        let id = String::from(self.id);
        // Without clusters, items are taken for independent, as resampling them alone would.
        let cluster = self.cluster.map_or_else(|| id.clone(), String::from);
        let text = (self.context, self.choices, self.unconditional);
        let ids = (
            self.context_tokens,
            self.choices_tokens,
            self.unconditional_tokens,
        );
        let content = match self.contexts {
            None => content(self.text, self.tokens, text, ids, self.gold)?,
            Some(contexts) => match (self.text, self.tokens, text, ids, self.gold) {
                (None, None, (None, Some(choices), None), NO_TOKENS, Some(gold)) => {
                    pairs(contexts, choices, gold)?
                }
                _ => return Err(FORMS.to_owned()),
            },
        };
        check(&content)?;
        Ok(Item {
            id,
            cluster,
            content,
        })
    }
}

/// Context, choices and unconditional context.
type Question<T> = (Option<T>, Option<Vec<T>>, Option<T>);

const NO_TEXT: Question<String> = (None, None, None);
const NO_TOKENS: Question<Vec<u32>> = (None, None, None);
const FORMS: &str = "expected exactly one of: text; tokens; context, choices and gold; contexts, \
                     choices and gold; context_tokens, choices_tokens and gold";

/// Choices that have a context each.
fn pairs(contexts: Vec<String>, choices: Vec<String>, gold: usize) -> Result<Content, String> {
    let counts = (contexts.len(), choices.len());
    if counts.0 != counts.1 {
        return Err(format!("{} contexts for {} choices", counts.0, counts.1));
    }
    let pairs = contexts.into_iter().zip(choices).collect();
    Ok(Content::Pairs { pairs, gold })
}

/// The content of a line, which has the fields of exactly one form.
fn content(
    text: Option<String>,
    tokens: Option<Vec<u32>>,
    question: Question<String>,
    question_tokens: Question<Vec<u32>>,
    gold: Option<usize>,
) -> Result<Content, String> {
    match (text, tokens, question, question_tokens, gold) {
        (Some(text), None, NO_TEXT, NO_TOKENS, None) => Ok(Content::Text(text)),
        (None, Some(tokens), NO_TEXT, NO_TOKENS, None) => Ok(Content::Tokens(tokens)),
        (None, None, (Some(context), Some(choices), unconditional), NO_TOKENS, Some(gold)) => {
            Ok(Content::Choices {
                context,
                choices,
                gold,
                unconditional,
            })
        }
        (None, None, NO_TEXT, (Some(context), Some(choices), unconditional), Some(gold)) => {
            Ok(Content::ChoicesTokens {
                context,
                choices,
                gold,
                unconditional,
            })
        }
        _ => Err(FORMS.to_owned()),
    }
}
