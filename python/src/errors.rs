//! Errors of the crates as exceptions of the package.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use relscale::fit::FitError;
use relscale::ladder::LadderError;
use relscale::report::plot::PlotError;

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

impl Raise for PlotError {
    fn raised(self, py: Python<'_>) -> PyErr {
        raise(py, "PlotError", &self.to_string())
    }
}

/// A result that cannot be written as JSON, which is a defect: results are numbers and names.
impl Raise for serde_json::Error {
    fn raised(self, _: Python<'_>) -> PyErr {
        PyRuntimeError::new_err(self.to_string())
    }
}

/// The closest of `known` to `name`, as the standard library of Python finds it.
fn nearest(py: Python<'_>, name: &str, known: &[String]) -> Option<String> {
    let difflib = py.import("difflib").ok()?;
    let found = difflib.call_method1("get_close_matches", (name, known.to_vec(), 1));
    found.ok()?.extract::<Vec<String>>().ok()?.pop()
}

/// Time between two looks for a pending interrupt: short for a person, long beside the look itself.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Stack of the thread that works: that of a main thread, as the crates have it in a program.
const STACK: usize = 8 << 20;

/// Runs `work` without the interpreter lock; an error or a panic becomes an exception.
pub(crate) fn detached<T: Send, E: Raise + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    settled(py, py.detach(|| catch_unwind(AssertUnwindSafe(work))))
}

/// As [`detached`], for work without errors.
pub(crate) fn guarded<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    detached(py, || Ok::<T, LadderError>(work()))
}

/// As [`detached`], for work that takes long and cannot be asked to stop: Ctrl-C raises
/// `KeyboardInterrupt` at once.
///
/// The work has a thread of its own, which then goes on to its end, and nobody takes the result.
pub(crate) fn interruptible<T: Send + 'static, E: Raise + Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> PyResult<T> {
    let (sender, mut receiver) = sync_channel(1);
    let work = move || {
        // Fails after an interrupt, when nobody listens.
        sender.send(catch_unwind(AssertUnwindSafe(work))).ok();
    };
    let thread = thread::Builder::new().name("relscale".to_owned());
    let thread = thread.stack_size(STACK).spawn(work);
    thread.map_err(|e| {
        raise(
            py,
            "RelscaleError",
            &format!("no thread can be started: {e}"),
        )
    })?;
    loop {
        // Moved in and out: the end of a channel cannot be shared with a closure without the lock.
        let (answer, same) = py.detach(move || (receiver.recv_timeout(BETWEEN_LOOKS), receiver));
        receiver = same;
        match answer {
            Ok(result) => return settled(py, result),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(raise(py, "RelscaleError", &of_panic(&"the thread ended")));
            }
        }
    }
}

fn settled<T, E: Raise>(py: Python<'_>, result: thread::Result<Result<T, E>>) -> PyResult<T> {
    match result {
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
    interruptible(py, move || -> Result<(), LadderError> {
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
pub(crate) fn to_json(py: Python<'_>, value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|e| e.raised(py))
}
