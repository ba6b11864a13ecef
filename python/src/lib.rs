//! The native part of the Python package `relscale`.
//!
//! It hands tables, options and results across and computes nothing: every number comes from the crates
//! `relscale` and `relscale-cpu`. Results cross as JSON, whose numbers read back to the same bits.

use pyo3::prelude::*;

mod analysis;
mod arrow;
mod between;
mod errors;
mod greedy;
mod ladder;
mod model;
mod plans;
mod score;

/// The native part of `relscale`; use that package.
#[pymodule]
mod _relscale {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::analysis::{Analysis, analyze};
    #[pymodule_export]
    use super::errors::panicking;
    #[pymodule_export]
    use super::ladder::{Ladder, read_tables};
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::plans::{forecast, plan, scenarios, simulate};
    #[pymodule_export]
    use super::score::score;

    /// Version of the crate.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
