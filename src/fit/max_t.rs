//! Intervals that hold for all laws at once, by the distribution of the largest |t|.

use super::contrast::Influence;
use super::error::FitError;
use super::estimate::PerCoefficient;
use super::options::{ItemSampling, Options};
use super::result::{MaxT, RelativeLaw};
use super::stats::correlation::shrunk_correlation;
use super::stats::quantile::t_cdf;
use super::stats::resample::max_t_critical;
use super::view::CorpusView;

/// The laws of an analysis and what their errors have in common.
#[derive(Debug, Default)]
pub(crate) struct Family {
    members: Vec<Member>,
    /// Weights over runs, by plan.
    weights: Vec<PerCoefficient<Vec<f64>>>,
}

#[derive(Debug)]
struct Member {
    corpus: String,
    treatment: String,
    plan: usize,
    items: Option<Influence>,
}

impl Family {
    pub(crate) fn add(&mut self, view: &CorpusView<'_>, treatment: usize, baseline: usize) {
        // Laws of one plan come one after the other.
        let corpus = self.members.last().map(|m| m.corpus.as_str());
        if corpus != Some(view.corpus.name) || self.weights.last() != Some(&view.weights) {
            self.weights.push(view.weights.clone());
        }
        let terms = view.influences(&[(treatment, 1.0), (baseline, -1.0)]);
        self.members.push(Member {
            corpus: view.corpus.name.into(),
            treatment: view.corpus.name_of(treatment).to_owned(),
            plan: self.weights.len() - 1,
            items: view.pooled(&terms),
        });
    }

    /// Sets the intervals of `laws`.
    pub(crate) fn intervals(
        &self,
        laws: &mut [RelativeLaw],
        options: &Options,
    ) -> Result<Option<MaxT>, FitError> {
        let of = |l: &RelativeLaw| {
            let own = |m: &&Member| m.corpus == l.corpus && m.treatment == l.treatment;
            self.members.iter().find(own)
        };
        let members: Vec<&Member> = laws.iter().filter_map(of).collect();
        if members.len() != laws.len() || laws.is_empty() {
            return Ok(None);
        }
        let correlation = self.correlation(laws, &members, options.items);
        // The fewest of any law: the joint distribution has one number, and fewer are wider.
        let df = laws
            .iter()
            .map(|l| l.delta_beta.df)
            .fold(f64::INFINITY, f64::min);
        let critical = max_t_critical(&correlation, df, 1.0 - options.alpha, options.seed)?;
        let level = 1.0 - 2.0 * t_cdf(-critical.value, df);
        if !(level > 0.0 && level < 1.0) {
            return Ok(None);
        }
        for law in laws.iter_mut() {
            law.multiplicity.max_t = Some(law.delta_beta.at_level(level));
        }
        Ok(Some(MaxT {
            laws: laws.len(),
            df,
            critical,
            level,
        }))
    }

    fn correlation(
        &self,
        laws: &[RelativeLaw],
        members: &[&Member],
        items: ItemSampling,
    ) -> Vec<Vec<f64>> {
        let n = laws.len();
        let runs = run_correlation(laws, members);
        let total: Vec<f64> = laws
            .iter()
            .map(|l| l.delta_beta.standard_error.powi(2))
            .collect();
        let run: Vec<f64> = laws
            .iter()
            .map(|l| l.alternatives.fixed_items.standard_error)
            .collect();
        let mut all = vec![vec![0.0; n]; n];
        for i in 0..n {
            all[i][i] = 1.0;
            for j in 0..i {
                // Laws of two corpora have no run in common, and zero here.
                let mut shared = runs[i][j] * run[i] * run[j];
                if let (ItemSampling::Population, Some(a), Some(b)) =
                    (items, &members[i].items, &members[j].items)
                {
                    let plan = members[i].plan;
                    // Noise of items in runs is common within a plan only; the clusters may be in
                    // both corpora.
                    let same = (plan == members[j].plan).then(|| &self.weights[plan]);
                    if let Some((item, noise)) = a.with(b, same) {
                        shared += item.slope - noise.slope;
                    }
                }
                let r = shared / (total[i] * total[j]).sqrt();
                // Laws without any variance, such as the baseline against itself.
                let r = if r.is_finite() {
                    r.clamp(-1.0, 1.0)
                } else {
                    0.0
                };
                (all[i][j], all[j][i]) = (r, r);
            }
        }
        all
    }
}

/// Correlations of the residuals of the readings, within each plan shrunk towards their mean.
fn run_correlation(laws: &[RelativeLaw], members: &[&Member]) -> Vec<Vec<f64>> {
    let n = laws.len();
    let residuals: Vec<Vec<f64>> = laws
        .iter()
        .map(|l| l.readings.iter().map(|r| r.residual).collect())
        .collect();
    let mut all = vec![vec![0.0; n]; n];
    let plans = members.iter().map(|m| m.plan).max().map_or(0, |p| p + 1);
    for plan in 0..plans {
        let own: Vec<usize> = (0..n).filter(|&i| members[i].plan == plan).collect();
        let residuals: Vec<&[f64]> = own.iter().map(|&i| residuals[i].as_slice()).collect();
        // Two lines through J readings leave J − 2 degrees of freedom to a correlation.
        let df = residuals.first().map_or(0.0, |e| e.len() as f64 - 2.0);
        for (row, &i) in shrunk_correlation(&residuals, df).iter().zip(&own) {
            for (r, &j) in row.iter().zip(&own) {
                all[i][j] = if i == j { 0.0 } else { *r };
            }
        }
    }
    all
}
