//! Lines of score logs, for their schema.

use relscale::log::Key;
use schemars::JsonSchema;

/// A line of a score log, as `ladder` (OUT/logs) and `study run` write it: the first pins what was scored
/// and how, each further one holds an item, findings about model and tokenizer, or devices.
#[derive(JsonSchema)]
#[schemars(untagged, deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are those of the schema")]
pub(super) enum LogLine {
    /// The first line.
    Header {
        /// Version of the format, 1.
        relscale_score_log: u32,
        /// All that the scores depend on.
        key: Key,
        /// The first 16 digits of the SHA-256 of the line up to this field.
        check: String,
    },
    /// The scores of an item.
    Record {
        /// Name of the item.
        id: String,
        /// Cluster of the item.
        cluster: String,
        /// Loss and weight, one pair per scorer of the key.
        scores: Vec<(f64, f64)>,
        /// Adjustments made while scoring the item.
        #[schemars(default)]
        warnings: Vec<String>,
        /// The first 16 digits of the SHA-256 of the `check` of the first line and this line up to this field.
        check: String,
    },
    /// Findings about model and tokenizer.
    Warnings {
        /// The findings.
        warnings: Vec<String>,
        /// The first 16 digits of the SHA-256 of the `check` of the first line and this line up to this field.
        check: String,
    },
    /// Devices that score the items after this line.
    Devices {
        /// Name and driver of each, where results may depend on them.
        devices: Vec<String>,
        /// The first 16 digits of the SHA-256 of the `check` of the first line and this line up to this field.
        check: String,
    },
}
