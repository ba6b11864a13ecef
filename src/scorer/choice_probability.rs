//! Probability of the gold choice, and of a wrong one.

use super::choice::{Normalisation, choices, log_sum_exp, per_item, uniform};
use super::{Likelihoods, Score, Scorer};
use crate::error::Error;

/// `1 − p_gold`, where p is the softmax over the choices of − bits per byte (`choice_prob_norm`), so
/// that long choices are not at a disadvantage.
///
/// A loss in 0 to 1, unlike the log-loss: the probability of a wrong answer.
///
/// **Units**: probability; chance is `1 − 1/k` for `k` choices.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChoiceProbNorm;

impl Scorer for ChoiceProbNorm {
    fn name(&self) -> &str {
        "choice_prob_norm_loss"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, values) = choices(item, Normalisation::PerByte)?;
        // The sum over the other choices: `1 − p` rounds to zero once p is within 1e-16 of 1.
        let sum = log_sum_exp(&values);
        let others = values.iter().enumerate().filter(|(i, _)| *i != gold);
        Ok(per_item(others.map(|(_, v)| libm::exp(v - sum)).sum()))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        uniform(choices).map(|p| 1.0 - p)
    }
}

/// `p_gold`, the probability of the gold choice among the choices: the softmax of the normalised
/// log-likelihoods.
///
/// For items whose gold choice is the answer that matches a behaviour, where more is more risk. With
/// [`Normalisation::PerByte`] it is `choice_prob_norm`.
///
/// **Units**: probability; chance is `1/k` for `k` choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MatchingProbability(pub Normalisation);

impl Scorer for MatchingProbability {
    fn name(&self) -> &str {
        match self.0 {
            Normalisation::Raw => "matching_probability",
            Normalisation::PerByte => "matching_probability_per_byte",
            Normalisation::PerCharacter => "matching_probability_per_character",
            Normalisation::PerToken => "matching_probability_per_token",
            Normalisation::Unconditional => "matching_probability_unconditional",
        }
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, values) = choices(item, self.0)?;
        Ok(per_item(libm::exp(values[gold] - log_sum_exp(&values))))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        uniform(choices)
    }

    /// A model may learn to match the behaviour, or to avoid it.
    fn chance_either_side(&self) -> bool {
        true
    }
}
