//! Mistral: Llama with a sliding window. In GGUF it is a Llama. Ministral: the same with layers without
//! the window.

use super::{Architecture, Family, llama};
use crate::error::Error;
use crate::model::config::{Config, SlidingLayers};
use crate::model::config_json::{
    Defaults, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, rope, shared, window_everywhere,
    windows,
};

pub(super) static MISTRAL: Family = Family {
    class: "MistralForCausalLM",
    model_type: "mistral",
    config_json: mistral,
    tensors: llama::TENSORS,
    gguf: None,
};

pub(super) static MINISTRAL: Family = Family {
    class: "MinistralForCausalLM",
    model_type: "ministral",
    config_json: ministral,
    tensors: llama::TENSORS,
    gguf: None,
};

fn mistral(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = both(Architecture::Mistral, fields)?;
    let window = fields.nullable_dimension("sliding_window", Some(4096))?;
    window_everywhere(&mut config, fields, window)?;
    Ok(config)
}

fn ministral(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = both(Architecture::Ministral, fields)?;
    let window = fields.nullable_dimension("sliding_window", Some(4096))?;
    windows(&mut config, fields, window, SlidingLayers::From(0))?;
    Ok(config)
}

fn both(architecture: Architecture, fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["attention_bias", "mlp_bias"])?;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(8)),
        max_position_embeddings: 131_072,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(architecture, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    Ok(config)
}
