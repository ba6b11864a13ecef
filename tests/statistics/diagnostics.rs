//! Diagnostics that need ladders made for them.

use relscale::fit::simulate::{Scenario, Shape, Simulation};
use relscale::fit::{Analysis, Flag, Options, analyze};
use relscale::ladder::{Ladder, Run, Scale};

fn options() -> Options {
    let mut o = Options::new("baseline");
    o.treatments = vec!["treatment".into()];
    o.aggregate = Some("aggregate".into());
    o
}

/// Five budgets of eight sizes with two seeds each, with the log ratio `y(budget, ln N − ln N*, seed)`.
fn replicated(y: impl Fn(usize, f64, u64) -> f64) -> Ladder {
    let mut builder = Ladder::builder();
    for j in 0..5 {
        let flops = 1e18 * 4_f64.powi(j);
        for k in 0..8 {
            let z = 0.5 * (f64::from(k) - 3.5);
            let params = 0.1 * flops.sqrt() * z.exp();
            for seed in 0..2 {
                let id = format!("run-{j}-{k}-{seed}");
                let tokens = flops / (6.0 * params);
                let run = Run::new(
                    &id,
                    Scale {
                        params,
                        tokens,
                        flops,
                    },
                )
                .corpus("web")
                .seed(seed);
                builder.run(run).unwrap();
                let base = 3.0 * flops.powf(-0.05) * (0.03 * z * z).exp();
                builder.score(&id, "aggregate", "", base, 1.0).unwrap();
                builder.score(&id, "baseline", "", base, 1.0).unwrap();
                let treatment = base * y(j as usize, z, seed).exp();
                builder.score(&id, "treatment", "", treatment, 1.0).unwrap();
            }
        }
    }
    builder.build().unwrap()
}

/// Least squares by the normal equations, independent of the crate's.
fn residuals(u: &[f64], y: &[f64], degree: usize) -> Vec<f64> {
    let p = degree + 1;
    let mut m = vec![vec![0.0; p + 1]; p];
    for (u, y) in u.iter().zip(y) {
        for (a, row) in m.iter_mut().enumerate() {
            for (b, cell) in row.iter_mut().take(p).enumerate() {
                *cell += u.powi((a + b) as i32);
            }
            row[p] += u.powi(a as i32) * y;
        }
    }
    for a in 0..p {
        let pivot = m[a].clone();
        for (b, row) in m.iter_mut().enumerate() {
            if b != a {
                let k = row[a] / pivot[a];
                row.iter_mut().zip(&pivot).for_each(|(c, p)| *c -= k * p);
            }
        }
    }
    let c: Vec<f64> = (0..p).map(|a| m[a][p] / m[a][a]).collect();
    let fitted = |u: f64| (0..p).map(|a| c[a] * u.powi(a as i32)).sum::<f64>();
    u.iter().zip(y).map(|(&u, y)| y - fitted(u)).collect()
}

fn law(a: &Analysis) -> &relscale::fit::RelativeLaw {
    &a.laws[0]
}

/// Noise of known values, without a generator.
fn wobble(j: usize, z: f64, seed: u64) -> f64 {
    1e-3 * (17.0 * z + 5.0 * j as f64 + 11.0 * seed as f64).sin()
}

#[test]
fn lack_of_fit_is_the_textbook_decomposition() {
    let a = analyze(
        &replicated(|j, z, seed| 0.3 + wobble(j, z, seed)),
        &options(),
    )
    .unwrap();
    let l = law(&a).diagnostics.lack_of_fit.unwrap();
    let (mut rss, mut pure, mut n) = (0.0, 0.0, 0);
    for j in 0..5 {
        // The best size is the first of two equal ones, at z = -0.25: all lie within ln 8 of it.
        let z: Vec<f64> = (0..16).map(|i| 0.5 * (f64::from(i / 2) - 3.5)).collect();
        let y: Vec<f64> = (0..16)
            .map(|i| 0.3 + wobble(j, z[i], (i % 2) as u64))
            .collect();
        rss += residuals(&z, &y, 3).iter().map(|e| e * e).sum::<f64>();
        pure += y
            .chunks(2)
            .map(|c| (c[0] - c[1]).powi(2) / 2.0)
            .sum::<f64>();
        n += 8;
    }
    let f = ((rss - pure) / 20.0) / (pure / f64::from(n));
    assert_eq!((l.budgets, l.df, l.pure_df), (5, 20, 40));
    assert!((l.f / f - 1.0).abs() < 1e-9, "{} and {f}", l.f);
    assert!((l.pure_sd / (pure / 40.0).sqrt() - 1.0).abs() < 1e-9);
    // The aggregate has no noise at all here, so that there is nothing to compare with.
    let frontier = a.corpora[0].frontier.as_ref().unwrap();
    assert!(frontier.lack_of_fit.is_none());
}

#[test]
fn a_kink_in_the_profile_is_a_lack_of_fit_and_a_cubic_is_not() {
    let kink = |j: usize, z: f64, seed: u64| 0.3 + 0.02 * z.abs() + wobble(j, z, seed);
    let cubic = |j: usize, z: f64, seed: u64| {
        0.3 + 0.02 * z + 0.01 * z * z - 0.004 * z * z * z + wobble(j, z, seed)
    };
    let bent = analyze(&replicated(kink), &options()).unwrap();
    assert!(law(&bent).diagnostics.lack_of_fit.unwrap().p_value < 1e-3);
    assert!(law(&bent).flags.contains(&Flag::LackOfFit));
    let smooth = analyze(&replicated(cubic), &options()).unwrap();
    let flat = analyze(
        &replicated(|j, z, seed| 0.3 + wobble(j, z, seed)),
        &options(),
    )
    .unwrap();
    // A cubic is in the model: it changes nothing.
    let (a, b) = (
        law(&smooth).diagnostics.lack_of_fit,
        law(&flat).diagnostics.lack_of_fit,
    );
    assert!((a.unwrap().f / b.unwrap().f - 1.0).abs() < 1e-8);
}

#[test]
fn lack_of_fit_has_its_level_on_simulated_cubics() {
    let mut s = Simulation::default();
    s.seeds = 2;
    let (mut small, mut mean) = (0, 0.0);
    let n = 100;
    for replicate in 0..n {
        let a = analyze(&s.ladder(replicate).unwrap(), &options()).unwrap();
        let p = law(&a).diagnostics.lack_of_fit.unwrap().p_value;
        small += usize::from(p < 0.05);
        mean += p / n as f64;
    }
    // Binomial(100, .05) exceeds 13 once in 2,000; the mean of uniforms has standard error 0.029.
    assert!(small <= 13 && (mean - 0.5).abs() < 0.11, "{small}, {mean}");
}

#[test]
fn without_seeds_there_is_no_pure_error() {
    let a = analyze(&Simulation::default().ladder(0).unwrap(), &options()).unwrap();
    assert!(law(&a).diagnostics.lack_of_fit.is_none());
}

#[test]
fn an_analysis_survives_a_file_and_another_schema_is_refused() {
    let a = analyze(&Simulation::default().ladder(0).unwrap(), &options()).unwrap();
    let mut json = serde_json::to_value(&a).unwrap();
    let read: Analysis = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read, a);
    assert_eq!(law(&read).band(), law(&a).band());
    json["schema"] = 1.into();
    let error = serde_json::from_value::<Analysis>(json).unwrap_err();
    assert!(error.to_string().contains("schema 1"), "{error}");
}

#[test]
fn the_summary_is_what_one_quotes() {
    let mut o = options();
    o.predict_at = vec![1e24];
    let a = analyze(&Simulation::default().ladder(0).unwrap(), &o).unwrap();
    let whole = serde_json::to_value(&a).unwrap();
    let summary = serde_json::to_value(a.summary()).unwrap();
    // Every field stands under its name in the whole.
    for key in ["schema", "options", "refused"] {
        assert_eq!(summary[key], whole[key], "{key}");
    }
    for part in ["laws", "absolute_laws"] {
        let (short, long) = (&summary[part][0], &whole[part][0]);
        for (key, value) in short.as_object().unwrap() {
            assert_eq!(*value, long[key], "{key}");
        }
    }
    assert_eq!(summary["laws"][0]["predictions"][0]["scale"], 1e24);
    assert!(summary["laws"][0]["diagnostics"].is_null());
    assert!(summary.to_string().len() * 3 < whole.to_string().len());
}

#[test]
fn the_line_predicts_as_the_options_do() {
    let mut o = options();
    o.predict_at = vec![1e22, 3e24];
    let a = analyze(&Simulation::default().ladder(0).unwrap(), &o).unwrap();
    let l = law(&a);
    let later: Vec<_> = o.predict_at.iter().map(|&s| l.line.predict(s)).collect();
    assert_eq!(later, l.predictions);
    assert_eq!(l.line.slope, l.delta_beta.value);
    assert_eq!(l.line.slope_variance.sqrt(), l.delta_beta.standard_error);
}

#[test]
fn the_next_power_is_the_textbook_test() {
    let y = |j: usize, z: f64, seed: u64| 0.3 + 0.01 * z.powi(4) + wobble(j, z, seed);
    let a = analyze(&replicated(y), &options()).unwrap();
    let n = law(&a).diagnostics.next_power.unwrap();
    let z: Vec<f64> = (0..16).map(|i| 0.5 * (f64::from(i / 2) - 3.5)).collect();
    let fourth: Vec<f64> = z.iter().map(|z| z.powi(4)).collect();
    let q = residuals(&z, &fourth, 3);
    let (mut rss, mut qe, mut qq) = (0.0, 0.0, 0.0);
    for j in 0..5 {
        let own: Vec<f64> = (0..16).map(|i| y(j, z[i], (i % 2) as u64)).collect();
        let e = residuals(&z, &own, 3);
        rss += e.iter().map(|e| e * e).sum::<f64>();
        qe += e.iter().zip(&q).map(|(e, q)| e * q).sum::<f64>();
        qq += q.iter().map(|q| q * q).sum::<f64>();
    }
    let explained = qe * qe / qq;
    let f = explained / ((rss - explained) / 59.0);
    assert_eq!((n.budgets, n.power, n.df, n.residual_df), (5, 4, 1, 59));
    assert!((n.f / f - 1.0).abs() < 1e-8, "{} and {f}", n.f);
    assert!((n.coefficient * qq / qe - 1.0).abs() < 1e-8);
    assert!(law(&a).flags.contains(&Flag::NextPower));
    let cubic = |j: usize, z: f64, seed: u64| 0.3 + 0.02 * z * z * z + wobble(j, z, seed);
    let flat = |j: usize, z: f64, seed: u64| 0.3 + wobble(j, z, seed);
    let [bent, flat] = [
        analyze(&replicated(cubic), &options()).unwrap(),
        analyze(&replicated(flat), &options()).unwrap(),
    ]
    .map(|a| law(&a).diagnostics.next_power.unwrap().f);
    assert!((bent / flat - 1.0).abs() < 1e-7);
}

#[test]
fn the_next_power_has_its_level_on_cubics_and_finds_a_quartic() {
    let mut level = (0, 0.0);
    let n = 200;
    let p = |s: &Simulation, replicate: u64| {
        let a = analyze(&s.ladder(replicate).unwrap(), &options()).unwrap();
        law(&a).diagnostics.next_power.unwrap().p_value
    };
    for replicate in 0..n {
        let p = p(&Simulation::default(), replicate);
        level.0 += usize::from(p < 0.05);
        level.1 += p / n as f64;
    }
    // Binomial(200, .05) exceeds 20 once in 700; the mean of uniforms has standard error 0.020.
    assert!(level.0 <= 20 && (level.1 - 0.5).abs() < 0.08, "{level:?}");
    let mut quartic = Simulation::default();
    quartic.distributions[0].profile[2] = 0.002;
    let found = (0..20).filter(|&r| p(&quartic, r) < 0.05).count();
    assert!(found >= 18, "{found} of 20");
}

#[test]
fn without_noise_there_is_no_next_power() {
    let mut s = Simulation::default();
    s.run_noise = 0.0;
    s.distributions.iter_mut().for_each(|d| d.noise = 0.0);
    let a = analyze(&s.ladder(0).unwrap(), &options()).unwrap();
    assert!(law(&a).diagnostics.next_power.is_none() && !law(&a).flags.contains(&Flag::NextPower));
}

#[test]
fn items_widen_the_crossed_bootstrap() {
    let mut o = options();
    o.crossed_bootstrap = true;
    // Items make it wider, as they do the interval.
    let sampled = Simulation::scenario(Scenario::Items).ladder(0).unwrap();
    let width = |items| {
        let mut o = o.clone();
        o.items = items;
        let b = law(&analyze(&sampled, &o).unwrap())
            .alternatives
            .crossed_bootstrap
            .unwrap();
        b.upper.value - b.lower.value
    };
    let (population, fixed) = (
        width(relscale::fit::ItemSampling::Population),
        width(relscale::fit::ItemSampling::Fixed),
    );
    assert!(population > 1.5 * fixed, "{population} and {fixed}");
}

#[test]
fn the_largest_t_lies_between_one_law_and_independent_laws() {
    let mut s = Simulation::scenario(Scenario::Items);
    s.corpora = 2;
    for k in 2..5 {
        let mut t = s.distributions[0].clone();
        t.name = format!("treatment-{k}");
        s.distributions.push(t);
    }
    let mut o = options();
    o.treatments.clear();
    o.max_t = true;
    o.family = relscale::fit::FamilyScope::All;
    let a = analyze(&s.ladder(1).unwrap(), &o).unwrap();
    let m = a.max_t.unwrap();
    assert_eq!(m.laws, 8);
    for l in &a.laws {
        let i = l.multiplicity.max_t.unwrap();
        let slack = 5.0 * m.critical.monte_carlo_error * l.delta_beta.standard_error;
        assert!(l.delta_beta.lower >= i.lower - slack && l.delta_beta.upper <= i.upper + slack);
        assert!(
            l.multiplicity.simultaneous.lower <= i.lower + slack
                && l.multiplicity.simultaneous.upper >= i.upper - slack
        );
    }
    // A law and copies of it are one law.
    let mut twins = Simulation::default();
    twins.distributions[0].noise = 0.0;
    for k in 2..5 {
        let mut t = twins.distributions[0].clone();
        t.name = format!("treatment-{k}");
        twins.distributions.push(t);
    }
    let a = analyze(&twins.ladder(1).unwrap(), &o).unwrap();
    let (m, l) = (a.max_t.unwrap(), &a.laws[0]);
    let (i, d) = (l.multiplicity.max_t.unwrap(), l.delta_beta);
    let slack = 5.0 * m.critical.monte_carlo_error * d.standard_error;
    assert!((i.upper - d.upper).abs() < slack, "{i:?} {d:?}");
    // Off unless asked for.
    let a = analyze(&twins.ladder(1).unwrap(), &options()).unwrap();
    assert!(a.max_t.is_none() && a.laws.iter().all(|l| l.multiplicity.max_t.is_none()));
    assert!(
        a.laws
            .iter()
            .all(|l| l.alternatives.crossed_bootstrap.is_none())
    );
}

#[test]
fn draws_do_not_depend_on_threads() {
    let ladder = Simulation::scenario(Scenario::Items).ladder(5).unwrap();
    let mut o = options();
    (o.crossed_bootstrap, o.max_t) = (true, true);
    let once = || serde_json::to_string(&analyze(&ladder, &o).unwrap()).unwrap();
    let alone = once();
    for threads in [2, 8] {
        let all: Vec<String> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(once)).collect();
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        assert!(all.iter().all(|j| *j == alone));
    }
}

#[test]
fn six_sizes_are_checked_by_cubics() {
    let mut s = Simulation::default();
    s.shape = Shape::Isoflop {
        sizes: 6,
        drift: 0.0,
    };
    let a = analyze(&s.ladder(0).unwrap(), &options()).unwrap();
    let l = law(&a);
    assert!(l.diagnostics.variance.specification > 0.0);
    assert!(!l.flags.contains(&Flag::NoSpecificationCheck));
    let cubic = l.alternatives.rules.iter().find(|r| r.rule == "cubic");
    let off = cubic.unwrap().delta_beta.value - l.delta_beta.value;
    assert!((l.diagnostics.variance.specification / (0.25 * off * off) - 1.0).abs() < 1e-9);
    // Four sizes far apart are checked by cubics through all four.
    s.shape = Shape::Isoflop {
        sizes: 4,
        drift: 0.0,
    };
    let a = analyze(&s.ladder(0).unwrap(), &options()).unwrap();
    assert!(law(&a).diagnostics.variance.specification > 0.0);
    assert!(!law(&a).flags.contains(&Flag::NoSpecificationCheck));
    // Three sizes leave nothing to check with, and the flag says so.
    s.shape = Shape::Isoflop {
        sizes: 3,
        drift: 0.0,
    };
    let a = analyze(&s.ladder(0).unwrap(), &options()).unwrap();
    assert_eq!(law(&a).diagnostics.variance.specification, 0.0);
    assert!(law(&a).flags.contains(&Flag::NoSpecificationCheck));
}
