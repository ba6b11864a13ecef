//! Log-probabilities under the LM head.

use super::bounds::{close_f64, oracle};
use super::inputs::{Block, SplitMix64, bias, upload};
use super::kit::{Failure, Kit};
use super::linear::Product;
use crate::backend::{Backend, LogProb, Role, Target};
use crate::error::Error;

/// An LM head and hidden states to apply it to.
pub(super) struct Head {
    pub(super) product: Product,
    soft_cap: Option<f64>,
}

impl Head {
    pub(super) fn new(
        random: &mut SplitMix64,
        (rows, inputs, vocab): (usize, usize, usize),
        case: usize,
        biased: bool,
        soft_cap: Option<f64>,
    ) -> Self {
        // Twice as wide as the weights, so that logits spread over several nats.
        let hidden = Block::new(&random.uniforms(rows * inputs), rows, (1, 2)).map(|x| 2.0 * x);
        let product = Product {
            x: hidden,
            weight: random.weight(vocab, inputs, case),
            bias: biased.then(|| random.uniforms(vocab)),
            outputs: vocab,
        };
        Self { product, soft_cap }
    }

    /// The same head on one row.
    pub(super) fn only(&self, row: usize) -> Self {
        Self {
            product: self.product.only(row),
            soft_cap: self.soft_cap,
        }
    }

    pub(super) fn run<B: Backend>(
        &self,
        backend: &B,
        targets: &[Target],
    ) -> Result<Vec<f64>, Error> {
        let Product {
            x, weight, outputs, ..
        } = &self.product;
        let buffer = x.upload(backend)?;
        let weight = upload(backend, weight, *outputs, x.width, Role::Matrix)?;
        let bias = bias(backend, self.product.bias.as_ref())?;
        let op = LogProb {
            weight: &weight,
            bias: bias.as_ref(),
            inputs: x.width,
            vocab: *outputs,
            soft_cap: self.soft_cap,
            targets,
        };
        backend.log_prob(x.columns(&buffer), &op)
    }
}

/// Targets in rising order of rows, with rows that repeat and rows that are skipped.
fn some_targets(random: &mut SplitMix64, rows: usize, vocab: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in 0..rows {
        // Rows without a target, with one, and with several: backends skip the first kind and share
        // the logits of the last.
        if rows == 1 || row % 4 != 1 {
            for _ in 0..1 + row % 3 {
                let token = random.below(vocab) as u32;
                targets.push(Target { row, token });
            }
        }
    }
    // Tiles of the vocabulary begin at the first token and end at the last.
    for token in [0, vocab as u32 - 1] {
        let row = rows - 1;
        targets.push(Target { row, token });
    }
    targets
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

impl<B: Backend> Kit<B> {
    /// Log-probabilities, with bias, soft cap, and rows that repeat or are skipped.
    ///
    /// Bound, for n inputs and V logits l with probabilities p:
    /// - a logit is off by at most the bound of [`Kit::linear`], at most δ = γ_{n+3}·max(Σ|x||w| + |b|)
    ///   where operands are not rounded further, plus γ₆·c under a soft cap c;
    ///   it enters once as the target's logit and once through the normaliser;
    /// - the sum of exponentials adds γ_{V+16} and u·Σp|l − l_max|;
    /// - l, l_max and the normaliser are rounded, and so is the result.
    ///
    /// In all 2δ + γ_{V+16} + u·Σp|l − l_max| + γ₄·(|l| + 2|l_max| + ln V).
    pub fn log_prob(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(9));
        // (rows, inputs, vocab): edges of vocabulary tiles, and more rows than a tile.
        let shapes = [
            (1, 1, 1),
            (7, 15, 17),
            (3, 16, 255),
            (5, 33, 256),
            (4, 64, 257),
            (2, 9, 1000),
            (200, 5, 18),
            (13, 300, 65),
        ];
        for (case, (rows, inputs, vocab)) in shapes.into_iter().enumerate() {
            for (biased, soft_cap) in [
                (false, None),
                (true, None),
                (false, Some(5.0)),
                (true, Some(30.0)),
            ] {
                let head = Head::new(&mut random, (rows, inputs, vocab), case, biased, soft_cap);
                let targets = some_targets(&mut random, rows, vocab);
                let got = head.run(&backend, &targets)?;
                let want = head.run(&oracle(), &targets)?;
                let bound = self.log_prob_bound(&head, &targets)?;
                let what = format!(
                    "log_prob {rows} × {inputs} → {vocab}, bias {biased}, cap {soft_cap:?}"
                );
                close_f64(what, &got, &want, &bound)?;
            }
        }
        Ok(())
    }

    /// The bound of [`Kit::log_prob`] on every target.
    fn log_prob_bound(&self, head: &Head, targets: &[Target]) -> Result<Vec<f64>, Error> {
        let vocab = head.product.outputs;
        let logits = head.product.run(&oracle())?;
        let off = self.product_bound(&head.product)?;
        let cap = |l: f64| head.soft_cap.map_or(l, |c| c * (l / c).tanh());
        let bound = |target: &Target| {
            let row = target.row * vocab..(target.row + 1) * vocab;
            let logits: Vec<f64> = logits[row.clone()].iter().map(|&l| cap(l)).collect();
            let delta = largest(&off[row]) + head.soft_cap.map_or(0.0, |c| self.gamma(6) * c);
            let (max, mut sum, mut spread) = (largest(&logits), 0.0, 0.0);
            for l in &logits {
                sum += (l - max).exp();
                spread += (l - max).exp() * (max - l);
            }
            let sizes = logits[target.token as usize].abs() + 2.0 * max.abs() + (vocab as f64).ln();
            2.0 * delta
                + self.gamma(vocab + 16)
                + self.roundoff.arithmetic * spread / sum
                + self.gamma(4) * sizes
        };
        Ok(targets.iter().map(bound).collect())
    }

    /// The probabilities of the whole vocabulary sum to 1.
    ///
    /// Bound: e^β − 1 with β the largest bound of [`Kit::log_prob`] in the row, as every term of
    /// the sum is wrong by a factor within e^±β.
    pub fn normalisation(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(13));
        // One token has the probability 1; 257 leaves one token in a last tile of 256.
        for (vocab, soft_cap) in [(1, None), (17, None), (257, Some(4.0)), (700, None)] {
            let head = Head::new(&mut random, (3, 40, vocab), 1, true, soft_cap);
            for row in [0, 2] {
                let all: Vec<Target> = (0..vocab as u32)
                    .map(|token| Target { row, token })
                    .collect();
                let total: f64 = head.run(&backend, &all)?.iter().map(|l| l.exp()).sum();
                let beta = largest(&self.log_prob_bound(&head, &all)?);
                // The kit's own sum rounds as well.
                let bound = beta.exp_m1() + 1e-14;
                let what = format!("sum of {vocab} probabilities");
                close_f64(what, &[total], &[1.0], &[bound])?;
            }
        }
        Ok(())
    }
}
