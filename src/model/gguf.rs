//! GGUF's names for what [`architecture`](super::architecture) has for `transformers`: metadata
//! keys, tensors, and how the writer of `llama.cpp` changes weights on the way.
//!
//! A key of the architecture that is not read here is refused: it would change the computation of
//! the program that wrote it. What the format does not record is taken from `llama.cpp`: Gemma's
//! attention scale (that of the 27B models by their number of layers) and its pattern of windows.
//! It does not record the activation either: GPT-2 has the tanh approximation of GELU here, as
//! OpenAI's models, GPT-NeoX the exact one, as Pythia.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::backend::{Activation, NormKind};
use crate::checkpoint::gguf::{Gguf, Value};
use crate::error::Error;
use crate::model::architecture::{Architecture, Names};
use crate::model::config::{
    Config, MAX_DIMENSION, NormPlacement, Positions, QkNorm, RopeConfig, RopeScaling, SlidingLayers,
};

/// Tensor of divisors of the rotary frequencies.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// `general.architecture` of those that are read.
const ARCHITECTURES: &[(&str, Architecture)] = &[
    ("llama", Architecture::Llama),
    ("qwen2", Architecture::Qwen2),
    ("qwen3", Architecture::Qwen3),
    ("olmo2", Architecture::Olmo2),
    ("phi3", Architecture::Phi3),
    ("gptneox", Architecture::GptNeoX),
    ("gpt2", Architecture::Gpt2),
    ("gemma2", Architecture::Gemma2),
    ("gemma3", Architecture::Gemma3),
];

/// The configuration that the metadata describes.
///
/// # Errors
/// An architecture or a key that is not supported, a key that is missing or malformed.
pub(super) fn config(file: &Gguf) -> Result<Config, Error> {
    const KEY: &str = "general.architecture";
    let supported = || {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    let Some(value) = file.get(KEY) else {
        return Err(file.error(KEY, format!("missing; supported: {}", supported())));
    };
    let found = ARCHITECTURES
        .iter()
        .find(|(name, _)| matches!(value, Value::Text(text) if text == name));
    let Some((prefix, architecture)) = found else {
        let message = format!("{value} is not supported; supported: {}", supported());
        return Err(file.error(KEY, message));
    };
    let keys = Keys {
        file,
        prefix: format!("{prefix}."),
        read: RefCell::default(),
    };
    let config = describe(*architecture, &keys)?;
    keys.finish()?;
    Ok(config)
}

fn describe(architecture: Architecture, keys: &Keys<'_>) -> Result<Config, Error> {
    let file = keys.file;
    let layer_norm = matches!(architecture, Architecture::GptNeoX | Architecture::Gpt2);
    let gemma = matches!(architecture, Architecture::Gemma2 | Architecture::Gemma3);
    let hidden_size = keys.dimension("embedding_length")?;
    let num_hidden_layers = keys.dimension("block_count")?;
    let heads = keys.dimension("attention.head_count")?;
    let kv_heads = keys
        .optional_dimension("attention.head_count_kv")?
        .unwrap_or(heads);
    if heads % kv_heads != 0 {
        let message = format!("{kv_heads} does not divide {heads} heads");
        return Err(keys.error("attention.head_count_kv", message));
    }
    let head_dim = match keys.optional_dimension("attention.key_length")? {
        Some(dim) => dim,
        None if hidden_size % heads != 0 => {
            let message = format!("{hidden_size} is no multiple of {heads} heads");
            return Err(keys.error("embedding_length", message));
        }
        None => hidden_size / heads,
    };
    keys.must_be("attention.value_length", head_dim as f64)?;
    if let Some(value) = keys.get("attention.causal")
        && *value != Value::Bool(true)
    {
        return Err(keys.error("attention.causal", format!("{value} is not supported")));
    }
    for none in ["expert_count", "expert_used_count"] {
        keys.must_be(none, 0.0)?;
    }
    // Says again what the embedding table is, and not always right.
    keys.get("vocab_size");
    let embedding = "token_embd.weight";
    let Some(&[vocab_size, _]) = file.shape(embedding) else {
        return Err(Error::Tensor {
            path: file.path().to_owned(),
            tensor: embedding.to_owned(),
            message: "missing or no matrix".to_owned(),
        });
    };
    let eps = if layer_norm {
        "attention.layer_norm_epsilon"
    } else {
        "attention.layer_norm_rms_epsilon"
    };
    let norm_eps = keys
        .number(eps)?
        .ok_or_else(|| keys.error(eps, "missing"))?;
    if !(0.0..1.0).contains(&norm_eps) {
        return Err(keys.error(eps, format!("{norm_eps} is not in [0, 1)")));
    }
    let bias = |name: &str| file.shape(&format!("blk.0.{name}.bias")).is_some();
    let mut config = Config {
        architecture,
        vocab_size,
        hidden_size,
        intermediate_size: keys.dimension("feed_forward_length")?,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        max_position_embeddings: keys.dimension("context_length")?,
        norm: if layer_norm {
            NormKind::Layer
        } else {
            NormKind::Rms
        },
        norm_eps,
        norm_placement: match architecture {
            Architecture::Olmo2 => NormPlacement::After,
            _ if gemma => NormPlacement::Both,
            _ => NormPlacement::Before,
        },
        qk_norm: match architecture {
            Architecture::Olmo2 => QkNorm::Width,
            Architecture::Qwen3 | Architecture::Gemma3 => QkNorm::Head,
            _ => QkNorm::None,
        },
        parallel_residual: false,
        positions: Positions::Learned,
        sliding_window: None,
        sliding_layers: SlidingLayers::From(0),
        attention_scale: 1.0 / (head_dim as f64).sqrt(),
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
        embedding_scale: if gemma {
            (hidden_size as f64).sqrt()
        } else {
            1.0
        },
        gated_mlp: !layer_norm,
        activation: match architecture {
            Architecture::GptNeoX => Activation::GeluErf,
            Architecture::Gpt2 | Architecture::Gemma2 | Architecture::Gemma3 => {
                Activation::GeluTanh
            }
            _ => Activation::Silu,
        },
        tie_word_embeddings: file.shape("output.weight").is_none(),
        qkv_bias: match architecture {
            Architecture::Qwen2 | Architecture::Gpt2 => true,
            _ => bias("attn_q") || bias("attn_qkv"),
        },
        output_bias: architecture == Architecture::Gpt2 || bias("attn_output"),
        mlp_bias: layer_norm || bias("ffn_up"),
        bos_token_id: match file.get("tokenizer.ggml.bos_token_id") {
            Some(Value::Unsigned(id)) => u32::try_from(*id).ok(),
            _ => None,
        },
    };
    if architecture != Architecture::Gpt2 {
        rotary(&mut config, keys)?;
    }
    match architecture {
        Architecture::GptNeoX => {
            const KEY: &str = "use_parallel_residual";
            config.parallel_residual = match keys.get(KEY) {
                None => true,
                Some(Value::Bool(parallel)) => *parallel,
                Some(value) => {
                    return Err(keys.error(KEY, format!("{value} is neither true nor false")));
                }
            };
        }
        // Zero stands for none.
        Architecture::Phi3 => {
            const KEY: &str = "attention.sliding_window";
            config.sliding_window = match keys.get(KEY) {
                Some(Value::Unsigned(0)) => None,
                _ => keys.optional_dimension(KEY)?,
            };
        }
        Architecture::Gemma2 | Architecture::Gemma3 => of_gemma(&mut config, keys)?,
        _ => {}
    }
    Ok(config)
}

/// Windows, caps and scale of Gemma.
fn of_gemma(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    let three = config.architecture == Architecture::Gemma3;
    config.sliding_window = Some(keys.dimension("attention.sliding_window")?);
    config.sliding_layers = match keys.get(PATTERN) {
        Some(Value::Numbers(list)) => {
            let listed: Vec<bool> = list.values().map(|v| v == Value::Bool(true)).collect();
            if listed.len() != config.num_hidden_layers {
                let layers = config.num_hidden_layers;
                let message = format!("{} kinds for {layers} layers", listed.len());
                return Err(keys.error(PATTERN, message));
            }
            SlidingLayers::Listed(listed)
        }
        _ => {
            let usual = if three { 6 } else { 2 };
            SlidingLayers::AllButEvery(keys.optional_dimension(PATTERN)?.unwrap_or(usual))
        }
    };
    let largest = if three { 62 } else { 46 };
    let divisor = if config.num_hidden_layers == largest {
        config.hidden_size as f64 / config.num_attention_heads as f64
    } else {
        config.head_dim as f64
    };
    let scale = keys.positive("attention.scale")?;
    config.attention_scale = scale.unwrap_or(1.0 / divisor.sqrt());
    config.final_logit_softcapping = keys.positive("final_logit_softcapping")?;
    if !three {
        config.attn_logit_softcapping =
            Some(keys.positive("attn_logit_softcapping")?.unwrap_or(50.0));
        config.final_logit_softcapping.get_or_insert(30.0);
    }
    Ok(())
}

/// Rotary embedding: base, share of a head and scaling.
fn rotary(config: &mut Config, keys: &Keys<'_>) -> Result<(), Error> {
    const SHARE: &str = "rope.dimension_count";
    const BASE: &str = "rope.freq_base";
    const TYPE: &str = "rope.scaling.type";
    let head = config.head_dim;
    let rotated = keys.optional_dimension(SHARE)?.unwrap_or(head);
    let partial = matches!(
        config.architecture,
        Architecture::GptNeoX | Architecture::Phi3
    );
    if rotated % 2 != 0 || rotated > head || (rotated != head && !partial) {
        let message = format!("{rotated} of a head of {head} is not supported");
        return Err(keys.error(SHARE, message));
    }
    let theta = keys.positive(BASE)?.unwrap_or(10_000.0);
    if theta <= 1.0 {
        return Err(keys.error(BASE, format!("{theta} is not above 1")));
    }
    // Describe what the weights are already fit for.
    keys.get("rope.scaling.original_context_length");
    keys.get("rope.scaling.finetuned");
    keys.must_be("rope.scaling.attn_factor", 1.0)?;
    let factor = keys.positive("rope.scaling.factor")?;
    let old = keys.positive("rope.scale_linear")?;
    let scaling = match keys.get(TYPE) {
        None => factor
            .or(old)
            .filter(|f| *f != 1.0)
            .map_or(RopeScaling::Default, |factor| RopeScaling::Linear {
                factor,
            }),
        Some(Value::Text(kind)) if kind == "none" => RopeScaling::Default,
        Some(Value::Text(kind)) if kind == "linear" => RopeScaling::Linear {
            factor: factor.ok_or_else(|| keys.error("rope.scaling.factor", "missing"))?,
        },
        Some(value) => {
            let message = format!("{value} is not supported; supported: none, linear");
            return Err(keys.error(TYPE, message));
        }
    };
    let mut full = RopeConfig {
        theta,
        partial_rotary_factor: rotated as f64 / head as f64,
        scaling,
    };
    if full.rotary_dim(head) != rotated {
        // The quotient was rounded down.
        full.partial_rotary_factor = full.partial_rotary_factor.next_up();
    }
    let mut sliding = full;
    if config.architecture == Architecture::Gemma3 {
        // Never scaled; the base is a constant of the architecture unless the file has it.
        sliding.theta = keys.positive("rope.freq_base_swa")?.unwrap_or(10_000.0);
        sliding.scaling = RopeScaling::Default;
        if sliding.theta <= 1.0 {
            let message = format!("{} is not above 1", sliding.theta);
            return Err(keys.error("rope.freq_base_swa", message));
        }
    }
    config.positions = Positions::Rotary { full, sliding };
    Ok(())
}

/// The keys of an architecture; remembers which were asked for.
struct Keys<'a> {
    file: &'a Gguf,
    prefix: String,
    read: RefCell<BTreeSet<String>>,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        let key = format!("{}{key}", self.prefix);
        let value = self.file.get(&key);
        self.read.borrow_mut().insert(key);
        value
    }

    fn error(&self, key: &str, message: impl Into<String>) -> Error {
        self.file.error(&format!("{}{key}", self.prefix), message)
    }

    fn optional_dimension(&self, key: &str) -> Result<Option<usize>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(n @ 1..=MAX_DIMENSION)) => Ok(usize::try_from(*n).ok()),
            Some(value) => Err(self.error(key, format!("{value} is not in 1..={MAX_DIMENSION}"))),
        }
    }

    fn dimension(&self, key: &str) -> Result<usize, Error> {
        self.optional_dimension(key)?
            .ok_or_else(|| self.error(key, "missing"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(x) => Ok(Some(x)),
                None => Err(self.error(key, format!("{value} is not a number"))),
            },
        }
    }

    fn positive(&self, key: &str) -> Result<Option<f64>, Error> {
        match self.number(key)? {
            Some(x) if !(x > 0.0 && x.is_finite()) => {
                Err(self.error(key, format!("{x} is not positive")))
            }
            other => Ok(other),
        }
    }

    fn must_be(&self, key: &str, value: f64) -> Result<(), Error> {
        match self.number(key)? {
            Some(x) if x != value => {
                Err(self.error(key, format!("{x} is not supported; supported: {value}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses keys of the architecture that nobody asked for.
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

/// Where the architecture's tensors are.
pub(super) fn names(architecture: Architecture) -> &'static Names {
    match architecture {
        Architecture::Llama | Architecture::Mistral => &LLAMA,
        Architecture::Qwen2 | Architecture::Qwen3 => &QWEN,
        Architecture::Olmo2 => &OLMO2,
        Architecture::Phi3 | Architecture::GptNeoX | Architecture::Gpt2 => &FUSED,
        Architecture::Gemma2 | Architecture::Gemma3 => &GEMMA,
    }
}

const QWEN: Names = Names {
    prefixes: &[""],
    embedding: "token_embd",
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
    transposed: false,
    head_by_head: false,
    halves_alternate: false,
    norms_less_one: false,
    derived: &[],
    masks: &[],
};

/// The program that reads these files rotates neighbouring elements in this architecture, so the
/// writer brings the halves of a head together.
const LLAMA: Names = Names {
    halves_alternate: true,
    ..QWEN
};

const OLMO2: Names = Names {
    before_attention: "",
    after_attention: "post_attention_norm",
    before_mlp: "",
    after_mlp: "post_ffw_norm",
    ..QWEN
};

/// Transposed matrices and heads with their parts together are undone by the writer.
const FUSED: Names = Names {
    qkv: &["attn_qkv"],
    gate_up: &["ffn_up"],
    ..QWEN
};

/// The writer adds the one that Gemma's norms leave out.
const GEMMA: Names = Names {
    after_attention: "post_attention_norm",
    after_mlp: "post_ffw_norm",
    ..QWEN
};
