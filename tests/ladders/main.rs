//! Tables of losses, as people and strangers write them.

mod bad_parquet;
mod tables;
