//! The rows of a table as runs and scores.

use std::collections::BTreeMap;

use crate::input::NOT_TEXT;
use crate::ladder::blocks::{square, total};
use crate::ladder::column::Column;
use crate::ladder::names::Names;
use crate::ladder::repeats::{Identity, Seen};
use crate::ladder::sum::Sum;
use crate::ladder::table::{Place, Row};
use crate::ladder::{FlopConvention, Ladder, LadderBuilder, LadderError};

/// The rows read so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) builder: LadderBuilder,
    /// The convention and the line that stated it first.
    convention: Option<(FlopConvention, Place)>,
    /// The name of the scale, empty for compute, and the row that stated it first; `None` where the
    /// caller named it.
    pub(super) scale: Option<(String, Option<Place>)>,
    /// By the numbers of the builder, as the following two.
    runs: Vec<Known>,
    distributions: Vec<Stated>,
    seen: Vec<Seen>,
}

/// A run that a row has described.
#[derive(Debug)]
struct Known {
    /// Place of the first description.
    first: Place,
    last: Description,
}

/// The columns of the last row that described a run, as text. A row with the same text says the same, and
/// nearly all rows have it.
#[derive(Debug, Default)]
struct Description {
    table: usize,
    text: String,
    /// End of each field in `text`.
    ends: Vec<usize>,
}

impl Description {
    fn set(&mut self, row: &Row<'_>) {
        self.table = row.earlier.len();
        self.text.clear();
        self.ends.clear();
        for field in row.description() {
            self.text.push_str(field);
            self.ends.push(self.text.len());
        }
    }

    fn is_of(&self, row: &Row<'_>) -> bool {
        let mut start = 0;
        self.table == row.earlier.len()
            && row.description().zip(&self.ends).all(|(field, &end)| {
                let known = &self.text[start..end];
                start = end;
                known == field
            })
    }
}

/// The columns that all rows of a distribution state alike, as its first row has them.
#[derive(Debug, Default)]
struct Stated {
    items: Names,
    /// Empty where the row has none.
    scorer: Option<String>,
    /// If true, the rows have standard errors.
    error: Option<bool>,
    /// Chance level; `None` within where the row has none.
    chance: Option<Option<Box<Chance>>>,
}

/// A row that is added: its numbers in the builder.
#[derive(Clone, Copy)]
struct Added {
    distribution: u32,
    block: usize,
    cell: usize,
    weight: f64,
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

/// The columns that hold names.
const NAMES: [Column; 7] = [
    Column::Corpus,
    Column::Run,
    Column::Trajectory,
    Column::Distribution,
    Column::Cluster,
    Column::Item,
    Column::Scorer,
];

impl Rows {
    /// Adds a row, which is the meaning of a table of losses, whatever its form.
    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<(), LadderError> {
        if let Some(column) = NAMES.into_iter().find(|c| row.text(*c) == NOT_TEXT) {
            return Err(row.unexpected(column, "text, which lists, objects and bytes are not"));
        }
        let run = self.run_of(row)?;
        let loss = row.number(Column::Loss)?;
        let weight = match row.text(Column::Weight) {
            "" => 1.0,
            _ => row.number(Column::Weight)?,
        };
        let name = row.text(Column::Distribution);
        let distribution = self.builder.distribution(name)?;
        if self.distributions.len() <= distribution as usize {
            self.distributions.push(Stated::default());
        }
        let cluster = match row.text(Column::Cluster) {
            // Without clusters every item is its own: nothing says which were drawn together.
            "" => row.text(Column::Item),
            cluster => cluster,
        };
        let cluster = self.builder.cluster(distribution, cluster)?;
        let block = self.builder.block(distribution, run);
        let by_content = !row.places.has(Column::Item) && row.places.has(Column::Cluster);
        let identity = match by_content {
            true => Identity::Content((cluster, loss.to_bits(), weight.to_bits())),
            false => {
                let items = &mut self.distributions[distribution as usize].items;
                Identity::Item(items.number(row.text(Column::Item))?)
            }
        };
        if self.seen.len() <= block {
            self.seen.push(Seen::default());
        }
        if let Some(first) = self.seen[block].insert(identity, row.place()) {
            return Err(row.repeats(first));
        }
        let total = total(row.text(Column::Run), name, loss, weight).map_err(|e| row.within(e))?;
        let cell = self.builder.add(block, cluster, total, weight);
        // One item is right or wrong. Any other share without a weight is of an unknown number of
        // items, which only the fit can mind: of other losses it is a plain mean.
        if row.text(Column::Weight).is_empty() && loss != 0.0 && loss != 1.0 {
            self.builder.unweighted(block);
        }
        let added = Added {
            distribution,
            block,
            cell,
            weight,
        };
        self.add_scorer(row, added)?;
        self.add_error(row, added)?;
        self.add_chance(row, added)
    }

    /// Compares the scorer of a row with that of its distribution.
    fn add_scorer(&mut self, row: &Row<'_>, added: Added) -> Result<(), LadderError> {
        let scorer = row.text(Column::Scorer);
        let stated = &mut self.distributions[added.distribution as usize];
        let distribution = row.text(Column::Distribution);
        match &stated.scorer {
            Some(first) if first == scorer => return Ok(()),
            Some(first) => {
                return Err(row.within(LadderError::MixedScorers {
                    distribution: distribution.into(),
                    first: first.clone(),
                    second: scorer.into(),
                }));
            }
            None => stated.scorer = Some(scorer.into()),
        }
        if !scorer.is_empty() {
            (self.builder)
                .scorer(distribution, scorer)
                .map_err(|e| row.within(e))?;
        }
        Ok(())
    }

    /// Adds the standard error of a row, which all rows of a distribution must have, or none.
    fn add_error(&mut self, row: &Row<'_>, added: Added) -> Result<(), LadderError> {
        let given = !row.text(Column::StandardError).is_empty();
        let stated = &mut self.distributions[added.distribution as usize];
        match (*stated.error.get_or_insert(given), given) {
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
        let (run, distribution) = (row.text(Column::Run), row.text(Column::Distribution));
        let square = square(run, distribution, error, added.weight).map_err(|e| row.within(e))?;
        self.builder.add_square(added.block, added.cell, square);
        Ok(())
    }

    /// Adds the chance level of a row, which all rows of a distribution must have, or none.
    fn add_chance(&mut self, row: &Row<'_>, added: Added) -> Result<(), LadderError> {
        let chance = match row.text(Column::Chance) {
            "" => None,
            _ => Some(row.number(Column::Chance)?),
        };
        if chance.is_some_and(|c| !(c.is_normal() && c > 0.0)) {
            return Err(row.unexpected(Column::Chance, "a number above 0"));
        }
        let stated = &mut self.distributions[added.distribution as usize];
        let known = (stated.chance).get_or_insert_with(|| chance.map(Chance::new).map(Box::new));
        match (known, chance) {
            (Some(known), Some(chance)) => known.add(chance, added.weight),
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
        let mut chances = BTreeMap::new();
        for (stated, d) in self.distributions.iter().zip(0..) {
            if let Some(Some(chance)) = &stated.chance {
                let name = self.builder.distribution_name(d).to_owned();
                chances.insert(name, chance.mean());
            }
        }
        for (distribution, chance) in &chances {
            self.builder.chance(distribution, *chance)?;
        }
        // Before the ladder is made, which is as large.
        drop((self.runs, self.seen, self.distributions));
        self.builder.build()
    }

    /// Number of the run of a row, whose description must be that of its first row.
    fn run_of(&mut self, row: &Row<'_>) -> Result<u32, LadderError> {
        if let Some(run) = self.builder.run_number(row.text(Column::Run))
            && self.runs[run as usize].last.is_of(row)
        {
            return Ok(run);
        }
        let mut convention = row.convention_as(&mut self.convention)?;
        self.builder.flop_convention(convention);
        if let Some(name) = self.scale_of(row)? {
            convention = FlopConvention::Other;
            self.builder.scale_name(name);
        }
        let run = self.add_run(row, convention)?;
        self.runs[run as usize].last.set(row);
        Ok(run)
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
    fn add_run(&mut self, row: &Row<'_>, convention: FlopConvention) -> Result<u32, LadderError> {
        let run = row.run()?;
        let Some(number) = self.builder.run_number(&run.id) else {
            // Per row as well as in the builder, for a message with the line.
            let name = run.id.clone();
            self.builder.run(run).map_err(|e| row.within(e))?;
            let number = self.builder.run_number(&name).unwrap_or_default();
            let checked = self.builder.described(number).check_flops(convention);
            checked.map_err(|e| row.within(e))?;
            self.runs.push(Known {
                first: row.place(),
                last: Description::default(),
            });
            return Ok(number);
        };
        let (known, first) = (
            self.builder.described(number),
            self.runs[number as usize].first,
        );
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
                Err(row.other_scale(first, &run.id))
            }
            Some((column, _)) => Err(row.conflict(first, &run.id, *column)),
            None => Ok(number),
        }
    }
}
