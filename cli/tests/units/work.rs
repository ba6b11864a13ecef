//! Units one by one.

use super::*;

#[test]
fn what_changed_since_the_plan_is_refused_by_unit_and_remembered() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[0, 1]);
    let (one, two) = (&plan.units()[0], &plan.units()[1]);
    let field = |e: &UnitError| match e {
        UnitError::Unit { unit, source } => match source {
            Error::Key { field, .. } => (unit.clone(), field.clone()),
            e => panic!("{e}"),
        },
        e => panic!("{e}"),
    };
    let checkpoint = folder.file("0.gguf");
    let original = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, "trained again").unwrap();
    let e = run(&plan, one).unwrap_err();
    assert_eq!(field(&e), (one.name(), "checkpoint".to_owned()));
    match &plan.states().unwrap()[0] {
        UnitState::Failed { message } => assert!(message.contains("0.gguf"), "{message}"),
        state => panic!("{state:?}"),
    }
    fs::write(&checkpoint, original).unwrap();
    assert!(run(&plan, one).unwrap());
    assert_eq!(plan.states().unwrap()[0], UnitState::Done);

    let tokens = folder.file("tokens.jsonl");
    let original = fs::read_to_string(&tokens).unwrap();
    fs::write(&tokens, original.replace("\"c1\"", "\"c7\"")).unwrap();
    let e = run(&plan, two).unwrap_err();
    assert_eq!(field(&e).1, "distribution_hash");
    // One record is there from a process that was killed.
    fs::write(&tokens, original).unwrap();
    assert!(run(&plan, two).unwrap());
    let done = log_of(&shared, two);
    let bytes = fs::read(&done).unwrap();
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
    let second = ends.map(|(i, _)| i).nth(1).unwrap();
    fs::remove_file(&done).unwrap();
    fs::write(done.with_extension("part"), &bytes[..second + 4]).unwrap();
    assert_eq!(plan.states().unwrap()[1], UnitState::Started { records: 1 });

    // While one process has it, another is refused, and that is no failure of the unit.
    let key = Key::read(done.with_extension("part")).unwrap();
    let held = Log::open(done.with_extension("part"), &key).unwrap();
    let e = run(&plan, two).unwrap_err().to_string();
    assert!(
        e.contains(&two.name()) && e.contains("another writer"),
        "{e}"
    );
    assert_eq!(plan.states().unwrap()[1], UnitState::Started { records: 1 });
    drop(held);
    assert!(run(&plan, two).unwrap());
    assert_eq!(fs::read(&done).unwrap(), bytes);
}

#[test]
fn neighbours_share_a_checkpoint_and_what_is_finished_loads_none() {
    let folder = Folder::new();
    let (_, plan) = finished(&folder, &[]);
    let again = folder.file("again");
    let plan_again = StudyPlan::create(&again, &study(folder.path(), 3e4), &mut |_| {}).unwrap();
    assert_eq!(plan.units(), plan_again.units());
    for (plan, loads) in [(&plan_again, 2), (&plan_again, 0), (&plan, 0)] {
        let count = Cell::new(0);
        let mut worker = Worker::new(plan, |path: &Checkpoint| {
            count.set(count.get() + 1);
            Oracle::load(path)
        });
        for unit in plan.units() {
            assert_eq!(worker.run(unit, &|_| {}).unwrap(), loads > 0);
        }
        drop(worker);
        assert_eq!(count.get(), loads);
    }
}

#[test]
fn a_log_of_a_range_scores_the_range_and_no_more() {
    let folder = Folder::new();
    let study = study(folder.path(), 1e5);
    let items: Items = study.distributions[0].load("").unwrap().remove(0);
    let scorer = by_name("nats_per_token").unwrap();
    let scorers: [&dyn Scorer; 1] = [&*scorer];
    let key = Key::new("a", "b", &items, &scorers, &study.scoring).unwrap();
    for range in [0..0, 5..24, 24..25] {
        assert!(key.clone().with_range(range).is_err());
    }
    let part = key.clone().with_range(3..7).unwrap();
    let path = folder.file("log");
    let mut log = Log::open(&path, &part).unwrap();
    let model = Oracle(1.0);
    let evaluation = Evaluation::new(&model)
        .scorers(&scorers)
        .settings(study.scoring);
    log.score(&evaluation, &items).unwrap();
    assert!(log.table().is_complete());
    let ids: Vec<&String> = log.table().records().keys().collect();
    assert_eq!(ids, ["3", "4", "5", "6"]);
    drop(log);
    assert_eq!(Key::read(&path).unwrap(), part);
    // Neither the whole nor another part opens it, nor this part the whole.
    for other in [key.clone(), key.clone().with_range(3..8).unwrap()] {
        let e = Log::open(&path, &other).unwrap_err();
        assert!(
            matches!(&e, Error::Key { field, .. } if field == "range"),
            "{e}"
        );
    }
    let whole = folder.file("whole");
    drop(Log::open(&whole, &key).unwrap());
    assert!(!fs::read_to_string(&whole).unwrap().contains("range"));
    let e = Log::open(&whole, &part).unwrap_err();
    assert!(
        matches!(&e, Error::Key { field, .. } if field == "range"),
        "{e}"
    );
    assert_eq!(items.len(), 23);
}

#[test]
fn special_tokens_of_a_text_are_tokens_if_the_study_says_so() {
    let folder = Folder::new();
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/cases/special_tokens");
    let checkpoint = folder.file("checkpoint");
    fs::create_dir_all(&checkpoint).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(case.join(name), checkpoint.join(name)).unwrap();
    }
    fs::write(checkpoint.join("model.safetensors"), "weights").unwrap();
    let mut study = study(folder.path(), 1e15);
    let runs = "run,corpus,budget,flops,params,tokens,seed,checkpoint\n\
                a,web,1e18,1e13,1000,2e9,0,checkpoint\n";
    fs::write(&study.runs, runs).unwrap();
    study.distributions.truncate(1);
    study.distributions[0].path = case.join("special_token_text.jsonl");
    for (special, tokens) in [(false, 23.0), (true, 12.0)] {
        study.special_tokens = special;
        study.scoring.bos = Bos::Never;
        let shared = folder.path().join(special.to_string());
        StudyPlan::create(&shared, &study, &mut |_| {}).unwrap();
        let plan = StudyPlan::read(&shared).unwrap();
        let unit = &plan.units()[0];
        assert!(run(&plan, unit).unwrap());
        let table = Table::read(log_of(&shared, unit)).unwrap();
        assert_eq!(table.key().special_tokens_parsed, special);
        let record = table.records().values().next().unwrap();
        assert_eq!(record.scores[0].weight, tokens);
        assert_eq!(record.warnings.is_empty(), special, "{:?}", record.warnings);
    }
}
