//! Ladders of rungs whose errors are correlated from one to the next.

use relscale::ladder::{Ladder, Run, Scale};

use super::random::Stream;

/// Rungs without a change of the ratio, and errors of autocorrelation `rho` in its logarithm. `purpose`
/// names the stream of draws.
pub(crate) fn correlated_rungs(purpose: &str, n: usize, rho: f64, replicate: u64) -> Ladder {
    let mut stream = Stream::new(3, purpose, replicate);
    let mut builder = Ladder::builder();
    let mut error = stream.normal();
    for j in 0..n {
        if j > 0 {
            error = rho * error + (1.0 - rho * rho).sqrt() * stream.normal();
        }
        let flops = 1e18 * 3_f64.powi(j as i32);
        let params = (flops / 120.0).sqrt();
        let tokens = flops / 6.0 / params;
        let scale = Scale {
            params,
            tokens,
            flops,
        };
        let id = format!("r{j:02}");
        let run = Run::new(&id, scale).corpus("c");
        builder.run(run).unwrap();
        builder.score(&id, "baseline", "", 2.0, 1.0).unwrap();
        let loss = 2.2 * (0.01 * error).exp();
        builder.score(&id, "t", "", loss, 1.0).unwrap();
    }
    builder.build().unwrap()
}
