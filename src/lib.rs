//! Relative scaling laws: how the gap between test distributions evolves as language models scale.
#![forbid(unsafe_code)]

pub mod backend;
pub mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod model;

pub use error::Error;
