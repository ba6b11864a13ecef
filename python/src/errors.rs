//! Errors of the crates as exceptions of the package.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use relscale::fit::FitError;
use relscale::ladder::LadderError;

/// The exception `class` of `relscale._errors` with a message.
///
/// The classes are written in Python because they have two bases each, and so that they can be pickled.
pub(crate) fn raise(py: Python<'_>, class: &str, message: &str) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let class = py.import("relscale._errors")?.getattr(class)?;
        Ok(PyErr::from_value(class.call1((message,))?))
    };
    made().unwrap_or_else(|e| e)
}

/// An error that has an exception class.
pub(crate) trait Raise {
    /// The exception.
    fn raised(self, py: Python<'_>) -> PyErr;
}

impl Raise for LadderError {
    fn raised(self, py: Python<'_>) -> PyErr {
        raise(py, "LadderError", &self.to_string())
    }
}

impl Raise for FitError {
    fn raised(self, py: Python<'_>) -> PyErr {
        let mut message = self.to_string();
        if let Self::Unknown { name, known, .. } = &self
            && let Some(near) = nearest(py, name, known)
        {
            message += &format!("; did you mean {near:?}?");
        }
        raise(py, "FitError", &message)
    }
}

impl Raise for relscale::Error {
    fn raised(self, py: Python<'_>) -> PyErr {
        let class = match &self {
            Self::Option { .. } => "OptionError",
            _ => "ScoreError",
        };
        raise(py, class, &self.to_string())
    }
}

/// The closest of `known` to `name`, as the standard library of Python finds it.
fn nearest(py: Python<'_>, name: &str, known: &[String]) -> Option<String> {
    let difflib = py.import("difflib").ok()?;
    let found = difflib.call_method1("get_close_matches", (name, known.to_vec(), 1));
    found.ok()?.extract::<Vec<String>>().ok()?.pop()
}

/// Runs `work` without the interpreter lock; an error or a panic becomes an exception.
pub(crate) fn detached<T: Send, E: Raise + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(result) => result.map_err(|e| e.raised(py)),
        Err(panic) => Err(raise(py, "RelscaleError", &of_panic(&*panic))),
    }
}

/// The message about a panic, which is a defect of the crates.
fn of_panic(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "internal error, please report it: {}",
        said.unwrap_or_default()
    )
}

/// Panics behind the same guard as every other function, for the test that no panic crosses.
#[pyfunction]
#[pyo3(name = "_panicking")]
pub(crate) fn panicking(py: Python<'_>, message: String) -> PyResult<()> {
    detached(py, move || -> Result<(), LadderError> {
        panic!("{message}")
    })
}

/// The exception of JSON that the package itself wrote or a user gave.
pub(crate) fn of_json(py: Python<'_>, class: &str, error: &serde_json::Error) -> PyErr {
    let text = error.to_string();
    // The place in a text that the user never saw says nothing.
    let place = format!(" at line {} column {}", error.line(), error.column());
    raise(py, class, text.strip_suffix(&place).unwrap_or(&text))
}

/// A result as JSON.
pub(crate) fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|e| PyRuntimeError::new_err(e.to_string()))
}
