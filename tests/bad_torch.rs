//! PyTorch files from strangers: no code of a pickle runs, whatever it asks for is refused by name, and
//! memory is bounded.

#[path = "common/bounded.rs"]
mod bounded;
mod common;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use bounded::{alone, bounded, repeated};
use common::folder::Folder;
use proptest::prelude::*;
use relscale::Error;
use relscale::checkpoint::Weights;

/// The folder is that of a checkpoint in one PyTorch file.
impl Folder {
    fn open(&self, bytes: &[u8]) -> Result<Weights, Error> {
        self.write("pytorch_model.bin", bytes);
        Weights::open(self.path())
    }

    /// The error about a file, which names it.
    #[track_caller]
    fn error(&self, what: &str, bytes: &[u8]) -> String {
        let result = bounded(what, bytes.len(), || self.open(bytes).map(drop));
        let Err(error) = result else {
            panic!("{what}: read");
        };
        let path = match &error {
            Error::Format { path, .. } | Error::Tensor { path, .. } | Error::Io { path, .. } => {
                path
            }
            _ => panic!("{what}: {error}"),
        };
        assert!(path.ends_with("pytorch_model.bin"), "{what}: {error}");
        error.to_string()
    }

    #[track_caller]
    fn refused(&self, what: &str, bytes: &[u8], message: &str) {
        let error = self.error(what, bytes);
        assert!(error.contains(message), "{what}: {error}");
    }

    /// Refuses a pickle in an honest archive.
    #[track_caller]
    fn pickle(&self, what: &str, pickle: &[u8], message: &str) {
        self.refused(what, &archive(pickle), message);
    }
}

// Zip archives ---------------------------------------------------------------------------------

/// A record as its local header and the directory describe it.
struct Record<'a> {
    name: String,
    data: &'a [u8],
    /// Position of the local header, where it is not behind the record before.
    at: Option<usize>,
    method: u16,
    /// Claimed size, if not that of the data.
    size: Option<u32>,
}

fn record<'a>(name: &str, data: &'a [u8]) -> Record<'a> {
    Record {
        name: format!("archive/{name}"),
        data,
        at: None,
        method: 0,
        size: None,
    }
}

fn numbers(numbers: &[u32], bytes: usize) -> Vec<u8> {
    let bytes = |n: &u32| n.to_le_bytes()[..bytes].to_vec();
    numbers.iter().flat_map(bytes).collect()
}

/// Method, time, date, checksum and sizes, as both headers have them.
fn described(record: &Record<'_>) -> Vec<u8> {
    let size = record.size.unwrap_or(record.data.len() as u32);
    [
        numbers(&[u32::from(record.method), 0, 0], 2),
        numbers(&[0, size, size], 4),
        numbers(&[record.name.len() as u32, 0], 2),
    ]
    .concat()
}

fn zip(records: &[Record<'_>]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for record in records {
        let at = record.at.unwrap_or(file.len());
        let described = described(record);
        if record.at.is_none() {
            file.extend(b"PK\x03\x04");
            file.extend(numbers(&[20, 0], 2));
            file.extend(&described);
            file.extend(record.name.as_bytes());
            file.extend(record.data);
        }
        directory.extend(b"PK\x01\x02");
        directory.extend(numbers(&[20, 20, 0], 2));
        directory.extend(&described);
        directory.extend(numbers(&[0, 0, 0], 2));
        directory.extend(numbers(&[0, at as u32], 4));
        directory.extend(record.name.as_bytes());
    }
    let (start, count) = (file.len() as u32, records.len() as u32);
    file.extend(&directory);
    file.extend(b"PK\x05\x06");
    file.extend(numbers(&[0, 0, count, count], 2));
    file.extend(numbers(&[directory.len() as u32, start], 4));
    file.extend([0; 2]);
    file
}

/// An archive with this pickle and a storage of four numbers.
fn archive(pickle: &[u8]) -> Vec<u8> {
    zip(&[record("data.pkl", pickle), record("data/0", &[0; 16])])
}

// Pickles --------------------------------------------------------------------------------------

fn text(text: &str) -> Vec<u8> {
    [
        b"X",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

fn integer(n: i64) -> Vec<u8> {
    [b"\x8a\x08", &n.to_le_bytes()[..]].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &*items.concat(), b"t"].concat()
}

/// A call of a function with arguments.
fn call(module: &str, name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    let function = format!("c{module}\n{name}\n");
    [function.as_bytes(), &tuple(arguments), b"R"].concat()
}

struct Tensor {
    kind: &'static str,
    key: &'static str,
    elements: i64,
    offset: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

/// A matrix that fits the storage of `archive`.
fn honest() -> Tensor {
    Tensor {
        kind: "FloatStorage",
        key: "0",
        elements: 4,
        offset: 0,
        shape: vec![2, 2],
        strides: vec![2, 1],
    }
}

fn tensor(t: &Tensor) -> Vec<u8> {
    tensor_with(t, &[])
}

/// A tensor with arguments behind those of every tensor.
fn tensor_with(t: &Tensor, further: &[Vec<u8>]) -> Vec<u8> {
    let class = format!("ctorch\n{}\n", t.kind).into_bytes();
    let id = [
        text("storage"),
        class,
        text(t.key),
        text("cpu"),
        integer(t.elements),
    ];
    let list = |numbers: &[i64]| tuple(&numbers.iter().map(|&n| integer(n)).collect::<Vec<_>>());
    let storage = [&tuple(&id)[..], b"Q"].concat();
    let hooks = call("collections", "OrderedDict", &[]);
    let (shape, strides) = (list(&t.shape), list(&t.strides));
    let arguments = [
        storage,
        integer(t.offset),
        shape,
        strides,
        b"\x89".to_vec(),
        hooks,
    ];
    let arguments = [&arguments[..], further].concat();
    call("torch._utils", "_rebuild_tensor_v2", &arguments)
}

/// A dictionary with these members.
fn dictionary(members: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let members: Vec<u8> = members
        .iter()
        .flat_map(|(k, v)| [&k[..], v].concat())
        .collect();
    [b"\x80\x02}(", &*members, b"u."].concat()
}

fn one(t: &Tensor) -> Vec<u8> {
    dictionary(&[(text("weight"), tensor(t))])
}

#[test]
fn an_honest_pickle_is_read() {
    let folder = Folder::new();
    let data: Vec<u8> = [1f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let transposed = Tensor {
        strides: vec![1, 2],
        ..honest()
    };
    let pickle = dictionary(&[
        (text("a"), tensor(&honest())),
        (text("b"), tensor(&transposed)),
    ]);
    let file = zip(&[record("data.pkl", &pickle), record("data/0", &data)]);
    let mut weights = folder.open(&file).unwrap();
    let mut values = |name| weights.tensor(name, &[2, 2]).unwrap().values().to_f32();
    assert_eq!(values("a"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values("b"), [1.0, 3.0, 2.0, 4.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A view has the numbers at its positions, or it is refused.
    #[test]
    fn any_view_has_the_numbers_at_its_positions(
        dimensions in prop::collection::vec((0i64..5, 0i64..9), 0..4),
        offset in 0i64..20,
    ) {
        let folder = Folder::new();
        let data: Vec<u8> = (0..32).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let (shape, strides): (Vec<i64>, Vec<i64>) = dimensions.iter().copied().unzip();
        let view = Tensor { elements: 32, offset, shape: shape.clone(), strides, ..honest() };
        let pickle = one(&view);
        let file = zip(&[record("data.pkl", &pickle), record("data/0", &data)]);
        let mut positions = vec![offset];
        for (length, step) in dimensions {
            positions = positions
                .iter()
                .flat_map(|at| (0..length).map(move |i| at + i * step))
                .collect();
        }
        let fits = positions.len() <= 32 && positions.iter().all(|at| *at < 32);
        match folder.open(&file) {
            Ok(mut weights) => {
                prop_assert!(fits, "{positions:?}");
                let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
                let values = weights.tensor("weight", &shape).unwrap().values().to_f32();
                let expected: Vec<f32> = positions.iter().map(|&at| at as f32).collect();
                prop_assert_eq!(values, expected);
            }
            Err(error) => prop_assert!(!fits, "{}", error),
        }
    }
}

#[test]
fn nothing_that_a_pickle_asks_for_is_run() {
    let folder = Folder::new();
    let marker = folder.file("executed");
    let command = text(&format!("touch {}", marker.display()));
    for (module, name) in [
        ("posix", "system"),
        ("os", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("__builtin__", "eval"),
        ("numpy.testing._private.utils", "runstring"),
        ("torch.serialization", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("collections", "namedtuple"),
        ("functools", "partial"),
    ] {
        let shown = format!("`{module}.{name}`");
        let called = call(module, name, std::slice::from_ref(&command));
        folder.pickle(name, &[b"\x80\x02", &*called, b"."].concat(), &shown);
        // As a value of the dictionary, by the newer operation, without a call, and made anew.
        folder.pickle(name, &dictionary(&[(text("a"), called)]), &shown);
        let newer = [&b"\x80\x04"[..], &text(module), &text(name), b"\x93"].concat();
        let newer = [newer, tuple(std::slice::from_ref(&command)), b"R.".to_vec()].concat();
        folder.pickle(name, &newer, &shown);
        let made = format!("\x02c{module}\n{name}\n)");
        folder.pickle(name, &[b"\x80", made.as_bytes(), b"\x81."].concat(), &shown);
    }
    for (what, pickle, message) in [
        ("INST", &b"(X\x01\0\0\0aios\nsystem\n."[..], "operation `i`"),
        ("OBJ", b"(X\x01\0\0\0ao.", "operation `o`"),
        ("EXT1", b"\x82\x01.", "operation 0x82"),
        ("PERSID", b"Pname\n.", "operation `P`"),
        (
            "NEWOBJ",
            b"ccollections\nOrderedDict\n)\x81.",
            "operation 0x81",
        ),
        (
            "a class called as a function",
            b"ctorch\nFloatStorage\n)R.",
            "other arguments",
        ),
        (
            "a text called as a function",
            b"X\x01\0\0\0a)R.",
            "is no function",
        ),
        ("attributes of a tuple", b")}b.", "attributes"),
    ] {
        folder.pickle(what, pickle, message);
    }
    assert!(!marker.exists());
}

#[test]
fn pickles_that_are_malformed_are_named_with_the_operation() {
    let folder = Folder::new();
    for (what, pickle, message) in [
        ("nothing", &b""[..], "byte 0: 1 bytes where 0 are left"),
        ("no end", b"\x80\x02}", "byte 3"),
        ("a protocol to come", b"\x80\x06}.", "protocol 6"),
        ("an empty stack", b"\x80\x02.", "the stack is empty"),
        (
            "a name alone",
            b"}X\x01\0\0\0as.",
            "dictionary to put it in",
        ),
        ("pairs of three", b"}(NNNu.", "without a value"),
        ("no mark", b"}u.", "no mark"),
        ("below the mark", b"N(\x85.", "the stack is empty"),
        ("an empty memo", b"h\x07.", "memo 7 is empty"),
        (
            "a number too long",
            b"\x8a\x09\0\0\0\0\0\0\0\0\0.",
            "integer of 9 bytes",
        ),
        (
            "a text beyond the file",
            b"X\xff\xff\xff\xffa.",
            "4294967295 bytes where 2 are left",
        ),
        (
            "a text beyond all memory",
            b"\x8d\0\0\0\0\0\0\0\x80a.",
            "9223372036854775808 bytes",
        ),
        ("a text of other letters", b"X\x01\0\0\0\xff.", "UTF-8"),
        ("a name without an end", b"ctorch\nFloat", "does not end"),
        ("an id of something else", b"NQ.", "none of a storage"),
        ("more after the end", b"}.N", "left over"),
        ("more on the stack", b"N}.", "left over"),
        ("a text", b"X\x01\0\0\0a.", "is a text, not a dictionary"),
        ("a tuple", b").", "is a tuple, not a dictionary"),
    ] {
        folder.pickle(what, pickle, message);
    }
}

#[test]
fn pickles_without_end_take_no_more_memory_than_a_multiple_of_theirs() {
    let _alone = alone();
    let folder = Folder::new();
    let many = 1 << 21;
    for (what, start, part, end, message) in [
        ("marks", "", "(", ".", "open marks"),
        ("numbers", "", "N", ".", "on the stack"),
        ("tuples in tuples", ")", "\u{5}", ".", "more objects"),
        (
            "dictionaries in dictionaries",
            "}",
            "}",
            ".",
            "on the stack",
        ),
        ("lists in lists", "(", "]", ".", "on the stack"),
        ("a list that grows", "]", "Na", ".", "is a list"),
        ("a dictionary that grows", "}", "NNs", ".", "more objects"),
        ("memos", "N", "\u{14}", ".", "more objects"),
        ("memos of one number", "N", "q\0", ".", "more objects"),
        (
            "tuples that double",
            ")q\0",
            "h\0h\0\u{6}q\0",
            ".",
            "on the stack",
        ),
        ("a name", "c", "a", ".", "does not end"),
        ("a long name", "c", "a", "\na\n.", "is not called"),
    ] {
        // Operations from 0x80 on are written as 0x00 to 0x1f above, as texts are not bytes.
        let text = repeated(start, part, end, many);
        let high = |b: u8| {
            if (1..0x20).contains(&b) && b != b'\n' {
                b | 0x80
            } else {
                b
            }
        };
        let pickle: Vec<u8> = text.bytes().map(high).collect();
        folder.pickle(what, &pickle, message);
    }
    // Many views of one storage: of one that is small beside the pickle, and of one that is not.
    let member = |i: usize| (text(&i.to_string()), tensor(&honest()));
    let pickle = dictionary(&(0..200).map(member).collect::<Vec<_>>());
    bounded("views", pickle.len(), || {
        folder.open(&archive(&pickle)).unwrap()
    });
    let large = [0; 1 << 18];
    let whole = Tensor {
        elements: 1 << 16,
        shape: vec![256, 256],
        strides: vec![256, 1],
        ..honest()
    };
    let member = |i: usize| (text(&i.to_string()), tensor(&whole));
    let pickle = dictionary(&(0..50).map(member).collect::<Vec<_>>());
    let file = zip(&[record("data.pkl", &pickle), record("data/0", &large)]);
    folder.refused(
        "views of one storage",
        &file,
        "bytes of tensors in a file of",
    );
}

#[test]
fn tensors_that_do_not_fit_their_storage_are_named() {
    let _alone = alone();
    let folder = Folder::new();
    let far = 1 << 62;
    for (what, t, message) in [
        (
            "longer",
            Tensor {
                shape: vec![3, 2],
                ..honest()
            },
            "leaves a storage of 4",
        ),
        (
            "shifted",
            Tensor {
                offset: 1,
                ..honest()
            },
            "leaves a storage of 4",
        ),
        (
            "far",
            Tensor {
                offset: i64::MAX,
                ..honest()
            },
            "leaves a storage of 4",
        ),
        (
            "wide steps",
            Tensor {
                strides: vec![far, far],
                ..honest()
            },
            "leaves a storage of 4",
        ),
        (
            "negative offset",
            Tensor {
                offset: -1,
                ..honest()
            },
            "storage offset of -1",
        ),
        (
            "negative stride",
            Tensor {
                strides: vec![-2, 1],
                ..honest()
            },
            "stride of -2",
        ),
        (
            "negative dimension",
            Tensor {
                shape: vec![-2, 2],
                ..honest()
            },
            "dimension of -2",
        ),
        (
            "beyond all memory",
            Tensor {
                shape: vec![far, 8],
                ..honest()
            },
            "shape [",
        ),
        (
            "repeated",
            Tensor {
                shape: vec![1 << 30, 2],
                strides: vec![0, 1],
                ..honest()
            },
            "repeats",
        ),
        (
            "no strides",
            Tensor {
                strides: vec![],
                ..honest()
            },
            "2 dimensions and 0 strides",
        ),
        (
            "nine dimensions",
            Tensor {
                shape: vec![1; 9],
                strides: vec![1; 9],
                ..honest()
            },
            "9 dimensions",
        ),
        (
            "a claim",
            Tensor {
                elements: 1 << 40,
                ..honest()
            },
            "holds 4 elements, the pickle says",
        ),
        (
            "another type",
            Tensor {
                kind: "DoubleStorage",
                ..honest()
            },
            "holds 2 elements",
        ),
        (
            "no record",
            Tensor {
                key: "1",
                ..honest()
            },
            "`archive/data/1` is missing",
        ),
        (
            "a way out",
            Tensor {
                key: "../data.pkl",
                ..honest()
            },
            "is missing",
        ),
    ] {
        folder.pickle(what, &one(&t), "tensor `weight`: ");
        folder.pickle(what, &one(&t), message);
    }
    let negative = one(&Tensor {
        elements: -4,
        ..honest()
    });
    folder.pickle("a negative claim", &negative, "-4 elements");
    let deep = Tensor {
        shape: vec![1; 65],
        strides: vec![1; 65],
        ..honest()
    };
    folder.pickle("sixty-five dimensions", &one(&deep), "65 dimensions");
    let twice = [
        (text("weight"), tensor(&honest())),
        (text("weight"), tensor(&honest())),
    ];
    folder.pickle(
        "twice",
        &dictionary(&twice),
        "tensor `weight`: is there twice",
    );
    let nameless = dictionary(&[(integer(1), tensor(&honest()))]);
    folder.pickle("a name of a number", &nameless, "name is no text");
    for (kind, value) in [
        ("an integer", integer(1)),
        ("a text", text("a")),
        ("None", b"N".to_vec()),
    ] {
        let pickle = dictionary(&[(text("weight"), value)]);
        folder.pickle(
            kind,
            &pickle,
            &format!("tensor `weight`: is {kind}, not a tensor"),
        );
    }
}

#[test]
fn views_whose_numbers_are_not_those_of_their_storage_are_refused() {
    let _alone = alone();
    let folder = Folder::new();
    let with = |further: &[u8]| {
        let tensor = tensor_with(&honest(), &[further.to_vec()]);
        dictionary(&[(text("weight"), tensor)])
    };
    // A name and `true` in a dictionary.
    let set = |name: &str| [b"}", &text(name)[..], b"\x88s"].concat();
    for further in [&set("neg"), &set("conj"), &text("neg")] {
        folder.pickle("metadata", &with(further), "t.resolve_neg()");
    }
    for nothing in [b"N", b"}"] {
        folder.open(&archive(&with(nothing))).unwrap();
    }
}

#[test]
fn archives_that_lie_are_named() {
    let _alone = alone();
    let folder = Folder::new();
    let pickle = one(&honest());
    let (pkl, data) = (
        || record("data.pkl", &pickle),
        || record("data/0", &[0; 16]),
    );
    let big = record("byteorder", b"big");
    let many: Vec<String> = (0..60_000).map(|i| format!("r{i}")).collect();
    let many: Vec<Record<'_>> = many.iter().map(|name| record(name, b"")).collect();
    let large = vec![b'.'; (64 << 20) + 1];
    for (what, file, message) in [
        ("no file", vec![], "no file of torch.save"),
        (
            "another file",
            b"\x80\x02}.".to_vec(),
            "no file of torch.save",
        ),
        ("no pickle", zip(&[data()]), "no record `archive/data.pkl`"),
        ("big-endian", zip(&[pkl(), data(), big]), "byte order `big`"),
        (
            "twice",
            zip(&[pkl(), data(), pkl()]),
            "`archive/data.pkl` is there twice",
        ),
        (
            "overlapping",
            zip(&[
                pkl(),
                Record {
                    at: Some(0),
                    ..data()
                },
            ]),
            "overlaps another",
        ),
        (
            "into the directory",
            zip(&[
                pkl(),
                Record {
                    size: Some(1 << 10),
                    ..data()
                },
            ]),
            "overlaps another or the directory",
        ),
        (
            "beyond the file",
            zip(&[
                pkl(),
                Record {
                    size: Some(u32::MAX - 1),
                    ..data()
                },
            ]),
            "overlaps another or the directory",
        ),
        (
            "compressed",
            zip(&[Record { method: 8, ..pkl() }, data()]),
            "`archive/data.pkl` is compressed",
        ),
        ("records without end", zip(&many), "no record"),
        (
            "a pickle without end",
            archive(&large),
            "no plausible record",
        ),
    ] {
        folder.refused(what, &file, message);
    }
    let whole = archive(&pickle);
    assert!(folder.open(&whole).is_ok());
    for cut in 0..whole.len() {
        folder.error("cut", &whole[..cut]);
    }
    // One record more in the end's count than in the directory.
    let mut more = whole.clone();
    let end = more.len() - 22;
    (more[end + 8], more[end + 10]) = (3, 3);
    folder.refused("a count", &more, "zip container");
}

#[test]
fn no_changed_byte_panics() {
    let folder = Folder::new();
    let whole = fs::read(common::fixture("torch/views/pytorch_model.bin")).unwrap();
    let (mut read, mut refused) = (0, 0);
    for at in 0..whole.len() {
        let mut file = whole.clone();
        file[at] = [0, 0x2e, 0xff][at % 3];
        match folder.open(&file) {
            Ok(mut weights) => {
                read += 1;
                let _ = weights.tensor("transposed", &[8, 6]);
                let _ = weights.tensor("permuted", &[5, 3, 4]);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(read > 500 && refused > 500, "{read} {refused}");
}

#[test]
fn files_beyond_four_gigabytes_are_read_at_their_positions() {
    let folder = Folder::new();
    let far = Tensor {
        key: "1",
        ..honest()
    };
    let large = Tensor {
        elements: (1 << 30) + 4,
        shape: vec![(1 << 30) + 4],
        strides: vec![1],
        ..honest()
    };
    let pickle = dictionary(&[(text("large"), tensor(&large)), (text("far"), tensor(&far))]);
    let values: Vec<u8> = [1f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let sizes = [
        pickle.len() as u64,
        4 * large.elements as u64,
        values.len() as u64,
    ];
    let mut file = File::create(folder.file("pytorch_model.bin")).unwrap();
    let (mut at, mut directory) = (0, Vec::new());
    for (name, size) in ["data.pkl", "data/0", "data/1"].into_iter().zip(sizes) {
        let described = described(&Record {
            size: Some(u32::MAX),
            ..record(name, b"")
        });
        let zip64 = [size.to_le_bytes(), size.to_le_bytes()].concat();
        let mut local = [&b"PK\x03\x04"[..], &numbers(&[45, 0], 2), &described].concat();
        let last = local.len() - 2;
        local[last] = 20;
        let extra = [numbers(&[1, 16], 2), zip64.clone()].concat();
        local.extend([format!("archive/{name}").as_bytes(), &extra].concat());
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&local).unwrap();
        match name {
            "data.pkl" => file.write_all(&pickle).unwrap(),
            "data/1" => file.write_all(&values).unwrap(),
            // A hole, which takes no room on the disk.
            _ => {}
        }
        directory.extend([&b"PK\x01\x02"[..], &numbers(&[45, 45, 0], 2), &described].concat());
        let last = directory.len() - 2;
        directory[last] = 28;
        directory.extend([numbers(&[0, 0, 0], 2), numbers(&[0, u32::MAX], 4)].concat());
        directory.extend(format!("archive/{name}").as_bytes());
        directory.extend([numbers(&[1, 24], 2), zip64, at.to_le_bytes().to_vec()].concat());
        at += local.len() as u64 + size;
    }
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&directory).unwrap();
    let (length, end) = (directory.len() as u64, at + directory.len() as u64);
    let wide = |n: u64| n.to_le_bytes();
    let record = [
        wide(44),
        *b"\x2d\0\x2d\0\0\0\0\0",
        *b"\0\0\0\0\x03\0\0\0",
        *b"\0\0\0\0\x03\0\0\0",
    ];
    let record = [&record.concat()[..], &[0; 4], &wide(length), &wide(at)].concat();
    let locator = [&b"PK\x06\x07\0\0\0\0"[..], &wide(end), &[1, 0, 0, 0]].concat();
    let tail = [&b"PK\x05\x06"[..], &[0xff; 16], &[0; 2]].concat();
    file.write_all(&[&b"PK\x06\x06"[..], &record, &locator, &tail].concat())
        .unwrap();
    drop(file);
    let mut weights = Weights::open(folder.path()).unwrap();
    assert_eq!(
        weights.tensor("far", &[2, 2]).unwrap().values().to_f32(),
        [1.0, 2.0, 3.0, 4.0]
    );
}
