//! Multiple choice of the harness.

use super::*;

#[test]
fn the_three_forms_of_multiple_choice_are_one() {
    let folder = Folder::new();
    let read = |text: &str, fields: &ChoiceFields| {
        multiple_choice::from_jsonl(folder.write("m.jsonl", text), fields)
    };
    let plain = ChoiceFields::default();
    let document = read(
        r#"{"query": "2 + 2 =", "choices": ["5", "4"], "gold": 1}"#,
        &plain,
    )
    .unwrap();
    let by_text = read(
        r#"{"query": "2 + 2 =", "choices": ["5", "4"], "gold": "4"}"#,
        &plain,
    )
    .unwrap();
    let rendered = r#"{"doc_to_text": "2 + 2 =", "doc_to_choice": ["5", "4"], "doc_to_target": 1}"#;
    let rendered = read(rendered, &plain).unwrap();
    let sample = r#"{"doc_id": 1, "doc": {"subject": "sums"}, "target": "1", "arguments":
        {"gen_args_0": {"arg_0": "2 + 2 =", "arg_1": " 5"},
         "gen_args_1": {"arg_0": "2 + 2 =", "arg_1": " 4"}}}"#
        .replace('\n', " ");
    let sample = read(&sample, &plain).unwrap();
    let wanted = (
        "2 + 2 =".to_owned(),
        vec![" 5".to_owned(), " 4".to_owned()],
        1,
    );
    for items in [&document, &by_text, &rendered, &sample] {
        assert_eq!(choices(items, 0), wanted);
        assert_eq!(items.item(0).unwrap().id, "1");
    }
    // With the requests of mutual information, and the subject as cluster.
    let sample = r#"{"doc_id": 3, "doc": {"subject": "sums"}, "target": 0, "arguments":
        [["2 + 2 =", " 4"], ["2 + 2 =", " 5"], ["", " 4"], ["", " 5"]]}"#
        .replace('\n', " ");
    let fields = ChoiceFields {
        cluster: Some("subject".to_owned()),
        ..plain.clone()
    };
    let item = read(&sample, &fields)
        .unwrap()
        .item(0)
        .unwrap()
        .into_owned();
    assert_eq!(item.cluster, "sums");
    match item.content {
        Content::Choices {
            choices,
            unconditional,
            ..
        } => assert_eq!((choices.len(), unconditional.as_deref()), (2, Some(""))),
        other => panic!("{other:?}"),
    }

    let good = r#"{"query": "q", "choices": ["a"], "gold": 0}"#;
    for (bad, reason) in [
        (r#"{"choices": ["a"], "gold": 0}"#, "no `query`"),
        (r#"{"query": "q", "gold": 0}"#, "no `choices`"),
        (
            r#"{"query": "q", "choices": [1], "gold": 0}"#,
            "no `choices`",
        ),
        (
            r#"{"query": "q", "choices": ["a", ""], "gold": 0}"#,
            "choice 1 is empty",
        ),
        (r#"{"query": "q", "choices": ["a"]}"#, "`gold`: missing"),
        (
            r#"{"query": "q", "choices": ["a"], "gold": 1}"#,
            "1 is not one of 1",
        ),
        (
            r#"{"query": "q", "choices": ["a"], "gold": -1}"#,
            "-1 is not one of 1",
        ),
        (
            r#"{"query": "q", "choices": ["a"], "gold": "b"}"#,
            "is not one of 1",
        ),
        (
            r#"{"query": "q", "choices": [], "gold": 0}"#,
            "not one of 0",
        ),
        (r#"{"doc_to_text": "q", "gold": 0}"#, "doc_to_choice"),
        (r#"{"arguments": [], "target": 0}"#, "empty"),
        (r#"{"arguments": [["q"]], "target": 0}"#, "not a list"),
        (
            r#"{"arguments": [["q", " a"], ["r", " b"], ["", " a"]], "target": 0}"#,
            "different contexts",
        ),
        (
            r#"{"query": "q", "choices": ["a"], "gold": 0, "id": "1"}"#,
            "line 1",
        ),
    ] {
        let path = folder.write("m.jsonl", format!("{good}\n{bad}\n"));
        refused(multiple_choice::from_jsonl(&path, &plain), &path, 2, reason);
    }
}

/// The path of a log that people have.
fn case(name: &str) -> PathBuf {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    cases.join(name)
}

#[test]
fn a_target_that_is_a_whole_number_is_the_index() {
    let plain = ChoiceFields::default();
    let items = multiple_choice::from_jsonl(case("harness_numeric.jsonl"), &plain).unwrap();
    assert_eq!(choices(&items, 0).2, 2);
    assert_eq!(choices(&items, 1).2, 1);
    // In a file of one's own the text of a choice is allowed, but not where it could be an index.
    let folder = Folder::new();
    let line = r#"{"query": "q", "choices": ["1", "2", "3"], "gold": "2"}"#;
    let path = folder.write("m.jsonl", line);
    refused(
        multiple_choice::from_jsonl(&path, &plain),
        &path,
        1,
        "could be the index",
    );
}

#[test]
fn contexts_may_differ_by_choice() {
    let plain = ChoiceFields::default();
    let items = multiple_choice::from_jsonl(case("harness_wino.jsonl"), &plain).unwrap();
    let pair = |context: &str| (context.to_owned(), " good at it.".to_owned());
    let wanted = Content::Pairs {
        pairs: vec![pair("Sarah is"), pair("Maria is")],
        gold: 0,
    };
    assert_eq!(items.item(0).unwrap().content, wanted);
}

#[test]
fn a_single_request_is_its_own_answer() {
    let plain = ChoiceFields::default();
    let items = multiple_choice::from_jsonl(case("harness_lambada.jsonl"), &plain).unwrap();
    let wanted = ("a b".to_owned(), vec![" signs".to_owned()], 0);
    assert_eq!(choices(&items, 0), wanted);
}
