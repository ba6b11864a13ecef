//! Differences between corpora of one exponent.

use super::contrast::{self, FittedContrast, Part};
use super::design::Design;
use super::error::FitError;
use super::estimate::Coefficient;
use super::options::Options;
use super::question::Question;
use super::readings::{Group, ReadingRegression, SPREAD};
use super::result::ContrastLaw;
use super::stats::multiplicity::{Correction, adjust};
use super::view::CorpusView;

/// The law of a contrast, alone in its family until [`adjust_family`] has seen the others.
pub(crate) fn contrast_law(
    name: String,
    corpora: &[&str],
    fitted: &FittedContrast,
    options: &Options,
) -> ContrastLaw {
    ContrastLaw {
        name,
        corpora: corpora.iter().map(|c| (*c).to_owned()).collect(),
        exponent: fitted.estimate(Coefficient::Slope, options.items, options.alpha),
        level: fitted
            .estimate(Coefficient::Level, options.items, options.alpha)
            .interval(),
        // A placeholder until the whole family is known; 1 claims nothing if that never comes.
        holm_p: 1.0,
    }
}

/// Sets the Holm-adjusted p-values of the family that `laws` form.
pub(crate) fn adjust_family(laws: &mut [ContrastLaw]) -> Result<(), FitError> {
    let p: Vec<f64> = laws.iter().map(|l| l.exponent.p_value).collect();
    for (law, holm) in laws.iter_mut().zip(adjust(&p, Correction::Holm)?) {
        law.holm_p = holm;
    }
    Ok(())
}

/// Readings of two corpora matched one to one, and the regression of their differences.
#[derive(Debug)]
pub(crate) struct Pairing {
    pub(crate) regression: ReadingRegression,
    /// Per reading of the first corpus: that of the second.
    pub(crate) order: Vec<usize>,
    /// Mean log scale of both corpora.
    pub(crate) origin: f64,
}

impl Pairing {
    /// Matches the readings by budget or, of grids, by size and training length.
    pub(crate) fn new(
        one: &CorpusView<'_>,
        two: &CorpusView<'_>,
        options: &Options,
    ) -> Result<Self, FitError> {
        let matched = match (one.plan.design, two.plan.design) {
            (Design::Grid, Design::Grid) => by_cell(one, two),
            (a, b) if a == b => by_label(one, two),
            _ => None,
        };
        let order = matched.ok_or_else(|| FitError::Unsupported {
            reason: format!(
                "corpora are compared reading by reading, and {:?} and {:?} differ in {}",
                one.corpus.name,
                two.corpus.name,
                difference(one, two)
            ),
        })?;
        let (a, b) = (&one.plan.main().regression, &two.plan.main().regression);
        Ok(Self {
            regression: a.paired(b, &order, options)?,
            order,
            origin: 0.5 * (one.plan.origin + two.plan.origin),
        })
    }

    /// Centred log scale per reading: the mean of both corpora, whose real FLOPs differ within a budget
    /// by up to its tolerance.
    pub(crate) fn x(&self) -> &[f64] {
        &self.regression.columns[Coefficient::Slope.column()]
    }
}

fn difference(one: &CorpusView<'_>, two: &CorpusView<'_>) -> &'static str {
    match (one.plan.design, two.plan.design) {
        (a, b) if a != b => "design",
        (Design::Grid, _) => "sizes and training lengths",
        _ => "budgets",
    }
}

/// Budgets in their order, where they agree: shocks of a budget cancel.
fn by_label(one: &CorpusView<'_>, two: &CorpusView<'_>) -> Option<Vec<usize>> {
    let (a, b) = (&one.plan.groups, &two.plan.groups);
    // Labels that are logged FLOPs differ between corpora by what they differ within one.
    let alike = |(a, b): (&Group, &Group)| (a.budget / b.budget - 1.0).abs() <= SPREAD;
    (a.len() == b.len() && a.iter().zip(b).all(alike)).then(|| (0..a.len()).collect())
}

/// Runs of one size and training length, one of each corpus; of several, those of one seed first.
fn by_cell(one: &CorpusView<'_>, two: &CorpusView<'_>) -> Option<Vec<usize>> {
    let cells = |view: &CorpusView<'_>| -> Vec<(f64, f64, Option<u64>)> {
        let (corpus, runs) = (view.corpus, view.corpus.ladder.runs());
        let members = view.plan.groups.iter().filter_map(|g| g.members.first());
        members
            .map(|&m| {
                let size = corpus.size[m];
                (size, size + corpus.ratio[m], runs[corpus.runs[m]].seed)
            })
            .collect()
    };
    let (a, b) = (cells(one), cells(two));
    if a.len() != b.len() {
        return None;
    }
    let mut free = vec![true; b.len()];
    let mut order: Vec<Option<usize>> = vec![None; a.len()];
    // Those whose seeds agree before the rest, or a run would take the partner of another.
    for any_seed in [false, true] {
        for (x, partner) in a.iter().zip(&mut order).filter(|(_, p)| p.is_none()) {
            let near = |y: &(f64, f64, Option<u64>)| {
                (x.0 - y.0).abs() <= SPREAD && (x.1 - y.1).abs() <= SPREAD
            };
            let fits = |j: &usize| free[*j] && near(&b[*j]) && (any_seed || x.2 == b[*j].2);
            *partner = (0..b.len()).find(fits);
            if let Some(j) = *partner {
                free[j] = false;
            }
        }
    }
    order.into_iter().collect()
}

/// A corpus, the treatment compared, and the law of its difference to another corpus.
type Found<'q> = (&'q str, &'q str, Result<ContrastLaw, FitError>);

/// The differences of the exponents of each treatment between pairs of corpora.
pub(crate) fn laws<'q>(views: &[CorpusView<'q>], question: &'q Question<'_>) -> Vec<Found<'q>> {
    let mut found: Vec<Found<'q>> = Vec::new();
    for (i, one) in views.iter().enumerate() {
        for two in &views[i + 1..] {
            for &t in &question.treatments {
                let law = between(one, two, t, question.baseline, question.options);
                found.push((one.corpus.name, question.name(t), law));
            }
        }
    }
    found
}

/// Difference of the exponents of `treatment` against `baseline` between two corpora, each read at
/// its own frontier.
fn between(
    one: &CorpusView<'_>,
    two: &CorpusView<'_>,
    treatment: usize,
    baseline: usize,
    options: &Options,
) -> Result<ContrastLaw, FitError> {
    let name = one.corpus.name_of(treatment);
    let label = format!("{name}: {} - {}", one.corpus.name, two.corpus.name);
    let pairing = Pairing::new(one, two, options)?;
    let part = |view, sign: f64| Part {
        view,
        terms: vec![(treatment, sign), (baseline, -sign)],
    };
    let parts = [part(one, 1.0), part(two, -1.0)];
    let fitted = contrast::fit_parts(&parts, Some(&pairing), options)?;
    let corpora = [one.corpus.name, two.corpus.name];
    Ok(contrast_law(label, &corpora, &fitted, options))
}
