//! Names of released checkpoints: corpus, budget, compute and tokens of a run.

use relscale::isoflop::PlannedRun;
use relscale::ladder::{FlopConvention, Run, Scale};

use datadecide::datadecide;
use gemstones::gemstone;

pub(in crate::released) use gemstones::shape as gemstone_shape;

mod datadecide;
mod gemstones;

/// A checkpoint as its name describes it.
pub(super) struct Release {
    pub(super) run: Run,
    /// Name of the training run.
    pub(super) trained: String,
    /// Name of the experiment, which must be the same for all runs of a corpus.
    pub(super) experiment: String,
    pub(super) convention: FlopConvention,
}

/// Reads name and revision; the error is a predicate of the name ("has the size …").
pub(super) fn release(
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
    if let Some(rest) = name.strip_prefix("DataDecide-") {
        return datadecide(name, rest, revision, params);
    }
    if let Some(rest) = name.strip_prefix("Gemstone-") {
        return gemstone(name, rest, revision, params);
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
    Err("is not the name of a known release".to_owned())
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

/// Refuses revisions other than the last one. A snapshot that no reference names counts as the last.
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

/// Tokens per step: 1,024 sequences of 2,048 tokens.
const PYTHIA_STEP: u64 = 1024 * 2048;
/// Steps of every Pythia run.
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
    let Variant {
        corpus,
        seed,
        evenly,
    } = variant_of_pythia(size, variant)?;
    let step = match revision {
        None | Some("main") => Some(PYTHIA_STEPS),
        Some(other) => other.strip_prefix("step").and_then(|n| n.parse().ok()),
    };
    let step = match step {
        Some(0) => return Err("has not been trained".to_owned()),
        Some(step @ 1..=PYTHIA_STEPS) => step,
        _ => return Err("is not `stepN`, N up to 143000, or `main`".to_owned()),
    };
    if evenly && !step.is_multiple_of(1000) {
        return Err("is not a multiple of 1,000 steps, as the checkpoints of `v0` are".to_owned());
    }
    let tokens = (step * PYTHIA_STEP) as f64;
    let mut release = six_nd(format!("{name}-step{step}"), name, corpus, params, tokens);
    release.run.seed = seed;
    Ok(release)
}

/// A variant of Pythia.
struct Variant {
    corpus: &'static str,
    seed: Option<u64>,
    /// If true, there are only checkpoints at every thousandth step.
    evenly: bool,
}

/// The suffix of a name. The seeds are those of PolyPythias (model card of `pythia-410m-seed3`): all
/// random numbers for 14m to 410m, the order of the data or the first weights alone for 160m.
///
/// The `v0` models of 160m, 410m and 1.4b were trained on batches of twice the size, and their checkpoints are
/// renamed to steps of 2,097,152 tokens (README of github.com/EleutherAI/pythia).
fn variant_of_pythia(size: &str, variant: Option<&str>) -> Result<Variant, String> {
    const SEEDED: [&str; 5] = ["14m", "31m", "70m", "160m", "410m"];
    // Neither size was part of the first release.
    const LATER: [&str; 2] = ["14m", "31m"];
    let of = |corpus, seed| Variant {
        corpus,
        seed,
        evenly: false,
    };
    let seed = |text: &str, most: u64| {
        let seed = text.parse().ok();
        seed.filter(|seed| (1..=most).contains(seed))
    };
    let Some(variant) = variant else {
        return Ok(of("pythia", None));
    };
    let unknown = || Err(format!("is an unknown variant, `{variant}`"));
    let (corpus, seed) = match variant {
        "deduped" => ("pythia-deduped", None),
        "v0" | "deduped-v0" if !LATER.contains(&size) => {
            return Ok(Variant {
                corpus: match variant {
                    "v0" => "pythia-v0",
                    _ => "pythia-deduped-v0",
                },
                seed: None,
                evenly: true,
            });
        }
        _ => {
            let (corpus, seed) = if let Some(text) = variant.strip_prefix("seed") {
                ("pythia", seed(text, 9).filter(|_| SEEDED.contains(&size)))
            } else if let Some(text) = variant.strip_prefix("data-seed") {
                ("pythia-data-seed", seed(text, 3).filter(|_| size == "160m"))
            } else if let Some(text) = variant.strip_prefix("weight-seed") {
                (
                    "pythia-weight-seed",
                    seed(text, 3).filter(|_| size == "160m"),
                )
            } else {
                return unknown();
            };
            if seed.is_none() {
                return unknown();
            }
            (corpus, seed)
        }
    };
    Ok(of(corpus, seed))
}

fn olmo(name: &str, rest: &str, revision: Option<&str>, params: u64) -> Result<Release, String> {
    // Tokens per step.
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
    // The name states billions of tokens, rounded up.
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
mod tests;
