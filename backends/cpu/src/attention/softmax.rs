//! From products of queries and keys to weights, a block at a time.

use std::ops::Range;

use relscale::backend::Attention;

use super::blocks::{KEYS, Vector};
use crate::rows::SoftCap;
use crate::simd::{LANES, Simd};

/// The bias of the keys of a block: a slope times the position of a key less that of the query.
#[derive(Clone, Copy)]
pub(super) struct Bias {
    pub(super) slope: f32,
    /// Position of the first place of the block less that of the query.
    pub(super) first: f32,
}

/// Factor, cap and mask that turn products into scores.
pub(super) struct Scaling<V> {
    scale: V,
    cap: Option<SoftCap<V>>,
    /// Slope of each query head.
    pub(super) slopes: Option<Vec<f32>>,
    nothing: V,
    /// Numbers of the places of a block.
    places: [V; KEYS / LANES],
}

impl<V: Copy> Scaling<V> {
    #[inline(always)]
    pub(super) fn new<S: Simd<V = V>>(simd: S, op: &Attention<'_>) -> Self {
        let place = |panel: usize| std::array::from_fn(|i| (panel * LANES + i) as f32);
        Self {
            scale: simd.splat(op.scale as f32),
            cap: op.soft_cap.map(|cap| SoftCap::new(simd, cap)),
            slopes: op
                .slopes
                .map(|slopes| slopes.iter().map(|&m| m as f32).collect()),
            nothing: simd.splat(f32::NEG_INFINITY),
            places: std::array::from_fn(|panel| simd.load(&place(panel))),
        }
    }
}

/// Turns a row of products into weights relative to the largest score so far, and rescales the sums so
/// far. Panels without a visible place become zero and are not read.
#[inline(always)]
pub(super) fn soften<S: Simd>(
    simd: S,
    row: &mut [Vector; KEYS / LANES],
    visible: Range<usize>,
    bias: Option<Bias>,
    scaling: &Scaling<S::V>,
    state: &mut (f32, f32),
    sums: &mut [f32],
) {
    let panels = visible.end.div_ceil(LANES);
    // A panel without a visible place would add e^−∞ = 0 to every lane, so skipping it keeps the
    // bits.
    for lanes in row.iter_mut().skip(panels) {
        *lanes = [0.0; LANES];
    }
    // A constant number of panels keeps the scores in registers. A loop over `panels` took a branch
    // per vector.
    match panels {
        0 => {}
        1 => soften_panels::<S, 1>(simd, row, visible, bias, scaling, state, sums),
        2 => soften_panels::<S, 2>(simd, row, visible, bias, scaling, state, sums),
        3 => soften_panels::<S, 3>(simd, row, visible, bias, scaling, state, sums),
        _ => soften_panels::<S, 4>(simd, row, visible, bias, scaling, state, sums),
    }
}

/// As [`soften`], for the first `P` panels.
#[inline(always)]
fn soften_panels<S: Simd, const P: usize>(
    simd: S,
    row: &mut [Vector; KEYS / LANES],
    visible: Range<usize>,
    bias: Option<Bias>,
    scaling: &Scaling<S::V>,
    state: &mut (f32, f32),
    sums: &mut [f32],
) {
    let mut scores = [scaling.nothing; P];
    for (score, lanes) in scores.iter_mut().zip(row.iter()) {
        let x = simd.mul(simd.load(lanes), scaling.scale);
        *score = match &scaling.cap {
            Some(cap) => cap.apply(simd, x),
            None => x,
        };
    }
    if let Some(Bias { slope, first }) = bias {
        let (slope, first) = (simd.splat(slope), simd.splat(first));
        for (score, &place) in scores.iter_mut().zip(&scaling.places) {
            *score = simd.fma(slope, simd.add(place, first), *score);
        }
    }
    // Only the blocks at the ends of the visible range have masked places.
    if visible.start > 0 || visible.end < P * LANES {
        let start = simd.splat(visible.start as f32);
        let end = simd.splat(visible.end as f32);
        for (score, &place) in scores.iter_mut().zip(&scaling.places) {
            let x = simd.select_lt(place, end, *score, scaling.nothing);
            *score = simd.select_lt(place, start, scaling.nothing, x);
        }
    }
    let mut top = scaling.nothing;
    for &score in &scores {
        top = simd.max(score, top);
    }
    let (before, sum) = *state;
    let top = simd.top(top);
    // The largest so far never falls, so every exponent below is at most zero and cannot overflow.
    let max = if top > before { top } else { before };
    if max == f32::NEG_INFINITY && !any_nan(simd, &scores) {
        // No key seen so far: the window starts after this block.
        row[..P].fill([0.0; LANES]);
        return;
    }
    let center = simd.splat(max);
    let mut total = simd.splat(0.0);
    for (&score, lanes) in scores.iter().zip(row) {
        let weight = simd.exp(simd.sub(score, center));
        total = simd.add(total, weight);
        simd.store(weight, lanes);
    }
    // Rescaling by e^0 = 1 would be exact, but costs a pass over the sums, so it is left out when
    // the largest score stays.
    let mut kept = sum;
    if max > before {
        let factors = simd.exp(simd.sub(simd.splat(before), center));
        for lanes in sums.as_chunks_mut::<LANES>().0 {
            simd.store(simd.mul(simd.load(lanes), factors), lanes);
        }
        // The factor of the sum of weights must be that of the sums of values, so it is a lane of
        // the same vector and not another `exp`.
        let mut factor = [0.0; LANES];
        simd.store(factors, &mut factor);
        kept *= factor[0];
    }
    *state = (max, kept + simd.sum(total));
}

/// True if a score is NaN, which `max` passes over.
#[inline(always)]
fn any_nan<S: Simd>(simd: S, scores: &[S::V]) -> bool {
    let mut total = simd.splat(0.0);
    for &score in scores {
        total = simd.add(total, score);
    }
    simd.sum(total).is_nan()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel};

    /// The sum of the weights of a block whose product with the key at `nan` is NaN.
    struct Sum {
        nan: usize,
        visible: Range<usize>,
    }

    impl Kernel for Sum {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> f32 {
            let place = |panel: usize| std::array::from_fn(|i| (panel * LANES + i) as f32);
            let scaling = Scaling {
                scale: simd.splat(1.0),
                cap: None,
                slopes: None,
                nothing: simd.splat(f32::NEG_INFINITY),
                places: std::array::from_fn(|panel| simd.load(&place(panel))),
            };
            let mut row = [[0.5; LANES]; KEYS / LANES];
            row[self.nan / LANES][self.nan % LANES] = f32::NAN;
            let mut state = (f32::NEG_INFINITY, 0.0);
            soften(
                simd,
                &mut row,
                self.visible,
                None,
                &scaling,
                &mut state,
                &mut [],
            );
            state.1
        }
    }

    #[test]
    fn a_score_that_overflowed_is_not_lost() {
        for isa in Isa::available() {
            for (nan, visible, lost) in [
                (0, 0..1, false),
                (3, 0..KEYS, false),
                (KEYS - 1, 0..KEYS, false),
                (20, 20..21, false),
                (3, 0..3, true),
                (3, 4..KEYS, true),
            ] {
                let message = format!("{}: {nan} of {visible:?}", isa.name());
                let sum = isa.run(Sum { nan, visible });
                assert_eq!(sum.is_nan(), !lost, "{message}: {sum}");
            }
        }
    }
}
