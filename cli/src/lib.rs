//! The parts of the program `relscale` that run whole studies.
//!
//! [`readers`] turns the files of benchmarks and logs into distributions and ladders, [`released`]
//! recognises released ladders by the names of their folders, [`units`] cuts a study into units of
//! work for many machines, [`hub`] downloads checkpoints, [`engine`] loads checkpoints on a chosen backend, [`runs`] scores a table
//! of runs through logs, and [`ladder_study`] takes such a table from scores to laws. [`commands`] is
//! the command line. The method itself is in the crate [`relscale`]; nothing here computes a
//! statistic.
#![forbid(unsafe_code)]

pub mod commands;
mod digest;
pub mod engine;
#[cfg(feature = "figures")]
pub mod figures;
pub mod html;
pub mod hub;
pub mod interrupt;
pub mod json;
pub mod ladder_study;
pub mod names;
pub mod output;
pub mod readers;
pub mod released;
pub mod runs;
pub mod screen;
pub mod suggest;
pub mod units;
