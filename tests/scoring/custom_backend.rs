//! The example of a third-party backend: the conformance kit checks it, and a checkpoint scores on it
//! as on the reference.

use crate::common;

#[path = "../../examples/custom_backend.rs"]
#[allow(dead_code, reason = "its main function is for the example")]
mod example;

use example::Plain;
use relscale::backend::Reference;
use relscale::conformance::{Determinism, UNIT_ROUNDOFF_F32};
use relscale::conformance_tests;
use relscale::model::{Batch, Model, Transformer};

conformance_tests!(plain, || Plain, UNIT_ROUNDOFF_F32, Determinism::Bitwise);

#[test]
fn a_checkpoint_scores_as_on_the_reference() {
    let checkpoint = common::fixture("checkpoints/qwen3-gqa");
    let mine = Transformer::load(&checkpoint, Plain).unwrap();
    let exact = Transformer::load(&checkpoint, Reference::<f64>::new()).unwrap();
    let mut batch = Batch::new();
    common::rolling(&mut batch, &[5, 3, 71, 19, 2, 44, 30]);
    let (got, want) = (
        mine.log_likelihoods(&batch).unwrap(),
        exact.log_likelihoods(&batch).unwrap(),
    );
    assert_eq!(got.len(), 6);
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 5e-5, "{got} instead of {want}");
        assert!(*got < 0.0);
    }
}
