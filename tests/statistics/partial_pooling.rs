//! Exponents drawn towards their mean: known truths, coverage and refusals.

use relscale::fit::simulate::{ItemTruth, Shape, Simulation, Truth};
use relscale::fit::{Options, PartialPooling, analyze};
use relscale::ladder::Ladder;

/// Middles of twelve equal parts of a normal distribution, in no order.
const NORMAL: [f64; 12] = [
    0.104, -1.732, 0.549, -0.319, 1.150, -0.812, 1.732, 0.319, -1.150, 0.812, -0.104, -0.549,
];

fn simulation(tau: f64, noise: f64, shape: Shape) -> Simulation {
    let mut s = Simulation::default();
    s.shape = shape;
    let truth = |name: String, beta: f64| {
        let mut t = Truth::new(name, 0.3, beta);
        t.noise = noise;
        t.profile = [0.03, -0.004, 0.0];
        t
    };
    let treated = NORMAL.iter().enumerate();
    s.distributions = treated
        // Δβ = β_b − β_t, with mean .004.
        .map(|(k, z)| truth(format!("t{k:02}"), 0.05 - 0.004 - tau * z))
        .chain([
            truth("baseline".into(), 0.05),
            truth("aggregate".into(), 0.05),
        ])
        .collect();
    s
}

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    options.partial_pooling = true;
    // Pooling weighs exponents by their own variances; moderated laws have borrowed from one another
    // already, and may be narrower than what is pooled.
    options.moderation = false;
    options
}

fn pooled(ladder: &Ladder) -> PartialPooling {
    let mut analysis = analyze(ladder, &options()).unwrap();
    analysis.partial_pooling.remove(0)
}

/// Share of intervals with the truth, pooled and raw, and the mean width of pooled over raw ones.
fn coverage(simulation: &Simulation, tau: f64, replicates: u64) -> [f64; 3] {
    let (mut inside, mut raw, mut all) = (0.0, 0.0, 0.0);
    let (mut width, mut raw_width) = (0.0, 0.0);
    for replicate in 0..replicates {
        let found = pooled(&simulation.ladder(replicate).unwrap());
        for t in &found.treatments {
            let k: usize = t.treatment[1..].parse().unwrap();
            let truth = 0.004 + tau * NORMAL[k];
            let has = |e: &relscale::fit::Estimate| f64::from(e.lower <= truth && truth <= e.upper);
            inside += has(&t.delta_beta);
            raw += has(&t.raw);
            width += t.delta_beta.upper - t.delta_beta.lower;
            raw_width += t.raw.upper - t.raw.lower;
            all += 1.0;
        }
    }
    [inside / all, raw / all, width / raw_width]
}

#[test]
fn pooled_intervals_cover_on_average_and_are_narrower() {
    // 100 ladders of twelve treatments; the treatments of one ladder share the baseline's error, so
    // the count is worth some 300 intervals.
    for (tau, noise) in [
        (0.0, 0.002),
        (0.0005, 0.002),
        (0.002, 0.002),
        (0.006, 0.002),
    ] {
        let simulation = simulation(tau, noise, Shape::Rungs);
        let [inside, raw, width] = coverage(&simulation, tau, 100);
        println!("rungs tau {tau}: pooled {inside:.3} raw {raw:.3} width {width:.3}");
        assert!(inside > 0.925, "{tau}: {inside}");
        assert!(raw > 0.90, "{tau}: {raw}");
        assert!(width < 1.02, "{tau}: {width}");
    }
}

#[test]
fn with_items_and_sizes_intervals_cover_too() {
    for tau in [0.0005, 0.003] {
        let shape = Shape::Isoflop {
            sizes: 7,
            drift: 0.0,
        };
        let mut simulation = simulation(tau, 0.002, shape);
        for d in &mut simulation.distributions[..13] {
            d.items = Some(ItemTruth::new(200, 20));
        }
        let [inside, raw, width] = coverage(&simulation, tau, 40);
        println!("isoflop tau {tau}: pooled {inside:.3} raw {raw:.3} width {width:.3}");
        assert!(inside > 0.92, "{tau}: {inside}");
        assert!(raw > 0.92, "{tau}: {raw}");
        assert!(width < 1.05, "{tau}: {width}");
    }
}

#[test]
fn pooling_moves_towards_the_mean_and_changes_nothing_else() {
    let ladder = simulation(0.002, 0.002, Shape::Rungs).ladder(3).unwrap();
    let analysis = analyze(&ladder, &options()).unwrap();
    let mut plain = options();
    plain.partial_pooling = false;
    let plain = analyze(&ladder, &plain).unwrap();
    assert_eq!(analysis.laws, plain.laws);
    assert!(plain.partial_pooling.is_empty());
    let pooled = &analysis.partial_pooling[0];
    let mean = pooled.mean.value;
    assert_eq!(pooled.treatments.len(), 12);
    for (t, law) in pooled.treatments.iter().zip(&analysis.laws) {
        assert_eq!(t.treatment, law.treatment);
        assert!((t.raw.value - law.delta_beta.value).abs() < 1e-14);
        assert!((t.raw.upper - law.delta_beta.upper).abs() < 1e-14);
        let expected = t.share * mean + (1.0 - t.share) * t.raw.value;
        assert!((t.delta_beta.value - expected).abs() < 1e-13);
        assert!((0.0..=1.0).contains(&t.share));
    }
    let text = analysis.details();
    assert!(text.contains("partial pooling: mean Δβ"), "{text}");
    assert!(text.contains("pooled Δβ"), "{text}");
}

#[test]
fn three_treatments_are_not_pooled() {
    let ladder = simulation(0.002, 0.002, Shape::Rungs).ladder(3).unwrap();
    let mut few = options();
    few.treatments = ["t00", "t01", "t02"].map(String::from).to_vec();
    let analysis = analyze(&ladder, &few).unwrap();
    assert!(analysis.partial_pooling.is_empty());
    let reason = &analysis.refused[0].reason;
    assert!(reason.contains("3 found, 4 needed"), "{reason}");
}
