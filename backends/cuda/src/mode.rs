//! The promise of a backend about the bits of a text in different batches.

/// The promise about the results of a batch.
///
/// Both give the same bits from the same batch; neither cuts a sum in parts. Scores of one mode are to be kept
/// apart from those of another ([`Mode::suffix`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mode {
    /// A text gets the same bits in every batch: one algorithm per weight, for every number of rows.
    #[default]
    Invariant,
    /// cuBLASLt chooses an algorithm for each number of rows. The same text may differ in its last bits from batch
    /// to batch.
    Fast,
}

impl Mode {
    /// Suffix of the name of a backend in the keys of logs: empty in [`Mode::Invariant`].
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Invariant => "",
            Self::Fast => " fast",
        }
    }
}
