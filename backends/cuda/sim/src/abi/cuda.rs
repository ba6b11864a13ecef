//! The driver interface (`libcuda.so`): the part that cudarc's driver layer calls.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{HostMemory, panic_text, put};
use crate::device::{
    Config, DEFAULT_STREAM, Event, Failure, Loaded, Machine, Module, Shape, Work, code, failure,
};

/// A kernel handle, with the attributes set on it.
struct Function {
    loaded: Arc<Loaded>,
    dynamic_limit: u32,
}

pub(super) struct State {
    pub(super) machine: Machine,
    modules: BTreeMap<usize, Module>,
    functions: BTreeMap<usize, Function>,
    /// Page-locked host memory: address and buffer.
    pinned: BTreeMap<usize, Box<[u64]>>,
    /// Contexts retained, by device.
    retained: BTreeMap<c_int, u32>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
/// The words of the last failure, by code, for `cuGetErrorString`.
static LAST: Mutex<Option<(u32, &'static CStr)>> = Mutex::new(None);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

const CONTEXT: usize = 0xC0DE_0000;

pub(super) fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports a failure on standard error, once, and keeps its words.
pub(super) fn tell(name: &str, failed: &Failure) {
    if failed.code == code::NOT_READY {
        return;
    }
    let text = format!("{name}: {}", failed.message);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    // The error that sticks comes back from every call: its words are kept as they first were.
    if last.is_some_and(|(c, t)| c == failed.code && t.to_string_lossy().ends_with(&failed.message))
    {
        return;
    }
    eprintln!("relscale-cuda-sim: {text}");
    if let Ok(text) = CString::new(text.replace('\0', " ")) {
        *last = Some((failed.code, Box::leak(text.into_boxed_c_str())));
    }
}

fn finish(name: &str, result: std::thread::Result<Result<(), Failure>>) -> u32 {
    let failed = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(failed)) => failed,
        Err(panic) => Failure {
            code: code::UNKNOWN,
            message: panic_text(&*panic),
        },
    };
    tell(name, &failed);
    failed.code
}

/// A call that needs the driver, but no context.
fn driver(name: &str, f: impl FnOnce(&mut State) -> Result<(), Failure>) -> u32 {
    finish(
        name,
        catch_unwind(AssertUnwindSafe(|| match lock().as_mut() {
            Some(state) => f(state),
            None => failure(code::NOT_INITIALIZED, "cuInit was not called"),
        })),
    )
}

/// A call that needs a current context.
fn context(name: &str, f: impl FnOnce(&mut State) -> Result<(), Failure>) -> u32 {
    driver(name, |state| {
        if CURRENT.get() == 0 {
            return failure(
                code::INVALID_CONTEXT,
                "no context is current on this thread",
            );
        }
        f(state)
    })
}

fn null<T>() -> Result<T, Failure> {
    failure(code::INVALID_VALUE, "null pointer")
}

fn out<T>(to: *mut T, value: T) -> Result<(), Failure> {
    // SAFETY: every caller passes on a pointer of its own caller, who by the driver's contract has
    // a T there, or null.
    if unsafe { put(to, value) } {
        Ok(())
    } else {
        null()
    }
}

fn text(from: *const c_char) -> Result<String, Failure> {
    if from.is_null() {
        return null();
    }
    // SAFETY: not null, and NUL-terminated by the driver's contract.
    let text = unsafe { CStr::from_ptr(from) };
    Ok(text.to_string_lossy().into_owned())
}

/// The legacy default stream has several names.
fn stream_id(handle: usize) -> u64 {
    if matches!(handle, 0..=2) {
        DEFAULT_STREAM
    } else {
        handle as u64
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(flags: c_uint) -> u32 {
    finish(
        "cuInit",
        catch_unwind(|| {
            if flags != 0 {
                return failure(code::INVALID_VALUE, "flags must be 0");
            }
            let mut state = lock();
            if state.is_none() {
                let config = Config::from_environment().map_err(|message| Failure {
                    code: code::UNKNOWN,
                    message,
                })?;
                if config.devices == 0 {
                    return failure(code::NO_DEVICE, "no device");
                }
                *state = Some(State {
                    machine: Machine::new(config),
                    modules: BTreeMap::new(),
                    functions: BTreeMap::new(),
                    pinned: BTreeMap::new(),
                    retained: BTreeMap::new(),
                });
            }
            Ok(())
        }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: *mut c_int) -> u32 {
    finish(
        "cuDriverGetVersion",
        catch_unwind(AssertUnwindSafe(|| {
            let config = Config::from_environment().map_err(|message| Failure {
                code: code::UNKNOWN,
                message,
            })?;
            out(version, config.driver)
        })),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: *mut c_int) -> u32 {
    driver("cuDeviceGetCount", |s| out(count, s.machine.config.devices))
}

fn valid_device(s: &State, device: c_int) -> Result<(), Failure> {
    if (0..s.machine.config.devices).contains(&device) {
        return Ok(());
    }
    failure(
        code::INVALID_DEVICE,
        format!("device {device}; there are {}", s.machine.config.devices),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> u32 {
    driver("cuDeviceGet", |s| {
        valid_device(s, ordinal)?;
        out(device, ordinal)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int) -> u32 {
    driver("cuDeviceGetName", |s| {
        valid_device(s, device)?;
        let full = b"PTX simulator (no GPU)\0";
        let n = full.len().min(usize::try_from(len).unwrap_or(0));
        if name.is_null() || n == 0 {
            return null();
        }
        HostMemory {
            at: name.cast(),
            bytes: n,
        }
        .copy_out(&full[..n]);
        // What was cut off must still end.
        HostMemory {
            at: name.cast::<u8>().wrapping_add(n - 1),
            bytes: 1,
        }
        .copy_out(&[0]);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) -> u32 {
    driver("cuDeviceTotalMem", |s| {
        valid_device(s, device)?;
        out(bytes, s.machine.heap.capacity as usize)
    })
}

fn uuid(name: &str, to: *mut [u8; 16], device: c_int) -> u32 {
    driver(name, |s| {
        valid_device(s, device)?;
        let mut id = *b"relscale-sim-gpu";
        id[15] = device as u8;
        out(to, id)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid(to: *mut [u8; 16], device: c_int) -> u32 {
    uuid("cuDeviceGetUuid", to, device)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid_v2(to: *mut [u8; 16], device: c_int) -> u32 {
    uuid("cuDeviceGetUuid", to, device)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_uint, device: c_int) -> u32 {
    driver("cuDeviceGetAttribute", |s| {
        valid_device(s, device)?;
        let (major, minor) = s.machine.config.capability;
        let answer = match attribute {
            1..=3 => 1024,
            4 => 64,
            5 => i32::MAX,
            6 | 7 => 65535,
            8 => 49152,
            9 => 65536,
            10 => 32,
            12 | 82 => 65536,
            13 => 1_000_000,
            16 => 2,
            39 => 2048,
            75 => major,
            76 => minor,
            81 | 97 => 166_912,
            115 => 1,
            _ => {
                return failure(
                    code::INVALID_VALUE,
                    format!("device attribute {attribute} is not simulated"),
                );
            }
        };
        out(value, answer)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(to: *mut usize, device: c_int) -> u32 {
    driver("cuDevicePrimaryCtxRetain", |s| {
        valid_device(s, device)?;
        *s.retained.entry(device).or_default() += 1;
        out(to, CONTEXT + device as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> u32 {
    driver("cuDevicePrimaryCtxRelease", |s| {
        valid_device(s, device)?;
        match s.retained.get_mut(&device) {
            Some(n) if *n > 0 => {
                *n -= 1;
                Ok(())
            }
            _ => failure(code::INVALID_CONTEXT, "the primary context is not retained"),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(to: *mut usize) -> u32 {
    driver("cuCtxGetCurrent", |_| out(to, CURRENT.get()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(handle: usize) -> u32 {
    driver("cuCtxSetCurrent", |s| {
        let device = handle.wrapping_sub(CONTEXT);
        let live = c_int::try_from(device)
            .ok()
            .and_then(|d| s.retained.get(&d))
            .is_some_and(|n| *n > 0);
        if handle != 0 && !live {
            return failure(code::INVALID_CONTEXT, "no such context");
        }
        CURRENT.set(handle);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetDevice(to: *mut c_int) -> u32 {
    context("cuCtxGetDevice", |_| {
        out(to, (CURRENT.get() - CONTEXT) as c_int)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> u32 {
    context("cuCtxSynchronize", |s| s.machine.synchronize_all())
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetDefaultMemPool(to: *mut usize, device: c_int) -> u32 {
    driver("cuDeviceGetDefaultMemPool", |s| {
        valid_device(s, device)?;
        out(to, 0x9001)
    })
}

/// A pool keeps what is freed; here nothing is kept, so any threshold is as good.
#[unsafe(no_mangle)]
extern "C" fn cuMemPoolSetAttribute(pool: usize, attribute: c_uint, value: *const c_void) -> u32 {
    driver("cuMemPoolSetAttribute", |_| {
        if pool != 0x9001 || value.is_null() || !(1..=8).contains(&attribute) {
            return failure(code::INVALID_VALUE, "pool, attribute or value");
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolTrimTo(pool: usize, _keep: usize) -> u32 {
    context("cuMemPoolTrimTo", |_| {
        if pool == 0x9001 {
            Ok(())
        } else {
            failure(code::INVALID_VALUE, "no such pool")
        }
    })
}

fn allocate(name: &str, to: *mut u64, bytes: usize) -> u32 {
    context(name, |s| {
        if bytes == 0 {
            return failure(code::INVALID_VALUE, "0 bytes");
        }
        let base = s.machine.allocate(bytes as u64)?;
        out(to, base)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(to: *mut u64, bytes: usize) -> u32 {
    allocate("cuMemAlloc", to, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(to: *mut u64, bytes: usize, stream: usize) -> u32 {
    let known = context("cuMemAllocAsync", |s| {
        s.machine.has_stream(stream_id(stream))
    });
    if known != 0 {
        known
    } else {
        allocate("cuMemAllocAsync", to, bytes)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(base: u64) -> u32 {
    context("cuMemFree", |s| {
        s.machine.synchronize_all()?;
        if base == 0 || s.machine.heap.free(base) {
            return Ok(());
        }
        failure(
            code::INVALID_VALUE,
            format!("{base:#x} is no live allocation"),
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(base: u64, stream: usize) -> u32 {
    context("cuMemFreeAsync", |s| {
        if !s.machine.heap.contains(base) {
            return failure(
                code::INVALID_VALUE,
                format!("{base:#x} is no live allocation"),
            );
        }
        s.machine
            .enqueue(stream_id(stream), Work::Free { base })
            .map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> u32 {
    context("cuMemGetInfo", |s| {
        let heap = &s.machine.heap;
        out(free, (heap.capacity - heap.used) as usize)?;
        out(total, heap.capacity as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(to: *mut usize, bytes: usize, _flags: c_uint) -> u32 {
    context("cuMemHostAlloc", |s| {
        let mut memory = vec![u64::MAX; bytes.div_ceil(8).max(1)].into_boxed_slice();
        let at = memory.as_mut_ptr() as usize;
        s.pinned.insert(at, memory);
        out(to, at)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(at: usize) -> u32 {
    context("cuMemFreeHost", |s| {
        s.machine.synchronize_all()?;
        match s.pinned.remove(&at) {
            Some(_) => Ok(()),
            None => failure(code::INVALID_VALUE, "no such page-locked memory"),
        }
    })
}

fn is_pinned(s: &State, at: usize, bytes: usize) -> bool {
    s.pinned
        .range(..=at)
        .next_back()
        .is_some_and(|(base, m)| at + bytes <= base + m.len() * 8)
}

fn host(at: *mut c_void, bytes: usize) -> Result<HostMemory, Failure> {
    if at.is_null() && bytes > 0 {
        null()
    } else {
        Ok(HostMemory {
            at: at.cast(),
            bytes,
        })
    }
}

fn to_device(
    s: &mut State,
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: u64,
) -> Result<(), Failure> {
    if bytes == 0 {
        return Ok(());
    }
    let host = host(from.cast_mut(), bytes)?;
    // Pageable memory is staged before the call returns; page-locked memory is read when the copy runs.
    let staged = if is_pinned(s, from as usize, bytes) {
        None
    } else {
        Some(host.copy_in())
    };
    let run = Box::new(move |m: &crate::memory::Snapshot| {
        m.write(to, &staged.unwrap_or_else(|| host.copy_in()))
    });
    s.machine
        .enqueue(
            stream,
            Work::Host {
                what: "copy from the host",
                run,
            },
        )
        .map(|_| ())
}

fn to_host(
    s: &mut State,
    to: *mut c_void,
    from: u64,
    bytes: usize,
    stream: u64,
) -> Result<(), Failure> {
    if bytes == 0 {
        return Ok(());
    }
    let host = host(to, bytes)?;
    // Until somebody waits, the destination holds not-a-number.
    host.copy_out(&vec![0xff; bytes]);
    let run = Box::new(move |m: &crate::memory::Snapshot| {
        let mut data = vec![0; bytes];
        m.read(from, &mut data)?;
        host.copy_out(&data);
        Ok(())
    });
    s.machine
        .enqueue(
            stream,
            Work::Host {
                what: "copy to the host",
                run,
            },
        )
        .map(|_| ())
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: usize,
) -> u32 {
    context("cuMemcpyHtoDAsync", |s| {
        to_device(s, to, from, bytes, stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> u32 {
    context("cuMemcpyHtoD", |s| {
        to_device(s, to, from, bytes, DEFAULT_STREAM)?;
        s.machine.synchronize(DEFAULT_STREAM)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: usize) -> u32 {
    context("cuMemcpyDtoHAsync", |s| {
        to_host(s, to, from, bytes, stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> u32 {
    context("cuMemcpyDtoH", |s| {
        to_host(s, to, from, bytes, DEFAULT_STREAM)?;
        s.machine.synchronize(DEFAULT_STREAM)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: usize) -> u32 {
    context("cuMemcpyDtoDAsync", |s| {
        s.machine
            .enqueue(
                stream_id(stream),
                Work::Copy {
                    to,
                    from,
                    bytes: bytes as u64,
                },
            )
            .map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> u32 {
    cuMemcpyDtoDAsync_v2(to, from, bytes, 0)
}

fn fill(name: &str, to: u64, pattern: &[u8], count: usize, stream: usize) -> u32 {
    context(name, |s| {
        if !to.is_multiple_of(pattern.len() as u64) {
            return failure(code::INVALID_VALUE, "misaligned");
        }
        let work = Work::Fill {
            to,
            pattern: pattern.to_vec(),
            count: count as u64,
        };
        s.machine.enqueue(stream_id(stream), work).map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(to: u64, value: u8, count: usize, stream: usize) -> u32 {
    fill("cuMemsetD8Async", to, &[value], count, stream)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8_v2(to: u64, value: u8, count: usize) -> u32 {
    fill("cuMemsetD8", to, &[value], count, 0)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD16Async(to: u64, value: u16, count: usize, stream: usize) -> u32 {
    fill("cuMemsetD16Async", to, &value.to_le_bytes(), count, stream)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD32Async(to: u64, value: u32, count: usize, stream: usize) -> u32 {
    fill("cuMemsetD32Async", to, &value.to_le_bytes(), count, stream)
}

fn load_module(s: &mut State, to: *mut usize, source: &str) -> Result<(), Failure> {
    let module = s.machine.load(source)?;
    let id = s.machine.fresh_id() as usize;
    s.modules.insert(id, module);
    out(to, id)
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(to: *mut usize, image: *const c_void) -> u32 {
    context("cuModuleLoadData", |s| {
        let source = text(image.cast())?;
        load_module(s, to, &source)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoad(to: *mut usize, path: *const c_char) -> u32 {
    context("cuModuleLoad", |s| {
        let path = text(path)?;
        match std::fs::read_to_string(&path) {
            Ok(source) => load_module(s, to, &source),
            Err(e) => failure(code::FILE_NOT_FOUND, format!("{path}: {e}")),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: usize) -> u32 {
    context("cuModuleUnload", |s| {
        s.machine.synchronize_all()?;
        let Some(module) = s.modules.remove(&module) else {
            return failure(code::INVALID_HANDLE, "no such module");
        };
        for (base, _) in module.variables.values() {
            s.machine.heap.free(*base);
        }
        let gone = |f: &Function| module.kernels.values().any(|k| Arc::ptr_eq(k, &f.loaded));
        s.functions.retain(|_, f| !gone(f));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(to: *mut usize, module: usize, name: *const c_char) -> u32 {
    context("cuModuleGetFunction", |s| {
        let name = text(name)?;
        let Some(module) = s.modules.get(&module) else {
            return failure(code::INVALID_HANDLE, "no such module");
        };
        let Some(loaded) = module.kernels.get(&name) else {
            return failure(
                code::NOT_FOUND,
                format!("the module has no kernel `{name}`"),
            );
        };
        let function = Function {
            loaded: Arc::clone(loaded),
            dynamic_limit: 49152,
        };
        let id = s.machine.fresh_id() as usize;
        s.functions.insert(id, function);
        out(to, id)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetGlobal_v2(
    to: *mut u64,
    bytes: *mut usize,
    module: usize,
    name: *const c_char,
) -> u32 {
    context("cuModuleGetGlobal", |s| {
        let name = text(name)?;
        let Some((base, size)) = s.modules.get(&module).and_then(|m| m.variables.get(&name)) else {
            return failure(code::NOT_FOUND, format!("no variable `{name}`"));
        };
        out(to, *base)?;
        out(bytes, *size as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetAttribute(value: *mut c_int, attribute: c_uint, function: usize) -> u32 {
    context("cuFuncGetAttribute", |s| {
        let Some(f) = s.functions.get(&function) else {
            return failure(code::INVALID_HANDLE, "no such function");
        };
        let k = f.loaded.kernel();
        let answer = match attribute {
            0 => k.max_threads,
            1 => (k.shared_end - crate::ptx::SHARED_START) as u32,
            3 => k.local_bytes as u32,
            4 => k.declared.min(255),
            8 => f.dynamic_limit,
            _ => {
                return failure(
                    code::INVALID_VALUE,
                    format!("function attribute {attribute} is not simulated"),
                );
            }
        };
        out(value, answer as c_int)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(function: usize, attribute: c_uint, value: c_int) -> u32 {
    context("cuFuncSetAttribute", |s| {
        let Some(f) = s.functions.get_mut(&function) else {
            return failure(code::INVALID_HANDLE, "no such function");
        };
        match attribute {
            8 if (0..=166_912).contains(&value) => f.dynamic_limit = value as u32,
            9 => {}
            _ => {
                return failure(
                    code::INVALID_VALUE,
                    format!("function attribute {attribute} = {value}"),
                );
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetCacheConfig(_function: usize, _config: c_uint) -> u32 {
    context("cuFuncSetCacheConfig", |_| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: usize,
    gx: c_uint,
    gy: c_uint,
    gz: c_uint,
    bx: c_uint,
    by: c_uint,
    bz: c_uint,
    dynamic: c_uint,
    stream: usize,
    params: *const *const c_void,
    extra: *const *const c_void,
) -> u32 {
    context("cuLaunchKernel", |s| {
        let Some(f) = s.functions.get(&function) else {
            return failure(code::INVALID_HANDLE, "no such function");
        };
        if !extra.is_null() {
            return failure(code::NOT_SUPPORTED, "`extra` is not simulated");
        }
        let (loaded, limit) = (Arc::clone(&f.loaded), f.dynamic_limit);
        let k = loaded.kernel();
        if params.is_null() && !k.params.is_empty() {
            return null();
        }
        let shape = Shape {
            grid: [gx, gy, gz],
            block: [bx, by, bz],
            dynamic,
        };
        let mut bytes = vec![0; k.param_bytes];
        for (i, p) in k.params.iter().enumerate() {
            // SAFETY: by the driver's contract the array has a pointer for each parameter.
            let from = unsafe { params.wrapping_add(i).read() };
            let value = host(from.cast_mut(), p.size)?.copy_in();
            bytes[p.offset..p.offset + p.size].copy_from_slice(&value);
        }
        s.machine
            .launch(stream_id(stream), &loaded, shape, limit, bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(to: *mut usize, flags: c_uint) -> u32 {
    context("cuStreamCreate", |s| {
        if flags > 1 {
            return failure(code::INVALID_VALUE, format!("flags {flags}"));
        }
        let id = s.machine.create_stream(flags == 0);
        out(to, id as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: usize) -> u32 {
    context("cuStreamDestroy", |s| {
        s.machine.destroy_stream(stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: usize) -> u32 {
    context("cuStreamSynchronize", |s| {
        s.machine.synchronize(stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: usize) -> u32 {
    context("cuStreamQuery", |s| {
        s.machine.check()?;
        let id = stream_id(stream);
        s.machine.has_stream(id)?;
        if s.machine.idle(id) {
            return Ok(());
        }
        // The work gets done, but not before this question was answered.
        s.machine.run_until(id, u64::MAX);
        failure(code::NOT_READY, "work is pending")
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) -> u32 {
    context("cuStreamWaitEvent", |s| {
        let Some(event) = s.machine.events.get(&(event as u64)) else {
            return failure(code::INVALID_HANDLE, "no such event");
        };
        match event.recorded {
            Some((of, upto)) => s
                .machine
                .enqueue(stream_id(stream), Work::Wait { stream: of, upto })
                .map(|_| ()),
            None => Ok(()),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(to: *mut usize, _flags: c_uint) -> u32 {
    context("cuEventCreate", |s| {
        let id = s.machine.fresh_id();
        s.machine.events.insert(id, Event::default());
        out(to, id as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: usize) -> u32 {
    context("cuEventDestroy", |s| {
        match s.machine.events.remove(&(event as u64)) {
            Some(_) => Ok(()),
            None => failure(code::INVALID_HANDLE, "no such event"),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: usize, stream: usize) -> u32 {
    context("cuEventRecord", |s| {
        let id = event as u64;
        if !s.machine.events.contains_key(&id) {
            return failure(code::INVALID_HANDLE, "no such event");
        }
        let of = stream_id(stream);
        let number = s.machine.enqueue(of, Work::Event { id })?;
        if let Some(event) = s.machine.events.get_mut(&id) {
            event.recorded = Some((of, number));
            event.time = None;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: usize) -> u32 {
    context("cuEventSynchronize", |s| {
        let Some(event) = s.machine.events.get(&(event as u64)) else {
            return failure(code::INVALID_HANDLE, "no such event");
        };
        if let Some((of, upto)) = event.recorded {
            s.machine.run_until(of, upto);
        }
        s.machine.check()
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: usize) -> u32 {
    context("cuEventQuery", |s| {
        s.machine.check()?;
        let Some(event) = s.machine.events.get(&(event as u64)) else {
            return failure(code::INVALID_HANDLE, "no such event");
        };
        match event.recorded {
            Some((of, upto)) if event.time.is_none() => {
                s.machine.run_until(of, upto);
                failure(code::NOT_READY, "work is pending")
            }
            _ => Ok(()),
        }
    })
}

fn elapsed(ms: *mut f32, start: usize, end: usize) -> u32 {
    context("cuEventElapsedTime", |s| {
        let time = |id: usize| {
            s.machine
                .events
                .get(&(id as u64))
                .map(|e| (e.recorded.is_some(), e.time))
        };
        match (time(start), time(end)) {
            (Some((true, Some(a))), Some((true, Some(b)))) => {
                // Time of the simulator, of no meaning for a device.
                let sign = if b >= a { 1.0 } else { -1.0 };
                let span = if b >= a { b - a } else { a - b };
                out(ms, sign * span.as_secs_f32() * 1e3)
            }
            (Some((true, _)), Some((true, _))) => failure(code::NOT_READY, "work is pending"),
            _ => failure(code::INVALID_HANDLE, "an event that was not recorded"),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(ms: *mut f32, start: usize, end: usize) -> u32 {
    elapsed(ms, start, end)
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime_v2(ms: *mut f32, start: usize, end: usize) -> u32 {
    elapsed(ms, start, end)
}

fn error_name(error: u32) -> Option<&'static CStr> {
    Some(match error {
        0 => c"CUDA_SUCCESS",
        code::INVALID_VALUE => c"CUDA_ERROR_INVALID_VALUE",
        code::OUT_OF_MEMORY => c"CUDA_ERROR_OUT_OF_MEMORY",
        code::NOT_INITIALIZED => c"CUDA_ERROR_NOT_INITIALIZED",
        code::NO_DEVICE => c"CUDA_ERROR_NO_DEVICE",
        code::INVALID_DEVICE => c"CUDA_ERROR_INVALID_DEVICE",
        code::INVALID_CONTEXT => c"CUDA_ERROR_INVALID_CONTEXT",
        code::NO_BINARY_FOR_GPU => c"CUDA_ERROR_NO_BINARY_FOR_GPU",
        code::INVALID_PTX => c"CUDA_ERROR_INVALID_PTX",
        code::UNSUPPORTED_PTX_VERSION => c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        code::FILE_NOT_FOUND => c"CUDA_ERROR_FILE_NOT_FOUND",
        code::INVALID_HANDLE => c"CUDA_ERROR_INVALID_HANDLE",
        code::NOT_FOUND => c"CUDA_ERROR_NOT_FOUND",
        code::NOT_READY => c"CUDA_ERROR_NOT_READY",
        code::ILLEGAL_ADDRESS => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        code::LAUNCH_TIMEOUT => c"CUDA_ERROR_LAUNCH_TIMEOUT",
        code::MISALIGNED_ADDRESS => c"CUDA_ERROR_MISALIGNED_ADDRESS",
        code::LAUNCH_FAILED => c"CUDA_ERROR_LAUNCH_FAILED",
        code::NOT_SUPPORTED => c"CUDA_ERROR_NOT_SUPPORTED",
        code::UNKNOWN => c"CUDA_ERROR_UNKNOWN",
        _ => return None,
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(error: u32, to: *mut *const c_char) -> u32 {
    let result = match error_name(error) {
        Some(name) => out(to, name.as_ptr()),
        None => out(to, std::ptr::null())
            .and_then(|()| failure(code::INVALID_VALUE, format!("error {error}"))),
    };
    result.map_or_else(|f| f.code, |()| 0)
}

/// The words of the last failure of this code, the report of the kernel included.
#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(error: u32, to: *mut *const c_char) -> u32 {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let words = match *last {
        Some((code, text)) if code == error => Some(text),
        _ => error_name(error),
    };
    let result = match words {
        Some(words) => out(to, words.as_ptr()),
        None => out(to, std::ptr::null())
            .and_then(|()| failure(code::INVALID_VALUE, format!("error {error}"))),
    };
    result.map_or_else(|f| f.code, |()| 0)
}

/// True if the calling thread has a current context, which cuBLASLt needs.
pub(super) fn has_context() -> bool {
    CURRENT.get() != 0
}

/// The stream behind a handle: for cuBLASLt.
pub(super) fn stream(handle: usize) -> u64 {
    stream_id(handle)
}
