//! Scoring that is stopped, cut off at every byte or killed goes on to the same bytes.

use super::*;

#[test]
fn an_evaluation_that_is_stopped_keeps_its_batches_and_resumes_to_the_same_bytes() {
    let items = texts(12);
    let (_, compact) = whole(&items);
    for stop in 0..=items.len() {
        let folder = Folder::new();
        let path = folder.file("log");
        let (model, asked) = (Oracle::default(), AtomicUsize::new(0));
        let stopped =
            evaluation(&model).stop_when(|| asked.fetch_add(1, Ordering::Relaxed) == stop);
        let mut log = Log::open(&path, &key(&items)).unwrap();
        let result = log.score(&stopped, &items);
        // After the last batch there is nothing to stop.
        if stop < items.len() {
            assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        } else {
            result.unwrap();
        }
        assert_eq!(log.table().records().len(), stop);
        drop(log);
        let kept = Table::read(&path).unwrap();
        let before = targets(&items, |id| kept.records().contains_key(id));
        assert_eq!(
            finish(&path, &items).unwrap(),
            targets(&items, |_| true) - before
        );
        assert_eq!(fs::read(&path).unwrap(), compact);
    }
}

#[test]
fn an_evaluation_is_stopped_while_it_tokenises() {
    let items = texts(3000);
    let (model, asked) = (Oracle::default(), AtomicUsize::new(0));
    let evaluation = evaluation(&model).stop_when(|| asked.fetch_add(1, Ordering::Relaxed) == 1);
    let result = evaluation.log_likelihoods(&items);
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    // After 1,024 and after 2,048 items, and nothing was computed.
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(model.targets.load(Ordering::Relaxed), 0);
}

#[test]
fn a_log_cut_at_any_byte_resumes_to_the_same_bytes() {
    let items = texts(12);
    let (raw, compact) = whole(&items);
    assert_eq!(raw.iter().filter(|b| **b == b'\n').count(), 13);
    let folder = Folder::new();
    let path = folder.file("log");
    for cut in 0..=raw.len() {
        fs::write(&path, &raw[..cut]).unwrap();
        let lines = raw[..cut].iter().filter(|b| **b == b'\n').count();
        let kept = if lines == 0 {
            Vec::new()
        } else {
            let table = Table::read(&path).unwrap();
            assert_eq!(table.records().len(), lines - 1, "cut at {cut}");
            table.records().keys().cloned().collect()
        };
        let computed = finish(&path, &items).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        // What is whole is not computed again.
        assert_eq!(
            computed,
            targets(&items, |id| !kept.iter().any(|k| k == id))
        );
        assert!(fs::read(&path).unwrap() == compact, "cut at {cut}");
    }
}

/// After a power cut a line may have its length, and its content only in part.
#[test]
fn a_first_line_that_ends_in_zeros_is_begun_anew() {
    let items = texts(3);
    let (raw, compact) = whole(&items);
    let folder = Folder::new();
    let path = folder.file("log");
    let first = raw.iter().position(|b| *b == b'\n').unwrap() + 1;
    for (kept, length) in (0..first)
        .map(|kept| (kept, first))
        .chain([(0, 1), (9, raw.len())])
    {
        let mut bytes = raw[..kept].to_vec();
        bytes.resize(length, 0);
        fs::write(&path, bytes).unwrap();
        assert_eq!(finish(&path, &items).unwrap(), targets(&items, |_| true));
        assert!(fs::read(&path).unwrap() == compact, "{kept} of {length}");
    }
    // Anything else among them is somebody's.
    let mut other = vec![0; first];
    other[first / 2] = b'x';
    fs::write(&path, &other).unwrap();
    assert!(matches!(finish(&path, &items), Err(Error::Format { .. })));
    assert!(fs::read(&path).unwrap() == other);
}

const CHILD: &str = "RELSCALE_LOG_CHILD";

/// Not a test by itself: what `a_process_killed_hard_loses_nothing` runs in a process of its own.
#[test]
fn child_that_scores() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let items = texts(200);
    let model = Oracle {
        pause: std::time::Duration::from_millis(5),
        ..Oracle::default()
    };
    let mut log = Log::open(path, &key(&items)).unwrap();
    log.score(&evaluation(&model), &items).unwrap();
}

#[test]
fn a_process_killed_hard_loses_nothing() {
    let items = texts(200);
    let (_, compact) = whole(&items);
    let folder = Folder::new();
    let path = folder.file("log");
    let records = || Table::read(&path).map_or(0, |t| t.records().len());
    let mut kills = 0;
    for round in 0..20 {
        let before = records();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "log::resume::child_that_scores",
                "--test-threads",
                "1",
            ])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Killed somewhere after it has added a few records.
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if records() > before + 20 + round {
                child.kill().unwrap();
                kills += 1;
                break child.wait().unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        // On a busy machine the last child may have come to the end before it was killed.
        assert!(records() > before || before == items.len());
        if status.success() {
            break;
        }
    }
    assert!(kills >= 3, "{kills}");
    // Nothing is left to do but to close.
    assert_eq!(finish(&path, &items).unwrap(), 0);
    assert_eq!(fs::read(&path).unwrap(), compact);
}
