//! `config.json`: which decoder a checkpoint is, with everything unsupported refused by name.
//!
//! A [`Config`] describes the decoder by plain options, whatever the architecture. How each
//! architecture's file says them is in [`architecture`](super::architecture).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::backend::{Activation, NormKind};
use crate::checkpoint::gguf::{self, Gguf};
use crate::checkpoint::read_text;
use crate::error::Error;
use crate::model::architecture::Architecture;

/// The decoder a checkpoint describes. Fields are named as in Hugging Face `config.json` where
/// most architectures have them under one name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The class that wrote the checkpoint.
    pub architecture: Architecture,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Kind of every norm; a LayerNorm has a bias.
    pub norm: NormKind,
    /// ε of every norm.
    pub norm_eps: f64,
    /// Where a block has its norms.
    pub norm_placement: NormPlacement,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether attention and MLP of a block read the same residual stream, side by side.
    pub parallel_residual: bool,
    /// How a token knows its position.
    pub positions: Positions,
    /// Attention reaches less than this many positions back in the layers that
    /// [`sliding_layers`](Self::sliding_layers) names.
    pub sliding_window: Option<usize>,
    /// Which layers the window confines.
    pub sliding_layers: SlidingLayers,
    /// Factor on query–key products.
    pub attention_scale: f64,
    /// Soft cap on attention scores.
    pub attn_logit_softcapping: Option<f64>,
    /// Soft cap on logits.
    pub final_logit_softcapping: Option<f64>,
    /// Factor on token embeddings.
    pub embedding_scale: f64,
    /// Whether the MLP multiplies an activated gate with a second projection.
    pub gated_mlp: bool,
    /// Activation of the MLP.
    pub activation: Activation,
    /// Whether the LM head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the output projection of attention has a bias.
    pub output_bias: bool,
    /// Whether the MLP projections have biases.
    pub mlp_bias: bool,
    /// Beginning-of-sequence token, when the file names exactly one.
    pub bos_token_id: Option<u32>,
}

/// Where a block normalises: what a sublayer (attention, MLP) reads, what it adds to the residual
/// stream, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormPlacement {
    /// What a sublayer reads.
    Before,
    /// What a sublayer adds.
    After,
    /// Both.
    Both,
}

/// Norms of queries and keys before the rotary embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QkNorm {
    /// None.
    None,
    /// Each head by itself.
    Head,
    /// All heads together.
    Width,
}

/// How a token knows its position.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Positions {
    /// Rotary embedding of queries and keys.
    Rotary {
        /// In layers that see everything.
        full: RopeConfig,
        /// In layers that a window confines.
        sliding: RopeConfig,
    },
    /// A learned table of `max_position_embeddings` rows, added to the token embeddings.
    Learned,
}

/// Layers that a window confines, the first being layer 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlidingLayers {
    /// All from this one on.
    From(usize),
    /// All but the last of every run of this many.
    AllButEvery(usize),
    /// Those with `true`.
    Listed(Vec<bool>),
}

/// Rotary embedding: base, share of a head and scaling rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric sequence of wavelengths.
    pub theta: f64,
    /// Share of a head that is rotated, in (0, 1].
    pub partial_rotary_factor: f64,
    /// How frequencies are changed for longer contexts.
    pub scaling: RopeScaling,
}

/// Change of rotary frequencies for longer contexts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// None.
    Default,
    /// Every frequency divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    Llama3 {
        /// Divisor of the long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// Context of the first training stage, in tokens.
        original_max_position_embeddings: f64,
    },
}

impl RopeConfig {
    /// Number of elements of a head of `head_dim` that are rotated.
    pub fn rotary_dim(&self, head_dim: usize) -> usize {
        (head_dim as f64 * self.partial_rotary_factor) as usize
    }

    /// Angular frequency of each rotated pair of a head of `head_dim` elements, radians a
    /// position: `theta^(−2i/rotary_dim)`, scaled.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f64> {
        let dim = self.rotary_dim(head_dim);
        // Not that of the system, which differs from one to the next.
        let power = |i: usize| libm::pow(self.theta, -2.0 * i as f64 / dim as f64);
        (0..dim / 2).map(|i| self.scale(power(i))).collect()
    }

    fn scale(&self, frequency: f64) -> f64 {
        match self.scaling {
            RopeScaling::Default => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                if wavelength < original / high_freq_factor {
                    frequency
                } else if wavelength > original / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (original / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}

/// Largest accepted value of any dimension: far above any real model, far below overflow.
pub(super) const MAX_DIMENSION: u64 = 1 << 28;
/// Largest accepted `config.json`: hundreds of times any real one.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads `config.json` of a checkpoint folder, or the metadata of a GGUF file: `path` itself, or
    /// the only one in a folder without safetensors.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON, a missing or malformed field, or one whose value
    /// is not supported: each by field and value.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        if let Some(file) = gguf::find(path.as_ref())? {
            return super::gguf::config(&Gguf::open(file)?);
        }
        let folder = path.as_ref();
        let path = folder.join("config.json");
        if !path.exists() && folder.join("snapshots").is_dir() {
            let message = "is a model in the hub's cache; its checkpoints are the folders below \
                           `snapshots`";
            return Err(Error::format(folder, message));
        }
        let text = read_text(&path, MAX_CONFIG_BYTES)?;
        Self::parse(&text, &path)
    }

    /// Reads the text of a `config.json`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|e| Error::format(path, e))?;
        let fields = Fields {
            map: &fields,
            prefix: String::new(),
            path: path.to_owned(),
        };
        let architecture = architecture(&fields)?;
        fields.only("quantization_config", &[])?;
        let config = architecture.describe(&fields)?;
        config.check_rotary(&fields)?;
        Ok(config)
    }

    /// Number of parameters: embeddings (once where the LM head shares them), projections and their
    /// biases, norms.
    ///
    /// # Examples
    /// ```
    /// use std::path::Path;
    /// use relscale::model::Config;
    ///
    /// // Pythia-70M.
    /// let text = r#"{"architectures": ["GPTNeoXForCausalLM"], "vocab_size": 50304, "hidden_size": 512,
    ///     "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048,
    ///     "max_position_embeddings": 2048, "rotary_pct": 0.25, "use_parallel_residual": true,
    ///     "hidden_act": "gelu", "tie_word_embeddings": false}"#;
    /// let config = Config::parse(text, Path::new("config.json"))?;
    /// assert_eq!(config.parameters(), 70_426_624);
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn parameters(&self) -> u64 {
        // No product of dimensions, each below 2^28, leaves 128 bits.
        let wide = |n: usize| n as u128;
        let (hidden, mlp) = (wide(self.hidden_size), wide(self.intermediate_size));
        let q = wide(self.num_attention_heads) * wide(self.head_dim);
        let kv = wide(self.num_key_value_heads) * wide(self.head_dim);
        let bias = |there: bool, n: u128| if there { n } else { 0 };
        let norm = |width: u128| match self.norm {
            NormKind::Rms => width,
            NormKind::Layer => 2 * width,
        };
        let norms = match self.norm_placement {
            NormPlacement::Both => 4,
            NormPlacement::Before | NormPlacement::After => 2,
        };
        let qk_norms = match self.qk_norm {
            QkNorm::None => 0,
            QkNorm::Head => 2 * norm(wide(self.head_dim)),
            QkNorm::Width => norm(q) + norm(kv),
        };
        let up = if self.gated_mlp { 2 * mlp } else { mlp };
        let attention = (q + 2 * kv) * hidden + q * hidden;
        let biases = bias(self.qkv_bias, q + 2 * kv)
            + bias(self.output_bias, hidden)
            + bias(self.mlp_bias, up + hidden);
        let layer = attention + (up + mlp) * hidden + biases + norms * norm(hidden) + qk_norms;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let positions = match self.positions {
            Positions::Rotary { .. } => 0,
            Positions::Learned => wide(self.max_position_embeddings),
        };
        let all = wide(self.num_hidden_layers) * layer
            + (tables * wide(self.vocab_size) + positions) * hidden
            + norm(hidden);
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// Whether attention of the layer is confined to the window.
    pub fn is_sliding(&self, layer: usize) -> bool {
        self.sliding_window.is_some()
            && match &self.sliding_layers {
                SlidingLayers::From(first) => layer >= *first,
                SlidingLayers::AllButEvery(n) => !(layer + 1).is_multiple_of(*n),
                SlidingLayers::Listed(list) => list.get(layer).copied().unwrap_or(false),
            }
    }

    /// What the files of most architectures say under the same names, with everything else as in
    /// Llama.
    pub(super) fn shared(
        architecture: Architecture,
        fields: &Fields<'_>,
        names: &FieldNames,
        defaults: &Defaults,
    ) -> Result<Self, Error> {
        let hidden_size = fields.dimension(names.hidden_size)?;
        let heads = fields.dimension(names.num_attention_heads)?;
        let kv_heads = match defaults.num_key_value_heads {
            // The file has no say.
            KvHeads::Heads => heads,
            KvHeads::Field(default) => {
                let absent = default.unwrap_or(heads);
                fields
                    .nullable_dimension("num_key_value_heads", Some(absent))?
                    .unwrap_or(heads)
            }
        };
        if heads % kv_heads != 0 {
            let message = format!("{kv_heads} does not divide {heads} heads");
            return Err(fields.error("num_key_value_heads", message));
        }
        let head_dim = match (fields.optional_dimension("head_dim")?, defaults.head_dim) {
            (Some(dim), _) => dim,
            (None, Some(dim)) => dim,
            (None, None) if hidden_size % heads != 0 => {
                return Err(fields.error(
                    names.hidden_size,
                    format!("{hidden_size} is no multiple of {heads} heads"),
                ));
            }
            (None, None) => hidden_size / heads,
        };
        let norm_eps = fields.number(names.norm_eps)?.unwrap_or(defaults.norm_eps);
        if !(0.0..1.0).contains(&norm_eps) {
            return Err(fields.error(names.norm_eps, format!("{norm_eps} is not in [0, 1)")));
        }
        let rope = RopeConfig {
            theta: 10_000.0,
            partial_rotary_factor: 1.0,
            scaling: RopeScaling::Default,
        };
        Ok(Self {
            architecture,
            vocab_size: fields.dimension("vocab_size")?,
            hidden_size,
            intermediate_size: match defaults.intermediate_size {
                None => fields.dimension(names.intermediate_size)?,
                Some(ratio) => fields
                    .optional_dimension(names.intermediate_size)?
                    .unwrap_or(ratio * hidden_size),
            },
            num_hidden_layers: fields.dimension(names.num_hidden_layers)?,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            max_position_embeddings: fields
                .optional_dimension(names.max_position_embeddings)?
                .unwrap_or(defaults.max_position_embeddings),
            norm: NormKind::Rms,
            norm_eps,
            norm_placement: NormPlacement::Before,
            qk_norm: QkNorm::None,
            parallel_residual: false,
            positions: Positions::Rotary {
                full: rope,
                sliding: rope,
            },
            sliding_window: None,
            sliding_layers: SlidingLayers::From(0),
            attention_scale: 1.0 / (head_dim as f64).sqrt(),
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            embedding_scale: 1.0,
            gated_mlp: true,
            activation: fields.one_of(names.activation, defaults.activations)?,
            tie_word_embeddings: fields
                .flag("tie_word_embeddings", defaults.tie_word_embeddings)?,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            bos_token_id: fields
                .map
                .get("bos_token_id")
                .and_then(Value::as_u64)
                .and_then(|id| u32::try_from(id).ok()),
        })
    }

    /// Rotary embedding of every layer, under the names of most architectures; `kinds` are the
    /// supported scaling rules.
    pub(super) fn rotary(&mut self, fields: &Fields<'_>, kinds: &[&str]) -> Result<(), Error> {
        let objects = rope_objects(fields)?;
        for object in std::iter::once(fields).chain(&objects) {
            object.only("partial_rotary_factor", &[Value::from(1.0), Value::from(1)])?;
        }
        let rope = rope(fields, "rope_theta", &objects, 10_000.0, kinds, self)?;
        self.positions = Positions::Rotary {
            full: rope,
            sliding: rope,
        };
        Ok(())
    }

    /// The window of the layers that are `sliding` unless the file lists the kind of each.
    pub(super) fn windows(
        &mut self,
        fields: &Fields<'_>,
        window: Option<usize>,
        sliding: SlidingLayers,
    ) -> Result<(), Error> {
        self.sliding_window = window;
        self.sliding_layers = sliding;
        let Some(value) = fields.present("layer_types") else {
            return Ok(());
        };
        let listed: Option<Vec<bool>> = value.as_array().and_then(|types| {
            types
                .iter()
                .map(|t| match t.as_str() {
                    Some("full_attention") => Some(false),
                    Some("sliding_attention") => Some(true),
                    _ => None,
                })
                .collect()
        });
        match listed {
            Some(listed) if listed.len() != self.num_hidden_layers => {
                let (n, layers) = (listed.len(), self.num_hidden_layers);
                Err(fields.error("layer_types", format!("{n} kinds for {layers} layers")))
            }
            Some(listed) if window.is_none() && listed.contains(&true) => {
                let message = format!("{value}: sliding_attention without a window");
                Err(fields.error("layer_types", message))
            }
            Some(listed) => {
                self.sliding_layers = SlidingLayers::Listed(listed);
                Ok(())
            }
            None => Err(fields.error(
                "layer_types",
                format!("{value}: supported are full_attention and sliding_attention"),
            )),
        }
    }

    /// Rotated elements come in pairs.
    fn check_rotary(&self, fields: &Fields<'_>) -> Result<(), Error> {
        let Positions::Rotary { full, sliding } = self.positions else {
            return Ok(());
        };
        let whole = [full, sliding].map(|rope| rope.partial_rotary_factor) == [1.0; 2];
        if whole && !self.head_dim.is_multiple_of(2) {
            return Err(fields.error("head_dim", format!("{} is odd", self.head_dim)));
        }
        Ok(())
    }
}

/// Names of fields that differ between architectures.
pub(super) struct FieldNames {
    pub(super) hidden_size: &'static str,
    pub(super) intermediate_size: &'static str,
    pub(super) num_hidden_layers: &'static str,
    pub(super) num_attention_heads: &'static str,
    pub(super) max_position_embeddings: &'static str,
    pub(super) norm_eps: &'static str,
    pub(super) activation: &'static str,
}

/// What a class of `transformers` assumes of fields that are missing.
pub(super) struct Defaults {
    pub(super) num_key_value_heads: KvHeads,
    /// `hidden_size / num_attention_heads` where none.
    pub(super) head_dim: Option<usize>,
    /// In units of the hidden size; the field is required where none.
    pub(super) intermediate_size: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) norm_eps: f64,
    pub(super) tie_word_embeddings: bool,
    /// Supported activations by name, the default first.
    pub(super) activations: &'static [(&'static str, Activation)],
}

/// Where the number of key and value heads comes from.
pub(super) enum KvHeads {
    /// It is that of the query heads.
    Heads,
    /// `num_key_value_heads`; where it is missing this, or the number of query heads.
    Field(Option<usize>),
}

/// All rules of rotary scaling that are supported.
pub(super) const ROPE_KINDS: &[&str] = &["default", "linear", "llama3"];

fn architecture(fields: &Fields<'_>) -> Result<Architecture, Error> {
    let supported = Architecture::ALL;
    let names = supported
        .iter()
        .map(|a| a.name())
        .collect::<Vec<_>>()
        .join(", ");
    let value = fields
        .map
        .get("architectures")
        .ok_or_else(|| fields.error("architectures", format!("missing; supported: {names}")))?;
    let listed = match value.as_array().map(Vec::as_slice) {
        Some([Value::String(name)]) => supported.iter().copied().find(|a| a.name() == name),
        _ => None,
    };
    listed.ok_or_else(|| {
        fields.error(
            "architectures",
            format!("{value} is not supported; supported: {names}"),
        )
    })
}

/// The objects that describe the rotary embedding, in the old spelling (`rope_scaling`) and the
/// new (`rope_parameters`), where present.
pub(super) fn rope_objects<'a>(fields: &'a Fields<'_>) -> Result<Vec<Fields<'a>>, Error> {
    let mut objects = Vec::new();
    for name in ["rope_scaling", "rope_parameters"] {
        if fields.present(name).is_some() {
            let object = fields.object(name)?;
            // One for each kind of layer: only where the architecture reads them.
            object.only("full_attention", &[])?;
            object.only("sliding_attention", &[])?;
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Base and scaling rule from `theta_field` of the file and from `objects`. Where something is
/// said twice it must be the same.
pub(super) fn rope(
    fields: &Fields<'_>,
    theta_field: &str,
    objects: &[Fields<'_>],
    default_theta: f64,
    kinds: &[&str],
    config: &Config,
) -> Result<RopeConfig, Error> {
    let mut thetas = vec![(fields, theta_field)];
    thetas.extend(objects.iter().map(|o| (o, "rope_theta")));
    let theta = agreed(&thetas)?.unwrap_or(default_theta);
    if !(theta > 1.0 && theta.is_finite()) {
        return Err(fields.error(theta_field, format!("{theta} is not above 1")));
    }
    let mut rule = None;
    for object in objects {
        let one = scaling(object, kinds, config.max_position_embeddings)?;
        if rule.is_some_and(|other| other != one) {
            return Err(fields.error("rope_scaling", "contradicts rope_parameters"));
        }
        rule = Some(one);
    }
    let rule = rule.unwrap_or(RopeScaling::Default);
    if let RopeScaling::Llama3 {
        original_max_position_embeddings: original,
        ..
    } = rule
    {
        // Some versions prefer this one to that of the rule.
        fields.must_be("original_max_position_embeddings", original)?;
    }
    Ok(RopeConfig {
        theta,
        partial_rotary_factor: 1.0,
        scaling: rule,
    })
}

/// The number that all of these fields hold, as far as they are there.
pub(super) fn agreed(sources: &[(&Fields<'_>, &str)]) -> Result<Option<f64>, Error> {
    let mut first: Option<(f64, &Fields<'_>, &str)> = None;
    for (fields, name) in sources {
        let Some(x) = fields.number(name)? else {
            continue;
        };
        match first {
            Some((value, first, first_name)) if value != x => {
                let other = fields.full_name(name);
                return Err(first.error(first_name, format!("{value} contradicts {other}: {x}")));
            }
            Some(_) => {}
            None => first = Some((x, fields, name)),
        }
    }
    Ok(first.map(|(value, ..)| value))
}

fn scaling(
    fields: &Fields<'_>,
    kinds: &[&str],
    max_position_embeddings: usize,
) -> Result<RopeScaling, Error> {
    // The oldest files write `type`.
    let field = if fields.present("rope_type").is_some() {
        "rope_type"
    } else {
        "type"
    };
    let Some(value) = fields.present(field) else {
        return Ok(RopeScaling::Default);
    };
    let positive = |name: &str| -> Result<f64, Error> {
        fields
            .positive(name, None)?
            .ok_or_else(|| fields.error(name, "missing"))
    };
    match value.as_str().filter(|kind| kinds.contains(kind)) {
        Some("default") => Ok(RopeScaling::Default),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: positive("factor")?,
        }),
        Some("llama3") => {
            let (low, high) = (positive("low_freq_factor")?, positive("high_freq_factor")?);
            if low >= high {
                let message = format!("{high} is not above low_freq_factor {low}");
                return Err(fields.error("high_freq_factor", message));
            }
            Ok(RopeScaling::Llama3 {
                factor: positive("factor")?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: fields
                    .positive("original_max_position_embeddings", None)?
                    .unwrap_or(max_position_embeddings as f64),
            })
        }
        _ => {
            let kinds = kinds.join(", ");
            Err(fields.error(
                field,
                format!("{value} is not supported; supported: {kinds}"),
            ))
        }
    }
}

/// A JSON object whose errors name file and field.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: String,
    path: PathBuf,
}

impl Fields<'_> {
    pub(super) fn error(&self, field: &str, message: impl Into<String>) -> Error {
        Error::Config {
            path: self.path.clone(),
            field: self.full_name(field),
            message: message.into(),
        }
    }

    fn full_name(&self, field: &str) -> String {
        let dot = if self.prefix.is_empty() { "" } else { "." };
        format!("{}{dot}{field}", self.prefix)
    }

    /// The field's value, unless it is missing or null.
    pub(super) fn present(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|v| !v.is_null())
    }

    /// Whether the field is there, if only as null.
    fn says(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// Names of all fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    pub(super) fn object(&self, field: &str) -> Result<Fields<'_>, Error> {
        match self.present(field) {
            Some(Value::Object(map)) => Ok(Fields {
                map,
                prefix: self.full_name(field),
                path: self.path.clone(),
            }),
            other => Err(self.error(field, format!("{other:?} is not an object"))),
        }
    }

    /// Accepts the field only when missing, null or one of `values`.
    pub(super) fn only(&self, field: &str, values: &[Value]) -> Result<(), Error> {
        match self.present(field) {
            Some(v) if !values.contains(v) => {
                Err(self.error(field, format!("{v} is not supported")))
            }
            _ => Ok(()),
        }
    }

    /// Accepts the fields only when missing, null or false.
    pub(super) fn never(&self, fields: &[&str]) -> Result<(), Error> {
        fields
            .iter()
            .try_for_each(|field| self.only(field, &[Value::from(false)]))
    }

    /// Accepts the field only when missing, null or `value`.
    pub(super) fn must_be(&self, field: &str, value: f64) -> Result<(), Error> {
        match self.number(field)? {
            Some(x) if x != value => {
                Err(self.error(field, format!("{x} is not supported; supported: {value}")))
            }
            _ => Ok(()),
        }
    }

    /// The value that stands beside the field's name in `values`, the first where it is missing.
    pub(super) fn one_of<T: Copy>(&self, field: &str, values: &[(&str, T)]) -> Result<T, Error> {
        let found = match self.present(field) {
            None => values.first(),
            Some(v) => values.iter().find(|(name, _)| v == name),
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            let value = self.present(field).unwrap_or(&Value::Null);
            let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            self.error(
                field,
                format!("{value} is not supported; supported: {names}"),
            )
        })
    }

    pub(super) fn number(&self, field: &str) -> Result<Option<f64>, Error> {
        match self.present(field) {
            None => Ok(None),
            Some(v) => match v.as_f64() {
                Some(x) => Ok(Some(x)),
                None => Err(self.error(field, format!("{v} is not a number"))),
            },
        }
    }

    /// A positive number; none where null, `missing` where the field is missing.
    pub(super) fn positive(&self, field: &str, missing: Option<f64>) -> Result<Option<f64>, Error> {
        match self.number(field)? {
            None if self.says(field) => Ok(None),
            None => Ok(missing),
            Some(x) if x > 0.0 && x.is_finite() => Ok(Some(x)),
            Some(x) => Err(self.error(field, format!("{x} is not positive"))),
        }
    }

    pub(super) fn flag(&self, field: &str, missing: bool) -> Result<bool, Error> {
        match self.present(field) {
            None => Ok(missing),
            Some(Value::Bool(b)) => Ok(*b),
            Some(v) => Err(self.error(field, format!("{v} is neither true nor false"))),
        }
    }

    pub(super) fn optional_dimension(&self, field: &str) -> Result<Option<usize>, Error> {
        let Some(v) = self.present(field) else {
            return Ok(None);
        };
        match v.as_u64() {
            Some(n @ 1..=MAX_DIMENSION) => Ok(usize::try_from(n).ok()),
            _ => Err(self.error(field, format!("{v} is not in 1..={MAX_DIMENSION}"))),
        }
    }

    /// A number of things, perhaps none.
    pub(super) fn count(&self, field: &str, missing: usize) -> Result<usize, Error> {
        match self.present(field) {
            Some(v) if v.as_u64() == Some(0) => Ok(0),
            _ => Ok(self.optional_dimension(field)?.unwrap_or(missing)),
        }
    }

    /// A dimension; none where null, `missing` where the field is missing.
    pub(super) fn nullable_dimension(
        &self,
        field: &str,
        missing: Option<usize>,
    ) -> Result<Option<usize>, Error> {
        if self.says(field) {
            self.optional_dimension(field)
        } else {
            Ok(missing)
        }
    }

    pub(super) fn dimension(&self, field: &str) -> Result<usize, Error> {
        self.optional_dimension(field)?
            .ok_or_else(|| self.error(field, "missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"architectures": ["LlamaForCausalLM"], "vocab_size": 32,
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2}"#;

    fn with(extra: &str) -> Result<Config, Error> {
        let mut map: Map<String, Value> = serde_json::from_str(MINIMAL).unwrap();
        map.extend(serde_json::from_str::<Map<String, Value>>(extra).unwrap());
        Config::parse(&Value::Object(map).to_string(), Path::new("config.json"))
    }

    /// A small configuration of the class with these fields beside.
    fn of(class: &str, extra: &str) -> Result<Config, Error> {
        let mut map: Map<String, Value> = serde_json::from_str(if class == "GPT2LMHeadModel" {
            r#"{"vocab_size": 32, "n_embd": 16, "n_layer": 4, "n_head": 2}"#
        } else {
            r#"{"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
                "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 2}"#
        })
        .unwrap();
        map.insert("architectures".to_owned(), Value::from(vec![class]));
        map.extend(serde_json::from_str::<Map<String, Value>>(extra).unwrap());
        Config::parse(&Value::Object(map).to_string(), Path::new("config.json"))
    }

    fn full(config: &Config) -> RopeConfig {
        match config.positions {
            Positions::Rotary { full, .. } => full,
            Positions::Learned => panic!("{config:?}"),
        }
    }

    fn sliding(config: &Config) -> RopeConfig {
        match config.positions {
            Positions::Rotary { sliding, .. } => sliding,
            Positions::Learned => panic!("{config:?}"),
        }
    }

    fn windows(config: &Config) -> Vec<bool> {
        (0..config.num_hidden_layers)
            .map(|layer| config.is_sliding(layer))
            .collect()
    }

    #[test]
    fn defaults_are_those_of_each_class() {
        for (class, head_dim, context, eps, tied, window) in [
            ("LlamaForCausalLM", 8, 2048, 1e-6, false, None),
            ("Qwen2ForCausalLM", 8, 32768, 1e-6, false, None),
            ("Qwen3ForCausalLM", 128, 32768, 1e-6, false, None),
            ("MistralForCausalLM", 8, 131_072, 1e-6, false, Some(4096)),
            ("Olmo2ForCausalLM", 8, 2048, 1e-5, false, None),
            ("Phi3ForCausalLM", 8, 4096, 1e-5, false, None),
            ("GPTNeoXForCausalLM", 8, 2048, 1e-5, false, None),
            ("GPT2LMHeadModel", 8, 1024, 1e-5, true, None),
            ("Gemma2ForCausalLM", 256, 8192, 1e-6, true, Some(4096)),
            ("Gemma3ForCausalLM", 256, 131_072, 1e-6, true, Some(4096)),
        ] {
            let config = of(class, "{}").unwrap();
            assert_eq!(config.architecture.name(), class);
            assert_eq!(config.head_dim, head_dim, "{class}");
            assert_eq!(config.max_position_embeddings, context, "{class}");
            assert_eq!(config.norm_eps, eps, "{class}");
            assert_eq!(config.tie_word_embeddings, tied, "{class}");
            assert_eq!(config.sliding_window, window, "{class}");
        }
        // Some classes have a number of key and value heads of their own, which null is not.
        for (class, heads) in [
            ("Qwen2ForCausalLM", 32),
            ("Qwen3ForCausalLM", 32),
            ("MistralForCausalLM", 8),
            ("Gemma2ForCausalLM", 4),
        ] {
            let text = format!(
                r#"{{"architectures": ["{class}"], "vocab_size": 32, "hidden_size": 128,
                "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 64}}"#
            );
            let config = Config::parse(&text, Path::new("config.json")).unwrap();
            assert_eq!(config.num_key_value_heads, heads, "{class}");
            let config = of(class, r#"{"num_key_value_heads": null}"#).unwrap();
            assert_eq!(config.num_key_value_heads, 2, "{class}");
        }
        let neox = of("GPTNeoXForCausalLM", "{}").unwrap();
        assert_eq!(full(&neox).partial_rotary_factor, 0.25);
        assert!(neox.parallel_residual && neox.qkv_bias && neox.output_bias && neox.mlp_bias);
        assert_eq!(neox.activation, Activation::GeluErf);
        let gpt2 = of("GPT2LMHeadModel", r#"{"n_inner": null}"#).unwrap();
        assert_eq!((gpt2.intermediate_size, gpt2.hidden_size), (64, 16));
        assert_eq!(gpt2.activation, Activation::GeluTanh);
        let gemma = of("Gemma2ForCausalLM", "{}").unwrap();
        assert_eq!(gemma.attn_logit_softcapping, Some(50.0));
        assert_eq!(gemma.final_logit_softcapping, Some(30.0));
        assert_eq!(
            (gemma.attention_scale, gemma.embedding_scale),
            (1.0 / 16.0, 4.0)
        );
        let gemma = of("Gemma3ForCausalLM", "{}").unwrap();
        assert_eq!(gemma.attn_logit_softcapping, None);
        assert_eq!(gemma.final_logit_softcapping, None);
        assert_eq!(full(&gemma).theta, 1_000_000.0);
        assert_eq!(sliding(&gemma).theta, 10_000.0);
    }

    #[test]
    fn null_is_not_missing() {
        let uncapped = r#"{"attn_logit_softcapping": null, "final_logit_softcapping": null}"#;
        let gemma = of("Gemma2ForCausalLM", uncapped).unwrap();
        assert_eq!(gemma.attn_logit_softcapping, None);
        assert_eq!(gemma.final_logit_softcapping, None);
        let mistral = of("MistralForCausalLM", r#"{"sliding_window": null}"#).unwrap();
        assert_eq!(mistral.sliding_window, None);
        assert_eq!(windows(&mistral), [false; 4]);
    }

    #[test]
    fn windows_are_where_the_class_has_them() {
        let (yes, no) = (true, false);
        for (class, extra, want) in [
            ("MistralForCausalLM", r#"{"sliding_window": 3}"#, [yes; 4]),
            ("Phi3ForCausalLM", r#"{"sliding_window": 3}"#, [yes; 4]),
            // Llama has no window, whatever the file says.
            ("LlamaForCausalLM", r#"{"sliding_window": 3}"#, [no; 4]),
            ("Qwen2ForCausalLM", r#"{"sliding_window": 3}"#, [no; 4]),
            (
                "Qwen2ForCausalLM",
                r#"{"sliding_window": 3, "use_sliding_window": true}"#,
                [no; 4],
            ),
            (
                "Qwen2ForCausalLM",
                r#"{"sliding_window": 3, "use_sliding_window": true, "max_window_layers": 3}"#,
                [no, no, no, yes],
            ),
            (
                "Qwen3ForCausalLM",
                r#"{"use_sliding_window": true, "max_window_layers": 0}"#,
                [yes; 4],
            ),
            ("Gemma2ForCausalLM", "{}", [yes, no, yes, no]),
            ("Gemma3ForCausalLM", "{}", [yes; 4]),
            (
                "Gemma3ForCausalLM",
                r#"{"sliding_window_pattern": 3}"#,
                [yes, yes, no, yes],
            ),
            (
                "Gemma3ForCausalLM",
                r#"{"layer_types": ["full_attention", "full_attention", "sliding_attention",
                    "full_attention"]}"#,
                [no, no, yes, no],
            ),
        ] {
            assert_eq!(windows(&of(class, extra).unwrap()), want, "{class} {extra}");
        }
    }

    #[test]
    fn gemma3_has_two_ropes_in_both_spellings() {
        let old = of(
            "Gemma3ForCausalLM",
            r#"{"rope_theta": 5e5, "rope_local_base_freq": 3e4,
                "rope_scaling": {"rope_type": "linear", "factor": 8}}"#,
        )
        .unwrap();
        let new = of(
            "Gemma3ForCausalLM",
            r#"{"rope_parameters": {"sliding_attention": {"rope_theta": 3e4},
                "full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 5e5}}}"#,
        )
        .unwrap();
        assert_eq!(old.positions, new.positions);
        assert_eq!(full(&old).scaling, RopeScaling::Linear { factor: 8.0 });
        assert_eq!(sliding(&old).scaling, RopeScaling::Default);
    }

    #[test]
    fn each_class_refuses_what_it_does_not_have() {
        const QWEN2: &str = "Qwen2ForCausalLM";
        const QWEN3: &str = "Qwen3ForCausalLM";
        const MISTRAL: &str = "MistralForCausalLM";
        const OLMO2: &str = "Olmo2ForCausalLM";
        const PHI3: &str = "Phi3ForCausalLM";
        const NEOX: &str = "GPTNeoXForCausalLM";
        const GPT2: &str = "GPT2LMHeadModel";
        const GEMMA2: &str = "Gemma2ForCausalLM";
        const GEMMA3: &str = "Gemma3ForCausalLM";
        for (class, extra, field, value) in [
            (
                QWEN2,
                r#"{"attention_bias": false}"#,
                "attention_bias",
                "false",
            ),
            (QWEN2, r#"{"hidden_act": "relu"}"#, "hidden_act", "relu"),
            (
                QWEN2,
                r#"{"layer_types": ["full_attention"]}"#,
                "layer_types",
                "1 kinds",
            ),
            (
                QWEN2,
                r#"{"use_sliding_window": true, "layer_types": [1, 2, 3, 4]}"#,
                "layer_types",
                "[1,2,3,4]",
            ),
            (
                QWEN3,
                r#"{"layer_types": ["sliding_attention", "full_attention", "full_attention",
                    "full_attention"]}"#,
                "layer_types",
                "without a window",
            ),
            (QWEN3, r#"{"mlp_bias": true}"#, "mlp_bias", "true"),
            (
                QWEN3,
                r#"{"rope_parameters": {"full_attention": {"rope_theta": 3.0}}}"#,
                "rope_parameters.full_attention",
                "3.0",
            ),
            (
                MISTRAL,
                r#"{"attention_bias": true}"#,
                "attention_bias",
                "true",
            ),
            (MISTRAL, r#"{"sliding_window": 0}"#, "sliding_window", "0"),
            (MISTRAL, r#"{"sliding_window": -1}"#, "sliding_window", "-1"),
            (
                MISTRAL,
                r#"{"layer_types": ["sliding_attention", "full_attention", "full_attention",
                    "full_attention"]}"#,
                "layer_types",
                "full_attention",
            ),
            (
                MISTRAL,
                r#"{"partial_rotary_factor": 0.5}"#,
                "partial_rotary_factor",
                "0.5",
            ),
            (OLMO2, r#"{"hidden_act": "gelu"}"#, "hidden_act", "gelu"),
            (OLMO2, r#"{"mlp_bias": true}"#, "mlp_bias", "true"),
            (
                OLMO2,
                r#"{"rope_scaling": {"type": "yarn"}}"#,
                "rope_scaling.type",
                "yarn",
            ),
            (
                PHI3,
                r#"{"attention_bias": true}"#,
                "attention_bias",
                "true",
            ),
            (
                PHI3,
                r#"{"rope_scaling": {"type": "longrope"}}"#,
                "rope_scaling.type",
                "longrope",
            ),
            (
                PHI3,
                r#"{"rope_scaling": {"type": "linear", "factor": 2}}"#,
                "rope_scaling.type",
                "linear",
            ),
            (
                PHI3,
                r#"{"partial_rotary_factor": 0.2}"#,
                "partial_rotary_factor",
                "0.2",
            ),
            (
                PHI3,
                r#"{"partial_rotary_factor": 1.5}"#,
                "partial_rotary_factor",
                "1.5",
            ),
            (
                PHI3,
                r#"{"partial_rotary_factor": 0.5,
                    "rope_parameters": {"partial_rotary_factor": 0.25}}"#,
                "partial_rotary_factor",
                "0.25",
            ),
            (NEOX, r#"{"rotary_pct": 0}"#, "rotary_pct", "0"),
            (NEOX, r#"{"rotary_pct": -0.5}"#, "rotary_pct", "-0.5"),
            (NEOX, r#"{"rotary_pct": 0.4}"#, "rotary_pct", "0.4"),
            (NEOX, r#"{"rope_theta": 5.0}"#, "rope_theta", "5"),
            (
                NEOX,
                r#"{"partial_rotary_factor": 0.5}"#,
                "partial_rotary_factor",
                "0.5",
            ),
            (NEOX, r#"{"hidden_act": "relu"}"#, "hidden_act", "relu"),
            (
                NEOX,
                r#"{"use_parallel_residual": 1}"#,
                "use_parallel_residual",
                "1",
            ),
            (NEOX, r#"{"hidden_size": 15}"#, "hidden_size", "15"),
            (NEOX, r#"{"head_dim": 4}"#, "head_dim", "4"),
            (
                NEOX,
                r#"{"num_key_value_heads": 1}"#,
                "num_key_value_heads",
                "1",
            ),
            (NEOX, r#"{"layer_norm_eps": 1}"#, "layer_norm_eps", "1"),
            (
                GPT2,
                r#"{"activation_function": "relu"}"#,
                "activation_function",
                "relu",
            ),
            (
                GPT2,
                r#"{"scale_attn_weights": false}"#,
                "scale_attn_weights",
                "false",
            ),
            (
                GPT2,
                r#"{"scale_attn_by_inverse_layer_idx": true}"#,
                "scale_attn_by_inverse_layer_idx",
                "true",
            ),
            (
                GPT2,
                r#"{"add_cross_attention": true}"#,
                "add_cross_attention",
                "true",
            ),
            (GPT2, r#"{"n_embd": 15}"#, "n_embd", "15"),
            (GPT2, r#"{"n_head": null}"#, "n_head", "missing"),
            (
                GPT2,
                r#"{"layer_norm_epsilon": 3}"#,
                "layer_norm_epsilon",
                "3",
            ),
            (
                GEMMA2,
                r#"{"hidden_activation": "silu"}"#,
                "hidden_activation",
                "silu",
            ),
            (
                GEMMA2,
                r#"{"attn_logit_softcapping": 0}"#,
                "attn_logit_softcapping",
                "0",
            ),
            (
                GEMMA2,
                r#"{"final_logit_softcapping": -3}"#,
                "final_logit_softcapping",
                "-3",
            ),
            (
                GEMMA2,
                r#"{"query_pre_attn_scalar": 0}"#,
                "query_pre_attn_scalar",
                "0",
            ),
            (
                GEMMA2,
                r#"{"sliding_window": null}"#,
                "sliding_window",
                "null",
            ),
            (
                GEMMA2,
                r#"{"use_bidirectional_attention": true}"#,
                "use_bidirectional_attention",
                "true",
            ),
            (
                GEMMA3,
                r#"{"attn_logit_softcapping": 50}"#,
                "attn_logit_softcapping",
                "50",
            ),
            (
                GEMMA3,
                r#"{"sliding_window_pattern": 0}"#,
                "sliding_window_pattern",
                "0",
            ),
            (
                GEMMA3,
                r#"{"rope_local_base_freq": 0}"#,
                "rope_local_base_freq",
                "0",
            ),
            (
                GEMMA3,
                r#"{"rope_parameters": {"rope_theta": 5e5}}"#,
                "rope_parameters.rope_theta",
                "expected",
            ),
            (
                GEMMA3,
                r#"{"rope_theta": 1e6, "rope_parameters": {"full_attention": {"rope_theta": 5e5}}}"#,
                "rope_theta",
                "500000",
            ),
            (
                GEMMA3,
                r#"{"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}}"#,
                "rope_parameters.sliding_attention.rope_type",
                "yarn",
            ),
        ] {
            match of(class, extra) {
                Err(Error::Config {
                    field: f, message, ..
                }) => {
                    assert_eq!(f, field, "{class} {extra}: {message}");
                    assert!(message.contains(value), "{class} {extra}: {message}");
                }
                other => panic!("{class} {extra}: {other:?}"),
            }
        }
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = with("{}").unwrap();
        assert_eq!((config.head_dim, config.num_key_value_heads), (4, 2));
        assert_eq!(
            full(&config),
            RopeConfig {
                theta: 10_000.0,
                partial_rotary_factor: 1.0,
                scaling: RopeScaling::Default
            }
        );
        assert_eq!(config.norm_eps, 1e-6);
        assert!(!config.tie_word_embeddings);
    }

    #[test]
    fn both_spellings_of_rope_agree() {
        let scaling = r#""rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64"#;
        let old = with(&format!(
            r#"{{"rope_theta": 5e5, "rope_scaling": {{{scaling}}}}}"#
        ))
        .unwrap();
        let new = with(&format!(
            r#"{{"rope_parameters": {{"rope_theta": 5e5, {scaling}}}}}"#
        ))
        .unwrap();
        assert_eq!(full(&old), full(&new));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name_and_value() {
        for (extra, field, value) in [
            (
                r#"{"architectures": ["MambaForCausalLM"]}"#,
                "architectures",
                "Mamba",
            ),
            (r#"{"architectures": null}"#, "architectures", "null"),
            (r#"{"hidden_act": "gelu"}"#, "hidden_act", "gelu"),
            (r#"{"num_attention_heads": 0}"#, "num_attention_heads", "0"),
            (r#"{"num_attention_heads": 3}"#, "hidden_size", "8"),
            (r#"{"num_key_value_heads": 3}"#, "num_key_value_heads", "3"),
            (r#"{"hidden_size": 1e30}"#, "hidden_size", "is not in 1..="),
            (r#"{"vocab_size": -5}"#, "vocab_size", "-5"),
            (
                r#"{"vocab_size": 99999999999}"#,
                "vocab_size",
                "99999999999",
            ),
            (r#"{"head_dim": 3}"#, "head_dim", "3"),
            (r#"{"rms_norm_eps": "small"}"#, "rms_norm_eps", "small"),
            (r#"{"rms_norm_eps": -1}"#, "rms_norm_eps", "-1"),
            (r#"{"rope_theta": 0}"#, "rope_theta", "0"),
            (
                r#"{"rope_scaling": {"type": "yarn"}}"#,
                "rope_scaling.type",
                "yarn",
            ),
            (
                r#"{"rope_scaling": {"rope_type": "linear"}}"#,
                "rope_scaling.factor",
                "missing",
            ),
            (
                r#"{"rope_parameters": {"rope_type": "linear", "factor": -2}}"#,
                "rope_parameters.factor",
                "-2",
            ),
            (r#"{"rope_scaling": 3}"#, "rope_scaling", "3"),
            (
                r#"{"tie_word_embeddings": "yes"}"#,
                "tie_word_embeddings",
                "yes",
            ),
            (
                r#"{"quantization_config": {"bits": 4}}"#,
                "quantization_config",
                "bits",
            ),
            (
                r#"{"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}"#,
                "rope_theta",
                "1000000",
            ),
        ] {
            match with(extra) {
                Err(Error::Config {
                    field: f, message, ..
                }) => {
                    assert_eq!(f, field, "{extra}");
                    assert!(message.contains(value), "{extra}: {message}");
                }
                other => panic!("{extra}: {other:?}"),
            }
        }
        let path = Path::new("config.json");
        assert!(matches!(
            Config::parse("{", path),
            Err(Error::Format { .. })
        ));
        assert!(matches!(
            Config::parse("[]", path),
            Err(Error::Format { .. })
        ));
    }
}
