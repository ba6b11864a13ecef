//! Products by cuBLASLt.
//!
//! The library is column-major: to it, a row-major matrix is its transpose. `y = x·Wᵀ` with row-major
//! `x`, `W` and `y` is therefore `Y = opT(W)·X`, with `W` stored inputs × outputs, `X` inputs × rows
//! and `Y` outputs × rows.
//!
//! # One algorithm per weight
//! In [`Mode::Invariant`] the algorithm is chosen once for inputs and outputs, at [`USUAL_ROWS`] rows, and
//! used for every number of rows: each element is then one sum in one order, whatever else is in the batch.
//! In [`Mode::Fast`] it is chosen for each number of rows. In both, rows come in multiples of [`ROWS`], inputs
//! and outputs in multiples of 16 bytes, and every matrix begins at one, so that no product needs an
//! algorithm for odd sizes; and no sum is cut in parts.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::result;
use cudarc::cublaslt::sys::{self, cublasLtMatmulAlgoConfigAttributes_t as Attribute};

use crate::Mode;
use crate::device::Device;
use crate::error::CudaError;
use crate::format::Format;
use crate::memory::Memory;

mod descriptors;

use descriptors::{Layout, Operation, Preference};

/// Bytes of scratch memory, as NVIDIA recommends for Hopper. `cli/src/engine.rs` counts them against the
/// memory limit.
const WORKSPACE: usize = 32 << 20;
/// Number of plans kept. A run needs one per weight and number of rows, so this is a bound, not a limit.
const PLANS: usize = 4096;
/// The number of rows is a multiple of this one.
pub(crate) const ROWS: u32 = 64;
/// The number of rows that algorithms are chosen for: that of a batch.
const USUAL_ROWS: u32 = 2048;
/// Number of algorithms that the library is asked for.
const CANDIDATES: usize = 16;
/// Every matrix, and every row of one, begins at a multiple of this many bytes.
pub(crate) const ALIGNMENT: u32 = 16;

/// Sizes and formats of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) rows: u32,
    pub(crate) inputs: u32,
    pub(crate) outputs: u32,
    /// Distance between two rows of the left operand.
    pub(crate) stride: u32,
    /// Format of both operands.
    pub(crate) format: Format,
    /// Format of the result: that of the operands, or f32.
    pub(crate) result: Format,
}

/// Addresses of the operands and the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) x: u64,
    pub(crate) weight: u64,
    pub(crate) y: u64,
}

/// The library, its scratch memory and the algorithms chosen so far.
pub(crate) struct Gemm {
    device: Arc<Device>,
    handle: sys::cublasLtHandle_t,
    workspace: Memory,
    tf32: bool,
    mode: Mode,
    chosen: Mutex<Chosen>,
}

#[derive(Default)]
struct Chosen {
    algorithms: HashMap<Shape, sys::cublasLtMatmulAlgo_t>,
    plans: HashMap<Shape, Arc<Plan>>,
}

// SAFETY: the handle of cuBLASLt may be used from any thread, from several at once.
unsafe impl Send for Gemm {}
// SAFETY: as above; the workspace is used in the order of one stream.
unsafe impl Sync for Gemm {}

impl fmt::Debug for Gemm {
    /// With the algorithms chosen so far.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<String> = chosen
            .algorithms
            .iter()
            .map(|(shape, algorithm)| {
                let [number, tile, splits] = [
                    Attribute::CUBLASLT_ALGO_CONFIG_ID,
                    Attribute::CUBLASLT_ALGO_CONFIG_TILE_ID,
                    Attribute::CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                ]
                .map(|name| setting(algorithm, name).map_or(-1, i64::from));
                format!(
                    "{} → {} in {:?} to {:?} for {} rows: algorithm {number}, tile {tile}, {splits} part(s)",
                    shape.inputs, shape.outputs, shape.format, shape.result, shape.rows
                )
            })
            .collect();
        lines.sort();
        f.debug_struct("Gemm")
            .field("tf32", &self.tf32)
            .field("mode", &self.mode)
            .field("algorithms", &lines)
            .finish_non_exhaustive()
    }
}

impl Gemm {
    /// Opens the library for a device that is bound to this thread. If `tf32`, products round operands
    /// in f32 to 11 significant bits.
    pub(crate) fn new(device: &Arc<Device>, tf32: bool) -> Result<Self, CudaError> {
        crate::library::find()?;
        Ok(Self {
            workspace: device.allocate(WORKSPACE)?,
            device: Arc::clone(device),
            handle: result::create_handle().map_err(CudaError::cublas("starting"))?,
            tf32,
            mode: Mode::default(),
            chosen: Mutex::default(),
        })
    }

    /// Changes the mode, and forgets the algorithms chosen in another.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.chosen = Mutex::default();
    }

    /// `y = x·Wᵀ`.
    ///
    /// # Safety
    /// At these addresses are matrices of the shape, alive now, and aligned as this module says.
    pub(crate) unsafe fn multiply(&self, shape: Shape, at: Places) -> Result<(), CudaError> {
        let plan = self.plan(shape)?;
        let (one, zero) = (1.0f32, 0.0f32);
        // SAFETY: the plan's descriptors are alive and describe the matrices that the caller
        // vouches for; the scale factors are f32 on the host, as the descriptor says; the workspace
        // has the size stated and is used in the order of the stream.
        unsafe {
            result::matmul(
                self.handle,
                plan.operation.0,
                (&raw const one).cast::<c_void>(),
                (&raw const zero).cast::<c_void>(),
                at.weight as *const c_void,
                plan.weight.0,
                at.x as *const c_void,
                plan.x.0,
                at.y as *const c_void,
                plan.y.0,
                at.y as *mut c_void,
                plan.y.0,
                &raw const plan.algorithm,
                self.workspace.pointer() as *mut c_void,
                WORKSPACE,
                self.device.stream.cast(),
            )
        }
        .map_err(CudaError::cublas("a product"))
    }

    /// The plan for a shape, with the algorithm that the mode has for it.
    fn plan(&self, shape: Shape) -> Result<Arc<Plan>, CudaError> {
        // A panic on another thread leaves the maps whole, so their lock can be taken anyway.
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = chosen.plans.get(&shape) {
            return Ok(Arc::clone(plan));
        }
        let usual = match self.mode {
            Mode::Invariant => Shape {
                rows: USUAL_ROWS,
                stride: shape.inputs,
                ..shape
            },
            Mode::Fast => shape,
        };
        let algorithm = match chosen.algorithms.get(&usual) {
            Some(algorithm) => *algorithm,
            None => {
                let algorithm = self.choose(usual)?;
                chosen.algorithms.insert(usual, algorithm);
                algorithm
            }
        };
        let mut plan = Plan::new(shape, self.tf32)?;
        if !plan.takes(self.handle, &algorithm) {
            return Err(CudaError::Cublas {
                call: "checking an algorithm",
                message: format!("that of {usual:?} does not run for {shape:?}"),
            });
        }
        plan.algorithm = algorithm;
        if chosen.plans.len() >= PLANS {
            chosen.plans.clear();
        }
        let plan = Arc::new(plan);
        chosen.plans.insert(shape, Arc::clone(&plan));
        Ok(plan)
    }

    /// The first algorithm for a shape that, if it is to serve all batches, runs for the fewest rows as well.
    fn choose(&self, usual: Shape) -> Result<sys::cublasLtMatmulAlgo_t, CudaError> {
        let mut plans = vec![Plan::new(usual, self.tf32)?];
        if self.mode == Mode::Invariant {
            let fewest = Shape {
                rows: ROWS,
                ..usual
            };
            plans.push(Plan::new(fewest, self.tf32)?);
        }
        let candidates = plans[0].candidates(self.handle)?;
        let count = candidates.len();
        candidates
            .into_iter()
            .find(|algorithm| plans.iter().all(|plan| plan.takes(self.handle, algorithm)))
            .ok_or_else(|| CudaError::Cublas {
                call: "choosing an algorithm",
                message: format!("none of {count} runs for {usual:?} in mode {:?}", self.mode),
            })
    }
}

impl Drop for Gemm {
    fn drop(&mut self) {
        let _ = self.device.bind();
        // SAFETY: created once, destroyed here only. There is nobody to tell of an error.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// A setting of an algorithm; `None` if it has no such setting.
fn setting(algorithm: &sys::cublasLtMatmulAlgo_t, name: Attribute) -> Option<i32> {
    let (mut value, mut written) = (0i32, 0usize);
    // SAFETY: the algorithm is the library's own, and these settings are of 32 bits.
    let status = unsafe {
        sys::cublasLtMatmulAlgoConfigGetAttribute(
            algorithm,
            name,
            (&raw mut value).cast::<c_void>(),
            size_of_val(&value),
            &raw mut written,
        )
    };
    status.result().is_ok().then_some(value)
}

/// Descriptors of a product and the algorithm chosen for it.
struct Plan {
    operation: Operation,
    weight: Layout,
    x: Layout,
    y: Layout,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// An answer that the library has not filled in yet.
const NOTHING: sys::cublasLtMatmulHeuristicResult_t = sys::cublasLtMatmulHeuristicResult_t {
    algo: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
    workspaceSize: 0,
    state: sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED,
    wavesCount: 0.0,
    reserved: [0; 4],
};

impl Plan {
    /// The descriptors, without an algorithm.
    fn new(shape: Shape, tf32: bool) -> Result<Self, CudaError> {
        let Shape {
            rows,
            inputs,
            outputs,
            stride,
            format,
            result: to,
        } = shape;
        Ok(Self {
            operation: Operation::new(tf32 && format == Format::F32)?,
            weight: Layout::new(format, inputs, outputs, inputs)?,
            x: Layout::new(format, inputs, rows, stride)?,
            y: Layout::new(to, outputs, rows, outputs)?,
            algorithm: NOTHING.algo,
        })
    }

    /// The library's algorithms for this product, the fastest first.
    fn candidates(
        &self,
        handle: sys::cublasLtHandle_t,
    ) -> Result<Vec<sys::cublasLtMatmulAlgo_t>, CudaError> {
        let preference = Preference::new()?;
        let (mut found, mut count) = ([NOTHING; CANDIDATES], 0);
        // SAFETY: the descriptors are alive, and there is room for as many answers as stated.
        unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                handle,
                self.operation.0,
                self.weight.0,
                self.x.0,
                self.y.0,
                self.y.0,
                preference.0,
                CANDIDATES as i32,
                found.as_mut_ptr(),
                &raw mut count,
            )
        }
        .result()
        .map_err(CudaError::cublas("choosing an algorithm"))?;
        let count = usize::try_from(count).unwrap_or(0).min(CANDIDATES);
        let good = found[..count].iter();
        Ok(good
            .filter(|answer| answer.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS)
            .map(|answer| answer.algo)
            .collect())
    }

    /// True if the library agrees to use the algorithm for this product.
    fn takes(&self, handle: sys::cublasLtHandle_t, algorithm: &sys::cublasLtMatmulAlgo_t) -> bool {
        let mut answer = NOTHING;
        // SAFETY: the descriptors are alive, the algorithm is the library's own, and there is room
        // for one answer.
        let status = unsafe {
            sys::cublasLtMatmulAlgoCheck(
                handle,
                self.operation.0,
                self.weight.0,
                self.x.0,
                self.y.0,
                self.y.0,
                algorithm,
                &raw mut answer,
            )
        };
        status.result().is_ok() && answer.workspaceSize <= WORKSPACE
    }
}

// SAFETY: descriptors and algorithm are plain memory that a product only reads.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}
