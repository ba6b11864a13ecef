//! The LM head fused with the log-softmax: only the logits of one tile of the vocabulary exist at a
//! time.
//!
//! A tile of 256 tokens leaves its largest logit and the sum of exponentials relative to it. The tiles
//! of a row are combined in order, in double precision. The tiles are fixed, so the result does not
//! depend on the threads that compute them.

use relscale::backend::Target;

use crate::buffer::Matrix;
use crate::gemm::{self, Rows, Task, load, store};
use crate::parallel::{Shared, Threads};
use crate::rows::SoftCap;
use crate::simd::{Isa, Kernel, LANES, Simd};

/// Number of tokens of a tile. Another number changes the last bits.
// 256 logits of a row are a kilobyte, which stays in the first-level cache between the product and
// the two passes of the log-sum.
const TILE: usize = 256;
/// Number of rows of a task: their logits of one tile stay in the second-level cache.
// 192 KiB of logits, which leaves most of a cache of 1 MiB to the rows.
const TASK_ROWS: usize = 192;

/// Log-probabilities of targets, which are ordered by row and have been checked.
pub(crate) fn log_prob(
    isa: Isa,
    threads: &Threads,
    x: &Rows,
    w: &Matrix,
    bias: Option<&[f32]>,
    cap: Option<f64>,
    targets: &[Target],
) -> Vec<f64> {
    let tiles = w.outputs.div_ceil(TILE);
    let task_rows = x.task_rows(TASK_ROWS, tiles, threads);
    let row_tasks = x.rows.div_ceil(task_rows);
    // Per row and tile: largest logit, then sum of exponentials.
    // One place per row and tile, whoever computes it: combining them in order below is then
    // independent of threads.
    let mut partial = vec![0.0f32; x.rows * tiles * 2];
    let mut logits = vec![0.0f32; targets.len()];
    let (partial_out, logits_out) = (Shared::new(&mut partial), Shared::new(&mut logits));
    let tasks = (0..row_tasks * tiles).collect();
    threads.for_each(
        x.rows * w.outputs * x.steps / 16,
        tasks,
        |_, task: usize| {
            // Row tasks that share weights follow each other, so that a large head is read from memory
            // once.
            let (rows, tile) = (task % row_tasks, task / row_tasks);
            let rows = rows * task_rows..((rows + 1) * task_rows).min(x.rows);
            let tokens = tile * TILE..((tile + 1) * TILE).min(w.outputs);
            let mut tile_logits = x.pool().take(rows.len() * tokens.len());
            let task = Task {
                x,
                tiles: rows.start / x.tile..rows.end.div_ceil(x.tile),
                panels: 0..tokens.len().div_ceil(LANES),
                outputs: tokens.len(),
                bias: bias.map(|b| &b[tokens.clone()]),
                out: &Shared::new(&mut tile_logits),
                first_row: rows.start,
            };
            gemm::product(isa, task, &w.panels, tokens.start / LANES);
            isa.run(LogSums {
                logits: &mut tile_logits,
                cap,
                width: tokens.len(),
                partial: &partial_out,
                first_pair: rows.start * tiles + tile,
                tiles,
            });
            let from = targets.partition_point(|t| t.row < rows.start);
            let to = targets.partition_point(|t| t.row < rows.end);
            for (i, target) in (from..to).zip(&targets[from..to]) {
                let token = target.token as usize;
                if tokens.contains(&token) {
                    let place = (target.row - rows.start) * tokens.len() + token - tokens.start;
                    // SAFETY: a target has one row and one tile, so one task alone writes its logit.
                    let to = unsafe { logits_out.slice(i, 1) };
                    to[0] = tile_logits[place];
                }
            }
        },
    );
    // Rows are combined in parallel: a large vocabulary has many tiles.
    let mut normalisers = vec![0.0f64; x.rows];
    let group = threads.share(x.rows, 1);
    let tasks = normalisers
        .chunks_mut(group)
        .zip(partial.chunks(2 * tiles * group))
        .collect();
    // An exponential in double precision takes about sixteen simple operations.
    let cost = 16 * x.rows * tiles;
    threads.for_each(cost, tasks, |_, (to, rows): (&mut [f64], &[f32])| {
        for (to, row) in to.iter_mut().zip(rows.chunks_exact(2 * tiles)) {
            *to = combine(row);
        }
    });
    targets
        .iter()
        .zip(&logits)
        .map(|(t, &l)| f64::from(l) - normalisers[t.row])
        .collect()
}

/// Log-sum-exp of a row from its tiles.
fn combine(tiles: &[f32]) -> f64 {
    // `libm` and not the system's functions, whose last digits differ between systems. In double
    // precision, since a vocabulary of 128,256 tokens has 501 tiles.
    let (pairs, _) = tiles.as_chunks::<2>();
    let max = pairs
        .iter()
        .fold(f64::NEG_INFINITY, |m, &[top, _]| m.max(f64::from(top)));
    let sum: f64 = pairs
        .iter()
        .map(|&[top, sum]| f64::from(sum) * libm::exp(f64::from(top) - max))
        .sum();
    max + libm::log(sum)
}

/// Logits of some rows and one tile of the vocabulary, to be capped and summed up.
struct LogSums<'a> {
    logits: &'a mut [f32],
    cap: Option<f64>,
    /// Number of tokens of the tile.
    width: usize,
    partial: &'a Shared<'a>,
    /// The pair in `partial` of the first row; that of the next row is `tiles` pairs further.
    first_pair: usize,
    tiles: usize,
}

impl Kernel for LogSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if let Some(cap) = self.cap {
            let cap = SoftCap::new(simd, cap);
            for chunk in self.logits.chunks_mut(LANES) {
                store(simd, cap.apply(simd, load(simd, chunk)), chunk);
            }
        }
        for (i, row) in self.logits.chunks_exact(self.width).enumerate() {
            // SAFETY: these rows and this tile belong to this task alone.
            let to = unsafe {
                self.partial
                    .slice((self.first_pair + i * self.tiles) * 2, 2)
            };
            to.copy_from_slice(&log_sum(simd, row));
        }
    }
}

/// The largest logit and the sum of exponentials relative to it.
#[inline(always)]
fn log_sum<S: Simd>(simd: S, row: &[f32]) -> [f32; 2] {
    let (whole, rest) = row.as_chunks::<LANES>();
    // e^−∞ is exactly zero, so the padding adds nothing to the sum.
    let mut last = [f32::NEG_INFINITY; LANES];
    last[..rest.len()].copy_from_slice(rest);
    // `max` ignores NaN, which must not be lost.
    let mut top = simd.max(simd.load(&last), simd.splat(f32::NEG_INFINITY));
    for lanes in whole {
        top = simd.max(simd.load(lanes), top);
    }
    let top = simd.top(top);
    let center = simd.splat(top);
    let mut sum = simd.splat(0.0);
    for lanes in whole {
        sum = simd.add(sum, simd.exp(simd.sub(simd.load(lanes), center)));
    }
    if !rest.is_empty() {
        sum = simd.add(sum, simd.exp(simd.sub(load(simd, &last), center)));
    }
    [top, simd.sum(sum)]
}
