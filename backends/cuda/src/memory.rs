//! Memory of a device, and values on their way to and from it.

use std::ffi::c_void;
use std::sync::{Arc, PoisonError};

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};

use crate::device::Device;
use crate::error::CudaError;

/// Bytes of each half of the page-locked memory that values go through: enough for a copy at the full
/// speed of the bus.
const HALF: usize = 4 << 20;

/// A pool that keeps freed memory for the next batch; `None` where the driver has no pools, as on some
/// virtual GPUs. The pool is our own: the device's default one is shared with the whole process.
pub(crate) fn pool(device: sys::CUdevice) -> Result<Option<sys::CUmemoryPool>, CudaError> {
    let fail = CudaError::driver("setting up the memory pool");
    let attribute = Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
    // SAFETY: the device was given by the driver.
    if unsafe { result::device::get_attribute(device, attribute) }.map_err(&fail)? == 0 {
        return Ok(None);
    }
    let properties = sys::CUmemPoolProps {
        allocType: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
        handleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_NONE,
        location: sys::CUmemLocation {
            type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
            id: device,
        },
        win32SecurityAttributes: std::ptr::null_mut(),
        maxSize: 0,
        usage: 0,
        reserved: [0; 54],
    };
    // SAFETY: the properties describe memory of a device that the driver gave.
    let pool = unsafe { result::mem_pool::create(&raw const properties) }.map_err(&fail)?;
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool has just been made, and the attribute is a u64 that outlives the call.
    unsafe {
        result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast::<c_void>())
    }
    .map_err(&fail)?;
    Ok(Some(pool))
}

impl Device {
    /// Allocates memory, whose content is not set.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Memory, CudaError> {
        let mut memory = Memory {
            device: Arc::clone(self),
            pointer: 0,
            bytes,
        };
        if bytes > 0 {
            memory.pointer = self.reserve(bytes).map_err(|error| match error.0 {
                sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory {
                    requested: Some(bytes),
                    memory: result::mem_get_info().ok(),
                },
                _ => CudaError::driver("asking for memory")(error),
            })?;
        }
        Ok(memory)
    }

    fn reserve(&self, bytes: usize) -> Result<sys::CUdeviceptr, result::DriverError> {
        match self.pool {
            // SAFETY: pool and stream live as long as `self`; nobody reads what has not been written.
            Some(pool) => unsafe { result::mem_pool::alloc_async(pool, bytes, self.stream) },
            // SAFETY: nobody reads what has not been written.
            None => unsafe { result::malloc_sync(bytes) },
        }
    }

    /// Copies host values to the device.
    pub(crate) fn upload<T: Plain>(self: &Arc<Self>, values: &[T]) -> Result<Memory, CudaError> {
        let memory = self.allocate(size_of_val(values))?;
        if memory.bytes > 0 {
            // SAFETY: a `T` has no padding, so all its bytes are set.
            let bytes =
                unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), memory.bytes) };
            // A panic on another thread leaves no copy half described.
            let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
            staging.copy(memory.pointer, bytes, self.stream)?;
        }
        Ok(memory)
    }

    /// Copies the first `len` values of `memory` to the host, after all work before.
    ///
    /// Work that other threads ask for meanwhile is not waited for.
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
        let fail = CudaError::driver("copying from the device");
        let done = Event::new()?;
        if out_bytes > 0 {
            // SAFETY: the allocation is at least as long as `out`, every bit pattern is a `T`, and
            // `out` stays where it is until the copy has been waited for.
            unsafe { result::memcpy_dtoh_async(&mut out, memory.pointer, self.stream) }
                .map_err(&fail)?;
        }
        done.record(self.stream)?;
        done.wait()?;
        Ok(out)
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

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True if the memory is on `device` and used in the order of its stream.
    pub(crate) fn is_on(&self, device: &Arc<Device>) -> bool {
        Arc::ptr_eq(&self.device, device)
    }
}

/// Address of memory, null if there is none.
pub(crate) fn address(memory: Option<&Arc<Memory>>) -> u64 {
    memory.map_or(0, |memory| memory.pointer())
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.pointer == 0 {
            return;
        }
        // Memory may be dropped on any thread. An error cannot be reported, and only leaks memory.
        let _ = self.device.bind();
        if self.device.pool.is_some() {
            // SAFETY: allocated once on this stream, freed here only; what still uses it was asked
            // for before.
            let _ = unsafe { result::free_async(self.pointer, self.device.stream) };
        } else {
            let _ = self.device.synchronize();
            // SAFETY: allocated once, freed here only, and nothing uses it any more.
            let _ = unsafe { result::free_sync(self.pointer) };
        }
    }
}

/// A place in a stream that can be waited for.
#[derive(Debug)]
struct Event(sys::CUevent);

impl Event {
    fn new() -> Result<Self, CudaError> {
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        result::event::create(flags)
            .map(Self)
            .map_err(CudaError::driver("making an event"))
    }

    /// Moves the event to behind all work in the stream.
    fn record(&self, stream: sys::CUstream) -> Result<(), CudaError> {
        // SAFETY: the event is alive, and callers pass the stream of a device that is.
        unsafe { result::event::record(self.0, stream) }
            .map_err(CudaError::driver("recording an event"))
    }

    /// Waits for the work before the event. Errors of kernels surface here.
    fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the event is alive. One that was never recorded is not waited for.
        unsafe { result::event::synchronize(self.0) }
            .map_err(CudaError::driver("waiting for the device"))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed here only. An error here cannot be handled.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// Page-locked host memory that values go through on their way to the device.
///
/// The driver reads it while a copy runs, at a time of its own; of ordinary memory it promises nothing.
/// There are two halves. One is filled from its start to its end by copies, and filled again when an
/// event behind the last of them has been waited for.
#[derive(Debug, Default)]
pub(crate) struct Staging(Option<Halves>);

#[derive(Debug)]
struct Halves {
    base: *mut u8,
    /// Behind the last copy from each half.
    done: [Event; 2],
    /// The half that is being filled, and the bytes of it that are in use.
    current: usize,
    used: usize,
}

// SAFETY: the memory belongs to the process, and the driver takes events on any thread.
unsafe impl Send for Halves {}

impl Staging {
    /// Copies bytes to `to`, which is on a device that is bound to this thread.
    fn copy(&mut self, to: u64, bytes: &[u8], stream: sys::CUstream) -> Result<(), CudaError> {
        let halves = match &mut self.0 {
            Some(halves) => halves,
            empty => empty.insert(Halves::new()?),
        };
        let mut copied = 0;
        while copied < bytes.len() {
            if halves.used == HALF {
                halves.turn(stream)?;
            }
            let part = (bytes.len() - copied).min(HALF - halves.used);
            let at = halves.current * HALF + halves.used;
            // SAFETY: both halves have `HALF` bytes, and `used` is at most that.
            let from = unsafe { halves.base.add(at) };
            // SAFETY: `part` bytes more are in the half, too. No copy reads them: they are used again only
            // after a wait.
            let from = unsafe { std::slice::from_raw_parts_mut(from, part) };
            from.copy_from_slice(&bytes[copied..copied + part]);
            // SAFETY: the device has room for all bytes at `to`, and the half is not written before the
            // copy has been waited for.
            unsafe { result::memcpy_htod_async(to + copied as u64, from, stream) }
                .map_err(CudaError::driver("copying to the device"))?;
            copied += part;
            // Aligned, so that no copy begins in the middle of another one's words.
            halves.used = (halves.used + part).next_multiple_of(64).min(HALF);
        }
        Ok(())
    }

    /// Frees the memory, after all work is finished.
    pub(crate) fn release(&mut self) {
        if let Some(halves) = self.0.take() {
            // SAFETY: allocated once, freed here only. An error cannot be handled.
            let _ = unsafe { result::free_host(halves.base.cast()) };
        }
    }
}

impl Halves {
    fn new() -> Result<Self, CudaError> {
        let done = [Event::new()?, Event::new()?];
        // SAFETY: nobody reads what has not been written.
        let base = unsafe { result::malloc_host(2 * HALF, 0) }
            .map_err(CudaError::driver("asking for page-locked memory"))?;
        Ok(Self {
            base: base.cast(),
            done,
            current: 0,
            used: 0,
        })
    }

    /// Goes on with the other half, when its copies are done.
    fn turn(&mut self, stream: sys::CUstream) -> Result<(), CudaError> {
        self.done[self.current].record(stream)?;
        self.current = 1 - self.current;
        self.done[self.current].wait()?;
        self.used = 0;
        Ok(())
    }
}
