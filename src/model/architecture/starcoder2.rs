//! StarCoder2: Llama with LayerNorms, an MLP without a gate, and biases.

use super::{Architecture, Family, Names, llama};
use crate::backend::Activation;
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, rope, shared,
    window_everywhere,
};

pub(super) static STARCODER2: Family = Family {
    class: "Starcoder2ForCausalLM",
    model_type: "starcoder2",
    config_json,
    tensors: Names {
        gate_up: &["mlp.c_fc"],
        down: "mlp.c_proj",
        ..llama::TENSORS
    },
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    let names = FieldNames {
        norm_eps: "norm_epsilon",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(2)),
        max_position_embeddings: 4096,
        norm_eps: 1e-5,
        tie_word_embeddings: true,
        activations: &[
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("gelu_new", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("gelu", Activation::GeluErf),
        ],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Starcoder2, fields, &names, &defaults)?;
    rope::whole(&mut config, fields)?;
    config.with_layer_norm();
    let bias = fields.flag("use_bias", true)?;
    config.qkv_bias = bias;
    config.output_bias = bias;
    config.mlp_bias = bias;
    let window = fields.nullable_dimension("sliding_window", None)?;
    window_everywhere(&mut config, fields, window)?;
    Ok(config)
}
