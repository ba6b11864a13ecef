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
pub fn write_csv<E: From<Error>>(
    path: &Path,
    convention: FlopConvention,
    fill: impl FnOnce(&mut LongTable<'_>) -> Result<(), E>,
) -> Result<(), E> {
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
        table.out.flush().map_err(|e| Error::io(path, e).into())
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
            let fields = run.first_columns();
            let last = run.last_columns(self.convention);
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

/// Writes the table of [`export_csv`] as a Parquet file, in its columns and not compressed; `seed`
/// and `trajectory` are null where a run has none. It takes the place of `path` at once or not at
/// all.
///
/// # Errors
/// A log without the scorer, or a failing write.
#[cfg(feature = "parquet")]
pub fn export_parquet(
    path: impl AsRef<Path>,
    logs: &[(&Run, &Table)],
    scorer: &str,
    convention: FlopConvention,
) -> Result<(), Error> {
    use std::sync::Arc;

    use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::errors::ParquetError;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::schema::parser::parse_message_type;

    const SCHEMA: &str = "message scores {
        required binary corpus (UTF8); required binary run (UTF8);
        required double budget; required double flops; required double params;
        required double tokens; optional int64 seed (UINT_64);
        required binary distribution (UTF8); required binary cluster (UTF8);
        required binary item (UTF8); required double loss; required double weight;
        optional binary trajectory (UTF8); required binary flop_convention (UTF8);
        required boolean held_out;
    }";
    /// Rows that are encoded at once.
    const GROUP: usize = 1 << 20;

    type Group<'a> = SerializedRowGroupWriter<'a, File>;

    fn column<T: parquet::data_type::DataType>(
        group: &mut Group<'_>,
        values: &[T::T],
        present: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        // The schema has as many columns as are written.
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("a column too many".to_owned()));
        };
        column.typed::<T>().write_batch(values, present, None)?;
        column.close()
    }

    let path = path.as_ref();
    let failed = |e: ParquetError| Error::format(path, e);
    let rows = rows(logs, scorer)?;
    let schema = parse_message_type(SCHEMA).map_err(failed)?;
    let properties = Arc::new(WriterProperties::builder().build());
    replace(path, |file| {
        let file = file.try_clone().map_err(|e| Error::io(path, e))?;
        let mut out =
            SerializedFileWriter::new(file, Arc::new(schema), properties).map_err(failed)?;
        for rows in rows.chunks(GROUP) {
            let write = |group: &mut Group<'_>| -> Result<(), ParquetError> {
                let text =
                    |of: &dyn Fn(&Row<'_>) -> ByteArray| rows.iter().map(of).collect::<Vec<_>>();
                let number = |of: &dyn Fn(&Row<'_>) -> f64| rows.iter().map(of).collect::<Vec<_>>();
                column::<ByteArrayType>(group, &text(&|r| r.run.corpus.as_str().into()), None)?;
                column::<ByteArrayType>(group, &text(&|r| r.run.id.as_str().into()), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.budget), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.flops), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.params), None)?;
                column::<DoubleType>(group, &number(&|r| r.run.tokens), None)?;
                let seeds: Vec<i64> = rows
                    .iter()
                    .filter_map(|r| r.run.seed)
                    .map(u64::cast_signed)
                    .collect();
                let present: Vec<i16> = rows.iter().map(|r| r.run.seed.is_some().into()).collect();
                column::<Int64Type>(group, &seeds, Some(&present))?;
                column::<ByteArrayType>(group, &text(&|r| r.distribution.into()), None)?;
                column::<ByteArrayType>(group, &text(&|r| r.cluster.into()), None)?;
                column::<ByteArrayType>(group, &text(&|r| r.item.into()), None)?;
                column::<DoubleType>(group, &number(&|r| r.score.loss / r.score.weight), None)?;
                column::<DoubleType>(group, &number(&|r| r.score.weight), None)?;
                let trajectories: Vec<ByteArray> = rows
                    .iter()
                    .filter_map(|r| r.run.trajectory.as_deref())
                    .map(ByteArray::from)
                    .collect();
                let present: Vec<i16> = rows
                    .iter()
                    .map(|r| r.run.trajectory.is_some().into())
                    .collect();
                column::<ByteArrayType>(group, &trajectories, Some(&present))?;
                column::<ByteArrayType>(group, &text(&|_| convention.as_str().into()), None)?;
                let held_out: Vec<bool> = rows.iter().map(|r| r.run.held_out).collect();
                column::<BoolType>(group, &held_out, None)
            };
            let mut group = out.next_row_group().map_err(failed)?;
            write(&mut group).map_err(failed)?;
            group.close().map_err(failed)?;
        }
        out.close().map_err(failed)?;
        Ok(())
    })
}
