//! Products with packed weights compared with the `gemm` crate, in alternation in one process.
//!
//! `cargo run --release --manifest-path benches/peers/gemm/Cargo.toml -- [FILTER] [--threads N]
//! [--milliseconds N]` prints one line per shape: our time with weights in f32 and in bf16, the ratio of the crate's time to ours (above 1 ours is
//! faster), and our share of the binding roof. Lines of precision bf16 round both operands to bfloat16,
//! in which the crate, which computes in f32, does not follow. The crate gets its weights transposed, in the layout
//! it is fastest with, outside the measured time. Both write to memory they have written before.

#[allow(dead_code, reason = "every benchmark uses its own part")]
#[path = "../../../common/mod.rs"]
mod common;

use std::hint::black_box;

use common::roof::{self, Roof, instruction_sets};
use common::{Arguments, arguments, duel, upload_values, values};
use half::bf16;
use relscale::backend::{Backend, Columns, Linear, Role, Values};
use relscale_cpu::{Buffer, Cpu, Precision};

/// Row-major operands: `x` of `rows × inputs`, `w` of `inputs × outputs`.
struct Operands<'a> {
    x: &'a [f32],
    w: &'a [f32],
    rows: usize,
    inputs: usize,
    outputs: usize,
}

/// `out ← x·w` by the crate.
fn theirs(o: &Operands<'_>, out: &mut [f32], threads: usize) {
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

/// The weights of one shape in every form that is measured.
struct Weights {
    inputs: usize,
    outputs: usize,
    /// Input by input, for the crate.
    by_input: Vec<f32>,
    packed: Buffer,
    packed_bf16: Buffer,
}

impl Weights {
    fn new(cpu: &Cpu, inputs: usize, outputs: usize) -> Self {
        let by_input = values(inputs * outputs);
        let mut by_output = vec![0.0f32; inputs * outputs];
        for (i, row) in by_input.chunks_exact(outputs).enumerate() {
            for (o, &x) in row.iter().enumerate() {
                by_output[o * inputs + i] = x;
            }
        }
        let half: Vec<bf16> = by_output.iter().map(|&x| bf16::from_f32(x)).collect();
        let pack = |values| upload_values(cpu, values, outputs, inputs, Role::Matrix);
        Self {
            inputs,
            outputs,
            packed: pack(Values::F32(&by_output)),
            packed_bf16: pack(Values::Bf16(&half)),
            by_input,
        }
    }
}

/// The backend on one instruction set.
struct Bench<'a> {
    arguments: &'a Arguments,
    /// Instruction set and precision.
    name: String,
    cpu: Cpu,
    roof: Roof,
}

impl Bench<'_> {
    fn shapes(&self) -> Vec<(usize, usize)> {
        let mut shapes = Vec::new();
        for (hidden, mlp) in [(256, 768), (512, 1536), (768, 2048)] {
            // Queries, keys and values; gate and up; down.
            shapes.push((hidden, 3 * hidden));
            shapes.push((hidden, 2 * mlp));
            shapes.push((mlp, hidden));
        }
        if !self.arguments.test {
            // LM heads.
            shapes.push((512, 128_256));
            shapes.push((768, 128_256));
        }
        shapes.retain(|(inputs, outputs)| {
            let key = format!("{}/{inputs}x{outputs}", self.name.replace(' ', "-"));
            self.arguments.wants(&key)
        });
        shapes
    }

    fn ours(&self, x: &Buffer, rows: usize, weights: &Weights, weight: &Buffer) -> Buffer {
        let (inputs, outputs) = (weights.inputs, weights.outputs);
        let op = Linear {
            weight,
            bias: None,
            inputs,
            outputs,
        };
        self.cpu
            .linear(Columns::all(x, rows, inputs), &op)
            .expect("operands that fit")
    }

    /// Measures one number of rows and prints its line.
    fn measure(&self, weights: &Weights, rows: usize) {
        let (inputs, outputs) = (weights.inputs, weights.outputs);
        let threads = self.arguments.threads;
        let x = values(rows * inputs);
        let dense = upload_values(&self.cpu, Values::F32(&x), rows, inputs, Role::Dense);
        let mut out = vec![0.0f32; rows * outputs];
        let operands = Operands {
            x: &x,
            w: &weights.by_input,
            rows,
            inputs,
            outputs,
        };
        theirs(&operands, &mut out, threads);
        let result = self.ours(&dense, rows, weights, &weights.packed);
        let result = self.cpu.read(&result).expect("readable");
        for (ours, theirs) in result.iter().zip(&out) {
            // Sums of products below 1 in two orders: far more than their rounding.
            let rounding = match self.cpu.precision() {
                Precision::F32 => 1e-6,
                Precision::Bf16 => 1e-2,
            };
            let (error, bound) = ((ours - theirs).abs(), rounding * inputs as f32);
            assert!(error < bound, "{inputs}x{outputs}: {ours} and {theirs}");
        }
        let seconds = duel(
            threads,
            self.arguments.budget,
            &mut [
                &mut || drop(black_box(self.ours(&dense, rows, weights, &weights.packed))),
                &mut || theirs(black_box(&operands), &mut out, threads),
                &mut || {
                    drop(black_box(self.ours(
                        &dense,
                        rows,
                        weights,
                        &weights.packed_bf16,
                    )))
                },
            ],
        );
        self.print(&operands, [seconds[0], seconds[1], seconds[2]]);
    }

    fn print(&self, o: &Operands<'_>, [ours, theirs, halved]: [f64; 3]) {
        let (rows, inputs, outputs) = (o.rows, o.inputs, o.outputs);
        let flops = (2 * rows * inputs * outputs) as f64;
        let weight = match self.cpu.precision() {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        let bytes = (weight * inputs * outputs + 4 * rows * (inputs + outputs)) as f64;
        let (share, binding) = self.roof.share(flops, bytes, ours);
        println!(
            "{:>14} {rows:>5} {inputs:>7} {outputs:>8} {:>9.1} {:>9.1} {:>7.2} {:>9.1} {:>8.2} {:>5.0} % {binding}",
            self.name,
            ours * 1e6,
            flops / ours / 1e9,
            theirs / ours,
            halved * 1e6,
            ours / halved,
            100.0 * share,
        );
    }
}

fn main() {
    let arguments = arguments(250);
    let threads = arguments.threads;
    println!(
        "{:>14} {:>5} {:>7} {:>8} {:>9} {:>9} {:>7} {:>9} {:>8} {:>12}",
        "isa", "rows", "inputs", "outputs", "µs", "GFLOP/s", "×gemm", "bf16 µs", "f32/bf16", "roof"
    );
    for name in instruction_sets() {
        // The crate always uses the vector instructions of the processor.
        if name == "scalar" && !arguments.test {
            continue;
        }
        let roof = Roof::measure(name, threads, arguments.budget);
        // Instructions of bf16 in their own precision; the others in both.
        let mut precisions = vec![roof::precision(name)];
        if name == "avx2" {
            precisions.push(Precision::Bf16);
        }
        for precision in precisions {
            let cpu = Cpu::with_threads(threads)
                .and_then(|cpu| cpu.with_instructions(name))
                .expect("an instruction set of this processor")
                .with_precision(precision);
            let bench = Bench {
                arguments: &arguments,
                name: format!("{name} {precision:?}").to_lowercase(),
                cpu,
                roof,
            };
            for (inputs, outputs) in bench.shapes() {
                let weights = Weights::new(&bench.cpu, inputs, outputs);
                for rows in [1, 7, 64, 512] {
                    bench.measure(&weights, rows);
                }
            }
        }
    }
}
