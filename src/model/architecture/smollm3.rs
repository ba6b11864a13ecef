//! SmolLM3: Llama with layers whose queries and keys are not rotated.

use serde_json::Value;

use super::{Architecture, Family, llama};
use crate::error::Error;
use crate::model::config::{Config, SlidingLayers};
use crate::model::config_json::{
    Defaults, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope, shared, windows,
};

/// Base of the rotary embedding where a file has none.
const THETA: f64 = 2_000_000.0;

pub(super) static SMOLLM3: Family = Family {
    class: "SmolLM3ForCausalLM",
    model_type: "smollm3",
    config_json,
    tensors: llama::TENSORS,
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(4)),
        max_position_embeddings: 32_768,
        tie_word_embeddings: true,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::SmolLm3, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole_from(&mut config, fields, THETA)?;
    attention_bias(&mut config, fields, false)?;
    config.mlp_bias = fields.flag("mlp_bias", false)?;
    let rotary = rotary_layers(&config, fields)?;
    let window = match fields.flag("use_sliding_window", false)? {
        true => fields.nullable_dimension("sliding_window", None)?,
        false => None,
    };
    // Without a list of kinds, the layers that are not rotated have the window.
    let sliding = rotary.iter().map(|rotary| !rotary).collect();
    windows(&mut config, fields, window, SlidingLayers::Listed(sliding))?;
    config.rotary_layers = Some(rotary);
    Ok(config)
}

/// The layers whose queries and keys are rotated.
fn rotary_layers(config: &Config, fields: &Fields<'_>) -> Result<Vec<bool>, Error> {
    // A list of ones for layers that are rotated, whatever its name says.
    const FIELD: &str = "no_rope_layers";
    let layers = config.num_hidden_layers;
    let Some(value) = fields.present(FIELD) else {
        let every = fields
            .optional_dimension("no_rope_layer_interval")?
            .unwrap_or(4);
        return Ok((1..=layers).map(|n| !n.is_multiple_of(every)).collect());
    };
    let flag = |value: &Value| match value.as_u64() {
        Some(n @ 0..=1) => Some(n == 1),
        _ => None,
    };
    let listed = value.as_array().filter(|list| list.len() == layers);
    listed
        .and_then(|list| list.iter().map(flag).collect())
        .ok_or_else(|| {
            fields.error(
                FIELD,
                format!("{value} is no list of {layers} zeros and ones"),
            )
        })
}
