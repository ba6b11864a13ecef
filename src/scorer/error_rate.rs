//! Error rates: 1 − accuracy.

use super::choice::{Normalisation, choices, per_item, uniform};
use super::{Likelihoods, Score, Scorer};
use crate::error::Error;

/// 1 − accuracy: 1 if a choice other than the gold one is the likeliest, else 0. In a tie the first
/// choice counts as the likeliest.
///
/// **Units**: errors per item; chance is `1 − 1/k` for `k` choices.
///
/// # References
/// The normalisations are compared by Gu, Tafjord, Kuehl, Haddad, Dodge and Hajishirzi (2024),
/// *OLMES: A Standard for Language Model Evaluations*,
/// [arXiv 2406.08446](https://arxiv.org/abs/2406.08446).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorRate(pub Normalisation);

impl Scorer for ErrorRate {
    fn name(&self) -> &str {
        match self.0 {
            Normalisation::Raw => "error_rate",
            Normalisation::PerByte => "error_rate_per_byte",
            Normalisation::PerCharacter => "error_rate_per_character",
            Normalisation::PerToken => "error_rate_per_token",
            Normalisation::Unconditional => "error_rate_unconditional",
        }
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, values) = choices(item, self.0)?;
        let mut best = 0;
        for (i, value) in values.iter().enumerate() {
            // `>` and not `>=`: the first of equal choices, as `argmax` in the harness.
            if *value > values[best] {
                best = i;
            }
        }
        Ok(per_item(f64::from(u8::from(best != gold))))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        uniform(choices).map(|p| 1.0 - p)
    }
}
