//! The results of an analysis while its steps find them.

use super::arms;
use super::between;
use super::error::FitError;
use super::error_rates::Rates;
use super::families::decide_contrasts;
use super::flags::flag_ranges;
use super::max_t::Family;
use super::options::Options;
use super::question::Question;
use super::refusals::grouped;
use super::result::{
    AbsoluteLaw, ArmLaw, ContrastLaw, CorpusReport, CovariateSlope, Heterogeneity, NamedContrast,
    PartialPooling, Refused, RelativeLaw, WorstGroup,
};
use super::view::CorpusView;

/// Results as the steps find them.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) laws: Vec<RelativeLaw>,
    /// Named contrasts with their place in the options and the distributions they are made of.
    pub(crate) contrasts: Vec<(usize, NamedContrast, Vec<String>)>,
    pub(crate) worst: Vec<WorstGroup>,
    pub(crate) absolute_laws: Vec<AbsoluteLaw>,
    /// Those of distributions without a score in every run of the widest view: for flags alone.
    pub(crate) incomplete: Vec<AbsoluteLaw>,
    pub(crate) corpora: Vec<CorpusReport>,
    pub(crate) centred: Vec<ContrastLaw>,
    pub(crate) cross_corpus: Vec<ContrastLaw>,
    pub(crate) arms: Vec<ArmLaw>,
    pub(crate) heterogeneity: Vec<Heterogeneity>,
    pub(crate) partial_pooling: Vec<PartialPooling>,
    pub(crate) covariate: Vec<CovariateSlope>,
    pub(crate) rates: Rates,
    /// The errors that the laws have in common, if the options ask for intervals by the largest |t|.
    pub(crate) family: Family,
    pub(crate) refused: Vec<Refused>,
    /// Reason of the first refusal.
    first_error: Option<FitError>,
}

impl Findings {
    pub(crate) fn refuse(&mut self, corpus: &str, distribution: Option<&str>, error: FitError) {
        self.refused.push(Refused {
            corpus: corpus.into(),
            distribution: distribution.map(str::to_owned),
            budget: None,
            reason: error.to_string(),
        });
        // Of many refusals the first is raised when nothing is left; later ones often follow from
        // it.
        self.first_error.get_or_insert(error);
    }

    /// Compares exponents between pairs of corpora, and distributions with the baseline corpus.
    pub(crate) fn compare_corpora(
        &mut self,
        views: &[CorpusView<'_>],
        question: &Question<'_>,
    ) -> Result<(), FitError> {
        for (corpus, distribution, law) in between::laws(views, question) {
            match law {
                Ok(law) => self.cross_corpus.push(law),
                Err(error) => self.refuse(corpus, Some(distribution), error),
            }
        }
        between::adjust_family(&mut self.cross_corpus)?;
        for (corpus, distribution, law) in arms::laws(views, question) {
            match law {
                Ok(law) => self.arms.push(law),
                Err(error) => self.refuse(corpus, distribution, error),
            }
        }
        let options = question.options;
        let scale = options.axis.in_words(question.ladder.scale_name());
        arms::decide(&mut self.arms, options, scale)
    }

    /// Flags laws and contrasts by the absolute laws of their sides.
    pub(crate) fn flag_ranges(&mut self, options: &Options) {
        let laws = self.laws.iter_mut().map(|l| {
            let both = vec![l.treatment.clone(), l.baseline.clone()];
            (l, both)
        });
        let contrasts = self.contrasts.iter_mut();
        let contrasts = contrasts.map(|(_, c, names)| (&mut c.law, names.clone()));
        let absolute = self.absolute_laws.iter().chain(&self.incomplete);
        flag_ranges(laws.chain(contrasts), absolute, options);
    }

    /// The named contrasts in the order of the options, with their verdicts.
    pub(crate) fn decided_contrasts(
        &mut self,
        options: &Options,
        scale: &str,
    ) -> Result<Vec<NamedContrast>, FitError> {
        self.contrasts.sort_by_key(|c| c.0);
        let mut contrasts: Vec<_> = self.contrasts.drain(..).map(|c| c.1).collect();
        decide_contrasts(&mut contrasts, options, scale)?;
        Ok(contrasts)
    }

    /// Fails with the first reason if no law was found: no relative one or, of a distribution that is
    /// `alone`, none of its own.
    pub(crate) fn check_any(&mut self, alone: bool) -> Result<(), FitError> {
        let named = !self.laws.is_empty() || !self.contrasts.is_empty();
        let relative = named || !self.rates.laws.is_empty();
        let own = !self.absolute_laws.is_empty() || !self.rates.rates.is_empty();
        if relative || (alone && own) {
            return Ok(());
        }
        let first = self.first_error.take().unwrap_or(FitError::TooFew {
            what: "corpora".into(),
            found: 0,
            needed: 1,
        });
        // One refusal says it all; of many, each reason once.
        if self.refused.len() < 2 {
            return Err(first);
        }
        Err(FitError::NothingLeft {
            first: Box::new(first),
            reasons: grouped(&self.refused),
        })
    }
}
