//! From log-likelihoods to losses.

use std::collections::BTreeMap;

use crate::error::Error;

/// What a model said of an item: one sequence for a text, one for each choice otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihoods {
    /// The item's id.
    pub id: String,
    /// The item's cluster.
    pub cluster: String,
    /// Index of the right choice.
    pub gold: Option<usize>,
    /// The scored sequences.
    pub sequences: Vec<Sequence>,
}

/// A scored sequence of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// Log-probability of every scored token, nats.
    pub log_likelihoods: Vec<f64>,
    /// Bytes of UTF-8 the scored tokens stand for, where the text is known.
    pub bytes: Option<usize>,
}

impl Sequence {
    /// Sum over the scored tokens, nats, ≤ 0.
    pub fn log_likelihood(&self) -> f64 {
        self.log_likelihoods.iter().sum()
    }
}

/// An item's contribution to the error `E = Σ loss / Σ weight` of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Total loss of the item, in the scorer's unit times that of `weight`.
    pub loss: f64,
    /// Normaliser: bytes, tokens or items.
    pub weight: f64,
}

/// The score of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemScore {
    /// The item's id.
    pub id: String,
    /// The item's cluster.
    pub cluster: String,
    /// Its loss and weight.
    pub score: Score,
}

/// Turns what a model said of an item into a loss.
pub trait Scorer: Send + Sync {
    /// Name in results (`"bits_per_byte"`).
    fn name(&self) -> &str;

    /// The item's loss.
    ///
    /// # Errors
    /// An item without what the scorer needs: bytes, choices, a gold answer.
    fn score(&self, item: &Likelihoods) -> Result<Score, Error>;
}

/// `−log₂ p` of the text, or of the gold choice, per byte of UTF-8.
///
/// **Units**: bits a byte; a uniform guess over bytes has 8.
#[derive(Debug, Clone, Copy, Default)]
pub struct BitsPerByte;

impl Scorer for BitsPerByte {
    fn name(&self) -> &str {
        "bits_per_byte"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let sequence = subject(item)?;
        match sequence.bytes {
            Some(bytes) if bytes > 0 => Ok(Score {
                loss: -sequence.log_likelihood() / std::f64::consts::LN_2,
                weight: bytes as f64,
            }),
            _ => Err(Error::item(
                &item.id,
                "bits per byte need the text, not only its tokens",
            )),
        }
    }
}

/// `−ln p` of the text, or of the gold choice, per token.
///
/// **Units**: nats a token; comparable between models with the same tokenizer only.
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

/// `−ln p(gold) + ln Σ_choices p`: the log-loss of the gold choice among the choices.
///
/// **Units**: nats an item; chance is `ln k` for `k` choices.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChoiceLogLoss;

impl Scorer for ChoiceLogLoss {
    fn name(&self) -> &str {
        "choice_log_loss"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, choices) = choices(item)?;
        let max = choices.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = choices.iter().map(|l| libm::exp(l - max)).sum();
        Ok(Score {
            loss: max + libm::log(sum) - choices[gold],
            weight: 1.0,
        })
    }
}

/// 1 − accuracy: whether another choice than the gold one is the likeliest (the first, in a tie).
///
/// **Units**: errors an item; chance is `1 − 1/k` for `k` choices.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorRate;

impl Scorer for ErrorRate {
    fn name(&self) -> &str {
        "error_rate"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let (gold, choices) = choices(item)?;
        let mut best = 0;
        for (i, l) in choices.iter().enumerate() {
            if *l > choices[best] {
                best = i;
            }
        }
        Ok(Score {
            loss: f64::from(u8::from(best != gold)),
            weight: 1.0,
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

/// Index of the gold choice, and the log-likelihood of every choice.
fn choices(item: &Likelihoods) -> Result<(usize, Vec<f64>), Error> {
    match item.gold {
        Some(gold) if gold < item.sequences.len() => Ok((
            gold,
            item.sequences
                .iter()
                .map(Sequence::log_likelihood)
                .collect(),
        )),
        _ => Err(Error::item(&item.id, "it has no choices")),
    }
}

/// Sums of loss and weight by cluster, in the order of the cluster ids.
///
/// # Examples
/// ```
/// use relscale::scorer::{ItemScore, Score, cluster_totals};
///
/// let item = |loss| ItemScore {
///     id: String::new(),
///     cluster: "a".into(),
///     score: Score { loss, weight: 1.0 },
/// };
/// assert_eq!(cluster_totals(&[item(1.0), item(2.5)])["a"], Score { loss: 3.5, weight: 2.0 });
/// ```
pub fn cluster_totals(scores: &[ItemScore]) -> BTreeMap<String, Score> {
    let mut totals = BTreeMap::new();
    for item in scores {
        let total = totals.entry(item.cluster.clone()).or_insert(Score {
            loss: 0.0,
            weight: 0.0,
        });
        total.loss += item.score.loss;
        total.weight += item.score.weight;
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(gold: Option<usize>, sequences: &[&[f64]]) -> Likelihoods {
        Likelihoods {
            id: "q".to_owned(),
            cluster: "c".to_owned(),
            gold,
            sequences: sequences
                .iter()
                .map(|l| Sequence {
                    log_likelihoods: l.to_vec(),
                    bytes: Some(4),
                })
                .collect(),
        }
    }

    #[test]
    fn losses_are_their_definitions() {
        let text = item(None, &[&[-1.0, -2.0]]);
        let bits = BitsPerByte.score(&text).unwrap();
        assert!((bits.loss / bits.weight - 3.0 / 4.0 / 2f64.ln()).abs() < 1e-15);
        assert_eq!(
            NatsPerToken.score(&text).unwrap(),
            Score {
                loss: 3.0,
                weight: 2.0
            }
        );

        let question = item(Some(1), &[&[-1.0], &[-2.0, -1.0], &[-1.5]]);
        let sum = (-1.0f64).exp() + (-3.0f64).exp() + (-1.5f64).exp();
        let loss = ChoiceLogLoss.score(&question).unwrap().loss;
        assert!((loss - (3.0 + sum.ln())).abs() < 1e-15);
        assert_eq!(ErrorRate.score(&question).unwrap().loss, 1.0);
        assert_eq!(
            ErrorRate
                .score(&item(Some(0), &[&[-1.0], &[-1.0]]))
                .unwrap()
                .loss,
            0.0
        );
    }

    #[test]
    fn equal_choices_are_at_chance_and_far_ones_do_not_overflow() {
        let loss = |choices: &[&[f64]]| ChoiceLogLoss.score(&item(Some(0), choices)).unwrap().loss;
        assert!((loss(&[&[-9.0], &[-9.0], &[-9.0], &[-9.0]]) - 4f64.ln()).abs() < 1e-15);
        assert!((loss(&[&[-2000.0], &[-1000.0]]) - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn an_item_without_what_is_needed_is_named() {
        let mut text = item(None, &[&[-1.0]]);
        assert!(
            ChoiceLogLoss
                .score(&text)
                .unwrap_err()
                .to_string()
                .contains("`q`")
        );
        text.sequences[0].bytes = None;
        assert!(BitsPerByte.score(&text).is_err());
        assert!(NatsPerToken.score(&item(None, &[])).is_err());
        assert!(ErrorRate.score(&item(Some(7), &[&[-1.0]])).is_err());
    }
}
