//! Decompression whose output is bounded by a multiple of its input.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{FREE, MOST_PER_BYTE, compression, invalid};

/// Decompresses a source that begins with `head`.
pub(super) fn reader<'a>(
    head: &[u8],
    source: impl BufRead + 'a,
) -> io::Result<Box<dyn BufRead + 'a>> {
    let counted = BufReader::new(Counted {
        inner: source,
        count: 0,
    });
    let decoder = match compression(head) {
        None => return Ok(Box::new(counted.into_inner().inner)),
        Some("gzip") => Decoder::Gzip(MultiGzDecoder::new(counted)),
        Some(_) => Decoder::Zstandard(Zstandard::new(counted)),
    };
    Ok(Box::new(BufReader::with_capacity(
        1 << 16,
        Bounded {
            decoder,
            produced: 0,
        },
    )))
}

/// A source that counts its bytes.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count += n as u64;
        Ok(n)
    }
}

enum Decoder<R> {
    Gzip(MultiGzDecoder<BufReader<Counted<R>>>),
    Zstandard(Zstandard<BufReader<Counted<R>>>),
}

impl<R: Read> Decoder<R> {
    fn consumed(&self) -> u64 {
        match self {
            Self::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Self::Zstandard(decoder) => decoder.source.get_ref().count,
        }
    }
}

/// Decompressed bytes, up to a multiple of the compressed ones.
struct Bounded<R> {
    decoder: Decoder<R>,
    produced: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.read(buffer)?,
            Decoder::Zstandard(decoder) => decoder.read(buffer)?,
        };
        self.produced += n as u64;
        let consumed = self.decoder.consumed();
        if self.produced > FREE.saturating_add(consumed.saturating_mul(MOST_PER_BYTE)) {
            let message = format!(
                "decompresses to more than {MOST_PER_BYTE} times its size; decompress it yourself if \
                 that is right"
            );
            return Err(invalid(message));
        }
        Ok(n)
    }
}

/// The frames of a Zstandard file, one after another. The library's own stream ends with the first one,
/// and `zstd` and `pzstd` write several.
struct Zstandard<R> {
    source: R,
    frame: Box<FrameDecoder>,
    /// If true, `frame` has been given a header.
    open: bool,
}

impl<R: BufRead> Zstandard<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            frame: Box::new(FrameDecoder::new()),
            open: false,
        }
    }

    /// Begins the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => {
                    self.open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = self.source.by_ref().take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(invalid(format!("Zstandard: {e}"))),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.open {
                if self.frame.can_collect() > 0 {
                    return self.frame.read(buffer);
                }
                if !self.frame.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    let decoded = self.frame.decode_blocks(&mut self.source, one);
                    decoded.map_err(|e| invalid(format!("Zstandard: {e}")))?;
                    continue;
                }
                let stated = self.frame.get_checksum_from_data();
                if stated.is_some() && stated != self.frame.get_calculated_checksum() {
                    return Err(invalid("the checksum of a Zstandard frame is wrong"));
                }
                self.open = false;
            }
            if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}
