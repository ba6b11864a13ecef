//! Falcon: LayerNorms, attention and MLP side by side, one key and value for many queries.

use super::{Architecture, Family, Names, llama};
use crate::backend::Activation;
use crate::error::Error;
use crate::model::config::{Config, NormPlacement};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, derived_head_dim, rope,
    shared,
};

pub(super) static FALCON: Family = Family {
    class: "FalconForCausalLM",
    model_type: "falcon",
    config_json,
    tensors: Names {
        prefixes: &["transformer.", ""],
        embedding: "word_embeddings",
        layer: "h",
        norm: "ln_f",
        qkv: &["self_attention.query_key_value"],
        output: "self_attention.dense",
        gate_up: &["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        head_by_head: true,
        side_by_side: &[
            ("input_layernorm", "ln_attn"),
            ("post_attention_layernorm", "ln_mlp"),
        ],
        ..llama::TENSORS
    },
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    // The class rounds these biases to bfloat16 before it adds them.
    fields.never(&["alibi"])?;
    let names = FieldNames {
        intermediate_size: "ffn_hidden_size",
        norm_eps: "layer_norm_epsilon",
        activation: "activation",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        intermediate_size: Some(4),
        norm_eps: 1e-5,
        tie_word_embeddings: true,
        activations: &[
            ("gelu", Activation::GeluErf),
            ("gelu_new", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
        ],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Falcon, fields, &names, &defaults)?;
    derived_head_dim(&config, fields, &names)?;
    rope::whole(&mut config, fields)?;
    config.with_layer_norm();
    let bias = fields.flag("bias", false)?;
    config.qkv_bias = bias;
    config.output_bias = bias;
    config.mlp_bias = bias;
    let grouped = fields.flag("new_decoder_architecture", false)?;
    kv_heads(&mut config, fields, grouped)?;
    norms(&mut config, fields, grouped)?;
    Ok(config)
}

fn kv_heads(config: &mut Config, fields: &Fields<'_>, grouped: bool) -> Result<(), Error> {
    const FIELD: &str = "num_kv_heads";
    let heads = config.num_attention_heads;
    let given = fields.optional_dimension(FIELD)?;
    config.num_key_value_heads = if grouped {
        given.unwrap_or(heads)
    } else if fields.flag("multi_query", true)? {
        // The class does not read the number then.
        1
    } else {
        fields.must_be(FIELD, heads as f64)?;
        heads
    };
    if !heads.is_multiple_of(config.num_key_value_heads) {
        let message = format!(
            "{} does not divide {heads} heads",
            config.num_key_value_heads
        );
        return Err(fields.error(FIELD, message));
    }
    Ok(())
}

fn norms(config: &mut Config, fields: &Fields<'_>, grouped: bool) -> Result<(), Error> {
    const FIELD: &str = "num_ln_in_parallel_attn";
    config.parallel_residual = fields.flag("parallel_attn", true)?;
    if grouped && !config.parallel_residual {
        let message = "false beside new_decoder_architecture is not supported";
        return Err(fields.error("parallel_attn", message));
    }
    let default = if grouped { 2 } else { 1 };
    let norms = fields.optional_dimension(FIELD)?.unwrap_or(default);
    config.norm_placement = match (config.parallel_residual, norms) {
        (false, _) => NormPlacement::Before,
        (true, 2) if grouped => NormPlacement::Before,
        (true, 1) => NormPlacement::Shared,
        (true, n) => return Err(fields.error(FIELD, format!("{n} is not supported"))),
    };
    Ok(())
}
