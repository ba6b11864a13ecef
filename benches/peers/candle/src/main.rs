//! Times candle on the CPU: next-token log-probabilities of random sequences, in f32.
//!
//! Usage: `candle-forward DIR RUNS THREADS OUT`. DIR holds a checkpoint and items.jsonl written by
//! `transformers_forward.py`. A run does the same as there: the model on all tokens but the last of
//! each sequence, log-softmax over the vocabulary at every position, and the entry of each next token.
//! OUT receives the seconds of each run after a warm-up, the peak memory and the log-probabilities.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::{Activation, VarBuilder, linear_no_bias, ops::log_softmax};
use candle_transformers::models::qwen3::{Config, Model};
use serde_json::{Value, json};

fn config(path: &Path) -> Result<Config, Box<dyn Error>> {
    let json: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let number = |key: &str| -> Result<usize, Box<dyn Error>> {
        let value = json[key]
            .as_u64()
            .ok_or(format!("config.json lacks {key}"))?;
        Ok(value as usize)
    };
    Ok(Config {
        vocab_size: number("vocab_size")?,
        hidden_size: number("hidden_size")?,
        intermediate_size: number("intermediate_size")?,
        num_hidden_layers: number("num_hidden_layers")?,
        num_attention_heads: number("num_attention_heads")?,
        head_dim: number("head_dim")?,
        attention_bias: false,
        num_key_value_heads: number("num_key_value_heads")?,
        // Rotations are tabulated up to this length, and all sequences are shorter.
        max_position_embeddings: number("max_position_embeddings")?.min(4096),
        sliding_window: None,
        max_window_layers: 0,
        tie_word_embeddings: false,
        rope_theta: json["rope_parameters"]["rope_theta"]
            .as_f64()
            .ok_or("config.json lacks rope_theta")?,
        rms_norm_eps: json["rms_norm_eps"]
            .as_f64()
            .ok_or("config.json lacks rms_norm_eps")?,
        use_sliding_window: false,
        hidden_act: Activation::Silu,
    })
}

/// Peak resident memory in bytes, if the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(1024 * kilobytes)
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, runs, threads, out] = words.as_slice() else {
        return Err("usage: candle-forward DIR RUNS THREADS OUT".into());
    };
    let dir = Path::new(dir);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build_global()?;
    // candle reads the number of threads of its products from here.
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", threads) };

    let config = config(&dir.join("config.json"))?;
    let device = Device::Cpu;
    let begin = Instant::now();
    // SAFETY: nothing writes to the checkpoint meanwhile.
    let weights = unsafe {
        VarBuilder::from_mmaped_safetensors(&[dir.join("model.safetensors")], DType::F32, &device)?
    };
    let model = Model::new(&config, weights.clone())?;
    let head = linear_no_bias(config.hidden_size, config.vocab_size, weights.pp("lm_head"))?;
    let loaded = begin.elapsed().as_secs_f64();

    let mut sequences: Vec<Vec<u32>> = Vec::new();
    for line in std::fs::read_to_string(dir.join("items.jsonl"))?.lines() {
        let item: Value = serde_json::from_str(line)?;
        sequences.push(serde_json::from_value(item["tokens"].clone())?);
    }
    // One sequence at a time: the mask that this version makes for several is too short.
    let tensor = |tokens: &[u32]| Tensor::new(tokens, &device);
    let mut pairs = Vec::new();
    for s in &sequences {
        let (input, target) = (&s[..s.len() - 1], &s[1..]);
        pairs.push((
            tensor(input)?.unsqueeze(0)?,
            tensor(target)?.reshape((1, (), 1))?,
        ));
    }
    let run = || -> candle_core::Result<Vec<Vec<f32>>> {
        let score = |(input, target): &(Tensor, Tensor)| {
            // A copy shares the weights and has an empty cache.
            let hidden = model.clone().forward(input, 0)?;
            let log_probs = log_softmax(&head.forward(&hidden)?, D::Minus1)?;
            log_probs
                .gather(target, D::Minus1)?
                .flatten_all()?
                .to_vec1()
        };
        pairs.iter().map(score).collect()
    };
    let mut log_probs = run()?;
    let mut seconds = Vec::new();
    for _ in 0..runs.parse::<usize>()? {
        let begin = Instant::now();
        log_probs = run()?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    let result = json!({
        "engine": "candle 0.9.2",
        "seconds": seconds,
        "load_seconds": loaded,
        "peak_rss_bytes": peak(),
        "scored_tokens": log_probs.iter().map(Vec::len).sum::<usize>(),
        "log_probs": log_probs,
    });
    std::fs::write(out, result.to_string())?;
    Ok(())
}
