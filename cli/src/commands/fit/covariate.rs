//! A covariate of distributions from a column of a table.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use relscale::input;

use crate::commands::at;
use crate::readers::rows::{reason, rows};
use crate::suggest::did_you_mean;

/// Longest table that is read, in bytes: a row per distribution takes tens.
const MOST_BYTES: u64 = 1 << 26;

/// A table and the column that is the covariate.
#[derive(Debug, Clone)]
pub(super) struct CovariateColumn {
    path: PathBuf,
    column: String,
}

impl std::str::FromStr for CovariateColumn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // From the right: paths may hold a colon.
        match text.rsplit_once(':') {
            Some((path, column)) if !path.is_empty() && !column.is_empty() => Ok(Self {
                path: path.into(),
                column: column.to_owned(),
            }),
            _ => Err("FILE:COLUMN, such as countries.csv:speakers"),
        }
    }
}

impl CovariateColumn {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The covariate of every distribution that has one.
    ///
    /// # Errors
    /// A table without the column or the column `distribution`, a distribution that is named twice, or a
    /// value that is no number. A distribution may have no value.
    pub(super) fn read(&self) -> Result<BTreeMap<String, f64>, String> {
        let path = &self.path;
        let mut text = Vec::new();
        // One byte more than allowed shows that there are more.
        let read =
            input::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
        if read.map_err(at(path))? as u64 > MOST_BYTES {
            let message = "too long for a table of one row per distribution";
            return Err(format!("{}: {message}", path.display()));
        }
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(text.as_slice());
        let headers = reader.headers().map_err(|e| {
            let reason = reason(e.kind());
            format!("{}, line 1: {reason}", path.display())
        })?;
        let headers = headers.clone();
        let name = place(path, &headers, "distribution")?;
        let column = place(path, &headers, &self.column)?;
        let mut values = BTreeMap::new();
        for row in rows(reader, &text) {
            let (line, row) = row
                .map_err(|(line, message)| format!("{}, line {line}: {message}", path.display()))?;
            let (name, text) = (&row[name], &row[column]);
            if text.is_empty() {
                continue;
            }
            let value = text.parse::<f64>().ok().filter(|x| x.is_finite());
            let value = value.ok_or_else(|| {
                let column = &self.column;
                format!(
                    "{}, line {line}: `{column}` of {name:?} is {text:?}, no number",
                    path.display()
                )
            })?;
            if values.insert(name.to_owned(), value).is_some() {
                return Err(format!(
                    "{}, line {line}: {name:?} is there twice",
                    path.display()
                ));
            }
        }
        Ok(values)
    }
}

fn place(path: &Path, headers: &csv::StringRecord, column: &str) -> Result<usize, String> {
    let is_named = |header: &str| header.trim_start_matches('\u{feff}') == column;
    let mut found = (headers.iter().enumerate()).filter(|(_, header)| is_named(header));
    let first = found.next().map(|(place, _)| place);
    // The second would be ignored, and it may be the one that is meant.
    if found.next().is_some() {
        return Err(format!(
            "{}: two columns are named `{column}`",
            path.display()
        ));
    }
    first.ok_or_else(|| {
        let all: Vec<&str> = headers.iter().collect();
        let meant = did_you_mean(column, headers.iter());
        format!(
            "{}: no column `{column}`; it has {}{meant}",
            path.display(),
            all.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, column: &str) -> Result<BTreeMap<String, f64>, String> {
        let name = format!("relscale-covariate-{:?}.csv", std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let column: CovariateColumn = format!("{}:{column}", path.display()).parse().unwrap();
        let read = column.read();
        std::fs::remove_file(path).unwrap();
        read
    }

    #[test]
    fn a_column_is_read_by_distribution() {
        let table = "distribution,speakers,share\nindia, 2.5,\nkenya,1.0,0.25\n";
        let wanted = [("india".to_owned(), 2.5), ("kenya".to_owned(), 1.0)].into();
        assert_eq!(read(table, "speakers"), Ok(wanted));
        assert_eq!(
            read(table, "share"),
            Ok([("kenya".to_owned(), 0.25)].into())
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (table, column, parts) in [
            (
                "distribution,x\na,1\n",
                "y",
                ["no column `y`", "distribution, x"],
            ),
            (
                "distribution,speakers\na,1\n",
                "speaker",
                ["no column", "did you mean `speakers`?"],
            ),
            (
                "country,x\na,1\n",
                "x",
                ["no column `distribution`", "country"],
            ),
            ("distribution,x\na,1\na,2\n", "x", ["line 3", "twice"]),
            ("distribution,x,x\na,1,2\n", "x", ["two columns", "`x`"]),
            (
                "distribution,distribution,x\na,b,1\n",
                "x",
                ["two columns", "`distribution`"],
            ),
            (
                "distribution,x\na,many\n",
                "x",
                ["line 2", "\"many\", no number"],
            ),
            (
                "distribution,x\na,inf\n",
                "x",
                ["line 2", "\"inf\", no number"],
            ),
            ("distribution,x\na\n", "x", ["line 2", "1 field;"]),
            (
                "distribution,x\r\na,1\r\n\r\na,2\r\n",
                "x",
                ["line 4", "twice"],
            ),
        ] {
            let message = read(table, column).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "no {part} in {message}");
            }
        }
        for text in ["speakers", ":speakers", "a.csv:"] {
            assert!(text.parse::<CovariateColumn>().is_err(), "{text}");
        }
    }
}
