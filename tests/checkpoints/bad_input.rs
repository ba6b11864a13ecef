//! Damaged checkpoints and impossible batches: each a typed error that names what it is about.

use crate::common::{self, folder::Folder};

use std::fs;
use std::path::Path;

use relscale::Error;
use relscale::backend::Reference;
use relscale::model::{Batch, Model, Transformer};
use relscale::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const SHARD_1: &str = "model-00001-of-00002.safetensors";
const SHARD_2: &str = "model-00002-of-00002.safetensors";

/// Copies of fixtures that a test may damage.
impl Folder {
    fn fixture(name: &str) -> Self {
        Self::copy(&common::fixture(name))
    }

    /// One file.
    fn plain() -> Self {
        Self::fixture("checkpoints/llama-plain")
    }

    /// Two files and an index.
    fn sharded() -> Self {
        Self::fixture("checkpoints/llama-linear-rope-old")
    }

    fn json(&self, file: &str) -> Map<String, Value> {
        serde_json::from_slice(&fs::read(self.file(file)).unwrap()).unwrap()
    }

    /// Header and data of a safetensors file.
    fn tensors(&self, file: &str) -> (Map<String, Value>, Vec<u8>) {
        let bytes = fs::read(self.file(file)).unwrap();
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        (
            serde_json::from_slice(&bytes[8..8 + len]).unwrap(),
            bytes[8 + len..].to_vec(),
        )
    }

    fn write_tensors(&self, file: &str, header: &Map<String, Value>, data: &[u8]) {
        let header = serde_json::to_vec(header).unwrap();
        self.write(
            file,
            [&(header.len() as u64).to_le_bytes(), &header[..], data].concat(),
        );
    }

    /// Changes the header and the data of `file`.
    fn edit(&self, file: &str, change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        let (mut header, mut data) = self.tensors(file);
        change(&mut header, &mut data);
        self.write_tensors(file, &header, &data);
    }

    /// Changes `config.json` or the index.
    fn edit_json(&self, file: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let mut map = self.json(file);
        change(&mut map);
        self.write(file, Value::Object(map).to_string());
    }

    fn error(&self) -> Error {
        match Transformer::load(self.path(), Reference::<f32>::new()) {
            Ok(_) => panic!("{} was loaded", self.path().display()),
            Err(error) => error,
        }
    }

    /// The error must be about the format of `file` and say `what`.
    #[track_caller]
    fn format(&self, file: &str, what: &str) {
        match self.error() {
            Error::Format { path, message } => {
                assert_eq!(path, self.file(file), "{message}");
                assert!(message.contains(what), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// The error must be about `tensor` of `file` (the folder where empty) and say `what`.
    #[track_caller]
    fn tensor(&self, file: &str, tensor: &str, what: &str) {
        match self.error() {
            Error::Tensor {
                path,
                tensor: name,
                message,
            } => {
                let file = if file.is_empty() {
                    self.path().to_owned()
                } else {
                    self.file(file)
                };
                assert_eq!((path, name.as_str()), (file, tensor), "{message}");
                assert!(message.contains(what), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// The error must be about `field` of `config.json` and say `what`.
    #[track_caller]
    fn config(&self, field: &str, what: &str) {
        match self.error() {
            Error::Config {
                path,
                field: name,
                message,
            } => {
                assert_eq!(
                    (path, name.as_str()),
                    (self.file("config.json"), field),
                    "{message}"
                );
                assert!(message.contains(what), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// The error must be the system's about `file`.
    #[track_caller]
    fn io(&self, file: &str) {
        match self.error() {
            Error::Io { path, .. } => assert_eq!(path, self.file(file)),
            other => panic!("{other:?}"),
        }
    }
}

/// The last norm, which every fixture has.
const NORM: &str = "model.norm.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";

fn offsets(info: &Value) -> (usize, usize) {
    let at = |i: usize| info["data_offsets"][i].as_u64().unwrap() as usize;
    (at(0), at(1))
}

#[test]
fn the_copies_load_before_they_are_damaged() {
    for folder in [Folder::plain(), Folder::sharded()] {
        Transformer::load(folder.path(), Reference::<f32>::new()).unwrap();
    }
}

#[test]
fn files_that_are_not_there_or_not_files() {
    let folder = Folder::plain();
    fs::remove_file(folder.file("config.json")).unwrap();
    folder.io("config.json");
    fs::create_dir(folder.file("config.json")).unwrap();
    folder.format("config.json", "regular file");

    let folder = Folder::plain();
    fs::remove_file(folder.file(SINGLE)).unwrap();
    folder.format("", SINGLE);
    folder.write("pytorch_model.bin", "");
    folder.format("pytorch_model.bin", "no file of torch.save");
    fs::remove_file(folder.file("pytorch_model.bin")).unwrap();
    let index = "pytorch_model.bin.index.json";
    for (file, message) in [
        ("../a.bin", "not in the folder"),
        ("a.json", "no .bin file"),
    ] {
        folder.write(index, json!({"weight_map": {"a": file}}).to_string());
        folder.format(index, message);
    }
    fs::remove_file(folder.file(index)).unwrap();
    fs::create_dir(folder.file(SINGLE)).unwrap();
    folder.format(SINGLE, "regular file");

    let folder = Folder::sharded();
    fs::remove_file(folder.file(SHARD_2)).unwrap();
    folder.io(SHARD_2);

    let folder = Folder::new();
    fs::remove_dir(folder.path()).unwrap();
    folder.io("");
}

#[test]
fn what_a_newcomer_names_instead_says_what_to_name_or_fetch() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for file in [SINGLE, "config.json"] {
        let folder = Folder::plain();
        folder.write(file, pointer);
        folder.format(file, "git lfs pull");
    }
    let folder = Folder::plain();
    folder.write("tokenizer.json", pointer);
    let error = Tokenizer::load(folder.path()).err().unwrap().to_string();
    assert!(error.contains("git lfs pull"), "{error}");
    folder.write("model.gguf", pointer);
    folder.write("pytorch_model.bin", pointer);
    for (file, what) in [
        ("model.gguf", "git lfs pull"),
        (SINGLE, "name the folder"),
        ("config.json", "name the folder"),
        ("pytorch_model.bin", "name the folder"),
    ] {
        let loaded = Transformer::load(folder.file(file), Reference::<f32>::new());
        let error = loaded.err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn headers_that_are_cut_or_lie_about_their_length() {
    let folder = Folder::plain();
    let whole = fs::read(folder.file(SINGLE)).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap());
    for cut in [0, 1, 7] {
        folder.write(SINGLE, &whole[..cut]);
        folder.format(SINGLE, "no safetensors header");
    }
    for cut in [8, 9, 7 + header as usize] {
        folder.write(SINGLE, &whole[..cut]);
        folder.format(
            SINGLE,
            &format!("header of {header} bytes in a file of {cut}"),
        );
    }
    // A length that would overflow, or take all memory, if it were believed.
    for lie in [
        u64::MAX,
        u64::MAX - 7,
        1 << 62,
        1 << 40,
        whole.len() as u64 - 7,
    ] {
        folder.write(SINGLE, [&lie.to_le_bytes(), &whole[8..]].concat());
        folder.format(SINGLE, &format!("header of {lie} bytes"));
    }
    for lie in [0, 1, header / 2, header + 1, whole.len() as u64 - 8] {
        folder.write(SINGLE, [&lie.to_le_bytes(), &whole[8..]].concat());
        folder.format(SINGLE, "safetensors header");
    }
    // Headers are padded with spaces: without one of them it is still JSON, and every tensor would
    // start a byte early.
    folder.write(SINGLE, [&(header - 1).to_le_bytes(), &whole[8..]].concat());
    folder.format(SINGLE, "the header says");
    // As large as a header may not be, in a file that would hold it (without writing it all).
    let folder = Folder::plain();
    folder.write(SINGLE, 100_000_001u64.to_le_bytes());
    let file = fs::OpenOptions::new()
        .write(true)
        .open(folder.file(SINGLE))
        .unwrap();
    file.set_len(100_000_100).unwrap();
    folder.format(SINGLE, "header of 100000001 bytes");
}

#[test]
fn headers_that_are_not_what_they_should_be() {
    let folder = Folder::plain();
    let deep = "[".repeat(100_000);
    for header in [
        "not json",
        "[]",
        "null",
        "{\"a\": 3}",
        "{\"a\": {}}",
        "{\"a\": {\"dtype\": \"F33\", \"shape\": [1], \"data_offsets\": [0, 4]}}",
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [-1], \"data_offsets\": [0, 4]}}",
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0]}}",
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 1e30]}}",
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [4294967296, 4294967296], \"data_offsets\": [0, 4]}}",
        "{\"a\": \u{0}}",
        &deep,
    ] {
        let bytes = [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            &[0; 4],
        ]
        .concat();
        folder.write(SINGLE, bytes);
        folder.format(SINGLE, "safetensors header");
    }
    let not_utf8 = b"{\"\xff\xfe\": {}}";
    folder.write(
        SINGLE,
        [&(not_utf8.len() as u64).to_le_bytes(), &not_utf8[..]].concat(),
    );
    folder.format(SINGLE, "safetensors header");
    // An empty header is a file without tensors.
    folder.write(SINGLE, [&2u64.to_le_bytes(), &b"{}"[..]].concat());
    folder.tensor("", EMBEDDING, "missing");
}

#[test]
fn tensors_that_overlap_or_leave_holes_or_the_file() {
    for change in [
        // Start and end of the last norm, moved.
        |start: usize, end: usize| (start + 4, end + 4),
        |start, end| (start - 4, end - 4),
        |start, end| (start, end - 4),
        |start, end| (start, end + 4),
        |start, end| (end, start),
        |_, end| (0, end),
        |_, _| (usize::MAX - 3, usize::MAX),
    ] {
        let folder = Folder::plain();
        folder.edit(SINGLE, |header, _| {
            let (start, end) = offsets(&header[NORM]);
            let (start, end) = change(start, end);
            header[NORM]["data_offsets"] = json!([start, end]);
        });
        folder.format(SINGLE, "safetensors header");
    }
    let folder = Folder::plain();
    folder.edit(SINGLE, |_, data| {
        data.pop();
    });
    folder.format(SINGLE, "the header says");
    folder.edit(SINGLE, |_, data| data.clear());
    folder.format(SINGLE, "0 bytes of tensors");
    let folder = Folder::plain();
    folder.edit(SINGLE, |_, data| data.push(0));
    folder.format(SINGLE, "the header says");
}

#[test]
fn tensors_of_another_type_shape_or_name() {
    // The same bytes under another type and shape, so that the header itself is sound.
    let retyped = |dtype: &str, per_element: usize| {
        let folder = Folder::plain();
        let mut shape = 0;
        folder.edit(SINGLE, |header, _| {
            let (start, end) = offsets(&header[NORM]);
            shape = (end - start) / per_element;
            header[NORM]["dtype"] = json!(dtype);
            header[NORM]["shape"] = json!([shape]);
        });
        (folder, shape)
    };
    for (dtype, size) in [("I64", 8), ("F64", 8), ("U8", 1)] {
        let (folder, len) = retyped(dtype, size);
        folder.tensor(SINGLE, NORM, &format!("shape [{len}]"));
    }
    // The right shape in a type that is not read: the data grows with it.
    for dtype in ["I64", "F64"] {
        let folder = Folder::plain();
        folder.edit(SINGLE, |header, data| {
            let len = header[NORM]["shape"][0].as_u64().unwrap() as usize;
            header.remove(NORM);
            // Other tensors are left as they are; a hole would be refused before the type.
            let kept: Vec<(String, Value)> = header.clone().into_iter().collect();
            let mut bytes = Vec::new();
            for (name, mut info) in kept.into_iter().filter(|(n, _)| n != "__metadata__") {
                let (start, end) = offsets(&info);
                info["data_offsets"] = json!([bytes.len(), bytes.len() + end - start]);
                bytes.extend(&data[start..end]);
                header.insert(name, info);
            }
            let offsets = json!([bytes.len(), bytes.len() + 8 * len]);
            header.insert(
                NORM.to_owned(),
                json!({"dtype": dtype, "shape": [len], "data_offsets": offsets}),
            );
            bytes.extend(vec![0; 8 * len]);
            *data = bytes;
        });
        folder.tensor(SINGLE, NORM, dtype);
    }

    let folder = Folder::plain();
    folder.edit(SINGLE, |header, _| {
        let shape = header[EMBEDDING]["shape"].as_array_mut().unwrap();
        shape.reverse();
    });
    folder.tensor(SINGLE, EMBEDDING, "expected");
    let folder = Folder::plain();
    folder.edit(SINGLE, |header, _| {
        let len = header[NORM]["shape"][0].clone();
        header[NORM]["shape"] = json!([1, len]);
    });
    folder.tensor(SINGLE, NORM, "expected");

    let folder = Folder::plain();
    folder.edit(SINGLE, |header, _| {
        let info = header.remove(NORM).unwrap();
        header.insert("model.norm.weigth".to_owned(), info);
    });
    folder.tensor("", NORM, "missing");

    for extra in [
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.7.mlp.up_proj.weight",
    ] {
        let folder = Folder::plain();
        folder.edit(SINGLE, |header, data| {
            let at = [data.len(), data.len() + 8];
            header.insert(
                extra.to_owned(),
                json!({"dtype": "F32", "shape": [2], "data_offsets": at}),
            );
            data.extend([0; 8]);
        });
        folder.tensor(SINGLE, extra, "LlamaForCausalLM");
    }
}

/// Every tensor of every architecture is read: under another name it is missed by its own.
#[test]
fn a_tensor_that_is_missing_is_named() {
    for entry in fs::read_dir(common::fixture("architectures")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let folder = Folder::fixture(&format!("architectures/{name}"));
        let (header, data) = folder.tensors(SINGLE);
        for tensor in header.keys().filter(|t| *t != "__metadata__") {
            let mut other = header.clone();
            let info = other.remove(tensor).unwrap();
            if info["dtype"] == "BOOL" || info["shape"] == json!([]) {
                continue; // A mask, or what fills it.
            }
            if tensor.starts_with("vision_tower.") || tensor.starts_with("multi_modal_projector.") {
                continue; // What reads pictures is never needed.
            }
            other.insert(format!("x.{tensor}"), info);
            folder.write_tensors(SINGLE, &other, &data);
            folder.tensor("", tensor, "missing");
        }
    }
}

/// Whatever a field holds, the checkpoint loads and scores, or is refused.
#[test]
fn no_value_of_a_field_panics() {
    let values = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(1e300),
        json!(1 << 28),
        json!(true),
        json!("x"),
        json!({"x": 1}),
    ];
    let (mut loaded, mut refused) = (0, 0);
    for entry in fs::read_dir(common::fixture("architectures")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let folder = Folder::fixture(&format!("architectures/{name}"));
        let config = folder.json("config.json");
        for field in config.keys() {
            for value in &values {
                let mut config = config.clone();
                config.insert(field.clone(), value.clone());
                folder.write("config.json", Value::Object(config).to_string());
                let Ok(model) = Transformer::load(folder.path(), Reference::<f32>::new()) else {
                    refused += 1;
                    continue;
                };
                loaded += 1;
                let mut batch = Batch::new();
                common::rolling(&mut batch, &[5, 3, 8]);
                // A context of one token refuses it.
                let _ = model.log_likelihoods(&batch);
            }
        }
    }
    assert!(loaded > 100 && refused > 500, "{loaded} {refused}");
}

/// Old files keep masks under names that look like those of biases.
#[test]
fn only_a_mask_is_ignored_as_one() {
    let mask = "gpt_neox.layers.1.attention.bias";
    let folder = Folder::fixture("architectures/gpt-neox-parallel");
    Transformer::load(folder.path(), Reference::<f32>::new()).unwrap();
    for shape in [json!([16]), json!([2, 8]), json!([1, 1, 2, 8])] {
        folder.edit(SINGLE, |header, _| header[mask]["shape"] = shape);
        folder.tensor(SINGLE, mask, "GPTNeoXForCausalLM");
    }
}

/// The first GPT-2 files have no prefix.
#[test]
fn gpt2_without_a_prefix() {
    let folder = Folder::fixture("architectures/gpt2");
    let score = || {
        let model = Transformer::load(folder.path(), Reference::<f32>::new()).unwrap();
        let mut batch = Batch::new();
        common::rolling(&mut batch, &[5, 3, 8, 100]);
        model.log_likelihoods(&batch).unwrap()
    };
    let want = score();
    folder.edit(SINGLE, |header, _| {
        *header = std::mem::take(header)
            .into_iter()
            .map(|(name, info)| (name.replace("transformer.", ""), info))
            .collect();
    });
    assert_eq!(score(), want);
    // A stored mask and a stored copy of the tied head change nothing.
    folder.edit(SINGLE, |header, data| {
        let at = [data.len(), data.len() + 16];
        header.insert(
            "h.0.attn.bias".to_owned(),
            json!({"dtype": "F32", "shape": [1, 1, 2, 2], "data_offsets": at}),
        );
        data.extend([0; 16]);
        let mut head = header["wte.weight"].clone();
        let (start, end) = offsets(&head);
        head["data_offsets"] = json!([data.len(), data.len() + end - start]);
        header.insert("lm_head.weight".to_owned(), head);
        data.extend_from_within(start..end);
    });
    assert_eq!(score(), want);
}

#[test]
fn weights_that_are_not_finite() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let folder = Folder::plain();
        folder.edit(SINGLE, |header, data| {
            assert_eq!(header[NORM]["dtype"], "F32");
            let (start, _) = offsets(&header[NORM]);
            data[start + 8..start + 12].copy_from_slice(&value.to_le_bytes());
        });
        folder.tensor(SINGLE, NORM, "element 2");
    }
    let folder = Folder::fixture("checkpoints/llama-gqa-tied-bf16");
    folder.edit(SINGLE, |header, data| {
        assert_eq!(header[NORM]["dtype"], "BF16");
        let (start, _) = offsets(&header[NORM]);
        data[start + 2..start + 4].copy_from_slice(&0x7f80u16.to_le_bytes());
    });
    folder.tensor(SINGLE, NORM, "element 1");
}

#[test]
fn an_index_that_leaves_the_folder() {
    for name in ["../x", "/etc/passwd", "sub/x", "..", ".", "", "x/", "./x"] {
        let folder = Folder::sharded();
        folder.edit_json(INDEX, |index| index["weight_map"][NORM] = json!(name));
        folder.format(INDEX, &format!("`{name}`"));
        folder.format(INDEX, NORM);
    }
}

/// Links may lead out of the folder, as those of the Hugging Face hub's cache do.
#[cfg(unix)]
#[test]
fn links_are_followed() {
    let folder = Folder::sharded();
    let elsewhere = Folder::sharded();
    for file in [SHARD_1, SHARD_2, INDEX, "config.json"] {
        fs::remove_file(folder.file(file)).unwrap();
        std::os::unix::fs::symlink(elsewhere.file(file), folder.file(file)).unwrap();
    }
    Transformer::load(folder.path(), Reference::<f32>::new()).unwrap();
    // One that leads nowhere is a missing file, one to itself an error of the system.
    fs::remove_file(elsewhere.file(SHARD_2)).unwrap();
    folder.io(SHARD_2);
    fs::remove_file(folder.file(SHARD_2)).unwrap();
    std::os::unix::fs::symlink(folder.file(SHARD_2), folder.file(SHARD_2)).unwrap();
    folder.io(SHARD_2);
    fs::remove_file(folder.file(SHARD_2)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.file(SHARD_2)).unwrap();
    folder.format(SHARD_2, "regular file");
}

#[test]
fn an_index_that_is_not_one() {
    for (text, what) in [
        ("{", "EOF"),
        ("[]", "weight_map"),
        ("{}", "weight_map"),
        ("{\"weight_map\": []}", "expected an object"),
        ("{\"weight_map\": {\"a\": 3}}", "`a`"),
        (
            "{\"weight_map\": {\"a\": \"x\", \"a\": \"y\"}}",
            "`a` is there twice",
        ),
    ] {
        let folder = Folder::sharded();
        folder.write(INDEX, text);
        folder.format(INDEX, what);
    }
    let folder = Folder::sharded();
    folder.write(INDEX, "{\"weight_map\": {}}");
    folder.tensor("", EMBEDDING, "missing");
    folder.write(INDEX, b"{\"weight_map\": \xff}");
    folder.io(INDEX);
    folder.write(INDEX, "{\"weight_map\": {\"a\": \"nothing.safetensors\"}}");
    folder.io("nothing.safetensors");
}

#[test]
fn an_index_that_does_not_fit_its_shards() {
    let folder = Folder::sharded();
    let map = folder.json(INDEX)["weight_map"]
        .as_object()
        .unwrap()
        .clone();
    let in_second = map
        .iter()
        .find(|(_, file)| **file == SHARD_2)
        .map(|(name, _)| name.clone())
        .unwrap();
    folder.edit_json(INDEX, |index| {
        index["weight_map"][&in_second] = json!(SHARD_1)
    });
    folder.tensor(SHARD_1, &in_second, INDEX);

    let folder = Folder::sharded();
    folder.edit_json(INDEX, |index| {
        index["weight_map"]["no.such.tensor"] = json!(SHARD_2)
    });
    folder.tensor(SHARD_2, "no.such.tensor", INDEX);

    // The same tensor in both files.
    let folder = Folder::sharded();
    folder.edit(SHARD_1, |header, data| {
        let at = [data.len(), data.len() + 4];
        let info = json!({"dtype": "F32", "shape": [1], "data_offsets": at});
        header.insert(in_second.clone(), info);
        data.extend([0; 4]);
    });
    folder.tensor(SHARD_2, &in_second, SHARD_1);

    let folder = Folder::sharded();
    let whole = fs::read(folder.file(SHARD_2)).unwrap();
    folder.write(SHARD_2, &whole[..whole.len() - 1]);
    folder.format(SHARD_2, "the header says");
}

#[test]
fn configurations_that_make_no_sense() {
    for (field, value, what) in [
        ("num_attention_heads", json!(0), "0"),
        ("num_key_value_heads", json!(0), "0"),
        ("num_hidden_layers", json!(0), "0"),
        ("vocab_size", json!(0), "0"),
        ("hidden_size", json!(1u64 << 40), "1099511627776"),
        ("hidden_size", json!(u64::MAX), "18446744073709551615"),
        ("intermediate_size", json!(-3), "-3"),
        ("intermediate_size", json!(1.5), "1.5"),
        ("head_dim", json!(1 << 30), "1073741824"),
        ("max_position_embeddings", json!(0), "0"),
        ("num_hidden_layers", json!("2"), "\"2\""),
        ("num_hidden_layers", json!(16_385), "16385"),
        ("hidden_act", json!("relu"), "relu"),
        (
            "architectures",
            json!(["MambaForCausalLM"]),
            "MambaForCausalLM",
        ),
        ("architectures", json!(7), "7"),
        ("quantization_config", json!({"bits": 4}), "bits"),
        ("rms_norm_eps", json!(2), "2"),
        ("tie_word_embeddings", json!(1), "1"),
        ("rope_theta", json!(-1), "-1"),
        ("partial_rotary_factor", json!(0.5), "0.5"),
    ] {
        let folder = Folder::plain();
        folder.edit_json("config.json", |config| {
            config.insert(field.to_owned(), value);
            if field == "rope_theta" {
                config.remove("rope_parameters");
            }
        });
        folder.config(field, what);
    }
    let folder = Folder::plain();
    folder.edit_json("config.json", |config| {
        config.remove("vocab_size");
    });
    folder.config("vocab_size", "missing");

    // Allowed one by one, but not what the files hold: refused before anything is allocated.
    let huge = 1 << 28;
    for (field, tensor) in [
        ("vocab_size", EMBEDDING),
        ("hidden_size", EMBEDDING),
        ("head_dim", "model.layers.0.self_attn.q_proj.weight"),
        ("intermediate_size", "model.layers.0.mlp.gate_proj.weight"),
    ] {
        let folder = Folder::plain();
        folder.edit_json("config.json", |config| {
            config.insert(field.to_owned(), json!(huge));
            if field == "hidden_size" {
                config.insert("head_dim".to_owned(), json!(8));
            }
        });
        folder.tensor(SINGLE, tensor, "expected");
    }
    let folder = Folder::plain();
    let layers = folder.json("config.json")["num_hidden_layers"]
        .as_u64()
        .unwrap();
    // The most that are accepted.
    folder.edit_json("config.json", |c| c["num_hidden_layers"] = json!(1 << 14));
    folder.tensor(
        "",
        &format!("model.layers.{layers}.input_layernorm.weight"),
        "missing",
    );
    // Fewer layers than there are: the rest would be ignored in silence.
    if layers > 1 {
        folder.edit_json("config.json", |c| {
            c["num_hidden_layers"] = json!(layers - 1)
        });
        let extra = format!("model.layers.{}.input_layernorm.weight", layers - 1);
        folder.tensor(SINGLE, &extra, "config.json");
    }
}

#[test]
fn configurations_that_are_not_json() {
    let folder = Folder::plain();
    for text in [
        "",
        "{",
        "[1]",
        "null",
        "{\"vocab_size\": }",
        &"[".repeat(100_000),
    ] {
        folder.write("config.json", text);
        folder.format("config.json", "line 1");
    }
    folder.write("config.json", b"{\"architectures\": \"\xff\"}");
    folder.io("config.json");
    folder.write("config.json", vec![b' '; (16 << 20) + 1]);
    folder.format("config.json", "16777217 bytes");
}

#[track_caller]
fn batch_error<T>(result: Result<T, Error>, what: &str) {
    match result {
        Err(Error::Batch { message }) => assert!(message.contains(what), "{message}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn batches_that_cannot_be() {
    let mut batch = Batch::new();
    batch_error(batch.segment(None, &[]), "at least one token");
    batch_error(batch.segment(Some(0), &[1]), "segment 0");
    let segment = batch.segment(None, &[1, 2]).unwrap();
    batch_error(batch.segment(Some(segment + 1), &[1]), "segment 1");
    batch_error(batch.segment(Some(usize::MAX), &[1]), "segment");
    batch_error(batch.target(segment, 2, 1), "offset 2");
    batch_error(batch.target(segment, usize::MAX, 1), "offset");
    batch_error(batch.target(1, 0, 1), "segment 1");
    // What was refused left no trace.
    assert_eq!(
        (
            batch.tokens().len(),
            batch.segments().len(),
            batch.targets().len()
        ),
        (2, 1, 0)
    );
}

#[test]
fn batches_that_a_model_cannot_score() {
    let dir: &Path = &common::fixture("checkpoints/qwen3-gqa");
    let on_reference = Transformer::load(dir, Reference::<f32>::new()).unwrap();
    let on_cpu = Transformer::load(dir, relscale_cpu::Cpu::new()).unwrap();
    for model in [&on_reference as &dyn Model, &on_cpu] {
        let (vocab, context) = (model.vocab_size() as u32, model.context_len());
        assert!(model.log_likelihoods(&Batch::new()).unwrap().is_empty());

        for token in [vocab, u32::MAX] {
            let mut batch = Batch::new();
            let segment = batch.segment(None, &[0, token]).unwrap();
            batch.target(segment, 0, 0).unwrap();
            batch_error(model.log_likelihoods(&batch), &format!("token {token}"));
            let mut batch = Batch::new();
            let segment = batch.segment(None, &[0]).unwrap();
            batch.target(segment, 0, token).unwrap();
            batch_error(model.log_likelihoods(&batch), &format!("token {token}"));
        }

        let mut batch = Batch::new();
        let whole = batch.segment(None, &vec![1; context]).unwrap();
        batch.target(whole, context - 1, 0).unwrap();
        assert!(model.log_likelihoods(&batch).unwrap()[0] < 0.0);
        batch.segment(Some(whole), &[1]).unwrap();
        let what = format!("{} tokens exceed the context of {context}", context + 1);
        batch_error(model.log_likelihoods(&batch), &what);

        // A prefix that leaves no room, and what has no room after one.
        for (prefix, message) in [
            (vec![], "a prefix of 0 tokens".to_owned()),
            (
                vec![1; context],
                format!("a prefix of {context} tokens in a context"),
            ),
            (vec![1, vocab], format!("token {vocab}")),
        ] {
            batch_error(model.with_prefix(&prefix).map(drop), &message);
        }
        let after = model.with_prefix(&vec![1; context - 1]).unwrap();
        assert_eq!(after.context_len(), 1);
        assert!(after.log_likelihoods(&Batch::new()).unwrap().is_empty());
        let mut batch = Batch::new();
        let last = batch.segment(None, &[1]).unwrap();
        batch.target(last, 0, 0).unwrap();
        assert!(after.log_likelihoods(&batch).unwrap()[0] < 0.0);
        batch.segment(Some(last), &[1]).unwrap();
        batch_error(after.log_likelihoods(&batch), &what);
        // What is kept of one prefix is not kept of two.
        batch_error(after.with_prefix(&[1]).map(drop), "keeps no prefix");
        assert_eq!(after.prefix_cost(), None);
    }
}
