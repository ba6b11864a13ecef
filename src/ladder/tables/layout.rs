//! The columns of a table as those of a long table.

use csv::StringRecord;

use super::roles::Role;
use super::runs::Runs;
use crate::ladder::LadderError;
use crate::ladder::column::Column;
use crate::ladder::names::repeated;
use crate::ladder::nearest::alike;
use crate::ladder::record::{Batch, Record};
use crate::ladder::source::Source;

/// Columns of numbers that tables of runs have, and that are no losses. Taken for distributions, they
/// would be fitted.
const NO_LOSSES: [&str; 22] = [
    "",
    "unnamed: 0",
    "index",
    "__index_level_0__",
    "id",
    "step",
    "steps",
    "epoch",
    "iteration",
    "lr",
    "learning_rate",
    "batch_size",
    "weight_decay",
    "warmup",
    "layers",
    "width",
    "depth",
    "heads",
    "hidden",
    "context",
    "vocab_size",
    "time",
];

/// A table of losses whose rows are made long, complete and joined.
pub(super) struct Layout {
    /// Columns of the long rows.
    pub(super) header: StringRecord,
    table: String,
    from: Vec<Origin>,
    run: Option<usize>,
    /// If true, columns come from the tables of runs, so that every run must be there.
    needs_runs: bool,
    /// Places of columns that a table of runs has too, with their number there.
    described: Vec<(usize, usize)>,
    wide: Option<Wide>,
    /// If true, the rows are long and complete as they are.
    is_complete: bool,
}

/// The origin of a field of a long row.
enum Origin {
    Field(usize),
    /// A column of the tables of runs.
    Runs(usize),
    /// A field of the long row before.
    Copy(usize),
    Constant(&'static str),
    /// 6·parameters·tokens of the fields of the long row before.
    SixNd(usize, usize),
    Distribution,
    Loss,
}

/// A row, with its run in the tables of runs.
#[derive(Clone, Copy)]
struct Joined<'a> {
    row: Record<'a>,
    runs: &'a Runs,
    run: Option<u32>,
}

/// The columns of a wide table.
struct Wide {
    header: StringRecord,
    losses: Vec<usize>,
}

impl Layout {
    /// The layout of one table; adds notes on what it takes for granted.
    pub(super) fn new(
        source: &mut Source<'_>,
        role: Role,
        runs: &Runs,
        scale: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Self, LadderError> {
        let wide = match role {
            Role::Wide(Some(losses)) => Some(Wide {
                header: source.header.clone(),
                losses,
            }),
            Role::Wide(None) => Some(Wide::by_first_row(source, scale, notes)?),
            Role::Long | Role::Runs => None,
        };
        let header = &source.header;
        if let Some(wide) = &wide {
            wide.check(&source.name)?;
        }
        // Besides the losses of distributions, a table may have one of training.
        let long = [Column::Loss, Column::Distribution].map(Column::name);
        let is_loss = |place: usize| {
            let wide = wide.as_ref();
            wide.is_some_and(|w| w.losses.contains(&place) || long.contains(&&w.header[place]))
        };
        let mut layout = Self {
            header: StringRecord::new(),
            table: source.name.clone(),
            from: Vec::new(),
            run: header.iter().position(|h| h == Column::Run.name()),
            needs_runs: false,
            described: Vec::new(),
            wide: None,
            is_complete: false,
        };
        for (place, name) in header.iter().enumerate().filter(|(p, _)| !is_loss(*p)) {
            layout.push(name, Origin::Field(place));
            if let Some(at) = runs.columns.iter().position(|c| c == name) {
                layout.described.push((place, at));
            }
        }
        for (at, name) in runs.columns.iter().enumerate() {
            if layout.place(name).is_none() {
                layout.push(name, Origin::Runs(at));
                // Even one that may be empty: a run that is held out would be fitted.
                layout.needs_runs = true;
            }
        }
        layout.complete(scale.is_some(), notes);
        if wide.is_some() {
            layout.push(Column::Distribution.name(), Origin::Distribution);
            layout.push(Column::Loss.name(), Origin::Loss);
        }
        let own =
            |(at, from): (usize, &Origin)| matches!(from, Origin::Field(place) if *place == at);
        layout.is_complete = layout.described.is_empty() && layout.from.iter().enumerate().all(own);
        layout.wide = wide;
        Ok(layout)
    }

    fn push(&mut self, name: &str, from: Origin) {
        self.header.push_field(name);
        self.from.push(from);
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h == name)
    }

    /// Adds the columns that follow from others, with notes.
    fn complete(&mut self, along: bool, notes: &mut Vec<String>) {
        let table = self.table.clone();
        // A misspelt column is not a missing one.
        let lacks =
            |layout: &Self, column: Column| !layout.header.iter().any(|h| alike(h, column.name()));
        if lacks(self, Column::Corpus) {
            self.push(Column::Corpus.name(), Origin::Constant("default"));
            notes.push(format!(
                "{table}: no column `corpus`; all runs are of one corpus, `default`"
            ));
        }
        if along {
            return;
        }
        let size = [Column::Params, Column::Tokens].map(|c| self.place(c.name()));
        if let [Some(params), Some(tokens)] = size
            && lacks(self, Column::Flops)
            && lacks(self, Column::FlopConvention)
        {
            self.push(Column::Flops.name(), Origin::SixNd(params, tokens));
            self.push(Column::FlopConvention.name(), Origin::Constant("6nd"));
            notes.push(format!(
                "{table}: no column `flops`; they are taken for 6·params·tokens"
            ));
        }
        if let Some(flops) = self.place(Column::Flops.name())
            && lacks(self, Column::Budget)
        {
            self.push(Column::Budget.name(), Origin::Copy(flops));
            notes.push(format!(
                "{table}: no column `budget`; the budget of a run is its FLOPs"
            ));
        }
    }

    /// Calls `add` with the long rows of a row.
    pub(super) fn rows(
        &self,
        row: Record<'_>,
        runs: &mut Runs,
        long: &mut Batch,
        mut add: impl FnMut(Record<'_>) -> Result<(), LadderError>,
    ) -> Result<(), LadderError> {
        let described = match runs.is_empty() {
            true => None,
            false => self.described(row, runs)?,
        };
        let row = Joined {
            row,
            runs,
            run: described,
        };
        let Some(wide) = &self.wide else {
            if self.is_complete {
                return add(row.row);
            }
            self.long(row, ("", ""), long)?;
            return add(long.row(0));
        };
        for &at in &wide.losses {
            let (name, loss) = (&wide.header[at], row.row.get(at).unwrap_or_default());
            // pandas writes an empty cell for NaN, other programs the word.
            if loss.is_empty() || loss.eq_ignore_ascii_case("nan") {
                continue;
            }
            if loss.parse::<f64>().is_err() {
                let message = format!(
                    "{name} is {loss:?}, expected a loss; name the columns that are losses \
                     (distributions)"
                );
                return Err(self.malformed(row.row, message));
            }
            self.long(row, (name, loss), long)?;
            add(long.row(0))?;
        }
        Ok(())
    }

    /// Number of the run of a row in the tables of runs, which must agree with the row.
    fn described(&self, row: Record<'_>, runs: &mut Runs) -> Result<Option<u32>, LadderError> {
        let run = self.run.and_then(|at| row.get(at)).unwrap_or_default();
        let run = match runs.find(run) {
            Ok(run) => run,
            // A table that describes its runs itself needs no other.
            Err(_) if !self.needs_runs => return Ok(None),
            Err(message) => return Err(self.malformed(row, message)),
        };
        for &(place, at) in &self.described {
            let text = row.get(place).unwrap_or_default();
            if let Some(message) = runs.conflict(run, at, text) {
                return Err(self.malformed(row, message));
            }
        }
        Ok(Some(run))
    }

    /// Makes one long row.
    fn long(
        &self,
        Joined { row, runs, run }: Joined<'_>,
        (distribution, loss): (&str, &str),
        long: &mut Batch,
    ) -> Result<(), LadderError> {
        long.clear();
        for from in &self.from {
            match from {
                Origin::Field(at) => {
                    let own = row.get(*at).unwrap_or_default();
                    let described = self.described.iter().find(|(place, _)| place == at);
                    match described {
                        Some((_, column)) if own.is_empty() => long.push(runs.value(run, *column)),
                        _ => long.push(own),
                    }
                }
                Origin::Runs(at) => long.push(runs.value(run, *at)),
                Origin::Copy(at) => long.push_again(*at),
                Origin::Constant(text) => long.push(text),
                Origin::SixNd(params, tokens) => {
                    let number = |at: usize| {
                        let text = long.field(at);
                        text.parse::<f64>().map_err(|_| {
                            let name = &self.header[at];
                            self.malformed(row, format!("{name} is {text:?}, expected a number"))
                        })
                    };
                    let flops = 6.0 * number(*params)? * number(*tokens)?;
                    long.push(&format!("{flops:e}"));
                }
                Origin::Distribution => long.push(distribution),
                Origin::Loss => long.push(loss),
            }
        }
        long.end_row(row.line());
        Ok(())
    }

    fn malformed(&self, row: Record<'_>, message: String) -> LadderError {
        LadderError::Malformed {
            table: self.table.clone(),
            line: Some(row.line()),
            message,
        }
    }
}

/// True for the name of a column that is read in a long table or in one of runs.
pub(super) fn is_read(name: &str, scale: Option<&str>) -> bool {
    scale == Some(name) || Column::ALL.iter().any(|c| c.name() == name)
}

/// Places of the columns that hold numbers in the first row, are not read, and are not known to be something
/// else than losses.
pub(super) fn numbers(
    source: &mut Source<'_>,
    scale: Option<&str>,
) -> Result<Vec<usize>, LadderError> {
    let header = source.header.clone();
    let first = source.peek()?;
    let is_number = |place: usize| {
        let text = first.and_then(|row| row.get(place)).unwrap_or_default();
        text.is_empty() || text.parse::<f64>().is_ok()
    };
    let may_be_loss = |(place, h): (usize, &str)| {
        let is_other = is_read(h, scale) || NO_LOSSES.contains(&h.to_ascii_lowercase().as_str());
        (!is_other && is_number(place)).then_some(place)
    };
    Ok(header.iter().enumerate().filter_map(may_be_loss).collect())
}

impl Wide {
    /// Refuses two columns of one name, whose losses would be those of one distribution.
    fn check(&self, table: &str) -> Result<(), LadderError> {
        match repeated(self.losses.iter().map(|&place| &self.header[place])) {
            None => Ok(()),
            Some(name) => Err(LadderError::Malformed {
                table: table.to_owned(),
                line: Some(1),
                message: format!("two columns are named {name:?}"),
            }),
        }
    }

    /// Takes every column of numbers for losses that is not known to be something else.
    fn by_first_row(
        source: &mut Source<'_>,
        scale: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Self, LadderError> {
        let header = source.header.clone();
        let table = source.name.clone();
        let numbers = numbers(source, scale)?;
        let rest = header.iter().enumerate();
        let rest = rest.filter(|(_, h)| !is_read(h, scale));
        // The places are in order.
        let (losses, others): (Vec<(usize, &str)>, Vec<_>) =
            rest.partition(|(place, _)| numbers.binary_search(place).is_ok());
        for (_, name) in &losses {
            if let Some(meant) = Column::ALL.iter().find(|c| alike(name, c.name())) {
                return Err(LadderError::MisspeltColumn {
                    table,
                    column: (*name).to_owned(),
                    meant: meant.name(),
                });
            }
        }
        let names = |columns: &[(usize, &str)]| {
            let names = columns.iter().map(|(_, name)| *name);
            names
                .filter(|n| !n.is_empty())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if losses.is_empty() {
            let columns: Vec<&str> = header.iter().collect();
            return Err(LadderError::Malformed {
                table,
                line: Some(1),
                message: format!(
                    "neither a column `loss` nor columns of numbers that could be losses; the first line has {}",
                    columns.join(", ")
                ),
            });
        }
        let not = match names(&others) {
            none if none.is_empty() => none,
            others => format!(", and {others} not"),
        };
        notes.push(format!(
            "{table}: no column `loss`; each of the columns {} is taken for a distribution{not}; name them \
             (distributions) if that is wrong",
            names(&losses)
        ));
        let losses = losses.into_iter().map(|(place, _)| place).collect();
        Ok(Self { header, losses })
    }
}
