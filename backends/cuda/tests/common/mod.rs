//! The device that tests run on.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::path::PathBuf;

use relscale::backend::{Backend, Role, Tensor, Values};
use relscale_cuda::{Buffer, Cuda, Precision};
use relscale_cuda_sim::harness::{self, Simulator};

/// Runs the body of a test on the simulator, or with `RELSCALE_CUDA_GPU=1` on the machine's GPU.
pub(crate) fn on_device(body: impl FnOnce()) {
    harness::on_simulator(|| {
        println!("device: {}", device(Precision::F32).device_name());
        body();
    });
}

/// Runs the body on a simulated machine that these environment variables describe; never on a GPU.
pub(crate) fn on_machine(variables: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os("RELSCALE_CUDA_GPU").is_some() {
        println!("skipped: needs {variables:?} of the simulator");
        return;
    }
    variables
        .iter()
        .fold(Simulator::new(), |machine, (name, value)| {
            machine.set(name, value)
        })
        .run(body);
}

/// The checkpoints and goldens of the root package. A test that runs elsewhere than it was built finds
/// them through the variable that Cargo sets.
pub(crate) fn fixtures() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../../tests/fixtures")
}

/// The backend, where there has to be one.
pub(crate) fn device(precision: Precision) -> Cuda {
    Cuda::new(precision).unwrap_or_else(|error| panic!("{error}"))
}

/// A tensor of `rows` rows on the device.
pub(crate) fn upload(cuda: &Cuda, values: &[f32], rows: usize, role: Role) -> Buffer {
    let tensor = Tensor {
        values: Values::F32(values),
        rows,
        cols: values.len() / rows,
        role,
    };
    cuda.upload(&tensor).unwrap()
}
