//! Scores a study on as many machines as there are: plan, score units, look, merge.
//!
//! ```sh
//! relscale study plan STUDY.json FOLDER          # cuts the study into units, in FOLDER/plan.json
//! relscale study run FOLDER NAME...              # on any machine that sees FOLDER; again after a kill
//! relscale study list FOLDER                     # what is done, what is left, what failed
//! relscale study merge FOLDER --out TABLE.csv    # the table, the same bytes however it was cut
//! ```
//!
//! `cluster/` runs it on Slurm and on Ray.

use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::units::{Plan, State, Study, Unit, Worker};
use indicatif::{ProgressBar, ProgressStyle};
use relscale::Error as Failure;
use relscale::backend::Reference;
use relscale::model::{Model, Transformer};
use relscale_cpu::Cpu;
use relscale_cuda::{Cuda, Precision};

const USAGE: &str = "usage:
  relscale study plan STUDY.json FOLDER     cut a study into units
  relscale study run FOLDER NAME...         score units; exits with 0 where they are finished already
  relscale study run FOLDER --shard K/N     the same, part K (from 0) of N of all units
    --threads N                    threads of the cpu backend, one a core by default
    --device N                     number of the GPU of the cuda backend, 0 by default
  relscale study list FOLDER [--left]       state, FLOPs and name of every unit; of those left only
  relscale study merge FOLDER --out FILE    check that every item is there once and write the long table
    --scorer NAME                  the first scorer of every distribution by default

STUDY.json, whose paths are relative to it:
  {\"runs\": \"runs.csv\",             run,corpus,budget,flops,params,tokens,checkpoint
   \"backend\": \"cpu f32\",           or cuda bf16, f16, f32, tf32; reference f64
   \"scoring\": {\"bos\": {\"every_window\": 1}, \"context\": 2048},
   \"unit_flops\": 1e15,             what a unit costs, 2 a parameter and token of 4 bytes
   \"distributions\": [
     {\"kind\": \"items\", \"path\": \"texts.jsonl\", \"scorers\": [\"bits_per_byte\"]},
     {\"kind\": {\"mmlu\": {\"shots\": 5}}, \"path\": \"mmlu\",
      \"scorers\": [\"choice_log_loss\", \"error_rate\"]}]}
  kinds: items, plain, matched, and with options in {}: corpus, regions, multiple_choice, mmlu,
  behaviours";

/// The words of the command line that are no options, and the options.
struct Arguments {
    words: Vec<String>,
    options: Vec<(String, String)>,
    left: bool,
}

impl Arguments {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut found = Self {
            words: Vec::new(),
            options: Vec::new(),
            left: false,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--left" => found.left = true,
                "--shard" | "--threads" | "--device" | "--out" | "--scorer" => {
                    let value = words.next();
                    let value = value.ok_or_else(|| format!("{word} needs a value"))?;
                    found.options.push((word, value));
                }
                _ if word.starts_with("--") => return Err(format!("unknown option {word}")),
                _ => found.words.push(word),
            }
        }
        Ok(found)
    }

    fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Result<Option<usize>, String> {
        let parse = |value: &str| {
            let number = value.parse();
            number.map_err(|_| format!("{name}: `{value}` is not a number"))
        };
        self.option(name).map(parse).transpose()
    }
}

/// Runs the command on the words behind its name.
pub fn main(mut words: impl Iterator<Item = String>) -> ExitCode {
    let command = words.next().unwrap_or_default();
    if command == "--help" {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let folder = |at: usize| arguments.words.get(at).map(PathBuf::from);
    let result = match (command.as_str(), folder(0), folder(1)) {
        ("plan", Some(study), Some(folder)) => plan(&study, &folder),
        ("run", Some(folder), _) => run(&folder, &arguments),
        ("list", Some(folder), None) => list(&folder, arguments.left),
        ("merge", Some(folder), None) => merge(&folder, &arguments),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(study: &Path, folder: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let study = Study::read(study)?;
    backend(&study.backend)?;
    let bar = ProgressBar::new_spinner();
    let plan = Plan::create(folder, &study, &mut |run| {
        bar.set_message(format!("hashing the checkpoint of {}", run.id));
        bar.tick();
    })?;
    bar.finish_and_clear();
    let flops: Vec<f64> = plan.units().iter().map(|u| u.flops).collect();
    println!(
        "{} units of {:.1e} FLOPs at most, {:.1e} in all, in {}",
        flops.len(),
        flops.iter().copied().fold(0.0, f64::max),
        flops.iter().sum::<f64>(),
        folder.join("plan.json").display()
    );
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
enum Backend {
    Cpu,
    Cuda(Precision),
    Reference,
}

fn backend(name: &str) -> Result<Backend, Box<dyn Error>> {
    Ok(match name {
        "cpu f32" => Backend::Cpu,
        "cuda bf16" => Backend::Cuda(Precision::Bf16),
        "cuda f16" => Backend::Cuda(Precision::F16),
        "cuda f32" => Backend::Cuda(Precision::F32),
        "cuda tf32" => Backend::Cuda(Precision::Tf32),
        "reference f64" => Backend::Reference,
        other => {
            let all = "cpu f32, cuda bf16, cuda f16, cuda f32, cuda tf32, reference f64";
            return Err(format!("the backend `{other}` is none of {all}").into());
        }
    })
}

fn shard<'a>(plan: &'a Plan, text: &str) -> Result<&'a [Unit], Box<dyn Error>> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    let (k, n) = parts.ok_or_else(|| format!("--shard: `{text}` is not K/N"))?;
    Ok(plan.shard(k, n)?)
}

/// Scores units one after the other. One that fails does not keep the others from being scored.
fn run(folder: &Path, arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let plan = Plan::read(folder)?;
    let names = &arguments.words[1..];
    let units: Vec<&Unit> = match arguments.option("--shard") {
        None if names.is_empty() => return Err("which units? names, or --shard K/N".into()),
        None => plan.named(names)?,
        Some(_) if !names.is_empty() => return Err("names or --shard, not both".into()),
        Some(text) => shard(&plan, text)?.iter().collect(),
    };
    let kind = backend(plan.backend())?;
    let (threads, device) = (
        arguments.number("--threads")?,
        arguments.number("--device")?,
    );
    let cpu = match (kind, threads) {
        (Backend::Cpu, Some(threads)) => Some(Cpu::with_threads(threads)?),
        (Backend::Cpu, None) => Some(Cpu::new()),
        _ => None,
    };
    let loaded = std::cell::Cell::new(None);
    let load = |path: &Path| -> Result<Box<dyn Model>, Failure> {
        let model: Box<dyn Model> = match (kind, &cpu) {
            (Backend::Cpu, Some(cpu)) => Box::new(Transformer::load(path, cpu.clone())?),
            (Backend::Cuda(precision), _) => {
                let cuda = Cuda::on_device(device.unwrap_or(0), precision)?;
                Box::new(Transformer::load(path, cuda)?)
            }
            _ => Box::new(Transformer::load(path, Reference::<f64>::new())?),
        };
        loaded.set(Some(Instant::now()));
        Ok(model)
    };
    let mut worker = Worker::new(&plan, load);
    let mut failed = 0;
    for (number, unit) in units.iter().enumerate() {
        let (start, name) = (Instant::now(), unit.name());
        loaded.set(None);
        let bar = bar(&name)?;
        let scored = worker.run(unit, &|p| {
            bar.set_length(p.total as u64);
            bar.set_position(p.tokens as u64);
        });
        bar.finish_and_clear();
        let place = format!("[{} of {}]", number + 1, units.len());
        match scored {
            Ok(true) => {
                let seconds = |t: Duration| format!("{:.2} s", t.as_secs_f64());
                let loading = loaded.get().map_or(Duration::ZERO, |at| at - start);
                println!(
                    "{place} {name}: {} items in {}, {} of it to load",
                    unit.items.len(),
                    seconds(start.elapsed()),
                    seconds(loading)
                );
            }
            Ok(false) => println!("{place} {name}: finished already"),
            Err(error) => {
                failed += 1;
                eprintln!("{place} error: {error}");
            }
        }
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        eprintln!("{failed} of {} units failed", units.len());
        ExitCode::FAILURE
    })
}

/// Shown on a terminal, and silent in the file of a batch job.
fn bar(name: &str) -> Result<ProgressBar, Box<dyn Error>> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tokens {msg}, {eta} left")?;
    Ok(ProgressBar::new(0)
        .with_style(style)
        .with_message(name.to_owned()))
}

fn list(folder: &Path, left: bool) -> Result<ExitCode, Box<dyn Error>> {
    let plan = Plan::read(folder)?;
    let (mut done, mut failed, mut flops_done, mut flops) = (0, 0, 0.0, 0.0);
    let mut text = String::new();
    for (unit, state) in plan.units().iter().zip(plan.states()?) {
        flops += unit.flops;
        let (word, note) = match state {
            State::Done => {
                done += 1;
                flops_done += unit.flops;
                if left {
                    continue;
                }
                ("done", String::new())
            }
            State::Failed { message } => {
                failed += 1;
                ("failed", format!("  {}", message.replace('\n', " ")))
            }
            State::Started { records } => (
                "started",
                format!("  {records} of {} items", unit.items.len()),
            ),
            State::Open => ("open", String::new()),
        };
        text += &format!("{word:<7} {:.3e} {}{note}\n", unit.flops, unit.name());
    }
    print!("{text}");
    let all = plan.units().len();
    eprintln!(
        "{done} of {all} units done, {:.0}% of the FLOPs; {} left, {failed} of them failed",
        100.0 * flops_done / flops,
        all - done
    );
    Ok(ExitCode::SUCCESS)
}

fn merge(folder: &Path, arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let out = arguments.option("--out").ok_or("--out is missing")?;
    let plan = Plan::read(folder)?;
    plan.merge(out, arguments.option("--scorer"))?;
    println!("{} units in {out}", plan.units().len());
    Ok(ExitCode::SUCCESS)
}
