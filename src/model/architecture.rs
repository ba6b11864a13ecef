//! What each class of `transformers` calls its fields and tensors: all that differs between
//! architectures beside the options of [`Config`].
//!
//! # Adding an architecture
//! The decoder itself has no notion of an architecture: it runs what [`Config`] describes. To add
//! one that these options can describe, change only this file:
//! 1. Add a variant to [`Architecture`] and to `Architecture::ALL`, with its name.
//! 2. Write a function that reads its `config.json`: `Config::shared` with the defaults of the
//!    class, then whatever the class does that Llama does not. Read the class, not its
//!    documentation: which fields it reads, what it takes a missing one for, whether null means
//!    none. Refuse by `Fields::only` what it would compute and this crate does not.
//! 3. Say where its tensors are: a constant `Names`, often another one with a few changes.
//! 4. Add a tiny checkpoint with every option switched on to `tests/fixtures/make_checkpoints.py`
//!    and the forward pass to `numpy_forward.py`; `tests/golden_checkpoints.rs` finds it.
//!
//! To read it from GGUF as well, add its keys and names to `model/gguf.rs` and a file to
//! `tests/fixtures/make_gguf.py`.
//!
//! An architecture that needs an option the decoder lacks adds a field to [`Config`] and its
//! meaning to `model::transformer`, for all architectures.

use serde_json::Value;

use crate::backend::{Activation, NormKind};
use crate::error::Error;
use crate::model::config::{
    Config, Defaults, FieldNames, Fields, KvHeads, NormPlacement, Positions, QkNorm, ROPE_KINDS,
    SlidingLayers, agreed, rope, rope_objects,
};

/// A supported class of `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// `LlamaForCausalLM` (Touvron et al. 2023, arXiv 2302.13971).
    Llama,
    /// `Qwen2ForCausalLM`: Llama with biases on queries, keys and values (arXiv 2407.10671).
    Qwen2,
    /// `Qwen3ForCausalLM`: Llama with RMSNorm on every query and key head (arXiv 2505.09388).
    Qwen3,
    /// `MistralForCausalLM`: Llama with a sliding window (Jiang et al. 2023, arXiv 2310.06825).
    Mistral,
    /// `Olmo2ForCausalLM`: norms after the sublayers and on all queries and keys together
    /// (arXiv 2501.00656).
    Olmo2,
    /// `Phi3ForCausalLM`: Llama with fused projections (Abdin et al. 2024, arXiv 2404.14219).
    Phi3,
    /// `GPTNeoXForCausalLM` (Black et al. 2022, arXiv 2204.06745; Pythia, arXiv 2304.01373).
    GptNeoX,
    /// `GPT2LMHeadModel` (Radford et al. 2019; Cerebras-GPT, arXiv 2304.03208).
    Gpt2,
    /// `Gemma2ForCausalLM` (arXiv 2408.00118).
    Gemma2,
    /// `Gemma3ForCausalLM`, the text model (arXiv 2503.19786).
    Gemma3,
}

impl Architecture {
    /// All that are supported.
    pub const ALL: &[Self] = &[
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::Mistral,
        Self::Olmo2,
        Self::Phi3,
        Self::GptNeoX,
        Self::Gpt2,
        Self::Gemma2,
        Self::Gemma3,
    ];

    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Olmo2 => "Olmo2ForCausalLM",
            Self::Phi3 => "Phi3ForCausalLM",
            Self::GptNeoX => "GPTNeoXForCausalLM",
            Self::Gpt2 => "GPT2LMHeadModel",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Gemma3 => "Gemma3ForCausalLM",
        }
    }

    /// Reads its `config.json`.
    pub(super) fn describe(self, fields: &Fields<'_>) -> Result<Config, Error> {
        match self {
            Self::Llama => llama(fields),
            Self::Qwen2 | Self::Qwen3 => qwen(self, fields),
            Self::Mistral => mistral(fields),
            Self::Olmo2 => olmo2(fields),
            Self::Phi3 => phi3(fields),
            Self::GptNeoX => gpt_neox(fields),
            Self::Gpt2 => gpt2(fields),
            Self::Gemma2 | Self::Gemma3 => gemma(self, fields),
        }
    }

    /// Where its tensors are.
    pub(super) fn names(self) -> &'static Names {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::Mistral => &LLAMA,
            Self::Olmo2 => &OLMO2,
            Self::Phi3 => &PHI3,
            Self::GptNeoX => &GPT_NEOX,
            Self::Gpt2 => &GPT2,
            Self::Gemma2 | Self::Gemma3 => &GEMMA,
        }
    }
}

// config.json --------------------------------------------------------------------------------

const FIELDS: FieldNames = FieldNames {
    hidden_size: "hidden_size",
    intermediate_size: "intermediate_size",
    num_hidden_layers: "num_hidden_layers",
    num_attention_heads: "num_attention_heads",
    max_position_embeddings: "max_position_embeddings",
    norm_eps: "rms_norm_eps",
    activation: "hidden_act",
};

const SILU: &[(&str, Activation)] = &[("silu", Activation::Silu), ("swish", Activation::Silu)];
const GELU: &[(&str, Activation)] = &[
    ("gelu", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
];
const GELU_NEW: &[(&str, Activation)] = &[
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu", Activation::GeluErf),
];
const GELU_PYTORCH_TANH: &[(&str, Activation)] = &[
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu", Activation::GeluErf),
];

const DEFAULTS: Defaults = Defaults {
    num_key_value_heads: KvHeads::Field(None),
    head_dim: None,
    intermediate_size: None,
    max_position_embeddings: 2048,
    norm_eps: 1e-6,
    tie_word_embeddings: false,
    activations: SILU,
};

fn llama(fields: &Fields<'_>) -> Result<Config, Error> {
    let mut config = Config::shared(Architecture::Llama, fields, &FIELDS, &DEFAULTS)?;
    config.rotary(fields, ROPE_KINDS)?;
    config.qkv_bias = fields.flag("attention_bias", false)?;
    config.output_bias = config.qkv_bias;
    config.mlp_bias = fields.flag("mlp_bias", false)?;
    Ok(config)
}

fn qwen(architecture: Architecture, fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let three = architecture == Architecture::Qwen3;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(32)),
        head_dim: three.then_some(128),
        max_position_embeddings: 32768,
        ..DEFAULTS
    };
    let mut config = Config::shared(architecture, fields, &FIELDS, &defaults)?;
    config.rotary(fields, ROPE_KINDS)?;
    let window = if fields.flag("use_sliding_window", false)? {
        fields.nullable_dimension("sliding_window", Some(4096))?
    } else {
        None
    };
    let full = fields.count("max_window_layers", 28)?;
    config.windows(fields, window, SlidingLayers::From(full))?;
    if three {
        config.qk_norm = QkNorm::Head;
        config.qkv_bias = fields.flag("attention_bias", false)?;
        config.output_bias = config.qkv_bias;
    } else {
        fields.only("attention_bias", &[Value::from(true)])?;
        config.qkv_bias = true;
    }
    Ok(config)
}

fn mistral(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["attention_bias", "mlp_bias"])?;
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(8)),
        max_position_embeddings: 131_072,
        ..DEFAULTS
    };
    let mut config = Config::shared(Architecture::Mistral, fields, &FIELDS, &defaults)?;
    config.rotary(fields, ROPE_KINDS)?;
    let window = fields.nullable_dimension("sliding_window", Some(4096))?;
    window_everywhere(&mut config, fields, window)?;
    Ok(config)
}

fn olmo2(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let defaults = Defaults {
        norm_eps: 1e-5,
        ..DEFAULTS
    };
    let mut config = Config::shared(Architecture::Olmo2, fields, &FIELDS, &defaults)?;
    config.rotary(fields, ROPE_KINDS)?;
    config.norm_placement = NormPlacement::After;
    config.qk_norm = QkNorm::Width;
    config.qkv_bias = fields.flag("attention_bias", false)?;
    config.output_bias = config.qkv_bias;
    Ok(config)
}

fn phi3(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["attention_bias", "mlp_bias"])?;
    let defaults = Defaults {
        max_position_embeddings: 4096,
        norm_eps: 1e-5,
        ..DEFAULTS
    };
    let mut config = Config::shared(Architecture::Phi3, fields, &FIELDS, &defaults)?;
    partial_rotary(
        &mut config,
        fields,
        ("rope_theta", "partial_rotary_factor", 1.0),
        &["default"],
    )?;
    let window = fields.nullable_dimension("sliding_window", None)?;
    window_everywhere(&mut config, fields, window)?;
    Ok(config)
}

fn gpt_neox(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias"])?;
    let names = FieldNames {
        norm_eps: "layer_norm_eps",
        ..FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        norm_eps: 1e-5,
        activations: GELU,
        ..DEFAULTS
    };
    let mut config = Config::shared(Architecture::GptNeoX, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    let rope = partial_rotary(
        &mut config,
        fields,
        ("rotary_emb_base", "rotary_pct", 0.25),
        ROPE_KINDS,
    )?;
    // Not read by the class under these names.
    fields.must_be("rope_theta", rope.0)?;
    fields.must_be("partial_rotary_factor", rope.1)?;
    layer_norm(&mut config);
    config.parallel_residual = fields.flag("use_parallel_residual", true)?;
    config.qkv_bias = fields.flag("attention_bias", true)?;
    config.output_bias = config.qkv_bias;
    config.mlp_bias = true;
    Ok(config)
}

fn gpt2(fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["scale_attn_by_inverse_layer_idx", "add_cross_attention"])?;
    fields.only("scale_attn_weights", &[Value::from(true)])?;
    let names = FieldNames {
        hidden_size: "n_embd",
        intermediate_size: "n_inner",
        num_hidden_layers: "n_layer",
        num_attention_heads: "n_head",
        max_position_embeddings: "n_positions",
        norm_eps: "layer_norm_epsilon",
        activation: "activation_function",
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Heads,
        head_dim: None,
        intermediate_size: Some(4),
        max_position_embeddings: 1024,
        norm_eps: 1e-5,
        tie_word_embeddings: true,
        activations: GELU_NEW,
    };
    let mut config = Config::shared(Architecture::Gpt2, fields, &names, &defaults)?;
    derived_heads(&config, fields, &names)?;
    config.positions = Positions::Learned;
    layer_norm(&mut config);
    config.qkv_bias = true;
    config.output_bias = true;
    config.mlp_bias = true;
    Ok(config)
}

fn gemma(architecture: Architecture, fields: &Fields<'_>) -> Result<Config, Error> {
    fields.never(&["mlp_bias", "use_bidirectional_attention"])?;
    let three = architecture == Architecture::Gemma3;
    let names = FieldNames {
        activation: "hidden_activation",
        ..FIELDS
    };
    let defaults = Defaults {
        num_key_value_heads: KvHeads::Field(Some(4)),
        head_dim: Some(256),
        max_position_embeddings: if three { 131_072 } else { 8192 },
        tie_word_embeddings: true,
        activations: GELU_PYTORCH_TANH,
        ..DEFAULTS
    };
    let mut config = Config::shared(architecture, fields, &names, &defaults)?;
    let every = if three {
        let pattern = fields.optional_dimension("sliding_window_pattern")?;
        gemma3_rotary(&mut config, fields)?;
        config.qk_norm = QkNorm::Head;
        // Gemma 3 has the field but not the cap.
        fields.only("attn_logit_softcapping", &[])?;
        pattern.unwrap_or(6)
    } else {
        config.rotary(fields, ROPE_KINDS)?;
        config.attn_logit_softcapping = fields.positive("attn_logit_softcapping", Some(50.0))?;
        2
    };
    let cap = if three { None } else { Some(30.0) };
    config.final_logit_softcapping = fields.positive("final_logit_softcapping", cap)?;
    // Without a window its layers would still be of two kinds; the class refuses that as well.
    let Some(window) = fields.nullable_dimension("sliding_window", Some(4096))? else {
        return Err(fields.error("sliding_window", "null is not supported"));
    };
    config.windows(fields, Some(window), SlidingLayers::AllButEvery(every))?;
    config.norm_placement = NormPlacement::Both;
    let scalar = fields.positive("query_pre_attn_scalar", Some(256.0))?;
    config.attention_scale = 1.0 / scalar.unwrap_or(256.0).sqrt();
    config.embedding_scale = (config.hidden_size as f64).sqrt();
    config.qkv_bias = fields.flag("attention_bias", false)?;
    config.output_bias = config.qkv_bias;
    Ok(config)
}

/// One rotary embedding for the layers that see everything and one for the others. Old files say
/// `rope_theta` and `rope_scaling` for the former and `rope_local_base_freq` for the latter, which
/// is never scaled; new ones have both in `rope_parameters`.
fn gemma3_rotary(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    fields.only("partial_rotary_factor", &[Value::from(1.0), Value::from(1)])?;
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
    for object in full.iter().chain(&sliding) {
        object.only("partial_rotary_factor", &[Value::from(1.0), Value::from(1)])?;
    }
    let local = "rope_local_base_freq";
    config.positions = Positions::Rotary {
        full: rope(fields, "rope_theta", &full, 1_000_000.0, ROPE_KINDS, config)?,
        sliding: rope(fields, local, &sliding, 10_000.0, ROPE_KINDS, config)?,
    };
    Ok(())
}

/// Rotary embedding of a share of each head, the same in every layer; returns base and share.
/// `names` are those of base and share outside the objects, and the default of the share.
fn partial_rotary(
    config: &mut Config,
    fields: &Fields<'_>,
    names: (&str, &str, f64),
    kinds: &[&str],
) -> Result<(f64, f64), Error> {
    let (theta, share, default) = names;
    let objects = rope_objects(fields)?;
    let mut rope = rope(fields, theta, &objects, 10_000.0, kinds, config)?;
    let mut shares = vec![(fields, share)];
    shares.extend(objects.iter().map(|o| (o, "partial_rotary_factor")));
    let factor = agreed(&shares)?.unwrap_or(default);
    rope.partial_rotary_factor = factor;
    let (dim, head) = (rope.rotary_dim(config.head_dim), config.head_dim);
    if !(factor > 0.0 && factor <= 1.0) || dim == 0 || dim % 2 != 0 {
        let message = format!("{factor} of a head of {head} rotates {dim} elements, no pairs");
        return Err(fields.error(share, message));
    }
    config.positions = Positions::Rotary {
        full: rope,
        sliding: rope,
    };
    Ok((rope.theta, rope.partial_rotary_factor))
}

/// A window in every layer, of classes that do not read `layer_types`.
fn window_everywhere(
    config: &mut Config,
    fields: &Fields<'_>,
    window: Option<usize>,
) -> Result<(), Error> {
    config.windows(fields, window, SlidingLayers::From(0))?;
    if let SlidingLayers::Listed(list) = &config.sliding_layers
        && window.is_some()
        && list.contains(&false)
    {
        let message = "full_attention in a class whose window is the same in every layer";
        return Err(fields.error("layer_types", message));
    }
    Ok(())
}

/// LayerNorm with biases.
fn layer_norm(config: &mut Config) {
    config.norm = NormKind::Layer;
    config.gated_mlp = false;
}

/// Refuses heads whose size is not what follows from the width.
fn derived_heads(config: &Config, fields: &Fields<'_>, names: &FieldNames) -> Result<(), Error> {
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    if hidden % heads != 0 {
        let message = format!("{hidden} is no multiple of {heads} heads");
        return Err(fields.error(names.hidden_size, message));
    }
    fields.must_be("head_dim", (hidden / heads) as f64)?;
    fields.must_be("num_key_value_heads", heads as f64)
}

// Tensors ------------------------------------------------------------------------------------

/// Where an architecture keeps its tensors, and how it stores them. Names are without `.weight`
/// and `.bias`; one that the architecture does not have is empty.
pub(super) struct Names {
    /// What all names but that of the head begin with; the first under which the embedding is.
    pub(super) prefixes: &'static [&'static str],
    /// Table of token embeddings.
    pub(super) embedding: &'static str,
    /// Table of position embeddings.
    pub(super) positions: &'static str,
    /// What stands before the number of a block.
    pub(super) layer: &'static str,
    /// Norm after the last block.
    pub(super) norm: &'static str,
    /// LM head, under the first name that is there.
    pub(super) heads: &'static [&'static str],
    /// Norms before and after attention, before and after the MLP.
    pub(super) before_attention: &'static str,
    pub(super) after_attention: &'static str,
    pub(super) before_mlp: &'static str,
    pub(super) after_mlp: &'static str,
    /// Queries, keys and values, or all in one.
    pub(super) qkv: &'static [&'static str],
    /// Norms of queries and keys.
    pub(super) qk_norm: [&'static str; 2],
    /// Output projection of attention.
    pub(super) output: &'static str,
    /// Gate and up projection, or both in one; up alone where there is no gate.
    pub(super) gate_up: &'static [&'static str],
    /// Down projection.
    pub(super) down: &'static str,
    /// Whether matrices are stored `[inputs, outputs]`.
    pub(super) transposed: bool,
    /// Whether the one matrix of queries, keys and values holds them head by head.
    pub(super) head_by_head: bool,
    /// Whether rows of queries and keys have the two halves of a head alternating.
    pub(super) halves_alternate: bool,
    /// Whether norms store what they multiply by less one.
    pub(super) norms_less_one: bool,
    /// Tensors of a block, with full name, that follow from the configuration.
    pub(super) derived: &'static [&'static str],
    /// The same, where they are masks or fill values by their shape: `[1, 1, n, n]` or scalar.
    pub(super) masks: &'static [&'static str],
}

const LLAMA: Names = Names {
    prefixes: &["model."],
    embedding: "embed_tokens",
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
    transposed: false,
    head_by_head: false,
    halves_alternate: false,
    norms_less_one: false,
    derived: &["self_attn.rotary_emb.inv_freq"],
    masks: &[],
};

const OLMO2: Names = Names {
    before_attention: "",
    after_attention: "post_attention_layernorm",
    before_mlp: "",
    after_mlp: "post_feedforward_layernorm",
    ..LLAMA
};

const PHI3: Names = Names {
    qkv: &["self_attn.qkv_proj"],
    gate_up: &["mlp.gate_up_proj"],
    ..LLAMA
};

const GEMMA: Names = Names {
    after_attention: "post_attention_layernorm",
    before_mlp: "pre_feedforward_layernorm",
    after_mlp: "post_feedforward_layernorm",
    norms_less_one: true,
    ..LLAMA
};

const GPT_NEOX: Names = Names {
    prefixes: &["gpt_neox."],
    embedding: "embed_in",
    norm: "final_layer_norm",
    heads: &["embed_out", "lm_head"],
    qkv: &["attention.query_key_value"],
    output: "attention.dense",
    gate_up: &["mlp.dense_h_to_4h"],
    down: "mlp.dense_4h_to_h",
    head_by_head: true,
    derived: &["attention.rotary_emb.inv_freq"],
    masks: &["attention.bias", "attention.masked_bias"],
    ..LLAMA
};

const GPT2: Names = Names {
    // The first files were written without the head, and with it without the prefix.
    prefixes: &["transformer.", ""],
    embedding: "wte",
    positions: "wpe",
    layer: "h",
    norm: "ln_f",
    before_attention: "ln_1",
    before_mlp: "ln_2",
    qkv: &["attn.c_attn"],
    output: "attn.c_proj",
    gate_up: &["mlp.c_fc"],
    down: "mlp.c_proj",
    transposed: true,
    derived: &[],
    masks: &["attn.bias", "attn.masked_bias"],
    ..LLAMA
};
