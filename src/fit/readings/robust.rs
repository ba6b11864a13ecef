//! Readings of size profiles by Huber's weights: runs far from their profile count less.

use crate::fit::corpus::Corpus;
use crate::fit::error::FitError;
use crate::fit::options::Options;
use crate::fit::stats::huber::huber_weights;
use crate::fit::stats::regression::{Block, Line};

use super::profile::Poly;
use super::{
    Design, Frontier, ReadingPlan, ReadingRegression, Readout, SizeProfile, line_columns,
    reading_weights,
};

impl ReadingPlan {
    /// The same plan with the runs of every smoothed rule weighted by their distance from their
    /// profile: in `y` for the readings, in the aggregate loss for the frontier.
    pub(crate) fn robust(
        &self,
        corpus: &Corpus<'_>,
        y: &[f64],
        options: &Options,
    ) -> Result<Self, FitError> {
        if self.design != Design::Isoflop {
            return Err(FitError::Unsupported {
                reason: format!(
                    "corpus {:?} has no size profiles: the option robust weights runs within them \
                     (diagnostics have the Theil-Sen slope of rungs)",
                    corpus.name
                ),
            });
        }
        let mut plan = self.clone();
        for readout in &mut plan.readouts {
            if readout.frontier.is_some() {
                *readout = reread(corpus, readout, &plan.x, y, options)?;
            }
        }
        Ok(plan)
    }
}

/// The readout with robust minima, frontier and readings.
fn reread(
    corpus: &Corpus<'_>,
    readout: &Readout,
    x: &[f64],
    y: &[f64],
    options: &Options,
) -> Result<Readout, FitError> {
    let Some(old) = &readout.frontier else {
        return Ok(readout.clone());
    };
    let by_aggregate = polynomials(corpus, readout, &corpus.aggregate);
    let minima: Vec<f64> = (by_aggregate.iter().zip(&readout.profiles).zip(&old.minima))
        .map(|((poly, profile), old)| {
            let own = poly.as_ref().and_then(Poly::minimum);
            // Without an interior minimum by these weights the plain one stays.
            own.filter(|m| *m > profile.low && *m < profile.high)
                .unwrap_or(*old)
        })
        .collect();
    let line = Line::new(x, &minima)?;
    let by_y = polynomials(corpus, readout, y);
    let mut new = Readout {
        rows: Vec::new(),
        slopes: Vec::new(),
        read_at: Vec::new(),
        ..readout.clone()
    };
    let mut inside = Vec::new();
    for (j, profile) in readout.profiles.iter().enumerate() {
        let wanted = line.at(x[j]).value;
        let at = profile.nearest(wanted);
        // Rounding of the line is no departure from the grid.
        inside.push((wanted - at).abs() <= 1e-9);
        let (row, slope) = match &by_y[j] {
            Some(poly) => {
                let pairs = |row: Vec<f64>| profile.members.iter().copied().zip(row).collect();
                (pairs(poly.value_row(at)?), pairs(poly.slope_row(at)?))
            }
            None => profile.rows(at)?,
        };
        new.read_at.push(match profile.poly.is_some() {
            true => at,
            false => minima[j],
        });
        new.rows.push(row);
        new.slopes.push(slope);
    }
    new.regression = ReadingRegression::new(
        line_columns(x),
        reading_weights(&new.rows, options),
        Vec::new(),
        options,
    )?;
    new.frontier = Some(Frontier {
        minima,
        inside,
        line,
    });
    Ok(new)
}

/// The weighted polynomial of `values` over each profile; `None` where the best run is read.
fn polynomials(corpus: &Corpus<'_>, readout: &Readout, values: &[f64]) -> Vec<Option<Poly>> {
    let pick =
        |v: &[f64], p: &SizeProfile| -> Vec<f64> { p.members.iter().map(|&m| v[m]).collect() };
    let with_poly = || {
        let profiles = readout.profiles.iter();
        profiles.filter_map(|p| Some((p, p.poly.as_ref()?)))
    };
    let blocks: Vec<Block> = with_poly()
        .map(|(p, poly)| Block {
            columns: poly.powers(&pick(&corpus.size, p)),
            y: pick(values, p),
            labels: p.members.clone(),
        })
        .collect();
    let mut weighted = (with_poly().zip(huber_weights(&blocks))).map(|((p, poly), w)| {
        let (u, y) = (pick(&corpus.size, p), pick(values, p));
        Poly::weighted(&u, &y, &w, poly.terms() - 1)
    });
    let profiles = readout.profiles.iter();
    profiles
        .map(|p| match p.poly {
            Some(_) => weighted.next().flatten(),
            None => None,
        })
        .collect()
}
