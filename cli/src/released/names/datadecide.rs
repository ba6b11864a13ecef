//! Names of DataDecide: 25 training corpora, each with models of fourteen sizes.
//!
//! # References
//! Magnusson et al. (2025), *DataDecide*, arXiv:2504.11393. Sizes, batches and steps are those of
//! `scaling_laws/utils/constants/constants_models.py` and the corpora those of `release/repo_names.txt` in
//! github.com/allenai/DataDecide.

use super::{Release, one_of, six_nd};

/// Size, sequences per step and steps of the whole training (`MODEL_TO_BATCH`, `FULL_SCHEDULE`).
const SIZES: [(&str, u64, u64); 14] = [
    ("4M", 32, 5_725),
    ("6M", 32, 9_182),
    ("8M", 32, 13_039),
    ("10M", 32, 15_117),
    ("14M", 32, 21_953),
    ("16M", 32, 24_432),
    ("20M", 64, 14_584),
    ("60M", 96, 29_042),
    ("90M", 160, 29_901),
    ("150M", 192, 38_157),
    ("300M", 320, 45_787),
    ("530M", 448, 57_786),
    ("750M", 576, 63_589),
    ("1B", 704, 69_369),
];
/// Tokens per sequence (`get_compute` in the same file).
const SEQUENCE: u64 = 2048;
const CORPORA: [&str; 25] = [
    "c4",
    "dclm-baseline",
    "dclm-baseline-25p-dolma1.7-75p",
    "dclm-baseline-50p-dolma1.7-50p",
    "dclm-baseline-75p-dolma1.7-25p",
    "dclm-baseline-qc-10p",
    "dclm-baseline-qc-20p",
    "dclm-baseline-qc-7p-fw2",
    "dclm-baseline-qc-7p-fw3",
    "dclm-baseline-qc-fw-10p",
    "dclm-baseline-qc-fw-3p",
    "dolma1_6plus",
    "dolma1_7",
    "dolma1_7-no-code",
    "dolma1_7-no-flan",
    "dolma1_7-no-math-code",
    "dolma1_7-no-reddit",
    "falcon",
    "falcon-and-cc",
    "falcon-and-cc-qc-10p",
    "falcon-and-cc-qc-20p",
    "falcon-and-cc-qc-orig-10p",
    "falcon-and-cc-qc-tulu-10p",
    "fineweb-edu",
    "fineweb-pro",
];

/// Reads `CORPUS-SIZE` and a revision `stepN-seed-default`.
pub(super) fn datadecide(
    name: &str,
    rest: &str,
    revision: Option<&str>,
    params: u64,
) -> Result<Release, String> {
    let Some((corpus, size)) = rest.rsplit_once('-') else {
        return Err("is not `DataDecide-CORPUS-SIZE`".to_owned());
    };
    one_of(size, &SIZES.map(|(size, ..)| size))?;
    if !CORPORA.contains(&corpus) {
        return Err(format!(
            "has the corpus `{corpus}`, which is none of the 25"
        ));
    }
    let Some((_, batch, steps)) = SIZES.iter().find(|(other, ..)| *other == size) else {
        return Err(format!("has the size `{size}`"));
    };
    let step = revision.and_then(|r| {
        let step = r.strip_prefix("step")?.strip_suffix("-seed-default")?;
        step.parse::<u64>().ok()
    });
    // The runs with other seeds have more steps than these batches allow for (127,166 at 300M), so that
    // their tokens are not known; neither is the step of `main`.
    let Some(step) = step else {
        return Err(
            "is not a revision `stepN-seed-default`, the tokens of which are known".to_owned(),
        );
    };
    match step {
        0 => return Err("has not been trained".to_owned()),
        step if step > *steps => return Err(format!("has more than {steps} steps")),
        _ => {}
    }
    let tokens = (step * batch * SEQUENCE) as f64;
    Ok(six_nd(
        format!("{name}-step{step}"),
        name,
        corpus,
        params,
        tokens,
    ))
}
