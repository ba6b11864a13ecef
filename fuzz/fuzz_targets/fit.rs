//! Any bytes as a table of losses: the analysis is of finite numbers or a typed error. Neither it nor
//! the table and the drawings of the result panic.
//!
//! The input is CSV text, after two bytes that choose the baseline and the options.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relscale::fit::{
    Analysis, CovarianceType, DesignChoice, ItemSampling, OptimumRule, Options, analyze,
};
use relscale::ladder::Ladder;
use relscale::report::plot;

/// Options chosen by the bits of two bytes.
fn options(choice: u8, switches: u8, names: &[String]) -> Options {
    let baseline = &names[usize::from(choice) % names.len()];
    let mut options = Options::new(baseline.clone());
    let on = |bit: u8| switches >> bit & 1 == 1;
    options.design = match switches & 3 {
        0 => DesignChoice::Auto,
        1 => DesignChoice::Isoflop,
        2 => DesignChoice::Rungs,
        _ => DesignChoice::Grid,
    };
    options.optimum = if on(2) {
        OptimumRule::BestRun
    } else {
        OptimumRule::Smoothed
    };
    options.covariance = if on(3) {
        CovarianceType::Hc2
    } else {
        CovarianceType::Ols
    };
    options.items = if on(4) {
        ItemSampling::Fixed
    } else {
        ItemSampling::Population
    };
    options.moderation = on(5);
    if on(6) {
        options.predict_at = vec![1e21];
    }
    if on(7) {
        options.aggregate = names.iter().find(|n| *n != baseline).cloned();
    }
    // The first byte has bits to spare: few of them choose among the names.
    if choice >> 7 & 1 == 1 {
        options.error_rates.extend(names.last().cloned());
    }
    options.mixed_model = choice >> 6 & 1 == 1;
    if choice >> 5 & 1 == 1 {
        options.surface_huber = Some(1e-3);
    }
    options.crossed_bootstrap = choice >> 4 & 1 == 1;
    options.max_t = choice >> 3 & 1 == 1;
    if choice >> 2 & 1 == 1 {
        // Rates have no strata, and would be refused with them.
        let losses = names.iter().filter(|n| !options.error_rates.contains(*n));
        options.stratified = losses.cloned().collect();
    }
    options
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, switches, table @ ..] = bytes else {
        return;
    };
    let Ok(ladder) = Ladder::from_csv(table, "fuzz") else {
        return;
    };
    // Enumerations over budgets are bounded, but a fuzzer should not wait for them.
    if ladder.runs().len() > 60 {
        return;
    }
    let names: Vec<String> = ladder.distributions().map(str::to_owned).collect();
    let options = options(*choice, *switches, &names);
    let Ok(analysis) = analyze(&ladder, &options) else {
        return;
    };
    // JSON has neither NaN nor infinity: serde_json writes null, which it does not read as a number.
    let json = serde_json::to_string(&analysis).expect("an analysis is plain data");
    if let Err(error) = serde_json::from_str::<Analysis>(&json) {
        panic!("a number is not finite: {error}\n{json}");
    }
    assert!(!analysis.to_string().is_empty());
    plot::all(&analysis).expect("drawing into a string does not fail");
});
