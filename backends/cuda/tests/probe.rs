//! The probe for the day a device is at hand, on the simulator.

mod common;

#[path = "../examples/probe.rs"]
#[allow(dead_code, reason = "a test calls no main")]
mod probe;

use common::on_device;
use relscale_cuda_sim::harness::Simulator;

#[test]
fn every_probe_finds_what_it_should() {
    on_device(|| assert!(probe::probe("all", true).unwrap()));
}

/// The output names device, results and algorithms.
#[test]
fn a_probe_says_what_it_found() {
    if std::env::var_os("RELSCALE_CUDA_GPU").is_some() {
        return;
    }
    let found = Simulator::new().outcome(|| assert!(probe::probe("algorithms", true).unwrap()));
    let Some(found) = found else { return };
    assert!(found.passed, "{}", found.output);
    for words in [
        "driver for CUDA 12.8",
        "Bf16: 70 rows, 63 → 65: ",
        "Tf32: log-probabilities: ",
        // With inputs and outputs as they are filled up.
        "64 → 72 in Bf16 to Bf16 for 2048 rows: algorithm 1, tile 20, 1 part(s)",
    ] {
        assert!(found.output.contains(words), "no {words}: {}", found.output);
    }
}
