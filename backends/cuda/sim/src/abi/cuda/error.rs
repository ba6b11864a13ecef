//! Names and words of errors.

use std::ffi::{CStr, c_char};
use std::sync::PoisonError;

use super::{LAST, out};
use crate::device::{code, failure};

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
