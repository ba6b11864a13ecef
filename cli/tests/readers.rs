//! Distributions read from the files people have: what items come out, and what is refused where.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale_cli::readers::behaviours::{self, RiskGroups};
use relscale_cli::readers::mmlu::{self, Mmlu, MmluGroup, MmluPrompt};
use relscale_cli::readers::multiple_choice::{self, ChoiceFields};
use relscale_cli::readers::{matched, texts};

/// A folder of the test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("relscale-distributions-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Context, choices and gold of an item.
fn choices(items: &Items, index: usize) -> (String, Vec<String>, usize) {
    match items.item(index).unwrap().into_owned().content {
        Content::Choices {
            context,
            choices,
            gold,
            ..
        } => (context, choices, gold),
        other => panic!("{other:?}"),
    }
}

fn clusters(items: &Items) -> BTreeSet<String> {
    (0..items.len())
        .map(|i| items.item(i).unwrap().cluster.clone())
        .collect()
}

/// That `result` is an error of `line` of `path` that speaks of `reason`.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, path: &Path, line: usize, reason: &str) {
    match result {
        Err(Error::Line {
            path: p,
            line: l,
            message,
        }) => {
            assert_eq!((p.as_path(), l), (path, line), "{message}");
            assert!(message.contains(reason), "{message} is not about {reason}");
        }
        other => panic!("{reason}: {other:?}"),
    }
}

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
    let folder = Folder::new("prompts");
    // With a header and numbers, and without one and with letters.
    folder.write(
        "test/virology_test.csv",
        "question,choice0,choice1,choice2,choice3,answer\n\" Which, then? \",a,b,c,d,2\n",
    );
    folder.write(
        "dev/virology_dev.csv",
        "First?,e,f,g,h,D\n\"Line\nbreak?\",i,j,k,l,A\n",
    );
    let mmlu = Mmlu::load(&folder.0).unwrap();
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
    let folder = Folder::new("bad-mmlu");
    assert!(matches!(Mmlu::load(&folder.0), Err(Error::Io { .. })));
    let path = folder.write("test/virology_test.csv", "");
    assert_eq!(Mmlu::load(&folder.0).unwrap().subjects()[0].test.len(), 0);
    let good = "\"two\nlines\",a,b,c,d,A\n";
    for (bad, reason) in [
        ("q,a,b,c,A\n", "5 columns"),
        ("q,a,b,c,d,e,A\n", "7 columns"),
        ("q,a,,c,d,A\n", "`choice B` is empty"),
        ("q,a,b,c,d,E\n", "`E` is not A to D"),
        ("q,a,b,c,d,4\n", "`4` is not A to D"),
    ] {
        fs::write(&path, [good, bad].concat()).unwrap();
        refused(Mmlu::load(&folder.0), &path, 3, reason);
    }
    fs::write(&path, b"q,a,b,c,\xff,A\n").unwrap();
    assert!(matches!(
        Mmlu::load(&folder.0),
        Err(Error::Line { line: 1, .. })
    ));
    let other = folder.write("test/alchemy_test.csv", good);
    match Mmlu::load(&folder.0) {
        Err(Error::Format { path, .. }) => assert_eq!(path, other),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tables_of_behaviours_are_checked() {
    let folder = Folder::new("behaviours");
    let line = r#"{"question": "Q", "answer_matching_behavior": " No", "answer_not_matching_behavior": " Yes"}"#;
    folder.write("persona/no-shut-down.jsonl", line);
    let table = folder.write("table.csv", "behaviour,group\nno-shut-down, mine\n");
    let options = behaviours::BehaviourOptions {
        before: String::new(),
        after: "\n\nAnswer:".to_owned(),
    };
    let load = |table: &Path| behaviours::load(&folder.0, &RiskGroups::from_csv(table)?, &options);
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

#[test]
fn regions_are_files_or_folders_and_documents_are_clusters() {
    let folder = Folder::new("regions");
    folder.write("india/a.txt", "One text.");
    folder.write("india/b.txt", "Another text.");
    folder.write("india/notes.md", "Not a text.");
    folder.write(
        "usa.jsonl",
        "{\"text\": \"Howdy\"}\n{\"text\": \"Hello\", \"id\": 7}\n",
    );
    folder.write("SOURCE.txt", "Not a region.");
    let regions = texts::regions(&folder.0, &texts::TextFields::default()).unwrap();
    assert_eq!(
        regions.iter().map(|r| r.name()).collect::<Vec<_>>(),
        ["india", "usa"]
    );
    let ids = |items: &Items| clusters(items).into_iter().collect::<Vec<_>>();
    assert_eq!(
        (ids(&regions[0]), ids(&regions[1])),
        (
            vec!["a".to_owned(), "b".to_owned()],
            vec!["1".to_owned(), "7".to_owned()]
        )
    );
    assert_eq!(
        regions[0].item(1).unwrap().content,
        Content::Text("Another text.".to_owned())
    );

    let alone = texts::from_plain(folder.0.join("india/a.txt")).unwrap();
    assert_eq!((alone.name(), alone.len()), ("a", 1));
    let empty = folder.write("india/c.txt", "");
    match texts::regions(&folder.0, &texts::TextFields::default()) {
        Err(Error::Format { path, .. }) => assert_eq!(path, empty),
        other => panic!("{other:?}"),
    }
    fs::write(&empty, b"\xff").unwrap();
    assert!(
        texts::from_plain(&empty)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
    assert!(texts::from_plain(folder.0.join("none.txt")).is_err());
    let hollow = Folder::new("regions-none");
    assert!(texts::regions(&hollow.0, &texts::TextFields::default()).is_err());
    assert!(texts::from_plain(&hollow.0).is_err());
}

#[test]
fn corpora_take_the_names_of_their_fields() {
    let folder = Folder::new("corpora");
    let fields = texts::TextFields {
        text: "body".to_owned(),
        id: "url".to_owned(),
        cluster: Some("author".to_owned()),
    };
    let good = r#"{"body": "One", "url": "u1", "author": 5}"#;
    let path = folder.write("corpus.jsonl", good);
    let corpus = texts::from_jsonl(&path, &fields).unwrap();
    let item = corpus.item(0).unwrap();
    assert_eq!(
        (corpus.name(), item.id.as_str(), item.cluster.as_str()),
        ("corpus", "u1", "5")
    );
    for (bad, reason) in [
        (r#"{"url": "u2", "author": 5}"#, "no `body`"),
        (r#"{"body": 3, "url": "u2", "author": 5}"#, "no `body`"),
        (
            r#"{"body": "", "url": "u2", "author": 5}"#,
            "`body` is empty",
        ),
        (r#"{"body": "x", "url": "u2"}"#, "no `author`"),
        (r#"{"body": "x", "url": [], "author": 5}"#, "`url`"),
        (r#"{"body": "x", "url": "u1", "author": 5}"#, "line 1"),
        (r#"["body"]"#, "column"),
    ] {
        let path = folder.write("corpus.jsonl", format!("{good}\n{bad}\n"));
        refused(texts::from_jsonl(&path, &fields), &path, 2, reason);
    }
    let path = folder.write("corpus.jsonl", "\n \n");
    assert!(texts::from_jsonl(&path, &fields).is_err());
}

#[test]
fn covariates_are_numbers_by_region() {
    let folder = Folder::new("covariates");
    let path = folder.write(
        "c.csv",
        "region, users,note\nusa, 8.5,x\nfiji,,y\nindia,1e9,z\n",
    );
    let users = texts::covariate(&path, "users").unwrap();
    assert_eq!(
        users,
        BTreeMap::from([("usa".to_owned(), 8.5), ("india".to_owned(), 1e9)])
    );
    refused(texts::covariate(&path, "region"), &path, 1, "region");
    refused(
        texts::covariate(&path, "note"),
        &path,
        2,
        "`x` is not a number",
    );
    fs::write(&path, "region,users\nusa,1\nusa,2\n").unwrap();
    refused(texts::covariate(&path, "users"), &path, 3, "twice");
    fs::write(&path, "region,users\nusa,inf\n").unwrap();
    refused(texts::covariate(&path, "users"), &path, 2, "inf");
    fs::write(&path, "region,users\nusa\n").unwrap();
    refused(texts::covariate(&path, "users"), &path, 2, "fields");
}

#[test]
fn matched_texts_share_their_clusters() {
    let folder = Folder::new("matched");
    let good = r#"{"id": 1, "a": "x", "b": "y", "n": 3}"#;
    for (bad, reason) in [
        (r#"{"a": "x", "b": "y"}"#, "no `id`"),
        (r#"{"id": 1, "a": "x", "b": "y"}"#, "line 1"),
        (r#"{"id": 2, "a": "x"}"#, "`b` is missing"),
        (r#"{"id": 2, "a": "x", "b": 7}"#, "`b` is missing"),
        (r#"{"id": 2, "a": "x", "b": ""}"#, "`b` is empty"),
        (
            r#"{"id": 2, "a": "x", "b": "y", "c": "z"}"#,
            "`c` is not on the first line",
        ),
    ] {
        let path = folder.write("m.jsonl", format!("{good}\n{bad}\n"));
        refused(matched::from_jsonl(&path), &path, 2, reason);
    }
    let path = folder.write("m.jsonl", r#"{"id": 1, "n": 3}"#);
    assert!(matched::from_jsonl(&path).is_err());
}

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

mod material {
    use super::*;

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn behaviours_are_grouped_by_a_table_and_gold_is_the_match() {
        let dir = common::material("evals/anthropic-evals");
        let groups = behaviours::load(
            &dir,
            &RiskGroups::default(),
            &behaviours::BehaviourOptions::default(),
        )
        .unwrap();
        let names: Vec<&str> = groups.iter().map(|g| g.name()).collect();
        assert_eq!(
            names,
            [
                "incorrigibility",
                "influence",
                "scheming",
                "self-replication"
            ]
        );
        // 309 corrigible-more, 340 corrigible-neutral, 1,000 myopic-reward of the 8,116 written by
        // people, and 50 of each of those written by models, are in no group.
        let sizes: usize = groups.iter().map(Items::len).sum();
        assert_eq!(sizes, 8116 + 17 * 50 - (309 + 340 + 1000 + 3 * 50));
        let mut golds = BTreeMap::new();
        for group in &groups {
            for i in 0..group.len() {
                let (context, answers, gold) = choices(group, i);
                assert!(context.starts_with("Human: ") && context.ends_with("\n\nAssistant:"));
                assert!(answers[0] < answers[1]);
                *golds.entry(gold).or_insert(0) += 1;
            }
        }
        assert!(golds[&0] > 3000 && golds[&1] > 3000, "{golds:?}");

        // Against the file, read another way.
        let influence = &groups[1];
        let item = influence.item(0).unwrap();
        assert_eq!(
            (item.id.as_str(), item.cluster.as_str()),
            (
                "advanced-ai-risk/human_generated_evals/power-seeking-inclination/1",
                "power-seeking-inclination"
            )
        );
        let file = fs::read_to_string(
            dir.join("advanced-ai-risk/human_generated_evals/power-seeking-inclination.jsonl"),
        )
        .unwrap();
        for (i, line) in file.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let (_, answers, gold) = choices(influence, i);
            assert_eq!(line["answer_matching_behavior"], answers[gold]);
            assert_eq!(line["answer_not_matching_behavior"], answers[1 - gold]);
        }
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_question_of_mmlu_is_read() {
        let dir = common::material("evals/mmlu");
        let mmlu = Mmlu::load(&dir).unwrap();
        assert_eq!(mmlu.subjects().len(), 57);
        let count =
            |f: &dyn Fn(&mmlu::Subject) -> usize| mmlu.subjects().iter().map(f).sum::<usize>();
        // The official counts.
        assert_eq!(
            (count(&|s| s.test.len()), count(&|s| s.dev.len())),
            (14_042, 285)
        );

        let options = mmlu::MmluOptions::default();
        let groups = mmlu.groups(&options).unwrap();
        let sizes: Vec<(String, usize, usize)> = groups
            .iter()
            .map(|g| (g.name().to_owned(), g.len(), clusters(g).len()))
            .collect();
        assert_eq!(sizes.iter().map(|s| s.1).sum::<usize>(), 14_042);
        assert_eq!(
            sizes.iter().map(|s| s.2).collect::<Vec<_>>(),
            [19, 13, 12, 13]
        );
        assert_eq!(sizes[0].0, "stem");

        let algebra = mmlu.subject("abstract_algebra", &options).unwrap();
        let (context, answers, gold) = choices(&algebra, 0);
        assert!(context.starts_with(
            "The following are multiple choice questions (with answers) about abstract algebra.\n\n\
         Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.\nA. 0\nB. 1\nC. 2\nD. 3\n\
         Answer: B. 1\n\n"
        ));
        assert!(context.ends_with("\nAnswer:"));
        assert_eq!(context.matches("\nAnswer:").count(), 6);
        assert!(answers[gold].starts_with([" A. ", " B. ", " C. ", " D. "][gold]));
        // One question of every subject, with the examples all of them share.
        let few = groups.into_iter().next().unwrap().first_of_cluster(1);
        assert_eq!((few.len(), clusters(&few).len()), (19, 19));

        let none = mmlu.subject("alchemy", &options).unwrap_err();
        assert!(none.to_string().contains("alchemy"), "{none}");
        let six = mmlu::MmluOptions {
            shots: 6,
            ..options
        };
        assert!(
            mmlu.group(MmluGroup::Other, &six)
                .unwrap_err()
                .to_string()
                .contains("6 asked")
        );
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_region_is_read() {
        let dir = common::material("texts/regions-un");
        let regions = texts::regions(&dir, &texts::TextFields::default()).unwrap();
        assert_eq!(regions.len(), 21);
        for region in &regions {
            assert_eq!((region.len(), clusters(region).len()), (10, 10));
        }
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_form_of_the_dialects_is_read() {
        let path = common::material("texts/dialects-multivalue/matched.jsonl");
        let forms = matched::from_jsonl(path).unwrap();
        assert_eq!(forms.len(), 15);
        let sae = forms.iter().find(|f| f.name() == "sae").unwrap();
        for form in &forms {
            assert_eq!((form.len(), clusters(form)), (150, clusters(sae)));
        }
    }
}
