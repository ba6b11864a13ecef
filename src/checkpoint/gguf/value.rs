//! Values of GGUF metadata.

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any unsigned integer, or a signed one that is not negative.
    Unsigned(u64),
    /// A negative integer.
    Negative(i64),
    /// A number with a fraction. One of 32 bits is the decimal number that it was rounded from.
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Numbers(Numbers),
}

/// An array of numbers, in the bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(super) kind: u32,
    pub(super) bytes: Vec<u8>,
}

/// Size of a number or truth value of the type `kind`, in bytes.
pub(super) fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// The number of type `kind` in these bytes.
pub(super) fn number(kind: u32, bytes: &[u8]) -> Value {
    let mut wide = [0u8; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(wide);
    // Shifting up and down again copies the sign into the upper bits.
    let unused = 64 - 8 * bytes.len() as u32;
    let signed = (unsigned << unused) as i64 >> unused;
    match kind {
        1 | 3 | 5 | 11 if signed < 0 => Value::Negative(signed),
        6 => {
            // The writer read 1e-5 from a `config.json` and rounded it to `f32`. The shortest decimal
            // number of that `f32` is 1e-5 again.
            let x = f32::from_bits(unsigned as u32);
            Value::Float(x.to_string().parse().unwrap_or(f64::from(x)))
        }
        7 => Value::Bool(unsigned != 0),
        12 => Value::Float(f64::from_bits(unsigned)),
        _ => Value::Unsigned(unsigned),
    }
}

impl Value {
    /// The value as a floating-point number.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(x) => Some(*x as f64),
            Self::Negative(x) => Some(*x as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsigned(x) => write!(f, "{x}"),
            Self::Negative(x) => write!(f, "{x}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Bool(x) => write!(f, "{x}"),
            Self::Text(x) => write!(f, "{x:?}"),
            Self::Texts(x) => write!(f, "{} strings", x.len()),
            Self::Numbers(x) => write!(f, "{} numbers", x.values().len()),
        }
    }
}

impl Numbers {
    /// The numbers, in order.
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        let kind = self.kind;
        self.bytes
            .chunks_exact(width(kind).unwrap_or(1))
            .map(move |bytes| number(kind, bytes))
    }
}
