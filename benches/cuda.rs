//! The CUDA backend in bf16: products and attention of a model of 1.2 B parameters, and whole passes of
//! models of six widths.
//!
//! `cargo bench --bench cuda` prints one table: products with their TFLOP/s and their share of the best
//! product measured, attention, and for each model over random weights tokens per second of texts, questions
//! per second with and without a shared prefix, and tokens per second of an evaluation with one and with two
//! batches under way. Without a GPU it prints what is missing and ends. With `-- --test` everything runs once.
//!
//! The device works off calls in order, so the host's clock is read before and after twenty calls,
//! each time after waiting for the device. The fastest of three repetitions after a warm-up counts.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::path::Path;
use std::time::Instant;

use common::checkpoint::Llama;
use common::{score, texts, upload};
use relscale::Error;
use relscale::backend::{Attention, Backend, Columns, Linear, Role, Segment};
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::Evaluation;
use relscale::model::{Batch, Model, Transformer};
use relscale_cuda::{Buffer, Cuda, Precision};
use safetensors::tensor::Dtype;

/// The width of the products and of attention.
const HIDDEN: usize = 2048;
const MLP: usize = 8192;
const VOCAB: usize = 50_304;

/// Widths and layers of the models: the wide ones have few layers, since a layer costs what it costs.
const MODELS: [(usize, usize); 6] = [
    (128, 4),
    (256, 4),
    (512, 8),
    (1024, 8),
    (2048, 8),
    (4096, 4),
];

fn model(hidden: usize, layers: usize) -> Llama {
    Llama {
        hidden,
        layers,
        heads: hidden / 64,
        mlp: 4 * hidden,
        vocab: VOCAB,
        tied: true,
    }
}

/// Seconds per call.
fn seconds<T>(
    cuda: &Cuda,
    once: bool,
    mut call: impl FnMut() -> Result<T, Error>,
) -> Result<f64, Error> {
    let (calls, repetitions) = if once { (1, 1) } else { (20, 3) };
    let mut best = f64::INFINITY;
    // The first repetition warms up.
    for repetition in 0..=repetitions {
        cuda.synchronize()?;
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        cuda.synchronize()?;
        if repetition > 0 || once {
            best = best.min(start.elapsed().as_secs_f64() / f64::from(calls));
        }
    }
    Ok(best)
}

/// An activation in the backend's format, as a layer leaves it.
fn activation(cuda: &Cuda, rows: usize, cols: usize) -> Result<Buffer, Error> {
    let (x, every) = (upload(cuda, rows, cols, Role::Dense), 0..rows);
    cuda.gather(Columns::all(&x, rows, cols), &every.collect::<Vec<_>>())
}

/// Prints a table of products; the rate of the best, in TFLOP/s.
fn products(cuda: &Cuda, once: bool) -> Result<f64, Error> {
    let mut found = Vec::new();
    for (what, rows, inputs, outputs) in [
        ("largest", 8192, 8192, 8192),
        ("queries, keys, values", 8192, HIDDEN, 3 * HIDDEN),
        ("attention output", 8192, HIDDEN, HIDDEN),
        ("gate and up", 8192, HIDDEN, 2 * MLP),
        ("down", 8192, MLP, HIDDEN),
        ("head", 1024, HIDDEN, VOCAB),
        ("one short text", 128, HIDDEN, 2 * MLP),
    ] {
        let (x, weight) = (
            activation(cuda, rows, inputs)?,
            upload(cuda, outputs, inputs, Role::Matrix),
        );
        let op = Linear {
            weight: &weight,
            bias: None,
            inputs,
            outputs,
        };
        let time = seconds(cuda, once, || {
            cuda.linear(Columns::all(&x, rows, inputs), &op)
        })?;
        let flops = 2.0 * rows as f64 * inputs as f64 * outputs as f64;
        found.push((what, (rows, inputs, outputs), flops / time / 1e12));
    }
    let best = found.iter().fold(0.0f64, |best, x| best.max(x.2));
    for (what, (rows, inputs, outputs), rate) in found {
        println!(
            "{what:24} {rows:>5} × {inputs:>5} → {outputs:>6}  {rate:8.1} TFLOP/s  {:4.0} % of the best",
            100.0 * rate / best
        );
    }
    Ok(best)
}

fn attention(cuda: &Cuda, once: bool) -> Result<(), Error> {
    for (len, dim) in [(2048, 64), (2048, 128), (8192, 128)] {
        let (rows, width) = (8192, HIDDEN);
        let x = activation(cuda, rows, 3 * width)?;
        let segments: Vec<Segment> = (0..rows / len)
            .map(|i| Segment {
                start: i * len,
                len,
                parent: None,
                position: 0,
            })
            .collect();
        let op = Attention {
            segments: &segments,
            heads: width / dim,
            kv_heads: width / dim,
            head_dim: dim,
            scale: 1.0 / (dim as f64).sqrt(),
            window: None,
            soft_cap: None,
            slopes: None,
        };
        let time = seconds(cuda, once, || {
            let [q, k, v] =
                [0, 1, 2].map(|i| Columns::block(&x, rows, 3 * width, i * width, width));
            cuda.attention(q, k, v, &op)
        })?;
        // Half of the products with keys and of those with values are masked.
        let flops = 2.0 * rows as f64 * len as f64 * width as f64;
        println!(
            "attention, heads of {dim:3}   {} texts of {len}        {:8.1} TFLOP/s",
            rows / len,
            flops / time / 1e12
        );
    }
    Ok(())
}

/// A pass over texts.
fn forward(shape: &Llama, model: &Transformer<Cuda>, once: bool, best: f64) -> Result<(), Error> {
    let (count, len) = if once { (1, 64) } else { (4, 2048) };
    let batch = texts(count, len, VOCAB);
    let time = seconds(model.backend(), once, || model.log_likelihoods(&batch))?;
    let tokens = (count * len) as f64;
    let weights = shape.weights_per_token() as f64;
    // Two operations per weight, and the causal half of attention.
    let attention = (2 * shape.layers * len * shape.hidden) as f64;
    let rate = tokens * (2.0 * weights + attention) / time / 1e12;
    println!(
        "forward, {} layers of {}, {count} texts of {len}: {:.0} tokens/s, {rate:.1} TFLOP/s, {:.0} % of the \
         best product",
        shape.layers,
        shape.hidden,
        tokens / time,
        100.0 * rate / best
    );
    Ok(())
}

/// Questions with four answers of ten tokens, whose context of 500 stands once or with every answer.
fn choices(shape: &Llama, model: &Transformer<Cuda>, once: bool) -> Result<(), Error> {
    let (questions, context) = if once { (1, 20) } else { (4, 500) };
    let tokens = |seed: usize, len: usize| -> Vec<u32> {
        (0..len)
            .map(|i| ((i * 41 + seed * 17) % VOCAB) as u32)
            .collect()
    };
    let (mut shared, mut apart) = (Batch::new(), Batch::new());
    for question in 0..questions {
        let prefix = tokens(question, context);
        let parent = shared.segment(None, &prefix)?;
        for answer in 0..4 {
            let answer = tokens(100 * question + answer, 10);
            score(&mut shared, Some(parent), &answer);
            let whole = apart.segment(None, &[&prefix[..], &answer].concat())?;
            for (i, &token) in answer[1..].iter().enumerate() {
                apart.target(whole, context + i, token)?;
            }
        }
    }
    for (what, batch) in [("once", &shared), ("with every answer", &apart)] {
        let time = seconds(model.backend(), once, || model.log_likelihoods(batch))?;
        println!(
            "choices, {} layers of {}, {questions} contexts of {context} {what}: {:.0} questions/s",
            shape.layers,
            shape.hidden,
            questions as f64 / time
        );
    }
    Ok(())
}

/// An evaluation, whose batches the host builds: one under way at a time, or two.
fn evaluation(shape: &Llama, model: &Transformer<Cuda>, once: bool) -> Result<(), Error> {
    let (count, len) = if once { (4, 20) } else { (64, 512) };
    let item = |i: usize| Item {
        id: i.to_string(),
        cluster: i.to_string(),
        content: Content::Tokens(
            (0..len)
                .map(|t| ((i * 31 + t * 7) % VOCAB) as u32)
                .collect(),
        ),
    };
    let items = Items::new("tokens", (0..count).map(item).collect())?;
    for (under_way, others) in [(1, vec![]), (2, vec![model])] {
        let start = Instant::now();
        Evaluation::new(model)
            .replicas(others)
            .batch_tokens(8 * len)
            .log_likelihoods(&items)?;
        let time = start.elapsed().as_secs_f64();
        println!(
            "evaluation, {} layers of {}, {count} texts of {len}, {under_way} batch(es) under way: {:.0} tokens/s",
            shape.layers,
            shape.hidden,
            (count * len) as f64 / time
        );
    }
    Ok(())
}

/// All measurements of one model, whose checkpoint is in a folder.
fn measure(shape: &Llama, dir: &Path, once: bool, best: f64) -> Result<(), Error> {
    let model = Transformer::load(dir, Cuda::new(Precision::Bf16)?)?;
    forward(shape, &model, once, best)?;
    choices(shape, &model, once)?;
    evaluation(shape, &model, once)
}

fn run(cuda: &Cuda, once: bool) -> Result<(), Error> {
    let (major, minor) = cuda.driver_version();
    println!(
        "{}, driver for CUDA {major}.{minor}, bf16",
        cuda.device_name()
    );
    let best = products(cuda, once)?;
    attention(cuda, once)?;
    for (hidden, layers) in MODELS {
        let dir = std::env::temp_dir().join("relscale-bench-cuda");
        let shape = model(hidden, layers);
        shape.write(&dir, Dtype::BF16);
        let outcome = measure(&shape, &dir, once, best);
        // A folder left behind in the system's temporary place is no reason to fail.
        let _ = std::fs::remove_dir_all(&dir);
        outcome?;
    }
    Ok(())
}

fn main() {
    let once = std::env::args().any(|a| a == "--test");
    let outcome = match Cuda::new(Precision::Bf16) {
        Ok(cuda) => run(&cuda, once),
        Err(error) => return println!("not measured: {error}"),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
