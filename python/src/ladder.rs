//! Ladders, and the tables they are read from.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyType};
use relscale::ladder::{LadderError, Run, Tables};
use relscale::output;

use crate::arrow::{Stream, number};
use crate::errors::{detached, interruptible, raise};

/// Runs and their losses, checked.
#[pyclass(frozen, module = "relscale._relscale")]
pub(crate) struct Ladder(
    // Shared with fits, which may outlive an interrupted call.
    pub(crate) Arc<relscale::ladder::Ladder>,
);

/// A table as Python hands it over, with its name.
enum Given {
    Path(PathBuf),
    Stream(String, Stream),
    Rows(String, Vec<String>, Vec<Vec<String>>),
}

impl Given {
    /// `data` is None for a file named `name`, an object with an Arrow stream, or columns and rows.
    fn of(name: String, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        if data.is_none() {
            return Ok(Self::Path(PathBuf::from(name)));
        }
        if data.hasattr("__arrow_c_stream__")? {
            return Ok(Self::Stream(name, Stream::of(data)?));
        }
        type Values<'py> = Vec<Bound<'py, PyAny>>;
        let (columns, rows): (Values<'_>, Vec<Values<'_>>) = data.extract()?;
        let mut names = Vec::with_capacity(columns.len());
        for column in &columns {
            let no_text = || refused(data.py(), &format!("{name}: the name of a column"));
            names.push(field(column)?.ok_or_else(no_text)?);
        }
        let mut texts = Vec::with_capacity(rows.len());
        for (number, row) in (1_u64..).zip(&rows) {
            let mut fields = Vec::with_capacity(row.len());
            for (value, column) in row.iter().zip(&names) {
                let place = || format!("{name}, row {number}: column `{column}`");
                let no_text = || refused(data.py(), &place());
                fields.push(field(value)?.ok_or_else(no_text)?);
            }
            texts.push(fields);
        }
        Ok(Self::Rows(name, names, texts))
    }

    fn add_to(self, tables: Tables) -> Result<Tables, LadderError> {
        Ok(match self {
            Self::Path(path) => tables.open(path)?,
            Self::Stream(name, stream) => tables.add_rows(&name, stream.columns(), stream.rows()),
            Self::Rows(name, columns, rows) => {
                tables.add_rows(&name, columns, rows.into_iter().map(Ok))
            }
        })
    }
}

/// The exception about a text of Python that is none elsewhere.
fn refused(py: Python<'_>, place: &str) -> PyErr {
    let message = format!("{place} holds half of a surrogate pair, which is no text");
    raise(py, "LadderError", &message)
}

/// A value of Python as a CSV file has it, empty for None and for the NaN that stands for a gap. None for a
/// text with lone surrogates, which no other program could read again.
fn field(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let text = |text: &Bound<'_, PyString>| text.to_str().ok().map(str::to_owned);
    if value.is_none() {
        return Ok(Some(String::new()));
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Some(truth.is_true().to_string()));
    }
    if let Ok(value) = value.cast::<PyString>() {
        return Ok(text(value));
    }
    match value.extract::<f64>() {
        Ok(value) if value.is_nan() => Ok(Some(String::new())),
        // Integers of Python are exact: a seed of 19 digits is no number of 53 bits.
        Ok(_) if value.hasattr("__index__")? => Ok(text(&value.str()?)),
        Ok(value) => Ok(Some(number(value))),
        Err(_) => Ok(text(&value.str()?)),
    }
}

/// Reads tables as one ladder. Returns it with notes on what was understood without being said.
#[pyfunction]
pub(crate) fn read_tables(
    py: Python<'_>,
    sources: Vec<(String, Bound<'_, PyAny>)>,
    distributions: Vec<String>,
    scale: Option<String>,
    columns: Vec<(String, String)>,
) -> PyResult<(Ladder, Vec<String>)> {
    let given = (sources.into_iter()).map(|(name, data)| Given::of(name, &data));
    let given = given.collect::<PyResult<Vec<Given>>>()?;
    let (ladder, notes) = interruptible(py, move || {
        let mut tables = Tables::new().distributions(distributions);
        if let Some(scale) = scale {
            tables = tables.along(scale);
        }
        for (column, name) in columns {
            tables = tables.column(&column, name)?;
        }
        for table in given {
            tables = table.add_to(tables)?;
        }
        tables.ladder()
    })?;
    Ok((Ladder(Arc::new(ladder)), notes))
}

#[pymethods]
impl Ladder {
    /// Name of the tables.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Names of the corpora, sorted.
    #[getter]
    fn corpora(&self) -> Vec<&str> {
        self.0.corpora()
    }

    /// Names of the distributions, sorted.
    #[getter]
    fn distributions(&self) -> Vec<&str> {
        self.0.distributions().collect()
    }

    /// The runs as columns.
    fn run_columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let runs = self.0.runs();
        let numbers = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
        let columns = PyDict::new(py);
        let names = |of: fn(&Run) -> &str| runs.iter().map(of).collect::<Vec<_>>();
        columns.set_item("corpus", names(|r| &r.corpus))?;
        columns.set_item("run", names(|r| &r.id))?;
        columns.set_item("budget", numbers(|r| r.budget))?;
        columns.set_item("flops", numbers(|r| r.flops))?;
        columns.set_item("params", numbers(|r| r.params))?;
        columns.set_item("tokens", numbers(|r| r.tokens))?;
        columns.set_item("seed", runs.iter().map(|r| r.seed).collect::<Vec<_>>())?;
        let held_out: Vec<bool> = runs.iter().map(|r| r.held_out).collect();
        columns.set_item("held_out", held_out)?;
        Ok(columns)
    }

    /// Error of a run on a distribution, None where it was not scored.
    fn error(&self, run: &str, distribution: &str) -> Option<f64> {
        self.0.error(run, distribution)
    }

    /// The same ladder with a run that is predicted and never fitted.
    fn hold_out(&self, py: Python<'_>, run: &str) -> PyResult<Self> {
        let held = detached(py, || (*self.0).clone().hold_out(run))?;
        Ok(Self(Arc::new(held)))
    }

    /// The long table in CSV.
    fn to_csv(&self, py: Python<'_>) -> PyResult<String> {
        let csv = detached(py, || {
            let mut csv = Vec::new();
            self.0.write_csv(&mut csv).map(|()| csv)
        })?;
        String::from_utf8(csv).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Writes the long table to a file, which has all of it or stays as it was.
    fn write_csv(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let csv = self.to_csv(py)?;
        output::write(&path, csv).map_err(|e| {
            let message = format!("{}: {e}", path.display());
            raise(py, "LadderError", &message)
        })
    }

    /// The ladder of a long table in CSV.
    #[classmethod]
    fn from_csv(
        _: &Bound<'_, PyType>,
        py: Python<'_>,
        csv: String,
        name: String,
    ) -> PyResult<Self> {
        let read = move || Tables::new().add(Cursor::new(csv), &name)?.ladder();
        Ok(Self(Arc::new(interruptible(py, read)?.0)))
    }

    fn __len__(&self) -> usize {
        self.0.runs().len()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let make = slf.get_type().getattr("from_csv")?;
        let arguments = (slf.get().to_csv(slf.py())?, slf.get().name().to_owned());
        (make, arguments)
            .into_pyobject(slf.py())
            .map(Bound::into_any)
    }
}
