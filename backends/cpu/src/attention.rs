//! Causal attention over the forest, a block of keys at a time with an online softmax
//! (Dao et al. 2022, arXiv 2205.14135).
//!
//! Blocks hold 64 keys and are aligned to logical positions, whichever segments the keys stand in.
//! A row's arithmetic is therefore the same however its prefix is cut into segments and whatever
//! else is in the batch: scores are chains over the head's elements, the softmax of a block is a
//! fixed tree over its 64 places (masked places count as zero), values are chains over the keys.

use relscale::backend::{Attention, Segment};

use crate::buffer::{Dense, Pool, View};
use crate::gemm::{load, store};
use crate::parallel::{Shared, Threads};
use crate::rows::SoftCap;
use crate::simd::{Isa, Kernel, LANES, Simd};

/// Keys of a block.
const KEYS: usize = 64;
/// Query rows of a task.
const QUERIES: usize = 96;

/// One head's keys and values of a block, ready for the matrix kernel: four panels of sixteen keys,
/// in a panel one vector an element of the head; then a panel for every sixteen elements of the
/// head, in a panel one vector a key.
struct Layout {
    dim: usize,
}

impl Layout {
    /// Vectors of the keys.
    fn keys(&self) -> usize {
        KEYS / LANES * self.dim
    }

    /// Floats of a block.
    fn len(&self) -> usize {
        LANES * (self.keys() + self.dim.div_ceil(LANES) * KEYS)
    }

    fn split<'a>(&self, block: &'a [f32]) -> (&'a [Vector], &'a [Vector]) {
        block.as_chunks().0.split_at(self.keys())
    }

    fn set(&self, block: &mut [f32], place: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = block.as_chunks_mut::<LANES>().0.split_at_mut(self.keys());
        let panel = &mut keys[place / LANES * self.dim..][..self.dim];
        for (lanes, &x) in panel.iter_mut().zip(key) {
            lanes[place % LANES] = x;
        }
        for (panel, x) in value.chunks(LANES).enumerate() {
            let lanes = &mut values[panel * KEYS + place];
            lanes[..x.len()].copy_from_slice(x);
            lanes[x.len()..].fill(0.0);
        }
    }

    /// Clears the places from `len` on, so that what a block held before cannot matter.
    fn clear_from(&self, block: &mut [f32], len: usize) {
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

/// One vector in memory.
type Vector = [f32; LANES];

/// Computes attention into `out`, row-major with `heads × head_dim` columns. The arguments have
/// been checked.
pub(crate) fn attention(
    isa: Isa,
    threads: &Threads,
    pool: &Pool,
    [q, k, v]: [View<'_>; 3],
    op: &Attention<'_>,
    out: &mut [f32],
) {
    let rows = out.len() / (op.heads * op.head_dim);
    let group = op.heads / op.kv_heads;
    let whole = whole_blocks(threads, pool, k, v, op);
    // As many queries as fit a task when each stands there once a head of the group.
    let tall = (QUERIES / group).max(1);
    let mut tasks = Vec::new();
    for (index, segment) in op.segments.iter().enumerate() {
        for from in (0..segment.len).step_by(tall) {
            for head in 0..op.kv_heads {
                tasks.push((index, from, (from + tall).min(segment.len), head));
            }
        }
    }
    // Long rows first: what is left at the end is short.
    tasks.sort_by_key(|&(s, _, to, _)| std::cmp::Reverse(op.segments[s].position + to));
    let out = Shared::new(out);
    let cost = rows * op.heads * op.head_dim * 64;
    threads.for_each(cost, tasks, |_, (segment, from, to, kv_head)| {
        isa.run(Task {
            segment,
            from,
            to,
            kv_head,
            op,
            q,
            k,
            v,
            whole: &whole,
            pool,
            out: &out,
        });
    });
}

/// Blocks that lie wholly in one segment, packed once for all the rows that see them.
struct Whole {
    /// Per segment: its first whole block, and where that is in `blocks`.
    segments: Vec<(usize, usize)>,
    /// `kv_heads` for every block.
    blocks: Dense,
}

/// The logical blocks that lie wholly in `segment`.
fn inside(segment: &Segment) -> std::ops::Range<usize> {
    let first = segment.position.div_ceil(KEYS);
    first..((segment.position + segment.len) / KEYS).max(first)
}

fn whole_blocks(
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
            for place in 0..KEYS {
                let (key, value) = (
                    k.head(row + place, head, op.head_dim),
                    v.head(row + place, head, op.head_dim),
                );
                layout.set(block, place, key, value);
            }
        });
    }
    Whole { segments, blocks }
}

/// Some rows of a segment, for the query heads of one key head.
struct Task<'a> {
    segment: usize,
    from: usize,
    to: usize,
    kv_head: usize,
    op: &'a Attention<'a>,
    q: View<'a>,
    k: View<'a>,
    v: View<'a>,
    whole: &'a Whole,
    pool: &'a Pool,
    out: &'a Shared<'a>,
}

impl Task<'_> {
    fn layout(&self) -> Layout {
        Layout {
            dim: self.op.head_dim,
        }
    }

    /// Segments from the root to the task's.
    fn path(&self) -> Vec<usize> {
        let mut path = vec![self.segment];
        let mut at = self.segment;
        while let Some(parent) = self.op.segments[at].parent {
            path.push(parent);
            at = parent;
        }
        path.reverse();
        path
    }

    /// The packed block, if it lies wholly in a segment of the path.
    fn packed(&self, path: &[usize], block: usize) -> Option<&[f32]> {
        let &segment = path
            .iter()
            .find(|&&s| inside(&self.op.segments[s]).contains(&block))?;
        let (first, start) = self.whole.segments[segment];
        let index = start + (block - first) * self.op.kv_heads + self.kv_head;
        let len = self.layout().len();
        Some(&self.whole.blocks[index * len..][..len])
    }

    /// Gathers the keys below `end` of a block that is spread over segments.
    fn assemble(&self, path: &[usize], block: usize, end: usize, to: &mut [f32]) {
        let (dim, layout) = (self.op.head_dim, self.layout());
        let first = block * KEYS;
        let last = end.min(first + KEYS);
        for &s in path {
            let segment = &self.op.segments[s];
            let from = first.max(segment.position);
            let until = last.min(segment.position + segment.len);
            for position in from..until {
                let row = segment.start + position - segment.position;
                let (key, value) = (
                    self.k.head(row, self.kv_head, dim),
                    self.v.head(row, self.kv_head, dim),
                );
                layout.set(to, position - first, key, value);
            }
        }
        layout.clear_from(to, last - first);
    }
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let op = self.op;
        let (dim, group) = (op.head_dim, op.heads / op.kv_heads);
        let wide = dim.next_multiple_of(LANES);
        let segment = &op.segments[self.segment];
        let queries: Vec<Query<'_>> = (self.from..self.to)
            .flat_map(|i| (0..group).map(move |h| (i, self.kv_head * group + h)))
            .map(|(i, head)| Query {
                position: segment.position + i,
                values: self.q.head(segment.start + i, head, dim),
                out: (segment.start + i) * op.heads * dim + head * dim,
            })
            .collect();
        let end = segment.position + self.to;
        let first = match op.window {
            Some(window) => (segment.position + self.from + 1).saturating_sub(window) / KEYS,
            None => 0,
        };
        let path = self.path();
        let layout = self.layout();
        let mut scratch = self.pool.take(layout.len() + queries.len() * (KEYS + wide));
        let (spread, scratch) = scratch.split_at_mut(layout.len());
        let (scores, sums) = scratch.split_at_mut(queries.len() * KEYS);
        sums.fill(0.0);
        let mut state = vec![(f32::NEG_INFINITY, 0.0f32); queries.len()];
        for block in first..end.div_ceil(KEYS) {
            let keys = match self.packed(&path, block) {
                Some(packed) => packed,
                None => {
                    self.assemble(&path, block, end, spread);
                    &*spread
                }
            };
            let (keys, values) = layout.split(keys);
            // Queries before the block see none of it.
            let skip = queries.partition_point(|q| q.position < block * KEYS);
            let queries = &queries[skip..];
            let scores = &mut scores[skip * KEYS..];
            let sums = &mut sums[skip * wide..];
            let state = &mut state[skip..];
            for (i, tile) in queries.chunks(4).enumerate() {
                let scores = &mut scores[i * 4 * KEYS..][..tile.len() * KEYS];
                match tile {
                    [a, b, c, d] => score(simd, [a, b, c, d], keys, scores),
                    rest => {
                        for (query, scores) in rest.iter().zip(scores.chunks_exact_mut(KEYS)) {
                            score(simd, [query], keys, scores);
                        }
                    }
                }
            }
            for (i, query) in queries.iter().enumerate() {
                let visible = query.visible(block, op.window);
                let row = &mut scores[i * KEYS..][..KEYS];
                soften(
                    simd,
                    row,
                    visible,
                    op,
                    &mut state[i],
                    &mut sums[i * wide..][..wide],
                );
            }
            for (tile, sums) in scores.chunks(4 * KEYS).zip(sums.chunks_mut(4 * wide)) {
                let rows = tile.as_chunks::<KEYS>().0;
                match rows {
                    [a, b, c, d] => weigh(simd, [a, b, c, d], values, sums),
                    rest => {
                        for (row, sums) in rest.iter().zip(sums.chunks_exact_mut(wide)) {
                            weigh(simd, [row], values, sums);
                        }
                    }
                }
            }
        }
        for (i, query) in queries.iter().enumerate() {
            let divisor = simd.splat(state[i].1);
            // SAFETY: every row and head of the output belongs to one task alone.
            let out = unsafe { self.out.slice(query.out, dim) };
            for (out, sum) in out.chunks_mut(LANES).zip(sums[i * wide..].chunks(LANES)) {
                store(simd, simd.div(load(simd, sum), divisor), out);
            }
        }
    }
}

/// A row and head of the queries.
struct Query<'a> {
    position: usize,
    values: &'a [f32],
    /// Where its result goes.
    out: usize,
}

impl Query<'_> {
    /// The places of a block that the query sees.
    fn visible(&self, block: usize, window: Option<usize>) -> std::ops::Range<usize> {
        let first = block * KEYS;
        let low = window.map_or(0, |w| (self.position + 1).saturating_sub(w));
        let end = (self.position + 1).saturating_sub(first).min(KEYS);
        low.saturating_sub(first).min(end)..end
    }
}

/// Products of `H` queries with the keys of a block, a row of 64 a query.
#[inline(always)]
fn score<S: Simd, const H: usize>(
    simd: S,
    queries: [&Query<'_>; H],
    keys: &[Vector],
    scores: &mut [f32],
) {
    let dim = queries[0].values.len();
    let queries = queries.map(|q| &q.values[..dim]);
    for (panel, keys) in keys.chunks_exact(dim).enumerate() {
        let mut acc = [simd.splat(0.0); H];
        for (i, keys) in keys.iter().enumerate() {
            let keys = simd.load(keys);
            for r in 0..H {
                acc[r] = simd.fma(simd.splat(queries[r][i]), keys, acc[r]);
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            store(simd, acc, &mut scores[r * KEYS + panel * LANES..][..LANES]);
        }
    }
}

/// Turns a row of products into weights relative to the largest score so far, and rescales what
/// was summed before.
#[inline(always)]
fn soften<S: Simd>(
    simd: S,
    row: &mut [f32],
    visible: std::ops::Range<usize>,
    op: &Attention<'_>,
    state: &mut (f32, f32),
    sums: &mut [f32],
) {
    let scale = simd.splat(op.scale as f32);
    let rows = row.as_chunks_mut::<LANES>().0;
    let cap = op.soft_cap.map(|cap| SoftCap::new(simd, cap));
    for lanes in rows.iter_mut() {
        let mut x = simd.mul(simd.load(lanes), scale);
        if let Some(cap) = &cap {
            x = cap.apply(simd, x);
        }
        simd.store(x, lanes);
    }
    rows.as_flattened_mut()[..visible.start].fill(f32::NEG_INFINITY);
    rows.as_flattened_mut()[visible.end..].fill(f32::NEG_INFINITY);
    let mut top = simd.splat(f32::NEG_INFINITY);
    for lanes in rows.iter() {
        top = simd.max(simd.load(lanes), top);
    }
    let (before, sum) = *state;
    let top = simd.top(top);
    let max = if top > before { top } else { before };
    if max == f32::NEG_INFINITY {
        // Nothing seen yet: a window that starts after this block.
        rows.as_flattened_mut().fill(0.0);
        return;
    }
    let mut total = simd.splat(0.0);
    for lanes in rows.iter_mut() {
        let weight = simd.exp(simd.sub(simd.load(lanes), simd.splat(max)));
        total = simd.add(total, weight);
        simd.store(weight, lanes);
    }
    if max > before {
        let mut one = [0.0; LANES];
        simd.store(simd.exp(simd.splat(before - max)), &mut one);
        let factor = one[0];
        let factors = simd.splat(factor);
        for lanes in sums.as_chunks_mut::<LANES>().0 {
            simd.store(simd.mul(simd.load(lanes), factors), lanes);
        }
        *state = (max, sum * factor + simd.sum(total));
    } else {
        state.1 = sum + simd.sum(total);
    }
}

/// Adds the values of a block, weighted, to the sums of `H` rows.
#[inline(always)]
fn weigh<S: Simd, const H: usize>(
    simd: S,
    weights: [&[f32; KEYS]; H],
    values: &[Vector],
    sums: &mut [f32],
) {
    let wide = sums.len() / H;
    for (panel, values) in values.chunks_exact(KEYS).enumerate() {
        let at = |r: usize| r * wide + panel * LANES..r * wide + (panel + 1) * LANES;
        let mut acc: [S::V; H] = std::array::from_fn(|r| load(simd, &sums[at(r)]));
        for (j, values) in values.iter().enumerate() {
            let values = simd.load(values);
            for r in 0..H {
                acc[r] = simd.fma(simd.splat(weights[r][j]), values, acc[r]);
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            store(simd, acc, &mut sums[at(r)]);
        }
    }
}
