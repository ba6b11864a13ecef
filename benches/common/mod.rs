//! Operands and checkpoints, timing on a busy machine, and the machine's roofs.

pub(crate) mod checkpoint;
pub(crate) mod roof;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use relscale::backend::{Backend, Role, Tensor, Values};
use relscale::model::Batch;

/// Values in [−1, 1), the same in every run: a linear congruential generator with the constants of
/// Knuth's MMIX, of which the high bits are used.
pub(crate) fn values(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// A matrix of [`values`] on the backend.
pub(crate) fn upload<B: Backend>(backend: &B, rows: usize, cols: usize, role: Role) -> B::Buffer {
    upload_values(backend, Values::F32(&values(rows * cols)), rows, cols, role)
}

/// A matrix of given values on the backend.
pub(crate) fn upload_values<B: Backend>(
    backend: &B,
    values: Values<'_>,
    rows: usize,
    cols: usize,
    role: Role,
) -> B::Buffer {
    let tensor = Tensor {
        values,
        rows,
        cols,
        role,
    };
    backend.upload(&tensor).expect("a well-formed tensor")
}

/// `count` texts of `len` tokens, every token but the first scored.
pub(crate) fn texts(count: usize, len: usize, vocab: usize) -> Batch {
    let mut batch = Batch::new();
    for text in 0..count {
        let tokens: Vec<u32> = (0..len)
            .map(|i| ((i * 37 + text * 11) % vocab) as u32)
            .collect();
        score(&mut batch, None, &tokens);
    }
    batch
}

/// Adds a segment, every token but its first scored. Returns its index.
pub(crate) fn score(batch: &mut Batch, parent: Option<usize>, tokens: &[u32]) -> usize {
    let segment = batch.segment(parent, tokens).expect("tokens");
    for (offset, &token) in tokens[1..].iter().enumerate() {
        batch.target(segment, offset, token).expect("a row");
    }
    segment
}

/// The command line of a benchmark.
#[derive(Clone)]
pub(crate) struct Arguments {
    /// Runs everything once, as a test that measures nothing.
    pub(crate) test: bool,
    /// Threads of the backend.
    pub(crate) threads: usize,
    /// Time spent on one number.
    pub(crate) budget: Duration,
    /// Restricts the benchmark to the cases whose names contain this.
    pub(crate) filter: Option<String>,
}

/// Reads `[FILTER] [--threads N] [--milliseconds N] [--test]`. Cargo adds `--bench`.
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
    /// Returns true if the filter lets `name` through.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|f| name.contains(f))
    }
}

/// Seconds of processor time that this thread has used; wall time where the system does not tell.
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

/// The shortest time of each candidate, in seconds, over rounds in which all take turns.
///
/// Other work of the machine can only lengthen a run, so the minimum is the robust estimate. Taking
/// turns keeps a slow minute from falling on one candidate alone. With one thread processor time is
/// measured, in which waiting for another process does not count. `budget` is spent per candidate,
/// with at least three rounds unless it is zero.
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
    while rounds == 0 || begin.elapsed() < budget || (!budget.is_zero() && rounds < 3) {
        for (candidate, best) in candidates.iter_mut().zip(&mut best) {
            let begin = clock();
            candidate();
            *best = best.min(clock() - begin);
        }
        rounds += 1;
    }
    best
}

/// The shortest time of one candidate, in seconds, measured as by [`duel`].
pub(crate) fn best(threads: usize, budget: Duration, mut candidate: impl FnMut()) -> f64 {
    duel(threads, budget, &mut [&mut candidate])[0]
}
