//! One precision under test, and comparison with the oracle.

use half::{bf16, f16};
use relscale::backend::Reference;
use relscale::backend::{Backend, Columns, Role, Tensor, Values};
use relscale::conformance::UNIT_ROUNDOFF_F32;
use relscale::conformance::inputs::SplitMix64;
use relscale_cuda::{Buffer, Cuda, Precision};

use crate::common::{device, on_device};

/// The formats in which activations are stored.
pub(crate) const PRECISIONS: [Precision; 3] = [Precision::Bf16, Precision::F16, Precision::F32];

/// γ_k of `f32`.
pub(crate) fn gamma(k: usize) -> f64 {
    let ku = k as f64 * UNIT_ROUNDOFF_F32;
    ku / (1.0 - ku)
}

/// A backend of one precision, the oracle, and numbers of the format.
pub(crate) struct Trial {
    pub(crate) precision: Precision,
    pub(crate) cuda: Cuda,
    pub(crate) oracle: Reference<f64>,
    pub(crate) random: SplitMix64,
    /// The largest error so far as a share of its bound.
    used: f64,
}

/// A matrix on both backends.
pub(crate) struct Both {
    pub(crate) host: Vec<f64>,
    pub(crate) cuda: Buffer,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Both {
    pub(crate) fn all(&self) -> (Columns<'_, Buffer>, Columns<'_, Vec<f64>>) {
        self.block(0, self.cols)
    }

    pub(crate) fn block(
        &self,
        start: usize,
        width: usize,
    ) -> (Columns<'_, Buffer>, Columns<'_, Vec<f64>>) {
        (
            Columns::block(&self.cuda, self.rows, self.cols, start, width),
            Columns::block(&self.host, self.rows, self.cols, start, width),
        )
    }

    pub(crate) fn abs(&self) -> Vec<f64> {
        self.host.iter().map(|x| x.abs()).collect()
    }
}

impl Trial {
    pub(crate) fn new(precision: Precision, seed: u64) -> Self {
        Self {
            precision,
            cuda: device(precision),
            oracle: Reference::new(),
            random: SplitMix64::new(seed),
            used: 0.0,
        }
    }

    /// Unit roundoff of the format.
    pub(crate) fn rounding(&self) -> f64 {
        match self.precision {
            Precision::Bf16 => 2f64.powi(-8),
            Precision::F16 => 2f64.powi(-11),
            _ => UNIT_ROUNDOFF_F32,
        }
    }

    fn round(&self, x: f32) -> f32 {
        match self.precision {
            Precision::Bf16 => bf16::from_f32(x).to_f32(),
            Precision::F16 => f16::from_f32(x).to_f32(),
            _ => x,
        }
    }

    /// A matrix of numbers in [−size, size).
    pub(crate) fn matrix(&mut self, rows: usize, cols: usize, size: f32, role: Role) -> Both {
        let values: Vec<f32> = (0..rows * cols)
            .map(|_| self.random.uniform() * size)
            .collect();
        self.given(&values, rows, cols, role)
    }

    /// A matrix of given values, rounded to the format.
    pub(crate) fn given(&self, values: &[f32], rows: usize, cols: usize, role: Role) -> Both {
        let values: Vec<f32> = values.iter().map(|&x| self.round(x)).collect();
        let tensor = Tensor {
            values: Values::F32(&values),
            rows,
            cols,
            role,
        };
        Both {
            host: values.iter().map(|&x| x.into()).collect(),
            cuda: self.cuda.upload(&tensor).unwrap(),
            rows,
            cols,
        }
    }

    pub(crate) fn close(
        &mut self,
        what: &str,
        got: &Buffer,
        want: &[f64],
        bound: impl Fn(usize) -> f64,
    ) {
        let got = self.cuda.read(got).unwrap();
        let got: Vec<f64> = got.into_iter().map(f64::from).collect();
        self.close_f64(what, &got, want, bound);
    }

    pub(crate) fn close_f64(
        &mut self,
        what: &str,
        got: &[f64],
        want: &[f64],
        bound: impl Fn(usize) -> f64,
    ) {
        assert_eq!(got.len(), want.len(), "{what}");
        // Below its smallest normal number a format rounds to a fixed step: half of 2⁻²⁴ in `f16`.
        // The other two share the exponents of `f32` and end near 10⁻³⁸.
        let step = match self.precision {
            Precision::F16 => 2f64.powi(-25),
            _ => 1e-37,
        };
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let (error, bound) = ((got - want).abs(), bound(i) + step);
            // `error <= bound` is false for NaN.
            let within = error <= bound;
            assert!(
                within,
                "{what} in {:?}: result {i} is {got:e}, expected {want:e}: off by {error:.2e}, allowed {bound:.2e}",
                self.precision
            );
            self.used = self.used.max(error / bound);
        }
    }
}

/// Runs a test in every precision and prints how much of the bound was used.
pub(crate) fn in_every_precision(name: &str, seed: u64, test: impl Fn(&mut Trial)) {
    on_device(|| {
        for precision in PRECISIONS {
            let mut trial = Trial::new(precision, seed);
            test(&mut trial);
            let used = trial.used;
            println!("{name:10} {precision:?}: at most {used:.2} of the bound");
        }
    });
}
