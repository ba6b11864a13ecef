//! Results: all at once, one by one, by several scorers.

use std::borrow::Cow;

use super::{Hash, few_shot, tokens};
use crate::distribution::{Content, Distribution, Item, Items};
use crate::error::Error;
use crate::evaluate::Evaluation;
use crate::scorer::{BitsPerByte, ErrorRate, Likelihoods, NatsPerToken, Score, Scorer};

#[test]
fn items_come_one_by_one_and_any_selection_agrees_with_the_whole() {
    let items = Items::new("test", few_shot(9)).unwrap();
    let model = Hash::new(64);
    let evaluation = Evaluation::new(&model).batch_tokens(150).stride(5);
    let whole = evaluation.log_likelihoods(&items).unwrap();
    for keep in [1, 2, 3, 7] {
        let indices: Vec<usize> = (0..items.len()).rev().filter(|i| i % keep == 0).collect();
        let mut seen = Vec::new();
        evaluation
            .for_each(&items, &indices, |index, answer| {
                assert_eq!(answer, whole[index]);
                seen.push(index);
                Ok(())
            })
            .unwrap();
        seen.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(seen, indices);
    }
    // An error of the sink ends the run.
    let mut count = 0;
    let all: Vec<usize> = (0..items.len()).collect();
    let error = evaluation.for_each(&items, &all, |_, _| {
        count += 1;
        if count == 3 {
            Err(Error::batch("full"))
        } else {
            Ok(())
        }
    });
    assert!(error.unwrap_err().to_string().contains("full"));
    assert_eq!(count, 3);
}

#[test]
fn an_item_without_choices_of_a_distribution_of_ones_own_is_named() {
    struct Own(Vec<Item>);
    impl Distribution for Own {
        fn name(&self) -> &str {
            "own"
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn item(&self, index: usize) -> Result<Cow<'_, Item>, Error> {
            Ok(Cow::Borrowed(&self.0[index]))
        }
    }
    let none = Item {
        id: "none".to_owned(),
        cluster: "c".to_owned(),
        content: Content::ChoicesTokens {
            context: vec![1],
            choices: vec![],
            gold: 0,
            unconditional: None,
        },
    };
    let model = Hash::new(64);
    let answers = Evaluation::new(&model).log_likelihoods(&Own(vec![tokens(0, vec![1, 2]), none]));
    let error = answers.unwrap_err().to_string();
    assert!(
        error.contains("none") && error.contains("gold is 0 of 0 choices"),
        "{error}"
    );
}

#[test]
fn several_scorers_share_one_computation() {
    let text = |id, length| tokens(id, (0..length).collect());
    let items = Items::new("test", vec![text(0, 30), text(1, 20)]).unwrap();
    let computed = |scorers: &[&dyn Scorer]| {
        let model = Hash::new(64);
        let scores = Evaluation::new(&model).scorers(scorers).run(&items);
        (scores.unwrap(), model.computed.into_inner())
    };
    struct Last;
    impl Scorer for Last {
        fn name(&self) -> &str {
            "last_token"
        }
        fn score(&self, item: &Likelihoods) -> Result<Score, Error> {
            let last = item.sequences[0].log_likelihoods.last();
            let loss = -last.copied().unwrap_or(f64::NAN);
            Ok(Score { loss, weight: 1.0 })
        }
    }
    let (one, once) = computed(&[&NatsPerToken]);
    let (both, twice) = computed(&[&Last, &NatsPerToken]);
    assert_eq!(once, twice);
    assert_eq!(both.scorers(), ["last_token", "nats_per_token"]);
    assert_eq!(
        both.of("nats_per_token").unwrap(),
        one.of("nats_per_token").unwrap()
    );
    // Rows stand in the order of the items, whatever the order of computing.
    let ids: Vec<&str> = both.items().iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["0", "1"]);
    let last = both.of("last_token").unwrap();
    assert_eq!(last[1].score, both.items()[1].scores[0]);
    let mean = (last[0].score.loss + last[1].score.loss) / 2.0;
    assert_eq!(both.error("last_token").unwrap(), mean);
    let error = both.error("brier").unwrap_err().to_string();
    assert!(error.contains("last_token, nats_per_token"), "{error}");
}

#[test]
fn an_evaluation_without_scorers_or_with_one_that_does_not_fit_is_refused() {
    let items = Items::new("test", vec![tokens(0, vec![1, 2, 3])]).unwrap();
    let model = Hash::new(64);
    let evaluation = Evaluation::new(&model);
    let error = evaluation.run(&items).unwrap_err().to_string();
    assert!(error.contains("`scorers`"), "{error}");
    let scorers: [&dyn Scorer; 2] = [&BitsPerByte, &ErrorRate::default()];
    for scorer in scorers {
        let evaluation = Evaluation::new(&model).scorers(&[scorer]);
        let error = evaluation.run(&items).unwrap_err().to_string();
        assert!(error.contains("item `0`"), "{error}");
    }
}
