//! Ladders that others have released: a folder of downloaded checkpoints to a table of runs.
//!
//! Corpus, budget, compute and training tokens of a run are read from the name its checkpoint was
//! released under, the parameters from its `config.json`. Nothing is guessed: what a name does not
//! say is an error, and a table ([`RunTable::from_csv`]) says it instead.
//!
//! | name | revisions | tokens | FLOPs |
//! | --- | --- | --- | --- |
//! | `isoflop-1ep19-d2048-L21-B16-nemo-wider-depth-adapt-178bd6` (also `comma`, `dclm`) | `main` | of the recipe | training |
//! | `pythia-160m`, `pythia-160m-deduped`, `pythia-160m-seed3` | `stepN`; `main` is `step143000` | 2,097,152 a step | 6ND |
//! | `OLMo-2-0425-1B`, `OLMo-2-1124-7B`, `OLMo-2-1124-13B`, `OLMo-2-0325-32B` | `stage1-stepN-tokensMB` | 2²¹ (1B), 2²² (7B) or 2²³ a step | 6ND |
//! | `Cerebras-GPT-111M` to `-13B` | `main` | 20 a parameter | 6ND |
//!
//! - **IsoFLOP runs** have the steps and the parameters of [`Recipe::relative_scaling_laws`]. The
//!   budget in the name, which counts forward passes only, is their label; their FLOPs are those of
//!   training, three times as many.
//! - **6ND** is six times parameters times tokens, embeddings among the parameters.
//! - **Checkpoints of one training run** are a trajectory. None but the last had its learning rate
//!   decayed: each loses more than a run that was planned for its length.
//! - **OLMo 2** after stage 1 has seen another mix: those revisions, `main` among them, are refused.
//!
//! # References
//! Biderman et al. (2023), *Pythia*, arXiv:2304.01373. van der Wal et al. (2025), *PolyPythias*,
//! arXiv:2503.09543. Dey et al. (2023), *Cerebras-GPT*, arXiv:2304.03208. OLMo Team (2025), *2 OLMo 2
//! Furious*, arXiv:2501.00656. Held et al. (2025), *Relative Scaling Laws for LLMs*,
//! arXiv:2510.24626.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::checkpoint::Weights;
use relscale::isoflop::{PlannedRun, Recipe};
use relscale::ladder::{FlopConvention, Run, RunTable, Scale, TrainedRun};
use relscale::model::Config;

/// Reads a folder of checkpoints, in any of the layouts that downloads have:
/// - `NAME/config.json`, as `hf download ORG/NAME --local-dir DIR/NAME` makes it, also inside other
///   folders;
/// - `NAME/REVISION/config.json` and `NAME-REVISION/config.json`;
/// - `models--ORG--NAME/snapshots/HASH/config.json`, the cache of the Hugging Face hub, whose `refs`
///   name the revision.
///
/// The runs are sorted by corpus and compute. Headers of the weights are read, so that a download
/// that is not whole is an error now and not after hours of scoring.
///
/// # Errors
/// No checkpoint; a checkpoint under a name or revision that does not say how it was trained; one
/// that comes twice or cannot be opened; a folder named like a release without a checkpoint in it;
/// releases whose FLOPs count different things; comma (say) trained in two ways. Each by its path.
pub fn run_table(dir: impl AsRef<Path>) -> Result<RunTable, Error> {
    let dir = dir.as_ref();
    let root = std::path::absolute(dir).map_err(|e| Error::io(dir, e))?;
    let mut checkpoints = Vec::new();
    walk(&root, 0, &mut checkpoints)?;
    if checkpoints.is_empty() {
        return Err(Error::format(dir, "no checkpoint is in it"));
    }
    let recipe = Recipe::relative_scaling_laws();
    let planned = recipe.runs().map_err(|e| Error::format(dir, e))?;

    let mut found: Vec<(Release, PathBuf)> = Vec::with_capacity(checkpoints.len());
    for path in checkpoints {
        let unknown = |message: String| {
            let message = format!("{message}; a table of runs can say how it was trained");
            Error::format(&path, message)
        };
        let (name, revision) = names(&path)?;
        drop(Weights::open(&path)?);
        let params = Config::load(&path)?.parameters();
        let release = release(&name, revision.as_deref(), params, &planned).map_err(|message| {
            let revision = revision.map_or(String::new(), |r| format!(" at `{r}`"));
            unknown(format!("`{name}`{revision} {message}"))
        })?;
        for (other, at) in &found {
            let both = |what: &str| Err(unknown(format!("{what} {}", at.display())));
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
        }
        found.push((release, path));
    }

    let mut checkpoints_of: HashMap<String, usize> = HashMap::new();
    for (release, _) in &found {
        *checkpoints_of.entry(release.trained.clone()).or_default() += 1;
    }
    let convention = found[0].0.convention;
    let mut runs: Vec<TrainedRun> = (found.into_iter())
        .map(|(release, checkpoint)| {
            let run = match checkpoints_of[&release.trained] {
                1 => release.run,
                _ => release.run.trajectory(release.trained),
            };
            TrainedRun { run, checkpoint }
        })
        .collect();
    runs.sort_by(|a, b| {
        (a.run.corpus.cmp(&b.run.corpus))
            .then(a.run.budget.total_cmp(&b.run.budget))
            .then(a.run.params.total_cmp(&b.run.params))
            .then(a.run.id.cmp(&b.run.id))
    });
    RunTable::new(convention, runs).map_err(|e| Error::format(dir, e))
}

/// Deepest folder looked at: a cache of the hub within two others. A circle of links ends there.
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
        // What download tools keep for themselves.
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
        // Other folders of a checkpoint hold it in other forms.
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

/// `pythia-160m` of `models--EleutherAI--pythia-160m`, the name itself of any other.
fn repository(name: &str) -> &str {
    match name.strip_prefix("models--") {
        Some(rest) => rest.rsplit("--").next().unwrap_or(rest),
        None => name,
    }
}

fn is_release(name: &str) -> bool {
    ["isoflop-", "pythia-", "OLMo-2-", "Cerebras-GPT-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn is_revision(name: &str) -> bool {
    name == "main" || name.starts_with("step") || name.starts_with("stage")
}

/// The name a checkpoint was released under and its revision, where its folders say one.
fn names(path: &Path) -> Result<(String, Option<String>), Error> {
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
        return Ok((parent.to_owned(), Some(last.to_owned())));
    }
    for mark in ["-stage", "-step"] {
        if let Some(at) = last.find(mark).filter(|_| is_release(last)) {
            return Ok((last[..at].to_owned(), Some(last[at + 1..].to_owned())));
        }
    }
    Ok((last.to_owned(), None))
}

/// The reference of the hub's cache that names the snapshot `hash`, `main` before others.
fn reference(refs: &Path, hash: &str) -> Result<Option<String>, Error> {
    if !refs.is_dir() {
        return Ok(None);
    }
    let io = |e| Error::io(refs, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(refs).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // Folders hold those of pull requests.
        if path.is_file() {
            let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
            if text.trim() == hash {
                found.extend(path.file_name().and_then(|n| n.to_str()).map(str::to_owned));
            }
        }
    }
    found.sort_by_key(|name| (name != "main", name.clone()));
    Ok(found.into_iter().next())
}

/// What the name of a checkpoint says.
struct Release {
    run: Run,
    /// The training run.
    trained: String,
    /// What else must be alike in a corpus.
    experiment: String,
    convention: FlopConvention,
}

fn release(
    name: &str,
    revision: Option<&str>,
    params: u64,
    planned: &[PlannedRun],
) -> Result<Release, String> {
    if let Some(rest) = name.strip_prefix("isoflop-") {
        final_only(revision)?;
        return isoflop(name, rest, planned);
    }
    if let Some(rest) = name.strip_prefix("pythia-") {
        return pythia(name, rest, revision, params);
    }
    if let Some(rest) = name.strip_prefix("OLMo-2-") {
        return olmo(name, rest, revision, params);
    }
    if let Some(size) = name.strip_prefix("Cerebras-GPT-") {
        final_only(revision)?;
        one_of(
            size,
            &["111M", "256M", "590M", "1.3B", "2.7B", "6.7B", "13B"],
        )?;
        let tokens = 20.0 * params as f64;
        return Ok(six_nd(
            name.to_owned(),
            name,
            "cerebras-gpt",
            params,
            tokens,
        ));
    }
    Err("is no release that is known".to_owned())
}

fn six_nd(id: String, trained: &str, corpus: &str, params: u64, tokens: f64) -> Release {
    let flops = 6.0 * params as f64 * tokens;
    Release {
        run: Run::new(
            id,
            Scale {
                params: params as f64,
                tokens,
                flops,
            },
        )
        .corpus(corpus),
        trained: trained.to_owned(),
        experiment: String::new(),
        convention: FlopConvention::SixNd,
    }
}

fn one_of(size: &str, sizes: &[&str]) -> Result<(), String> {
    if sizes.contains(&size) {
        return Ok(());
    }
    Err(format!(
        "has the size `{size}`, not one of {}",
        sizes.join(", ")
    ))
}

/// Refuses revisions other than the last; a snapshot that no reference names is taken for it.
fn final_only(revision: Option<&str>) -> Result<(), String> {
    match revision {
        None | Some("main") => Ok(()),
        Some(hash) if hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(()),
        Some(_) => Err("is a revision that was not released".to_owned()),
    }
}

fn isoflop(name: &str, rest: &str, planned: &[PlannedRun]) -> Result<Release, String> {
    let mut parts: Vec<&str> = rest.split('-').collect();
    let is_suffix = |part: &str| part.len() == 6 && part.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() > 5 && parts.last().is_some_and(|part| is_suffix(part)) {
        parts.pop();
    }
    let [budget, hidden, layers, batch, experiment @ ..] = parts.as_slice() else {
        return Err("is not `isoflop-BUDGET-dN-LN-BN-CORPUS…`".to_owned());
    };
    let number = |text: &str, mark: &str| text.strip_prefix(mark)?.parse::<u64>().ok();
    let (Ok(budget), Some(hidden), Some(layers), Some(batch)) = (
        budget.replace('p', "+").parse::<f64>(),
        number(hidden, "d"),
        number(layers, "L"),
        number(batch, "B"),
    ) else {
        return Err("is not `isoflop-BUDGET-dN-LN-BN-CORPUS…`".to_owned());
    };
    let corpus = experiment.first().copied().unwrap_or_default();
    if !["nemo", "comma", "dclm"].contains(&corpus) {
        return Err(format!(
            "has the corpus `{corpus}`, not one of nemo, comma, dclm"
        ));
    }
    let plan = planned.iter().find(|plan| {
        (plan.budget, u64::from(plan.hidden)) == (budget, hidden)
            && (u64::from(plan.layers), plan.batch) == (layers, batch)
    });
    let Some(plan) = plan else {
        return Err("is none of the 85 configurations of the suite".to_owned());
    };
    Ok(Release {
        run: Run::new(
            name,
            Scale {
                params: plan.params as f64,
                tokens: plan.tokens as f64,
                flops: plan.training_flops,
            },
        )
        .corpus(corpus)
        .budget(budget),
        trained: name.to_owned(),
        experiment: experiment.join("-"),
        convention: FlopConvention::Training,
    })
}

/// 1,024 sequences of 2,048 tokens.
const PYTHIA_STEP: u64 = 1024 * 2048;
const PYTHIA_STEPS: u64 = 143_000;

fn pythia(name: &str, rest: &str, revision: Option<&str>, params: u64) -> Result<Release, String> {
    let (size, variant) = match rest.split_once('-') {
        Some((size, variant)) => (size, Some(variant)),
        None => (rest, None),
    };
    one_of(
        size,
        &[
            "14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b",
        ],
    )?;
    let (corpus, seed) = match variant {
        None => ("pythia", None),
        Some("deduped") => ("pythia-deduped", None),
        Some(variant) => match variant.strip_prefix("seed").and_then(|n| n.parse().ok()) {
            Some(seed @ 1..=9) => ("pythia", Some(seed)),
            _ => return Err(format!("is a variant that is not known, `{variant}`")),
        },
    };
    let step = match revision {
        None | Some("main") => Some(PYTHIA_STEPS),
        Some(other) => other.strip_prefix("step").and_then(|n| n.parse().ok()),
    };
    let step = match step {
        Some(0) => return Err("has not been trained".to_owned()),
        Some(step @ 1..=PYTHIA_STEPS) => step,
        _ => return Err("is not `stepN`, N up to 143000, or `main`".to_owned()),
    };
    let tokens = (step * PYTHIA_STEP) as f64;
    let mut release = six_nd(format!("{name}-step{step}"), name, corpus, params, tokens);
    release.run.seed = seed;
    Ok(release)
}

fn olmo(name: &str, rest: &str, revision: Option<&str>, params: u64) -> Result<Release, String> {
    // Tokens of a step.
    let batch: u64 = match rest {
        "0425-1B" => 1 << 21,
        "1124-7B" => 1 << 22,
        "1124-13B" | "0325-32B" => 1 << 23,
        _ => return Err("is not one of 0425-1B, 1124-7B, 1124-13B, 0325-32B".to_owned()),
    };
    let numbers = revision.and_then(|revision| {
        let (step, tokens) = revision
            .strip_prefix("stage1-step")?
            .split_once("-tokens")?;
        let billions: u64 = tokens.strip_suffix('B')?.parse().ok()?;
        Some((step.parse::<u64>().ok()?, billions))
    });
    let Some((step, billions)) = numbers else {
        return Err("is not `stage1-stepN-tokensMB`, and has seen another mix or none".to_owned());
    };
    // The name has the tokens rounded up.
    let tokens = step.saturating_mul(batch);
    if tokens.div_ceil(1_000_000_000) != billions {
        return Err(format!("has {tokens} tokens by its step"));
    }
    if step == 0 {
        return Err("has not been trained".to_owned());
    }
    let revision = revision.unwrap_or_default();
    let id = format!("{name}-{revision}");
    Ok(six_nd(id, name, "olmo-2", params, tokens as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, revision: Option<&str>, params: u64) -> Result<Release, String> {
        let planned = Recipe::relative_scaling_laws().runs().unwrap();
        release(name, revision, params, &planned)
    }

    #[test]
    fn isoflop_names_are_the_configurations_of_the_recipe() {
        let name = "isoflop-1ep19-d2048-L21-B16-nemo-wider-depth-adapt-178bd6";
        let r = read(name, None, 7).unwrap();
        assert_eq!((r.run.id.as_str(), r.run.corpus.as_str()), (name, "nemo"));
        assert_eq!(r.experiment, "nemo-wider-depth-adapt");
        assert_eq!(r.run.budget, 1e19);
        assert!((r.run.flops / 3e19 - 1.0).abs() < 0.01);
        assert_eq!(r.run.params, 1_934_716_160.0);
        assert_eq!(r.run.tokens % (16.0 * 4096.0), 0.0);
        assert_eq!(r.convention, FlopConvention::Training);

        // Every configuration, with and without the suffix, and with the plus sign.
        let planned = Recipe::relative_scaling_laws().runs().unwrap();
        for plan in planned {
            for (budget, end) in [
                (
                    format!("{:e}", plan.budget).replace('e', "ep"),
                    "dclm-default-0a1b2c",
                ),
                (format!("{:e}", plan.budget).replace('e', "e+"), "comma-mix"),
            ] {
                let (h, l, b) = (plan.hidden, plan.layers, plan.batch);
                let name = format!("isoflop-{budget}-d{h}-L{l}-B{b}-{end}");
                let r = read(&name, Some("main"), 7).unwrap();
                assert_eq!(r.run.tokens, plan.tokens as f64);
                assert_eq!(r.run.params, plan.params as f64);
                assert_eq!(r.run.flops, plan.training_flops);
            }
        }
    }

    #[test]
    fn pythia_has_its_tokens_by_step() {
        let r = read("pythia-160m", Some("step3000"), 162_322_944).unwrap();
        assert_eq!(r.run.id, "pythia-160m-step3000");
        assert_eq!(r.run.tokens, 6_291_456_000.0);
        assert_eq!(r.run.flops, 6.0 * 162_322_944.0 * 6_291_456_000.0);
        assert_eq!(
            (r.run.corpus.as_str(), r.trained.as_str()),
            ("pythia", "pythia-160m")
        );
        let last = read("pythia-1.4b-deduped", None, 1).unwrap();
        assert_eq!(last.run.id, "pythia-1.4b-deduped-step143000");
        assert_eq!(last.run.tokens, 299_892_736_000.0);
        assert_eq!(last.run.corpus, "pythia-deduped");
        let seed = read("pythia-14m-seed3", Some("main"), 1).unwrap();
        assert_eq!(
            (seed.run.seed, seed.run.corpus.as_str()),
            (Some(3), "pythia")
        );
        assert_eq!(seed.trained, "pythia-14m-seed3");
    }

    #[test]
    fn olmo_and_cerebras_have_the_tokens_that_were_published() {
        // The name rounds up: 293.6, 9.02 and 5,000.1 billion.
        for (name, revision, tokens) in [
            (
                "OLMo-2-0425-1B",
                "stage1-step140000-tokens294B",
                293_601_280_000.0,
            ),
            (
                "OLMo-2-1124-7B",
                "stage1-step2150-tokens10B",
                9_017_753_600.0,
            ),
            (
                "OLMo-2-1124-13B",
                "stage1-step596057-tokens5001B",
                5_000_088_518_656.0,
            ),
            (
                "OLMo-2-0325-32B",
                "stage1-step721901-tokens6056B",
                6_055_744_503_808.0,
            ),
        ] {
            let r = read(name, Some(revision), 10).unwrap();
            assert_eq!(r.run.tokens, tokens, "{name}");
            assert_eq!(r.run.id, format!("{name}-{revision}"));
            assert_eq!(r.run.corpus, "olmo-2");
        }
        let r = read("Cerebras-GPT-111M", None, 111_050_496).unwrap();
        assert_eq!(r.run.tokens, 2_221_009_920.0);
        assert_eq!(r.convention, FlopConvention::SixNd);
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert!(read("Cerebras-GPT-13B", Some(hash), 1).is_ok());
    }

    #[test]
    fn what_a_name_does_not_say_is_refused() {
        for (name, revision, expected) in [
            ("llama-7b", None, "is no release that is known"),
            ("OLMo-1B-hf", None, "is no release that is known"),
            ("isoflop-1ep19-d2048", None, "is not `isoflop-BUDGET"),
            ("isoflop-1ep19-d2048-L21-B16", None, "has the corpus ``"),
            (
                "isoflop-1ep19-d2048-L21-B16-pile",
                None,
                "has the corpus `pile`",
            ),
            (
                "isoflop-1ep19-d2048-L20-B16-nemo",
                None,
                "none of the 85 configurations",
            ),
            (
                "isoflop-xp19-d2048-L21-B16-nemo",
                None,
                "is not `isoflop-BUDGET",
            ),
            (
                "isoflop-6ep10-d8-L1-B2-mixed",
                None,
                "has the corpus `mixed`",
            ),
            (
                "isoflop-1ep19-d2048-L21-B16-nemo",
                Some("step1000"),
                "was not released",
            ),
            ("pythia-150m", None, "has the size `150m`"),
            ("pythia-160m-v0", None, "variant that is not known, `v0`"),
            (
                "pythia-160m-data-seed1",
                None,
                "variant that is not known, `data-seed1`",
            ),
            (
                "pythia-160m-seed10",
                None,
                "variant that is not known, `seed10`",
            ),
            ("pythia-160m", Some("step0"), "has not been trained"),
            ("pythia-160m", Some("step144000"), "is not `stepN`"),
            (
                "pythia-160m",
                Some("0123456789abcdef0123456789abcdef01234567"),
                "is not `stepN`",
            ),
            ("OLMo-2-0425-1B", None, "is not `stage1-stepN-tokensMB`"),
            (
                "OLMo-2-0425-1B",
                Some("main"),
                "is not `stage1-stepN-tokensMB`",
            ),
            (
                "OLMo-2-0425-1B",
                Some("stage2-ingredient3-step6000-tokens13B"),
                "is not `stage1-stepN-tokensMB`",
            ),
            (
                "OLMo-2-0425-1B",
                Some("stage1-step140000-tokens300B"),
                "has 293601280000 tokens",
            ),
            (
                "OLMo-2-0425-1B",
                Some("stage1-step0-tokens0B"),
                "has not been trained",
            ),
            ("OLMo-2-0425-1B-Instruct", None, "is not one of 0425-1B"),
            ("Cerebras-GPT-112M", None, "has the size `112M`"),
            ("Cerebras-GPT-111M", Some("step5"), "was not released"),
        ] {
            let error = read(name, revision, 1).err();
            assert!(
                error.as_ref().is_some_and(|e| e.contains(expected)),
                "{name} {revision:?}: {error:?}"
            );
        }
    }
}
