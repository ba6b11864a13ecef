//! The fields of a SentencePiece model that a tokenizer needs, read from its protobuf.
//!
//! Three messages with a dozen fields are read and none is written; a library for protobuf would bring
//! a macro or a build script for that. Every length is compared with what is left before it is used, and
//! messages nest only as deep as this file reads them.

use std::path::Path;

use super::super::bos::field_error;
use crate::error::Error;

/// A SentencePiece model.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) pieces: Vec<Piece>,
    pub(super) trainer: Trainer,
    pub(super) normalizer: Normalizer<'a>,
}

/// A token.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: u64,
}

/// The part of `TrainerSpec` that is read.
#[derive(Debug)]
pub(super) struct Trainer {
    pub(super) model: u64,
    pub(super) byte_fallback: bool,
    pub(super) whitespace_as_suffix: bool,
    pub(super) unk_id: u64,
    pub(super) bos_id: i64,
    pub(super) unk_piece: String,
    pub(super) bos_piece: String,
}

/// The part of `NormalizerSpec` that is read.
#[derive(Debug)]
pub(super) struct Normalizer<'a> {
    pub(super) charsmap: &'a [u8],
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
}

pub(super) const UNIGRAM: u64 = 1;
pub(super) const BPE: u64 = 2;

pub(super) const UNKNOWN: u64 = 2;
pub(super) const CONTROL: u64 = 3;
pub(super) const USER_DEFINED: u64 = 4;
pub(super) const BYTE: u64 = 6;

/// Largest accepted number of tokens, four times that of the largest real vocabularies. A token of two
/// bytes in the file takes 40 in memory.
const MAX_PIECES: usize = 1 << 20;

impl<'a> Model<'a> {
    /// Reads the model in `bytes`, the content of the file at `path`.
    pub(super) fn read(path: &Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let fail = |field: &str, message: &str| {
            let message = format!("{message}; the file is no SentencePiece model or was cut off");
            field_error(path.to_owned(), field, message)
        };
        // Fields that a file leaves out have the defaults of sentencepiece_model.proto.
        let mut model = Self {
            pieces: Vec::new(),
            trainer: Trainer::default(),
            normalizer: Normalizer::default(),
        };
        for field in Fields(bytes) {
            let (number, value) = field.map_err(|m| fail("ModelProto", m))?;
            match number {
                1 if model.pieces.len() == MAX_PIECES => {
                    return Err(fail("pieces", "more than a million tokens"));
                }
                1 => {
                    let name = || format!("pieces[{}]", model.pieces.len());
                    let piece = value.message().and_then(Piece::read);
                    model.pieces.push(piece.map_err(|m| fail(&name(), m))?);
                }
                2 => (value.message())
                    .and_then(|fields| model.trainer.read(fields))
                    .map_err(|m| fail("trainer_spec", m))?,
                3 => (value.message())
                    .and_then(|fields| model.normalizer.read(fields))
                    .map_err(|m| fail("normalizer_spec", m))?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(fail("pieces", "has no tokens"));
        }
        Ok(model)
    }
}

impl Piece {
    fn read(fields: Fields<'_>) -> Result<Self, &'static str> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: 1,
        };
        for field in fields {
            match field? {
                (1, value) => piece.text = value.text()?,
                (2, Value::Four(bytes)) => piece.score = f32::from_le_bytes(bytes),
                (2, _) => return Err("a score that is no number"),
                (3, value) => piece.kind = value.number()?,
                _ => {}
            }
        }
        Ok(piece)
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Self {
            model: UNIGRAM,
            byte_fallback: false,
            whitespace_as_suffix: false,
            unk_id: 0,
            bos_id: 1,
            unk_piece: "<unk>".to_owned(),
            bos_piece: "<s>".to_owned(),
        }
    }
}

impl Trainer {
    fn read(&mut self, fields: Fields<'_>) -> Result<(), &'static str> {
        for field in fields {
            let (number, value) = field?;
            match number {
                3 => self.model = value.number()?,
                24 => self.whitespace_as_suffix = value.number()? != 0,
                35 => self.byte_fallback = value.number()? != 0,
                40 => self.unk_id = value.number()?,
                // A negative number, none, is written as its two's complement.
                41 => self.bos_id = value.number()?.cast_signed(),
                45 => self.unk_piece = value.text()?,
                46 => self.bos_piece = value.text()?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Default for Normalizer<'_> {
    fn default() -> Self {
        Self {
            charsmap: &[],
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

impl<'a> Normalizer<'a> {
    fn read(&mut self, fields: Fields<'a>) -> Result<(), &'static str> {
        for field in fields {
            let (number, value) = field?;
            match number {
                2 => self.charsmap = value.bytes()?,
                3 => self.add_dummy_prefix = value.number()? != 0,
                4 => self.remove_extra_whitespaces = value.number()? != 0,
                5 => self.escape_whitespaces = value.number()? != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Four([u8; 4]),
    Eight,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64, &'static str> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err("a field that is no whole number"),
        }
    }

    fn bytes(self) -> Result<&'a [u8], &'static str> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err("a field that is no text"),
        }
    }

    fn text(self) -> Result<String, &'static str> {
        let text = std::str::from_utf8(self.bytes()?);
        text.map(str::to_owned)
            .map_err(|_| "a text that is not UTF-8")
    }

    fn message(self) -> Result<Fields<'a>, &'static str> {
        self.bytes().map(Fields)
    }
}

/// The fields of a message: their numbers and values.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), &'static str> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Eight
            }
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Four([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
            _ => return Err("a field of a kind that does not exist"),
        };
        Ok((key >> 3, value))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = (self.0)
            .split_at_checked(length)
            .ok_or("a length beyond the end")?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        // Ten groups of seven bits make 64; the last group has one.
        for place in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number of more than ten bytes")
    }
}
