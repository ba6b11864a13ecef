//! Diagnostics that need ladders made for them.

use relscale::fit::simulate::Simulation;
use relscale::fit::{Analysis, Flag, Options, analyze};
use relscale::ladder::{Ladder, Run};

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
                let run = Run::new(&id, "web", flops, flops, params, tokens).with_seed(seed);
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
    let l = law(&a).lack_of_fit.unwrap();
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
    assert!(law(&bent).lack_of_fit.unwrap().p_value < 1e-3);
    assert!(law(&bent).flags.contains(&Flag::LackOfFit));
    let smooth = analyze(&replicated(cubic), &options()).unwrap();
    let flat = analyze(
        &replicated(|j, z, seed| 0.3 + wobble(j, z, seed)),
        &options(),
    )
    .unwrap();
    // A cubic is in the model: it changes nothing.
    let (a, b) = (law(&smooth).lack_of_fit, law(&flat).lack_of_fit);
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
        let p = law(&a).lack_of_fit.unwrap().p_value;
        small += usize::from(p < 0.05);
        mean += p / n as f64;
    }
    // Binomial(100, .05) exceeds 13 once in 2,000; the mean of uniforms has standard error 0.029.
    assert!(small <= 13 && (mean - 0.5).abs() < 0.11, "{small}, {mean}");
}

#[test]
fn without_seeds_there_is_no_pure_error() {
    let a = analyze(&Simulation::default().ladder(0).unwrap(), &options()).unwrap();
    assert!(law(&a).lack_of_fit.is_none());
    // Results written before the field existed still load.
    let mut json = serde_json::to_value(&a).unwrap();
    for law in json["laws"].as_array_mut().unwrap() {
        assert!(law.as_object_mut().unwrap().remove("lack_of_fit").is_some());
    }
    let read: Analysis = serde_json::from_value(json).unwrap();
    assert!(law(&read).lack_of_fit.is_none());
}
