//! Products with packed weights beside the `gemm` crate, in alternation in one process.
//!
//! `cargo bench --bench gemm [-- FILTER] [--threads N] [--milliseconds N]` prints a line a shape:
//! our time in f32 and in bf16, the ratio to the other's, and the share of the binding roof. A
//! ratio above 1 means that ours is faster. The other gets its weights input by input, as it
//! likes them best, outside the measured time, and both write to memory they have written before.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::hint::black_box;

use common::roof::{Roof, instruction_sets};
use common::{arguments, duel, values};
use half::bf16;
use relscale::backend::{Backend, Columns, Linear, Role, Tensor, Values};
use relscale_cpu::{Buffer, Cpu};

/// Row-major operands: `x` of `rows × inputs`, `w` of `inputs × outputs`.
struct Operands<'a> {
    x: &'a [f32],
    w: &'a [f32],
    rows: usize,
    inputs: usize,
    outputs: usize,
}

/// `out ← x·w` by the other crate.
fn other(o: &Operands<'_>, out: &mut [f32], threads: usize) {
    assert_eq!(o.x.len(), o.rows * o.inputs);
    assert_eq!(o.w.len(), o.inputs * o.outputs);
    assert_eq!(out.len(), o.rows * o.outputs);
    let parallelism = match threads {
        1 => gemm::Parallelism::None,
        n => gemm::Parallelism::Rayon(n),
    };
    // SAFETY: the three operands are row-major and of the lengths checked above.
    unsafe {
        gemm::gemm(
            o.rows,
            o.outputs,
            o.inputs,
            out.as_mut_ptr(),
            1,
            o.outputs as isize,
            false,
            o.x.as_ptr(),
            1,
            o.inputs as isize,
            o.w.as_ptr(),
            1,
            o.outputs as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn upload(cpu: &Cpu, values: Values<'_>, rows: usize, cols: usize, role: Role) -> Buffer {
    let tensor = Tensor {
        values,
        rows,
        cols,
        role,
    };
    cpu.upload(&tensor).expect("a well-formed tensor")
}

fn main() {
    let arguments = arguments(250);
    let threads = arguments.threads;
    println!(
        "{:>5} {:>5} {:>7} {:>8} {:>9} {:>9} {:>7} {:>9} {:>7} {:>12}",
        "isa", "rows", "inputs", "outputs", "µs", "GFLOP/s", "×gemm", "bf16 µs", "bf16/f32", "roof"
    );
    for name in instruction_sets() {
        if name == "scalar" && !arguments.test {
            continue;
        }
        let cpu = Cpu::with_threads(threads)
            .and_then(|cpu| cpu.with_instructions(name))
            .expect("an instruction set of this processor");
        let roof = Roof::measure(name, threads, arguments.budget);
        let mut shapes = Vec::new();
        for (hidden, mlp) in [(256, 768), (512, 1536), (768, 2048)] {
            shapes.push((hidden, 3 * hidden));
            shapes.push((hidden, 2 * mlp));
            shapes.push((mlp, hidden));
        }
        if !arguments.test {
            shapes.push((512, 128_256));
            shapes.push((768, 128_256));
        }
        for (inputs, outputs) in shapes {
            let key = format!("{name}/{inputs}x{outputs}");
            if !arguments.wants(&key) {
                continue;
            }
            let w = values(inputs * outputs);
            let mut transposed = vec![0.0f32; inputs * outputs];
            for (i, row) in w.chunks_exact(outputs).enumerate() {
                for (o, &x) in row.iter().enumerate() {
                    transposed[o * inputs + i] = x;
                }
            }
            let half: Vec<bf16> = transposed.iter().map(|&x| bf16::from_f32(x)).collect();
            let weight = upload(
                &cpu,
                Values::F32(&transposed),
                outputs,
                inputs,
                Role::Matrix,
            );
            let weight_half = upload(&cpu, Values::Bf16(&half), outputs, inputs, Role::Matrix);
            drop((transposed, half));
            for rows in [1, 7, 64, 512] {
                let x = values(rows * inputs);
                let dense = upload(&cpu, Values::F32(&x), rows, inputs, Role::Dense);
                let mut out = vec![0.0f32; rows * outputs];
                let operands = Operands {
                    x: &x,
                    w: &w,
                    rows,
                    inputs,
                    outputs,
                };
                other(&operands, &mut out, threads);
                let run = |weight: &Buffer| {
                    let op = Linear {
                        weight,
                        bias: None,
                        inputs,
                        outputs,
                    };
                    cpu.linear(Columns::all(&dense, rows, inputs), &op)
                        .expect("operands that fit")
                };
                for (ours, theirs) in cpu.read(&run(&weight)).expect("readable").iter().zip(&out) {
                    let (error, bound) = ((ours - theirs).abs(), 1e-6 * inputs as f32);
                    assert!(error < bound, "{key}: {ours} and {theirs}");
                }
                let seconds = duel(
                    threads,
                    arguments.budget,
                    &mut [
                        &mut || drop(black_box(run(&weight))),
                        &mut || other(black_box(&operands), &mut out, threads),
                        &mut || drop(black_box(run(&weight_half))),
                    ],
                );
                let [ours, theirs, halved] = [seconds[0], seconds[1], seconds[2]];
                let flops = (2 * rows * inputs * outputs) as f64;
                let bytes = 4.0 * (inputs * outputs + rows * (inputs + outputs)) as f64;
                let (share, binding) = roof.share(flops, bytes, ours);
                println!(
                    "{:>5} {rows:>5} {inputs:>7} {outputs:>8} {:>9.1} {:>9.1} {:>7.2} {:>9.1} {:>7.2} {:>5.0} % {binding}",
                    &name[..name.len().min(6)],
                    ours * 1e6,
                    flops / ours / 1e9,
                    theirs / ours,
                    halved * 1e6,
                    ours / halved,
                    100.0 * share,
                );
            }
        }
    }
}
