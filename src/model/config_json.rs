//! Reads `config.json` of a checkpoint folder; refuses every unsupported field by name and value.
//!
//! This module reads the fields that most classes of `transformers` share. The rest of each class is
//! in [`architecture`](super::architecture), which calls the functions here.

use std::path::Path;

use serde_json::{Map, Value};

use crate::backend::Activation;
use crate::checkpoint::read_text;
use crate::error::Error;
use crate::model::architecture::Architecture;
use crate::model::config::{Config, MAX_LAYERS, Positions, RopeScaling, Sizes, SlidingLayers};

mod class;
mod fields;
pub(super) mod rope;

use class::architecture;
pub(super) use fields::Fields;

/// Largest accepted `config.json`: hundreds of times any real one.
// The exact bound does not matter.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Reads `config.json` of `folder`. See [`Config::load`].
pub(super) fn load(folder: &Path) -> Result<Config, Error> {
    let path = folder.join("config.json");
    // The commonest wrong path: the cache's folder of a model instead of a snapshot in it.
    if !path.exists() && folder.join("snapshots").is_dir() {
        let message = "is a model in the hub's cache; its checkpoints are the folders below \
                       `snapshots`";
        return Err(Error::format(folder, message));
    }
    parse(&read_text(&path, MAX_CONFIG_BYTES)?, &path)
}

/// Reads the text of a `config.json`. See [`Config::parse`].
pub(super) fn parse(text: &str, path: &Path) -> Result<Config, Error> {
    let map: Map<String, Value> = serde_json::from_str(text).map_err(|e| Error::format(path, e))?;
    let fields = Fields::new(&map, path);
    let architecture = architecture(&fields)?;
    // Quantised tensors have other names and scales beside them. Named here, or the error would be
    // about a missing tensor.
    refuse_quantised(&fields)?;
    let mut config = (architecture.family().config_json)(&fields)?;
    check_rotary(&config, &fields)?;
    cut_context(&mut config, &fields)?;
    Ok(config)
}

/// Refuses quantised weights, and says where to get others.
fn refuse_quantised(fields: &Fields<'_>) -> Result<(), Error> {
    const FIELD: &str = "quantization_config";
    match fields.present(FIELD) {
        None => Ok(()),
        Some(value) => Err(fields.error(
            FIELD,
            format!(
                "{value} is not supported: quantised weights (GPTQ, AWQ, bitsandbytes, fp8) are not \
                 read; name the checkpoint that was quantised, or a GGUF file of it"
            ),
        )),
    }
}

/// Refuses heads of an odd number of elements: rotated elements come in pairs.
fn check_rotary(config: &Config, fields: &Fields<'_>) -> Result<(), Error> {
    let Positions::Rotary { full, sliding } = &config.positions else {
        return Ok(());
    };
    // A partial rotation was checked where its fraction was read.
    let whole = [full, sliding]
        .iter()
        .all(|rope| rope.partial_rotary_factor == 1.0);
    if whole && !config.head_dim.is_multiple_of(2) {
        return Err(fields.error("head_dim", format!("{} is odd", config.head_dim)));
    }
    Ok(())
}

/// Cuts the context at the longest text that the divisors of LongRoPE are for.
///
/// Beyond, the frequencies depend on the length of the whole text, and a token's score on what
/// follows it.
fn cut_context(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    let Positions::Rotary { full, sliding } = &config.positions else {
        return Ok(());
    };
    let mut limit = config.max_position_embeddings;
    for rope in [full, sliding] {
        let RopeScaling::LongRope {
            short_factor,
            original_max_position_embeddings: original,
            ..
        } = &rope.scaling
        else {
            continue;
        };
        let (n, pairs) = (short_factor.len(), rope.rotary_dim(config.head_dim) / 2);
        if n != pairs {
            let message = format!("{n} values of short_factor for {pairs} rotated pairs");
            return Err(fields.error("rope_scaling", message));
        }
        limit = limit.min(*original as usize);
    }
    config.max_position_embeddings = limit;
    Ok(())
}

/// Names of the fields that differ between classes.
pub(super) struct FieldNames {
    pub(super) hidden_size: &'static str,
    pub(super) intermediate_size: &'static str,
    pub(super) num_hidden_layers: &'static str,
    pub(super) num_attention_heads: &'static str,
    pub(super) max_position_embeddings: &'static str,
    pub(super) norm_eps: &'static str,
    pub(super) activation: &'static str,
}

/// The names of Llama, which most classes have.
pub(super) const LLAMA_FIELDS: FieldNames = FieldNames {
    hidden_size: "hidden_size",
    intermediate_size: "intermediate_size",
    num_hidden_layers: "num_hidden_layers",
    num_attention_heads: "num_attention_heads",
    max_position_embeddings: "max_position_embeddings",
    norm_eps: "rms_norm_eps",
    activation: "hidden_act",
};

/// Values that a class assumes for missing fields.
pub(super) struct Defaults {
    pub(super) num_key_value_heads: KvHeads,
    /// `hidden_size / num_attention_heads` if `None`.
    pub(super) head_dim: Option<usize>,
    /// In units of the hidden size. If `None`, the field is required.
    pub(super) intermediate_size: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) norm_eps: f64,
    pub(super) tie_word_embeddings: bool,
    /// Supported activations by name, the default first.
    pub(super) activations: &'static [(&'static str, Activation)],
}

/// Source of the number of key and value heads.
pub(super) enum KvHeads {
    /// The number of query heads.
    Heads,
    /// The field `num_key_value_heads`. If it is missing, this number, or that of the query heads.
    Field(Option<usize>),
}

/// The defaults of Llama.
pub(super) const LLAMA_DEFAULTS: Defaults = Defaults {
    num_key_value_heads: KvHeads::Field(None),
    head_dim: None,
    intermediate_size: None,
    max_position_embeddings: 2048,
    norm_eps: 1e-6,
    tie_word_embeddings: false,
    activations: &[("silu", Activation::Silu), ("swish", Activation::Silu)],
};

/// Reads the fields that most classes have in common; everything else is as in Llama.
pub(super) fn shared(
    architecture: Architecture,
    fields: &Fields<'_>,
    names: &FieldNames,
    defaults: &Defaults,
) -> Result<Config, Error> {
    let hidden_size = fields.dimension(names.hidden_size)?;
    let heads = fields.dimension(names.num_attention_heads)?;
    let num_key_value_heads = kv_heads(fields, &defaults.num_key_value_heads, heads)?;
    let head_dim = head_dim(fields, names, defaults, hidden_size, heads)?;
    let norm_eps = fields.number(names.norm_eps)?.unwrap_or(defaults.norm_eps);
    // Real ones are 1e-12 to 1e-5. Zero is allowed: it fails only for a row of equal values.
    if !(0.0..1.0).contains(&norm_eps) {
        return Err(fields.error(names.norm_eps, format!("{norm_eps} is not in [0, 1)")));
    }
    let sizes = Sizes {
        vocab_size: fields.dimension("vocab_size")?,
        hidden_size,
        intermediate_size: match defaults.intermediate_size {
            None => fields.dimension(names.intermediate_size)?,
            Some(ratio) => fields
                .optional_dimension(names.intermediate_size)?
                .unwrap_or(ratio * hidden_size),
        },
        num_hidden_layers: layers(fields, names)?,
        num_attention_heads: heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings: fields
            .optional_dimension(names.max_position_embeddings)?
            .unwrap_or(defaults.max_position_embeddings),
    };
    let mut config = Config::llama_like(architecture, sizes, norm_eps);
    config.activation = fields.one_of(names.activation, defaults.activations)?;
    config.tie_word_embeddings =
        fields.flag("tie_word_embeddings", defaults.tie_word_embeddings)?;
    // Some files list several tokens, of which none is the one to begin with.
    let bos = fields.get("bos_token_id").and_then(Value::as_u64);
    config.bos_token_id = bos.and_then(|id| u32::try_from(id).ok());
    Ok(config)
}

/// Number of layers.
fn layers(fields: &Fields<'_>, names: &FieldNames) -> Result<usize, Error> {
    let layers = fields.dimension(names.num_hidden_layers)?;
    if layers > MAX_LAYERS {
        let message = format!("{layers} is not in 1..={MAX_LAYERS}");
        return Err(fields.error(names.num_hidden_layers, message));
    }
    Ok(layers)
}

/// Number of key and value heads of a decoder with `heads` query heads.
fn kv_heads(fields: &Fields<'_>, default: &KvHeads, heads: usize) -> Result<usize, Error> {
    const FIELD: &str = "num_key_value_heads";
    let kv_heads = match default {
        KvHeads::Heads => heads,
        KvHeads::Field(default) => fields
            .nullable_dimension(FIELD, Some(default.unwrap_or(heads)))?
            .unwrap_or(heads),
    };
    if !heads.is_multiple_of(kv_heads) {
        let message = format!("{kv_heads} does not divide {heads} heads");
        return Err(fields.error(FIELD, message));
    }
    Ok(kv_heads)
}

/// Number of elements of a head.
fn head_dim(
    fields: &Fields<'_>,
    names: &FieldNames,
    defaults: &Defaults,
    hidden_size: usize,
    heads: usize,
) -> Result<usize, Error> {
    match fields.optional_dimension("head_dim")?.or(defaults.head_dim) {
        Some(dim) => Ok(dim),
        None => width_of_head(fields, names, hidden_size, heads),
    }
}

/// The hidden size divided by the number of heads.
fn width_of_head(
    fields: &Fields<'_>,
    names: &FieldNames,
    hidden_size: usize,
    heads: usize,
) -> Result<usize, Error> {
    if !hidden_size.is_multiple_of(heads) {
        let message = format!("{hidden_size} is no multiple of {heads} heads");
        return Err(fields.error(names.hidden_size, message));
    }
    Ok(hidden_size / heads)
}

/// Refuses heads that do not follow from hidden size and number of heads, in classes that ignore
/// the fields for them.
pub(super) fn derived_heads(
    config: &Config,
    fields: &Fields<'_>,
    names: &FieldNames,
) -> Result<(), Error> {
    derived_head_dim(config, fields, names)?;
    fields.must_be("num_key_value_heads", config.num_attention_heads as f64)
}

/// Refuses a width of heads other than the hidden size divided by their number, in classes that ignore
/// the field for it.
pub(super) fn derived_head_dim(
    config: &Config,
    fields: &Fields<'_>,
    names: &FieldNames,
) -> Result<(), Error> {
    let heads = config.num_attention_heads;
    let dim = width_of_head(fields, names, config.hidden_size, heads)?;
    fields.must_be("head_dim", dim as f64)
}

/// Sets the window of the layers `sliding`, or of those that `layer_types` lists.
pub(super) fn windows(
    config: &mut Config,
    fields: &Fields<'_>,
    window: Option<usize>,
    sliding: SlidingLayers,
) -> Result<(), Error> {
    const FIELD: &str = "layer_types";
    config.sliding_window = window;
    config.sliding_layers = sliding;
    let Some(value) = fields.present(FIELD) else {
        return Ok(());
    };
    let kind = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let listed: Option<Vec<bool>> =
        (value.as_array()).and_then(|types| types.iter().map(kind).collect());
    let message = match listed {
        Some(listed) if listed.len() != config.num_hidden_layers => {
            let (n, layers) = (listed.len(), config.num_hidden_layers);
            format!("{n} kinds for {layers} layers")
        }
        // A class without a window cannot do what such a list says.
        Some(listed) if window.is_none() && listed.contains(&true) => {
            format!("{value}: sliding_attention without a window")
        }
        Some(listed) => {
            config.sliding_layers = SlidingLayers::Listed(listed);
            return Ok(());
        }
        None => format!("{value}: supported are full_attention and sliding_attention"),
    };
    Err(fields.error(FIELD, message))
}

/// Sets the same window in all layers, for classes that do not read `layer_types`.
pub(super) fn window_everywhere(
    config: &mut Config,
    fields: &Fields<'_>,
    window: Option<usize>,
) -> Result<(), Error> {
    windows(config, fields, window, SlidingLayers::From(0))?;
    if let SlidingLayers::Listed(list) = &config.sliding_layers
        && window.is_some()
        && list.contains(&false)
    {
        let message = "full_attention in a class whose window is the same in every layer";
        return Err(fields.error("layer_types", message));
    }
    Ok(())
}

/// Reads one field for the biases of all four projections of attention.
pub(super) fn attention_bias(
    config: &mut Config,
    fields: &Fields<'_>,
    missing: bool,
) -> Result<(), Error> {
    config.qkv_bias = fields.flag("attention_bias", missing)?;
    config.output_bias = config.qkv_bias;
    Ok(())
}
