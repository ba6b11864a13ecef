//! OLMo 1: Llama with LayerNorms that have no parameters, in the layout of `transformers` and in that
//! of the training program.

use serde_json::Value;

use super::{Architecture, Family, Names, llama};
use crate::backend::{Activation, NormKind};
use crate::error::Error;
use crate::model::config::{Config, NormParameters, NormPlacement, QkNorm};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope,
    shared,
};

/// ε of the norms, which the class does not read from the file.
const EPSILON: f64 = 1e-5;

pub(super) static OLMO: Family = Family {
    class: "OlmoForCausalLM",
    model_type: "olmo",
    config_json: olmo,
    tensors: llama::TENSORS,
    gguf: None,
};

/// The layout of `ai2-olmo`, which wrote the first models and the DataDecide ladder.
pub(super) static HF_OLMO: Family = Family {
    class: "OLMoForCausalLM",
    model_type: "hf_olmo",
    config_json: hf_olmo,
    tensors: Names {
        prefixes: &["model.transformer.", "transformer."],
        embedding: "wte",
        layer: "blocks",
        norm: "ln_f",
        heads: &["model.transformer.ff_out", "transformer.ff_out"],
        before_attention: "attn_norm",
        after_attention: "attn_norm",
        before_mlp: "ff_norm",
        after_mlp: "ff_norm",
        qkv: &["att_proj"],
        qk_norm: ["q_norm", "k_norm"],
        output: "attn_out",
        gate_up: &["ff_proj"],
        down: "ff_out",
        up_first: true,
        ..llama::TENSORS
    },
    gguf: None,
};

fn olmo(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let mut config = shared(Architecture::Olmo, fields, &LLAMA_FIELDS, &LLAMA_DEFAULTS)?;
    rope::whole(&mut config, fields)?;
    attention_bias(&mut config, fields, false)?;
    config.norm = NormKind::Layer;
    config.norm_parameters = NormParameters::None;
    config.norm_eps = EPSILON;
    config.clip_qkv = fields.positive("clip_qkv", None)?;
    Ok(config)
}

fn hf_olmo(fields: &Fields<'_>) -> Result<Config, Error> {
    // Options of the training program that none of its released models has.
    fields.never(&[
        "alibi",
        "include_bias",
        "qkv_bias",
        "bias_for_layer_norm",
        "scale_logits",
        "embedding_layer_norm",
    ])?;
    fields.only("block_type", &[Value::from("sequential")])?;
    fields.only("block_group_size", &[Value::from(1)])?;
    for (field, needed) in [("rope", true), ("include_bias", false)] {
        if fields.flag(field, !needed)? != needed {
            let message = format!("missing or {}, supported: {needed}", !needed);
            return Err(fields.error(field, message));
        }
    }
    let names = FieldNames {
        hidden_size: "d_model",
        intermediate_size: "mlp_hidden_size",
        num_hidden_layers: "n_layers",
        num_attention_heads: "n_heads",
        max_position_embeddings: "max_sequence_length",
        norm_eps: "layer_norm_eps",
        activation: "activation_type",
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        intermediate_size: Some(fields.optional_dimension("mlp_ratio")?.unwrap_or(4)),
        max_position_embeddings: 1024,
        norm_eps: EPSILON,
        activations: &[("swiglu", Activation::Silu)],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::HfOlmo, fields, &names, &defaults)?;
    rope::whole(&mut config, fields)?;
    hf_olmo_sizes(&mut config, fields)?;
    hf_olmo_norms(&mut config, fields)?;
    config.tie_word_embeddings = fields.flag("weight_tying", true)?;
    config.clip_qkv = fields.positive("clip_qkv", None)?;
    if config.clip_qkv.is_some() && config.qk_norm != QkNorm::None {
        // The program clips before these norms, the decoder after them.
        let message = "not supported beside attention_layer_norm";
        return Err(fields.error("clip_qkv", message));
    }
    Ok(config)
}

/// Sizes that the training program counts otherwise.
fn hf_olmo_sizes(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    const KV_HEADS: &str = "n_kv_heads";
    let heads = config.num_attention_heads;
    let default = match fields.flag("multi_query_attention", false)? {
        true => 1,
        false => heads,
    };
    let kv_heads = fields.optional_dimension(KV_HEADS)?.unwrap_or(default);
    if !heads.is_multiple_of(kv_heads) {
        let message = format!("{kv_heads} does not divide {heads} heads");
        return Err(fields.error(KV_HEADS, message));
    }
    config.num_key_value_heads = kv_heads;
    // The width counts the gate and what it multiplies.
    let both = config.intermediate_size;
    if !both.is_multiple_of(2) {
        return Err(fields.error("mlp_hidden_size", format!("{both} is odd")));
    }
    config.intermediate_size = both / 2;
    // The tables are padded to this number of tokens.
    if let Some(padded) = fields.optional_dimension("embedding_size")? {
        config.vocab_size = padded;
    }
    Ok(())
}

fn hf_olmo_norms(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    const QK_AFFINE: &str = "attention_layer_norm_with_affine";
    let kinds = [
        ("default", NormKind::Layer),
        // The same in the precision of the activations.
        ("low_precision", NormKind::Layer),
        ("rms", NormKind::Rms),
    ];
    config.norm = fields.one_of("layer_norm_type", &kinds)?;
    let affine = fields.flag("layer_norm_with_affine", true)?;
    config.norm_parameters = match affine {
        true => NormParameters::Weight,
        false => NormParameters::None,
    };
    if fields.flag("norm_after", false)? {
        config.norm_placement = NormPlacement::After;
    }
    if fields.flag("attention_layer_norm", false)? {
        if fields.flag(QK_AFFINE, true)? != affine {
            let message = format!("{} beside layer_norm_with_affine {affine}", !affine);
            return Err(fields.error(QK_AFFINE, message));
        }
        config.qk_norm = QkNorm::Width;
    }
    Ok(())
}
