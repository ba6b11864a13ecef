//! The CUDA backend at the shapes of a model of 1.2 B parameters, in bf16.
//!
//! `cargo bench --bench cuda` prints one table: products with their TFLOP/s and share of the best
//! product measured, attention, and tokens a second of a whole forward pass over random weights.
//! Without a GPU it says what is missing and ends; with `-- --test` everything runs once.
//!
//! Times are those of the host's clock around calls that the device works off in order, between two
//! waits for the device, after a warm-up; of three repetitions the fastest counts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use half::bf16;
use relscale::Error;
use relscale::backend::{Attention, Backend, Columns, Linear, Role, Segment, Tensor, Values};
use relscale::model::{Batch, Model, Transformer};
use relscale_cuda::{Buffer, Cuda, Precision};
use safetensors::tensor::{Dtype, TensorView};

const HIDDEN: usize = 2048;
const MLP: usize = 8192;
const HEADS: usize = 16;
const LAYERS: usize = 16;
const VOCAB: usize = 50_304;

/// Seconds of one call.
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

/// Numbers in [−size, size).
fn numbers(len: usize, size: f32) -> Vec<bf16> {
    let mut state = 1u64;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bf16::from_f32(((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size)
        })
        .collect()
}

fn upload(cuda: &Cuda, rows: usize, cols: usize, role: Role) -> Result<Buffer, Error> {
    let values = numbers(rows * cols, 1.0);
    cuda.upload(&Tensor {
        values: Values::Bf16(&values),
        rows,
        cols,
        role,
    })
}

/// An activation in the backend's format, as a layer leaves it.
fn activation(cuda: &Cuda, rows: usize, cols: usize) -> Result<Buffer, Error> {
    let (x, every) = (upload(cuda, rows, cols, Role::Dense)?, 0..rows);
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
            upload(cuda, outputs, inputs, Role::Matrix)?,
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

/// A Llama checkpoint of random weights; the folder.
fn checkpoint() -> Result<PathBuf, Error> {
    let dir = std::env::temp_dir().join("relscale-bench-cuda");
    let io = |e| Error::io(&dir, e);
    std::fs::create_dir_all(&dir).map_err(io)?;
    let config = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "vocab_size": {VOCAB}, "hidden_size": {HIDDEN},
        "intermediate_size": {MLP}, "num_hidden_layers": {LAYERS}, "num_attention_heads": {HEADS},
        "num_key_value_heads": {HEADS}, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true}}"#
    );
    std::fs::write(dir.join("config.json"), config).map_err(io)?;
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.v_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![MLP, HIDDEN]),
            ("mlp.up_proj", vec![MLP, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, MLP]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let values: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(_, shape)| {
            let size = 1.0 / (shape[shape.len() - 1] as f32).sqrt();
            let numbers = numbers(shape.iter().product(), size);
            numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
        })
        .collect();
    let tensors: Result<Vec<_>, _> = shapes
        .into_iter()
        .zip(&values)
        .map(|((name, shape), bytes)| Ok((name, TensorView::new(Dtype::BF16, shape, bytes)?)))
        .collect();
    let path = dir.join("model.safetensors");
    tensors
        .and_then(|tensors| safetensors::serialize_to_file(tensors, None, &path))
        .map_err(|e| Error::format(&path, e))?;
    Ok(dir)
}

fn forward(dir: &Path, once: bool) -> Result<(), Error> {
    let model = Transformer::load(dir, Cuda::new(Precision::Bf16)?)?;
    let mut batch = Batch::new();
    let (texts, len) = if once { (1, 64) } else { (4, 2048) };
    for text in 0..texts {
        let tokens: Vec<u32> = (0..len).map(|i| (i * 7919 + text) % VOCAB as u32).collect();
        let segment = batch.segment(None, &tokens)?;
        for (offset, &token) in tokens[1..].iter().enumerate() {
            batch.target(segment, offset, token)?;
        }
    }
    let time = seconds(model.backend(), once, || model.log_likelihoods(&batch))?;
    let tokens = f64::from(texts * len);
    let weights = LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * MLP) + VOCAB * HIDDEN;
    let flops =
        tokens * (2.0 * weights as f64 + 2.0 * LAYERS as f64 * f64::from(len) * HIDDEN as f64);
    println!(
        "forward, {LAYERS} layers of {HIDDEN}, {texts} texts of {len}: {:.0} tokens/s, {:.1} TFLOP/s",
        tokens / time,
        flops / time / 1e12
    );
    Ok(())
}

fn run(cuda: &Cuda, once: bool) -> Result<(), Error> {
    println!("{}, bf16", cuda.device_name());
    products(cuda, once)?;
    attention(cuda, once)?;
    let dir = checkpoint()?;
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
