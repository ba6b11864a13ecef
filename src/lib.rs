//! Relative scaling laws: how the gap between test distributions evolves as language models scale.
//!
//! Two halves that can be used apart. Scoring: a [`model`] on a [`backend`] gives log-likelihoods
//! of the items of a [`distribution`], which a [`scorer`] turns into losses; [`evaluate`] drives it.
//! Statistics: a [`ladder`] of runs and their losses, from there or from anywhere else, goes into
//! [`fit`], whose result [`report`] prints and draws. Data flows in this order and never back.
#![doc = concat!("\n", include_str!("../README.md"))]
#![forbid(unsafe_code)]

pub mod backend;
pub mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod distribution;
mod error;
pub mod evaluate;
pub mod fit;
pub mod isoflop;
pub mod ladder;
pub mod log;
pub mod model;
pub mod report;
pub mod scorer;
pub mod tokenizer;
pub mod units;

pub use error::Error;
