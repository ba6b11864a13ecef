//! Tables of runs: what was trained and where the checkpoints are.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::csv::{COLUMNS, Row, malformed, open};
use super::{FlopConvention, LadderError, Run};

/// The columns of the long table that a table of runs needs: those of a run, and `checkpoint`.
const REQUIRED: [usize; 7] = [0, 1, 2, 3, 4, 5, 15];

/// A run and its checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// What was trained.
    pub run: Run,
    /// The folder or file of the checkpoint.
    pub checkpoint: PathBuf,
}

/// The runs of a ladder whose checkpoints are still to be scored.
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
    /// What the FLOPs count.
    pub flop_convention: FlopConvention,
    /// The runs in the order of the table.
    pub runs: Vec<Trained>,
}

impl RunTable {
    /// A table of `runs`.
    ///
    /// # Errors
    ///
    /// No runs, a run that comes twice, or one with a field outside its domain.
    pub fn new(flop_convention: FlopConvention, runs: Vec<Trained>) -> Result<Self, LadderError> {
        // It holds what makes a run a run.
        let mut ladder = super::Ladder::builder();
        for trained in &runs {
            ladder.run(trained.run.clone())?;
        }
        if runs.is_empty() {
            return Err(LadderError::Empty { what: "runs" });
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
        let columns = [0, 1, 2, 3, 4, 5, 6, 12, 13, 14, 15].map(|c| COLUMNS[c]);
        out.write_record(columns).map_err(|e| io(e.to_string()))?;
        for Trained { run, checkpoint } in &self.runs {
            let checkpoint = std::path::absolute(checkpoint).map_err(|e| io(e.to_string()))?;
            let Some(checkpoint) = checkpoint.to_str() else {
                return Err(io(format!("the path {checkpoint:?} is not Unicode")));
            };
            let fields = run.fields();
            let last = run.last_fields(self.flop_convention);
            out.write_record(
                (fields.iter().map(String::as_str))
                    .chain(last)
                    .chain([checkpoint]),
            )
            .map_err(|e| io(e.to_string()))?;
        }
        out.flush().map_err(|e| io(e.to_string()))
    }

    /// Reads the columns `run,corpus,budget,flops,params,tokens,checkpoint` and, where they are
    /// there, `seed`, `trajectory`, `held_out` and `flop_convention`, with the meanings of
    /// [`Ladder::from_csv`](super::Ladder::from_csv). Others are ignored. A relative `checkpoint`
    /// is relative to the folder of the table.
    ///
    /// # Errors
    ///
    /// A [`LadderError`] with the line: missing columns, fields that do not parse or are outside
    /// their domain, a run that comes twice, mixed FLOP conventions.
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self, LadderError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| LadderError::Io {
            message: format!("{name}: {e}"),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let (mut input, places) = open(file, &name, &REQUIRED)?;
        // It holds what makes a run a run.
        let mut ladder = super::Ladder::builder();
        let mut convention: Option<(FlopConvention, u64)> = None;
        let mut runs = Vec::new();
        let mut record = csv::StringRecord::new();
        while input
            .read_record(&mut record)
            .map_err(|e| malformed(&name, &e))?
        {
            let row = Row {
                table: &name,
                places: &places,
                record: &record,
            };
            let run = row.run()?;
            row.convention_as(&mut convention)?;
            ladder.run(run.clone()).map_err(|e| row.within(e))?;
            if row.text(15).is_empty() {
                return Err(row.unexpected(15, "the path of a checkpoint"));
            }
            let checkpoint = folder.join(row.text(15));
            runs.push(Trained { run, checkpoint });
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let rows =
            "b,web,1e18,9e17,1e8,1e9,3,training,/models/b\na,web,1e18,9e17,1e7,1e9,,training,x/a\n";
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
        let run = Run::new("a, \"b\"", "web", 1e18, 2.5e18, 1e8 + 1.0, 1.5e9);
        let run = run.with_seed(7).with_held_out().with_trajectory("t");
        let checkpoint = PathBuf::from("/models/a, b");
        let other = Run::new("c", "web", 1e18, 0.1, 1e7, 1e9);
        let table = RunTable::new(
            FlopConvention::SixNd,
            vec![
                Trained { run, checkpoint },
                Trained {
                    run: other,
                    checkpoint: "here/c".into(),
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
        std::fs::remove_file(&path).unwrap();

        let error = RunTable::new(FlopConvention::SixNd, vec![table.runs[0].clone(); 2]);
        assert!(error.unwrap_err().to_string().contains("was added twice"));
    }

    #[test]
    fn refusals_name_the_line() {
        let good = "a,web,1e18,9e17,1e8,1e9,,training,a\n";
        let cases = [
            ("", "no runs"),
            ("a,web,1e18,-1,1e8,1e9,,,a\n", "line 2: flops of run"),
            ("a,web,1e18,x,1e8,1e9,,,a\n", "line 2: flops is \"x\""),
            ("a,web,1e18,9e17,1e8,1e9,,,\n", "line 2: checkpoint is \"\""),
            (
                &format!("{good}{good}"),
                "line 3: run \"a\" was added twice",
            ),
            (
                &format!("{good}b,web,1e18,9e17,1e8,1e9,,6nd,b\n"),
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
