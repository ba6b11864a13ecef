//! Products.

use std::ffi::c_void;

use super::algorithm::{Algorithm, agree, check};
use super::{
    INVALID_VALUE, Layout, NOT_INITIALIZED, call, cuda, desc_of, handle_of, invalid, layout_of,
};
use crate::device::{Work, code};
use crate::gemm::{Gemm, Matrix, Order};

const EXECUTION_FAILED: u32 = 13;

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
        let inputs = if desc.transpose_a {
            layouts[0].rows
        } else {
            layouts[0].cols
        };
        let (mut scratch, mut order) = ((0, 0), Order::Rising);
        if !algorithm.is_null() {
            let algorithm = Algorithm::at(algorithm)?;
            check(&algorithm, &desc, references, [a, b, c, d])?;
            if (workspace_size as u64) < algorithm.workspace {
                return invalid(format!(
                    "a workspace of {workspace_size} bytes, the algorithm needs {}",
                    algorithm.workspace
                ));
            }
            scratch = (workspace, algorithm.workspace);
            order = algorithm.order(inputs);
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
            // Tensor cores pay for products of some size only.
            tf32: desc.tf32 && layouts[3].rows.min(inputs) >= 64,
            order,
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
