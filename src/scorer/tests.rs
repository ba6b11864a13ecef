//! Losses are their definitions; an item without what a scorer needs is named.

use super::*;

fn item(gold: Option<usize>, sequences: &[&[f64]]) -> Likelihoods {
    Likelihoods {
        id: "q".to_owned(),
        cluster: "c".to_owned(),
        gold,
        sequences: sequences
            .iter()
            .map(|l| Sequence {
                log_likelihoods: l.to_vec(),
                bytes: Some(4),
                length: Some(Length {
                    bytes: 3,
                    characters: 3,
                }),
            })
            .collect(),
        ..Likelihoods::default()
    }
}

#[test]
fn losses_are_their_definitions() {
    let text = item(None, &[&[-1.0, -2.0]]);
    let bits = BitsPerByte.score(&text).unwrap();
    assert!((bits.loss / bits.weight - 3.0 / 4.0 / 2f64.ln()).abs() < 1e-15);
    assert_eq!(
        NatsPerToken.score(&text).unwrap(),
        Score {
            loss: 3.0,
            weight: 2.0
        }
    );

    let question = item(Some(1), &[&[-1.0], &[-2.0, -1.0], &[-1.5]]);
    let sum = (-1.0f64).exp() + (-3.0f64).exp() + (-1.5f64).exp();
    let loss = ChoiceLogLoss.score(&question).unwrap().loss;
    assert!((loss - (3.0 + sum.ln())).abs() < 1e-15);
    assert_eq!(ErrorRate::default().score(&question).unwrap().loss, 1.0);
    assert_eq!(
        ErrorRate::default()
            .score(&item(Some(0), &[&[-1.0], &[-1.0]]))
            .unwrap()
            .loss,
        0.0
    );
}

#[test]
fn equal_choices_are_at_chance_and_far_ones_do_not_overflow() {
    let loss = |choices: &[&[f64]]| ChoiceLogLoss.score(&item(Some(0), choices)).unwrap().loss;
    assert!((loss(&[&[-9.0], &[-9.0], &[-9.0], &[-9.0]]) - 4f64.ln()).abs() < 1e-15);
    assert!((loss(&[&[-2000.0], &[-1000.0]]) - 1000.0).abs() < 1e-9);
}

#[test]
fn an_item_without_what_is_needed_is_named() {
    let mut text = item(None, &[&[-1.0]]);
    assert!(
        ChoiceLogLoss
            .score(&text)
            .unwrap_err()
            .to_string()
            .contains("`q`")
    );
    text.sequences[0].bytes = None;
    assert!(BitsPerByte.score(&text).is_err());
    assert!(NatsPerToken.score(&item(None, &[])).is_err());
    assert!(
        ErrorRate::default()
            .score(&item(Some(7), &[&[-1.0]]))
            .is_err()
    );
}
