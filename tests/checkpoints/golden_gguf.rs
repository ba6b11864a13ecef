//! GGUF files written by the `gguf` package: the architectures of the tiny checkpoints, every
//! quantised type, and tokenizers against the libraries that trained them;
//! `tests/fixtures/make_gguf.py` makes them.

use std::path::PathBuf;

use crate::common::{fixture, score, sequences, worst};
use relscale::backend::HostTensor;
use relscale::backend::Reference;
use relscale::checkpoint::Weights;
use relscale::log::checkpoint_hash;
use relscale::model::{Config, Transformer};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

/// Names of the GGUF files that stand for a checkpoint folder, with the folder's golden numbers.
fn converted() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(fixture("gguf")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let folders = ["checkpoints", "architectures"].map(|f| fixture(f).join(&name));
        if let Some(folder) = folders.iter().find(|f| f.exists()) {
            found.push((name, folder.join("golden.json")));
        }
    }
    found.sort();
    assert!(found.len() >= 11, "{found:?}");
    found
}

#[test]
fn converted_checkpoints_score_as_the_folders_they_come_from() {
    for (name, golden) in converted() {
        let model = Transformer::load(
            fixture("gguf").join(format!("{name}.gguf")),
            Reference::<f64>::new(),
        )
        .unwrap();
        let sequences = sequences(&golden);
        let mut numpy = 0.0f64;
        for (got, want) in score(&model, &sequences).iter().zip(&sequences) {
            numpy = numpy.max(worst(got, &want.numpy_f64));
        }
        println!("{name:22} numpy f64 {numpy:.1e}");
        // Gemma's norms are rounded once more when one is added; divisors of frequencies and scales
        // of attention are stored in single precision.
        let rounded = name.starts_with("gemma") || name.starts_with("llama3");
        let limit = if rounded { 2e-5 } else { 1e-9 };
        assert!(numpy < limit, "{name}: {numpy:e} from numpy");
    }
}

#[test]
fn the_configuration_is_that_of_the_folder() {
    for (name, golden) in converted() {
        let mut folder = Config::load(golden.parent().unwrap()).unwrap();
        let mut file = Config::load(fixture("gguf").join(format!("{name}.gguf"))).unwrap();
        assert!((file.attention_scale / folder.attention_scale - 1.0).abs() < 1e-7);
        // Said in another way: the tokenizer's part, a pattern or a list, divisors in a tensor.
        for config in [&mut folder, &mut file] {
            config.attention_scale = 0.0;
            config.bos_token_id = None;
        }
        let layers = 0..folder.num_hidden_layers;
        let windows = |c: &Config| layers.clone().map(|i| c.is_sliding(i)).collect::<Vec<_>>();
        assert_eq!(windows(&file), windows(&folder), "{name}");
        file.sliding_layers = folder.sliding_layers.clone();
        if name.starts_with("llama3") {
            file.positions = folder.positions.clone();
        }
        assert_eq!(file, folder, "{name}");
    }
}

#[test]
fn quantised_models_score_as_transformers_does_on_the_dequantised_weights() {
    for kind in ["q8_0", "q4_0", "q4_1"] {
        let file = fixture(&format!("gguf/llama-{kind}.gguf"));
        let sequences = sequences(&fixture(&format!("gguf/llama-{kind}.json")));
        let exact = Transformer::load(&file, Reference::<f64>::new()).unwrap();
        let cpu = Transformer::load(&file, Cpu::new()).unwrap();
        let (mut numpy, mut hf, mut fast) = (0.0f64, 0.0f64, 0.0f64);
        let all = score(&exact, &sequences)
            .into_iter()
            .zip(score(&cpu, &sequences));
        for ((exact, cpu), want) in all.zip(&sequences) {
            numpy = numpy.max(worst(&exact, &want.numpy_f64));
            hf = hf.max(worst(&exact, &want.transformers_f64));
            fast = fast.max(worst(&cpu, &want.transformers_f32));
        }
        println!("{kind}: numpy f64 {numpy:.1e}, transformers f64 {hf:.1e}, cpu f32 {fast:.1e}");
        assert!(numpy < 1e-9, "{kind}: {numpy:e}");
        assert!(hf < 5e-6, "{kind}: {hf:e}");
        assert!(fast < 1e-4, "{kind}: {fast:e}");
    }
}

#[test]
fn blocks_widen_to_the_bits_of_the_gguf_package() {
    let mut weights = Weights::open(fixture("gguf/blocks.gguf")).unwrap();
    for kind in [
        "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K",
    ] {
        let mut read = |name: &str| match weights.tensor(name, &[2, 256]).unwrap() {
            HostTensor::F32(values) => values,
            other => panic!("{other:?}"),
        };
        let (got, want) = (read(kind), read(&format!("{kind}.f32")));
        assert!(want.iter().any(|x| *x != 0.0));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            // Zeros may differ in sign.
            assert!(got == want, "{kind}, element {i}: {got} and {want}");
        }
    }
}

#[test]
fn models_in_several_files_are_the_whole_ones() {
    let whole = fixture("gguf/llama-q8_0.gguf");
    let sequences = sequences(&whole.with_extension("json"));
    let of =
        |path: &std::path::Path| score(&Transformer::load(path, Cpu::new()).unwrap(), &sequences);
    let want = of(&whole);
    let mut hashes = vec![checkpoint_hash(&whole).unwrap()];
    // The first file of one has no tensors.
    for split in ["tensors", "metadata"] {
        let folder = fixture("gguf/splits").join(split);
        let first = folder.join("llama-00001-of-00003.gguf");
        assert_eq!(of(&folder), want, "{split}");
        assert_eq!(of(&first), want, "{split}");
        assert_eq!(Config::load(&first).unwrap(), Config::load(&whole).unwrap());
        // The hash covers all files, by whichever name the model goes.
        let copy =
            std::env::temp_dir().join(format!("relscale-split-{split}-{}", std::process::id()));
        std::fs::create_dir_all(&copy).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let last = copy.join("llama-00003-of-00003.gguf");
        let mut bytes = std::fs::read(&last).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&last, bytes).unwrap();
        for path in [
            &first,
            &folder,
            &copy.join("llama-00001-of-00003.gguf"),
            &copy,
        ] {
            let hash = checkpoint_hash(path).unwrap();
            assert!(!hashes.contains(&hash), "{}", path.display());
            hashes.push(hash);
        }
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

#[cfg(feature = "tokenizers")]
#[test]
fn tokenizers_agree_with_the_libraries_that_trained_them() {
    let folder = fixture("gguf/tokenizers");
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("golden.json")).unwrap())
            .unwrap();
    let texts = golden["texts"].as_array().unwrap();
    let tokenizers = golden["tokenizers"].as_object().unwrap();
    assert!(tokenizers.len() >= 16);
    for (name, want) in tokenizers {
        let tokenizer = Tokenizer::load(folder.join(format!("{name}.gguf"))).unwrap();
        assert_eq!(
            tokenizer.bos().map(u64::from),
            want["bos"].as_u64(),
            "{name}"
        );
        assert_eq!(
            Some(tokenizer.adds_bos()),
            want["adds_bos"].as_bool(),
            "{name}"
        );
        for (text, want) in texts.iter().zip(want["ids"].as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let want: Vec<u64> = want
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_u64().unwrap())
                .collect();
            let got: Vec<u64> = tokenizer
                .encode(text)
                .unwrap()
                .tokens
                .iter()
                .map(|&t| u64::from(t))
                .collect();
            assert_eq!(got, want, "{name}: {text:?}");
        }
    }
}
