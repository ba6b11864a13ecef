//! Memory of a checkpoint, as estimated beforehand and as measured.
//!
//! `cargo test --release --test memory -- --ignored --nocapture` measures resident memory of whole
//! processes and prints the table of `benches/NOTES.md`.

mod common;

use std::cell::Cell;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use half::bf16;
use relscale::Error;
use relscale::backend::Reference;
use relscale::backend::{Backend, Role, Tensor};
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::Evaluation;
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::Cpu;
use serde_json::{Map, Value, json};

/// Counts what is uploaded.
#[derive(Default)]
struct Counting {
    bytes: AtomicU64,
    uploads: AtomicU64,
}

impl Backend for &Counting {
    type Buffer = Vec<f32>;

    fn name(&self) -> &str {
        "counting"
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Vec<f32>, Error> {
        let bytes = self.tensor_bytes(
            [tensor.rows, tensor.cols],
            tensor.values.precision(),
            tensor.role,
        );
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.uploads.fetch_add(1, Ordering::Relaxed);
        Ok(tensor.values.to_f32())
    }

    fn read(&self, buffer: &Vec<f32>) -> Result<Vec<f32>, Error> {
        Ok(buffer.clone())
    }

    /// Different for every role and precision, so that none can stand for another.
    fn tensor_bytes(
        &self,
        [rows, cols]: [usize; 2],
        precision: relscale::backend::Precision,
        role: Role,
    ) -> u64 {
        let weight = match role {
            Role::Dense => 5,
            Role::Matrix => 7 + 2 * precision as u64,
        };
        (rows * cols) as u64 * weight + 1
    }
}

#[test]
fn the_weights_of_every_checkpoint_are_counted_beforehand() {
    let mut checked = 0;
    for folder in ["checkpoints", "architectures", "gguf"] {
        for entry in fs::read_dir(common::fixture(folder)).unwrap() {
            let path = entry.unwrap().path();
            let counting = Counting::default();
            let Ok(estimate) = Transformer::memory_estimate(&path, &&counting, 10) else {
                // Tokenizers and numbers stand there as well.
                assert_eq!(folder, "gguf", "{}", path.display());
                continue;
            };
            let Ok(model) = Transformer::load(&path, &counting) else {
                assert_eq!(folder, "gguf", "{}", path.display());
                continue;
            };
            drop(model);
            let bytes = counting.bytes.into_inner();
            // A vector is estimated with its weight and bias, or both norms of a kind, in one.
            assert_eq!(estimate.weights, bytes, "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 30, "{checked}");
}

#[test]
fn what_takes_too_much_is_refused_by_both_numbers() {
    let path = common::fixture("checkpoints/llama-plain");
    let backend = Reference::<f64>::new();
    let estimate = Transformer::memory_estimate(&path, &backend, 100).unwrap();
    let more = Transformer::memory_estimate(&path, &backend, 200).unwrap();
    assert_eq!(more.weights, estimate.weights);
    assert!(more.activations > estimate.activations);
    let total = estimate.total();
    Transformer::load_with_memory_limit(&path, backend, 100, total).unwrap();
    match Transformer::load_with_memory_limit(&path, backend, 100, total - 1) {
        Err(e @ Error::MemoryLimit { .. }) => {
            let said = e.to_string();
            assert!(said.contains("llama-plain"), "{said}");
            assert!(said.contains(&format!("takes {total} bytes")), "{said}");
            assert!(said.contains(&format!("limit is {}", total - 1)), "{said}");
        }
        other => panic!("{:?}", other.map(drop)),
    }
    // Numbers that are no memory of any machine do not overflow.
    let huge = Transformer::memory_estimate(&path, &backend, usize::MAX).unwrap();
    assert!(huge.activations > 1 << 60);
    assert!(Transformer::load_with_memory_limit(&path, backend, usize::MAX, u64::MAX - 1).is_err());
}

// Measured -------------------------------------------------------------------------------------

/// A Llama of random weights, or a Mixtral.
struct Shape {
    name: &'static str,
    hidden: usize,
    layers: usize,
    vocab: usize,
    mlp: usize,
    tied: bool,
    half: bool,
    /// Experts per layer, each of the width `mlp`; 0 for a Llama.
    experts: usize,
}

/// Experts take most of the memory, as in released mixtures.
const MIXTURE: Shape = Shape {
    name: "eight experts, f32",
    hidden: 256,
    layers: 4,
    vocab: 8192,
    mlp: 768,
    tied: false,
    half: false,
    experts: 8,
};

const SHAPES: [Shape; 3] = [
    Shape {
        name: "small, f32",
        hidden: 256,
        layers: 4,
        vocab: 8192,
        mlp: 768,
        tied: false,
        half: false,
        experts: 0,
    },
    Shape {
        name: "medium, f32",
        hidden: 512,
        layers: 8,
        vocab: 32_000,
        mlp: 1536,
        tied: false,
        half: false,
        experts: 0,
    },
    Shape {
        name: "large, bf16",
        hidden: 768,
        layers: 12,
        vocab: 128_256,
        mlp: 2048,
        tied: true,
        half: true,
        experts: 0,
    },
];

fn write(shape: &Shape, folder: &Path) {
    let heads = shape.hidden / 64;
    let class = match shape.experts {
        0 => "LlamaForCausalLM",
        _ => "MixtralForCausalLM",
    };
    let config = json!({
        "architectures": [class], "num_local_experts": shape.experts, "num_experts_per_tok": 2,
        "sliding_window": null, "vocab_size": shape.vocab,
        "hidden_size": shape.hidden, "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers, "num_attention_heads": heads,
        "num_key_value_heads": heads / 2, "head_dim": 64, "max_position_embeddings": 8192,
        "tie_word_embeddings": shape.tied
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let (h, kv) = (shape.hidden, heads / 2 * 64);
    let mut tensors = vec![
        ("model.embed_tokens".to_owned(), vec![shape.vocab, h]),
        ("model.norm".to_owned(), vec![h]),
    ];
    if !shape.tied {
        tensors.push(("lm_head".to_owned(), vec![shape.vocab, h]));
    }
    for layer in 0..shape.layers {
        for (name, dims) in [
            ("input_layernorm", vec![h]),
            ("post_attention_layernorm", vec![h]),
            ("self_attn.q_proj", vec![h, h]),
            ("self_attn.k_proj", vec![kv, h]),
            ("self_attn.v_proj", vec![kv, h]),
            ("self_attn.o_proj", vec![h, h]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}"), dims));
        }
        let mut block = |at: &str, names: [&str; 3]| {
            let sizes = [vec![shape.mlp, h], vec![shape.mlp, h], vec![h, shape.mlp]];
            for (name, dims) in names.iter().zip(sizes) {
                tensors.push((format!("model.layers.{layer}.{at}.{name}"), dims));
            }
        };
        if shape.experts == 0 {
            block("mlp", ["gate_proj", "up_proj", "down_proj"]);
            continue;
        }
        for expert in 0..shape.experts {
            block(
                &format!("block_sparse_moe.experts.{expert}"),
                ["w1", "w3", "w2"],
            );
        }
        let router = format!("model.layers.{layer}.block_sparse_moe.gate");
        tensors.push((router, vec![shape.experts, h]));
    }
    let (dtype, width) = if shape.half { ("BF16", 2) } else { ("F32", 4) };
    let mut header = Map::new();
    let mut end = 0;
    for (name, dims) in &tensors {
        let bytes = width * dims.iter().product::<usize>();
        let info = json!({"dtype": dtype, "shape": dims, "data_offsets": [end, end + bytes]});
        header.insert(format!("{name}.weight"), info);
        end += bytes;
    }
    let header = Value::Object(header).to_string();
    let file = fs::File::create(folder.join("model.safetensors")).unwrap();
    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    out.write_all(header.as_bytes()).unwrap();
    let mut state = 1u32;
    for _ in 0..end / width {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let x = (state >> 8) as f32 / (1 << 24) as f32 / 10.0 - 0.05;
        if shape.half {
            out.write_all(&bf16::from_f32(x).to_le_bytes()).unwrap();
        } else {
            out.write_all(&x.to_le_bytes()).unwrap();
        }
    }
    out.flush().unwrap();
}

/// Most memory that this process has held, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

const CHILD: &str = "RELSCALE_MEMORY_CHILD";

/// The model with batches as large as the estimate has them.
struct Whole<'a>(&'a Transformer<Cpu>);

impl Model for Whole<'_> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn context_len(&self) -> usize {
        self.0.context_len()
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        self.0.log_likelihoods(batch)
    }

    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        self.0.with_prefix(prefix)
    }

    fn prefix_cost(&self) -> Option<f64> {
        self.0.prefix_cost()
    }

    fn enough_tokens(&self) -> Option<usize> {
        None
    }
}

/// Questions after a prefix of `kept` tokens, four batches of `tokens` tokens.
fn questions(kept: usize, tokens: usize, vocab: usize) -> Items {
    let token = |i: usize| (i * 104_729 % vocab) as u32;
    let items = (0..4 * tokens / 128).map(|question| {
        let own = 0..120usize;
        Item {
            id: question.to_string(),
            cluster: String::new(),
            content: Content::ChoicesTokens {
                context: (0..kept)
                    .chain(own.map(|i| i + 1 + question * 7919))
                    .map(token)
                    .collect(),
                choices: vec![(0..9).map(token).collect()],
                gold: 0,
                unconditional: None,
            },
        }
    });
    Items::new("questions", items.collect()).unwrap()
}

/// Not a test by itself: loads and scores in a process of its own, and prints its peaks.
#[test]
fn child_that_loads_and_scores() {
    let Some(arguments) = std::env::var_os(CHILD) else {
        return;
    };
    let arguments = arguments.into_string().unwrap();
    let (tokens, arguments) = arguments.split_once(' ').unwrap();
    let (kept, folder) = arguments.split_once(' ').unwrap();
    let (tokens, kept): (usize, usize) = (tokens.parse().unwrap(), kept.parse().unwrap());
    let model = Transformer::load(folder, Cpu::new()).unwrap();
    println!("loaded {}", peak());
    if kept > 0 {
        let items = questions(kept, tokens, model.vocab_size());
        let total = Cell::new(0);
        let model = Whole(&model);
        Evaluation::new(&model)
            .batch_tokens(tokens)
            .progress(|progress| total.set(progress.total))
            .log_likelihoods(&items)
            .unwrap();
        assert_eq!(
            total.get(),
            kept + 4 * tokens,
            "the prefix is computed once"
        );
        println!("scored {}", peak());
        return;
    }
    let mut batch = Batch::new();
    let length = tokens.min(512);
    for sequence in 0..tokens / length {
        let token = |i: usize| ((sequence * 7919 + i * 104_729) % model.vocab_size()) as u32;
        let ids: Vec<u32> = (0..=length).map(token).collect();
        common::rolling(&mut batch, &ids);
    }
    assert_eq!(batch.tokens().len(), tokens);
    for _ in 0..2 {
        model.log_likelihoods(&batch).unwrap();
    }
    println!("scored {}", peak());
}

/// Measures one model in processes of their own; returns what is not as estimated.
///
/// Estimates bound the peak. Nor are they bounds that nothing comes near, where every token is scored;
/// those of a mixture are for the worst case, in which all tokens visit the same experts.
#[cfg(target_os = "linux")]
fn measured(shape: &Shape, batches: &[(usize, usize)]) -> Vec<String> {
    const MB: f64 = 1e6;
    let mut broken = Vec::new();
    let name = format!(
        "relscale-memory-{}-{}-{}",
        std::process::id(),
        shape.hidden,
        shape.experts
    );
    let folder: PathBuf = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    write(shape, &folder);
    for &(tokens, kept) in batches {
        let estimate = Transformer::memory_estimate(&folder, &Cpu::new(), tokens).unwrap();
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_loads_and_scores", "--nocapture"])
            .env(CHILD, format!("{tokens} {kept} {}", folder.display()))
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let said = String::from_utf8(out.stdout).unwrap();
        let number = |word: &str| -> f64 {
            let line = said.lines().find_map(|l| l.split_once(word)).unwrap();
            line.1.trim().parse().unwrap()
        };
        let (loaded, peak) = (number("loaded "), number("scored "));
        let (weights, activations) = (estimate.weights as f64, estimate.activations as f64);
        println!(
            "| {} | {tokens} | {kept} | {:.0} MB | {:.0} MB | {:.0} MB | {:.0} MB |",
            shape.name,
            weights / MB,
            activations / MB,
            loaded / MB,
            peak / MB
        );
        let total = weights + activations;
        let far = kept == 0 && total > 1.15 * peak + 64.0 * MB;
        if peak > 1.15 * total + 64.0 * MB || far {
            broken.push(format!("{}, {tokens} tokens, {kept} kept", shape.name));
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    broken
}

#[test]
#[ignore = "minutes"]
#[cfg(target_os = "linux")]
fn resident_memory_is_as_estimated() {
    let batches = [(256, 0), (2048, 0), (8192, 0), (8192, 1024), (8192, 4096)];
    println!("| model | tokens | of them kept | weights | activations | loaded | peak |");
    println!("|-|-|-|-|-|-|-|");
    let broken: Vec<String> = (SHAPES.iter().chain([&MIXTURE]))
        .flat_map(|shape| measured(shape, &batches))
        .collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn resident_memory_of_experts_is_as_estimated() {
    let broken = measured(&MIXTURE, &[(256, 0), (4096, 0)]);
    assert!(broken.is_empty(), "{broken:?}");
}
