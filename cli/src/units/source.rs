//! What is scored, as the file of a study says it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use relscale::distribution::Items;

use crate::readers::{behaviours, matched, mmlu, multiple_choice, texts};
use relscale::Error;

/// A file or folder that holds one or several distributions, and what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file or folder.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Names of the [scorers](relscale::scorer::by_name).
    pub scorers: Vec<String>,
    /// The context without the question after which every choice is scored too, which the
    /// unconditional scorers need ([`Items::with_unconditional`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconditional: Option<String>,
}

/// What a [`Source`] is, with how it is read: `"items"`, `{"mmlu": {"shots": 0}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Items::from_jsonl`].
    Items,
    /// [`texts::from_jsonl`].
    Corpus(texts::Fields),
    /// [`texts::from_plain`].
    Plain,
    /// [`texts::regions`].
    Regions(texts::Fields),
    /// [`matched::from_jsonl`].
    Matched,
    /// [`multiple_choice::from_jsonl`].
    MultipleChoice(multiple_choice::Fields),
    /// The [groups](mmlu::Mmlu::groups) of a folder of MMLU that it has subjects of.
    Mmlu(mmlu::Options),
    /// [`behaviours::load`] with the groups of this crate.
    Behaviours(behaviours::Options),
}

impl Source {
    /// Reads the distributions; a relative path is relative to `folder`.
    ///
    /// # Errors
    /// What the reader of the kind refuses.
    pub fn load(&self, folder: impl AsRef<Path>) -> Result<Vec<Items>, Error> {
        let path = folder.as_ref().join(&self.path);
        let mut found = match &self.kind {
            Kind::Items => vec![Items::from_jsonl(path)?],
            Kind::Corpus(fields) => vec![texts::from_jsonl(path, fields)?],
            Kind::Plain => vec![texts::from_plain(path)?],
            Kind::Regions(fields) => texts::regions(path, fields)?,
            Kind::Matched => matched::from_jsonl(path)?,
            Kind::MultipleChoice(fields) => vec![multiple_choice::from_jsonl(path, fields)?],
            Kind::Mmlu(options) => {
                let mmlu = mmlu::Mmlu::load(path)?;
                let there = |group: &mmlu::Group| mmlu.subjects().iter().any(|s| s.group == *group);
                let groups = mmlu::Group::ALL.into_iter().filter(there);
                groups
                    .map(|group| mmlu.group(group, options))
                    .collect::<Result<_, _>>()?
            }
            Kind::Behaviours(options) => {
                behaviours::load(path, &behaviours::Groups::default(), options)?
            }
        };
        if let Some(context) = &self.unconditional {
            found = found
                .into_iter()
                .map(|items| items.with_unconditional(context))
                .collect();
        }
        Ok(found)
    }
}
