//! The rows of a table as runs and scores.

use std::collections::{BTreeMap, HashMap};

use crate::ladder::sum::Sum;
use crate::ladder::table::{Column, Place, Row};
use crate::ladder::{FlopConvention, Ladder, LadderBuilder, LadderError, Run};

/// Distinguishes rows: run, distribution, cluster, item, loss and weight.
type RowKey = (String, String, String, String, u64, u64);

/// The rows read so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) builder: LadderBuilder,
    /// The convention and the line that stated it first.
    convention: Option<(FlopConvention, Place)>,
    /// The name of the scale, empty for compute, and the row that stated it first; `None` where the
    /// caller named it.
    pub(super) scale: Option<(String, Option<Place>)>,
    /// The first description of each run, with its place.
    runs: HashMap<String, (Run, Place)>,
    lines: HashMap<RowKey, Place>,
    /// Chance level by distribution; `None` where its first row has none.
    chances: BTreeMap<String, Option<Chance>>,
    /// If true, the rows of a distribution have standard errors.
    errors: BTreeMap<String, bool>,
    /// Scorer by distribution, empty where its first row has none.
    scorers: BTreeMap<String, String>,
}

/// Mean chance level of the rows of one distribution.
#[derive(Debug)]
struct Chance {
    first: f64,
    /// If true, all rows so far have the first one's level.
    same: bool,
    sum: Sum,
    weight: Sum,
}

impl Chance {
    fn new(first: f64) -> Self {
        Self {
            first,
            same: true,
            sum: Sum::default(),
            weight: Sum::default(),
        }
    }

    fn add(&mut self, chance: f64, weight: f64) {
        self.same &= chance == self.first;
        self.sum.add(chance * weight);
        self.weight.add(weight);
    }

    fn mean(&self) -> f64 {
        // A mean of equal numbers rounds, and the number is known.
        if self.same {
            self.first
        } else {
            self.sum.value() / self.weight.value()
        }
    }
}

impl Rows {
    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<(), LadderError> {
        let mut convention = row.convention_as(&mut self.convention)?;
        self.builder.flop_convention(convention);
        if let Some(name) = self.scale_of(row)? {
            convention = FlopConvention::Other;
            self.builder.scale_name(name);
        }
        self.add_run(row, convention)?;

        let loss = row.number(Column::Loss)?;
        let weight = match row.text(Column::Weight) {
            "" => 1.0,
            _ => row.number(Column::Weight)?,
        };
        let cluster = match row.text(Column::Cluster) {
            // Without clusters every item is its own: nothing says which were drawn together.
            "" => row.text(Column::Item),
            cluster => cluster,
        };
        let (run, distribution) = (row.text(Column::Run), row.text(Column::Distribution));
        if let Some(first) = self
            .lines
            .insert(key(row, cluster, loss, weight), row.place())
        {
            return Err(row.repeats(first));
        }
        self.builder
            .score(run, distribution, cluster, loss, weight)
            .map_err(|e| row.within(e))?;
        // One item is right or wrong. Any other share without a weight is of an unknown number of
        // items, which only the fit can mind: of other losses it is a plain mean.
        if row.text(Column::Weight).is_empty() && loss != 0.0 && loss != 1.0 {
            self.builder.unweighted(run, distribution);
        }
        self.add_scorer(row)?;
        self.add_error(row, cluster, weight)?;
        self.add_chance(row, weight)
    }

    /// Compares the scorer of a row with that of its distribution.
    fn add_scorer(&mut self, row: &Row<'_>) -> Result<(), LadderError> {
        let (distribution, scorer) = (row.text(Column::Distribution), row.text(Column::Scorer));
        match self.scorers.get(distribution) {
            Some(first) if first == scorer => return Ok(()),
            Some(first) => {
                return Err(row.within(LadderError::MixedScorers {
                    distribution: distribution.into(),
                    first: first.clone(),
                    second: scorer.into(),
                }));
            }
            None => self.scorers.insert(distribution.into(), scorer.into()),
        };
        if !scorer.is_empty() {
            (self.builder)
                .scorer(distribution, scorer)
                .map_err(|e| row.within(e))?;
        }
        Ok(())
    }

    /// Adds the standard error of a row, which all rows of a distribution must have, or none.
    fn add_error(&mut self, row: &Row<'_>, cluster: &str, weight: f64) -> Result<(), LadderError> {
        let (run, distribution) = (row.text(Column::Run), row.text(Column::Distribution));
        let given = !row.text(Column::StandardError).is_empty();
        let known = self.errors.entry(distribution.to_owned()).or_insert(given);
        match (*known, given) {
            (false, false) => return Ok(()),
            (true, true) => {}
            (true, false) => {
                let expected = "a number, as in the rows of its distribution before";
                return Err(row.unexpected(Column::StandardError, expected));
            }
            (false, true) => {
                let expected = "nothing, as in the rows of its distribution before";
                return Err(row.unexpected(Column::StandardError, expected));
            }
        }
        let error = row.number(Column::StandardError)?;
        (self.builder)
            .standard_error(run, distribution, cluster, error, weight)
            .map_err(|e| row.within(e))?;
        Ok(())
    }

    /// Adds the chance level of a row, which all rows of a distribution must have, or none.
    fn add_chance(&mut self, row: &Row<'_>, weight: f64) -> Result<(), LadderError> {
        let distribution = row.text(Column::Distribution);
        let chance = match row.text(Column::Chance) {
            "" => None,
            _ => Some(row.number(Column::Chance)?),
        };
        if chance.is_some_and(|c| !(c.is_normal() && c > 0.0)) {
            return Err(row.unexpected(Column::Chance, "a number above 0"));
        }
        let known = (self.chances.entry(distribution.to_owned()))
            .or_insert_with(|| chance.map(Chance::new));
        match (known, chance) {
            (Some(known), Some(chance)) => known.add(chance, weight),
            (None, None) => {}
            (Some(_), None) => {
                let expected = "a number, as in the rows of its distribution before";
                return Err(row.unexpected(Column::Chance, expected));
            }
            (None, Some(_)) => {
                let expected = "nothing, as in the rows of its distribution before";
                return Err(row.unexpected(Column::Chance, expected));
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Ladder, LadderError> {
        for (distribution, chance) in &self.chances {
            if let Some(chance) = chance {
                self.builder.chance(distribution, chance.mean())?;
            }
        }
        self.builder.build()
    }

    /// Name of the scale, which must be that of the first row.
    fn scale_of(&mut self, row: &Row<'_>) -> Result<Option<String>, LadderError> {
        let stated = row.text(Column::ScaleName);
        let (name, first) = match &self.scale {
            Some((name, first)) => (name, *first),
            None => {
                self.scale = Some((stated.into(), Some(row.place())));
                return Ok(Some(stated.into()).filter(|s: &String| !s.is_empty()));
            }
        };
        // A table read along a column of its own need not say its name again.
        let silent = stated.is_empty() && row.places.is_along();
        if !silent && stated != name {
            // The caller's scale is a column, which the first line names.
            let first = first.unwrap_or_else(|| row.place_of(1));
            return Err(row.conflict(first, row.text(Column::Run), Column::ScaleName));
        }
        Ok(Some(name.clone()).filter(|s| !s.is_empty()))
    }

    /// Adds the run of a row, or compares it with its first description.
    fn add_run(&mut self, row: &Row<'_>, convention: FlopConvention) -> Result<(), LadderError> {
        let run = row.run()?;
        let Some((known, first)) = self.runs.get(&run.id) else {
            self.builder.run(run.clone()).map_err(|e| row.within(e))?;
            // Per row as well as in the builder, for a message with the line.
            run.check_flops(convention).map_err(|e| row.within(e))?;
            self.runs.insert(run.id.clone(), (run, row.place()));
            return Ok(());
        };
        let differs = [
            (Column::Corpus, known.corpus != run.corpus),
            (Column::Budget, known.budget != run.budget),
            (Column::Flops, known.flops != run.flops),
            (Column::Params, known.params != run.params),
            (Column::Tokens, known.tokens != run.tokens),
            (Column::Seed, known.seed != run.seed),
            (Column::Trajectory, known.trajectory != run.trajectory),
            (Column::HeldOut, known.held_out != run.held_out),
            (Column::Epochs, known.epochs != run.epochs),
        ];
        // A run is repeated on each of its rows; two versions of it mean that two runs have one
        // name.
        match differs.iter().find(|d| d.1) {
            Some((Column::Budget | Column::Flops, _)) if row.places.is_along() => {
                Err(row.other_scale(*first, &run.id))
            }
            Some((column, _)) => Err(row.conflict(*first, &run.id, *column)),
            None => Ok(()),
        }
    }
}

/// With item names a row is its item. With clusters only, an exact repeat is a row pasted twice.
/// With neither, there is one row per run and distribution.
fn key(row: &Row<'_>, cluster: &str, loss: f64, weight: f64) -> RowKey {
    let by_content = !row.places.has(Column::Item) && row.places.has(Column::Cluster);
    let (cluster, loss, weight) = match by_content {
        true => (cluster, loss.to_bits(), weight.to_bits()),
        false => ("", 0, 0),
    };
    (
        row.text(Column::Run).to_owned(),
        row.text(Column::Distribution).to_owned(),
        cluster.to_owned(),
        row.text(Column::Item).to_owned(),
        loss,
        weight,
    )
}
