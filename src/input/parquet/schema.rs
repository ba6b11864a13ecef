//! The columns of a Parquet file, read from its end before the library is.
//!
//! The library would take memory for as many columns as a group says it has, and call itself for each group
//! within a group: a file of a few hundred bytes ends the process by the one, or by the other where the
//! stack ends. Neither can be caught. Here both are bounded, and columns on which its readers panic are
//! refused. The format is the compact protocol of Thrift.

use std::collections::HashSet;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

/// Deepest accepted nesting of columns, and of what is passed over.
const MAX_DEPTH: usize = 32;

/// Kinds of values in the protocol.
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// The columns that the end of a file states.
///
/// # Errors
/// A message about an end that is malformed, or about columns that the library would panic on.
pub(super) fn read(footer: &[u8]) -> Result<SchemaDescPtr, String> {
    let mut end = Bytes(footer);
    let mut last = 0;
    loop {
        match end.field(&mut last)? {
            Some((2, LIST)) => break,
            // The version of the format.
            Some((1, I32)) => end.pass(I32, 0)?,
            _ => return Err("its end does not begin with its columns".to_owned()),
        }
    }
    let header = end.byte()?;
    let count = match header >> 4 {
        15 => end.number()?,
        short => u64::from(short),
    };
    // An element takes a byte at the least.
    if header & 15 != STRUCT || count > end.0.len() as u64 {
        return Err("its columns are no list".to_owned());
    }
    let elements: Vec<Element<'_>> = (0..count)
        .map(|_| end.element())
        .collect::<Result<_, _>>()?;
    let mut elements = elements.iter();
    let root = elements.next().ok_or("has no columns")?;
    let fields = children(root, &mut elements, 0)?;
    if elements.next().is_some() {
        return Err("it has columns outside its table".to_owned());
    }
    let root = Type::group_type_builder(root.name)
        .with_fields(fields)
        .build();
    let root = root.map_err(|e| e.to_string())?;
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(root))))
}

/// A column or a group of them, in the order of the file.
struct Element<'a> {
    name: &'a str,
    physical: Option<PhysicalType>,
    length: i32,
    repetition: Option<Repetition>,
    children: u64,
    converted: ConvertedType,
    scale: i32,
    precision: i32,
    logical: Option<LogicalType>,
}

/// The columns of a group.
fn children<'a, 'b: 'a>(
    group: &Element<'_>,
    elements: &mut impl ExactSizeIterator<Item = &'a Element<'b>>,
    depth: usize,
) -> Result<Vec<TypePtr>, String> {
    if depth > MAX_DEPTH || group.children > elements.len() as u64 {
        return Err(format!(
            "`{}` has too many columns within columns",
            group.name
        ));
    }
    let (mut names, mut fields) = (HashSet::new(), Vec::new());
    for _ in 0..group.children {
        let child = elements.next().ok_or("a column is missing")?;
        if !names.insert(child.name) {
            return Err(format!("the column `{}` comes twice", child.name));
        }
        fields.push(Arc::new(column(child, elements, depth + 1)?));
    }
    Ok(fields)
}

/// A column with those within it.
fn column<'a, 'b: 'a>(
    element: &Element<'b>,
    elements: &mut impl ExactSizeIterator<Item = &'a Element<'b>>,
    depth: usize,
) -> Result<Type, String> {
    let malformed = || format!("the column `{}` is malformed", element.name);
    let repetition = element.repetition.ok_or_else(malformed)?;
    let found = if element.children == 0 {
        Type::primitive_type_builder(element.name, element.physical.ok_or_else(malformed)?)
            .with_repetition(repetition)
            .with_converted_type(element.converted)
            .with_logical_type(element.logical.clone())
            .with_length(element.length)
            .with_scale(element.scale)
            .with_precision(element.precision)
            .build()
    } else {
        let fields = children(element, elements, depth)?;
        let is_sound = match element.converted {
            ConvertedType::LIST => is_repeated(&fields, |_| true),
            ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => is_repeated(&fields, |pair| {
                pair.is_group() && pair.get_fields().len() <= 2
            }),
            _ => true,
        };
        if !is_sound {
            return Err(malformed());
        }
        Type::group_type_builder(element.name)
            .with_repetition(repetition)
            .with_converted_type(element.converted)
            .with_fields(fields)
            .build()
    };
    found.map_err(|e| e.to_string())
}

/// If true, there is one column, which is repeated and of which `is_right` holds.
fn is_repeated(fields: &[TypePtr], is_right: impl Fn(&Type) -> bool) -> bool {
    match fields {
        [one] => one.get_basic_info().repetition() == Repetition::REPEATED && is_right(one),
        _ => false,
    }
}

/// The bytes of the end that are not read yet.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(count).ok_or("its end is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A number in groups of seven bits.
    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number in its end has too many digits".to_owned())
    }

    /// A number of either sign in 32 bits.
    fn signed(&mut self) -> Result<i32, String> {
        let number = self.number()?;
        let signed = (number >> 1) as i64 ^ -((number & 1) as i64);
        i32::try_from(signed).map_err(|_| "a number in its end is too large".to_owned())
    }

    /// Number and kind of the next field of a struct, after that with the number `last`.
    fn field(&mut self, last: &mut i32) -> Result<Option<(i32, u8)>, String> {
        let header = self.byte()?;
        if header & 15 == 0 {
            return Ok(None);
        }
        *last = match header >> 4 {
            0 => self.signed()?,
            step => *last + i32::from(step),
        };
        if !(0..=i32::from(i16::MAX)).contains(last) {
            return Err("a field in its end has no number".to_owned());
        }
        Ok(Some((*last, header & 15)))
    }

    /// Passes over a value.
    fn pass(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        match kind {
            // True and false are kinds of their own.
            1 | 2 => {}
            BYTE => drop(self.byte()?),
            I16 | I32 | I64 => drop(self.number()?),
            DOUBLE => drop(self.take(8)?),
            BINARY => {
                let length = self.number()?;
                self.take(length)?;
            }
            STRUCT if depth < MAX_DEPTH => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.pass(kind, depth + 1)?;
                }
            }
            _ => return Err("its columns hold what no column does".to_owned()),
        }
        Ok(())
    }

    fn element(&mut self) -> Result<Element<'a>, String> {
        let mut element = Element {
            name: "",
            physical: None,
            length: -1,
            repetition: None,
            children: 0,
            converted: ConvertedType::NONE,
            scale: -1,
            precision: -1,
            logical: None,
        };
        let mut last = 0;
        while let Some(field) = self.field(&mut last)? {
            match field {
                (1, I32) => element.physical = Some(physical(self.signed()?)?),
                (2, I32) => element.length = self.signed()?,
                (3, I32) => element.repetition = Some(repetition(self.signed()?)?),
                (4, BINARY) => {
                    let length = self.number()?;
                    let name = std::str::from_utf8(self.take(length)?);
                    element.name = name.map_err(|_| "the name of a column is not UTF-8")?;
                }
                (5, I32) => {
                    let count = u64::try_from(self.signed()?);
                    element.children = count.map_err(|_| "a negative number of columns")?;
                }
                (6, I32) => element.converted = converted(self.signed()?)?,
                (7, I32) => element.scale = self.signed()?,
                (8, I32) => element.precision = self.signed()?,
                (10, STRUCT) => {
                    // The only one that has no elder form.
                    let is_half = self.0.starts_with(&[15 << 4 | STRUCT]);
                    element.logical = is_half.then_some(LogicalType::Float16);
                    self.pass(STRUCT, 0)?;
                }
                (1..=8 | 10, _) => return Err("a column has a field of another kind".to_owned()),
                (_, kind) => self.pass(kind, 0)?,
            }
        }
        Ok(element)
    }
}

fn physical(number: i32) -> Result<PhysicalType, String> {
    Ok(match number {
        0 => PhysicalType::BOOLEAN,
        1 => PhysicalType::INT32,
        2 => PhysicalType::INT64,
        3 => PhysicalType::INT96,
        4 => PhysicalType::FLOAT,
        5 => PhysicalType::DOUBLE,
        6 => PhysicalType::BYTE_ARRAY,
        7 => PhysicalType::FIXED_LEN_BYTE_ARRAY,
        other => return Err(format!("a column of the unknown type {other}")),
    })
}

fn repetition(number: i32) -> Result<Repetition, String> {
    Ok(match number {
        0 => Repetition::REQUIRED,
        1 => Repetition::OPTIONAL,
        2 => Repetition::REPEATED,
        other => return Err(format!("a column of the unknown repetition {other}")),
    })
}

fn converted(number: i32) -> Result<ConvertedType, String> {
    Ok(match number {
        0 => ConvertedType::UTF8,
        1 => ConvertedType::MAP,
        2 => ConvertedType::MAP_KEY_VALUE,
        3 => ConvertedType::LIST,
        4 => ConvertedType::ENUM,
        5 => ConvertedType::DECIMAL,
        6 => ConvertedType::DATE,
        7 => ConvertedType::TIME_MILLIS,
        8 => ConvertedType::TIME_MICROS,
        9 => ConvertedType::TIMESTAMP_MILLIS,
        10 => ConvertedType::TIMESTAMP_MICROS,
        11 => ConvertedType::UINT_8,
        12 => ConvertedType::UINT_16,
        13 => ConvertedType::UINT_32,
        14 => ConvertedType::UINT_64,
        15 => ConvertedType::INT_8,
        16 => ConvertedType::INT_16,
        17 => ConvertedType::INT_32,
        18 => ConvertedType::INT_64,
        19 => ConvertedType::JSON,
        20 => ConvertedType::BSON,
        // Intervals, which the library panics on: they are bytes then.
        21 => ConvertedType::NONE,
        other => return Err(format!("a column of the unknown meaning {other}")),
    })
}
