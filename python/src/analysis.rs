//! Analyses, and the forms in which they are shown.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use relscale::fit::{self, FitError, Options, RelativeLaw};
use relscale::report::plot::{self, Style};
use relscale::report::{self, Audience, Cell, Shape, Sheet, flag_mark, flag_name};
use serde::Serialize;

use crate::errors::{Raise, detached, guarded, interruptible, of_json};
use crate::ladder::Ladder;

/// The result of a fit.
#[pyclass(frozen, module = "relscale._relscale")]
pub(crate) struct Analysis(fit::Analysis);

/// Fits the laws of a ladder; `options` are those of the crate as JSON.
#[pyfunction]
pub(crate) fn analyze(py: Python<'_>, ladder: &Ladder, options: &str) -> PyResult<Analysis> {
    let options: Options =
        serde_json::from_str(options).map_err(|e| of_json(py, "OptionError", &e))?;
    let ladder = ladder.0.clone();
    interruptible(py, move || fit::analyze(&ladder, &options)).map(Analysis)
}

/// A prediction and the law that makes it.
#[derive(Serialize)]
struct Predicted<'a> {
    corpus: &'a str,
    name: &'a str,
    treatment: &'a str,
    baseline: &'a str,
    #[serde(flatten)]
    prediction: fit::Prediction,
}

/// A law's band.
#[derive(Serialize)]
struct Bands<'a> {
    corpus: &'a str,
    treatment: &'a str,
    baseline: &'a str,
    band: Vec<fit::BandPoint>,
}

impl<'a> Bands<'a> {
    fn of(law: &'a RelativeLaw) -> Self {
        Self {
            corpus: &law.corpus,
            treatment: &law.treatment,
            baseline: &law.baseline,
            band: law.band(),
        }
    }
}

#[pymethods]
impl Analysis {
    /// Everything as JSON.
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || serde_json::to_string(&self.0))
    }

    /// The numbers to quote as JSON.
    fn summary_json(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || serde_json::to_string(&self.0.summary()))
    }

    /// The analysis that `json` wrote.
    #[classmethod]
    fn from_json(_: &Bound<'_, PyType>, py: Python<'_>, text: &str) -> PyResult<Self> {
        let read = guarded(py, || serde_json::from_str(text))?;
        read.map(Self).map_err(|e| of_json(py, "RelscaleError", &e))
    }

    /// The first screen: the answer in words and a line per law.
    fn screen(&self, py: Python<'_>) -> PyResult<String> {
        guarded(py, || self.0.to_string())
    }

    /// Every table.
    fn details(&self, py: Python<'_>) -> PyResult<String> {
        guarded(py, || self.0.details())
    }

    /// The laws in Markdown.
    fn markdown(&self, py: Python<'_>) -> PyResult<String> {
        guarded(py, || report::markdown(&self.0))
    }

    /// The laws in LaTeX.
    fn latex(&self, py: Python<'_>) -> PyResult<String> {
        guarded(py, || report::latex(&self.0))
    }

    /// The methods in a paragraph for a paper.
    fn methods(&self, py: Python<'_>) -> PyResult<String> {
        guarded(py, || report::methods(&self.0, &[]))
    }

    /// The laws in sentences.
    fn answer(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        guarded(py, || report::answer(&self.0))
    }

    /// The laws of every kind as columns, the worst first, numbers in full.
    fn law_columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sheet = Sheet::of(&self.0, Audience::File);
        let columns = PyDict::new(py);
        for (at, column) in sheet.columns.iter().enumerate() {
            let cells = || sheet.rows.iter().filter_map(|row| row.get(at));
            let key = column.key;
            if column.shape == Shape::Interval {
                let interval = |end: fn(&fit::Interval) -> f64| -> Vec<f64> {
                    let of = |cell: &Cell| match cell {
                        Cell::Interval { value, .. } => end(value),
                        _ => f64::NAN,
                    };
                    cells().map(of).collect()
                };
                columns.set_item(key, interval(|i| i.value))?;
                columns.set_item(format!("{key}_lower"), interval(|i| i.lower))?;
                columns.set_item(format!("{key}_upper"), interval(|i| i.upper))?;
            } else if column.shape == Shape::Number {
                let of = |cell: &Cell| match cell {
                    Cell::Number { value, .. } => *value,
                    _ => f64::NAN,
                };
                columns.set_item(key, cells().map(of).collect::<Vec<f64>>())?;
            } else {
                columns.set_item(key, cells().map(text).collect::<Vec<String>>())?;
            }
        }
        Ok(columns)
    }

    /// Headings of the table for readers, and its rows as text.
    fn table(&self, py: Python<'_>) -> PyResult<(Vec<&'static str>, Vec<Vec<String>>)> {
        guarded(py, || {
            let sheet = Sheet::of(&self.0, Audience::Paper);
            let headings = sheet.columns.iter().map(|c| c.heading).collect();
            let marks = |cell: &Cell| match cell {
                Cell::Flags(flags) => {
                    let mark = |f| sheet.flags.iter().position(|g| g == f).map(flag_mark);
                    flags.iter().filter_map(mark).collect()
                }
                cell => text(cell),
            };
            let rows = sheet.rows.iter().map(|row| row.iter().map(marks).collect());
            (headings, rows.collect())
        })
    }

    /// Mark, name and meaning of each flag of a law.
    fn flags(&self) -> Vec<(String, String, &'static str)> {
        let sheet = Sheet::of(&self.0, Audience::Paper);
        let flags = sheet.flags.iter().enumerate();
        flags
            .map(|(k, f)| (flag_mark(k).to_string(), flag_name(*f), f.meaning()))
            .collect()
    }

    /// The fitted ratios of every law and contrast from end to end of the ladder with their bands, as JSON.
    fn bands(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || {
            let laws = self.0.laws.iter();
            let laws = laws.chain(self.0.contrasts.iter().map(|c| &c.law));
            let bands: Vec<Bands<'_>> = laws.map(Bands::of).collect();
            serde_json::to_string(&bands)
        })
    }

    /// The ratios of every law and contrast at the scales, as JSON.
    fn predictions(&self, py: Python<'_>, scales: Vec<f64>) -> PyResult<String> {
        // The check of the option `predict_at`.
        if let Some(&value) = scales.iter().find(|s| !(s.is_normal() && **s > 0.0)) {
            let what = "scale of a prediction (more than 0)".to_owned();
            return Err(FitError::Domain { what, value }.raised(py));
        }
        detached(py, || {
            let laws = self.0.laws.iter().map(|l| (l.treatment.as_str(), l));
            let contrasts = self.0.contrasts.iter().map(|c| (c.name.as_str(), &c.law));
            let predicted: Vec<Predicted<'_>> = (laws.chain(contrasts))
                .flat_map(|(name, law)| scales.iter().map(move |&scale| of_law(name, law, scale)))
                .collect();
            serde_json::to_string(&predicted)
        })
    }

    /// Every drawing, as file name and SVG.
    fn drawings(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        detached(py, || plot::all(&self.0))
    }

    /// The figure of each corpus without a heading, as file name and SVG.
    fn figures(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let mut style = Style::default();
        style.title = false;
        detached(py, || style.figures(&self.0))
    }

    /// The scale in words.
    #[getter]
    fn scale(&self) -> &str {
        self.0.scale_in_words()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let make = slf.get_type().getattr("from_json")?;
        let made = (make, (slf.get().json(slf.py())?,)).into_pyobject(slf.py());
        made.map(Bound::into_any)
    }
}

fn of_law<'a>(name: &'a str, law: &'a RelativeLaw, scale: f64) -> Predicted<'a> {
    Predicted {
        corpus: &law.corpus,
        name,
        treatment: &law.treatment,
        baseline: &law.baseline,
        prediction: law.line.predict(scale),
    }
}

/// A cell as text; of an interval, value and ends.
fn text(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Number { text, .. } => text.clone(),
        Cell::Interval {
            text: [v, low, high],
            ..
        } => format!("{v} [{low}, {high}]"),
        Cell::Flags(flags) => {
            let names = flags.iter().map(|f| flag_name(*f).replace(' ', "_"));
            names.collect::<Vec<_>>().join(" ")
        }
        // A cell of a kind that is not known here.
        _ => String::new(),
    }
}
