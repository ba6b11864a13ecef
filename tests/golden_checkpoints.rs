//! Tiny random checkpoints of every supported architecture and option against transformers and
//! against an f64 forward in numpy; `tests/fixtures/make_checkpoints.py` makes both.

mod common;

use std::path::PathBuf;

use relscale::backend::Backend;
use relscale::backend::reference::Reference;
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::Cpu;

/// One token sequence with the log-probabilities of each token from the second on.
struct Sequence {
    tokens: Vec<u32>,
    numpy_f64: Vec<f64>,
    transformers_f64: Vec<f64>,
    transformers_f32: Vec<f64>,
}

fn checkpoints() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["checkpoints", "architectures"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(common::fixture(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    assert!(found.len() >= 21, "{found:?}");
    found
}

fn sequences(dir: &std::path::Path) -> Vec<Sequence> {
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("golden.json")).unwrap()).unwrap();
    let numbers = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    golden["sequences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| Sequence {
            tokens: numbers(&s["tokens"]).iter().map(|&t| t as u32).collect(),
            numpy_f64: numbers(&s["logprobs_numpy_f64"]),
            transformers_f64: numbers(&s["logprobs_f64"]),
            transformers_f32: numbers(&s["logprobs_f32"]),
        })
        .collect()
}

/// All sequences in one batch, so that packing is part of what is checked.
fn score<B: Backend>(model: &Transformer<B>, sequences: &[Sequence]) -> Vec<Vec<f64>> {
    let mut batch = Batch::new();
    for sequence in sequences {
        common::rolling(&mut batch, &sequence.tokens);
    }
    let mut all = model.log_likelihoods(&batch).unwrap().into_iter();
    sequences
        .iter()
        .map(|s| all.by_ref().take(s.tokens.len() - 1).collect())
        .collect()
}

fn worst(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst, (g, w)| {
        assert!(g.is_finite());
        f64::max(worst, (g - w).abs())
    })
}

#[test]
fn the_f64_reference_agrees_with_numpy_and_transformers() {
    for dir in checkpoints() {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let model = Transformer::load(&dir, Reference::<f64>::new()).unwrap();
        let sequences = sequences(&dir);
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
        let sequences = sequences(&dir);
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
