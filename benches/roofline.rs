//! The machine's roofs: fused multiply-adds on registers per instruction set, bandwidth for working
//! sets from the first-level cache to memory, and the rate of the matrix kernel on operands in cache.
//! `avx512bf16` multiplies pairs of bfloat16.
//!
//! `cargo bench --bench roofline [-- --threads N]`

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use common::{arguments, best, roof, upload};
use relscale::backend::{Backend, Columns, Linear, Role};
use relscale_cpu::Cpu;

fn main() {
    let arguments = arguments(400);
    let mut counts = vec![1, arguments.threads];
    counts.dedup();
    for threads in counts {
        println!("{threads} thread(s)");
        for name in roof::instruction_sets() {
            let peak = roof::peak(name, threads, arguments.budget);
            let cpu = Cpu::with_threads(threads)
                .and_then(|cpu| cpu.with_instructions(name))
                .expect("an instruction set of this processor")
                .with_precision(roof::precision(name));
            // 256 KB of weights and 192 KB of activations stay in the second-level cache.
            let (rows, inputs, outputs) = (384, 128, 512);
            let weight = upload(&cpu, outputs, inputs, Role::Matrix);
            let x = upload(&cpu, rows, inputs, Role::Dense);
            let op = Linear {
                weight: &weight,
                bias: None,
                inputs,
                outputs,
            };
            let seconds = best(threads, arguments.budget, || {
                let y = cpu.linear(Columns::all(&x, rows, inputs), &op);
                drop(std::hint::black_box(y));
            });
            let kernel = (2 * rows * inputs * outputs) as f64 / seconds;
            println!(
                "  {name:10} peak {:7.1} GFLOP/s; product in cache {:7.1} ({:.0} %)",
                peak / 1e9,
                kernel / 1e9,
                100.0 * kernel / peak
            );
        }
        for bytes in [16 << 10, roof::CLOSE, roof::SHARED, roof::FAR] {
            if arguments.test && bytes > roof::SHARED {
                continue;
            }
            let bandwidth = roof::bandwidth(bytes, threads, arguments.budget);
            println!(
                "  reading {:>6} KB per thread {:7.1} GB/s",
                bytes >> 10,
                bandwidth / 1e9
            );
        }
    }
}
