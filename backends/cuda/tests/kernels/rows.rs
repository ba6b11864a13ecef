//! Kernels that work on rows: embedding, copies, norms, rotations, activations, sums.

use relscale::backend::{
    Activation, Backend, Columns, Embed, Norm, NormKind, Pointwise, Role, Rope,
};

use crate::trial::{Both, Trial, gamma, in_every_precision};

/// Loss: none for copies. The factor of an embedding is rounded to `f32`, hence r + γ₂ unless it
/// is 1.
#[test]
fn embed_gather_and_concat() {
    in_every_precision("embed", 1, |t| {
        for (rows, width, scale) in [(5, 7, 1.0), (3, 64, 1.0), (17, 24, 8.5), (9, 520, 0.3)] {
            let table = t.matrix(rows, width, 4.0, Role::Matrix);
            let tokens: Vec<u32> = (0..21).map(|_| t.random.below(rows) as u32).collect();
            let op = Embed {
                tokens: &tokens,
                vocab: rows,
                width,
                scale,
            };
            let got = t.cuda.embed(&table.cuda, &op).unwrap();
            let want = t.oracle.embed(&table.host, &op).unwrap();
            let loss = if scale == 1.0 {
                0.0
            } else {
                t.rounding() + gamma(2)
            };
            t.close("embed", &got, &want, |i| loss * want[i].abs());
            let x = t.matrix(rows, width + 8, 4.0, Role::Dense);
            let (on_cuda, on_host) = x.block(8, width);
            let asked: Vec<usize> = (0..rows).rev().collect();
            let got = t.cuda.gather(on_cuda, &asked).unwrap();
            let want = t.oracle.gather(on_host, &asked).unwrap();
            t.close("gather", &got, &want, |_| 0.0);
            let y = t.matrix(4, width, 4.0, Role::Dense);
            let below = y.all();
            let got = t.cuda.concat(on_cuda, below.0).unwrap();
            let want = t.oracle.concat(on_host, below.1).unwrap();
            t.close("concat", &got, &want, |_| 0.0);
        }
    });
}

const EPSILON: f64 = 1e-5;

fn run_norm<B: Backend>(
    backend: &B,
    kind: NormKind,
    width: usize,
    x: Columns<'_, B::Buffer>,
    weight: &B::Buffer,
    bias: Option<&B::Buffer>,
) -> B::Buffer {
    let op = Norm {
        kind,
        epsilon: EPSILON,
        width,
        weight,
        bias,
    };
    backend.norm(x, &op).unwrap()
}

/// (|x| + mean|x|)/σ·|w| of element `i` of a group.
fn norm_size(kind: NormKind, group: &[f64], weight: &[f64], i: usize) -> f64 {
    let n = group.len() as f64;
    let mean = match kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => group.iter().sum::<f64>() / n,
    };
    let size = group.iter().map(|x| x.abs()).sum::<f64>() / n;
    let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + EPSILON;
    (group[i].abs() + size) / variance.sqrt() * weight[i].abs()
}

/// Loss, for groups of n values: the mean is off by γ_{n+1}·mean|x|, the variance by a relative
/// γ_{n+4} and twice the error of the mean. For numbers in [−1, 1) all of that stays below
/// 2·γ_{n+16}·(|x| + mean|x|)/σ·|w|. The bias adds γ₂·|b|, which the summand 1 covers as |b| ≤ 1.
#[test]
fn norm() {
    in_every_precision("norm", 2, |t| {
        for (rows, groups, width) in [
            (1, 1, 7),
            (5, 3, 16),
            (3, 1, 65),
            (4, 2, 64),
            (2, 1, 1032),
            (3, 2, 12),
        ] {
            for kind in [NormKind::Rms, NormKind::Layer] {
                for biased in [false, true] {
                    norm_of(t, kind, (rows, groups, width), biased);
                }
            }
        }
    });
}

fn norm_of(t: &mut Trial, kind: NormKind, shape: (usize, usize, usize), biased: bool) {
    let (rows, groups, width) = shape;
    let x = t.matrix(rows, groups * width + 8, 1.0, Role::Dense);
    let weight = t.matrix(1, width, 2.0, Role::Dense);
    let bias = t.matrix(1, width, 1.0, Role::Dense);
    let (on_cuda, on_host) = x.block(8, groups * width);
    let b = biased.then_some(&bias.cuda);
    let got = run_norm(&t.cuda, kind, width, on_cuda, &weight.cuda, b);
    let b = biased.then_some(&bias.host);
    let want = run_norm(&t.oracle, kind, width, on_host, &weight.host, b);
    let r = t.rounding();
    t.close(&format!("{kind:?} norm of {width}"), &got, &want, |i| {
        let (row, at) = (i / (groups * width), i % (groups * width));
        let from = row * x.cols + 8 + at / width * width;
        let group = &x.host[from..from + width];
        let y = norm_size(kind, group, &weight.host, at % width);
        r * want[i].abs() + 2.0 * gamma(width + 16) * (y + 1.0)
    });
}

/// Loss: γ₈·(|a| + |b|) for a rotated pair (a, b), at most 2 each, times the scale of 1.25.
#[test]
fn rope() {
    in_every_precision("rope", 4, |t| {
        for (dim, half, heads) in [(64, 32, 2), (10, 3, 3), (6, 0, 1), (96, 16, 1)] {
            for far in [0, 1_000_000] {
                let positions: Vec<u32> = (0..9).map(|i| far + 31 * i).collect();
                let frequencies: Vec<f64> = (0..half)
                    .map(|i| 500f64.powf(-f64::from(i) / 32.0))
                    .collect();
                let x = t.matrix(9, heads * dim + 8, 2.0, Role::Dense);
                let op = Rope {
                    positions: &positions,
                    head_dim: dim,
                    frequencies: &frequencies,
                    scale: 1.25,
                };
                let (on_cuda, on_host) = x.block(8, heads * dim);
                let got = t.cuda.rope(on_cuda, &op).unwrap();
                let want = t.oracle.rope(on_host, &op).unwrap();
                let r = t.rounding();
                t.close(&format!("rope of {dim}"), &got, &want, |i| {
                    r * want[i].abs() * 1.01 + gamma(8) * 5.0
                });
            }
        }
    });
}

/// Tables are kept: one of the same frequencies and another scale is not the same.
#[test]
fn rope_of_another_scale() {
    in_every_precision("rope scale", 17, |t| {
        let x = t.matrix(3, 16, 2.0, Role::Dense);
        for scale in [1.0, 0.5, 1.0] {
            let op = Rope {
                positions: &[0, 4, 9],
                head_dim: 16,
                frequencies: &[1.0; 8],
                scale,
            };
            let (on_cuda, on_host) = x.all();
            let got = t.cuda.rope(on_cuda, &op).unwrap();
            let want = t.oracle.rope(on_host, &op).unwrap();
            let r = t.rounding();
            t.close("rope", &got, &want, |i| {
                r * want[i].abs() * 1.01 + gamma(8) * 5.0
            });
        }
    });
}

fn activate_with(t: &mut Trial, x: &Both, function: Activation, with_up: bool) {
    let width = x.cols / 2;
    let (gate, up) = (x.block(0, width), x.block(width, width));
    let second = with_up.then_some(up.0);
    let got = t.cuda.activate(gate.0, second, function).unwrap();
    let second = with_up.then_some(up.1);
    let want = t.oracle.activate(gate.1, second, function).unwrap();
    let r = t.rounding();
    t.close(&format!("{function:?}"), &got, &want, |i| {
        let at = i / width * 2 * width + i % width;
        let up = if with_up {
            x.host[at + width].abs()
        } else {
            1.0
        };
        r * want[i].abs() * 1.01 + gamma(12) * x.host[at].abs() * up
    });
}

/// Loss: γ₁₂·|x|·|up|, relative to x because 1 + tanh z may cancel.
#[test]
fn activate() {
    in_every_precision("activate", 5, |t| {
        for (rows, width) in [(3, 7), (2, 64), (5, 300), (1, 2056)] {
            for function in [
                Activation::Silu,
                Activation::GeluTanh,
                Activation::GeluErf,
                Activation::Relu,
            ] {
                for with_up in [false, true] {
                    let x = t.matrix(rows, 2 * width, 12.0, Role::Dense);
                    activate_with(t, &x, function, with_up);
                }
            }
        }
    });
}

/// Loss: γ₁·|x + y|.
#[test]
fn add() {
    in_every_precision("add", 6, |t| {
        for len in [1, 7, 8, 255, 256, 257, 4104] {
            let (x, y) = (
                t.matrix(1, len, 3.0, Role::Dense),
                t.matrix(1, len, 3.0, Role::Dense),
            );
            let got = t.cuda.add(x.cuda, &y.cuda).unwrap();
            let want = t.oracle.add(x.host, &y.host).unwrap();
            let r = t.rounding();
            t.close("add", &got, &want, |i| {
                (r * 1.01 + gamma(1)) * want[i].abs()
            });
        }
    });
}

/// Loss: none for a bound that the format holds.
#[test]
fn clip() {
    in_every_precision("clip", 23, |t| {
        for (rows, width) in [(3, 7), (2, 64)] {
            let x = t.matrix(rows, width + 8, 4.0, Role::Dense);
            let (on_cuda, on_host) = x.block(8, width);
            let bound = Pointwise::Clip(1.5);
            let got = t.cuda.pointwise(on_cuda, bound).unwrap();
            let want = t.oracle.pointwise(on_host, bound).unwrap();
            t.close("clip", &got, &want, |_| 0.0);
        }
        let x = t.given(&[f32::NAN, 9.0, f32::NEG_INFINITY, 0.5], 1, 4, Role::Dense);
        let got = t.cuda.pointwise(x.all().0, Pointwise::Clip(2.0)).unwrap();
        let got = t.cuda.read(&got).unwrap();
        assert!(got[0].is_nan());
        assert_eq!(got[1..], [2.0, -2.0, 0.5]);
    });
}

/// Loss: γ₃·(|x| + |w||y|), of numbers up to 3 and weights up to 1.
#[test]
fn add_rows() {
    in_every_precision("add_rows", 24, |t| {
        for width in [7, 24, 264] {
            let x = t.matrix(6, width, 3.0, Role::Dense);
            let y = t.matrix(3, width + 8, 3.0, Role::Dense);
            let (on_cuda, on_host) = y.block(8, width);
            let (rows, weights) = ([0, 3, 5], [0.3, 1.0, 0.7]);
            let got = t.cuda.add_rows(x.cuda, on_cuda, &rows, &weights).unwrap();
            let want = t.oracle.add_rows(x.host, on_host, &rows, &weights).unwrap();
            let r = t.rounding();
            t.close("add_rows", &got, &want, |i| {
                1.01 * r * want[i].abs() + gamma(3) * 6.0
            });
        }
    });
}
