//! Pools, device and page-locked memory, copies.

use std::ffi::{c_int, c_uint, c_void};

use super::{State, context, driver, host, null, out, stream_id, valid_device};
use crate::device::{DEFAULT_STREAM, Failure, Work, code, failure};

/// The pool of the device that everybody in the process shares.
const DEFAULT_POOL: usize = 0x9001;

/// A call that needs memory pools.
fn pooled(name: &str, f: impl FnOnce(&mut State) -> Result<(), Failure>) -> u32 {
    driver(name, |s| {
        if s.machine.config.pools {
            f(s)
        } else {
            failure(code::NOT_SUPPORTED, "the device has no memory pools")
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetDefaultMemPool(to: *mut usize, device: c_int) -> u32 {
    pooled("cuDeviceGetDefaultMemPool", |s| {
        valid_device(s, device)?;
        out(to, DEFAULT_POOL)
    })
}

/// The part of `CUmemPoolProps` that is looked at: pinned memory, no export, on a device.
#[repr(C)]
struct PoolProperties {
    kind: c_int,
    handles: c_int,
    place: c_int,
    device: c_int,
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolCreate(to: *mut usize, properties: *const c_void) -> u32 {
    pooled("cuMemPoolCreate", |s| {
        if properties.is_null() {
            return null();
        }
        // SAFETY: not null; by the driver's contract it points to properties, which begin so.
        let wanted = unsafe { properties.cast::<PoolProperties>().read() };
        valid_device(s, wanted.device)?;
        if (wanted.kind, wanted.handles, wanted.place) != (1, 0, 1) {
            return failure(code::INVALID_VALUE, "kind, handle or place of the pool");
        }
        let id = s.machine.fresh_id() as usize;
        s.pools.insert(id);
        out(to, id)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolDestroy(pool: usize) -> u32 {
    pooled("cuMemPoolDestroy", |s| {
        if s.pools.remove(&pool) {
            Ok(())
        } else {
            failure(code::INVALID_VALUE, "no such pool")
        }
    })
}

/// A pool keeps what is freed; here nothing is kept, so any threshold is as good.
#[unsafe(no_mangle)]
extern "C" fn cuMemPoolSetAttribute(pool: usize, attribute: c_uint, value: *const c_void) -> u32 {
    pooled("cuMemPoolSetAttribute", |s| {
        if pool == DEFAULT_POOL {
            return failure(
                code::INVALID_VALUE,
                "the default pool belongs to the whole process",
            );
        }
        if !s.pools.contains(&pool) || value.is_null() || !(1..=8).contains(&attribute) {
            return failure(code::INVALID_VALUE, "pool, attribute or value");
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemPoolTrimTo(pool: usize, _keep: usize) -> u32 {
    pooled("cuMemPoolTrimTo", |s| {
        if pool == DEFAULT_POOL || s.pools.contains(&pool) {
            Ok(())
        } else {
            failure(code::INVALID_VALUE, "no such pool")
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocFromPoolAsync(
    to: *mut u64,
    bytes: usize,
    pool: usize,
    stream: usize,
) -> u32 {
    let known = pooled("cuMemAllocFromPoolAsync", |s| {
        if !s.pools.contains(&pool) && pool != DEFAULT_POOL {
            return failure(code::INVALID_VALUE, "no such pool");
        }
        s.machine.has_stream(stream_id(stream))
    });
    if known != 0 {
        known
    } else {
        allocate("cuMemAllocFromPoolAsync", to, bytes)
    }
}

fn allocate(name: &str, to: *mut u64, bytes: usize) -> u32 {
    context(name, |s| {
        if bytes == 0 {
            return failure(code::INVALID_VALUE, "0 bytes");
        }
        let base = s.machine.allocate(bytes as u64)?;
        out(to, base)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(to: *mut u64, bytes: usize) -> u32 {
    allocate("cuMemAlloc", to, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(to: *mut u64, bytes: usize, stream: usize) -> u32 {
    let known = pooled("cuMemAllocAsync", |s| {
        s.machine.has_stream(stream_id(stream))
    });
    if known != 0 {
        known
    } else {
        allocate("cuMemAllocAsync", to, bytes)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(base: u64) -> u32 {
    context("cuMemFree", |s| {
        s.machine.synchronize_all()?;
        if base == 0 || s.machine.heap.free(base) {
            return Ok(());
        }
        failure(
            code::INVALID_VALUE,
            format!("{base:#x} is no live allocation"),
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(base: u64, stream: usize) -> u32 {
    pooled("cuMemFreeAsync", |s| {
        if !s.machine.heap.contains(base) {
            return failure(
                code::INVALID_VALUE,
                format!("{base:#x} is no live allocation"),
            );
        }
        s.machine
            .enqueue(stream_id(stream), Work::Free { base })
            .map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> u32 {
    context("cuMemGetInfo", |s| {
        let heap = &s.machine.heap;
        out(free, (heap.capacity - heap.used) as usize)?;
        out(total, heap.capacity as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(to: *mut usize, bytes: usize, _flags: c_uint) -> u32 {
    context("cuMemHostAlloc", |s| {
        let mut memory = vec![u64::MAX; bytes.div_ceil(8).max(1)].into_boxed_slice();
        let at = memory.as_mut_ptr() as usize;
        s.pinned.insert(at, memory);
        out(to, at)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(at: usize) -> u32 {
    context("cuMemFreeHost", |s| {
        s.machine.synchronize_all()?;
        match s.pinned.remove(&at) {
            Some(_) => Ok(()),
            None => failure(code::INVALID_VALUE, "no such page-locked memory"),
        }
    })
}

fn is_pinned(s: &State, at: usize, bytes: usize) -> bool {
    s.pinned
        .range(..=at)
        .next_back()
        .is_some_and(|(base, m)| at + bytes <= base + m.len() * 8)
}

fn to_device(
    s: &mut State,
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: u64,
    waited: bool,
) -> Result<(), Failure> {
    if bytes == 0 {
        return Ok(());
    }
    let host = host(from.cast_mut(), bytes)?;
    // The driver does not promise to have read pageable memory when the call returns. Page-locked memory
    // is read when the copy runs.
    if !is_pinned(s, from as usize, bytes) && !waited {
        return failure(
            code::INVALID_VALUE,
            "an asynchronous copy from pageable memory: nothing says when it has been read",
        );
    }
    let run = Box::new(move |m: &crate::memory::Snapshot| m.write(to, &host.copy_in()));
    s.machine
        .enqueue(
            stream,
            Work::Host {
                what: "copy from the host",
                run,
            },
        )
        .map(|_| ())
}

fn to_host(
    s: &mut State,
    to: *mut c_void,
    from: u64,
    bytes: usize,
    stream: u64,
) -> Result<(), Failure> {
    if bytes == 0 {
        return Ok(());
    }
    let host = host(to, bytes)?;
    // Until somebody waits, the destination holds not-a-number.
    host.copy_out(&vec![0xff; bytes]);
    let run = Box::new(move |m: &crate::memory::Snapshot| {
        let mut data = vec![0; bytes];
        m.read(from, &mut data)?;
        host.copy_out(&data);
        Ok(())
    });
    s.machine
        .enqueue(
            stream,
            Work::Host {
                what: "copy to the host",
                run,
            },
        )
        .map(|_| ())
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    stream: usize,
) -> u32 {
    context("cuMemcpyHtoDAsync", |s| {
        to_device(s, to, from, bytes, stream_id(stream), false)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> u32 {
    context("cuMemcpyHtoD", |s| {
        to_device(s, to, from, bytes, DEFAULT_STREAM, true)?;
        s.machine.synchronize(DEFAULT_STREAM)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: usize) -> u32 {
    context("cuMemcpyDtoHAsync", |s| {
        to_host(s, to, from, bytes, stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> u32 {
    context("cuMemcpyDtoH", |s| {
        to_host(s, to, from, bytes, DEFAULT_STREAM)?;
        s.machine.synchronize(DEFAULT_STREAM)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: usize) -> u32 {
    context("cuMemcpyDtoDAsync", |s| {
        s.machine
            .enqueue(
                stream_id(stream),
                Work::Copy {
                    to,
                    from,
                    bytes: bytes as u64,
                },
            )
            .map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> u32 {
    cuMemcpyDtoDAsync_v2(to, from, bytes, 0)
}

fn fill(name: &str, to: u64, pattern: &[u8], count: usize, stream: usize) -> u32 {
    context(name, |s| {
        if !to.is_multiple_of(pattern.len() as u64) {
            return failure(code::INVALID_VALUE, "misaligned");
        }
        let work = Work::Fill {
            to,
            pattern: pattern.to_vec(),
            count: count as u64,
        };
        s.machine.enqueue(stream_id(stream), work).map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(to: u64, value: u8, count: usize, stream: usize) -> u32 {
    fill("cuMemsetD8Async", to, &[value], count, stream)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8_v2(to: u64, value: u8, count: usize) -> u32 {
    fill("cuMemsetD8", to, &[value], count, 0)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD16Async(to: u64, value: u16, count: usize, stream: usize) -> u32 {
    fill("cuMemsetD16Async", to, &value.to_le_bytes(), count, stream)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD32Async(to: u64, value: u32, count: usize, stream: usize) -> u32 {
    fill("cuMemsetD32Async", to, &value.to_le_bytes(), count, stream)
}
