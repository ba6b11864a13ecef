//! Causal attention over the forest, a block of keys at a time with an online softmax
//! (Dao et al. 2022, arXiv 2205.14135).
//!
//! Blocks have 64 keys and are aligned to logical positions, whatever the segments of the keys. The
//! arithmetic of a row is therefore the same however its prefix is cut into segments and whatever else
//! is in the batch: a score is a chain over the elements of the head, the softmax block is a fixed
//! tree over its 64 places (masked places count as zero), a result is a chain over the keys.

use relscale::backend::{Attention, Segment};

use crate::buffer::{Dense, Pool, View};
use crate::gemm::{load, store};
use crate::parallel::{Shared, Threads};
use crate::rows::SoftCap;
use crate::simd::{Isa, Kernel, LANES, Simd};

/// Number of keys of a softmax block: few enough that its keys and values stay in the first-level
/// cache, and a whole number of vectors. Another number changes the last bits.
// Keys and values of a block take 32 KiB with heads of 64.
const KEYS: usize = 64;
/// Number of query rows of a task: enough to pay for packing a block, few enough to spread over
/// threads.
// A multiple of 12 and of 6, the heights of the tiles, so that a full task has only full tiles.
const QUERIES: usize = 96;

/// Layout of the keys and values of one head and block for the matrix kernel.
///
/// First come four panels of sixteen keys, with one vector per element of the head; then one panel per
/// sixteen elements of the head, with one vector per key.
struct Layout {
    dim: usize,
}

impl Layout {
    /// Number of vectors of the keys.
    fn keys(&self) -> usize {
        KEYS / LANES * self.dim
    }

    /// Number of floats of a block.
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

/// Blocks that are wholly in one segment, packed once for all rows that see them.
struct Whole {
    /// Per segment: its first whole block, and the index of that block in `blocks`.
    segments: Vec<(usize, usize)>,
    /// `kv_heads` packed blocks per logical block.
    blocks: Dense,
}

/// The logical blocks that are wholly in `segment`.
fn inside(segment: &Segment) -> std::ops::Range<usize> {
    // Logical positions, not rows: cutting a prefix elsewhere must not move a block (module
    // documentation).
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
        let (dim, group) = (op.head_dim, op.heads / op.kv_heads);
        let wide = dim.next_multiple_of(LANES);
        let segment = &op.segments[self.segment];
        let queries: Vec<Query<'_>> = (self.from..self.to)
            .flat_map(|i| (0..group).map(move |h| (i, self.kv_head * group + h)))
            .map(|(i, head)| {
                let query = segment.start + i - self.first;
                Query {
                    position: segment.position + i,
                    head,
                    values: self.q.head(query, head, dim),
                    out: (query * op.heads + head) * dim,
                }
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

/// The bias of the keys of a block: a slope times the position of a key less that of the query.
#[derive(Clone, Copy)]
struct Bias {
    slope: f32,
    /// Position of the first place of the block less that of the query.
    first: f32,
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

/// Number of queries of a tile of scores: as many as the registers hold with all panels of a block.
fn tall<S: Simd>() -> usize {
    // Four panels times six rows are the 24 sums of AVX-512. With six sums it is two panels times
    // three rows, with four two times two.
    match S::ACCUMULATORS {
        24.. => 6,
        6.. => 3,
        _ => 2,
    }
}

/// Number of rows of a tile of sums of `wide` values: narrow tiles need more rows for as many chains.
fn taller<S: Simd>(wide: usize) -> usize {
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
fn score<S: Simd>(simd: S, queries: &[Query<'_>], keys: &[Vector], scores: &mut [f32]) {
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

/// Factor, cap and mask that turn products into scores.
struct Scaling<V> {
    scale: V,
    cap: Option<SoftCap<V>>,
    /// Slope of each query head.
    slopes: Option<Vec<f32>>,
    nothing: V,
    /// Numbers of the places of a block.
    places: [V; KEYS / LANES],
}

impl<V: Copy> Scaling<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(simd: S, op: &Attention<'_>) -> Self {
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
fn soften<S: Simd>(
    simd: S,
    row: &mut [Vector; KEYS / LANES],
    visible: std::ops::Range<usize>,
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
    visible: std::ops::Range<usize>,
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
    if max == f32::NEG_INFINITY {
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

/// Adds the weighted values of the first `seen` places of a block to the sums of some rows. The weights
/// beyond are zero.
#[inline(always)]
fn weigh<S: Simd>(
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
