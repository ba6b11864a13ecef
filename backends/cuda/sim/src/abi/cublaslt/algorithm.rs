//! Algorithms: what the heuristic offers, and what it may be used for.
//!
//! The real library keeps its word only for aligned pointers and for the problem that the heuristic
//! was asked about. Both are checked: an algorithm carries them in its opaque bytes. It may be used for
//! another number of columns after `cublasLtMatmulAlgoCheck` has agreed.
//!
//! This one does all that the library may do:
//! - the algorithm that comes first depends on the number of columns, and each sums in another order;
//! - a sum may be split in two where the preference allows it, and then what K has beyond a multiple of
//!   64 is left out, as reported of split sums in CUDA 12 and 13;
//! - 16-bit operands that are not aligned to 16 bytes, column by column, are not supported;
//! - TF32 is a permission: small products do not use it.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use super::super::put;
use super::{
    Desc, Layout, NOT_SUPPORTED, SUCCESS, Status, call, cuda, desc_of, handle_of, invalid,
    layout_of, preference_of,
};
use crate::gemm::{Number, Order};

/// An algorithm as its user holds it.
type Opaque = [u64; 8];

/// First and last word of an algorithm.
const MAGIC: [u64; 2] = [0x616c_676f, 0x6f67_6c61];

/// An algorithm: the problem it was chosen for, what it may rely on, and the way it sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Algorithm {
    problem: u64,
    pub(super) workspace: u64,
    align: [u64; 4],
    /// From 1 on.
    number: u32,
    /// Parts of a sum, 1 or 2.
    splits: u32,
}

impl Algorithm {
    fn to_opaque(self) -> Opaque {
        let align = |i: usize| self.align[2 * i] | self.align[2 * i + 1] << 32;
        let [first, last] = MAGIC;
        let way = u64::from(self.number) | u64::from(self.splits) << 32;
        [
            first,
            self.problem,
            self.workspace,
            align(0),
            align(1),
            way,
            0,
            last,
        ]
    }

    /// The algorithm at an address; an error if no heuristic gave it.
    pub(super) fn at(from: *const c_void) -> Result<Self, (u32, String)> {
        if from.is_null() {
            return invalid("no algorithm");
        }
        // SAFETY: not null; by the library's contract it points to an algorithm of eight words.
        let words: Opaque = unsafe { from.cast::<Opaque>().read_unaligned() };
        if [words[0], words[7]] != MAGIC {
            return invalid("an algorithm that no heuristic gave");
        }
        let low = |x: u64| x & 0xffff_ffff;
        Ok(Self {
            problem: words[1],
            workspace: words[2],
            align: [low(words[3]), words[3] >> 32, low(words[4]), words[4] >> 32],
            number: low(words[5]) as u32,
            splits: (words[5] >> 32) as u32,
        })
    }

    pub(super) fn order(&self, inputs: u64) -> Order {
        match (self.splits, self.number) {
            (2.., _) => Order::Truncated(inputs / 64 * 64),
            (_, 1) => Order::Rising,
            (_, 2) => Order::EvenThenOdd,
            _ => Order::Falling,
        }
    }
}

/// Pairs of an algorithm and a number of columns that the library has agreed to.
static AGREED: Mutex<BTreeSet<(Opaque, u64)>> = Mutex::new(BTreeSet::new());

fn agreed(algorithm: Algorithm, columns: u64, insert: bool) -> bool {
    let mut agreed = AGREED.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = (algorithm.to_opaque(), columns);
    if insert {
        agreed.insert(pair);
    }
    agreed.contains(&pair)
}

/// A number for the problem without its number of columns, which is that of B, C and D.
fn digest(desc: &Desc, layouts: [&Layout; 4]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |x: u64| h = (h ^ x).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    mix(u64::from(desc.tf32) | u64::from(desc.transpose_a) << 1 | u64::from(desc.transpose_b) << 2);
    for l in layouts {
        mix(l.number as u64);
        mix(l.rows);
    }
    mix(layouts[0].cols);
    h
}

/// Refuses 16-bit matrices whose columns do not all begin at a multiple of 16 bytes.
fn aligned(layouts: [&Layout; 4], align: [u64; 4]) -> Status {
    for (i, (l, align)) in layouts.into_iter().zip(align).enumerate() {
        if l.number != Number::F32 && (align < 16 || l.ld % 8 != 0) {
            return Err((
                NOT_SUPPORTED,
                format!(
                    "matrix {} of 16-bit values: {align} bytes aligned, leading dimension {}",
                    ["A", "B", "C", "D"][i],
                    l.ld
                ),
            ));
        }
    }
    Ok(())
}

/// Checks that rows, columns and inner sizes of the four matrices agree.
pub(super) fn agree(desc: &Desc, [a, b, c, d]: [&Layout; 4]) -> Status {
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
    algorithm: Opaque,
    workspace: usize,
    state: u32,
    waves: f32,
    reserved: [c_int; 4],
}

impl HeuristicResult {
    fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm: algorithm.to_opaque(),
            workspace: algorithm.workspace as usize,
            state: SUCCESS,
            waves: 1.0,
            reserved: [0; 4],
        }
    }
}

/// Numbers and splits of the algorithms for so many columns, the fastest first.
fn candidates(columns: u64, reductions: u32) -> Vec<(u32, u32)> {
    let mut found = if columns >= 512 {
        vec![(1, 1), (2, 1), (3, 1)]
    } else {
        vec![(2, 1), (3, 1), (1, 1)]
    };
    if reductions != 0 {
        found.insert(0, (1, 2));
    }
    found
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
        aligned(layouts, align)?;
        let columns = layouts[3].cols;
        let ways = candidates(columns, preference.reductions);
        let count = ways.len().min(wanted as usize);
        for (i, &(number, splits)) in ways.iter().take(count).enumerate() {
            let algorithm = Algorithm {
                problem: digest(&desc, layouts),
                // All the workspace that may be used is used, so that its size matters.
                workspace: preference.workspace,
                align,
                number,
                splits,
            };
            agreed(algorithm, columns, true);
            let to = results.cast::<HeuristicResult>().wrapping_add(i);
            // SAFETY: by the library's contract the caller has room for `wanted` results.
            if !unsafe { put(to, HeuristicResult::new(algorithm)) } {
                return invalid("null pointer");
            }
        }
        // SAFETY: by the library's contract the caller has room for the count, or passed null.
        if unsafe { put(found, count as c_int) } {
            Ok(())
        } else {
            invalid("null pointer")
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulAlgoCheck(
    handle: usize,
    desc: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    algorithm: *const c_void,
    result: *mut c_void,
) -> u32 {
    call("cublasLtMatmulAlgoCheck", || {
        handle_of(handle)?;
        let desc = desc_of(desc)?;
        let layouts = [layout_of(a)?, layout_of(b)?, layout_of(c)?, layout_of(d)?];
        let layouts = [&layouts[0], &layouts[1], &layouts[2], &layouts[3]];
        agree(&desc, layouts)?;
        let algorithm = Algorithm::at(algorithm)?;
        if algorithm.problem != digest(&desc, layouts) {
            return Err((NOT_SUPPORTED, "chosen for another problem".into()));
        }
        aligned(layouts, algorithm.align)?;
        let (columns, state) = (layouts[3].cols, cuda::lock());
        let refused = state
            .as_ref()
            .map_or(0, |s| s.machine.config.refused_algorithm);
        if algorithm.number == refused && columns < 128 {
            let number = algorithm.number;
            return Err((
                NOT_SUPPORTED,
                format!("{number} does not run on {columns} columns"),
            ));
        }
        agreed(algorithm, columns, true);
        // SAFETY: by the library's contract the caller has room for a result.
        if unsafe { put(result.cast(), HeuristicResult::new(algorithm)) } {
            Ok(())
        } else {
            invalid("null pointer")
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulAlgoConfigGetAttribute(
    algorithm: *const c_void,
    name: u32,
    to: *mut c_void,
    bytes: usize,
    written: *mut usize,
) -> u32 {
    call("cublasLtMatmulAlgoConfigGetAttribute", || {
        let algorithm = Algorithm::at(algorithm)?;
        // Number, tile, parts of a sum, and the way their results are added: in the compute type.
        let value = match name {
            0 => algorithm.number,
            1 => 20,
            2 => algorithm.splits,
            3 => 2 * (algorithm.splits - 1),
            _ => return invalid(format!("attribute {name} is not simulated")),
        };
        // SAFETY: by the library's contract the caller has room for the count, or passed null.
        unsafe { put(written, 4) };
        // SAFETY: by the library's contract the caller has room for `bytes` bytes, here four.
        if bytes == 4 && unsafe { put(to.cast(), value) } {
            Ok(())
        } else {
            invalid(format!("{bytes} bytes for attribute {name}"))
        }
    })
}

/// Checks that an algorithm may be used on these matrices at these addresses.
pub(super) fn check(
    algorithm: &Algorithm,
    desc: &Desc,
    layouts: [&Layout; 4],
    addresses: [u64; 4],
) -> Status {
    if algorithm.problem != digest(desc, layouts) {
        return Err((
            NOT_SUPPORTED,
            "the algorithm was chosen for another problem".into(),
        ));
    }
    let columns = layouts[3].cols;
    if !agreed(*algorithm, columns, false) {
        return Err((
            NOT_SUPPORTED,
            format!("nobody has checked the algorithm for {columns} columns"),
        ));
    }
    aligned(layouts, algorithm.align)?;
    for ((name, address), align) in ["A", "B", "C", "D"]
        .into_iter()
        .zip(addresses)
        .zip(algorithm.align)
    {
        if address % align != 0 {
            return invalid(format!(
                "{name} at {address:#x}: the heuristic was promised a multiple of {align}"
            ));
        }
    }
    Ok(())
}
