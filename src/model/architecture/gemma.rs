//! Gemma 2 and 3: norms on both sides of the sublayers, layers with and without a window, soft caps
//! in the former, two rotary embeddings and norms of queries and keys in the latter.

use super::{Architecture, Family, GgufFamily, Names, llama};
use crate::backend::{Activation, NormKind};
use crate::checkpoint::gguf::Value;
use crate::error::Error;
use crate::model::config::{Config, NormPlacement, Positions, QkNorm, RopeScaling, SlidingLayers};
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::rope::{RULES, read, refuse_partial};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope,
    shared, windows,
};

/// Soft cap on attention scores, Gemma 2 only.
const ATTENTION_CAP: f64 = 50.0;
/// Soft cap on logits of Gemma 2; Gemma 3 has one only if its file says so.
const LOGIT_CAP: f64 = 30.0;
/// Base of the rotary embedding of Gemma 3 in layers with a window.
const SLIDING_THETA: f64 = 10_000.0;
/// Every second layer of Gemma 2 and every sixth of Gemma 3 has no window.
const FULL_EVERY: [usize; 2] = [2, 6];

pub(super) static GEMMA2: Family = Family {
    class: "Gemma2ForCausalLM",
    model_type: "gemma2",
    config_json: gemma2,
    tensors: TENSORS,
    gguf: Some(GgufFamily {
        name: "gemma2",
        norm: NormKind::Rms,
        config: gemma2_gguf,
        tensors: GGUF_TENSORS,
    }),
};

pub(super) static GEMMA3: Family = Family {
    class: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    config_json: gemma3,
    tensors: TENSORS,
    gguf: Some(GgufFamily {
        name: "gemma3",
        norm: NormKind::Rms,
        config: gemma3_gguf,
        tensors: GGUF_TENSORS,
    }),
};

const TENSORS: Names = Names {
    after_attention: "post_attention_layernorm",
    before_mlp: "pre_feedforward_layernorm",
    after_mlp: "post_feedforward_layernorm",
    norms_less_one: true,
    ..llama::TENSORS
};

/// The writer adds the one that Gemma's norms leave out.
const GGUF_TENSORS: Names = Names {
    after_attention: "post_attention_norm",
    after_mlp: "post_ffw_norm",
    ..config_gguf::TENSORS
};

fn gemma2(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = both(Architecture::Gemma2, fields, 8192)?;
    rope::whole(&mut config, fields)?;
    config.attn_logit_softcapping =
        fields.positive("attn_logit_softcapping", Some(ATTENTION_CAP))?;
    config.final_logit_softcapping = fields.positive("final_logit_softcapping", Some(LOGIT_CAP))?;
    finish(&mut config, fields, FULL_EVERY[0])?;
    Ok(config)
}

fn gemma3(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = both(Architecture::Gemma3, fields, 131_072)?;
    let every = fields.optional_dimension("sliding_window_pattern")?;
    two_rotary(&mut config, fields)?;
    config.qk_norm = QkNorm::Head;
    // The class has the field but not the cap.
    fields.only("attn_logit_softcapping", &[])?;
    config.final_logit_softcapping = fields.positive("final_logit_softcapping", None)?;
    finish(&mut config, fields, every.unwrap_or(FULL_EVERY[1]))?;
    Ok(config)
}

/// Reads the fields that come first in both.
fn both(
    architecture: Architecture,
    fields: &Fields<'_>,
    max_position_embeddings: usize,
) -> Result<Config, Error> {
    fields.never(&["mlp_bias", "use_bidirectional_attention"])?;
    let names = FieldNames {
        activation: "hidden_activation",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(4)),
        head_dim: Some(256),
        max_position_embeddings,
        tie_word_embeddings: true,
        activations: &[
            ("gelu_pytorch_tanh", Activation::GeluTanh),
            ("gelu_new", Activation::GeluTanh),
            ("gelu_fast", Activation::GeluTanh),
            ("gelu", Activation::GeluErf),
        ],
        ..LLAMA_DEFAULTS
    };
    shared(architecture, fields, &names, &defaults)
}

/// Reads the fields that come last in both; every `every`-th layer has no window.
fn finish(config: &mut Config, fields: &Fields<'_>, every: usize) -> Result<(), Error> {
    // Without a window its layers would still be of two kinds; the class refuses that as well.
    let Some(window) = fields.nullable_dimension("sliding_window", Some(4096))? else {
        return Err(fields.error("sliding_window", "null is not supported"));
    };
    windows(
        config,
        fields,
        Some(window),
        SlidingLayers::AllButEvery(every),
    )?;
    norms_and_embedding(config);
    let scalar = fields.positive("query_pre_attn_scalar", Some(256.0))?;
    config.attention_scale = 1.0 / scalar.unwrap_or(256.0).sqrt();
    attention_bias(config, fields, false)
}

fn norms_and_embedding(config: &mut Config) {
    config.norm_placement = NormPlacement::Both;
    config.embedding_scale = (config.hidden_size as f64).sqrt();
}

/// Sets one rotary embedding for layers of full attention and one for layers with a window.
///
/// Old files have `rope_theta` and `rope_scaling` for the former and `rope_local_base_freq` for the
/// latter, which is never scaled. New files have both in `rope_parameters`.
fn two_rotary(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    refuse_partial([fields])?;
    let (mut full, mut sliding) = (Vec::new(), Vec::new());
    if fields.present("rope_scaling").is_some() {
        full.push(fields.object("rope_scaling")?);
    }
    let new = match fields.present("rope_parameters") {
        Some(_) => Some(fields.object("rope_parameters")?),
        None => None,
    };
    if let Some(new) = &new {
        for name in new.names() {
            match name {
                "full_attention" => full.push(new.object(name)?),
                "sliding_attention" => sliding.push(new.object(name)?),
                other => {
                    let message = "expected full_attention and sliding_attention";
                    return Err(new.error(other, message));
                }
            }
        }
    }
    refuse_partial(full.iter().chain(&sliding))?;
    let local = "rope_local_base_freq";
    config.positions = Positions::Rotary {
        full: read(fields, "rope_theta", &full, 1_000_000.0, RULES, config)?,
        sliding: read(fields, local, &sliding, SLIDING_THETA, RULES, config)?,
    };
    Ok(())
}

fn gemma2_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    config_gguf::whole_rotary(config, keys)?;
    // 46 layers are the 27B model.
    both_gguf(config, keys, FULL_EVERY[0], 46)?;
    let cap = keys.positive("attn_logit_softcapping")?;
    config.attn_logit_softcapping = Some(cap.unwrap_or(ATTENTION_CAP));
    config.final_logit_softcapping.get_or_insert(LOGIT_CAP);
    Ok(())
}

fn gemma3_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    const THETA: &str = "rope.freq_base_swa";
    config_gguf::whole_rotary(config, keys)?;
    if let Positions::Rotary { sliding, .. } = &mut config.positions {
        sliding.theta = keys.positive(THETA)?.unwrap_or(SLIDING_THETA);
        sliding.scaling = RopeScaling::Default;
        if sliding.theta <= 1.0 {
            return Err(keys.error(THETA, format!("{} is not above 1", sliding.theta)));
        }
    }
    config.qk_norm = QkNorm::Head;
    // 62 layers are the 27B model.
    both_gguf(config, keys, FULL_EVERY[1], 62)
}

/// Reads the keys that both have. `every` is the usual pattern of windows, `layers_of_27b` the
/// number of layers of the model whose attention scale follows from the hidden size.
fn both_gguf(
    config: &mut Config,
    keys: &Keys<'_>,
    every: usize,
    layers_of_27b: usize,
) -> Result<(), Error> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    norms_and_embedding(config);
    // The format does not record the activation.
    config.activation = Activation::GeluTanh;
    config.sliding_window = Some(keys.dimension("attention.sliding_window")?);
    config.sliding_layers = match keys.get(PATTERN) {
        Some(Value::Numbers(list)) => {
            let listed: Vec<bool> = list.values().map(|v| v == Value::Bool(true)).collect();
            if listed.len() != config.num_hidden_layers {
                let layers = config.num_hidden_layers;
                let message = format!("{} kinds for {layers} layers", listed.len());
                return Err(keys.error(PATTERN, message));
            }
            SlidingLayers::Listed(listed)
        }
        _ => SlidingLayers::AllButEvery(keys.optional_dimension(PATTERN)?.unwrap_or(every)),
    };
    let divisor = if config.num_hidden_layers == layers_of_27b {
        config.hidden_size as f64 / config.num_attention_heads as f64
    } else {
        config.head_dim as f64
    };
    let scale = keys.positive("attention.scale")?;
    config.attention_scale = scale.unwrap_or(1.0 / divisor.sqrt());
    config.final_logit_softcapping = keys.positive("final_logit_softcapping")?;
    Ok(())
}
