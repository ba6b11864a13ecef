//! Phi-3: Llama with fused projections, a window and a rotary embedding of a fraction of each head.

use super::{Architecture, Family, GgufFamily, Names, llama};
use crate::backend::NormKind;
use crate::checkpoint::gguf::Value;
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::rope::PartialNames;
use crate::model::config_json::{
    Defaults, Fields, LLAMA_DEFAULTS, LLAMA_FIELDS, rope, shared, window_everywhere,
};

pub(super) static PHI3: Family = Family {
    class: "Phi3ForCausalLM",
    model_type: "phi3",
    config_json,
    tensors: Names {
        qkv: &["self_attn.qkv_proj"],
        gate_up: &["mlp.gate_up_proj"],
        ..llama::TENSORS
    },
    gguf: Some(GgufFamily {
        name: "phi3",
        norm: NormKind::Rms,
        config: config_gguf,
        tensors: config_gguf::FUSED_TENSORS,
    }),
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    const ROTARY: PartialNames = PartialNames {
        theta: "rope_theta",
        fraction: "partial_rotary_factor",
        default_fraction: 1.0,
    };
    fields.never(&["attention_bias", "mlp_bias"])?;
    let defaults = Defaults {
        max_position_embeddings: 4096,
        norm_eps: 1e-5,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Phi3, fields, &LLAMA_FIELDS, &defaults)?;
    // The class knows no other rules.
    let rules = &["default", "longrope", "su"];
    rope::partial(&mut config, fields, &ROTARY, rules)?;
    let window = fields.nullable_dimension("sliding_window", None)?;
    window_everywhere(&mut config, fields, window)?;
    Ok(config)
}

fn config_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    const WINDOW: &str = "attention.sliding_window";
    config_gguf::partial_rotary(config, keys)?;
    config.sliding_window = match keys.get(WINDOW) {
        // The writer puts 0 for no window.
        Some(Value::Unsigned(0)) => None,
        _ => keys.optional_dimension(WINDOW)?,
    };
    Ok(())
}
