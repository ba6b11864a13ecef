//! Root-mean-square and layer norm.

use super::bounds::{close, oracle};
use super::inputs::{Block, SIZES, SplitMix64, bias, vector};
use super::kit::{Determinism, Failure, Kit};
use crate::backend::{Backend, Norm, NormKind};
use crate::error::Error;

/// One call of the kernel.
struct Case {
    x: Block,
    kind: NormKind,
    epsilon: f64,
    width: usize,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Case {
    fn run<B: Backend>(&self, backend: &B) -> Result<B::Buffer, Error> {
        let x = self.x.upload(backend)?;
        let weight = vector(backend, &self.weight)?;
        let bias = bias(backend, self.bias.as_ref())?;
        let op = Norm {
            kind: self.kind,
            epsilon: self.epsilon,
            width: self.width,
            weight: &weight,
            bias: bias.as_ref(),
        };
        backend.norm(self.x.columns(&x), &op)
    }
}

impl<B: Backend> Kit<B> {
    /// Root-mean-square and layer norm, over whole rows and head by head.
    ///
    /// Bound, for y = c·r·w + b with c = x − μ and r = (v + ε)^−½, where μ is the mean and v the
    /// variance of a group of n elements (μ = 0 for the root mean square):
    /// - the computed mean is off by at most e = γ_{n+1}·mean|x| (0 without a mean);
    /// - hence the variance by at most δv = (1 + γ_{n+4})·mean((|c| + e)²) − v;
    /// - hence r by a factor within 1 ± ρ with ρ = δv / (v + ε), provided that ρ ≤ ½;
    /// - eight more roundings follow: |Δy| ≤ r·|w|·((|c| + e)(1 + ρ)(1 + γ₈) − |c|) + γ₂·|b|.
    pub fn norm(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(2));
        for (&width, groups) in SIZES.iter().zip([1, 3].into_iter().cycle()) {
            for kind in [NormKind::Rms, NormKind::Layer] {
                // 0.1 is not small beside the variance, so an epsilon added after the root, or left
                // out, shows.
                for (rows, epsilon, biased) in [(1, 1e-5, false), (7, 1e-6, true), (3, 0.1, false)]
                {
                    let case = Case {
                        x: Block::new(&random.awkward(rows * width * groups), rows, (3, 2)),
                        kind,
                        epsilon,
                        width,
                        weight: random.awkward(width),
                        bias: biased.then(|| random.awkward(width)),
                    };
                    let got = backend.read(&case.run(&backend)?)?;
                    let what = format!("{kind:?} norm, {rows} rows of {groups} × {width}");
                    close(what, &got, &case.run(&oracle())?, &self.norm_bound(&case)?)?;
                }
            }
        }
        Ok(())
    }

    /// A norm of numbers whose squares are beyond the range of `f32`: the right result, or an error. A factor
    /// of zero would make the row zero, and nothing would show it.
    ///
    /// Asked of backends that promise bits ([`Determinism::Bitwise`], [`Determinism::Repeatable`]). A device that is not waited for
    /// after every operation has no way to tell.
    pub fn norm_overflow(&self) -> Result<(), Failure> {
        if self.determinism() == Determinism::UpToRounding {
            return Ok(());
        }
        let backend = self.backend();
        for kind in [NormKind::Rms, NormKind::Layer] {
            // Of either sign in turn, so that the mean is zero and the norm of each is one.
            let signs = [1e30f32, -1e30].into_iter().cycle();
            let case = Case {
                x: Block::new(&signs.take(64).collect::<Vec<_>>(), 2, (3, 2)),
                kind,
                epsilon: 1e-5,
                width: 32,
                weight: vec![1.0; 32],
                bias: None,
            };
            // An error is the honest answer.
            let Ok(got) = case.run(&backend).and_then(|out| backend.read(&out)) else {
                continue;
            };
            if let Some(wrong) = got.iter().find(|y| (y.abs() - 1.0).abs() > 0.01) {
                let message = format!("{kind:?} norm of ±1e30 is {wrong}, expected ±1 or an error");
                return Err(Failure::wrong(message));
            }
        }
        Ok(())
    }

    /// The bound of [`Kit::norm`] on every result.
    fn norm_bound(&self, case: &Case) -> Result<Vec<f64>, Failure> {
        let (n, count) = (case.width, case.width as f64);
        let mut bound = Vec::new();
        for group in case.x.content().chunks_exact(n) {
            let mean_of = |f: &dyn Fn(f64) -> f64| group.iter().map(|&x| f(x)).sum::<f64>() / count;
            let (mean, e) = match case.kind {
                NormKind::Rms => (0.0, 0.0),
                NormKind::Layer => (mean_of(&|x| x), self.gamma(n + 1) * mean_of(&f64::abs)),
            };
            let variance = mean_of(&|x| (x - mean).powi(2));
            let worst = (1.0 + self.gamma(n + 4)) * mean_of(&|x| ((x - mean).abs() + e).powi(2));
            let rho = (worst - variance) / (variance + case.epsilon);
            if rho > 0.5 {
                // Nearly equal values far from zero: any result would do. The kit's inputs avoid
                // it, so this means a unit roundoff too large for them.
                return Err(Failure::wrong(format!(
                    "no bound: variance {variance:e} of values ± {e:e}"
                )));
            }
            let r = (variance + case.epsilon).sqrt().recip();
            for (i, x) in group.iter().enumerate() {
                let c = (x - mean).abs();
                let factor = (c + e) * (1.0 + rho) * (1.0 + self.gamma(8)) - c;
                let bias = case.bias.as_ref().map_or(0.0, |b| f64::from(b[i]).abs());
                let weight = f64::from(case.weight[i]).abs();
                bound.push(r * weight * factor + self.gamma(2) * bias);
            }
        }
        Ok(bound)
    }
}
