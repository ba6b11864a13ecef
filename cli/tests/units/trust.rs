//! Plans and units that somebody changes behind the program's back.

use super::*;
use sha2::Digest;

#[test]
fn a_plan_whose_numbers_were_changed_is_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let path = shared.join("plan.json");
    let text = fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for field in ["params", "budget", "flops", "tokens", "seed"] {
        let mut changed = json.clone();
        changed["runs"][0]["run"][field] = 7.into();
        fs::write(&path, changed.to_string()).unwrap();
        let message = StudyPlan::read(&shared).unwrap_err().to_string();
        assert!(message.contains("was changed"), "{field}: {message}");
    }
    // Of an earlier version, without the hash.
    let mut old = json.clone();
    old.as_object_mut().unwrap().remove("check");
    fs::write(&path, old.to_string()).unwrap();
    let message = StudyPlan::read(&shared).unwrap_err().to_string();
    assert!(message.contains("earlier version"), "{message}");
    let twice = text.replacen("\"backend\":", "\"backend\": \"x\", \"backend\":", 1);
    fs::write(&path, twice).unwrap();
    let message = StudyPlan::read(&shared).unwrap_err().to_string();
    assert!(message.contains("`backend` comes twice"), "{message}");
    fs::write(&path, text).unwrap();
    StudyPlan::read(&shared).unwrap();

    // Planned again with another size: the logs of the first plan are of no use to the second.
    let mut other = study(folder.path(), 3e4);
    let runs = fs::read_to_string(&other.runs).unwrap();
    other.runs = folder.file("other.csv");
    fs::write(&other.runs, runs.replacen(",1000,", ",1001,", 1)).unwrap();
    let second = folder.file("second");
    let other = StudyPlan::create(&second, &other, &mut |_| {}).unwrap();
    for unit in plan.units() {
        let to = log_of(&second, unit);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(log_of(&shared, unit), to).unwrap();
    }
    let message = other
        .merge(folder.file("out.csv"), None)
        .unwrap_err()
        .to_string();
    assert!(message.contains("`run` differs"), "{message}");
}

#[test]
fn a_checkpoint_that_is_swapped_between_hash_and_load_fails_its_unit() {
    let folder = Folder::new();
    let (_, plan) = finished(&folder, &[0]);
    let unit = &plan.units()[0];
    let mut worker = Worker::new(&plan, |checkpoint: &Checkpoint| {
        let bytes = fs::read(checkpoint.path()).unwrap();
        fs::write(checkpoint.path(), "other").unwrap();
        let model = Oracle::load(checkpoint);
        // Put back at once, so that a second hash would see nothing.
        fs::write(checkpoint.path(), bytes).unwrap();
        model
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    let message = worker.run(unit, &|_| {}).unwrap_err().to_string();
    assert!(
        message.contains(&unit.name()) && message.contains("changed while"),
        "{message}"
    );
    assert!(matches!(
        plan.states().unwrap()[0],
        UnitState::Failed { .. }
    ));
    drop(worker);
    assert!(run(&plan, unit).unwrap());
}

#[test]
fn a_worker_of_another_version_is_told_to_update() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[0]);
    let unit = plan.units()[0].clone();
    let path = shared.join("plan.json");
    let text = fs::read_to_string(&path).unwrap();
    // As the planner of that version would have written it: with the hash of its fields, in one line.
    let text = text.replacen(env!("CARGO_PKG_VERSION"), "9.9.9", 1);
    let check = serde_json::from_str::<serde_json::Value>(&text).unwrap()["check"].clone();
    let check = check.as_str().unwrap();
    let line = |line: &str| line.trim().replacen("\": ", "\":", 1);
    let plain: String = text.replace(check, "").lines().map(line).collect();
    let digest = sha2::Sha256::digest(plain.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, text.replace(check, &hash)).unwrap();
    let other = StudyPlan::read(&shared).unwrap();
    let message = run(&other, &unit).unwrap_err().to_string();
    assert!(
        message.contains("9.9.9") && message.contains("install"),
        "{message}"
    );
}

#[test]
fn a_failure_whose_reason_cannot_be_written_is_still_one() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[0]);
    let path = shared.join("logs").join(plan.units()[0].name() + ".error");
    // What a full disk leaves: a name, and no byte.
    fs::write(&path, "").unwrap();
    match &plan.states().unwrap()[0] {
        UnitState::Failed { message } => assert!(message.contains("disk"), "{message}"),
        state => panic!("{state:?}"),
    }
}

#[test]
fn names_of_any_length_and_letters_are_scored_and_listed() {
    let folder = Folder::new();
    let mut study = study(folder.path(), 3e4);
    let long = format!("{}.jsonl", "分布".repeat(15));
    let source = &mut study.distributions[0];
    fs::rename(&source.path, folder.path().join(&long)).unwrap();
    source.path = folder.path().join(&long);
    let runs = fs::read_to_string(&study.runs).unwrap();
    fs::write(&study.runs, runs.replace("a 2", &"../é".repeat(100))).unwrap();
    let shared = folder.file("long");
    let plan = StudyPlan::create(&shared, &study, &mut |_| {}).unwrap();
    let mut worker = Worker::new(&plan, Oracle::load);
    for unit in plan.units() {
        assert!(unit.name().split('/').all(|part| part.len() <= 120));
        assert!(worker.run(unit, &|_| {}).unwrap());
    }
    assert!(plan.states().unwrap().iter().all(|s| *s == UnitState::Done));
    plan.merge(folder.file("out.csv"), None).unwrap();
}
