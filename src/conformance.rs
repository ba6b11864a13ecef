//! Tests that any [`Backend`](crate::backend::Backend) must pass (feature `conformance`).
//!
//! [`conformance_tests!`](crate::conformance_tests) expands to one `#[test]` per check of [`Kit`]:
//!
//! ```
//! # mod tests {
//! use relscale::backend::Reference;
//! use relscale::conformance::{Determinism, UNIT_ROUNDOFF_F32};
//!
//! relscale::conformance_tests!(
//!     plain_loops,
//!     || Reference::<f32>::new(),
//!     UNIT_ROUNDOFF_F32,
//!     Determinism::Bitwise
//! );
//! # }
//! ```
//!
//! # How a kernel is judged
//! Every kernel runs on awkward sizes and values, and its results are compared with those of the
//! [`Reference`](crate::backend::Reference) backend in `f64` on the same inputs. The
//! allowed difference is an a-priori forward-error bound. With u the unit roundoff of the backend
//! and
//!
//! γ_k = k·u / (1 − k·u),
//!
//! a sum of n products, computed in any order and with or without fused multiply-add, differs from
//! the exact sum by at most γ_n·Σ|xᵢ||yᵢ|. The documentation of each check derives its bound.
//!
//! Two terms are added to every bound on values that come back through
//! [`Backend::read`](crate::backend::Backend::read). That method returns `f32`, hence u₃₂·|y| with
//! u₃₂ = 2⁻²⁴. A device may flush subnormal numbers to zero, hence a multiple of the smallest
//! normal `f32`. NaN is never within a bound.
//!
//! A backend may round weights, and activations before they are multiplied with them, to a coarser
//! format with unit roundoff r, in which values below τ count as zero ([`Roundoff`]). A product then also
//! differs by at most Σ((1 + r)|xᵢ| + τ)((1 + r)|yᵢ| + τ) − Σ|xᵢ||yᵢ|.
//!
//! Elementary functions (`exp`, `tanh`, `cos`) may have a relative error of 4u, which common
//! mathematical libraries keep. Columns outside the block that a kernel is given hold NaN, so that
//! reading them shows in the result.
//!
//! Inputs are pseudo-random from fixed seeds, so every failure repeats.
//!
//! # References
//! - N. J. Higham (2002), *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM, §3.1
//!   (γ_k, lemma 3.1), doi:10.1137/1.9780898718027.

mod activate;
mod attention;
mod bounds;
mod empty;
mod experts;
pub mod inputs;
mod kit;
mod linear;
mod log_prob;
mod model;
mod norm;
mod rope;
mod rows;
mod tiny;
mod upload;
mod wrong_input;

pub use bounds::{Roundoff, UNIT_ROUNDOFF_BF16, UNIT_ROUNDOFF_F32, UNIT_ROUNDOFF_F64};
pub use kit::{Determinism, Failure, Kit};

/// Expands to a module of tests for one backend: one `#[test]` per check of
/// [`Kit`](crate::conformance::Kit).
///
/// Arguments, in this order:
/// 1. the name of the module;
/// 2. a closure that makes the backend, called once or more per test;
/// 3. the unit roundoff of the backend's arithmetic, or a [`Roundoff`](crate::conformance::Roundoff);
/// 4. optionally its [`Determinism`](crate::conformance::Determinism), `UpToRounding` by default;
/// 5. optionally a function that runs the body of each test (`fn(impl FnOnce())`), for devices
///    that need preparation.
///
/// The module documentation of [`conformance`](crate::conformance) has an example.
#[macro_export]
macro_rules! conformance_tests {
    ($name:ident, $make:expr, $unit_roundoff:expr $(,)?) => {
        $crate::conformance_tests!(
            $name,
            $make,
            $unit_roundoff,
            $crate::conformance::Determinism::UpToRounding
        );
    };
    ($name:ident, $make:expr, $unit_roundoff:expr, $determinism:expr $(, $around:expr)? $(,)?) => {
        #[allow(clippy::redundant_closure, reason = "a closure reads best where the macro is called")]
        mod $name {
            #[allow(unused_imports, reason = "the backend may need nothing from outside")]
            use super::*;
            $crate::conformance_tests!(@checks [$crate::conformance_tests]
                @tests [$make, $unit_roundoff, $determinism $(, $around)?]);
        }
    };
    // The one list of checks. `Kit::checks` is made from it as well, so no check can be left out.
    (@checks [$($callback:tt)+] $($arguments:tt)*) => {
        $($callback)+! { $($arguments)*
            upload_rows embed norm norm_overflow linear rope attention activate add gather concat log_prob
            attention_slopes pointwise route add_rows
            rows_alone attention_causality attention_sharing attention_prefix normalisation
            empty wrong_input
            model model_causality model_packing model_sharing model_prefix model_repeatability
            model_normalisation }
    };
    (@tests $kit:tt $($check:ident)*) => {
        $(#[test] fn $check() { $crate::conformance_tests!(@run $kit $check); })*
    };
    (@run [$make:expr, $unit_roundoff:expr, $determinism:expr] $check:ident) => {
        let kit = $crate::conformance::Kit::new($make, $unit_roundoff, $determinism);
        if let Err(failure) = kit.$check() {
            panic!("{failure}");
        }
    };
    (@run [$make:expr, $unit_roundoff:expr, $determinism:expr, $around:expr] $check:ident) => {
        $around(|| {
            $crate::conformance_tests!(@run [$make, $unit_roundoff, $determinism] $check);
        });
    };
}
