//! GPT-NeoX, the architecture of Pythia: LayerNorm, biases, attention and MLP side by side.

use super::{Architecture, Family, GgufFamily, Names, llama};
use crate::backend::{Activation, NormKind};
use crate::checkpoint::gguf::Value;
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::rope::{PartialNames, RULES};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias,
    derived_heads, rope, shared,
};

pub(super) static GPT_NEOX: Family = Family {
    class: "GPTNeoXForCausalLM",
    model_type: "gpt_neox",
    config_json,
    tensors: Names {
        prefixes: &["gpt_neox.", ""],
        embedding: "embed_in",
        norm: "final_layer_norm",
        heads: &["embed_out", "lm_head"],
        qkv: &["attention.query_key_value"],
        output: "attention.dense",
        gate_up: &["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        head_by_head: true,
        derived: &["attention.rotary_emb.inv_freq"],
        masks: &["attention.bias", "attention.masked_bias"],
        ..llama::TENSORS
    },
    gguf: Some(GgufFamily {
        name: "gptneox",
        norm: NormKind::Layer,
        config: config_gguf,
        // The writer takes the heads of the one projection apart.
        tensors: config_gguf::FUSED_TENSORS,
    }),
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    const ROTARY: PartialNames = PartialNames {
        theta: "rotary_emb_base",
        fraction: "rotary_pct",
        default_fraction: 0.25,
    };
    fields.never(&["mlp_bias"])?;
    let names = FieldNames {
        norm_eps: "layer_norm_eps",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        norm_eps: 1e-5,
        activations: &[
            ("gelu", Activation::GeluErf),
            ("gelu_new", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("gelu_pytorch_tanh", Activation::GeluTanh),
        ],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::GptNeoX, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    let rope = rope::partial(&mut config, fields, &ROTARY, RULES)?;
    // The class does not read these names.
    fields.must_be("rope_theta", rope.theta)?;
    fields.must_be("partial_rotary_factor", rope.partial_rotary_factor)?;
    config.with_layer_norm();
    config.parallel_residual = fields.flag("use_parallel_residual", true)?;
    attention_bias(&mut config, fields, true)?;
    Ok(config)
}

fn config_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    const PARALLEL: &str = "use_parallel_residual";
    // The format does not record the activation; Pythia's is the exact GELU.
    config.activation = Activation::GeluErf;
    config_gguf::partial_rotary(config, keys)?;
    config.parallel_residual = match keys.get(PARALLEL) {
        None => true,
        Some(Value::Bool(parallel)) => *parallel,
        Some(value) => {
            return Err(keys.error(PARALLEL, format!("{value} is neither true nor false")));
        }
    };
    Ok(())
}
