//! Questions as prompts.

use serde::{Deserialize, Serialize};

use super::MmluGroup;
use relscale::Error;
use relscale::distribution::{Content, Item};

/// Form of a question and of the continuations that are scored after it.
///
/// Non-exhaustive: other harnesses ask in other forms.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MmluPrompt {
    /// The standard prompt, `question\nA. …\nB. …\nC. …\nD. …\nAnswer:`, followed by a letter and its
    /// text, `" A. …"`.
    #[default]
    LetterAndText,
    /// The standard prompt followed by a letter, `" A"`.
    Letter,
    /// The question without its choices, `Question: …\nAnswer:`, followed by the text of a choice,
    /// `" …"`.
    Continuation,
}

/// Prompt and few-shot examples of the questions.
///
/// Exhaustive: it mirrors the fields of a study's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MmluOptions {
    /// Form of a question.
    pub prompt: MmluPrompt,
    /// Number of few-shot examples: the first questions of the subject in `dev`, with their answers.
    pub shots: usize,
    /// If true, the context begins with `The following are multiple choice questions (with answers)
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
///
/// Exhaustive: it mirrors the columns of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MmluQuestion {
    /// Text of the question.
    pub question: String,
    /// Choices A to D.
    pub choices: [String; 4],
    /// Index of the right answer.
    pub answer: usize,
}

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

impl MmluQuestion {
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

/// The questions of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MmluSubject {
    /// Name, spelt as in the names of the files (`"high_school_biology"`).
    pub name: String,
    /// Group of the subject.
    pub group: MmluGroup,
    /// Few-shot examples.
    pub dev: Vec<MmluQuestion>,
    /// Questions to score.
    pub test: Vec<MmluQuestion>,
}

impl MmluSubject {
    pub(super) fn items(&self, options: &MmluOptions) -> Result<Vec<Item>, Error> {
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
                message: format!(
                    "{asked} asked for, `{}` has {there} in dev; ask for fewer or add dev/{0}_dev.csv",
                    self.name
                ),
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
