//! Errors that are correlated from one rung to the next.

use crate::rungs::correlated_rungs;
use relscale::fit::{CovarianceType, DesignChoice, Flag, Options, RelativeLaw, analyze};
use relscale::ladder::{Ladder, Run, Scale};

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
    let ladder = correlated_rungs("autocorrelation", 12, 0.6, 1);
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
    let error = refused(&correlated_rungs("autocorrelation", 7, 0.0, 1));
    assert!(error.contains("7 found, 8 needed"), "{error}");
    assert!(
        law(
            &correlated_rungs("autocorrelation", 7, 0.0, 1),
            CovarianceType::Ols
        )
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
    for replicate in 0..100 {
        let law = law(
            &correlated_rungs("autocorrelation", 9, 0.7, replicate),
            CovarianceType::Ols,
        );
        if law.delta_beta.p_value <= 0.05 {
            claims += 1;
            flagged += u32::from(law.flags.contains(&Flag::Autocorrelated));
        }
    }
    // Of false claims at ρ = 0.7, a third of all ladders, most are flagged. Nine rungs are permuted exactly,
    // which takes a tenth of the time of random orders.
    assert!(claims > 15 && flagged * 2 > claims, "{flagged} of {claims}");
}
