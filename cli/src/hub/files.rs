//! The files of a checkpoint that are read.

use std::collections::BTreeSet;
use std::path::Path;

use relscale::checkpoint::describes_model;
use relscale::{Error, input};
use serde::Deserialize;

use crate::json;

/// The files of a checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) commit: String,
    /// Names of the files, with their folders in the repository.
    pub(super) names: Vec<String>,
    /// If true, these are the files in the cache, and none is to be downloaded.
    pub(super) is_local: bool,
}

/// Weights of a whole model, in the order in which they are preferred: the first that is there is read.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    SAFETENSORS_INDEX,
    "pytorch_model.bin",
    TORCH_INDEX,
];
const SAFETENSORS_INDEX: &str = "model.safetensors.index.json";
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// Configuration of a LoRA adapter.
const ADAPTER: &str = "adapter_config.json";

/// Weights of an adapter, in the order in which they are preferred.
const ADAPTER_WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

impl Listing {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    /// The files that are read, but for the shards that an index names ([`shards`]). With `file`, those of
    /// this model.
    ///
    /// # Errors
    /// No weights that are read, or several files of which one would have to be chosen.
    pub(super) fn wanted(&self, file: Option<&str>) -> Result<Vec<String>, String> {
        if let Some(file) = file {
            return self.gguf_of(file);
        }
        let mut wanted: Vec<String> = Vec::new();
        let here = |names: &[&str]| -> Vec<String> {
            let there = names.iter().filter(|name| self.has(name));
            there.map(|name| (*name).to_owned()).collect()
        };
        let has_json = self.has("tokenizer.json");
        let described = |name: &&String| describes_model(name, has_json);
        wanted.extend(self.names.iter().filter(described).cloned());
        if let Some(weights) = here(&WEIGHTS).into_iter().next() {
            wanted.push(weights);
        } else if self.has(ADAPTER) {
            let weights = here(&ADAPTER_WEIGHTS).into_iter().next();
            wanted.push(ADAPTER.to_owned());
            wanted
                .push(weights.ok_or("has adapter_config.json, and no adapter_model.safetensors")?);
        } else {
            wanted.extend(self.gguf()?);
        }
        Ok(wanted)
    }

    fn gguf_files(&self) -> Vec<String> {
        let is_gguf = |name: &&String| name.ends_with(".gguf") && !name.contains('/');
        self.names.iter().filter(is_gguf).cloned().collect()
    }

    /// A GGUF file with the others of its split model.
    fn gguf_of(&self, file: &str) -> Result<Vec<String>, String> {
        let files = self.gguf_files();
        if !files.iter().any(|name| name == file) {
            return Err(match files.len() {
                0 => format!("has no {file}"),
                _ => format!("has no {file}, but {}", files.join(", ")),
            });
        }
        let model = split_model(file);
        let same = |name: &String| name == file || model.is_some() && split_model(name) == model;
        Ok(files.into_iter().filter(same).collect())
    }

    /// The one GGUF file, or the files of one split model.
    fn gguf(&self) -> Result<Vec<String>, String> {
        let files = self.gguf_files();
        let models: BTreeSet<Option<&str>> = files.iter().map(|name| split_model(name)).collect();
        match (files.len(), models.len()) {
            (0, _) => Err("has no weights that are read: neither model.safetensors, \
                           pytorch_model.bin, their indexes nor a .gguf file"
                .to_owned()),
            (1, _) => Ok(files),
            (_, 1) if !models.contains(&None) => Ok(files),
            _ => Err(format!(
                "has several models: {}; write the file behind the address, as hf://ORG/NAME@REVISION/FILE",
                files.join(", ")
            )),
        }
    }

    /// These names, each of which must be there.
    ///
    /// # Errors
    /// The first that is not.
    pub(super) fn with(&self, names: &[String]) -> Result<Vec<String>, String> {
        match names.iter().find(|name| !self.has(name)) {
            None => Ok(names.to_vec()),
            Some(name) => Err(format!("has no {name}")),
        }
    }

    /// True for a LoRA adapter without a whole model beside it.
    pub(super) fn is_adapter(&self) -> bool {
        self.has(ADAPTER) && !WEIGHTS.iter().any(|name| self.has(name))
    }
}

/// The model of `NAME-00001-of-00003.gguf`.
fn split_model(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".gguf")?;
    let (rest, _) = stem.rsplit_once("-of-")?;
    Some(rest.rsplit_once('-')?.0)
}

/// The index of weights in several files.
#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The files that the index among `wanted` names, if there is one, once the index is in `folder`.
///
/// # Errors
/// An index that is malformed or names files elsewhere.
pub(super) fn shards(folder: &Path, wanted: &[String]) -> Result<Option<Vec<String>>, Error> {
    let is_index = |name: &&String| [SAFETENSORS_INDEX, TORCH_INDEX].contains(&name.as_str());
    let Some(index) = wanted.iter().find(is_index) else {
        return Ok(None);
    };
    let path = folder.join(index);
    let text = input::text(&path, json::SETTINGS).map_err(|e| Error::io(&path, e))?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|e| Error::format(&path, e))?;
    let files: BTreeSet<String> = weight_map.into_values().collect();
    if let Some(outside) = files.iter().find(|name| name.contains(['/', '\\'])) {
        let message = format!("names `{outside}`, which is not beside it");
        return Err(Error::format(path, message));
    }
    Ok(Some(files.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> Result<Vec<String>, String> {
        wanted_of(names, None)
    }

    fn wanted_of(names: &[&str], file: Option<&str>) -> Result<Vec<String>, String> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let listing = Listing {
            commit: "0".repeat(40),
            names,
            is_local: false,
        };
        listing.wanted(file)
    }

    #[test]
    fn only_what_is_read_is_wanted() {
        let of = |names: &[&str]| wanted(names).unwrap();
        assert_eq!(
            of(&[
                "README.md",
                "config.json",
                "consolidated.safetensors",
                "flax_model.msgpack",
                "generation_config.json",
                "merges.txt",
                "model.safetensors",
                "onnx/model.onnx",
                "pytorch_model.bin",
                "tokenizer.json",
                "vocab.json",
            ]),
            ["config.json", "tokenizer.json", "model.safetensors"]
        );
        assert_eq!(
            of(&[
                "config.json",
                "merges.txt",
                "vocab.json",
                "pytorch_model.bin.index.json"
            ]),
            [
                "config.json",
                "merges.txt",
                "vocab.json",
                "pytorch_model.bin.index.json"
            ]
        );
        assert_eq!(
            of(&["adapter_config.json", "adapter_model.bin"]),
            ["adapter_config.json", "adapter_model.bin"]
        );
        let split = ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"];
        assert_eq!(of(&split), split);
        assert_eq!(of(&["a.gguf", "sub/b.gguf"]), ["a.gguf"]);
    }

    #[test]
    fn one_model_of_several_is_named_by_its_file() {
        let names = [
            "a-q4.gguf",
            "a-q8-00001-of-00002.gguf",
            "a-q8-00002-of-00002.gguf",
            "config.json",
        ];
        assert_eq!(wanted_of(&names, Some(names[0])).unwrap(), names[..1]);
        assert_eq!(wanted_of(&names, Some(names[1])).unwrap(), names[1..3]);
        let message = wanted_of(&names, Some("b.gguf")).unwrap_err();
        assert!(message.contains("but a-q4.gguf, "), "{message}");
    }

    #[test]
    fn no_weights_or_a_choice_of_them_is_refused() {
        for (names, part) in [
            (
                &["config.json", "model.onnx"][..],
                "no weights that are read",
            ),
            (
                &["a-q4.gguf", "a-q8.gguf"][..],
                "several models: a-q4.gguf, a-q8.gguf",
            ),
            (&["adapter_config.json"][..], "no adapter_model.safetensors"),
        ] {
            let message = wanted(names).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
