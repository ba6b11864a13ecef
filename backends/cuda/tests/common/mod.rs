//! Where the tests run, and numbers for them.
#![allow(dead_code, reason = "each test binary uses some of them")]

use relscale::backend::Segment;
use relscale_cuda::{Cuda, Precision};
use relscale_cuda_sim::harness::{self, Simulator};

/// Runs the body of a test on the simulator, or with `RELSCALE_CUDA_GPU=1` on the machine's GPU.
pub(crate) fn on_device(body: impl FnOnce()) {
    harness::on_simulator(|| {
        println!("device: {}", device(Precision::F32).device_name());
        body();
    });
}

/// Runs the body on a simulated machine that these variables describe; never on a GPU.
pub(crate) fn on_machine(variables: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os("RELSCALE_CUDA_GPU").is_some() {
        println!("skipped: needs {variables:?} of the simulator");
        return;
    }
    variables
        .iter()
        .fold(Simulator::new(), |machine, (name, value)| {
            machine.set(name, value)
        })
        .run(body);
}

/// The backend, where there has to be one.
pub(crate) fn device(precision: Precision) -> Cuda {
    Cuda::new(precision).unwrap_or_else(|error| panic!("{error}"))
}

/// SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// In [−1, 1).
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Segments from their parents and lengths.
pub(crate) fn forest(shape: &[(Option<usize>, usize)]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut start = 0;
    for &(parent, len) in shape {
        let position = parent.map_or(0, |p| segments[p].position + segments[p].len);
        segments.push(Segment {
            start,
            len,
            parent,
            position,
        });
        start += len;
    }
    segments
}
