//! From log-likelihoods to losses.
//!
//! A [`Scorer`] turns the [`Likelihoods`] of an item into a [`Score`]. Each family of scorers has a
//! file of its own under `scorer/`; a new one joins the list of [`by_name`], which is `all`.

mod brier;
mod choice;
mod choice_log_loss;
mod choice_probability;
mod error_rate;
mod likelihoods;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use crate::distribution::{Content, Distribution};
use crate::error::Error;

pub use brier::Brier;
pub use choice::Normalisation;
pub use choice_log_loss::ChoiceLogLoss;
pub use choice_probability::{ChoiceProbNorm, MatchingProbability};
pub use error_rate::ErrorRate;
pub use likelihoods::{Length, Likelihoods, Sequence, Warning};
pub use text::{BitsPerByte, NatsPerByte, NatsPerToken};

/// An item's contribution to the error `E = Σ loss / Σ weight` of a distribution.
// Exhaustive: these two numbers define the error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Total loss of the item, in the scorer's unit times that of `weight`.
    pub loss: f64,
    /// Normaliser: bytes, tokens or items.
    pub weight: f64,
}

/// The score of one item by one scorer.
// Exhaustive, so that scores from elsewhere can be summed by `cluster_totals`.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemScore {
    /// The item's id.
    pub id: String,
    /// The item's cluster.
    pub cluster: String,
    /// Its loss and weight.
    pub score: Score,
}

/// A loss defined on the log-likelihoods of an item.
pub trait Scorer: Send + Sync {
    /// Name in results (`"bits_per_byte"`).
    fn name(&self) -> &str;

    /// The item's loss and weight.
    ///
    /// # Errors
    /// An item without something the scorer needs: bytes, choices, a gold answer.
    fn score(&self, item: &Likelihoods) -> Result<Score, Error>;

    /// The loss of an item whose `choices` choices are all equally likely; `None` if there is no such
    /// level: running text, fewer than two choices.
    fn chance(&self, choices: usize) -> Option<f64> {
        let _ = choices;
        None
    }

    /// If true, losses above [`chance`](Self::chance) show learning as losses below it do
    /// (`chance_either_side` of the [estimator's options](crate::fit)). For most scorers only
    /// those below do: a loss above chance is worse than knowing nothing.
    fn chance_either_side(&self) -> bool {
        false
    }
}

/// The chance level of a distribution: the mean of its items' levels, as the `chance` of the
/// [estimator's options](crate::fit) expects it; `None` if an item has none.
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
            // One item without a chance level leaves the mean of the others without a meaning.
            Content::Text(_) | Content::Tokens(_) => return Ok(None),
            Content::Choices { choices, .. } => choices.len(),
            Content::Pairs { pairs, .. } => pairs.len(),
            Content::ChoicesTokens { choices, .. } => choices.len(),
        };
        match scorer.chance(choices) {
            Some(level) => sum += level,
            None => return Ok(None),
        }
    }
    Ok((!distribution.is_empty()).then(|| sum / distribution.len() as f64))
}

/// The scorer of this crate with the [name](Scorer::name) `name`.
///
/// # Errors
/// A name that no scorer has; the message lists those there are.
///
/// # Examples
/// ```
/// use relscale::scorer;
///
/// assert_eq!(scorer::by_name("error_rate_per_byte")?.name(), "error_rate_per_byte");
/// assert!(scorer::by_name("accuracy").err().unwrap().to_string().contains("brier"));
/// # Ok::<(), relscale::Error>(())
/// ```
pub fn by_name(name: &str) -> Result<Box<dyn Scorer>, Error> {
    let mut all = all();
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

/// Every scorer of this crate, in every normalisation.
fn all() -> Vec<Box<dyn Scorer>> {
    let mut all: Vec<Box<dyn Scorer>> = vec![
        Box::new(BitsPerByte),
        Box::new(NatsPerByte),
        Box::new(NatsPerToken),
        Box::new(ChoiceLogLoss),
        Box::new(ChoiceProbNorm),
        Box::new(Brier),
    ];
    for normalisation in Normalisation::ALL {
        all.push(Box::new(ErrorRate(normalisation)));
        all.push(Box::new(MatchingProbability(normalisation)));
    }
    all
}

/// Sums of loss and weight per cluster, in the order of the cluster ids.
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
    // Ordered by name, and each sum in the order of the items, so that the bits do not depend on
    // hashing.
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
