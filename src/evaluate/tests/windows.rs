//! Windows, contexts and the beginning-of-sequence token.

use super::{Hash, run, tokens};
use crate::distribution::{Content, Item, Items};
use crate::evaluate::{Bos, Evaluation, Settings};
use crate::scorer::{BitsPerByte, Likelihoods, NatsPerToken, Sequence, Warning};
use crate::tokenizer::Tokenizer;

#[test]
fn every_token_is_scored_once_with_the_context_promised() {
    let text: Vec<u32> = (0..53).map(|i| i * 17 % 1000).collect();
    for (context, stride, bos) in [
        (64, 64, Bos::Never),
        (10, 10, Bos::Never),
        (10, 3, Bos::Never),
        (10, 1, Bos::First(999)),
        (10, 10, Bos::First(999)),
        (7, 4, Bos::EveryWindow(999)),
        (7, 7, Bos::EveryWindow(999)),
        (1, 1, Bos::First(999)),
    ] {
        let settings = Settings {
            bos,
            context: Some(context),
            stride: Some(stride),
            batch_tokens: 20,
            truncate: false,
        };
        let answers = run(&Hash::new(64), vec![tokens(0, text.clone())], &settings);
        let got = &answers[0].sequences[0].log_likelihoods;
        let mut whole = Vec::new();
        if let Bos::First(b) | Bos::EveryWindow(b) = bos {
            whole.push(b);
        }
        whole.extend(&text);
        assert_eq!(got.len(), whole.len() - 1);
        for (i, got) in got.iter().enumerate() {
            // The context that the window rule gives to token `i + 1`.
            let windows_before = (i + 1).saturating_sub(context).div_ceil(stride);
            let end = (1 + context + windows_before * stride).min(whole.len());
            let start = (end - 1).saturating_sub(context);
            let mut path = whole[start..=i].to_vec();
            if matches!(bos, Bos::EveryWindow(_)) {
                path[0] = whole[0];
            }
            assert!(path.len() > context - stride || start == 0);
            assert_eq!(
                *got,
                Hash::answer(&path, whole[i + 1]),
                "{context} {stride} {bos:?} {i}"
            );
        }
    }
}

#[test]
fn bytes_are_those_of_the_scored_tokens() {
    let text = Item {
        id: "t".to_owned(),
        cluster: "c".to_owned(),
        content: Content::Text("héllo".to_owned()),
    };
    let items = Items::new("test", vec![text]).unwrap();
    let bytes = |bos| {
        let tokenizer = Tokenizer::bytes();
        let scores = Evaluation::new(&Hash::new(64))
            .tokenizer(&tokenizer)
            .scorers(&[&BitsPerByte, &NatsPerToken])
            .bos(bos)
            .run(&items)
            .unwrap();
        let weight = |score: usize| scores.items()[0].scores[score].weight;
        (weight(0), weight(1))
    };
    assert_eq!(bytes(Bos::Never), (5.0, 5.0));
    assert_eq!(bytes(Bos::First(999)), (6.0, 6.0));
}

#[test]
fn the_default_is_what_the_tokenizer_does() {
    let dir = std::env::temp_dir().join(format!("relscale-{}-bos", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let config = r#"{"tokenizer_class": "ByteTokenizer", "bos_token_id": 999}"#;
    std::fs::write(dir.join("tokenizer_config.json"), config).unwrap();
    let adds = Tokenizer::load(&dir).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let text = Item {
        id: "t".to_owned(),
        cluster: "c".to_owned(),
        content: Content::Text("hello, hello".to_owned()),
    };
    let items = Items::new("test", vec![text]).unwrap();
    let score = |tokenizer: &Tokenizer, bos| {
        let model = Hash::new(5);
        let evaluation = Evaluation::new(&model).tokenizer(tokenizer).bos(bos);
        evaluation.log_likelihoods(&items).unwrap()
    };
    let explicit = score(&adds, Bos::EveryWindow(999));
    assert_eq!(score(&adds, Bos::default()), explicit);
    assert_eq!(explicit[0].sequences[0].bytes, Some(12));
    let without = score(&Tokenizer::bytes(), Bos::default());
    assert_eq!(without, score(&Tokenizer::bytes(), Bos::Never));
    assert_eq!(without[0].sequences[0].bytes, Some(11));
    // A text that begins with the token: nothing before it, and its bytes are not scored.
    let doubled = score(&adds, Bos::First(u32::from(b'h')));
    assert_eq!(doubled, without);
}

#[test]
fn unconditional_choices_are_scored_after_their_own_context() {
    let item = |id: &str, unconditional: Option<Vec<u32>>| Item {
        id: id.to_owned(),
        cluster: "c".to_owned(),
        content: Content::ChoicesTokens {
            context: (0..20).collect(),
            choices: vec![vec![500, 501], vec![502]],
            gold: 0,
            unconditional,
        },
    };
    let items = vec![
        item("a", Some(vec![])),
        item("b", None),
        item("c", Some(vec![7, 8])),
    ];
    for batch_tokens in [1, 8192] {
        let settings = Settings {
            bos: Bos::EveryWindow(999),
            batch_tokens,
            ..Settings::default()
        };
        let answers = run(&Hash::new(64), items.clone(), &settings);
        for (answer, context) in answers.iter().zip([&[999][..], &[], &[999, 7, 8]]) {
            let asked = [&[999][..], &(0..20).collect::<Vec<_>>()].concat();
            let values = |sequences: &[Sequence]| -> Vec<Vec<f64>> {
                let values = sequences.iter().map(|s| s.log_likelihoods.clone());
                values.collect()
            };
            let want = |context: &[u32]| {
                let second = [context, &[500]].concat();
                vec![
                    vec![Hash::answer(context, 500), Hash::answer(&second, 501)],
                    vec![Hash::answer(context, 502)],
                ]
            };
            assert_eq!(values(&answer.sequences), want(&asked));
            let wanted = if context.is_empty() {
                vec![]
            } else {
                want(context)
            };
            assert_eq!(values(&answer.unconditional), wanted);
        }
    }
}

#[test]
fn contexts_that_are_too_long_lose_their_start_and_say_so() {
    let long = |context: Vec<u32>, choice: Vec<u32>| Item {
        id: "long".to_owned(),
        cluster: "c".to_owned(),
        content: Content::ChoicesTokens {
            context,
            choices: vec![choice, vec![600]],
            gold: 0,
            unconditional: None,
        },
    };
    let score = |item: Item, bos| {
        let settings = Settings {
            bos,
            truncate: true,
            ..Settings::default()
        };
        run(&Hash::new(8), vec![item], &settings).remove(0)
    };
    let warning = |choice, tokens| Warning::ContextTruncated { choice, tokens };
    let first = |answer: &Likelihoods| answer.sequences[0].log_likelihoods[0];
    let context: Vec<u32> = (0..12).collect();
    let choice = vec![500, 501, 502];

    // 12 of context and 2 of the choice in 8.
    let answer = score(long(context.clone(), choice.clone()), Bos::Never);
    assert_eq!(answer.warnings, [warning(0, 6), warning(1, 4)]);
    assert_eq!(first(&answer), Hash::answer(&context[6..], 500));
    // The token before everything goes first, and is not one of the context.
    let answer = score(long(context.clone(), choice.clone()), Bos::First(999));
    assert_eq!(answer.warnings, [warning(0, 6), warning(1, 4)]);
    assert_eq!(first(&answer), Hash::answer(&context[6..], 500));
    let answer = score(long(context.clone(), choice.clone()), Bos::EveryWindow(999));
    assert_eq!(answer.warnings, [warning(0, 7), warning(1, 5)]);
    let kept = [&[999], &context[7..]].concat();
    assert_eq!(first(&answer), Hash::answer(&kept, 500));
    // What fits is left alone.
    let answer = score(long((0..6).collect(), choice), Bos::Never);
    assert_eq!(answer.warnings, []);
    // A choice as long as the context of the model leaves one token before it.
    let answer = score(long(context, (500..508).collect()), Bos::EveryWindow(999));
    assert_eq!(first(&answer), Hash::answer(&[999], 500));
    assert_eq!(answer.warnings[0], warning(0, 12));
}

#[test]
fn items_that_cannot_be_scored_are_named() {
    let model = Hash::new(8);
    let fails = |content: Content, bos| {
        let item = Item {
            id: "bad".to_owned(),
            cluster: "c".to_owned(),
            content,
        };
        let items = Items::new("test", vec![item]).unwrap();
        let evaluation = Evaluation::new(&model).bos(bos);
        let error = evaluation.log_likelihoods(&items).unwrap_err();
        assert!(error.to_string().contains("`bad`"), "{error}");
    };
    fails(Content::Text("a".to_owned()), Bos::Never);
    fails(Content::Tokens(vec![1]), Bos::Never);
    let choices = |context| Content::ChoicesTokens {
        context,
        choices: vec![vec![1]],
        gold: 0,
        unconditional: None,
    };
    fails(choices(vec![]), Bos::Never);
    fails(choices((0..9).collect()), Bos::Never);
    fails(choices((0..8).collect()), Bos::First(5));

    // A choice that is longer than the model's context has no place, truncated or not.
    let item = Item {
        id: "bad".to_owned(),
        cluster: "c".to_owned(),
        content: Content::ChoicesTokens {
            context: vec![1],
            choices: vec![(0..9).collect()],
            gold: 0,
            unconditional: None,
        },
    };
    let items = Items::new("test", vec![item]).unwrap();
    let evaluation = Evaluation::new(&model).truncate(true);
    assert!(evaluation.log_likelihoods(&items).is_err());
}

#[test]
fn settings_outside_their_range_are_named() {
    let items = Items::new("test", vec![tokens(0, vec![1, 2])]).unwrap();
    let model = Hash::new(8);
    let new = || Evaluation::new(&model);
    for (evaluation, name) in [
        (new().batch_tokens(0), "batch_tokens"),
        (new().context(0), "context"),
        (new().context(9), "context"),
        (new().stride(0), "stride"),
        (new().stride(9), "stride"),
        (new().context(4).stride(5), "stride"),
    ] {
        let error = evaluation.log_likelihoods(&items).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn settings_in_a_file_refuse_unknown_fields() {
    let read = serde_json::from_str::<Settings>;
    let some = read(r#"{"bos": {"first": 5}, "stride": 8}"#).unwrap();
    assert_eq!((some.bos, some.stride), (Bos::First(5), Some(8)));
    assert_eq!(some.batch_tokens, Settings::default().batch_tokens);
    for (text, wanted) in [
        (r#"{"max_tokens": 5}"#, "batch_tokens"),
        (r#"{"bos": {"second": 5}}"#, "every_window"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
