//! Gemma 2 and 3: norms on both sides of the sublayers, layers with and without a window, soft caps
//! in the former, two rotary embeddings and norms of queries and keys in the latter.

use serde_json::{Value as Json, json};

use super::{Architecture, Family, GgufFamily, Names, llama};
use crate::backend::{Activation, NormKind};
use crate::checkpoint::gguf::Value;
use crate::error::Error;
use crate::model::config::{Config, NormPlacement, Positions, QkNorm, RopeScaling, SlidingLayers};
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope,
    shared, windows,
};

/// Soft cap on attention scores, Gemma 2 only.
// The default of the class in `transformers`, for files that leave it out.
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

/// Gemma 3 with a vision tower, which is not read: of a text it computes what the text model does.
pub(super) static GEMMA3_MULTIMODAL: Family = Family {
    class: "Gemma3ForConditionalGeneration",
    model_type: "gemma3",
    config_json: gemma3_multimodal,
    tensors: Names {
        prefixes: &["language_model.model.", "model.language_model."],
        heads: &["language_model.lm_head", "lm_head"],
        other_parts: &[
            "vision_tower.",
            "multi_modal_projector.",
            "model.vision_tower.",
            "model.multi_modal_projector.",
        ],
        ..TENSORS
    },
    gguf: None,
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
    rope::two(
        &mut config,
        fields,
        ["rope_theta", "rope_local_base_freq"],
        [1_000_000.0, SLIDING_THETA],
    )?;
    config.qk_norm = QkNorm::Head;
    // The class has the field but not the cap.
    fields.only("attn_logit_softcapping", &[])?;
    config.final_logit_softcapping = fields.positive("final_logit_softcapping", None)?;
    finish(&mut config, fields, every.unwrap_or(FULL_EVERY[1]))?;
    Ok(config)
}

fn gemma3_multimodal(fields: &Fields<'_>) -> Result<Config, Error> {
    // The text model is an object that leaves out what has the default of the class.
    const TEXT: &str = "text_config";
    let defaults = json!({
        "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8,
    });
    let text = fields.object(TEXT)?;
    let merged = text.over(&defaults);
    let mut config = gemma3(&text.with(&merged))?;
    config.architecture = Architecture::Gemma3Multimodal;
    config.tie_word_embeddings = fields.flag("tie_word_embeddings", config.tie_word_embeddings)?;
    if config.bos_token_id.is_none() {
        let bos = fields.present("bos_token_id").and_then(Json::as_u64);
        config.bos_token_id = bos.and_then(|id| u32::try_from(id).ok());
    }
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
            // The class computes the form that the file names. Only `hidden_activation` counts;
            // `hidden_act` in the same files is a leftover.
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
        // Only layers without a window see far enough to need a scaling rule.
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
    // `query_pre_attn_scalar` is not in the format. llama.cpp tells the one model that differs by
    // its number of layers.
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
