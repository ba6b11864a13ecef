//! Items, scorers, score logs and backends of others: from a text to a row of the table.

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod custom_backend;
mod items;
mod log;
mod scorers;
mod trust;
