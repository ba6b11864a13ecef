//! The result of an evaluation.

use crate::error::Error;
use crate::scorer::{ItemScore, Score, Warning};

/// Scores of a distribution: one row per item, one score per scorer.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    scorers: Vec<String>,
    items: Vec<ItemScores>,
}

/// Scores of one item by every scorer of an evaluation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ItemScores {
    /// The item's id.
    pub id: String,
    /// The item's cluster.
    pub cluster: String,
    /// One score per scorer, in the order of [`Scores::scorers`].
    pub scores: Vec<Score>,
    /// Non-fatal adjustments made while scoring the item.
    pub warnings: Vec<Warning>,
}

impl Scores {
    pub(super) fn new(scorers: Vec<String>, items: Vec<ItemScores>) -> Self {
        Self { scorers, items }
    }

    /// Names of the scorers, in the order given to the evaluation.
    #[must_use]
    pub fn scorers(&self) -> &[String] {
        &self.scorers
    }

    /// One row per item, in the distribution's order.
    #[must_use]
    pub fn items(&self) -> &[ItemScores] {
        &self.items
    }

    /// The scores by one scorer, in the distribution's order.
    ///
    /// # Errors
    /// A name that is not among [`scorers`](Self::scorers).
    pub fn of(&self, scorer: &str) -> Result<Vec<ItemScore>, Error> {
        let at = self.column(scorer)?;
        let score = |item: &ItemScores| ItemScore {
            id: item.id.clone(),
            cluster: item.cluster.clone(),
            score: item.scores[at],
        };
        Ok(self.items.iter().map(score).collect())
    }

    /// The distribution's error by one scorer, `Σ loss / Σ weight` over the items.
    ///
    /// **Units**: those of the scorer. NaN for a distribution without items.
    ///
    /// # Errors
    /// A name that is not among [`scorers`](Self::scorers).
    pub fn error(&self, scorer: &str) -> Result<f64, Error> {
        let at = self.column(scorer)?;
        let sum = |of: fn(&Score) -> f64| -> f64 {
            self.items.iter().map(|item| of(&item.scores[at])).sum()
        };
        Ok(sum(|score| score.loss) / sum(|score| score.weight))
    }

    fn column(&self, scorer: &str) -> Result<usize, Error> {
        let at = self.scorers.iter().position(|name| name == scorer);
        at.ok_or_else(|| Error::Option {
            option: "scorer",
            message: format!("`{scorer}` is none of {}", self.scorers.join(", ")),
        })
    }
}
