//! Products by cuBLASLt.
//!
//! The library is column-major: to it, a row-major matrix is its transpose. `y = x·Wᵀ` with row-major
//! `x`, `W` and `y` is therefore `Y = opT(W)·X`, with `W` stored inputs × outputs, `X` inputs × rows
//! and `Y` outputs × rows.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::result;
use cudarc::cublaslt::sys;

use crate::device::{Device, Memory};
use crate::error::CudaError;
use crate::format::Format;

/// Bytes of scratch memory, as NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Number of plans kept. A run needs a few per batch size, so this many is a bound, not a limit.
const PLANS: usize = 4096;

/// The properties of a product that an algorithm is chosen by.
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
    plans: Mutex<HashMap<Key, Arc<Plan>>>,
}

/// A shape and the alignments of weight, activations and result.
type Key = (Shape, [u32; 3]);

// SAFETY: the handle of cuBLASLt may be used from any thread, from several at once.
unsafe impl Send for Gemm {}
// SAFETY: as above; the workspace is used in the order of one stream.
unsafe impl Sync for Gemm {}

impl fmt::Debug for Gemm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gemm")
            .field("tf32", &self.tf32)
            .finish_non_exhaustive()
    }
}

impl Gemm {
    /// True if cuBLASLt is installed. If not, nothing else here may be called.
    pub(crate) fn is_present() -> bool {
        // SAFETY: loading the vendor's library runs its initialisers, which is what it is for.
        unsafe { sys::is_culib_present() }
    }

    /// Opens the library for a device that is bound to this thread. If `tf32`, products round operands
    /// in f32 to 11 significant bits.
    pub(crate) fn new(device: &Arc<Device>, tf32: bool) -> Result<Self, CudaError> {
        Ok(Self {
            workspace: device.allocate(WORKSPACE)?,
            device: Arc::clone(device),
            handle: result::create_handle().map_err(CudaError::cublas("starting"))?,
            tf32,
            plans: Mutex::default(),
        })
    }

    /// `y = x·Wᵀ`.
    ///
    /// # Safety
    /// At these addresses are matrices of the shape, alive now.
    pub(crate) unsafe fn multiply(&self, shape: Shape, at: Places) -> Result<(), CudaError> {
        let plan = self.plan(shape, at)?;
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
                self.device.stream().cast(),
            )
        }
        .map_err(CudaError::cublas("a product"))
    }

    /// The plan for a shape and the alignments of these addresses.
    fn plan(&self, shape: Shape, at: Places) -> Result<Arc<Plan>, CudaError> {
        // Algorithms that move 16 bytes at a time need that alignment, and the library assumes 256
        // bytes unless it is told.
        let alignments =
            [at.weight, at.x, at.y].map(|address| 1u32 << address.trailing_zeros().min(8));
        let key = (shape, alignments);
        // A panic on another thread leaves the map whole, so its lock can be taken anyway.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&key) {
            return Ok(Arc::clone(plan));
        }
        if plans.len() >= PLANS {
            plans.clear();
        }
        let plan = Arc::new(Plan::new(self.handle, shape, alignments, self.tf32)?);
        plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }
}

impl Drop for Gemm {
    fn drop(&mut self) {
        let _ = self.device.bind();
        // SAFETY: created once, destroyed here only. There is nobody to tell of an error.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// Descriptors of a product and the algorithm chosen for it.
struct Plan {
    operation: Operation,
    weight: Layout,
    x: Layout,
    y: Layout,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Plan {
    fn new(
        handle: sys::cublasLtHandle_t,
        shape: Shape,
        alignments: [u32; 3],
        tf32: bool,
    ) -> Result<Self, CudaError> {
        let Shape {
            rows,
            inputs,
            outputs,
            stride,
            format,
            result: to,
        } = shape;
        let operation = Operation::new(tf32 && format == Format::F32)?;
        let weight = Layout::new(format, inputs, outputs, inputs)?;
        let x = Layout::new(format, inputs, rows, stride)?;
        let y = Layout::new(to, outputs, rows, outputs)?;
        let preference = Preference::new(alignments)?;
        // SAFETY: the descriptors are alive.
        let found = unsafe {
            result::get_matmul_algo_heuristic(
                handle,
                operation.0,
                weight.0,
                x.0,
                y.0,
                y.0,
                preference.0,
            )
        }
        .map_err(CudaError::cublas("choosing an algorithm"))?;
        Ok(Self {
            operation,
            weight,
            x,
            y,
            algorithm: found.algo,
        })
    }
}

// SAFETY: descriptors and algorithm are plain memory that a product only reads.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

/// The descriptor of a product: the first operand transposed, sums in f32.
struct Operation(sys::cublasLtMatmulDesc_t);

impl Operation {
    fn new(tf32: bool) -> Result<Self, CudaError> {
        let compute = if tf32 {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
        } else {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
        };
        let this = Self(
            result::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F)
                .map_err(CudaError::cublas("describing a product"))?,
        );
        // `cublasOperation_t::CUBLAS_OP_T` of cublas_api.h, which these bindings leave out.
        let transpose = 1i32;
        // SAFETY: the descriptor is alive and the attribute an i32.
        unsafe {
            result::set_matmul_desc_attribute(
                this.0,
                sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transpose).cast::<c_void>(),
                size_of_val(&transpose),
            )
        }
        .map_err(CudaError::cublas("describing a product"))?;
        Ok(this)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: created once, destroyed here only.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// The descriptor of a column-major matrix.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(format: Format, rows: u32, cols: u32, stride: u32) -> Result<Self, CudaError> {
        result::create_matrix_layout(format.cuda(), rows.into(), cols.into(), stride.into())
            .map(Self)
            .map_err(CudaError::cublas("describing a matrix"))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: created once, destroyed here only.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// The descriptor of the memory and the alignments that an algorithm may rely on.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new([weight, x, y]: [u32; 3]) -> Result<Self, CudaError> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let this = Self(
            result::create_matmul_pref().map_err(CudaError::cublas("describing preferences"))?,
        );
        this.set(
            Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &(WORKSPACE as u64),
        )?;
        // Partial sums stay in f32 in the workspace: in the 16 bits of the result they would be
        // rounded.
        let scheme = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        this.set(
            Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            &scheme,
        )?;
        for (attribute, bytes) in [
            (
                Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                weight,
            ),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, x),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, y),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y),
        ] {
            this.set(attribute, &bytes)?;
        }
        Ok(this)
    }

    fn set<T>(
        &self,
        attribute: sys::cublasLtMatmulPreferenceAttributes_t,
        value: &T,
    ) -> Result<(), CudaError> {
        let pointer = std::ptr::from_ref(value).cast::<c_void>();
        // SAFETY: the descriptor is alive, and `value` as long as stated.
        unsafe { result::set_matmul_pref_attribute(self.0, attribute, pointer, size_of::<T>()) }
            .map_err(CudaError::cublas("describing preferences"))
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: created once, destroyed here only.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
