//! One module per command of the program.

pub mod fit;
pub mod ladder;
pub mod plan;
pub mod score;
pub mod study;
