//! The container of a PyTorch file: a zip archive whose records are stored, not compressed, so that
//! a tensor is read at its position.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipArchive,
    ZipFileHeaderRecord,
};

use crate::checkpoint::files::refuse_lfs_pointer;
use crate::error::Error;

/// The records of a PyTorch file.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    path: &'a Path,
    file: FileReader,
    /// Folder of all records, with a slash at its end.
    folder: String,
    /// Position of each record in the file.
    records: BTreeMap<String, Range<u64>>,
}

/// Way out for files that older or other programs wrote.
const SAVE_AGAIN: &str = "save it again with python -c \"import torch; f = 'pytorch_model.bin'; \
                          torch.save(torch.load(f, map_location='cpu', weights_only=True), f)\"";

/// Message about a program in a file.
const TORCH_SCRIPT: &str = "is a TorchScript program, not weights; save the weights alone with \
                            torch.save(torch.jit.load(f).state_dict(), f) if you trust its author";

impl<'a> Archive<'a> {
    /// Reads the directory of a file of `size` bytes.
    pub(super) fn open(path: &'a Path, file: File, size: u64) -> Result<Self, Error> {
        let error = |message: String| Error::format(path, message);
        let malformed = |e: rawzip::Error| Error::format(path, format!("zip container: {e}"));
        let file = FileReader::from(file);
        refuse_other_files(path, &file, size)?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(file.into_inner(), &mut buffer).map_err(malformed)?;
        let mut listing = Listing::default();
        let mut count = 0;
        let mut entries = archive.entries(&mut buffer);
        while let Some(entry) = entries.next_entry().map_err(malformed)? {
            let name = entry.file_path();
            let name = std::str::from_utf8(name.as_bytes())
                .map_err(|_| error("a record's name is not UTF-8".to_owned()))?;
            listing.check(name, &entry).map_err(error)?;
            let found = archive.get_entry(entry.wayfinder()).map_err(malformed)?;
            let (start, end) = found.compressed_data_range();
            listing
                .add(name, entry.local_header_offset(), start..end)
                .map_err(error)?;
            count += 1;
        }
        let said = archive.entries_hint();
        if count != said {
            let message = format!("zip container: {count} records are listed, its end says {said}");
            return Err(error(message));
        }
        refuse_overlaps(path, listing.taken, archive.directory_offset())?;
        Ok(Self {
            path,
            file: archive.into_inner(),
            folder: listing.folder.unwrap_or_default(),
            records: listing.records,
        })
    }

    /// Position of a record in the file, which holds all of it.
    pub(super) fn record(&self, name: &str) -> Option<&Range<u64>> {
        self.records.get(name)
    }

    /// The bytes of a record of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(Range { start, end }) = self.record(name).cloned() else {
            return Ok(None);
        };
        // Checked against the length of the file by `open`.
        let length = end - start;
        if length > limit {
            let message = format!(
                "{length} bytes are no plausible record `{}`",
                self.full(name)
            );
            return Err(Error::format(self.path, message));
        }
        let mut bytes = vec![0; length as usize];
        self.file
            .read_exact_at(&mut bytes, start)
            .map_err(|e| Error::io(self.path, e))?;
        Ok(Some(bytes))
    }

    /// The file.
    pub(super) fn into_file(self) -> File {
        self.file.into_inner()
    }

    /// The name of a record with its folder, for messages.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }
}

/// The records of a directory so far.
#[derive(Default)]
struct Listing {
    folder: Option<String>,
    records: BTreeMap<String, Range<u64>>,
    /// Bytes of each record with its local header.
    taken: Vec<Range<u64>>,
}

impl Listing {
    /// Refuses records that `torch.save` does not write.
    fn check(&mut self, name: &str, entry: &ZipFileHeaderRecord<'_>) -> Result<(), String> {
        // The folder of the first record is that of all, as in PyTorch.
        let folder = self
            .folder
            .get_or_insert_with(|| match name.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => String::new(),
            });
        let record = name.strip_prefix(folder.as_str());
        if record.is_some_and(|r| r == "constants.pkl" || r.starts_with("code/")) {
            return Err(TORCH_SCRIPT.to_owned());
        }
        let sizes = [entry.compressed_size_hint(), entry.uncompressed_size_hint()];
        if entry.compression_method() != CompressionMethod::STORE || sizes[0] != sizes[1] {
            let message = format!("record `{name}` is compressed, unlike those of torch.save");
            return Err(format!("{message}; {SAVE_AGAIN}"));
        }
        Ok(())
    }

    /// Adds a record with its local header at `header` and its bytes at `place`.
    fn add(&mut self, name: &str, header: u64, place: Range<u64>) -> Result<(), String> {
        self.taken.push(header..place.end);
        let folder = self.folder.as_deref().unwrap_or_default();
        // Other folders hold nothing that PyTorch would read.
        let Some(record) = name.strip_prefix(folder) else {
            return Ok(());
        };
        // Zip readers differ in which of two equal names they take.
        if self.records.insert(record.to_owned(), place).is_some() {
            return Err(format!("record `{name}` is there twice"));
        }
        Ok(())
    }
}

/// Refuses records that share bytes or reach into the directory.
fn refuse_overlaps(path: &Path, mut taken: Vec<Range<u64>>, directory: u64) -> Result<(), Error> {
    taken.sort_by_key(|range| range.start);
    let mut free = 0;
    for Range { start, end } in taken {
        if start < free || end > directory {
            let message = format!(
                "zip container: the record at byte {start} overlaps another or the directory"
            );
            return Err(Error::format(path, message));
        }
        free = end;
    }
    Ok(())
}

/// Refuses what is no zip archive, by name where the name is known.
fn refuse_other_files(path: &Path, file: &FileReader, size: u64) -> Result<(), Error> {
    let bytes = |at: u64, length: usize| -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length.min(size.saturating_sub(at) as usize)];
        file.read_exact_at(&mut bytes, at)
            .map_err(|e| Error::io(path, e))?;
        Ok(bytes)
    };
    let start = bytes(0, 16)?;
    refuse_lfs_pointer(path, &start)?;
    if start.starts_with(b"PK\x03\x04") {
        return Ok(());
    }
    // The magic number of the stream of pickles that was written before version 1.6.
    let message = if start.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
    {
        format!("was written by a PyTorch older than 1.6, whose format is not read; {SAVE_AGAIN}")
    } else if bytes(257, 5)? == b"ustar" {
        "was written by a PyTorch older than 0.1.10 as a tar archive, which is not read; load and \
         save it again with a PyTorch of your own if you trust its author"
            .to_owned()
    } else {
        "is no file of torch.save: it is not a zip archive".to_owned()
    };
    Err(Error::format(path, message))
}
