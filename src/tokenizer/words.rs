//! Words of byte-level tokenizers, by the name that a GGUF file has for them.

/// Words of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Words of `cl100k_base` and Llama 3: numbers of up to three digits.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words of Qwen2: as of Llama 3, but with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A pre-tokenizer: it cuts a text into words, within which pairs are merged.
pub(super) struct Pre {
    /// Names of the pre-tokenizer in files.
    pub(super) names: &'static [&'static str],
    /// Expressions of the words, applied one after the other.
    pub(super) expressions: &'static [&'static str],
    /// If true, texts are composed (NFC) first.
    pub(super) composed: bool,
    /// If true, a word that is a token stays whole, whatever the merges.
    pub(super) ignore_merges: bool,
    /// If true, texts begin with the beginning-of-sequence token unless the file says otherwise.
    pub(super) adds_bos: bool,
}

const PLAIN: Pre = Pre {
    names: &[],
    expressions: &[],
    composed: false,
    ignore_merges: false,
    adds_bos: false,
};

/// All that are supported.
pub(super) const PRES: &[Pre] = &[
    Pre {
        names: &["gpt-2"],
        expressions: &[GPT2],
        ..PLAIN
    },
    Pre {
        names: &["olmo"],
        expressions: &[GPT2],
        composed: true,
        ..PLAIN
    },
    Pre {
        names: &["smollm", "starcoder", "refact", "command-r"],
        expressions: &[r"\p{N}", GPT2],
        ..PLAIN
    },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3"],
        expressions: &[LLAMA3],
        ignore_merges: true,
        adds_bos: true,
        ..PLAIN
    },
    Pre {
        names: &["dbrx"],
        expressions: &[LLAMA3],
        ..PLAIN
    },
    Pre {
        names: &["qwen2"],
        expressions: &[QWEN2],
        composed: true,
        ..PLAIN
    },
    // The words of llama.cpp where the writer did not know the tokenizer.
    Pre {
        names: &["default"],
        expressions: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ..PLAIN
    },
];
