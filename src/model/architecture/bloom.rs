//! BLOOM: LayerNorms, biases, a norm of the embeddings, and attention with linear biases.

use super::{Architecture, Family, Names, llama};
use crate::backend::Activation;
use crate::error::Error;
use crate::model::config::{Config, Positions};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, derived_heads, shared,
};

pub(super) static BLOOM: Family = Family {
    class: "BloomForCausalLM",
    model_type: "bloom",
    config_json,
    tensors: Names {
        prefixes: &["transformer.", ""],
        embedding: "word_embeddings",
        embedding_norm: "word_embeddings_layernorm",
        layer: "h",
        norm: "ln_f",
        qkv: &["self_attention.query_key_value"],
        output: "self_attention.dense",
        gate_up: &["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        head_by_head: true,
        ..llama::TENSORS
    },
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["apply_residual_connection_post_layernorm"])?;
    // Published files have either name.
    let either = |old: &'static str, new: &'static str| match fields.present(old) {
        Some(_) => old,
        None => new,
    };
    let names = FieldNames {
        hidden_size: either("n_embed", "hidden_size"),
        // Not read by the class: the MLP is four times as wide as the residual stream.
        intermediate_size: "",
        num_hidden_layers: either("n_layer", "num_hidden_layers"),
        num_attention_heads: either("n_head", "num_attention_heads"),
        // The length of the texts it was trained on; the class has no limit.
        max_position_embeddings: "seq_length",
        norm_eps: "layer_norm_epsilon",
        activation: "",
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        intermediate_size: Some(4),
        norm_eps: 1e-5,
        tie_word_embeddings: true,
        activations: &[("gelu_tanh", Activation::GeluTanh)],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Bloom, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    config.with_layer_norm();
    config.qkv_bias = true;
    config.output_bias = true;
    config.embedding_norm = true;
    config.positions = Positions::LinearBiases;
    Ok(config)
}
