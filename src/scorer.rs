//! From log-likelihoods to losses.

use std::collections::BTreeMap;
use std::fmt;

use crate::distribution::{Content, Distribution};
use crate::error::Error;

/// What a model said of an item: one sequence for a text, one for each choice otherwise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Likelihoods {
    /// The item's id.
    pub id: String,
    /// The item's cluster.
    pub cluster: String,
    /// Index of the right choice.
    pub gold: Option<usize>,
    /// The scored sequences.
    pub sequences: Vec<Sequence>,
    /// Every choice after the unconditional context, where the item has one; else empty.
    pub unconditional: Vec<Sequence>,
    /// What was done to the item that its author may not expect.
    pub warnings: Vec<Warning>,
}

/// A scored sequence of tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequence {
    /// Log-probability of every scored token, nats.
    pub log_likelihoods: Vec<f64>,
    /// Bytes of UTF-8 the scored tokens stand for, where the text is known. Of a choice these are
    /// its own and those of the context that its tokens span: spaces at the end of the context,
    /// and what a token across the cut begins with.
    pub bytes: Option<usize>,
    /// Length of a choice as written, where its text is known.
    pub length: Option<Length>,
}

impl Sequence {
    /// Sum over the scored tokens, nats, ≤ 0.
    pub fn log_likelihood(&self) -> f64 {
        self.log_likelihoods.iter().sum()
    }
}

/// Length of a choice, by which its log-likelihood may be normalised.
///
/// The one space that joins a choice to its context does not count, as in lm-evaluation-harness,
/// where it belongs to neither. White space that is all there is counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Bytes of UTF-8.
    pub bytes: usize,
    /// Unicode scalar values, what `len` counts in Python.
    pub characters: usize,
}

impl Length {
    /// The length of `choice`.
    ///
    /// # Examples
    /// ```
    /// use relscale::scorer::Length;
    ///
    /// assert_eq!(Length::of(" né"), Length { bytes: 3, characters: 2 });
    /// ```
    pub fn of(choice: &str) -> Self {
        let joined = choice.strip_prefix(' ').filter(|text| !text.is_empty());
        let text = joined.unwrap_or(choice);
        Self {
            bytes: text.len(),
            characters: text.chars().count(),
        }
    }
}

/// What was done to an item that its author may not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A token holds the end of the context and the start of a choice; it is scored with the
    /// choice.
    TokenSpansCut {
        /// Index of the choice.
        choice: usize,
        /// Bytes of the context, other than white space at its end, that are scored with it.
        bytes: usize,
    },
    /// The context was longer than the model's, and its first tokens were dropped.
    ContextTruncated {
        /// Index of the choice.
        choice: usize,
        /// How many were dropped.
        tokens: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenSpansCut { choice, bytes } => write!(
                f,
                "choice {choice}: a token spans the cut, {bytes} bytes of the context are scored"
            ),
            Self::ContextTruncated { choice, tokens } => write!(
                f,
                "choice {choice}: the first {tokens} tokens of the context were dropped"
            ),
        }
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

    /// The loss an item of `choices` choices has when all of them are equally likely, `None` where
    /// there is no such level: running text, fewer than two choices.
    fn chance(&self, choices: usize) -> Option<f64> {
        let _ = choices;
        None
    }

    /// Whether losses on either side of [`chance`](Self::chance) tell of something learned, as
    /// [`fit::Options::chance_either_side`](crate::fit::Options) takes it. Of most scorers only
    /// those below it do: what is above is worse than knowing nothing.
    fn chance_either_side(&self) -> bool {
        false
    }
}

/// The chance level of a distribution: the mean over its items of the level of each, as
/// [`fit::Options::chance`](crate::fit::Options) takes it; `None` where an item has none.
///
/// # Errors
/// An item that cannot be read.
///
/// # Examples
/// ```
/// use relscale::distribution::{Content, Item, Items};
/// use relscale::scorer::{BitsPerByte, ChoiceLogLoss, chance_level};
///
/// let item = |id: &str, choices: &[&str]| Item {
///     id: id.into(),
///     cluster: id.into(),
///     content: Content::Choices {
///         context: "2 + 2 =".into(),
///         choices: choices.iter().map(|c| c.to_string()).collect(),
///         gold: 0,
///         unconditional: None,
///     },
/// };
/// let sums = Items::new("sums", vec![item("a", &[" 4", " 5"]), item("b", &[" 4", " 5", " 6", " 7"])])?;
/// let level = chance_level(&ChoiceLogLoss, &sums)?.unwrap();
/// assert!((level - 1.5 * 2f64.ln()).abs() < 1e-15);
/// assert_eq!(chance_level(&BitsPerByte, &sums)?, None);
/// # Ok::<(), relscale::Error>(())
/// ```
pub fn chance_level(
    scorer: &dyn Scorer,
    distribution: &dyn Distribution,
) -> Result<Option<f64>, Error> {
    let mut sum = 0.0;
    for index in 0..distribution.len() {
        let choices = match &distribution.item(index)?.content {
            Content::Text(_) | Content::Tokens(_) => return Ok(None),
            Content::Choices { choices, .. } => choices.len(),
            Content::ChoicesTokens { choices, .. } => choices.len(),
        };
        match scorer.chance(choices) {
            Some(level) => sum += level,
            None => return Ok(None),
        }
    }
    Ok((!distribution.is_empty()).then(|| sum / distribution.len() as f64))
}

/// The scorer with this [name](Scorer::name).
///
/// # Errors
/// Another name, with those there are.
///
/// # Examples
/// ```
/// use relscale::scorer::named;
///
/// assert_eq!(named("error_rate_per_byte")?.name(), "error_rate_per_byte");
/// assert!(named("accuracy").err().unwrap().to_string().contains("brier"));
/// # Ok::<(), relscale::Error>(())
/// ```
pub fn named(name: &str) -> Result<Box<dyn Scorer>, Error> {
    let mut all: Vec<Box<dyn Scorer>> = vec![
        Box::new(BitsPerByte),
        Box::new(NatsPerByte),
        Box::new(NatsPerToken),
        Box::new(ChoiceLogLoss),
        Box::new(ChoiceProbNorm),
        Box::new(Brier),
    ];
    for normalisation in [
        Normalisation::Raw,
        Normalisation::PerByte,
        Normalisation::PerCharacter,
        Normalisation::PerToken,
        Normalisation::Unconditional,
    ] {
        all.push(Box::new(ErrorRate(normalisation)));
        all.push(Box::new(MatchingProbability(normalisation)));
    }
    match all.iter().position(|scorer| scorer.name() == name) {
        Some(found) => Ok(all.swap_remove(found)),
        None => {
            let names: Vec<&str> = all.iter().map(|scorer| scorer.name()).collect();
            Err(Error::Option {
                option: "scorer",
                message: format!("`{name}` is none of {}", names.join(", ")),
            })
        }
    }
}

/// `−log₂ p` of the text, or of the gold choice, per byte of UTF-8 that its tokens stand for.
///
/// A choice's space counts where its tokens hold it, so that it does not matter on which side of
/// the cut the space was written.
///
/// **Units**: bits a byte; the error of a distribution is `Σ bits / Σ bytes`. There is no chance
/// level: a uniform guess over bytes has 8, one over a vocabulary less.
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
/// **Units**: nats a byte; no chance level.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatsPerByte;

impl Scorer for NatsPerByte {
    fn name(&self) -> &str {
        "nats_per_byte"
    }

    fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
        let sequence = subject(item)?;
        match sequence.bytes {
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
/// **Units**: nats a token; comparable between models with the same tokenizer only. No chance
/// level that tokenizers would share.
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

/// `−ℓ_gold + ln Σ_c e^{ℓ_c}` with ℓ the log-likelihood of a choice: the log-loss of the gold
/// choice among the choices.
///
/// **Units**: nats an item; chance is `ln k` for `k` choices.
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
        of_two(choices).map(libm::log)
    }
}

/// By what the log-likelihood ℓ of a choice is normalised before choices are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalisation {
    /// `ℓ`, nats (`acc` of lm-evaluation-harness).
    #[default]
    Raw,
    /// `ℓ / (ln 2 · bytes)`, bits a byte of the choice (`acc_bytes`).
    PerByte,
    /// `ℓ / characters` of the choice, nats (`acc_norm`).
    PerCharacter,
    /// `ℓ / tokens`, nats.
    PerToken,
    /// `ℓ − ℓ(choice | unconditional context)`, nats: pointwise mutual information of question and
    /// choice (`acc_mutual_info`). Needs
    /// [`Items::with_unconditional`](crate::distribution::Items::with_unconditional).
    Unconditional,
}

/// 1 − accuracy: whether another choice than the gold one is the likeliest (the first, in a tie).
///
/// # Units
/// Errors an item; chance is `1 − 1/k` for `k` choices.
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
            if *value > values[best] {
                best = i;
            }
        }
        Ok(per_item(f64::from(u8::from(best != gold))))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        of_two(choices).map(|k| 1.0 - 1.0 / k)
    }
}

/// `1 − p_gold` with `p` the softmax over the choices of `−` bits per byte of each
/// (`choice_prob_norm`), so that long choices are not at a disadvantage.
///
/// Loss and not log-loss: it stays in 0 to 1, and reads as the probability of a wrong answer.
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
        // The sum of the others: `1 − p` would round to zero long before it is.
        let sum = log_sum_exp(&values);
        let others = values.iter().enumerate().filter(|(i, _)| *i != gold);
        Ok(per_item(others.map(|(_, v)| libm::exp(v - sum)).sum()))
    }

    fn chance(&self, choices: usize) -> Option<f64> {
        of_two(choices).map(|k| 1.0 - 1.0 / k)
    }
}

/// `p_gold`, the probability of the gold choice among the choices: softmax of the normalised
/// log-likelihoods.
///
/// For items whose gold choice is the answer that matches a behaviour
/// ([`behaviours`](crate::distribution::behaviours)), where more is more risk. With
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
        of_two(choices).map(|k| 1.0 / k)
    }

    /// A model may match the behaviour or avoid it.
    fn chance_either_side(&self) -> bool {
        true
    }
}

/// `Σ_c (p_c − [c = gold])²` with `p` the softmax of the log-likelihoods of the choices.
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
        of_two(choices).map(|k| 1.0 - 1.0 / k)
    }
}

/// A number of choices between which there is a choice.
fn of_two(choices: usize) -> Option<f64> {
    (choices >= 2).then_some(choices as f64)
}

fn per_item(loss: f64) -> Score {
    Score { loss, weight: 1.0 }
}

/// `ln Σ e^v`, without overflow.
fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + libm::log(values.iter().map(|v| libm::exp(v - max)).sum())
}

/// The text, or the gold choice.
fn subject(item: &Likelihoods) -> Result<&Sequence, Error> {
    item.sequences
        .get(item.gold.unwrap_or(0))
        .filter(|s| !s.log_likelihoods.is_empty())
        .ok_or_else(|| Error::item(&item.id, "nothing was scored"))
}

/// Index of the gold choice, and the normalised log-likelihood of every choice.
fn choices(item: &Likelihoods, by: Normalisation) -> Result<(usize, Vec<f64>), Error> {
    let error = |message: &str| Error::item(&item.id, message);
    let gold = item.gold.filter(|gold| *gold < item.sequences.len());
    let gold = gold.ok_or_else(|| error("it has no choices"))?;
    let length = |sequence: &Sequence| {
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
                    length: Some(Length {
                        bytes: 3,
                        characters: 3,
                    }),
                })
                .collect(),
            ..Likelihoods::default()
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
        assert_eq!(ErrorRate::default().score(&question).unwrap().loss, 1.0);
        assert_eq!(
            ErrorRate::default()
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
        assert!(
            ErrorRate::default()
                .score(&item(Some(7), &[&[-1.0]]))
                .is_err()
        );
    }
}
