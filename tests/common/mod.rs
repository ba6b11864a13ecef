//! Helpers shared by the integration tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

pub(crate) mod folder;

use std::path::{Path, PathBuf};

use relscale::backend::Backend;
use relscale::model::{Batch, Model, Transformer};

/// A path under the test material that is not part of the repository; it stands beside it on the
/// developers' machines. Tests that call this are in a module `material` and ignored by default:
/// `cargo test -- --ignored material::` runs them, and fails where the material is missing.
pub(crate) fn material(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(path);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// A file or folder of the test fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// Adds `ids` as one sequence with every token from the second on scored.
pub(crate) fn rolling(batch: &mut Batch, ids: &[u32]) {
    let segment = batch.segment(None, &ids[..ids.len() - 1]).unwrap();
    for (offset, &token) in ids[1..].iter().enumerate() {
        batch.target(segment, offset, token).unwrap();
    }
}

/// One token sequence with the log-probabilities of each token from the second on.
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    pub(crate) numpy_f64: Vec<f64>,
    pub(crate) transformers_f64: Vec<f64>,
    pub(crate) transformers_f32: Vec<f64>,
}

/// The sequences of a file in the form of `golden.json`.
pub(crate) fn sequences(file: &Path) -> Vec<Sequence> {
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
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
pub(crate) fn score<B: Backend>(model: &Transformer<B>, sequences: &[Sequence]) -> Vec<Vec<f64>> {
    let mut batch = Batch::new();
    for sequence in sequences {
        rolling(&mut batch, &sequence.tokens);
    }
    let mut all = model.log_likelihoods(&batch).unwrap().into_iter();
    sequences
        .iter()
        .map(|s| all.by_ref().take(s.tokens.len() - 1).collect())
        .collect()
}

/// Largest difference.
pub(crate) fn worst(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst, (g, w)| {
        assert!(g.is_finite());
        f64::max(worst, (g - w).abs())
    })
}
