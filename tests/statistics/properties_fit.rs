//! Properties of every ladder: invariances of the estimand, agreement of intervals with tests, and
//! independence of the order of all input.

use proptest::prelude::*;
use relscale::fit::simulate::Simulation;
use relscale::fit::strategies::{irregular_ladders, ladders};
use relscale::fit::{
    Analysis, ConfidenceSet, Design, FitError, Options, RelativeLaw, Verdict, analyze,
};
use relscale::ladder::{FlopConvention, Ladder, Run, Scale};

fn options(treatments: &[&str], baseline: &str) -> Options {
    let mut o = Options::new(baseline);
    o.treatments = treatments.iter().map(|t| (*t).to_owned()).collect();
    o.aggregate = Some("aggregate".into());
    o
}

fn too_few(error: &FitError) -> bool {
    match error {
        FitError::TooFew { .. } => true,
        FitError::NothingLeft { first, .. } => too_few(first),
        _ => false,
    }
}

fn run(ladder: &Ladder, o: &Options) -> Result<Analysis, TestCaseError> {
    match analyze(ladder, o) {
        Ok(a) => Ok(a),
        // A profile that noise leaves without a minimum is refused, not fitted.
        Err(e) if too_few(&e) => Err(TestCaseError::reject("too few readings")),
        Err(e) => Err(TestCaseError::fail(e.to_string())),
    }
}

/// Rebuilds a ladder with runs and cells changed.
fn rebuild(
    ladder: &Ladder,
    change_run: impl Fn(&mut Run),
    change_cell: impl Fn(&Run, &str, f64, f64) -> Vec<(f64, f64)>,
    reverse: bool,
) -> Ladder {
    let mut builder = Ladder::builder();
    builder
        .name(ladder.name())
        // Changes leave the compute of training far behind.
        .flop_convention(FlopConvention::Other);
    let mut runs: Vec<Run> = ladder.runs().to_vec();
    if reverse {
        runs.reverse();
    }
    for r in &mut runs {
        change_run(r);
        builder.run(r.clone()).unwrap();
    }
    let mut cells = Vec::new();
    for s in ladder.scores() {
        for c in s.cells() {
            let run = &ladder.runs()[c.run];
            for (loss, weight) in change_cell(run, s.name(), c.loss / c.weight, c.weight) {
                cells.push((
                    run.id.clone(),
                    s.name(),
                    s.clusters()[c.cluster].clone(),
                    loss,
                    weight,
                ));
            }
        }
    }
    if reverse {
        cells.reverse();
    }
    for (run, name, cluster, loss, weight) in cells {
        builder.score(&run, name, &cluster, loss, weight).unwrap();
    }
    builder.build().unwrap()
}

fn same(_: &Run, _: &str, loss: f64, weight: f64) -> Vec<(f64, f64)> {
    vec![(loss, weight)]
}

fn close(a: f64, b: f64, tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert!(
        (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs())),
        "{a} and {b}"
    );
    Ok(())
}

fn pairs<'a>(
    a: &'a Analysis,
    b: &'a Analysis,
) -> Result<Vec<(&'a RelativeLaw, &'a RelativeLaw)>, TestCaseError> {
    prop_assert_eq!(a.laws.len(), b.laws.len());
    Ok(a.laws.iter().zip(&b.laws).collect())
}

fn order_does_not_matter(ladder: &Ladder) -> Result<(), TestCaseError> {
    let mut o = options(&[], "baseline");
    (o.crossed_bootstrap, o.max_t) = (true, true);
    let canonical = rebuild(ladder, |_| (), same, false);
    let reversed = rebuild(ladder, |_| (), same, true);
    prop_assert_eq!(&canonical, &reversed);
    let (a, b) = (run(&canonical, &o)?, run(&reversed, &o)?);
    prop_assert_eq!(
        serde_json::to_string(&a).unwrap(),
        serde_json::to_string(&b).unwrap()
    );
    let back: Analysis = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
    prop_assert_eq!(back.options, a.options);
    Ok(())
}

fn units_do_not_matter(ladder: &Ladder) -> Result<(), TestCaseError> {
    let o = options(&["treatment"], "baseline");
    let plain = run(ladder, &o)?;
    // Another unit of one loss, another FLOP convention.
    let factor = |name: &str| if name == "treatment" { 1.7 } else { 1.0 };
    let scaled = rebuild(ladder, |_| (), |_, n, l, w| vec![(l * factor(n), w)], false);
    for (a, b) in pairs(&plain, &run(&scaled, &o)?)? {
        close(a.delta_beta.value, b.delta_beta.value, 1e-12)?;
        close(
            a.delta_beta.standard_error,
            b.delta_beta.standard_error,
            1e-10,
        )?;
        close(a.gamma.value * 1.7, b.gamma.value, 1e-11)?;
    }
    let tripled = rebuild(
        ladder,
        |r| {
            r.flops *= 3.0;
            r.budget *= 3.0
        },
        same,
        false,
    );
    for (a, b) in pairs(&plain, &run(&tripled, &o)?)? {
        close(a.delta_beta.value, b.delta_beta.value, 1e-10)?;
        close(a.gamma.value, b.gamma.value, 1e-10)?;
        close(3.0, b.reference_flops / a.reference_flops, 1e-9)?;
    }
    // C → C^k divides the exponent by k. (Of IsoFLOP ladders the frontier moves with it.)
    if plain.laws[0].design != Design::Grid {
        let stretched = rebuild(
            ladder,
            |r| {
                r.flops = r.flops.powf(1.5);
                r.budget = r.budget.powf(1.5)
            },
            same,
            false,
        );
        let stretched = run(&stretched, &o)?;
        let budgets = |a: &Analysis| a.corpora.iter().map(|c| c.budgets).collect::<Vec<_>>();
        // Labels apart by no more than rounding are one budget, and stretched they may be two.
        if budgets(&plain) == budgets(&stretched) {
            for (a, b) in pairs(&plain, &stretched)? {
                close(a.delta_beta.value / 1.5, b.delta_beta.value, 1e-9)?;
            }
        }
    }
    // Two halves of every item.
    let halves = rebuild(
        ladder,
        |_| (),
        |_, _, l, w| vec![(l, w / 2.0), (l, w / 2.0)],
        false,
    );
    for (a, b) in pairs(&plain, &run(&halves, &o)?)? {
        close(a.delta_beta.value, b.delta_beta.value, 1e-12)?;
        close(
            a.diagnostics.variance.total,
            b.diagnostics.variance.total,
            1e-12,
        )?;
    }
    Ok(())
}

fn what_a_run_does_to_both_cancels(ladder: &Ladder) -> Result<(), TestCaseError> {
    let o = options(&["treatment"], "baseline");
    let lucky = ladder.runs()[ladder.runs().len() / 2].id.clone();
    let factor = |r: &Run, name: &str| {
        if r.id == lucky && name != "aggregate" {
            1.3
        } else {
            1.0
        }
    };
    let moved = rebuild(
        ladder,
        |_| (),
        |r, n, l, w| vec![(l * factor(r, n), w)],
        false,
    );
    for (a, b) in pairs(&run(ladder, &o)?, &run(&moved, &o)?)? {
        close(a.delta_beta.value, b.delta_beta.value, 1e-11)?;
        close(
            a.diagnostics.variance.run,
            b.diagnostics.variance.run,
            1e-11,
        )?;
    }
    Ok(())
}

fn roles_are_symmetric(ladder: &Ladder) -> Result<(), TestCaseError> {
    let forward = run(ladder, &options(&["treatment"], "baseline"))?;
    let backward = run(ladder, &options(&["baseline"], "treatment"))?;
    for (a, b) in pairs(&forward, &backward)? {
        prop_assert_eq!(a.delta_beta.value, -b.delta_beta.value);
        close(
            a.delta_beta.standard_error,
            b.delta_beta.standard_error,
            1e-12,
        )?;
        close(a.delta_beta.p_value, b.delta_beta.p_value, 1e-9)?;
        close(a.gamma.value * b.gamma.value, 1.0, 1e-12)?;
        // The gap is the same either way; the ratio is its inverse.
        let mirrored = match b.verdict {
            Verdict::RatioRises => Verdict::RatioFalls,
            Verdict::RatioFalls => Verdict::RatioRises,
            same => same,
        };
        prop_assert_eq!(a.verdict, mirrored);
        match (a.parity.set, b.parity.set) {
            (
                ConfidenceSet::Bounded { lower, upper },
                ConfidenceSet::Bounded { lower: l, upper: u },
            ) => {
                close(lower, l, 1e-6)?;
                close(upper, u, 1e-6)?;
            }
            (x, y) => prop_assert_eq!(std::mem::discriminant(&x), std::mem::discriminant(&y)),
        }
    }
    let other = run(ladder, &options(&["treatment", "baseline"], "other"))?;
    for a in &forward.laws {
        let of = |t: &str| {
            let l = other
                .laws
                .iter()
                .find(|l| l.corpus == a.corpus && l.treatment == t);
            l.unwrap().delta_beta.value
        };
        close(a.delta_beta.value, of("treatment") - of("baseline"), 1e-12)?;
        let beta = |d: &str| {
            let t = &forward.absolute_laws;
            t.iter()
                .find(|t| t.corpus == a.corpus && t.distribution == d)
                .unwrap()
                .beta
                .value
        };
        close(
            a.delta_beta.value,
            beta("baseline") - beta("treatment"),
            1e-12,
        )?;
        if a.delta_beta.value <= 0.0 && a.gamma.value > 1.0 && beta("treatment") > 0.0 {
            prop_assert!(a.alternatives.difference.slope_from_laws < 0.0);
        }
    }
    for corpus in &other.corpora {
        let own = other
            .centred
            .iter()
            .filter(|c| c.corpora[0] == corpus.corpus);
        close(own.map(|c| c.exponent.value).sum(), 0.0, 1e-12)?;
    }
    Ok(())
}

fn nothing_differs_from_itself(ladder: &Ladder) -> Result<(), TestCaseError> {
    for l in &run(ladder, &options(&["baseline"], "baseline"))?.laws {
        prop_assert_eq!(l.delta_beta.value, 0.0);
        prop_assert_eq!(l.delta_beta.standard_error, 0.0);
        prop_assert_eq!(l.gamma.value, 1.0);
        prop_assert_eq!(l.verdict, Verdict::NoGap);
    }
    Ok(())
}

fn intervals_agree_with_tests(ladder: &Ladder) -> Result<(), TestCaseError> {
    let mut o = options(&[], "baseline");
    let a = run(ladder, &o)?;
    o.alpha = 0.01;
    let b = run(ladder, &o)?;
    for (wide, narrow) in pairs(&b, &a)? {
        let (w, n) = (wide.delta_beta, narrow.delta_beta);
        prop_assert!(w.lower <= n.lower && n.upper <= w.upper);
        let excludes = n.lower > 0.0 || n.upper < 0.0;
        prop_assert_eq!(
            n.p_value < 0.05,
            excludes,
            "p {} in [{}, {}]",
            n.p_value,
            n.lower,
            n.upper
        );
        let m = narrow.equivalence.margin;
        let inner = n.at_level(0.90);
        prop_assert_eq!(
            narrow.equivalence.p_value < 0.05,
            inner.lower > -m && inner.upper < m
        );
        let adjusted = &narrow.multiplicity;
        prop_assert!(adjusted.holm_p >= n.p_value && adjusted.by_q >= adjusted.bh_q);
        prop_assert!(adjusted.holm_p >= adjusted.hochberg_p);
        let (lower, upper) = (adjusted.simultaneous.lower, adjusted.simultaneous.upper);
        prop_assert!(lower <= n.lower && n.upper <= upper);
        if let ConfidenceSet::Bounded { lower, upper } = narrow.parity.set {
            let at = narrow.parity.log10_scale.unwrap();
            prop_assert!(lower - 1e-9 <= at && at <= upper + 1e-9);
        }
        for p in narrow.band() {
            prop_assert!(p.simultaneous_lower <= p.lower && p.lower <= p.ratio);
            prop_assert!(p.ratio <= p.upper && p.upper <= p.simultaneous_upper);
        }
        let v = narrow.diagnostics.variance;
        prop_assert!(v.total + 1e-30 >= v.run + v.frontier + v.specification);
    }
    Ok(())
}

fn tables_survive(ladder: &Ladder) -> Result<(), TestCaseError> {
    let mut text = Vec::new();
    ladder.write_csv(&mut text).unwrap();
    let back = Ladder::from_csv(text.as_slice(), ladder.name()).unwrap();
    prop_assert_eq!(back.runs(), ladder.runs());
    for (a, b) in ladder.scores().iter().zip(back.scores()) {
        prop_assert_eq!(a.clusters(), b.clusters());
        for (x, y) in a.cells().iter().zip(b.cells()) {
            close(x.loss, y.loss, 1e-15)?;
            prop_assert_eq!(x.weight, y.weight);
        }
    }
    Ok(())
}

fn all(ladder: &Ladder, design: Design) -> Result<(), TestCaseError> {
    let first = run(ladder, &options(&["treatment"], "baseline"))?;
    prop_assert!(first.laws.iter().all(|l| l.design == design));
    order_does_not_matter(ladder)?;
    units_do_not_matter(ladder)?;
    what_a_run_does_to_both_cancels(ladder)?;
    roles_are_symmetric(ladder)?;
    nothing_differs_from_itself(ladder)?;
    intervals_agree_with_tests(ladder)?;
    tables_survive(ladder)
}

/// Rejects ladders with too many runs missing to be known for what they were planned as.
fn still_of(design: Design, simulation: &Simulation, ladder: &Ladder) -> Result<(), TestCaseError> {
    for corpus in ladder.corpora() {
        let runs: Vec<&Run> = ladder
            .runs()
            .iter()
            .filter(|r| r.corpus == corpus)
            .collect();
        let count = |keep: &dyn Fn(&Run) -> bool, of: &dyn Fn(&Run) -> f64| {
            let mut found: Vec<f64> = runs.iter().filter(|r| keep(r)).map(|r| of(r)).collect();
            found.sort_by(f64::total_cmp);
            found.dedup_by(|a, b| (*a / *b - 1.0).abs() < 0.02);
            found.len()
        };
        let kept = match design {
            Design::Isoflop => {
                let sizes = simulation
                    .budgets
                    .iter()
                    .map(|b| count(&|r| (r.budget / b - 1.0).abs() < 0.02, &|r| r.params));
                let (wide, narrow): (Vec<_>, Vec<_>) = sizes.partition(|&k| k >= 3);
                wide.len() >= 3 && wide.iter().sum::<usize>() >= narrow.iter().sum()
            }
            Design::Grid => {
                let lengths = runs.iter().map(|r| {
                    let size = r.params;
                    (size.to_bits(), count(&|r| r.params == size, &|r| r.tokens))
                });
                let long = lengths.filter(|l| l.1 >= 2).map(|l| l.0);
                long.collect::<std::collections::BTreeSet<u64>>().len() >= 2
            }
            _ => true,
        };
        prop_assume!(kept);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_global_rejects: 1024, ..ProptestConfig::default() })]

    #[test]
    fn irregular_isoflop((simulation, ladder) in irregular_ladders(Design::Isoflop)) {
        still_of(Design::Isoflop, &simulation, &ladder)?;
        all(&ladder, Design::Isoflop)?;
    }

    #[test]
    fn irregular_rungs((_, ladder) in irregular_ladders(Design::Rungs)) {
        all(&ladder, Design::Rungs)?;
    }

    #[test]
    fn irregular_grid((simulation, ladder) in irregular_ladders(Design::Grid)) {
        still_of(Design::Grid, &simulation, &ladder)?;
        all(&ladder, Design::Grid)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_global_rejects: 256, ..ProptestConfig::default() })]

    #[test]
    fn isoflop((_, ladder) in ladders(Design::Isoflop)) {
        all(&ladder, Design::Isoflop)?;
    }

    #[test]
    fn rungs((_, ladder) in ladders(Design::Rungs)) {
        all(&ladder, Design::Rungs)?;
    }

    #[test]
    fn grid((_, ladder) in ladders(Design::Grid)) {
        all(&ladder, Design::Grid)?;
    }

    /// A noiseless law in the class that is fitted is found, and the interval knows it.
    #[test]
    fn noiseless((simulation, _) in ladders(Design::Isoflop)) {
        let mut simulation = simulation;
        simulation.run_noise = 0.0;
        simulation.corpora = 1;
        for d in &mut simulation.distributions {
            d.noise = 0.0;
            d.items = None;
            // The narrow quadratic is in the class too.
            d.profile[1] = 0.0;
        }
        let ladder = simulation.ladder(0).unwrap();
        let analysis = run(&ladder, &options(&["treatment"], "baseline"))?;
        let truth = simulation.exponent(0, 1).unwrap();
        close(analysis.laws[0].delta_beta.value, truth, 1e-10)?;
        prop_assert!(analysis.laws[0].diagnostics.variance.total <= 1e-18);
    }

    /// Residuals k times as large make the standard error k times as large.
    #[test]
    fn residuals_scale(
        noise in proptest::collection::vec(-1.0..1.0_f64, 5..9),
        slope in -0.05..0.05_f64,
        k in 0.1..10.0_f64,
    ) {
        let ladder = |scale: f64| {
            let mut b = Ladder::builder();
            for (i, e) in noise.iter().enumerate() {
                let c = 1e18 * 10_f64.powf(0.4 * i as f64);
                let id = format!("{i}");
                b.run(Run::new(&id, Scale { params: c.sqrt() / 10.0, tokens: c.sqrt(), flops: c }).corpus("web")).unwrap();
                b.score(&id, "baseline", "", 2.0, 1.0).unwrap();
                b.score(&id, "treatment", "", 3.0 * (slope * (c / 1e18).ln() + 1e-3 * scale * e).exp(), 1.0).unwrap();
            }
            b.build().unwrap()
        };
        let se = |scale: f64| {
            let a = analyze(&ladder(scale), &Options::new("baseline")).unwrap();
            a.laws[0].delta_beta.standard_error
        };
        close(k * se(1.0), se(k), 1e-9)?;
    }
}

#[test]
fn numbers_outside_their_domain_are_refused_by_name() {
    let mut b = Ladder::builder();
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        assert!(
            b.run(
                Run::new(
                    "r",
                    Scale {
                        params: 1e8,
                        tokens: 1e9,
                        flops: bad
                    }
                )
                .corpus("c")
                .budget(1e18)
            )
            .is_err()
        );
    }
    b.run(
        Run::new(
            "r",
            Scale {
                params: 1e8,
                tokens: 1e9,
                flops: 1e18,
            },
        )
        .corpus("c"),
    )
    .unwrap();
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let error = b.score("r", "d", "", bad, 1.0).unwrap_err().to_string();
        assert!(
            error.contains("\"r\"") && error.contains("\"d\""),
            "{error}"
        );
    }
    let mut b = Ladder::builder();
    // An error rate may be zero; what has a logarithm taken may not, and the fit says whose it is.
    for i in 0..5 {
        let flops = 10_f64.powi(18 + i);
        let id = format!("run-{i}");
        b.run(
            Run::new(
                &id,
                Scale {
                    params: 1e8,
                    tokens: flops / 6e8,
                    flops,
                },
            )
            .corpus("web"),
        )
        .unwrap();
        let loss = if i == 3 { 0.0 } else { 1.0 };
        b.score(&id, "d", "", loss, 1.0).unwrap();
        b.score(&id, "base", "", 1.0, 1.0).unwrap();
    }
    let error = analyze(&b.build().unwrap(), &Options::new("base")).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("\"run-3\"") && error.contains("\"d\"") && error.contains("zero"),
        "{error}"
    );
}

#[test]
fn tables_are_refused_by_line() {
    let header = "corpus,run,budget,flops,params,tokens,distribution,loss,flop_convention\n";
    let row = "web,a,1e18,1e18,1e8,1e9,news,2.5,training\n";
    let text = |rest: &str| format!("{header}{row}{rest}");
    for (rest, word) in [
        ("web,b,1e18,1e18,1e8,1e9,news,x,training\n", "loss"),
        ("web,b,1e18,-1,1e8,1e9,news,2,training\n", "flops"),
        ("web,b,1e18,1e18,1e8,1e9,news,-2,training\n", "loss"),
        ("web,b,1e18,1e18,1e8,1e9,news,2,6nd\n", "flop_convention"),
        ("web,a,1e18,2e18,1e8,1e9,books,2,training\n", "flops"),
        (row, "repeats line 2"),
        ("web,a,1e18\n", "line"),
    ] {
        let error = Ladder::from_csv(text(rest).as_bytes(), "t.csv")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("t.csv") && error.contains('3') && error.contains(word),
            "{error}"
        );
    }
    let error = Ladder::from_csv("corpus,run\n".as_bytes(), "t.csv")
        .unwrap_err()
        .to_string();
    assert!(error.contains("budget"), "{error}");
}
