//! GGUF files that lie, are cut, or hold what is not supported.

use crate::common::{self, folder::Folder};

use std::fs;
use std::path::Path;

use relscale::Error;
use relscale::backend::Reference;
use relscale::checkpoint::Weights;
use relscale::model::{Batch, Model, Transformer};
use relscale::tokenizer::Tokenizer;

fn real(name: &str) -> Vec<u8> {
    fs::read(common::fixture("gguf").join(name)).unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A header of version 3 with these numbers of tensors and values, and what follows.
fn header(tensors: u64, values: u64, rest: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(tensors.to_le_bytes());
    file.extend(values.to_le_bytes());
    file.extend(rest);
    file
}

/// A metadata value of a type.
fn value(key: &str, kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&text(key)[..], &kind.to_le_bytes(), bytes].concat()
}

fn tensor(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((shape.len() as u32).to_le_bytes());
    shape.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

fn refused(path: &Path) -> Error {
    Weights::open(path)
        .err()
        .unwrap_or_else(|| panic!("{} was read", path.display()))
}

#[test]
fn headers_that_lie_are_named() {
    let folder = Folder::new();
    let huge = u64::MAX.to_le_bytes();
    let array = |kind: u32, count: &[u8]| [&kind.to_le_bytes(), count].concat();
    let cases: &[(&str, Vec<u8>)] = &[
        (
            "is not a GGUF file",
            b"GGML\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
        ("is not a GGUF file", b"GGUF".to_vec()),
        ("number of tensors", header(u64::MAX, 0, &[])),
        (
            "number of metadata values",
            header(0, u64::MAX / 13 - 1, &[]),
        ),
        (
            "a metadata key of 18446744073709551615 bytes",
            header(0, 1, &[&huge[..], &[0; 16]].concat()),
        ),
        (
            "`a` has the unknown type 99",
            header(0, 1, &value("a", 99, &[0; 8])),
        ),
        (
            "a of 18446744073709551615 bytes",
            header(0, 1, &value("a", 8, &huge)),
        ),
        (
            "a: 18446744073709551615",
            header(0, 1, &value("a", 9, &array(8, &huge))),
        ),
        (
            "a: 18446744073709551615",
            header(0, 1, &value("a", 9, &array(12, &huge))),
        ),
        (
            "array of type 9",
            header(0, 1, &value("a", 9, &array(9, &[0; 8]))),
        ),
        (
            "is not UTF-8",
            header(0, 1, &value("a", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff])),
        ),
        (
            "`a` is there twice",
            header(0, 2, &[value("a", 7, &[1]), value("a", 7, &[1])].concat()),
        ),
        (
            "field `general.alignment`: 3",
            header(0, 1, &value("general.alignment", 4, &3u32.to_le_bytes())),
        ),
        (
            "field `split.count`: 2",
            header(0, 1, &value("split.count", 2, &2u16.to_le_bytes())),
        ),
        (
            "tensor `t`: 5 dimensions",
            header(1, 0, &tensor("t", &[1; 5], 0, 0)),
        ),
        (
            "tensor `t`: a dimension of 0",
            header(1, 0, &tensor("t", &[0], 0, 0)),
        ),
        (
            "tensor `t`: a dimension of",
            header(1, 0, &tensor("t", &[1 << 40, 1 << 40], 0, 0)),
        ),
        (
            "tensor `t`: 4611686018427387905 elements",
            header(1, 0, &tensor("t", &[(1 << 62) + 1], 0, 0)),
        ),
        (
            "tensor `t`: rows of 31 are no whole blocks of 32",
            header(1, 0, &tensor("t", &[31, 32], 2, 0)),
        ),
        (
            "tensor `t`: type Q3_K (11) is not read; name a file",
            header(1, 0, &tensor("t", &[256], 11, 0)),
        ),
        (
            "tensor `t`: type (unknown) (77)",
            header(1, 0, &tensor("t", &[256], 77, 0)),
        ),
        (
            "tensor `t`: offset 7 is no multiple of 32",
            header(1, 0, &tensor("t", &[1], 0, 7)),
        ),
        (
            "tensor `t`: 4096 bytes at 0 go beyond",
            header(1, 0, &tensor("t", &[1024], 0, 0)),
        ),
        (
            "go beyond",
            header(1, 0, &tensor("t", &[1], 0, u64::MAX - 31)),
        ),
        (
            "tensor `t`: is there twice",
            header(
                2,
                0,
                &[tensor("t", &[1], 0, 0), tensor("t", &[1], 0, 32)].concat(),
            ),
        ),
        (
            "tensor `u`: offset 0 lies in another tensor",
            [
                header(
                    2,
                    0,
                    &[tensor("t", &[1], 0, 0), tensor("u", &[1], 0, 0)].concat(),
                ),
                vec![0; 256],
            ]
            .concat(),
        ),
    ];
    for (what, bytes) in cases {
        let path = folder.write("model.gguf", bytes);
        let error = refused(&path).to_string();
        assert!(error.contains(what), "{what}: {error}");
        assert!(error.contains("model.gguf"), "{error}");
    }
    let mut big_endian = header(0, 0, &[]);
    big_endian[4..8].reverse();
    let error = refused(&folder.write("model.gguf", big_endian)).to_string();
    assert!(error.contains("big-endian"), "{error}");
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    let folder = Folder::new();
    let whole = real("llama-q4_0.gguf");
    let load =
        |bytes: &[u8]| Transformer::load(folder.write("a.gguf", bytes), Reference::<f32>::new());
    load(&whole).unwrap();
    for length in (0..whole.len()).step_by(41).chain([whole.len() - 32]) {
        assert!(load(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn no_changed_byte_of_a_header_panics() {
    let folder = Folder::new();
    for name in ["llama-q4_0.gguf", "tokenizers/sentencepiece.gguf"] {
        let whole = real(name);
        let mut loaded = 0;
        for at in (0..whole.len().min(2200)).step_by(3) {
            for change in [0xff, 0x80, 0x01] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                let path = folder.write("a.gguf", bytes);
                if let Ok(model) = Transformer::load(&path, Reference::<f32>::new()) {
                    let mut batch = Batch::new();
                    let segment = batch.segment(None, &[0]).unwrap();
                    batch.target(segment, 0, 0).unwrap();
                    let _ = model.log_likelihoods(&batch);
                    loaded += 1;
                }
                if change == 0x01
                    && let Ok(tokenizer) = Tokenizer::load(&path)
                {
                    tokenizer.encode("a word").unwrap();
                    loaded += 1;
                }
            }
        }
        assert!(loaded > 0, "{name}");
    }
}

/// Changes a string of the file to another of the same length.
fn replaced(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = real(name);
    let found: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from.as_bytes())
        .map(|(i, _)| i)
        .collect();
    assert!(!found.is_empty(), "{from}");
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// The file with another text in place of the first `from`, whose length precedes it.
fn renamed(file: &str, from: &str, to: &str) -> Vec<u8> {
    let bytes = real(file);
    let counted = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let from = counted(from);
    let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
    // A shorter header may end on an earlier boundary; the tensors are not read.
    let room = [0; 64];
    [&bytes[..at], &counted(to), &bytes[at + from.len()..], &room].concat()
}

/// The names are those of llama.cpp (`src/llama-arch.cpp`).
#[test]
fn classes_that_are_read_from_folders_only_say_so() {
    let folder = Folder::new();
    let load = |bytes: &[u8]| {
        let path = folder.write("a.gguf", bytes);
        let loaded = Transformer::load(path, Reference::<f32>::new());
        loaded.unwrap_err().to_string()
    };
    for name in [
        "bloom",
        "falcon",
        "gptj",
        "granite",
        "mistral3",
        "olmo",
        "olmoe",
        "phi2",
        "qwen2moe",
        "qwen3moe",
        "smollm3",
        "stablelm",
        "starcoder2",
    ] {
        let error = load(&renamed("llama-q4_0.gguf", "llama", name));
        for word in [
            "general.architecture",
            &format!("\"{name}\""),
            "safetensors",
            "a.gguf",
        ] {
            assert!(error.contains(word), "{name}: {error}");
        }
    }
    let error = load(&renamed("llama-q4_0.gguf", "llama", "deepseek2"));
    assert!(
        error.contains("not supported") && !error.contains("safetensors"),
        "{error}"
    );
    // Mixtral is a `llama` with experts.
    for key in ["llama.expert_count", "llama.expert_used_count"] {
        let error = load(&renamed("llama-q4_0.gguf", "llama.rope.freq_base", key));
        assert!(
            error.contains(key) && error.contains("mixture of experts"),
            "{error}"
        );
    }
}

#[test]
fn more_layers_than_any_model_has_are_refused() {
    let folder = Folder::new();
    let layers = |low: &str| format!("llama.block_count\x04\0\0\0{low}\0\0");
    let file = replaced("llama-q4_0.gguf", &layers("\x01\0"), &layers("\x01\x40"));
    let error = Transformer::load(folder.write("a.gguf", file), Reference::<f32>::new());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("`llama.block_count`: 16385 is not in 1..=16384"),
        "{error}"
    );
}

#[test]
fn what_is_not_supported_is_named() {
    let folder = Folder::new();
    let load = |bytes: &[u8]| {
        let path = folder.write("a.gguf", bytes);
        Transformer::load(path, Reference::<f32>::new())
            .unwrap_err()
            .to_string()
    };
    // The first `llama` is the architecture itself; the keys keep their prefix.
    let mut bytes = real("llama-q4_0.gguf");
    let at = bytes.windows(5).position(|w| w == b"llama").unwrap();
    bytes[at..at + 5].copy_from_slice(b"mamba");
    let error = load(&bytes);
    assert!(
        error.contains("field `general.architecture`: \"mamba\" is not supported"),
        "{error}"
    );
    let error = load(&replaced(
        "llama-q4_0.gguf",
        "llama.rope.freq_base",
        "llama.rope.freq_bass",
    ));
    assert!(
        error.contains("`llama.rope.freq_bass`") && error.contains("not supported"),
        "{error}"
    );
    let error = load(&replaced("llama-linear-rope.gguf", "linear", "yarn_x"));
    assert!(
        error.contains("`llama.rope.scaling.type`: \"yarn_x\" is not supported"),
        "{error}"
    );
    let error = load(&replaced(
        "llama-q4_0.gguf",
        "blk.0.ffn_up.weight",
        "blk.0.ffn_xx.weight",
    ));
    assert!(
        error.contains("tensor `blk.0.ffn_up.weight`: missing"),
        "{error}"
    );
    let error = load(&replaced(
        "llama3-rope-sharded.gguf",
        "rope_freqs.weight",
        "rope_xxxxx.weight",
    ));
    assert!(
        error.contains("is not part of LlamaForCausalLM as the metadata describes"),
        "{error}"
    );

    let load = |bytes: &[u8]| {
        Tokenizer::load(folder.write("a.gguf", bytes))
            .unwrap_err()
            .to_string()
    };
    let error = load(&replaced("tokenizers/smollm.gguf", "smollm", "smollx"));
    assert!(
        error.contains("`tokenizer.ggml.pre`: `smollx` is not supported"),
        "{error}"
    );
    let error = load(&replaced(
        "tokenizers/sentencepiece.gguf",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.scorex",
    ));
    assert!(
        error.contains("`tokenizer.ggml.scores`: missing"),
        "{error}"
    );
    let error = load(&real("llama-q4_0.gguf"));
    assert!(
        error.contains("`tokenizer.ggml.tokens`: missing"),
        "{error}"
    );
}

#[test]
fn text_that_the_vocabulary_lacks_is_counted() {
    let folder = Folder::new();
    let load = |bytes: &[u8]| Tokenizer::load(folder.write("a.gguf", bytes)).unwrap();
    // Written in bytes, as long as all of them have a token.
    let whole = load(&real("tokenizers/sentencepiece.gguf"));
    assert_eq!(whole.encode("a中").unwrap().unknown_bytes, 0);
    let file = replaced("tokenizers/sentencepiece.gguf", "<0xE4>", "<0xZZ>");
    let tokenizer = load(&file);
    assert_eq!(tokenizer.encode("a中").unwrap().unknown_bytes, 3);
    assert_eq!(tokenizer.encode("aaa").unwrap().unknown_bytes, 0);
}

#[test]
fn a_folder_stands_for_its_only_gguf_file() {
    let folder = Folder::new();
    folder.write("one.gguf", real("llama-q4_0.gguf"));
    Transformer::load(folder.path(), Reference::<f32>::new()).unwrap();
    folder.write("two.GGUF", real("llama-q4_0.gguf"));
    let error = refused(folder.path()).to_string();
    assert!(error.contains("2 GGUF files"), "{error}");
}

#[test]
fn files_of_other_programs_beside_a_gguf_file_do_no_harm() {
    for name in ["model.pt", "model.pth", "training_args.bin"] {
        let folder = Folder::new();
        folder.write(name, b"PK");
        folder.write("model.gguf", real("llama-q4_0.gguf"));
        Transformer::load(folder.path(), Reference::<f32>::new()).unwrap();
    }
}

#[test]
fn types_that_are_not_read_are_named() {
    let mut count = 0;
    for entry in fs::read_dir(common::fixture("gguf/refused")).unwrap() {
        let path = entry.unwrap().path();
        let error = Weights::open(&path).unwrap_err().to_string();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = format!("`blk.0.attn_q.weight`: type {name} (");
        assert!(
            error.contains(&expected) && error.contains("Q4_K"),
            "{error}"
        );
        count += 1;
    }
    assert!(count >= 23, "{count}");
}

/// The files of a model in three parts.
fn parts() -> Folder {
    let folder = Folder::new();
    for number in 1..=3 {
        let file = format!("llama-0000{number}-of-00003.gguf");
        folder.write(&file, real(&format!("splits/tensors/{file}")));
    }
    folder
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let file = |number: u32| format!("llama-0000{number}-of-00003.gguf");
    let error = |folder: &Folder, words: &[&str]| {
        let error = refused(folder.path()).to_string();
        for word in words {
            assert!(error.contains(word), "{error} does not name {word}");
        }
    };
    let folder = parts();
    fs::remove_file(folder.path().join(file(2))).unwrap();
    error(&folder, &[&file(2)]);

    // One part in the place of another, or of another model.
    let folder = parts();
    fs::copy(folder.path().join(file(2)), folder.path().join(file(3))).unwrap();
    error(&folder, &[&file(3), "`split.no`: 1, expected 2"]);
    folder.write(&file(3), real("llama-q4_0.gguf"));
    error(&folder, &[&file(3), "`split.no`: missing, expected 2"]);

    let folder = parts();
    let error_of_second = refused(&folder.path().join(file(2))).to_string();
    assert!(
        error_of_second.contains("is not the first part; name")
            && error_of_second.contains(&file(1)),
        "{error_of_second}"
    );
    fs::rename(folder.path().join(file(1)), folder.file("one.gguf")).unwrap();
    let error_of_name = refused(&folder.file("one.gguf")).to_string();
    assert!(
        error_of_name.contains("`split.count`: 3: is part 1")
            && error_of_name.contains("-00001-of-00003.gguf"),
        "{error_of_name}"
    );
    error(&folder, &["3 GGUF files are there"]);

    // Numbers of 16 and 32 bits behind their keys.
    let changed = |part: u32, key: &str, value: &[u8], words: &[&str]| {
        let folder = parts();
        let mut bytes = fs::read(folder.path().join(file(part))).unwrap();
        let at = bytes
            .windows(key.len())
            .position(|w| w == key.as_bytes())
            .unwrap();
        bytes[at + key.len() + 4..][..value.len()].copy_from_slice(value);
        folder.write(&file(part), bytes);
        error(&folder, words);
    };
    let count = "`split.tensors.count`: the 3 files hold 11 tensors";
    changed(1, "split.tensors.count", &[99, 0, 0, 0], &[count]);
    changed(
        2,
        "split.count",
        &[9, 0],
        &[&file(2), "`split.count`: 9, expected 3"],
    );
    changed(
        1,
        "split.count",
        &[255, 255],
        &["`split.count`: 65535: is part 1"],
    );

    // A tensor of the first part under its name in the second, too.
    let folder = parts();
    let mut bytes = fs::read(folder.path().join(file(2))).unwrap();
    let [other, name] = [b"blk.0.ffn_up.weight", b"blk.0.attn_k.weight"];
    let at = bytes.windows(other.len()).position(|w| w == other).unwrap();
    bytes[at..][..name.len()].copy_from_slice(name);
    folder.write(&file(2), bytes);
    error(
        &folder,
        &["`blk.0.attn_k.weight`: is also in another of the files"],
    );
}
