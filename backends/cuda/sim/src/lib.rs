//! A PTX simulator for tests: the C interfaces of the CUDA driver and of cuBLASLt, as far as
//! `relscale-cuda` calls them, on a machine without a GPU.
//!
//! The shared library of this package, under the names `libcuda.so` and `libcublasLt.so`, runs the
//! unmodified host code and the exact PTX of the backend, and reports what a GPU would let pass:
//! races in shared memory, data used before `cp.async` has delivered it, accesses out of bounds,
//! divergence at barriers. [`harness::on_simulator`] runs a test on it. [`Device`] is the same without
//! the C interface. See the README for the limits.

mod abi;
mod alu;
mod config;
mod device;
mod exec;
mod gemm;
pub mod harness;
mod memory;
mod mma;
mod ptx;

pub use config::Config;
pub use device::{Device, Failure, Program};
pub use exec::{FaultKind, Report};
pub use ptx::LoadError;
