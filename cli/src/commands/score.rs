//! `relscale score`: log-likelihoods of the items of one file under one checkpoint.

mod parquet;
mod part;
mod record;
mod run;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use relscale::Error;
use relscale::distribution::Items;
use relscale::evaluate::{Bos, Settings};
use relscale::output::NewFile;
use serde_json::Value;

use super::engine::EngineArguments;
use super::hub::HubArguments;
use super::ladder::WindowArguments;
use super::values::count;
use super::{CommandError, overwrite};
use crate::hub::Hub;
use crate::interrupt;
use crate::output::note;
use record::Record;
use run::Scoring;

const AFTER: &str = "\
Examples:
  relscale score --checkpoint DIR --items texts.jsonl --out scores.jsonl
  relscale score --checkpoint DIR --items questions.jsonl --out scores.jsonl --truncate --bos never
  relscale score --checkpoint DIR --items texts.jsonl --out scores.jsonl --backend cuda --device 0,1
  relscale score --checkpoint ADAPTER --base DIR --items texts.jsonl --out scores.jsonl
  relscale score --checkpoint hf://ORG/NAME@REVISION --items texts.jsonl --out scores.jsonl
  relscale score --checkpoint step1000 --checkpoint step2000 --items texts.jsonl --out scores.parquet

A line of ITEMS is {\"id\", \"text\"}, {\"id\", \"context\", \"choices\", \"gold\"} or, with a context per
choice, {\"id\", \"contexts\", \"choices\", \"gold\"}, each with an optional \"cluster\". A line of OUT
holds log-likelihood (nats), tokens and bytes of the same item and, with several checkpoints, the
checkpoint.

Until the end every score is kept in OUT.part. Ctrl-C ends at the end of the batch, with exit code 3;
the same command goes on from there, also after a kill.";

/// Scores the items of one file with one or several checkpoints.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ScoreArguments {
    /// Folder of the checkpoint, or of a LoRA adapter, or hf://ORG/NAME@REVISION; repeatable
    #[arg(long, value_name = "DIR", required = true)]
    checkpoint: Vec<PathBuf>,
    /// Folder of the base of every adapter, or a folder of bases [default: the folder that
    /// adapter_config.json names]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Items to score: JSON lines, plain or compressed (.gz, .zst), or Parquet
    #[arg(long, value_name = "FILE")]
    items: PathBuf,
    /// File of the scores: JSON lines, or Parquet with a row per text and per choice
    #[arg(long, value_name = "FILE.jsonl|FILE.parquet")]
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
    #[command(flatten)]
    hub: HubArguments,
}

/// The path of a checkpoint, and of the base of an adapter.
type Place = (PathBuf, Option<PathBuf>);

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
    /// The checkpoints, the adapters among them on the base. A base and no adapter are an error once
    /// the first is loaded.
    fn checkpoints(&self, hub: &Hub) -> Result<Vec<Place>, Error> {
        let all = self.checkpoint.iter();
        let Some(base) = &self.base else {
            return Ok(all.map(|checkpoint| (checkpoint.clone(), None)).collect());
        };
        let adapters = all.clone().map(|checkpoint| hub.is_adapter(checkpoint));
        let adapters: Vec<bool> = adapters.collect::<Result<_, _>>()?;
        let none = !adapters.contains(&true);
        let place = |(checkpoint, is_adapter): (&PathBuf, bool)| {
            let base = (is_adapter || none).then(|| base.clone());
            (checkpoint.clone(), base)
        };
        Ok(all.zip(adapters).map(place).collect())
    }

    fn settings(&self) -> Settings {
        let mut settings = self.windows.settings();
        if let Some(bos) = self.bos.or(self.bos_first.map(Bos::First)) {
            settings.bos = bos;
        }
        settings.truncate = self.truncate;
        settings
    }

    /// If true, the output is Parquet.
    fn is_parquet(&self) -> bool {
        let extension = self.out.extension();
        extension.is_some_and(|e| e.eq_ignore_ascii_case("parquet"))
    }

    /// Refuses an output over the items or a file of a checkpoint, and unfinished scores over them too.
    fn refuse_overwrites(&self) -> Result<(), CommandError> {
        let parts = (0..self.checkpoint.len()).filter_map(|number| self.part(number));
        let written: Vec<PathBuf> = [self.out.clone()].into_iter().chain(parts).collect();
        let outputs = written.iter().map(|path| ("--out", Some(path.as_path())));
        let mut inputs = vec![self.items.clone()];
        for checkpoint in &self.checkpoint {
            let base = self.base.as_deref();
            inputs.extend(overwrite::checkpoint_files(checkpoint, base));
        }
        overwrite::refuse(inputs.iter().map(PathBuf::as_path), outputs)
    }

    /// The file of unfinished scores of checkpoint `number`. None if the output is a device, beside which
    /// nothing should be written, or if the speed is measured.
    fn part(&self, number: usize) -> Option<PathBuf> {
        let resumable = self.repeat == 1 && (self.out.is_file() || !self.out.exists());
        let end = match self.checkpoint.len() {
            1 => ".part".to_owned(),
            _ => format!(".{number}.part"),
        };
        let mut name = self.out.clone().into_os_string();
        name.push(end);
        resumable.then(|| name.into())
    }
}

pub(super) fn run(arguments: &ScoreArguments) -> Result<(), CommandError> {
    if arguments.is_parquet() && arguments.per_token {
        return Err(CommandError::Usage(
            "--per-token has no column in Parquet; write JSON lines (--out FILE.jsonl)".to_owned(),
        ));
    }
    arguments.refuse_overwrites()?;
    let engine = arguments.engine.engine()?;
    let settings = arguments.settings();
    let items = Items::from_jsonl(&arguments.items)?;
    interrupt::watch()?;
    let several = arguments.checkpoint.len() > 1;
    let mut records = Vec::new();
    let mut parts = Vec::new();
    let hub = arguments.hub.hub();
    let checkpoints = arguments.checkpoints(&hub)?;
    for (number, (checkpoint, base)) in checkpoints.iter().enumerate() {
        let part = arguments.part(number);
        let stopped =
            |e: Error| CommandError::stopped(e.into(), || arguments.way_on(part.as_deref()));
        let held = hub.hold(checkpoint, base.as_deref()).map_err(stopped)?;
        let scoring = Scoring {
            checkpoint: held.checkpoint().clone(),
            engine: &engine,
            settings,
            special_tokens: arguments.special_tokens,
            per_token: arguments.per_token,
            repeat: arguments.repeat,
            part: part.as_deref(),
        };
        let mut scored = scoring.run(&items).map_err(stopped)?;
        if several {
            let name = Value::from(checkpoint.display().to_string());
            for record in &mut scored {
                record.insert("checkpoint".to_owned(), name.clone());
            }
        }
        records.extend(scored);
        parts.extend(part);
    }
    if arguments.is_parquet() {
        parquet::write(&records, &arguments.out)?;
    } else {
        write(&records, &arguments.out)?;
    }
    warn_of_items(&records, &arguments.out);
    for part in parts {
        // Its scores are in the output now.
        std::fs::remove_file(&part).map_err(super::at(&part))?;
    }
    Ok(())
}

impl ScoreArguments {
    /// The message about an interrupted run.
    fn way_on(&self, part: Option<&Path>) -> String {
        match part {
            Some(part) => format!(
                "the scores so far are in {}; the same command goes on from there",
                part.display()
            ),
            None => format!(
                "nothing is saved, since {} is no file or --repeat measures the speed",
                self.out.display()
            ),
        }
    }
}

fn write(records: &[Record], path: &Path) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    // What stood there before stays until the new scores are whole.
    let file = NewFile::create(path).map_err(io)?;
    let mut out = BufWriter::new(file.file());
    for record in records {
        serde_json::to_writer(&mut out, record).map_err(|e| io(e.into()))?;
        out.write_all(b"\n").map_err(io)?;
    }
    out.flush().map_err(io)?;
    drop(out);
    file.publish().map_err(io)
}

fn warn_of_items(records: &[Record], path: &Path) {
    let warned = records
        .iter()
        .filter(|r| r.get("warnings").is_some_and(Value::is_array));
    let warned = warned.count();
    if warned > 0 {
        let path = path.display();
        note(&format!(
            "{warned} items have warnings, written with them to {path}"
        ));
    }
}
