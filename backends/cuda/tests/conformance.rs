//! The conformance kit on the device in `f32`, where its bounds are tightest.

mod common;

use common::{device, on_device};
use relscale::conformance::{Determinism, UNIT_ROUNDOFF_F32};
use relscale_cuda::Precision;

// cuBLASLt chooses its algorithm by the shape, so rounding may depend on the batch.
relscale::conformance_tests!(
    cuda,
    || device(Precision::F32),
    UNIT_ROUNDOFF_F32,
    Determinism::UpToRounding,
    on_device
);
