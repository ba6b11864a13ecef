//! The matrix product interface (`libcublasLt.so`): the part that cudarc's cublasLt layer calls.
//!
//! This file has handles and descriptors, `algorithm` and `matmul` the rest.

mod algorithm;
mod matmul;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cuda::{self, tell};
use super::{HostMemory, panic_text, put};
use crate::device::Failure;
use crate::gemm::Number;

const SUCCESS: u32 = 0;
const NOT_INITIALIZED: u32 = 1;
const INVALID_VALUE: u32 = 7;
const INTERNAL_ERROR: u32 = 14;
const NOT_SUPPORTED: u32 = 15;

/// An object behind a handle. Handles are numbers, so that a wild or destroyed one is noticed.
#[derive(Clone, Copy, Debug)]
enum Object {
    Handle,
    Desc(Desc),
    Layout(Layout),
    Preference(Preference),
}

static OBJECTS: Mutex<(BTreeMap<usize, Object>, usize)> = Mutex::new((BTreeMap::new(), 0x1_0000));

#[derive(Clone, Copy, Debug)]
struct Desc {
    tf32: bool,
    transpose_a: bool,
    transpose_b: bool,
}

#[derive(Clone, Copy, Debug)]
struct Layout {
    number: Number,
    rows: u64,
    cols: u64,
    ld: u64,
}

#[derive(Clone, Copy, Debug)]
struct Preference {
    workspace: u64,
    /// Ways of adding up parts of a split sum that are allowed.
    reductions: u32,
    align: [u32; 4],
}

type Status = Result<(), (u32, String)>;

fn invalid<T>(message: impl Into<String>) -> Result<T, (u32, String)> {
    Err((INVALID_VALUE, message.into()))
}

fn call(name: &str, f: impl FnOnce() -> Status) -> u32 {
    let (status, message) = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => return SUCCESS,
        Ok(Err(failed)) => failed,
        Err(panic) => (INTERNAL_ERROR, panic_text(&*panic)),
    };
    tell(
        name,
        &Failure {
            code: 0x8000_0000 | status,
            message,
        },
    );
    status
}

fn objects() -> MutexGuard<'static, (BTreeMap<usize, Object>, usize)> {
    OBJECTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn create(to: *mut usize, object: Object) -> Status {
    let mut objects = objects();
    objects.1 += 16;
    let handle = objects.1;
    // SAFETY: by the library's contract the caller has room for a handle there, or passed null.
    if !unsafe { put(to, handle) } {
        return invalid("null pointer");
    }
    objects.0.insert(handle, object);
    Ok(())
}

fn wrong<T>(what: &str) -> Result<T, (u32, String)> {
    invalid(format!("null, wild or destroyed {what}"))
}

fn handle_of(handle: usize) -> Status {
    match objects().0.get(&handle) {
        Some(Object::Handle) => Ok(()),
        _ => wrong("handle"),
    }
}

fn desc_of(handle: usize) -> Result<Desc, (u32, String)> {
    match objects().0.get(&handle) {
        Some(Object::Desc(desc)) => Ok(*desc),
        _ => wrong("matmul descriptor"),
    }
}

fn layout_of(handle: usize) -> Result<Layout, (u32, String)> {
    match objects().0.get(&handle) {
        Some(Object::Layout(layout)) => Ok(*layout),
        _ => wrong("matrix layout"),
    }
}

fn preference_of(handle: usize) -> Result<Preference, (u32, String)> {
    match objects().0.get(&handle) {
        Some(Object::Preference(preference)) => Ok(*preference),
        _ => wrong("preference"),
    }
}

fn destroy(name: &str, handle: usize, what: &str, right: fn(&Object) -> bool) -> u32 {
    call(name, || {
        let mut objects = objects();
        if !objects.0.get(&handle).is_some_and(right) {
            return wrong(what);
        }
        objects.0.remove(&handle);
        Ok(())
    })
}

/// The value of an attribute, of exactly this many bytes.
fn attribute<const N: usize>(from: *const c_void, bytes: usize) -> Result<[u8; N], (u32, String)> {
    if from.is_null() || bytes != N {
        return invalid(format!("an attribute of {N} bytes was given as {bytes}"));
    }
    let mut value = [0; N];
    value.copy_from_slice(
        &HostMemory {
            at: from.cast_mut().cast(),
            bytes,
        }
        .copy_in(),
    );
    Ok(value)
}

fn number(data_type: u32) -> Result<Number, (u32, String)> {
    match data_type {
        0 => Ok(Number::F32),
        2 => Ok(Number::F16),
        14 => Ok(Number::Bf16),
        _ => Err((
            NOT_SUPPORTED,
            format!("data type {data_type} is not simulated"),
        )),
    }
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtCreate(to: *mut usize) -> u32 {
    call("cublasLtCreate", || {
        if !cuda::has_context() {
            return Err((
                NOT_INITIALIZED,
                "no context is current on this thread".into(),
            ));
        }
        create(to, Object::Handle)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtDestroy(handle: usize) -> u32 {
    destroy("cublasLtDestroy", handle, "handle", |o| {
        matches!(o, Object::Handle)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtGetVersion() -> usize {
    120_400
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescCreate(to: *mut usize, compute: u32, scale: u32) -> u32 {
    call("cublasLtMatmulDescCreate", || {
        let tf32 = match compute {
            68 | 69 => false,
            77 => true,
            _ => {
                return Err((
                    NOT_SUPPORTED,
                    format!("compute type {compute} is not simulated"),
                ));
            }
        };
        if scale != 0 {
            return Err((
                NOT_SUPPORTED,
                format!("scale type {scale} is not simulated"),
            ));
        }
        create(
            to,
            Object::Desc(Desc {
                tf32,
                transpose_a: false,
                transpose_b: false,
            }),
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescDestroy(handle: usize) -> u32 {
    destroy(
        "cublasLtMatmulDescDestroy",
        handle,
        "matmul descriptor",
        |o| matches!(o, Object::Desc(_)),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescSetAttribute(
    handle: usize,
    name: u32,
    from: *const c_void,
    bytes: usize,
) -> u32 {
    call("cublasLtMatmulDescSetAttribute", || {
        let mut desc = desc_of(handle)?;
        let value = u32::from_le_bytes(attribute::<4>(from, bytes)?);
        match (name, value) {
            (3, 0 | 1) => desc.transpose_a = value == 1,
            (4, 0 | 1) => desc.transpose_b = value == 1,
            // Pointers to the host, no transposition of C, the plain epilogue: the defaults.
            (2, 0) | (5, 0) | (7, 1) => {}
            _ => {
                return Err((
                    NOT_SUPPORTED,
                    format!("matmul attribute {name} = {value} is not simulated"),
                ));
            }
        }
        objects().0.insert(handle, Object::Desc(desc));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutCreate(
    to: *mut usize,
    data_type: u32,
    rows: u64,
    cols: u64,
    ld: i64,
) -> u32 {
    call("cublasLtMatrixLayoutCreate", || {
        let number = number(data_type)?;
        let ld = u64::try_from(ld).unwrap_or(0);
        if rows == 0 || cols == 0 || ld < rows {
            return invalid(format!("{rows} x {cols} with leading dimension {ld}"));
        }
        if rows.checked_mul(cols).is_none_or(|n| n > 1 << 34) || ld > 1 << 34 {
            return Err((
                NOT_SUPPORTED,
                format!("{rows} x {cols} is too much to simulate"),
            ));
        }
        create(
            to,
            Object::Layout(Layout {
                number,
                rows,
                cols,
                ld,
            }),
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutDestroy(handle: usize) -> u32 {
    destroy(
        "cublasLtMatrixLayoutDestroy",
        handle,
        "matrix layout",
        |o| matches!(o, Object::Layout(_)),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutSetAttribute(
    handle: usize,
    name: u32,
    from: *const c_void,
    bytes: usize,
) -> u32 {
    call("cublasLtMatrixLayoutSetAttribute", || {
        layout_of(handle)?;
        let value = u32::from_le_bytes(attribute::<4>(from, bytes)?);
        // Column-major order, one matrix: the defaults.
        match (name, value) {
            (1, 0) | (5, 1) => Ok(()),
            _ => Err((
                NOT_SUPPORTED,
                format!("layout attribute {name} = {value} is not simulated"),
            )),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceCreate(to: *mut usize) -> u32 {
    call("cublasLtMatmulPreferenceCreate", || {
        create(
            to,
            Object::Preference(Preference {
                workspace: 0,
                // All ways, as in the library.
                reductions: 7,
                align: [256; 4],
            }),
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceDestroy(handle: usize) -> u32 {
    destroy(
        "cublasLtMatmulPreferenceDestroy",
        handle,
        "preference",
        |o| matches!(o, Object::Preference(_)),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceSetAttribute(
    handle: usize,
    name: u32,
    from: *const c_void,
    bytes: usize,
) -> u32 {
    call("cublasLtMatmulPreferenceSetAttribute", || {
        let mut preference = preference_of(handle)?;
        match name {
            1 => preference.workspace = u64::from_le_bytes(attribute::<8>(from, bytes)?),
            3 => preference.reductions = u32::from_le_bytes(attribute::<4>(from, bytes)?) & 7,
            5..=8 => {
                let value = u32::from_le_bytes(attribute::<4>(from, bytes)?);
                if !value.is_power_of_two() {
                    return invalid(format!("an alignment of {value} bytes"));
                }
                preference.align[name as usize - 5] = value;
            }
            _ => {
                return Err((
                    NOT_SUPPORTED,
                    format!("preference attribute {name} is not simulated"),
                ));
            }
        }
        objects().0.insert(handle, Object::Preference(preference));
        Ok(())
    })
}
