//! Any bytes as a PyTorch file: they are read or refused, and never panic.
//!
//! The first byte tells what follows: the pickle of a file whose other records are those of a real one,
//! edits of that file (an offset in two bytes and a value each), so that the fuzzer reaches beyond the
//! archive, or a whole file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::checkpoint::Weights;

const FILE: &[u8] = include_bytes!("../../tests/fixtures/torch/views/pytorch_model.bin");

/// The folder of this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let name = format!("relscale-fuzz-pickle-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// An archive of stored records.
fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in records {
        let at = (file.len() as u32).to_le_bytes();
        let [size, length] = [data.len(), name.len()].map(|n| (n as u32).to_le_bytes());
        let described = [&[0; 10], &size[..], &size, &length[..2], &[0; 2]].concat();
        file.extend(
            [
                b"PK\x03\x04\x14\0\0\0",
                &described[..],
                name.as_bytes(),
                data,
            ]
            .concat(),
        );
        directory.extend([b"PK\x01\x02\x14\0\x14\0\0\0", &described[..], &[0; 10], &at].concat());
        directory.extend(name.as_bytes());
    }
    let [start, length] = [file.len(), directory.len()].map(|n| (n as u32).to_le_bytes());
    let count = &(records.len() as u16).to_le_bytes();
    file.extend(directory);
    file.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            count,
            &length,
            &start,
            &[0; 2],
        ]
        .concat(),
    );
    file
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    let file = match kind {
        0 => {
            let numbers = [0; 192];
            let mut records = vec![("a/data.pkl", rest)];
            records.extend(["a/data/0", "a/data/1", "a/data/2"].map(|name| (name, &numbers[..])));
            archive(&records)
        }
        1 => {
            let mut file = FILE.to_vec();
            for edit in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % file.len();
                file[at] = edit[2];
            }
            file
        }
        _ => rest.to_vec(),
    };
    fs::write(folder().join("pytorch_model.bin"), file).unwrap();
    match Weights::open(folder()) {
        Ok(mut weights) => {
            for (name, shape) in [
                ("base", &[6, 8][..]),
                ("transposed", &[8, 6]),
                ("permuted", &[5, 3, 4]),
            ] {
                if let Ok(tensor) = weights.tensor(name, shape) {
                    assert_eq!(tensor.values().len(), shape.iter().product::<usize>());
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
