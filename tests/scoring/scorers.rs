//! Choice scorers: against lm-evaluation-harness's own numbers, and their laws.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use relscale::scorer::{
    BitsPerByte, Brier, ChoiceLogLoss, ChoiceProbNorm, ErrorRate, Length, Likelihoods,
    MatchingProbability, NatsPerByte, NatsPerToken, Normalisation, Scorer, Sequence, by_name,
};
use serde_json::Value;

const NORMALISATIONS: [Normalisation; 5] = [
    Normalisation::Raw,
    Normalisation::PerByte,
    Normalisation::PerCharacter,
    Normalisation::PerToken,
    Normalisation::Unconditional,
];

fn choice_scorers() -> Vec<Box<dyn Scorer>> {
    let mut all: Vec<Box<dyn Scorer>> = vec![
        Box::new(ChoiceLogLoss),
        Box::new(ChoiceProbNorm),
        Box::new(Brier),
    ];
    for by in NORMALISATIONS {
        all.push(Box::new(ErrorRate(by)));
        all.push(Box::new(MatchingProbability(by)));
    }
    all
}

fn loss(scorer: &dyn Scorer, item: &Likelihoods) -> f64 {
    let score = scorer.score(item).unwrap();
    assert_eq!(score.weight, 1.0);
    score.loss
}

/// Choices with a space before them, as they follow `Answer:`.
fn sequences(choices: &[String], values: &[Vec<f64>]) -> Vec<Sequence> {
    choices
        .iter()
        .zip(values)
        .map(|(choice, values)| Sequence {
            log_likelihoods: values.clone(),
            bytes: Some(choice.len() + 1),
            length: Some(Length::of(&format!(" {choice}"))),
        })
        .collect()
}

#[test]
fn scorers_are_those_of_the_harness() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scorers.json");
    let items: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(items.len() >= 60);
    let mut right = [0.0; 4];
    for (i, golden) in items.iter().enumerate() {
        let list = |name: &str| serde_json::from_value::<Vec<Vec<f64>>>(golden[name].clone());
        let choices: Vec<String> = serde_json::from_value(golden["choices"].clone()).unwrap();
        let item = Likelihoods {
            id: i.to_string(),
            gold: golden["gold"].as_u64().map(|g| g as usize),
            sequences: sequences(&choices, &list("conditional").unwrap()),
            unconditional: sequences(&choices, &list("unconditional").unwrap()),
            ..Likelihoods::default()
        };
        let accuracies = [
            ("acc", Normalisation::Raw),
            ("acc_norm", Normalisation::PerCharacter),
            ("acc_bytes", Normalisation::PerByte),
            ("acc_mutual_info", Normalisation::Unconditional),
        ];
        for (right, (name, by)) in right.iter_mut().zip(accuracies) {
            let accuracy = 1.0 - loss(&ErrorRate(by), &item);
            assert_eq!(golden[name].as_f64(), Some(accuracy), "{name} of {i}");
            *right += accuracy;
        }
        let close = |name: &str, value: f64| {
            let golden = golden[name].as_f64().unwrap();
            assert!((golden - value).abs() < 1e-13, "{name} of {i}: {value}");
        };
        let raw = MatchingProbability(Normalisation::Raw);
        let per_byte = MatchingProbability(Normalisation::PerByte);
        close("brier_score", loss(&Brier, &item));
        close("probability", loss(&raw, &item));
        close("probability", (-loss(&ChoiceLogLoss, &item)).exp());
        close("choice_prob_norm", loss(&per_byte, &item));
        close("choice_prob_norm", 1.0 - loss(&ChoiceProbNorm, &item));
    }
    // The normalisations do not all say the same, so that they are told apart here.
    assert!(right.windows(2).any(|pair| pair[0] != pair[1]), "{right:?}");
}

#[test]
fn chance_is_what_equal_choices_lose() {
    for k in 2..6 {
        let choices = vec!["same".to_owned(); k];
        let item = Likelihoods {
            gold: Some(1),
            sequences: sequences(&choices, &vec![vec![-1.0, -2.5]; k]),
            unconditional: sequences(&choices, &vec![vec![-3.0]; k]),
            ..Likelihoods::default()
        };
        for scorer in choice_scorers() {
            let chance = scorer.chance(k).unwrap();
            if scorer.name().starts_with("error_rate") {
                // A tie is given to the first, whichever is right: on average over the places of
                // the right one, that is chance.
                let of = |gold| {
                    let gold = Some(gold);
                    loss(
                        &*scorer,
                        &Likelihoods {
                            gold,
                            ..item.clone()
                        },
                    )
                };
                let mean = (0..k).map(of).sum::<f64>() / k as f64;
                assert!((mean - chance).abs() < 1e-12, "{}", scorer.name());
            } else {
                assert!(
                    (loss(&*scorer, &item) - chance).abs() < 1e-12,
                    "{}",
                    scorer.name()
                );
            }
            assert_eq!(scorer.chance(1), None);
        }
    }
    for scorer in [&BitsPerByte as &dyn Scorer, &NatsPerByte, &NatsPerToken] {
        assert_eq!(scorer.chance(4), None);
    }
}

#[test]
fn every_scorer_is_found_by_its_name() {
    for scorer in choice_scorers() {
        assert_eq!(by_name(scorer.name()).unwrap().name(), scorer.name());
    }
    for name in ["bits_per_byte", "nats_per_byte", "nats_per_token"] {
        assert_eq!(by_name(name).unwrap().name(), name);
    }
    let e = by_name("Brier").err().unwrap().to_string();
    assert!(e.contains("`Brier` is none of bits_per_byte"), "{e}");
}

#[test]
fn names_are_all_different() {
    let mut names: Vec<String> = choice_scorers()
        .iter()
        .map(|s| s.name().to_owned())
        .collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn what_a_normalisation_needs_is_named() {
    let mut item = Likelihoods {
        id: "q".to_owned(),
        gold: Some(0),
        sequences: vec![Sequence {
            log_likelihoods: vec![-1.0],
            ..Sequence::default()
        }],
        ..Likelihoods::default()
    };
    let message = |item: &Likelihoods, by| ErrorRate(by).score(item).unwrap_err().to_string();
    for (by, reason) in [
        (Normalisation::PerByte, "length of a choice"),
        (Normalisation::PerCharacter, "length of a choice"),
        (Normalisation::Unconditional, "unconditional context"),
    ] {
        let message = message(&item, by);
        assert!(
            message.contains(reason) && message.contains("`q`"),
            "{message}"
        );
    }
    assert!(NatsPerByte.score(&item).is_err());
    item.sequences[0].log_likelihoods.clear();
    assert!(message(&item, Normalisation::PerToken).contains("without tokens"));
}

#[test]
fn a_joining_space_has_no_length() {
    assert_eq!(Length::of(" (A)"), Length::of("(A)"));
    assert_eq!(
        Length::of("  x"),
        Length {
            bytes: 2,
            characters: 2
        }
    );
    assert_eq!(
        Length::of(" "),
        Length {
            bytes: 1,
            characters: 1
        }
    );
}

/// An item of two to six choices with everything a scorer may ask for.
fn item() -> impl Strategy<Value = Likelihoods> {
    let value = || prop::collection::vec(-40.0..-1e-3f64, 1..5);
    let choice = (value(), value(), 1..30usize, 1..30usize);
    (
        prop::collection::vec(choice, 2..6),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(all, gold)| {
            let sequence = |values: &Vec<f64>, characters: usize, more: usize| Sequence {
                log_likelihoods: values.clone(),
                bytes: Some(characters + more),
                length: Some(Length {
                    bytes: characters + more - 1,
                    characters,
                }),
            };
            Likelihoods {
                id: "q".to_owned(),
                gold: Some(gold.index(all.len())),
                sequences: all.iter().map(|(c, _, n, m)| sequence(c, *n, *m)).collect(),
                unconditional: all.iter().map(|(_, u, n, m)| sequence(u, *n, *m)).collect(),
                ..Likelihoods::default()
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_order_of_the_choices_does_not_matter(item in item(), turn in 0..6usize) {
        let k = item.sequences.len();
        let mut turned = item.clone();
        turned.sequences.rotate_left(turn % k);
        turned.unconditional.rotate_left(turn % k);
        turned.gold = item.gold.map(|gold| (gold + k - turn % k) % k);
        for scorer in choice_scorers() {
            let (a, b) = (loss(&*scorer, &item), loss(&*scorer, &turned));
            prop_assert!((a - b).abs() < 1e-12, "{}: {a} {b}", scorer.name());
        }
    }

    #[test]
    fn losses_stay_in_their_ranges(item in item()) {
        let k = item.sequences.len();
        for scorer in choice_scorers() {
            let loss = loss(&*scorer, &item);
            let most = match scorer.name() {
                "choice_log_loss" => f64::INFINITY,
                "brier" => 2.0,
                _ => 1.0,
            };
            prop_assert!((0.0..=most).contains(&loss), "{}: {loss}", scorer.name());
            prop_assert!(scorer.chance(k).unwrap() > 0.0);
        }
    }

    #[test]
    fn probabilities_of_all_choices_sum_to_one(item in item()) {
        for by in NORMALISATIONS {
            let of = |gold| {
                let gold = Some(gold);
                loss(&MatchingProbability(by), &Likelihoods { gold, ..item.clone() })
            };
            let sum: f64 = (0..item.sequences.len()).map(of).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12);
        }
        let right = loss(&MatchingProbability(Normalisation::PerByte), &item);
        prop_assert!((loss(&ChoiceProbNorm, &item) - (1.0 - right)).abs() < 1e-12);
    }

    #[test]
    fn what_all_choices_share_does_not_change_them(item in item(), shift in -50.0..0.0f64) {
        // A token that every choice has before it, conditional and unconditional alike.
        let mut shifted = item.clone();
        for sequence in shifted.sequences.iter_mut().chain(&mut shifted.unconditional) {
            sequence.log_likelihoods.push(shift);
        }
        let by = [Normalisation::Raw, Normalisation::Unconditional];
        for scorer in by.map(MatchingProbability) {
            let (a, b) = (loss(&scorer, &item), loss(&scorer, &shifted));
            prop_assert!((a - b).abs() < 1e-9);
        }
        prop_assert!((loss(&ChoiceLogLoss, &item) - loss(&ChoiceLogLoss, &shifted)).abs() < 1e-9);
    }

    #[test]
    fn equal_lengths_make_normalisations_agree(item in item(), bytes in 1..40usize) {
        let mut equal = item.clone();
        let tokens = equal.sequences.iter().map(|s| s.log_likelihoods.len()).max().unwrap();
        for sequence in &mut equal.sequences {
            sequence.length = Some(Length { bytes, characters: bytes });
            sequence.log_likelihoods.resize(tokens, -1.0);
        }
        for sequence in &mut equal.unconditional {
            sequence.log_likelihoods = vec![-7.0];
        }
        let raw = loss(&ErrorRate(Normalisation::Raw), &equal);
        for by in NORMALISATIONS {
            prop_assert_eq!(loss(&ErrorRate(by), &equal), raw);
        }
    }

    #[test]
    fn a_surer_right_answer_is_never_worse(item in item(), surer in 0.0..10.0f64) {
        let mut better = item.clone();
        let gold = item.gold.unwrap();
        let value = &mut better.sequences[gold].log_likelihoods[0];
        *value = (*value + surer).min(-1e-9);
        for scorer in choice_scorers() {
            let (before, after) = (loss(&*scorer, &item), loss(&*scorer, &better));
            let improved = if scorer.name().starts_with("matching") {
                after >= before - 1e-12
            } else {
                after <= before + 1e-12
            };
            prop_assert!(improved, "{}: {before} {after}", scorer.name());
        }
    }
}
