//! The product of two matrices, added to a matrix of the base.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use crate::backend::HostTensor;
use crate::checkpoint::Entry;
use crate::checkpoint::read::read_entry;
use crate::error::Error;

/// The addition to a matrix: `scale · B · A`, with `A` of `rank` rows and `B` of `rank` columns.
#[derive(Debug)]
pub(in crate::checkpoint) struct Delta {
    a: Entry,
    b: Entry,
    /// True if the matrix is stored with a row per input, so that the transpose is added.
    by_inputs: bool,
    rank: usize,
    scale: f64,
}

/// The two matrices in the order of the stored one: `rank` numbers per row, and `rank` rows.
#[derive(Debug)]
pub(in crate::checkpoint) struct Factors {
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Delta {
    pub(super) fn new(a: Entry, b: Entry, by_inputs: bool, rank: usize, scale: f64) -> Self {
        Self {
            a,
            b,
            by_inputs,
            rank,
            scale,
        }
    }

    /// Reads both matrices. `name` is that of the matrix of the base, for messages.
    pub(in crate::checkpoint) fn factors(
        &self,
        files: &mut [(PathBuf, File)],
        name: &str,
    ) -> Result<Factors, Error> {
        let mut read = |entry: &Entry, part: &str| {
            let name = format!("{name} ({part})");
            read_entry(files, entry, &name, None)
        };
        let (a, b) = (read(&self.a, "lora_A")?, read(&self.b, "lora_B")?);
        let (left, right) = if self.by_inputs {
            let inputs = self.a.shape[1];
            (a.transposed(inputs), b.transposed(self.rank))
        } else {
            (b, a)
        };
        Ok(Factors {
            left: left.values().to_f32(),
            right: right.values().to_f32(),
        })
    }

    /// The elements `part` of a matrix of `columns` columns, with what is added to them.
    ///
    /// Each element is computed in `f64`, in the order of the ranks, and rounded once, to `f32`. Where
    /// nothing is added the bits stay: −0 plus 0 would be +0.
    pub(in crate::checkpoint) fn add(
        &self,
        factors: &Factors,
        base: &HostTensor,
        part: Range<usize>,
        columns: usize,
    ) -> HostTensor {
        let mut values = base.values().to_f32();
        let mut sums = vec![0.0f64; columns];
        let mut done = 0;
        while done < values.len() {
            let (row, column) = ((part.start + done) / columns, (part.start + done) % columns);
            let row_values = &mut values[done..];
            let length = row_values.len().min(columns - column);
            sums.fill(0.0);
            for k in 0..self.rank {
                let left = f64::from(factors.left[row * self.rank + k]);
                let right = &factors.right[k * columns..][..columns];
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum += left * f64::from(*right);
                }
            }
            for (value, sum) in row_values[..length].iter_mut().zip(&sums[column..]) {
                if *sum != 0.0 {
                    *value = (f64::from(*value) + self.scale * sum) as f32;
                }
            }
            done += length;
        }
        HostTensor::F32(values)
    }
}
