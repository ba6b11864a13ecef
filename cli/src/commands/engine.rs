//! Options that choose the backend of a model.

use clap::{Args, ValueEnum};
use relscale_cuda::{Mode, Precision};

use super::CommandError;
use super::values::count;
use crate::engine::{Engine, EngineBackend};

/// Options that choose the backend of a model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Backend")]
pub struct EngineArguments {
    /// Backend that runs the model; the reference is slow and computes in f64
    #[arg(long, value_enum, default_value_t = BackendName::Cpu)]
    backend: BackendName,
    /// GPUs of the cuda backend; each holds a copy of the model, and they share its batches [default: 0]
    #[arg(long, value_name = "N[,N...]")]
    device: Option<Devices>,
    /// Precision of products with weights (cpu: f32, bf16 [default: f32]) or storage format (cuda: all
    /// [default: bf16]); part of the key of every log
    #[arg(long, value_enum)]
    precision: Option<PrecisionName>,
    /// Algorithms of products on the cuda backend: one for all batches, so that a text has the same bits
    /// in each, or the fastest for each batch [default: invariant]; part of the key of every log
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    /// Threads of the cpu backend [default: one per core]
    #[arg(long, value_name = "N", value_parser = count())]
    threads: Option<usize>,
    /// Refuse a checkpoint whose weights and activations would take more bytes
    #[arg(long, value_name = "BYTES")]
    memory_limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackendName {
    Cpu,
    Cuda,
    Reference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionName {
    Bf16,
    F16,
    F32,
    Tf32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Invariant,
    Fast,
}

/// Numbers of GPUs, separated by commas: one value, so that a second `--device` is refused.
#[derive(Debug, Clone)]
struct Devices(Vec<usize>);

impl std::str::FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| {
            let number = word.parse::<usize>();
            number.map_err(|_| format!("`{word}` is not the number of a GPU"))
        };
        Ok(Self(text.split(',').map(number).collect::<Result<_, _>>()?))
    }
}

impl EngineArguments {
    /// The engine that the options describe.
    ///
    /// # Errors
    /// An option that the backend does not honour.
    pub fn engine(&self) -> Result<Engine, CommandError> {
        self.refuse_unhonoured()?;
        let backend = match self.backend {
            BackendName::Cpu => EngineBackend::Cpu {
                threads: self.threads,
                precision: match self.precision {
                    Some(PrecisionName::Bf16) => relscale_cpu::Precision::Bf16,
                    _ => relscale_cpu::Precision::F32,
                },
            },
            BackendName::Cuda => EngineBackend::Cuda {
                devices: self.device.clone().map_or_else(|| vec![0], |d| d.0),
                precision: match self.precision {
                    None => Precision::default(),
                    Some(PrecisionName::Bf16) => Precision::Bf16,
                    Some(PrecisionName::F16) => Precision::F16,
                    Some(PrecisionName::F32) => Precision::F32,
                    Some(PrecisionName::Tf32) => Precision::Tf32,
                },
                mode: match self.mode {
                    None | Some(ModeName::Invariant) => Mode::Invariant,
                    Some(ModeName::Fast) => Mode::Fast,
                },
            },
            BackendName::Reference => EngineBackend::Reference,
        };
        let engine = Engine::new(backend);
        Ok(match self.memory_limit {
            Some(bytes) => engine.with_memory_limit(bytes),
            None => engine,
        })
    }

    /// A silently ignored `--precision bf16` would be taken for the precision of the results.
    fn refuse_unhonoured(&self) -> Result<(), CommandError> {
        let (cpu, cuda) = (
            self.backend == BackendName::Cpu,
            self.backend == BackendName::Cuda,
        );
        let on_cpu = [Some(PrecisionName::F32), Some(PrecisionName::Bf16)];
        let own_precision = cuda || (cpu && on_cpu.contains(&self.precision));
        let (option, cure) = if self.precision.is_some() && !own_precision {
            ("--precision", "cuda")
        } else if self.device.is_some() && !cuda {
            ("--device", "cuda")
        } else if self.mode.is_some() && !cuda {
            ("--mode", "cuda")
        } else if self.threads.is_some() && !cpu {
            ("--threads", "cpu")
        } else {
            return Ok(());
        };
        let backend = match self.backend {
            BackendName::Cpu => "cpu backend, which computes in f32 or bf16",
            BackendName::Cuda => "cuda backend",
            BackendName::Reference => "reference backend, which computes in f64 on one thread",
        };
        Err(CommandError::Usage(format!(
            "{option} does not apply to the {backend}; leave it out or choose --backend {cure}"
        )))
    }
}
