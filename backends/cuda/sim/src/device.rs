//! A device: memory, modules, streams of deferred work, events, and the error that sticks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::config::Config;
use crate::exec::{FaultKind, Launch, Report, Rng};
use crate::gemm::Gemm;
use crate::memory::{Heap, MemoryFault, Snapshot};
use crate::ptx::{Kernel, LoadError, Ptx};

/// A loaded kernel.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) ptx: Arc<Ptx>,
    pub(crate) index: usize,
    pub(crate) registers: Vec<u64>,
}

impl Loaded {
    pub(crate) fn kernel(&self) -> &Kernel {
        &self.ptx.kernels[self.index]
    }
}

/// A loaded module: kernels by name, variables by name (address, bytes).
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) kernels: BTreeMap<String, Arc<Loaded>>,
    pub(crate) variables: BTreeMap<String, (u64, u64)>,
}

/// Shape of a launch: blocks, threads per block and bytes of dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic: u32,
}

/// Work that reads or writes host memory; made where that is safe to say.
pub(crate) type HostWork = Box<dyn FnOnce(&Snapshot) -> Result<(), MemoryFault> + Send>;

pub(crate) enum Work {
    Host {
        what: &'static str,
        run: HostWork,
    },
    Copy {
        to: u64,
        from: u64,
        bytes: u64,
    },
    Fill {
        to: u64,
        pattern: Vec<u8>,
        count: u64,
    },
    Launch {
        kernel: Arc<Loaded>,
        params: Vec<u8>,
        grid: [u32; 3],
        block: [u32; 3],
        dynamic: u32,
    },
    Gemm(Gemm),
    Free {
        base: u64,
    },
    Event {
        id: u64,
    },
    /// Waits for the work of another stream up to this number.
    Wait {
        stream: u64,
        upto: u64,
    },
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host { what, .. } => what,
            Self::Copy { .. } => "copy",
            Self::Fill { .. } => "fill",
            Self::Launch { .. } => "launch",
            Self::Gemm(_) => "matmul",
            Self::Free { .. } => "free",
            Self::Event { .. } => "event",
            Self::Wait { .. } => "wait",
        })
    }
}

#[derive(Debug, Default)]
struct Stream {
    queue: VecDeque<(u64, Work)>,
    /// If true, the stream keeps order with the legacy default stream.
    blocking: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Event {
    /// Last recording: the stream, and the place of the event in its queue.
    pub(crate) recorded: Option<(u64, u64)>,
    pub(crate) time: Option<std::time::Instant>,
}

/// The legacy default stream.
pub(crate) const DEFAULT_STREAM: u64 = 0;

/// Error codes of the driver interface.
pub(crate) mod code {
    pub(crate) const INVALID_VALUE: u32 = 1;
    pub(crate) const OUT_OF_MEMORY: u32 = 2;
    pub(crate) const NOT_INITIALIZED: u32 = 3;
    pub(crate) const NO_DEVICE: u32 = 100;
    pub(crate) const INVALID_DEVICE: u32 = 101;
    pub(crate) const INVALID_CONTEXT: u32 = 201;
    pub(crate) const NO_BINARY_FOR_GPU: u32 = 209;
    pub(crate) const INVALID_PTX: u32 = 218;
    pub(crate) const UNSUPPORTED_PTX_VERSION: u32 = 222;
    pub(crate) const FILE_NOT_FOUND: u32 = 301;
    pub(crate) const INVALID_HANDLE: u32 = 400;
    pub(crate) const NOT_FOUND: u32 = 500;
    pub(crate) const NOT_READY: u32 = 600;
    pub(crate) const ILLEGAL_ADDRESS: u32 = 700;
    pub(crate) const LAUNCH_TIMEOUT: u32 = 702;
    pub(crate) const MISALIGNED_ADDRESS: u32 = 716;
    pub(crate) const LAUNCH_FAILED: u32 = 719;
    pub(crate) const NOT_SUPPORTED: u32 = 801;
    pub(crate) const UNKNOWN: u32 = 999;
}

/// The code of a fault in a kernel.
pub(crate) fn fault_code(kind: FaultKind) -> u32 {
    match kind {
        FaultKind::IllegalAddress => code::ILLEGAL_ADDRESS,
        FaultKind::Misaligned => code::MISALIGNED_ADDRESS,
        FaultKind::LaunchFailed => code::LAUNCH_FAILED,
        FaultKind::Timeout => code::LAUNCH_TIMEOUT,
    }
}

/// A failed call: the driver's code and the words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A `CUresult`.
    pub code: u32,
    /// The fault, in one sentence.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

pub(crate) fn failure<T>(code: u32, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure {
        code,
        message: message.into(),
    })
}

/// A simulated device.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) config: Config,
    pub(crate) heap: Heap,
    streams: BTreeMap<u64, Stream>,
    pub(crate) events: BTreeMap<u64, Event>,
    number: u64,
    next_id: u64,
    /// The first fault; every later call gives it again, as a real context does.
    pub(crate) error: Option<Failure>,
    pub(crate) report: Option<Report>,
    /// Thread-instructions executed so far.
    pub(crate) steps: u64,
    launches: u64,
}

impl Machine {
    pub(crate) fn new(config: Config) -> Self {
        let heap = Heap::new(config.memory);
        let mut streams = BTreeMap::new();
        streams.insert(DEFAULT_STREAM, Stream::default());
        Self {
            config,
            heap,
            streams,
            events: BTreeMap::new(),
            number: 0,
            next_id: 0x1000,
            error: None,
            report: None,
            steps: 0,
            launches: 0,
        }
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.next_id += 16;
        self.next_id
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.error.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn create_stream(&mut self, blocking: bool) -> u64 {
        let id = self.fresh_id();
        self.streams.insert(
            id,
            Stream {
                queue: VecDeque::new(),
                blocking,
            },
        );
        id
    }

    pub(crate) fn destroy_stream(&mut self, id: u64) -> Result<(), Failure> {
        self.synchronize(id)?;
        match id {
            DEFAULT_STREAM => failure(
                code::INVALID_HANDLE,
                "the default stream cannot be destroyed",
            ),
            _ => {
                self.streams.remove(&id);
                Ok(())
            }
        }
    }

    pub(crate) fn has_stream(&self, id: u64) -> Result<(), Failure> {
        if self.streams.contains_key(&id) {
            Ok(())
        } else {
            failure(code::INVALID_HANDLE, "no such stream")
        }
    }

    /// Puts work at the end of a stream. Nothing runs before somebody waits for it.
    pub(crate) fn enqueue(&mut self, stream: u64, work: Work) -> Result<u64, Failure> {
        self.check()?;
        self.has_stream(stream)?;
        self.number += 1;
        if let Some(s) = self.streams.get_mut(&stream) {
            s.queue.push_back((self.number, work));
        }
        Ok(self.number)
    }

    pub(crate) fn idle(&self, stream: u64) -> bool {
        self.streams.get(&stream).is_none_or(|s| s.queue.is_empty())
    }

    pub(crate) fn synchronize(&mut self, stream: u64) -> Result<(), Failure> {
        self.has_stream(stream)?;
        self.run_until(stream, u64::MAX);
        self.check()
    }

    pub(crate) fn synchronize_all(&mut self) -> Result<(), Failure> {
        let mut ids: Vec<u64> = self.streams.keys().copied().collect();
        if self.config.seed != 0 {
            Rng(self.config.seed ^ self.number).shuffle(&mut ids);
        }
        for id in ids {
            self.run_until(id, u64::MAX);
        }
        self.check()
    }

    /// Executes the work of a stream up to this number, and what it must come after.
    pub(crate) fn run_until(&mut self, stream: u64, upto: u64) {
        while let Some(s) = self.streams.get_mut(&stream) {
            if s.queue.front().is_none_or(|(n, _)| *n > upto) {
                return;
            }
            let blocking = s.blocking;
            let Some((number, work)) = s.queue.pop_front() else {
                return;
            };
            if stream == DEFAULT_STREAM {
                let others: Vec<u64> = self
                    .streams
                    .iter()
                    .filter(|(_, s)| s.blocking)
                    .map(|(id, _)| *id)
                    .collect();
                for other in others {
                    self.run_until(other, number - 1);
                }
            } else if blocking {
                self.run_until(DEFAULT_STREAM, number - 1);
            }
            if let Work::Wait { stream, upto } = work {
                self.run_until(stream, upto);
            } else if self.error.is_none()
                && let Err(failure) = self.execute(work)
            {
                eprintln!("relscale-cuda-sim: {}", failure.message);
                self.error = Some(failure);
            }
        }
    }

    fn execute(&mut self, work: Work) -> Result<(), Failure> {
        let memory = self.heap.snapshot();
        let by = |what: &str| {
            let what = what.to_owned();
            move |fault: MemoryFault| {
                let (code, m) = match fault {
                    MemoryFault::Bounds(m) => (code::ILLEGAL_ADDRESS, m),
                    MemoryFault::Misaligned(m) => (code::MISALIGNED_ADDRESS, m),
                    MemoryFault::Race(m) => (code::LAUNCH_FAILED, m),
                };
                Failure {
                    code,
                    message: format!("{what}: {m}"),
                }
            }
        };
        match work {
            Work::Host { what, run } => run(&memory).map_err(by(what)),
            Work::Copy { to, from, bytes } => {
                let mut data = vec![0; bytes as usize];
                memory
                    .read(from, &mut data)
                    .map_err(by("source of a device copy"))?;
                memory
                    .write(to, &data)
                    .map_err(by("destination of a device copy"))
            }
            Work::Fill { to, pattern, count } => memory
                .write(to, &pattern.repeat(count as usize))
                .map_err(by("memset")),
            Work::Gemm(gemm) => gemm.run(&memory).map_err(by("matmul")),
            Work::Free { base } => {
                if self.heap.free(base) {
                    Ok(())
                } else {
                    failure(
                        code::INVALID_VALUE,
                        format!("free of {base:#x}, which is no live allocation"),
                    )
                }
            }
            Work::Event { id } => {
                if let Some(event) = self.events.get_mut(&id) {
                    event.time = Some(std::time::Instant::now());
                }
                Ok(())
            }
            Work::Wait { .. } => Ok(()),
            Work::Launch {
                kernel,
                params,
                grid,
                block,
                dynamic,
            } => {
                self.launches += 1;
                let seed = match self.config.seed {
                    0 => 0,
                    seed => Rng(seed ^ (self.launches << 40)).next() | 1,
                };
                let launch = Launch {
                    kernel: kernel.kernel(),
                    registers: &kernel.registers,
                    lines: &kernel.ptx.lines,
                    memory,
                    params,
                    grid,
                    block,
                    dynamic,
                    seed,
                    limit: self.config.limit,
                    workers: self.config.workers,
                };
                match launch.run() {
                    Ok(steps) => {
                        self.steps += steps;
                        Ok(())
                    }
                    Err(report) => {
                        let failed = Failure {
                            code: fault_code(report.kind),
                            message: report.to_string(),
                        };
                        self.report = Some(report);
                        Err(failed)
                    }
                }
            }
        }
    }

    /// Whatever frees memory is done first when there is too little.
    pub(crate) fn allocate(&mut self, bytes: u64) -> Result<u64, Failure> {
        self.check()?;
        if let Some(base) = self.heap.allocate(bytes) {
            return Ok(base);
        }
        self.synchronize_all()?;
        match self.heap.allocate(bytes) {
            Some(base) => Ok(base),
            None => failure(
                code::OUT_OF_MEMORY,
                format!(
                    "{bytes} bytes asked for, {} of {} in use",
                    self.heap.used, self.heap.capacity
                ),
            ),
        }
    }

    /// Loads PTX text.
    pub(crate) fn load(&mut self, text: &str) -> Result<Module, Failure> {
        self.check()?;
        let ptx = |e: LoadError| Failure {
            code: code::INVALID_PTX,
            message: e.to_string(),
        };
        let (text, version) = Ptx::version(text).map_err(ptx)?;
        // "Release Notes" of the PTX ISA manual: which version came with which driver.
        let supported = match self.config.driver / 10 {
            1300.. => 90,
            1209 => 88,
            1208 => 87,
            1207 => 86,
            1205 | 1206 => 85,
            older => u32::try_from(older / 100 - 4).unwrap_or(0) * 10 + (older % 100) as u32,
        };
        if version > supported {
            return failure(
                code::UNSUPPORTED_PTX_VERSION,
                format!(
                    "PTX ISA {}.{} needs a newer driver than {}",
                    version / 10,
                    version % 10,
                    self.config.driver
                ),
            );
        }
        let ptx = Arc::new(Ptx::parse(&text).map_err(ptx)?);
        let (major, minor) = self.config.capability;
        if ptx.target as i32 > major * 10 + minor {
            return failure(
                code::NO_BINARY_FOR_GPU,
                format!(
                    "PTX for sm_{}, device of capability {major}.{minor}",
                    ptx.target
                ),
            );
        }
        let mut module = Module::default();
        for v in &ptx.variables {
            let base = self.allocate(v.bytes.len() as u64)?;
            if !base.is_multiple_of(v.align) {
                return failure(
                    code::NOT_SUPPORTED,
                    format!("alignment {} of `{}`", v.align, v.name),
                );
            }
            let written = self.heap.snapshot().write(base, &v.bytes);
            written.map_err(|e| Failure {
                code: code::UNKNOWN,
                message: format!("{e:?}"),
            })?;
            module
                .variables
                .insert(v.name.clone(), (base, v.bytes.len() as u64));
        }
        for (index, kernel) in ptx.kernels.iter().enumerate() {
            let mut registers = kernel.registers.clone();
            for (slot, name, offset) in &kernel.relocations {
                let base = module.variables.get(name).map_or(0, |v| v.0);
                registers[*slot as usize] = base.wrapping_add_signed(*offset);
            }
            let loaded = Loaded {
                ptx: Arc::clone(&ptx),
                index,
                registers,
            };
            module.kernels.insert(kernel.name.clone(), Arc::new(loaded));
        }
        Ok(module)
    }

    /// Checks a launch as the driver does, and puts it into the stream.
    pub(crate) fn launch(
        &mut self,
        stream: u64,
        kernel: &Arc<Loaded>,
        Shape {
            grid,
            block,
            dynamic,
        }: Shape,
        dynamic_limit: u32,
        params: Vec<u8>,
    ) -> Result<(), Failure> {
        let k = kernel.kernel();
        let invalid =
            |m: String| failure(code::INVALID_VALUE, format!("launch of {}: {m}", k.name));
        let threads = block.iter().map(|&n| u64::from(n)).product::<u64>();
        if threads == 0 || threads > u64::from(k.max_threads) || block[2] > 64 {
            return invalid(format!(
                "{block:?} threads a block; from 1 to {} are allowed",
                k.max_threads
            ));
        }
        if grid.contains(&0) || grid[0] > i32::MAX as u32 || grid[1] > 65535 || grid[2] > 65535 {
            return invalid(format!("grid {grid:?}"));
        }
        if grid.iter().map(|&n| u64::from(n)).product::<u64>() > 1 << 28 {
            return failure(
                code::NOT_SUPPORTED,
                format!("{grid:?} blocks are too many to simulate"),
            );
        }
        let fixed = k.shared_end - crate::ptx::SHARED_START;
        if fixed + u64::from(dynamic) > u64::from(dynamic_limit) + fixed
            || fixed + u64::from(dynamic) > 232_448
        {
            return invalid(format!(
                "{dynamic} bytes of dynamic shared memory; the limit is {dynamic_limit}"
            ));
        }
        if params.len() != k.param_bytes {
            return invalid(format!(
                "{} bytes of parameters; the kernel has {}",
                params.len(),
                k.param_bytes
            ));
        }
        self.enqueue(
            stream,
            Work::Launch {
                kernel: Arc::clone(kernel),
                params,
                grid,
                block,
                dynamic,
            },
        )
        .map(|_| ())
    }
}

/// A simulated device without the C interface, for tests of single kernels. Calls return when their
/// work is done.
#[derive(Debug)]
pub struct Device(Machine);

/// A module loaded into a [`Device`].
#[derive(Debug)]
pub struct Program(Module);

impl Device {
    /// A device.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Machine::new(config))
    }

    /// Allocates device memory with this contents.
    ///
    /// # Errors
    ///
    /// Fails when there is too little memory, or after a fault.
    pub fn upload(&mut self, data: &[u8]) -> Result<u64, Failure> {
        let base = self.0.allocate(data.len() as u64)?;
        let written = self.0.heap.snapshot().write(base, data);
        written.map_err(|e| Failure {
            code: code::UNKNOWN,
            message: format!("{e:?}"),
        })?;
        Ok(base)
    }

    /// Allocates device memory, all of whose bits are one: not-a-number, as floating point.
    ///
    /// # Errors
    ///
    /// Fails when there is too little memory, or after a fault.
    pub fn allocate(&mut self, bytes: u64) -> Result<u64, Failure> {
        self.0.allocate(bytes)
    }

    /// Bytes of device memory.
    ///
    /// # Errors
    ///
    /// Fails when they are not all in one allocation.
    pub fn read(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>, Failure> {
        let mut data = vec![0; bytes];
        let read = self.0.heap.snapshot().read(address, &mut data);
        read.map_err(|e| Failure {
            code: code::ILLEGAL_ADDRESS,
            message: format!("{e:?}"),
        })?;
        Ok(data)
    }

    /// Frees an allocation.
    pub fn free(&mut self, base: u64) -> bool {
        self.0.heap.free(base)
    }

    /// Loads PTX text.
    ///
    /// # Errors
    ///
    /// Names the line of whatever cannot be simulated.
    pub fn load(&mut self, ptx: &str) -> Result<Program, Failure> {
        self.0.load(ptx).map(Program)
    }

    /// Runs a kernel. Parameters are given as bits, of which each takes as many low ones as it has.
    ///
    /// # Errors
    ///
    /// Fails as the driver does; [`Device::report`] has what went wrong in the kernel.
    pub fn launch(
        &mut self,
        program: &Program,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        dynamic: u32,
        params: &[u64],
    ) -> Result<(), Failure> {
        let Some(loaded) = program.0.kernels.get(kernel) else {
            return failure(code::NOT_FOUND, format!("no kernel `{kernel}`"));
        };
        let k = loaded.kernel();
        if params.len() != k.params.len() {
            return failure(
                code::INVALID_VALUE,
                format!("{} parameters, not {}", k.params.len(), params.len()),
            );
        }
        let mut bytes = vec![0; k.param_bytes];
        for (p, value) in k.params.iter().zip(params) {
            let n = p.size.min(8);
            bytes[p.offset..p.offset + n].copy_from_slice(&value.to_le_bytes()[..n]);
        }
        let loaded = Arc::clone(loaded);
        self.0.launch(
            DEFAULT_STREAM,
            &loaded,
            Shape {
                grid,
                block,
                dynamic,
            },
            166_912,
            bytes,
        )?;
        self.0.synchronize(DEFAULT_STREAM)
    }

    /// The fault of the kernel that failed, if one has.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.0.report.as_ref()
    }

    /// Thread-instructions executed so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps
    }
}
