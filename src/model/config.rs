//! `config.json`: which decoder a checkpoint is, with everything unsupported refused by name.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::checkpoint::file_size;
use crate::error::Error;

/// The decoder a checkpoint describes. Fields are named as in Hugging Face `config.json`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The class that defines the computation.
    pub architecture: Architecture,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
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
    /// ε of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Rotary embedding.
    pub rope: RopeConfig,
    /// Whether the LM head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Whether the attention projections have biases.
    pub attention_bias: bool,
    /// Whether the MLP projections have biases.
    pub mlp_bias: bool,
    /// Beginning-of-sequence token, when the file names exactly one.
    pub bos_token_id: Option<u32>,
}

/// A supported class of `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// `LlamaForCausalLM` (Touvron et al. 2023, arXiv 2302.13971).
    Llama,
    /// `Qwen3ForCausalLM`: Llama with RMSNorm on every query and key head (arXiv 2505.09388).
    Qwen3,
}

impl Architecture {
    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// Whether queries and keys are normalised head by head.
    pub fn qk_norm(self) -> bool {
        matches!(self, Self::Qwen3)
    }
}

/// Rotary embedding: base and scaling rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric sequence of wavelengths.
    pub theta: f64,
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
    /// Angular frequency of each pair of a head of `head_dim` elements, radians a position:
    /// `theta^(−2i/head_dim)`, scaled.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f64> {
        (0..head_dim / 2)
            .map(|i| self.scale(self.theta.powf(-2.0 * i as f64 / head_dim as f64)))
            .collect()
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
const MAX_DIMENSION: u64 = 1 << 28;
/// Largest accepted `config.json`.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

impl Config {
    /// Reads `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON, a missing or malformed field, or one whose value
    /// is not supported: each by field and value.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let path = dir.as_ref().join("config.json");
        let size = file_size(&path)?;
        if size > MAX_CONFIG_BYTES {
            return Err(Error::format(
                &path,
                format!("{size} bytes is no plausible config.json"),
            ));
        }
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
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
            prefix: "",
            path: path.to_owned(),
        };

        let architecture = architecture(&fields)?;
        fields.only("hidden_act", &[Value::from("silu")])?;
        fields.only("quantization_config", &[])?;
        fields.only("partial_rotary_factor", &[Value::from(1.0), Value::from(1)])?;
        if architecture == Architecture::Qwen3 {
            // Llama ignores these fields; Qwen3 reads them.
            fields.only("use_sliding_window", &[Value::from(false)])?;
            layer_types(&fields)?;
        }

        let hidden_size = fields.dimension("hidden_size")?;
        let num_attention_heads = fields.dimension("num_attention_heads")?;
        let num_key_value_heads = fields
            .optional_dimension("num_key_value_heads")?
            .unwrap_or(num_attention_heads);
        if num_attention_heads % num_key_value_heads != 0 {
            return Err(fields.error(
                "num_key_value_heads",
                format!("{num_key_value_heads} does not divide {num_attention_heads} heads"),
            ));
        }
        let head_dim = match (fields.optional_dimension("head_dim")?, architecture) {
            (Some(dim), _) => dim,
            (None, Architecture::Qwen3) => 128,
            (None, Architecture::Llama) if hidden_size % num_attention_heads != 0 => {
                return Err(fields.error(
                    "hidden_size",
                    format!("{hidden_size} is no multiple of {num_attention_heads} heads"),
                ));
            }
            (None, Architecture::Llama) => hidden_size / num_attention_heads,
        };
        if head_dim % 2 != 0 {
            return Err(fields.error("head_dim", format!("{head_dim} is odd")));
        }
        let rms_norm_eps = fields.number("rms_norm_eps")?.unwrap_or(1e-6);
        if !(0.0..1.0).contains(&rms_norm_eps) {
            return Err(fields.error("rms_norm_eps", format!("{rms_norm_eps} is not in [0, 1)")));
        }
        let max_position_embeddings = fields
            .optional_dimension("max_position_embeddings")?
            .unwrap_or(if architecture == Architecture::Llama {
                2048
            } else {
                32768
            });
        Ok(Self {
            architecture,
            vocab_size: fields.dimension("vocab_size")?,
            hidden_size,
            intermediate_size: fields.dimension("intermediate_size")?,
            num_hidden_layers: fields.dimension("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            max_position_embeddings,
            rms_norm_eps,
            rope: rope(&fields, max_position_embeddings)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            attention_bias: fields.flag("attention_bias")?,
            mlp_bias: architecture == Architecture::Llama && fields.flag("mlp_bias")?,
            bos_token_id: fields
                .map
                .get("bos_token_id")
                .and_then(Value::as_u64)
                .and_then(|id| u32::try_from(id).ok()),
        })
    }
}

fn architecture(fields: &Fields<'_>) -> Result<Architecture, Error> {
    let supported = [Architecture::Llama, Architecture::Qwen3];
    let names = supported.map(Architecture::name).join(", ");
    let value = fields
        .map
        .get("architectures")
        .ok_or_else(|| fields.error("architectures", format!("missing; supported: {names}")))?;
    let listed = match value.as_array().map(Vec::as_slice) {
        Some([Value::String(name)]) => supported.into_iter().find(|a| a.name() == name),
        _ => None,
    };
    listed.ok_or_else(|| {
        fields.error(
            "architectures",
            format!("{value} is not supported; supported: {names}"),
        )
    })
}

fn layer_types(fields: &Fields<'_>) -> Result<(), Error> {
    let Some(value) = fields.present("layer_types") else {
        return Ok(());
    };
    let full = Value::from("full_attention");
    if value
        .as_array()
        .is_some_and(|types| types.iter().all(|t| *t == full))
    {
        Ok(())
    } else {
        Err(fields.error(
            "layer_types",
            format!("{value}: only full_attention is supported"),
        ))
    }
}

/// The rotary settings, in the old spelling (`rope_theta`, `rope_scaling`) or the new
/// (`rope_parameters`). A file that holds both must not contradict itself.
fn rope(fields: &Fields<'_>, max_position_embeddings: usize) -> Result<RopeConfig, Error> {
    let old = match fields.present("rope_scaling") {
        Some(_) => Some(fields.object("rope_scaling")?),
        None => None,
    };
    let new = match fields.present("rope_parameters") {
        Some(_) => Some(fields.object("rope_parameters")?),
        None => None,
    };
    let theta = fields.number("rope_theta")?;
    let new_theta = new
        .as_ref()
        .map(|n| n.number("rope_theta"))
        .transpose()?
        .flatten();
    if let (Some(a), Some(b)) = (theta, new_theta)
        && a != b
    {
        return Err(fields.error(
            "rope_theta",
            format!("{a} contradicts rope_parameters' {b}"),
        ));
    }
    let theta = new_theta.or(theta).unwrap_or(10_000.0);
    if !(theta > 1.0 && theta.is_finite()) {
        return Err(fields.error("rope_theta", format!("{theta} is not above 1")));
    }
    let scaling = match (&old, &new) {
        (None, None) => RopeScaling::Default,
        (Some(one), None) | (None, Some(one)) => scaling(one, max_position_embeddings)?,
        (Some(old), Some(new)) => {
            let (a, b) = (
                scaling(old, max_position_embeddings)?,
                scaling(new, max_position_embeddings)?,
            );
            if a != b {
                return Err(fields.error("rope_scaling", "contradicts rope_parameters"));
            }
            a
        }
    };
    Ok(RopeConfig { theta, scaling })
}

fn scaling(fields: &Fields<'_>, max_position_embeddings: usize) -> Result<RopeScaling, Error> {
    fields.only("partial_rotary_factor", &[Value::from(1.0), Value::from(1)])?;
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
        let x = fields
            .number(name)?
            .ok_or_else(|| fields.error(name, "missing"))?;
        if x > 0.0 && x.is_finite() {
            Ok(x)
        } else {
            Err(fields.error(name, format!("{x} is not positive")))
        }
    };
    match value.as_str() {
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
            let original = "original_max_position_embeddings";
            Ok(RopeScaling::Llama3 {
                factor: positive("factor")?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: match fields.present(original) {
                    Some(_) => positive(original)?,
                    None => max_position_embeddings as f64,
                },
            })
        }
        _ => Err(fields.error(
            field,
            format!("{value} is not supported; supported: default, linear, llama3"),
        )),
    }
}

/// A JSON object whose errors name file and field.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: &'a str,
    path: PathBuf,
}

impl Fields<'_> {
    fn error(&self, field: &str, message: impl Into<String>) -> Error {
        let dot = if self.prefix.is_empty() { "" } else { "." };
        Error::Config {
            path: self.path.clone(),
            field: format!("{}{dot}{field}", self.prefix),
            message: message.into(),
        }
    }

    /// The field's value, unless it is missing or null.
    fn present(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|v| !v.is_null())
    }

    fn object<'b>(&'b self, field: &'b str) -> Result<Fields<'b>, Error> {
        match self.present(field) {
            Some(Value::Object(map)) => Ok(Fields {
                map,
                prefix: field,
                path: self.path.clone(),
            }),
            other => Err(self.error(field, format!("{other:?} is not an object"))),
        }
    }

    /// Accepts the field only when missing, null or one of `values`.
    fn only(&self, field: &str, values: &[Value]) -> Result<(), Error> {
        match self.present(field) {
            Some(v) if !values.contains(v) => {
                Err(self.error(field, format!("{v} is not supported")))
            }
            _ => Ok(()),
        }
    }

    fn number(&self, field: &str) -> Result<Option<f64>, Error> {
        match self.present(field) {
            None => Ok(None),
            Some(v) => match v.as_f64() {
                Some(x) => Ok(Some(x)),
                None => Err(self.error(field, format!("{v} is not a number"))),
            },
        }
    }

    fn flag(&self, field: &str) -> Result<bool, Error> {
        match self.present(field) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(*b),
            Some(v) => Err(self.error(field, format!("{v} is neither true nor false"))),
        }
    }

    fn optional_dimension(&self, field: &str) -> Result<Option<usize>, Error> {
        let Some(v) = self.present(field) else {
            return Ok(None);
        };
        match v.as_u64() {
            Some(n @ 1..=MAX_DIMENSION) => Ok(usize::try_from(n).ok()),
            _ => Err(self.error(field, format!("{v} is not in 1..={MAX_DIMENSION}"))),
        }
    }

    fn dimension(&self, field: &str) -> Result<usize, Error> {
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

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = with("{}").unwrap();
        assert_eq!((config.head_dim, config.num_key_value_heads), (4, 2));
        assert_eq!(
            config.rope,
            RopeConfig {
                theta: 10_000.0,
                scaling: RopeScaling::Default
            }
        );
        assert_eq!(config.rms_norm_eps, 1e-6);
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
        assert_eq!(old.rope, new.rope);
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
            (r#"{"hidden_size": 1e30}"#, "hidden_size", "1e+30"),
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
        let qwen = r#"{"architectures": ["Qwen3ForCausalLM"], "use_sliding_window": true}"#;
        assert!(
            with(qwen)
                .unwrap_err()
                .to_string()
                .contains("use_sliding_window")
        );
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
