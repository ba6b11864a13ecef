//! `relscale score`: log-likelihoods of the items of one file under one checkpoint.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use relscale::Error;
use relscale::checkpoint::Checkpoint;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Progress, Settings};
use relscale::scorer::{Likelihoods, Sequence};
use relscale::tokenizer::Tokenizer;
use serde_json::{Map, Value};

use super::CommandError;
use super::engine::EngineArguments;
use super::ladder::WindowArguments;
use super::values::count;
use crate::engine::Replicas;
use crate::output::{note, warn};

const AFTER: &str = "\
Examples:
  relscale score --checkpoint DIR --items texts.jsonl --out scores.jsonl
  relscale score --checkpoint DIR --items questions.jsonl --out scores.jsonl --truncate --bos never
  relscale score --checkpoint DIR --items texts.jsonl --out scores.jsonl --backend cuda --device 0,1
  relscale score --checkpoint ADAPTER --base DIR --items texts.jsonl --out scores.jsonl

A line of ITEMS is {\"id\", \"text\"}, {\"id\", \"context\", \"choices\", \"gold\"} or, with a context per
choice, {\"id\", \"contexts\", \"choices\", \"gold\"}, each with an optional \"cluster\". A line of OUT holds log-likelihood (nats), tokens and bytes of the same item.";

/// Scores the items of one file with one checkpoint.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ScoreArguments {
    /// Folder of the checkpoint, or of a LoRA adapter
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Folder of the base of the adapter, or a folder of bases [default: the folder that
    /// adapter_config.json names]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Items to score (JSON lines)
    #[arg(long, value_name = "FILE.jsonl")]
    items: PathBuf,
    /// File of the scores (JSON lines)
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
    /// Token put before every window of a text and every context, or `never` [default: the
    /// tokenizer's own rule]
    #[arg(long, value_name = "never|ID", value_parser = every_window)]
    bos: Option<Bos>,
    /// Token put before the first window and before every context only
    #[arg(long, value_name = "ID", conflicts_with = "bos")]
    bos_first: Option<u32>,
    /// Drop the start of contexts that are too long for the model
    #[arg(long)]
    truncate: bool,
    /// Turn special tokens that are written in a text, such as <|endoftext|>, into their ids
    #[arg(long)]
    special_tokens: bool,
    /// Write the log-likelihood of every token
    #[arg(long)]
    per_token: bool,
    /// Evaluate N times, to measure the speed, and write the last answers
    #[arg(long, value_name = "N", value_parser = count(), default_value_t = 1)]
    repeat: usize,
    #[command(flatten)]
    windows: WindowArguments,
    #[command(flatten)]
    engine: EngineArguments,
}

/// The policy that `--bos` names: `never`, or the id of the token before every window and context.
///
/// # Errors
/// Another text.
pub fn every_window(text: &str) -> Result<Bos, String> {
    if text == "never" {
        return Ok(Bos::Never);
    }
    let id = text.parse().map(Bos::EveryWindow);
    id.map_err(|_| "neither `never` nor the id of a token".to_owned())
}

impl ScoreArguments {
    fn checkpoint(&self) -> Checkpoint {
        let checkpoint = Checkpoint::from(&self.checkpoint);
        match &self.base {
            None => checkpoint,
            Some(base) => checkpoint.with_base(base),
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = self.windows.settings();
        if let Some(bos) = self.bos.or(self.bos_first.map(Bos::First)) {
            settings.bos = bos;
        }
        settings.truncate = self.truncate;
        settings
    }
}

pub(super) fn run(arguments: &ScoreArguments) -> Result<(), CommandError> {
    let engine = arguments.engine.engine()?;
    let settings = arguments.settings();
    let start = Instant::now();
    let items = Items::from_jsonl(&arguments.items)?;
    let checkpoint = arguments.checkpoint();
    let model = engine.load(&checkpoint, settings.batch_tokens)?;
    let is_text = |i| items.item(i).is_ok_and(|item| item.content.is_text());
    // Items given as tokens need no tokenizer, and a checkpoint may come without one.
    let tokenizer = if (0..items.len()).any(is_text) {
        let tokenizer = Tokenizer::load(checkpoint.tokenizer()?)?;
        Some(tokenizer.with_special_tokens_parsed(arguments.special_tokens))
    } else {
        None
    };
    let mut evaluation = model.evaluation();
    if let Some(tokenizer) = &tokenizer {
        evaluation = evaluation.tokenizer(tokenizer);
    }
    warn(&arguments.checkpoint, &evaluation.warnings());
    let loaded = start.elapsed();
    let mut answers = Vec::new();
    for _ in 0..arguments.repeat {
        answers = measured(&model, tokenizer.as_ref(), settings, &items, loaded)?;
    }
    write_answers(&answers, arguments)?;
    Ok(())
}

/// Evaluates once, with progress and speed on standard error.
fn measured(
    model: &Replicas,
    tokenizer: Option<&Tokenizer>,
    settings: Settings,
    items: &Items,
    loaded: Duration,
) -> Result<Vec<Likelihoods>, Error> {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} tokens, {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let progress = |p: Progress| {
        bar.set_length(p.total as u64);
        bar.set_position(p.tokens as u64);
    };
    let start = Instant::now();
    let mut evaluation = model.evaluation().settings(settings).progress(progress);
    if let Some(tokenizer) = tokenizer {
        evaluation = evaluation.tokenizer(tokenizer);
    }
    let answers = evaluation.log_likelihoods(items)?;
    let tokens = bar.position();
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    note(&format!(
        "{} items, {tokens} tokens in {seconds:.4} s ({:.0} tokens/s); loaded in {:.3} s",
        answers.len(),
        tokens as f64 / seconds,
        loaded.as_secs_f64()
    ));
    Ok(answers)
}

fn write_answers(answers: &[Likelihoods], arguments: &ScoreArguments) -> Result<(), Error> {
    let io = |e| Error::io(&arguments.out, e);
    let mut out = BufWriter::new(File::create(&arguments.out).map_err(io)?);
    for item in answers {
        let line = Value::Object(record(item, arguments.per_token));
        writeln!(out, "{line}").map_err(io)?;
    }
    out.flush().map_err(io)?;
    let warned = answers.iter().filter(|a| !a.warnings.is_empty()).count();
    if warned > 0 {
        note(&format!(
            "{warned} items have warnings, written with them to {}",
            arguments.out.display()
        ));
    }
    Ok(())
}

/// One line of the output.
fn record(item: &Likelihoods, per_token: bool) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("id".to_owned(), item.id.as_str().into());
    line.insert("cluster".to_owned(), item.cluster.as_str().into());
    // A text has one value, an item of choices a list with one value per choice.
    let mut put = |name: &str, values: Vec<Value>| {
        let value = match (item.gold, values) {
            (None, mut one) if one.len() == 1 => one.remove(0),
            (_, list) => list.into(),
        };
        line.insert(name.to_owned(), value);
    };
    let of = |f: &dyn Fn(&Sequence) -> Value| item.sequences.iter().map(f).collect::<Vec<_>>();
    put("log_likelihood", of(&|s| s.log_likelihood().into()));
    put("tokens", of(&|s| s.log_likelihoods.len().into()));
    if item.sequences.iter().all(|s| s.bytes.is_some()) {
        put("bytes", of(&|s| s.bytes.into()));
    }
    if !item.unconditional.is_empty() {
        let sums = item.unconditional.iter().map(|s| s.log_likelihood().into());
        put("unconditional", sums.collect());
    }
    if per_token {
        put(
            "token_log_likelihoods",
            of(&|s| s.log_likelihoods.clone().into()),
        );
    }
    if !item.warnings.is_empty() {
        let warnings = item.warnings.iter().map(|w| w.to_string().into()).collect();
        line.insert("warnings".to_owned(), Value::Array(warnings));
    }
    line
}
