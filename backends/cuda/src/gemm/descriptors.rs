//! Descriptors of cuBLASLt: of a product, a matrix, and what an algorithm may rely on.

use std::ffi::c_void;

use cudarc::cublaslt::result;
use cudarc::cublaslt::sys;

use super::{ALIGNMENT, WORKSPACE};
use crate::error::CudaError;
use crate::format::Format;

/// The descriptor of a product: the first operand transposed, sums in f32.
pub(super) struct Operation(pub(super) sys::cublasLtMatmulDesc_t);

impl Operation {
    pub(super) fn new(tf32: bool) -> Result<Self, CudaError> {
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
pub(super) struct Layout(pub(super) sys::cublasLtMatrixLayout_t);

impl Layout {
    pub(super) fn new(
        format: Format,
        rows: u32,
        cols: u32,
        stride: u32,
    ) -> Result<Self, CudaError> {
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
pub(super) struct Preference(pub(super) sys::cublasLtMatmulPreference_t);

impl Preference {
    pub(super) fn new() -> Result<Self, CudaError> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let this = Self(
            result::create_matmul_pref().map_err(CudaError::cublas("describing preferences"))?,
        );
        this.set(
            Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            &(WORKSPACE as u64),
        )?;
        // No sum in parts: their order would depend on the number of rows, and versions of CUDA 12 and 13
        // are reported to leave out the last of them where they do not divide the inputs.
        let scheme = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_NONE as u32;
        this.set(
            Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            &scheme,
        )?;
        // The library assumes 256 bytes unless it is told.
        for attribute in [
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ] {
            this.set(attribute, &ALIGNMENT)?;
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
