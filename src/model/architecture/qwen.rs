//! Qwen2 and Qwen3: Llama with a window in the upper layers; biases in the former, norms of queries
//! and keys in the latter.

use serde_json::Value;

use super::{Architecture, Family, GgufFamily, llama};
use crate::backend::NormKind;
use crate::error::Error;
use crate::model::config::{Config, QkNorm, SlidingLayers};
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::{
    Defaults, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope, shared, windows,
};

pub(super) static QWEN2: Family = Family {
    class: "Qwen2ForCausalLM",
    model_type: "qwen2",
    config_json: qwen2,
    tensors: llama::TENSORS,
    gguf: Some(GgufFamily {
        name: "qwen2",
        norm: NormKind::Rms,
        config: qwen2_gguf,
        tensors: config_gguf::TENSORS,
    }),
};

pub(super) static QWEN3: Family = Family {
    class: "Qwen3ForCausalLM",
    model_type: "qwen3",
    config_json: qwen3,
    tensors: llama::TENSORS,
    gguf: Some(GgufFamily {
        name: "qwen3",
        norm: NormKind::Rms,
        config: qwen3_gguf,
        tensors: config_gguf::TENSORS,
    }),
};

fn qwen2(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = both(Architecture::Qwen2, fields, None)?;
    fields.only("attention_bias", &[Value::from(true)])?;
    config.qkv_bias = true;
    Ok(config)
}

fn qwen3(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = both(Architecture::Qwen3, fields, Some(128))?;
    config.qk_norm = QkNorm::Head;
    attention_bias(&mut config, fields, false)?;
    Ok(config)
}

fn both(
    architecture: Architecture,
    fields: &Fields<'_>,
    head_dim: Option<usize>,
) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(32)),
        head_dim,
        max_position_embeddings: 32768,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(architecture, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    let window = if fields.flag("use_sliding_window", false)? {
        fields.nullable_dimension("sliding_window", Some(4096))?
    } else {
        None
    };
    let full = fields.count("max_window_layers", 28)?;
    windows(&mut config, fields, window, SlidingLayers::From(full))?;
    Ok(config)
}

fn qwen2_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    config.qkv_bias = true;
    config_gguf::whole_rotary(config, keys)
}

fn qwen3_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    config.qk_norm = QkNorm::Head;
    config_gguf::whole_rotary(config, keys)
}
