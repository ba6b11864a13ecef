//! Kernels that move or add rows: embedding, gathering, stacking, sums.

use super::bounds::{Roundoff, close, oracle, scaled};
use super::inputs::{Block, SIZES, SplitMix64, to_f64, upload, vector};
use super::kit::{Failure, Kit};
use crate::backend::{Backend, Embed, Role};

impl<B: Backend> Kit<B> {
    /// Rows of an embedding table, times a factor.
    ///
    /// Bound: γ₂·|y|, one rounding of the factor to the backend's precision and one of the
    /// product, and that of the table's values if it rounds them further ([`Roundoff`]).
    pub fn embed(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(1));
        for (&vocab, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            for (case, scale) in [(0, 1.0), (1, 0.37), (2, 11.3)] {
                let table = random.weight(vocab, width, case);
                let tokens: Vec<u32> = (0..SIZES[vocab % SIZES.len()])
                    .map(|_| random.below(vocab) as u32)
                    .collect();
                let op = Embed {
                    tokens: &tokens,
                    vocab,
                    width,
                    scale,
                };
                let buffer = upload(&backend, &table, vocab, width, Role::Matrix)?;
                let got = backend.read(&backend.embed(&buffer, &op)?)?;
                let exact = upload(&oracle(), &table, vocab, width, Role::Matrix)?;
                let want = oracle().embed(&exact, &op)?;
                let what = format!("embed {vocab} × {width} scale {scale}");
                let Roundoff {
                    operands, smallest, ..
                } = self.roundoff;
                let bound = |w: &f64| (self.gamma(2) + operands) * w.abs() + smallest * scale;
                let bound: Vec<f64> = want.iter().map(bound).collect();
                close(what, &got, &want, &bound)?;
            }
        }
        Ok(())
    }

    /// Sums of two buffers.
    ///
    /// Bound: γ₂·(|x| + |y|), one rounding of each operand and one of the sum.
    pub fn add(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(7));
        // The last two need several thread blocks on a device.
        for len in SIZES.into_iter().chain([1000, 40_000]) {
            let (x, y) = (random.awkward(len), random.awkward(len));
            let sum = backend.add(vector(&backend, &x)?, &vector(&backend, &y)?)?;
            let exact = || to_f64(&x).into_iter().zip(to_f64(&y));
            let want: Vec<f64> = exact().map(|(x, y)| x + y).collect();
            let bound: Vec<f64> = exact()
                .map(|(x, y)| self.gamma(2) * (x.abs() + y.abs()))
                .collect();
            close(format!("add {len}"), &backend.read(&sum)?, &want, &bound)?;
        }
        Ok(())
    }

    /// Rows in any order, repeated or left out.
    ///
    /// Bound: u·|x|, the rounding of a copy to the backend's precision.
    pub fn gather(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(8));
        for (&rows, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            let x = Block::new(&random.awkward(rows * width), rows, (1, 3));
            // More rows than there are, so that some repeat.
            let asked: Vec<usize> = (0..rows + 2).map(|_| random.below(rows)).collect();
            let buffer = x.upload(&backend)?;
            let got = backend.read(&backend.gather(x.columns(&buffer), &asked)?)?;
            let want = x.pick(&asked).content();
            let what = format!("gather {asked:?} of {rows} × {width}");
            close(what, &got, &want, &scaled(&want, self.roundoff.arithmetic))?;
        }
        Ok(())
    }

    /// The rows of one block followed by those of another.
    ///
    /// Bound: u·|x|, the rounding of a copy to the backend's precision.
    pub fn concat(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(14));
        for (i, &width) in SIZES.iter().enumerate() {
            // Two permutations of the sizes, so that the numbers of rows are unrelated.
            let (above, below) = (SIZES[(3 * i + 1) % 10], SIZES[(7 * i + 2) % 10]);
            let x = Block::new(&random.awkward(above * width), above, (1, 3));
            let y = Block::new(&random.awkward(below * width), below, (0, i));
            let buffers = (x.upload(&backend)?, y.upload(&backend)?);
            let got = backend.concat(x.columns(&buffers.0), y.columns(&buffers.1))?;
            let want = [x.content(), y.content()].concat();
            let what = format!("concat {above} and {below} rows of {width}");
            let bound = scaled(&want, self.roundoff.arithmetic);
            close(what, &backend.read(&got)?, &want, &bound)?;
        }
        Ok(())
    }
}
