//! Granite: Llama with factors on embeddings, attention, sublayers and logits.

use super::{Architecture, Family, llama};
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_json::{
    Fields, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope, shared,
};

pub(super) static GRANITE: Family = Family {
    class: "GraniteForCausalLM",
    model_type: "granite",
    config_json,
    tensors: llama::TENSORS,
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = shared(
        Architecture::Granite,
        fields,
        &LLAMA_FIELDS,
        &LLAMA_DEFAULTS,
    )?;
    rope::whole(&mut config, fields)?;
    attention_bias(&mut config, fields, false)?;
    config.mlp_bias = fields.flag("mlp_bias", false)?;
    let factor = |field: &str| -> Result<f64, Error> {
        let factor = fields.positive(field, Some(1.0))?;
        factor.ok_or_else(|| fields.error(field, "null is not supported"))
    };
    config.embedding_scale = factor("embedding_multiplier")?;
    // In place of the usual factor, not beside it.
    config.attention_scale = factor("attention_multiplier")?;
    config.residual_scale = factor("residual_multiplier")?;
    // The one factor that the class divides by.
    config.logit_scale = 1.0 / factor("logits_scaling")?;
    Ok(config)
}
