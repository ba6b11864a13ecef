//! Relative scaling laws: how the gap between test distributions evolves as language models scale.
#![forbid(unsafe_code)]
pub mod fit;
pub mod ladder;
pub mod report;
