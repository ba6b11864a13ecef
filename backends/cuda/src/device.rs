//! A device of the driver: its context, stream, kernels and memory.
//!
//! All work goes to one stream, so allocations, copies, kernels and releases happen in the order of
//! the calls.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};

use crate::error::CudaError;

/// Oldest driver whose compiler reads the kernels, in the numbers of `cuDriverGetVersion`: PTX 8.4
/// came with CUDA 12.4.
const DRIVER: i32 = 12_040;

/// The kernels, one text per source file. The driver expects a NUL at the end of each.
const MODULES: [&str; 5] = [
    concat!(include_str!("../kernels/ptx/elementwise.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/norm.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/attention.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/flash.ptx"), "\0"),
    concat!(include_str!("../kernels/ptx/head.ptx"), "\0"),
];

/// An open device.
pub(crate) struct Device {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    modules: Vec<sys::CUmodule>,
    kernels: HashMap<&'static str, sys::CUfunction>,
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
            modules: Vec::new(),
            kernels: HashMap::new(),
            name,
        };
        this.bind()?;
        this.stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(CudaError::driver("opening a stream"))?;
        this.keep_memory()?;
        for ptx in MODULES {
            this.load(ptx)?;
        }
        Ok(Arc::new(this))
    }

    /// Lets the driver keep freed memory for the next batch.
    fn keep_memory(&self) -> Result<(), CudaError> {
        // SAFETY: the device was given by the driver.
        let pool = unsafe { result::device::get_default_mem_pool(self.device) }
            .map_err(CudaError::driver("opening the memory pool"))?;
        let mut threshold = u64::MAX;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the pool is the device's own, and the attribute is a u64 that outlives the call.
        unsafe {
            result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast::<c_void>())
        }
        .map_err(CudaError::driver("setting up the memory pool"))
    }

    /// Compiles a module for the device and finds its kernels.
    fn load(&mut self, ptx: &'static str) -> Result<(), CudaError> {
        // SAFETY: `ptx` is text that ends with NUL.
        let module = unsafe { result::module::load_data(ptx.as_ptr().cast::<c_void>()) }
            .map_err(CudaError::driver("loading the kernels"))?;
        self.modules.push(module);
        for line in ptx.lines() {
            let name = line
                .strip_prefix(".visible .entry ")
                .and_then(|rest| rest.split('(').next());
            let Some(name) = name else { continue };
            let text = CString::new(name).map_err(|e| CudaError::Driver {
                call: "naming a kernel",
                message: e.to_string(),
            })?;
            // SAFETY: the module has just been loaded.
            let kernel = unsafe { result::module::get_function(module, text) }
                .map_err(CudaError::driver("finding a kernel"))?;
            self.kernels.insert(name, kernel);
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn stream(&self) -> sys::CUstream {
        self.stream
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

    /// Allocates memory, whose content is not set.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Memory, CudaError> {
        let mut memory = Memory {
            device: Arc::clone(self),
            pointer: 0,
            bytes,
        };
        if bytes > 0 {
            // SAFETY: the stream lives as long as `self`; nobody reads what has not been written.
            memory.pointer = unsafe { result::malloc_async(self.stream, bytes) }.map_err(
                |error| match error.0 {
                    sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory {
                        requested: Some(bytes),
                        memory: result::mem_get_info().ok(),
                    },
                    _ => CudaError::driver("asking for memory")(error),
                },
            )?;
        }
        Ok(memory)
    }

    /// Copies host values to the device.
    pub(crate) fn upload<T: Plain>(self: &Arc<Self>, values: &[T]) -> Result<Memory, CudaError> {
        let memory = self.allocate(size_of_val(values))?;
        if memory.bytes > 0 {
            // SAFETY: the allocation has the size of `values`; of pageable memory the driver takes
            // a copy before the call returns.
            unsafe { result::memcpy_htod_async(memory.pointer, values, self.stream) }
                .map_err(CudaError::driver("copying to the device"))?;
        }
        Ok(memory)
    }

    /// Copies the first `len` values of `memory` to the host, after all work before.
    pub(crate) fn download<T: Plain>(
        &self,
        memory: &Memory,
        len: usize,
    ) -> Result<Vec<T>, CudaError> {
        let mut out = vec![T::default(); len];
        let out_bytes = size_of_val(out.as_slice());
        if out_bytes > memory.bytes {
            return Err(CudaError::Driver {
                call: "copying from the device",
                message: format!("{out_bytes} bytes of {}", memory.bytes),
            });
        }
        if out_bytes > 0 {
            // SAFETY: the allocation is at least as long as `out`, every bit pattern is a `T`, and
            // `out` stays where it is until the stream has been waited for.
            unsafe { result::memcpy_dtoh_async(&mut out, memory.pointer, self.stream) }
                .map_err(CudaError::driver("copying from the device"))?;
        }
        self.synchronize()?;
        Ok(out)
    }

    /// Starts a kernel.
    ///
    /// # Safety
    /// The arguments match the signature of the kernel, and with them it stays inside memory that is
    /// alive now. (Memory is released in the order of the stream, so it may be dropped right after.)
    pub(crate) unsafe fn launch(
        &self,
        kernel: &str,
        grid: [u32; 2],
        threads: u32,
        shared: u32,
        arguments: &mut Arguments,
    ) -> Result<(), CudaError> {
        if grid.contains(&0) {
            return Ok(());
        }
        let Some(&function) = self.kernels.get(kernel) else {
            return Err(CudaError::Driver {
                call: "starting a kernel",
                message: format!("there is no kernel {kernel}"),
            });
        };
        let mut pointers: Vec<*mut c_void> = arguments
            .0
            .iter_mut()
            .map(|slot| std::ptr::from_mut(slot).cast::<c_void>())
            .collect();
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
                &mut pointers,
            )
        }
        .map_err(CudaError::driver("starting a kernel"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // An error here cannot be handled, and each step makes sense without the others.
        let _ = self.bind();
        if !self.stream.is_null() {
            let _ = self.synchronize();
        }
        for &module in &self.modules {
            // SAFETY: loaded once, unloaded here only.
            let _ = unsafe { result::module::unload(module) };
        }
        if !self.stream.is_null() {
            // SAFETY: created once, destroyed here only; all memory holds the device alive.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
        // SAFETY: retained once, released here only.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Types without padding, of which every bit pattern is a value.
pub(crate) trait Plain: Copy + Default {}
impl Plain for f32 {}
impl Plain for u32 {}
impl Plain for half::f16 {}
impl Plain for half::bf16 {}

/// Memory on a device, freed in the order of its stream.
#[derive(Debug)]
pub(crate) struct Memory {
    device: Arc<Device>,
    pointer: sys::CUdeviceptr,
    bytes: usize,
}

impl Memory {
    pub(crate) fn pointer(&self) -> u64 {
        self.pointer
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.pointer != 0 {
            // Memory may be dropped on any thread. An error cannot be reported, and only leaks memory.
            let _ = self.device.bind();
            // SAFETY: allocated once on this stream, freed here only; what still uses it was asked
            // for before.
            let _ = unsafe { result::free_async(self.pointer, self.device.stream) };
        }
    }
}

/// Arguments of a kernel, each in a slot of its own.
#[derive(Debug, Default)]
pub(crate) struct Arguments(Vec<u64>);

impl Arguments {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A pointer or an unsigned number of 64 bits.
    pub(crate) fn long(mut self, value: u64) -> Self {
        self.0.push(value);
        self
    }

    /// Numbers of 32 bits.
    pub(crate) fn words<const N: usize>(mut self, values: [u32; N]) -> Self {
        for value in values {
            let [a, b, c, d] = value.to_ne_bytes();
            self.0.push(u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]));
        }
        self
    }

    pub(crate) fn float(self, value: f32) -> Self {
        self.words([value.to_bits()])
    }
}
