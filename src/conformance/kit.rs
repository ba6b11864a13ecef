//! The kit itself, the list of its checks, and their outcome.

use std::fmt;

use super::bounds::{Roundoff, within_determinism};
use crate::backend::Backend;
use crate::error::Error;

/// The agreement a backend promises between two computations of the same item: alone or in a
/// batch, with a shared prefix or without, in the same process or in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Determinism {
    /// The same bits.
    Bitwise,
    /// The same bits from the same call on the same device, and in other company agreement as for
    /// [`Determinism::UpToRounding`].
    Repeatable,
    /// Agreement to 1024 u·(1 + |x|), with u the unit roundoff of the backend.
    ///
    /// For backends whose order of summation depends on the shape of the batch, as that of most
    /// GPU libraries does.
    UpToRounding,
}

/// The reason why a check failed: a wrong result, or an error of the backend.
#[derive(Debug)]
pub struct Failure(Reason);

#[derive(Debug)]
enum Reason {
    Wrong(String),
    Refused(Error),
}

impl Failure {
    /// A wrong result.
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self(Reason::Wrong(message.into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Wrong(message) => f.write_str(message),
            Reason::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Reason::Wrong(_) => None,
            // The message of the error is already that of the failure.
            Reason::Refused(error) => error.source(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(Reason::Refused(error))
    }
}

/// The checks, for one backend.
///
/// Every check is a method of this type; its documentation states the bound it applies.
/// [`conformance_tests!`](crate::conformance_tests) runs them as tests.
///
/// # Errors
/// A check returns the first result that is wrong, or the first error of the backend.
///
/// # Examples
/// ```
/// use relscale::backend::Reference;
/// use relscale::conformance::{Determinism, Kit, UNIT_ROUNDOFF_F64};
///
/// let make = || Reference::<f64>::new();
/// let kit = Kit::new(make, UNIT_ROUNDOFF_F64, Determinism::Bitwise);
/// assert!(kit.attention_causality().is_ok());
/// ```
pub struct Kit<B> {
    make: Box<dyn Fn() -> B>,
    pub(super) roundoff: Roundoff,
    determinism: Determinism,
}

impl<B> fmt::Debug for Kit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit")
            .field("roundoff", &self.roundoff)
            .field("determinism", &self.determinism)
            .finish_non_exhaustive()
    }
}

macro_rules! checks {
    ($($name:ident)*) => {
        /// Every check with its name, in the order in which
        /// [`conformance_tests!`](crate::conformance_tests) runs them.
        pub fn checks() -> Vec<(&'static str, fn(&Self) -> Result<(), Failure>)> {
            vec![$((stringify!($name), Self::$name as fn(&Self) -> Result<(), Failure>)),*]
        }
    };
}

impl<B: Backend> Kit<B> {
    crate::conformance_tests!(@checks [checks]);

    /// A kit for the backend that `make` returns.
    ///
    /// `roundoff` is the unit roundoff of the backend's arithmetic, for example
    /// [`UNIT_ROUNDOFF_F32`](super::UNIT_ROUNDOFF_F32), or a [`Roundoff`] if weights and what is multiplied
    /// with them are rounded further.
    pub fn new(
        make: impl Fn() -> B + 'static,
        roundoff: impl Into<Roundoff>,
        determinism: Determinism,
    ) -> Self {
        Self {
            make: Box::new(make),
            roundoff: roundoff.into(),
            determinism,
        }
    }

    /// The agreement that the backend promises.
    pub(super) fn determinism(&self) -> Determinism {
        self.determinism
    }

    /// A fresh backend.
    pub(super) fn backend(&self) -> B {
        // A backend per check, so that nothing left over from one can help another.
        (self.make)()
    }

    /// Compares the results of one call with those of the same call again.
    pub(super) fn repeated(
        &self,
        what: impl fmt::Display,
        first: &[f64],
        second: &[f64],
    ) -> Result<(), Failure> {
        let promise = match self.determinism {
            Determinism::Repeatable => Determinism::Bitwise,
            other => other,
        };
        self.agree(promise, what, first, second)
    }

    /// Compares two computations of the same results under the promised determinism.
    pub(super) fn same(
        &self,
        what: impl fmt::Display,
        first: &[f64],
        second: &[f64],
    ) -> Result<(), Failure> {
        self.agree(self.determinism, what, first, second)
    }

    fn agree(
        &self,
        promise: Determinism,
        what: impl fmt::Display,
        first: &[f64],
        second: &[f64],
    ) -> Result<(), Failure> {
        if first.len() != second.len() {
            let (first, second) = (first.len(), second.len());
            return Err(Failure::wrong(format!(
                "{what}: {first} results, then {second}"
            )));
        }
        for (i, (&a, &b)) in first.iter().zip(second).enumerate() {
            // Two NaNs have equal bits, but neither is a result.
            let agree = a.is_finite()
                && match promise {
                    Determinism::Bitwise => a.to_bits() == b.to_bits(),
                    Determinism::Repeatable | Determinism::UpToRounding => {
                        within_determinism(a, b, self.roundoff.arithmetic)
                    }
                };
            if !agree {
                return Err(Failure::wrong(format!(
                    "{what}: result {i} is {a:e}, then {b:e}, promised {promise:?}"
                )));
            }
        }
        Ok(())
    }
}
