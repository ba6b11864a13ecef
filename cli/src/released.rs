//! Released ladders: from a folder of downloaded checkpoints to a table of runs.
//!
//! The name of a released checkpoint gives corpus, budget, compute and training tokens of its run; its
//! `config.json` gives the parameters. Nothing is guessed: a name that does not give them is an error,
//! and a table ([`RunTable::from_csv`]) has to.
//!
//! | name | revisions | tokens | FLOPs |
//! | --- | --- | --- | --- |
//! | `isoflop-1ep19-d2048-L21-B16-nemo-wider-depth-adapt-178bd6` (also `comma`, `dclm`) | `main` | of the recipe | training |
//! | `pythia-160m`, `-deduped`, `-seed3` (14m to 410m), `-data-seed1`, `-weight-seed1` (160m) | `stepN`; `main` is `step143000` | 2,097,152 per step | 6ND |
//! | `pythia-160m-v0`, `-deduped-v0` (70m to 12b) | the same, N a multiple of 1,000 | 2,097,152 per step, as renamed | 6ND |
//! | `OLMo-2-0425-1B`, `OLMo-2-1124-7B`, `OLMo-2-1124-13B`, `OLMo-2-0325-32B` | `stage1-stepN-tokensMB` | 2²¹ (1B), 2²² (7B) or 2²³ per step | 6ND |
//! | `Cerebras-GPT-111M` to `-13B` | `main` | 20 per parameter | 6ND |
//! | `DataDecide-c4-150M` (25 corpora, 4M to 1B) | `stepN-seed-default` | 2,048 × batch of the size per step | 6ND |
//! | `Gemstone-256x23`, `_lr_ablation`, `_cooldown` | `step_N`, `step_X_cooldown_N` | 4,194,304 per step | 6ND |
//!
//! - **IsoFLOP runs** have the steps and parameters of [`Recipe::relative_scaling_laws`]. The budget in
//!   the name counts forward passes only and serves as their label; their FLOPs are those of training,
//!   three times as many.
//! - **6ND** is six times parameters times tokens; the parameters include the embeddings.
//! - **Checkpoints of one training run** form a trajectory. Only the last one had its learning rate
//!   decayed; the others have a higher loss than runs planned for their length.
//! - **Organisations** may stand before a name: `EleutherAI__pythia-160m`, `models--EleutherAI--pythia-160m`.
//! - **Another model in the folder** is told by its configuration ([`disagreements`]).
//! - **Not recognised**, since the tokens of a checkpoint do not follow from published names: other seeds and
//!   `main` of DataDecide, `main` of the Gemstones, OLMo-Ladder, and Marin 8B and 32B, whose data changed
//!   during the training.
//! - **OLMo 2** was trained on another mix after stage 1, so those revisions, including `main`, are
//!   refused.
//!
//! # References
//! Biderman et al. (2023), *Pythia*, arXiv:2304.01373. van der Wal et al. (2025), *PolyPythias*,
//! arXiv:2503.09543. Magnusson et al. (2025), *DataDecide*, arXiv:2504.11393. McLeish et al. (2025),
//! *Gemstones*, arXiv:2502.06857. Dey et al. (2023), *Cerebras-GPT*, arXiv:2304.03208. OLMo Team (2025), *2 OLMo 2
//! Furious*, arXiv:2501.00656. Held et al. (2025), *Relative Scaling Laws for LLMs*,
//! arXiv:2510.24626.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::checkpoint::Weights;
use relscale::isoflop::{PlannedRun, Recipe};
use relscale::ladder::{RunTable, TrainedRun};
use relscale::model::Config;

pub use agreement::disagreements;
use names::{Release, release};

mod agreement;
mod names;

/// Reads a folder of checkpoints in any layout that downloads have.
///
/// - `NAME/config.json`, written by `hf download ORG/NAME --local-dir DIR/NAME`, also inside other
///   folders;
/// - `NAME/REVISION/config.json` and `NAME-REVISION/config.json`;
/// - `models--ORG--NAME/snapshots/HASH/config.json`, the cache of the Hugging Face hub, whose `refs`
///   name the revision.
///
/// The runs are sorted by corpus and compute. The headers of the weights are read, so that an
/// incomplete download is an error now and not after hours of scoring.
///
/// # Errors
/// Each with the path: no checkpoint; a name or revision that does not say how the checkpoint was
/// trained; a checkpoint that occurs twice or cannot be opened; a folder named like a release without
/// a checkpoint in it; releases with different FLOP conventions; one corpus with two experiments.
pub fn run_table(dir: impl AsRef<Path>) -> Result<RunTable, Error> {
    let dir = dir.as_ref();
    let root = std::path::absolute(dir).map_err(|e| Error::io(dir, e))?;
    let mut checkpoints = Vec::new();
    walk(&root, 0, &mut checkpoints)?;
    if checkpoints.is_empty() {
        let message = "no checkpoint is in it; a checkpoint is a folder with config.json";
        return Err(Error::format(dir, message));
    }
    let recipe = Recipe::relative_scaling_laws();
    let planned = recipe.runs().map_err(|e| Error::format(dir, e))?;
    let mut found: Vec<(Release, PathBuf)> = Vec::with_capacity(checkpoints.len());
    for path in checkpoints {
        let release = read_checkpoint(&path, &planned)?;
        for (other, at) in &found {
            refuse_conflict(&release, &path, other, at)?;
        }
        found.push((release, path));
    }
    let convention = found[0].0.convention;
    let runs = sorted(trajectories(found));
    RunTable::new(convention, runs).map_err(|e| Error::format(dir, e))
}

/// The runs of released checkpoints that are not at hand, from name, revision and parameters of each.
///
/// The name may have the organisation before it. The `checkpoint` of a run is the name, with `@` and the
/// revision where there is one.
///
/// # Errors
/// A name or revision that does not say how the checkpoint was trained; parameters that are not known;
/// a checkpoint that occurs twice; releases with different FLOP conventions; one corpus with two
/// experiments.
pub fn named_runs(models: &[(&str, Option<&str>, Option<u64>)]) -> Result<RunTable, Error> {
    let recipe = Recipe::relative_scaling_laws();
    let planned =
        (recipe.runs()).map_err(|e| Error::format("the recipe of the IsoFLOP suite", e))?;
    let mut found: Vec<(Release, PathBuf)> = Vec::with_capacity(models.len());
    for &(name, revision, params) in models {
        let label = match revision {
            Some(revision) => PathBuf::from(format!("{name}@{revision}")),
            None => PathBuf::from(name),
        };
        let params = params.ok_or_else(|| unknown(&label, "the parameters are not known"))?;
        let last = repository(
            name.trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or(name),
        );
        let release = release(last, revision, params, &planned)
            .map_err(|message| unknown(&label, &format!("`{last}` {message}")))?;
        for (other, at) in &found {
            refuse_conflict(&release, &label, other, at)?;
        }
        found.push((release, label));
    }
    let Some(first) = found.first() else {
        return Err(Error::format("models", "none"));
    };
    let convention = first.0.convention;
    RunTable::new(convention, sorted(trajectories(found))).map_err(|e| Error::format("models", e))
}

/// An error about a checkpoint whose name is not enough.
fn unknown(path: &Path, message: &str) -> Error {
    let message = format!("{message}; a table of runs can say how it was trained");
    Error::format(path, message)
}

/// The organisation under which the hub has a released ladder, by the name of a checkpoint without one.
///
/// # Examples
/// ```
/// use relscale_cli::released::organisation;
///
/// assert_eq!(organisation("pythia-160m"), Some("EleutherAI"));
/// assert_eq!(organisation("my-model"), None);
/// ```
#[must_use]
pub fn organisation(name: &str) -> Option<&'static str> {
    let found = RELEASES.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map(|(_, organisation)| *organisation)
}

/// Starts of the names of released ladders, with the organisation of each on the hub.
const RELEASES: [(&str, &str); 6] = [
    ("isoflop-", "marin-community"),
    ("pythia-", "EleutherAI"),
    ("OLMo-2-", "allenai"),
    ("Cerebras-GPT-", "cerebras"),
    ("DataDecide-", "allenai"),
    ("Gemstone-", "tomg-group-umd"),
];

/// Reads name, configuration and headers of the weights of one checkpoint.
fn read_checkpoint(path: &Path, planned: &[PlannedRun]) -> Result<Release, Error> {
    let (name, revision) = folder_names(path)?;
    drop(Weights::open(path)?);
    let params = Config::load(path)?.parameters();
    release(&name, revision.as_deref(), params, planned).map_err(|message| {
        let revision = revision.map_or(String::new(), |r| format!(" at `{r}`"));
        unknown(path, &format!("`{name}`{revision} {message}"))
    })
}

/// Refuses a checkpoint that cannot be in one table with another.
fn refuse_conflict(
    release: &Release,
    path: &Path,
    other: &Release,
    at: &Path,
) -> Result<(), Error> {
    let both = |what: &str| Err(unknown(path, &format!("{what} {}", at.display())));
    if other.run.id == release.run.id {
        return both(&format!("`{}` is also in", release.run.id));
    }
    if other.convention != release.convention {
        return both(&format!(
            "FLOPs of {} beside those of {} in",
            release.convention.as_str(),
            other.convention.as_str()
        ));
    }
    if other.run.corpus == release.run.corpus && other.experiment != release.experiment {
        return both(&format!("experiment `{}` beside", release.experiment));
    }
    Ok(())
}

/// Marks checkpoints of one training run as a trajectory.
fn trajectories(found: Vec<(Release, PathBuf)>) -> Vec<TrainedRun> {
    let mut checkpoints_of: HashMap<String, usize> = HashMap::new();
    for (release, _) in &found {
        *checkpoints_of.entry(release.trained.clone()).or_default() += 1;
    }
    let runs = found.into_iter().map(|(release, checkpoint)| {
        let run = match checkpoints_of[&release.trained] {
            1 => release.run,
            _ => release.run.trajectory(release.trained),
        };
        TrainedRun {
            run,
            checkpoint,
            base: None,
        }
    });
    runs.collect()
}

/// Orders runs by corpus and compute.
fn sorted(mut runs: Vec<TrainedRun>) -> Vec<TrainedRun> {
    runs.sort_by(|a, b| {
        (a.run.corpus.cmp(&b.run.corpus))
            .then(a.run.budget.total_cmp(&b.run.budget))
            .then(a.run.params.total_cmp(&b.run.params))
            .then(a.run.id.cmp(&b.run.id))
    });
    runs
}

/// Depth limit of the search: a hub cache inside two other folders. It also ends a cycle of links.
const DEEPEST: usize = 6;

/// Adds the checkpoints at and below `path`, in the order of their names.
fn walk(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    let before = found.len();
    let mut folders = BTreeMap::new();
    let mut is_checkpoint = false;
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Bookkeeping of download tools, such as `.cache`.
        if name.starts_with('.') {
            continue;
        }
        let is_folder = entry.path().is_dir();
        let is_weights = name.ends_with(".safetensors") || name.ends_with(".gguf");
        is_checkpoint |= !is_folder
            && (name == "config.json" || name.starts_with("pytorch_model") || is_weights);
        if is_folder {
            folders.insert(name, entry.path());
        }
    }
    if is_checkpoint {
        found.push(path.to_owned());
        // Other folders hold the same checkpoint in other formats (`onnx/`).
        folders.retain(|name, _| is_revision(name));
    }
    for folder in folders.into_values() {
        if depth == DEEPEST {
            let message = format!("is more than {DEEPEST} folders down");
            return Err(Error::format(folder, message));
        }
        walk(&folder, depth + 1, found)?;
    }
    let name = path.file_name().and_then(|name| name.to_str());
    if found.len() == before && name.is_some_and(|name| is_release(repository(name))) {
        let message = "is named like a release, but no checkpoint is in it";
        return Err(Error::format(path, message));
    }
    Ok(())
}

/// `pythia-160m` of `models--EleutherAI--pythia-160m` and `EleutherAI__pythia-160m`, the name itself of any
/// other.
fn repository(name: &str) -> &str {
    let mark = match name.starts_with("models--") {
        true => "--",
        false => "__",
    };
    name.rsplit(mark).next().unwrap_or(name)
}

fn is_release(name: &str) -> bool {
    organisation(name).is_some()
}

fn is_revision(name: &str) -> bool {
    name == "main" || name.starts_with("step") || name.starts_with("stage")
}

/// Release name of a checkpoint and its revision, if its folders give one.
fn folder_names(path: &Path) -> Result<(String, Option<String>), Error> {
    let mut folders = path
        .ancestors()
        .filter_map(|p| Some((p, p.file_name()?.to_str()?)));
    let Some((_, last)) = folders.next() else {
        return Err(Error::format(path, "the folder has no name"));
    };
    let parent = folders.next();
    if let Some((_, "snapshots")) = parent
        && let Some((cache, name)) = folders.next()
        && name.starts_with("models--")
    {
        let revision = reference(&cache.join("refs"), last)?;
        let revision = revision.unwrap_or_else(|| last.to_owned());
        return Ok((repository(name).to_owned(), Some(revision)));
    }
    if let Some((_, parent)) = parent
        && is_revision(last)
    {
        return Ok((repository(parent).to_owned(), Some(last.to_owned())));
    }
    let last = repository(last);
    for mark in ["-stage", "-step", "@stage", "@step"] {
        if let Some(at) = last.find(mark).filter(|_| is_release(last)) {
            return Ok((last[..at].to_owned(), Some(last[at + 1..].to_owned())));
        }
    }
    Ok((last.to_owned(), None))
}

/// Name of the snapshot `hash` in the `refs` of a hub cache; `main` is preferred.
fn reference(refs: &Path, hash: &str) -> Result<Option<String>, Error> {
    if !refs.is_dir() {
        return Ok(None);
    }
    let io = |e| Error::io(refs, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(refs).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // Folders hold the references of pull requests.
        if path.is_file() {
            let text = relscale::input::text(&path, 1 << 16).map_err(|e| Error::io(&path, e))?;
            if text.trim() == hash {
                found.extend(path.file_name().and_then(|n| n.to_str()).map(str::to_owned));
            }
        }
    }
    found.sort_by_key(|name| (name != "main", name.clone()));
    Ok(found.into_iter().next())
}
