//! The merged table: the same bytes for every cut, and logs that are refused.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_split_on_any_machines_is_the_table_of_one(
        exponent in 4.0..7.0f64,
        machines in 1..5usize,
        order in any::<u64>(),
        cuts in prop::collection::vec(any::<u32>(), 6),
    ) {
        let folder = Folder::new();
        let study = study(folder.path(), 10f64.powf(exponent));
        let want = single(folder.path(), &study, &oracle);
        let shared = folder.file("shared");
        let plan = StudyPlan::create(&shared, &study, &mut |_| {}).unwrap();
        prop_assert_eq!(&StudyPlan::read(&shared).unwrap(), &plan);

        // Every unit is in one shard; a machine has a folder of its own, and its own order.
        let shards: Vec<&[Unit]> =
            (0..machines).map(|k| plan.shard(k, machines).unwrap()).collect();
        prop_assert_eq!(shards.concat(), plan.units());
        let mut cuts = cuts.into_iter();
        for (machine, shard) in shards.iter().enumerate() {
            let own = folder.path().join(format!("machine-{machine}"));
            fs::create_dir_all(&own).unwrap();
            // The same plan: paths outside the folder are absolute.
            fs::copy(shared.join("plan.json"), own.join("plan.json")).unwrap();
            let plan = StudyPlan::read(&own).unwrap();
            let mut units: Vec<&Unit> = shard.iter().collect();
            units.sort_by_key(|unit| unit.items.start as u64 ^ order);
            let mut worker = Worker::new(&plan, Oracle::load);
            for unit in units {
                // Killed while it was at it: a log cut at some byte, where this machine left it.
                if let Some(cut) = cuts.next() {
                    let done = log_of(&own, unit);
                    prop_assert!(run(&plan, unit).unwrap());
                    let bytes = fs::read(&done).unwrap();
                    let cut = cut as usize % bytes.len();
                    fs::write(done.with_extension("part"), &bytes[..cut]).unwrap();
                    fs::remove_file(&done).unwrap();
                }
                prop_assert!(worker.run(unit, &|_| ()).unwrap());
                // Finishing is idempotent.
                prop_assert!(!worker.run(unit, &|_| ()).unwrap());
                let (from, to) = (log_of(&own, unit), log_of(&shared, unit));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(from, to).unwrap();
            }
        }
        prop_assert!(plan.states().unwrap().iter().all(|s| *s == UnitState::Done));
        let out = folder.file("merged.csv");
        plan.merge(&out, None).unwrap();
        prop_assert_eq!(
            String::from_utf8(fs::read(&out).unwrap()).unwrap(),
            String::from_utf8(want).unwrap()
        );
    }
}

/// The message of a merge that names `unit`.
fn refused(folder: &Folder, plan: &StudyPlan, unit: &Unit) -> String {
    let out = folder.file("merged.csv");
    let e = plan.merge(&out, None).unwrap_err();
    assert!(!out.exists());
    match &e {
        UnitError::Unit { unit: name, .. } => assert_eq!(*name, unit.name(), "{e}"),
        e => panic!("{e}"),
    }
    e.to_string()
}

#[test]
fn a_unit_that_is_missing_is_named() {
    let folder = Folder::new();
    let (_, plan) = finished(&folder, &[2, 5]);
    let message = refused(&folder, &plan, &plan.units()[2]);
    assert!(
        message.contains("not finished, nor are 1 others"),
        "{message}"
    );
    assert_eq!(plan.states().unwrap()[2], UnitState::Open);
    run(&plan, &plan.units()[2]).unwrap();
    refused(&folder, &plan, &plan.units()[5]);
    run(&plan, &plan.units()[5]).unwrap();
    plan.merge(folder.file("merged.csv"), None).unwrap();
}

#[test]
fn a_unit_in_the_place_of_another_is_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let (one, two) = (&plan.units()[0], &plan.units()[1]);
    assert_eq!((&one.run, &one.distribution), (&two.run, &two.distribution));
    // Doubled: the first unit stands for the second too.
    fs::copy(log_of(&shared, one), log_of(&shared, two)).unwrap();
    let message = refused(&folder, &plan, two);
    assert!(message.contains("`range` differs"), "{message}");
    assert!(run(&plan, two).is_err());
    assert!(matches!(
        plan.states().unwrap()[1],
        UnitState::Failed { .. }
    ));
    // Of another checkpoint.
    let last = &plan.units()[plan.units().len() - 1];
    let same = |u: &&Unit| u.run != last.run && u.distribution == last.distribution;
    let other = plan.units().iter().find(same).unwrap();
    fs::remove_file(log_of(&shared, two)).unwrap();
    assert!(run(&plan, two).unwrap());
    fs::copy(log_of(&shared, other), log_of(&shared, last)).unwrap();
    let message = refused(&folder, &plan, last);
    assert!(message.contains("`checkpoint` differs"), "{message}");
}

#[test]
fn a_log_that_belongs_to_no_unit_is_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let first = log_of(&shared, &plan.units()[0]);
    let stray = first.with_file_name("1-2.jsonl");
    fs::copy(&first, &stray).unwrap();
    let e = plan.merge(folder.file("merged.csv"), None).unwrap_err();
    let e = e.to_string();
    assert!(e.contains("1-2.jsonl") && e.contains("no unit"), "{e}");
}

#[test]
fn items_that_are_damaged_missing_or_of_the_wrong_name_are_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let unit = &plan.units()[0];
    let path = log_of(&shared, unit);
    let bytes = fs::read(&path).unwrap();
    // A flipped bit in the middle, and a record less.
    let mut damaged = bytes.clone();
    let middle = bytes.iter().position(|b| *b == b'\n').unwrap() + 10;
    damaged[middle] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert!(refused(&folder, &plan, unit).contains("damaged"));
    let last = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap();
    fs::write(&path, &bytes[..=last]).unwrap();
    assert!(refused(&folder, &plan, unit).contains("records; remove the file"));
    // A whole log with the right key, of an item that the distribution does not have.
    fs::remove_file(&path).unwrap();
    run(&plan, unit).unwrap();
    let there = Table::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut log = Log::open(&path, there.key()).unwrap();
    for (number, (id, record)) in there.records().iter().enumerate() {
        let id = if number == 0 { "stranger" } else { id };
        log.append(id, record.clone()).unwrap();
    }
    drop(log);
    let message = refused(&folder, &plan, unit);
    let first = there.records().keys().next().unwrap();
    assert!(
        message.contains(&format!("item `{first}` is missing")),
        "{message}"
    );
}

/// Two checkpoints of the suite on texts and on questions that need a tokenizer, with the kernels of
/// the processor.
#[test]
fn real_checkpoints_in_pieces_give_the_bytes_of_one_run() {
    let folder = Folder::new();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite");
    let runs = fs::read_to_string(suite.join("ladder.csv")).unwrap();
    let rows: String = runs.lines().take(3).map(|l| l.to_owned() + "\n").collect();
    let rows = rows.replace("checkpoints/", &format!("{}/checkpoints/", suite.display()));
    fs::write(folder.file("runs.csv"), rows).unwrap();
    let texts = fs::read_to_string(suite.join("texts/english-help.jsonl")).unwrap();
    let texts: String = texts.lines().take(6).map(|l| l.to_owned() + "\n").collect();
    fs::write(folder.file("help.jsonl"), texts).unwrap();
    fs::create_dir_all(folder.file("mmlu/test")).unwrap();
    let questions = "Where is the atlas?,Foot,Hand,Neck,Hip,C\nAnd the femur?,A leg,B,C,D,A\n";
    fs::write(folder.file("mmlu/test/anatomy_test.csv"), questions).unwrap();
    let text = r#"{"runs": "runs.csv", "unit_flops": 2e6,
        "scoring": {"bos": {"every_window": 256}, "context": 256, "truncate": true},
        "distributions": [
            {"kind": "items", "path": "help.jsonl", "scorers": ["bits_per_byte"]},
            {"kind": {"mmlu": {"shots": 0}}, "path": "mmlu", "scorers": ["choice_log_loss"]}
        ]}"#;
    fs::write(folder.file("study.json"), text).unwrap();
    let study = Study::read(folder.file("study.json")).unwrap();

    let load = |path: &Checkpoint| -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(Transformer::load(path, Cpu::with_threads(2)?)?))
    };
    let want = single(folder.path(), &study, &|path| {
        // Another number of threads, and nothing else is the same.
        Box::new(Transformer::load(path, Cpu::with_threads(1).unwrap()).unwrap())
    });
    let plan = StudyPlan::create(folder.file("plan"), &study, &mut |_| {}).unwrap();
    assert!(plan.units().len() >= 10, "{}", plan.units().len());
    let mut worker = Worker::new(&plan, load);
    for unit in plan.units().iter().rev() {
        assert!(worker.run(unit, &|_| {}).unwrap());
    }
    let out = folder.file("merged.csv");
    plan.merge(&out, None).unwrap();
    let got = fs::read(&out).unwrap();
    assert_eq!(
        String::from_utf8(got.clone()).unwrap(),
        String::from_utf8(want).unwrap()
    );
    let ladder = Ladder::from_csv(got.as_slice(), "merged").unwrap();
    assert_eq!(ladder.runs().len(), 2);
    let e = plan.merge(&out, Some("bits_per_byte")).unwrap_err();
    assert!(e.to_string().contains("choice_log_loss"), "{e}");
}
