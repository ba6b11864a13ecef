//! Tiny random checkpoints of every supported architecture and option against transformers and
//! against an f64 forward in numpy; `tests/fixtures/make_checkpoints.py` makes both.

use crate::common;

use std::path::PathBuf;

use crate::common::{score, sequences, worst};
use relscale::backend::Reference;
use relscale::model::{Architecture, Config, Transformer};
use relscale_cpu::Cpu;
use safetensors::SafeTensors;

fn checkpoints() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["checkpoints", "architectures"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(common::fixture(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    assert!(found.len() >= 49, "{found:?}");
    found
}

#[test]
fn every_architecture_has_a_checkpoint() {
    let known: Vec<Architecture> = checkpoints()
        .iter()
        .map(|dir| Config::load(dir).unwrap().architecture)
        .collect();
    for architecture in Architecture::ALL {
        assert!(known.contains(architecture), "{architecture:?}");
    }
}

#[test]
fn parameters_are_the_elements_of_the_tensors() {
    for dir in checkpoints() {
        let config = Config::load(&dir).unwrap();
        let mut elements = 0;
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                let bytes = std::fs::read(path).unwrap();
                for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                    // What old files carry without use, and what reads pictures.
                    let unused = name.ends_with("attention.bias")
                        || name.ends_with("masked_bias")
                        || name.starts_with("vision_tower.")
                        || name.starts_with("multi_modal_projector.");
                    if !unused {
                        elements += tensor.shape().iter().product::<usize>() as u64;
                    }
                }
            }
        }
        assert_eq!(config.parameters(), elements, "{}", dir.display());
    }
}

#[test]
fn the_f64_reference_agrees_with_numpy_and_transformers() {
    for dir in checkpoints() {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let model = Transformer::load(&dir, Reference::<f64>::new()).unwrap();
        let sequences = sequences(&dir.join("golden.json"));
        let (mut numpy, mut hf) = (0.0f64, 0.0f64);
        for (got, want) in score(&model, &sequences).iter().zip(&sequences) {
            numpy = numpy.max(worst(got, &want.numpy_f64));
            hf = hf.max(worst(got, &want.transformers_f64));
        }
        println!("{name:26} numpy f64 {numpy:.1e}   transformers f64 {hf:.1e}");
        assert!(numpy < 1e-9, "{name}: {numpy:e} from numpy");
        assert!(hf < 5e-6, "{name}: {hf:e} from transformers in f64");
    }
}

#[test]
fn the_cpu_agrees_with_numpy_and_transformers() {
    for dir in checkpoints() {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let model = Transformer::load(&dir, Cpu::new()).unwrap();
        let sequences = sequences(&dir.join("golden.json"));
        let (mut numpy, mut hf) = (0.0f64, 0.0f64);
        for (got, want) in score(&model, &sequences).iter().zip(&sequences) {
            numpy = numpy.max(worst(got, &want.numpy_f64));
            hf = hf.max(worst(got, &want.transformers_f32));
        }
        println!("{name:26} numpy f64 {numpy:.1e}   transformers f32 {hf:.1e}");
        assert!(numpy < 5e-5, "{name}: {numpy:e} from numpy");
        assert!(hf < 1e-4, "{name}: {hf:e} from transformers in f32");
    }
}
