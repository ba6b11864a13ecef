//! Tokenizers of checkpoint folders without `tokenizer.json`: `vocab.json` with `merges.txt`,
//! SentencePiece models, tiktoken files and Mistral's `tekken.json`.
//!
//! The class that the folder names decides how a text is cut, because these files do not record it.
//! Each becomes the pipeline that `transformers` 5 builds for the class, as a tokenizer of the
//! `tokenizers` library.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::bos::{self, BosToken, Own, TOKENIZER_CONFIG, field_error, settings};
use super::charsmap::Charsmap;
use super::load::Built;
use super::{added_tokens, library};
use crate::error::Error;
use added::Added;

mod added;
mod sentence_piece_model;
mod tekken;
mod tiktoken;
mod vocab_merges;
mod wire;

/// A tokenizer that was read from such files.
pub(super) struct Found {
    /// The file with the vocabulary.
    pub(super) path: PathBuf,
    /// The tokenizer as the `tokenizers` library reads it.
    pub(super) json: Json,
    /// The beginning-of-sequence token where no settings have one.
    pub(super) bos: Option<u32>,
    /// If true, texts begin with that token unless the settings say otherwise.
    pub(super) adds_bos: bool,
    /// The table by which a text is normalised before anything else.
    pub(super) charsmap: Option<Charsmap>,
    pub(super) warnings: Vec<String>,
}

impl Found {
    /// The tokenizer with its settings.
    pub(super) fn build(self, dir: &Path, config: &Json) -> Result<Built, Error> {
        let path = self.path;
        added_tokens::check(&path, &self.json["added_tokens"], &self.json["normalizer"])?;
        let model = &self.json["model"];
        let unknown = match &model["unk_id"] {
            Json::Null => model["unk_token"].clone(),
            id => id.clone(),
        };
        let bytes = serde_json::to_vec(&self.json).map_err(|e| Error::format(&path, e))?;
        // Tree and text of a large vocabulary are tens of megabytes each.
        drop(self.json);
        let tokenizer = library::read(&path, &bytes)?;
        let mut warnings = self.warnings;
        let own = Own {
            token: self.bos,
            added: match self.adds_bos {
                true => bos::Added::Always,
                false => bos::Added::IfFirst(None),
            },
        };
        let id = |name: &str| tokenizer.token_to_id(name);
        let bos = BosToken::of_checkpoint(dir, config, &id, own, &mut warnings)?;
        if bos.added && config["add_bos_token"].is_null() {
            warnings.push(format!(
                "{TOKENIZER_CONFIG} does not say whether texts begin with the \
                 beginning-of-sequence token; they do, as in training; transformers 5 adds none \
                 without add_bos_token"
            ));
        }
        Ok(Built {
            path,
            bos,
            charsmap: self.charsmap,
            unknown: library::unknown(&unknown, &tokenizer),
            tokenizer,
            warnings,
        })
    }
}

/// The classes of tokenizers whose pipelines are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// GPT-2, and OPT, GPT-J, Phi: byte-level pairs in the words of GPT-2.
    Gpt2,
    /// GPT-NeoX, and OLMo: the same on composed texts (NFC).
    NeoX,
    /// Qwen 2 and 3: byte-level pairs in words with single digits.
    Qwen2,
    /// Qwen 1, which differs from Qwen 2 in its files and special tokens.
    Qwen,
    Llama,
    Gemma,
    T5,
    /// None is named: a SentencePiece model has rules of its own.
    Unnamed,
}

/// The settings of a folder about its tokenizer.
struct Settings<'a> {
    dir: &'a Path,
    /// `tokenizer_config.json`.
    config: &'a Json,
    class: Class,
    /// `model_type` of `config.json`.
    model: String,
}

/// The tokenizer of a folder; `None` if it has none of these files.
///
/// # Errors
/// A class that is not supported, or a file that cannot be used.
pub(super) fn tokenizer(dir: &Path, config: &Json) -> Result<Option<Found>, Error> {
    let file = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
    if let Some(path) = file(tekken::FILE) {
        // It says all by itself, and `mistral-common` takes it before other files.
        return tekken::tokenizer(&path).map(Some);
    }
    let pairs = file("vocab.json").zip(file("merges.txt"));
    let model = file("tokenizer.model").or_else(|| file("spiece.model"));
    let ranks = tiktoken_file(dir)?;
    if pairs.is_none() && model.is_none() && ranks.is_none() {
        return Ok(None);
    }
    let settings = Settings::of(dir, config)?;
    let byte_level = matches!(settings.class, Class::Gpt2 | Class::NeoX | Class::Qwen2);
    if let Some((vocabulary, merges)) = pairs {
        if byte_level {
            return vocab_merges::tokenizer(&settings, &vocabulary, &merges).map(Some);
        }
        if model.is_none() && ranks.is_none() {
            return Err(settings.refused("vocab.json and merges.txt"));
        }
    }
    if let Some(path) = ranks {
        return tiktoken::tokenizer(&settings, &path).map(Some);
    }
    match model {
        // Llama 3 has its tiktoken file under the name of SentencePiece's.
        Some(path) if tiktoken::is_ranks(&path)? => tiktoken::tokenizer(&settings, &path).map(Some),
        Some(path) if !byte_level => sentence_piece_model::tokenizer(&settings, &path).map(Some),
        Some(_) => Err(settings.refused("a SentencePiece model")),
        None => Err(settings.refused("vocab.json and merges.txt")),
    }
}

/// The only `.tiktoken` file of a folder.
fn tiktoken_file(dir: &Path) -> Result<Option<PathBuf>, Error> {
    // A GGUF file stands in place of a folder.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "tiktoken"))
        .collect();
    found.sort();
    if let [a, b, ..] = &found[..] {
        let message = format!("there is {} too; leave one of them", b.display());
        return Err(Error::format(a, message));
    }
    Ok(found.pop())
}

impl<'a> Settings<'a> {
    fn of(dir: &'a Path, config: &'a Json) -> Result<Self, Error> {
        let model = settings(&dir.join("config.json"))?;
        let named = |value: &Json| value["tokenizer_class"].as_str().map(str::to_owned);
        let model_type = model["model_type"].as_str().unwrap_or_default().to_owned();
        let class = match (named(config), named(&model)) {
            (Some(class), _) => Class::named(&class, &model_type)
                .ok_or_else(|| unknown_class(dir.join(TOKENIZER_CONFIG), &class))?,
            (None, Some(class)) => Class::named(&class, &model_type)
                .ok_or_else(|| unknown_class(dir.join("config.json"), &class))?,
            (None, None) => Class::of_model(&model_type),
        };
        Ok(Self {
            dir,
            config,
            class,
            model: model_type,
        })
    }

    /// The error about files that the class does not explain.
    fn refused(&self, files: &str) -> Error {
        let class = match self.class {
            Class::Unnamed => "no tokenizer_class that is known".to_owned(),
            class => format!("the tokenizer class {class:?}"),
        };
        let model = match self.model.as_str() {
            "" => String::new(),
            model => format!(" and the model_type `{model}`"),
        };
        let message = format!(
            "has {files}, with {class}{model}, which does not say how texts are cut into words; {}",
            remedy(self.dir)
        );
        Error::format(self.dir, message)
    }

    /// A true or false of `tokenizer_config.json`.
    fn flag(&self, field: &str) -> Result<Option<bool>, Error> {
        match &self.config[field] {
            Json::Null => Ok(None),
            Json::Bool(flag) => Ok(Some(*flag)),
            other => {
                let path = self.dir.join(TOKENIZER_CONFIG);
                let message = format!("{other} is neither true nor false");
                Err(field_error(path, field, message))
            }
        }
    }

    /// Completes a pipeline: adds the tokens that the settings name to it.
    ///
    /// `ids` finds a token of the vocabulary at `path`, and `count` is the number of tokens in it.
    fn found(
        &self,
        path: &Path,
        mut json: Json,
        added: Added,
        ids: &dyn Fn(&str) -> Option<u32>,
        taken: &dyn Fn(u32) -> bool,
        count: usize,
    ) -> Result<Found, Error> {
        json["version"] = json!("1.0");
        json["added_tokens"] = added.json(ids, taken, count)?;
        let sentence_piece = matches!(self.class, Class::Llama | Class::Gemma);
        Ok(Found {
            path: path.to_owned(),
            json,
            bos: self.class.special("bos_token").and_then(ids),
            adds_bos: sentence_piece,
            charsmap: None,
            warnings: Vec::new(),
        })
    }
}

impl Class {
    /// The class of a name in the settings; `None` if it is not supported.
    fn named(class: &str, model: &str) -> Option<Self> {
        match class.strip_suffix("Fast").unwrap_or(class) {
            "GPT2Tokenizer" | "CodeGenTokenizer" => Some(Self::Gpt2),
            "GPTNeoXTokenizer" => Some(Self::NeoX),
            "Qwen2Tokenizer" => Some(Self::Qwen2),
            "QWenTokenizer" => Some(Self::Qwen),
            "LlamaTokenizer" | "CodeLlamaTokenizer" => Some(Self::Llama),
            "GemmaTokenizer" => Some(Self::Gemma),
            "T5Tokenizer" => Some(Self::T5),
            "PreTrainedTokenizer" | "TokenizersBackend" => Some(Self::of_model(model)),
            _ => None,
        }
    }

    /// The class that `transformers` takes for a `model_type` where none is named.
    fn of_model(model: &str) -> Self {
        match model {
            "gpt2" | "gpt_neo" | "gptj" | "opt" | "phi" | "starcoder2" => Self::Gpt2,
            "gpt_neox" | "olmo" | "olmoe" => Self::NeoX,
            "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" => Self::Qwen2,
            "qwen" => Self::Qwen,
            "gemma" | "gemma2" | "gemma3" | "gemma3_text" => Self::Gemma,
            _ => Self::Unnamed,
        }
    }

    /// The special token that the class has where the settings name none.
    fn special(self, field: &str) -> Option<&'static str> {
        match (self, field) {
            (Self::Gpt2 | Self::NeoX, "bos_token" | "eos_token" | "unk_token")
            | (Self::Qwen2, "eos_token" | "unk_token" | "pad_token") => Some("<|endoftext|>"),
            (Self::NeoX, "pad_token") => Some("<|padding|>"),
            (Self::Llama, "bos_token") => Some("<s>"),
            (Self::Llama | Self::T5, "eos_token") => Some("</s>"),
            (Self::Llama | Self::Gemma | Self::T5, "unk_token") => Some("<unk>"),
            (Self::Gemma, "bos_token") => Some("<bos>"),
            (Self::Gemma, "eos_token") => Some("<eos>"),
            (Self::Gemma | Self::T5, "pad_token") => Some("<pad>"),
            (Self::Gemma, "mask_token") => Some("<mask>"),
            _ => None,
        }
    }
}

fn unknown_class(path: PathBuf, class: &str) -> Error {
    let dir = path.parent().unwrap_or(&path);
    let message = format!(
        "`{class}` is not supported without a tokenizer.json; supported: GPT2Tokenizer, \
         GPTNeoXTokenizer, Qwen2Tokenizer, QWenTokenizer, LlamaTokenizer, GemmaTokenizer, \
         T5Tokenizer; {}",
        remedy(dir)
    );
    field_error(path, "tokenizer_class", message)
}

/// The way out for a tokenizer that is not read.
pub(super) fn remedy(dir: &Path) -> String {
    format!(
        "write a tokenizer.json with python -c \"from transformers import AutoTokenizer as T; \
         T.from_pretrained('{0}').save_pretrained('{0}')\"",
        dir.display()
    )
}

/// The start of a text of a file, for messages.
fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and more", &text[..end]),
    }
}
