//! Where models run, and the scores of a table of runs through logs.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Component, Path};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use relscale::Error;
use relscale::backend::{Backend, Reference};
use relscale::distribution::Items;
use relscale::evaluate::{Evaluation, Settings};
use relscale::ladder::TrainedRun;
use relscale::log::{Key, Log, Table, checkpoint_hash};
use relscale::model::{Model, Transformer};
use relscale::scorer::Scorer;
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;
use relscale_cuda::{Cuda, Precision};

/// Where models run.
#[derive(Debug, Clone)]
pub struct Engine {
    /// `cpu`, `cuda` or `reference`.
    pub backend: String,
    /// Threads of the CPU backend; one a core where it is not said.
    pub threads: Option<usize>,
    /// GPUs; with several, each holds the model and they share its batches.
    pub devices: Vec<usize>,
    /// Precision of the CUDA backend.
    pub precision: Precision,
    /// Bytes of weights and activations over which a checkpoint is refused.
    pub memory_limit: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            backend: "cpu".to_owned(),
            threads: None,
            devices: vec![0],
            precision: Precision::default(),
            memory_limit: u64::MAX,
        }
    }
}

impl Engine {
    /// Help text of its options.
    pub const USAGE: &str = "\
  --backend cpu|cuda|reference   cpu by default; the reference computes in f64
  --device N[,N...]         numbers of the GPUs of the cuda backend, 0 by default
  --precision bf16|f16|f32|tf32  what the cuda backend stores, bf16 by default
  --threads N               threads of the cpu backend, one a core by default
  --memory-limit BYTES      refuse a checkpoint that would take more, weights and activations";

    /// Takes one of its options; `false` where it is none of them.
    pub fn take(
        &mut self,
        option: &str,
        value: &mut dyn FnMut() -> Result<String, String>,
    ) -> Result<bool, String> {
        match option {
            "--backend" => self.backend = value()?,
            "--memory-limit" => self.memory_limit = number(option, &value()?)? as u64,
            "--threads" => self.threads = Some(number(option, &value()?)?),
            "--device" => {
                let list = value()?;
                let devices = list.split(',').map(|text| number(option, text));
                self.devices = devices.collect::<Result<_, _>>()?;
            }
            "--precision" => {
                self.precision = match value()?.as_str() {
                    "bf16" => Precision::Bf16,
                    "f16" => Precision::F16,
                    "f32" => Precision::F32,
                    "tf32" => Precision::Tf32,
                    other => return Err(format!("--precision: `{other}` is not known")),
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Backend and precision as logs have them.
    pub fn name(&self) -> String {
        match self.backend.as_str() {
            "cpu" => "cpu f32".to_owned(),
            "cuda" => format!("cuda {:?}", self.precision).to_lowercase(),
            other => format!("{other} f64"),
        }
    }

    /// Loads a checkpoint for batches of `batch_tokens` tokens, one copy per device.
    ///
    /// # Errors
    /// A backend that does not exist, no device, or whatever loading refuses.
    pub fn load(&self, checkpoint: &Path, batch_tokens: usize) -> Result<Copies, Error> {
        match self.backend.as_str() {
            "cpu" => {
                let cpu = self
                    .threads
                    .map_or_else(|| Ok(Cpu::new()), Cpu::with_threads)?;
                Ok(Copies::one(self.load_on(cpu, checkpoint, batch_tokens)?))
            }
            "cuda" => {
                let copies = self.devices.iter().map(|&device| {
                    let cuda = Cuda::on_device(device, self.precision)?;
                    self.load_on(cuda, checkpoint, batch_tokens)
                });
                Copies::new(copies.collect::<Result<_, _>>()?)
            }
            "reference" => {
                let reference = Reference::<f64>::new();
                Ok(Copies::one(self.load_on(
                    reference,
                    checkpoint,
                    batch_tokens,
                )?))
            }
            other => {
                let message = format!("`{other}` is not one of cpu, cuda, reference");
                Err(Error::Option {
                    option: "--backend",
                    message,
                })
            }
        }
    }

    fn load_on<B: Backend + 'static>(
        &self,
        backend: B,
        checkpoint: &Path,
        batch_tokens: usize,
    ) -> Result<Box<dyn Model>, Error> {
        let limit = self.memory_limit;
        let model = Transformer::load_with_memory_limit(checkpoint, backend, batch_tokens, limit)?;
        Ok(Box::new(model))
    }
}

/// Copies of one model, one per device; at least one.
pub struct Copies(Vec<Box<dyn Model>>);

impl Copies {
    /// A single copy.
    #[must_use]
    pub fn one(model: Box<dyn Model>) -> Self {
        Self(vec![model])
    }

    /// Copies on several devices.
    ///
    /// # Errors
    /// No copy.
    pub fn new(models: Vec<Box<dyn Model>>) -> Result<Self, Error> {
        if models.is_empty() {
            return Err(Error::Option {
                option: "--device",
                message: "there is none".to_owned(),
            });
        }
        Ok(Self(models))
    }

    /// An evaluation by all copies side by side.
    pub fn evaluation(&self) -> Evaluation<'_> {
        Evaluation::new(&*self.0[0]).replicas(&self.0[1..])
    }
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Copies({})", self.0.len())
    }
}

/// Reads the value of `option` as a number.
///
/// # Errors
/// A text that is not a number, with the option.
pub fn number(option: &str, text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>();
    number.map_err(|_| format!("{option}: `{text}` is not a number"))
}

/// Something to score, under the name of its log.
#[expect(missing_debug_implementations, reason = "scorers have no Debug")]
pub struct Task<'a> {
    /// Name of the log, without its extension.
    pub log: String,
    /// Items to score.
    pub items: &'a Items,
    /// Scorers of every record.
    pub scorers: &'a [&'a dyn Scorer],
}

/// Logs by run and name.
pub type Tables = BTreeMap<(String, String), Table>;

/// Scores what has no record yet in `logs/<run>/<task>.jsonl`, `workers` runs at a time, and says
/// how many items that were. A run whose logs are complete is not loaded.
pub fn score(
    runs: &[TrainedRun],
    tasks: &[Task<'_>],
    logs: &Path,
    settings: &Settings,
    engine: &Engine,
    workers: usize,
) -> Result<(Tables, usize), Box<dyn std::error::Error + Send + Sync>> {
    for TrainedRun { run, .. } in runs {
        let mut parts = Path::new(&run.id).components();
        if !matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        ) {
            return Err(format!("run `{}`: no name of a folder", run.id).into());
        }
    }
    let bar = ProgressBar::new(runs.iter().map(|r| r.run.params as u64).sum()).with_style(
        ProgressStyle::with_template("{bar:40} {percent}% {msg}, {eta} left")?,
    );
    let mut order: Vec<&TrainedRun> = runs.iter().collect();
    order.sort_by(|a, b| b.run.params.total_cmp(&a.run.params));
    let queue = Mutex::new(VecDeque::from(order));
    let found = Mutex::new((Tables::new(), 0));
    let work = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        loop {
            let next = queue.lock().map_err(|e| e.to_string())?.pop_front();
            let Some(TrainedRun { run, checkpoint }) = next else {
                return Ok(());
            };
            bar.set_message(run.id.clone());
            let hash = checkpoint_hash(checkpoint)?;
            let mut open = Vec::new();
            for task in tasks {
                let path = logs.join(&run.id).join(format!("{}.jsonl", task.log));
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let key = Key::new(&hash, engine.name(), task.items, task.scorers, settings)?;
                open.push(Log::open(&path, &key).map_err(|e| match e {
                    Error::Key { .. } => format!("{e} (with another --out)").into(),
                    e => Box::<dyn std::error::Error + Send + Sync>::from(e),
                })?);
            }
            let records = |open: &[Log]| -> usize {
                open.iter().map(|log| log.table().records().len()).sum()
            };
            let before = records(&open);
            if !open.iter().all(|log| log.table().is_complete()) {
                let model = engine.load(checkpoint, settings.batch_tokens)?;
                let tokenizer = Tokenizer::load(checkpoint)?;
                for (log, task) in open.iter_mut().zip(tasks) {
                    let evaluation = model
                        .evaluation()
                        .tokenizer(&tokenizer)
                        .scorers(task.scorers)
                        .settings(*settings);
                    log.score(&evaluation, task.items)?;
                }
            }
            let mut found = found.lock().map_err(|e| e.to_string())?;
            found.1 += records(&open) - before;
            for (log, task) in open.iter().zip(tasks) {
                let name = (run.id.clone(), task.log.clone());
                found.0.insert(name, log.table().clone());
            }
            bar.inc(run.params as u64);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.clamp(1, runs.len().max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        let all = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err("a worker panicked".into()),
        });
        // Every worker is waited for before the first error is returned.
        all.collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), _>>()
    })?;
    bar.finish_and_clear();
    found.into_inner().map_err(|e| e.to_string().into())
}
