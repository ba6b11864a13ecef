//! The supported architectures, one file each: everything in which they differ.
//!
//! The decoder has no notion of an architecture: it runs what [`Config`] describes. A [`Family`]
//! says how an architecture's files describe it: the fields of `config.json`, the keys of GGUF
//! metadata, and the names and layouts of its tensors in both.
//!
//! `docs/adding-an-architecture.md` leads through adding one. An architecture that needs an option the
//! decoder lacks adds a field to [`Config`], and its meaning to [`transformer`](super::transformer), for all
//! architectures.

use crate::backend::NormKind;
use crate::error::Error;
use crate::model::config::Config;
use crate::model::config_gguf::Keys;
use crate::model::config_json::Fields;

mod bloom;
mod falcon;
mod gemma;
mod gpt2;
mod gpt_neox;
mod gptj;
mod granite;
mod llama;
mod mistral;
mod moe;
mod olmo;
mod olmo2;
mod opt;
mod phi;
mod phi3;
mod qwen;
mod smollm3;
mod stablelm;
mod starcoder2;

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
    /// `Gemma3ForConditionalGeneration`, of which the text model is read.
    Gemma3Multimodal,
    /// `OlmoForCausalLM`: Llama with LayerNorms without parameters (arXiv 2402.00838).
    Olmo,
    /// `OLMoForCausalLM`: OLMo in the layout of its training program, as DataDecide has it
    /// (arXiv 2504.11393).
    HfOlmo,
    /// `Olmo3ForCausalLM`: OLMo 2 with sliding windows (arXiv 2512.13961).
    Olmo3,
    /// `SmolLM3ForCausalLM`: Llama with layers without a rotary embedding.
    SmolLm3,
    /// `StableLmForCausalLM` (arXiv 2402.17834).
    StableLm,
    /// `Starcoder2ForCausalLM` (arXiv 2402.19173).
    Starcoder2,
    /// `PhiForCausalLM`: Phi-1, 1.5 and 2 (arXiv 2309.05463).
    Phi,
    /// `MinistralForCausalLM`: Mistral with layers without a window.
    Ministral,
    /// `FalconForCausalLM` (arXiv 2311.16867).
    Falcon,
    /// `GPTJForCausalLM` (Wang and Komatsuzaki 2021).
    GptJ,
    /// `GraniteForCausalLM`: Llama with factors on embeddings, sublayers and logits.
    Granite,
    /// `OPTForCausalLM` (arXiv 2205.01068).
    Opt,
    /// `BloomForCausalLM` (arXiv 2211.05100).
    Bloom,
    /// `MixtralForCausalLM`: Mistral with experts (arXiv 2401.04088).
    Mixtral,
    /// `Qwen2MoeForCausalLM`: Qwen2 with experts, one of which every token visits.
    Qwen2Moe,
    /// `Qwen3MoeForCausalLM`: Qwen3 with experts.
    Qwen3Moe,
    /// `OlmoeForCausalLM` (arXiv 2409.02060).
    OlmoE,
}

impl Architecture {
    /// All supported architectures.
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
        Self::Gemma3Multimodal,
        Self::Olmo,
        Self::HfOlmo,
        Self::Olmo3,
        Self::SmolLm3,
        Self::StableLm,
        Self::Starcoder2,
        Self::Phi,
        Self::Ministral,
        Self::Falcon,
        Self::GptJ,
        Self::Granite,
        Self::Opt,
        Self::Bloom,
        Self::Mixtral,
        Self::Qwen2Moe,
        Self::Qwen3Moe,
        Self::OlmoE,
    ];

    /// Name of the class, as in `config.json`.
    pub fn name(self) -> &'static str {
        self.family().class
    }

    /// Its files.
    pub(super) fn family(self) -> &'static Family {
        match self {
            Self::Llama => &llama::LLAMA,
            Self::Qwen2 => &qwen::QWEN2,
            Self::Qwen3 => &qwen::QWEN3,
            Self::Mistral => &mistral::MISTRAL,
            Self::Olmo2 => &olmo2::OLMO2,
            Self::Phi3 => &phi3::PHI3,
            Self::GptNeoX => &gpt_neox::GPT_NEOX,
            Self::Gpt2 => &gpt2::GPT2,
            Self::Gemma2 => &gemma::GEMMA2,
            Self::Gemma3 => &gemma::GEMMA3,
            Self::Gemma3Multimodal => &gemma::GEMMA3_MULTIMODAL,
            Self::Olmo => &olmo::OLMO,
            Self::HfOlmo => &olmo::HF_OLMO,
            Self::Olmo3 => &olmo2::OLMO3,
            Self::SmolLm3 => &smollm3::SMOLLM3,
            Self::StableLm => &stablelm::STABLE_LM,
            Self::Starcoder2 => &starcoder2::STARCODER2,
            Self::Phi => &phi::PHI,
            Self::Ministral => &mistral::MINISTRAL,
            Self::Falcon => &falcon::FALCON,
            Self::GptJ => &gptj::GPT_J,
            Self::Granite => &granite::GRANITE,
            Self::Opt => &opt::OPT,
            Self::Bloom => &bloom::BLOOM,
            Self::Mixtral => &moe::MIXTRAL,
            Self::Qwen2Moe => &moe::QWEN2_MOE,
            Self::Qwen3Moe => &moe::QWEN3_MOE,
            Self::OlmoE => &moe::OLMOE,
        }
    }
}

/// The files of an architecture.
pub(super) struct Family {
    /// Name of the class in `config.json`.
    pub(super) class: &'static str,
    /// `model_type` in `config.json`, which decides where the class is not named.
    pub(super) model_type: &'static str,
    /// Reads `config.json`.
    pub(super) config_json: fn(&Fields<'_>) -> Result<Config, Error>,
    /// Tensors of its safetensors files.
    pub(super) tensors: Names,
    /// Its GGUF files, if they are read.
    pub(super) gguf: Option<GgufFamily>,
}

/// The GGUF files of an architecture.
pub(super) struct GgufFamily {
    /// Value of `general.architecture`, and prefix of its keys.
    pub(super) name: &'static str,
    /// Kind of its norms, which decides the key of their ε.
    pub(super) norm: NormKind,
    /// Reads its metadata into a configuration with the keys that all architectures share.
    pub(super) config: fn(&mut Config, &Keys<'_>) -> Result<(), Error>,
    /// Its tensors.
    pub(super) tensors: Names,
}

/// Names of the tensors of experts. Those of architectures without experts are empty.
pub(super) struct ExpertNames {
    /// Projection to one logit per expert.
    pub(super) router: &'static str,
    /// Prefix of the number of an expert.
    pub(super) expert: &'static str,
    /// Gate and up projection of an expert.
    pub(super) gate_up: &'static [&'static str],
    /// Down projection of an expert.
    pub(super) down: &'static str,
    /// Prefix of the expert that every token visits.
    pub(super) shared: &'static str,
    /// Projection to the logit of that expert.
    pub(super) shared_gate: &'static str,
}

impl ExpertNames {
    /// No experts.
    pub(super) const NONE: Self = Self {
        router: "",
        expert: "",
        gate_up: &[],
        down: "",
        shared: "",
        shared_gate: "",
    };
}

/// Names and layouts of the tensors of an architecture.
///
/// Names are without `.weight` and `.bias`. The name of a tensor that the architecture does not
/// have is empty.
pub(super) struct Names {
    /// Prefixes of all names but that of the head; the one in use is the first with the embedding.
    pub(super) prefixes: &'static [&'static str],
    /// Table of token embeddings.
    pub(super) embedding: &'static str,
    /// Norm of the token embeddings.
    pub(super) embedding_norm: &'static str,
    /// Table of position embeddings.
    pub(super) positions: &'static str,
    /// Prefix of the number of a layer.
    pub(super) layer: &'static str,
    /// Norm after the last layer.
    pub(super) norm: &'static str,
    /// LM head, under the first of these names that is there.
    pub(super) heads: &'static [&'static str],
    /// Norm before attention.
    pub(super) before_attention: &'static str,
    /// Norm after attention.
    pub(super) after_attention: &'static str,
    /// Norm before the MLP.
    pub(super) before_mlp: &'static str,
    /// Norm after the MLP.
    pub(super) after_mlp: &'static str,
    /// Queries, keys and values, or all three in one tensor.
    pub(super) qkv: &'static [&'static str],
    /// Norms of queries and keys.
    pub(super) qk_norm: [&'static str; 2],
    /// Output projection of attention.
    pub(super) output: &'static str,
    /// Gate and up projection, or both in one tensor; up alone without a gate.
    pub(super) gate_up: &'static [&'static str],
    /// Down projection.
    pub(super) down: &'static str,
    /// Experts in place of one MLP.
    pub(super) experts: ExpertNames,
    /// If true, matrices are stored `[inputs, outputs]`.
    pub(super) transposed: bool,
    /// If true, the tensor of queries, keys and values has each key and value behind the queries that
    /// see it.
    pub(super) head_by_head: bool,
    /// If true, the tensor of gate and up projection begins with the latter.
    pub(super) up_first: bool,
    /// If true, rows of queries and keys have the two halves of a head alternating.
    pub(super) halves_alternate: bool,
    /// If true, norms store their factors less one.
    pub(super) norms_less_one: bool,
    /// Names of norms, and those that they have if each is before one of two sublayers side by side.
    pub(super) side_by_side: &'static [(&'static str, &'static str)],
    /// Prefixes of the tensors of parts that are no text model.
    pub(super) other_parts: &'static [&'static str],
    /// Tensors of a layer, by full name, that follow from the configuration.
    pub(super) derived: &'static [&'static str],
    /// Tensors of a layer, by full name, that follow from the configuration if their shape is that
    /// of a mask, `[1, 1, n, n]`, or of its fill value.
    pub(super) masks: &'static [&'static str],
}
