//! The conformance kit on every backend in the tree, and proof that it notices wrong ones.

use relscale::backend::reference::Reference;
use relscale::conformance::{Promise, UNIT_ROUNDOFF_F32, UNIT_ROUNDOFF_F64};
use relscale::conformance_tests;
use relscale_cpu::Cpu;

conformance_tests!(reference_f32, || Reference::<f32>::new(), UNIT_ROUNDOFF_F32, Promise::Bitwise);
conformance_tests!(reference_f64, || Reference::<f64>::new(), UNIT_ROUNDOFF_F64, Promise::Bitwise);
conformance_tests!(cpu, Cpu::new, UNIT_ROUNDOFF_F32, Promise::Bitwise);
conformance_tests!(
    cpu_one_thread,
    || Cpu::with_threads(1).unwrap(),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(
    cpu_three_threads,
    || Cpu::with_threads(3).unwrap(),
    UNIT_ROUNDOFF_F32,
    Promise::Bitwise
);
conformance_tests!(cpu_scalar, || instructions("scalar"), UNIT_ROUNDOFF_F32, Promise::Bitwise);
conformance_tests!(cpu_avx2, || instructions("avx2"), UNIT_ROUNDOFF_F32, Promise::Bitwise);
conformance_tests!(cpu_avx512, || instructions("avx512"), UNIT_ROUNDOFF_F32, Promise::Bitwise);

/// The CPU backend on one instruction set; on the best there is where the processor lacks it.
fn instructions(name: &str) -> Cpu {
    Cpu::new().with_instructions(name).unwrap_or_else(|error| {
        println!("skipped: {error}");
        Cpu::new()
    })
}
