//! The CUDA backend at the shapes of a model of 1.2 B parameters, in bf16.
//!
//! `cargo bench --bench cuda` prints one table: products with their TFLOP/s and their share of the best
//! product measured, attention, and tokens per second of a whole forward pass over random weights.
//! Without a GPU it prints what is missing and ends. With `-- --test` everything runs once.
//!
//! The device works off calls in order, so the host's clock is read before and after twenty calls,
//! each time after waiting for the device. The fastest of three repetitions after a warm-up counts.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::path::Path;
use std::time::Instant;

use common::checkpoint::Llama;
use common::{texts, upload};
use relscale::Error;
use relscale::backend::{Attention, Backend, Columns, Linear, Role, Segment};
use relscale::model::{Model, Transformer};
use relscale_cuda::{Buffer, Cuda, Precision};
use safetensors::tensor::Dtype;

/// The shape of OLMo 1B, of 1.2 B parameters.
const MODEL: Llama = Llama {
    hidden: HIDDEN,
    layers: 16,
    heads: 16,
    mlp: MLP,
    vocab: VOCAB,
    tied: true,
};
const HIDDEN: usize = 2048;
const MLP: usize = 8192;
const VOCAB: usize = 50_304;

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

fn products(cuda: &Cuda, once: bool) -> Result<(), Error> {
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
    Ok(())
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

fn forward(dir: &Path, once: bool) -> Result<(), Error> {
    let model = Transformer::load(dir, Cuda::new(Precision::Bf16)?)?;
    let (count, len) = if once { (1, 64) } else { (4, 2048) };
    let batch = texts(count, len, VOCAB);
    let time = seconds(model.backend(), once, || model.log_likelihoods(&batch))?;
    let tokens = (count * len) as f64;
    let weights = MODEL.weights_per_token() as f64;
    // Two operations per weight, and the causal half of attention.
    let attention = (2 * MODEL.layers * len * HIDDEN) as f64;
    let flops = tokens * (2.0 * weights + attention);
    println!(
        "forward, {} layers of {HIDDEN}, {count} texts of {len}: {:.0} tokens/s, {:.1} TFLOP/s",
        MODEL.layers,
        tokens / time,
        flops / time / 1e12
    );
    Ok(())
}

fn run(cuda: &Cuda, once: bool) -> Result<(), Error> {
    println!("{}, bf16", cuda.device_name());
    products(cuda, once)?;
    attention(cuda, once)?;
    let dir = std::env::temp_dir().join("relscale-bench-cuda");
    MODEL.write(&dir, Dtype::BF16);
    let outcome = forward(&dir, once);
    // A folder left behind in the system's temporary place is no reason to fail.
    let _ = std::fs::remove_dir_all(&dir);
    outcome
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
