//! The long CSV form of a ladder.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::{FlopConvention, Ladder, LadderError, Run};

const COLUMNS: [&str; 15] = [
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
];
/// The columns that a table may leave out.
const OPTIONAL: [&str; 7] = [
    "seed",
    "cluster",
    "weight",
    "item",
    "trajectory",
    "flop_convention",
    "held_out",
];

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
        let mut input = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(reader);
        let malformed = |e: &csv::Error| LadderError::Malformed {
            table: name.into(),
            line: e.position().map(csv::Position::line),
            message: match e.kind() {
                csv::ErrorKind::UnequalLengths {
                    expected_len, len, ..
                } => format!("{len} fields, the first line has {expected_len}"),
                csv::ErrorKind::Utf8 { err, .. } => {
                    format!("field {} is not UTF-8", err.field() + 1)
                }
                _ => e.to_string(),
            },
        };
        let header = input.headers().map_err(|e| malformed(&e))?.clone();
        let mut at = [None; COLUMNS.len()];
        for (i, column) in COLUMNS.into_iter().enumerate() {
            at[i] = header.iter().position(|h| h == column);
            if at[i].is_none() && !OPTIONAL.contains(&column) {
                return Err(LadderError::MissingColumn {
                    table: name.into(),
                    column,
                    found: header.iter().map(Into::into).collect(),
                });
            }
        }
        let by_items = at[11].is_some();

        let mut builder = Ladder::builder();
        builder.name(name);
        let mut convention: Option<(FlopConvention, u64)> = None;
        let mut runs: HashMap<String, (Run, u64)> = HashMap::new();
        let mut rows: HashMap<RowKey, u64> = HashMap::new();
        let mut record = csv::StringRecord::new();
        loop {
            let more = input.read_record(&mut record).map_err(|e| malformed(&e))?;
            if !more {
                break;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let text = |column: usize| at[column].and_then(|i| record.get(i)).unwrap_or("");
            let field = |column: usize, expected: &'static str| LadderError::Field {
                table: name.into(),
                line,
                column: COLUMNS[column],
                value: text(column).into(),
                expected,
            };
            let number = |column: usize| -> Result<f64, LadderError> {
                let value = text(column).parse::<f64>();
                value.map_err(|_| field(column, "a number"))
            };
            let in_row = |e: LadderError| LadderError::Row {
                table: name.into(),
                line,
                source: Box::new(e),
            };

            let stated = match text(13) {
                "" => FlopConvention::Unspecified,
                other => FlopConvention::from_name(other).ok_or_else(|| {
                    field(13, "unspecified, training, forward_only, 6nd or other")
                })?,
            };
            let (convention, convention_line) = *convention.get_or_insert((stated, line));
            if convention != stated {
                return Err(LadderError::Conflict {
                    table: name.into(),
                    line,
                    first: convention_line,
                    run: text(1).into(),
                    column: COLUMNS[13],
                });
            }
            builder.flop_convention(convention);

            let mut run = Run::new(
                text(1),
                text(0),
                number(2)?,
                number(3)?,
                number(4)?,
                number(5)?,
            );
            if !text(6).is_empty() {
                run.seed = Some(
                    text(6)
                        .parse()
                        .map_err(|_| field(6, "a non-negative integer"))?,
                );
            }
            if !text(12).is_empty() {
                run.trajectory = Some(text(12).into());
            }
            run.held_out = match text(14) {
                "" | "0" | "false" => false,
                "1" | "true" => true,
                _ => return Err(field(14, "true, false or nothing")),
            };
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

            let loss = number(9)?;
            let weight = if text(10).is_empty() {
                1.0
            } else {
                number(10)?
            };
            let cluster = match text(8) {
                "" => text(11),
                cluster => cluster,
            };
            // With item names a row is its item; with clusters only, an exact repeat is a row pasted
            // twice; with neither, there is one row per run and distribution.
            let (bits, cluster_key) = match (by_items, at[8].is_some()) {
                (true, _) => ((0, 0), ""),
                (false, true) => ((loss.to_bits(), weight.to_bits()), cluster),
                (false, false) => ((0, 0), ""),
            };
            let key = (
                text(1).to_owned(),
                text(7).to_owned(),
                cluster_key.to_owned(),
                text(11).to_owned(),
                bits.0,
                bits.1,
            );
            if let Some(first) = rows.insert(key, line) {
                return Err(LadderError::DuplicateRow {
                    table: name.into(),
                    line,
                    first,
                    run: text(1).into(),
                    distribution: text(7).into(),
                });
            }
            builder
                .score(text(1), text(7), cluster, loss, weight)
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
        let columns = COLUMNS.iter().filter(|c| **c != "item");
        out.write_record(columns).map_err(|e| io(e.to_string()))?;
        for (r, run) in self.runs.iter().enumerate() {
            for scores in &self.scores {
                for cell in scores.run(r) {
                    out.write_record([
                        run.corpus.as_str(),
                        &run.id,
                        &format!("{:e}", run.budget),
                        &format!("{:e}", run.flops),
                        &format!("{}", run.params),
                        &format!("{}", run.tokens),
                        &run.seed.map_or_else(String::new, |s| s.to_string()),
                        scores.name(),
                        &scores.clusters[cell.cluster],
                        &format!("{}", cell.loss / cell.weight),
                        &format!("{}", cell.weight),
                        run.trajectory.as_deref().unwrap_or(""),
                        self.flop_convention.as_str(),
                        if run.held_out { "true" } else { "" },
                    ])
                    .map_err(|e| io(e.to_string()))?;
                }
            }
        }
        out.flush().map_err(|e| io(e.to_string()))
    }
}
