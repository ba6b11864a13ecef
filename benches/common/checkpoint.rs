//! Random checkpoints of Llama's shape.

use std::fs;
use std::path::Path;

use half::bf16;
use safetensors::tensor::{Dtype, TensorView};

use super::values;

/// The sizes of a model, as in its `config.json`.
#[derive(Clone, Copy)]
pub(crate) struct Llama {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) mlp: usize,
    pub(crate) vocab: usize,
    /// If true, the LM head is the embedding table.
    pub(crate) tied: bool,
}

impl Llama {
    /// A model with a head of its own.
    pub(crate) const fn untied([hidden, layers, heads, mlp]: [usize; 4], vocab: usize) -> Self {
        Self {
            hidden,
            layers,
            heads,
            mlp,
            vocab,
            tied: false,
        }
    }

    /// Weights that a token is multiplied with: all but embeddings and norms.
    pub(crate) fn weights_per_token(&self) -> usize {
        let layer = 4 * self.hidden * self.hidden + 3 * self.hidden * self.mlp;
        self.layers * layer + self.hidden * self.vocab
    }

    /// Writes a checkpoint with weights in `F32` or `BF16` to a folder, which is made.
    pub(crate) fn write(&self, dir: &Path, dtype: Dtype) {
        fs::create_dir_all(dir).expect("a folder");
        fs::write(dir.join("config.json"), self.config()).expect("a file");
        let tensors = self.tensors();
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, shape)| {
                // Keeps activations near 1 from layer to layer.
                let scale = 1.0 / (shape[shape.len() - 1] as f32).sqrt();
                let values = values(shape.iter().product());
                let scaled = values.iter().map(|x| x * scale);
                match dtype {
                    Dtype::F32 => scaled.flat_map(f32::to_le_bytes).collect(),
                    Dtype::BF16 => scaled
                        .flat_map(|x| bf16::from_f32(x).to_le_bytes())
                        .collect(),
                    _ => panic!("no checkpoints in {dtype:?}"),
                }
            })
            .collect();
        let views = tensors
            .into_iter()
            .zip(&bytes)
            .map(|((name, shape), bytes)| {
                let view = TensorView::new(dtype, shape, bytes).expect("bytes of the shape");
                (name, view)
            });
        let path = dir.join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).expect("a file");
    }

    fn config(&self) -> String {
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama",
            "vocab_size": self.vocab, "hidden_size": self.hidden,
            "intermediate_size": self.mlp, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.heads,
            "hidden_act": "silu", "max_position_embeddings": 16384, "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0, "tie_word_embeddings": self.tied,
        })
        .to_string()
    }

    /// Name and shape of every tensor.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, mlp) = (self.hidden, self.mlp);
        let table = vec![self.vocab, hidden];
        let mut tensors = vec![
            ("model.embed_tokens.weight".to_owned(), table.clone()),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ];
        if !self.tied {
            tensors.push(("lm_head.weight".to_owned(), table));
        }
        for layer in 0..self.layers {
            for (name, shape) in [
                ("input_layernorm", vec![hidden]),
                ("post_attention_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![hidden, hidden]),
                ("self_attn.k_proj", vec![hidden, hidden]),
                ("self_attn.v_proj", vec![hidden, hidden]),
                ("self_attn.o_proj", vec![hidden, hidden]),
                ("mlp.gate_proj", vec![mlp, hidden]),
                ("mlp.up_proj", vec![mlp, hidden]),
                ("mlp.down_proj", vec![hidden, mlp]),
            ] {
                tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
            }
        }
        tensors
    }
}
