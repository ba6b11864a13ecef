//! Strata, and intervals that options ask for.

use relscale::fit::simulate::{Scenario, Simulation};
use relscale::fit::{Options, RelativeLaw, analyze};

use super::harness::{HEADER, ITEM_REPLICATES, Interval, Named, parallel, print, summary};

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn strata_cover() {
    let mut simulation = Simulation::scenario(Scenario::Items);
    if let Some(items) = &mut simulation.distributions[0].items {
        (items.strata, items.stratum_slope) = (6, 0.04);
    }
    if let Some(items) = &mut simulation.distributions[1].items {
        (items.strata, items.stratum_slope) = (5, 0.04);
    }
    let outcomes = parallel(ITEM_REPLICATES, |i| {
        let ladder = simulation.ladder(i as u64).unwrap();
        let mut options = Options::new("baseline");
        options.aggregate = Some("aggregate".into());
        options.floor_draws = 0;
        let mut of = |stratified: &[&str]| {
            options.stratified = stratified.iter().map(|s| (*s).to_owned()).collect();
            let d = analyze(&ladder, &options).unwrap().laws[0].delta_beta;
            Interval {
                value: d.value,
                half: d.upper - d.value,
            }
        };
        vec![
            ("clusters within strata", of(&["treatment", "baseline"])),
            ("strata ignored", of(&[])),
        ]
    });
    let rows = summary("strata", simulation.exponent(0, 1).unwrap(), &outcomes);
    println!("{HEADER}");
    print(&rows);
    assert!(rows[0].coverage >= 95.0 - 3.0 * rows[0].se);
    // What strata differ by is no error: the interval that counts it is longer for nothing.
    assert!(rows[0].half < 0.9 * rows[1].half);
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn optional_intervals_cover() {
    // Six treatments that share a baseline.
    let mut simulation = Simulation::scenario(Scenario::Plain);
    for k in 2..7 {
        let mut t = simulation.distributions[0].clone();
        t.name = format!("treatment-{k}");
        t.beta -= 0.002 * f64::from(k);
        simulation.distributions.push(t);
    }
    let itemised = Simulation::scenario(Scenario::Items);
    println!("{HEADER}");
    let mut crossed_rows = Vec::new();
    for (name, s, replicates) in [("A plain", &simulation, 1000), ("B items", &itemised, 500)] {
        let truth = |t: &str| {
            let at = s.distributions.iter().position(|d| d.name == t).unwrap();
            s.exponent(at, 1).unwrap()
        };
        let outcomes = parallel(replicates, |i| {
            let mut options = Options::new("baseline");
            options.aggregate = Some("aggregate".into());
            (options.crossed_bootstrap, options.max_t) = (true, true);
            options.floor_draws = 0;
            let analysis = analyze(&s.ladder(i as u64).unwrap(), &options).unwrap();
            let all = |f: &dyn Fn(&RelativeLaw) -> (f64, f64)| {
                let inside = |l: &RelativeLaw| {
                    let (lower, upper) = f(l);
                    (lower..=upper).contains(&truth(&l.treatment))
                };
                analysis.laws.iter().all(inside)
            };
            let max_t = all(&|l| l.multiplicity.max_t.map(|i| (i.lower, i.upper)).unwrap());
            let sidak = all(&|l| {
                (
                    l.multiplicity.simultaneous.lower,
                    l.multiplicity.simultaneous.upper,
                )
            });
            let first = analysis
                .laws
                .iter()
                .find(|l| l.treatment == "treatment")
                .unwrap();
            let b = first.alternatives.crossed_bootstrap.unwrap();
            let crossed = Interval {
                value: 0.5 * (b.lower.value + b.upper.value),
                half: 0.5 * (b.upper.value - b.lower.value),
            };
            let ratio = |i: relscale::fit::Interval| i.upper - i.lower;
            let width =
                ratio(first.multiplicity.max_t.unwrap()) / ratio(first.multiplicity.simultaneous);
            (crossed, max_t, sidak, width)
        });
        let crossed: Vec<Vec<Named>> = outcomes
            .iter()
            .map(|o| vec![("crossed bootstrap", o.0)])
            .collect();
        let rows = summary(name, truth("treatment"), &crossed);
        print(&rows);
        crossed_rows.extend(rows);
        let n = outcomes.len() as f64;
        let percent = |inside: usize| 100.0 * inside as f64 / n;
        let (max_t, sidak) = (
            percent(outcomes.iter().filter(|o| o.1).count()),
            percent(outcomes.iter().filter(|o| o.2).count()),
        );
        let width = outcomes.iter().map(|o| o.3).sum::<f64>() / n;
        println!(
            "{name}: all laws inside at once: max |t| {max_t:.1} %, Sidak {sidak:.1} %; width {width:.3}"
        );
        assert!(
            max_t >= 95.0 - 300.0 * (0.0475 / n).sqrt(),
            "{name}: {max_t}"
        );
    }
    for r in &crossed_rows {
        assert!(
            r.coverage >= 95.0 - 3.0 * r.se,
            "{}: {}",
            r.scenario,
            r.coverage
        );
    }
}
