//! Brier score.

use super::choice::{Normalisation, choices, log_sum_exp, per_item, uniform};
use super::{Likelihoods, Score, Scorer};
use crate::error::Error;

/// `Σ_c (p_c − [c = gold])²`, where p is the softmax of the choices' log-likelihoods.
///
/// **Units**: 0 (certain and right) to 2 (certain and wrong); chance is `1 − 1/k` for `k` choices.
///
/// # References
/// Brier (1950), *Verification of Forecasts Expressed in Terms of Probability*, equation 2,
/// [doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2](https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2).
#[derive(Debug, Clone, Copy, Default)]
pub struct Brier;

impl Scorer for Brier {
    fn name(&self) -> &str {
        "brier"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, values) = choices(item, Normalisation::Raw)?;
        let sum = log_sum_exp(&values);
        let mut loss = 0.0;
        for (i, value) in values.iter().enumerate() {
            let miss = libm::exp(value - sum) - f64::from(u8::from(i == gold));
            loss += miss * miss;
        }
        Ok(per_item(loss))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        uniform(choices).map(|p| 1.0 - p)
    }
}
