//! GPT-2, also the architecture of Cerebras-GPT: LayerNorm, biases, learned positions.

use serde_json::Value;

use super::{Architecture, Family, GgufFamily, Names, llama};
use crate::backend::{Activation, NormKind};
use crate::error::Error;
use crate::model::config::{Config, Positions};
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::{Defaults, FieldNames, Fields, KvHeads, derived_heads, shared};

pub(super) static GPT2: Family = Family {
    class: "GPT2LMHeadModel",
    model_type: "gpt2",
    config_json,
    tensors: Names {
        // The first files were written without the head, and with it without the prefix.
        prefixes: &["transformer.", ""],
        embedding: "wte",
        positions: "wpe",
        layer: "h",
        norm: "ln_f",
        before_attention: "ln_1",
        before_mlp: "ln_2",
        qkv: &["attn.c_attn"],
        output: "attn.c_proj",
        gate_up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        transposed: true,
        derived: &[],
        masks: &["attn.bias", "attn.masked_bias"],
        ..llama::TENSORS
    },
    gguf: Some(GgufFamily {
        name: "gpt2",
        norm: NormKind::Layer,
        config: config_gguf,
        // The writer transposes the matrices.
        tensors: config_gguf::FUSED_TENSORS,
    }),
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    // Both change the computation, and only a few research models set them.
    fields.never(&["scale_attn_by_inverse_layer_idx", "add_cross_attention"])?;
    fields.only("scale_attn_weights", &[Value::from(true)])?;
    let names = FieldNames {
        hidden_size: "n_embd",
        intermediate_size: "n_inner",
        num_hidden_layers: "n_layer",
        num_attention_heads: "n_head",
        max_position_embeddings: "n_positions",
        norm_eps: "layer_norm_epsilon",
        activation: "activation_function",
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        head_dim: None,
        // `n_inner` is null in the original files and means four times the width.
        intermediate_size: Some(4),
        max_position_embeddings: 1024,
        norm_eps: 1e-5,
        tie_word_embeddings: true,
        activations: &[
            ("gelu_new", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("gelu", Activation::GeluErf),
        ],
    };
    let mut config = shared(Architecture::Gpt2, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    learned_positions_and_biases(&mut config);
    config.with_layer_norm();
    Ok(config)
}

fn config_gguf(config: &mut Config, _: &Keys<'_>) -> Result<(), Error> {
    // The format does not record the activation; OpenAI's models have the tanh form of GELU.
    config.activation = Activation::GeluTanh;
    learned_positions_and_biases(config);
    Ok(())
}

fn learned_positions_and_biases(config: &mut Config) {
    config.positions = Positions::Learned { offset: 0 };
    config.qkv_bias = true;
    config.output_bias = true;
}
