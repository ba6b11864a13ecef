//! Products with a weight.

use super::bounds::{Roundoff, close, oracle, scaled};
use super::inputs::{Block, SplitMix64, bias, to_f64, upload};
use super::kit::{Failure, Kit};
use super::log_prob::Head;
use crate::backend::{Backend, HostTensor, Linear, Role, Target};
use crate::error::Error;

/// One product x·Wᵀ + b.
#[derive(Clone)]
pub(super) struct Product {
    pub(super) x: Block,
    pub(super) weight: HostTensor,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) outputs: usize,
}

impl Product {
    pub(super) fn run<B: Backend>(&self, backend: &B) -> Result<B::Buffer, Error> {
        let (inputs, outputs) = (self.x.width, self.outputs);
        let x = self.x.upload(backend)?;
        let weight = upload(backend, &self.weight, outputs, inputs, Role::Matrix)?;
        let bias = bias(backend, self.bias.as_ref())?;
        let op = Linear {
            weight: &weight,
            bias: bias.as_ref(),
            inputs,
            outputs,
        };
        backend.linear(self.x.columns(&x), &op)
    }

    /// Σ|x||w| + |b| of every result.
    pub(super) fn magnitudes(&self) -> Result<Vec<f64>, Error> {
        let abs = |values: &[f32]| values.iter().map(|v| v.abs()).collect();
        let magnitudes = Self {
            x: self.x.map(f32::abs),
            weight: HostTensor::F32(abs(&self.weight.values().to_f32())),
            bias: self.bias.as_deref().map(abs),
            outputs: self.outputs,
        };
        magnitudes.run(&oracle())
    }

    /// The same product of operands that are as much larger as they may be wrong: (1 + r)|x| + τ and
    /// (1 + r)|w| + τ.
    fn enlarged(&self, roundoff: Roundoff) -> Result<Vec<f64>, Error> {
        // Twice, because the enlarged operands are themselves rounded, to `f32`.
        let (r, tau) = (2.0 * roundoff.operands, 2.0 * roundoff.smallest);
        let enlarge = |x: f32| (f64::from(x.abs()) * (1.0 + r) + tau) as f32;
        let weight = self.weight.values().to_f32();
        let enlarged = Self {
            x: self.x.map(enlarge),
            weight: HostTensor::F32(weight.iter().map(|&w| enlarge(w)).collect()),
            bias: self
                .bias
                .as_ref()
                .map(|b| b.iter().map(|b| b.abs()).collect()),
            outputs: self.outputs,
        };
        enlarged.run(&oracle())
    }

    /// The same product for one row.
    pub(super) fn only(&self, row: usize) -> Self {
        Self {
            x: self.x.pick(&[row]),
            ..self.clone()
        }
    }
}

impl<B> Kit<B> {
    /// The bound of [`Kit::linear`] on every result.
    pub(super) fn product_bound(&self, product: &Product) -> Result<Vec<f64>, Error> {
        let magnitudes = product.magnitudes()?;
        let gamma = self.gamma(product.x.width + 3);
        if self.roundoff.operands == 0.0 {
            return Ok(scaled(&magnitudes, gamma));
        }
        let enlarged = product.enlarged(self.roundoff)?;
        let both = enlarged.iter().zip(&magnitudes);
        Ok(both.map(|(e, m)| (e - m) + gamma * e).collect())
    }
}

impl<B: Backend> Kit<B> {
    /// Products with a weight, with and without bias.
    ///
    /// Bound: γ_{n+3}·(Σ|x||w| + |b|), for n products in any order, one bias, and two operands
    /// rounded to the backend's precision; more if it rounds them further ([`Roundoff`]).
    pub fn linear(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(3));
        // (rows, inputs, outputs): one row, one output, edges of tiles, and more rows or inputs
        // than a block of any backend in the tree.
        let shapes = [
            (1, 1, 1),
            (2, 7, 15),
            (7, 15, 17),
            (16, 16, 16),
            (17, 63, 65),
            (65, 64, 33),
            (5, 257, 31),
            (13, 600, 100),
            (400, 9, 18),
            (6, 33, 1),
            (1, 65, 200),
        ];
        for (case, (rows, inputs, outputs)) in shapes.into_iter().enumerate() {
            for biased in [false, true] {
                // Widths of margins that change, because alignment then changes too.
                let margins = (case % 3, case % 2);
                let product = Product {
                    x: Block::new(&random.awkward(rows * inputs), rows, margins),
                    weight: random.weight(outputs, inputs, case),
                    bias: biased.then(|| random.awkward(outputs)),
                    outputs,
                };
                let got = backend.read(&product.run(&backend)?)?;
                let want = product.run(&oracle())?;
                let bound = self.product_bound(&product)?;
                let what = format!("linear {rows} × {inputs} → {outputs}, bias {biased}");
                close(what, &got, &want, &bound)?;
            }
        }
        Ok(())
    }

    /// A row of a product or of the LM head does not depend on the rows beside it.
    pub fn rows_alone(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(10));
        // Rows that end within tiles of every common height, and one more than 400, beyond a block
        // of rows.
        // The last with weights in half precision, and more inputs than a block.
        let shapes = [
            (0, (29, 33, 70)),
            (0, (7, 300, 17)),
            (0, (401, 5, 40)),
            (1, (61, 800, 70)),
        ];
        for (case, (rows, inputs, outputs)) in shapes {
            let head = Head::new(&mut random, (rows, inputs, outputs), case, true, None);
            let product = Product {
                bias: None,
                ..head.product.clone()
            };
            let together = to_f64(&backend.read(&product.run(&backend)?)?);
            let token = random.below(outputs) as u32;
            let targets: Vec<Target> = (0..rows).map(|row| Target { row, token }).collect();
            let scored = head.run(&backend, &targets)?;
            // A step of 6 visits different places within tiles of 4, 8 and 16 rows.
            for (row, &scored) in scored.iter().enumerate().step_by(6) {
                let alone = to_f64(&backend.read(&product.only(row).run(&backend)?)?);
                let among = &together[row * outputs..(row + 1) * outputs];
                self.same(format!("linear, row {row}"), among, &alone)?;
                let alone = head.only(row).run(&backend, &[Target { row: 0, token }])?;
                self.same(format!("log_prob, row {row}"), &[scored], &alone)?;
            }
        }
        Ok(())
    }
}
