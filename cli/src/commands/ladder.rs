//! `relscale ladder`: a folder of checkpoints to scores, laws and pictures.

use std::path::{Path, PathBuf};

use clap::Args;
use relscale::evaluate::Settings;
use relscale::fit::Options;
use relscale::input;
use relscale::ladder::RunTable;

use super::engine::EngineArguments;
use super::fit::options_file;
use super::hub::HubArguments;
use super::values::count;
use super::{CommandError, overwrite};
use crate::interrupt;
use crate::json;
use crate::ladder_study::LadderStudy;
use crate::output::{print, warning};
use crate::released;
use crate::runs::name_base;

const AFTER: &str = "\
Examples:
  relscale ladder --checkpoints DIR --list > runs.csv
  relscale ladder --checkpoints DIR --texts DIR --baseline web --out OUT
  relscale ladder --runs runs.csv --texts DIR --baseline web --out OUT --context 2048
  relscale ladder --runs runs.csv --texts DIR --baseline web --out OUT --disk-budget 40GB

The folder of texts holds, for each distribution, a file NAME.jsonl (or .jsonl.gz, .jsonl.zst, .parquet) of
documents {\"text\", \"id\"?}, a file NAME.txt, or a folder NAME of .txt files. Every score goes through a log
in OUT/logs: an interrupted run resumes. Ctrl-C ends at the end of the batch, with exit code 3.
The names of the IsoFLOP suite, Pythia, PolyPythias, DataDecide, the Gemstones, OLMo 2 and Cerebras-GPT are
known; list other checkpoints in a table for --runs. There a checkpoint may be
hf://ORG/NAME@REVISION, which is downloaded once its turn comes (`relscale fetch --help`).";

/// Takes a ladder of checkpoints to scores, laws and pictures.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct LadderArguments {
    #[command(flatten)]
    source: RunSource,
    /// Print the table of runs and stop
    #[arg(long)]
    list: bool,
    /// Folder of the base of the LoRA adapters among the checkpoints, or a folder of bases [default:
    /// the column `base` of the table, or the folder that adapter_config.json names]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Folder of the distributions
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    texts: Option<PathBuf>,
    /// Distribution that the others are compared with
    #[arg(long, value_name = "NAME", required_unless_present_any = ["list", "options"])]
    baseline: Option<String>,
    /// Distribution whose loss picks the compute-optimal sizes [default: mean of all]
    #[arg(long, value_name = "NAME")]
    aggregate: Option<String>,
    /// Options of the estimator in TOML or JSON, as of `fit --options`; --baseline and --aggregate
    /// override it
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Turn special tokens that are written in a text, such as <|endoftext|>, into their ids
    #[arg(long)]
    special_tokens: bool,
    #[command(flatten)]
    windows: WindowArguments,
    #[command(flatten)]
    engine: EngineArguments,
    #[command(flatten)]
    hub: HubArguments,
}

/// Exactly one of the two says which checkpoints there are.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RunSource {
    /// Folder of downloaded checkpoints, recognised by their names
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Table of runs with their checkpoints
    #[arg(long, value_name = "FILE.csv")]
    runs: Option<PathBuf>,
}

/// Options that cut texts into windows and batches.
#[derive(Debug, Args)]
pub(super) struct WindowArguments {
    /// Input tokens per window [default: the model's context]
    #[arg(long, value_name = "N", value_parser = count())]
    context: Option<usize>,
    /// Newly scored tokens per window [default: the whole window]
    #[arg(long, value_name = "N", value_parser = count())]
    stride: Option<usize>,
    /// Token budget of one batch
    #[arg(
        long,
        value_name = "N",
        visible_alias = "max-tokens",
        value_parser = count(),
        default_value_t = Settings::default().batch_tokens
    )]
    batch_tokens: usize,
}

impl WindowArguments {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            context: self.context,
            stride: self.stride,
            batch_tokens: self.batch_tokens,
            ..Settings::default()
        }
    }
}

impl LadderArguments {
    /// The options of the estimator.
    fn options(&self) -> Result<Options, CommandError> {
        let mut options = match (&self.options, &self.baseline) {
            (Some(file), baseline) => options_file::read(file, baseline.as_deref())?,
            (None, Some(baseline)) => Options::new(baseline),
            (None, None) => {
                let message = "--baseline is needed without --options and --list".to_owned();
                return Err(CommandError::Usage(message));
            }
        };
        if self.aggregate.is_some() {
            options.aggregate.clone_from(&self.aggregate);
        }
        Ok(options)
    }
}

pub(super) fn run(arguments: &LadderArguments) -> Result<(), CommandError> {
    let engine = arguments.engine.engine()?.with_hub(arguments.hub.hub());
    let RunSource { checkpoints, runs } = &arguments.source;
    let (mut table, name) = match (runs, checkpoints) {
        (Some(file), _) => (RunTable::from_csv(file)?, file.display().to_string()),
        (None, Some(dir)) => {
            let table = released::run_table(dir)?;
            for found in released::disagreements(&table)? {
                warning(&found);
            }
            (table, dir.display().to_string())
        }
        (None, None) => {
            let message = "one of --checkpoints and --runs is needed".to_owned();
            return Err(CommandError::Usage(message));
        }
    };
    if let Some(base) = &arguments.base {
        name_base(&mut table.runs, base, engine.hub())?;
    }
    if arguments.list {
        let mut csv = Vec::new();
        table.write_csv(&mut csv)?;
        print(&String::from_utf8(csv)?)?;
        return Ok(());
    }
    let (Some(texts), Some(out)) = (&arguments.texts, &arguments.out) else {
        return Err(CommandError::Usage(
            "--texts, --baseline and --out are needed without --list".to_owned(),
        ));
    };
    refuse_other_runs(&table, runs.as_deref(), &out.join("runs.csv"))?;
    let options = arguments.options()?;
    let study = LadderStudy {
        table,
        name,
        texts: texts.clone(),
        options,
        out: out.clone(),
        settings: arguments.windows.settings(),
        special_tokens: arguments.special_tokens,
        engine,
    };
    interrupt::watch()?;
    let (analysis, scored) = study.run().map_err(|e| {
        CommandError::stopped(e, || {
            format!(
                "the scores so far are in {}; the same command goes on from there",
                out.join("logs").display()
            )
        })
    })?;
    print(&format!(
        "{analysis}\nScored {scored} documents; runs, losses, the analysis and the pictures are in {}.\n",
        out.display()
    ))?;
    Ok(())
}

/// Refuses to write the table of runs over that of `--runs`, unless it is one that a ladder has written.
fn refuse_other_runs(
    table: &RunTable,
    runs: Option<&Path>,
    written: &Path,
) -> Result<(), CommandError> {
    let refused = overwrite::refuse(runs, [("--out", Some(written))]);
    if refused.is_ok() {
        return Ok(());
    }
    let mut csv = Vec::new();
    table.write_csv(&mut csv)?;
    match input::text(written, json::SETTINGS) {
        Ok(there) if there.as_bytes() == csv => Ok(()),
        // Columns of it that no ladder has would be lost.
        _ => refused,
    }
}
