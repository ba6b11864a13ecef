//! Property tests of code that uses fits: ladders of every design from strategies that shrink.
//!
//! ```sh
//! cargo run --release --example property_tests
//! ```
//!
//! The feature `proptest` has the strategies. In a crate of your own the body of [`main`] stands in a
//! `proptest! { … }` block; here a runner calls it, so that the example is a program.

use proptest::test_runner::{Config, TestRunner};
use relscale::fit::strategies::ladders;
use relscale::fit::{Design, Options, analyze};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for design in [Design::Isoflop, Design::Rungs, Design::Grid] {
        let mut runner = TestRunner::new(Config::with_cases(32));
        // Exchanging treatment and baseline turns the law over: Δβ changes its sign and nothing else.
        runner.run(&ladders(design), |(_, ladder)| {
            let delta_beta = |treatment: &str, baseline: &str| -> Option<f64> {
                let mut options = Options::new(baseline);
                options.treatments = vec![treatment.to_owned()];
                options.aggregate = Some("aggregate".to_owned());
                // A ladder too small for a law is refused, with the reason; that is no failure.
                let analysis = analyze(&ladder, &options).ok()?;
                Some(analysis.laws.first()?.delta_beta.value)
            };
            let forward = delta_beta("treatment", "baseline");
            let backward = delta_beta("baseline", "treatment");
            match (forward, backward) {
                (Some(forward), Some(backward)) => {
                    proptest::prop_assert!((forward + backward).abs() < 1e-9);
                }
                (forward, backward) => proptest::prop_assert_eq!(forward, backward),
            }
            Ok(())
        })?;
        println!("{design:?}: 32 ladders, the law of the inverse ratio is the inverse law");
    }
    Ok(())
}
