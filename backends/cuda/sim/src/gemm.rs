//! The matrix product of `cublasLtMatmul`, in plain loops.

use half::{bf16, f16};

use crate::memory::{MemoryFault, Snapshot};

/// Number type of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    F32,
    F16,
    Bf16,
}

impl Number {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            _ => 2,
        }
    }

    fn decode(self, b: &[u8]) -> f32 {
        match self {
            Self::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        }
    }

    fn encode(self, x: f32, out: &mut Vec<u8>) {
        match self {
            Self::F32 => out.extend(x.to_le_bytes()),
            Self::F16 => out.extend(f16::from_f32(x).to_le_bytes()),
            Self::Bf16 => out.extend(bf16::from_f32(x).to_le_bytes()),
        }
    }
}

/// A column-major matrix in device memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) address: u64,
    pub(crate) number: Number,
    pub(crate) rows: u64,
    pub(crate) cols: u64,
    pub(crate) ld: u64,
}

impl Matrix {
    /// Column by column, with nothing between.
    fn load(&self, memory: &Snapshot, name: &str) -> Result<Vec<f32>, MemoryFault> {
        let size = self.number.bytes();
        let mut out = Vec::with_capacity((self.rows * self.cols) as usize);
        let mut column = vec![0; (self.rows * size) as usize];
        for j in 0..self.cols {
            memory
                .read(self.address + j * self.ld * size, &mut column)
                .map_err(|fault| place(fault, name, j))?;
            out.extend(
                column
                    .chunks_exact(size as usize)
                    .map(|b| self.number.decode(b)),
            );
        }
        Ok(out)
    }
}

fn place(fault: MemoryFault, name: &str, column: u64) -> MemoryFault {
    match fault {
        MemoryFault::Bounds(m) => {
            MemoryFault::Bounds(format!("cublasLtMatmul, column {column} of {name}: {m}"))
        }
        other => other,
    }
}

/// The order in which a sum runs over k. Real algorithms differ by it, and so do their roundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Rising,
    Falling,
    EvenThenOdd,
    /// Only below this k: a fault of the library.
    Truncated(u64),
}

impl Order {
    fn of(self, k: usize) -> Vec<usize> {
        match self {
            Self::Rising => (0..k).collect(),
            Self::Falling => (0..k).rev().collect(),
            Self::EvenThenOdd => (0..k).step_by(2).chain((1..k).step_by(2)).collect(),
            Self::Truncated(end) => (0..k.min(end as usize)).collect(),
        }
    }
}

/// D = α·op(A)·op(B) + β·C, each element one f32 sum over k, rounded once.
#[derive(Clone, Debug)]
pub(crate) struct Gemm {
    pub(crate) a: Matrix,
    pub(crate) b: Matrix,
    pub(crate) c: Matrix,
    pub(crate) d: Matrix,
    pub(crate) transpose_a: bool,
    pub(crate) transpose_b: bool,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    /// Round the sources to 10 bits of mantissa.
    pub(crate) tf32: bool,
    pub(crate) order: Order,
    /// Scratch memory, which is overwritten: its contents are nobody's.
    pub(crate) workspace: (u64, u64),
    pub(crate) workers: usize,
}

/// To 10 bits of mantissa, ties to even.
fn tf32(x: f32) -> f32 {
    if !x.is_finite() {
        return x;
    }
    let bits = x.to_bits();
    f32::from_bits((bits + 0xfff + (bits >> 13 & 1)) & !0x1fff)
}

fn transpose(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for j in 0..cols {
        for i in 0..rows {
            out[i * cols + j] = x[j * rows + i];
        }
    }
    out
}

impl Gemm {
    pub(crate) fn run(&self, memory: &Snapshot) -> Result<(), MemoryFault> {
        let (m, n) = (self.d.rows as usize, self.d.cols as usize);
        let k = if self.transpose_a {
            self.a.rows
        } else {
            self.a.cols
        } as usize;
        let mut a = self.a.load(memory, "A")?;
        let mut b = self.b.load(memory, "B")?;
        if self.tf32 {
            a.iter_mut().chain(&mut b).for_each(|x| *x = tf32(*x));
        }
        // A with m contiguous, B with k contiguous: the inner loop runs over m, so that it is one sum
        // an element and still fast.
        if self.transpose_a {
            a = transpose(&a, self.a.rows as usize, self.a.cols as usize);
        }
        if self.transpose_b {
            b = transpose(&b, self.b.rows as usize, self.b.cols as usize);
        }
        let c = if self.beta == 0.0 {
            None
        } else {
            Some(self.c.load(memory, "C")?)
        };
        if self.workspace.1 > 0 {
            memory.write(self.workspace.0, &vec![0xff; self.workspace.1 as usize])?;
        }
        let mut d = vec![0.0_f32; m * n];
        let order = self.order.of(k);
        let column = &|j: usize, out: &mut [f32]| {
            for &i in &order {
                let x = b[j * k + i];
                for (out, &w) in out.iter_mut().zip(&a[i * m..(i + 1) * m]) {
                    *out += w * x;
                }
            }
            for (i, out) in out.iter_mut().enumerate() {
                *out *= self.alpha;
                if let Some(c) = &c {
                    *out += self.beta * c[j * m + i];
                }
            }
        };
        if m > 0 && n > 0 {
            let share = n.div_ceil(self.workers.max(1));
            std::thread::scope(|s| {
                for (t, part) in d.chunks_mut(share * m).enumerate() {
                    let mut work = move || {
                        for (j, out) in part.chunks_mut(m).enumerate() {
                            column(t * share + j, out);
                        }
                    };
                    if m * n * k < 1 << 20 {
                        work();
                    } else {
                        s.spawn(work);
                    }
                }
            });
        }
        let mut bytes = Vec::new();
        for j in 0..n {
            bytes.clear();
            for &x in &d[j * m..(j + 1) * m] {
                self.d.number.encode(x, &mut bytes);
            }
            memory
                .write(
                    self.d.address + j as u64 * self.d.ld * self.d.number.bytes(),
                    &bytes,
                )
                .map_err(|fault| place(fault, "D", j as u64))?;
        }
        Ok(())
    }
}
