//! The mathematics that scorers of multiple choice share.

use super::{Likelihoods, Score, Sequence};
use crate::error::Error;

/// Normalisation of the log-likelihood ℓ of a choice before choices are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Normalisation {
    /// `ℓ`, in nats (`acc` of lm-evaluation-harness).
    #[default]
    Raw,
    /// `ℓ / (ln 2 · bytes)`, in bits per byte of the choice (`acc_bytes`).
    PerByte,
    /// `ℓ / characters`, in nats per character of the choice (`acc_norm`).
    PerCharacter,
    /// `ℓ / tokens`, in nats per token.
    PerToken,
    /// `ℓ − ℓ(choice | unconditional context)`, in nats: the pointwise mutual information of question
    /// and choice (`acc_mutual_info`). Needs
    /// [`Items::with_unconditional`](crate::distribution::Items::with_unconditional).
    Unconditional,
}

impl Normalisation {
    /// Every normalisation.
    pub(super) const ALL: [Self; 5] = [
        Self::Raw,
        Self::PerByte,
        Self::PerCharacter,
        Self::PerToken,
        Self::Unconditional,
    ];
}

/// Index of the gold choice, and the normalised log-likelihood of every choice.
///
/// # Errors
/// An item without choices, or without the lengths, tokens or unconditional context that the
/// normalisation needs.
pub(super) fn choices(item: &Likelihoods, by: Normalisation) -> Result<(usize, Vec<f64>), Error> {
    let error = |message: &str| Error::item(&item.id, message);
    let gold = item.gold.filter(|gold| *gold < item.sequences.len());
    let gold = gold.ok_or_else(|| error("it has no choices"))?;
    let length = |sequence: &Sequence| {
        // A length of zero would divide by zero.
        let length = sequence.length.filter(|length| length.bytes > 0);
        length.ok_or_else(|| error("the length of a choice needs its text, not only its tokens"))
    };
    if by == Normalisation::Unconditional && item.unconditional.len() != item.sequences.len() {
        return Err(error("it has no unconditional context"));
    }
    let mut values = Vec::with_capacity(item.sequences.len());
    for (i, sequence) in item.sequences.iter().enumerate() {
        let value = sequence.log_likelihood();
        values.push(match by {
            Normalisation::Raw => value,
            Normalisation::PerByte => {
                value / (std::f64::consts::LN_2 * length(sequence)?.bytes as f64)
            }
            Normalisation::PerCharacter => value / length(sequence)?.characters as f64,
            Normalisation::PerToken if sequence.log_likelihoods.is_empty() => {
                return Err(error("a choice without tokens"));
            }
            Normalisation::PerToken => value / sequence.log_likelihoods.len() as f64,
            Normalisation::Unconditional => value - item.unconditional[i].log_likelihood(),
        });
    }
    Ok((gold, values))
}

/// `1/k` for at least two choices; fewer leave nothing to choose between.
pub(super) fn uniform(choices: usize) -> Option<f64> {
    (choices >= 2).then(|| 1.0 / choices as f64)
}

/// The score of an item that counts once.
pub(super) fn per_item(loss: f64) -> Score {
    Score { loss, weight: 1.0 }
}

/// `ln Σ e^v`, without overflow.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    // Log-likelihoods of long choices are far below −745, where every `e^v` is zero.
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + libm::log(values.iter().map(|v| libm::exp(v - max)).sum())
}
