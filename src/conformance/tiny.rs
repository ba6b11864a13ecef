//! Tiny random checkpoints, written to the system's temporary folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::tensor::{Dtype, TensorView};

use super::inputs::SplitMix64;
use super::kit::Failure;
use crate::error::Error;

/// Vocabulary of the tiny models, a prime so that no tile divides it.
pub(super) const VOCAB: usize = 53;

/// `len` random tokens of the tiny models.
pub(super) fn some_tokens(len: usize, seed: usize) -> Vec<u32> {
    // Seeds below 100 belong to the weights and to the checks of kernels.
    let mut random = SplitMix64::new(100 + seed as u64);
    (0..len).map(|_| random.below(VOCAB) as u32).collect()
}

/// A checkpoint in a folder that is removed with the value.
pub(super) struct Tiny {
    pub(super) name: &'static str,
    dir: PathBuf,
}

impl Drop for Tiny {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary place is no reason to fail a test.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The sizes of a tiny model, as in its `config.json`.
#[derive(Clone, Copy)]
struct Shape {
    hidden: usize,
    mlp: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Norms on queries and keys and a separate LM head, instead of biases on products.
    qwen: bool,
}

const LLAMA: (&str, Shape) = (
    r#"{"architectures": ["LlamaForCausalLM"], "vocab_size": 53, "hidden_size": 24,
    "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3,
    "num_key_value_heads": 1, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}"#,
    Shape {
        hidden: 24,
        mlp: 40,
        heads: 3,
        kv_heads: 1,
        head_dim: 8,
        qwen: false,
    },
);

const QWEN3: (&str, Shape) = (
    r#"{"architectures": ["Qwen3ForCausalLM"], "vocab_size": 53, "hidden_size": 20,
    "intermediate_size": 33, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6, "rope_theta": 500.0, "tie_word_embeddings": false}"#,
    Shape {
        hidden: 20,
        mlp: 33,
        heads: 4,
        kv_heads: 2,
        head_dim: 6,
        qwen: true,
    },
);

impl Tiny {
    /// Two models that between them use grouped heads, biases, norms on queries and keys, and tied
    /// and separate LM heads.
    pub(super) fn all() -> Result<[Self; 2], Failure> {
        Ok([Self::write("llama", LLAMA)?, Self::write("qwen3", QWEN3)?])
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    fn write(name: &'static str, (config, shape): (&str, Shape)) -> Result<Self, Failure> {
        // Tests of one process run at once, each with folders of its own.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // The process too, since test programs run side by side.
        let folder = format!("relscale-conformance-{}-{number}", std::process::id());
        let tiny = Self {
            name,
            dir: std::env::temp_dir().join(folder),
        };
        let io = |e| Error::io(&tiny.dir, e);
        std::fs::create_dir_all(&tiny.dir).map_err(io)?;
        std::fs::write(tiny.dir.join("config.json"), config).map_err(io)?;
        let bytes = serialize(&tensors(shape)).map_err(|e| Failure::wrong(e.to_string()))?;
        std::fs::write(tiny.dir.join("model.safetensors"), bytes).map_err(io)?;
        Ok(tiny)
    }
}

/// Name, shape and little-endian `f32` values of one tensor.
type Named = (String, Vec<usize>, Vec<u8>);

fn serialize(tensors: &[Named]) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, dims, bytes)| {
            let view = TensorView::new(Dtype::F32, dims.clone(), bytes)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<_, safetensors::SafeTensorError>>()?;
    safetensors::serialize(views, None)
}

/// Every tensor of a tiny model.
fn tensors(shape: Shape) -> Vec<Named> {
    let (hidden, dim) = (shape.hidden, shape.head_dim);
    let mut random = SplitMix64::new(if shape.qwen { 21 } else { 20 });
    let mut tensors = Vec::new();
    let mut tensor = |name: String, dims: &[usize], center: f32, size: f32| {
        let values = random.uniforms(dims.iter().product());
        let bytes = values
            .iter()
            .flat_map(|x| (center + size * x).to_le_bytes())
            .collect();
        tensors.push((name, dims.to_vec(), bytes));
    };
    tensor(
        "model.embed_tokens.weight".into(),
        &[VOCAB, hidden],
        0.0,
        1.0,
    );
    for layer in 0..2 {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        // Around 1 but never 1: a norm whose weight is ignored must show.
        tensor(name("input_layernorm.weight"), &[hidden], 1.0, 0.3);
        tensor(name("post_attention_layernorm.weight"), &[hidden], 1.0, 0.3);
        if shape.qwen {
            tensor(name("self_attn.q_norm.weight"), &[dim], 1.0, 0.3);
            tensor(name("self_attn.k_norm.weight"), &[dim], 1.0, 0.3);
        }
        for (part, outputs, inputs) in [
            ("self_attn.q_proj", shape.heads * dim, hidden),
            ("self_attn.k_proj", shape.kv_heads * dim, hidden),
            ("self_attn.v_proj", shape.kv_heads * dim, hidden),
            ("self_attn.o_proj", hidden, shape.heads * dim),
            ("mlp.gate_proj", shape.mlp, hidden),
            ("mlp.up_proj", shape.mlp, hidden),
            ("mlp.down_proj", hidden, shape.mlp),
        ] {
            // Keeps activations near 1 from layer to layer.
            let size = 2.0 / (inputs as f32).sqrt();
            let weight = name(&format!("{part}.weight"));
            tensor(weight, &[outputs, inputs], 0.0, size);
            if !shape.qwen {
                tensor(name(&format!("{part}.bias")), &[outputs], 0.0, 0.2);
            }
        }
    }
    tensor("model.norm.weight".into(), &[hidden], 1.0, 0.3);
    if shape.qwen {
        tensor("lm_head.weight".into(), &[VOCAB, hidden], 0.0, 0.5);
    }
    tensors
}
