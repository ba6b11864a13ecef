//! Predictions of scales that were not fitted.

use relscale::fit::simulate::{ItemTruth, Shape, Simulation, Truth};
use relscale::fit::{
    Analysis, FloorRatio, FlooredLaw, Interval, ItemSampling, Options, RatioLimit, RatioShape,
    RelativeLaw, ShapeComparison, analyze,
};
use relscale::ladder::{Ladder, Run, Scale};

fn analysis(simulation: &Simulation, replicate: u64) -> Analysis {
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    options.floor_draws = 0;
    analyze(&simulation.ladder(replicate).unwrap(), &options).unwrap()
}

/// Six sizes by five lengths, with what each size has of its own.
fn grid(size_noise: f64) -> Simulation {
    let mut s = Simulation::default();
    s.budgets = vec![6.6e19];
    s.shape = Shape::Grid {
        params: [1.9, 3.6, 5.5, 7.4, 12.8, 30.0].map(|n| 1e8 * n).to_vec(),
        tokens_per_param: vec![10.0, 20.0, 40.0, 100.0, 200.0],
    };
    let mut treatment = Truth::new("treatment", 0.3, 0.04);
    treatment.data_per_param = 0.01;
    treatment.size_noise = size_noise;
    let baseline = Truth::new("baseline", 0.0, 0.05);
    s.distributions = vec![treatment, baseline];
    s.distributions.iter_mut().for_each(|t| t.noise = 0.0015);
    s
}

/// Share of the held-out sizes inside their intervals, and of exponents inside theirs.
fn coverage(simulation: &Simulation, replicates: u64) -> [f64; 2] {
    let (mut inside, mut all, mut exponents) = (0.0, 0.0, 0.0);
    let truth = simulation.exponent(0, 1).unwrap();
    for replicate in 0..replicates {
        let analysis = analysis(simulation, replicate);
        let law = &analysis.laws[0];
        for holdout in &law.diagnostics.backtest.holdouts {
            all += 1.0;
            inside += f64::from(u8::from(holdout.inside));
        }
        let d = law.delta_beta;
        exponents += f64::from(u8::from(d.lower <= truth && truth <= d.upper));
    }
    [inside / all, exponents / replicates as f64]
}

#[test]
fn held_out_sizes_lie_in_their_intervals() {
    for size_noise in [0.0, 0.004] {
        let [sizes, exponents] = coverage(&grid(size_noise), 200);
        println!("size noise {size_noise}: {sizes:.3} of sizes, {exponents:.3} of exponents");
        // A size has five readings that share its effect, and three holdings-out share sizes: the
        // error of the share is about 0.02.
        assert!(sizes > 0.93 && exponents > 0.92, "{sizes}, {exponents}");
        // With an effect of sizes the intervals are exact; without one they know that there is none
        // only by what the sizes show.
        assert!(size_noise == 0.0 || exponents < 0.985, "{exponents}");
    }
}

#[test]
fn exponent_prediction_and_backtest_have_one_variance() {
    // The largest size is predicted from the others as `predict` would from a ladder without it.
    let whole = analysis(&grid(0.004), 3);
    let law = &whole.laws[0];
    let largest = law.readings.iter().map(|r| r.params).fold(0.0, f64::max);
    let mut builder = Ladder::builder();
    for (i, r) in law.readings.iter().enumerate() {
        if r.params > 0.99 * largest {
            continue;
        }
        let id = format!("run-{i}");
        let scale = Scale {
            params: r.params,
            tokens: r.scale / (6.0 * r.params),
            flops: r.scale,
        };
        builder.run(Run::new(&id, scale)).unwrap();
        let scores = [
            ("treatment", r.treatment_error),
            ("baseline", r.baseline_error),
        ];
        for (name, loss) in scores {
            builder.score(&id, name, "", loss, 1.0).unwrap();
        }
    }
    let mut options = Options::new("baseline");
    options.specification_term = false;
    options.tokens_per_param = Some(40.0);
    let part = analyze(&builder.build().unwrap(), &options).unwrap();
    let line = &part.laws[0].line;
    let holdouts = &law.diagnostics.backtest.holdouts;
    let at_forty = holdouts
        .iter()
        .find(|h| h.fitted == 25 && (h.scale / (6.0 * 9e18 * 40.0) - 1.0).abs() < 1e-9)
        .unwrap();
    let predicted = line.predict(at_forty.scale).ratio;
    for (one, two) in [
        (predicted.value, at_forty.predicted.value),
        (predicted.lower, at_forty.predicted.lower),
        (predicted.upper, at_forty.predicted.upper),
    ] {
        assert!((one.ln() - two).abs() < 1e-9, "{predicted:?} {at_forty:?}");
    }
    let d = part.laws[0].delta_beta;
    assert!((line.slope_variance.sqrt() / d.standard_error - 1.0).abs() < 1e-12);
    // Three degrees of freedom: five sizes, two parameters of a line.
    assert_eq!((d.df, line.df), (3.0, 3.0));
}

/// Nine budgets over four decades, one run each, with laws that approach floors.
fn floored(floors: [f64; 2], noise: f64) -> Simulation {
    let mut s = Simulation::default();
    s.budgets = (0..9)
        .map(|j| 1e18 * 10_f64.powf(0.5 * f64::from(j)))
        .collect();
    s.shape = Shape::Rungs;
    let truth = |name: &str, level: f64, beta: f64, floor: f64| {
        let mut t = Truth::new(name, level, beta);
        (t.floor, t.noise) = (floor, noise);
        t
    };
    s.distributions = vec![
        truth("treatment", 0.7, 0.12, floors[0]),
        truth("baseline", 0.5, 0.15, floors[1]),
    ];
    s
}

/// True `ln G` at a scale.
fn ln_ratio(s: &Simulation, flops: f64) -> f64 {
    let x = flops.ln() - s.budgets.iter().map(|c| c.ln()).sum::<f64>() / s.budgets.len() as f64;
    s.log_error(0, x, 0.0) - s.log_error(1, x, 0.0)
}

fn predicted(simulation: &Simulation, replicate: u64, at: f64) -> FloorRatio {
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    options.predict_at = vec![at];
    let ladder = simulation.ladder(replicate).unwrap();
    let analysis = analyze(&ladder, &options).unwrap();
    analysis.laws[0].alternatives.floor_ratio.clone().unwrap()
}

fn holds(interval: Interval, truth: f64) -> f64 {
    assert!(interval.lower <= interval.upper, "{interval:?}");
    f64::from(u8::from(interval.lower <= truth && truth <= interval.upper))
}

#[test]
fn the_ratio_of_floored_laws_covers_what_it_predicts() {
    let s = floored([1.0, 0.8], 0.002);
    let (at, n) = (1e23, 300);
    let (mut top, mut far, mut limit, mut identified, mut wider) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for replicate in 0..n {
        let r = predicted(&s, replicate, at);
        top += holds(r.top, ln_ratio(&s, 1e22).exp());
        far += holds(r.predictions[0].line, ln_ratio(&s, at).exp());
        let width = |i: Interval| i.upper - i.lower;
        wider += width(r.predictions[0].ratio) / width(r.predictions[0].line);
        if let RatioLimit::Identified(i) = r.limit {
            identified += 1.0;
            limit += holds(i, 1.25);
        }
    }
    let n = n as f64;
    println!(
        "coverage at the top {:.3}, a decade beyond {:.3}, of the limit {:.3} of {:.3} identified",
        top / n,
        far / n,
        limit / identified,
        identified / n
    );
    // The Monte Carlo error of a share near 0.95 is 0.013; percentiles of 199 draws lose another 0.01.
    assert!(top / n > 0.91 && far / n > 0.91);
    // A reading has its own noise beside that of the laws.
    assert!(wider / n > 1.05, "{}", wider / n);
    assert!(identified / n > 0.9 && limit / identified > 0.9);
}

#[test]
fn without_floors_the_limit_is_not_identified() {
    let s = floored([0.0, 0.0], 0.002);
    let mut open = 0;
    for replicate in 0..40 {
        let r = predicted(&s, replicate, 1e23);
        if let RatioLimit::NotIdentified { floors } = &r.limit {
            open += 1;
            assert!(!floors.is_empty());
            assert!(r.sentence.contains("no identified limit"), "{}", r.sentence);
        }
    }
    // A floor that is not there differs from zero at 2.5 % on either side by chance.
    assert!(open >= 36, "{open} of 40");
}

#[test]
fn a_swapped_pair_is_the_reciprocal_and_units_cancel() {
    let s = floored([1.0, 0.8], 0.002);
    let ladder = s.ladder(1).unwrap();
    let of = |baseline: &str, ladder: &Ladder| {
        let mut options = Options::new(baseline);
        options.predict_at = vec![1e23];
        let a = analyze(ladder, &options).unwrap();
        a.laws[0].alternatives.floor_ratio.clone().unwrap()
    };
    let (one, two) = (of("baseline", &ladder), of("treatment", &ladder));
    assert!((one.top.value * two.top.value - 1.0).abs() < 1e-9);
    assert!((one.top_exponent.value + two.top_exponent.value).abs() < 1e-9);
    // The draws give the two sides other numbers, so the ends agree to their error only.
    let width = (one.top.upper / one.top.lower).ln();
    assert!(
        (one.top.lower * two.top.upper).ln().abs() < 0.3 * width,
        "{one:?} {two:?}"
    );
    // The same draws again, bit by bit.
    assert_eq!(of("baseline", &ladder), one);
    let mut scaled = Ladder::builder();
    for (i, r) in analyze(&ladder, &Options::new("baseline")).unwrap().laws[0]
        .readings
        .iter()
        .enumerate()
    {
        let id = format!("run-{i}");
        let scale = Scale {
            params: r.params,
            tokens: r.scale / (6.0 * r.params),
            flops: r.scale,
        };
        scaled.run(Run::new(&id, scale)).unwrap();
        scaled
            .score(&id, "treatment", "", 3.0 * r.treatment_error, 1.0)
            .unwrap();
        scaled
            .score(&id, "baseline", "", 7.0 * r.baseline_error, 1.0)
            .unwrap();
    }
    let other = of("baseline", &scaled.build().unwrap());
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-5;
    for (a, b) in [
        (one.top, other.top),
        (one.predictions[0].ratio, other.predictions[0].ratio),
    ] {
        for (a, b) in [(a.value, b.value), (a.lower, b.lower), (a.upper, b.upper)] {
            assert!(close(a * 3.0 / 7.0, b), "{one:?} {other:?}");
        }
    }
}

#[test]
fn on_a_grid_the_pair_is_of_surfaces() {
    let r = predicted(&grid(0.001), 0, 1e23);
    assert!(matches!(r.treatment, FlooredLaw::Surface { .. }));
    let p = &r.predictions[0];
    assert!(p.ratio.lower < p.ratio.value && p.ratio.value < p.ratio.upper);
    assert!(r.top.lower < r.top.value && r.top.value < r.top.upper);
}

fn shapes_of(simulation: &Simulation, replicate: u64, at: f64) -> ShapeComparison {
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    options.predict_at = vec![at];
    let ladder = simulation.ladder(replicate).unwrap();
    let analysis = analyze(&ladder, &options).unwrap();
    analysis.laws[0].alternatives.shapes.clone().unwrap()
}

fn weight(comparison: &ShapeComparison, shape: RatioShape) -> f64 {
    let found = comparison.shapes.iter().find(|s| s.shape == shape);
    found.map_or(0.0, |s| s.weight)
}

#[test]
fn weights_follow_the_law_and_the_average_covers() {
    let at = 1e23;
    let n = 150;
    for (floors, noise) in [([1.0, 0.8], 0.002), ([0.0, 0.0], 0.002)] {
        let s = floored(floors, noise);
        let truth = ln_ratio(&s, at).exp();
        let (mut power, mut inside, mut width) = (0.0, 0.0, 0.0);
        for replicate in 0..n {
            let c = shapes_of(&s, replicate, at);
            let total: f64 = c.shapes.iter().map(|s| s.weight).sum();
            assert!((total - 1.0).abs() < 1e-12 && c.readings == 9);
            assert_eq!(c.shapes.len() + c.refused.len(), 5);
            power += weight(&c, RatioShape::Power);
            let p = &c.predictions[0];
            inside += holds(p.line, truth);
            width += (p.ratio.upper - p.ratio.lower) / (p.line.upper - p.line.lower);
        }
        let n = n as f64;
        let (power, inside) = (power / n, inside / n);
        println!(
            "floors {floors:?}: weight of the power law {power:.2}, average covers {inside:.3}"
        );
        assert!(inside > 0.9 && width > n, "{inside}");
        // A ratio that bends takes the weight off the line, one that does not leaves it there: two
        // shapes of two parameters share it.
        assert!(
            if floors[0] > 0.0 {
                power < 0.35
            } else {
                power > 0.35
            },
            "{power}"
        );
    }
}

#[test]
fn shapes_with_too_many_parameters_are_refused_by_name() {
    let mut s = floored([1.0, 0.8], 0.002);
    s.budgets.truncate(7);
    let c = shapes_of(&s, 0, 1e22);
    let floors = c
        .refused
        .iter()
        .find(|r| r.shape == RatioShape::FloorRatio)
        .unwrap();
    assert_eq!(
        floors.reason,
        "5 parameters need 8 readings for AICc, and there are 7"
    );
    assert!(c.shapes.iter().any(|s| s.shape == RatioShape::BrokenPower));
    s.budgets.truncate(5);
    let c = shapes_of(&s, 0, 1e21);
    let refused: Vec<RatioShape> = c.refused.iter().map(|r| r.shape).collect();
    let three = [
        RatioShape::ExponentialApproach,
        RatioShape::BrokenPower,
        RatioShape::FloorRatio,
    ];
    assert_eq!(refused, three);
    // A line through the four smallest leaves residuals for one hold-out and for two.
    let power = c
        .shapes
        .iter()
        .find(|s| s.shape == RatioShape::Power)
        .unwrap();
    assert!(power.backtest_errors[0].is_some() && power.backtest_errors[1].is_some());
    assert_eq!(power.backtest_errors[2], None);
}

#[test]
fn shapes_of_a_grid_are_compared_by_size() {
    let c = shapes_of(&grid(0.001), 0, 1e23);
    assert_eq!(c.readings, 6);
    let refused: Vec<RatioShape> = c.refused.iter().map(|r| r.shape).collect();
    assert_eq!(refused, [RatioShape::BrokenPower, RatioShape::FloorRatio]);
    let p = &c.predictions[0];
    assert!(p.ratio.lower < p.line.lower && p.line.upper < p.ratio.upper);
}

#[test]
fn the_power_shape_is_the_law() {
    let s = floored([0.0, 0.0], 0.002);
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    let analysis = analyze(&s.ladder(2).unwrap(), &options).unwrap();
    let law = &analysis.laws[0];
    let shapes = law.alternatives.shapes.as_ref().unwrap();
    let power = shapes
        .shapes
        .iter()
        .find(|s| s.shape == RatioShape::Power)
        .unwrap();
    let d = law.delta_beta;
    for (a, b) in [
        (power.top_exponent.value, d.value),
        (power.top_exponent.lower, d.lower),
        (power.top_exponent.upper, d.upper),
    ] {
        assert!((a - b).abs() < 1e-10, "{power:?} {d:?}");
    }
    // The same criterion as that of the curvature check.
    let [_, line, _] = law.diagnostics.curvature.aicc;
    assert!((power.aicc - line.unwrap()).abs() < 1e-9);
}

#[test]
fn shapes_have_the_variance_of_items_and_the_average_has_it_once() {
    let mut s = floored([0.0, 0.0], 0.002);
    s.distributions[0].items = Some(ItemTruth::new(400, 20));
    let ladder = s.ladder(1).unwrap();
    let with = |items: ItemSampling| {
        let mut options = Options::new("baseline");
        options.treatments = vec!["treatment".into()];
        options.predict_at = vec![1e23];
        options.items = items;
        let mut analysis = analyze(&ladder, &options).unwrap();
        analysis.laws.remove(0)
    };
    let [population, fixed] = [ItemSampling::Population, ItemSampling::Fixed].map(with);
    let beside = |law: &RelativeLaw| law.diagnostics.variance.total - law.diagnostics.variance.run;
    let items = beside(&population) - beside(&fixed);
    assert!(items > 0.0 && fixed.diagnostics.variance.run > 0.0);
    let square = |law: &RelativeLaw, of: fn(&ShapeComparison) -> Interval, df: f64| {
        let interval = of(law.alternatives.shapes.as_ref().unwrap());
        let half = 0.5 * (interval.upper - interval.lower);
        (half / quantile(df)).powi(2)
    };
    let power: fn(&ShapeComparison) -> Interval = |c| {
        let found = c.shapes.iter().find(|s| s.shape == RatioShape::Power);
        found.unwrap().top_exponent
    };
    // Nine readings and two parameters.
    let more = square(&population, power, 7.0) - square(&fixed, power, 7.0);
    assert!((more / items - 1.0).abs() < 1e-6, "{more} {items}");
    // An average of several shapes is no wider than the widest of them and their spread.
    let widest = |law: &RelativeLaw| {
        let shapes = law.alternatives.shapes.clone().unwrap();
        let ends = shapes.shapes.iter().map(|s| s.top_exponent);
        let (low, high) = ends.fold((f64::MAX, f64::MIN), |(l, h), i| {
            (l.min(i.lower), h.max(i.upper))
        });
        (
            high - low,
            shapes.top_exponent.upper - shapes.top_exponent.lower,
        )
    };
    for law in [&population, &fixed] {
        let (widest, average) = widest(law);
        assert!(average <= widest, "{average} {widest}");
    }
}

/// The 97.5 % quantile of Student's t.
fn quantile(df: f64) -> f64 {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    StudentsT::new(0.0, 1.0, df).unwrap().inverse_cdf(0.975)
}
