//! `relscale study`: a study on as many machines as there are.

mod here;
mod preset;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args, Subcommand};
use relscale::checkpoint::Checkpoint;

use super::hub::HubArguments;
use super::values::count;
use super::{CommandError, overwrite};
use crate::engine::{Engine, EngineBackend};
use crate::interrupt;
use crate::ladder_study::note_others;
use crate::output::{error, note, plain, print, progress, spinner};
use crate::units::{SourceKind, Study, StudyPlan, Unit, UnitState, Worker};

const AFTER: &str = "\
Examples:
  relscale study preset relative-scaling-laws --runs runs.csv --mmlu DIR STUDIES
  relscale study plan study.json FOLDER
  relscale study run FOLDER --shard 0/8        # on any machine that sees FOLDER; repeat after a kill
  relscale study list FOLDER --left
  relscale study merge FOLDER --out losses.csv

Checkpoints and bases may be hf://ORG/NAME@REVISION; the plan pins their commits, and `run`
downloads them.

study.json, whose paths are relative to it:
  {\"runs\": \"runs.csv\",             run,corpus,budget,flops,params,tokens,checkpoint[,base]
   \"base\": \"DIR\",                  base of the LoRA adapters among the checkpoints
   \"backend\": \"cpu f32\",           or cuda bf16, f16, f32, tf32, cuda bf16 fast; reference f64
   \"scoring\": {\"bos\": {\"every_window\": 1}, \"context\": 2048},
   \"special_tokens\": false,         true: those written in a text become their ids
   \"unit_flops\": 1e15,             cost of one unit, 2 FLOPs per parameter and token of 4 bytes
   \"distributions\": [
     {\"kind\": \"items\", \"path\": \"texts.jsonl\", \"scorers\": [\"bits_per_byte\"]},
     {\"kind\": {\"mmlu\": {\"shots\": 5}}, \"path\": \"mmlu\",
      \"scorers\": [\"choice_log_loss\", \"error_rate\"]}]}
  kinds: items, plain, matched, and with options in {}: corpus, regions, multiple_choice, mmlu,
  behaviours";

/// Cuts a study into units of work for many machines.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct StudyArguments {
    #[command(subcommand)]
    command: StudyCommand,
}

#[derive(Debug, Subcommand)]
enum StudyCommand {
    /// Cut a study into units, listed in FOLDER/plan.json
    Plan {
        /// File of the study, in JSON or TOML
        #[arg(value_name = "STUDY.json")]
        study: PathBuf,
        /// Folder of the plan and its logs
        folder: PathBuf,
        #[command(flatten)]
        hub: HubArguments,
    },
    Preset(preset::PresetArguments),
    Run(RunArguments),
    /// Show state, FLOPs and name of every unit
    List {
        /// Folder of the plan
        folder: PathBuf,
        /// Show unfinished units only
        #[arg(long)]
        left: bool,
    },
    /// Check that every item is there once and write the long table
    Merge {
        /// Folder of the plan
        folder: PathBuf,
        /// File of the table (CSV)
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Scorer of the losses [default: the first one of every distribution]
        #[arg(long, value_name = "NAME")]
        scorer: Option<String>,
    },
}

/// Scores units; finished ones are left alone.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("units").required(true).args(["names", "shard"])))]
struct RunArguments {
    /// Folder of the plan
    folder: PathBuf,
    /// Names of the units, as `list` shows them
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Score part K (from 0) of N instead of named units
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Threads of the cpu backend [default: one per core]; other backends have none, so that one
    /// job script serves every plan
    #[arg(long, value_name = "N", value_parser = count())]
    threads: Option<usize>,
    /// GPU of the cuda backend [default: 0]
    #[arg(long, value_name = "N")]
    device: Option<usize>,
    #[command(flatten)]
    hub: HubArguments,
}

/// Part `k` of `n`.
#[derive(Debug, Clone, Copy)]
struct Shard {
    k: usize,
    n: usize,
}

impl std::str::FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let (k, n) = parts.ok_or("not K/N, such as 0/8")?;
        Ok(Self { k, n })
    }
}

pub(super) fn run(arguments: &StudyArguments) -> Result<(), CommandError> {
    match &arguments.command {
        StudyCommand::Plan { study, folder, hub } => plan(study, folder, hub),
        StudyCommand::Preset(arguments) => preset::run(arguments),
        StudyCommand::Run(arguments) => score(arguments),
        StudyCommand::List { folder, left } => list(folder, *left),
        StudyCommand::Merge {
            folder,
            out,
            scorer,
        } => merge(folder, out, scorer.as_deref()),
    }
}

fn plan(study: &Path, folder: &Path, hub: &HubArguments) -> Result<(), CommandError> {
    let study = Study::read(study)?;
    // Refused here and not later on every machine.
    EngineBackend::by_name(&study.backend)?;
    let bar = spinner("reading the texts");
    interrupt::watch()?;
    let plan = StudyPlan::create_with(&hub.hub(), folder, &study, &mut |run| {
        bar.set_message(format!("hashing the checkpoint of {}", run.id));
    })
    .map_err(|e| {
        let go_on = "nothing is planned; downloads so far are kept, and the same command uses them";
        CommandError::stopped(e.into(), || go_on.to_owned())
    })?;
    bar.finish_and_clear();
    for source in &study.distributions {
        if matches!(source.kind, SourceKind::Regions(_)) {
            note_others(&source.path)?;
        }
    }
    let flops: Vec<f64> = plan.units().iter().map(|u| u.flops).collect();
    print(&format!(
        "{} units of {:.1e} FLOPs at most, {:.1e} in all, in {}\n",
        flops.len(),
        flops.iter().copied().fold(0.0, f64::max),
        flops.iter().sum::<f64>(),
        folder.join("plan.json").display()
    ))?;
    Ok(())
}

impl RunArguments {
    fn engine(&self, plan: &StudyPlan) -> Result<Engine, CommandError> {
        let mut backend = EngineBackend::by_name(plan.backend())?;
        match (&mut backend, self.device) {
            (EngineBackend::Cpu { threads, .. }, None) => *threads = self.threads,
            (EngineBackend::Cuda { devices, .. }, Some(device)) => *devices = vec![device],
            (EngineBackend::Cuda { .. } | EngineBackend::Reference, None) => {}
            (_, Some(_)) => {
                return Err(CommandError::Usage(format!(
                    "--device does not apply to the backend `{}` of this plan; leave it out",
                    plan.backend()
                )));
            }
        }
        Ok(Engine::new(backend))
    }

    fn units<'a>(&self, plan: &'a StudyPlan) -> Result<Vec<&'a Unit>, CommandError> {
        Ok(match self.shard {
            Some(Shard { k, n }) => plan.shard(k, n)?.iter().collect(),
            None => plan.named(&self.names)?,
        })
    }
}

/// Scores units one by one. A unit that fails does not keep the others from being scored.
fn score(arguments: &RunArguments) -> Result<(), CommandError> {
    let plan = StudyPlan::read(&arguments.folder)?;
    let units = arguments.units(&plan)?;
    let engine = arguments.engine(&plan)?;
    let loaded = Cell::new(None);
    let mut worker = Worker::new(&plan, |checkpoint: &Checkpoint| {
        let model = engine.load_one(checkpoint, plan.batch_tokens())?;
        loaded.set(Some(Instant::now()));
        Ok(model)
    })
    .with_hub(arguments.hub.hub());
    let mut failed = 0;
    interrupt::watch()?;
    for (number, unit) in units.iter().enumerate() {
        let (start, name) = (Instant::now(), unit.name());
        let place = format!("[{} of {}]", number + 1, units.len());
        loaded.set(None);
        let stopped = || {
            CommandError::Interrupted(format!(
                "{place} {name} and what follows are left; the same command goes on from there"
            ))
        };
        // Before a model is loaded for nothing.
        if interrupt::requested() {
            return Err(stopped());
        }
        let bar = progress(0, "{pos}/{len} tokens {msg}").with_message(name.clone());
        let scored = worker.run(unit, &|p| {
            bar.set_length(p.total as u64);
            bar.set_position(p.tokens as u64);
        });
        bar.finish_and_clear();
        match scored {
            Ok(true) => {
                let seconds = |t: Duration| format!("{:.2} s", t.as_secs_f64());
                let loading = loaded.get().map_or(Duration::ZERO, |at| at - start);
                print(&format!(
                    "{place} {name}: {} items in {}, {} of it to load\n",
                    unit.items.len(),
                    seconds(start.elapsed()),
                    seconds(loading)
                ))?;
            }
            Ok(false) => print(&format!("{place} {name}: finished already\n"))?,
            Err(e) if interrupt::is_cause_of(&e) => return Err(stopped()),
            Err(e) => {
                failed += 1;
                error(&format!("{e} {place}"));
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} units failed", units.len()).into()),
    }
}

fn list(folder: &Path, left: bool) -> Result<(), CommandError> {
    let plan = StudyPlan::read(folder)?;
    let (mut done, mut failed, mut flops_done, mut flops) = (0, 0, 0.0, 0.0);
    let mut text = String::new();
    for (unit, state) in plan.units().iter().zip(plan.states()?) {
        flops += unit.flops;
        let (word, remark) = match state {
            UnitState::Done => {
                done += 1;
                flops_done += unit.flops;
                if left {
                    continue;
                }
                ("done", String::new())
            }
            UnitState::Failed { message } => {
                failed += 1;
                (
                    "failed",
                    format!("  {}", plain(&message).replace('\n', " ")),
                )
            }
            UnitState::Started { records } => (
                "started",
                format!("  {records} of {} items", unit.items.len()),
            ),
            UnitState::Open => ("open", String::new()),
        };
        text += &format!("{word:<7} {:.3e} {}{remark}\n", unit.flops, unit.name());
    }
    print(&text)?;
    let all = plan.units().len();
    note(&format!(
        "{done} of {all} units done, {:.0}% of the FLOPs; {} left, {failed} of them failed",
        100.0 * flops_done / flops,
        all - done
    ));
    Ok(())
}

fn merge(folder: &Path, out: &Path, scorer: Option<&str>) -> Result<(), CommandError> {
    overwrite::refuse([folder], [("--out", Some(out))])?;
    let plan = StudyPlan::read(folder)?;
    let texts = plan.source_files();
    overwrite::refuse(texts.iter().map(PathBuf::as_path), [("--out", Some(out))])?;
    let merging = spinner("Merging");
    let devices = plan.merge(out, scorer)?;
    merging.finish_and_clear();
    for device in devices {
        note(&format!("scored on {device}"));
    }
    print(&format!(
        "{} units in {}\n",
        plan.units().len(),
        out.display()
    ))?;
    Ok(())
}
