//! Biases of products. Whatever reads a product adds its bias, so that the sum is rounded once.

use relscale::backend::{
    Activation, Attention, Backend, Columns, Linear, Pointwise, Role, Rope, Segment,
};
use relscale::conformance::UNIT_ROUNDOFF_F32;
use relscale::conformance::inputs::forest;
use relscale_cuda::Buffer;

use crate::common::upload;
use crate::trial::{Both, Trial, gamma, in_every_precision};

/// One rounding to `f32`, and hardly more.
const ONCE: f64 = 1.01 * UNIT_ROUNDOFF_F32;

/// A product with a bias, which the format cannot hold, and its exact value.
struct Biased {
    cuda: Buffer,
    host: Vec<f64>,
    rows: usize,
    width: usize,
}

impl Biased {
    fn block(&self, start: usize, width: usize) -> (Columns<'_, Buffer>, Columns<'_, Vec<f64>>) {
        (
            Columns::block(&self.cuda, self.rows, self.width, start, width),
            Columns::block(&self.host, self.rows, self.width, start, width),
        )
    }
}

/// `x` times the unit matrix, which is `x` to the bit, plus numbers of 24 bits.
fn biased_of(t: &mut Trial, x: &Both) -> Biased {
    let (rows, width) = (x.rows, x.cols);
    let unit: Vec<f32> = (0..width * width)
        .map(|i| f32::from(u8::from(i / width == i % width)))
        .collect();
    let weight = t.given(&unit, width, width, Role::Matrix);
    let bias: Vec<f32> = (0..width).map(|_| 2.0 * t.random.uniform()).collect();
    // Dropped at the end: the product keeps what it still needs.
    let on_cuda = upload(&t.cuda, &bias, 1, Role::Dense);
    let op = Linear {
        weight: &weight.cuda,
        bias: Some(&on_cuda),
        inputs: width,
        outputs: width,
    };
    let cuda = t.cuda.linear(x.all().0, &op).unwrap();
    let added = |(i, x): (usize, &f64)| x + f64::from(bias[i % width]);
    Biased {
        cuda,
        host: x.host.iter().enumerate().map(added).collect(),
        rows,
        width,
    }
}

fn biased(t: &mut Trial, rows: usize, width: usize) -> Biased {
    let x = t.matrix(rows, width, 1.0, Role::Dense);
    biased_of(t, &x)
}

/// Nothing is rounded to the format: copies of rows keep product and bias apart.
#[test]
fn biases_of_what_is_read_and_copied() {
    in_every_precision("copies", 31, |t| {
        for width in [7, 24] {
            let y = biased(t, 6, width);
            t.close("product", &y.cuda, &y.host, |i| ONCE * y.host[i].abs());
            let (start, part) = if width == 24 { (8, 16) } else { (3, 2) };
            let (on_cuda, on_host) = y.block(start, part);
            let got = t.cuda.gather(on_cuda, &[5, 0, 3]).unwrap();
            let want = t.oracle.gather(on_host, &[5, 0, 3]).unwrap();
            t.close("gather", &got, &want, |i| ONCE * want[i].abs());
            let got = t.cuda.concat(on_cuda, on_cuda).unwrap();
            let want = t.oracle.concat(on_host, on_host).unwrap();
            t.close("concat of one", &got, &want, |i| ONCE * want[i].abs());
        }
    });
}

/// Sums are stored where two biases meet and where rows are not those of the product.
#[test]
fn biases_that_do_not_stay_apart() {
    in_every_precision("stored", 32, |t| {
        let (y, z) = (biased(t, 6, 24), biased(t, 4, 24));
        let r = 1.01 * t.rounding();
        let (one, two) = (y.block(8, 16), z.block(0, 16));
        let got = t.cuda.concat(one.0, two.0).unwrap();
        let want = t.oracle.concat(one.1, two.1).unwrap();
        t.close("concat of two", &got, &want, |i| r * want[i].abs());
        let x = t.matrix(3, 16, 1.0, Role::Dense);
        let got = t.cuda.concat(x.all().0, one.0).unwrap();
        let want = t.oracle.concat(x.all().1, one.1).unwrap();
        t.close("concat with one", &got, &want, |i| r * want[i].abs());
        // Two rows of the product as one.
        let pairs = Columns::block(&y.cuda, 3, 48, 16, 24);
        let got = t.cuda.gather(pairs, &[2, 1]).unwrap();
        let want = Columns::block(&y.host, 3, 48, 16, 24);
        let want = t.oracle.gather(want, &[2, 1]).unwrap();
        t.close("gather of pairs", &got, &want, |i| r * want[i].abs());
    });
}

#[test]
fn biases_of_sums_and_factors() {
    in_every_precision("sums", 33, |t| {
        let r = 1.01 * t.rounding();
        for width in [7, 24] {
            let x = t.matrix(6, width, 3.0, Role::Dense);
            let y = biased(t, 6, width);
            let got = t.cuda.add(x.cuda, &y.cuda).unwrap();
            let want = t.oracle.add(x.host, &y.host).unwrap();
            t.close("add", &got, &want, |i| r * want[i].abs() + gamma(2) * 6.0);
            let (on_cuda, on_host) = y.block(0, width);
            let half = Pointwise::Scale(0.3);
            let got = t.cuda.pointwise(on_cuda, half).unwrap();
            let want = t.oracle.pointwise(on_host, half).unwrap();
            t.close("scale", &got, &want, |i| (r + gamma(3)) * want[i].abs());
            // A sum that begins with a product stores it first.
            let z = t.matrix(6, width, 3.0, Role::Dense);
            let stored: Vec<f64> = y.host.iter().map(|y| r * y.abs()).collect();
            let got = t.cuda.add(y.cuda, &z.cuda).unwrap();
            let want = t.oracle.add(y.host, &z.host).unwrap();
            t.close("add to a product", &got, &want, |i| {
                r * want[i].abs() + stored[i] + gamma(2) * 6.0
            });
        }
    });
}

#[test]
fn biases_of_experts_and_bounds() {
    in_every_precision("experts", 38, |t| {
        let r = 1.01 * t.rounding();
        for width in [7, 24] {
            let x = t.matrix(6, width, 3.0, Role::Dense);
            let y = biased(t, 3, width);
            let (on_cuda, on_host) = y.block(0, width);
            let (rows, weights) = ([0, 2, 5], [0.3, 1.0, 0.7]);
            let got = t.cuda.add_rows(x.cuda, on_cuda, &rows, &weights).unwrap();
            let want = t.oracle.add_rows(x.host, on_host, &rows, &weights).unwrap();
            t.close("add_rows", &got, &want, |i| {
                r * want[i].abs() + gamma(4) * 6.0
            });
            let bound = Pointwise::Clip(0.5);
            let got = t.cuda.pointwise(on_cuda, bound).unwrap();
            let want = t.oracle.pointwise(on_host, bound).unwrap();
            t.close("clip", &got, &want, |i| (r + gamma(2)) * want[i].abs());
        }
    });
}

/// Memory that a product still needs is not changed under it.
#[test]
fn a_bias_that_is_added_to_is_not_changed() {
    in_every_precision("shared", 34, |t| {
        let x = t.matrix(2, 8, 1.0, Role::Dense);
        let weight = t.matrix(8, 8, 1.0, Role::Matrix);
        let bias = t.matrix(1, 8, 1.0, Role::Dense);
        let op = Linear {
            weight: &weight.cuda,
            bias: Some(&bias.cuda),
            inputs: 8,
            outputs: 8,
        };
        let y = t.cuda.linear(x.all().0, &op).unwrap();
        let before = t.cuda.read(&y).unwrap();
        let z = t.matrix(1, 8, 1.0, Role::Dense);
        let sum = t.cuda.add(bias.cuda, &z.cuda).unwrap();
        assert_eq!(t.cuda.read(&y).unwrap(), before);
        let want = t.oracle.add(bias.host, &z.host).unwrap();
        let r = 1.01 * t.rounding();
        t.close("sum", &sum, &want, |i| r * want[i].abs());
    });
}

/// Loss as without a bias (`rows.rs`): one rounding of the result.
#[test]
fn biases_of_activations_and_rotations() {
    in_every_precision("followed", 35, |t| {
        let r = 1.01 * t.rounding();
        for width in [7, 24] {
            let y = biased(t, 6, 2 * width);
            let (gate, up) = (y.block(0, width), y.block(width, width));
            let silu = Activation::Silu;
            let got = t.cuda.activate(gate.0, Some(up.0), silu).unwrap();
            let want = t.oracle.activate(gate.1, Some(up.1), silu).unwrap();
            // Both are at most 3.
            t.close("activate", &got, &want, |i| {
                r * want[i].abs() + gamma(14) * 9.0
            });
        }
        for (dim, half, heads) in [(16, 8, 2), (10, 3, 1)] {
            let y = biased(t, 4, 8 + heads * dim);
            let op = Rope {
                positions: &[0, 3, 70, 71],
                head_dim: dim,
                frequencies: &[1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.02, 0.01][..half],
                scale: 1.25,
            };
            let (on_cuda, on_host) = y.block(8, heads * dim);
            let got = t.cuda.rope(on_cuda, &op).unwrap();
            let want = t.oracle.rope(on_host, &op).unwrap();
            t.close("rope", &got, &want, |i| r * want[i].abs() + gamma(9) * 7.5);
        }
    });
}

/// A call on queries, keys and values of one product.
fn attend<B: Backend>(
    backend: &B,
    [q, k, v]: [Columns<'_, B::Buffer>; 3],
    (segments, dim, soft_cap): (&[Segment], usize, Option<f64>),
) -> B::Buffer {
    let op = Attention {
        segments,
        heads: 4,
        kv_heads: 2,
        head_dim: dim,
        // Of numbers below 3, so that scores are below 6 in heads of 64.
        scale: 0.01,
        window: None,
        soft_cap,
        slopes: None,
    };
    backend.attention(q, k, v, &op).unwrap()
}

/// Loss: queries, and keys under a cap, are stored after their biases were added, so scores are off by
/// δ = (2r + γ_{d+6})·6 and weights by e^{2δ} − 1 and r; the sums by γ_{4n+16}; the result by r.
#[test]
fn biases_of_queries_keys_and_values() {
    in_every_precision("attention", 36, |t| {
        let segments = forest(&[(None, 9), (Some(0), 5)]);
        let r = 1.01 * t.rounding();
        for dim in [64, 6] {
            for soft_cap in [None, Some(2.0)] {
                let y = biased(t, 14, 8 * dim);
                let blocks = [(0, 4), (4, 2), (6, 2)];
                let [q, k, v] = blocks.map(|(at, heads)| y.block(at * dim, heads * dim));
                let call = (&segments[..], dim, soft_cap);
                let got = attend(&t.cuda, [q.0, k.0, v.0], call);
                let want = attend(&t.oracle, [q.1, k.1, v.1], call);
                let eta = (2.0 * (2.0 * r + gamma(dim + 6)) * 6.0).exp_m1();
                t.close("attention", &got, &want, |i| {
                    (r + eta + gamma(80)) * 3.0 + r * want[i].abs()
                });
            }
        }
    });
}

/// Values that are nothing but their bias are rounded once, at the end.
#[test]
fn biases_of_values_are_rounded_once() {
    in_every_precision("values", 37, |t| {
        let segments = forest(&[(None, 9), (Some(0), 5)]);
        let r = 1.01 * t.rounding();
        for dim in [64, 6] {
            let qk = t.matrix(14, 4 * dim, 1.0, Role::Dense);
            let nothing = t.given(&vec![0.0; 14 * 2 * dim], 14, 2 * dim, Role::Dense);
            let v = biased_of(t, &nothing);
            let (q, k) = (qk.block(0, 4 * dim), qk.block(0, 2 * dim));
            let v = v.block(0, 2 * dim);
            let got = attend(&t.cuda, [q.0, k.0, v.0], (&segments, dim, None));
            let want = attend(&t.oracle, [q.1, k.1, v.1], (&segments, dim, None));
            t.close("attention", &got, &want, |i| {
                (r + gamma(64)) * want[i].abs()
            });
        }
    });
}
