//! What the benchmarks share: operands, timing on a busy machine, and the machine's roofs.

pub(crate) mod roof;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use relscale::backend::{Backend, Role, Tensor, Values};
use relscale_cpu::{Buffer, Cpu};

/// Values in [−1, 1), the same at every run.
pub(crate) fn values(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// A matrix of [`values`] on the backend.
pub(crate) fn upload(cpu: &Cpu, rows: usize, cols: usize, role: Role) -> Buffer {
    let values = values(rows * cols);
    let tensor = Tensor {
        values: Values::F32(&values),
        rows,
        cols,
        role,
    };
    cpu.upload(&tensor).expect("a well-formed tensor")
}

/// What a benchmark was asked for on the command line.
pub(crate) struct Arguments {
    /// Run everything once, measure nothing.
    pub(crate) test: bool,
    /// Threads.
    pub(crate) threads: usize,
    /// Time spent on one number.
    pub(crate) budget: Duration,
    /// Only what contains this.
    pub(crate) filter: Option<String>,
}

/// Reads `[FILTER] [--threads N] [--milliseconds N] [--test]`; cargo adds `--bench`.
pub(crate) fn arguments(milliseconds: u64) -> Arguments {
    let mut found = Arguments {
        test: false,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        budget: Duration::from_millis(milliseconds),
        filter: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|w| w.parse().ok());
            value.unwrap_or_else(|| panic!("{word} needs a number"))
        };
        match word.as_str() {
            "--bench" => {}
            "--test" => found.test = true,
            "--threads" => found.threads = number() as usize,
            "--milliseconds" => found.budget = Duration::from_millis(number()),
            other if other.starts_with('-') => panic!("unknown option {other}"),
            other => found.filter = Some(other.to_owned()),
        }
    }
    if found.test {
        found.budget = Duration::ZERO;
    }
    found
}

impl Arguments {
    /// Whether the filter lets `name` through.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|f| name.contains(f))
    }
}

/// Seconds of processor time that this thread has used, where the system tells.
pub(crate) fn thread_seconds() -> f64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(unix))]
    wall_seconds()
}

/// Seconds since the first call.
pub(crate) fn wall_seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// The shortest time of each candidate, in seconds, over rounds in which all take turns: processor
/// time where there is one thread, so that waiting for another process does not count.
///
/// Whatever else the machine does can only lengthen a run, so the minimum is the robust estimate,
/// and turns keep a slow minute from falling on one candidate alone. `budget` is spent on each.
pub(crate) fn duel(
    threads: usize,
    budget: Duration,
    candidates: &mut [&mut dyn FnMut()],
) -> Vec<f64> {
    let clock = if threads == 1 {
        thread_seconds
    } else {
        wall_seconds
    };
    let mut best = vec![f64::INFINITY; candidates.len()];
    let begin = Instant::now();
    let budget = budget * candidates.len() as u32;
    let mut rounds = 0;
    while rounds == 0 || (begin.elapsed() < budget || (!budget.is_zero() && rounds < 3)) {
        for (candidate, best) in candidates.iter_mut().zip(&mut best) {
            let begin = clock();
            candidate();
            *best = best.min(clock() - begin);
        }
        rounds += 1;
    }
    best
}

/// The shortest time of one candidate, in seconds, as [`duel`] takes it.
pub(crate) fn best(threads: usize, budget: Duration, mut candidate: impl FnMut()) -> f64 {
    duel(threads, budget, &mut [&mut candidate])[0]
}
