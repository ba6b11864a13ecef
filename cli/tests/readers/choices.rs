//! Multiple choice of the harness.

use super::*;

#[test]
fn the_three_forms_of_multiple_choice_are_one() {
    let folder = Folder::new("forms");
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
            r#"{"arguments": [["q", " a"], ["r", " b"]], "target": 0}"#,
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
