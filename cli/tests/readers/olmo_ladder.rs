//! A real N×D grid from end to end: the public OLMo ladder, 30 runs of five sizes, with the 7B and 13B
//! models as targets that are predicted and never fitted.

use crate::common;

#[path = "../../examples/convert_olmo.rs"]
mod convert_olmo;

use relscale::fit::{Analysis, Design, Flag, Holdout, Options, RelativeLaw, Verdict, analyze};
use relscale::ladder::Ladder;

fn ladder() -> Ladder {
    let path = common::material("ladders/olmo-ladder.csv");
    let wide = convert_olmo::convert(std::fs::File::open(path).unwrap()).unwrap();
    // Through the long form, as a user would.
    let mut long = Vec::new();
    wide.write_csv(&mut long).unwrap();
    Ladder::from_csv(long.as_slice(), "olmo-long.csv").unwrap()
}

fn analysis() -> Analysis {
    let mut options = Options::new("c4_en");
    options.aggregate = Some("pile".into());
    analyze(&ladder(), &options).unwrap()
}

fn law<'a>(analysis: &'a Analysis, treatment: &str) -> &'a RelativeLaw {
    analysis
        .laws
        .iter()
        .find(|l| l.treatment == treatment)
        .unwrap()
}

mod material {
    use super::*;

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn it_is_read_as_a_grid_of_thirty_runs() {
        let analysis = analysis();
        assert_eq!(analysis.laws.len(), 13);
        assert!(
            analysis
                .laws
                .iter()
                .all(|l| l.design == Design::Grid && l.readings.len() == 30)
        );
        assert!(analysis.refused.is_empty());
        assert!(
            analysis
                .laws
                .iter()
                .all(|l| l.flags.contains(&Flag::NoItemVariance))
        );
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn code_improves_fastest_and_reddit_slowest() {
        let analysis = analysis();
        let text = |l: &&RelativeLaw| !l.treatment.starts_with("mmlu");
        let slopes: Vec<(f64, &str)> = analysis
            .laws
            .iter()
            .filter(text)
            .map(|l| (l.delta_beta.value, l.treatment.as_str()))
            .collect();
        let least = slopes.iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let most = slopes.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        assert_eq!((least.1, most.1), ("dolma_stack", "dolma_reddit"));
        assert!((least.0 + 0.0456).abs() < 1e-3 && (most.0 - 0.0079).abs() < 1e-3);
        // G < 1 and falling: a gap in favour of code that widens.
        assert_eq!(law(&analysis, "dolma_stack").verdict, Verdict::Widens);
        assert!(law(&analysis, "dolma_stack").gamma.value < 0.6);
        assert_eq!(
            law(&analysis, "dolma_books").verdict,
            Verdict::CrossesParity
        );
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn ratio_and_difference_disagree_where_both_losses_fall() {
        let analysis = analysis();
        let discordant: Vec<&str> = analysis
            .laws
            .iter()
            .filter(|l| l.alternatives.difference.discordant)
            .map(|l| l.treatment.as_str())
            .collect();
        assert!(discordant.contains(&"dolma_pes2o"), "{discordant:?}");
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_text_but_one_has_a_surface_that_gives_data_the_larger_share() {
        let analysis = analysis();
        let text = |d: &str| !d.starts_with("mmlu");
        for law in analysis
            .absolute_laws
            .iter()
            .filter(|l| text(&l.distribution))
        {
            let s = law.surface.fitted().unwrap();
            assert!(s.runs == 30 && s.gradient < 1e-6, "{s:?}");
            if law.distribution == "ice" {
                // Thirty runs see no floor here, and the report says so.
                assert_eq!(s.at_bound, ["floor"]);
                let [low, high] = s.floor_interval.unwrap();
                assert!(low == 0.0 && high < 3.0 && s.floor_identified && s.df == 26.0);
                continue;
            }
            assert!(s.at_bound.is_empty() && s.df == 25.0, "{s:?}");
            assert!(s.params_exponent < 0.5, "{}: {s:?}", law.distribution);
        }
        let c4 = analysis
            .absolute_laws
            .iter()
            .find(|l| l.distribution == "c4_en")
            .and_then(|l| l.surface.fitted())
            .unwrap();
        // The numbers of `tests/data/laws/golden.json`, found without this library.
        assert!((c4.alpha - 0.265_774_6).abs() < 1e-6 && (c4.beta - 0.134_228_8).abs() < 1e-6);
        let [low, high] = c4.params_exponent_interval.unwrap();
        assert!((low - 0.171_680).abs() < 1e-5 && (high - 0.499_458).abs() < 1e-5);
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn the_pure_ratio_law_misses_the_large_models_by_what_the_report_says() {
        let analysis = analysis();
        let percent = |e: f64| 100.0 * e.exp_m1();
        let mut outside = 0;
        for l in &analysis.laws {
            assert_eq!(l.diagnostics.backtest.targets.len(), 2, "{}", l.treatment);
            for t in &l.diagnostics.backtest.targets {
                println!(
                    "{:<26} {:<22} actual/predicted G {:+5.1} %, by two floored laws {:+5.1} %",
                    l.treatment,
                    t.run.as_deref().unwrap_or(""),
                    percent(t.error),
                    percent(t.floors_error.unwrap_or(f64::NAN)),
                );
                outside += usize::from(!t.inside);
            }
        }
        // Code is the worst miss: 8.7 % at 7B and 12.8 % at 13B; the ratio of two floored laws misses the
        // other way, by less than 3 %.
        let stack = &law(&analysis, "dolma_stack").diagnostics.backtest.targets;
        let [small, large] = [0, 1].map(|i| {
            let run = ["peteish7", "peteish13"][i];
            stack
                .iter()
                .find(|t| t.run.as_deref().is_some_and(|r| r.starts_with(run)))
                .unwrap()
        });
        assert!(
            (percent(small.error) - 8.7).abs() < 0.3,
            "{}",
            percent(small.error)
        );
        assert!(
            (percent(large.error) - 12.8).abs() < 0.3,
            "{}",
            percent(large.error)
        );
        assert!(percent(large.floors_error.unwrap()).abs() < 3.0);
        // Intervals about a line do not hold where the law bends further out, on another mix at that.
        assert!((10..=16).contains(&outside), "{outside} of 26");
        let mean = |f: &dyn Fn(&Holdout) -> f64| {
            let targets = analysis
                .laws
                .iter()
                .flat_map(|l| &l.diagnostics.backtest.targets);
            targets.map(|t| f(t).abs()).sum::<f64>() / 26.0
        };
        let power = mean(&|t| t.error);
        let floors = mean(&|t| t.floors_error.unwrap());
        println!("mean |ln G error|: power {power:.4}, two floored laws {floors:.4}");
        // 0.0338 and 0.0192 by a prototype in Python that minimises from other starting points.
        assert!((power - 0.0338).abs() < 4e-4 && (floors - 0.0192).abs() < 4e-4);
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn held_out_sizes_lie_in_their_intervals() {
        let analysis = analysis();
        let holdouts: Vec<_> = (analysis.laws.iter())
            .flat_map(|l| &l.diagnostics.backtest.holdouts)
            .collect();
        let inside = holdouts.iter().filter(|h| h.inside).count();
        println!("{inside} of {} predictions inside", holdouts.len());
        assert!(holdouts.len() > 200 && inside as f64 >= 0.9 * holdouts.len() as f64);
    }
}
