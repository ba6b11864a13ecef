//! The long table of several logs as CSV, for the estimator.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::path::Path;

use super::file::replace;
use super::table::Table;
use crate::error::Error;
use crate::ladder::{FlopConvention, Run};
use crate::scorer::{ItemScore, Score};

/// One row of the long table.
pub(super) struct Row<'a> {
    pub(super) run: &'a Run,
    pub(super) distribution: &'a str,
    pub(super) cluster: &'a str,
    pub(super) item: &'a str,
    pub(super) score: Score,
}

/// The rows of every log, in the order given, those of a log by item.
pub(super) fn rows<'a>(logs: &[(&'a Run, &'a Table)], scorer: &str) -> Result<Vec<Row<'a>>, Error> {
    let (mut rows, mut added) = (Vec::new(), BTreeSet::new());
    for &(run, table) in logs {
        refuse_second(&mut added, run, &table.key().distribution)?;
        table.ensure_complete(&run.id)?;
        let at = table.column(scorer)?;
        rows.extend(table.records().iter().map(|(item, record)| Row {
            run,
            distribution: &table.key().distribution,
            cluster: &record.cluster,
            item,
            score: record.scores[at],
        }));
    }
    Ok(rows)
}

/// Refuses a second log of a run on a distribution, whose items would count twice.
pub(super) fn refuse_second(
    added: &mut BTreeSet<(String, String)>,
    run: &Run,
    distribution: &str,
) -> Result<(), Error> {
    if added.insert((run.id.clone(), distribution.to_owned())) {
        return Ok(());
    }
    let message = format!("run `{}` has two logs of `{distribution}`", run.id);
    Err(Error::Option {
        option: "logs",
        message,
    })
}

/// Writes the long CSV that [`Ladder::from_csv`](crate::ladder::Ladder::from_csv) reads, one row per
/// item: the scores by `scorer` in the log of every run.
///
/// The column `loss` is the item's mean loss per unit of weight, as everywhere in that form. The file
/// replaces `path` at once or not at all, whenever the process or the disk fails.
///
/// # Errors
/// A log without the scorer or without some items ([`Table::accept_incomplete`]), two logs of a run on one
/// distribution, or a failing write.
pub fn export_csv(
    path: impl AsRef<Path>,
    logs: &[(&Run, &Table)],
    scorer: &str,
    convention: FlopConvention,
) -> Result<(), Error> {
    // Before a long file is written in vain.
    for (run, table) in logs {
        table.ensure_complete(&run.id)?;
        table.column(scorer)?;
    }
    LongTable::write(path, convention, |table| {
        let mut all = logs.iter();
        all.try_for_each(|(run, log)| table.add(run, log, scorer))
    })
}

/// The long CSV of [`export_csv`] while it is written, log by log: for tables whose logs do not fit
/// into memory together.
#[derive(Debug)]
pub struct LongTable<'a> {
    path: &'a Path,
    out: csv::Writer<&'a File>,
    convention: FlopConvention,
    /// Runs and distributions whose logs or items were added.
    added: BTreeSet<(String, String)>,
    /// Ids of the items that were added one by one, by run and distribution.
    items: BTreeMap<(String, String), HashSet<String>>,
}

/// The columns that all rows of a run share.
struct Columns<'a> {
    first: [String; 7],
    last: [&'a str; 3],
    epochs: String,
}

impl<'a> Columns<'a> {
    fn of(run: &'a Run, convention: FlopConvention) -> Self {
        Self {
            first: run.first_columns(),
            last: run.last_columns(convention),
            epochs: run.epochs_column(),
        }
    }
}

impl LongTable<'_> {
    /// Writes the rows that `fill` adds. The file replaces `path` at once or not at all.
    ///
    /// # Errors
    /// Whatever `fill` returns, or a failing write.
    pub fn write<E: From<Error>>(
        path: impl AsRef<Path>,
        convention: FlopConvention,
        fill: impl FnOnce(&mut LongTable<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = path.as_ref();
        replace(path, |file| {
            let mut table = LongTable {
                path,
                out: csv::Writer::from_writer(file),
                convention,
                added: BTreeSet::new(),
                items: BTreeMap::new(),
            };
            table.row([
                "corpus",
                "run",
                "budget",
                "flops",
                "params",
                "tokens",
                "seed",
                "distribution",
                "cluster",
                "item",
                "loss",
                "weight",
                "trajectory",
                "flop_convention",
                "held_out",
                "epochs",
                "scorer",
                "chance",
            ])?;
            fill(&mut table)?;
            table.out.flush().map_err(|e| Error::io(path, e).into())
        })
    }

    /// Adds one row per item of `table`.
    ///
    /// # Errors
    /// A log without the scorer or without some items ([`Table::accept_incomplete`]), a second log of
    /// a run on a distribution, or a failing write.
    pub fn add(&mut self, run: &Run, table: &Table, scorer: &str) -> Result<(), Error> {
        refuse_second(&mut self.added, run, &table.key().distribution)?;
        let columns = Columns::of(run, self.convention);
        // Log by log, so that only one is in memory at a time.
        for row in rows(&[(run, table)], scorer)? {
            self.write_row(&columns, &row, scorer, "")?;
        }
        Ok(())
    }

    /// Adds the row of one item that was scored elsewhere; `chance` is the loss of a model that knows
    /// nothing about it, if it is known.
    ///
    /// # Errors
    /// An item that the run has on the distribution already; a mean loss that is not finite or is below
    /// 0, a weight that is not above 0; a run whose log of the distribution was [added](Self::add); or a
    /// failing write.
    pub fn add_item(
        &mut self,
        run: &Run,
        distribution: &str,
        item: &ItemScore,
        scorer: &str,
        chance: Option<f64>,
    ) -> Result<(), Error> {
        let Score { loss, weight } = item.score;
        let mean = loss / weight;
        // What no reader of tables takes must not be written: the table is found to be useless only when
        // it is fitted.
        if !(weight.is_normal() && weight > 0.0 && mean.is_finite() && mean >= 0.0) {
            let message = format!("`{scorer}` has the loss {loss} of weight {weight}");
            return Err(Error::item(&item.id, message));
        }
        let block = (run.id.clone(), distribution.to_owned());
        if !self.items.contains_key(&block) {
            refuse_second(&mut self.added, run, distribution)?;
        }
        let ids = self.items.entry(block).or_default();
        if !ids.insert(item.id.clone()) {
            let message = format!("run `{}` has it twice on `{distribution}`", run.id);
            return Err(Error::item(&item.id, message));
        }
        let row = Row {
            run,
            distribution,
            cluster: &item.cluster,
            item: &item.id,
            score: item.score,
        };
        let chance = chance.map_or_else(String::new, |c| c.to_string());
        let columns = Columns::of(row.run, self.convention);
        self.write_row(&columns, &row, scorer, &chance)
    }

    fn write_row(
        &mut self,
        columns: &Columns<'_>,
        row: &Row<'_>,
        scorer: &str,
        chance: &str,
    ) -> Result<(), Error> {
        self.row(
            (columns.first.iter().map(String::as_str))
                .chain([
                    row.distribution,
                    row.cluster,
                    row.item,
                    // `Display` writes the shortest decimals that read back to the same bits.
                    &(row.score.loss / row.score.weight).to_string(),
                    &row.score.weight.to_string(),
                ])
                .chain(columns.last)
                .chain([columns.epochs.as_str(), scorer, chance]),
        )
    }

    fn row<'f>(&mut self, fields: impl IntoIterator<Item = &'f str>) -> Result<(), Error> {
        let written = self.out.write_record(fields);
        written.map_err(|e| match e.into_kind() {
            csv::ErrorKind::Io(e) => Error::io(self.path, e),
            kind => Error::format(self.path, format!("{kind:?}")),
        })
    }
}
