//! Threads of one batch against batches side by side: how much of its cores a model uses.
//!
//! `cargo bench --bench threads [-- FILTER] [--threads N] [--milliseconds N]` prints a table. Each row is a
//! model and a batch. The cores are shared out in several ways: all of them to one batch at a time, or to
//! several callers of one model, each with a batch and its part of the threads. The first waits for the
//! slowest thread after every operation, the last never. A column has the tokens per second as a share of
//! what so many separate machines of one thread would reach. The models are random.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::checkpoint::Llama;
use common::{Arguments, arguments, duel, texts};
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::{Cpu, Precision};
use safetensors::tensor::Dtype;

const VOCAB: usize = 4096;

const fn llama(hidden: usize, layers: usize, heads: usize, mlp: usize) -> Llama {
    Llama::untied([hidden, layers, heads, mlp], VOCAB)
}

/// Callers of one model, and the threads that each has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Split {
    callers: usize,
    threads: usize,
}

/// All threads to one caller, two callers, eight threads to each, one thread to each; those that `cores` allows.
fn splits(cores: usize) -> Vec<Split> {
    let mut splits: Vec<Split> = Vec::new();
    for callers in [1, 2, cores / 8, cores] {
        let split = Split {
            callers,
            threads: cores / callers.max(1),
        };
        if callers > 0 && split.threads > 0 && !splits.contains(&split) {
            splits.push(split);
        }
    }
    splits
}

/// Computes `batch` `count` times on one model, by `callers` threads side by side.
fn run(model: &Transformer<Cpu>, callers: usize, batch: &Batch, count: usize) {
    let next = AtomicUsize::new(0);
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            model.log_likelihoods(batch).expect("a batch that fits");
        }
    };
    thread::scope(|scope| {
        for _ in 1..callers {
            scope.spawn(work);
        }
        work();
    });
}

fn rows(arguments: &Arguments, dir: &Path, name: &str, shape: Llama, precision: Precision) {
    let cores = arguments.threads;
    shape.write(dir, Dtype::BF16);
    let load = |threads: usize| {
        let cpu = Cpu::with_threads(threads).expect("threads");
        Transformer::load(dir, cpu.with_precision(precision)).expect("a checkpoint just written")
    };
    let alone = load(1);
    let splits = splits(cores);
    let models: Vec<Transformer<Cpu>> = splits.iter().map(|s| load(s.threads)).collect();
    for (count, len) in [(1, 128), (1, 512), (8, 512)] {
        let batch = texts(count, len, VOCAB);
        let many = 2 * cores;
        let mut one = || run(&alone, 1, &batch, 2);
        let mut ways: Vec<_> = (splits.iter().zip(&models))
            .map(|(split, model)| || run(model, split.callers, &batch, many))
            .collect();
        let mut candidates: Vec<&mut dyn FnMut()> = vec![&mut one];
        candidates.extend(ways.iter_mut().map(|way| way as &mut dyn FnMut()));
        // Two threads at least, so that the time on the wall is taken.
        let times = duel(cores.max(2), arguments.budget, &mut candidates);
        print!(
            "| {name} | {count} × {len} | {:.0} |",
            2.0 * (count * len) as f64 / times[0]
        );
        for time in &times[1..] {
            let share = times[0] / 2.0 * many as f64 / (cores as f64 * time);
            print!(" {:.0} % |", 100.0 * share);
        }
        println!();
    }
}

fn main() {
    let arguments = arguments(1500);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("threads");
    let columns: Vec<String> = splits(arguments.threads)
        .iter()
        .map(|s| format!(" {} × {} |", s.callers, s.threads))
        .collect();
    println!(
        "| model | batch | tokens/s, one thread |{}",
        columns.concat()
    );
    println!("|---|---|---:|{}", "---:|".repeat(columns.len()));
    let shapes = [
        ("64 × 3", llama(64, 3, 4, 192)),
        ("256 × 4", llama(256, 4, 4, 768)),
        ("512 × 8", llama(512, 8, 8, 1536)),
        ("768 × 12", llama(768, 12, 12, 2048)),
    ];
    for (name, shape) in shapes {
        for (kind, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
            let name = format!("{name}, {kind}");
            if arguments.wants(&name) {
                rows(&arguments, &dir, &name, shape, precision);
            }
        }
    }
    fs::remove_dir_all(&dir).ok();
}
