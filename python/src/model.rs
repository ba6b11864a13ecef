//! Checkpoints: log-likelihoods of tokens, and scores of items.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use relscale::Error;
use relscale::backend::{Backend, Reference};
use relscale::checkpoint::Checkpoint;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Evaluation, Progress, Settings};
use relscale::log::{Key, Log, Record, checkpoint_hash};
use relscale::model::{Model as _, Transformer};
use relscale::scorer::{self, Scorer};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::{Cpu, Precision};

use crate::errors::{Raise, detached, of_json};
use crate::greedy;

/// A checkpoint on a backend.
#[pyclass(frozen, module = "relscale._relscale")]
pub(crate) struct Model {
    model: Box<dyn relscale::model::Model>,
    /// Loaded when a text is first met: tokens need none, and a checkpoint may come without.
    tokenizer: OnceLock<Tokenizer>,
    checkpoint: Checkpoint,
    /// Name of backend and precision, as logs have it.
    backend: String,
    special_tokens: bool,
}

/// The end of an evaluation before its last item.
enum Stopped {
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
struct Between {
    progress: Option<Py<PyAny>>,
    raised: RefCell<Option<PyErr>>,
}

impl Between {
    fn new(progress: Option<Py<PyAny>>) -> Self {
        Self {
            progress,
            raised: RefCell::new(None),
        }
    }

    /// Tells the tokens computed and their total.
    fn report(&self, done: (usize, usize)) {
        if let Some(function) = &self.progress {
            self.keep(Python::attach(|py| function.call1(py, done).map(drop)));
        }
    }

    /// True after an interrupt or an error of the progress function.
    fn stop(&self) -> bool {
        self.keep(Python::attach(|py| py.check_signals()));
        self.raised.borrow().is_some()
    }

    fn keep(&self, result: PyResult<()>) {
        if let Err(error) = result {
            self.raised.borrow_mut().get_or_insert(error);
        }
    }

    /// The result of an evaluation, or what Python raised during it.
    fn settle<T>(self, result: Result<T, Error>) -> Result<T, Stopped> {
        match self.raised.into_inner() {
            Some(error) => Err(Stopped::Python(error)),
            None => Ok(result?),
        }
    }
}

#[pymethods]
impl Model {
    #[new]
    #[allow(
        clippy::too_many_arguments,
        reason = "the package's own class names them"
    )]
    fn new(
        py: Python<'_>,
        checkpoint: PathBuf,
        base: Option<PathBuf>,
        backend: &str,
        threads: Option<usize>,
        batch_tokens: usize,
        memory_limit: Option<u64>,
        special_tokens: bool,
    ) -> PyResult<Self> {
        let mut checkpoint = Checkpoint::from(checkpoint);
        if let Some(base) = base {
            checkpoint = checkpoint.with_base(base);
        }
        let name = backend.to_owned();
        let limits = (batch_tokens, memory_limit.unwrap_or(u64::MAX));
        let model = detached(py, || load(&checkpoint, &name, threads, limits))?;
        let backend = backend.to_owned();
        Ok(Self {
            model,
            tokenizer: OnceLock::new(),
            checkpoint,
            backend,
            special_tokens,
        })
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    #[getter]
    fn context_len(&self) -> usize {
        self.model.context_len()
    }

    #[getter]
    fn backend(&self) -> &str {
        &self.backend
    }

    /// Findings at load, one sentence each.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.model.warnings().to_vec()
    }

    /// The beginning-of-sequence token, and true if the tokenizer puts it before a text.
    fn bos(&self, py: Python<'_>) -> PyResult<(Option<u32>, bool)> {
        let tokenizer = detached(py, || self.tokenizer())?;
        Ok((tokenizer.bos(), tokenizer.adds_bos()))
    }

    /// The tokens of a text as bytes, four each, without special tokens put before it.
    fn encode<'py>(&self, py: Python<'py>, text: String) -> PyResult<Bound<'py, PyBytes>> {
        let encoding = detached(py, || self.tokenizer()?.encode(&text))?;
        let bytes: Vec<u8> = encoding
            .tokens
            .iter()
            .flat_map(|t| t.to_ne_bytes())
            .collect();
        Ok(PyBytes::new(py, &bytes))
    }

    /// Log-probabilities of the tokens of each pair of context and continuation; without a context, of
    /// all tokens but the first. Tokens are bytes, four each, and log-probabilities eight each.
    fn log_likelihoods<'py>(
        &self,
        py: Python<'py>,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        batch_tokens: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let likelihoods = detached(py, || -> Result<_, Stopped> {
            let items = pairs
                .into_iter()
                .enumerate()
                .map(|(id, pair)| sequence(id, pair));
            let items = Items::new("sequences", items.collect())?;
            let between = Between::new(progress);
            let result = Evaluation::new(&*self.model)
                .batch_tokens(batch_tokens)
                .progress(|p: Progress| between.report((p.tokens, p.total)))
                .stop_when(|| between.stop())
                .log_likelihoods(&items);
            between.settle(result)
        })?;
        let bytes = likelihoods.into_iter().map(|answer| {
            let values = answer.sequences.iter().flat_map(|s| &s.log_likelihoods);
            let bytes: Vec<u8> = values.flat_map(|v| v.to_ne_bytes()).collect();
            PyBytes::new(py, &bytes)
        });
        Ok(bytes.collect())
    }

    /// Log-probability of the tokens of each pair of context and continuation, and true if each is the
    /// likeliest of the vocabulary at its place. Tokens are bytes as above; contexts are not empty.
    fn greedy_log_likelihoods(
        &self,
        py: Python<'_>,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        batch_tokens: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<(f64, bool)>> {
        let pairs: Vec<(Vec<u32>, Vec<u32>)> =
            pairs.into_iter().map(|(c, t)| (ids(&c), ids(&t))).collect();
        detached(py, || -> Result<_, Stopped> {
            let between = Between::new(progress);
            let result = greedy::log_likelihoods(&*self.model, &pairs, batch_tokens, &mut |done| {
                between.report(done);
                between.stop()
            });
            between.settle(result)
        })
    }
}

impl Model {
    fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        if self.tokenizer.get().is_none() {
            let loaded = Tokenizer::load(self.checkpoint.clone())?;
            let loaded = loaded.with_special_tokens_parsed(self.special_tokens);
            // Another thread may have loaded it meanwhile: the two are equal.
            let _ = self.tokenizer.set(loaded);
        }
        self.tokenizer
            .get()
            .ok_or_else(|| Error::backend("tokenizer", "was not kept"))
    }
}

fn load(
    checkpoint: &Checkpoint,
    backend: &str,
    threads: Option<usize>,
    limits: (usize, u64),
) -> Result<Box<dyn relscale::model::Model>, Error> {
    fn on<B: Backend + 'static>(
        backend: B,
        checkpoint: &Checkpoint,
        (batch_tokens, limit): (usize, u64),
    ) -> Result<Box<dyn relscale::model::Model>, Error> {
        let model = Transformer::load_with_memory_limit(checkpoint, backend, batch_tokens, limit)?;
        Ok(Box::new(model))
    }
    let cpu = || threads.map_or_else(|| Ok(Cpu::new()), Cpu::with_threads);
    match backend {
        "cpu f32" => on(cpu()?.with_precision(Precision::F32), checkpoint, limits),
        "cpu bf16" => on(cpu()?.with_precision(Precision::Bf16), checkpoint, limits),
        "reference f64" => on(Reference::<f64>::new(), checkpoint, limits),
        other => Err(Error::Option {
            option: "backend",
            message: format!("`{other}` is none of cpu f32, cpu bf16, reference f64"),
        }),
    }
}

/// Token ids of their bytes.
fn ids(bytes: &[u8]) -> Vec<u32> {
    let (four, _) = bytes.as_chunks();
    four.iter()
        .map(|bytes| u32::from_ne_bytes(*bytes))
        .collect()
}

fn sequence(id: usize, (context, tokens): (Vec<u8>, Vec<u8>)) -> Item {
    let (context, tokens) = (ids(&context), ids(&tokens));
    let content = match context.is_empty() {
        true => Content::Tokens(tokens),
        false => Content::ChoicesTokens {
            context,
            choices: vec![tokens],
            gold: 0,
            unconditional: None,
        },
    };
    Item {
        id: id.to_string(),
        cluster: id.to_string(),
        content,
    }
}

/// Scores items; returns columns with one row per item and scorer, in the order of the items.
///
/// The items are the lines of `lines` or, without them, those of the file `name`.
#[pyfunction]
#[allow(
    clippy::too_many_arguments,
    reason = "the package's own function names them"
)]
pub(crate) fn score<'py>(
    py: Python<'py>,
    model: &Model,
    name: String,
    lines: Option<String>,
    scorers: Vec<String>,
    settings: &str,
    log: Option<PathBuf>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let settings: Settings =
        serde_json::from_str(settings).map_err(|e| of_json(py, "OptionError", &e))?;
    let scored = detached(py, || -> Result<_, Stopped> {
        let items = match lines {
            Some(lines) => Items::read_jsonl(Cursor::new(lines), &name)?,
            None => Items::from_jsonl(&name)?,
        };
        let scorers: Vec<Box<dyn Scorer>> = scorers
            .iter()
            .map(|s| scorer::by_name(s))
            .collect::<Result<_, _>>()?;
        let between = Between::new(progress);
        let result = scores(model, &items, &scorers, settings, log, &between);
        let records = between.settle(result)?;
        Ok((items, records))
    })?;
    columns(py, &scored.0, &scorers, &scored.1).map_err(|e| e.raised(py))?
}

/// The records of the items by id, of a log if there is one.
fn scores(
    model: &Model,
    items: &Items,
    scorers: &[Box<dyn Scorer>],
    settings: Settings,
    log: Option<PathBuf>,
    between: &Between,
) -> Result<BTreeMap<String, Record>, Error> {
    let scorers: Vec<&dyn Scorer> = scorers.iter().map(|s| &**s).collect();
    let mut evaluation = Evaluation::new(&*model.model)
        .scorers(&scorers)
        .settings(settings)
        .progress(|p: Progress| between.report((p.tokens, p.total)))
        .stop_when(|| between.stop());
    let is_text = |i| items.item(i).is_ok_and(|item| item.content.is_text());
    let has_text = (0..items.len()).any(is_text);
    if has_text {
        evaluation = evaluation.tokenizer(model.tokenizer()?);
    }
    let Some(path) = log else {
        let scores = evaluation.run(items)?;
        let records = scores.items().iter().map(|item| {
            let record = Record {
                cluster: item.cluster.clone(),
                scores: item.scores.clone(),
                warnings: item.warnings.iter().map(ToString::to_string).collect(),
            };
            (item.id.clone(), record)
        });
        return Ok(records.collect());
    };
    let hash = checkpoint_hash(model.checkpoint.clone())?;
    let key = Key::new(hash, model.backend.as_str(), items, &scorers, &settings)?;
    let key = key.with_special_tokens_parsed(has_text && model.special_tokens);
    let mut log = Log::open(path, &key)?;
    log.score(&evaluation, items)?;
    Ok(log.table().records().clone())
}

/// The columns of the long table that ladders are read from.
fn columns<'py>(
    py: Python<'py>,
    items: &Items,
    scorers: &[String],
    records: &BTreeMap<String, Record>,
) -> Result<PyResult<Bound<'py, PyDict>>, Error> {
    let mut text: [Vec<String>; 5] = Default::default();
    let mut numbers: [Vec<f64>; 2] = Default::default();
    for index in 0..items.len() {
        let item = items.item(index)?;
        let Some(record) = records.get(&item.id) else {
            continue;
        };
        for (scorer, score) in scorers.iter().zip(&record.scores) {
            let warnings = record.warnings.join("; ");
            let row = [items.name(), &item.id, &record.cluster, scorer, &warnings];
            for (column, value) in text.iter_mut().zip(row) {
                column.push(value.to_owned());
            }
            // As everywhere in that table: the mean loss per unit of weight.
            numbers[0].push(score.loss / score.weight);
            numbers[1].push(score.weight);
        }
    }
    let dict = || -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        let [distribution, item, cluster, scorer, warnings] = text;
        let [loss, weight] = numbers;
        columns.set_item("distribution", distribution)?;
        columns.set_item("item", item)?;
        columns.set_item("cluster", cluster)?;
        columns.set_item("scorer", scorer)?;
        columns.set_item("loss", loss)?;
        columns.set_item("weight", weight)?;
        columns.set_item("warnings", warnings)?;
        Ok(columns)
    };
    Ok(dict())
}
