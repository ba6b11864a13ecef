//! MMLU: 57 subjects of four-choice questions in four groups.
//!
//! The files are those of Hendrycks et al. (2021): a folder with `test/<subject>_test.csv` and, for
//! few-shot examples, `dev/<subject>_dev.csv`. A row holds the question, its four choices and the
//! answer (`A` to `D`, or 0 to 3); a header `question,…,answer` is skipped. Subjects are clusters,
//! because questions of one subject are not independent.
//!
//! # References
//! Hendrycks, Burns, Basart, Zou, Mazeika, Song and Steinhardt (2021), *Measuring Massive Multitask
//! Language Understanding*, [arXiv:2009.03300](https://arxiv.org/abs/2009.03300).

use std::path::Path;

use super::{files, stem};
use relscale::Error;
use relscale::distribution::Items;

mod group;
mod prompt;
mod table;

pub use group::MmluGroup;
pub use prompt::{MmluOptions, MmluPrompt, MmluQuestion, MmluSubject};
use table::questions;

/// The subjects of an MMLU folder.
///
/// # Examples
/// ```
/// use relscale_cli::readers::mmlu::{MmluGroup, Mmlu, MmluOptions, MmluPrompt};
/// use relscale::distribution::{Content, Distribution};
///
/// let dir = std::env::temp_dir().join("relscale-doc-mmlu");
/// std::fs::create_dir_all(dir.join("test"))?;
/// std::fs::write(dir.join("test/anatomy_test.csv"), "Where is the atlas?,Foot,Hand,Neck,Hip,C\n")?;
/// let options = MmluOptions { prompt: MmluPrompt::LetterAndText, shots: 0, description: false };
/// let stem = Mmlu::load(&dir)?.group(MmluGroup::Stem, &options)?;
/// let item = stem.item(0)?;
/// assert_eq!((item.id.as_str(), item.cluster.as_str()), ("anatomy/0", "anatomy"));
/// let Content::Choices { context, choices, gold, .. } = &item.content else { panic!() };
/// assert_eq!(context, "Where is the atlas?\nA. Foot\nB. Hand\nC. Neck\nD. Hip\nAnswer:");
/// assert_eq!(choices[*gold], " C. Neck");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mmlu {
    subjects: Vec<MmluSubject>,
}

impl Mmlu {
    /// Reads every subject of `dir/test`, with its few-shot examples from `dir/dev` if they exist.
    ///
    /// # Errors
    /// A folder without subjects; a file that is not named after a subject; the first row that is not
    /// a question, with line and column.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let test = dir.join("test");
        let mut subjects = Vec::new();
        for path in files(&test, "csv")? {
            let file = stem(&path);
            let subject = file
                .strip_suffix("_test")
                .and_then(|name| Some((name, MmluGroup::of(name)?)));
            let Some((name, group)) = subject else {
                let message = "the name is not `<subject>_test.csv` with a subject of MMLU";
                return Err(Error::format(path, message));
            };
            let dev = dir.join("dev").join(format!("{name}_dev.csv"));
            let dev = if dev.exists() {
                questions(&dev)?
            } else {
                Vec::new()
            };
            subjects.push(MmluSubject {
                name: name.to_owned(),
                group,
                dev,
                test: questions(&path)?,
            });
        }
        if subjects.is_empty() {
            return Err(Error::format(test, "no file `<subject>_test.csv`"));
        }
        Ok(Self { subjects })
    }

    /// The subjects in alphabetical order.
    pub fn subjects(&self) -> &[MmluSubject] {
        &self.subjects
    }

    /// The questions of one group; its subjects are the clusters.
    ///
    /// # Errors
    /// More shots than a subject has examples, or a group without subjects in the folder.
    pub fn group(&self, group: MmluGroup, options: &MmluOptions) -> Result<Items, Error> {
        let mut items = Vec::new();
        for subject in self.subjects.iter().filter(|s| s.group == group) {
            items.extend(subject.items(options)?);
        }
        if items.is_empty() {
            let message = format!("the folder has no subject of `{}`", group.name());
            return Err(Error::Option {
                option: "group",
                message,
            });
        }
        Items::new(group.name(), items)
    }

    /// All four groups.
    ///
    /// # Errors
    /// As [`Mmlu::group`].
    pub fn groups(&self, options: &MmluOptions) -> Result<Vec<Items>, Error> {
        let group = |group| self.group(group, options);
        MmluGroup::ALL.into_iter().map(group).collect()
    }

    /// The questions of one subject, all in one cluster.
    ///
    /// # Errors
    /// A subject that the folder lacks, or more shots than the subject has examples.
    pub fn subject(&self, name: &str, options: &MmluOptions) -> Result<Items, Error> {
        let subject = self.subjects.iter().find(|s| s.name == name);
        let Some(subject) = subject else {
            return Err(Error::Option {
                option: "subject",
                message: format!("the folder has no `{name}`"),
            });
        };
        Items::new(name, subject.items(options)?)
    }
}
