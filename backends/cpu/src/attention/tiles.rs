//! Products of queries with keys, and of weights with values, tile by tile.

use super::Query;
use super::blocks::{KEYS, Vector};
use crate::simd::{LANES, Simd};

/// Number of queries of a tile of scores: as many as the registers hold with all panels of a block.
pub(super) fn tall<S: Simd>() -> usize {
    // Four panels times six rows are the 24 sums of AVX-512. With six sums it is two panels times
    // three rows, with four two times two.
    match S::ACCUMULATORS {
        24.. => 6,
        6.. => 3,
        _ => 2,
    }
}

/// Number of rows of a tile of sums of `wide` values: narrow tiles need more rows for as many chains.
pub(super) fn taller<S: Simd>(wide: usize) -> usize {
    // One panel of sums has one chain per row, and a multiply-add waits four cycles for the one
    // before: twelve chains keep two units busy, six do not.
    match wide / LANES {
        1 => 2 * tall::<S>(),
        _ => tall::<S>(),
    }
}

/// Calls a kernel with the height of its tile as a constant.
macro_rules! by_height {
    ($height:expr, [$($h:literal)*], $kernel:ident $arguments:tt) => {
        match $height {
            $($h => {
                // A constant condition, so that heights beyond the registers are not compiled.
                if const { $h <= S::ACCUMULATORS } {
                    by_height!(@call $kernel $h $arguments);
                } else {
                    unreachable!("tiles have at most {} rows", S::ACCUMULATORS);
                }
            })*
            height => unreachable!("a tile of {height} rows"),
        }
    };
    (@call $kernel:ident $h:literal ($($argument:expr),*)) => {
        $kernel::<S, $h>($($argument),*)
    };
}

/// Calls a kernel of `H` rows for all panels, as many at a time as the registers hold. Its last
/// argument is the number of the first panel.
macro_rules! by_width {
    ($panels:expr, $kernel:ident ($($argument:expr),*)) => {
        let mut next = 0;
        while next < $panels {
            let left = $panels - next;
            if const { 4 * H <= S::ACCUMULATORS } && left >= 4 {
                $kernel::<S, H, 4>($($argument),*, next);
                next += 4;
            } else if const { 2 * H <= S::ACCUMULATORS } && left >= 2 {
                $kernel::<S, H, 2>($($argument),*, next);
                next += 2;
            } else {
                $kernel::<S, H, 1>($($argument),*, next);
                next += 1;
            }
        }
    };
}

/// Products of queries with the keys of some panels, one row of 64 per query.
#[inline(always)]
pub(super) fn score<S: Simd>(simd: S, queries: &[Query<'_>], keys: &[Vector], scores: &mut [f32]) {
    by_height!(queries.len(), [1 2 3 4 5 6], score_of(simd, queries, keys, scores));
}

#[inline(always)]
fn score_of<S: Simd, const H: usize>(
    simd: S,
    queries: &[Query<'_>],
    keys: &[Vector],
    scores: &mut [f32],
) {
    let dim = queries[0].values.len();
    let queries: [&[f32]; H] = std::array::from_fn(|r| &queries[r].values[..dim]);
    let scores = &mut scores.as_chunks_mut::<KEYS>().0[..H];
    let panels = keys.len() / dim;
    by_width!(panels, score_tile(simd, queries, keys, scores));
}

/// Products of `H` queries with `W` panels of keys, the first of them panel `panel`.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "constant bounds keep the sums in registers; iterators here do not"
)]
fn score_tile<S: Simd, const H: usize, const W: usize>(
    simd: S,
    queries: [&[f32]; H],
    keys: &[Vector],
    scores: &mut [[f32; KEYS]],
    panel: usize,
) {
    let dim = queries[0].len();
    let queries = queries.map(|q| &q[..dim]);
    let keys: [&[Vector]; W] = std::array::from_fn(|j| &keys[(panel + j) * dim..][..dim]);
    let mut acc = [[simd.splat(0.0); W]; H];
    for i in 0..dim {
        let mut lanes = [simd.splat(0.0); W];
        for j in 0..W {
            lanes[j] = simd.load(&keys[j][i]);
        }
        for r in 0..H {
            let x = simd.splat(queries[r][i]);
            for j in 0..W {
                acc[r][j] = simd.fma(x, lanes[j], acc[r][j]);
            }
        }
    }
    for r in 0..H {
        let to = &mut scores[r].as_chunks_mut::<LANES>().0[panel..][..W];
        for j in 0..W {
            simd.store(acc[r][j], &mut to[j]);
        }
    }
}

/// Adds the weighted values of the first `seen` places of a block to the sums of some rows. The weights
/// beyond are zero.
#[inline(always)]
pub(super) fn weigh<S: Simd>(
    simd: S,
    weights: &[[f32; KEYS]],
    values: &[Vector],
    seen: usize,
    sums: &mut [f32],
) {
    by_height!(
        weights.len(),
        [1 2 3 4 5 6 7 8 9 10 11 12],
        weigh_of(simd, weights, values, seen, sums)
    );
}

#[inline(always)]
fn weigh_of<S: Simd, const H: usize>(
    simd: S,
    weights: &[[f32; KEYS]],
    values: &[Vector],
    seen: usize,
    sums: &mut [f32],
) {
    let weights: &[[f32; KEYS]; H] = weights.first_chunk().expect("the height was matched");
    let panels = sums.len() / (H * LANES);
    let sums = sums.as_chunks_mut::<LANES>().0;
    by_width!(panels, weigh_tile(simd, weights, values, seen, sums));
}

/// The sums of `H` rows in `W` panels, the first of them panel `panel`.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "constant bounds keep the sums in registers; iterators here do not"
)]
fn weigh_tile<S: Simd, const H: usize, const W: usize>(
    simd: S,
    weights: &[[f32; KEYS]; H],
    values: &[Vector],
    seen: usize,
    sums: &mut [Vector],
    panel: usize,
) {
    let panels = sums.len() / H;
    let seen = seen.min(KEYS);
    let values: [&[Vector]; W] = std::array::from_fn(|j| &values[(panel + j) * KEYS..][..seen]);
    let mut acc = [[simd.splat(0.0); W]; H];
    for r in 0..H {
        let from = &sums[r * panels + panel..][..W];
        for j in 0..W {
            acc[r][j] = simd.load(&from[j]);
        }
    }
    for i in 0..seen {
        let mut lanes = [simd.splat(0.0); W];
        for j in 0..W {
            lanes[j] = simd.load(&values[j][i]);
        }
        for r in 0..H {
            let x = simd.splat(weights[r][i]);
            for j in 0..W {
                acc[r][j] = simd.fma(x, lanes[j], acc[r][j]);
            }
        }
    }
    for r in 0..H {
        let to = &mut sums[r * panels + panel..][..W];
        for j in 0..W {
            simd.store(acc[r][j], &mut to[j]);
        }
    }
}
