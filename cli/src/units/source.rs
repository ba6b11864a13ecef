//! The distributions of a study.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use relscale::distribution::Items;
use relscale::scorer::{self, Scorer};

use crate::readers::behaviours::{self, BehaviourOptions, RiskGroups};
use crate::readers::matched;
use crate::readers::mmlu::{Mmlu, MmluGroup, MmluOptions};
use crate::readers::multiple_choice::{self, ChoiceFields};
use crate::readers::texts::{self, TextFields};
use relscale::Error;

/// A file or folder that holds one or several distributions, and the scorers to apply.
///
/// Exhaustive: it mirrors the fields of the study's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file or folder.
    pub path: PathBuf,
    /// Reader of the file or folder.
    pub kind: SourceKind,
    /// Names of the [scorers](relscale::scorer::by_name).
    pub scorers: Vec<String>,
    /// Context without the question, for the unconditional scorers: every choice is scored after it,
    /// too ([`Items::with_unconditional`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconditional: Option<String>,
}

/// Reader of a [`Source`] with its options: `"items"`, `{"mmlu": {"shots": 0}}`.
///
/// Non-exhaustive: further benchmarks will bring further readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceKind {
    /// [`Items::from_jsonl`].
    Items,
    /// [`texts::from_jsonl`].
    Corpus(TextFields),
    /// [`texts::from_plain`].
    Plain,
    /// [`texts::regions`].
    Regions(TextFields),
    /// [`matched::from_jsonl`].
    Matched,
    /// [`multiple_choice::from_jsonl`].
    MultipleChoice(ChoiceFields),
    /// The [groups](Mmlu::group) of an MMLU folder that have subjects in it.
    Mmlu(MmluOptions),
    /// [`behaviours::load`] with the groups of this crate.
    Behaviours(BehaviourOptions),
}

impl Source {
    /// Reads the distributions; a relative path is relative to `folder`.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn load(&self, folder: impl AsRef<Path>) -> Result<Vec<Items>, Error> {
        let path = folder.as_ref().join(&self.path);
        let mut found = match &self.kind {
            SourceKind::Items => vec![Items::from_jsonl(path)?],
            SourceKind::Corpus(fields) => vec![texts::from_jsonl(path, fields)?],
            SourceKind::Plain => vec![texts::from_plain(path)?],
            SourceKind::Regions(fields) => texts::regions(path, fields)?,
            SourceKind::Matched => matched::from_jsonl(path)?,
            SourceKind::MultipleChoice(fields) => vec![multiple_choice::from_jsonl(path, fields)?],
            SourceKind::Mmlu(options) => {
                let mmlu = Mmlu::load(path)?;
                let there = |group: &MmluGroup| mmlu.subjects().iter().any(|s| s.group == *group);
                let groups = MmluGroup::ALL.into_iter().filter(there);
                groups
                    .map(|group| mmlu.group(group, options))
                    .collect::<Result<_, _>>()?
            }
            SourceKind::Behaviours(options) => {
                behaviours::load(path, &RiskGroups::default(), options)?
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

    /// The scorers by their names, at least one.
    pub(super) fn scorers(&self) -> Result<Vec<Box<dyn Scorer>>, Error> {
        if self.scorers.is_empty() {
            return Err(Error::format(&self.path, "`scorers` is empty"));
        }
        let scorer =
            |name: &String| scorer::by_name(name).map_err(|e| Error::format(&self.path, e));
        self.scorers.iter().map(scorer).collect()
    }
}
