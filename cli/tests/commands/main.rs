//! The program from the command line: what it prints, writes and refuses.

#[path = "../common/mod.rs"]
mod common;

mod adapters;
mod again;
mod figures;
mod fit;
mod formats;
mod messages;
mod presets;
mod schemas;
mod score_parquet;
mod tables;
mod transcripts;
mod trust;
