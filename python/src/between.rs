//! Calls to Python between two batches.

use std::cell::RefCell;

use pyo3::prelude::*;
use relscale::Error;

use crate::errors::Raise;

/// The end of an evaluation before its last item.
pub(crate) enum Stopped {
    Error(Error),
    /// Raised by Python between two batches: an interrupt, or an error of the progress function.
    Python(PyErr),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Raise for Stopped {
    fn raised(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Error(error) => error.raised(py),
            Self::Python(error) => error,
        }
    }
}

/// Calls to Python between two batches.
pub(crate) struct Between {
    progress: Option<Py<PyAny>>,
    raised: RefCell<Option<PyErr>>,
}

impl Between {
    pub(crate) fn new(progress: Option<Py<PyAny>>) -> Self {
        Self {
            progress,
            raised: RefCell::new(None),
        }
    }

    /// Tells the tokens computed and their total.
    pub(crate) fn report(&self, done: (usize, usize)) {
        if let Some(function) = &self.progress {
            self.keep(Python::attach(|py| function.call1(py, done).map(drop)));
        }
    }

    /// True after an interrupt or an error of the progress function.
    pub(crate) fn stop(&self) -> bool {
        self.keep(Python::attach(|py| py.check_signals()));
        self.raised.borrow().is_some()
    }

    fn keep(&self, result: PyResult<()>) {
        if let Err(error) = result {
            self.raised.borrow_mut().get_or_insert(error);
        }
    }

    /// The result of an evaluation, or what Python raised during it.
    pub(crate) fn settle<T>(self, result: Result<T, Error>) -> Result<T, Stopped> {
        match self.raised.into_inner() {
            Some(error) => Err(Stopped::Python(error)),
            None => Ok(result?),
        }
    }
}
