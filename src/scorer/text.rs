//! Negative log-likelihood of a text, or of the gold choice: per byte or per token.

use super::{Likelihoods, Score, Scorer, Sequence};
use crate::error::Error;

/// `−log₂ p` of the text, or of the gold choice, per UTF-8 byte that its tokens stand for.
///
/// The space before a choice counts if its tokens hold it, so the result does not depend on the side
/// of the cut on which the space was written.
///
/// **Units**: bits per byte; a distribution's error is `Σ bits / Σ bytes`. There is no chance level:
/// a uniform guess over bytes needs 8 bits, one over a vocabulary fewer.
#[derive(Debug, Clone, Copy, Default)]
pub struct BitsPerByte;

impl Scorer for BitsPerByte {
    fn name(&self) -> &str {
        "bits_per_byte"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let nats = NatsPerByte.score(item)?;
        Ok(Score {
            loss: nats.loss / std::f64::consts::LN_2,
            weight: nats.weight,
        })
    }
}

/// `−ln p` of the text, or of the gold choice, per byte: [`BitsPerByte`] times `ln 2`.
///
/// **Units**: nats per byte; no chance level.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatsPerByte;

impl Scorer for NatsPerByte {
    fn name(&self) -> &str {
        "nats_per_byte"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let sequence = subject(item)?;
        match sequence.bytes {
            // A sum, not a mean: `Σ bits / Σ bytes` weights long texts by their length.
            Some(bytes) if bytes > 0 => Ok(Score {
                loss: -sequence.log_likelihood(),
                weight: bytes as f64,
            }),
            _ => Err(Error::item(
                &item.id,
                "a loss per byte needs the text, not only its tokens",
            )),
        }
    }
}

/// `−ln p` of the text, or of the gold choice, per token.
///
/// **Units**: nats per token; comparable only between models that share a tokenizer. No chance level,
/// as it would depend on the tokenizer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatsPerToken;

impl Scorer for NatsPerToken {
    fn name(&self) -> &str {
        "nats_per_token"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let sequence = subject(item)?;
        Ok(Score {
            loss: -sequence.log_likelihood(),
            weight: sequence.log_likelihoods.len() as f64,
        })
    }
}

/// The text, or the gold choice.
fn subject(item: &Likelihoods) -> Result<&Sequence, Error> {
    item.sequences
        .get(item.gold.unwrap_or(0))
        .filter(|s| !s.log_likelihoods.is_empty())
        .ok_or_else(|| Error::item(&item.id, "nothing was scored"))
}
