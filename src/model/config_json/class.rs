//! The class of a checkpoint.

use serde_json::Value;

use super::Fields;
use crate::error::Error;
use crate::model::architecture::Architecture;

/// The class that `architectures` names. Without it, `model_type` decides, as in `transformers`:
/// files written by a training program often lack the list, or hold it empty or null.
pub(super) fn architecture(fields: &Fields<'_>) -> Result<Architecture, Error> {
    const FIELD: &str = "architectures";
    let supported = Architecture::ALL;
    let names: Vec<&str> = supported.iter().map(|a| a.name()).collect();
    let names = names.join(", ");
    let named = |value: &&Value| value.as_array().is_none_or(|list| !list.is_empty());
    let Some(value) = fields.present(FIELD).filter(named) else {
        let Some(kind) = fields.present("model_type") else {
            let message = format!("missing, and so is model_type; supported: {names}");
            return Err(fields.error(FIELD, message));
        };
        let found = (supported.iter().copied()).find(|a| kind == a.family().model_type);
        return found.ok_or_else(|| {
            let kinds: Vec<&str> = supported.iter().map(|a| a.family().model_type).collect();
            let message = format!("{kind} is not supported; supported: {}", kinds.join(", "));
            fields.error("model_type", message)
        });
    };
    let listed = match value.as_array().map(Vec::as_slice) {
        Some([Value::String(name)]) => supported.iter().copied().find(|a| a.name() == name),
        _ => None,
    };
    listed.ok_or_else(|| {
        let reason = match value.as_array().map(Vec::as_slice) {
            Some([Value::String(name)]) => reason_against(name),
            _ => "",
        };
        let message = format!("{value} is not supported{reason}; supported: {names}");
        fields.error(FIELD, message)
    })
}

/// The reason why a known class is not supported, in continuation of a sentence.
fn reason_against(class: &str) -> &'static str {
    // Prefixes of the names of classes in `transformers`.
    const STATE_SPACE: &[&str] = &[
        "Bamba",
        "FalconH1",
        "FalconMamba",
        "GraniteMoeHybrid",
        "Jamba",
        "Lfm2",
        "Mamba",
        "NemotronH",
        "Plamo2",
        "Qwen3Next",
        "RecurrentGemma",
        "Rwkv",
        "Zamba",
    ];
    const LATENT: &[&str] = &[
        "DeepseekV2",
        "DeepseekV3",
        "Glm4MoeLite",
        "KimiK2",
        "LongcatFlash",
        "MiniCPM3",
    ];
    let among = |prefixes: &[&str]| prefixes.iter().any(|prefix| class.starts_with(prefix));
    if among(STATE_SPACE) {
        ": it keeps a recurrent state (state-space model or recurrent network), and only attention is \
         computed here"
    } else if among(LATENT) {
        ": its keys and values are compressed (multi-head latent attention), which is not computed here"
    } else {
        ""
    }
}
