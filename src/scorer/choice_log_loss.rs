//! Log-loss of the gold choice.

use super::choice::{Normalisation, choices, log_sum_exp, per_item};
use super::{Likelihoods, Score, Scorer};
use crate::error::Error;

/// `−ℓ_gold + ln Σ_c e^{ℓ_c}`, where ℓ_c is the log-likelihood of choice c: the log-loss of the gold
/// choice among the choices.
///
/// **Units**: nats per item; chance is `ln k` for `k` choices.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChoiceLogLoss;

impl Scorer for ChoiceLogLoss {
    fn name(&self) -> &str {
        "choice_log_loss"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, values) = choices(item, Normalisation::Raw)?;
        Ok(per_item(log_sum_exp(&values) - values[gold]))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        (choices >= 2).then(|| libm::log(choices as f64))
    }
}
