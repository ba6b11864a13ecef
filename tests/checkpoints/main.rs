//! Checkpoints of every format and architecture: against the programs that wrote them, damaged, and adapted.

#[path = "../common/mod.rs"]
mod common;

mod adapter_merge;
mod adapters;
mod bad_gguf;
mod bad_input;
mod golden_checkpoints;
mod golden_gguf;
mod golden_torch;
mod real_checkpoints;
mod smollm2;
