//! GPT-J: attention and MLP side by side behind one LayerNorm, neighbouring elements rotated.

use super::{Architecture, Family, Names, llama};
use crate::backend::Activation;
use crate::error::Error;
use crate::model::config::{Config, NormPlacement, Positions, RopeConfig, RopeScaling};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, derived_heads, shared,
};

pub(super) static GPT_J: Family = Family {
    class: "GPTJForCausalLM",
    model_type: "gptj",
    config_json,
    tensors: Names {
        prefixes: &["transformer.", ""],
        embedding: "wte",
        layer: "h",
        norm: "ln_f",
        before_attention: "ln_1",
        qkv: &["attn.q_proj", "attn.k_proj", "attn.v_proj"],
        output: "attn.out_proj",
        gate_up: &["mlp.fc_in"],
        down: "mlp.fc_out",
        halves_alternate: true,
        masks: &["attn.bias", "attn.masked_bias"],
        ..llama::TENSORS
    },
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
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
        intermediate_size: Some(4),
        norm_eps: 1e-5,
        activations: &[
            ("gelu_new", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("gelu", Activation::GeluErf),
        ],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::GptJ, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    config.with_layer_norm();
    config.parallel_residual = true;
    config.norm_placement = NormPlacement::Shared;
    config.head_bias = true;
    rotary(&mut config, fields)?;
    Ok(config)
}

fn rotary(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    const FIELD: &str = "rotary_dim";
    let head = config.head_dim;
    let Some(rotated) = fields.nullable_dimension(FIELD, Some(64))? else {
        return Err(fields.error(FIELD, "null is not supported"));
    };
    if !rotated.is_multiple_of(2) || rotated > head {
        let message = format!("{rotated} of a head of {head} are no pairs");
        return Err(fields.error(FIELD, message));
    }
    let theta = 10_000.0;
    // The class reads neither.
    fields.must_be("rope_theta", theta)?;
    fields.only("rope_scaling", &[])?;
    config.positions = Positions::everywhere(RopeConfig {
        theta,
        partial_rotary_factor: RopeConfig::fraction(rotated, head),
        scaling: RopeScaling::Default,
    });
    Ok(())
}
