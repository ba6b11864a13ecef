//! Backends that run models, and loading checkpoints on them.

use relscale::Error;
use relscale::backend::{Backend, Reference};
use relscale::checkpoint::Checkpoint;
use relscale::evaluate::Evaluation;
use relscale::model::{Config, Model, Transformer};
use relscale_cpu::Cpu;
use relscale_cuda::{Cuda, Mode, Precision};

use crate::hub::Hub;

/// A backend with its settings.
///
/// Non-exhaustive: further backends will be added.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineBackend {
    /// The CPU backend.
    Cpu {
        /// Number of threads; `None` stands for one per core.
        threads: Option<usize>,
        /// Precision of products with weights.
        precision: relscale_cpu::Precision,
    },
    /// The CUDA backend.
    Cuda {
        /// Numbers of the GPUs. Each holds a copy of the model, and they share its batches.
        devices: Vec<usize>,
        /// Storage format of weights and activations.
        precision: Precision,
        /// The promise about the bits of a text in different batches.
        mode: Mode,
    },
    /// The reference backend, in f64.
    Reference,
}

impl EngineBackend {
    /// The backend with the name that logs and studies give it (`"cpu f32"`, `"cuda bf16"`,
    /// `"cuda bf16 fast"`), with default threads and devices.
    ///
    /// # Errors
    /// An unknown name; the message lists the known ones.
    ///
    /// # Examples
    /// ```
    /// use relscale_cli::engine::EngineBackend;
    ///
    /// let cpu = EngineBackend::by_name("cpu f32")?;
    /// assert_eq!(cpu.name(), "cpu f32");
    /// assert!(EngineBackend::by_name("cpu f16").is_err());
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn by_name(name: &str) -> Result<Self, Error> {
        let cpu = |precision| Self::Cpu {
            threads: None,
            precision,
        };
        let (plain, mode) = match name.strip_suffix(Mode::Fast.suffix()) {
            Some(plain) if plain.starts_with("cuda ") => (plain, Mode::Fast),
            _ => (name, Mode::Invariant),
        };
        let cuda = |precision| Self::Cuda {
            devices: vec![0],
            precision,
            mode,
        };
        Ok(match plain {
            "cpu f32" => cpu(relscale_cpu::Precision::F32),
            "cpu bf16" => cpu(relscale_cpu::Precision::Bf16),
            "cuda bf16" => cuda(Precision::Bf16),
            "cuda f16" => cuda(Precision::F16),
            "cuda f32" => cuda(Precision::F32),
            "cuda tf32" => cuda(Precision::Tf32),
            "reference f64" => Self::Reference,
            _ => {
                let all =
                    "cpu f32, cpu bf16, cuda bf16, cuda f16, cuda f32, cuda tf32, reference f64";
                return Err(Error::Option {
                    option: "backend",
                    message: format!(
                        "`{name}` is none of {all}, nor one of cuda with ` fast` behind it"
                    ),
                });
            }
        })
    }

    /// Name of backend, precision and mode, part of the key of every log.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu { precision, .. } => format!("cpu {precision:?}").to_lowercase(),
            Self::Cuda {
                precision, mode, ..
            } => format!("cuda {precision:?}{}", mode.suffix()).to_lowercase(),
            Self::Reference => "reference f64".to_owned(),
        }
    }
}

impl EngineBackend {
    /// Version of the backend and of its kernels, part of the key of every log.
    #[must_use]
    pub fn version(&self) -> String {
        match self {
            Self::Cpu { .. } => format!(
                "relscale-cpu {}, kernels {}",
                relscale_cpu::VERSION,
                relscale_cpu::KERNEL_REVISION
            ),
            Self::Cuda { .. } => format!(
                "relscale-cuda {}, kernels {}",
                relscale_cuda::VERSION,
                relscale_cuda::KERNEL_REVISION
            ),
            // A part of the crate whose version is in every key.
            Self::Reference => String::new(),
        }
    }
}

/// Loads checkpoints on a backend, within a memory limit.
#[derive(Debug, Clone)]
pub struct Engine {
    backend: EngineBackend,
    memory_limit: u64,
    hub: Hub,
}

impl Default for Engine {
    /// The CPU backend with one thread per core and no memory limit.
    fn default() -> Self {
        Self::new(EngineBackend::Cpu {
            threads: None,
            precision: relscale_cpu::Precision::default(),
        })
    }
}

impl Engine {
    /// An engine without a memory limit.
    #[must_use]
    pub fn new(backend: EngineBackend) -> Self {
        Self {
            backend,
            memory_limit: u64::MAX,
            hub: Hub::default(),
        }
    }

    /// Takes checkpoints of the hub (`hf://…`) from `hub`, which may have a disk budget.
    #[must_use]
    pub fn with_hub(mut self, hub: Hub) -> Self {
        self.hub = hub;
        self
    }

    /// The hub that checkpoints come from.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Refuses checkpoints whose weights and activations would take more than `bytes`.
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Name of backend and precision ([`EngineBackend::name`]).
    #[must_use]
    pub fn name(&self) -> String {
        self.backend.name()
    }

    /// Version of the backend ([`EngineBackend::version`]).
    #[must_use]
    pub fn version(&self) -> String {
        self.backend.version()
    }

    /// Loads a checkpoint for batches of `batch_tokens` tokens, one copy per device.
    ///
    /// A GPU has two batches under way: the host prepares one while the device computes the other.
    ///
    /// # Errors
    /// A missing device, a checkpoint above the memory limit, or a failure of loading.
    pub fn load(
        &self,
        checkpoint: impl Into<Checkpoint>,
        batch_tokens: usize,
    ) -> Result<Replicas, Error> {
        let checkpoint = checkpoint.into();
        match &self.backend {
            EngineBackend::Cuda {
                devices,
                precision,
                mode,
            } => {
                let copies = devices.iter().map(|&device| {
                    let cuda = Cuda::on_device(device, *precision)?.with_mode(*mode);
                    self.load_on_gpu(cuda, &checkpoint, batch_tokens, UNDER_WAY)
                });
                let mut replicas = Replicas::new(copies.collect::<Result<_, _>>()?)?;
                replicas.under_way = UNDER_WAY;
                Ok(replicas)
            }
            _ => Replicas::new(vec![self.load_one(checkpoint, batch_tokens)?]),
        }
    }

    /// Loads a single copy of a checkpoint, on the first device if there are several.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_one(
        &self,
        checkpoint: impl Into<Checkpoint>,
        batch_tokens: usize,
    ) -> Result<Box<dyn Model>, Error> {
        let checkpoint = &checkpoint.into();
        match &self.backend {
            EngineBackend::Cpu { threads, precision } => {
                let cpu = threads.map_or_else(|| Ok(Cpu::new()), Cpu::with_threads)?;
                self.load_on(cpu.with_precision(*precision), checkpoint, batch_tokens)
            }
            EngineBackend::Cuda {
                devices,
                precision,
                mode,
            } => {
                let device = devices.first().ok_or_else(no_device)?;
                let cuda = Cuda::on_device(*device, *precision)?.with_mode(*mode);
                self.load_on_gpu(cuda, checkpoint, batch_tokens, 1)
            }
            EngineBackend::Reference => {
                self.load_on(Reference::<f64>::new(), checkpoint, batch_tokens)
            }
        }
    }

    fn load_on<B: Backend + 'static>(
        &self,
        backend: B,
        checkpoint: &Checkpoint,
        batch_tokens: usize,
    ) -> Result<Box<dyn Model>, Error> {
        self.load_beside(backend, checkpoint, batch_tokens, 0)
    }

    /// Loads a copy on a GPU that has `under_way` batches at once. All of them have activations, which the
    /// memory limit is to count.
    fn load_on_gpu(
        &self,
        cuda: Cuda,
        checkpoint: &Checkpoint,
        batch_tokens: usize,
        under_way: usize,
    ) -> Result<Box<dyn Model>, Error> {
        let beside = beside_estimate(Config::load(checkpoint)?.vocab_size, under_way);
        let tokens = batch_tokens.saturating_mul(under_way);
        self.load_beside(cuda, checkpoint, tokens, beside)
    }

    /// Loads a copy that takes `beside` bytes more than its estimate.
    fn load_beside<B: Backend + 'static>(
        &self,
        backend: B,
        checkpoint: &Checkpoint,
        batch_tokens: usize,
        beside: u64,
    ) -> Result<Box<dyn Model>, Error> {
        let limit = self.memory_limit.saturating_sub(beside);
        match Transformer::load_with_memory_limit(checkpoint, backend, batch_tokens, limit) {
            Ok(model) => Ok(Box::new(model)),
            // The limit is the one that was given, so the estimate must be of the whole.
            Err(Error::MemoryLimit { path, estimate, .. }) => Err(Error::MemoryLimit {
                path,
                estimate: estimate.saturating_add(beside),
                limit: self.memory_limit,
            }),
            Err(error) => Err(error),
        }
    }
}

/// Bytes that a GPU takes beside the estimate of a model: the logits of each batch under way, of which the
/// head computes some rows at a time, and scratch memory (`relscale-cuda`, Memory).
fn beside_estimate(vocab: usize, under_way: usize) -> u64 {
    const LOGITS: u64 = 256 << 20;
    const LOGIT_ROWS: u64 = 2048;
    const SCRATCH: u64 = 32 << 20;
    let logits = (4 * LOGIT_ROWS).saturating_mul(vocab as u64).min(LOGITS);
    logits
        .saturating_mul(under_way as u64)
        .saturating_add(SCRATCH)
}

fn no_device() -> Error {
    Error::Option {
        option: "--device",
        message: "there is none".to_owned(),
    }
}

/// Number of batches that a GPU has under way.
const UNDER_WAY: usize = 2;

/// Copies of one model, one per device; at least one.
pub struct Replicas {
    models: Vec<Box<dyn Model>>,
    /// Number of batches that each has under way at once.
    under_way: usize,
}

impl Replicas {
    /// Copies of one model.
    ///
    /// # Errors
    /// An empty list.
    pub fn new(models: Vec<Box<dyn Model>>) -> Result<Self, Error> {
        if models.is_empty() {
            return Err(no_device());
        }
        Ok(Self {
            models,
            under_way: 1,
        })
    }

    /// An evaluation that shares its batches among all copies.
    pub fn evaluation(&self) -> Evaluation<'_> {
        let evaluation = Evaluation::new(&*self.models[0]).replicas(&self.models[1..]);
        // A model that is its own replica takes the next batch before it is done with one.
        (1..self.under_way).fold(evaluation, |evaluation, _| {
            evaluation.replicas(&self.models)
        })
    }
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replicas({})", self.models.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use relscale::distribution::{Content, Item, Items};
    use relscale::model::Batch;

    use super::*;

    /// Number of calls under way, and the most that there were at once.
    #[derive(Default)]
    struct Calls(Mutex<[usize; 2]>, Condvar);

    /// A model that waits some time for a second call.
    struct Waiting(Arc<Calls>, Duration);

    impl Model for Waiting {
        fn vocab_size(&self) -> usize {
            9
        }

        fn context_len(&self) -> usize {
            9
        }

        fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
            let Calls(count, changed) = &*self.0;
            let mut calls = count.lock().unwrap();
            calls[0] += 1;
            calls[1] = calls[1].max(calls[0]);
            changed.notify_all();
            let (mut calls, _) = changed
                .wait_timeout_while(calls, self.1, |[_, most]| *most < 2)
                .unwrap();
            calls[0] -= 1;
            Ok(vec![-1.0; batch.targets().len()])
        }
    }

    fn most_at_once(under_way: usize, wait: Duration) -> usize {
        let calls = Arc::new(Calls::default());
        let model = Waiting(Arc::clone(&calls), wait);
        let mut replicas = Replicas::new(vec![Box::new(model)]).unwrap();
        replicas.under_way = under_way;
        let item = |i: u32| Item {
            id: i.to_string(),
            cluster: i.to_string(),
            content: Content::Tokens(vec![i; 5]),
        };
        let items = Items::new("tokens", (0..2).map(item).collect()).unwrap();
        replicas
            .evaluation()
            .batch_tokens(5)
            .log_likelihoods(&items)
            .unwrap();
        let most = calls.0.lock().unwrap();
        most[1]
    }

    #[test]
    fn a_model_has_as_many_batches_under_way_as_it_is_told() {
        assert_eq!(most_at_once(1, Duration::from_millis(50)), 1);
        assert_eq!(most_at_once(2, Duration::from_secs(60)), 2);
    }

    #[test]
    fn a_memory_limit_covers_the_logits_and_scratch_memory_of_a_gpu() {
        assert_eq!(beside_estimate(128_256, 2), (2 * 256 + 32) << 20);
        assert_eq!(beside_estimate(256, 1), (2 + 32) << 20);
    }

    #[test]
    fn memory_beside_the_estimate_counts_against_the_limit() {
        let checkpoint = Checkpoint::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/checkpoints/llama-plain"
        ));
        let backend = Reference::<f32>::new;
        let estimate = Transformer::memory_estimate(&checkpoint, &backend(), 16).unwrap();
        let (beside, whole) = (1000, estimate.total() + 1000);
        let load = |limit: u64| {
            let engine = Engine::new(EngineBackend::Reference).with_memory_limit(limit);
            engine.load_beside(backend(), &checkpoint, 16, beside).err()
        };
        assert!(load(whole).is_none());
        match load(whole - 1) {
            Some(Error::MemoryLimit {
                estimate, limit, ..
            }) => assert_eq!((estimate, limit), (whole, whole - 1)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn backends_have_the_names_that_they_are_found_by() {
        for name in ["cpu bf16", "cuda bf16", "cuda f32 fast", "reference f64"] {
            assert_eq!(EngineBackend::by_name(name).unwrap().name(), name);
        }
        for name in ["cpu f32 fast", "cuda fast", "cuda bf16  fast", " fast"] {
            let error = EngineBackend::by_name(name).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
