//! The plan of a study: a file that pins every input and lists the units.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Source, SourceKind, Study, Unit};
use crate::digest::sha256;
use crate::engine::EngineBackend;
use crate::hub::{Held, Hub, is_address, joined};
use crate::json;
use relscale::Error;
use relscale::evaluate::Settings;
use relscale::input;
use relscale::ladder::{FlopConvention, Ladder, Run};
use relscale::log::Key;
use relscale::output::{NewFile, create_folder};

/// A run of a plan with the hash of its checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PinnedRun {
    pub(super) run: Run,
    pub(super) checkpoint: PathBuf,
    /// Folder of the base of an adapter, or one of bases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<PathBuf>,
    pub(super) checkpoint_hash: String,
}

/// A distribution of a plan with the hash of its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PinnedDistribution {
    pub(super) name: String,
    /// Index into the sources of the plan.
    pub(super) source: usize,
    pub(super) items: usize,
    pub(super) hash: String,
}

/// A study cut into units, in a folder of its own.
///
/// The file `plan.json` of the folder pins checkpoints and distributions by their hashes. Paths under
/// the folder are stored relative to it, so that the folder may be mounted anywhere; other paths are
/// absolute. The same study gives the same file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyPlan {
    /// Version of the file format, 1.
    relscale_plan: u32,
    pub(super) version: String,
    /// Version of the backend and of its kernels.
    #[serde(default)]
    backend_version: String,
    /// Hash of all other fields.
    #[serde(default)]
    check: String,
    pub(super) backend: String,
    pub(super) scoring: Settings,
    /// If true, special tokens written in a text become their ids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) special_tokens: bool,
    pub(super) flop_convention: FlopConvention,
    pub(super) sources: Vec<Source>,
    pub(super) distributions: Vec<PinnedDistribution>,
    pub(super) runs: Vec<PinnedRun>,
    pub(super) units: Vec<Unit>,
    #[serde(skip)]
    pub(super) folder: PathBuf,
}

impl StudyPlan {
    /// The plan of a study before its inputs are read.
    pub(super) fn empty(folder: PathBuf, study: &Study, flop_convention: FlopConvention) -> Self {
        Self {
            relscale_plan: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend_version: version_of(&study.backend),
            check: String::new(),
            backend: study.backend.clone(),
            scoring: study.scoring,
            special_tokens: study.special_tokens,
            flop_convention,
            sources: Vec::new(),
            distributions: Vec::new(),
            runs: Vec::new(),
            units: Vec::new(),
            folder,
        }
    }

    /// `path` as the plan stores it: an address as it is, a path relative if it lies under the folder,
    /// absolute otherwise.
    pub(super) fn relative(&self, path: &Path) -> Result<PathBuf, Error> {
        if is_address(path) {
            return Ok(path.to_owned());
        }
        let path = absolute(path)?;
        match path.strip_prefix(&self.folder) {
            Ok(inside) if !inside.as_os_str().is_empty() => Ok(inside.to_owned()),
            _ => Ok(path),
        }
    }

    /// Seals the plan with its hash and writes it.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        let path = self.folder.join(FILE);
        self.check = self.hash().map_err(|e| Error::format(&path, e))?;
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::format(&path, e))? + "\n";
        create_folder(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
        let io = |e| Error::io(&path, e);
        if !path.exists() {
            let mut file = NewFile::create(&path).map_err(io)?;
            file.write_all(text.as_bytes()).map_err(io)?;
            // Another planner may have published its plan meanwhile.
            if file.publish_new().map_err(io)? {
                return Ok(());
            }
        }
        if plan_text(&path)? == text {
            return Ok(());
        }
        let message = "holds another plan; use a folder of its own for each plan";
        Err(Error::format(&path, message))
    }

    /// SHA-256 of the plan without this hash.
    fn hash(&self) -> Result<String, serde_json::Error> {
        let mut plain = self.clone();
        plain.check.clear();
        Ok(sha256(&serde_json::to_vec(&plain)?))
    }

    /// The files on disk that the distributions are read from, so that no table is written over one. A
    /// folder of texts may hold tables beside them.
    pub(crate) fn source_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for source in &self.sources {
            let path = self.folder.join(&source.path);
            let has_tables = matches!(source.kind, SourceKind::Mmlu(_));
            // The files of a folder and of those in it: regions, or the questions of subjects.
            let mut open = vec![(path, 0)];
            while let Some((path, depth)) = open.pop() {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                if depth < 2 {
                    open.extend(entries.map(|entry| (entry.path(), depth + 1)));
                }
                let is_table = path.extension().is_some_and(|e| e == "csv");
                if path.is_file() && (depth == 0 || has_tables || !is_table) {
                    files.push(path);
                }
            }
        }
        files
    }

    /// Reads the plan of a folder.
    ///
    /// # Errors
    /// A file that cannot be read or is not a plan of this format version; units that do not cover
    /// every item of every distribution exactly once per run, by the name of the unit.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = absolute(folder.as_ref())?;
        let path = folder.join(FILE);
        let text = plan_text(&path)?;
        let mut plan: Self = json::parse(&text).map_err(|e| Error::format(&path, e))?;
        let hash = plan.hash().map_err(|e| Error::format(&path, e))?;
        plan.folder = folder;
        plan.ensure_sound().map_err(|m| Error::format(&path, m))?;
        // After the parts: their messages say more.
        if plan.check.is_empty() {
            let message = "was made by an earlier version, which did not pin the runs; plan the study \
                           again, in a folder of its own";
            return Err(Error::format(&path, message));
        }
        if plan.check != hash {
            let message = "was changed since it was made (`check` does not fit); a plan pins what its \
                           logs are of: plan the study again, in a folder of its own";
            return Err(Error::format(&path, message));
        }
        Ok(plan)
    }

    /// Refuses a plan whose parts do not fit together. `plan.json` is read by every machine and may
    /// have been edited.
    fn ensure_sound(&self) -> Result<(), String> {
        if self.relscale_plan != 1 {
            return Err(format!("`relscale_plan` is {}, not 1", self.relscale_plan));
        }
        let mut runs = Ladder::builder();
        for PinnedRun { run, .. } in &self.runs {
            runs.run(run.clone()).map_err(|e| e.to_string())?;
        }
        let mut names = BTreeSet::new();
        for PinnedDistribution { name, source, .. } in &self.distributions {
            if !names.insert(name) {
                return Err(format!("the distribution `{name}` comes twice"));
            }
            let source = self.sources.get(*source);
            let source = source.ok_or_else(|| format!("`{name}` has no source"))?;
            source.scorers().map_err(|e| e.to_string())?;
        }
        self.check_units()
    }

    /// Every item of every distribution must be in one unit per run, in the order of the plan.
    fn check_units(&self) -> Result<(), String> {
        let mut units = self.units.iter();
        for PinnedRun { run, .. } in &self.runs {
            for distribution in &self.distributions {
                let mut at = 0;
                while at < distribution.items {
                    let what = format!("item {at} of `{}` with `{}`", distribution.name, run.id);
                    let unit = units.next().ok_or_else(|| format!("no unit has {what}"))?;
                    at = unit_end(unit, run, distribution, at).ok_or_else(|| {
                        format!(
                            "unit `{}` stands where one that begins with {what} should: items are \
                             missing or doubled",
                            unit.name()
                        )
                    })?;
                    if !(unit.flops.is_finite() && unit.flops > 0.0) {
                        let (name, flops) = (unit.name(), unit.flops);
                        return Err(format!("unit `{name}`: `flops` is {flops}, not above 0"));
                    }
                }
            }
        }
        match units.next() {
            None => Ok(()),
            Some(unit) => Err(format!("unit `{}` is one too many", unit.name())),
        }
    }

    /// The units, grouped by checkpoint.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The units with these names, in the order given.
    ///
    /// # Errors
    /// The first name that belongs to no unit.
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

    /// Part `k` of `n`: consecutive units, which share checkpoints. All parts cost nearly the same,
    /// and every unit is in exactly one of them.
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
        // A unit belongs to the part that its middle falls into.
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

    /// Backend and precision of the study.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Token budget of one batch.
    #[must_use]
    pub fn batch_tokens(&self) -> usize {
        self.scoring.batch_tokens
    }

    pub(super) fn run(&self, id: &str) -> Result<&PinnedRun, Error> {
        let found = self.runs.iter().find(|r| r.run.id == id);
        found.ok_or_else(|| Error::Option {
            option: "unit",
            message: format!("the plan has no run `{id}`"),
        })
    }

    /// A run's checkpoint on disk.
    pub(super) fn hold(&self, run: &PinnedRun, hub: &Hub) -> Result<Held, Error> {
        let base = run.base.as_deref().map(|base| joined(&self.folder, base));
        hub.hold(&joined(&self.folder, &run.checkpoint), base.as_deref())
    }

    pub(super) fn distribution(&self, name: &str) -> Result<&PinnedDistribution, Error> {
        let found = self.distributions.iter().find(|d| d.name == name);
        found.ok_or_else(|| Error::Option {
            option: "unit",
            message: format!("the plan has no distribution `{name}`"),
        })
    }

    /// The key of the log of a run on a whole distribution.
    pub(super) fn key(&self, run: &PinnedRun, distribution: &PinnedDistribution) -> Key {
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
            special_tokens_parsed: self.special_tokens,
            backend: self.backend.clone(),
            version: self.version.clone(),
            backend_version: self.backend_version.clone(),
            run: None,
            range: None,
        }
        .with_run(&run.run)
    }

    /// Refuses to score with another version than the one that planned: its numbers may differ.
    ///
    /// # Errors
    /// The version that differs, and the side that must be brought up to date.
    pub(super) fn ensure_version(&self) -> Result<(), Error> {
        let here = [
            env!("CARGO_PKG_VERSION").to_owned(),
            version_of(&self.backend),
        ];
        let planned = [&self.version, &self.backend_version];
        let fields = ["version", "backend_version"];
        for ((field, planned), here) in fields.into_iter().zip(planned).zip(&here) {
            if planned != here {
                return Err(Error::Key {
                    path: self.folder.join(FILE),
                    field: field.to_owned(),
                    message: format!(
                        "the plan was made by {planned:?}, this program is {here:?}; install the \
                         planner's version on this machine, or plan again with this one in a folder \
                         of its own"
                    ),
                });
            }
        }
        Ok(())
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

/// The text of a plan.
///
/// # Errors
/// A file that cannot be read, or that is empty: on file systems without hard links a planner takes the name
/// first ([`NewFile::publish_new`]).
fn plan_text(path: &Path) -> Result<String, Error> {
    let text = input::text(path, json::RESULTS).map_err(|e| Error::io(path, e))?;
    if text.is_empty() {
        let message = "is empty: it is being written, or was left by a planner that was killed; if none \
                       is at work, remove it and plan the study again";
        return Err(Error::format(path, message));
    }
    Ok(text)
}

/// Version of a backend by its name, empty for one that the program does not know.
fn version_of(backend: &str) -> String {
    EngineBackend::by_name(backend).map_or_else(|_| String::new(), |known| known.version())
}

/// The end of `unit` if it covers items of `distribution` for `run` from `start` on.
fn unit_end(
    unit: &Unit,
    run: &Run,
    distribution: &PinnedDistribution,
    start: usize,
) -> Option<usize> {
    let here = unit.run == run.id && unit.distribution == distribution.name;
    let Range { start: first, end } = unit.items;
    (here && first == start && end > first && end <= distribution.items).then_some(end)
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|e| Error::io(path, e))
}
