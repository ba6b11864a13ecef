//! The suite trained for relscale. See README.md.

mod data;
mod export;
mod kernels;
mod matmul;
mod model;
mod plan;
mod prepare;
mod real;
mod shape;
mod table;
mod train;

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;

/// The corpus of trials.
const TRIED: &str = "balanced";
const USAGE: &str = "usage: prepare | train [--resume] [--only TEXT] [--jobs N] | try BUDGET WIDTH [RATE_CONSTANT] | table";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR"));
    match arguments.first().map(String::as_str) {
        Some("prepare") => prepare::prepare(suite),
        Some("train") => {
            let value = |flag: &str| {
                arguments
                    .iter()
                    .position(|a| a == flag)
                    .and_then(|i| arguments.get(i + 1))
            };
            let jobs = value("--jobs").map_or(Ok(2), |n| n.parse())?;
            let resume = arguments.iter().any(|a| a == "--resume");
            let only = value("--only").map_or("", String::as_str);
            train(suite, resume, only, jobs)
        }
        Some("try") => {
            let (budget, width) = (
                arguments.get(1).ok_or(USAGE)?.parse()?,
                arguments.get(2).ok_or(USAGE)?.parse()?,
            );
            let rate = arguments
                .get(3)
                .map_or(Ok(plan::RATE_CONSTANT), |x| x.parse())?;
            let run = plan::Run::new(TRIED, budget, width, rate, 0)
                .ok_or("whole steps miss this budget by more than 1%")?;
            let [stream, valid] =
                [&format!("{TRIED}/train.bin"), "valid.bin"].map(|name| tokens(suite, name));
            train::train(
                &run,
                [&stream?, &valid?],
                &suite.join("runs/trial"),
                false,
                None,
            )?;
            Ok(())
        }
        Some("table") => table::write(suite, &plan::runs()),
        _ => Err(USAGE.into()),
    }
}

/// Does `work` on the runs whose name contains `only`, in their order, `jobs` at a time.
fn in_parallel(
    runs: &[plan::Run],
    only: &str,
    jobs: usize,
    work: impl Fn(&plan::Run) -> Result<(), Box<dyn Error>> + Sync,
) -> Result<(), Box<dyn Error>> {
    let queue = Mutex::new(runs.iter().filter(|run| run.name.contains(only)));
    let next = || queue.lock().ok()?.next();
    let worker = || -> Result<(), String> {
        while let Some(run) = next() {
            work(run).map_err(|e| format!("{}: {e}", run.name))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|w| w.join().map_err(|_| "a worker panicked".to_string())?)
    })?;
    Ok(())
}

fn tokens(suite: &Path, name: &str) -> Result<Vec<u16>, Box<dyn Error>> {
    data::read_tokens(&suite.join("data").join(name))
        .map_err(|e| format!("{e} (run fetch.sh and prepare first)").into())
}

/// Trains `jobs` runs at a time; every finished run leaves its entry, its checkpoint and its scores in
/// `runs/`.
fn train(suite: &Path, resume: bool, only: &str, jobs: usize) -> Result<(), Box<dyn Error>> {
    let valid = tokens(suite, "valid.bin")?;
    let mut streams = Vec::new();
    for (corpus, _) in &prepare::CORPORA {
        streams.push((*corpus, tokens(suite, &format!("{corpus}/train.bin"))?));
    }
    let texts = table::read_texts(suite)?;
    let folder = suite.join("runs");
    in_parallel(&plan::runs(), only, jobs, |run| {
        let stream = streams.iter().find(|(c, _)| *c == run.corpus);
        let (_, stream) = stream.ok_or("a corpus without a stream")?;
        let checkpoints = folder.join("checkpoints");
        train::train(run, [stream, &valid], &folder, resume, Some(&checkpoints))?;
        let scores = folder.join(format!("{}.csv", run.name));
        if !(resume && scores.exists()) {
            let partial = scores.with_extension("partial");
            let checkpoint = checkpoints.join(&run.corpus).join(&run.name);
            table::write_run(&partial, run, &checkpoint, &texts)?;
            std::fs::rename(partial, scores)?;
        }
        Ok(())
    })
}
