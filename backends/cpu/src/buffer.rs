//! Buffers: dense activations that go back to a pool, and weights packed for the matrix kernel.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use half::{bf16, f16};
use relscale::backend::{Columns, Precision as Stored, ShapeError, Values};

use crate::gemm::interleave;
use crate::pages::{NoMemory, Pages};
use crate::pairs::{self, round};
use crate::parallel::Threads;
use crate::precision::Precision;
use crate::simd::{Element, HalfLanes, LANES, Lanes, PairLanes};

/// Values on the CPU.
#[derive(Debug)]
pub struct Buffer(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Dense(Dense),
    Matrix(Matrix),
}

impl Buffer {
    /// The dense values of the operand `what`.
    pub(crate) fn dense(&self, what: &str) -> Result<&[f32], ShapeError> {
        match &self.0 {
            Kind::Dense(dense) => Ok(dense),
            Kind::Matrix(_) => Err(ShapeError::new(format!("{what} was uploaded as a matrix"))),
        }
    }

    /// The packed matrix, which must be `outputs × inputs`.
    pub(crate) fn matrix(&self, outputs: usize, inputs: usize) -> Result<&Matrix, ShapeError> {
        match &self.0 {
            Kind::Matrix(m) if (m.outputs, m.inputs) == (outputs, inputs) => Ok(m),
            Kind::Matrix(m) => Err(ShapeError::new(format!(
                "weight of {} × {}, expected {outputs} × {inputs}",
                m.outputs, m.inputs
            ))),
            Kind::Dense(_) => Err(ShapeError::new("the weight was uploaded as a dense tensor")),
        }
    }
}

/// A block of columns of a row-major matrix, checked against it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    values: &'a [f32],
    stride: usize,
    start: usize,
}

impl<'a> View<'a> {
    /// The block `x` of the operand `what`.
    pub(crate) fn new(x: Columns<'a, Buffer>, what: &str) -> Result<Self, ShapeError> {
        let values = x.buffer.dense(what)?;
        x.check(values.len())
            .map_err(|misfit| ShapeError::new(format!("{what}: {misfit}")))?;
        Ok(Self {
            values,
            stride: x.stride,
            start: x.start,
        })
    }

    /// The first `width` columns of row `row`.
    pub(crate) fn row(&self, row: usize, width: usize) -> &'a [f32] {
        &self.values[row * self.stride + self.start..][..width]
    }

    /// Head `head` of row `row`.
    pub(crate) fn head(&self, row: usize, head: usize, dim: usize) -> &'a [f32] {
        &self.values[row * self.stride + self.start + head * dim..][..dim]
    }
}

/// Dense values.
pub(crate) struct Dense {
    /// Whole cache lines: a vector that straddles two lines costs two loads.
    values: Vec<Lanes>,
    len: usize,
    pool: Pool,
    /// If true, the memory goes back to the pool.
    lent: bool,
}

impl Dense {
    /// The pool that the memory goes back to.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl std::ops::Deref for Dense {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &flat(&self.values)[..self.len]
    }
}

impl std::ops::DerefMut for Dense {
    fn deref_mut(&mut self) -> &mut [f32] {
        let (start, len) = (self.values.as_mut_ptr(), self.values.len() * LANES);
        // SAFETY: as in `flat`, and the borrow is exclusive.
        let all = unsafe { std::slice::from_raw_parts_mut(start.cast::<f32>(), len) };
        &mut all[..self.len]
    }
}

/// The values of the vectors as one slice.
fn flat(lanes: &[Lanes]) -> &[f32] {
    // SAFETY: a `Lanes` is sixteen floats without padding, all of them initialised.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast::<f32>(), lanes.len() * LANES) }
}

impl Drop for Dense {
    fn drop(&mut self) {
        if self.lent {
            self.pool.put(std::mem::take(&mut self.values));
        }
    }
}

impl fmt::Debug for Dense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dense")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Memory of activations that are no longer needed, kept for the next ones.
///
/// Fresh pages from the system cost more than the arithmetic of a small layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<Lanes>>>>);

impl Pool {
    /// `len` values of unspecified content.
    pub(crate) fn take(&self, len: usize) -> Dense {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest one that is large enough, unless it is more than four times too large: a small
        // request must not take the memory of a large one.
        let lanes = len.div_ceil(LANES);
        let fits = |v: &Vec<Lanes>| v.len() >= lanes && v.len() / 4 <= lanes;
        let best = (0..free.len())
            .filter(|&i| fits(&free[i]))
            .min_by_key(|&i| free[i].len());
        let values = best.map(|i| free.swap_remove(i));
        if values.is_none() {
            // Memory that is a little too small served a smaller batch. It is freed, so that the pool
            // does not keep both sizes.
            let outgrown = |v: &Vec<Lanes>| v.len() < lanes && v.len() >= lanes / 2;
            let largest = (0..free.len())
                .filter(|&i| outgrown(&free[i]))
                .max_by_key(|&i| free[i].len());
            if let Some(largest) = largest {
                free.swap_remove(largest);
            }
        }
        drop(free);
        Dense {
            values: values.unwrap_or_else(|| vec![Lanes::ZERO; lanes]),
            len,
            pool: self.clone(),
            lent: true,
        }
    }

    /// `len` zeros in memory of exactly their size, for values that may be kept for long.
    pub(crate) fn own(&self, len: usize) -> Dense {
        Dense {
            values: vec![Lanes::ZERO; len.div_ceil(LANES)],
            len,
            pool: self.clone(),
            lent: false,
        }
    }

    /// A copy of `source` in memory of exactly its size.
    pub(crate) fn copy(&self, source: &[f32]) -> Dense {
        let mut dense = self.own(source.len());
        dense.copy_from_slice(source);
        dense
    }

    fn put(&self, values: Vec<Lanes>) {
        // A layer has at most about a dozen activations alive at once.
        // The bound matters only for callers that change batch sizes; its exact value does not.
        const KEPT: usize = 16;
        if values.is_empty() {
            return;
        }
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(values);
        if free.len() > KEPT {
            // The oldest has a size that is no longer requested.
            free.remove(0);
        }
    }
}

/// A weight `[outputs, inputs]` in panels of sixteen outputs: panel `p` holds, for every input or pair
/// of inputs in order, the weights of outputs `16p..16p + 16` (zero beyond the last).
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) panels: Panels,
}

/// Panels of the weights of products.
#[derive(Debug)]
pub(crate) enum Panels {
    /// Products in `f32`, weights in `f32`; weights in IEEE half precision are widened once, here.
    F32(Pages<Lanes>),
    /// Products in `f32`, weights in bfloat16. They stay as they are, which halves the bytes; a task of many
    /// rows widens them once (`gemm`).
    Bf16(Pages<HalfLanes>),
    /// Products of pairs of bfloat16, to which all weights were rounded.
    Pairs(Pages<PairLanes>),
}

impl Panels {
    /// The panels of products in `products` for weights stored in `stored`: their element's size in
    /// bytes, and the number of elements of a panel.
    fn shape(products: Precision, stored: Stored, inputs: usize) -> (usize, usize) {
        match (products, stored) {
            (Precision::Bf16, _) => (size_of::<PairLanes>(), inputs.div_ceil(2)),
            (Precision::F32, Stored::Bf16) => (size_of::<HalfLanes>(), inputs),
            (Precision::F32, Stored::F32 | Stored::F16) => (size_of::<Lanes>(), inputs),
        }
    }
}

impl Matrix {
    /// Packs row-major weights; `values` has `outputs × inputs` elements.
    pub(crate) fn pack(
        products: Precision,
        values: &Values<'_>,
        [outputs, inputs]: [usize; 2],
        threads: &Threads,
    ) -> Result<Self, NoMemory> {
        let mut matrix = Self::zero(products, values.precision(), [outputs, inputs])?;
        matrix.fill(0, values, threads);
        Ok(matrix)
    }

    /// A matrix of zeros in panels for products in `products` with weights in `stored`.
    ///
    /// # Errors
    /// An allocation that fails. Weights are the largest allocations, and the only ones whose size
    /// a file decides, so theirs alone are checked.
    pub(crate) fn zero(
        products: Precision,
        stored: Stored,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Self, NoMemory> {
        let (_, steps) = Panels::shape(products, stored, inputs);
        // A product beyond `usize` is beyond any allocation, and reserving it fails.
        let len = outputs.div_ceil(LANES).saturating_mul(steps);
        let panels = match (products, stored) {
            (Precision::Bf16, _) => Panels::Pairs(Pages::zeros(len)?),
            (Precision::F32, Stored::Bf16) => Panels::Bf16(Pages::zeros(len)?),
            (Precision::F32, _) => Panels::F32(Pages::zeros(len)?),
        };
        Ok(Self {
            outputs,
            inputs,
            panels,
        })
    }

    /// Size of the panels in bytes.
    pub(crate) fn bytes(products: Precision, stored: Stored, [outputs, inputs]: [usize; 2]) -> u64 {
        let (element, steps) = Panels::shape(products, stored, inputs);
        let panel = (steps as u64).saturating_mul(element as u64);
        panel.saturating_mul(outputs.div_ceil(LANES) as u64)
    }

    /// Number of elements of a panel: inputs, or pairs of them.
    pub(crate) fn steps(&self) -> usize {
        match &self.panels {
            Panels::F32(_) | Panels::Bf16(_) => self.inputs,
            Panels::Pairs(_) => self.inputs.div_ceil(2),
        }
    }

    /// Sets whole rows from row `first` on, a multiple of sixteen. Returns false if the values are
    /// not in the precision of the panels.
    pub(crate) fn fill(&mut self, first: usize, values: &Values<'_>, threads: &Threads) -> bool {
        let (inputs, start) = (self.inputs, first / LANES * self.steps());
        match (&mut self.panels, values) {
            (Panels::F32(panels), Values::F32(v)) => {
                let set = |lanes: &mut Lanes, i: usize, x: &f32| lanes.0[i] = *x;
                pack(v, inputs, &mut panels[start..], threads, set);
            }
            (Panels::F32(panels), Values::F16(v)) => {
                let set = |lanes: &mut Lanes, i: usize, x: &f16| lanes.0[i] = x.to_f32();
                pack(v, inputs, &mut panels[start..], threads, set);
            }
            (Panels::Bf16(panels), Values::Bf16(v)) => {
                let set = |lanes: &mut HalfLanes, i: usize, x: &bf16| lanes.0[i] = x.to_bits();
                pack(v, inputs, &mut panels[start..], threads, set);
            }
            (Panels::Pairs(panels), Values::F32(v)) => {
                pack_pairs(v, inputs, &mut panels[start..], threads, |x| round(*x));
            }
            (Panels::Pairs(panels), Values::F16(v)) => {
                pack_pairs(v, inputs, &mut panels[start..], threads, |x| {
                    round(x.to_f32())
                });
            }
            (Panels::Pairs(panels), Values::Bf16(v)) => {
                pack_pairs(v, inputs, &mut panels[start..], threads, |x| {
                    pairs::kept(*x)
                });
            }
            _ => return false,
        }
        true
    }

    /// Writes row `row`, one of `outputs`, to `to`.
    pub(crate) fn row(&self, row: usize, to: &mut [f32]) {
        match &self.panels {
            Panels::F32(panels) => unpack(panels, row, self.inputs, to),
            Panels::Bf16(panels) => unpack(panels, row, self.inputs, to),
            Panels::Pairs(panels) => unpack(panels, row, self.inputs, to),
        }
    }
}

fn pack<T: Sync, L: Copy + Send>(
    values: &[T],
    inputs: usize,
    panels: &mut [L],
    threads: &Threads,
    set: impl Fn(&mut L, usize, &T) + Send + Sync,
) {
    if inputs == 0 {
        return;
    }
    let tasks = panels
        .chunks_exact_mut(inputs)
        .zip(values.chunks(LANES * inputs))
        .collect();
    threads.for_each(values.len(), tasks, |_, (panel, rows): (&mut [L], &[T])| {
        let height = rows.len() / inputs;
        // Input by input, so that a panel is written once, from its first byte to its last.
        // The last panel may have fewer rows; the repeated ones fill the array and are not read
        // (`take(height)`), so the lanes beyond stay zero.
        let row = |r: usize| &rows[r.min(height - 1) * inputs..][..inputs];
        let rows: [&[T]; LANES] = std::array::from_fn(row);
        for (i, lanes) in panel.iter_mut().enumerate() {
            for (r, row) in rows.iter().enumerate().take(height) {
                set(lanes, r, &row[i]);
            }
        }
    });
}

/// As `pack`, into pairs of bfloat16; `bits` are those of a value as one.
fn pack_pairs<T: Sync>(
    values: &[T],
    inputs: usize,
    panels: &mut [PairLanes],
    threads: &Threads,
    bits: impl Fn(&T) -> u32 + Send + Sync,
) {
    /// Number of pairs of a row at a time: those of sixteen rows stay in the first-level cache.
    const CHUNK: usize = 128;
    if inputs == 0 {
        return;
    }
    let tasks = panels
        .chunks_exact_mut(inputs.div_ceil(2))
        .zip(values.chunks(LANES * inputs))
        .collect();
    threads.for_each(
        values.len(),
        tasks,
        |_, (panel, rows): (&mut [PairLanes], &[T])| {
            // Rows beyond the last stay zero.
            let mut pairs = [[0.0; CHUNK]; LANES];
            let mut packed = [0.0; CHUNK * LANES];
            for (chunk, panel) in panel.chunks_mut(CHUNK).enumerate() {
                let from = 2 * CHUNK * chunk;
                let to = inputs.min(from + 2 * CHUNK);
                for (pairs, row) in pairs.iter_mut().zip(rows.chunks_exact(inputs)) {
                    pairs::pair_up(&row[from..to], &mut pairs[..panel.len()], &bits);
                }
                let packed = &mut packed[..panel.len() * LANES];
                interleave::<LANES>(|r| &pairs[r][..panel.len()], packed);
                for (lanes, packed) in panel.iter_mut().zip(packed.as_chunks().0) {
                    lanes.0 = packed.map(f32::to_bits);
                }
            }
        },
    );
}

fn unpack<E: Element>(panels: &[E], row: usize, inputs: usize, to: &mut [f32]) {
    let steps = inputs.div_ceil(E::INPUTS);
    let panel = &panels[row / LANES * steps..][..steps];
    for (to, lanes) in to.chunks_mut(E::INPUTS).zip(panel) {
        for (input, to) in to.iter_mut().enumerate() {
            *to = lanes.get(row % LANES, input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all sizes and signs.
    fn values(count: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 % 2003) as f32 - 1000.5) * 2f32.powi(i as i32 % 140 - 70);
        (0..count).map(value).collect()
    }

    #[test]
    fn pairs_hold_every_weight_rounded_in_its_place() {
        for (outputs, inputs) in [
            (1, 1),
            (3, 2),
            (16, 7),
            (17, 255),
            (33, 256),
            (40, 257),
            (5, 1031),
        ] {
            let full = values(outputs * inputs);
            let halves: Vec<bf16> = full.iter().map(|&x| bf16::from_f32(x)).collect();
            let shorts: Vec<f16> = full.iter().map(|&x| f16::from_f32(x)).collect();
            for stored in [
                Values::F32(&full),
                Values::Bf16(&halves),
                Values::F16(&shorts),
            ] {
                let threads = Threads::One;
                let matrix =
                    Matrix::pack(Precision::Bf16, &stored, [outputs, inputs], &threads).unwrap();
                let want = stored.to_f32();
                let mut row = vec![0.0; inputs];
                for (r, want) in want.chunks(inputs).enumerate() {
                    matrix.row(r, &mut row);
                    let rounded: Vec<u32> = want.iter().map(|&x| round(x) << 16).collect();
                    let found: Vec<u32> = row.iter().map(|x| x.to_bits()).collect();
                    assert_eq!(found, rounded, "row {r} of {outputs} × {inputs}");
                }
                let Panels::Pairs(panels) = &matrix.panels else {
                    panic!("products in bf16 take pairs");
                };
                // Nothing beyond the last output, nor beside an odd last input.
                let beyond = panels.iter().skip(outputs / LANES * matrix.steps());
                assert!(
                    beyond
                        .flat_map(|p| &p.0[outputs % LANES..])
                        .all(|&x| x == 0)
                );
                if inputs % 2 == 1 {
                    let last = panels
                        .iter()
                        .skip(matrix.steps() - 1)
                        .step_by(matrix.steps());
                    assert!(last.flat_map(|p| p.0).all(|x| x >> 16 == 0));
                }
            }
        }
    }
}
