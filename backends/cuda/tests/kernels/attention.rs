//! Attention over chains and forests.

use relscale::backend::{Attention, Backend, Columns, Role, Segment};
use relscale::conformance::UNIT_ROUNDOFF_F32;
use relscale::conformance::inputs::forest;
use relscale_cuda::{Buffer, Precision};

use crate::common::on_device;
use crate::trial::{PRECISIONS, Trial, gamma, in_every_precision};

/// One attention call against the oracle, with queries for the rows from `past` on.
///
/// Loss, for a query that sees n keys in heads of d elements: a score is off by
/// δ = γ_{d+6}·scale·Σ|q||k|, plus γ₈·c under a cap c and γ₄·m·n by a slope m; a weight by a factor within 1 ± η with
/// η = e^{2δ + 4u·range} − 1, and by r for being stored; the sums by γ_{4n+16}. In all
/// (r + η + γ_{4n+16})·Σp|v|, and for `f16` 2⁻²⁵ per weight below 2⁻¹⁴.
fn attention_from(t: &mut Trial, past: usize, op: &Attention<'_>, offset: usize, size: f32) {
    let rows = op.segments.iter().map(|s| s.len).sum();
    let (q_width, kv_width) = (op.heads * op.head_dim, op.kv_heads * op.head_dim);
    // Rows of a multiple of 16 bytes, so that only the offset decides about alignment.
    let cols = (offset + q_width + 2 * kv_width).next_multiple_of(8);
    let x = t.matrix(rows, cols, size, Role::Dense);
    let asked: Vec<f32> = x.host[past * cols..].iter().map(|&x| x as f32).collect();
    let asked = t.given(&asked, rows - past, cols, Role::Dense);
    let blocks = [
        asked.block(offset, q_width),
        x.block(offset + q_width, kv_width),
        x.block(offset + q_width + kv_width, kv_width),
    ];
    let [q, k, v] = blocks;
    let got = t.cuda.attention(q.0, k.0, v.0, op).unwrap();
    let want = t.oracle.attention(q.1, k.1, v.1, op).unwrap();
    let sizes = x.abs();
    let v_abs = Columns {
        buffer: &sizes,
        ..v.1
    };
    let weighted = t.oracle.attention(q.1, k.1, v_abs, op).unwrap();
    let s = f64::from(size);
    // Stands for the largest score and for the spread of scores: d products of numbers uniform in
    // ±s, whose mean square is s²/3.
    let products = op.head_dim as f64 * s * s / 3.0 * op.scale;
    let slope = op
        .slopes
        .into_iter()
        .flatten()
        .fold(0.0f64, |a, &b| a.max(b));
    let distance = slope * rows as f64;
    let delta = gamma(op.head_dim + 6) * products
        + op.soft_cap.map_or(0.0, |c| gamma(8) * c)
        + gamma(4) * distance;
    let eta = (2.0 * delta + 8.0 * UNIT_ROUNDOFF_F32 * (products + distance)).exp_m1();
    let r = t.rounding();
    let tiny = match t.precision {
        Precision::F16 => 2f64.powi(-25) * rows as f64 * s,
        _ => 0.0,
    };
    let loss = 1.01 * (r + eta + gamma(4 * rows + 16));
    let what = format!(
        "attention of {rows} rows from row {past} on, {}/{} heads of {}, window {:?}, cap {:?}",
        op.heads, op.kv_heads, op.head_dim, op.window, op.soft_cap
    );
    t.close(&what, &got, &want, |i| {
        loss * weighted[i] + 1.01 * r * want[i].abs() + tiny
    });
}

/// [`attention_from`] the first row on.
fn attention(t: &mut Trial, op: &Attention<'_>, offset: usize, size: f32) {
    attention_from(t, 0, op, offset, size);
}

/// A call with the usual scale, 1/√d.
fn plain(segments: &[Segment], heads: usize, kv_heads: usize, dim: usize) -> Attention<'_> {
    Attention {
        segments,
        heads,
        kv_heads,
        head_dim: dim,
        scale: 1.0 / (dim as f64).sqrt(),
        window: None,
        soft_cap: None,
        slopes: None,
    }
}

#[test]
fn attention_of_chains() {
    in_every_precision("chains", 7, |t| {
        for len in [1, 15, 16, 17, 63, 64, 65, 77, 129] {
            let segments = forest(&[(None, len)]);
            attention(t, &plain(&segments, 2, 1, 64), 8, 2.0);
        }
    });
}

#[test]
fn attention_of_heads() {
    in_every_precision("heads", 8, |t| {
        let segments = forest(&[(None, 70)]);
        for (heads, kv_heads, dim) in [
            (4, 2, 96),
            (2, 2, 128),
            (3, 1, 128),
            (2, 1, 256),
            (3, 3, 33),
            (2, 1, 6),
        ] {
            attention(t, &plain(&segments, heads, kv_heads, dim), 0, 2.0);
        }
        // Not aligned to 16 bytes, which only the plain kernel can read.
        attention(t, &plain(&segments, 2, 1, 64), 3, 2.0);
    });
}

#[test]
fn attention_of_forests() {
    in_every_precision("forests", 9, |t| {
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
            attention(t, &plain(&segments, 2, 1, 64), 0, 2.0);
        }
    });
}

#[test]
fn attention_after_a_prefix() {
    in_every_precision("prefix", 12, |t| {
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
                ..plain(&segments, 2, 1, dim)
            };
            attention_from(t, past, &op, 0, 2.0);
        }
    });
}

#[test]
fn attention_in_windows_and_under_caps() {
    in_every_precision("options", 10, |t| {
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
                ..plain(&segments, 1, 1, 64)
            };
            attention(t, &op, 0, size);
        }
    });
}

/// Linear biases, a slope per query head, with everything that keys may be masked by.
#[test]
fn attention_with_slopes() {
    in_every_precision("slopes", 22, |t| {
        let segments = forest(&[(None, 70), (Some(0), 5), (Some(0), 20)]);
        for (dim, window, soft_cap) in [
            (64, None, None),
            (64, Some(30), None),
            (128, None, Some(5.0)),
            (6, None, None),
        ] {
            let op = Attention {
                window,
                soft_cap,
                slopes: Some(&[0.5, 0.25, 0.125, 0.0]),
                ..plain(&segments, 4, 2, dim)
            };
            attention(t, &op, 0, 2.0);
        }
    });
}

/// A window that ends within a tile, for queries that fill tiles: some see all keys of a tile, some a part.
#[test]
fn attention_in_windows_that_cut_tiles() {
    in_every_precision("windows", 15, |t| {
        let segments = forest(&[(None, 192)]);
        for (window, dim) in [
            (65, 64),
            (70, 64),
            (96, 96),
            (100, 128),
            (126, 64),
            (127, 96),
        ] {
            let op = Attention {
                window: Some(window),
                ..plain(&segments, 1, 1, dim)
            };
            attention(t, &op, 0, 2.0);
        }
    });
}

/// Blocks that begin between two multiples of 16 bytes, each of the three in turn.
#[test]
fn attention_of_blocks_that_are_not_aligned() {
    on_device(|| {
        for precision in PRECISIONS {
            let mut t = Trial::new(precision, 16);
            let segments = forest(&[(None, 20)]);
            let op = plain(&segments, 1, 1, 64);
            let x = t.matrix(20, 256, 2.0, Role::Dense);
            for moved in 0..3 {
                let mut starts = [0, 64, 128];
                starts[moved] += 1;
                let [q, k, v] = starts.map(|at| x.block(at, 64));
                let got = t.cuda.attention(q.0, k.0, v.0, &op).unwrap();
                let want = t.oracle.attention(q.1, k.1, v.1, &op).unwrap();
                let r = 4.0 * t.rounding() + 1e-4;
                t.close(&format!("block {moved} moved"), &got, &want, |_| 2.0 * r);
            }
        }
    });
}

/// The result of a query does not depend, to the bit, on how its prefix is cut into segments.
#[test]
fn sharing_a_prefix_changes_no_bit_of_attention() {
    on_device(|| {
        for precision in PRECISIONS {
            let mut t = Trial::new(precision, 12);
            let rows = 90;
            let x = t.matrix(rows, 3 * 64, 2.0, Role::Dense);
            let run = |segments: &[Segment]| {
                let op = plain(segments, 1, 1, 64);
                let [q, k, v] = [0, 64, 128].map(|at| x.block(at, 64).0);
                let out = t.cuda.attention(q, k, v, &op).unwrap();
                t.cuda.read(&out).unwrap()
            };
            let whole = run(&forest(&[(None, rows)]));
            let cut = run(&forest(&[(None, 13), (Some(0), 52), (Some(1), 25)]));
            assert!(whole.iter().all(|x| x.is_finite()));
            assert_eq!(whole, cut, "{precision:?}");
        }
    });
}

/// Choices after a prefix, and what each of them is alone: the rows of the prefix, then those of the choice.
fn choices(prefix: usize, lens: &[usize]) -> (Vec<Segment>, Vec<Vec<usize>>) {
    let mut shape = vec![(None, prefix)];
    shape.extend(lens.iter().map(|&len| (Some(0), len)));
    let together = forest(&shape);
    let alone = together[1..].iter().map(|s| {
        let rows = (0..prefix).chain(s.start..s.start + s.len);
        rows.collect()
    });
    let alone = alone.collect();
    (together, alone)
}

/// Choices share the tiles of their prefix, in which each sees its own keys only: every row is, to the bit,
/// what it is alone with its prefix.
#[test]
fn choices_in_one_tile_get_the_bits_that_they_get_alone() {
    on_device(|| {
        for (precision, dim, window) in [
            (Precision::Bf16, 64, None),
            (Precision::Bf16, 64, Some(70)),
            (Precision::Bf16, 96, Some(12)),
            (Precision::Bf16, 128, None),
            (Precision::F16, 64, None),
            (Precision::F32, 64, Some(70)),
        ] {
            let (segments, alone) = choices(70, &[10, 3, 17, 70, 1, 16]);
            let mut t = Trial::new(precision, 19);
            let rows = segments.iter().map(|s| s.len).sum();
            let x = t.matrix(rows, 4 * dim, 2.0, Role::Dense);
            let run = |buffer: &Buffer, rows: usize, segments: &[Segment]| {
                let op = Attention {
                    window,
                    ..plain(segments, 2, 1, dim)
                };
                let block = |start, width| Columns::block(buffer, rows, 4 * dim, start, width);
                let (q, k, v) = (block(0, 2 * dim), block(2 * dim, dim), block(3 * dim, dim));
                let out = t.cuda.attention(q, k, v, &op).unwrap();
                t.cuda.read(&out).unwrap()
            };
            let together = run(&x.cuda, rows, &segments);
            assert!(together.iter().all(|x| x.is_finite()));
            for rows in alone {
                let all = Columns::all(&x.cuda, x.rows, x.cols);
                let own = t.cuda.gather(all, &rows).unwrap();
                let got = run(&own, rows.len(), &forest(&[(None, rows.len())]));
                let width = 2 * dim;
                for (at, row) in rows.into_iter().enumerate() {
                    assert_eq!(
                        got[at * width..][..width],
                        together[row * width..][..width],
                        "{precision:?}, heads of {dim}, window {window:?}: row {row}"
                    );
                }
            }
        }
    });
}

/// The same against the oracle, in tiles of four and of eight warps, with queries for choices only and for all.
#[test]
fn attention_of_choices() {
    in_every_precision("choices", 20, |t| {
        for (prefix, lens, dim, window) in [
            (64, &[10, 10, 10, 10, 10][..], 64, None),
            (130, &[1, 20, 5], 64, Some(100)),
            (64, &[129, 128, 7, 9], 128, None),
            (64, &[140], 96, Some(80)),
        ] {
            let (segments, _) = choices(prefix, lens);
            let op = Attention {
                window,
                ..plain(&segments, 2, 1, dim)
            };
            attention_from(t, prefix, &op, 0, 2.0);
        }
    });
}
