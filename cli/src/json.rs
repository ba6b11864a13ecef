//! Settings and results in JSON.

pub use relscale::input::json as parse;

/// Largest accepted file of settings: a study or options have a few thousand bytes.
pub const SETTINGS: u64 = 64 << 20;
/// Largest accepted file of results or of a plan, which may list millions of units.
pub const RESULTS: u64 = 4 << 30;
