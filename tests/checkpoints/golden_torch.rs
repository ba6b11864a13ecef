//! PyTorch files beside the safetensors form of the same weights, and views of storages beside the
//! numbers of torch; `tests/fixtures/make_torch.py` makes them.

use crate::common::{self, folder::Folder};

use std::fs;
use std::path::Path;

use relscale::Error;
use relscale::backend::{HostTensor, Precision, Reference};
use relscale::checkpoint::Weights;
use relscale::log::checkpoint_hash;
use relscale::model::Transformer;
use relscale_cpu::Cpu;
use serde_json::Value;

/// The configuration of `checkpoint` beside the PyTorch files of `torch`.
fn model(checkpoint: &str, torch: &str) -> Folder {
    let folder = Folder::copy(&common::fixture(torch));
    add(&folder, &common::fixture(checkpoint).join("config.json"));
    folder
}

fn add(folder: &Folder, file: &Path) {
    fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
}

const MODELS: [(&str, &str); 3] = [
    ("architectures/bloom", "torch/bloom"),
    ("architectures/opt", "torch/opt"),
    ("checkpoints/qwen3-tied-sharded", "torch/qwen3"),
];

#[test]
fn scores_are_those_of_the_safetensors_form_bit_for_bit() {
    for (checkpoint, torch) in MODELS {
        let original = common::fixture(checkpoint);
        let folder = model(checkpoint, torch);
        let sequences = common::sequences(&original.join("golden.json"));
        let of = |path: &Path| {
            let model = Transformer::load(path, Cpu::new()).unwrap();
            assert_eq!(relscale::model::Model::warnings(&model), [""; 0]);
            common::score(&model, &sequences)
        };
        let (want, got) = (of(&original), of(folder.path()));
        assert!(want.iter().flatten().all(|x| *x < 0.0));
        assert_eq!(got, want, "{checkpoint}");
        // Half precision stays half, and a tied head is kept once.
        let bytes = |path: &Path| Transformer::memory_estimate(path, &Cpu::new(), 64).unwrap();
        assert_eq!(bytes(folder.path()), bytes(&original));
    }
}

#[test]
fn safetensors_are_read_before_pytorch_files_and_whole_files_before_shards() {
    let (checkpoint, torch) = MODELS[1];
    let folder = model(checkpoint, torch);
    let garbage = folder.file("pytorch_model.bin.index.json");
    fs::write(&garbage, "{").unwrap();
    let load = || Transformer::load(folder.path(), Reference::<f32>::new());
    let model = load().unwrap();
    let warnings = relscale::model::Model::warnings(&model);
    assert!(
        warnings.len() == 1 && warnings[0].contains("pytorch_model.bin.index.json"),
        "{warnings:?}"
    );
    fs::write(folder.file("pytorch_model.bin"), "").unwrap();
    load().unwrap_err();
    add(
        &folder,
        &common::fixture(checkpoint).join("model.safetensors"),
    );
    assert!(relscale::model::Model::warnings(&load().unwrap()).is_empty());
}

#[test]
fn the_hash_covers_the_files_that_are_read() {
    let folder = model(MODELS[2].0, MODELS[2].1);
    let hash = || checkpoint_hash(folder.path()).unwrap();
    let mut seen = vec![hash()];
    for file in [
        "pytorch_model-00001-of-00003.bin",
        "pytorch_model-00003-of-00003.bin",
        "pytorch_model.bin.index.json",
        "config.json",
    ] {
        let path = folder.file(file);
        // A space at the end leaves an index as it is.
        let bytes = [fs::read(&path).unwrap(), b" ".to_vec()].concat();
        fs::write(&path, bytes).unwrap();
        assert!(!seen.contains(&hash()), "{file}");
        seen.push(hash());
    }
    for other in ["README.md", "training_args.bin"] {
        fs::write(folder.file(other), "text").unwrap();
        assert_eq!(&hash(), seen.last().unwrap(), "{other}");
    }

    // Beside safetensors they are not read, and a log stays valid when they come or go.
    let folder = model(MODELS[1].0, MODELS[1].1);
    add(
        &folder,
        &common::fixture(MODELS[1].0).join("model.safetensors"),
    );
    let both = checkpoint_hash(folder.path()).unwrap();
    fs::remove_file(folder.file("pytorch_model.bin")).unwrap();
    assert_eq!(checkpoint_hash(folder.path()).unwrap(), both);
}

#[test]
fn views_have_the_values_that_torch_gives() {
    let text = fs::read_to_string(common::fixture("torch/views.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let mut weights = Weights::open(common::fixture("torch/views")).unwrap();
    for (name, want) in golden.as_object().unwrap() {
        let numbers = |value: &Value| -> Vec<f64> {
            let list = value.as_array().unwrap();
            list.iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let shape: Vec<usize> = numbers(&want["shape"])
            .iter()
            .map(|&n| n as usize)
            .collect();
        let tensor = weights.tensor(name, &shape).unwrap();
        let values: Vec<f64> = tensor
            .values()
            .to_f32()
            .into_iter()
            .map(f64::from)
            .collect();
        assert_eq!(values, numbers(&want["values"]), "{name}");
        let half = match name.as_str() {
            "permuted" | "turned" => Precision::F16,
            "tail" | "as_matrix" | "one_column" => Precision::Bf16,
            _ => Precision::F32,
        };
        let got = match tensor {
            HostTensor::F32(_) => Precision::F32,
            HostTensor::F16(_) => Precision::F16,
            HostTensor::Bf16(_) => Precision::Bf16,
        };
        assert_eq!(got, half, "{name}");
    }
    // Types that models have masks of are known, and refused where a weight is wanted.
    for (name, dtype) in [
        ("f64", "F64"),
        ("i64", "I64"),
        ("i32", "I32"),
        ("i16", "I16"),
        ("i8", "I8"),
        ("u8", "U8"),
        ("bool", "BOOL"),
    ] {
        let error = weights.tensor(name, &[1]).unwrap_err();
        let expected = format!("type {dtype} is not supported");
        assert!(
            matches!(&error, Error::Tensor { tensor, message, .. }
                if tensor == name && message.contains(&expected)),
            "{error}"
        );
    }
}

#[test]
fn files_of_torch_that_are_not_read_are_named_with_a_way_out() {
    let folder = Folder::new();
    for (file, words) in [
        ("legacy", ["older than 1.6", "torch.save(torch.load(f"]),
        ("script", ["TorchScript", "state_dict()"]),
        ("expanded", ["`weight`", "contiguous()"]),
        ("sparse", ["torch._utils._rebuild_sparse_tensor", "sparse"]),
        ("float8", ["torch._utils._rebuild_tensor_v3", "float8"]),
        ("complex", ["torch.ComplexFloatStorage", "complex"]),
        (
            "training",
            ["`model`: is a dictionary, not a tensor", "save it alone"],
        ),
        ("list", ["is a list, not a dictionary", "data.pkl"]),
        ("module", ["torch.nn.modules.linear.Linear", "state_dict()"]),
    ] {
        let from = common::fixture(&format!("torch/refused/{file}.bin"));
        fs::copy(from, folder.file("pytorch_model.bin")).unwrap();
        let error = Weights::open(folder.path()).unwrap_err().to_string();
        for word in ["pytorch_model.bin"].iter().chain(&words) {
            assert!(error.contains(word), "{file}: {error}");
        }
    }
}
