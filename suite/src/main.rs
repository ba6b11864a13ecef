//! The ladder trained for relscale. See README.md.

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

const USAGE: &str = "usage: prepare | train [--suite] [--resume] [--only TEXT] [--jobs N] | try BUDGET WIDTH [RATE_CONSTANT] | table [--suite]";

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
            if arguments.iter().any(|a| a == "--suite") {
                let only = value("--only").map_or("", String::as_str);
                return train_suite(suite, resume, only, jobs);
            }
            train_all(
                suite,
                resume,
                value("--only").map_or("", String::as_str),
                jobs,
            )
        }
        Some("try") => {
            let (budget, width) = (
                arguments.get(1).ok_or(USAGE)?.parse()?,
                arguments.get(2).ok_or(USAGE)?.parse()?,
            );
            let rate = arguments
                .get(3)
                .map_or(Ok(plan::RATE_CONSTANT), |x| x.parse())?;
            let run = plan::Run::new("trial", budget, width, rate, 0)
                .ok_or("whole steps miss this budget by more than 1%")?;
            let streams = streams(suite)?;
            train::train(
                &run,
                [&streams[0], &streams[1]],
                &suite.join("runs/trial"),
                false,
                None,
            )?;
            Ok(())
        }
        Some("table") if arguments.iter().any(|a| a == "--suite") => {
            table::write_study(suite, &plan::suite())
        }
        Some("table") => {
            let mut runs = plan::ladder();
            runs.retain(|run| suite.join(table::checkpoint(run)).exists());
            runs.sort_by_key(|r| (r.budget as u64, r.shape.hidden, r.seed));
            table::write_scores(suite, &runs)
        }
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

/// Trains the suite, `jobs` runs at a time; every finished run leaves its entry, its checkpoint and its
/// scores in `runs/`.
fn train_suite(suite: &Path, resume: bool, only: &str, jobs: usize) -> Result<(), Box<dyn Error>> {
    let read = |name: &str| {
        data::read_tokens(&suite.join("data").join(name))
            .map_err(|e| format!("{e} (run fetch.sh and prepare first)"))
    };
    let valid = read("valid.bin")?;
    let mut streams = Vec::new();
    for (corpus, _) in &prepare::CORPORA {
        streams.push((*corpus, read(&format!("{corpus}/train.bin"))?));
    }
    let texts = table::read_texts(suite)?;
    let runs = plan::suite();
    let folder = suite.join("runs");
    in_parallel(&runs, only, jobs, |run| {
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

fn streams(suite: &Path) -> Result<[Vec<u16>; 2], Box<dyn Error>> {
    let read = |name| {
        data::read_tokens(&suite.join("data").join(name))
            .map_err(|e| format!("{e} (run fetch.sh and prepare first)"))
    };
    Ok([read("train.bin")?, read("valid.bin")?])
}

/// Trains the ladder, `jobs` runs at a time, then writes `ladder.csv`.
fn train_all(suite: &Path, resume: bool, only: &str, jobs: usize) -> Result<(), Box<dyn Error>> {
    let streams = streams(suite)?;
    let runs = plan::ladder();
    let folder = suite.join("runs");
    in_parallel(&runs, only, jobs, |run| {
        train::train(
            run,
            [&streams[0], &streams[1]],
            &folder,
            resume,
            Some(&suite.join("checkpoints")),
        )?;
        Ok(())
    })?;
    let mut finished = Vec::new();
    for run in &runs {
        match std::fs::read_to_string(folder.join(format!("{}.json", run.name))) {
            Ok(text) => finished.push(serde_json::from_str(&text)?),
            Err(_) => println!("{}: not trained yet, left out of ladder.csv", run.name),
        }
    }
    table::write_ladder(suite, finished)
}
