//! Transfers that are interrupted, redirected or wrong.

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::server::{Storage, sha256};
use super::{ADDRESS, Place, transfers};

#[test]
fn an_interrupted_download_goes_on_where_it_ended() {
    let place = Place::new("resume");
    place.hub.behave(|b| b.cut = (30_000, 1));
    place.done(&["fetch", ADDRESS]);
    let seen = place.hub.seen();
    let ranges: Vec<_> = transfers(&seen)
        .into_iter()
        .filter(|s| s.at_storage)
        .collect();
    assert_eq!(ranges.len(), 2, "{seen:?}");
    assert_eq!(ranges[1].range.as_deref(), Some("bytes=30000-"));
    place.assert_is_whole();

    // By the next command, after one that gave up.
    fs::remove_dir_all(place.folder.join("home")).unwrap();
    place.hub.behave(|b| b.cut = (0, 1000));
    fs::create_dir_all(place.part().parent().unwrap()).unwrap();
    fs::write(place.part(), &place.weights()[..20_000]).unwrap();
    place.refused(
        &mut place.command(&["fetch", ADDRESS]),
        &["model.safetensors: ", "the same command goes on from there"],
    );
    assert_eq!(fs::metadata(place.part()).unwrap().len(), 20_000);
    place.hub.seen();
    place.hub.behave(|b| b.cut = (0, 0));
    place.done(&["fetch", ADDRESS]);
    let seen = place.hub.seen();
    let ranges = transfers(&seen).into_iter().map(|s| s.range.as_deref());
    assert!(
        ranges.collect::<Vec<_>>().contains(&Some("bytes=20000-")),
        "{seen:?}"
    );
    place.assert_is_whole();
}

#[test]
fn a_part_is_not_trusted() {
    let place = Place::new("part");
    let start = |bytes: &[u8]| {
        fs::remove_dir_all(place.folder.join("home")).ok();
        fs::create_dir_all(place.part().parent().unwrap()).unwrap();
        fs::write(place.part(), bytes).unwrap();
    };
    // A server without ranges sends the whole file again.
    start(&place.weights()[..20_000]);
    place.hub.behave(|b| b.ranges = false);
    place.done(&["fetch", ADDRESS]);
    place.assert_is_whole();
    place.hub.behave(|b| b.ranges = true);
    // Longer than the file.
    start(&vec![7; place.weights().len() + 1]);
    place.done(&["fetch", ADDRESS]);
    place.assert_is_whole();
    // Of another file: the hash tells, the part is removed, and the next download is whole.
    start(&[7; 20_000]);
    place.refused(
        &mut place.command(&["fetch", ADDRESS]),
        &[
            "hf://org/name@",
            "model.safetensors: its SHA-256 is ",
            "it was removed",
        ],
    );
    assert!(!place.part().exists());
    place.done(&["fetch", ADDRESS]);
    place.assert_is_whole();
}

/// A power cut may leave a part of the right length with zeros in it, and no hash tells.
#[test]
fn a_part_without_a_hash_is_not_gone_on_with() {
    let place = Place::new("unhashed");
    let config = fs::read(place.source.join("config.json")).unwrap();
    // Forty digits, as of git.
    let name = format!("{}.incomplete", &sha256(&config)[..40]);
    let part = place.repository().join("blobs").join(name);
    for length in [10, config.len(), config.len() + 1] {
        fs::remove_dir_all(place.folder.join("home")).ok();
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, vec![0; length]).unwrap();
        place.hub.seen();
        place.done(&["fetch", ADDRESS]);
        place.assert_is_whole();
        assert!(!part.exists());
        let seen = place.hub.seen();
        assert!(seen.iter().all(|s| s.range.is_none()), "{seen:?}");
    }
}

/// Whoever shares a cache may place links in it, through which files of this user would be written.
#[cfg(unix)]
#[test]
fn links_in_the_place_of_locks_and_parts_are_not_followed() {
    let place = Place::new("links");
    let [target, none] = ["target", "none"].map(|name| place.folder.join(name));
    fs::write(&target, "kept").unwrap();
    let lock = format!("{}.lock", sha256(&place.weights()));
    let locks = place.folder.join("home/hub/.locks/models--org--name");
    for link in [locks.join(lock), place.part()] {
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let wanted = format!("{}: is a symbolic link", link.display());
        for to in [&target, &none] {
            std::os::unix::fs::symlink(to, &link).unwrap();
            place.refused(&mut place.command(&["fetch", ADDRESS]), &[&wanted]);
            assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
            assert!(!none.exists());
            fs::remove_file(&link).unwrap();
        }
        super::pipe(&link);
        let wanted = format!("{}: is not a regular file", link.display());
        place.refused(&mut place.command(&["fetch", ADDRESS]), &[&wanted]);
        fs::remove_file(&link).unwrap();
    }
    place.done(&["fetch", ADDRESS]);
    place.assert_is_whole();
}

#[test]
fn a_wrong_hash_leaves_nothing_in_the_cache() {
    let place = Place::new("hash");
    place
        .hub
        .behave(|b| b.wrong = Some("model.safetensors".to_owned()));
    let wrong = sha256(b"something else");
    place.refused(
        &mut place.command(&["fetch", ADDRESS]),
        &[
            "model.safetensors: its SHA-256 is ",
            &sha256(&place.weights()),
            &wrong,
        ],
    );
    assert!(!place.snapshot().join("model.safetensors").exists());
    let blobs = fs::read_dir(place.repository().join("blobs")).unwrap();
    let names: Vec<_> = blobs
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| name.len() == 40), "{names:?}");
}

#[test]
fn redirects_lead_to_the_same_file() {
    let place = Place::new("redirect");
    place.hub.behave(|b| b.storage = Storage::Relative);
    place.done(&["fetch", ADDRESS]);
    place.assert_is_whole();
    assert!(place.hub.seen().iter().all(|s| !s.at_storage));
    // A repository that has another name now.
    fs::remove_dir_all(place.folder.join("home")).unwrap();
    place
        .hub
        .behave(|b| b.renamed = Some(("old/name".to_owned(), "org/name".to_owned())));
    let folder = place.done(&["fetch", "hf://old/name@v1"]);
    let weights = Path::new(folder.trim()).join("model.safetensors");
    assert!(folder.contains("models--old--name"));
    assert_eq!(fs::read(weights).unwrap(), place.weights());
    place
        .hub
        .behave(|b| b.renamed = Some(("org/".to_owned(), "org/".to_owned())));
    place.refused(
        &mut place.command(&["fetch", ADDRESS]),
        &["redirects without end"],
    );
}

/// Waits for something that happens in another process.
#[cfg(unix)]
fn until(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_downloaded() {
    let place = Place::new("interrupt");
    place.hub.behave(|b| b.slow = Duration::from_millis(100));
    let child = place.command(&["fetch", ADDRESS]).spawn().unwrap();
    let length = || fs::metadata(place.part()).map_or(0, |m| m.len());
    until("part", || length() > 0);
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(
        message.contains("the same command goes on from there"),
        "{message}"
    );
    let kept = length();
    assert!(kept > 0 && kept < place.weights().len() as u64, "{kept}");
    place.hub.seen();
    place.hub.behave(|b| b.slow = Duration::ZERO);
    place.done(&["fetch", ADDRESS]);
    let seen = place.hub.seen();
    let ranges = transfers(&seen).into_iter().map(|s| s.range.clone());
    let wanted = Some(format!("bytes={kept}-"));
    assert!(ranges.collect::<Vec<_>>().contains(&wanted), "{seen:?}");
    place.assert_is_whole();
}
