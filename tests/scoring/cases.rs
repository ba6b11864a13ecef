//! Files that people have, each with the values that the reference programs give.
//!
//! `tests/data/cases/README.md` says where the inputs come from.

use crate::common::{self, folder::Folder};

use std::fs;
use std::path::PathBuf;

use relscale::Error;
use relscale::backend::Reference;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Evaluation, Settings};
use relscale::log::{Key, Log, Table, checkpoint_hash};
use relscale::model::{Batch, Model, Transformer};
use relscale::scorer::{NatsPerToken, Warning};
use relscale::tokenizer::Tokenizer;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The path of an input.
fn case(path: &str) -> PathBuf {
    let cases = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    cases.join(path)
}

impl Folder {
    /// A copy of an untied Llama.
    fn llama() -> Self {
        let folder = Self::new();
        for file in [SINGLE, "config.json"] {
            let from = common::fixture("checkpoints/llama-plain").join(file);
            fs::copy(from, folder.file(file)).unwrap();
        }
        folder
    }

    fn config(&self, change: impl FnOnce(&mut Value)) {
        let path = self.file("config.json");
        let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    /// Writes the tensors again, each under the names that `rename` gives it.
    fn rename(&self, rename: impl Fn(&str) -> Vec<String>) {
        let bytes = fs::read(self.file(SINGLE)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut renamed = Vec::new();
        for (name, view) in tensors.tensors() {
            for name in rename(&name) {
                renamed.push((name, view.clone()));
            }
        }
        fs::write(
            self.file(SINGLE),
            safetensors::serialize(renamed, None).unwrap(),
        )
        .unwrap();
    }

    /// Adds a tensor.
    fn add(&self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = fs::read(self.file(SINGLE)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let added = TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap();
        let mut all: Vec<(String, TensorView<'_>)> = tensors.tensors();
        all.push((name.to_owned(), added));
        let whole = safetensors::serialize(all, None).unwrap();
        fs::write(self.file(SINGLE), whole).unwrap();
    }

    fn load(&self) -> Result<Transformer<Reference<f64>>, Error> {
        Transformer::load(self.path(), Reference::<f64>::new())
    }

    /// The log-likelihoods of a few tokens, and the warnings.
    fn answers(&self) -> (Vec<f64>, Vec<String>) {
        answers(&self.load().unwrap())
    }

    fn error(&self) -> String {
        self.load().err().unwrap().to_string()
    }
}

fn answers(model: &impl Model) -> (Vec<f64>, Vec<String>) {
    let mut batch = Batch::new();
    common::rolling(&mut batch, &[5, 6, 7, 8, 9, 10]);
    let nats = model.log_likelihoods(&batch).unwrap();
    (nats, model.warnings().to_vec())
}

#[test]
fn a_stored_head_that_differs_is_used_although_the_configuration_ties_it() {
    let untied = Folder::llama().answers();
    assert_eq!(untied.1, [""; 0]);
    let folder = Folder::llama();
    folder.config(|config| config["tie_word_embeddings"] = json!(true));
    let (nats, warnings) = folder.answers();
    assert_eq!(nats, untied.0);
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert!(warning.contains("lm_head.weight differs"), "{warning}");
    assert!(!folder.load().unwrap().config().tie_word_embeddings);
    // The head is in memory, too.
    let bytes = |folder: &Folder| {
        let estimate = Transformer::memory_estimate(folder.path(), &Reference::<f32>::new(), 16);
        estimate.unwrap().weights
    };
    assert_eq!(bytes(&folder), bytes(&Folder::llama()));

    // A stored copy of the embedding table is no finding, and is not kept twice.
    folder.rename(|name| match name {
        "lm_head.weight" => vec![],
        "model.embed_tokens.weight" => vec![name.to_owned(), "lm_head.weight".to_owned()],
        _ => vec![name.to_owned()],
    });
    let (copied, warnings) = folder.answers();
    assert_eq!(warnings, [""; 0]);
    assert!(bytes(&folder) < bytes(&Folder::llama()));
    folder.rename(|name| match name {
        "lm_head.weight" => vec![],
        _ => vec![name.to_owned()],
    });
    assert_eq!(folder.answers(), (copied.clone(), vec![]));
    assert!(copied.iter().zip(&nats).all(|(a, b)| (a - b).abs() > 1e-6));
}

#[test]
fn the_whole_file_is_read_before_an_index_that_was_left_behind() {
    let untied = Folder::llama().answers();
    let folder = Folder::llama();
    let index = r#"{"weight_map": {"lm_head.weight": "model-00001-of-00012.safetensors"}}"#;
    folder.write(INDEX, index);
    let (nats, warnings) = folder.answers();
    assert_eq!(nats, untied.0);
    assert!(
        warnings.len() == 1 && warnings[0].contains(INDEX),
        "{warnings:?}"
    );
}

#[test]
fn the_kind_of_model_decides_where_no_class_is_named() {
    let untied = Folder::llama().answers();
    let folder = Folder::llama();
    for missing in [None, Some(json!(null)), Some(json!([]))] {
        folder.config(|config| match missing {
            None => drop(config.as_object_mut().unwrap().remove("architectures")),
            Some(value) => config["architectures"] = value,
        });
        assert_eq!(folder.answers(), untied);
    }
    folder.config(|config| config["model_type"] = json!("mamba"));
    let error = folder.error();
    assert!(
        error.contains("model_type") && error.contains("mamba"),
        "{error}"
    );
    folder.config(|config| drop(config.as_object_mut().unwrap().remove("model_type")));
    assert!(folder.error().contains("architectures"));
}

#[test]
fn names_of_wrappers_and_bare_names_are_those_of_the_model() {
    let untied = Folder::llama().answers();
    type Rename = fn(&str) -> String;
    let renames: [Rename; 5] = [
        |name| name.strip_prefix("model.").unwrap_or(name).to_owned(),
        |name| format!("_orig_mod.{name}"),
        |name| format!("module.{name}"),
        |name| format!("module._orig_mod.{name}"),
        |name| name.replace("layers.", "_orig_mod.layers."),
    ];
    for rename in renames {
        let folder = Folder::llama();
        folder.rename(|name| vec![rename(name)]);
        assert_eq!(folder.answers(), untied);
    }
    let folder = Folder::llama();
    folder.rename(|name| vec![name.to_owned(), format!("module.{name}")]);
    assert!(
        folder.error().contains("is there twice"),
        "{}",
        folder.error()
    );
}

#[test]
fn buffers_that_follow_from_the_configuration_are_left_out() {
    let untied = Folder::llama().answers();
    let folder = Folder::llama();
    for name in [
        "model.rotary_emb.inv_freq",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
    ] {
        folder.add(name, &[4], &[1.0, 0.1, 0.01, 0.001]);
    }
    assert_eq!(folder.answers(), untied);
    folder.add("model.rotary_emb.other", &[4], &[1.0; 4]);
    assert!(folder.error().contains("is not part of"));
}

#[test]
fn weights_of_other_kinds_are_named_with_a_way_out() {
    let folder = Folder::llama();
    folder.write("adapter_config.json", "{}");
    let warnings = folder.answers().1;
    assert!(warnings[0].contains("not applied"), "{warnings:?}");
    let named = |files: &[&str], words: [&str; 2]| {
        let folder = Folder::llama();
        fs::remove_file(folder.file(SINGLE)).unwrap();
        files.iter().for_each(|file| drop(folder.write(file, "{}")));
        let error = folder.error();
        for word in words {
            assert!(error.contains(word), "{error} does not name {word}");
        }
    };
    let adapter = "adapter_config.json";
    named(
        &[adapter, "adapter_model.safetensors"],
        [adapter, "peft_type"],
    );
    named(
        &["consolidated.safetensors"],
        ["consolidated.safetensors", "layout of transformers"],
    );
    let shard = "model-00001-of-00002.safetensors";
    named(&[shard, "model-00002-of-00002.safetensors"], [shard, INDEX]);
    named(&["weights.safetensors"], ["weights.safetensors", "rename"]);
    for file in ["model.bin", "model.pt", "model.pth", "last.ckpt"] {
        named(&[file], [file, "rename it to pytorch_model.bin"]);
    }
    let shard = "pytorch_model-00001-of-00002.bin";
    named(&[shard], [shard, "rename"]);
    named(
        &[
            shard,
            "pytorch_model-00002-of-00002.bin",
            "training_args.bin",
        ],
        [shard, "without pytorch_model.bin.index.json"],
    );
    named(
        &["consolidated.00.pth"],
        ["consolidated.00.pth", "layout of transformers"],
    );
    named(&["training_args.bin", "optimizer.pt"], [SINGLE, "GGUF"]);
    named(&[], [SINGLE, "GGUF"]);

    let folder = Folder::llama();
    folder.rename(|name| vec![name.replace("q_proj.weight", "q_proj.qweight")]);
    let error = folder.error();
    assert!(
        error.contains("q_proj.qweight") && error.contains("GPTQ"),
        "{error}"
    );
    let folder = Folder::llama();
    folder.config(|config| config["quantization_config"] = json!({"quant_method": "awq"}));
    let error = folder.error();
    assert!(
        error.contains("awq") && error.contains("was quantised"),
        "{error}"
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let items = Items::from_jsonl(case("bom.jsonl")).unwrap();
    assert_eq!((items.len(), items.item(0).unwrap().id.as_str()), (1, "a"));

    let untied = Folder::llama().answers();
    let folder = Folder::llama();
    let marked = |path: PathBuf| format!("\u{feff}{}", fs::read_to_string(path).unwrap());
    let config = marked(folder.file("config.json"));
    folder.write("config.json", config);
    assert_eq!(folder.answers(), untied);
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        folder.write(file, marked(case("special_tokens").join(file)));
    }
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(tokenizer.bos(), Some(0));
}

#[test]
fn a_file_without_items_is_refused() {
    let folder = Folder::new();
    for text in ["", "\n\n", "\u{feff}"] {
        let path = folder.write("items.jsonl", text);
        let error = Items::from_jsonl(&path).unwrap_err().to_string();
        assert!(error.contains("no items"), "{error}");
    }
}

/// Every token equally likely.
struct Uniform;

impl Model for Uniform {
    fn vocab_size(&self) -> usize {
        700
    }

    fn context_len(&self) -> usize {
        512
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        Ok(vec![-1.0; batch.targets().len()])
    }
}

#[test]
fn bytes_are_those_of_the_tokens_where_they_split_characters() {
    let tokenizer = Tokenizer::load(case("split_char")).unwrap();
    let items = Items::from_jsonl(case("split_char/split_char.jsonl")).unwrap();
    let evaluation = Evaluation::new(&Uniform).tokenizer(&tokenizer);
    let answers = evaluation.log_likelihoods(&items).unwrap();
    let bytes: Vec<_> = answers.iter().map(|a| a.sequences[0].bytes).collect();
    assert_eq!(bytes, [Some(50), Some(18)]);
}

#[test]
fn a_choice_that_begins_inside_a_character_has_a_warning() {
    // `中` and `丰` share their first two bytes; the merged pair of `b8 ad` is the second token.
    let json = r#"{"version": "1.0", "normalizer": null, "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
            "byte_fallback": false, "vocab": {"a": 0, "ä": 1, "¸": 2, "Ń": 3, "Ńa": 4},
            "merges": [["Ń", "a"]]}}"#;
    let folder = Folder::new();
    folder.write("tokenizer.json", json);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(tokenizer.encode("中a").unwrap().tokens, [1, 2, 4]);
    assert_eq!(tokenizer.encode("中a").unwrap().first_token_bytes, 1);
    let pair = tokenizer.encode_pair("中", "a").unwrap();
    assert_eq!((pair.context, pair.continuation), (vec![1, 2], vec![4]));
    assert_eq!((pair.bytes, pair.spanned), (2, 1));
    let item = Item {
        id: "q".to_owned(),
        cluster: "q".to_owned(),
        content: Content::Choices {
            context: "中".to_owned(),
            choices: vec!["a".to_owned()],
            gold: 0,
            unconditional: None,
        },
    };
    let items = Items::new("questions", vec![item]).unwrap();
    let evaluation = Evaluation::new(&Uniform).tokenizer(&tokenizer);
    let answers = evaluation.log_likelihoods(&items).unwrap();
    let warning = Warning::TokenSpansCut {
        choice: 0,
        bytes: 1,
    };
    assert_eq!(answers[0].warnings, [warning]);
}

#[test]
fn special_tokens_in_a_text_are_tokens_on_request_and_a_warning_without_it() {
    let tokenizer = Tokenizer::load(case("special_tokens")).unwrap();
    let items = Items::from_jsonl(case("special_tokens/special_token_text.jsonl")).unwrap();
    let of = |tokenizer: &Tokenizer, items: &Items| {
        let evaluation = Evaluation::new(&Uniform).tokenizer(tokenizer);
        let answer = evaluation.log_likelihoods(items).unwrap().remove(0);
        // All tokens but the first.
        (answer.sequences[0].log_likelihoods.len(), answer.warnings)
    };
    let warning = Warning::SpecialTokenAsText { token: 3 };
    assert_eq!(of(&tokenizer, &items), (23, vec![warning]));
    let plain = Content::Text("doc <one> |endoftext| < / s >".to_owned());
    let item = |content| Item {
        id: "a".to_owned(),
        cluster: "a".to_owned(),
        content,
    };
    let plain = Items::new("plain", vec![item(plain)]).unwrap();
    assert_eq!(of(&tokenizer, &plain).1, []);
    let choices = Items::new(
        "choices",
        vec![item(Content::Choices {
            context: "doc".to_owned(),
            choices: vec![" one".to_owned(), " two</s>".to_owned()],
            gold: 0,
            unconditional: None,
        })],
    );
    let warning = Warning::SpecialTokenAsText { token: 1 };
    assert_eq!(of(&tokenizer, &choices.unwrap()).1, [warning]);
    let parsed = tokenizer.with_special_tokens_parsed(true);
    assert_eq!(of(&parsed, &items), (12, vec![]));
}

#[test]
fn a_flag_against_the_post_processor_is_a_warning() {
    let folder = Folder::new();
    let json = fs::read_to_string(case("special_tokens/tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    let mut warnings = |processor: bool, settings: Value| {
        json["post_processor"] = match processor {
            false => json!(null),
            true => json!({"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}),
        };
        folder.write("tokenizer.json", json.to_string());
        folder.write("tokenizer_config.json", settings.to_string());
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        (tokenizer.adds_bos(), tokenizer.warnings().join("; "))
    };
    let settings = |added: Option<bool>| match added {
        None => json!({"bos_token": "<s>"}),
        Some(added) => json!({"bos_token": "<s>", "add_bos_token": added}),
    };
    for (processor, flag, adds, word) in [
        (false, None, false, ""),
        (false, Some(false), false, ""),
        (true, None, true, ""),
        (true, Some(true), true, ""),
        (false, Some(true), true, "add_bos_token true"),
        (true, Some(false), false, "add_bos_token false"),
    ] {
        let (added, warning) = warnings(processor, settings(flag));
        assert_eq!(added, adds);
        assert_eq!(word.is_empty(), warning.is_empty(), "{warning}");
        assert!(warning.contains(word), "{warning}");
    }
    // The processor's token is another, or the settings name none.
    let (added, warning) = warnings(true, json!({"bos_token": "</s>"}));
    assert!(!added && warning.contains("token 0"), "{warning}");
    let (added, warning) = warnings(false, json!({"bos_token": ""}));
    assert!(!added && warning.contains("empty"), "{warning}");
}

#[test]
fn tokenizers_of_other_kinds_are_named_with_a_way_out() {
    for files in [
        &["tekken.json"][..],
        &["vocab.txt"],
        &["vocab.json"],
        &["merges.txt"],
        &["sentencepiece.bpe.model"],
    ] {
        let folder = Folder::new();
        files.iter().for_each(|file| drop(folder.write(file, "{}")));
        let error = Tokenizer::load(folder.path()).unwrap_err().to_string();
        assert!(files.iter().all(|file| error.contains(file)), "{error}");
        assert!(error.contains("save_pretrained"), "{error}");
    }
}

#[test]
fn findings_about_the_model_stand_in_the_log() {
    let folder = Folder::llama();
    folder.config(|config| config["tie_word_embeddings"] = json!(true));
    let model = folder.load().unwrap();
    let item = |id: &str| Item {
        id: id.to_owned(),
        cluster: id.to_owned(),
        content: Content::Tokens(vec![5, 6, 7]),
    };
    let items = Items::new("tokens", vec![item("a"), item("b")]).unwrap();
    let evaluation = Evaluation::new(&model).scorers(&[&NatsPerToken]);
    let hash = checkpoint_hash(folder.path()).unwrap();
    let settings = Settings::default();
    let key = Key::new(hash, "reference f64", &items, &[&NatsPerToken], &settings).unwrap();
    let path = folder.file("log.jsonl");
    let mut log = Log::open(&path, &key).unwrap();
    log.score(&evaluation, &items).unwrap();
    drop(log);
    let table = Table::read(&path).unwrap();
    let wanted: Vec<String> = evaluation.warnings();
    assert_eq!(wanted.len(), 1);
    assert!(table.warnings().iter().eq(&wanted));
    assert_eq!(table.records().len(), 2);

    // Once, however often the log is opened; and still after its records were put in order.
    let mut log = Log::open(&path, &key).unwrap();
    log.score(&evaluation, &items).unwrap();
    log.compact().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("lm_head.weight differs").count(), 1);
    assert_eq!(Table::read(&path).unwrap(), table);
}
