//! A third-party backend: the three required methods and the kernels it makes fast. The provided
//! methods do the rest, and the conformance kit checks the result.

mod common;

use relscale::backend::{Backend, Reference, Tensor};
use relscale::conformance::{Determinism, UNIT_ROUNDOFF_F32};
use relscale::model::{Batch, Model, Transformer};
use relscale::{Error, conformance_tests};

/// Plain vectors, with its own sum.
struct Plain;

impl Backend for Plain {
    type Buffer = Vec<f32>;

    fn name(&self) -> &str {
        "plain"
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Vec<f32>, Error> {
        match tensor.rows.checked_mul(tensor.cols) {
            Some(len) if len == tensor.values.len() => Ok(tensor.values.to_f32()),
            _ => Err(Error::backend("plain", "the values do not fill the shape")),
        }
    }

    fn read(&self, buffer: &Vec<f32>) -> Result<Vec<f32>, Error> {
        Ok(buffer.clone())
    }

    fn add(&self, mut x: Vec<f32>, y: &Vec<f32>) -> Result<Vec<f32>, Error> {
        if x.len() != y.len() {
            return Err(Error::backend("plain", "summands of different lengths"));
        }
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
        Ok(x)
    }
}

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
