//! StableLM: Llama with LayerNorms and a rotary embedding of a fraction of each head.

use super::{Architecture, Family, llama};
use crate::backend::NormKind;
use crate::error::Error;
use crate::model::config::{Config, NormParameters, NormPlacement};
use crate::model::config_json::rope::{PartialNames, RULES};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, derived_head_dim, rope,
    shared,
};

pub(super) static STABLE_LM: Family = Family {
    class: "StableLmForCausalLM",
    model_type: "stablelm",
    config_json,
    tensors: llama::TENSORS,
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    const ROTARY: PartialNames = PartialNames {
        theta: "rope_theta",
        fraction: "partial_rotary_factor",
        default_fraction: 0.25,
    };
    // The norms of queries and keys have weights of their own for every head.
    fields.never(&["attention_bias", "mlp_bias", "qk_layernorm"])?;
    let names = FieldNames {
        norm_eps: "layer_norm_eps",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(32)),
        max_position_embeddings: 4096,
        norm_eps: 1e-5,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::StableLm, fields, &names, &defaults)?;
    derived_head_dim(&config, fields, &names)?;
    let rope = rope::partial(&mut config, fields, &ROTARY, RULES)?;
    // The name of the first files, which the class does not read.
    fields.must_be("rope_pct", rope.partial_rotary_factor)?;
    config.norm = NormKind::Layer;
    config.norm_parameters = NormParameters::WeightAndBias;
    config.qkv_bias = fields.flag("use_qkv_bias", false)?;
    if fields.flag("use_parallel_residual", false)? {
        config.parallel_residual = true;
        config.norm_placement = NormPlacement::Shared;
    }
    Ok(config)
}
