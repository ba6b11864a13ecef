//! Errors that are correlated from one rung to the next.

#[path = "common/random.rs"]
mod random;

use random::Stream;
use relscale::fit::{CovarianceType, DesignChoice, Flag, Options, RelativeLaw, analyze};
use relscale::ladder::{Ladder, Run, Scale};

/// Rungs without a change of the ratio, and errors of autocorrelation `rho` in its logarithm.
fn rungs(n: usize, rho: f64, trajectory: bool, replicate: u64) -> Ladder {
    let mut stream = Stream::new(3, "autocorrelation", replicate);
    let mut builder = Ladder::builder();
    let mut error = stream.normal();
    for j in 0..n {
        if j > 0 {
            error = rho * error + (1.0 - rho * rho).sqrt() * stream.normal();
        }
        let flops = 1e18 * 3_f64.powi(j as i32);
        let params = if trajectory {
            1e8
        } else {
            (flops / 120.0).sqrt()
        };
        let tokens = flops / 6.0 / params;
        let scale = Scale {
            params,
            tokens,
            flops,
        };
        let id = format!("r{j:02}");
        let run = Run::new(&id, scale).corpus("c");
        let run = match trajectory {
            true => run.trajectory("one"),
            false => run,
        };
        builder.run(run).unwrap();
        builder.score(&id, "baseline", "", 2.0, 1.0).unwrap();
        let loss = 2.2 * (0.01 * error).exp();
        builder.score(&id, "t", "", loss, 1.0).unwrap();
    }
    builder.build().unwrap()
}

fn options(covariance: CovarianceType) -> Options {
    let mut options = Options::new("baseline");
    options.design = DesignChoice::Rungs;
    options.covariance = covariance;
    options
}

fn law(ladder: &Ladder, covariance: CovarianceType) -> RelativeLaw {
    analyze(ladder, &options(covariance))
        .unwrap()
        .laws
        .remove(0)
}

#[test]
fn the_option_makes_the_alternative_the_law() {
    let ladder = rungs(12, 0.6, false, 1);
    let (plain, serial) = (
        law(&ladder, CovarianceType::Ols),
        law(&ladder, CovarianceType::Ar1),
    );
    let beside = plain.alternatives.autocorrelated.unwrap();
    assert_eq!(serial.delta_beta, beside.delta_beta);
    assert_eq!(serial.alternatives.autocorrelated.unwrap(), beside);
    assert_eq!(serial.delta_beta.value, plain.delta_beta.value);
    assert!(beside.rho > 0.0 && serial.delta_beta.df == plain.delta_beta.df);
    let text = analyze(&ladder, &options(CovarianceType::Ols))
        .unwrap()
        .to_string();
    assert!(!text.contains("NaN"));
}

#[test]
fn too_few_readings_and_grids_are_refused() {
    let refused = |ladder: &Ladder| {
        let mut options = options(CovarianceType::Ar1);
        options.design = DesignChoice::Auto;
        analyze(ladder, &options).unwrap_err().to_string()
    };
    let error = refused(&rungs(7, 0.0, false, 1));
    assert!(error.contains("7 found, 8 needed"), "{error}");
    assert!(
        law(&rungs(7, 0.0, false, 1), CovarianceType::Ols)
            .alternatives
            .autocorrelated
            .is_none()
    );
    let mut grid = Ladder::builder();
    for i in 0..12_i32 {
        let (params, tokens) = (1e8 * 2_f64.powi(i % 4), 1e9 * 3_f64.powi(i / 4));
        let id = format!("g{i}");
        let scale = Scale {
            params,
            tokens,
            flops: 6.0 * params * tokens,
        };
        grid.run(Run::new(&id, scale).corpus("c")).unwrap();
        let wobble = 0.001 * f64::from(i * i % 7);
        grid.score(&id, "baseline", "", 3.0 - 0.1 * f64::from(i) + wobble, 1.0)
            .unwrap();
        grid.score(&id, "t", "", 3.2 - 0.1 * f64::from(i) - wobble, 1.0)
            .unwrap();
    }
    let error = refused(&grid.build().unwrap());
    assert!(error.contains("trajectory"), "{error}");
}

#[test]
fn a_claim_that_autocorrelation_undoes_is_flagged() {
    let (mut claims, mut flagged) = (0, 0);
    for replicate in 0..150 {
        let law = law(&rungs(12, 0.7, false, replicate), CovarianceType::Ols);
        if law.delta_beta.p_value <= 0.05 {
            claims += 1;
            flagged += u32::from(law.flags.contains(&Flag::Autocorrelated));
        }
    }
    // Of false claims at ρ = 0.7, a third of all ladders, most are flagged.
    assert!(
        claims > 30 && flagged * 3 > 2 * claims,
        "{flagged} of {claims}"
    );
}

/// Coverage and mean half-width under correlated errors, and the share of false claims without a flag.
#[test]
#[ignore = "minutes of simulation: cargo test --release --test autocorrelation -- --ignored --nocapture"]
fn intervals_of_correlated_rungs_cover() {
    const REPLICATES: u64 = 1000;
    println!(
        "| readings | ρ | ols coverage % | half-width x1e3 | ar1 coverage % | half-width x1e3 | \
         false claims % | without a flag % |\n|---|---:|---:|---:|---:|---:|---:|---:|"
    );
    for (n, trajectory) in [
        (8, false),
        (10, false),
        (14, false),
        (20, false),
        (20, true),
    ] {
        for rho in [0.0, 0.3, 0.6, 0.8] {
            let (mut inside, mut half) = ([0.0; 2], [0.0; 2]);
            let (mut claims, mut unflagged) = (0.0, 0.0);
            for replicate in 0..REPLICATES {
                let ladder = rungs(n, rho, trajectory, replicate);
                // Checkpoints of one run are one cluster, whose robust variance needs several.
                let plain = match trajectory {
                    true => law(&rungs(n, rho, false, replicate), CovarianceType::Ols),
                    false => law(&ladder, CovarianceType::Ols),
                };
                let serial = law(&ladder, CovarianceType::Ar1);
                for (k, d) in [plain.delta_beta, serial.delta_beta]
                    .into_iter()
                    .enumerate()
                {
                    inside[k] += f64::from(u8::from(d.lower <= 0.0 && 0.0 <= d.upper));
                    half[k] += 0.5 * (d.upper - d.lower);
                }
                let claim = plain.delta_beta.p_value <= 0.05;
                claims += f64::from(u8::from(claim));
                let silent = claim && !plain.flags.contains(&Flag::Autocorrelated);
                unflagged += f64::from(u8::from(silent));
            }
            let r = REPLICATES as f64;
            let percent = |v: f64| 100.0 * v / r;
            println!(
                "| {n}{} | {rho} | {:.1} | {:.2} | {:.1} | {:.2} | {:.1} | {:.1} |",
                if trajectory { ", one training run" } else { "" },
                percent(inside[0]),
                1e3 * half[0] / r,
                percent(inside[1]),
                1e3 * half[1] / r,
                percent(claims),
                percent(unflagged)
            );
            // With eight readings an autocorrelation of 0.8 is a trend to every method.
            let least = if rho < 0.7 { 90.0 } else { 82.0 };
            assert!(
                percent(inside[1]) >= least,
                "{n} {rho}: {}",
                percent(inside[1])
            );
        }
    }
}
