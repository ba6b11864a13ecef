//! The tables of the suite.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use relscale::ladder::Ladder;

use crate::Result;

/// The score table, from which ladders of selected runs are made.
pub(crate) struct Table {
    header: csv::StringRecord,
    pub(crate) rows: Vec<csv::StringRecord>,
}

impl Table {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let file = fs::File::open(path).map_err(|e| {
            format!(
                "{}: {e}; suite/README.md says how it is made",
                path.display()
            )
        })?;
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers()?.clone();
        let rows = reader.records().collect::<std::result::Result<_, _>>()?;
        Ok(Self { header, rows })
    }

    pub(crate) fn column(&self, name: &str) -> Result<usize> {
        let at = self.header.iter().position(|h| h == name);
        at.ok_or_else(|| format!("the score table has no column {name}").into())
    }

    /// The runs that `keep` accepts by corpus, budget and seed.
    pub(crate) fn ladder(&self, keep: impl Fn(&str, f64, &str) -> bool) -> Result<Ladder> {
        let [corpus, budget, seed] = ["corpus", "budget", "seed"].map(|c| self.column(c));
        let (corpus, budget, seed) = (corpus?, budget?, seed?);
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(&self.header)?;
        for row in &self.rows {
            if keep(&row[corpus], row[budget].parse()?, &row[seed]) {
                out.write_record(row)?;
            }
        }
        Ok(Ladder::from_csv(out.into_inner()?.as_slice(), "the suite")?)
    }
}

/// Shares of the training bytes in percent, by corpus and distribution.
pub(crate) type Shares = BTreeMap<(String, String), f64>;

/// Reads the shares.
pub(crate) fn read_shares(path: &Path) -> Result<Shares> {
    let mut shares = BTreeMap::new();
    for row in csv::Reader::from_path(path)?.deserialize() {
        let (corpus, _, distribution, _, share): (String, String, String, f64, f64) = row?;
        if !distribution.is_empty() {
            shares.insert((corpus, distribution), share);
        }
    }
    Ok(shares)
}
