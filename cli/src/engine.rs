//! Backends that run models, and loading checkpoints on them.

use relscale::Error;
use relscale::backend::{Backend, Reference};
use relscale::checkpoint::Checkpoint;
use relscale::evaluate::Evaluation;
use relscale::model::{Model, Transformer};
use relscale_cpu::Cpu;
use relscale_cuda::{Cuda, Precision};

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
    },
    /// The reference backend, in f64.
    Reference,
}

impl EngineBackend {
    /// The backend with the name that logs and studies give it (`"cpu f32"`, `"cuda bf16"`), with
    /// default threads and devices.
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
        let cuda = |precision| Self::Cuda {
            devices: vec![0],
            precision,
        };
        Ok(match name {
            "cpu f32" => cpu(relscale_cpu::Precision::F32),
            "cpu bf16" => cpu(relscale_cpu::Precision::Bf16),
            "cuda bf16" => cuda(Precision::Bf16),
            "cuda f16" => cuda(Precision::F16),
            "cuda f32" => cuda(Precision::F32),
            "cuda tf32" => cuda(Precision::Tf32),
            "reference f64" => Self::Reference,
            other => {
                let all =
                    "cpu f32, cpu bf16, cuda bf16, cuda f16, cuda f32, cuda tf32, reference f64";
                return Err(Error::Option {
                    option: "backend",
                    message: format!("`{other}` is none of {all}"),
                });
            }
        })
    }

    /// Name of backend and precision, part of the key of every log.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu { precision, .. } => format!("cpu {precision:?}").to_lowercase(),
            Self::Cuda { precision, .. } => format!("cuda {precision:?}").to_lowercase(),
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
            Self::Cuda { .. } => format!("relscale-cuda {}", relscale_cuda::VERSION),
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
    /// # Errors
    /// A missing device, a checkpoint above the memory limit, or a failure of loading.
    pub fn load(
        &self,
        checkpoint: impl Into<Checkpoint>,
        batch_tokens: usize,
    ) -> Result<Replicas, Error> {
        let checkpoint = checkpoint.into();
        match &self.backend {
            EngineBackend::Cuda { devices, precision } => {
                let copies = devices.iter().map(|&device| {
                    let cuda = Cuda::on_device(device, *precision)?;
                    self.load_on(cuda, &checkpoint, batch_tokens)
                });
                Replicas::new(copies.collect::<Result<_, _>>()?)
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
            EngineBackend::Cuda { devices, precision } => {
                let device = devices.first().ok_or_else(no_device)?;
                let cuda = Cuda::on_device(*device, *precision)?;
                self.load_on(cuda, checkpoint, batch_tokens)
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
        let limit = self.memory_limit;
        let model = Transformer::load_with_memory_limit(checkpoint, backend, batch_tokens, limit)?;
        Ok(Box::new(model))
    }
}

fn no_device() -> Error {
    Error::Option {
        option: "--device",
        message: "there is none".to_owned(),
    }
}

/// Copies of one model, one per device; at least one.
pub struct Replicas(Vec<Box<dyn Model>>);

impl Replicas {
    /// Copies of one model.
    ///
    /// # Errors
    /// An empty list.
    pub fn new(models: Vec<Box<dyn Model>>) -> Result<Self, Error> {
        if models.is_empty() {
            return Err(no_device());
        }
        Ok(Self(models))
    }

    /// An evaluation that shares its batches among all copies.
    pub fn evaluation(&self) -> Evaluation<'_> {
        Evaluation::new(&*self.0[0]).replicas(&self.0[1..])
    }
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replicas({})", self.0.len())
    }
}
