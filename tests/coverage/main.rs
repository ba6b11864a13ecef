//! Coverage of the intervals under known truth. Ignored by default; run with
//!
//! ```text
//! cargo test --release --test coverage -- --ignored --nocapture
//! ```
//!
//! Every row is `REPLICATES` ladders (fewer where items are simulated one by one), analysed in full.
//! The numbers do not depend on the number of threads.

mod estimands;
mod generators;
mod grids;
mod harness;
mod isoflop;
mod optional;
#[path = "../common/random.rs"]
mod random;
#[path = "../common/rungs.rs"]
mod rungs;
mod width;
