//! MMLU and model-written behaviours.

use super::*;

#[test]
fn subjects_are_divided_as_in_the_harness() {
    let sizes = MmluGroup::ALL.map(|g| g.subjects().len());
    assert_eq!(sizes, [19, 13, 12, 13]);
    let all: BTreeSet<&str> = MmluGroup::ALL
        .iter()
        .flat_map(|g| g.subjects())
        .copied()
        .collect();
    assert_eq!(all.len(), 57);
    assert_eq!(MmluGroup::of("anatomy"), Some(MmluGroup::Stem));
    assert_eq!(MmluGroup::of("virology"), Some(MmluGroup::Other));
    assert_eq!(MmluGroup::of("alchemy"), None);
}

#[test]
fn the_three_prompts_are_those_of_the_harness() {
    let folder = Folder::new();
    // With a header and numbers, and without one and with letters.
    folder.write(
        "test/virology_test.csv",
        "question,choice0,choice1,choice2,choice3,answer\n\" Which, then? \",a,b,c,d,2\n",
    );
    folder.write(
        "dev/virology_dev.csv",
        "First?,e,f,g,h,D\n\"Line\nbreak?\",i,j,k,l,A\n",
    );
    let mmlu = Mmlu::load(folder.path()).unwrap();
    let ask = |prompt, shots, description| {
        let options = mmlu::MmluOptions {
            prompt,
            shots,
            description,
        };
        choices(&mmlu.group(MmluGroup::Other, &options).unwrap(), 0)
    };
    assert_eq!(
        ask(MmluPrompt::Letter, 1, true),
        (
            "The following are multiple choice questions (with answers) about virology.\n\n\
             First?\nA. e\nB. f\nC. g\nD. h\nAnswer: D\n\n\
             Which, then?\nA. a\nB. b\nC. c\nD. d\nAnswer:"
                .to_owned(),
            [" A", " B", " C", " D"].map(str::to_owned).to_vec(),
            2
        )
    );
    assert_eq!(
        ask(MmluPrompt::LetterAndText, 0, false),
        (
            "Which, then?\nA. a\nB. b\nC. c\nD. d\nAnswer:".to_owned(),
            [" A. a", " B. b", " C. c", " D. d"]
                .map(str::to_owned)
                .to_vec(),
            2
        )
    );
    assert_eq!(
        ask(MmluPrompt::Continuation, 2, true),
        (
            "The following are questions (with answers) about virology.\n\n\
             Question: First?\nAnswer: h\n\nQuestion: Line\nbreak?\nAnswer: i\n\n\
             Question: Which, then?\nAnswer:"
                .to_owned(),
            [" a", " b", " c", " d"].map(str::to_owned).to_vec(),
            2
        )
    );
}

#[test]
fn bad_tables_of_questions_are_named_by_line_and_column() {
    let folder = Folder::new();
    assert!(matches!(Mmlu::load(folder.path()), Err(Error::Io { .. })));
    let path = folder.write("test/virology_test.csv", "");
    assert_eq!(
        Mmlu::load(folder.path()).unwrap().subjects()[0].test.len(),
        0
    );
    let good = "\"two\nlines\",a,b,c,d,A\n";
    for (bad, reason) in [
        ("q,a,b,c,A\n", "5 columns"),
        ("q,a,b,c,d,e,A\n", "7 columns"),
        ("q,a,,c,d,A\n", "`choice B` is empty"),
        ("q,a,b,c,d,E\n", "`E` is not A to D"),
        ("q,a,b,c,d,4\n", "`4` is not A to D"),
    ] {
        fs::write(&path, [good, bad].concat()).unwrap();
        refused(Mmlu::load(folder.path()), &path, 3, reason);
    }
    fs::write(&path, b"q,a,b,c,\xff,A\n").unwrap();
    assert!(matches!(
        Mmlu::load(folder.path()),
        Err(Error::Line { line: 1, .. })
    ));
    let other = folder.write("test/alchemy_test.csv", good);
    match Mmlu::load(folder.path()) {
        Err(Error::Format { path, .. }) => assert_eq!(path, other),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tables_of_behaviours_are_checked() {
    let folder = Folder::new();
    let line = r#"{"question": "Q", "answer_matching_behavior": " No", "answer_not_matching_behavior": " Yes"}"#;
    folder.write("persona/no-shut-down.jsonl", line);
    let table = folder.write("table.csv", "behaviour,group\nno-shut-down, mine\n");
    let options = behaviours::BehaviourOptions {
        before: String::new(),
        after: "\n\nAnswer:".to_owned(),
    };
    let load =
        |table: &Path| behaviours::load(folder.path(), &RiskGroups::from_csv(table)?, &options);
    let groups = load(&table).unwrap();
    assert_eq!(groups[0].name(), "mine");
    assert_eq!(
        choices(&groups[0], 0),
        (
            "Q\n\nAnswer:".to_owned(),
            vec![" No".to_owned(), " Yes".to_owned()],
            0
        )
    );

    fs::write(&table, "behaviour,group\nno-shut-down,\n").unwrap();
    assert!(
        load(&table)
            .unwrap_err()
            .to_string()
            .contains("no behaviour")
    );
    fs::write(&table, "behaviour,group\nother,mine\n").unwrap();
    assert!(
        load(&table)
            .unwrap_err()
            .to_string()
            .contains("no-shut-down")
    );
    fs::write(&table, "behaviour,cluster\nother,mine\n").unwrap();
    refused(load(&table), &table, 1, "behaviour,group");
    fs::write(&table, "behaviour,group\na,b\na,c\n").unwrap();
    refused(load(&table), &table, 3, "twice");
    fs::write(&table, "behaviour,group\na,b\na,c,d\n").unwrap();
    refused(load(&table), &table, 3, "3 fields");
    fs::write(&table, "behaviour,group\r\n\r\na,b\r\na,c\r\n").unwrap();
    refused(load(&table), &table, 4, "twice");
    fs::write(&table, b"behaviour\xff,group\na,b\n").unwrap();
    refused(load(&table), &table, 1, "field 1 is not UTF-8");

    fs::write(&table, "behaviour,group\nno-shut-down,mine\n").unwrap();
    for (bad, reason) in [
        (r#"{"question": "Q"}"#, "answer_matching_behavior"),
        (
            r#"{"question": "Q", "answer_matching_behavior": "", "answer_not_matching_behavior": "b"}"#,
            "empty",
        ),
        (
            r#"{"question": "Q", "answer_matching_behavior": "b", "answer_not_matching_behavior": "b"}"#,
            "same",
        ),
        (r#"{"question": 3}"#, "column"),
    ] {
        let path = folder.write("persona/no-shut-down.jsonl", format!("{line}\n\n{bad}"));
        refused(load(&table), &path, 3, reason);
    }
}
