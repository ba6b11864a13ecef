//! The kernels of the CPU backend at the shapes of small and medium models.
//!
//! `cargo bench --bench kernels` measures; with `-- --test` every benchmark runs once.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use relscale::backend::{
    Attention, Backend, Columns, Linear, LogProb, Norm, NormKind, Role, Segment, Target, Tensor,
    Values,
};
use relscale_cpu::{Buffer, Cpu};

/// Values in [−1, 1), the same at every run.
fn values(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn upload(cpu: &Cpu, rows: usize, cols: usize, role: Role) -> Buffer {
    let values = values(rows * cols);
    let tensor = Tensor {
        values: Values::F32(&values),
        rows,
        cols,
        role,
    };
    cpu.upload(&tensor).expect("a well-formed tensor")
}

fn linear(c: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = c.benchmark_group("linear");
    for (inputs, outputs) in [
        (64, 256),
        (256, 1024),
        (768, 2304),
        (768, 4096),
        (2048, 768),
    ] {
        let weight = upload(&cpu, outputs, inputs, Role::Matrix);
        for rows in [1, 7, 64, 512] {
            let x = upload(&cpu, rows, inputs, Role::Dense);
            let op = Linear {
                weight: &weight,
                bias: None,
                inputs,
                outputs,
            };
            // One element is one multiplication and one addition.
            group.throughput(Throughput::Elements((2 * rows * inputs * outputs) as u64));
            let id = BenchmarkId::from_parameter(format!("{rows}x{inputs}x{outputs}"));
            group.bench_function(id, |b| {
                b.iter(|| cpu.linear(Columns::all(&x, rows, inputs), black_box(&op)));
            });
        }
    }
    group.finish();
}

fn attention(c: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = c.benchmark_group("attention");
    for (rows, heads, head_dim) in [(256, 4, 16), (512, 12, 64), (2048, 12, 64)] {
        let width = heads * head_dim;
        let [q, k, v] = [0; 3].map(|_| upload(&cpu, rows, width, Role::Dense));
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
            soft_cap: None,
        };
        // The causal half of both products.
        group.throughput(Throughput::Elements((2 * rows * rows * width) as u64));
        group.bench_function(
            BenchmarkId::from_parameter(format!("{rows}x{heads}x{head_dim}")),
            |b| {
                let [q, k, v] = [&q, &k, &v].map(|x| Columns::all(x, rows, width));
                b.iter(|| cpu.attention(q, k, v, black_box(&op)));
            },
        );
    }
    group.finish();
}

fn log_prob(c: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = c.benchmark_group("log_prob");
    group.sample_size(10);
    for (rows, inputs, vocab) in [(512, 64, 260), (512, 768, 32_000)] {
        let weight = upload(&cpu, vocab, inputs, Role::Matrix);
        let x = upload(&cpu, rows, inputs, Role::Dense);
        let targets: Vec<Target> = (0..rows)
            .map(|row| Target {
                row,
                token: (row % vocab) as u32,
            })
            .collect();
        let op = LogProb {
            weight: &weight,
            bias: None,
            inputs,
            vocab,
            soft_cap: None,
            targets: &targets,
        };
        group.throughput(Throughput::Elements((2 * rows * inputs * vocab) as u64));
        group.bench_function(
            BenchmarkId::from_parameter(format!("{rows}x{inputs}x{vocab}")),
            |b| {
                b.iter(|| cpu.log_prob(Columns::all(&x, rows, inputs), black_box(&op)));
            },
        );
    }
    group.finish();
}

fn rows(c: &mut Criterion) {
    let cpu = Cpu::new();
    let (rows, width) = (512, 768);
    let x = upload(&cpu, rows, width, Role::Dense);
    let weight = upload(&cpu, 1, width, Role::Dense);
    let op = Norm {
        kind: NormKind::Rms,
        epsilon: 1e-6,
        width,
        weight: &weight,
        bias: None,
    };
    let mut group = c.benchmark_group("rows");
    group.throughput(Throughput::Bytes((4 * rows * width) as u64));
    group.bench_function("rms_norm", |b| {
        b.iter(|| cpu.norm(Columns::all(&x, rows, width), black_box(&op)));
    });
    group.bench_function("silu_gate", |b| {
        let x = Columns::all(&x, rows, width);
        b.iter(|| cpu.activate(x, Some(x), black_box(relscale::backend::Activation::Silu)));
    });
    group.finish();
}

criterion_group!(kernels, linear, attention, log_prob, rows);
criterion_main!(kernels);
