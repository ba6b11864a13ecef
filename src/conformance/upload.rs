//! Upload in pieces.

use std::ops::Range;

use half::{bf16, f16};

use super::inputs::upload;
use super::kit::{Failure, Kit};
use crate::backend::{Backend, HostTensor, Precision, Role};
use crate::error::Error;

/// A matrix whose values are exact in every precision.
#[derive(Debug, Clone, Copy)]
struct Counting {
    rows: usize,
    cols: usize,
    precision: Precision,
    role: Role,
}

impl Counting {
    /// Some rows. Integers below 251 need eight significant bits, which `bf16` has; 251 is prime,
    /// so rows of even length differ from one another.
    fn rows(&self, range: Range<usize>) -> HostTensor {
        // 251 is a prime below 256: every value is exact in bfloat16, and no two rows that a
        // backend could confuse are equal.
        let all = (range.start * self.cols..range.end * self.cols).map(|i| (i % 251) as f32);
        match self.precision {
            Precision::F32 => HostTensor::F32(all.collect()),
            Precision::F16 => HostTensor::F16(all.map(f16::from_f32).collect()),
            Precision::Bf16 => HostTensor::Bf16(all.map(bf16::from_f32).collect()),
        }
    }

    /// The pieces are asked for in order and make the same tensor as one upload.
    fn arrives_whole<B: Backend>(&self, backend: &B) -> Result<(), Failure> {
        let Self {
            rows, cols, role, ..
        } = *self;
        let whole = upload(backend, &self.rows(0..rows), rows, cols, role)?;
        let mut next = 0;
        let pieces = backend.upload_rows([rows, cols], role, &mut |range| {
            if range.start != next || range.end <= next || range.end > rows {
                let message = format!("rows {range:?} asked for after {next} of {rows}");
                return Err(Error::batch(message));
            }
            next = range.end;
            Ok(self.rows(range))
        })?;
        // Equal without a bound: uploading only copies or widens.
        if next != rows || backend.read(&whole)? != backend.read(&pieces)? {
            return Err(Failure::wrong(format!(
                "{self:?}: the upload in pieces differs from the whole after {next} rows"
            )));
        }
        Ok(())
    }

    /// A piece that cannot be read, and one with a row too few, are errors.
    fn refuses_bad_pieces<B: Backend>(&self, backend: &B) -> Result<(), Failure> {
        let shape = [self.rows, self.cols];
        let mut unreadable = |_: Range<usize>| Err(Error::batch("unreadable"));
        if backend
            .upload_rows(shape, self.role, &mut unreadable)
            .is_ok()
        {
            return Err(Failure::wrong(format!("{self:?}: accepts unreadable rows")));
        }
        let mut short = |range: Range<usize>| Ok(self.rows(range.start..range.end - 1));
        if backend.upload_rows(shape, self.role, &mut short).is_ok() {
            return Err(Failure::wrong(format!("{self:?}: accepts too few rows")));
        }
        Ok(())
    }
}

impl<B: Backend> Kit<B> {
    /// A tensor uploaded in pieces equals the tensor uploaded whole, in every precision. Pieces of
    /// the wrong size and pieces that cannot be read are errors.
    pub fn upload_rows(&self) -> Result<(), Failure> {
        let backend = self.backend();
        // The last shape exceeds the pieces of any backend in the tree.
        for (rows, cols) in [(1, 1), (37, 5), (37, 1 << 16)] {
            for (precision, role) in [
                (Precision::F32, Role::Matrix),
                (Precision::F16, Role::Matrix),
                (Precision::Bf16, Role::Matrix),
                (Precision::F32, Role::Dense),
            ] {
                let tensor = Counting {
                    rows,
                    cols,
                    precision,
                    role,
                };
                tensor.arrives_whole(&backend)?;
                tensor.refuses_bad_pieces(&backend)?;
            }
        }
        Ok(())
    }
}
