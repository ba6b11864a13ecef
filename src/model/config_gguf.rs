//! Reads the metadata of a GGUF file; refuses every unsupported key by name and value.
//!
//! This module reads the keys that all architectures share. The rest of each architecture is in
//! [`architecture`](super::architecture), which calls the functions here.
//!
//! A key of the architecture that nobody reads is refused, because it would change the computation
//! of the program that wrote it. Values that the format does not record are those of `llama.cpp`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::backend::NormKind;
use crate::checkpoint::gguf::{Gguf, Value};
use crate::error::Error;
use crate::model::architecture::{Architecture, ExpertNames, GgufFamily, Names};
use crate::model::config::{
    Config, MAX_DIMENSION, MAX_LAYERS, Positions, RopeConfig, RopeScaling, Sizes,
};

/// Tensor of divisors of the rotary frequencies.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// Tensors of most architectures.
pub(super) const TENSORS: Names = Names {
    prefixes: &[""],
    embedding: "token_embd",
    embedding_norm: "",
    positions: "position_embd",
    layer: "blk",
    norm: "output_norm",
    heads: &["output"],
    before_attention: "attn_norm",
    after_attention: "",
    before_mlp: "ffn_norm",
    after_mlp: "",
    qkv: &["attn_q", "attn_k", "attn_v"],
    qk_norm: ["attn_q_norm", "attn_k_norm"],
    output: "attn_output",
    gate_up: &["ffn_gate", "ffn_up"],
    down: "ffn_down",
    experts: ExpertNames::NONE,
    transposed: false,
    head_by_head: false,
    up_first: false,
    halves_alternate: false,
    norms_less_one: false,
    side_by_side: &[],
    other_parts: &[],
    derived: &[],
    masks: &[],
};

/// Tensors of architectures with one projection to queries, keys and values.
pub(super) const FUSED_TENSORS: Names = Names {
    qkv: &["attn_qkv"],
    gate_up: &["ffn_up"],
    ..TENSORS
};

/// Reads the configuration that the metadata describes. See [`Config::load`].
pub(super) fn read(file: &Gguf) -> Result<Config, Error> {
    let (architecture, family) = architecture(file)?;
    let keys = Keys {
        file,
        prefix: format!("{}.", family.name),
        read: RefCell::default(),
    };
    let mut config = shared(architecture, family.norm, &keys)?;
    (family.config)(&mut config, &keys)?;
    keys.finish()?;
    Ok(config)
}

/// Names that llama.cpp has for architectures that are read from folders of safetensors only.
const FOLDERS_ONLY: [&str; 13] = [
    "bloom",
    "falcon",
    "gptj",
    "granite",
    "mistral3",
    "olmo",
    "olmoe",
    "phi2",
    "qwen2moe",
    "qwen3moe",
    "smollm3",
    "stablelm",
    "starcoder2",
];

/// The architecture that wrote the file.
fn architecture(file: &Gguf) -> Result<(Architecture, &'static GgufFamily), Error> {
    const KEY: &str = "general.architecture";
    let mut all = Architecture::ALL
        .iter()
        .filter_map(|a| Some((*a, a.family().gguf.as_ref()?)));
    let supported = || {
        let names: Vec<&str> = all.clone().map(|(_, family)| family.name).collect();
        names.join(", ")
    };
    let Some(value) = file.get(KEY) else {
        return Err(file.error(KEY, format!("missing; supported: {}", supported())));
    };
    let supported = supported();
    all.find(|(_, family)| matches!(value, Value::Text(text) if text == family.name))
        .ok_or_else(|| {
            let known = |name: &&str| matches!(value, Value::Text(text) if text == *name);
            let remedy = match FOLDERS_ONLY.iter().any(known) {
                true => "; name the folder of safetensors that the file was converted from, whose class is read",
                false => "",
            };
            let message = format!("{value} is not supported; supported: {supported}{remedy}");
            file.error(KEY, message)
        })
}

/// Reads the keys that all architectures share; everything else is as in Llama.
fn shared(architecture: Architecture, norm: NormKind, keys: &Keys<'_>) -> Result<Config, Error> {
    let file = keys.file;
    let sizes = sizes(keys)?;
    // Heads of unequal keys and values are not computed here.
    keys.must_be("attention.value_length", sizes.head_dim as f64)?;
    if let Some(value) = keys.get("attention.causal")
        && *value != Value::Bool(true)
    {
        return Err(keys.error("attention.causal", format!("{value} is not supported")));
    }
    for none in ["expert_count", "expert_used_count"] {
        if keys.number(none)?.is_some_and(|count| count != 0.0) {
            let message = "a mixture of experts is not read from GGUF; name the folder of safetensors \
                           that the file was converted from, whose class may be read";
            return Err(keys.error(none, message.to_owned()));
        }
    }
    // Repeats the size of the embedding table, and not always correctly.
    keys.get("vocab_size");
    let eps = match norm {
        NormKind::Layer => "attention.layer_norm_epsilon",
        NormKind::Rms => "attention.layer_norm_rms_epsilon",
    };
    let norm_eps = keys
        .number(eps)?
        .ok_or_else(|| keys.error(eps, "missing"))?;
    if !(0.0..1.0).contains(&norm_eps) {
        return Err(keys.error(eps, format!("{norm_eps} is not in [0, 1)")));
    }
    // The metadata does not record biases: the tensors of the first layer do.
    let bias = |name: &str| file.shape(&format!("blk.0.{name}.bias")).is_some();
    let mut config = Config::llama_like(architecture, sizes, norm_eps);
    config.tie_word_embeddings = file.shape("output.weight").is_none();
    config.qkv_bias = bias("attn_q") || bias("attn_qkv");
    config.output_bias = bias("attn_output");
    config.mlp_bias = bias("ffn_up");
    if norm == NormKind::Layer {
        config.with_layer_norm();
    }
    config.bos_token_id = match file.get("tokenizer.ggml.bos_token_id") {
        Some(Value::Unsigned(id)) => u32::try_from(*id).ok(),
        _ => None,
    };
    Ok(config)
}

/// The sizes of the decoder.
fn sizes(keys: &Keys<'_>) -> Result<Sizes, Error> {
    const KV_HEADS: &str = "attention.head_count_kv";
    const LAYERS: &str = "block_count";
    // The size of the vocabulary is that of the table: `vocab_size` is missing in old files and
    // wrong in some padded ones.
    const EMBEDDING: &str = "token_embd.weight";
    let hidden_size = keys.dimension("embedding_length")?;
    let num_hidden_layers = keys.dimension(LAYERS)?;
    if num_hidden_layers > MAX_LAYERS {
        let message = format!("{num_hidden_layers} is not in 1..={MAX_LAYERS}");
        return Err(keys.error(LAYERS, message));
    }
    let heads = keys.dimension("attention.head_count")?;
    let kv_heads = keys.optional_dimension(KV_HEADS)?.unwrap_or(heads);
    if heads % kv_heads != 0 {
        let message = format!("{kv_heads} does not divide {heads} heads");
        return Err(keys.error(KV_HEADS, message));
    }
    let head_dim = match keys.optional_dimension("attention.key_length")? {
        Some(dim) => dim,
        // llama.cpp rounds down, which would leave columns that no head reads.
        None if hidden_size % heads != 0 => {
            let message = format!("{hidden_size} is no multiple of {heads} heads");
            return Err(keys.error("embedding_length", message));
        }
        None => hidden_size / heads,
    };
    let Some(&[vocab_size, _]) = keys.file.shape(EMBEDDING) else {
        return Err(Error::Tensor {
            path: keys.file.path().to_owned(),
            tensor: EMBEDDING.to_owned(),
            message: "missing or no matrix".to_owned(),
        });
    };
    Ok(Sizes {
        vocab_size,
        hidden_size,
        intermediate_size: keys.dimension("feed_forward_length")?,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        max_position_embeddings: keys.dimension("context_length")?,
    })
}

/// Sets the rotary embedding of whole heads, the same in all layers.
pub(super) fn whole_rotary(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    rotary(config, keys, false)
}

/// Sets the rotary embedding of a fraction of each head, the same in all layers.
pub(super) fn partial_rotary(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    rotary(config, keys, true)
}

fn rotary(config: &mut Config, keys: &Keys<'_>, partial: bool) -> Result<(), Error> {
    const ROTATED: &str = "rope.dimension_count";
    const BASE: &str = "rope.freq_base";
    let head = config.head_dim;
    let rotated = keys.optional_dimension(ROTATED)?.unwrap_or(head);
    if rotated % 2 != 0 || rotated > head || (rotated != head && !partial) {
        let message = format!("{rotated} of a head of {head} is not supported");
        return Err(keys.error(ROTATED, message));
    }
    // The default of llama.cpp, which writers leave out.
    let theta = keys.positive(BASE)?.unwrap_or(10_000.0);
    if theta <= 1.0 {
        return Err(keys.error(BASE, format!("{theta} is not above 1")));
    }
    config.positions = Positions::everywhere(RopeConfig {
        theta,
        partial_rotary_factor: RopeConfig::fraction(rotated, head),
        scaling: scaling(keys)?,
    });
    Ok(())
}

/// The scaling rule of the rotary embedding.
fn scaling(keys: &Keys<'_>) -> Result<RopeScaling, Error> {
    const TYPE: &str = "rope.scaling.type";
    const FACTOR: &str = "rope.scaling.factor";
    // Describe the context that the weights were trained for, and change nothing.
    keys.get("rope.scaling.original_context_length");
    keys.get("rope.scaling.finetuned");
    // A factor on the attention scores, which goes with rules that are not supported (YaRN).
    keys.must_be("rope.scaling.attn_factor", 1.0)?;
    let factor = keys.positive(FACTOR)?;
    // The name of the factor in the first files.
    let old = keys.positive("rope.scale_linear")?;
    match keys.get(TYPE) {
        None => Ok(factor
            .or(old)
            .filter(|f| *f != 1.0)
            .map_or(RopeScaling::Default, |factor| RopeScaling::Linear {
                factor,
            })),
        Some(Value::Text(kind)) if kind == "none" => Ok(RopeScaling::Default),
        Some(Value::Text(kind)) if kind == "linear" => Ok(RopeScaling::Linear {
            factor: factor.ok_or_else(|| keys.error(FACTOR, "missing"))?,
        }),
        Some(value) => {
            let message = format!("{value} is not supported; supported: none, linear");
            Err(keys.error(TYPE, message))
        }
    }
}

/// The keys of an architecture. It remembers those that were read, so that others can be refused.
pub(super) struct Keys<'a> {
    file: &'a Gguf,
    prefix: String,
    read: RefCell<BTreeSet<String>>,
}

impl Keys<'_> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let key = format!("{}{key}", self.prefix);
        let value = self.file.get(&key);
        self.read.borrow_mut().insert(key);
        value
    }

    /// An error about a key.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> Error {
        self.file.error(&format!("{}{key}", self.prefix), message)
    }

    /// The value of a key as a dimension, if it is there.
    pub(super) fn optional_dimension(&self, key: &str) -> Result<Option<usize>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(n @ 1..=MAX_DIMENSION)) => Ok(usize::try_from(*n).ok()),
            Some(value) => Err(self.error(key, format!("{value} is not in 1..={MAX_DIMENSION}"))),
        }
    }

    /// The value of a key as a dimension, which must be there.
    pub(super) fn dimension(&self, key: &str) -> Result<usize, Error> {
        self.optional_dimension(key)?
            .ok_or_else(|| self.error(key, "missing"))
    }

    /// The value of a key as a number, if it is there.
    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(x) => Ok(Some(x)),
                None => Err(self.error(key, format!("{value} is not a number"))),
            },
        }
    }

    /// The value of a key as a positive number, if it is there.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.number(key)? {
            Some(x) if !(x > 0.0 && x.is_finite()) => {
                Err(self.error(key, format!("{x} is not positive")))
            }
            other => Ok(other),
        }
    }

    /// Refuses a key unless it is missing or `value`.
    fn must_be(&self, key: &str, value: f64) -> Result<(), Error> {
        match self.number(key)? {
            Some(x) if x != value => {
                Err(self.error(key, format!("{x} is not supported; supported: {value}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses keys of the architecture that were not read.
    fn finish(&self) -> Result<(), Error> {
        let read = self.read.borrow();
        let mut keys = self.file.keys();
        match keys.find(|key| key.starts_with(&self.prefix) && !read.contains(*key)) {
            None => Ok(()),
            Some(key) => {
                let value = self.file.get(key).map(Value::to_string).unwrap_or_default();
                Err(self
                    .file
                    .error(key, format!("{value}: the key is not supported")))
            }
        }
    }
}
