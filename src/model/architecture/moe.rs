//! Mixtures of experts: Mixtral, Qwen2-MoE, Qwen3-MoE and OLMoE, each a dense architecture whose MLP is
//! one of many.

use std::collections::HashSet;

use serde_json::Value;

use super::{Architecture, ExpertNames, Family, Names, llama};
use crate::error::Error;
use crate::model::config::{Config, Experts, QkNorm, SlidingLayers};
use crate::model::config_json::{
    Defaults, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope, shared,
    window_everywhere, windows,
};

pub(super) static MIXTRAL: Family = Family {
    class: "MixtralForCausalLM",
    model_type: "mixtral",
    config_json: mixtral,
    tensors: Names {
        experts: ExpertNames {
            router: "block_sparse_moe.gate",
            expert: "block_sparse_moe.experts",
            gate_up: &["w1", "w3"],
            down: "w2",
            ..EXPERTS
        },
        ..llama::TENSORS
    },
    gguf: None,
};

pub(super) static QWEN2_MOE: Family = Family {
    class: "Qwen2MoeForCausalLM",
    model_type: "qwen2_moe",
    config_json: qwen2_moe,
    tensors: TENSORS,
    gguf: None,
};

pub(super) static QWEN3_MOE: Family = Family {
    class: "Qwen3MoeForCausalLM",
    model_type: "qwen3_moe",
    config_json: qwen3_moe,
    tensors: TENSORS,
    gguf: None,
};

pub(super) static OLMOE: Family = Family {
    class: "OlmoeForCausalLM",
    model_type: "olmoe",
    config_json: olmoe,
    tensors: TENSORS,
    gguf: None,
};

const TENSORS: Names = Names {
    experts: EXPERTS,
    ..llama::TENSORS
};

const EXPERTS: ExpertNames = ExpertNames {
    router: "mlp.gate",
    expert: "mlp.experts",
    gate_up: &["gate_proj", "up_proj"],
    down: "down_proj",
    shared: "mlp.shared_expert",
    shared_gate: "mlp.shared_expert_gate",
};

fn mixtral(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["attention_bias", "mlp_bias"])?;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(8)),
        max_position_embeddings: 131_072,
        norm_eps: 1e-5,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Mixtral, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    let window = fields.nullable_dimension("sliding_window", None)?;
    window_everywhere(&mut config, fields, window)?;
    config.experts = Some(Experts {
        count: count(fields, "num_local_experts", 8)?,
        top_k: count(fields, TOP_K, 2)?,
        intermediate_size: config.intermediate_size,
        shared_intermediate_size: None,
        normalise: true,
        layers: vec![true; config.num_hidden_layers],
    });
    checked(config, fields)
}

fn qwen2_moe(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = qwen(Architecture::Qwen2Moe, fields, 16)?;
    config.qkv_bias = fields.flag("qkv_bias", true)?;
    let shared = count(fields, "shared_expert_intermediate_size", 5632)?;
    let mut experts = experts(fields, [60, 4], 1408, config.num_hidden_layers)?;
    experts.shared_intermediate_size = Some(shared);
    config.experts = Some(experts);
    checked(config, fields)
}

fn qwen3_moe(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = qwen(Architecture::Qwen3Moe, fields, 4)?;
    config.qk_norm = QkNorm::Head;
    attention_bias(&mut config, fields, false)?;
    let layers = config.num_hidden_layers;
    config.experts = Some(experts(fields, [128, 8], 768, layers)?);
    checked(config, fields)
}

fn olmoe(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let defaults = Defaults {
        max_position_embeddings: 4096,
        norm_eps: 1e-5,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::OlmoE, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    attention_bias(&mut config, fields, false)?;
    config.qk_norm = QkNorm::Width;
    config.clip_qkv = fields.positive("clip_qkv", None)?;
    config.experts = Some(Experts {
        count: count(fields, "num_experts", 64)?,
        top_k: count(fields, TOP_K, 8)?,
        intermediate_size: config.intermediate_size,
        shared_intermediate_size: None,
        normalise: fields.flag("norm_topk_prob", false)?,
        layers: vec![true; config.num_hidden_layers],
    });
    checked(config, fields)
}

const TOP_K: &str = "num_experts_per_tok";

/// Reads what both Qwens share but for their experts.
fn qwen(architecture: Architecture, fields: &Fields<'_>, kv_heads: usize) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(kv_heads)),
        max_position_embeddings: 32_768,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(architecture, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    let window = match fields.flag("use_sliding_window", false)? {
        true => fields.nullable_dimension("sliding_window", Some(4096))?,
        false => None,
    };
    // The class of Qwen2-MoE has the window in every second layer below a bound, that of Qwen3-MoE in
    // all.
    let sliding = match architecture {
        Architecture::Qwen2Moe => {
            let bound = fields.count("max_window_layers", 28)?;
            let layers = 0..config.num_hidden_layers;
            SlidingLayers::Listed(layers.map(|i| i.is_multiple_of(2) && i < bound).collect())
        }
        _ => SlidingLayers::From(0),
    };
    windows(&mut config, fields, window, sliding)?;
    Ok(config)
}

/// Reads the experts of both Qwens.
fn experts(
    fields: &Fields<'_>,
    [all, top_k]: [usize; 2],
    width: usize,
    layers: usize,
) -> Result<Experts, Error> {
    const DENSE: &str = "mlp_only_layers";
    let every = count(fields, "decoder_sparse_step", 1)?;
    let dense = match fields.present(DENSE) {
        None => HashSet::new(),
        Some(value) => {
            let list = value.as_array();
            // A set: a list may have half a million numbers, and each layer looks for its own.
            let listed: Option<HashSet<u64>> =
                list.and_then(|list| list.iter().map(Value::as_u64).collect());
            listed.ok_or_else(|| {
                fields.error(DENSE, format!("{value} is no list of numbers of layers"))
            })?
        }
    };
    let sparse =
        |layer: usize| !dense.contains(&(layer as u64)) && (layer + 1).is_multiple_of(every);
    Ok(Experts {
        count: count(fields, "num_experts", all)?,
        top_k: count(fields, TOP_K, top_k)?,
        intermediate_size: count(fields, "moe_intermediate_size", width)?,
        shared_intermediate_size: None,
        normalise: fields.flag("norm_topk_prob", false)?,
        layers: (0..layers).map(sparse).collect(),
    })
}

fn count(fields: &Fields<'_>, field: &str, missing: usize) -> Result<usize, Error> {
    Ok(fields.optional_dimension(field)?.unwrap_or(missing))
}

/// Refuses more experts per token than there are.
fn checked(config: Config, fields: &Fields<'_>) -> Result<Config, Error> {
    match &config.experts {
        Some(experts) if experts.top_k > experts.count => {
            let message = format!("{} of {} experts", experts.top_k, experts.count);
            Err(fields.error(TOP_K, message))
        }
        _ => Ok(config),
    }
}
