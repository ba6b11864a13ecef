//! A device of the driver: its context, stream and kernels.
//!
//! All work goes to one stream, so allocations, copies, kernels and releases happen in the order of
//! the calls.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};

use crate::error::CudaError;
use crate::kernels::Kernel;
use crate::memory::{self, Staging};

/// Set to wait for the device after every launch, so that a fault is reported by the kernel that made it.
pub(crate) const WATCH: &str = "RELSCALE_CUDA_SYNC";
/// Bytes of the messages of the driver's compiler that are kept.
const LOG: usize = 8 << 10;

/// Oldest driver whose compiler reads the kernels, in the numbers of `cuDriverGetVersion`: PTX 8.4
/// came with CUDA 12.4.
const DRIVER: i32 = 12_040;

/// The kernels, one text per source file. The driver expects a NUL at the end of each.
pub(crate) const MODULES: [&str; 5] = [
    concat!(include_str!("../kernels/ptx/elementwise.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/norm.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/attention.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/flash.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/head.ptx"), "\0"),
];

/// An open device.
pub(crate) struct Device {
    pub(crate) device: sys::CUdevice,
    context: sys::CUcontext,
    pub(crate) stream: sys::CUstream,
    /// The pool that memory comes from, where the driver has pools.
    pub(crate) pool: Option<sys::CUmemoryPool>,
    pub(crate) staging: Mutex<Staging>,
    watched: bool,
    driver: i32,
    modules: Vec<sys::CUmodule>,
    kernels: HashMap<Kernel, sys::CUfunction>,
    name: String,
}

// SAFETY: contexts, streams, modules and functions are handles that the driver allows on any
// thread; every use binds the context to its thread first.
unsafe impl Send for Device {}
// SAFETY: as above; the driver's calls are safe to make from several threads at once.
unsafe impl Sync for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Opens device `index` and loads the kernels.
    pub(crate) fn open(index: usize) -> Result<Arc<Self>, CudaError> {
        // cudarc panics on its first call if the library is missing, so this check is first.
        // SAFETY: loading the vendor's library runs its initialisers, which is what it is for.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        let mut found = 0;
        // SAFETY: `found` outlives the call; the driver need not be initialised for this one.
        unsafe { sys::cuDriverGetVersion(&raw mut found) }
            .result()
            .map_err(CudaError::driver("asking for the driver's version"))?;
        if found < DRIVER {
            return Err(CudaError::DriverTooOld { found });
        }
        result::init().map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_NO_DEVICE => CudaError::NoDevice { index, count: 0 },
            _ => CudaError::driver("starting the driver")(error),
        })?;
        let count =
            result::device::get_count().map_err(CudaError::driver("counting the devices"))?;
        let count = usize::try_from(count).unwrap_or(0);
        let ordinal = match i32::try_from(index) {
            Ok(ordinal) if index < count => ordinal,
            _ => return Err(CudaError::NoDevice { index, count }),
        };
        let device =
            result::device::get(ordinal).map_err(CudaError::driver("opening the device"))?;
        let name =
            result::device::get_name(device).map_err(CudaError::driver("naming the device"))?;
        let attribute = |attribute| {
            // SAFETY: `device` was given by the driver.
            unsafe { result::device::get_attribute(device, attribute) }
                .map_err(CudaError::driver("reading an attribute of the device"))
        };
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        if capability.0 < 8 {
            return Err(CudaError::DeviceTooOld {
                device: name,
                capability,
            });
        }
        // SAFETY: `device` was given by the driver.
        let context = unsafe { result::primary_ctx::retain(device) }
            .map_err(CudaError::driver("opening a context"))?;
        // From here on, `drop` undoes every step.
        let mut this = Self {
            device,
            context,
            stream: std::ptr::null_mut(),
            pool: None,
            staging: Mutex::default(),
            watched: std::env::var_os(WATCH).is_some_and(|x| !x.is_empty() && x != "0"),
            driver: found,
            modules: Vec::new(),
            kernels: HashMap::new(),
            name,
        };
        this.bind()?;
        this.stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(CudaError::driver("opening a stream"))?;
        this.pool = memory::pool(device)?;
        for ptx in MODULES {
            this.modules.push(compile(ptx)?);
        }
        this.find_kernels()?;
        Ok(Arc::new(this))
    }

    /// Finds every kernel in the module that has it.
    fn find_kernels(&mut self) -> Result<(), CudaError> {
        let mut modules = HashMap::new();
        for (ptx, &module) in MODULES.iter().zip(&self.modules) {
            modules.extend(entries(ptx).map(|name| (name, module)));
        }
        for kernel in Kernel::all() {
            let name = kernel.to_string();
            let fail = |message: String| CudaError::Driver {
                call: "finding a kernel",
                message,
            };
            let Some(&module) = modules.get(name.as_str()) else {
                return Err(fail(format!("there is no {name}")));
            };
            let text = CString::new(name).map_err(|e| fail(e.to_string()))?;
            // SAFETY: the module has been loaded.
            let function = unsafe { result::module::get_function(module, text) }
                .map_err(CudaError::driver("finding a kernel"))?;
            self.kernels.insert(kernel, function);
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// CUDA version of the driver, major × 1000 + minor × 10.
    pub(crate) fn driver(&self) -> i32 {
        self.driver
    }

    /// True if the device is waited for after every launch.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// Makes the context of this device current on the calling thread.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained for the life of `self`.
        unsafe { result::ctx::set_current(self.context) }
            .map_err(CudaError::driver("binding the context"))
    }

    /// Waits until all work is finished. Errors of kernels surface here.
    pub(crate) fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the stream lives as long as `self`.
        unsafe { result::stream::synchronize(self.stream) }
            .map_err(CudaError::driver("waiting for the device"))
    }

    /// Starts a kernel.
    ///
    /// # Safety
    /// The arguments match the signature of the kernel, and with them it stays inside memory that is
    /// alive now. (Memory is released in the order of the stream, so it may be dropped right after.)
    pub(crate) unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: [u32; 2],
        threads: u32,
        shared: u32,
        arguments: &mut Arguments,
    ) -> Result<(), CudaError> {
        if grid.contains(&0) {
            return Ok(());
        }
        let Some(&function) = self.kernels.get(&kernel) else {
            return Err(CudaError::Driver {
                call: "starting a kernel",
                message: format!("there is no kernel {kernel}"),
            });
        };
        let slots = &mut arguments.slots;
        let mut pointers = slots.each_mut().map(|slot| std::ptr::from_mut(slot).cast());
        // SAFETY: the function belongs to a loaded module; each pointer leads to a slot at least as
        // long as the argument, which the driver copies before it returns; the caller vouches for
        // the rest.
        unsafe {
            result::launch_kernel(
                function,
                (grid[0], grid[1], 1),
                (threads, 1, 1),
                shared,
                self.stream,
                &mut pointers[..arguments.len],
            )
        }
        .map_err(CudaError::kernel("starting a kernel", kernel))?;
        if self.watched {
            // SAFETY: the stream lives as long as `self`.
            unsafe { result::stream::synchronize(self.stream) }
                .map_err(CudaError::kernel("running a kernel", kernel))?;
        }
        Ok(())
    }
}

/// Names of the kernels of a module.
pub(crate) fn entries(ptx: &str) -> impl Iterator<Item = &str> {
    ptx.lines()
        .filter_map(|line| line.strip_prefix(".visible .entry ")?.split('(').next())
}

/// Compiles PTX text that ends with NUL. An error has the compiler's own words.
fn compile(ptx: &'static str) -> Result<sys::CUmodule, CudaError> {
    let mut log = vec![0u8; LOG];
    let mut module = std::ptr::null_mut();
    let mut options = [
        sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
        sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
    ];
    // The driver takes the size as a number in the place of a pointer.
    let mut values = [
        log.as_mut_ptr().cast(),
        std::ptr::without_provenance_mut(LOG),
    ];
    // SAFETY: `ptx` is text that ends with NUL, there are as many values as options, and the log has
    // the size stated and outlives the call.
    let done = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut module,
            ptx.as_ptr().cast::<c_void>(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    match done.result() {
        Ok(()) => Ok(module),
        Err(error) => Err(with_log(
            CudaError::driver("loading the kernels")(error),
            &log,
        )),
    }
}

/// The error with what the compiler wrote before the first NUL of `log`.
fn with_log(error: CudaError, log: &[u8]) -> CudaError {
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    let words = String::from_utf8_lossy(&log[..end]);
    match error {
        CudaError::Driver { call, message } if !words.trim().is_empty() => CudaError::Driver {
            call,
            message: format!("{message}; the driver's compiler says: {}", words.trim()),
        },
        other => other,
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // An error here cannot be handled, and each step makes sense without the others.
        let _ = self.bind();
        if !self.stream.is_null() {
            let _ = self.synchronize();
        }
        let staging = self.staging.get_mut();
        staging.unwrap_or_else(PoisonError::into_inner).release();
        for &module in &self.modules {
            // SAFETY: loaded once, unloaded here only.
            let _ = unsafe { result::module::unload(module) };
        }
        if !self.stream.is_null() {
            // SAFETY: created once, destroyed here only; all memory holds the device alive.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
        if let Some(pool) = self.pool {
            // SAFETY: made once, destroyed here only; all memory holds the device alive.
            let _ = unsafe { result::mem_pool::destroy(pool) };
        }
        // SAFETY: retained once, released here only.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Arguments of a kernel, each in a slot of its own.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// As many as the longest list has.
    slots: [u64; 20],
    len: usize,
}

impl Arguments {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A pointer or an unsigned number of 64 bits.
    pub(crate) fn long(mut self, value: u64) -> Self {
        self.slots[self.len] = value;
        self.len += 1;
        self
    }

    /// Numbers of 32 bits.
    pub(crate) fn words<const N: usize>(self, values: [u32; N]) -> Self {
        values.into_iter().fold(self, |arguments, value| {
            let [a, b, c, d] = value.to_ne_bytes();
            arguments.long(u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]))
        })
    }

    pub(crate) fn float(self, value: f32) -> Self {
        self.words([value.to_bits()])
    }
}
