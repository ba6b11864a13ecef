//! The conformance kit on the device in `f32`, where its bounds are tightest.

mod common;

use common::{device, on_device};
use relscale::conformance::{Determinism, UNIT_ROUNDOFF_F32};
use relscale_cuda::Precision;

/// One algorithm per weight is meant to give a row the same bits in any batch. That holds where an
/// algorithm is one order of summation, as on the simulator, whose algorithms differ in that order. A GPU
/// has to show it (`examples/probe.rs`); there the same call is asked to give the same bits.
fn promise() -> Determinism {
    if std::env::var_os("RELSCALE_CUDA_GPU").is_some() {
        Determinism::Repeatable
    } else {
        Determinism::Bitwise
    }
}

relscale::conformance_tests!(
    cuda,
    || device(Precision::F32),
    UNIT_ROUNDOFF_F32,
    promise(),
    on_device
);
