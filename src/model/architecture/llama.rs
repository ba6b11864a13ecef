//! Llama, from which most architectures differ by little.

use super::{Architecture, ExpertNames, Family, GgufFamily, Names};
use crate::backend::NormKind;
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_gguf;
use crate::model::config_json::{
    Fields, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope, shared,
};

pub(super) static LLAMA: Family = Family {
    class: "LlamaForCausalLM",
    model_type: "llama",
    config_json,
    tensors: TENSORS,
    gguf: Some(GgufFamily {
        name: "llama",
        norm: NormKind::Rms,
        config: config_gguf::whole_rotary,
        tensors: Names {
            // llama.cpp rotates neighbouring elements in this architecture, so its writer brings
            // the halves of a head together.
            halves_alternate: true,
            ..config_gguf::TENSORS
        },
    }),
};

pub(super) const TENSORS: Names = Names {
    prefixes: &["model.", ""],
    embedding: "embed_tokens",
    embedding_norm: "",
    positions: "",
    layer: "layers",
    norm: "norm",
    heads: &["lm_head"],
    before_attention: "input_layernorm",
    after_attention: "",
    before_mlp: "post_attention_layernorm",
    after_mlp: "",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    qk_norm: ["self_attn.q_norm", "self_attn.k_norm"],
    output: "self_attn.o_proj",
    gate_up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    experts: ExpertNames::NONE,
    transposed: false,
    head_by_head: false,
    up_first: false,
    halves_alternate: false,
    norms_less_one: false,
    side_by_side: &[],
    other_parts: &[],
    derived: &["self_attn.rotary_emb.inv_freq"],
    masks: &[],
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = shared(Architecture::Llama, fields, &LLAMA_FIELDS, &LLAMA_DEFAULTS)?;
    rope::whole(&mut config, fields)?;
    attention_bias(&mut config, fields, false)?;
    config.mlp_bias = fields.flag("mlp_bias", false)?;
    Ok(config)
}
