//! Properties of designs: what flags and paths say of them, and laws between corpora.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relscale::fit::simulate::{Shape, Simulation};
use relscale::fit::strategies::{irregular_ladders, simulations};
use relscale::fit::{
    Analysis, ArmLaw, Design, FitError, Flag, ItemSampling, LadderPath, Options, analyze,
};
use relscale::ladder::{FlopConvention, Ladder, Run};

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    options
}

fn fitted(ladder: &Ladder, options: &Options) -> Result<Analysis, TestCaseError> {
    analyze(ladder, options).map_err(|error| match error {
        FitError::TooFew { .. } | FitError::NothingLeft { .. } => {
            TestCaseError::reject("too few readings")
        }
        other => TestCaseError::fail(other.to_string()),
    })
}

fn close(a: f64, b: f64, tolerance: f64) -> Result<(), TestCaseError> {
    let scale = 1.0 + a.abs().max(b.abs());
    prop_assert!((a - b).abs() <= tolerance * scale, "{a} and {b}");
    Ok(())
}

/// The ladder with runs changed and the distributions `keep`, renamed by run.
fn rebuilt(
    ladder: &Ladder,
    change: impl Fn(&mut Run),
    rename: impl Fn(&Run, &str) -> Option<(String, String)>,
) -> Ladder {
    let mut builder = Ladder::builder();
    builder.flop_convention(FlopConvention::Other);
    let mut added = std::collections::BTreeSet::new();
    for scores in ladder.scores() {
        for cell in scores.cells() {
            let mut run = ladder.runs()[cell.run].clone();
            let Some((id, name)) = rename(&run, scores.name()) else {
                continue;
            };
            change(&mut run);
            run.id = id;
            if added.insert(run.id.clone()) {
                builder.run(run.clone()).unwrap();
            }
            let cluster = &scores.clusters()[cell.cluster];
            builder
                .score(
                    &run.id,
                    &name,
                    cluster,
                    cell.loss / cell.weight,
                    cell.weight,
                )
                .unwrap();
        }
    }
    builder.build().unwrap()
}

/// Laws between two corpora, by distribution.
fn arms(ladder: &Ladder, baseline: &str) -> Result<BTreeMap<String, ArmLaw>, TestCaseError> {
    let mut options = options();
    options.corpus_baseline = Some(baseline.into());
    let analysis = fitted(ladder, &options)?;
    let laws = analysis.arms.into_iter();
    Ok(laws.map(|l| (l.distribution.clone(), l)).collect())
}

fn two_corpora(mut simulation: Simulation) -> Ladder {
    simulation.corpora = 2;
    simulation.ladder(0).unwrap()
}

/// Arms are antisymmetric, and differences of laws of two corpora are those of their arms.
fn arms_are_symmetric(simulation: Simulation) -> Result<(), TestCaseError> {
    let ladder = two_corpora(simulation);
    let forward = arms(&ladder, "corpus-0")?;
    let backward = arms(&ladder, "corpus-1")?;
    prop_assert_eq!(forward.len(), backward.len());
    for (name, a) in &forward {
        let b = &backward[name];
        close(a.delta_beta.value, -b.delta_beta.value, 1e-12)?;
        close(
            a.delta_beta.standard_error,
            b.delta_beta.standard_error,
            1e-9,
        )?;
        close(a.gamma.value * b.gamma.value, 1.0, 1e-12)?;
        let excludes = a.decision.lower > 0.0 || a.decision.upper < 0.0;
        prop_assert_eq!(excludes, a.holm_p <= 0.05);
    }
    let analysis = fitted(&ladder, &options())?;
    for law in &analysis.cross_corpus {
        let name = law.name.split(':').next().unwrap();
        if let (Some(t), Some(b)) = (backward.get(name), backward.get("baseline")) {
            let between = t.delta_beta.value - b.delta_beta.value;
            close(law.exponent.value, between, 1e-12)?;
        }
    }
    Ok(())
}

/// A ladder whose corpora are pivoted by hand: one run per configuration, one distribution per corpus.
fn pivoted(ladder: &Ladder, distribution: &str) -> Ladder {
    let configuration = |run: &Run| {
        run.id
            .split_once('-')
            .unwrap()
            .1
            .split_once('-')
            .unwrap()
            .1
            .to_owned()
    };
    rebuilt(
        ladder,
        |run| {
            run.corpus = "both".into();
            run.trajectory = run.trajectory.as_ref().map(|t| t[9..].to_owned());
        },
        |run, name| (name == distribution).then(|| (configuration(run), run.corpus.clone())),
    )
}

/// With the items as they are: noise of items in runs is common to two corpora in a pivot only.
fn arms_are_the_pivot(simulation: Simulation) -> Result<(), TestCaseError> {
    let ladder = two_corpora(simulation);
    let mut options = options();
    options.items = ItemSampling::Fixed;
    options.corpus_baseline = Some("corpus-0".into());
    for arm in &fitted(&ladder, &options)?.arms {
        let mut options = Options::new("corpus-0");
        options.items = ItemSampling::Fixed;
        let by_hand = fitted(&pivoted(&ladder, &arm.distribution), &options)?;
        let law = &by_hand.laws[0];
        prop_assert_eq!(law.treatment.as_str(), "corpus-1");
        close(arm.delta_beta.value, law.delta_beta.value, 1e-12)?;
        close(arm.gamma.value, law.gamma.value, 1e-12)?;
        close(
            arm.delta_beta.standard_error,
            law.delta_beta.standard_error,
            1e-9,
        )?;
        close(arm.delta_beta.df, law.delta_beta.df, 1e-6)?;
    }
    Ok(())
}

/// Differences between corpora on one grid are differences of their exponents.
fn grids_are_compared(simulation: Simulation) -> Result<(), TestCaseError> {
    let ladder = two_corpora(simulation);
    let analysis = fitted(&ladder, &options())?;
    prop_assert!(!analysis.cross_corpus.is_empty());
    for law in &analysis.cross_corpus {
        let name = law.name.split(':').next().unwrap();
        let of = |corpus: &str| {
            let own = |l: &&relscale::fit::RelativeLaw| l.corpus == corpus && l.treatment == name;
            analysis.laws.iter().find(own).unwrap().delta_beta.value
        };
        let difference = of("corpus-0") - of("corpus-1");
        close(law.exponent.value, difference, 1e-12)?;
        prop_assert!(law.exponent.standard_error > 0.0 || law.exponent.value.abs() < 1e-9);
    }
    // Whole tokens of one corpus differ from the other's, and runs come in another order.
    let jittered = rebuilt(
        &ladder,
        |run| {
            if run.corpus == "corpus-1" {
                run.tokens *= 1.004;
                run.flops *= 1.004;
                run.budget *= 1.004 + 1e-3 * (run.params.ln().sin());
            }
        },
        |run, name| Some((run.id.clone(), name.to_owned())),
    );
    let moved = fitted(&jittered, &options())?;
    prop_assert_eq!(moved.cross_corpus.len(), analysis.cross_corpus.len());
    for (a, b) in moved.cross_corpus.iter().zip(&analysis.cross_corpus) {
        close(a.exponent.value, b.exponent.value, 1e-9)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_global_rejects: 1024, ..ProptestConfig::default() })]

    #[test]
    fn arms_of_isoflop(simulation in simulations(Design::Isoflop)) {
        arms_are_symmetric(simulation)?;
    }

    #[test]
    fn arms_of_rungs(simulation in simulations(Design::Rungs)) {
        arms_are_symmetric(simulation.clone())?;
        arms_are_the_pivot(simulation)?;
    }

    #[test]
    fn arms_of_grids(simulation in simulations(Design::Grid)) {
        arms_are_symmetric(simulation.clone())?;
        arms_are_the_pivot(simulation)?;
    }

    #[test]
    fn grids_of_two_corpora(simulation in simulations(Design::Grid)) {
        grids_are_compared(simulation)?;
    }

    #[test]
    fn paths_are_told((simulation, ladder) in irregular_ladders(Design::Rungs)) {
        let analysis = fitted(&ladder, &options())?;
        for corpus in &analysis.corpora {
            let expected = match simulation.shape {
                Shape::EqualTokens { .. } => LadderPath::EqualTokens,
                Shape::OneSize { .. } => LadderPath::EqualSize,
                // ln N* grows by half of ln C, so that D/N stays as it is.
                _ => LadderPath::EqualRatio,
            };
            prop_assert_eq!(corpus.path, Some(expected));
            let equal = expected == LadderPath::EqualTokens;
            prop_assert_eq!(corpus.flags.contains(&Flag::EqualTokens), equal);
            let mut by_seed: BTreeMap<Option<u64>, usize> = BTreeMap::new();
            for run in ladder.runs().iter().filter(|r| r.corpus == corpus.corpus) {
                *by_seed.entry(run.seed).or_default() += 1;
            }
            let lengths = by_seed.values().any(|&n| n >= 3);
            let alike = expected == LadderPath::EqualSize && lengths;
            prop_assert_eq!(corpus.flags.contains(&Flag::UnnamedTrajectory), alike);
        }
        for law in &analysis.laws {
            let equal = law.flags.contains(&Flag::EqualTokens);
            prop_assert_eq!(law.alternatives.per_log_params.is_some(), equal);
        }
    }

    #[test]
    fn epochs_change_no_number((_, ladder) in irregular_ladders(Design::Isoflop), epochs in 0.1..8.0_f64) {
        let plain = fitted(&ladder, &options())?;
        let names = |run: &Run, name: &str| Some((run.id.clone(), name.to_owned()));
        let said = rebuilt(&ladder, |run| run.epochs = Some(epochs), names);
        let said = fitted(&said, &options())?;
        prop_assert_eq!(plain.laws.len(), said.laws.len());
        for (a, b) in plain.laws.iter().zip(&said.laws) {
            prop_assert_eq!(a.delta_beta, b.delta_beta);
            prop_assert_eq!(b.flags.contains(&Flag::RepeatedData), epochs > 1.01);
        }
    }
}
