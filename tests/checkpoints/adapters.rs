//! LoRA adapters beside the merged models of PEFT; `tests/fixtures/make_adapters.py` makes them.

use crate::common::{self, folder::Folder};

use std::fs;
use std::path::PathBuf;

use relscale::Error;
use relscale::backend::Reference;
use relscale::checkpoint::Checkpoint;
use relscale::log::checkpoint_hash;
use relscale::model::{Batch, Config, Model, Transformer};
use relscale_cpu::Cpu;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

const ADAPTERS: [&str; 4] = ["patterns", "whole", "gpt2", "half"];

/// Changes the configuration.
fn config(adapter: &Folder, change: impl FnOnce(&mut Value)) {
    let path = adapter.file("adapter_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

/// A change of a matrix's name, shape and values; false leaves it out.
type Change<'a> = &'a dyn Fn(&mut String, &mut Vec<usize>, &mut Vec<u8>) -> bool;

/// Writes the matrices again; each keeps the name, shape and values that `change` leaves it.
fn change(adapter: &Folder, change: Change<'_>) {
    let path = adapter.file("adapter_model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let mut kept = Vec::new();
    for (mut name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let (mut shape, mut data) = (view.shape().to_vec(), view.data().to_vec());
        if change(&mut name, &mut shape, &mut data) {
            kept.push((name, shape, data));
        }
    }
    let views = kept.iter().map(|(name, shape, data)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), data).unwrap(),
        )
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The golden numbers of an adapter.
struct Golden {
    base: PathBuf,
    sequences: Vec<Vec<u32>>,
    f32: Vec<f64>,
    f64: Vec<f64>,
}

fn golden(adapter: &str) -> Golden {
    let path = common::fixture(&format!("adapters/{adapter}/golden.json"));
    let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let numbers = |v: &Value| -> Vec<f64> {
        let lists = v.as_array().unwrap().iter();
        lists
            .flat_map(|l| l.as_array().unwrap())
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    let tokens = |v: &Value| {
        v.as_array()
            .unwrap()
            .iter()
            .map(|t| t.as_u64().unwrap() as u32)
            .collect()
    };
    Golden {
        base: common::fixture(json["base"].as_str().unwrap()),
        sequences: json["sequences"]
            .as_array()
            .unwrap()
            .iter()
            .map(tokens)
            .collect(),
        f32: numbers(&json["f32"]),
        f64: numbers(&json["f64"]),
    }
}

fn scores(model: &impl Model, sequences: &[Vec<u32>]) -> Vec<f64> {
    let mut batch = Batch::new();
    for sequence in sequences {
        common::rolling(&mut batch, sequence);
    }
    model.log_likelihoods(&batch).unwrap()
}

fn folder(adapter: &str) -> PathBuf {
    common::fixture(&format!("adapters/{adapter}"))
}

#[test]
fn merged_models_score_as_those_of_peft() {
    for adapter in ADAPTERS {
        let golden = golden(adapter);
        let checkpoint = Checkpoint::from(&folder(adapter)).with_base(&golden.base);
        let reference = Transformer::load(&checkpoint, Reference::<f64>::new()).unwrap();
        assert_eq!(reference.warnings(), [""; 0]);
        let exact = common::worst(&scores(&reference, &golden.sequences), &golden.f64);
        let cpu = Transformer::load(&checkpoint, Cpu::new()).unwrap();
        let single = common::worst(&scores(&cpu, &golden.sequences), &golden.f32);
        println!("{adapter:10} f64 {exact:.1e}   f32 {single:.1e}");
        // Merged weights are rounded to `f32`, and PEFT keeps `f64` in one of the two.
        assert!(exact < 2e-5, "{adapter}: {exact:e} from PEFT in f64");
        assert!(single < 2e-4, "{adapter}: {single:e} from PEFT in f32");
        let base = Transformer::load(&golden.base, Cpu::new()).unwrap();
        let moved = common::worst(&scores(&base, &golden.sequences), &golden.f32);
        assert!(moved > 1.0, "{adapter}: moved by {moved}");
    }
}

#[test]
fn the_base_is_the_folder_that_the_configuration_names() {
    let adapter = Folder::copy(&folder("patterns"));
    let Golden {
        base, sequences, ..
    } = golden("patterns");
    config(&adapter, |config| {
        config["base_model_name_or_path"] = json!(base)
    });
    let of = |checkpoint: Checkpoint| {
        scores(
            &Transformer::load(checkpoint, Cpu::new()).unwrap(),
            &sequences,
        )
    };
    let named = of(Checkpoint::from(adapter.path()));
    assert_eq!(named, of(Checkpoint::from(adapter.path()).with_base(&base)));
    assert_eq!(
        Config::load(adapter.path()).unwrap(),
        Config::load(&base).unwrap()
    );
    assert_eq!(Checkpoint::from(adapter.path()).tokenizer().unwrap(), base);
    fs::write(adapter.file("tokenizer.json"), "{}").unwrap();
    assert_eq!(
        Checkpoint::from(adapter.path()).tokenizer().unwrap(),
        adapter.path()
    );
    // As a PyTorch file the same bits.
    let whole = golden("whole");
    let checkpoint = Checkpoint::from(&folder("whole")).with_base(&whole.base);
    let stored = Transformer::memory_estimate(checkpoint, &Cpu::new(), 16).unwrap();
    assert_eq!(
        stored,
        Transformer::memory_estimate(&whole.base, &Cpu::new(), 16).unwrap()
    );
    // Adapted matrices of half precision are kept in f32.
    let half = golden("half");
    let checkpoint = Checkpoint::from(&folder("half")).with_base(&half.base);
    let adapted = Transformer::memory_estimate(checkpoint, &Cpu::new(), 16).unwrap();
    let plain = Transformer::memory_estimate(&half.base, &Cpu::new(), 16).unwrap();
    assert!(adapted.weights > plain.weights);
}

#[test]
fn the_hash_covers_the_adapter_and_its_base() {
    let adapter = Folder::copy(&folder("patterns"));
    let base = Folder::copy(&golden("patterns").base);
    let hash = || checkpoint_hash(Checkpoint::from(adapter.path()).with_base(base.path())).unwrap();
    let mut seen = vec![hash(), checkpoint_hash(base.path()).unwrap()];
    assert_ne!(seen[0], seen[1]);
    for path in [
        adapter.file("adapter_model.safetensors"),
        adapter.file("adapter_config.json"),
        base.file("model.safetensors"),
        base.file("config.json"),
        adapter.file("tokenizer.json"),
    ] {
        if !path.exists() {
            fs::write(&path, "{}").unwrap();
        }
        // A space at the end leaves a configuration as it is.
        let bytes = [fs::read(&path).unwrap(), b" ".to_vec()].concat();
        fs::write(&path, bytes).unwrap();
        assert!(!seen.contains(&hash()), "{}", path.display());
        seen.push(hash());
    }
}

/// The error about an adapter on a base.
#[track_caller]
fn error(checkpoint: Checkpoint) -> String {
    let loaded = Transformer::load(checkpoint, Reference::<f32>::new());
    loaded.err().unwrap().to_string()
}

#[test]
fn kinds_of_adapters_that_are_not_read_are_named() {
    let adapter = Folder::copy(&folder("patterns"));
    let base = golden("patterns").base;
    let named = |what: &str, words: &[&str]| {
        let error = error(Checkpoint::from(adapter.path()).with_base(&base));
        for word in words
            .iter()
            .chain(&["adapter_config.json", "merge_and_unload"])
        {
            assert!(error.contains(word), "{what}: {error}");
        }
    };
    for (kind, field) in [
        ("dora", "use_dora"),
        ("pissa", "init_lora_weights"),
        ("lora_bias", "lora_bias"),
        ("ia3", "peft_type"),
        ("prompt", "peft_type"),
        ("replication", "layer_replication"),
        ("expression", "rank_pattern"),
    ] {
        let from = common::fixture(&format!("adapters/refused/{kind}.json"));
        fs::copy(from, adapter.file("adapter_config.json")).unwrap();
        named(kind, &[&format!("`{field}`")]);
    }
    let plain = folder("patterns").join("adapter_config.json");
    for (field, value, message) in [
        ("r", json!(0), "no rank"),
        ("r", json!(1.5), "no rank"),
        ("r", json!(1e300), "no rank"),
        ("r", json!("8"), "is no number"),
        ("lora_alpha", json!([]), "is no number"),
        ("alpha_pattern", json!(3), "is no object"),
        (
            "alpha_pattern",
            json!({"down_proj": 2, "0.mlp.down_proj": 3}),
            "differ",
        ),
        ("peft_type", json!(null), "LORA"),
        ("use_rslora", json!(1), "neither true nor false"),
        ("use_rslora", json!("true"), "neither true nor false"),
        ("fan_in_fan_out", json!("true"), "neither true nor false"),
        ("use_qalora", json!(true), "not read"),
        ("a_field_to_come", json!(7), "not read"),
    ] {
        fs::copy(&plain, adapter.file("adapter_config.json")).unwrap();
        config(&adapter, |config| config[field] = value);
        let error = error(Checkpoint::from(adapter.path()).with_base(&base));
        assert!(
            error.contains(message) && error.contains("`"),
            "{field}: {error}"
        );
    }
}

#[test]
fn a_base_that_cannot_be_used_is_named() {
    let adapter = Folder::copy(&folder("patterns"));
    let named = |checkpoint: Checkpoint, words: &[&str]| {
        let error = error(checkpoint);
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    };
    let alone = || Checkpoint::from(adapter.path());
    let field = "`base_model_name_or_path`";
    named(
        alone(),
        &[field, "`somebody/base` is no local folder", "--base DIR"],
    );
    config(&adapter, |config| {
        config["base_model_name_or_path"] = json!(null)
    });
    named(alone(), &[field, "names no model"]);
    let gguf = common::fixture("gguf/llama-q8_0.gguf");
    named(
        alone().with_base(gguf),
        &["llama-q8_0.gguf", "GGUF", "converted from"],
    );
    named(
        alone().with_base(adapter.path()),
        &["no model (config.json)", "names none"],
    );
    named(alone().with_base("/nowhere"), &["/nowhere"]);
    let model = golden("patterns").base;
    named(
        Checkpoint::from(&model).with_base(&model),
        &["holds no adapter"],
    );
    named(alone().with_base(golden("half").base), &["adds to"]);
    fs::remove_file(adapter.file("adapter_model.safetensors")).unwrap();
    named(
        alone().with_base(&model),
        &["neither adapter_model.safetensors nor"],
    );
}

#[test]
fn adapters_that_do_not_fit_their_base_are_named() {
    let base = golden("patterns").base;
    let of = |change: Change<'_>| {
        let adapter = Folder::copy(&folder("patterns"));
        self::change(&adapter, change);
        let loaded = Transformer::load(
            Checkpoint::from(adapter.path()).with_base(&base),
            Reference::<f32>::new(),
        );
        loaded.err().unwrap()
    };
    let at = "model.layers.0.self_attn.k_proj";
    let is = |name: &str, part: &str| name == format!("base_model.model.{at}.{part}.weight");
    let cases: [(&str, &str, Change<'_>); 13] = [
        ("half", "missing; the other matrix", &|name, _, _| {
            !is(name, "lora_B")
        }),
        ("rank", "ranks 8 of lora_A and 4", &|name, shape, _| {
            if is(name, "lora_A") {
                *shape = vec![8, 12];
            }
            true
        }),
        ("flat", "shapes [96]", &|name, shape, _| {
            if is(name, "lora_A") {
                *shape = vec![96];
            }
            true
        }),
        ("width", "adds to [24, 12]", &|name, shape, data| {
            if is(name, "lora_A") {
                *shape = vec![4, 12];
                data.truncate(4 * 12 * 4);
            }
            true
        }),
        ("module", "is not in the base", &|name, _, _| {
            *name = name.replace("layers.0.self_attn.k_proj", "layers.7.self_attn.k_proj");
            true
        }),
        (
            "name",
            "a name without `base_model.model.`",
            &|name, _, _| {
                *name = name.replace("base_model.", "");
                true
            },
        ),
        ("twice", "is there twice", &|name, _, _| {
            if is(name, "lora_B") {
                *name = format!("base_model.model.{at}.lora_A.default.weight");
            }
            true
        }),
        // Both names stand for one tensor of the base.
        (
            "addition",
            "for which a pair is there twice",
            &|name, _, _| {
                *name = name.replace("model.layers.1.self_attn.k_proj", &format!("x.{at}"));
                true
            },
        ),
        ("replaced", "which is there twice", &|name, _, _| {
            if is(name, "lora_A") {
                *name = "base_model.model.model.norm.weight".to_owned();
            }
            if is(name, "lora_B") {
                *name = "base_model.model.x.model.norm.weight".to_owned();
            }
            true
        }),
        (
            "magnitude",
            "`lora_magnitude_vector` is of a kind",
            &|name, _, _| {
                if is(name, "lora_B") {
                    *name = format!("base_model.model.{at}.lora_magnitude_vector");
                }
                true
            },
        ),
        ("finite", "is not finite", &|name, _, data| {
            if is(name, "lora_B") {
                data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            }
            true
        }),
        ("overflow", "not finite once merged", &|name, _, data| {
            if is(name, "lora_A") || is(name, "lora_B") {
                let max = f32::MAX.to_le_bytes();
                data.chunks_exact_mut(4)
                    .for_each(|x| x.copy_from_slice(&max));
            }
            true
        }),
        ("empty", "no matrices of LoRA", &|_, _, _| false),
    ];
    for (what, message, change) in cases {
        let error = of(change);
        assert!(error.to_string().contains(message), "{what}: {error}");
        let tensor = matches!(&error, Error::Tensor { .. });
        assert!(tensor || what == "empty", "{what}: {error}");
    }
}

/// The merge of PEFT would change the LM head as well, or not, as the model was built.
#[test]
fn adapters_of_a_table_that_is_also_the_head_are_refused() {
    let adapter = Folder::copy(&folder("whole"));
    let base = Folder::copy(&golden("whole").base);
    let tie = |tied: bool| {
        let path = base.file("config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        config["tie_word_embeddings"] = json!(tied);
        fs::write(path, config.to_string()).unwrap();
        Checkpoint::from(adapter.path()).with_base(base.path())
    };
    Transformer::load(tie(false), Reference::<f32>::new()).unwrap();
    let error = error(tie(true));
    assert!(
        error.contains("model.embed_tokens.weight") && error.contains("tie_word_embeddings"),
        "{error}"
    );
}

#[test]
fn names_of_bases_stay_in_their_folder() {
    let adapter = Folder::copy(&folder("patterns"));
    let place = Folder::new();
    let bases = place.file("bases");
    fs::create_dir_all(&bases).unwrap();
    // A model beside the folder of bases, and one in it.
    let model = golden("patterns").base;
    for to in [place.file("other"), bases.join("inside")] {
        fs::create_dir_all(&to).unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::copy(model.join(name), to.join(name)).unwrap();
        }
    }
    let of = |name: &str| {
        config(&adapter, |config| {
            config["base_model_name_or_path"] = json!(name)
        });
        Config::load(Checkpoint::from(adapter.path()).with_base(&bases))
    };
    for name in ["inside", "somebody/inside", "inside/"] {
        assert!(of(name).is_ok(), "{name}");
    }
    let outside = place.file("other");
    for name in [
        "../other",
        "x/../../other",
        outside.to_str().unwrap(),
        "..",
        ".",
        "",
    ] {
        let error = of(name).unwrap_err().to_string();
        assert!(
            error.contains("holds no model (config.json)"),
            "{name}: {error}"
        );
    }
    // Nor does the name of a revision in a cache of the hub.
    let cached = bases.join("models--a--b");
    fs::create_dir_all(cached.join("refs")).unwrap();
    fs::create_dir_all(cached.join("snapshots")).unwrap();
    for (revision, is_read) in [("../../inside", false), ("abc", false), ("0f", true)] {
        fs::write(cached.join("refs/main"), revision).unwrap();
        if is_read {
            fs::rename(bases.join("inside"), cached.join("snapshots/0f")).unwrap();
        }
        assert_eq!(of("a/b").is_ok(), is_read, "{revision}");
    }
}
