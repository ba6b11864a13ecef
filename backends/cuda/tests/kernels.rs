//! Every kernel in every precision against the reference in f64, at the edges of tiles.
//!
//! Inputs are numbers of the format, so nothing is lost on the way in. With u = 2⁻²⁴ (f32, in which
//! sums run), r the rounding of the format (2⁻²⁴, 2⁻¹¹, 2⁻⁸) and γ_k = k·u / (1 − k·u), a result y
//! may be wrong by r·|y| for being stored and by what its sums lose; each test says how much.
//! A result that is not a number is never within a bound.

mod common;

use common::{Draw, device, forest, on_device};
use half::{bf16, f16};
use relscale::backend::Reference;
use relscale::backend::{
    Activation, Attention, Backend, Columns, Embed, Linear, LogProb, Norm, NormKind, Role, Rope,
    Segment, Target, Tensor, Values,
};
use relscale_cuda::{Buffer, Cuda, Precision};

const U: f64 = f32::EPSILON as f64 / 2.0;
const PRECISIONS: [Precision; 3] = [Precision::Bf16, Precision::F16, Precision::F32];

fn gamma(k: usize) -> f64 {
    k as f64 * U / (1.0 - k as f64 * U)
}

/// A backend of a precision, the oracle, and numbers of the format.
struct Bench {
    precision: Precision,
    cuda: Cuda,
    oracle: Reference<f64>,
    draw: Draw,
    worst: f64,
}

/// A matrix on both backends.
struct Both {
    host: Vec<f64>,
    cuda: Buffer,
    rows: usize,
    cols: usize,
}

impl Both {
    fn all(&self) -> (Columns<'_, Buffer>, Columns<'_, Vec<f64>>) {
        self.block(0, self.cols)
    }

    fn block(&self, start: usize, width: usize) -> (Columns<'_, Buffer>, Columns<'_, Vec<f64>>) {
        (
            Columns::block(&self.cuda, self.rows, self.cols, start, width),
            Columns::block(&self.host, self.rows, self.cols, start, width),
        )
    }

    fn abs(&self) -> Vec<f64> {
        self.host.iter().map(|x| x.abs()).collect()
    }
}

impl Bench {
    fn new(precision: Precision, seed: u64) -> Self {
        Self {
            precision,
            cuda: device(precision),
            oracle: Reference::new(),
            draw: Draw(seed),
            worst: 0.0,
        }
    }

    /// Unit roundoff of the format.
    fn rounding(&self) -> f64 {
        match self.precision {
            Precision::Bf16 => 2f64.powi(-8),
            Precision::F16 => 2f64.powi(-11),
            _ => U,
        }
    }

    fn round(&self, x: f32) -> f32 {
        match self.precision {
            Precision::Bf16 => bf16::from_f32(x).to_f32(),
            Precision::F16 => f16::from_f32(x).to_f32(),
            _ => x,
        }
    }

    /// A matrix of numbers in [−size, size).
    fn matrix(&mut self, rows: usize, cols: usize, size: f32, role: Role) -> Both {
        let values: Vec<f32> = (0..rows * cols)
            .map(|_| self.draw.uniform() * size)
            .collect();
        self.given(&values, rows, cols, role)
    }

    fn given(&self, values: &[f32], rows: usize, cols: usize, role: Role) -> Both {
        let values: Vec<f32> = values.iter().map(|&x| self.round(x)).collect();
        let tensor = Tensor {
            values: Values::F32(&values),
            rows,
            cols,
            role,
        };
        Both {
            host: values.iter().map(|&x| x.into()).collect(),
            cuda: self.cuda.upload(&tensor).unwrap(),
            rows,
            cols,
        }
    }

    fn close(&mut self, what: &str, got: &Buffer, want: &[f64], bound: impl Fn(usize) -> f64) {
        let got = self.cuda.read(got).unwrap();
        let got: Vec<f64> = got.into_iter().map(f64::from).collect();
        self.close_f64(what, &got, want, bound);
    }

    fn close_f64(&mut self, what: &str, got: &[f64], want: &[f64], bound: impl Fn(usize) -> f64) {
        assert_eq!(got.len(), want.len(), "{what}");
        // Below its smallest normal number a format rounds to a fixed step.
        let step = if self.precision == Precision::F16 {
            2f64.powi(-25)
        } else {
            1e-37
        };
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let (error, bound) = ((got - want).abs(), bound(i) + step);
            // In this direction a NaN fails.
            let within = error <= bound;
            assert!(
                within,
                "{what} in {:?}: result {i} is {got:e}, expected {want:e}: {error:.2e} off, allowed {bound:.2e}",
                self.precision
            );
            self.worst = self.worst.max(error / bound);
        }
    }
}

/// Runs a test in every precision and says how much of the bound was used.
fn in_every_precision(name: &str, seed: u64, test: impl Fn(&mut Bench)) {
    on_device(|| {
        for precision in PRECISIONS {
            let mut bench = Bench::new(precision, seed);
            test(&mut bench);
            println!(
                "{name:10} {precision:?}: at most {:.2} of the bound",
                bench.worst
            );
            assert!(bench.worst <= 1.0);
        }
    });
}

#[test]
fn embed_gather_and_concat() {
    in_every_precision("embed", 1, |b| {
        for (rows, width, scale) in [(5, 7, 1.0), (3, 64, 1.0), (17, 24, 8.5), (9, 520, 0.3)] {
            let table = b.matrix(rows, width, 4.0, Role::Matrix);
            let tokens: Vec<u32> = (0..21).map(|_| b.draw.below(rows) as u32).collect();
            let op = Embed {
                tokens: &tokens,
                vocab: rows,
                width,
                scale,
            };
            let got = b.cuda.embed(&table.cuda, &op).unwrap();
            let want = b.oracle.embed(&table.host, &op).unwrap();
            // The factor is rounded to f32; a factor of 1 copies.
            let loss = if scale == 1.0 {
                0.0
            } else {
                b.rounding() + gamma(2)
            };
            b.close("embed", &got, &want, |i| loss * want[i].abs());
            let x = b.matrix(rows, width + 8, 4.0, Role::Dense);
            let (on_cuda, on_host) = x.block(8, width);
            let asked: Vec<usize> = (0..rows).rev().collect();
            let got = b.cuda.gather(on_cuda, &asked).unwrap();
            let want = b.oracle.gather(on_host, &asked).unwrap();
            b.close("gather", &got, &want, |_| 0.0);
            let y = b.matrix(4, width, 4.0, Role::Dense);
            let below = y.all();
            let got = b.cuda.concat(on_cuda, below.0).unwrap();
            let want = b.oracle.concat(on_host, below.1).unwrap();
            b.close("concat", &got, &want, |_| 0.0);
        }
    });
}

/// Loss, for n values of a group: the mean is wrong by γ_{n+1}·mean|x|, the variance by a relative
/// γ_{n+4} and twice what the mean is; numbers in [−1, 1) keep all of that below
/// (2·γ_{n+16})·(|x| + mean|x|)/σ·|w|, and the bias adds γ₂·|b|.
#[test]
fn norm() {
    in_every_precision("norm", 2, |b| {
        for (rows, groups, width) in [(1, 1, 7), (5, 3, 16), (3, 1, 65), (4, 2, 64), (2, 1, 1032)] {
            for kind in [NormKind::Rms, NormKind::Layer] {
                for biased in [false, true] {
                    let x = b.matrix(rows, groups * width + 8, 1.0, Role::Dense);
                    let weight = b.matrix(1, width, 2.0, Role::Dense);
                    let bias = b.matrix(1, width, 1.0, Role::Dense);
                    let (on_cuda, on_host) = x.block(8, groups * width);
                    let op = Norm {
                        kind,
                        epsilon: 1e-5,
                        width,
                        weight: &weight.cuda,
                        bias: biased.then_some(&bias.cuda),
                    };
                    let got = b.cuda.norm(on_cuda, &op).unwrap();
                    let op = Norm {
                        kind,
                        epsilon: 1e-5,
                        width,
                        weight: &weight.host,
                        bias: biased.then_some(&bias.host),
                    };
                    let want = b.oracle.norm(on_host, &op).unwrap();
                    let r = b.rounding();
                    b.close(&format!("{kind:?} norm of {width}"), &got, &want, |i| {
                        let (row, at) = (i / (groups * width), i % (groups * width));
                        let from = row * x.cols + 8 + at / width * width;
                        let group = &x.host[from..from + width];
                        let n = width as f64;
                        let mean = match kind {
                            NormKind::Rms => 0.0,
                            NormKind::Layer => group.iter().sum::<f64>() / n,
                        };
                        let size = group.iter().map(|x| x.abs()).sum::<f64>() / n;
                        let variance =
                            group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + 1e-5;
                        let y = (group[at % width].abs() + size) / variance.sqrt()
                            * weight.host[at % width].abs();
                        r * want[i].abs() + 2.0 * gamma(width + 16) * (y + 1.0)
                    });
                }
            }
        }
    });
}

/// Loss: γ_n·Σ|x||w|; with a bias the product is rounded before it and again after.
#[test]
fn linear() {
    in_every_precision("linear", 3, |b| {
        for (rows, inputs, outputs) in [(1, 8, 8), (17, 63, 65), (3, 64, 24), (65, 16, 9)] {
            for biased in [false, true] {
                let x = b.matrix(rows, inputs + 3, 1.0, Role::Dense);
                let weight = b.matrix(outputs, inputs, 1.0, Role::Matrix);
                let bias = b.matrix(1, outputs, 1.0, Role::Dense);
                let (on_cuda, on_host) = x.block(2, inputs);
                let op = Linear {
                    weight: &weight.cuda,
                    bias: biased.then_some(&bias.cuda),
                    inputs,
                    outputs,
                };
                let got = b.cuda.linear(on_cuda, &op).unwrap();
                let with = |weight: &Vec<f64>, bias: Option<&Vec<f64>>, x: &Vec<f64>| {
                    let op = Linear {
                        weight,
                        bias,
                        inputs,
                        outputs,
                    };
                    let x = Columns::block(x, rows, inputs + 3, 2, inputs);
                    Reference::<f64>::new().linear(x, &op).unwrap()
                };
                let want = with(&weight.host, biased.then_some(&bias.host), on_host.buffer);
                let product = with(&weight.host, None, on_host.buffer);
                let size = with(&weight.abs(), None, &x.abs());
                let r = b.rounding();
                b.close(
                    &format!("linear {rows} × {inputs} → {outputs}"),
                    &got,
                    &want,
                    |i| {
                        let first = if biased {
                            1.01 * r * product[i].abs()
                        } else {
                            0.0
                        };
                        r * want[i].abs() + first + 1.01 * gamma(inputs + 2) * (size[i] + 1.0)
                    },
                );
            }
        }
    });
}

/// TF32 rounds the operands of a product to 11 significant bits and sums in f32.
#[test]
fn tf32() {
    on_device(|| {
        let mut b = Bench::new(Precision::Tf32, 14);
        let (rows, inputs, outputs) = (5, 40, 12);
        let x = b.matrix(rows, inputs, 1.0, Role::Dense);
        let weight = b.matrix(outputs, inputs, 1.0, Role::Matrix);
        let with = |weight: &Vec<f64>, x: &Vec<f64>| {
            let op = Linear {
                weight,
                bias: None,
                inputs,
                outputs,
            };
            Reference::<f64>::new()
                .linear(Columns::all(x, rows, inputs), &op)
                .unwrap()
        };
        let (want, size) = (with(&weight.host, &x.host), with(&weight.abs(), &x.abs()));
        let op = Linear {
            weight: &weight.cuda,
            bias: None,
            inputs,
            outputs,
        };
        let got = b.cuda.linear(x.all().0, &op).unwrap();
        // Truncation of both operands, as some hardware does, at most.
        let loss = 2.01 * 2f64.powi(-10) + gamma(inputs + 2);
        b.close("TF32", &got, &want, |i| loss * size[i]);
        let exact = device(Precision::F32);
        let y = exact
            .upload(&Tensor {
                values: Values::F32(&b.cuda.read(&x.cuda).unwrap()),
                rows,
                cols: inputs,
                role: Role::Dense,
            })
            .unwrap();
        let weight = exact
            .upload(&Tensor {
                values: Values::F32(&b.cuda.read(&weight.cuda).unwrap()),
                rows: outputs,
                cols: inputs,
                role: Role::Matrix,
            })
            .unwrap();
        let op = Linear {
            weight: &weight,
            ..op
        };
        let f32 = exact.linear(Columns::all(&y, rows, inputs), &op).unwrap();
        assert_ne!(b.cuda.read(&got).unwrap(), exact.read(&f32).unwrap());
    });
}

/// Loss: γ₈·(|a| + |b|) of the two that are mixed.
#[test]
fn rope() {
    in_every_precision("rope", 4, |b| {
        for (dim, half, heads) in [(64, 32, 2), (10, 3, 3), (6, 0, 1), (96, 16, 1)] {
            for far in [0, 1_000_000] {
                let positions: Vec<u32> = (0..9).map(|i| far + 31 * i).collect();
                let frequencies: Vec<f64> = (0..half)
                    .map(|i| 500f64.powf(-f64::from(i) / 32.0))
                    .collect();
                let x = b.matrix(9, heads * dim + 8, 2.0, Role::Dense);
                let op = Rope {
                    positions: &positions,
                    head_dim: dim,
                    frequencies: &frequencies,
                    scale: 1.25,
                };
                let (on_cuda, on_host) = x.block(8, heads * dim);
                let got = b.cuda.rope(on_cuda, &op).unwrap();
                let want = b.oracle.rope(on_host, &op).unwrap();
                let r = b.rounding();
                b.close(&format!("rope of {dim}"), &got, &want, |i| {
                    r * want[i].abs() * 1.01 + gamma(8) * 5.0
                });
            }
        }
    });
}

/// Loss: γ₁₂·|x|·|up|, relative to x because 1 + tanh z may cancel.
#[test]
fn activate() {
    in_every_precision("activate", 5, |b| {
        for (rows, width) in [(3, 7), (2, 64), (5, 300), (1, 2056)] {
            for function in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf] {
                for with_up in [false, true] {
                    let x = b.matrix(rows, 2 * width, 12.0, Role::Dense);
                    let (gate, up) = (x.block(0, width), x.block(width, width));
                    let second = with_up.then_some(up.0);
                    let got = b.cuda.activate(gate.0, second, function).unwrap();
                    let second = with_up.then_some(up.1);
                    let want = b.oracle.activate(gate.1, second, function).unwrap();
                    let r = b.rounding();
                    b.close(&format!("{function:?}"), &got, &want, |i| {
                        let at = i / width * 2 * width + i % width;
                        let up = if with_up {
                            x.host[at + width].abs()
                        } else {
                            1.0
                        };
                        r * want[i].abs() * 1.01 + gamma(12) * x.host[at].abs() * up
                    });
                }
            }
        }
    });
}

/// Loss: γ₁·|x + y|.
#[test]
fn add() {
    in_every_precision("add", 6, |b| {
        for len in [1, 7, 8, 255, 256, 257, 4104] {
            let (x, y) = (
                b.matrix(1, len, 3.0, Role::Dense),
                b.matrix(1, len, 3.0, Role::Dense),
            );
            let got = b.cuda.add(x.cuda, &y.cuda).unwrap();
            let want = b.oracle.add(x.host, &y.host).unwrap();
            let r = b.rounding();
            b.close("add", &got, &want, |i| {
                (r * 1.01 + gamma(1)) * want[i].abs()
            });
        }
    });
}

/// One attention call against the oracle, with queries for the rows from `past` on.
///
/// Loss: a score is wrong by δ = γ_{d+6}·scale·Σ|q||k| (+ γ₈·c under a cap c), a weight by a factor
/// within η = e^{2δ + 4u·range} − 1 of 1 and for being stored by r, the sums by γ_{4n+16}:
/// (r + η + γ)·Σp|v|, weights of f16 below 2⁻¹⁴ by 2⁻²⁵ each besides.
fn attention_from(b: &mut Bench, past: usize, op: &Attention<'_>, offset: usize, size: f32) {
    let rows = op.segments.iter().map(|s| s.len).sum();
    let (q_width, kv_width) = (op.heads * op.head_dim, op.kv_heads * op.head_dim);
    // A row length that 16 bytes divide, whatever the offset.
    let cols = (offset + q_width + 2 * kv_width).next_multiple_of(8);
    let x = b.matrix(rows, cols, size, Role::Dense);
    let asked: Vec<f32> = x.host[past * cols..].iter().map(|&x| x as f32).collect();
    let asked = b.given(&asked, rows - past, cols, Role::Dense);
    let blocks = [
        asked.block(offset, q_width),
        x.block(offset + q_width, kv_width),
        x.block(offset + q_width + kv_width, kv_width),
    ];
    let [q, k, v] = blocks;
    let got = b.cuda.attention(q.0, k.0, v.0, op).unwrap();
    let want = b.oracle.attention(q.1, k.1, v.1, op).unwrap();
    let sizes = x.abs();
    let v_abs = Columns {
        buffer: &sizes,
        ..v.1
    };
    let weighted = b.oracle.attention(q.1, k.1, v_abs, op).unwrap();
    let s = f64::from(size);
    // Of the largest score and of the spread of scores: products of numbers below `size`.
    let products = op.head_dim as f64 * s * s / 3.0 * op.scale;
    let delta = gamma(op.head_dim + 6) * products + op.soft_cap.map_or(0.0, |c| gamma(8) * c);
    let eta = (2.0 * delta + 8.0 * U * products).exp_m1();
    let r = b.rounding();
    let tiny = if b.precision == Precision::F16 {
        2f64.powi(-25) * rows as f64 * s
    } else {
        0.0
    };
    let loss = 1.01 * (r + eta + gamma(4 * rows + 16));
    let what = format!(
        "attention of {rows} rows from row {past} on, {}/{} heads of {}, window {:?}, cap {:?}",
        op.heads, op.kv_heads, op.head_dim, op.window, op.soft_cap
    );
    b.close(&what, &got, &want, |i| {
        loss * weighted[i] + 1.01 * r * want[i].abs() + tiny
    });
}

/// [`attention_from`] the first row on.
fn attention(b: &mut Bench, op: &Attention<'_>, offset: usize, size: f32) {
    attention_from(b, 0, op, offset, size);
}

fn attention_op(segments: &[Segment], heads: usize, kv_heads: usize, dim: usize) -> Attention<'_> {
    Attention {
        segments,
        heads,
        kv_heads,
        head_dim: dim,
        scale: 1.0 / (dim as f64).sqrt(),
        window: None,
        soft_cap: None,
    }
}

#[test]
fn attention_of_chains() {
    in_every_precision("chains", 7, |b| {
        for len in [1, 15, 16, 17, 63, 64, 65, 77, 129] {
            let segments = forest(&[(None, len)]);
            attention(b, &attention_op(&segments, 2, 1, 64), 8, 2.0);
        }
    });
}

#[test]
fn attention_of_heads() {
    in_every_precision("heads", 8, |b| {
        let segments = forest(&[(None, 70)]);
        for (heads, kv_heads, dim) in [
            (4, 2, 96),
            (2, 2, 128),
            (3, 1, 128),
            (2, 1, 256),
            (3, 3, 33),
            (2, 1, 6),
        ] {
            attention(b, &attention_op(&segments, heads, kv_heads, dim), 0, 2.0);
        }
        // Not aligned to 16 bytes, so that the plain kernel has to do it.
        attention(b, &attention_op(&segments, 2, 1, 64), 3, 2.0);
    });
}

#[test]
fn attention_of_forests() {
    in_every_precision("forests", 9, |b| {
        for shape in [
            &[(None, 5), (None, 1), (None, 17)][..],
            &[
                (None, 63),
                (Some(0), 1),
                (Some(0), 2),
                (Some(2), 65),
                (Some(1), 3),
            ],
            &[
                (None, 20),
                (Some(0), 20),
                (Some(1), 20),
                (Some(2), 20),
                (Some(1), 50),
                (Some(0), 1),
            ],
        ] {
            let segments = forest(shape);
            attention(b, &attention_op(&segments, 2, 1, 64), 0, 2.0);
        }
    });
}

#[test]
fn attention_after_a_prefix() {
    in_every_precision("prefix", 12, |b| {
        let segments = forest(&[(None, 67), (Some(0), 70), (Some(0), 3), (Some(1), 2)]);
        for (past, window, dim) in [
            (67, None, 64),
            (67, Some(20), 64),
            (100, None, 64),
            (137, None, 96),
            (141, None, 128),
            (67, None, 6),
        ] {
            let op = Attention {
                window,
                ..attention_op(&segments, 2, 1, dim)
            };
            attention_from(b, past, &op, 0, 2.0);
        }
    });
}

#[test]
fn attention_in_windows_and_under_caps() {
    in_every_precision("options", 10, |b| {
        let segments = forest(&[(None, 60), (Some(0), 75), (Some(0), 3)]);
        for (window, soft_cap, size) in [
            (Some(1), None, 2.0),
            (Some(64), None, 2.0),
            (Some(70), Some(1.5), 3.0),
            (None, Some(30.0), 6.0),
        ] {
            let op = Attention {
                window,
                soft_cap,
                ..attention_op(&segments, 1, 1, 64)
            };
            attention(b, &op, 0, size);
        }
    });
}

/// Loss: logits stay in f32 and are wrong by δ = γ_{n+3}·(Σ|x||w| + |b|) (+ γ₈·c), which enters
/// twice, and the normaliser by γ_{V+24} and the rounding of what it is made of.
#[test]
fn log_prob() {
    in_every_precision("log_prob", 11, |b| {
        for (rows, inputs, vocab) in [(1, 8, 1), (3, 16, 255), (4, 24, 257), (70, 9, 40)] {
            for (biased, soft_cap) in [(false, None), (true, Some(3.0)), (true, None)] {
                let x = b.matrix(rows, inputs, 1.0, Role::Dense);
                let weight = b.matrix(vocab, inputs, 1.0, Role::Matrix);
                let bias = b.matrix(1, vocab, 1.0, Role::Dense);
                let mut targets: Vec<Target> = (0..rows)
                    .filter(|row| row % 4 != 1)
                    .flat_map(|row| {
                        [0, vocab / 2, vocab - 1].map(|t| Target {
                            row,
                            token: t as u32,
                        })
                    })
                    .collect();
                if rows == 4 {
                    targets.push(Target { row: 3, token: 7 });
                }
                let (on_cuda, on_host) = x.all();
                let op = LogProb {
                    weight: &weight.cuda,
                    bias: biased.then_some(&bias.cuda),
                    inputs,
                    vocab,
                    soft_cap,
                    targets: &targets,
                };
                let got = b.cuda.log_prob(on_cuda, &op).unwrap();
                let op = LogProb {
                    weight: &weight.host,
                    bias: biased.then_some(&bias.host),
                    inputs,
                    vocab,
                    soft_cap,
                    targets: &targets,
                };
                let want = b.oracle.log_prob(on_host, &op).unwrap();
                let logit = inputs as f64 + 1.0;
                let delta = gamma(inputs + 3) * logit + soft_cap.map_or(0.0, |c| gamma(8) * c);
                let bound = 2.0 * delta + gamma(vocab + 24) + gamma(4) * (3.0 * logit + 6.0);
                b.close_f64(&format!("log_prob of {vocab}"), &got, &want, |_| bound);
            }
        }
    });
}

/// More rows than fit one chunk of logits get what they get in a chunk of their own.
#[test]
fn log_prob_in_chunks() {
    on_device(|| {
        let mut b = Bench::new(Precision::F32, 13);
        let (rows, inputs, vocab) = (2060, 2, 3);
        let x = b.matrix(rows, inputs, 1.0, Role::Dense);
        let weight = b.matrix(vocab, inputs, 1.0, Role::Matrix);
        let targets: Vec<Target> = (0..rows)
            .map(|row| Target {
                row,
                token: (row % vocab) as u32,
            })
            .collect();
        let (on_cuda, on_host) = x.all();
        let op = LogProb {
            weight: &weight.cuda,
            bias: None,
            inputs,
            vocab,
            soft_cap: None,
            targets: &targets,
        };
        let got = b.cuda.log_prob(on_cuda, &op).unwrap();
        let op = LogProb {
            weight: &weight.host,
            bias: None,
            inputs,
            vocab,
            soft_cap: None,
            targets: &targets,
        };
        let want = b.oracle.log_prob(on_host, &op).unwrap();
        b.close_f64("chunks", &got, &want, |_| gamma(64) * 4.0);
    });
}

/// What a query gets does not depend, to the bit, on how its prefix is cut into segments.
#[test]
fn sharing_a_prefix_changes_no_bit_of_attention() {
    on_device(|| {
        for precision in PRECISIONS {
            let mut b = Bench::new(precision, 12);
            let rows = 90;
            let x = b.matrix(rows, 3 * 64, 2.0, Role::Dense);
            let run = |segments: &[Segment]| {
                let op = attention_op(segments, 1, 1, 64);
                let [q, k, v] = [0, 64, 128].map(|at| x.block(at, 64).0);
                b.cuda
                    .read(&b.cuda.attention(q, k, v, &op).unwrap())
                    .unwrap()
            };
            let whole = run(&forest(&[(None, rows)]));
            let cut = run(&forest(&[(None, 13), (Some(0), 52), (Some(1), 25)]));
            assert!(whole.iter().all(|x| x.is_finite()));
            assert_eq!(whole, cut, "{precision:?}");
        }
    });
}
