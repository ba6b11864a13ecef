//! Rows of a table as text.

/// The fields of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    text: &'a str,
    /// Start and end of each field.
    spans: &'a [(usize, usize)],
    line: u64,
}

impl<'a> Record<'a> {
    /// A field, if there are so many.
    pub(super) fn get(&self, at: usize) -> Option<&'a str> {
        let &(start, end) = self.spans.get(at)?;
        self.text.get(start..end)
    }

    /// Line or number of the row in its table.
    pub(super) fn line(&self) -> u64 {
        self.line
    }
}

/// Rows one after another.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: String,
    spans: Vec<(usize, usize)>,
    /// End of each row in `spans`, and its line.
    rows: Vec<(usize, u64)>,
    /// Number that is added to every line.
    base: u64,
}

impl Batch {
    /// No rows, with room for so many and their fields.
    pub(super) fn with_capacity(rows: usize, fields: usize) -> Self {
        Self {
            spans: Vec::with_capacity(fields),
            rows: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    /// The rows whose fields are spans of `text`.
    pub(super) fn with_text(mut self, text: String) -> Self {
        self.text = text;
        self
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, at: usize) -> Record<'_> {
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before].0);
        let (end, line) = self.rows[at];
        Record {
            text: &self.text,
            spans: &self.spans[start..end],
            line: self.base + line,
        }
    }

    /// Leaves out all rows.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.rows.clear();
        self.base = 0;
    }

    /// Adds `base` to every line.
    pub(super) fn move_lines(&mut self, base: u64) {
        self.base += base;
    }

    /// Adds a field to the row that has not ended.
    pub(super) fn push(&mut self, field: &str) {
        let start = self.text.len();
        self.text.push_str(field);
        self.spans.push((start, self.text.len()));
    }

    /// Adds a field by its place in a text that is given later.
    pub(super) fn push_span(&mut self, start: usize, end: usize) {
        self.spans.push((start, end));
    }

    /// Ends a row.
    pub(super) fn end_row(&mut self, line: u64) {
        self.rows.push((self.spans.len(), line));
    }

    /// A field of the row that has not ended.
    pub(super) fn field(&self, at: usize) -> &str {
        let (start, end) = self.span(at);
        &self.text[start..end]
    }

    /// Adds a field of the row that has not ended once more.
    pub(super) fn push_again(&mut self, at: usize) {
        self.spans.push(self.span(at));
    }

    fn span(&self, at: usize) -> (usize, usize) {
        let start = self.rows.last().map_or(0, |row| row.0);
        self.spans.get(start + at).copied().unwrap_or_default()
    }
}
