//! relscale as one of the programs that `table.py` compares.
//!
//! Usage: `relscale-peer DIR text|choices f32|bf16`. DIR holds a checkpoint and the items. The protocol is
//! that of `engines/protocol.py`: a line when the model is loaded, then an answer per line of input.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use relscale::distribution::Items;
use relscale::evaluate::Evaluation;
use relscale::model::Transformer;
use relscale_cpu::{Cpu, Precision};
use serde_json::{Value, json};

/// A model and the number of its threads.
struct Loaded {
    model: Transformer<Cpu>,
    threads: usize,
}

fn load(dir: &Path, precision: Precision, threads: usize) -> Result<Loaded, Box<dyn Error>> {
    let cpu = Cpu::with_threads(threads)?.with_precision(precision);
    let model = Transformer::load(dir, cpu)?;
    Ok(Loaded { model, threads })
}

/// One pass over the items.
fn answer(model: &Transformer<Cpu>, items: &Items) -> Result<Value, Box<dyn Error>> {
    let evaluation = Evaluation::new(model);
    let begin = Instant::now();
    let answers = evaluation.log_likelihoods(items)?;
    let seconds = begin.elapsed().as_secs_f64();
    let sequences = answers.iter().flat_map(|answer| &answer.sequences);
    let values: Vec<f64> = sequences
        .flat_map(|s| s.log_likelihoods.iter().copied())
        .collect();
    Ok(json!({"seconds": seconds, "log_probs": values}))
}

fn say(value: &Value) -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, kind, precision] = words.as_slice() else {
        return Err("usage: relscale-peer DIR text|choices f32|bf16".into());
    };
    let dir = Path::new(dir);
    let precision = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("no precision {other}").into()),
    };
    let items = Items::from_jsonl(dir.join(format!("{kind}.jsonl")))?;
    let cores = std::thread::available_parallelism()?.get();
    let begin = Instant::now();
    let mut loaded = Some(load(dir, precision, cores)?);
    let seconds = begin.elapsed().as_secs_f64();
    let engine = format!(
        "relscale {} ({})",
        relscale_cpu::VERSION,
        Cpu::new().instructions()
    );
    say(&json!({"engine": engine, "load_seconds": seconds}))?;
    for line in stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let threads = asked["threads"].as_u64().ok_or("a line lacks threads")? as usize;
        let model = match loaded.take() {
            Some(same) if same.threads == threads => same,
            other => {
                // Before the next is loaded, so that memory holds one.
                drop(other);
                load(dir, precision, threads)?
            }
        };
        say(&answer(&model.model, &items)?)?;
        loaded = Some(model);
    }
    Ok(())
}
