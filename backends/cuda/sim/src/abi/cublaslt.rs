//! The matrix product interface (`libcublasLt.so`): the part that cudarc's cublasLt layer calls.
//!
//! The real library keeps its word only for aligned pointers and for the problem that the heuristic
//! was asked about. Both are checked: the algorithm carries them in its opaque bytes.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cuda::{self, tell};
use super::{HostMemory, panic_text, put};
use crate::device::{Failure, Work, code};
use crate::gemm::{Gemm, Matrix, Number};

const SUCCESS: u32 = 0;
const NOT_INITIALIZED: u32 = 1;
const INVALID_VALUE: u32 = 7;
const EXECUTION_FAILED: u32 = 13;
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
            // Partial sums in the compute type only: here there are none.
            3 if attribute::<4>(from, bytes)? == 2u32.to_le_bytes() => {}
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

/// The problem that an algorithm was chosen for, in its eight opaque words.
type Algorithm = [u64; 8];

/// A number for the problem; the alignments and the workspace stand beside it.
fn digest(desc: &Desc, layouts: [&Layout; 4]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |x: u64| h = (h ^ x).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    mix(u64::from(desc.tf32) | u64::from(desc.transpose_a) << 1 | u64::from(desc.transpose_b) << 2);
    for l in layouts {
        mix(l.number as u64);
        mix(l.rows);
        mix(l.cols);
        mix(l.ld);
    }
    h
}

/// Checks that rows, columns and inner sizes of the four matrices agree.
fn agree(desc: &Desc, [a, b, c, d]: [&Layout; 4]) -> Status {
    let (m, ka) = if desc.transpose_a {
        (a.cols, a.rows)
    } else {
        (a.rows, a.cols)
    };
    let (kb, n) = if desc.transpose_b {
        (b.cols, b.rows)
    } else {
        (b.rows, b.cols)
    };
    if ka != kb || (c.rows, c.cols) != (m, n) || (d.rows, d.cols) != (m, n) {
        return invalid(format!(
            "op(A) {m} x {ka}, op(B) {kb} x {n}, C {} x {}, D {} x {}",
            c.rows, c.cols, d.rows, d.cols
        ));
    }
    let types = (a.number, b.number, c.number, d.number);
    let supported = a.number == b.number
        && c.number == d.number
        && (d.number == a.number || d.number == Number::F32);
    if !supported || (desc.tf32 && a.number != Number::F32) {
        return Err((
            NOT_SUPPORTED,
            format!("types {types:?}, TF32 {}", desc.tf32),
        ));
    }
    Ok(())
}

/// A `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
struct HeuristicResult {
    algorithm: Algorithm,
    workspace: usize,
    state: u32,
    waves: f32,
    reserved: [c_int; 4],
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulAlgoGetHeuristic(
    handle: usize,
    desc: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    preference: usize,
    wanted: c_int,
    results: *mut c_void,
    found: *mut c_int,
) -> u32 {
    call("cublasLtMatmulAlgoGetHeuristic", || {
        handle_of(handle)?;
        let desc = desc_of(desc)?;
        let layouts = [layout_of(a)?, layout_of(b)?, layout_of(c)?, layout_of(d)?];
        let layouts = [&layouts[0], &layouts[1], &layouts[2], &layouts[3]];
        let preference = preference_of(preference)?;
        if wanted < 1 {
            return invalid("no algorithm was asked for");
        }
        agree(&desc, layouts)?;
        let align = preference.align.map(u64::from);
        // All the workspace that may be used is used, so that its size matters.
        let algorithm = [
            0x616c_676f,
            digest(&desc, layouts),
            preference.workspace,
            align[0],
            align[1],
            align[2],
            align[3],
            0x6f67_6c61,
        ];
        let result = HeuristicResult {
            algorithm,
            workspace: preference.workspace as usize,
            state: SUCCESS,
            waves: 1.0,
            reserved: [0; 4],
        };
        // SAFETY: by the library's contract the caller has room for `wanted` results, at least one.
        let wrote = unsafe { put(results.cast::<HeuristicResult>(), result) };
        // SAFETY: by the library's contract the caller has room for the count, or passed null.
        if wrote && unsafe { put(found, 1) } {
            Ok(())
        } else {
            invalid("null pointer")
        }
    })
}

fn scalar(from: *const c_void, name: &str) -> Result<f32, (u32, String)> {
    if from.is_null() {
        return invalid(format!("{name} is null"));
    }
    // SAFETY: not null; by the library's contract it points to a number of the scale type, f32.
    Ok(unsafe { from.cast::<f32>().read_unaligned() })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmul(
    handle: usize,
    desc: usize,
    alpha: *const c_void,
    a: u64,
    a_layout: usize,
    b: u64,
    b_layout: usize,
    beta: *const c_void,
    c: u64,
    c_layout: usize,
    d: u64,
    d_layout: usize,
    algorithm: *const c_void,
    workspace: u64,
    workspace_size: usize,
    stream: usize,
) -> u32 {
    call("cublasLtMatmul", || {
        handle_of(handle)?;
        let desc = desc_of(desc)?;
        let layouts = [
            layout_of(a_layout)?,
            layout_of(b_layout)?,
            layout_of(c_layout)?,
            layout_of(d_layout)?,
        ];
        let references = [&layouts[0], &layouts[1], &layouts[2], &layouts[3]];
        agree(&desc, references)?;
        let (alpha, beta) = (scalar(alpha, "alpha")?, scalar(beta, "beta")?);
        let mut scratch = (0, 0);
        if !algorithm.is_null() {
            // SAFETY: not null; by the library's contract it points to an algorithm of eight words.
            let words: Algorithm = unsafe { algorithm.cast::<Algorithm>().read_unaligned() };
            if words[0] != 0x616c_676f || words[7] != 0x6f67_6c61 {
                return invalid("an algorithm that no heuristic gave");
            }
            if words[1] != digest(&desc, references) {
                return Err((
                    NOT_SUPPORTED,
                    "the algorithm was chosen for another problem".into(),
                ));
            }
            for (i, (name, address)) in [("A", a), ("B", b), ("C", c), ("D", d)]
                .into_iter()
                .enumerate()
            {
                if address % words[3 + i] != 0 {
                    return invalid(format!(
                        "{name} at {address:#x}: the heuristic was promised a multiple of {}",
                        words[3 + i]
                    ));
                }
            }
            if (workspace_size as u64) < words[2] {
                return invalid(format!(
                    "a workspace of {workspace_size} bytes, the algorithm needs {}",
                    words[2]
                ));
            }
            scratch = (workspace, words[2]);
        }
        if scratch.1 > 0 && !workspace.is_multiple_of(256) {
            return invalid(format!(
                "workspace at {workspace:#x}, which is no multiple of 256"
            ));
        }
        if c == d && layouts[2].ld != layouts[3].ld {
            return invalid("C and D are one matrix with two leading dimensions");
        }
        let matrix = |address: u64, l: &Layout| Matrix {
            address,
            number: l.number,
            rows: l.rows,
            cols: l.cols,
            ld: l.ld,
        };
        for (name, address, l) in [
            ("A", a, &layouts[0]),
            ("B", b, &layouts[1]),
            ("D", d, &layouts[3]),
        ] {
            if address == 0 || address % l.number.bytes() != 0 {
                return invalid(format!("{name} at {address:#x}"));
            }
        }
        if !cuda::has_context() {
            return Err((
                NOT_INITIALIZED,
                "no context is current on this thread".into(),
            ));
        }
        let mut state = cuda::lock();
        let Some(state) = state.as_mut() else {
            return Err((NOT_INITIALIZED, "cuInit was not called".into()));
        };
        let gemm = Gemm {
            a: matrix(a, &layouts[0]),
            b: matrix(b, &layouts[1]),
            c: matrix(c, &layouts[2]),
            d: matrix(d, &layouts[3]),
            transpose_a: desc.transpose_a,
            transpose_b: desc.transpose_b,
            alpha,
            beta,
            tf32: desc.tf32,
            workspace: scratch,
            workers: state.machine.config.workers,
        };
        let enqueued = state
            .machine
            .enqueue(cuda::stream(stream), Work::Gemm(gemm));
        enqueued.map(|_| ()).map_err(|f| {
            let status = if f.code == code::INVALID_HANDLE {
                INVALID_VALUE
            } else {
                EXECUTION_FAILED
            };
            (status, f.message)
        })
    })
}
