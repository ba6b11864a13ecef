//! `Determinism::Repeatable` asks for equal bits from equal calls, and only from them.

use std::sync::atomic::{AtomicU32, Ordering};

use relscale::Error;
use relscale::backend::{Backend, Reference, Tensor};
use relscale::conformance::{Determinism, Kit, UNIT_ROUNDOFF_F32};

/// The reference, whose every other transfer to the host is off by one rounding.
struct Drifting {
    calls: AtomicU32,
}

impl Backend for Drifting {
    type Buffer = Vec<f32>;

    fn name(&self) -> &str {
        "drifting"
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Vec<f32>, Error> {
        Reference::<f32>::new().upload(tensor)
    }

    fn read(&self, buffer: &Vec<f32>) -> Result<Vec<f32>, Error> {
        let factor = match self.calls.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => 1.0,
            _ => 1.0 + f32::EPSILON,
        };
        Ok(buffer.iter().map(|x| x * factor).collect())
    }
}

#[test]
fn results_that_drift_from_call_to_call_are_noticed() {
    let drifting = || Drifting {
        calls: AtomicU32::new(0),
    };
    let kit = |promise| Kit::new(drifting, UNIT_ROUNDOFF_F32, promise);
    let strict = kit(Determinism::Repeatable);
    let failure = strict.model_repeatability().unwrap_err().to_string();
    assert!(failure.contains("again"), "{failure}");
    // In other company it may round otherwise.
    strict.model_packing().unwrap();
    kit(Determinism::UpToRounding)
        .model_repeatability()
        .unwrap();
}
