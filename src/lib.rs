//! Relative scaling laws: how the gap between test distributions evolves as language models scale.
#![forbid(unsafe_code)]

pub mod backend;
pub mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod distribution;
mod error;
pub mod evaluate;
pub mod fit;
pub mod ladder;
pub mod model;
pub mod report;
pub mod scorer;
pub mod tokenizer;

pub use error::Error;
