//! Tables of trained runs, each with the path of its checkpoint.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::column::Column;
use super::source::Source;
use super::table::{Place, Row, find};
use super::{FlopConvention, Ladder, LadderError, Run};
#[cfg(feature = "scoring")]
use crate::checkpoint::Checkpoint;

/// The columns that every table of runs has, with the place of the checkpoint last.
const REQUIRED: [Column; 7] = [
    Column::Corpus,
    Column::Run,
    Column::Budget,
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Checkpoint,
];
/// The columns besides that a table of runs without checkpoints may have.
const NAMES: [Column; 2] = [Column::Model, Column::Checkpoint];
const OPTIONAL: [Column; 6] = [
    Column::Base,
    Column::Epochs,
    Column::Seed,
    Column::Trajectory,
    Column::FlopConvention,
    Column::HeldOut,
];
/// The columns that are written, in their order.
const WRITTEN: [Column; 11] = [
    Column::Corpus,
    Column::Run,
    Column::Budget,
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Seed,
    Column::Trajectory,
    Column::FlopConvention,
    Column::HeldOut,
    Column::Checkpoint,
];

/// A run and the place of its checkpoint, which a loader takes as it is.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "callers write it as a literal")]
pub struct TrainedRun {
    /// The description of the run.
    pub run: Run,
    /// The folder or file of the checkpoint, or the folder of a LoRA adapter.
    pub checkpoint: PathBuf,
    /// The folder of the adapter's base, or one of bases; `None` for a whole model, or if the adapter
    /// names a folder itself.
    pub base: Option<PathBuf>,
}

#[cfg(feature = "scoring")]
impl From<&TrainedRun> for Checkpoint {
    fn from(trained: &TrainedRun) -> Self {
        let checkpoint = Self::from(&trained.checkpoint);
        match &trained.base {
            None => checkpoint,
            Some(base) => checkpoint.with_base(base),
        }
    }
}

/// Trained runs whose checkpoints are still to be scored: a ladder before it has losses.
///
/// # Examples
///
/// ```
/// use relscale::ladder::RunTable;
///
/// let path = std::env::temp_dir().join("relscale-doc-runs.csv");
/// std::fs::write(&path, "run,corpus,budget,flops,params,tokens,checkpoint\n\
///                        small,web,1e18,9.9e17,1e8,1.65e9,models/small\n")?;
/// let table = RunTable::from_csv(&path)?;
/// assert_eq!(table.runs[0].run.params, 1e8);
/// assert_eq!(table.runs[0].checkpoint, path.with_file_name("models").join("small"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunTable {
    /// Meaning of the FLOPs.
    pub flop_convention: FlopConvention,
    /// The runs in the order of the table.
    pub runs: Vec<TrainedRun>,
}

impl RunTable {
    /// A table of `runs`.
    ///
    /// # Errors
    ///
    /// No runs, a run that comes twice, or one with a field outside its domain or FLOPs that cannot
    /// be those of training.
    pub fn new(
        flop_convention: FlopConvention,
        runs: Vec<TrainedRun>,
    ) -> Result<Self, LadderError> {
        if runs.is_empty() {
            return Err(LadderError::Empty { what: "runs" });
        }
        // A builder refuses what is no run, and repeated names.
        let mut ladder = Ladder::builder();
        for trained in &runs {
            ladder.run(trained.run.clone())?;
            trained.run.check_flops(flop_convention)?;
        }
        Ok(Self {
            flop_convention,
            runs,
        })
    }

    /// Writes the table that [`from_csv`](Self::from_csv) reads, paths of checkpoints in full.
    ///
    /// # Errors
    ///
    /// [`LadderError::Io`] where the writer fails or a path is not Unicode.
    pub fn write_csv(&self, writer: impl Write) -> Result<(), LadderError> {
        let io = |message: String| LadderError::Io { message };
        let mut out = csv::Writer::from_writer(writer);
        let with_epochs = self.runs.iter().any(|r| r.run.epochs.is_some());
        let with_base = self.runs.iter().any(|r| r.base.is_some());
        let extra = [(with_epochs, Column::Epochs), (with_base, Column::Base)];
        let extra = extra.iter().filter(|(is_there, _)| *is_there);
        let extra = extra.map(|(_, column)| column.name());
        out.write_record(WRITTEN.map(Column::name).into_iter().chain(extra))
            .map_err(|e| io(e.to_string()))?;
        // Absolute, because a relative path is read from the folder of the table, which may be moved.
        let full = |path: &Path| -> Result<String, LadderError> {
            if let Some(address) = path.to_str().filter(|path| is_address(path)) {
                return Ok(address.to_owned());
            }
            let path = std::path::absolute(path).map_err(|e| io(e.to_string()))?;
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| io(format!("the path {path:?} is not Unicode")))
        };
        for trained in &self.runs {
            let run = &trained.run;
            let checkpoint = full(&trained.checkpoint)?;
            let base = trained.base.as_deref().map_or(Ok(String::new()), full)?;
            let first = run.first_columns();
            let last = run.last_columns(self.flop_convention);
            out.write_record(
                (first.iter().map(String::as_str))
                    .chain(last)
                    .chain([checkpoint.as_str()])
                    .chain(with_epochs.then_some(run.epochs_column().as_str()))
                    .chain(with_base.then_some(base.as_str())),
            )
            .map_err(|e| io(e.to_string()))?;
        }
        out.flush().map_err(|e| io(e.to_string()))
    }

    /// Reads the columns `run,corpus,budget,flops,params,tokens,checkpoint` and, where they are
    /// there, `seed`, `trajectory`, `epochs`, `held_out` and `flop_convention`, with the meanings of
    /// [`Ladder::from_csv`]; as there, other columns are ignored unless they are misspelt. A
    /// `checkpoint` may be a LoRA adapter; the column `base` then names the folder of its base, or one
    /// of bases. Relative paths are relative to the folder of the table; an address (`hf://…`) stays
    /// as it is. The other forms of tables are read too
    /// ([`Tables::open`](crate::ladder::Tables::open)), but no pipes.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is no regular file. A [`LadderError`] with the line: missing,
    /// repeated or misspelt columns, fields that do not parse or are outside their domain, FLOPs that
    /// cannot be those of training, a run that comes twice, mixed FLOP conventions.
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self, LadderError> {
        Self::read(path.as_ref(), true)
    }

    /// Reads a table of runs whose losses another program has computed: as
    /// [`from_csv`](Self::from_csv), with the name by which that program knows the model in the column
    /// `model`, or else `checkpoint`, or else `run`. The name becomes the `checkpoint` as it stands.
    ///
    /// # Errors
    ///
    /// As there, except that no checkpoint is asked for.
    pub fn from_csv_of_models(path: impl AsRef<Path>) -> Result<Self, LadderError> {
        Self::read(path.as_ref(), false)
    }

    fn read(path: &Path, with_checkpoints: bool) -> Result<Self, LadderError> {
        let name = path.display().to_string();
        let mut source = Source::open_file(path)?;
        // Relative to the table, not to where the program was started.
        let folder = path.parent().unwrap_or(Path::new(""));
        let (required, optional) = match with_checkpoints {
            true => (&REQUIRED[..], OPTIONAL.to_vec()),
            false => (&REQUIRED[..6], [&OPTIONAL[..], &NAMES].concat()),
        };
        let places = find(&source.header, &name, required, &optional)?;
        // A builder refuses what is no run, and repeated names.
        let mut ladder = Ladder::builder();
        let mut convention: Option<(FlopConvention, Place)> = None;
        let mut runs = Vec::new();
        while let Some(record) = source.next_row()? {
            let row = Row {
                table: &name,
                earlier: &[],
                places: &places,
                record,
            };
            let run = row.run()?;
            let stated = row.convention_as(&mut convention)?;
            ladder.run(run.clone()).map_err(|e| row.within(e))?;
            run.check_flops(stated).map_err(|e| row.within(e))?;
            let checkpoint = if with_checkpoints {
                if row.text(Column::Checkpoint).is_empty() {
                    return Err(row.unexpected(Column::Checkpoint, "the path of a checkpoint"));
                }
                place(folder, row.text(Column::Checkpoint))
            } else {
                let names = NAMES.iter().map(|column| row.text(*column));
                let name = names.chain([row.text(Column::Run)]).find(|n| !n.is_empty());
                PathBuf::from(name.unwrap_or_default())
            };
            let base = Some(row.text(Column::Base)).filter(|base| !base.is_empty());
            runs.push(TrainedRun {
                run,
                checkpoint,
                base: base.map(|base| place(folder, base)),
            });
        }
        if runs.is_empty() {
            return Err(LadderError::Empty { what: "runs" });
        }
        let flop_convention = convention.map_or(FlopConvention::Unspecified, |(c, _)| c);
        Ok(Self {
            flop_convention,
            runs,
        })
    }
}

/// True for an address, which only a program that downloads can take: a scheme stands before it.
fn is_address(text: &str) -> bool {
    text.contains("://")
}

/// An address as it is, a path relative to `folder`.
fn place(folder: &Path, text: &str) -> PathBuf {
    match is_address(text) {
        true => text.into(),
        false => folder.join(text),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::ladder::Scale;

    fn read(name: &str, text: &str) -> Result<RunTable, LadderError> {
        let path = std::env::temp_dir().join(format!("relscale-{}-{name}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let table = RunTable::from_csv(&path);
        std::fs::remove_file(&path).unwrap();
        table
    }

    const HEADER: &str = "run,corpus,budget,flops,params,tokens,seed,flop_convention,checkpoint\n";

    #[test]
    fn reads_runs_in_order_and_keeps_absolute_paths() {
        let rows = "b,web,1e18,9e17,1e8,1.5e9,3,training,/models/b\na,web,1e18,9e17,1e7,1.5e10,,training,x/a\n";
        let table = read("runs", &(HEADER.to_owned() + rows)).unwrap();
        assert_eq!(table.flop_convention, FlopConvention::Training);
        assert_eq!(table.runs[0].checkpoint, Path::new("/models/b"));
        assert_eq!(table.runs[0].run.seed, Some(3));
        assert_eq!(table.runs[1].run.id, "a");
        assert_eq!(table.runs[1].checkpoint, std::env::temp_dir().join("x/a"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let path =
            std::env::temp_dir().join(format!("relscale-{}-written.csv", std::process::id()));
        let scale = Scale {
            params: 1e8 + 1.0,
            tokens: 1.5e9,
            flops: 9.1e17,
        };
        let run = Run::new("a, \"b\"", scale).corpus("web").budget(1e18);
        let run = run.seed(7).held_out().trajectory("t");
        let checkpoint = PathBuf::from("/models/a, b");
        let other = Run::new(
            "c",
            Scale {
                params: 1e7,
                tokens: 1.5e10,
                flops: 0.9e18,
            },
        );
        let table = RunTable::new(
            FlopConvention::SixNd,
            vec![
                TrainedRun {
                    run,
                    checkpoint,
                    base: Some("/models/base".into()),
                },
                TrainedRun {
                    run: other,
                    checkpoint: "here/c".into(),
                    base: None,
                },
            ],
        )
        .unwrap();
        table.write_csv(File::create(&path).unwrap()).unwrap();
        let read = RunTable::from_csv(&path).unwrap();
        assert_eq!(read.flop_convention, table.flop_convention);
        assert_eq!(read.runs[0], table.runs[0]);
        assert_eq!(read.runs[1].run, table.runs[1].run);
        let here = std::env::current_dir().unwrap();
        assert_eq!(read.runs[1].checkpoint, here.join("here/c"));
        assert_eq!(read.runs[1].base, None);
        std::fs::remove_file(&path).unwrap();

        let error = RunTable::new(FlopConvention::SixNd, vec![table.runs[0].clone(); 2]);
        assert!(error.unwrap_err().to_string().contains("was added twice"));
    }

    #[test]
    fn addresses_stay_as_they_are() {
        let rows = "a,web,1e18,9e17,1e8,1.5e9,,training,hf://org/name@v1\n";
        let table = read("addresses", &(HEADER.to_owned() + rows)).unwrap();
        assert_eq!(table.runs[0].checkpoint, Path::new("hf://org/name@v1"));
        let mut csv = Vec::new();
        table.write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert!(csv.trim_end().ends_with(",hf://org/name@v1"), "{csv}");
    }

    #[test]
    fn refusals_name_the_line() {
        let good = "a,web,1e18,9e17,1e8,1.5e9,,training,a\n";
        let cases = [
            ("", "no runs"),
            ("a,web,1e18,-1,1e8,1.5e9,,,a\n", "line 2: flops of run"),
            (
                "a,web,1e18,9e8,1e8,1.5e9,,,a\n",
                "line 2: run \"a\" has 9e8 FLOPs for 1e8 parameters and 1.5e9 tokens, 6.0e-9 per",
            ),
            ("a,web,1e18,x,1e8,1.5e9,,,a\n", "line 2: flops is \"x\""),
            (
                "a,web,1e18,9e17,1e8,1.5e9,,,\n",
                "line 2: checkpoint is \"\"",
            ),
            (
                &format!("{good}{good}"),
                "line 3: run \"a\" was added twice",
            ),
            (
                &format!("{good}b,web,1e18,9e17,1e8,1.5e9,,6nd,b\n"),
                "line 3: flop_convention of run \"b\" differs from line 2",
            ),
        ];
        for (i, (rows, expected)) in cases.into_iter().enumerate() {
            let error = read(&format!("bad-{i}"), &(HEADER.to_owned() + rows)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = read("columns", "run,corpus\n").unwrap_err();
        assert!(error.to_string().contains("no column named \"budget\""));
        let error = RunTable::from_csv("/nowhere/runs.csv").unwrap_err();
        assert!(error.to_string().contains("/nowhere/runs.csv"));
    }
}
