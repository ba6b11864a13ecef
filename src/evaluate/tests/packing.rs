//! Batches and shared prefixes: the tokens computed, the size of batches, the answers.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::{Hash, few_shot, run, tokens};
use crate::distribution::{Content, Distribution, Item, Items};
use crate::evaluate::{Evaluation, Settings};

#[test]
fn batches_respect_their_size_and_do_not_change_answers() {
    let items: Vec<Item> = (0..40usize)
        .map(|i| tokens(i, (0..3 + i as u32 % 13).collect()))
        .collect();
    let large = Hash::new(64);
    let want = run(&large, items.clone(), &Settings::default());
    for batch_tokens in [1, 7, 30] {
        let model = Hash::new(64);
        let got = run(
            &model,
            items.clone(),
            &Settings {
                batch_tokens,
                ..Settings::default()
            },
        );
        assert_eq!(got, want);
        assert!(model.largest.into_inner() <= batch_tokens.max(14));
    }
    // One batch holds them all, and shared tokens stand once.
    assert!(large.computed.into_inner() < items.len() * 14);
}

#[test]
fn choices_share_their_context_and_single_tokens_need_no_row() {
    let context: Vec<u32> = (0..30).collect();
    let choices = vec![vec![500], vec![501], vec![502, 503], vec![502, 504, 505]];
    let item = Item {
        id: "q".to_owned(),
        cluster: "c".to_owned(),
        content: Content::ChoicesTokens {
            context: context.clone(),
            choices,
            gold: 2,
            unconditional: None,
        },
    };
    let model = Hash::new(64);
    let answers = run(&model, vec![item], &Settings::default());
    assert_eq!(answers[0].gold, Some(2));
    let path = |more: &[u32]| [context.as_slice(), more].concat();
    let got = &answers[0].sequences;
    assert_eq!(got[1].log_likelihoods, [Hash::answer(&context, 501)]);
    assert_eq!(
        got[3].log_likelihoods,
        [
            Hash::answer(&context, 502),
            Hash::answer(&path(&[502]), 504),
            Hash::answer(&path(&[502, 504]), 505)
        ]
    );
    // 30 of context, ⟨502⟩ once, and ⟨504⟩.
    assert_eq!(model.computed.into_inner(), 32);
}

/// Inputs of an item's longest path.
fn longest(item: &Item) -> usize {
    match &item.content {
        Content::Tokens(tokens) => tokens.len() - 1,
        Content::ChoicesTokens {
            context, choices, ..
        } => context.len() + choices[0].len() - 1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn examples_shared_by_many_questions_are_computed_once_per_batch() {
    let items: Vec<Item> = few_shot(50)
        .into_iter()
        .filter(|i| i.cluster != "text")
        .collect();
    let model = Hash::new(64);
    let last = Cell::new(None);
    let distribution = Items::new("test", items.clone()).unwrap();
    let answers = Evaluation::new(&model)
        .batch_tokens(1000)
        .progress(|progress| last.set(Some(progress)))
        .log_likelihoods(&distribution)
        .unwrap();
    assert_eq!(answers.len(), items.len());
    // Beyond the examples a question costs at most 15 tokens and two per choice.
    let alone = items.len() * (15 + 8);
    let batches = alone.div_ceil(1000 - 3 * 40) + 1;
    let computed = model.computed.into_inner();
    assert!(computed <= alone + batches * 2 * 40, "{computed}");
    let last = last.get().unwrap();
    assert_eq!((last.tokens, last.total), (last.total, computed));
}

#[test]
fn a_prefix_of_many_batches_is_computed_once() {
    let items: Vec<Item> = few_shot(50)
        .into_iter()
        .filter(|i| i.cluster != "text")
        .collect();
    let settings = Settings {
        batch_tokens: 150,
        ..Settings::default()
    };
    let again = Hash::new(64);
    let want = run(&again, items.clone(), &settings);
    let again = again.computed.into_inner();
    for cost in [0.3, 1.0, 2.6] {
        let model = Hash::keeping(64, cost);
        assert!(run(&model, items.clone(), &settings) == want);
        // The examples once per subject, and again in the batches that hold two subjects.
        let computed = model.computed.into_inner();
        let once = items.len() * (15 + 8) + 3 * 3 * 40;
        assert!(computed <= once && once < again, "{computed} of {again}");
        assert!(model.largest.into_inner() <= 150);
    }
    // Choices scored without their question do not come between the questions.
    let unconditional = items.iter().cloned().map(|mut item| {
        if let Content::ChoicesTokens { unconditional, .. } = &mut item.content {
            *unconditional = Some(vec![998, 999]);
        }
        item
    });
    let unconditional = Items::new("test", unconditional.collect()).unwrap();
    let model = Hash::keeping(64, 1.0);
    let mut done = Vec::new();
    let all: Vec<usize> = (0..items.len()).collect();
    Evaluation::new(&model)
        .settings(settings)
        .for_each(&unconditional, &all, |index, answer| {
            assert_eq!(answer.sequences, want[index].sequences);
            done.push(model.computed.load(Relaxed));
            Ok(())
        })
        .unwrap();
    // At most ⟨998 999⟩ and two tokens per choice for each item.
    let computed = model.computed.into_inner();
    let without = items.len() * (2 + 4 * 2);
    assert!(computed <= items.len() * (15 + 8) + 3 * 3 * 40 + without);
    assert!(done[done.len() / 2] < computed / 4 * 3, "{done:?}");
    // Computed again: a prefix that would leave no room, one batch, a prefix too short.
    for (cost, batch_tokens) in [(3.5, 150), (0.3, 20_000), (0.3, 1500)] {
        let model = Hash::keeping(64, cost);
        let settings = Settings {
            batch_tokens,
            ..Settings::default()
        };
        assert!(run(&model, items.clone(), &settings) == want);
        let without = Hash::new(64);
        run(&without, items.clone(), &settings);
        let (with, without) = (model.computed.into_inner(), without.computed.into_inner());
        assert_eq!(with, without, "{cost} {batch_tokens}");
    }
}

/// The model after scoring `items` in batches of up to 8,192 tokens, with `enough` tokens in a batch.
fn scored(items: &[Item], enough: Option<usize>) -> Hash {
    let model = Hash {
        enough_tokens: enough,
        ..Hash::new(64)
    };
    let want = run(&Hash::new(64), items.to_vec(), &Settings::default());
    let last = Cell::new(None);
    let got = Evaluation::new(&model)
        .progress(|progress| last.set(Some(progress)))
        .log_likelihoods(&Items::new("test", items.to_vec()).unwrap())
        .unwrap();
    assert!(got == want);
    let last = last.get().unwrap();
    assert_eq!(
        (last.tokens, last.total),
        (last.total, model.computed.load(Relaxed))
    );
    model
}

#[test]
fn batches_have_about_enough_tokens_where_they_share_next_to_nothing() {
    // Sixteen texts of 64 tokens, after the same first one.
    let text = |i: u32| tokens(i as usize, (0..64).map(|t| t * (i + 1) % 1000).collect());
    let texts: Vec<Item> = (0..16).map(text).collect();
    // Inputs in all, and those of a text beside the first token.
    let (all, own) = (1 + 16 * 62, 62);
    for (enough, batches) in [
        (1, 1),
        (64, 16),
        (100, 8),
        (130, 8),
        (256, 4),
        (700, 1),
        (8192, 1),
    ] {
        let model = scored(&texts, Some(enough));
        let found = model.batches.into_inner();
        // One token of 31 is too many to be computed again; from 32 on it is one in 32.
        let batches = if enough < 32 { 1 } else { batches };
        assert_eq!(found, batches, "{enough}");
        assert_eq!(model.computed.into_inner(), all + batches - 1, "{enough}");
        assert!(model.largest.into_inner() <= (enough + own / 2).max(all / batches + own));
    }
    let model = scored(&texts, None);
    assert_eq!(model.batches.into_inner(), 1);
}

#[test]
fn no_batch_is_small_beside_a_long_text() {
    // Short and long texts in turn.
    let text = |i: u32| {
        let len = if i.is_multiple_of(2) { 4 } else { 60 };
        tokens(i as usize, (0..len).map(|t| (i * 20 + t) % 1000).collect())
    };
    let texts: Vec<Item> = (0..32).map(text).collect();
    // 3 and 59 inputs: each long one takes a short one with it.
    for enough in [10, 16, 24, 40, 60] {
        let model = scored(&texts, Some(enough));
        assert!(model.batches.load(Relaxed) <= 17, "{enough}");
        assert_eq!(model.computed.into_inner(), 16 * (3 + 59), "{enough}");
    }
}

#[test]
fn examples_in_common_are_not_computed_again_for_smaller_batches() {
    let items: Vec<Item> = few_shot(50)
        .into_iter()
        .filter(|i| i.cluster != "text")
        .collect();
    let whole = scored(&items, None);
    let model = scored(&items, Some(200));
    assert_eq!(model.computed.into_inner(), whole.computed.into_inner());
    // The subjects share nothing, so that each may have a batch.
    let (batches, before) = (model.batches.into_inner(), whole.batches.into_inner());
    assert!(
        before < batches && batches <= before + 3,
        "{before} {batches}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn keeping_prefixes_changes_no_answer_and_no_bound(
        shape in prop::collection::vec((0..4u32, 0..50usize, 0..30usize, 1..4usize), 1..60),
        batch_tokens in 1..400usize,
        cost in 0.05..4.0f64,
        scored in 1..9usize,
        enough_tokens in prop::option::of(0..200usize),
    ) {
        let items: Vec<Item> = shape
            .iter()
            .enumerate()
            .map(|(i, &(subject, shared, own, choices))| {
                let mut context: Vec<u32> = (0..1 + shared as u32).map(|t| 4 * t + subject).collect();
                context.extend((0..own as u32).map(|t| (t * 37 + i as u32 * 11) % 1000));
                let content = if own == 7 {
                    Content::Tokens([context, vec![1, 2]].concat())
                } else {
                    Content::ChoicesTokens {
                        context,
                        choices: (0..choices).map(|c| vec![500 + c as u32; scored]).collect(),
                        gold: 0,
                        unconditional: (i % 5 == 0).then(|| vec![3, 4]),
                    }
                };
                Item { id: i.to_string(), cluster: "c".to_owned(), content }
            })
            .collect();
        let settings = Settings { batch_tokens, ..Settings::default() };
        let keeping = Hash { enough_tokens, ..Hash::keeping(128, cost) };
        let plain = Hash::new(128);
        let want = run(&plain, items.clone(), &settings);
        let items = Items::new("test", items).unwrap();
            let last = Cell::new(None);
        let got = Evaluation::new(&keeping)
            .settings(settings)
            .progress(|progress| last.set(Some(progress)))
            .log_likelihoods(&items)
            .unwrap();
        let last = last.get().unwrap();
        prop_assert!(got == want);
        let computed = keeping.computed.load(Relaxed);
        // The estimate counts a prefix again where the order of items separates those that share it.
        prop_assert!(computed <= last.total && last.tokens == last.total);
        // A path longer than the budget is a batch of its own.
        let longest = (0..items.len()).map(|i| longest(&items.item(i).unwrap())).max().unwrap_or(0);
        for model in [plain, keeping] {
            prop_assert!(model.largest.into_inner() <= batch_tokens.max(longest));
        }
    }
}
