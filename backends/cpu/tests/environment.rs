//! A host program that changes the floating-point environment changes no bit.
#![cfg(target_arch = "x86_64")]

use std::arch::asm;

use relscale::Error;
use relscale::backend::{
    Activation, Attention, Backend, Columns, Linear, LogProb, Norm, NormKind, Role, Segment,
    Target, Tensor, Values,
};
use relscale_cpu::{Cpu, Precision};

/// Flush to zero (bit 15) and subnormal operands as zero (bit 6), as `torch.set_flush_denormal` sets them.
const FLUSH: u32 = 0x8040;
/// Rounding towards plus infinity.
const UP: u32 = 0x4000;

fn control() -> u32 {
    let mut value: u32 = 0;
    // SAFETY: the instruction writes the four bytes it is given.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value) };
    value
}

fn set(value: u32) {
    // SAFETY: the value is one that `control` returned, with bits set that every processor has.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value) };
}

/// Bits of every operation on numbers whose products and sums are subnormal.
fn bits(cpu: &Cpu) -> Result<Vec<u32>, Error> {
    const ROWS: usize = 64;
    const WIDTH: usize = 64;
    let numbers = |scale: f32, odd: usize| -> Vec<f32> {
        let one = |i: usize| ((i * odd) % 101) as f32 - 50.0;
        (0..ROWS * WIDTH).map(|i| one(i) * scale).collect()
    };
    let up = |values: &[f32], rows: usize, role: Role| {
        cpu.upload(&Tensor {
            values: Values::F32(values),
            rows,
            cols: values.len() / rows,
            role,
        })
    };
    // Arithmetic here is in the host's environment: products with a power of two are exact in every one,
    // and subnormal numbers are made from their bits.
    let small_power = f32::from_bits((127 - 66) << 23);
    let small = numbers(small_power, 7);
    let one = |i: usize| ((i % 2) as u32) << 31 | (1 + ((i * 13) % 101) as u32 * 70_000);
    let tiny: Vec<f32> = (0..ROWS * WIDTH).map(|i| f32::from_bits(one(i))).collect();
    let (x, y) = (
        up(&small, ROWS, Role::Dense)?,
        up(&tiny, ROWS, Role::Dense)?,
    );
    let w = up(&numbers(small_power, 11), WIDTH, Role::Matrix)?;
    let ones = up(&[1.0; WIDTH], 1, Role::Dense)?;
    let mut out = Vec::new();
    let mut keep = |values: &[f32]| out.extend(values.iter().map(|v| v.to_bits()));
    let (all_x, all_y) = (Columns::all(&x, ROWS, WIDTH), Columns::all(&y, ROWS, WIDTH));
    let linear = Linear {
        weight: &w,
        bias: None,
        inputs: WIDTH,
        outputs: WIDTH,
    };
    keep(&cpu.read(&cpu.linear(all_x, &linear)?)?);
    for kind in [NormKind::Rms, NormKind::Layer] {
        let norm = Norm {
            kind,
            epsilon: 1e-6,
            width: WIDTH,
            weight: &ones,
            bias: None,
        };
        keep(&cpu.read(&cpu.norm(all_y, &norm)?)?);
    }
    for function in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf] {
        keep(&cpu.read(&cpu.activate(all_y, Some(all_x), function)?)?);
    }
    let segments = [Segment {
        start: 0,
        len: ROWS,
        parent: None,
        position: 0,
    }];
    let attention = Attention {
        segments: &segments,
        heads: 1,
        kv_heads: 1,
        head_dim: WIDTH,
        scale: 1.0,
        window: None,
        soft_cap: None,
        slopes: None,
    };
    keep(&cpu.read(&cpu.attention(all_x, all_x, all_y, &attention)?)?);
    keep(&cpu.read(&cpu.add(up(&tiny, ROWS, Role::Dense)?, &x)?)?);
    keep(&cpu.read(&y)?);
    let targets: Vec<Target> = (0..ROWS).map(|row| Target { row, token: 3 }).collect();
    let head = LogProb {
        weight: &w,
        bias: None,
        inputs: WIDTH,
        vocab: WIDTH,
        soft_cap: None,
        targets: &targets,
    };
    let logs = cpu.log_prob(all_x, &head)?;
    out.extend(logs.iter().map(|v| v.to_bits() as u32));
    Ok(out)
}

#[test]
fn flushing_and_rounding_of_the_host_change_no_bit() -> Result<(), Error> {
    let standard = control();
    for precision in [Precision::F32, Precision::Bf16] {
        let expected = bits(&Cpu::with_threads(1)?.with_precision(precision))?;
        let subnormal = |bits: &&u32| **bits != 0 && f32::from_bits(**bits).is_subnormal();
        assert!(expected.iter().filter(subnormal).count() > 100);
        for mode in [FLUSH, UP, FLUSH | UP] {
            for threads in [1, 4] {
                // The threads inherit the host's environment if it is set before they start.
                let early = Cpu::with_threads(threads)?.with_precision(precision);
                set(standard | mode);
                let late = Cpu::with_threads(threads).map(|cpu| cpu.with_precision(precision));
                let found = [late.and_then(|cpu| bits(&cpu)), bits(&early)];
                let after = control();
                set(standard);
                // The flags of what happened aside, the host finds its own environment.
                assert_eq!(after & !0x3f, (standard | mode) & !0x3f);
                for found in found {
                    assert!(
                        found? == expected,
                        "{precision:?}, {mode:x}, {threads} threads"
                    );
                }
            }
        }
    }
    Ok(())
}
