//! Plans and files of studies.

use super::*;

#[test]
fn plans_are_the_same_and_a_folder_holds_one() {
    let folder = Folder::new();
    let shared = folder.file("shared");
    let mut seen = Vec::new();
    let plan = StudyPlan::create(&shared, &study(folder.path(), 1e5), &mut |run| {
        seen.push(run.id.clone());
    })
    .unwrap();
    assert_eq!(seen, ["b/1", "a 2"]);
    let bytes = fs::read(shared.join("plan.json")).unwrap();
    StudyPlan::create(&shared, &study(folder.path(), 1e5), &mut |_| {}).unwrap();
    assert_eq!(fs::read(shared.join("plan.json")).unwrap(), bytes);
    let e = StudyPlan::create(&shared, &study(folder.path(), 2e5), &mut |_| {}).unwrap_err();
    assert!(e.to_string().contains("another plan"), "{e}");

    // Costs are 2·N·T; larger units are fewer.
    let tokens: f64 = plan
        .units()
        .iter()
        .filter(|u| u.run == "b/1")
        .map(|u| u.flops)
        .sum();
    let tokens = tokens / 2.0 / 1000.0;
    let count = |i: usize| 2 + i * 5 % 9;
    let want = (0..23).map(count).sum::<usize>() + 8 * (2 + 3);
    assert_eq!(tokens, want as f64);
    assert!(
        plan.units()
            .iter()
            .all(|u| u.flops <= 1e5 + 2.0 * 2000.0 * 10.0)
    );
    assert!(plan.named(&["b%2F1/tokens/0-1000"]).is_err());
    let name = plan.units()[3].name();
    assert_eq!(plan.named(&[name]).unwrap(), [&plan.units()[3]]);
    assert!(plan.shard(2, 2).is_err());
    // More shards than units: some have none.
    let all: usize = (0..100).map(|k| plan.shard(k, 100).unwrap().len()).sum();
    assert_eq!(all, plan.units().len());

    // The folder may be moved with what is in it.
    let inside = folder.file("inside");
    fs::create_dir_all(&inside).unwrap();
    let study = study(&inside, 1e5);
    StudyPlan::create(&inside, &study, &mut |_| {}).unwrap();
    let text = fs::read_to_string(inside.join("plan.json")).unwrap();
    assert!(!text.contains(inside.to_str().unwrap()), "{text}");
    let moved = folder.file("moved");
    fs::rename(&inside, &moved).unwrap();
    let plan = StudyPlan::read(&moved).unwrap();
    assert!(run(&plan, &plan.units()[0]).unwrap());
}

#[test]
fn an_empty_plan_is_one_that_is_being_written_or_was_left_by_a_kill() {
    let folder = Folder::new();
    let shared = folder.file("shared");
    let path = folder.write("shared/plan.json", "");
    let study = study(folder.path(), 1e5);
    let read = StudyPlan::read(&shared).unwrap_err();
    let planned = StudyPlan::create(&shared, &study, &mut |_| {}).unwrap_err();
    for message in [read.to_string(), planned.to_string()] {
        for part in ["plan.json", "a planner that was killed", "remove it"] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
    }
    assert!(fs::read(&path).unwrap().is_empty());
    fs::remove_file(&path).unwrap();
    StudyPlan::create(&shared, &study, &mut |_| {}).unwrap();
}

#[test]
fn plans_that_are_edited_wrongly_are_refused_by_unit() {
    let folder = Folder::new();
    let shared = folder.file("shared");
    let plan = StudyPlan::create(&shared, &study(folder.path(), 3e4), &mut |_| {}).unwrap();
    let path = shared.join("plan.json");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut json = json.clone();
        change(&mut json);
        fs::write(&path, json.to_string()).unwrap();
        let e = StudyPlan::read(&shared).unwrap_err().to_string();
        assert!(e.contains("plan.json") && e.contains(expected), "{e}");
    };
    let second = plan.units()[1].name();
    let third = plan.units()[2].name();
    let units = |json: &mut serde_json::Value| json["units"].as_array_mut().unwrap().clone();
    let with = |json: &mut serde_json::Value, units: Vec<serde_json::Value>| {
        json["units"] = units.into();
    };
    refused(
        &|json| {
            let mut units = units(json);
            units.insert(1, units[1].clone());
            with(json, units);
        },
        &format!("unit `{second}` stands where one that begins with item"),
    );
    refused(
        &|json| {
            let mut units = units(json);
            units.remove(1);
            with(json, units);
        },
        &format!("unit `{third}` stands where"),
    );
    refused(
        &|json| {
            let mut units = units(json);
            units.pop();
            with(json, units);
        },
        "no unit has item",
    );
    refused(
        &|json| {
            let mut units = units(json);
            units.push(units[0].clone());
            with(json, units);
        },
        "one too many",
    );
    refused(
        &|json| json["units"][1]["flops"] = (-1).into(),
        "`flops` is -1",
    );
    refused(
        &|json| json["relscale_plan"] = 2.into(),
        "`relscale_plan` is 2",
    );
    refused(&|json| json["surprise"] = 2.into(), "surprise");
    refused(
        &|json| json["sources"][0]["scorers"][0] = "accuracy".into(),
        "accuracy",
    );
    refused(
        &|json| json["distributions"][1]["name"] = "tokens".into(),
        "comes twice",
    );
    refused(
        &|json| json["runs"][1]["run"]["id"] = "b/1".into(),
        "added twice",
    );
}

#[test]
fn studies_that_cannot_be_planned_are_refused() {
    let folder = Folder::new();
    let shared = folder.file("shared");
    let good = study(folder.path(), 1e5);
    let refused = |change: &dyn Fn(&mut Study), expected: &[&str]| {
        let mut study = good.clone();
        change(&mut study);
        let e = StudyPlan::create(&shared, &study, &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(expected.iter().all(|text| e.contains(text)), "{e}");
        assert!(!shared.exists());
    };
    refused(&|s| s.unit_flops = 0.0, &["unit_flops"]);
    refused(&|s| s.unit_flops = f64::NAN, &["unit_flops"]);
    refused(&|s| s.distributions.clear(), &["distributions"]);
    refused(
        &|s| s.distributions[0].scorers.clear(),
        &["tokens.jsonl", "scorers"],
    );
    refused(
        &|s| s.distributions[0].scorers[0] = "accuracy".into(),
        &["tokens.jsonl", "`accuracy` is none of"],
    );
    // Would fail on every machine.
    refused(
        &|s| s.distributions[0].scorers[0] = "brier".into(),
        &["tokens.jsonl", "`tokens`", "no choices"],
    );
    refused(
        &|s| s.distributions[1].scorers[0] = "error_rate_unconditional".into(),
        &["questions.jsonl", "unconditional"],
    );
    refused(
        &|s| s.distributions[1] = s.distributions[0].clone(),
        &["`tokens`", "a name that another has"],
    );
    refused(&|s| s.runs = "/nowhere.csv".into(), &["/nowhere.csv"]);
    fs::write(folder.file("empty.jsonl"), "").unwrap();
    let empty = folder.file("empty.jsonl");
    refused(
        &|s| s.distributions[1].path = empty.clone(),
        &["empty.jsonl", "no items"],
    );
    fs::remove_file(folder.file("1.gguf")).unwrap();
    refused(&|_| {}, &["1.gguf"]);
}

#[test]
fn files_of_studies_name_every_kind() {
    let folder = Folder::new();
    let text = r#"{
        "runs": "runs.csv", "unit_flops": 1e15,
        "scoring": {"bos": {"every_window": 256}, "context": 256},
        "distributions": [
            {"kind": "items", "path": "a.jsonl", "scorers": ["bits_per_byte"]},
            {"kind": "plain", "path": "b", "scorers": ["bits_per_byte"]},
            {"kind": "matched", "path": "/c.jsonl", "scorers": ["bits_per_byte"]},
            {"kind": {"corpus": {"text": "body"}}, "path": "d", "scorers": ["nats_per_byte"]},
            {"kind": {"regions": {}}, "path": "e", "scorers": ["nats_per_byte"]},
            {"kind": {"multiple_choice": {"cluster": "subject"}}, "path": "f",
             "scorers": ["error_rate_unconditional"], "unconditional": "Answer:"},
            {"kind": {"mmlu": {"shots": 0, "prompt": "letter"}}, "path": "g", "scorers": ["brier"]},
            {"kind": {"behaviours": {}}, "path": "h", "scorers": ["matching_probability"]}
        ]}"#;
    let path = folder.file("study.json");
    fs::write(&path, text).unwrap();
    let study = Study::read(&path).unwrap();
    assert_eq!(
        (study.runs, study.backend.as_str()),
        (folder.file("runs.csv"), "cpu f32")
    );
    assert_eq!(study.scoring.bos, Bos::EveryWindow(256));
    assert_eq!(study.scoring.batch_tokens, Settings::default().batch_tokens);
    assert_eq!(study.distributions[1].path, folder.file("b"));
    assert_eq!(study.distributions[2].path, Path::new("/c.jsonl"));
    match &study.distributions[6].kind {
        SourceKind::Mmlu(options) => assert_eq!((options.shots, options.description), (0, true)),
        kind => panic!("{kind:?}"),
    }
    for (from, to, expected) in [
        ("\"unit_flops\": 1e15,", "", "unit_flops"),
        ("\"shots\"", "\"shot\"", "shot"),
        ("\"plain\"", "\"plane\"", "plane"),
        ("every_window", "every", "every"),
        ("\"context\": 256", "\"contxt\": 256", "contxt"),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let e = Study::read(&path).unwrap_err().to_string();
        assert!(e.contains("study.json") && e.contains(expected), "{e}");
    }
}
