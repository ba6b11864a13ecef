//! Tables of losses as people keep them: in several forms and files, long or wide.

use std::io::{self, Read};
use std::path::Path;

use super::column::Column;
use super::csv::{OPTIONAL, required};
use super::nearest::nearest;
use super::record::Batch;
use super::rows::Rows;
use super::source::Source;
use super::table::{Row, find};
use super::{Ladder, LadderError};

mod layout;
mod roles;
mod runs;

use layout::Layout;
use roles::Role;
use runs::Runs;

/// One or several tables of losses, read as one ladder.
///
/// **Forms.** CSV (separated by commas, tabs or semicolons), JSON lines and, with the feature `parquet`,
/// Parquet; CSV and JSON lines may be compressed with gzip or Zstandard (feature `compressed`). The form is
/// told by the content. A CSV file whose name ends in `.tsv` is separated by tabs.
///
/// **Columns.** Those of [`Ladder::from_csv`]. Without `corpus`, all runs are of the corpus `default`; without
/// `budget`, it is the FLOPs; without `flops`, they are 6·`params`·`tokens`. A note says so.
///
/// **Long or wide.** A long table has the columns `distribution` and `loss`. A wide table has one column of
/// losses per distribution: those that [`distributions`](Self::distributions) names or, in a table without
/// `loss`, every column of numbers that is not known to be something else. An empty cell was not scored.
///
/// **Several tables.** Rows of all tables are one ladder. A table without losses describes runs: its columns
/// are joined to the losses by `run`. A run may be described several times, in one way; a row may not occur
/// twice.
///
/// **Limits.** Rows are read one after another. Compressed files that decode to more than 500 times their
/// size (and 64 MiB), and rows of more than 64 MiB, are refused.
///
/// # Examples
/// ```
/// use relscale::ladder::Tables;
///
/// let runs = "run,params,tokens\nsmall,1e8,2e9\nlarge,1e9,2e10\n";
/// let losses = "run,news,law\nsmall,3,4\nlarge,2.5,3.25\n";
/// let (ladder, notes) = Tables::new()
///     .add(losses.as_bytes(), "losses.csv")?
///     .add(runs.as_bytes(), "runs.csv")?
///     .ladder()?;
/// assert_eq!(ladder.error("large", "law"), Some(3.25));
/// assert_eq!(ladder.runs()[0].flops, 1.2e18);
/// assert!(notes.iter().any(|note| note.contains("each of the columns news, law")));
/// # Ok::<(), relscale::ladder::LadderError>(())
/// ```
#[derive(Debug, Default)]
pub struct Tables {
    sources: Vec<Source<'static>>,
    scale: Option<String>,
    distributions: Vec<String>,
    columns: Vec<(Column, String)>,
}

impl Tables {
    /// No tables yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn of_source(source: Source<'static>) -> Self {
        Self {
            sources: vec![source],
            ..Self::default()
        }
    }

    /// Takes the column `scale` for the scale ([`Ladder::from_csv_along`]).
    #[must_use]
    pub fn along(mut self, scale: impl Into<String>) -> Self {
        self.scale = Some(scale.into());
        self
    }

    /// Names the columns of wide tables that are losses.
    #[must_use]
    pub fn distributions(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.distributions = names.into_iter().map(Into::into).collect();
        self
    }

    /// Says that `column` (`loss`, `distribution`, …) has another name in the tables.
    ///
    /// # Errors
    /// A column that is not read, or is named twice.
    pub fn column(mut self, column: &str, name: impl Into<String>) -> Result<Self, LadderError> {
        let refused = |message: String| LadderError::Malformed {
            table: format!("column {column:?}"),
            line: None,
            message,
        };
        let Some(known) = Column::ALL.into_iter().find(|c| c.name() == column) else {
            let names = Column::ALL.map(Column::name);
            return Err(refused(match nearest(column, names) {
                Some(near) => format!("is not read; did you mean {near:?}?"),
                None => format!("is not read; a table may have {}", names.join(", ")),
            }));
        };
        if self.columns.iter().any(|(other, _)| *other == known) {
            return Err(refused("is given two names".to_owned()));
        }
        self.columns.push((known, name.into()));
        Ok(self)
    }

    /// Adds a file, or standard input for `-`.
    ///
    /// # Errors
    /// A file that cannot be read, or whose form is not read, with the way out.
    pub fn open(mut self, path: impl AsRef<Path>) -> Result<Self, LadderError> {
        self.sources.push(Source::open(path.as_ref())?);
        Ok(self)
    }

    /// Adds a table from `source`; `name` stands for it in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn add(mut self, source: impl Read + 'static, name: &str) -> Result<Self, LadderError> {
        self.sources.push(Source::any(source, name)?);
        Ok(self)
    }

    /// Adds a table that the program has in memory: the names of its columns, and its rows as the text that
    /// a CSV file would have. An empty field is a missing one. `name` stands for the table in errors, which
    /// count its rows from 1.
    ///
    /// # Examples
    /// ```
    /// use relscale::ladder::Tables;
    ///
    /// let columns = ["run", "params", "tokens", "news"].map(str::to_owned);
    /// let rows = [["small", "1e8", "2e9", "3.5"], ["large", "1e9", "2e10", "x"]];
    /// let rows = rows.map(|row| Ok(row.map(str::to_owned).to_vec()));
    /// let tables = Tables::new().distributions(["news"]);
    /// let error = tables.add_rows("losses", columns, rows).ladder().unwrap_err();
    /// assert!(error.to_string().contains("row 2"), "{error}");
    /// ```
    #[must_use]
    pub fn add_rows<R>(
        mut self,
        name: &str,
        columns: impl IntoIterator<Item = String>,
        rows: R,
    ) -> Self
    where
        R: IntoIterator<Item = io::Result<Vec<String>>>,
        R::IntoIter: 'static,
    {
        let columns = columns.into_iter().collect();
        let source = Source::given(name, columns, rows.into_iter());
        self.sources.push(source);
        self
    }

    /// Reads the tables as one ladder, with notes on what was understood without being said.
    ///
    /// # Errors
    /// A [`LadderError`] with table and line: as [`Ladder::from_csv`]; tables without losses; runs that no
    /// table describes, or two describe differently; columns of a wide table that are not numbers.
    pub fn ladder(mut self) -> Result<(Ladder, Vec<String>), LadderError> {
        if self.sources.is_empty() {
            return Err(LadderError::Empty { what: "tables" });
        }
        self.rename()?;
        let mut notes = Vec::new();
        let roles = roles::of(&self.sources, &self.distributions, self.scale.as_deref())?;
        let mut runs = Runs::default();
        let mut losses = Vec::new();
        let mut rows = Rows::default();
        let names: Vec<&str> = self.sources.iter().map(|s| s.name.as_str()).collect();
        rows.builder.name(names.join(" + "));
        for (source, role) in self.sources.into_iter().zip(roles) {
            match role {
                Role::Runs => runs.read(source, self.scale.as_deref(), &mut notes)?,
                role => losses.push((source, role)),
            }
        }
        if let Some(scale) = &self.scale {
            rows.scale = Some((scale.replace('_', " "), None));
        }
        let mut earlier = Vec::new();
        for (mut source, role) in losses {
            let layout = Layout::new(&mut source, role, &runs, self.scale.as_deref(), &mut notes)?;
            let name = source.name.clone();
            read(
                source,
                layout,
                &mut runs,
                &earlier,
                self.scale.as_deref(),
                &mut rows,
            )?;
            earlier.push(name);
        }
        notes.extend(runs.without_losses());
        Ok((rows.finish()?, notes))
    }

    /// Gives the columns of every table the names that are read, all at once: `cluster=item,item=id` says the
    /// same in any order.
    fn rename(&mut self) -> Result<(), LadderError> {
        if let Some((column, name)) = self.columns.iter().find(|(_, name)| {
            let mut headers = self.sources.iter().map(|s| &s.header);
            headers.all(|header| header.iter().all(|h| h != name))
        }) {
            return Err(self.no_column(*column, name));
        }
        for source in &mut self.sources {
            let header = &source.header;
            let is_there = |name: &str| header.iter().any(|h| h == name);
            let here: Vec<_> = self.columns.iter().filter(|(_, n)| is_there(n)).collect();
            let renamed = header.iter().map(|h| {
                match here.iter().find(|(_, name)| name == h) {
                    Some((column, _)) => column.name(),
                    // Another column of that name is not the one that is meant.
                    None if here.iter().any(|(column, _)| column.name() == h) => "",
                    None => h,
                }
            });
            source.header = renamed.collect();
        }
        Ok(())
    }

    /// The error of a name that no table has for a column.
    fn no_column(&self, column: Column, name: &str) -> LadderError {
        let all = self.sources.iter().flat_map(|s| s.header.iter());
        let mut all: Vec<&str> = all.collect();
        let near = nearest(name, all.iter().copied());
        let hint = near.map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
        all.dedup();
        LadderError::Malformed {
            table: self.sources[0].name.clone(),
            line: Some(1),
            message: format!(
                "no column named {name:?}, which stands for {:?}; the first line has {}{hint}",
                column.name(),
                all.join(", ")
            ),
        }
    }
}

/// Adds the rows of one table of losses.
fn read(
    mut source: Source<'static>,
    layout: Layout,
    runs: &mut Runs,
    earlier: &[String],
    scale: Option<&str>,
    rows: &mut Rows,
) -> Result<(), LadderError> {
    let name = source.name.clone();
    let places = find(&layout.header, &name, required(scale.is_some()), &OPTIONAL);
    let mut places = places.map_err(|e| match e {
        // The columns of the file, not those that were added.
        LadderError::MissingColumn { table, column, .. } => LadderError::MissingColumn {
            table,
            column,
            found: source.header.iter().map(Into::into).collect(),
        },
        e => e,
    })?;
    if let Some(scale) = scale {
        places = places.along(scale, &layout.header, &name)?;
    }
    let mut long = Batch::default();
    while let Some(record) = source.next_row()? {
        let result = layout.rows(record, runs, &mut long, |record| {
            rows.add(&Row {
                table: &name,
                earlier,
                places: &places,
                record,
            })
        });
        result.map_err(|e| source.placed(e))?;
    }
    Ok(())
}
