//! The driver interface (`libcuda.so`): the part that cudarc's driver layer calls.

mod error;
mod memory;
mod module;
mod stream;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{HostMemory, panic_text, put};
use crate::config::Config;
use crate::device::{DEFAULT_STREAM, Failure, Loaded, Machine, Module, code, failure};

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
    /// Pools that were made.
    pools: BTreeSet<usize>,
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
                    pools: BTreeSet::new(),
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
            115 => i32::from(s.machine.config.pools),
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

/// True if the calling thread has a current context, which cuBLASLt needs.
pub(super) fn has_context() -> bool {
    CURRENT.get() != 0
}

/// The stream behind a handle: for cuBLASLt.
pub(super) fn stream(handle: usize) -> u64 {
    stream_id(handle)
}
