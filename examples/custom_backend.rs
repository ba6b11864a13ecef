//! A backend of your own: three required methods, the kernels you make fast, and the conformance kit.
//!
//! ```sh
//! cargo run --release --example custom_backend
//! ```
//!
//! In a crate of your own the checks are tests: `relscale::conformance_tests!(plain, || Plain,
//! UNIT_ROUNDOFF_F32, Determinism::Bitwise)` expands to one `#[test]` per check.

use std::process::ExitCode;

use relscale::Error;
use relscale::backend::{Backend, Tensor};
use relscale::conformance::{Determinism, Kit, UNIT_ROUNDOFF_F32};

/// Plain vectors. Every kernel but `add` is the provided one.
pub(crate) struct Plain;

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

fn main() -> ExitCode {
    let kit = Kit::new(|| Plain, UNIT_ROUNDOFF_F32, Determinism::Bitwise);
    let mut failed = 0;
    for (name, check) in Kit::<Plain>::checks() {
        match check(&kit) {
            Ok(()) => println!("{name}: passed"),
            Err(failure) => {
                println!("{name}: {failure}");
                failed += 1;
            }
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
