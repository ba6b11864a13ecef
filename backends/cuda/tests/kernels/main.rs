//! Every kernel in every precision against the reference in `f64`, at the edges of tiles.
//!
//! Inputs are numbers of the storage format, so nothing is lost on the way in. Let u = 2⁻²⁴ be the
//! unit roundoff of `f32`, in which sums run, r that of the format (2⁻²⁴, 2⁻¹¹ or 2⁻⁸), and
//! γ_k = k·u / (1 − k·u). A result y may be off by r·|y| for being stored, plus a loss from its sums
//! that each test states. Factors of 1.01 cover products of two such terms. NaN is never within a
//! bound.

#[path = "../common/mod.rs"]
mod common;

mod attention;
mod batch;
mod bias;
mod head;
mod linear;
mod rows;
mod trial;
