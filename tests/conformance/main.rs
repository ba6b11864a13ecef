//! The conformance kit on every backend in the tree, and proof that it notices faulty ones.

mod faults;
mod repeatable;

use relscale::backend::Reference;
use relscale::conformance::{
    Determinism, Roundoff, UNIT_ROUNDOFF_BF16, UNIT_ROUNDOFF_F32, UNIT_ROUNDOFF_F64,
};
use relscale::conformance_tests;
use relscale_cpu::{Cpu, Precision};

conformance_tests!(
    reference_f32,
    || Reference::<f32>::new(),
    UNIT_ROUNDOFF_F32,
    Determinism::Bitwise
);
conformance_tests!(
    reference_f64,
    || Reference::<f64>::new(),
    UNIT_ROUNDOFF_F64,
    Determinism::Bitwise
);
conformance_tests!(cpu, Cpu::new, UNIT_ROUNDOFF_F32, Determinism::Bitwise);
conformance_tests!(
    cpu_one_thread,
    || Cpu::with_threads(1).unwrap(),
    UNIT_ROUNDOFF_F32,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_three_threads,
    || Cpu::with_threads(3).unwrap(),
    UNIT_ROUNDOFF_F32,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_scalar,
    || instructions("scalar"),
    UNIT_ROUNDOFF_F32,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_avx2,
    || instructions("avx2"),
    UNIT_ROUNDOFF_F32,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_avx512,
    || instructions("avx512"),
    UNIT_ROUNDOFF_F32,
    Determinism::Bitwise
);

conformance_tests!(
    cpu_bf16,
    || Cpu::new().with_precision(Precision::Bf16),
    BF16,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_bf16_scalar,
    || instructions("scalar").with_precision(Precision::Bf16),
    BF16,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_bf16_avx2,
    || instructions("avx2").with_precision(Precision::Bf16),
    BF16,
    Determinism::Bitwise
);
conformance_tests!(
    cpu_bf16_avx512,
    || instructions("avx512").with_precision(Precision::Bf16),
    BF16,
    Determinism::Bitwise
);

/// Products of bfloat16, everything else in `f32`.
const BF16: Roundoff = Roundoff {
    arithmetic: UNIT_ROUNDOFF_F32,
    operands: UNIT_ROUNDOFF_BF16,
    // 2⁻⁵⁶, as `Precision::Bf16` says.
    smallest: 1.0 / (1u64 << 56) as f64,
};

/// The CPU backend on one instruction set, or on the best one where the processor lacks it.
fn instructions(name: &str) -> Cpu {
    Cpu::new().with_instructions(name).unwrap_or_else(|error| {
        println!("{error}; tested on another instruction set instead");
        Cpu::new()
    })
}
