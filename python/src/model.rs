//! Checkpoints: log-likelihoods of tokens.

use std::path::PathBuf;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use relscale::Error;
use relscale::backend::{Backend, Reference};
use relscale::checkpoint::Checkpoint;
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::{Evaluation, Progress};
use relscale::log::CheckpointPin;
use relscale::model::{Model as _, Transformer};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::{Cpu, Precision};

use crate::between::{Between, Stopped};
use crate::errors::{detached, interruptible};
use crate::greedy;

/// A checkpoint on a backend.
#[pyclass(frozen, module = "relscale._relscale")]
pub(crate) struct Model {
    pub(crate) model: Box<dyn relscale::model::Model>,
    /// Loaded when a text is first met: tokens need none, and a checkpoint may come without.
    tokenizer: OnceLock<Tokenizer>,
    checkpoint: Checkpoint,
    /// The files as they were before the model was loaded from them.
    pub(crate) pin: CheckpointPin,
    /// Name of backend and precision, as logs have it.
    pub(crate) backend: String,
    pub(crate) special_tokens: bool,
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
        let files = checkpoint.clone();
        let (pin, model) = interruptible(py, move || {
            let pin = CheckpointPin::of(files.clone())?;
            let model = load(&files, &name, threads, limits)?;
            Ok::<_, Error>((pin, model))
        })?;
        let backend = backend.to_owned();
        Ok(Self {
            model,
            tokenizer: OnceLock::new(),
            checkpoint,
            pin,
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
    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, Error> {
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
