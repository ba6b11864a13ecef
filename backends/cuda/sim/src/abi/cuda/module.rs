//! Modules, their kernels, and launches.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use super::{Function, State, context, host, null, out, stream_id, text};
use crate::device::{Failure, Shape, code, failure};

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

/// The option that takes the place of the log of errors, and that of its size.
const ERROR_LOG: c_int = 5;
const ERROR_LOG_BYTES: c_int = 6;

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadDataEx(
    to: *mut usize,
    image: *const c_void,
    count: c_uint,
    options: *const c_int,
    values: *const *mut c_void,
) -> u32 {
    context("cuModuleLoadDataEx", |s| {
        let (mut log, mut room) = (std::ptr::null_mut(), 0);
        for i in 0..count as usize {
            if options.is_null() || values.is_null() {
                return null();
            }
            // SAFETY: by the driver's contract both arrays have `count` entries.
            let option = unsafe { options.wrapping_add(i).read() };
            // SAFETY: as above.
            let value = unsafe { values.wrapping_add(i).read() };
            match option {
                ERROR_LOG => log = value,
                // A number in the place of a pointer.
                ERROR_LOG_BYTES => room = value as usize,
                _ => {
                    return failure(
                        code::NOT_SUPPORTED,
                        format!("option {option} is not simulated"),
                    );
                }
            }
        }
        let refused = s.machine.config.compiler_error.clone();
        let source = text(image.cast())?;
        let done = if refused.is_empty() {
            load_module(s, to, &source)
        } else {
            failure(code::INVALID_PTX, "the compiler refuses the text")
        };
        if done.is_err() && room > 0 {
            let mut words = refused.into_bytes();
            words.truncate(room - 1);
            words.push(0);
            host(log, room)?.copy_out(&words);
        }
        done
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
