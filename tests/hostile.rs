//! Files from strangers: whatever they hold, they load or are refused with an error that names
//! them, and never make us allocate more than a multiple of their own size.
//!
//! `docs/hostile-input.md` lists the attacks with the tests that hold them off; here are those
//! that are about memory, and about the language that a `tokenizer.json` is.

#[path = "common/bounded.rs"]
mod bounded;
mod common;

use std::fs;
use std::path::Path;

use bounded::{MEMORY, alone, bounded, hostile_lines, repeated};
use common::folder::Folder;
use relscale::Error;
use relscale::backend::Reference;
use relscale::distribution::Items;
use relscale::evaluate::Settings;
use relscale::ladder::Ladder;
use relscale::log::{Key, Log, Table};
use relscale::model::{Config, Transformer};
use relscale::scorer::NatsPerToken;
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;
use serde_json::{Map, Value, json};

impl Folder {
    /// With the files of a fixture.
    fn fixture(name: &str) -> Self {
        Self::copy(&common::fixture(name))
    }

    /// Loads it on two backends, whatever comes of it; the error of the last.
    fn load(&self, what: &str) -> Option<Error> {
        let size = self.size();
        let first = bounded(what, size, || {
            Transformer::load(self.path(), Reference::<f32>::new()).map(drop)
        });
        let cpu = Cpu::with_threads(1).unwrap();
        let second = bounded(what, size, || Transformer::load(self.path(), cpu).map(drop));
        assert_eq!(first.is_ok(), second.is_ok(), "{what}");
        second.err()
    }

    #[track_caller]
    fn refused(&self, what: &str, message: &str) {
        let error = self
            .load(what)
            .unwrap_or_else(|| panic!("{what}: loaded"))
            .to_string();
        assert!(error.contains(message), "{what}: {error}");
    }
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

// Checkpoints ----------------------------------------------------------------------------------

#[test]
fn headers_of_safetensors() {
    let _alone = alone();
    let folder = Folder::fixture("checkpoints/llama-plain");
    let plain = r#"{"dtype": "F32", "shape": [], "data_offsets": [0, 4]}"#;
    let dims = repeated(
        r#"{"a": {"dtype": "F32", "shape": ["#,
        "0,",
        r#"0], "data_offsets": [0, 0]}}"#,
        4 << 20,
    );
    let mut empty = String::from("{");
    for i in 0..50_000 {
        empty += &format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}},"#);
    }
    empty.pop();
    empty += "}";
    let mut notes = String::from(r#"{"__metadata__":{"#);
    for i in 0..200_000 {
        notes += &format!(r#""{i}":"","#);
    }
    notes.pop();
    notes += "}}";
    let nested = repeated(r#"{"a": {"shape": "#, "[", "", 1 << 20);
    for (what, header, data, message) in [
        ("dimensions without end", dims.as_str(), &[][..], "missing"),
        ("tensors without end", &empty, &[], "missing"),
        ("notes without end", &notes, &[], "missing"),
        ("arrays in arrays", &nested, &[], "safetensors header"),
        (
            "a tensor twice",
            &format!(r#"{{"a": {plain}, "a": {plain}}}"#),
            &[0; 4],
            "`a` is there twice",
        ),
        (
            "two tensors in one place",
            &format!(r#"{{"a": {plain}, "b": {plain}}}"#),
            &[0; 4],
            "invalid offset",
        ),
        (
            "a shape beyond all memory",
            r#"{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 4]}}"#,
            &[0; 4],
            "safetensors header",
        ),
        (
            "a shape beyond its data",
            r#"{"a": {"dtype": "F32", "shape": [1073741824, 4], "data_offsets": [0, 4]}}"#,
            &[0; 4],
            "safetensors header",
        ),
        (
            "a type of fewer bytes",
            r#"{"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 4]}}"#,
            &[0; 4],
            "safetensors header",
        ),
    ] {
        folder.write("model.safetensors", safetensors(header, data));
        folder.refused(what, message);
    }
}

#[test]
fn indices_of_shards() {
    let _alone = alone();
    let folder = Folder::fixture("checkpoints/llama-linear-rope-old");
    let many = (0..100_000)
        .map(|i| format!(r#""{i}":"x.safetensors","#))
        .collect::<String>();
    let files = (0..100_000)
        .map(|i| format!(r#""{i}":"{i}.safetensors","#))
        .collect::<String>();
    for (what, text, message) in [
        (
            "names without end",
            format!(r#"{{"weight_map":{{{many}"a":"x.safetensors"}}}}"#),
            "x.safetensors: ",
        ),
        (
            "files without end",
            format!(r#"{{"weight_map":{{{files}"a":"x.safetensors"}}}}"#),
            "0.safetensors: ",
        ),
        (
            "something else without end",
            repeated(r#"{"weight_map":{}, "metadata": ["#, "[],", "[]]}", 1 << 20),
            "missing",
        ),
        (
            "arrays in arrays",
            repeated(r#"{"weight_map":"#, "[", "", 1 << 20),
            "index.json: ",
        ),
        (
            "a folder above",
            r#"{"weight_map":{"a":"../model.safetensors"}}"#.to_owned(),
            "not in the folder",
        ),
        (
            "a name from the root",
            r#"{"weight_map":{"a":"/etc/passwd"}}"#.to_owned(),
            "not in the folder",
        ),
    ] {
        folder.write("model.safetensors.index.json", text);
        folder.refused(what, message);
    }
}

#[test]
fn configurations() {
    let _alone = alone();
    let hostile: Vec<Value> = [0_u64, 1, 2, 3, 1 << 20, 1 << 28, 1 << 31, 1 << 53]
        .into_iter()
        .map(Value::from)
        .chain([
            json!(u64::MAX),
            json!(-1),
            json!(i64::MIN),
            json!(0.5),
            json!(8.0),
            json!(1e308),
            json!(-1e308),
            json!(5e-324),
            json!("NaN"),
            json!(null),
            json!([]),
            json!({}),
            json!([[], {}]),
        ])
        .collect();
    let (mut loaded, mut refused) = (0, 0);
    for checkpoint in [
        "checkpoints/llama-linear-rope",
        "architectures/gemma3",
        "architectures/gpt2",
        "architectures/phi3",
        "architectures/qwen2-sliding",
    ] {
        let name = checkpoint.rsplit('/').next().unwrap();
        let folder = Folder::fixture(checkpoint);
        let text = fs::read_to_string(folder.file("config.json")).unwrap();
        let config: Map<String, Value> = serde_json::from_str(&text).unwrap();
        for field in config.keys() {
            for value in &hostile {
                let mut config = config.clone();
                config.insert(field.clone(), value.clone());
                folder.write("config.json", Value::Object(config).to_string());
                match folder.load(&format!("{name}, {field} {value}")) {
                    None => loaded += 1,
                    Some(e) => {
                        assert!(!e.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(loaded > 20 && refused > 500, "{loaded} {refused}");
    // What is no number of JSON, and what is too much of it.
    let folder = Folder::fixture("checkpoints/llama-plain");
    let just_read = (1 << 20) - 100;
    for (what, text, message) in [
        ("NaN", r#"{"hidden_size": NaN}"#.to_owned(), "config.json"),
        (
            "infinity",
            r#"{"rope_theta": 1e999}"#.to_owned(),
            "config.json",
        ),
        (
            "arrays in arrays",
            repeated(r#"{"architectures": "#, "[", "", just_read),
            "recursion",
        ),
        (
            "lists without end",
            repeated(r#"{"architectures": ["#, "[],", "[]]}", just_read),
            "architectures",
        ),
        (
            "a megabyte",
            " ".repeat((1 << 20) + 1),
            "no plausible config.json",
        ),
        (
            "layers without end",
            json!({
                "architectures": ["MixtralForCausalLM"], "vocab_size": 32, "hidden_size": 8,
                "intermediate_size": 16, "num_hidden_layers": 1 << 28,
                "num_attention_heads": 2, "num_key_value_heads": 2
            })
            .to_string(),
            "`num_hidden_layers`: 268435456 is not in 1..=16384",
        ),
    ] {
        folder.write("config.json", text);
        folder.refused(what, message);
    }
}

/// A matrix of one row, which kernels fill up to whole tiles.
#[test]
fn narrow_matrices() {
    let _alone = alone();
    let folder = Folder::new();
    let hidden = 1 << 18;
    folder.write(
        "config.json",
        json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": 1, "hidden_size": hidden,
            "intermediate_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1,
            "num_key_value_heads": 1, "head_dim": 2, "tie_word_embeddings": true
        })
        .to_string(),
    );
    let at = "model.layers.0.";
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape) in [
        ("model.embed_tokens".to_owned(), vec![1, hidden]),
        ("model.norm".to_owned(), vec![hidden]),
        (format!("{at}input_layernorm"), vec![hidden]),
        (format!("{at}post_attention_layernorm"), vec![hidden]),
        (format!("{at}self_attn.q_proj"), vec![2, hidden]),
        (format!("{at}self_attn.k_proj"), vec![2, hidden]),
        (format!("{at}self_attn.v_proj"), vec![2, hidden]),
        (format!("{at}self_attn.o_proj"), vec![hidden, 2]),
        (format!("{at}mlp.gate_proj"), vec![1, hidden]),
        (format!("{at}mlp.up_proj"), vec![1, hidden]),
        (format!("{at}mlp.down_proj"), vec![hidden, 1]),
    ] {
        let bytes = 2 * shape.iter().product::<usize>();
        let info = json!({"dtype": "F16", "shape": shape, "data_offsets": [end, end + bytes]});
        header.insert(format!("{name}.weight"), info);
        end += bytes;
    }
    let header = Value::Object(header).to_string();
    folder.write("model.safetensors", safetensors(&header, &vec![0; end]));
    assert!(folder.load("a matrix of one row").is_none());
}

// GGUF -----------------------------------------------------------------------------------------

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A key of the metadata with an array of `count` elements.
fn array(key: &str, kind: u32, count: usize, bytes: &[u8]) -> Vec<u8> {
    let (kind, count) = (kind.to_le_bytes(), (count as u64).to_le_bytes());
    [&text(key)[..], &9u32.to_le_bytes(), &kind, &count, bytes].concat()
}

fn string(key: &str, value: &str) -> Vec<u8> {
    [&text(key)[..], &8u32.to_le_bytes(), &text(value)].concat()
}

fn gguf(values: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend((values.len() as u64).to_le_bytes());
    file.extend(values.concat());
    file.resize(file.len().next_multiple_of(32), 0);
    file
}

#[test]
fn metadata_of_gguf() {
    let _alone = alone();
    let folder = Folder::new();
    let many = 500_000;
    let few = array("tokenizer.ggml.tokens", 8, 1, &text("a"));
    // `a`, `aa`, `aaa` and so on: every cut of one is a merge of two others.
    let tower: Vec<String> = (1..=1000).map(|n| "a".repeat(n)).collect();
    let strings: Vec<u8> = tower.iter().flat_map(|t| text(t)).collect();
    let scores: Vec<u8> = (0..1000).flat_map(|i| (i as f32).to_le_bytes()).collect();
    for (what, values, message) in [
        (
            "empty tokens without end",
            vec![array("tokenizer.ggml.tokens", 8, many, &vec![0; 8 * many])],
            "are both",
        ),
        (
            "kinds without end",
            vec![
                few.clone(),
                array("tokenizer.ggml.token_type", 0, many, &vec![1; many]),
            ],
            "500000 kinds for 1 tokens",
        ),
        (
            "scores without end",
            vec![
                few.clone(),
                string("tokenizer.ggml.model", "llama"),
                array("tokenizer.ggml.scores", 0, many, &vec![1; many]),
            ],
            "500000 scores for 1 tokens",
        ),
        (
            "keys without end",
            (0..60_000).map(|i| string(&i.to_string(), "")).collect(),
            "missing",
        ),
        (
            "merges without end",
            vec![
                array("tokenizer.ggml.tokens", 8, 1000, &strings),
                string("tokenizer.ggml.model", "llama"),
                array("tokenizer.ggml.scores", 6, 1000, &scores),
            ],
            "the merges of tokens up to",
        ),
        (
            "an added token without end",
            vec![
                array("tokenizer.ggml.tokens", 8, 1, &text(&"a".repeat(2000))),
                array("tokenizer.ggml.token_type", 0, 1, &[4]),
                string("tokenizer.ggml.model", "gpt2"),
                string("tokenizer.ggml.pre", "gpt-2"),
                array("tokenizer.ggml.merges", 8, 1, &text("a b")),
            ],
            "`tokenizer.ggml.tokens`: 2000 bytes of added tokens",
        ),
        (
            "arrays in arrays",
            vec![array("a", 9, 1, &9u32.to_le_bytes().repeat(1 << 18))],
            "arrays of numbers and of strings",
        ),
    ] {
        let file = folder.write("model.gguf", gguf(&values));
        let error = bounded(what, folder.size(), || Tokenizer::load(&file).unwrap_err());
        assert!(error.to_string().contains(message), "{what}: {error}");
        bounded(what, folder.size(), || Config::load(&file).unwrap_err());
    }
}

// tokenizer.json -------------------------------------------------------------------------------

/// A byte-level tokenizer with these stages beside its model.
fn tokenizer(stages: Value) -> Value {
    let mut json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    });
    for (name, stage) in stages.as_object().unwrap() {
        json[name] = stage.clone();
    }
    json
}

/// Loads a tokenizer and encodes a short text; what it says.
fn encoded(folder: &Folder, what: &str, json: &Value) -> Result<Vec<u32>, String> {
    folder.write("tokenizer.json", json.to_string());
    let encode = || {
        let tokenizer = Tokenizer::load(folder.path())?;
        tokenizer.encode("ab abba").map(|e| e.tokens)
    };
    bounded(what, folder.size(), encode).map_err(|e| e.to_string())
}

#[test]
fn stages_that_lengthen_a_text() {
    let _alone = alone();
    let folder = Folder::new();
    let plain = encoded(&folder, "plain", &tokenizer(json!({}))).unwrap();
    assert_eq!(plain, [2, 2, 1, 0]);
    let replace =
        |from: Value, to: &str| json!({"type": "Replace", "pattern": from, "content": to});
    let double = replace(json!({"String": "a"}), "aa");
    let anywhere = replace(json!({"Regex": ""}), "aaaaaaaa");
    let sequence =
        |stage: &Value, n: usize| json!({"type": "Sequence", "normalizers": vec![stage; n]});
    let cuts = |stages: &[Value], n: usize| {
        let all: Vec<&Value> = (0..n).flat_map(|_| stages).collect();
        json!({"type": "Sequence", "pretokenizers": all})
    };
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": false});
    let marks = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
        "split": true});
    let letters = json!({"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated",
        "invert": false});
    for (what, stages, field) in [
        (
            "doubled forty times",
            json!({"normalizer": sequence(&double, 40)}),
            "normalizer",
        ),
        (
            "sequences in sequences",
            json!({"normalizer": sequence(&sequence(&sequence(&double, 4), 4), 4)}),
            "normalizer",
        ),
        (
            "a letter to a megabyte",
            json!({"normalizer": replace(json!({"String": "a"}), &"b".repeat(1 << 20))}),
            "normalizer",
        ),
        (
            "between all letters",
            json!({"normalizer": sequence(&anywhere, 8)}),
            "normalizer",
        ),
        (
            "bytes of bytes",
            json!({"normalizer": sequence(&json!({"type": "ByteLevel"}), 40)}),
            "normalizer",
        ),
        (
            "bytes of bytes of words",
            json!({"pre_tokenizer": cuts(&[bytes], 40)}),
            "pre_tokenizer",
        ),
        (
            "a mark before every letter",
            json!({"pre_tokenizer": cuts(&[marks, letters], 40)}),
            "pre_tokenizer",
        ),
        (
            "a table of the author's",
            json!({"normalizer": {"type": "Precompiled",
                "precompiled_charsmap": "/////w=="}}),
            "normalizer",
        ),
    ] {
        let error = encoded(&folder, what, &tokenizer(stages)).unwrap_err();
        assert!(
            error.contains(&format!("field `{field}`")),
            "{what}: {error}"
        );
    }
    // Those of real tokenizers remain.
    let spaces = replace(json!({"String": " "}), "▁");
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    for normalizer in [
        json!({"type": "Sequence", "normalizers": [prepend, spaces]}),
        json!({"type": "NFC"}),
    ] {
        encoded(
            &folder,
            "real",
            &tokenizer(json!({"normalizer": normalizer})),
        )
        .unwrap();
    }
}

/// Tokens around a text are never added: only the first is asked for.
#[test]
fn stages_that_add_tokens_to_a_text() {
    let _alone = alone();
    let folder = Folder::new();
    let plain = encoded(&folder, "plain", &tokenizer(json!({}))).unwrap();
    let piece = json!({"SpecialToken": {"id": "x", "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let template = |pieces: Vec<&Value>, ids: usize| {
        json!({"type": "TemplateProcessing", "single": pieces, "pair": [],
            "special_tokens": {"x": {"id": "x", "ids": vec![1; ids],
                "tokens": vec!["b"; ids]}}})
    };
    let square = template(vec![&piece; 3000], 3000);
    let twice = template(vec![&piece, &text, &text], 1);
    let doubled = json!({"type": "Sequence", "processors": vec![twice; 40]});
    let padding = json!({"strategy": {"Fixed": 1u64 << 40}, "direction": "Right",
        "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"});
    let cut = json!({"max_length": 1, "strategy": "LongestFirst", "stride": 0,
        "direction": "Right"});
    for (what, stages) in [
        ("tokens times tokens", json!({"post_processor": square})),
        (
            "a text doubled forty times",
            json!({"post_processor": doubled}),
        ),
        ("padding to a million million", json!({"padding": padding})),
        ("a text cut short", json!({"truncation": cut})),
    ] {
        assert_eq!(
            encoded(&folder, what, &tokenizer(stages)).unwrap(),
            plain,
            "{what}"
        );
    }
}

#[test]
fn models_of_a_tokenizer() {
    let _alone = alone();
    let folder = Folder::new();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut json = tokenizer(json!({}));
        change(&mut json["model"]);
        json
    };
    let split = |expression: &str| {
        json!({"type": "Split", "behavior": "Isolated", "invert": false,
            "pattern": {"Regex": expression}})
    };
    // An id is but a name: no table is as long as the largest.
    let huge = with(&|model| model["vocab"]["ab"] = json!(u32::MAX));
    assert_eq!(
        encoded(&folder, "huge ids", &huge).unwrap(),
        [u32::MAX, u32::MAX, 1, 0]
    );
    for (what, json, message) in [
        (
            "merges left out at random",
            with(&|model| model["dropout"] = json!(0.5)),
            "field `model.dropout`",
        ),
        (
            "ids beyond 32 bits",
            with(&|model| model["vocab"]["ab"] = json!(1u64 << 32)),
            "tokenizer.json",
        ),
        (
            "merges of what is no token",
            with(&|model| model["merges"] = json!([["ab", "ab"]])),
            "tokenizer.json",
        ),
        (
            "a prefix longer than a token",
            with(&|model| model["continuing_subword_prefix"] = json!("abcdef")),
            "field `model.continuing_subword_prefix`",
        ),
        (
            "an expression that is too large",
            tokenizer(json!({"pre_tokenizer": split("((a{1000}){1000}){1000}")})),
            "field `pre_tokenizer`",
        ),
        (
            "expressions without end",
            tokenizer(json!({"pre_tokenizer": {"type": "Sequence",
                "pretokenizers": vec![split(r"\p{L}+|\p{N}{1,3}"); 1000]}})),
            "field `pre_tokenizer`",
        ),
    ] {
        let error = encoded(&folder, what, &json).unwrap_err();
        assert!(error.contains(message), "{what}: {error}");
    }
    for (what, file, message) in [
        (
            "arrays in arrays",
            repeated(r#"{"normalizer": "#, "[", "", 1 << 20),
            "recursion",
        ),
        (
            "objects in objects",
            repeated(r#"{"normalizer": "#, r#"{"normalizers": ["#, "", 1 << 20),
            "recursion",
        ),
        (
            "lists without end",
            repeated(r#"{"normalizer": ["#, "[],", "[]]}", 1 << 20),
            "tokenizer.json",
        ),
    ] {
        folder.write("tokenizer.json", file);
        let error = bounded(what, folder.size(), || {
            Tokenizer::load(folder.path()).unwrap_err()
        });
        assert!(error.to_string().contains(message), "{what}: {error}");
    }
    // Settings beside it.
    folder.write("tokenizer.json", tokenizer(json!({})).to_string());
    for (what, file) in [
        ("arrays in arrays", repeated("", "[", "", 1 << 20)),
        (
            "lists without end",
            repeated(r#"{"bos_token": ["#, "[],", "[]]}", 1 << 20),
        ),
    ] {
        folder.write("tokenizer_config.json", file);
        let error = bounded(what, folder.size(), || {
            Tokenizer::load(folder.path()).unwrap_err()
        });
        assert!(
            error.to_string().contains("tokenizer_config.json"),
            "{what}: {error}"
        );
    }
}

/// The largest expressions that are accepted, and a text: not a multiple of the file, but bounded.
#[test]
fn what_a_tokenizer_takes_at_most() {
    let _alone = alone();
    let folder = Folder::new();
    let peak = |run: &mut dyn FnMut()| {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        run();
        MEMORY.peak_usage().saturating_sub(before)
    };
    let pattern = json!({"Regex": r"\p{L}".repeat(3000)});
    let split = json!({"type": "Split", "pattern": pattern, "behavior": "Isolated",
        "invert": false});
    let file = tokenizer(json!({ "pre_tokenizer": split })).to_string();
    folder.write("tokenizer.json", file);
    let expressions = peak(&mut || drop(Tokenizer::load(folder.path())));
    folder.write("tokenizer.json", tokenizer(json!({})).to_string());
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let text = "a".repeat(1 << 20);
    let encoding = peak(&mut || drop(tokenizer.encode(&text).unwrap()));
    println!(
        "expressions {expressions} bytes, a text {} a byte",
        encoding >> 20
    );
    assert!(expressions < 128 << 20, "{expressions}");
    assert!(encoding < 1024 * text.len(), "{encoding}");
}

/// An expression that tries the same letters again and again is given up by the library.
#[test]
fn expressions_that_never_end() {
    let _alone = alone();
    let folder = Folder::new();
    let load = |pattern: &str| {
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
            "invert": false});
        folder.write(
            "tokenizer.json",
            tokenizer(json!({"pre_tokenizer": split})).to_string(),
        );
        Tokenizer::load(folder.path())
    };
    assert!(load("(?:(?=a)(?:a+)+)+c").is_err());
    let tokenizer = load("a*(?=a)a*c").unwrap();
    let _ = tokenizer.encode(&"a".repeat(200));
}

// Items, tables, logs --------------------------------------------------------------------------

fn lines(path: &Path, what: &str) {
    let size = fs::metadata(path).unwrap().len() as usize;
    let result = bounded(what, size, || Items::from_jsonl(path).map(drop));
    if let Err(error) = result {
        // Where nothing is read, nothing was there.
        let named = matches!(
            error,
            Error::Line { line: 1 | 2, .. } | Error::Format { .. }
        );
        assert!(named, "{what}: {error}");
    }
}

#[test]
fn items_in_lines() {
    let _alone = alone();
    let folder = Folder::new();
    hostile_lines(|what, text| lines(&folder.write("items.jsonl", text), what));
}

#[test]
fn tables_of_losses() {
    let _alone = alone();
    let columns = "corpus,run,budget,flops,params,tokens,distribution,cluster,loss,weight";
    let row = |id: usize, loss: &str| format!("c,r,1,1,1,1,d,{id},{loss},1\n");
    let many: String = (0..50_000).map(|i| row(i, "1")).collect();
    let runs: String = (0..20_000)
        .map(|i| format!("c,{i},1,1,1,1,{i},,1,1\n"))
        .collect();
    for (what, text) in [
        ("rows without end", format!("{columns}\n{many}")),
        ("runs without end", format!("{columns}\n{runs}")),
        (
            "columns without end",
            format!("{columns}{}\n", ",x".repeat(1 << 20)),
        ),
        (
            "one field",
            format!("{columns}\nc,\"{}", "a".repeat(4 << 20)),
        ),
        (
            "fields without end",
            format!("{columns}\n{}", "c,".repeat(1 << 20)),
        ),
        ("no number", format!("{columns}\n{}", row(1, "NaN"))),
        ("infinity", format!("{columns}\n{}", row(1, "1e999"))),
        ("below zero", format!("{columns}\n{}", row(1, "-1"))),
        (
            "bytes that are no text",
            format!("{columns}\n{}\0", row(1, "\u{feff}")),
        ),
    ] {
        let size = text.len();
        let result = bounded(what, size, || {
            Ladder::from_csv(text.as_bytes(), "t").map(drop)
        });
        if let Err(e) = result {
            assert!(e.to_string().starts_with("t"), "{what}: {e}");
        } else {
            assert!(what.ends_with("without end"), "{what}");
        }
    }
}

#[test]
fn score_logs() {
    let _alone = alone();
    let folder = Folder::new();
    let path = folder.write("items.jsonl", r#"{"id": "a", "tokens": [1, 2]}"#);
    let items = Items::from_jsonl(path).unwrap();
    let key = |name: &str| Key::new(name, "b", &items, &[&NatsPerToken], &Settings::default());
    let path = folder.file("log");
    drop(Log::open(&path, &key("m").unwrap()).unwrap());
    let header = fs::read(&path).unwrap();
    let mb = 1 << 20;
    let marker = r#"{"relscale_score_log":1,"#;
    for (what, bytes) in [
        (
            "a first line without end",
            repeated(marker, "a", "", 20 * mb).into_bytes(),
        ),
        (
            "a line without end",
            [&header[..], &b"a".repeat(20 * mb)].concat(),
        ),
        ("zeros", [&header[..], &vec![0; mb], b"\n\n"].concat()),
        ("empty lines", [&header[..], &b"\n".repeat(mb)].concat()),
        (
            "arrays in arrays",
            [&header[..], &b"[".repeat(mb), b"\n\n"].concat(),
        ),
    ] {
        fs::write(&path, &bytes).unwrap();
        let error = bounded(what, bytes.len(), || Table::read(&path).unwrap_err());
        assert!(
            matches!(error, Error::Line { line: 1 | 2, .. }),
            "{what}: {error}"
        );
        let wanted = key("m").unwrap();
        bounded(what, bytes.len(), || Log::open(&path, &wanted).unwrap_err());
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    }
}
