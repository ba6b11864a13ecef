//! MMLU: 57 subjects of four-choice questions in four groups.
//!
//! The files are those of Hendrycks and others (2021): a folder with `test/<subject>_test.csv` and,
//! for few-shot examples, `dev/<subject>_dev.csv`. A row is the question, its four choices and the
//! answer (`A` to `D`, or 0 to 3); a header `question,…,answer` is skipped where there is one.
//! Subjects are clusters: questions of one subject are not independent.
//!
//! # References
//! Hendrycks, Burns, Basart, Zou, Mazeika, Song and Steinhardt (2021), *Measuring Massive Multitask
//! Language Understanding*, [arXiv 2009.03300](https://arxiv.org/abs/2009.03300).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{files, stem};
use relscale::Error;
use relscale::distribution::{Content, Item, Items};

/// A quarter of MMLU.
///
/// The division is that of lm-evaluation-harness, in which anatomy is a STEM subject; the table of
/// the authors of MMLU has it under health, which belongs to [`MmluGroup::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MmluGroup {
    /// Science, technology, engineering and mathematics: 19 subjects.
    Stem,
    /// 13 subjects.
    Humanities,
    /// 12 subjects.
    SocialSciences,
    /// Business, health and what is left: 13 subjects.
    Other,
}

impl MmluGroup {
    /// The four, in the order of the harness.
    pub const ALL: [Self; 4] = [
        Self::Stem,
        Self::Humanities,
        Self::SocialSciences,
        Self::Other,
    ];

    /// Name in results (`"social_sciences"`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Stem => "stem",
            Self::Humanities => "humanities",
            Self::SocialSciences => "social_sciences",
            Self::Other => "other",
        }
    }

    /// Its subjects, as the names of the files write them.
    pub fn subjects(self) -> &'static [&'static str] {
        match self {
            Self::Stem => &[
                "abstract_algebra",
                "anatomy",
                "astronomy",
                "college_biology",
                "college_chemistry",
                "college_computer_science",
                "college_mathematics",
                "college_physics",
                "computer_security",
                "conceptual_physics",
                "electrical_engineering",
                "elementary_mathematics",
                "high_school_biology",
                "high_school_chemistry",
                "high_school_computer_science",
                "high_school_mathematics",
                "high_school_physics",
                "high_school_statistics",
                "machine_learning",
            ],
            Self::Humanities => &[
                "formal_logic",
                "high_school_european_history",
                "high_school_us_history",
                "high_school_world_history",
                "international_law",
                "jurisprudence",
                "logical_fallacies",
                "moral_disputes",
                "moral_scenarios",
                "philosophy",
                "prehistory",
                "professional_law",
                "world_religions",
            ],
            Self::SocialSciences => &[
                "econometrics",
                "high_school_geography",
                "high_school_government_and_politics",
                "high_school_macroeconomics",
                "high_school_microeconomics",
                "high_school_psychology",
                "human_sexuality",
                "professional_psychology",
                "public_relations",
                "security_studies",
                "sociology",
                "us_foreign_policy",
            ],
            Self::Other => &[
                "business_ethics",
                "clinical_knowledge",
                "college_medicine",
                "global_facts",
                "human_aging",
                "management",
                "marketing",
                "medical_genetics",
                "miscellaneous",
                "nutrition",
                "professional_accounting",
                "professional_medicine",
                "virology",
            ],
        }
    }

    /// The group of a subject.
    pub fn of(subject: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|group| group.subjects().contains(&subject))
    }
}

/// What a question looks like and what is scored after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MmluPrompt {
    /// The standard prompt, `question\nA. …\nB. …\nC. …\nD. …\nAnswer:`, and a letter with its
    /// text, `" A. …"`.
    #[default]
    LetterAndText,
    /// The standard prompt and a letter, `" A"`.
    Letter,
    /// The question alone, `Question: …\nAnswer:`, and the text of a choice, `" …"`.
    Continuation,
}

/// How questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmluOptions {
    /// What a question looks like.
    pub prompt: MmluPrompt,
    /// Questions of `dev`, with their answers, before the one that is scored: the first ones of
    /// the subject.
    pub shots: usize,
    /// Whether everything begins with `The following are multiple choice questions (with answers)
    /// about <subject>.`
    pub description: bool,
}

impl Default for MmluOptions {
    /// Five shots of [`MmluPrompt::LetterAndText`] after the description.
    fn default() -> Self {
        Self {
            prompt: MmluPrompt::default(),
            shots: 5,
            description: true,
        }
    }
}

/// A four-choice question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub question: String,
    /// What may be answered, A to D.
    pub choices: [String; 4],
    /// Index of the right answer.
    pub answer: usize,
}

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

impl Question {
    fn context(&self, prompt: MmluPrompt) -> String {
        let question = self.question.trim();
        let [a, b, c, d] = &self.choices;
        match prompt {
            MmluPrompt::Continuation => format!("Question: {question}\nAnswer:"),
            MmluPrompt::Letter | MmluPrompt::LetterAndText => {
                format!("{question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:")
            }
        }
    }

    fn continuation(&self, prompt: MmluPrompt, choice: usize) -> String {
        let (letter, text) = (LETTERS[choice], &self.choices[choice]);
        match prompt {
            MmluPrompt::Continuation => format!(" {text}"),
            MmluPrompt::Letter => format!(" {letter}"),
            MmluPrompt::LetterAndText => format!(" {letter}. {text}"),
        }
    }
}

/// The questions of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Name in the file names (`"high_school_biology"`).
    pub name: String,
    /// Where it belongs.
    pub group: MmluGroup,
    /// Few-shot examples.
    pub dev: Vec<Question>,
    /// Questions to score.
    pub test: Vec<Question>,
}

impl Subject {
    fn items(&self, options: &MmluOptions) -> Result<Vec<Item>, Error> {
        let prompt = options.prompt;
        let mut before = String::new();
        if options.description {
            let kind = match prompt {
                MmluPrompt::Continuation => "questions",
                MmluPrompt::Letter | MmluPrompt::LetterAndText => "multiple choice questions",
            };
            let subject = self.name.replace('_', " ");
            before = format!("The following are {kind} (with answers) about {subject}.\n\n");
        }
        let Some(shots) = self.dev.get(..options.shots) else {
            let (asked, there) = (options.shots, self.dev.len());
            return Err(Error::Option {
                option: "shots",
                message: format!("{asked} asked for, `{}` has {there} in dev", self.name),
            });
        };
        for shot in shots {
            before += &shot.context(prompt);
            before += &shot.continuation(prompt, shot.answer);
            before += "\n\n";
        }
        let items = self.test.iter().enumerate().map(|(number, question)| Item {
            id: format!("{}/{number}", self.name),
            cluster: self.name.clone(),
            content: Content::Choices {
                context: format!("{before}{}", question.context(prompt)),
                choices: (0..4).map(|c| question.continuation(prompt, c)).collect(),
                gold: question.answer,
                unconditional: None,
            },
        });
        Ok(items.collect())
    }
}

/// A folder of MMLU.
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
    subjects: Vec<Subject>,
}

impl Mmlu {
    /// Reads every subject of `dir/test`, with its examples from `dir/dev` where they are there.
    ///
    /// # Errors
    /// A folder without subjects, a file whose name is not that of a subject, and the first row
    /// that is not a question, by line and column.
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
            subjects.push(Subject {
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

    /// The subjects, in the order of their names.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The questions of a group; the subjects are its clusters.
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

    /// The four groups.
    ///
    /// # Errors
    /// As [`Mmlu::group`].
    pub fn groups(&self, options: &MmluOptions) -> Result<Vec<Items>, Error> {
        let group = |group| self.group(group, options);
        MmluGroup::ALL.into_iter().map(group).collect()
    }

    /// The questions of one subject, a cluster in all.
    ///
    /// # Errors
    /// A subject that the folder does not have, or more shots than it has examples.
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

/// Names of the columns, for errors.
const COLUMNS: [&str; 6] = [
    "question", "choice A", "choice B", "choice C", "choice D", "answer",
];

fn questions(path: &Path) -> Result<Vec<Question>, Error> {
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_path(path)
        .map_err(|e| super::csv_error(path, &e))?;
    let mut questions = Vec::new();
    for (index, row) in rows.records().enumerate() {
        let row = row.map_err(|e| super::csv_error(path, &e))?;
        if index == 0 && row.get(0) == Some("question") && row.get(5) == Some("answer") {
            continue;
        }
        let line = row.position().map_or(0, |p| p.line() as usize);
        let error = |message: String| Error::Line {
            path: path.to_owned(),
            line,
            message,
        };
        let fields: Vec<&str> = row.iter().collect();
        let &[question, a, b, c, d, answer] = fields.as_slice() else {
            let message = format!("{} columns; a question has {}", fields.len(), COLUMNS.len());
            return Err(error(message));
        };
        if let Some(empty) = fields.iter().position(|f| f.trim().is_empty()) {
            return Err(error(format!("column `{}` is empty", COLUMNS[empty])));
        }
        let answer = match answer.trim() {
            "A" | "0" => 0,
            "B" | "1" => 1,
            "C" | "2" => 2,
            "D" | "3" => 3,
            other => {
                let message = format!("column `answer`: `{other}` is not A to D or 0 to 3");
                return Err(error(message));
            }
        };
        questions.push(Question {
            question: question.to_owned(),
            choices: [a, b, c, d].map(str::to_owned),
            answer,
        });
    }
    Ok(questions)
}
