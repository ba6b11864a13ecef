//! Mistral: Llama with a sliding window. In GGUF it is a Llama.

use super::{Architecture, Family, llama};
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_json::{
    Defaults, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, rope, shared, window_everywhere,
};

pub(super) static MISTRAL: Family = Family {
    class: "MistralForCausalLM",
    model_type: "mistral",
    config_json,
    tensors: llama::TENSORS,
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["attention_bias", "mlp_bias"])?;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(8)),
        max_position_embeddings: 131_072,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Mistral, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    let window = fields.nullable_dimension("sliding_window", Some(4096))?;
    window_everywhere(&mut config, fields, window)?;
    Ok(config)
}
