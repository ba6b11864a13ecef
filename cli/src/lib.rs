//! The parts of the program `relscale` that run whole studies.
//!
//! [`readers`] turns the files of benchmarks and logs into distributions and ladders, [`released`]
//! recognises released ladders by the names of their folders, [`units`] cuts a study into units of
//! work for many machines, and [`engine`] loads checkpoints on a chosen backend. The method itself is
//! in the crate [`relscale`]; nothing here computes.
#![forbid(unsafe_code)]

pub mod commands;
pub mod engine;
pub mod program;
pub mod readers;
pub mod released;
pub mod units;
