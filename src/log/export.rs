//! Scores for the estimator and for data frames: the long table of several logs.

use std::fs::File;
use std::path::Path;

use super::{Table, replace};
use crate::error::Error;
use crate::ladder::{FlopConvention, Run};
use crate::scorer::Score;

/// One line of the long table.
struct Row<'a> {
    run: &'a Run,
    distribution: &'a str,
    cluster: &'a str,
    item: &'a str,
    score: Score,
}

/// The rows of every log, in the order given and by item.
fn rows<'a>(logs: &[(&'a Run, &'a Table)], scorer: &str) -> Result<Vec<Row<'a>>, Error> {
    let mut rows = Vec::new();
    for &(run, table) in logs {
        let at = table.place_of(scorer)?;
        rows.extend(table.records.iter().map(|(item, record)| Row {
            run,
            distribution: &table.key.distribution,
            cluster: &record.cluster,
            item,
            score: record.scores[at],
        }));
    }
    Ok(rows)
}

/// Writes the long CSV that [`Ladder::from_csv`](crate::ladder::Ladder::from_csv) reads, a row an
/// item: what `scorer` gave in the log of every run.
///
/// `loss` is the item's mean loss per unit of weight, as everywhere in that form. The table takes
/// the place of `path` at once or not at all, whenever the process or the disk ends.
///
/// # Errors
/// A log without the scorer, or a failing write.
pub fn export_csv(
    path: impl AsRef<Path>,
    logs: &[(&Run, &Table)],
    scorer: &str,
    convention: FlopConvention,
) -> Result<(), Error> {
    for (_, table) in logs {
        table.place_of(scorer)?;
    }
    write_csv(path.as_ref(), convention, |table| {
        let mut all = logs.iter();
        all.try_for_each(|(run, log)| table.add(run, log, scorer))
    })
}

/// Writes the long CSV of what `fill` adds, log by log; it takes the place of `path` once it is whole.
pub fn write_csv(
    path: &Path,
    convention: FlopConvention,
    fill: impl FnOnce(&mut LongTable<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    replace(path, |file| {
        let mut table = LongTable {
            path,
            out: csv::Writer::from_writer(file),
            convention,
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
        ])?;
        fill(&mut table)?;
        table.out.flush().map_err(|e| Error::io(path, e))
    })
}

/// The long CSV that is being written.
#[derive(Debug)]
pub struct LongTable<'a> {
    path: &'a Path,
    out: csv::Writer<&'a File>,
    convention: FlopConvention,
}

impl LongTable<'_> {
    /// Adds a row an item of `table`.
    pub fn add(&mut self, run: &Run, table: &Table, scorer: &str) -> Result<(), Error> {
        for row in rows(&[(run, table)], scorer)? {
            let run = row.run;
            let fields = run.fields();
            let last = run.last_fields(self.convention);
            self.row(
                (fields.iter().map(String::as_str))
                    .chain([
                        row.distribution,
                        row.cluster,
                        row.item,
                        &(row.score.loss / row.score.weight).to_string(),
                        &row.score.weight.to_string(),
                    ])
                    .chain(last),
            )?;
        }
        Ok(())
    }

    fn row<'f>(&mut self, fields: impl IntoIterator<Item = &'f str>) -> Result<(), Error> {
        let written = self.out.write_record(fields);
        written.map_err(|e| match e.into_kind() {
            csv::ErrorKind::Io(e) => Error::io(self.path, e),
            kind => Error::format(self.path, format!("{kind:?}")),
        })
    }
}
