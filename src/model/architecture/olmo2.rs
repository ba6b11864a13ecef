//! OLMo 2: Llama with its norms after the sublayers, and norms of all queries and of all keys. OLMo 3:
//! the same with windows.

use super::{Architecture, Family, GgufFamily, Names, llama};
use crate::backend::NormKind;
use crate::error::Error;
use crate::model::config::{Config, NormPlacement, QkNorm, SlidingLayers};
use crate::model::config_gguf::{self, Keys};
use crate::model::config_json::{
    Defaults, Fields, LLAMA_DEFAULTS, LLAMA_FIELDS, attention_bias, rope, shared, windows,
};

pub(super) static OLMO2: Family = Family {
    class: "Olmo2ForCausalLM",
    model_type: "olmo2",
    config_json,
    tensors: TENSORS,
    gguf: Some(GgufFamily {
        name: "olmo2",
        norm: NormKind::Rms,
        config: config_gguf,
        tensors: Names {
            before_attention: "",
            after_attention: "post_attention_norm",
            before_mlp: "",
            after_mlp: "post_ffw_norm",
            ..config_gguf::TENSORS
        },
    }),
};

pub(super) static OLMO3: Family = Family {
    class: "Olmo3ForCausalLM",
    model_type: "olmo3",
    config_json: olmo3,
    tensors: TENSORS,
    gguf: None,
};

const TENSORS: Names = Names {
    before_attention: "",
    after_attention: "post_attention_layernorm",
    before_mlp: "",
    after_mlp: "post_feedforward_layernorm",
    ..llama::TENSORS
};

/// Base of the rotary embeddings of OLMo 3 where a file has none.
const THETA: f64 = 500_000.0;
/// Every fourth layer of OLMo 3 has no window.
const FULL_EVERY: usize = 4;

fn olmo3(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let defaults = Defaults {
        norm_eps: 1e-5,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Olmo3, fields, &LLAMA_FIELDS, &defaults)?;
    // Of another base outside the objects, versions of `transformers` make different things of the
    // layers with a window.
    fields.must_be("rope_theta", THETA)?;
    rope::two(
        &mut config,
        fields,
        ["rope_theta", "rope_theta"],
        [THETA; 2],
    )?;
    norms(&mut config);
    attention_bias(&mut config, fields, false)?;
    let window = fields.nullable_dimension("sliding_window", Some(4096))?;
    windows(
        &mut config,
        fields,
        window,
        SlidingLayers::AllButEvery(FULL_EVERY),
    )?;
    Ok(config)
}

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let defaults = Defaults {
        norm_eps: 1e-5,
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Olmo2, fields, &LLAMA_FIELDS, &defaults)?;
    rope::whole(&mut config, fields)?;
    norms(&mut config);
    attention_bias(&mut config, fields, false)?;
    Ok(config)
}

fn config_gguf(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    norms(config);
    config_gguf::whole_rotary(config, keys)
}

fn norms(config: &mut Config) {
    config.norm_placement = NormPlacement::After;
    config.qk_norm = QkNorm::Width;
}
