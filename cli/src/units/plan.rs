//! Plans: what a study scores, pinned by hashes and cut into units.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Source, UnitError};
use relscale::Error;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::ladder::{FlopConvention, Ladder, Run, RunTable, TrainedRun};
use relscale::log::{Key, checkpoint_hash, distribution_hash};
use relscale::model::{Batch, Model};
use relscale::scorer::{self, Scorer};
use relscale::tokenizer::Tokenizer;

/// What is to be scored, as a user writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// The table of runs ([`RunTable::from_csv`]).
    pub runs: PathBuf,
    /// What they are scored on.
    pub distributions: Vec<Source>,
    /// How items are cut into sequences.
    #[serde(default)]
    pub scoring: Settings,
    /// Backend and precision, as whoever loads the models names them.
    #[serde(default = "cpu")]
    pub backend: String,
    /// What a unit may cost, FLOPs ([`Unit::flops`]).
    pub unit_flops: f64,
}

fn cpu() -> String {
    "cpu f32".to_owned()
}

impl Study {
    /// Reads a study from a JSON file. Relative paths are relative to the folder of the file.
    ///
    /// # Errors
    /// A file that cannot be read or is not a study, by line and column.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let mut study: Self = serde_json::from_str(&text).map_err(|e| Error::format(path, e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        study.runs = folder.join(&study.runs);
        for source in &mut study.distributions {
            source.path = folder.join(&source.path);
        }
        Ok(study)
    }
}

/// A piece of work: some items of a distribution, scored with a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The run whose checkpoint it is.
    pub run: String,
    /// The distribution.
    pub distribution: String,
    /// The places of the items in it.
    pub items: Range<usize>,
    /// What it costs: 2·N·T for N parameters and T tokens, a token counted for every four bytes of
    /// text. The context of several choices counts once.
    ///
    /// Bytes stand for tokens so that a plan needs no tokenizer, of which every checkpoint may have
    /// another. Within a distribution, where units are cut, the two are nearly proportional.
    pub flops: f64,
}

impl Unit {
    /// Run, distribution and items: `small/english-help/0-16` for the first sixteen.
    ///
    /// Bytes other than ASCII letters, digits, `-`, `_` and `.` are written `%2F`, and so is a `.`
    /// at the start, so that the name is the path of a file.
    #[must_use]
    pub fn name(&self) -> String {
        let (run, distribution) = (encoded(&self.run), encoded(&self.distribution));
        format!(
            "{run}/{distribution}/{}-{}",
            self.items.start, self.items.end
        )
    }

    pub(super) fn error(&self, source: Error) -> UnitError {
        UnitError::Unit {
            unit: self.name(),
            source,
        }
    }
}

fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && at > 0) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

/// A run of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedRun {
    pub(super) run: Run,
    pub(super) checkpoint: PathBuf,
    pub(super) checkpoint_hash: String,
}

/// A distribution of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedDistribution {
    pub(super) name: String,
    /// Index of the source.
    pub(super) source: usize,
    pub(super) items: usize,
    pub(super) hash: String,
}

/// A study cut into units, in a folder of its own.
///
/// The file `plan.json` of the folder pins what is scored by hashes of checkpoints and
/// distributions. Paths under the folder are relative to it in the file, so that the folder may be
/// mounted anywhere; others are absolute. The same study gives the same file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    relscale_plan: u32,
    version: String,
    pub(super) backend: String,
    pub(super) scoring: Settings,
    pub(super) flop_convention: FlopConvention,
    pub(super) sources: Vec<Source>,
    pub(super) distributions: Vec<PlannedDistribution>,
    pub(super) runs: Vec<PlannedRun>,
    pub(super) units: Vec<Unit>,
    #[serde(skip)]
    pub(super) folder: PathBuf,
}

impl Plan {
    /// Plans a study and writes the plan into `folder`, which is made where it is not there.
    ///
    /// Every checkpoint is read once, to hash it; `progress` is told which comes next. Every
    /// distribution is cut, for each run, into as many ranges of nearly equal cost as it holds
    /// `unit_flops`, at least one.
    ///
    /// # Errors
    /// What cannot be read; a distribution without items or that comes twice; a scorer that is
    /// unknown or refuses the first item; a `unit_flops` that is not above 0; a folder that holds
    /// another plan.
    pub fn create(
        folder: impl AsRef<Path>,
        study: &Study,
        progress: &mut dyn FnMut(&Run),
    ) -> Result<Self, Error> {
        let folder = absolute(folder.as_ref())?;
        let option = |option, message: String| Err(Error::Option { option, message });
        if !(study.unit_flops.is_finite() && study.unit_flops > 0.0) {
            return option("unit_flops", format!("{} is not above 0", study.unit_flops));
        }
        let table = RunTable::from_csv(&study.runs).map_err(|e| {
            let message = e.to_string();
            let prefix = format!("{}: ", study.runs.display());
            Error::format(
                &study.runs,
                message.strip_prefix(&prefix).unwrap_or(&message),
            )
        })?;
        let mut plan = Self {
            relscale_plan: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend: study.backend.clone(),
            scoring: study.scoring,
            flop_convention: table.flop_convention,
            sources: Vec::new(),
            distributions: Vec::new(),
            runs: Vec::new(),
            units: Vec::new(),
            folder,
        };
        let mut sizes = Vec::new();
        for (number, source) in study.distributions.iter().enumerate() {
            let scorers = source.scorers()?;
            for items in source.load("")? {
                let name = items.name().to_owned();
                if plan.distributions.iter().any(|d| d.name == name) || name.is_empty() {
                    let why = if name.is_empty() {
                        "no name"
                    } else {
                        "a name that another has"
                    };
                    return Err(Error::format(
                        &source.path,
                        format!("the distribution `{name}` has {why}"),
                    ));
                }
                if items.is_empty() {
                    return Err(Error::format(
                        &source.path,
                        format!("`{name}` has no items"),
                    ));
                }
                try_scorers(&items, &scorers)
                    .map_err(|e| Error::format(&source.path, format!("`{name}`: {e}")))?;
                plan.distributions.push(PlannedDistribution {
                    name,
                    source: number,
                    items: items.len(),
                    hash: distribution_hash(&items)?,
                });
                sizes.push(quarters(&items)?);
            }
            let path = plan.relative(&source.path)?;
            plan.sources.push(Source {
                path,
                ..source.clone()
            });
        }
        if plan.distributions.is_empty() {
            return option("distributions", "there are none".to_owned());
        }
        for TrainedRun { run, checkpoint } in table.runs {
            progress(&run);
            for (distribution, quarters) in plan.distributions.iter().zip(&sizes) {
                // 2·N FLOPs a token of four bytes.
                let flops = |range: &Range<usize>| {
                    0.5 * run.params * (quarters[range.end] - quarters[range.start]) as f64
                };
                let whole = flops(&(0..distribution.items));
                // Saturates; a unit has at least an item.
                let pieces = (whole / study.unit_flops).ceil() as usize;
                for items in cut(quarters, pieces.clamp(1, distribution.items)) {
                    plan.units.push(Unit {
                        run: run.id.clone(),
                        distribution: distribution.name.clone(),
                        flops: flops(&items),
                        items,
                    });
                }
            }
            plan.runs.push(PlannedRun {
                checkpoint_hash: checkpoint_hash(&checkpoint)?,
                checkpoint: plan.relative(&checkpoint)?,
                run,
            });
        }
        plan.write()?;
        Ok(plan)
    }

    /// `path` as the plan holds it.
    fn relative(&self, path: &Path) -> Result<PathBuf, Error> {
        let path = absolute(path)?;
        match path.strip_prefix(&self.folder) {
            Ok(inside) if !inside.as_os_str().is_empty() => Ok(inside.to_owned()),
            _ => Ok(path),
        }
    }

    fn write(&self) -> Result<(), Error> {
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::format(&path, e))? + "\n";
        fs::create_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
        if path.exists() {
            let there = fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
            if there == text {
                return Ok(());
            }
            let message = "another plan; a folder is of one plan";
            return Err(Error::format(path, message));
        }
        // A reader never sees a half.
        let temporary = self.folder.join("plan.json.tmp");
        fs::write(&temporary, text).map_err(|e| Error::io(&temporary, e))?;
        fs::rename(&temporary, &path).map_err(|e| Error::io(&path, e))
    }

    /// Reads the plan of a folder.
    ///
    /// # Errors
    /// A file that cannot be read, is not a plan of this version of the format, or whose units are
    /// not every item of every distribution once for every run, by the name of the unit.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = absolute(folder.as_ref())?;
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let mut plan: Self = serde_json::from_str(&text).map_err(|e| Error::format(&path, e))?;
        plan.folder = folder;
        plan.check().map_err(|m| Error::format(&path, m))?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        if self.relscale_plan != 1 {
            return Err(format!("`relscale_plan` is {}, not 1", self.relscale_plan));
        }
        let mut runs = Ladder::builder();
        for PlannedRun { run, .. } in &self.runs {
            runs.run(run.clone()).map_err(|e| e.to_string())?;
        }
        let mut names = BTreeSet::new();
        for PlannedDistribution { name, source, .. } in &self.distributions {
            if !names.insert(name) {
                return Err(format!("the distribution `{name}` comes twice"));
            }
            let source = self.sources.get(*source);
            let source = source.ok_or_else(|| format!("`{name}` has no source"))?;
            source.scorers().map_err(|e| e.to_string())?;
        }
        let mut units = self.units.iter();
        for PlannedRun { run, .. } in &self.runs {
            for distribution in &self.distributions {
                let mut at = 0;
                while at < distribution.items {
                    let what = format!("item {at} of `{}` with `{}`", distribution.name, run.id);
                    let unit = units.next().ok_or_else(|| format!("no unit has {what}"))?;
                    let here = unit.run == run.id && unit.distribution == distribution.name;
                    if !(unit.flops.is_finite() && unit.flops > 0.0) {
                        let (name, flops) = (unit.name(), unit.flops);
                        return Err(format!("unit `{name}`: `flops` is {flops}, not above 0"));
                    }
                    let Range { start, end } = unit.items;
                    if !here || start != at || end <= start || end > distribution.items {
                        return Err(format!(
                            "unit `{}` stands where one that begins with {what} should: items are \
                             missing or doubled",
                            unit.name()
                        ));
                    }
                    at = end;
                }
            }
        }
        match units.next() {
            None => Ok(()),
            Some(unit) => Err(format!("unit `{}` is one too many", unit.name())),
        }
    }

    /// The units, those of a checkpoint together.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The units with these names, in the order given.
    ///
    /// # Errors
    /// The first name that no unit has.
    pub fn named<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<&Unit>, Error> {
        let all: BTreeMap<String, &Unit> = self.units.iter().map(|u| (u.name(), u)).collect();
        let find = |name: &S| match all.get(name.as_ref()) {
            Some(unit) => Ok(*unit),
            None => Err(Error::Option {
                option: "unit",
                message: format!("the plan has no `{}`", name.as_ref()),
            }),
        };
        names.iter().map(find).collect()
    }

    /// Part `k` of `n` of the units: neighbours, which share checkpoints, of nearly equal cost in
    /// all. Every unit is in one part.
    ///
    /// # Errors
    /// A `k` that is not below `n`.
    pub fn shard(&self, k: usize, n: usize) -> Result<&[Unit], Error> {
        if k >= n {
            return Err(Error::Option {
                option: "shard",
                message: format!("{k} of {n}: parts are counted from 0"),
            });
        }
        let total: f64 = self.units.iter().map(|u| u.flops).sum();
        // A unit is where its middle falls.
        let mut before = 0.0;
        let mut part = |unit: &Unit| {
            let middle = before + unit.flops / 2.0;
            before += unit.flops;
            ((middle / total * n as f64) as usize).min(n - 1)
        };
        let parts: Vec<usize> = self.units.iter().map(&mut part).collect();
        let (start, end) = (
            parts.partition_point(|p| *p < k),
            parts.partition_point(|p| *p <= k),
        );
        Ok(&self.units[start..end])
    }

    /// Backend and precision that the units are scored with.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.backend
    }

    pub(super) fn run(&self, id: &str) -> Result<&PlannedRun, Error> {
        let found = self.runs.iter().find(|r| r.run.id == id);
        found.ok_or_else(|| Error::Option {
            option: "unit",
            message: format!("the plan has no run `{id}`"),
        })
    }

    pub(super) fn distribution(&self, name: &str) -> Result<&PlannedDistribution, Error> {
        let found = self.distributions.iter().find(|d| d.name == name);
        found.ok_or_else(|| Error::Option {
            option: "unit",
            message: format!("the plan has no distribution `{name}`"),
        })
    }

    /// The key of a run and a distribution, whole.
    pub(super) fn key(&self, run: &PlannedRun, distribution: &PlannedDistribution) -> Key {
        Key {
            checkpoint: run.checkpoint_hash.clone(),
            distribution: distribution.name.clone(),
            distribution_hash: distribution.hash.clone(),
            items: distribution.items,
            scorers: self.sources[distribution.source].scorers.clone(),
            bos: self.scoring.bos,
            context: self.scoring.context,
            stride: self.scoring.stride,
            truncate: self.scoring.truncate,
            special_tokens_parsed: false,
            backend: self.backend.clone(),
            version: self.version.clone(),
            range: None,
        }
    }

    /// The key of the log of a unit.
    pub(super) fn unit_key(&self, unit: &Unit) -> Result<Key, Error> {
        let (run, distribution) = (self.run(&unit.run)?, self.distribution(&unit.distribution)?);
        self.key(run, distribution).with_range(unit.items.clone())
    }

    /// The folder of the logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// A file of a unit.
    pub(super) fn file(&self, unit: &Unit, extension: &str) -> PathBuf {
        self.logs().join(format!("{}.{extension}", unit.name()))
    }
}

const FILE: &str = "plan.json";

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|e| Error::io(path, e))
}

impl Source {
    /// The scorers.
    ///
    /// # Errors
    /// None, or a name that none has.
    pub(super) fn scorers(&self) -> Result<Vec<Box<dyn Scorer>>, Error> {
        if self.scorers.is_empty() {
            return Err(Error::format(&self.path, "`scorers` is empty"));
        }
        let scorer =
            |name: &String| scorer::by_name(name).map_err(|e| Error::format(&self.path, e));
        self.scorers.iter().map(scorer).collect()
    }
}

/// Sums of what the items before each place, and all, cost: quarters of a token.
fn quarters(items: &Items) -> Result<Vec<u64>, Error> {
    let mut sums = vec![0];
    let mut sum = 0;
    for index in 0..items.len() {
        let Item { content, .. } = &*items.item(index)?;
        let size = match content {
            Content::Text(text) => text.len(),
            Content::Tokens(tokens) => 4 * tokens.len(),
            Content::Choices {
                context,
                choices,
                unconditional,
                ..
            } => {
                let choices: usize = choices.iter().map(String::len).sum();
                let second = unconditional.as_ref().map_or(0, |u| u.len() + choices);
                context.len() + choices + second
            }
            Content::ChoicesTokens {
                context,
                choices,
                unconditional,
                ..
            } => {
                let choices: usize = choices.iter().map(Vec::len).sum();
                let second = unconditional.as_ref().map_or(0, |u| u.len() + choices);
                4 * (context.len() + choices + second)
            }
        };
        // An item of nothing is still one.
        sum += size.max(1) as u64;
        sums.push(sum);
    }
    Ok(sums)
}

/// Ranges of items of nearly the same cost, at most `pieces`, none without an item.
fn cut(sums: &[u64], pieces: usize) -> Vec<Range<usize>> {
    let (items, total) = (sums.len() - 1, u128::from(sums[sums.len() - 1]));
    let mut ranges = Vec::with_capacity(pieces);
    let mut start = 0;
    for piece in 1..=pieces {
        // In integers, so that every machine cuts alike.
        let target = total * piece as u128;
        let end = sums.partition_point(|sum| u128::from(*sum) * (pieces as u128) < target);
        let end = end.min(items);
        if end > start {
            ranges.push(start..end);
            start = end;
        }
    }
    ranges
}

/// Says the same of every token.
struct Flat;

impl Model for Flat {
    fn vocab_size(&self) -> usize {
        u32::MAX as usize
    }

    fn context_len(&self) -> usize {
        1 << 30
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        Ok(vec![-1.0; batch.targets().len()])
    }
}

/// Scores the first item with a model that says nothing: a scorer that does not fit the items is
/// refused before every machine is busy with it.
fn try_scorers(items: &Items, scorers: &[Box<dyn Scorer>]) -> Result<(), Error> {
    let tokenizer = Tokenizer::bytes();
    let evaluation = Evaluation::new(&Flat)
        .tokenizer(&tokenizer)
        .bos(Bos::First(u32::MAX));
    evaluation.for_each(items, &[0], |_, answer| {
        scorers
            .iter()
            .try_for_each(|s| s.score(&answer).map(|_| ()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_nearly_equal_costs_and_every_item_once() {
        let sizes: Vec<u64> = (0..100).map(|i| 1 + (i * 7919) % 50).collect();
        let mut sums = vec![0];
        sums.extend(sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        }));
        for pieces in 1..=100 {
            let ranges = cut(&sums, pieces);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, 100));
            assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
            let mean = sums[100] as f64 / pieces as f64;
            for range in ranges {
                assert!(!range.is_empty());
                let cost = (sums[range.end] - sums[range.start]) as f64;
                assert!(
                    (cost - mean).abs() <= 50.0 || range.len() == 1,
                    "{cost} {mean}"
                );
            }
        }
        // One item is larger than all the others.
        let ranges = cut(&[0, 1, 2, 1000], 3);
        assert_eq!((ranges.len(), &ranges[0]), (1, &(0..3)));
        assert_eq!(cut(&[0, 1000, 1001], 2), [0..1, 1..2]);
    }

    #[test]
    fn names_are_paths_and_differ() {
        let name = |run: &str, distribution: &str| {
            let (run, distribution) = (run.to_owned(), distribution.to_owned());
            let unit = Unit {
                run,
                distribution,
                items: 0..7,
                flops: 1.0,
            };
            unit.name()
        };
        assert_eq!(name("a-1_x.5", "b"), "a-1_x.5/b/0-7");
        assert_eq!(name("..", "a/b c"), "%2E./a%2Fb%20c/0-7");
        assert_ne!(name("a%2F", "b"), name("a/", "b"));
        assert_eq!(name("é", "b"), "%C3%A9/b/0-7");
    }
}
