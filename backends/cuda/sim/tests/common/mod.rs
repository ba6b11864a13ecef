//! Kernels written by hand, run on a device without the C interface.
#![allow(dead_code, reason = "each test binary uses some of it")]

use relscale_cuda_sim::{Config, Device, Failure, Report};

/// A kernel `k` of two pointers, %in and %out (64 bits each), %tid in %t and four of each register;
/// `variables` stands before it.
pub(crate) fn module(variables: &str, body: &str) -> String {
    format!(
        ".version 8.4\n.target sm_80\n.address_size 64\n{variables}\n.visible .entry k(.param .u64 in, .param .u64 \
         out)\n{{\n.reg .b64 %d<12>; .reg .b32 %r<20>; .reg .b16 %h<8>; .reg .f32 %f<8>; .reg .pred %p<8>; .reg .b64 \
         %in, %out, %o; .reg .b32 %t;\nld.param.u64 %in, [in]; ld.param.u64 %out, [out]; mov.u32 %t, \
         %tid.x;\nmul.wide.u32 %o, %t, 4; add.s64 %o, %out, %o;\n{body}\nret;\n}}\n"
    )
}

/// Settings of one run of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) threads: u32,
    pub(crate) blocks: u32,
    pub(crate) dynamic: u32,
    pub(crate) seed: u64,
}

pub(crate) const WARP: Run = Run {
    threads: 32,
    blocks: 1,
    dynamic: 0,
    seed: 0,
};

/// Runs on these input words; gives as many output words.
pub(crate) fn run(ptx: &str, how: Run, input: &[u32], words: usize) -> Result<Vec<u32>, Failure> {
    run_report(ptx, how, input, words).map_err(|(failure, _)| failure)
}

/// The same with the report of a fault.
pub(crate) fn run_report(
    ptx: &str,
    how: Run,
    input: &[u32],
    words: usize,
) -> Result<Vec<u32>, (Failure, Option<Box<Report>>)> {
    let config = Config {
        seed: how.seed,
        limit: 1_000_000,
        workers: 2,
        ..Config::default()
    };
    let mut device = Device::new(config);
    let plain = |f| (f, None);
    let program = device.load(ptx).map_err(plain)?;
    let bytes: Vec<u8> = input.iter().flat_map(|w| w.to_le_bytes()).collect();
    let from = device.upload(&bytes).map_err(plain)?;
    let to = device.allocate(words as u64 * 4).map_err(plain)?;
    let (grid, block) = ([how.blocks, 1, 1], [how.threads, 1, 1]);
    if let Err(failure) = device.launch(&program, "k", grid, block, how.dynamic, &[from, to]) {
        return Err((failure, device.report().cloned().map(Box::new)));
    }
    let bytes = device.read(to, words * 4).map_err(plain)?;
    Ok(bytes
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}
