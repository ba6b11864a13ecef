//! Arguments of the example, and what follows from the ladder where they are silent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use relscale::Error;
use relscale::evaluate::{Bos, Settings};
use relscale::ladder::RunTable;
use relscale::model::Config;
use relscale::tokenizer::Tokenizer;
use relscale_cli::commands::score::every_window;
use relscale_cli::readers::mmlu::MmluPrompt;

use super::sampling::Window;

/// Arguments of the example.
#[derive(Debug, clap::Parser)]
#[command(about = "The three case studies of relative scaling laws on a ladder", after_help = DATA)]
pub(crate) struct Arguments {
    /// Folder of the data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Folder of the results
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Table of runs with their checkpoints [default: the ladder in suite/]
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) runs: Option<PathBuf>,
    /// Texts whose loss picks the compute-optimal models [default: that of suite/; with --runs, the
    /// mean of the distributions]
    #[arg(long, value_name = "FILE.jsonl", requires = "runs")]
    pub(crate) aggregate: Option<PathBuf>,
    /// Token put before every window and context, or `never` [default: the tokenizer's own rule]
    #[arg(long, value_name = "never|ID", value_parser = every_window, requires = "runs")]
    pub(crate) bos: Option<Bos>,
    /// Input tokens per window, for all models [default: the shortest context of the ladder]
    #[arg(long, value_name = "N", requires = "runs")]
    pub(crate) context: Option<usize>,
    /// Largest number of bytes of a distribution of running text
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub(crate) bytes: usize,
    /// Largest number of questions of a subject or behaviour
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) items: usize,
    /// Few-shot examples before a question of MMLU, from its dev files
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) shots: usize,
    /// Answers of MMLU: letter and text, letter alone, or text without the list of choices
    #[arg(long, value_name = "PROMPT", value_enum, default_value_t = Prompt::LetterAndText)]
    pub(crate) prompt: Prompt,
    /// Begin with "The following are multiple choice questions (with answers) about …"
    #[arg(long)]
    pub(crate) description: bool,
    /// Table `behaviour,group` of the risk groups [default: five groups of our own]
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) groups: Option<PathBuf>,
    /// Table `country,value` of a covariate of the countries, such as the logarithm of their speakers
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) covariate: Option<PathBuf>,
}

const DATA: &str = "\
DIR/evals/mmlu/{test,dev}/<subject>_{test,dev}.csv    questions of MMLU
DIR/evals/anthropic-evals/**/<behaviour>.jsonl        model-written behaviours
DIR/texts/domains-masc/<genre>.jsonl                  documents {\"id\", \"text\"} by genre
DIR/texts/regions-un/<country>.jsonl                  documents {\"id\", \"text\"} by country
DIR/texts/dialects-multivalue/matched.jsonl           sentences {\"id\", \"sae\", \"<dialect>\": …}";

/// The prompts of [`MmluPrompt`] by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prompt {
    LetterAndText,
    Letter,
    Continuation,
}

impl From<Prompt> for MmluPrompt {
    fn from(prompt: Prompt) -> Self {
        match prompt {
            Prompt::LetterAndText => Self::LetterAndText,
            Prompt::Letter => Self::Letter,
            Prompt::Continuation => Self::Continuation,
        }
    }
}

/// The committed ladder.
pub(crate) const LADDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../suite/ladder.csv");

/// Token that the models of the committed ladder were trained to see before every window; no file of
/// theirs says so.
const LADDER_BOS: Bos = Bos::EveryWindow(256);

impl Arguments {
    /// The table of runs.
    pub(super) fn table(&self) -> &Path {
        self.runs.as_deref().unwrap_or(Path::new(LADDER))
    }

    /// The texts that pick the compute-optimal models, if there are any.
    pub(super) fn aggregate(&self) -> Option<PathBuf> {
        match &self.runs {
            Some(_) => self.aggregate.clone(),
            None => Some(Path::new(LADDER).with_file_name("texts/aggregate.jsonl")),
        }
    }

    /// Settings of the scores: all models of the ladder read windows of one length.
    ///
    /// # Errors
    /// A ladder without runs, or a checkpoint whose configuration cannot be read.
    pub(super) fn settings(&self, trained: &RunTable) -> Result<Settings, Error> {
        let mut context = self.context;
        if context.is_none() {
            for run in &trained.runs {
                let own = Config::load(run)?.max_position_embeddings;
                context = Some(context.map_or(own, |least: usize| least.min(own)));
            }
        }
        Ok(Settings {
            bos: match self.runs {
                Some(_) => self.bos.unwrap_or_default(),
                None => LADDER_BOS,
            },
            context,
            ..Settings::default()
        })
    }

    /// The window that questions must fit into.
    ///
    /// # Errors
    /// A ladder without runs, or a tokenizer that cannot be read.
    pub(super) fn window(&self, trained: &RunTable, settings: &Settings) -> Result<Window, Error> {
        let empty = || Error::format(self.table(), "the table has no runs");
        let first = trained.runs.first().ok_or_else(empty)?;
        let tokenizer = Tokenizer::load(first)?;
        let bos = match settings.bos {
            Bos::ModelDefault => tokenizer.adds_bos(),
            Bos::Never => false,
            Bos::First(_) | Bos::EveryWindow(_) => true,
        };
        let tokens = settings.context.ok_or_else(empty)?;
        Ok(Window {
            tokens,
            tokenizer,
            bos,
        })
    }

    /// The covariate by country.
    ///
    /// # Errors
    /// With the line: a file that cannot be read, other columns, or a value that is not finite.
    pub(super) fn covariate(&self) -> Result<BTreeMap<String, f64>, Error> {
        let Some(path) = &self.covariate else {
            return Ok(BTreeMap::new());
        };
        let failure = |line: u64, message: String| Error::Line {
            path: path.clone(),
            line: usize::try_from(line).unwrap_or(usize::MAX),
            message,
        };
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let mut rows = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(file);
        let mut values = BTreeMap::new();
        for row in rows.records() {
            let row = row.map_err(|e| failure(0, e.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let (Some(country), Some(value), None) = (row.get(0), row.get(1), row.get(2)) else {
                return Err(failure(
                    line,
                    "the columns are not `country,value`".to_owned(),
                ));
            };
            match value.parse::<f64>() {
                Ok(number) if number.is_finite() => values.insert(country.to_owned(), number),
                _ => return Err(failure(line, format!("`{value}` is not a finite number"))),
            };
        }
        Ok(values)
    }
}
