//! Phi-1, 1.5 and 2: attention and MLP side by side behind one LayerNorm, biases everywhere.

use super::{Architecture, Family, Names, llama};
use crate::backend::Activation;
use crate::error::Error;
use crate::model::config::{Config, NormPlacement};
use crate::model::config_json::rope::{PartialNames, RULES};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, LLAMA_DEFAULTS, LLAMA_FIELDS, rope, shared,
};

pub(super) static PHI: Family = Family {
    class: "PhiForCausalLM",
    model_type: "phi",
    config_json,
    tensors: Names {
        norm: "final_layernorm",
        output: "self_attn.dense",
        gate_up: &["mlp.fc1"],
        down: "mlp.fc2",
        ..llama::TENSORS
    },
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    const ROTARY: PartialNames = PartialNames {
        theta: "rope_theta",
        fraction: "partial_rotary_factor",
        default_fraction: 0.5,
    };
    // None of the released models has it.
    fields.never(&["qk_layernorm"])?;
    let names = FieldNames {
        norm_eps: "layer_norm_eps",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        norm_eps: 1e-5,
        activations: &[
            ("gelu_new", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("gelu", Activation::GeluErf),
        ],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Phi, fields, &names, &defaults)?;
    rope::partial(&mut config, fields, &ROTARY, RULES)?;
    config.with_layer_norm();
    config.parallel_residual = true;
    config.norm_placement = NormPlacement::Shared;
    config.qkv_bias = true;
    config.output_bias = true;
    config.head_bias = true;
    Ok(config)
}
