//! The long CSV form of a ladder.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::column::Column;
use super::rows::Rows;
use super::source::Source;
use super::table::{Row, find};
use super::{Ladder, LadderError};

/// The columns that every table of losses has.
const REQUIRED: [Column; 8] = [
    Column::Corpus,
    Column::Run,
    Column::Budget,
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Distribution,
    Column::Loss,
];
/// The columns that a table along a scale of its own must have besides that scale.
const REQUIRED_ALONG: [Column; 4] = [
    Column::Corpus,
    Column::Run,
    Column::Distribution,
    Column::Loss,
];
/// The columns that a table of losses may have besides.
pub(super) const OPTIONAL: [Column; 12] = [
    Column::Seed,
    Column::Cluster,
    Column::Item,
    Column::Weight,
    Column::Trajectory,
    Column::FlopConvention,
    Column::HeldOut,
    Column::Chance,
    Column::ScaleName,
    Column::Epochs,
    Column::StandardError,
    Column::Scorer,
];
/// The columns that a table must have, along a scale of its own or along compute.
pub(super) fn required(along: bool) -> &'static [Column] {
    match along {
        true => &REQUIRED_ALONG,
        false => &REQUIRED,
    }
}

/// The columns that are written, in their order; `chance`, `scale_name`, `epochs`, `standard_error` and
/// `scorer` follow where they are known.
const WRITTEN: [Column; 14] = [
    Column::Corpus,
    Column::Run,
    Column::Budget,
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Seed,
    Column::Distribution,
    Column::Cluster,
    Column::Loss,
    Column::Weight,
    Column::Trajectory,
    Column::FlopConvention,
    Column::HeldOut,
];

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
    /// - `weight`: the normaliser of the row (bytes, tokens, items), 1 if left out (an error rate other
    ///   than 0 or 1 needs it: it is the number of items);
    /// - `chance`: the loss of a model that knows nothing (`1 − 1/k` for the error rate of a choice of
    ///   `k`), in all rows of a distribution or in none; where it differs between items, the chance
    ///   of the distribution is its mean by weight;
    /// - `standard_error`: the sampling standard error of `loss` over the items behind the row, in the
    ///   unit of the loss, in all rows of a distribution or in none; it stands for the spread of
    ///   clusters where a distribution has fewer than two, and is not used where it has more;
    /// - `scorer`: name of the scorer of the row (`bits_per_byte`, `error_rate`), the same in all rows of
    ///   a distribution; the fit compares distributions of one scorer;
    /// - `trajectory`: the training run of which this run is a checkpoint;
    /// - `flop_convention`: one of the names of [`FlopConvention`](crate::ladder::FlopConvention), the same in every row;
    /// - `epochs`: passes over the training data, above 1 where tokens were seen more than once;
    /// - `held_out`: `true` for runs that are predicted and never fitted;
    /// - `scale_name`: name of the scale in words where it is not training compute, the same in every
    ///   row; `flops` and `budget` then hold that quantity ([`LadderBuilder::scale_name`](crate::ladder::LadderBuilder::scale_name)).
    ///
    /// Other columns are ignored, so that a table may keep what else is known of its runs, except
    /// one whose name is nearly that of an optional column (`weights`, `heldout`): read past, it
    /// would change the result in silence. `loss` is the mean error of the row, so that the error
    /// of a run on a distribution is `Σ loss·weight / Σ weight`. `name` stands for the table in
    /// errors.
    ///
    /// # Errors
    ///
    /// A [`LadderError`] with the line: missing, repeated or misspelt columns, fields that do not
    /// parse or are outside their domain, FLOPs that cannot be those of training, repeated rows, a
    /// run described in two ways, mixed FLOP conventions, two scorers of one distribution.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = "corpus,run,budget,flops,params,tokens,distribution,loss\n\
    ///             web,small,1e18,1.2e18,1e8,2e9,news,3.5\n";
    /// let ladder = relscale::ladder::Ladder::from_csv(text.as_bytes(), "inline")?;
    /// assert_eq!(ladder.error("small", "news"), Some(3.5));
    /// # Ok::<(), relscale::ladder::LadderError>(())
    /// ```
    pub fn from_csv(reader: impl Read, name: &str) -> Result<Self, LadderError> {
        Self::read(reader, name, None)
    }

    /// Reads the long CSV form along the column `scale`, a positive quantity other than training
    /// compute: test-time tokens, the share of data kept, the number of shots.
    ///
    /// As [`from_csv`](Self::from_csv), with that column in place of `budget` and `flops`, which are
    /// not read. `params` and `tokens` may be left out for runs of one model; several models are
    /// corpora. The name of the column is that of the scale ([`Ladder::scale_name`]), with spaces for
    /// underscores. The largest value is the top of the ladder, whatever progress means.
    ///
    /// # Errors
    ///
    /// As there, a column that is missing or named twice, and values that are not above zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = "corpus,run,share_kept,distribution,loss\n\
    ///             web,small,0.25,news,3.5\n";
    /// let ladder = relscale::ladder::Ladder::from_csv_along(text.as_bytes(), "inline", "share_kept")?;
    /// assert_eq!(ladder.scale_name(), Some("share kept"));
    /// assert_eq!(ladder.runs()[0].flops, 0.25);
    /// # Ok::<(), relscale::ladder::LadderError>(())
    /// ```
    pub fn from_csv_along(reader: impl Read, name: &str, scale: &str) -> Result<Self, LadderError> {
        Self::read(reader, name, Some(scale))
    }

    fn read(reader: impl Read, name: &str, scale: Option<&str>) -> Result<Self, LadderError> {
        let mut source = Source::csv(reader, name)?;
        let required = required(scale.is_some());
        let mut places = find(&source.header, name, required, &OPTIONAL)?;
        let mut rows = Rows::default();
        rows.builder.name(name);
        if let Some(scale) = scale {
            places = places.along(scale, &source.header, name)?;
            rows.scale = Some((scale.replace('_', " "), None));
        }
        while let Some(record) = source.next_row()? {
            rows.add(&Row {
                table: name,
                earlier: &[],
                places: &places,
                record,
            })?;
        }
        rows.finish()
    }

    /// [`from_csv`](Self::from_csv) of a file, which is named in errors.
    ///
    /// # Errors
    ///
    /// As there, and a file that cannot be read.
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self, LadderError> {
        let (file, name) = opened(path.as_ref())?;
        Self::from_csv(file, &name)
    }

    /// [`from_csv_along`](Self::from_csv_along) of a file, which is named in errors.
    ///
    /// # Errors
    ///
    /// As there, and a file that cannot be read.
    pub fn load_csv_along(path: impl AsRef<Path>, scale: &str) -> Result<Self, LadderError> {
        let (file, name) = opened(path.as_ref())?;
        Self::from_csv_along(file, &name, scale)
    }

    /// Writes the long CSV form, one row per (run, distribution, cluster).
    ///
    /// Reading the table back gives the same ladder up to one rounding of each loss. The number of rows
    /// behind a sum is not written. After reading back, a cluster of which a run lacks an item therefore
    /// counts as complete, and several rows of a cell without weights become one row whose weight is their
    /// number.
    ///
    /// # Errors
    ///
    /// [`LadderError::Io`] where the writer fails.
    pub fn write_csv(&self, writer: impl Write) -> Result<(), LadderError> {
        let io = |message: String| LadderError::Io { message };
        let mut out = csv::Writer::from_writer(writer);
        // Only where they say something: a table of losses along compute has no use for empty columns.
        let with_chance = self.scores.iter().any(|s| s.chance.is_some());
        let named = self.scale_name.as_deref();
        let with_epochs = self.runs.iter().any(|r| r.epochs.is_some());
        let names = WRITTEN.map(Column::name).into_iter();
        let extra = with_chance.then_some(Column::Chance.name());
        let extra = extra
            .into_iter()
            .chain(named.map(|_| Column::ScaleName.name()))
            .chain(with_epochs.then_some(Column::Epochs.name()));
        let with_error = (self.scores.iter()).any(|s| s.cells.iter().any(|c| c.variance.is_some()));
        let error_name = with_error.then_some(Column::StandardError.name());
        let with_scorer = self.scores.iter().any(|s| s.scorer.is_some());
        let scorer_name = with_scorer.then_some(Column::Scorer.name());
        out.write_record(names.chain(extra).chain(error_name).chain(scorer_name))
            .map_err(|e| io(e.to_string()))?;
        for (r, run) in self.runs.iter().enumerate() {
            let first = run.first_columns();
            let last = run.last_columns(self.flop_convention);
            for scores in &self.scores {
                for cell in scores.run(r) {
                    // A weight that was never given stays out, and is asked for where it matters.
                    let weight = match scores.unweighted.is_some() && cell.weight == 1.0 {
                        true => String::new(),
                        false => cell.weight.to_string(),
                    };
                    let chance = scores.chance.map_or_else(String::new, |c| c.to_string());
                    let error = (cell.variance)
                        .map_or_else(String::new, |v| (v.sqrt() / cell.weight).to_string());
                    out.write_record(
                        (first.iter().map(String::as_str))
                            .chain([
                                scores.name(),
                                &scores.clusters[cell.cluster],
                                // The shortest decimals that read back to the same number.
                                &format!("{}", cell.loss / cell.weight),
                                &weight,
                            ])
                            .chain(last)
                            .chain(with_chance.then_some(chance.as_str()))
                            .chain(named)
                            .chain(with_epochs.then_some(run.epochs_column().as_str()))
                            .chain(with_error.then_some(error.as_str()))
                            .chain(with_scorer.then_some(scores.scorer().unwrap_or_default())),
                    )
                    .map_err(|e| io(e.to_string()))?;
                }
            }
        }
        out.flush().map_err(|e| io(e.to_string()))
    }
}

/// The file and its name for errors.
fn opened(path: &Path) -> Result<(File, String), LadderError> {
    let name = path.display().to_string();
    match crate::input::stream(path) {
        Ok(file) => Ok((file, name)),
        Err(e) => Err(LadderError::Io {
            message: format!("{name}: {e}"),
        }),
    }
}
