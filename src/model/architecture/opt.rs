//! OPT and Galactica: learned positions, LayerNorms, and `max(x, 0)` in the MLP.

use serde_json::Value;

use super::{Architecture, Family, Names, llama};
use crate::backend::Activation;
use crate::error::Error;
use crate::model::config::{Config, NormParameters, Positions};
use crate::model::config_json::{
    Defaults, FieldNames, Fields, KvHeads, LLAMA_DEFAULTS, LLAMA_FIELDS, derived_heads, shared,
};

/// Rows of the table of positions before that of position 0.
const OFFSET: usize = 2;
/// ε of the norms, which the class does not read from the file.
const EPSILON: f64 = 1e-5;

pub(super) static OPT: Family = Family {
    class: "OPTForCausalLM",
    model_type: "opt",
    config_json,
    tensors: Names {
        prefixes: &["model.decoder.", "decoder."],
        positions: "embed_positions",
        norm: "final_layer_norm",
        before_attention: "self_attn_layer_norm",
        before_mlp: "final_layer_norm",
        output: "self_attn.out_proj",
        gate_up: &["fc1"],
        down: "fc2",
        ..llama::TENSORS
    },
    gguf: None,
};

fn config_json(fields: &Fields<'_>) -> Result<Config, Error> {
    // The model of 350 M parameters alone has norms after the sum with the residual stream, and
    // embeddings of another width.
    fields.only("do_layer_norm_before", &[Value::from(true)])?;
    fields.never(&["_remove_final_layer_norm"])?;
    let names = FieldNames {
        intermediate_size: "ffn_dim",
        activation: "activation_function",
        // Not read by the class.
        norm_eps: "",
        ..LLAMA_FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        norm_eps: EPSILON,
        tie_word_embeddings: true,
        activations: &[
            ("relu", Activation::Relu),
            ("gelu", Activation::GeluErf),
            ("gelu_new", Activation::GeluTanh),
        ],
        ..LLAMA_DEFAULTS
    };
    let mut config = shared(Architecture::Opt, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    fields.must_be("word_embed_proj_dim", config.hidden_size as f64)?;
    config.with_layer_norm();
    if !fields.flag("layer_norm_elementwise_affine", true)? {
        config.norm_parameters = NormParameters::None;
    }
    let bias = fields.flag("enable_bias", true)?;
    config.qkv_bias = bias;
    config.output_bias = bias;
    config.mlp_bias = bias;
    config.positions = Positions::Learned { offset: OFFSET };
    Ok(config)
}
