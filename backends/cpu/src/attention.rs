//! Causal attention over the forest, a block of keys at a time with an online softmax
//! (Dao et al. 2022, arXiv 2205.14135).
//!
//! Blocks have 64 keys and are aligned to logical positions, whatever the segments of the keys. The
//! arithmetic of a row is therefore the same however its prefix is cut into segments and whatever else
//! is in the batch: a score is a chain over the elements of the head, the softmax block is a fixed
//! tree over its 64 places (masked places count as zero), a result is a chain over the keys.

use relscale::backend::Attention;

use crate::buffer::{Pool, View};
use crate::gemm::{load, store};
use crate::parallel::{Shared, Threads};
use crate::simd::{Isa, Kernel, LANES, Simd};
use blocks::{KEYS, Layout, Whole, inside, whole_blocks};
use softmax::{Bias, Scaling, soften};
use tiles::{score, tall, taller, weigh};

mod blocks;
mod softmax;
mod tiles;

/// Number of query rows of a task: enough to pay for packing a block, few enough to spread over
/// threads.
// A multiple of 12 and of 6, the heights of the tiles, so that a full task has only full tiles.
const QUERIES: usize = 96;

/// Computes attention of the rows from `first` on into `out`, row-major with `heads × head_dim`
/// columns. The arguments have been checked.
pub(crate) fn attention(
    isa: Isa,
    threads: &Threads,
    pool: &Pool,
    [q, k, v]: [View<'_>; 3],
    op: &Attention<'_>,
    first: usize,
    out: &mut [f32],
) {
    let rows = out.len() / (op.heads * op.head_dim);
    let group = op.heads / op.kv_heads;
    let whole = whole_blocks(threads, pool, k, v, op);
    // A query takes one row per head of the group.
    let tall = (QUERIES / group).max(1);
    let mut tasks = Vec::new();
    for (index, segment) in op.segments.iter().enumerate() {
        for from in (first.saturating_sub(segment.start)..segment.len).step_by(tall) {
            for head in 0..op.kv_heads {
                tasks.push((index, from, (from + tall).min(segment.len), head));
            }
        }
    }
    // Long rows first, so that the tasks left at the end are short.
    tasks.sort_by_key(|&(s, _, to, _)| std::cmp::Reverse(op.segments[s].position + to));
    let out = Shared::new(out);
    // As if every query saw one block. Calls near the threshold of sharing see about that many
    // keys, and for longer ones the guess does not matter.
    let cost = rows * op.heads * op.head_dim * 64;
    threads.for_each(cost, tasks, |_, (segment, from, to, kv_head)| {
        isa.run(Task {
            segment,
            from,
            to,
            kv_head,
            op,
            first,
            q,
            k,
            v,
            whole: &whole,
            pool,
            out: &out,
        });
    });
}

/// Some rows of a segment, for the query heads of one key head.
struct Task<'a> {
    segment: usize,
    from: usize,
    to: usize,
    kv_head: usize,
    op: &'a Attention<'a>,
    /// Row of the first query.
    first: usize,
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

    /// The rows and heads of the task, in rising order of positions.
    fn queries(&self) -> Vec<Query<'_>> {
        let (op, segment) = (self.op, &self.op.segments[self.segment]);
        let group = op.heads / op.kv_heads;
        (self.from..self.to)
            .flat_map(|i| (0..group).map(move |h| (i, self.kv_head * group + h)))
            .map(|(i, head)| {
                let query = segment.start + i - self.first;
                Query {
                    position: segment.position + i,
                    head,
                    values: self.q.head(query, head, op.head_dim),
                    out: (query * op.heads + head) * op.head_dim,
                }
            })
            .collect()
    }

    /// The segments from the root to that of the task.
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

    /// The packed block, if it is wholly in a segment of the path.
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
        let dim = op.head_dim;
        let wide = dim.next_multiple_of(LANES);
        let segment = &op.segments[self.segment];
        let queries = self.queries();
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
        // The pool lends memory of unspecified content.
        sums.fill(0.0);
        let mut state = vec![(f32::NEG_INFINITY, 0.0f32); queries.len()];
        let scaling = Scaling::new(simd, op);
        // Blocks in rising order, each into the same sums: this order is part of the bits.
        for block in first..end.div_ceil(KEYS) {
            let keys = match self.packed(&path, block) {
                Some(packed) => packed,
                None => {
                    self.assemble(&path, block, end, spread);
                    &*spread
                }
            };
            let (keys, values) = layout.split(keys);
            // Queries before the block see none of its keys.
            let skip = queries.partition_point(|q| q.position < block * KEYS);
            let queries = &queries[skip..];
            let scores = &mut scores[skip * KEYS..];
            let sums = &mut sums[skip * wide..];
            let state = &mut state[skip..];
            // The last of the queries sees the most places.
            let seen = |queries: &[Query<'_>]| match queries.last() {
                Some(last) => last.visible(block, op.window).end,
                None => 0,
            };
            let tall = tall::<S>();
            for (queries, scores) in queries.chunks(tall).zip(scores.chunks_mut(tall * KEYS)) {
                let panels = seen(queries).div_ceil(LANES);
                score(simd, queries, &keys[..panels * dim], scores);
            }
            let rows = scores.as_chunks_mut::<LANES>().0;
            let rows = rows.as_chunks_mut::<{ KEYS / LANES }>().0;
            for (i, query) in queries.iter().enumerate() {
                soften(
                    simd,
                    &mut rows[i],
                    query.visible(block, op.window),
                    query.bias(block, &scaling),
                    &scaling,
                    &mut state[i],
                    &mut sums[i * wide..][..wide],
                );
            }
            let tall = taller::<S>(wide);
            let rows = scores.as_chunks::<KEYS>().0.chunks(tall);
            for ((rows, queries), sums) in rows
                .zip(queries.chunks(tall))
                .zip(sums.chunks_mut(tall * wide))
            {
                let seen = seen(queries).next_multiple_of(LANES);
                weigh(simd, rows, values, seen, sums);
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
    head: usize,
    values: &'a [f32],
    /// Offset of the result in the output.
    out: usize,
}

impl Query<'_> {
    /// The bias of the keys of a block, if there is one.
    #[inline(always)]
    fn bias<V>(&self, block: usize, scaling: &Scaling<V>) -> Option<Bias> {
        let slopes = scaling.slopes.as_ref()?;
        Some(Bias {
            slope: slopes[self.head],
            // Both are whole numbers that an `f32` holds exactly, and so is their difference.
            first: (block * KEYS) as f32 - self.position as f32,
        })
    }

    /// The places of a block that the query sees.
    fn visible(&self, block: usize, window: Option<usize>) -> std::ops::Range<usize> {
        let first = block * KEYS;
        let low = window.map_or(0, |w| (self.position + 1).saturating_sub(w));
        let end = (self.position + 1).saturating_sub(first).min(KEYS);
        low.saturating_sub(first).min(end)..end
    }
}
