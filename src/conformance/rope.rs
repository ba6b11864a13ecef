//! Rotary position embedding.

use super::bounds::{close, oracle};
use super::inputs::{Block, SplitMix64};
use super::kit::{Failure, Kit};
use crate::backend::{Backend, Rope};

impl<B: Backend> Kit<B> {
    /// Rotary embedding of whole heads and of parts of heads, at near and far positions.
    ///
    /// Bound: (γ₈ + 2⁻⁵²·|angle|)·(|a| + |b|)·scale for a rotated pair (a, b). The angle is a
    /// product in `f64`, its cosine and sine are right to 4u, and two products and a sum follow.
    /// Elements that pass through are copied: u·|x|.
    pub fn rope(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(4));
        // At a million radians the steps of `f32` are 1/16: angles must be computed in `f64`.
        let positions = [0, 1, 2, 17, 63, 64, 65, 4095, 4096, 1_000_003, 3];
        let rows = positions.len();
        // (elements of a head, rotated pairs, heads)
        // Whole heads, parts of heads, an odd head, no pair at all, and one pair more than two
        // registers of sixteen.
        for (dim, half, heads) in [
            (2, 1, 1),
            (6, 3, 2),
            (16, 8, 3),
            (17, 5, 2),
            (64, 32, 1),
            (10, 0, 2),
            (66, 33, 2),
        ] {
            // A scale other than 1 is a factor of some long-context rules; no power of two, so that
            // it rounds.
            for scale in [1.0, 1.37] {
                let x = Block::new(&random.awkward(rows * heads * dim), rows, (1, heads));
                let frequencies: Vec<f64> = (0..half)
                    .map(|i| 10_000f64.powf(-(i as f64) / half as f64))
                    .collect();
                let op = Rope {
                    positions: &positions,
                    head_dim: dim,
                    frequencies: &frequencies,
                    scale,
                };
                let (buffer, exact) = (x.upload(&backend)?, x.upload(&oracle())?);
                let got = backend.read(&backend.rope(x.columns(&buffer), &op)?)?;
                let want = oracle().rope(x.columns(&exact), &op)?;
                let what = format!("rope {half} pairs of heads of {dim}");
                close(what, &got, &want, &self.rope_bound(&x, &op))?;
            }
        }
        Ok(())
    }

    /// The bound of [`Kit::rope`] on every result.
    fn rope_bound(&self, x: &Block, op: &Rope<'_>) -> Vec<f64> {
        let (dim, half) = (op.head_dim, op.frequencies.len());
        let mut bound = Vec::new();
        for (row, position) in x.content().chunks_exact(x.width).zip(op.positions) {
            for head in row.chunks_exact(dim) {
                bound.extend((0..dim).map(|i| {
                    if i >= 2 * half {
                        return self.roundoff.arithmetic * head[i].abs();
                    }
                    let pair = i % half;
                    let angle = f64::from(*position) * op.frequencies[pair];
                    let error = self.gamma(8) + f64::EPSILON * angle;
                    error * (head[pair].abs() + head[half + pair].abs()) * op.scale
                }));
            }
        }
        bound
    }
}
