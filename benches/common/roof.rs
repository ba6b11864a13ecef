//! The two roofs of a kernel: the rate at which the processor multiplies and adds, and the bandwidth
//! of memory.
//!
//! # References
//! - S. Williams, A. Waterman and D. Patterson (2009), Roofline, *Communications of the ACM* 52(4),
//!   doi:10.1145/1498765.1498785.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use relscale_cpu::{Cpu, Precision};

use super::thread_seconds;

/// Fused multiply-adds on registers alone, in enough independent chains to hide their latency.
///
/// The factor 0.999 and the summand 0.001 keep the values near 1, away from subnormal numbers, which
/// some processors handle slowly.
#[inline(always)]
fn chains<const VECTORS: usize, const LANES: usize>(rounds: usize) -> f32 {
    let (a, b) = (black_box(0.999_f32), black_box(1e-3_f32));
    let mut acc = [[1.0f32; LANES]; VECTORS];
    for _ in 0..rounds {
        for lanes in &mut acc {
            for x in lanes {
                *x = x.mul_add(a, b);
            }
        }
    }
    acc.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn chains_avx512(rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(1e-3));
    let mut acc = [_mm512_set1_ps(black_box(1.0)); 16];
    for _ in 0..rounds {
        for x in &mut acc {
            *x = _mm512_fmadd_ps(*x, a, b);
        }
    }
    acc.map(|x| _mm512_reduce_add_ps(x)).iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn chains_avx512bf16(rounds: usize) -> f32 {
    use std::arch::x86_64::{
        __m512bh, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
    };
    let pairs = |x: f32| -> __m512bh {
        let x = _mm512_set1_ps(black_box(x));
        _mm512_cvtne2ps_pbh(x, x)
    };
    let (a, b) = (pairs(0.999), pairs(1e-3));
    let mut acc = [_mm512_set1_ps(black_box(1.0)); 16];
    for _ in 0..rounds {
        for x in &mut acc {
            *x = _mm512_dpbf16_ps(*x, a, b);
        }
    }
    acc.map(|x| _mm512_reduce_add_ps(x)).iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn chains_avx2(rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(1e-3));
    let mut acc = [_mm256_set1_ps(black_box(1.0)); 12];
    for _ in 0..rounds {
        for x in &mut acc {
            *x = _mm256_fmadd_ps(*x, a, b);
        }
    }
    acc.map(|x| _mm256_cvtss_f32(x)).iter().sum()
}

/// Computes `rounds` rounds with an instruction set that the processor has. Returns the number of
/// floating-point operations.
fn spin(instructions: &str, rounds: usize) -> f64 {
    let lanes = match instructions {
        // Two products and sums per lane.
        #[cfg(target_arch = "x86_64")]
        "avx512bf16" => {
            // SAFETY: `peak` accepts only instruction sets that the processor was found to have.
            black_box(unsafe { chains_avx512bf16(rounds) });
            2 * 16 * 16
        }
        #[cfg(target_arch = "x86_64")]
        "avx512" => {
            // SAFETY: `peak` accepts only instruction sets that the processor was found to have.
            black_box(unsafe { chains_avx512(rounds) });
            16 * 16
        }
        #[cfg(target_arch = "x86_64")]
        "avx2" => {
            // SAFETY: as above.
            black_box(unsafe { chains_avx2(rounds) });
            12 * 8
        }
        _ => {
            black_box(chains::<8, 4>(rounds));
            8 * 4
        }
    };
    (2 * lanes * rounds) as f64
}

/// The highest rate of work per second that `threads` threads reached together, over the runs that
/// fit `budget`. `work` takes the number of its thread and returns the amount of work it did.
fn fastest(threads: usize, budget: Duration, work: impl Fn(usize) -> f64 + Sync) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0f64;
    loop {
        let barrier = Barrier::new(threads);
        let run = |thread| {
            barrier.wait();
            let begin = thread_seconds();
            let done = work(thread);
            (done, thread_seconds() - begin)
        };
        let (done, seconds) = std::thread::scope(|scope| {
            let run = &run;
            let handles: Vec<_> = (0..threads).map(|t| scope.spawn(move || run(t))).collect();
            handles
                .into_iter()
                .map(|h| h.join().expect("no panic"))
                .fold((0.0, 0.0), |(done, slowest), (d, s)| {
                    (done + d, s.max(slowest))
                })
        });
        best = best.max(done / seconds);
        if begin.elapsed() >= budget {
            return best;
        }
    }
}

/// Instruction sets of the backend that this processor has, fastest first.
pub(crate) fn instruction_sets() -> Vec<&'static str> {
    let has = |name: &&str| Cpu::new().with_instructions(name).is_ok();
    ["avx512bf16", "avx512", "avx2", "scalar"]
        .into_iter()
        .filter(has)
        .collect()
}

/// The precision in which an instruction set is measured.
pub(crate) fn precision(instructions: &str) -> Precision {
    match instructions {
        "avx512bf16" => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// Floating-point operations per second on registers alone.
pub(crate) fn peak(instructions: &str, threads: usize, budget: Duration) -> f64 {
    assert!(instruction_sets().contains(&instructions));
    // A run of some 100 µs often ends before the system interrupts it.
    let rounds = if budget.is_zero() { 100 } else { 50_000 };
    fastest(threads, budget, |_| spin(instructions, rounds))
}

/// Adds everything up in 128 independent sums, so that memory is the limit and not the latency of
/// additions.
#[inline(always)]
fn add_up(data: &[u32]) -> [u32; 128] {
    let mut sums = [0u32; 128];
    for chunk in data.as_chunks::<128>().0 {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*x);
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_up_avx2(data: &[u32]) -> [u32; 128] {
    add_up(data)
}

/// Reads everything once, with 256-bit loads where the processor has them.
fn read(data: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just found to have AVX2.
        black_box(unsafe { add_up_avx2(data) });
        return;
    }
    black_box(add_up(data));
}

/// Bytes per second, read repeatedly from a working set of `bytes` per thread.
pub(crate) fn bandwidth(bytes: usize, threads: usize, budget: Duration) -> f64 {
    let data: Vec<Vec<u32>> = (0..threads).map(|_| vec![1; bytes / 4]).collect();
    let repeats = ((8 << 20) / bytes).max(1);
    fastest(threads, budget, |thread| {
        for _ in 0..repeats {
            read(black_box(&data[thread]));
        }
        (repeats * bytes) as f64
    })
}

/// Bytes per thread that fit the second-level cache of most server processors (1 or 2 MB).
pub(crate) const CLOSE: usize = 512 << 10;
/// Bytes per thread that fit the last-level cache of most processors, but no nearer one.
pub(crate) const SHARED: usize = 8 << 20;
/// Bytes per thread that exceed its share of any cache.
pub(crate) const FAR: usize = 256 << 20;

/// The limits on a kernel of this machine.
#[derive(Clone, Copy)]
pub(crate) struct Roof {
    threads: usize,
    /// Floating-point operations per second.
    pub(crate) peak: f64,
    /// Bytes per second from the second-level cache.
    pub(crate) close: f64,
    /// Bytes per second from the last cache.
    pub(crate) shared: f64,
    /// Bytes per second from memory.
    pub(crate) far: f64,
}

impl Roof {
    /// Measures the four limits, spending `budget` on each.
    pub(crate) fn measure(instructions: &str, threads: usize, budget: Duration) -> Self {
        let far = if budget.is_zero() { 4 * CLOSE } else { FAR };
        Self {
            threads,
            peak: peak(instructions, threads, budget),
            close: bandwidth(CLOSE, threads, budget),
            shared: bandwidth(SHARED, threads, budget),
            far: bandwidth(far, threads, budget),
        }
    }

    /// The share of the binding roof that a kernel reached, and the name of that roof.
    ///
    /// The kernel took `seconds` for `flops` operations on `bytes` bytes, each counted once. Its
    /// working set decides which cache delivers them; the factors 1.5 and 4 allow for caches larger
    /// than [`CLOSE`] and [`SHARED`] assume.
    pub(crate) fn share(&self, flops: f64, bytes: f64, seconds: f64) -> (f64, &'static str) {
        let bandwidth = match bytes / self.threads as f64 {
            b if b <= 1.5 * CLOSE as f64 => self.close,
            b if b <= 4.0 * SHARED as f64 => self.shared,
            _ => self.far,
        };
        let (compute, memory) = (flops / self.peak, bytes / bandwidth);
        if compute > memory {
            (compute / seconds, "fma")
        } else {
            (memory / seconds, "bytes")
        }
    }
}
