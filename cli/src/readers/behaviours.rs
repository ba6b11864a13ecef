//! Model-written behaviours (Anthropic): questions whose answer shows a behaviour or does not.
//!
//! The files are the published ones, `<behaviour>.jsonl` with lines
//! `{"question", "answer_matching_behavior", "answer_not_matching_behavior"}`. A distribution is a
//! risk group; its clusters are behaviours. The groups are data ([`RiskGroups`]), because there is no
//! agreed list.
//!
//! The gold choice is the answer that matches the behaviour, not a correct answer: a scorer of its
//! probability ([`MatchingProbability`](relscale::scorer::MatchingProbability)) measures risk.
//!
//! # References
//! Perez et al. (2023), *Discovering Language Model Behaviors with Model-Written Evaluations*,
//! [arXiv:2212.09251](https://arxiv.org/abs/2212.09251).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rows::{reason, rows};
use super::{entries, stem};
use relscale::Error;
use relscale::distribution::jsonl::each_line;
use relscale::distribution::{Content, Item, Items};

/// Table that assigns behaviours to risk groups.
///
/// The default is the table `src/readers/behaviours.csv` of this crate, our own reading of five groups
/// (self-improvement, influence, self-replication, scheming, incorrigibility). Copy and edit it for
/// other groups.
///
/// # Examples
/// ```
/// use relscale_cli::readers::behaviours::RiskGroups;
///
/// let groups = RiskGroups::default();
/// assert_eq!(groups.of("survival-instinct"), Some(Some("incorrigibility")));
/// assert_eq!(groups.of("interest-in-music"), Some(None));
/// assert_eq!(groups.of("no-such-behaviour"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskGroups {
    of: BTreeMap<String, Option<String>>,
}

impl RiskGroups {
    /// Reads a table with the columns `behaviour,group`; an empty group excludes the behaviour.
    ///
    /// # Errors
    /// With the line: a file that cannot be read, other columns, or a behaviour that occurs twice.
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut text = Vec::new();
        let read = relscale::input::file(path).and_then(|mut file| file.read_to_end(&mut text));
        read.map_err(|e| Error::io(path, e))?;
        Self::read(&text, path)
    }

    fn read(table: &[u8], path: &Path) -> Result<Self, Error> {
        let error = |(line, message): (usize, String)| Error::Line {
            path: path.to_owned(),
            line,
            message,
        };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(table);
        let header = reader.headers().map_err(|e| error((1, reason(e.kind()))))?;
        if header.iter().ne(["behaviour", "group"]) {
            return Err(error((
                1,
                "the columns are not `behaviour,group`".to_owned(),
            )));
        }
        let mut of = BTreeMap::new();
        for row in rows(reader, table) {
            let (line, row) = row.map_err(error)?;
            let group = row.get(1).filter(|g| !g.is_empty()).map(str::to_owned);
            let behaviour = row.get(0).unwrap_or_default().to_owned();
            if of.insert(behaviour, group).is_some() {
                let behaviour = row.get(0).unwrap_or_default();
                return Err(error((line, format!("`{behaviour}` comes twice"))));
            }
        }
        Ok(Self { of })
    }

    /// Group of a behaviour: `Some(None)` if it is excluded, `None` if the table does not list it.
    pub fn of(&self, behaviour: &str) -> Option<Option<&str>> {
        self.of.get(behaviour).map(Option::as_deref)
    }
}

impl Default for RiskGroups {
    fn default() -> Self {
        let of = include_str!("behaviours.csv").lines().skip(1);
        let of = of.filter_map(|line| {
            let (behaviour, group) = line.split_once(',')?;
            let group = (!group.is_empty()).then(|| group.to_owned());
            Some((behaviour.to_owned(), group))
        });
        Self { of: of.collect() }
    }
}

/// Text around the questions.
///
/// Exhaustive: it mirrors the fields of a study's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BehaviourOptions {
    /// Text before the question.
    pub before: String,
    /// Text between the question and the answers; the answers begin with a space.
    pub after: String,
}

impl Default for BehaviourOptions {
    /// `Human: …\n\nAssistant:`.
    fn default() -> Self {
        Self {
            before: "Human: ".to_owned(),
            after: "\n\nAssistant:".to_owned(),
        }
    }
}

/// Reads the behaviours under `dir`, at any depth: one distribution per risk group, in alphabetical
/// order.
///
/// An id is the path of the file in `dir` and the number of the line (`"persona/openness/1"`). The two
/// answers are in alphabetical order, so that their order carries no information.
///
/// # Errors
/// A folder without behaviours of any group; a file whose behaviour the table does not list; the first
/// line that is not a question, by number.
///
/// # Examples
/// ```
/// use relscale_cli::readers::behaviours::{self, RiskGroups, BehaviourOptions};
/// use relscale::distribution::{Content, Distribution};
///
/// let dir = std::env::temp_dir().join("relscale-doc-behaviours");
/// std::fs::create_dir_all(&dir)?;
/// std::fs::write(
///     dir.join("survival-instinct.jsonl"),
///     r#"{"question": "Off?\n (A) Yes\n (B) No", "answer_matching_behavior": " (B)",
///        "answer_not_matching_behavior": " (A)"}"#.replace('\n', " "),
/// )?;
/// let groups = behaviours::load(&dir, &RiskGroups::default(), &BehaviourOptions::default())?;
/// assert_eq!(groups[0].name(), "incorrigibility");
/// let item = groups[0].item(0)?;
/// let Content::Choices { choices, gold, .. } = &item.content else { panic!() };
/// assert_eq!(choices[*gold], " (B)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load(
    dir: impl AsRef<Path>,
    groups: &RiskGroups,
    options: &BehaviourOptions,
) -> Result<Vec<Items>, Error> {
    let dir = dir.as_ref();
    let mut found: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for path in behaviours(dir)? {
        let behaviour = stem(&path);
        let group = groups.of(&behaviour).ok_or_else(|| {
            let message = format!(
                "the table of groups has no `{behaviour}`; add a line `{behaviour},` to leave it out"
            );
            Error::format(&path, message)
        })?;
        if let Some(group) = group {
            let items = found.entry(group.to_owned()).or_default();
            let id = path.strip_prefix(dir).unwrap_or(&path).with_extension("");
            read(&path, &id.to_string_lossy(), &behaviour, options, items)?;
        }
    }
    if found.is_empty() {
        return Err(Error::format(dir, "no behaviour that is in a group"));
    }
    found
        .into_iter()
        .map(|(group, items)| Items::new(group, items))
        .collect()
}

/// Depth limit of the search: a link may lead back. The published folders are two deep.
const DEPTH: usize = 8;

/// The files of behaviours at any depth.
fn behaviours(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for path in entries(&dir)? {
            if path.is_dir() && depth < DEPTH {
                open.push((path, depth + 1));
            } else if path.is_file() && path.extension().is_some_and(|e| e == "jsonl") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

// Other fields are allowed: some of the published files have `statement` and `label_confidence`.
#[derive(Deserialize)]
struct Line {
    question: String,
    answer_matching_behavior: String,
    answer_not_matching_behavior: String,
}

fn read(
    path: &Path,
    id: &str,
    behaviour: &str,
    options: &BehaviourOptions,
    items: &mut Vec<Item>,
) -> Result<(), Error> {
    each_line(path, |number, line: Line| {
        let matching = line.answer_matching_behavior;
        let other = line.answer_not_matching_behavior;
        if matching.is_empty() || other.is_empty() {
            return Err("an answer is empty".to_owned());
        }
        if matching == other {
            return Err("both answers are the same".to_owned());
        }
        let gold = usize::from(matching > other);
        let mut choices = vec![matching, other];
        choices.sort();
        items.push(Item {
            id: format!("{id}/{number}"),
            cluster: behaviour.to_owned(),
            content: Content::Choices {
                context: format!("{}{}{}", options.before, line.question, options.after),
                choices,
                gold,
                unconditional: None,
            },
        });
        Ok(())
    })
}
