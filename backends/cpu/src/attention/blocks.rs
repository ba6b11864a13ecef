//! Keys and values in blocks of one head, as the matrix kernel reads them.

use std::ops::Range;

use relscale::backend::{Attention, Segment};

use crate::buffer::{Dense, Pool, View};
use crate::gemm::interleave;
use crate::parallel::Threads;
use crate::simd::LANES;

/// Number of keys of a softmax block: few enough that its keys and values stay in the first-level
/// cache, and a whole number of vectors. Another number changes the last bits.
// Keys and values of a block take 32 KiB with heads of 64.
pub(super) const KEYS: usize = 64;

/// One vector in memory.
pub(super) type Vector = [f32; LANES];

/// Layout of the keys and values of one head and block for the matrix kernel.
///
/// First come four panels of sixteen keys, with one vector per element of the head; then one panel per
/// sixteen elements of the head, with one vector per key.
pub(super) struct Layout {
    pub(super) dim: usize,
}

impl Layout {
    /// Number of vectors of the keys.
    fn keys(&self) -> usize {
        KEYS / LANES * self.dim
    }

    /// Number of floats of a block.
    pub(super) fn len(&self) -> usize {
        LANES * (self.keys() + self.dim.div_ceil(LANES) * KEYS)
    }

    pub(super) fn split<'a>(&self, block: &'a [f32]) -> (&'a [Vector], &'a [Vector]) {
        block.as_chunks().0.split_at(self.keys())
    }

    /// Sets all places of a block.
    fn fill<'a>(
        &self,
        block: &mut [f32],
        key: impl Fn(usize) -> &'a [f32],
        value: impl Fn(usize) -> &'a [f32],
    ) {
        let (keys, values) = block.split_at_mut(LANES * self.keys());
        for (panel, keys) in keys.chunks_exact_mut(LANES * self.dim).enumerate() {
            interleave::<LANES>(|r| key(panel * LANES + r), keys);
        }
        for place in 0..KEYS {
            self.set_value(values.as_chunks_mut().0, place, value(place));
        }
    }

    /// Sets one place of a block.
    pub(super) fn set(&self, block: &mut [f32], place: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = block.as_chunks_mut::<LANES>().0.split_at_mut(self.keys());
        let panel = &mut keys[place / LANES * self.dim..][..self.dim];
        for (lanes, &x) in panel.iter_mut().zip(key) {
            lanes[place % LANES] = x;
        }
        self.set_value(values, place, value);
    }

    fn set_value(&self, values: &mut [Vector], place: usize, value: &[f32]) {
        for (panel, x) in value.chunks(LANES).enumerate() {
            let lanes = &mut values[panel * KEYS + place];
            match x.first_chunk() {
                Some(whole) => *lanes = *whole,
                None => {
                    *lanes = [0.0; LANES];
                    lanes[..x.len()].copy_from_slice(x);
                }
            }
        }
    }

    /// Clears the places from `len` on, which hold values of an earlier block.
    // A weight of zero does not hide what is there: memory of the pool may hold NaN, and zero times
    // NaN is NaN.
    pub(super) fn clear_from(&self, block: &mut [f32], len: usize) {
        let (keys, values) = block.as_chunks_mut::<LANES>().0.split_at_mut(self.keys());
        for place in len..KEYS {
            for lanes in &mut keys[place / LANES * self.dim..][..self.dim] {
                lanes[place % LANES] = 0.0;
            }
            for lanes in values.iter_mut().skip(place).step_by(KEYS) {
                *lanes = [0.0; LANES];
            }
        }
    }
}

/// Blocks that are wholly in one segment, packed once for all rows that see them.
pub(super) struct Whole {
    /// Per segment: its first whole block, and the index of that block in `blocks`.
    pub(super) segments: Vec<(usize, usize)>,
    /// `kv_heads` packed blocks per logical block.
    pub(super) blocks: Dense,
}

/// The logical blocks that are wholly in `segment`.
pub(super) fn inside(segment: &Segment) -> Range<usize> {
    // Logical positions, not rows: cutting a prefix elsewhere must not move a block (module
    // documentation).
    let first = segment.position.div_ceil(KEYS);
    first..((segment.position + segment.len) / KEYS).max(first)
}

pub(super) fn whole_blocks(
    threads: &Threads,
    pool: &Pool,
    k: View<'_>,
    v: View<'_>,
    op: &Attention<'_>,
) -> Whole {
    let layout = Layout { dim: op.head_dim };
    let mut segments = Vec::with_capacity(op.segments.len());
    let mut rows = Vec::new();
    for segment in op.segments {
        let blocks = inside(segment);
        segments.push((blocks.start, rows.len() * op.kv_heads));
        rows.extend(blocks.map(|b| segment.start + b * KEYS - segment.position));
    }
    let count = rows.len() * op.kv_heads;
    let mut blocks = pool.take(count * layout.len());
    if count > 0 {
        let tasks = blocks.chunks_exact_mut(layout.len()).collect();
        let cost = count * KEYS * op.head_dim;
        threads.for_each(cost, tasks, |i, block: &mut [f32]| {
            let (row, head) = (rows[i / op.kv_heads], i % op.kv_heads);
            let key = |place: usize| k.head(row + place, head, op.head_dim);
            let value = |place: usize| v.head(row + place, head, op.head_dim);
            layout.fill(block, key, value);
        });
    }
    Whole { segments, blocks }
}
