//! Running text and matched texts.

use super::*;

#[test]
fn regions_are_files_or_folders_and_documents_are_clusters() {
    let folder = Folder::new();
    folder.write("india/a.txt", "One text.");
    folder.write("india/b.txt", "Another text.");
    folder.write("india/notes.md", "Not a text.");
    folder.write(
        "usa.jsonl",
        "{\"text\": \"Howdy\"}\n{\"text\": \"Hello\", \"id\": 7}\n",
    );
    folder.write("SOURCE.txt", "Not a region.");
    let regions = texts::regions(folder.path(), &texts::TextFields::default()).unwrap();
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

    let alone = texts::from_plain(folder.file("india/a.txt")).unwrap();
    assert_eq!((alone.name(), alone.len()), ("a", 1));
    let empty = folder.write("india/c.txt", "");
    match texts::regions(folder.path(), &texts::TextFields::default()) {
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
    assert!(texts::from_plain(folder.file("none.txt")).is_err());
    let hollow = Folder::new();
    assert!(texts::regions(hollow.path(), &texts::TextFields::default()).is_err());
    assert!(texts::from_plain(hollow.path()).is_err());
}

#[test]
fn corpora_take_the_names_of_their_fields() {
    let folder = Folder::new();
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
fn matched_texts_share_their_clusters() {
    let folder = Folder::new();
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
fn no_file_of_texts_is_skipped_in_silence() {
    let plain = texts::TextFields::default();
    for (file, reason) in [
        ("a.jsonl.xz", "unpack it"),
        ("a.tar.gz", "unpack it"),
        ("a.gz", "unpack it"),
        ("a.json", "JSON lines"),
        ("a.arrow", "JSON lines"),
    ] {
        let folder = Folder::new();
        folder.write("web.jsonl", r#"{"text": "x"}"#);
        folder.write("README.txt", "About these texts");
        folder.write("covariates.csv", "region,users");
        assert_eq!(texts::regions(folder.path(), &plain).unwrap().len(), 1);
        let others = texts::others(folder.path()).unwrap();
        assert_eq!(others.len(), 2, "{others:?}");
        folder.write(file, "x");
        let error = texts::regions(folder.path(), &plain)
            .unwrap_err()
            .to_string();
        assert!(error.contains(file) && error.contains(reason), "{error}");
    }
    let folder = Folder::new();
    folder.write("news/A.TXT", "x");
    folder.write("news/b.txt", "x");
    folder.write("web.JSONL", "\u{feff}{\"text\": \"x\"}");
    let found = texts::regions(folder.path(), &plain).unwrap();
    let sizes: Vec<_> = found.iter().map(|r| (r.name(), r.len())).collect();
    assert_eq!(sizes, [("news", 2), ("web", 1)]);
}

/// Texts of pandas (`tests/data/texts/make.py`) in every form.
#[test]
fn texts_are_read_in_every_form() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/texts");
    let found = texts::regions(&folder, &texts::TextFields::default()).unwrap();
    let names: Vec<&str> = found.iter().map(|r| r.name()).collect();
    assert_eq!(
        names,
        [
            "columns", "gzip", "lines", "lone", "packed", "plain", "zstd"
        ]
    );
    let text = |item: &relscale::distribution::Item| match &item.content {
        Content::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    for region in &found {
        let items: Vec<relscale::distribution::Item> = (0..region.len())
            .map(|i| region.item(i).unwrap().into_owned())
            .collect();
        let first = text(&items[0]);
        if ["lone", "packed"].contains(&region.name()) {
            assert_eq!((items.len(), first.as_str()), (1, " Grüße,\n\"Welt\" \n"));
            continue;
        }
        assert_eq!(items.len(), 3, "{}", region.name());
        assert_eq!(first, " Grüße,\n\"Welt\" \n", "{}", region.name());
        let ids: Vec<&str> = items.iter().map(|i| i.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"], "{}", region.name());
    }
    let others = texts::others(&folder).unwrap();
    assert_eq!(others.len(), 2, "{others:?}");
    // A file of items, too.
    let items = relscale::distribution::Items::from_jsonl(folder.join("columns.parquet")).unwrap();
    assert_eq!((items.len(), items.name()), (3, "columns"));
}
