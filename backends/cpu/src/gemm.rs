//! The matrix product of activations with packed weights.
//!
//! Every output element is one chain of fused multiply-adds over the inputs in rising order,
//! starting from zero, with the bias added last. In bfloat16 the chain passes pairs of inputs, the
//! second of a pair first ([`pairs`](crate::pairs)). Blocking only decides where the chain is stored
//! between two blocks, so the bits do not depend on tile sizes, threads, the number of rows or the
//! instruction set.

use std::cell::RefCell;
use std::ops::Range;

use crate::buffer::{Dense, Matrix, Panels, Pool, View};
use crate::pairs::PairRow;
use crate::parallel::{Shared, Threads};
use crate::simd::{Element, HalfLanes, Isa, Kernel, LANES, Lanes, Simd, transpose};

/// Number of steps of a block: a panel's block and a tile of rows stay in the first-level cache.
// 24 KiB of weights per panel and 18 KiB for twelve rows, in caches of 32 to 48 KiB. Blocks of 256
// were 5 to 15 % slower with many inputs: results were loaded and stored more often.
const BLOCK: usize = 384;
/// Number of rows of a task: their block of inputs stays in the second-level cache.
// 384 rows of 384 inputs take 576 KiB. Together with the results of a task (`TASK_PANELS`) and widened
// weights that is about the 1 MiB of common second-level caches. Tasks of 192 rows were no faster.
const TASK_ROWS: usize = 384;
/// Largest number of panels of a task: its results stay in the second-level cache from one block to the
/// next.
// 256 outputs: 384 KiB of results for 384 rows.
const TASK_PANELS: usize = 16;

/// Number of tiles of a task from which on weights in bfloat16 are widened once for all of them: 48 rows
/// with AVX-512.
const WIDENED_TILES: usize = 4;
/// Number of panels whose weights are widened at a time: as many as a kernel takes.
// 96 KiB with the longest block.
const WIDENED_PANELS: usize = 4;

/// Activations in tiles of rows: a tile holds, for every step in order, one value per row.
///
/// A step is an input or, for weights in pairs of bfloat16, a pair of inputs.
pub(crate) struct Rows {
    // Tiles are as long as the rows are wide, without padding, so a tile starts at `t * tile *
    // steps` and only the last one is shorter.
    values: Dense,
    pub(crate) rows: usize,
    inputs: usize,
    pub(crate) steps: usize,
    /// Rows of a tile.
    pub(crate) tile: usize,
}

impl Rows {
    /// Packs the rows of a block of columns for the weights `w`.
    pub(crate) fn pack(
        x: View<'_>,
        rows: usize,
        w: &Matrix,
        isa: Isa,
        pool: &Pool,
        threads: &Threads,
    ) -> Self {
        // Tiles of about the same height, because a tile of one row costs as much as one of several.
        let paired = matches!(w.panels, Panels::Pairs(_));
        let tallest = isa.tile_rows(paired);
        let tile = rows.div_ceil(rows.div_ceil(tallest).max(1)).max(1);
        let (inputs, steps) = (w.inputs, w.steps());
        let mut values = pool.take(rows * steps);
        if inputs > 0 {
            let tiles = threads.share(rows.div_ceil(tile), 1);
            let chunks = values.chunks_mut(tiles * tile * steps).collect();
            threads.for_each(rows * inputs, chunks, |chunk, packed: &mut [f32]| {
                let mut pairs = paired.then(|| pool.take(tile * steps));
                for (t, packed) in packed.chunks_mut(tile * steps).enumerate() {
                    let first = (chunk * tiles + t) * tile;
                    let height = packed.len() / steps;
                    let Some(pairs) = &mut pairs else {
                        interleave_tile(height, |r| x.row(first + r, inputs), packed);
                        continue;
                    };
                    for (r, out) in pairs.chunks_exact_mut(steps).take(height).enumerate() {
                        let row = x.row(first + r, inputs);
                        isa.run(PairRow { row, out });
                    }
                    interleave_tile(height, |r| &pairs[r * steps..][..steps], packed);
                }
            });
        }
        Self {
            values,
            rows,
            inputs,
            steps,
            tile,
        }
    }

    /// Number of rows of a task: whole tiles, about `most` rows, and fewer if the `others` tasks per row
    /// task leave threads idle.
    pub(crate) fn task_rows(&self, most: usize, others: usize, threads: &Threads) -> usize {
        let tiles = self.rows.div_ceil(self.tile);
        let enough = threads.tasks().div_ceil(others);
        let tasks = self.rows.div_ceil(most).max(enough).min(tiles);
        tiles.div_ceil(tasks) * self.tile
    }

    /// The pool of the packed values.
    pub(crate) fn pool(&self) -> &Pool {
        self.values.pool()
    }

    /// The rows of tile `t`, and its values of steps `from..to`, step by step.
    fn tile(&self, t: usize, from: usize, to: usize) -> (usize, &[f32]) {
        let height = self.tile.min(self.rows - t * self.tile);
        let start = t * self.tile * self.steps;
        (
            height,
            &self.values[start + from * height..start + to * height],
        )
    }
}

/// Writes `H` rows input by input.
// The height is a constant, so that the inner loops are unrolled.
pub(crate) fn interleave<'a, const H: usize>(row: impl Fn(usize) -> &'a [f32], packed: &mut [f32]) {
    // Four inputs of four rows at a time: a copy per value would write with a stride of one
    // tile, which held up products with few outputs (`benches/NOTES.md`).
    let packed = packed.as_chunks_mut::<H>().0;
    let rows: [&[f32]; H] = std::array::from_fn(|r| &row(r)[..packed.len()]);
    let quads = rows.map(|row| row.as_chunks::<4>().0);
    let mut chunks = packed.chunks_exact_mut(4);
    for (i, packed) in chunks.by_ref().enumerate() {
        for r in (0..H / 4 * 4).step_by(4) {
            let square = transpose(std::array::from_fn(|k| quads[r + k][i]));
            for (packed, square) in packed.iter_mut().zip(square) {
                packed[r..r + 4].copy_from_slice(&square);
            }
        }
        for r in H / 4 * 4..H {
            for (packed, x) in packed.iter_mut().zip(quads[r][i]) {
                packed[r] = x;
            }
        }
    }
    let rest = chunks.into_remainder();
    let from = rows[0].len() - rest.len();
    for (i, packed) in rest.iter_mut().enumerate() {
        *packed = rows.map(|row| row[from + i]);
    }
}

/// Writes the rows of a tile input by input.
fn interleave_tile<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], packed: &mut [f32]) {
    macro_rules! heights {
        ($($h:literal)*) => {
            match height {
                $($h => interleave::<$h>(row, packed),)*
                _ => unreachable!("tiles have at most 12 rows"),
            }
        };
    }
    heights!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// `out[r][o] = Σ_i x[r][i]·w[o][i] + bias[o]`; `out` is row-major with rows of `w.outputs`.
pub(crate) fn linear(
    isa: Isa,
    threads: &Threads,
    x: &Rows,
    w: &Matrix,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    assert_eq!(out.len(), x.rows * w.outputs);
    assert_eq!(x.inputs, w.inputs);
    if out.is_empty() {
        return;
    }
    let panels = w.outputs.div_ceil(LANES);
    // A group has at least four panels (`Threads::share`), hence the quarter.
    let task_rows = x.task_rows(TASK_ROWS, panels.div_ceil(4), threads);
    let row_tasks = x.rows.div_ceil(task_rows);
    let group = threads.share(panels, row_tasks).min(TASK_PANELS);
    let groups = panels.div_ceil(group);
    let out = Shared::new(out);
    let tasks = (0..row_tasks * groups).collect();
    threads.for_each(
        // One instruction multiplies sixteen values.
        x.rows * w.outputs * x.steps / 16,
        tasks,
        |_, task: usize| {
            // Row tasks that share weights follow each other, so that the weights are in cache.
            let (rows, columns) = (task % row_tasks, task / row_tasks);
            let panels = columns * group..((columns + 1) * group).min(panels);
            let first = panels.start;
            let task = Task {
                x,
                tiles: rows * task_rows / x.tile
                    ..((rows + 1) * task_rows).min(x.rows).div_ceil(x.tile),
                panels,
                outputs: w.outputs,
                bias,
                out: &out,
                first_row: 0,
            };
            product(isa, task, &w.panels, first);
        },
    );
}

/// The part of a product that one thread computes at a time.
#[derive(Clone)]
pub(crate) struct Task<'a> {
    pub(crate) x: &'a Rows,
    /// Tiles of rows.
    pub(crate) tiles: Range<usize>,
    /// Panels of outputs.
    pub(crate) panels: Range<usize>,
    pub(crate) outputs: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out: &'a Shared<'a>,
    /// The row of the activations whose results are the first row of `out`.
    pub(crate) first_row: usize,
}

/// Computes a task with the weights `w`, whose panel `first` is the task's first one. Tasks that run at the
/// same time have rows or panels of `out` of their own.
pub(crate) fn product(isa: Isa, task: Task<'_>, w: &Panels, first: usize) {
    let steps = 0..task.x.steps;
    let first = first * task.x.steps;
    match w {
        Panels::F32(w) => isa.run(Product {
            task,
            steps,
            w: &w[first..],
        }),
        Panels::Bf16(w) if task.tiles.len() >= WIDENED_TILES => widened(isa, &task, &w[first..]),
        Panels::Bf16(w) => isa.run(Product {
            task,
            steps,
            w: &w[first..],
        }),
        Panels::Pairs(w) => isa.run(Product {
            task,
            steps,
            w: &w[first..],
        }),
    }
}

/// A product whose weights are widened once for all tiles of rows, and not once per tile.
fn widened(isa: Isa, task: &Task<'_>, w: &[HalfLanes]) {
    thread_local! {
        // Not of the pool, where as many pieces as there are threads would push out activations.
        static WIDE: RefCell<Vec<Lanes>> = const { RefCell::new(Vec::new()) };
    }
    WIDE.with_borrow_mut(|wide| {
        wide.resize(WIDENED_PANELS * BLOCK, Lanes::ZERO);
        widened_in(wide, isa, task, w);
    });
}

/// As [`widened`], with memory for `WIDENED_PANELS` panels and a block of steps.
fn widened_in(wide: &mut [Lanes], isa: Isa, task: &Task<'_>, w: &[HalfLanes]) {
    let steps = task.x.steps;
    let block = block_of(steps);
    for from in (0..steps.max(1)).step_by(block) {
        let to = (from + block).min(steps);
        for first in task.panels.clone().step_by(WIDENED_PANELS) {
            let panels = first..(first + WIDENED_PANELS).min(task.panels.end);
            let wide = &mut wide[..panels.len() * (to - from)];
            for (panel, wide) in panels.clone().zip(wide.chunks_mut((to - from).max(1))) {
                let start = (panel - task.panels.start) * steps;
                let w = &w[start + from..start + to];
                isa.run(Widen { w, wide });
            }
            isa.run(Product {
                task: Task {
                    panels,
                    ..task.clone()
                },
                steps: from..to,
                w: &*wide,
            });
        }
    }
}

/// Weights in bfloat16 as `f32`, which is exact.
struct Widen<'a> {
    w: &'a [HalfLanes],
    wide: &'a mut [Lanes],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (wide, w) in self.wide.iter_mut().zip(self.w) {
            simd.store(w.load(simd), &mut wide.0);
        }
    }
}

/// A task with its weights, of some of the steps, from the task's first panel on.
struct Product<'a, E> {
    task: Task<'a>,
    steps: Range<usize>,
    w: &'a [E],
}

/// Number of steps of a block: blocks of about the same length.
fn block_of(steps: usize) -> usize {
    steps.div_ceil(steps.div_ceil(BLOCK).max(1)).max(1)
}

impl<E: Element> Kernel for Product<'_, E> {
    type Output = ();
    const PAIRS: bool = E::INPUTS == 2;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { task, steps, w } = self;
        let block = block_of(steps.len());
        // Blocks are the outermost loop: the chain of a result then passes them in order, whatever
        // panels and tiles the task has.
        // One round even without inputs, because zeros and the bias must still be stored.
        for from in (steps.start..steps.end.max(steps.start + 1)).step_by(block) {
            let to = (from + block).min(steps.end);
            for panel in group_panels::<S>(&task) {
                for t in task.tiles.clone() {
                    let (height, a) = task.x.tile(t, from, to);
                    let place = Place {
                        out: task.out,
                        row: t * task.x.tile - task.first_row,
                        outputs: task.outputs,
                        panel: panel.start,
                    };
                    let ends = Ends {
                        first: from == 0,
                        last: to == task.x.steps,
                        bias: task.bias,
                    };
                    let w = |p: usize| {
                        let start = (p - task.panels.start) * steps.len();
                        &w[start + from - steps.start..start + to - steps.start]
                    };
                    match panel.len() {
                        4 => by_height::<S, E, 4>(
                            simd,
                            height,
                            a,
                            [0, 1, 2, 3].map(|i| w(panel.start + i)),
                            place,
                            ends,
                        ),
                        2 => by_height::<S, E, 2>(
                            simd,
                            height,
                            a,
                            [0, 1].map(|i| w(panel.start + i)),
                            place,
                            ends,
                        ),
                        _ => by_height::<S, E, 1>(simd, height, a, [w(panel.start)], place, ends),
                    }
                }
            }
        }
    }
}

/// The task's panels in groups of 4, 2 or 1, as many as the registers hold for its tallest tile.
#[inline(always)]
fn group_panels<S: Simd>(task: &Task<'_>) -> impl Iterator<Item = Range<usize>> {
    // A task of the last tile alone may be lower and leave registers for more panels.
    let height = if task.tiles.len() > 1 {
        task.x.tile
    } else {
        task.x.tile(task.tiles.start, 0, 0).0
    };
    // Powers of two only: every width is compiled for every height, and three panels would add a
    // third to the code.
    let widest = match S::ACCUMULATORS / height.max(1) {
        0 | 1 => 1,
        2 | 3 => 2,
        _ => 4,
    };
    let (mut next, end) = (task.panels.start, task.panels.end);
    // A panel that is not full has a kernel of its own, which stores fewer lanes.
    let full = end.min(task.outputs / LANES);
    std::iter::from_fn(move || {
        let mut width = widest;
        while width > 1 && next + width > full {
            width /= 2;
        }
        let group = next..next + width;
        next += width;
        (group.start < end).then_some(group)
    })
}

/// The place of a tile's results.
#[derive(Clone, Copy)]
struct Place<'a> {
    out: &'a Shared<'a>,
    row: usize,
    outputs: usize,
    panel: usize,
}

/// The position of a block in the chain, and the bias to add at the end of the chain.
#[derive(Clone, Copy)]
struct Ends<'a> {
    first: bool,
    last: bool,
    bias: Option<&'a [f32]>,
}

/// Calls the tile kernel of the height.
#[inline(always)]
fn by_height<S: Simd, E: Element, const W: usize>(
    simd: S,
    height: usize,
    a: &[f32],
    w: [&[E]; W],
    place: Place<'_>,
    ends: Ends<'_>,
) {
    macro_rules! heights {
        ($($h:literal)*) => {
            match height {
                $($h => {
                    // A constant condition, so that combinations beyond the registers are not
                    // compiled.
                    if const { $h * W <= S::ACCUMULATORS } {
                        block::<S, E, $h, W>(simd, a, w, place, ends);
                    } else {
                        unreachable!("{W} panels were chosen for tiles of {height} rows");
                    }
                })*
                _ => unreachable!("tiles have at most 12 rows"),
            }
        };
    }
    heights!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// One tile over one block of inputs, with its results loaded before and stored after.
///
/// Only a single panel (`W = 1`) may reach beyond the outputs.
#[inline(always)]
fn block<S: Simd, E: Element, const H: usize, const W: usize>(
    simd: S,
    a: &[f32],
    w: [&[E]; W],
    place: Place<'_>,
    ends: Ends<'_>,
) {
    let column = place.panel * LANES;
    // A constant except for the last panel, so that loads and stores of whole vectors stay in
    // registers.
    let width = match W {
        1 => LANES.min(place.outputs - column),
        _ => W * LANES,
    };
    let lanes = |j: usize| j * LANES..((j + 1) * LANES).min(width);
    let row = |r: usize| {
        let start = (place.row + r) * place.outputs + column;
        // SAFETY: this task alone touches these rows and columns, see `linear`, whose row tasks and panel
        // groups partition the output, and the head, whose tasks have outputs of their own. The parts of
        // `widened` run one after another. One row is in use at a time.
        unsafe { place.out.slice(start, width) }
    };
    let mut acc = [[simd.splat(0.0); W]; H];
    // The chain goes on from the stored value. An accumulator is an `f32` as well, so storing and
    // loading it does not round.
    if !ends.first {
        for (r, acc) in acc.iter_mut().enumerate() {
            let from = row(r);
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = load(simd, &from[lanes(j)]);
            }
        }
    }
    tile(simd, a, w, &mut acc);
    // The bias comes last, once, as in the reference backend. In every block it would be added
    // again; at the start of the chain it would change every rounding after it.
    if let (true, Some(bias)) = (ends.last, ends.bias) {
        let bias = &bias[column..column + width];
        for j in 0..W {
            let bias = load(simd, &bias[lanes(j)]);
            for acc in &mut acc {
                acc[j] = simd.add(acc[j], bias);
            }
        }
    }
    for (r, acc) in acc.iter().enumerate() {
        let to = row(r);
        for (j, acc) in acc.iter().enumerate() {
            store(simd, *acc, &mut to[lanes(j)]);
        }
    }
}

/// The innermost kernel: `acc[r][j] ← x[i][r]·w[j][i] + acc[r][j]` for every step `i` in order.
#[inline(always)]
pub(crate) fn tile<S: Simd, E: Element, const H: usize, const W: usize>(
    simd: S,
    a: &[f32],
    w: [&[E]; W],
    acc: &mut [[S::V; W]; H],
) {
    let a = a.as_chunks::<H>().0;
    // Equal lengths let the compiler drop the bounds checks of the loop.
    let w = w.map(|w| &w[..a.len()]);
    // Sums behind a reference would be loaded and stored for every input. A copy stays in
    // registers.
    let mut local = *acc;
    for (i, a) in a.iter().enumerate() {
        let mut lanes = [simd.splat(0.0); W];
        for j in 0..W {
            lanes[j] = w[j][i].load(simd);
        }
        for r in 0..H {
            let x = simd.splat(a[r]);
            for j in 0..W {
                local[r][j] = E::accumulate(simd, x, lanes[j], local[r][j]);
            }
        }
    }
    *acc = local;
}

/// Up to sixteen values, zero beyond.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, from: &[f32]) -> S::V {
    match from.first_chunk() {
        Some(whole) => simd.load(whole),
        None => simd.load_part(from),
    }
}

/// The first `to.len()` lanes, up to sixteen.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, v: S::V, to: &mut [f32]) {
    match to.first_chunk_mut() {
        Some(whole) => simd.store(v, whole),
        None => simd.store_part(v, to),
    }
}
