//! Plain floats of a file, read, converted and checked by several threads at once.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};

use super::blocks::Storage;
use crate::backend::HostTensor;
use crate::threads;

/// A tensor, and the position of its first element that is not finite.
pub(super) type Checked = (HostTensor, Option<usize>);

/// Bytes that a thread takes at a time. They are converted and checked while they are in its second-level
/// cache.
const PIECE: usize = 1 << 18;

/// Reads `bytes` bytes from `offset` on, whole elements; `None` for storage that is not plain floats.
pub(super) fn read(
    file: &File,
    storage: Storage,
    offset: u64,
    bytes: usize,
) -> io::Result<Option<Checked>> {
    let source = Source {
        file,
        offset,
        bytes,
        // A start takes as long as some ten kilobytes.
        threads: (bytes / (2 * PIECE))
            .min(threads::cores())
            .min(MOST_THREADS),
    };
    source.checked(storage)
}

/// The place of the elements, and the number of threads that read them.
struct Source<'a> {
    file: &'a File,
    offset: u64,
    bytes: usize,
    threads: usize,
}

impl Source<'_> {
    fn checked(&self, storage: Storage) -> io::Result<Option<Checked>> {
        Ok(Some(match storage {
            Storage::F32 => {
                let of = |b: [u8; 4]| f32::from_le_bytes(b);
                let (values, first) = self.read(0.0, of, |x: &f32| x.is_finite())?;
                (HostTensor::F32(values), first)
            }
            Storage::F16 => {
                let of = |b: [u8; 2]| f16::from_le_bytes(b);
                let (values, first) = self.read(f16::ZERO, of, |x: &f16| x.is_finite())?;
                (HostTensor::F16(values), first)
            }
            Storage::Bf16 => {
                let of = |b: [u8; 2]| bf16::from_le_bytes(b);
                let (values, first) = self.read(bf16::ZERO, of, |x: &bf16| x.is_finite())?;
                (HostTensor::Bf16(values), first)
            }
            Storage::Blocks(_) | Storage::Other(_) => return Ok(None),
        }))
    }

    /// The elements, and the position of the first that is not finite.
    fn read<T: Copy + Send, const N: usize>(
        &self,
        zero: T,
        of: impl Fn([u8; N]) -> T + Sync,
        finite: impl Fn(&T) -> bool + Sync,
    ) -> io::Result<(Vec<T>, Option<usize>)> {
        let mut values = vec![zero; self.bytes / N];
        let pieces = Mutex::new(values.chunks_mut(PIECE / N).enumerate());
        let work = || {
            let mut buffer = vec![0; self.bytes.min(PIECE)];
            let mut first = None;
            loop {
                let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((number, piece)) = next else {
                    return Ok(first);
                };
                let buffer = &mut buffer[..piece.len() * N];
                read_exact_at(self.file, buffer, self.offset + (number * PIECE) as u64)?;
                for (value, bytes) in piece.iter_mut().zip(buffer.as_chunks().0) {
                    *value = of(*bytes);
                }
                // Without a way out of the loop, which is then made of vectors.
                if first.is_none() && !piece.iter().fold(true, |all, x| all & finite(x)) {
                    let at = piece.iter().position(|x| !finite(x)).unwrap_or_default();
                    first = Some(number * (PIECE / N) + at);
                }
            }
        };
        let found: Vec<Option<usize>> = threads::run(self.threads, work)
            .into_iter()
            .collect::<io::Result<_>>()?;
        Ok((values, found.into_iter().flatten().min()))
    }
}

/// Beyond so many threads memory is the limit.
#[cfg(any(unix, windows))]
const MOST_THREADS: usize = 8;
/// Elsewhere a file has one position for all threads.
#[cfg(not(any(unix, windows)))]
const MOST_THREADS: usize = 1;

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_exact_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file of `values` after a byte of something else, read by so many threads.
    fn read_by(values: &[f32], threads: usize) -> io::Result<Checked> {
        let name = format!("relscale-{}-plain-{threads}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(&path, [&[7], &bytes[..]].concat())?;
        let source = Source {
            file: &File::open(&path)?,
            offset: 1,
            bytes: bytes.len(),
            threads,
        };
        let read = source.checked(Storage::F32)?;
        fs::remove_file(&path)?;
        Ok(read.unwrap())
    }

    #[test]
    fn every_number_of_threads_reads_the_same_and_finds_the_first_that_is_not_finite() {
        let piece = PIECE / 4;
        for len in [0, 1, piece - 1, piece, 3 * piece + 5] {
            let mut values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            for threads in [0, 1, 2, 5] {
                let (read, first) = read_by(&values, threads).unwrap();
                assert_eq!((read.values().to_f32(), first), (values.clone(), None));
            }
            let last_first = [
                len.saturating_sub(1),
                len / 2,
                len / 2 + 1,
                piece + 1,
                piece,
                0,
            ];
            let mut first = len;
            for at in last_first.into_iter().filter(|at| *at < len) {
                values[at] = if at % 2 == 0 {
                    f32::NAN
                } else {
                    f32::NEG_INFINITY
                };
                first = first.min(at);
                for threads in [1, 3] {
                    assert_eq!(read_by(&values, threads).unwrap().1, Some(first));
                }
            }
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error_of_any_thread() {
        let path = std::env::temp_dir().join(format!("relscale-{}-short", std::process::id()));
        fs::write(&path, vec![0; 3 * PIECE]).unwrap();
        let file = File::open(&path).unwrap();
        for threads in [1, 2, 4] {
            let source = Source {
                file: &file,
                offset: 0,
                bytes: 3 * PIECE + 4,
                threads,
            };
            let error = source.checked(Storage::F32).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn halves_are_read_as_they_are_stored() {
        let path = std::env::temp_dir().join(format!("relscale-{}-halves", std::process::id()));
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let bytes: Vec<u8> = bits.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        // The smallest pattern whose exponent is all ones comes first of those that are not finite.
        for (storage, not_finite) in [(Storage::F16, 0x7c00), (Storage::Bf16, 0x7f80)] {
            let (values, first) = read(&file, storage, 0, bytes.len()).unwrap().unwrap();
            let found: Vec<u16> = match values {
                HostTensor::F16(v) if storage == Storage::F16 => {
                    v.iter().map(|x| x.to_bits()).collect()
                }
                HostTensor::Bf16(v) if storage == Storage::Bf16 => {
                    v.iter().map(|x| x.to_bits()).collect()
                }
                _ => panic!("another type than {storage:?}"),
            };
            assert_eq!((found, first), (bits.clone(), Some(not_finite)));
        }
        fs::remove_file(path).unwrap();
    }
}
