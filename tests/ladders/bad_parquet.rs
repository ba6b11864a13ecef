//! Parquet files that would end the process: by memory, by the stack, or by panics of the library over what
//! is not even damaged.
#![cfg(feature = "parquet")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArrayType, Int32Type, Int64Type};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use relscale::distribution::{Content, Distribution, Items};
use relscale::ladder::Tables;

/// The message with which a table of these bytes is refused, and the number of panics on the way.
fn refused(bytes: Vec<u8>) -> (String, usize) {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock();
    // A caught panic would still be one under `panic = "abort"`.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let before = PANICS.load(Ordering::Relaxed);
    let table = Tables::new().add(std::io::Cursor::new(bytes), "bad.parquet");
    let message = table.and_then(Tables::ladder).unwrap_err().to_string();
    let panics = PANICS.load(Ordering::Relaxed) - before;
    std::panic::set_hook(hook);
    (message, panics)
}

/// A file with one row in one column of this type, which `write` writes.
fn column(kind: &str, write: impl Fn(&mut SerializedColumnWriter<'_>)) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message t {{ {kind} }}")).unwrap());
    let mut bytes = Vec::new();
    let mut out = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = out.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    write(&mut column);
    column.close().unwrap();
    group.close().unwrap();
    out.close().unwrap();
    bytes
}

/// A file with this end.
fn ending(end: &[u8]) -> Vec<u8> {
    let length = u32::try_from(end.len()).unwrap().to_le_bytes();
    [b"PAR1", end, &length, b"PAR1"].concat()
}

/// A number as the protocol writes it.
fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A group of columns, which is required unless it is the root.
fn group(name: &str, children: u64, is_root: bool) -> Vec<u8> {
    let mut bytes = if is_root {
        vec![0x48]
    } else {
        vec![0x35, 0, 0x18]
    };
    bytes.extend(number(name.len() as u64));
    bytes.extend(name.as_bytes());
    bytes.push(0x15);
    bytes.extend(number(2 * children));
    bytes.push(0);
    bytes
}

/// A file with these columns and groups.
fn columns(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut end = vec![0x15, 2, 0x19, 0xfc];
    end.extend(number(elements.len() as u64));
    end.extend(elements.concat());
    ending(&end)
}

#[test]
fn columns_that_would_end_the_process_are_refused() {
    // Memory for two thousand million columns, of which there is one.
    let many = columns(&[group("t", i32::MAX as u64, true), group("a", 0, false)]);
    // Groups within groups, deeper than any stack.
    let mut nested = vec![group("t", 1, true)];
    nested.extend((0..200_000).map(|_| group("a", 1, false)));
    // A list of two thousand million values that take no bytes.
    let counted = ending(&[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07]);
    for (bytes, part) in [
        (many, "`t` has too many columns"),
        (columns(&nested), "too many columns within columns"),
        (counted, "does not begin with its columns"),
        (ending(&[]), "its end is cut off"),
        (columns(&[]), "has no columns"),
    ] {
        let (message, panics) = refused(bytes);
        assert!(
            message.contains("bad.parquet") && message.contains(part),
            "{message}"
        );
        assert_eq!(panics, 0, "{message}");
    }
}

#[test]
fn columns_that_the_library_panics_on_are_refused_before_it_sees_them() {
    let map = column("required group a (MAP) { repeated int32 b; }", |column| {
        let int = column.typed::<Int32Type>();
        int.write_batch(&[1], Some(&[1]), Some(&[0])).unwrap();
    });
    let list = column("required group a (LIST) { required int32 b; }", |column| {
        column
            .typed::<Int32Type>()
            .write_batch(&[1], None, None)
            .unwrap();
    });
    for bytes in [map, list] {
        let (message, panics) = refused(bytes);
        assert_eq!(panics, 0, "{message}");
        assert!(message.contains("the column `a` is malformed"), "{message}");
    }
}

#[test]
fn values_that_the_library_panics_on_are_text() {
    let int = |value: i32| {
        move |column: &mut SerializedColumnWriter<'_>| {
            column
                .typed::<Int32Type>()
                .write_batch(&[value], None, None)
                .unwrap();
        }
    };
    let long = |value: i64| {
        move |column: &mut SerializedColumnWriter<'_>| {
            column
                .typed::<Int64Type>()
                .write_batch(&[value], None, None)
                .unwrap();
        }
    };
    let mut files = Vec::new();
    for value in [i32::MIN, i32::MAX, 100_000_000, 95_000_000, -95_000_000, 0] {
        files.push(column("required int32 loss (DATE);", int(value)));
    }
    for value in [
        i64::MIN,
        i64::MAX,
        8_300_000_000_000_000,
        -8_300_000_000_000_000,
        0,
    ] {
        files.push(column(
            "required int64 loss (TIMESTAMP_MILLIS);",
            long(value),
        ));
        files.push(column(
            "required int64 loss (TIMESTAMP_MICROS);",
            long(value),
        ));
    }
    // Thousands of millions of zeros behind the point.
    files.push(column(
        "required binary loss (DECIMAL(2000000000,2000000000));",
        |column| {
            let bytes = column.typed::<ByteArrayType>();
            bytes
                .write_batch(&[ByteArray::from(vec![1u8])], None, None)
                .unwrap();
        },
    ));
    files.push(column(
        "required fixed_len_byte_array(12) loss (INTERVAL);",
        |column| {
            let bytes = column.typed::<FixedLenByteArrayType>();
            let value = ByteArray::from(vec![1u8; 12]).into();
            bytes.write_batch(&[value], None, None).unwrap();
        },
    ));
    for bytes in files {
        let (message, panics) = refused(bytes);
        assert_eq!(panics, 0, "{message}");
        assert!(message.contains("bad.parquet"), "{message}");
    }
}

/// A file of items with the fields `id` and `text`, the latter of this type.
fn items(text: &str, value: &[u8]) -> PathBuf {
    let schema = format!("message t {{ required binary id (UTF8); required binary text {text}; }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let mut out = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = out.next_row_group().unwrap();
    for value in [b"a", value] {
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&[ByteArray::from(value.to_vec())], None, None)
            .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    out.close().unwrap();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!(
        "relscale-bad-parquet-{}-{number}.parquet",
        std::process::id()
    );
    let path = std::env::temp_dir().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn text_that_is_stored_as_bytes_is_text_and_other_bytes_are_none() {
    let text = |path: &PathBuf| {
        let items = Items::from_jsonl(path);
        fs::remove_file(path).ok();
        items.map(|items| items.item(0).unwrap().content.clone())
    };
    for kind in ["(UTF8)", ""] {
        let found = text(&items(kind, "né".as_bytes())).unwrap();
        assert_eq!(found, Content::Text("né".to_owned()), "{kind}");
    }
    let message = text(&items("", b"\xff\xfe")).unwrap_err().to_string();
    assert!(message.contains("row 1"), "{message}");
}
