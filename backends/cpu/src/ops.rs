//! The operations of the backend: checks of their operands, and the kernels behind them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use relscale::Error;
use relscale::backend::{
    Activation, Attention, Backend, Choice, Columns, Embed, HostTensor, Linear, LogProb, Norm,
    Overflow, Pointwise, Precision as Stored, Role, Rope, Route, ShapeError, Tensor,
    check_attention, check_len, check_rows, check_targets, check_width, choose_experts,
};

use crate::buffer::{Buffer, Dense, Kind, Matrix, View};
use crate::environment::Standard;
use crate::gemm::{self, Rows};
use crate::pages::NoMemory;
use crate::simd::LANES;
use crate::{Cpu, NAME, attention, head, rows};

#[deny(clippy::missing_trait_methods)]
impl Backend for Cpu {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        NAME
    }

    fn device(&self) -> Option<String> {
        // Bits are the same on every processor.
        None
    }

    fn enough_tokens(&self) -> Option<usize> {
        // The activations of larger batches leave the second-level cache, which costs 3 to 20 %
        // (`benches/NOTES.md`). Threads need rows to share.
        Some((256 * self.threads.count()).max(512))
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let (rows, cols, len) = (tensor.rows, tensor.cols, tensor.values.len());
        if rows.checked_mul(cols) != Some(len) {
            return Err(misfit(format!("{len} values for {rows} × {cols}")));
        }
        match tensor.role {
            Role::Dense => Ok(done(self.pool.copy(&tensor.values.to_f32()))),
            Role::Matrix => {
                Matrix::pack(self.precision, &tensor.values, [rows, cols], &self.threads)
                    .map(|matrix| Buffer(Kind::Matrix(matrix)))
                    .map_err(|e| self.out_of_memory(tensor.values.precision(), [rows, cols], e))
            }
        }
    }

    fn upload_rows(
        &self,
        [rows, cols]: [usize; 2],
        role: Role,
        read: &mut dyn FnMut(Range<usize>) -> Result<HostTensor, Error>,
    ) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let upload = |host: &HostTensor, rows: usize| {
            self.upload(&Tensor {
                values: host.values(),
                rows,
                cols,
                role,
            })
        };
        // Whole panels, and about a million values of them: a few megabytes beside the packed matrix.
        // The rows of a panel are interleaved, so they must arrive together.
        let step = ((1 << 20) / cols.max(1)).next_multiple_of(LANES).max(LANES);
        if role == Role::Dense || rows <= step {
            return upload(&read(0..rows)?, rows);
        }
        let mut whole: Option<Matrix> = None;
        for from in (0..rows).step_by(step) {
            let to = rows.min(from + step);
            let part = read(from..to)?;
            let values = part.values();
            if Some(values.len()) != (to - from).checked_mul(cols) {
                let message = format!("{} values for {} × {cols}", values.len(), to - from);
                return Err(misfit(message));
            }
            let matrix = match &mut whole {
                Some(matrix) => matrix,
                none => none.insert(
                    Matrix::zero(self.precision, values.precision(), [rows, cols])
                        .map_err(|e| self.out_of_memory(values.precision(), [rows, cols], e))?,
                ),
            };
            if !matrix.fill(from, &values, &self.threads) {
                return Err(misfit(format!(
                    "rows from {from} on are of another precision"
                )));
            }
        }
        let matrix = whole.ok_or_else(|| misfit("a matrix without rows"))?;
        Ok(Buffer(Kind::Matrix(matrix)))
    }

    fn tensor_bytes(&self, [rows, cols]: [usize; 2], stored: Stored, role: Role) -> u64 {
        match role {
            Role::Dense => (rows as u64).saturating_mul(cols as u64).saturating_mul(4),
            Role::Matrix => Matrix::bytes(self.precision, stored, [rows, cols]),
        }
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        let _environment = Standard::new();
        Ok(match &buffer.0 {
            Kind::Dense(values) => values.to_vec(),
            Kind::Matrix(m) => {
                let mut out = vec![0.0; m.outputs * m.inputs];
                if m.inputs > 0 {
                    for (o, row) in out.chunks_exact_mut(m.inputs).enumerate() {
                        m.row(o, row);
                    }
                }
                out
            }
        })
    }

    fn embed(&self, table: &Buffer, op: &Embed<'_>) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        check_width("embedding", op.width).map_err(fail)?;
        let table = table.matrix(op.vocab, op.width).map_err(fail)?;
        if let Some(token) = op.tokens.iter().find(|&&t| t as usize >= op.vocab) {
            return Err(misfit(format!(
                "token {token} is outside the vocabulary of {}",
                op.vocab
            )));
        }
        Ok(done(self.by_row(op.tokens.len(), op.width, |r, out| {
            table.row(op.tokens[r] as usize, out);
            // A product with one is exact; this saves the pass.
            if op.scale != 1.0 {
                for x in out {
                    *x *= op.scale as f32;
                }
            }
        })))
    }

    fn norm(&self, x: Columns<'_, Buffer>, op: &Norm<'_, Buffer>) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let view = View::new(x, "activation").map_err(fail)?;
        if op.width == 0 || !x.width.is_multiple_of(op.width) {
            let message = format!(
                "groups of {} do not divide a width of {}",
                op.width, x.width
            );
            return Err(misfit(message));
        }
        let weight = vector(op.weight, "norm weight", op.width).map_err(fail)?;
        let bias = optional(op.bias, "norm bias", op.width).map_err(fail)?;
        let overflow = AtomicBool::new(false);
        let out = self.by_row(x.rows, x.width, |r, out| {
            let x = view.row(r, x.width);
            let (kind, epsilon) = (op.kind, op.epsilon);
            let is_finite = self.isa.run(rows::NormRow {
                kind,
                epsilon,
                x,
                weight,
                bias,
                out,
            });
            if !is_finite {
                overflow.store(true, Ordering::Relaxed);
            }
        });
        if overflow.into_inner() {
            // The factor would be zero, and the row with it: wrong, and nothing would show it.
            return Err(Error::backend(
                NAME,
                Overflow::new("the sum of squares of a norm"),
            ));
        }
        Ok(done(out))
    }

    fn linear(&self, x: Columns<'_, Buffer>, op: &Linear<'_, Buffer>) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        check_width("product", op.outputs).map_err(fail)?;
        let weight = op.weight.matrix(op.outputs, op.inputs).map_err(fail)?;
        let bias = optional(op.bias, "bias", op.outputs).map_err(fail)?;
        let packed = self.pack(x, weight).map_err(fail)?;
        let mut out = self.pool.take(x.rows * op.outputs);
        gemm::linear(self.isa, &self.threads, &packed, weight, bias, &mut out);
        Ok(done(out))
    }

    fn rope(&self, x: Columns<'_, Buffer>, op: &Rope<'_>) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let view = View::new(x, "activation").map_err(fail)?;
        check_len("positions", op.positions.len(), x.rows).map_err(fail)?;
        let half = op.frequencies.len();
        if op.head_dim == 0 || !x.width.is_multiple_of(op.head_dim) || half > op.head_dim / 2 {
            let (dim, width) = (op.head_dim, x.width);
            let message = format!("{half} rotated pairs in heads of {dim} in a width of {width}");
            return Err(misfit(message));
        }
        let positions = op.positions.iter().max().map_or(0, |&p| p as usize + 1);
        // A table of all positions up to the furthest is kept from call to call. A few rows at
        // enormous positions, which no batch of a model has, would make it enormous: they get a
        // table of their own.
        // 65,536 positions of heads of 128 take 32 MiB.
        let table = positions <= x.rows.max(1 << 16);
        let rotations = if table {
            self.rotations.get(op.frequencies, op.scale, positions)
        } else {
            let positions = op.positions.iter().map(|&p| p as usize);
            Arc::new(rows::Rotations::new(op.frequencies, op.scale, positions))
        };
        Ok(done(self.by_row(x.rows, x.width, |r, out| {
            self.isa.run(rows::RopeRow {
                rotations: &rotations,
                entry: if table { op.positions[r] as usize } else { r },
                head_dim: op.head_dim,
                x: view.row(r, x.width),
                out,
            });
        })))
    }

    fn attention(
        &self,
        q: Columns<'_, Buffer>,
        k: Columns<'_, Buffer>,
        v: Columns<'_, Buffer>,
        op: &Attention<'_>,
    ) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        check_attention(&q, &k, &v, op).map_err(fail)?;
        let views = [
            View::new(q, "queries").map_err(fail)?,
            View::new(k, "keys").map_err(fail)?,
            View::new(v, "values").map_err(fail)?,
        ];
        let mut out = self.pool.take(q.rows * q.width);
        let first = k.rows - q.rows;
        attention::attention(
            self.isa,
            &self.threads,
            &self.pool,
            views,
            op,
            first,
            &mut out,
        );
        Ok(done(out))
    }

    fn activate(
        &self,
        gate: Columns<'_, Buffer>,
        up: Option<Columns<'_, Buffer>>,
        function: Activation,
    ) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let gates = View::new(gate, "gate").map_err(fail)?;
        let ups = match up {
            None => None,
            Some(up) => {
                check_len("up projection row", up.width, gate.width).map_err(fail)?;
                check_len("up projection", up.rows, gate.rows).map_err(fail)?;
                Some(View::new(up, "up projection").map_err(fail)?)
            }
        };
        Ok(done(self.by_row(gate.rows, gate.width, |r, out| {
            let gate = gates.row(r, gate.width);
            let up = ups.map(|u| u.row(r, gate.len()));
            self.isa.run(rows::ActivateRow {
                function,
                gate,
                up,
                out,
            });
        })))
    }

    fn pointwise(&self, x: Columns<'_, Buffer>, function: Pointwise) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let view = View::new(x, "activation").map_err(fail)?;
        Ok(done(self.by_row(x.rows, x.width, |r, out| {
            let x = view.row(r, x.width);
            match function {
                Pointwise::Scale(factor) => {
                    let factor = factor as f32;
                    out.iter_mut().zip(x).for_each(|(out, x)| *out = x * factor);
                }
                Pointwise::Clip(bound) => {
                    // Not `clamp`, which panics if a bound is NaN.
                    let bound = bound as f32;
                    let clip = |x: f32| {
                        if x > bound {
                            bound
                        } else if x < -bound {
                            -bound
                        } else {
                            x
                        }
                    };
                    out.iter_mut().zip(x).for_each(|(out, &x)| *out = clip(x));
                }
            }
        })))
    }

    fn route(&self, logits: Columns<'_, Buffer>, op: &Route) -> Result<Vec<Choice>, Error> {
        let _environment = Standard::new();
        // A few dozen logits a row: not worth a kernel.
        let host = self.read(logits.buffer)?;
        let (stride, start) = (logits.stride, logits.start);
        let host = Columns::block(&host, logits.rows, stride, start, logits.width);
        choose_experts(host, op).map_err(fail)
    }

    fn add_rows(
        &self,
        mut x: Buffer,
        y: Columns<'_, Buffer>,
        rows: &[usize],
        weights: &[f64],
    ) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let view = View::new(y, "summand").map_err(fail)?;
        let Kind::Dense(values) = &mut x.0 else {
            return Err(misfit("the first summand was uploaded as a matrix"));
        };
        check_len("rows", rows.len(), y.rows).map_err(fail)?;
        check_len("weights", weights.len(), y.rows).map_err(fail)?;
        let width = y.width;
        check_rows(rows, values.len().checked_div(width).unwrap_or(0)).map_err(fail)?;
        if rows.is_empty() {
            return Ok(x);
        }
        // The rows that are added to, in the order of `rows`: both rise.
        let mut next = rows.iter().peekable();
        let to = values.chunks_exact_mut(width).enumerate();
        let to = to.filter(|(r, _)| next.next_if(|&next| next == r).is_some());
        let mut tasks: Vec<(usize, &mut [f32])> = to.map(|(_, row)| row).enumerate().collect();
        let per_task = self
            .threads
            .share(rows.len(), 1)
            .max(4096usize.div_ceil(width));
        let mut shared = Vec::new();
        while !tasks.is_empty() {
            let rest = tasks.split_off(per_task.min(tasks.len()));
            shared.push(std::mem::replace(&mut tasks, rest));
        }
        let cost = rows.len() * width;
        self.threads.for_each(cost, shared, |_, task| {
            for (i, x) in task {
                let weight = weights[i] as f32;
                for (x, y) in x.iter_mut().zip(view.row(i, width)) {
                    *x += weight * y;
                }
            }
        });
        Ok(x)
    }

    fn add(&self, mut x: Buffer, y: &Buffer) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let y = y.dense("summand").map_err(fail)?;
        let Kind::Dense(values) = &mut x.0 else {
            return Err(misfit("the first summand was uploaded as a matrix"));
        };
        check_len("summand", y.len(), values.len()).map_err(fail)?;
        // 64 KiB of each summand. Only memory limits an addition, so the exact size does not
        // matter.
        const CHUNK: usize = 1 << 14;
        let tasks = values.chunks_mut(CHUNK).zip(y.chunks(CHUNK)).collect();
        self.threads
            .for_each(y.len(), tasks, |_, (x, y): (&mut [f32], &[f32])| {
                self.isa.run(rows::Add { x, y });
            });
        Ok(x)
    }

    fn gather(&self, x: Columns<'_, Buffer>, rows: &[usize]) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let view = View::new(x, "activation").map_err(fail)?;
        if let Some(row) = rows.iter().find(|&&r| r >= x.rows) {
            return Err(misfit(format!("row {row} of {} was asked for", x.rows)));
        }
        // The keys of a prefix are gathered and kept for long, so the result does not take memory
        // of the pool.
        let mut out = self.pool.own(rows.len() * x.width);
        self.fill(&mut out, rows.len(), x.width, |r, out| {
            out.copy_from_slice(view.row(rows[r], x.width));
        });
        Ok(done(out))
    }

    fn concat(&self, x: Columns<'_, Buffer>, y: Columns<'_, Buffer>) -> Result<Buffer, Error> {
        let _environment = Standard::new();
        let above = View::new(x, "first block").map_err(fail)?;
        let below = View::new(y, "second block").map_err(fail)?;
        check_len("row of the second block", y.width, x.width).map_err(fail)?;
        let rows = x.rows.saturating_add(y.rows);
        Ok(done(self.by_row(rows, x.width, |r, out| {
            let row = match r.checked_sub(x.rows) {
                None => above.row(r, x.width),
                Some(r) => below.row(r, x.width),
            };
            out.copy_from_slice(row);
        })))
    }

    fn log_prob(
        &self,
        x: Columns<'_, Buffer>,
        op: &LogProb<'_, Buffer>,
    ) -> Result<Vec<f64>, Error> {
        let _environment = Standard::new();
        check_targets(op.targets, x.rows, op.vocab).map_err(fail)?;
        let weight = op.weight.matrix(op.vocab, op.inputs).map_err(fail)?;
        let bias = optional(op.bias, "bias", op.vocab).map_err(fail)?;
        let packed = self.pack(x, weight).map_err(fail)?;
        if op.targets.is_empty() {
            // The kernel divides the vocabulary into tiles, and an empty one has none.
            return Ok(Vec::new());
        }
        Ok(head::log_prob(
            self.isa,
            &self.threads,
            &packed,
            weight,
            bias,
            op.soft_cap,
            op.targets,
        ))
    }
}

impl Cpu {
    /// Runs a kernel once per row of `width` values; returns the rows.
    fn by_row(
        &self,
        rows: usize,
        width: usize,
        row: impl Fn(usize, &mut [f32]) + Send + Sync,
    ) -> Dense {
        let mut out = self.pool.take(rows * width);
        self.fill(&mut out, rows, width, row);
        out
    }

    /// Runs a kernel once per row, which writes `width` values to `out`.
    fn fill(
        &self,
        out: &mut [f32],
        rows: usize,
        width: usize,
        row: impl Fn(usize, &mut [f32]) + Send + Sync,
    ) {
        if !out.is_empty() {
            // A few thousand values per task, or handing it to a thread costs more than the task.
            let per_task = self.threads.share(rows, 1).max(4096usize.div_ceil(width));
            let tasks = out.chunks_mut(per_task * width).collect();
            self.threads
                .for_each(rows * width * 4, tasks, |t, chunk: &mut [f32]| {
                    for (i, out) in chunk.chunks_exact_mut(width).enumerate() {
                        row(t * per_task + i, out);
                    }
                });
        }
    }

    fn pack(&self, x: Columns<'_, Buffer>, weight: &Matrix) -> Result<Rows, ShapeError> {
        let view = View::new(x, "activation")?;
        check_len("input row", x.width, weight.inputs)?;
        let (pool, threads) = (&self.pool, &self.threads);
        Ok(Rows::pack(view, x.rows, weight, self.isa, pool, threads))
    }

    /// The error of an allocation for a weight.
    fn out_of_memory(&self, stored: Stored, shape: [usize; 2], error: NoMemory) -> Error {
        let bytes = Matrix::bytes(self.precision, stored, shape);
        Error::out_of_memory(NAME, Some(bytes), error)
    }
}

/// The dense operand `what`, which must have `want` elements.
fn vector<'a>(buffer: &'a Buffer, what: &str, want: usize) -> Result<&'a [f32], ShapeError> {
    let values = buffer.dense(what)?;
    check_len(what, values.len(), want)?;
    Ok(values)
}

fn optional<'a>(
    buffer: Option<&'a Buffer>,
    what: &str,
    want: usize,
) -> Result<Option<&'a [f32]>, ShapeError> {
    buffer.map(|b| vector(b, what, want)).transpose()
}

fn done(values: Dense) -> Buffer {
    Buffer(Kind::Dense(values))
}

/// The error about operands that do not fit.
fn fail(misfit: ShapeError) -> Error {
    Error::backend(NAME, misfit)
}

/// The error with a message about operands that do not fit.
fn misfit(message: impl Into<String>) -> Error {
    fail(ShapeError::new(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_larger_than_memory_is_out_of_memory() {
        let cpu = Cpu::new();
        // A petabyte, and more than `usize` counts. The first rows are read, which is how the
        // precision is known.
        for rows in [1 << 44, usize::MAX] {
            let mut read = |rows: Range<usize>| Ok(HostTensor::F32(vec![0.5; rows.len() * 16]));
            let error = cpu.upload_rows([rows, 16], Role::Matrix, &mut read);
            match error {
                Err(Error::OutOfMemory {
                    backend, requested, ..
                }) => {
                    let bytes = cpu.tensor_bytes([rows, 16], Stored::F32, Role::Matrix);
                    assert_eq!((backend.as_str(), requested), (NAME, Some(bytes)));
                }
                other => panic!("{other:?}"),
            }
        }
        // The backend goes on working.
        let mut read = |rows: Range<usize>| Ok(HostTensor::F32(vec![0.5; rows.len() * 16]));
        let small = cpu.upload_rows([4, 16], Role::Matrix, &mut read).unwrap();
        assert_eq!(cpu.read(&small).unwrap(), vec![0.5; 64]);
    }
}
