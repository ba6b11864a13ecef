//! The long CSV form of a ladder.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::newlines::UnixNewlines;
use super::{FlopConvention, Ladder, LadderError, Run};

pub(super) const COLUMNS: [&str; 16] = [
    "corpus",
    "run",
    "budget",
    "flops",
    "params",
    "tokens",
    "seed",
    "distribution",
    "cluster",
    "loss",
    "weight",
    "item",
    "trajectory",
    "flop_convention",
    "held_out",
    "checkpoint",
];
/// The columns that every table of losses has; [`COLUMNS`] by number.
const REQUIRED: [usize; 8] = [0, 1, 2, 3, 4, 5, 7, 9];

/// Where the columns are, `None` for those the table leaves out.
pub(super) type Places = [Option<usize>; COLUMNS.len()];

/// Opens a table and finds its columns, of which `required` must be there.
pub(super) fn open<R: Read>(
    reader: R,
    table: &str,
    required: &[usize],
) -> Result<(csv::Reader<UnixNewlines<R>>, Places), LadderError> {
    let mut input = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(UnixNewlines::new(reader));
    let header = input.headers().map_err(|e| malformed(table, &e))?;
    let places = COLUMNS.map(|column| header.iter().position(|h| h == column));
    match required.iter().find(|column| places[**column].is_none()) {
        Some(column) => Err(LadderError::MissingColumn {
            table: table.into(),
            column: COLUMNS[*column],
            found: header.iter().map(Into::into).collect(),
        }),
        None => Ok((input, places)),
    }
}

pub(super) fn malformed(table: &str, error: &csv::Error) -> LadderError {
    LadderError::Malformed {
        table: table.into(),
        line: error.position().map(csv::Position::line),
        message: match error.kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("{len} fields, the first line has {expected_len}"),
            csv::ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8", err.field() + 1),
            _ => error.to_string(),
        },
    }
}

/// A row of a table, its fields by the numbers of [`COLUMNS`].
pub(super) struct Row<'a> {
    pub(super) table: &'a str,
    pub(super) places: &'a Places,
    pub(super) record: &'a csv::StringRecord,
}

impl Row<'_> {
    pub(super) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// The field, `""` where there is none.
    pub(super) fn text(&self, column: usize) -> &str {
        let found = self.places[column].and_then(|i| self.record.get(i));
        found.unwrap_or("")
    }

    pub(super) fn unexpected(&self, column: usize, expected: &'static str) -> LadderError {
        LadderError::Field {
            table: self.table.into(),
            line: self.line(),
            column: COLUMNS[column],
            value: self.text(column).into(),
            expected,
        }
    }

    fn number(&self, column: usize) -> Result<f64, LadderError> {
        let value = self.text(column).parse();
        value.map_err(|_| self.unexpected(column, "a number"))
    }

    /// `error` with the table and the line before it.
    pub(super) fn within(&self, error: LadderError) -> LadderError {
        LadderError::Row {
            table: self.table.into(),
            line: self.line(),
            source: Box::new(error),
        }
    }

    fn convention(&self) -> Result<FlopConvention, LadderError> {
        match self.text(13) {
            "" => Ok(FlopConvention::Unspecified),
            other => FlopConvention::from_name(other).ok_or_else(|| {
                self.unexpected(13, "unspecified, training, forward_only, 6nd or other")
            }),
        }
    }

    /// The FLOP convention of the table, which must be that of the line that stated it `first`.
    pub(super) fn convention_as(
        &self,
        first: &mut Option<(FlopConvention, u64)>,
    ) -> Result<FlopConvention, LadderError> {
        let stated = self.convention()?;
        let (convention, line) = *first.get_or_insert((stated, self.line()));
        if convention == stated {
            return Ok(convention);
        }
        Err(LadderError::Conflict {
            table: self.table.into(),
            line: self.line(),
            first: line,
            run: self.text(1).into(),
            column: COLUMNS[13],
        })
    }

    pub(super) fn run(&self) -> Result<Run, LadderError> {
        let mut run = Run::new(
            self.text(1),
            self.text(0),
            self.number(2)?,
            self.number(3)?,
            self.number(4)?,
            self.number(5)?,
        );
        if !self.text(6).is_empty() {
            // pandas writes an integer column with gaps as "0.0".
            let whole = self.text(6).trim_end_matches('0').strip_suffix('.');
            let seed = whole.unwrap_or(self.text(6)).parse();
            run.seed = Some(seed.map_err(|_| self.unexpected(6, "a non-negative integer"))?);
        }
        if !self.text(12).is_empty() {
            run.trajectory = Some(self.text(12).into());
        }
        run.held_out = match self.text(14).to_ascii_lowercase().as_str() {
            "" | "0" | "false" => false,
            "1" | "true" => true,
            _ => return Err(self.unexpected(14, "true, false or nothing")),
        };
        Ok(run)
    }
}

/// What tells rows apart: (run, distribution, cluster, item, loss, weight).
type RowKey = (String, String, String, String, u64, u64);

impl Ladder {
    /// Reads the long CSV form, one row per item or per cluster of items.
    ///
    /// Columns, found by their header in any order:
    /// `corpus,run,budget,flops,params,tokens,distribution,loss` and, where wanted,
    /// - `seed`: an integer;
    /// - `cluster`: items that were drawn together (a document, a subject, an author); without it
    ///   each `item` is its own cluster, and without both the distribution is one aggregate;
    /// - `item`: name of the row within its (run, distribution); with it, rows of equal content are
    ///   told apart, and a name that comes twice is a duplicate;
    /// - `weight`: the normaliser of the row (bytes, tokens, items), 1 if left out;
    /// - `trajectory`: the training run of which this run is a checkpoint;
    /// - `flop_convention`: one of the names of [`FlopConvention`], the same in every row;
    /// - `held_out`: `true` for runs that are predicted and never fitted.
    ///
    /// Other columns are ignored. `loss` is the mean error of the row, so that the error of a run on
    /// a distribution is `Σ loss·weight / Σ weight`. `name` stands for the table in errors.
    ///
    /// # Errors
    ///
    /// A [`LadderError`] with the line: missing columns, fields that do not parse or are outside
    /// their domain, repeated rows, a run described in two ways, mixed FLOP conventions.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = "corpus,run,budget,flops,params,tokens,distribution,loss\n\
    ///             web,small,1e18,1e18,1e8,2e9,news,3.5\n";
    /// let ladder = relscale::ladder::Ladder::from_csv(text.as_bytes(), "inline")?;
    /// assert_eq!(ladder.error("small", "news"), Some(3.5));
    /// # Ok::<(), relscale::ladder::LadderError>(())
    /// ```
    pub fn from_csv(reader: impl Read, name: &str) -> Result<Self, LadderError> {
        let (mut input, places) = open(reader, name, &REQUIRED)?;
        let by_items = places[11].is_some();

        let mut builder = Ladder::builder();
        builder.name(name);
        let mut convention: Option<(FlopConvention, u64)> = None;
        let mut runs: HashMap<String, (Run, u64)> = HashMap::new();
        let mut rows: HashMap<RowKey, u64> = HashMap::new();
        let mut record = csv::StringRecord::new();
        loop {
            let more = input.read_record(&mut record);
            let more = more.map_err(|e| malformed(name, &e))?;
            if !more {
                break;
            }
            let row = Row {
                table: name,
                places: &places,
                record: &record,
            };
            let line = row.line();
            let in_row = |e| row.within(e);

            builder.flop_convention(row.convention_as(&mut convention)?);

            let run = row.run()?;
            match runs.get(&run.id) {
                None => {
                    builder.run(run.clone()).map_err(in_row)?;
                    runs.insert(run.id.clone(), (run, line));
                }
                Some((known, first)) => {
                    let differs = [
                        (0, known.corpus != run.corpus),
                        (2, known.budget != run.budget),
                        (3, known.flops != run.flops),
                        (4, known.params != run.params),
                        (5, known.tokens != run.tokens),
                        (6, known.seed != run.seed),
                        (12, known.trajectory != run.trajectory),
                        (14, known.held_out != run.held_out),
                    ];
                    if let Some(&(column, _)) = differs.iter().find(|d| d.1) {
                        return Err(LadderError::Conflict {
                            table: name.into(),
                            line,
                            first: *first,
                            run: run.id,
                            column: COLUMNS[column],
                        });
                    }
                }
            }

            let loss = row.number(9)?;
            let weight = if row.text(10).is_empty() {
                1.0
            } else {
                row.number(10)?
            };
            let cluster = match row.text(8) {
                "" => row.text(11),
                cluster => cluster,
            };
            // With item names a row is its item; with clusters only, an exact repeat is a row pasted
            // twice; with neither, there is one row per run and distribution.
            let (bits, cluster_key) = match (by_items, places[8].is_some()) {
                (true, _) => ((0, 0), ""),
                (false, true) => ((loss.to_bits(), weight.to_bits()), cluster),
                (false, false) => ((0, 0), ""),
            };
            let key = (
                row.text(1).to_owned(),
                row.text(7).to_owned(),
                cluster_key.to_owned(),
                row.text(11).to_owned(),
                bits.0,
                bits.1,
            );
            if let Some(first) = rows.insert(key, line) {
                return Err(LadderError::DuplicateRow {
                    table: name.into(),
                    line,
                    first,
                    run: row.text(1).into(),
                    distribution: row.text(7).into(),
                });
            }
            builder
                .score(row.text(1), row.text(7), cluster, loss, weight)
                .map_err(in_row)?;
        }
        builder.build()
    }

    /// [`from_csv`](Self::from_csv) of a file, which is named in errors.
    ///
    /// # Errors
    ///
    /// As there, and a file that cannot be read.
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self, LadderError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| LadderError::Io {
            message: format!("{name}: {e}"),
        })?;
        Self::from_csv(file, &name)
    }

    /// Writes the long CSV form, one row per (run, distribution, cluster).
    ///
    /// Reading it back gives the same ladder up to one rounding of each loss.
    ///
    /// # Errors
    ///
    /// [`LadderError::Io`] where the writer fails.
    pub fn write_csv(&self, writer: impl Write) -> Result<(), LadderError> {
        let io = |message: String| LadderError::Io { message };
        let mut out = csv::Writer::from_writer(writer);
        let columns = COLUMNS
            .iter()
            .filter(|c| !["item", "checkpoint"].contains(*c));
        out.write_record(columns).map_err(|e| io(e.to_string()))?;
        for (r, run) in self.runs.iter().enumerate() {
            for scores in &self.scores {
                for cell in scores.run(r) {
                    let fields = run.fields();
                    let last = run.last_fields(self.flop_convention);
                    out.write_record(
                        (fields.iter().map(String::as_str))
                            .chain([
                                scores.name(),
                                &scores.clusters[cell.cluster],
                                &format!("{}", cell.loss / cell.weight),
                                &format!("{}", cell.weight),
                            ])
                            .chain(last),
                    )
                    .map_err(|e| io(e.to_string()))?;
                }
            }
        }
        out.flush().map_err(|e| io(e.to_string()))
    }
}
