//! The kernels of the CPU backend at the shapes of small and medium models, each with its share of the
//! binding roof.
//!
//! `cargo bench --bench kernels [-- FILTER] [--threads N]` measures; with `-- --test` every
//! benchmark runs once.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::hint::black_box;

use common::roof::{self, Roof};
use common::{Arguments, arguments, best, upload, upload_values, values};
use half::bf16;
use relscale::backend::{
    Activation, Attention, Backend, Columns, Linear, LogProb, Norm, NormKind, Role, Rope, Segment,
    Target, Values,
};
use relscale_cpu::{Buffer, Cpu, Precision};

struct Bench {
    arguments: Arguments,
    cpu: Cpu,
    roof: Roof,
}

impl Bench {
    /// Measures `run`, which does `flops` operations on `bytes` bytes, each counted once, and prints it.
    fn report<T>(&self, name: &str, flops: usize, bytes: usize, run: impl Fn() -> T) {
        if !self.arguments.wants(name) {
            return;
        }
        let Arguments {
            threads, budget, ..
        } = self.arguments;
        let seconds = best(threads, budget, || drop(black_box(run())));
        let (share, binding) = self.roof.share(flops as f64, bytes as f64, seconds);
        println!(
            "{name:32} {:10.1} µs {:8.1} GFLOP/s {:7.1} GB/s {:5.0} % of {binding}",
            seconds * 1e6,
            flops as f64 / seconds / 1e9,
            bytes as f64 / seconds / 1e9,
            100.0 * share
        );
    }

    /// A weight as the checkpoint may store it, with a suffix of the benchmark's name: products in `f32` keep
    /// bfloat16, so that they are measured with both.
    fn weights(&self, outputs: usize, inputs: usize) -> Vec<(&'static str, Buffer)> {
        let plain = upload(&self.cpu, outputs, inputs, Role::Matrix);
        if self.cpu.precision() == Precision::Bf16 {
            return vec![("", plain)];
        }
        let halves: Vec<bf16> = values(outputs * inputs)
            .into_iter()
            .map(bf16::from_f32)
            .collect();
        let halves = Values::Bf16(&halves);
        let halves = upload_values(&self.cpu, halves, outputs, inputs, Role::Matrix);
        vec![("", plain), ("/bf16", halves)]
    }

    fn linear(&self) {
        let cpu = &self.cpu;
        for (inputs, outputs) in [
            (64, 256),
            (256, 1024),
            (768, 2304),
            (768, 4096),
            (2048, 768),
        ] {
            for (stored, weight) in self.weights(outputs, inputs) {
                for rows in [1, 7, 64, 512] {
                    let x = upload(cpu, rows, inputs, Role::Dense);
                    let op = Linear {
                        weight: &weight,
                        bias: None,
                        inputs,
                        outputs,
                    };
                    self.report(
                        &format!("linear/{rows}x{inputs}x{outputs}{stored}"),
                        // One multiplication and one addition per weight and row.
                        2 * rows * inputs * outputs,
                        4 * (inputs * outputs + rows * (inputs + outputs)),
                        || cpu.linear(Columns::all(&x, rows, inputs), black_box(&op)),
                    );
                }
            }
        }
    }

    fn attention(&self) {
        let cpu = &self.cpu;
        for (rows, heads, head_dim, soft_cap) in [
            (256, 4, 16, None),
            (512, 4, 64, None),
            (512, 12, 64, None),
            (512, 12, 64, Some(50.0)),
            (2048, 12, 64, None),
        ] {
            let width = heads * head_dim;
            let [q, k, v] = [0; 3].map(|_| upload(cpu, rows, width, Role::Dense));
            let segments = [Segment {
                start: 0,
                len: rows,
                parent: None,
                position: 0,
            }];
            let op = Attention {
                segments: &segments,
                heads,
                kv_heads: heads,
                head_dim,
                scale: 0.125,
                window: None,
                soft_cap,
                slopes: None,
            };
            let [q, k, v] = [&q, &k, &v].map(|x| Columns::all(x, rows, width));
            let capped = if soft_cap.is_some() { "/capped" } else { "" };
            self.report(
                &format!("attention/{rows}x{heads}x{head_dim}{capped}"),
                // The causal half of both products.
                2 * rows * rows * width,
                4 * 4 * rows * width,
                || cpu.attention(q, k, v, black_box(&op)),
            );
        }
    }

    fn log_prob(&self) {
        let cpu = &self.cpu;
        for (rows, inputs, vocab, soft_cap) in [
            (512, 64, 260, None),
            (4096, 256, 512, None),
            (512, 768, 32_000, None),
            (512, 256, 32_000, None),
            (512, 256, 32_000, Some(30.0)),
        ] {
            let x = upload(cpu, rows, inputs, Role::Dense);
            let targets: Vec<Target> = (0..rows)
                .map(|row| Target {
                    row,
                    token: (row % vocab) as u32,
                })
                .collect();
            let capped = if soft_cap.is_some() { "/capped" } else { "" };
            for (stored, weight) in self.weights(vocab, inputs) {
                let op = LogProb {
                    weight: &weight,
                    bias: None,
                    inputs,
                    vocab,
                    soft_cap,
                    targets: &targets,
                };
                self.report(
                    &format!("log_prob/{rows}x{inputs}x{vocab}{capped}{stored}"),
                    2 * rows * inputs * vocab,
                    4 * (inputs * vocab + rows * inputs),
                    || cpu.log_prob(Columns::all(&x, rows, inputs), black_box(&op)),
                );
            }
        }
    }

    fn rows(&self) {
        let cpu = &self.cpu;
        let (rows, width, head_dim) = (512, 768, 64);
        let buffer = upload(cpu, rows, width, Role::Dense);
        let x = Columns::all(&buffer, rows, width);
        let weight = upload(cpu, 1, width, Role::Dense);
        let n = rows * width;
        for (name, kind) in [("rms", NormKind::Rms), ("layer", NormKind::Layer)] {
            let op = Norm {
                kind,
                epsilon: 1e-6,
                width,
                weight: &weight,
                bias: None,
            };
            self.report(&format!("rows/{name}_norm"), 4 * n, 8 * n, || {
                cpu.norm(x, black_box(&op))
            });
        }
        for (name, function) in [
            ("silu", Activation::Silu),
            ("gelu_tanh", Activation::GeluTanh),
            ("gelu_erf", Activation::GeluErf),
        ] {
            self.report(&format!("rows/{name}_gate"), 20 * n, 12 * n, || {
                cpu.activate(x, Some(x), black_box(function))
            });
        }
        let positions: Vec<u32> = (0..rows as u32).collect();
        let frequencies: Vec<f64> = (0..head_dim / 2)
            .map(|i| 1e4f64.powf(-2.0 * i as f64 / head_dim as f64))
            .collect();
        let op = Rope {
            positions: &positions,
            head_dim,
            frequencies: &frequencies,
            scale: 1.0,
        };
        self.report("rows/rope", 3 * n, 8 * n, || cpu.rope(x, black_box(&op)));
    }
}

fn main() {
    let arguments = arguments(200);
    let best = Cpu::new().instructions();
    // Only products know bf16.
    let mut precisions = vec![Precision::F32];
    if roof::precision(best) == Precision::Bf16 {
        precisions.push(Precision::Bf16);
    }
    for precision in precisions {
        let instructions = match (best, precision) {
            ("avx512bf16", Precision::F32) => "avx512",
            (best, _) => best,
        };
        let cpu = Cpu::with_threads(arguments.threads)
            .and_then(|cpu| cpu.with_instructions(instructions))
            .expect("threads")
            .with_precision(precision);
        let roof = Roof::measure(instructions, arguments.threads, arguments.budget);
        println!(
            "{} on {} thread(s): {:.0} GFLOP/s; {:.0}, {:.0} and {:.0} GB/s from the second cache, the last one and memory",
            instructions,
            arguments.threads,
            roof.peak / 1e9,
            roof.close / 1e9,
            roof.shared / 1e9,
            roof.far / 1e9
        );
        let bench = Bench {
            arguments: arguments.clone(),
            cpu,
            roof,
        };
        bench.linear();
        bench.log_prob();
        if precision == Precision::F32 {
            bench.attention();
            bench.rows();
        }
    }
}
