//! Names of the Gemstones: models of many widths and depths, with checkpoints every 2 billion tokens.
//!
//! # References
//! McLeish et al. (2025), *Gemstones: A Model Suite for Multi-Faceted Scaling Laws*, arXiv:2502.06857. The
//! model cards (huggingface.co/tomg-group-umd/Gemstone-256x23, …-3072x12_cooldown, …-512x16_lr_ablation)
//! state 2,048 sequences per step, 2 billion tokens per 477 steps, 350 billion tokens (100 with half the
//! learning rate), and the names of the revisions of the cooldowns.

use super::{Release, six_nd};

/// Tokens per step: 477 steps are 2 billion tokens, and 2,048 sequences of 2,048 tokens.
const STEP: u64 = 2048 * 2048;

/// Width and depth in a name without `Gemstone-`.
pub(in crate::released) fn shape(rest: &str) -> Option<(usize, usize)> {
    let shape = rest.split('_').next()?;
    let (width, depth) = shape.split_once('x')?;
    Some((width.parse().ok()?, depth.parse().ok()?))
}

/// Reads `WxD`, `WxD_cooldown` or `WxD_lr_ablation` and a revision `step_N` or `step_X_cooldown_N`.
pub(super) fn gemstone(
    name: &str,
    rest: &str,
    revision: Option<&str>,
    params: u64,
) -> Result<Release, String> {
    if shape(rest).is_none() {
        return Err("is not `Gemstone-WIDTHxDEPTH`".to_owned());
    }
    let variant = rest.split_once('_').map(|(_, variant)| variant);
    // Billions of tokens of the longest run, and the corpus that tells the three recipes apart.
    let (most, corpus) = match variant {
        None => (352, "gemstones"),
        Some("lr_ablation") => (102, "gemstones-lr-ablation"),
        Some("cooldown") => (102, "gemstones-cooldown"),
        Some(other) => return Err(format!("is an unknown variant, `{other}`")),
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let steps = revision.and_then(|r| r.strip_prefix("step_"));
    let step = match (variant, steps) {
        (Some("cooldown"), Some(steps)) => {
            let (start, end) = steps.split_once("_cooldown_").unwrap_or_default();
            number(start)
                .zip(number(end))
                .filter(|(start, end)| end >= start)
                .map(|(_, end)| end)
        }
        (_, Some(step)) => number(step),
        (_, None) => None,
    };
    let Some(step) = step else {
        let form = match variant {
            Some("cooldown") => "step_N_cooldown_N",
            _ => "step_N",
        };
        return Err(format!(
            "is not a revision `{form}`, and the step of `main` is not known"
        ));
    };
    let tokens = step.saturating_mul(STEP);
    if step == 0 {
        return Err("has not been trained".to_owned());
    }
    if tokens > most * 1_000_000_000 {
        return Err(format!("has {tokens} tokens by its step"));
    }
    let revision = revision.unwrap_or_default();
    let id = format!("{name}-{revision}");
    Ok(six_nd(id, name, corpus, params, tokens as f64))
}
