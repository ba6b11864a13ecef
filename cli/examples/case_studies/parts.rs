//! The distributions of the three studies.

use std::collections::BTreeMap;

use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::fit::Averaging;
use relscale::scorer::{
    BitsPerByte, ChoiceLogLoss, ErrorRate, MatchingProbability, Normalisation, Scorer,
};
use relscale_cli::readers::behaviours::{self, BehaviourOptions, RiskGroups};
use relscale_cli::readers::matched;
use relscale_cli::readers::mmlu::{Mmlu, MmluGroup, MmluOptions};
use relscale_cli::readers::texts::{self, TextFields};

use super::arguments::Arguments;
use super::sampling::{Window, clusters, count, sampled, starts, text};

/// Distributions that are compared with one of them.
pub(super) struct Part {
    /// Name of the files.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) baseline: String,
    pub(super) distributions: Vec<Items>,
    /// Scorers of every record; the first one is fitted.
    pub(super) scorers: &'static [&'static dyn Scorer],
    pub(super) unit: &'static str,
    pub(super) averaging: Averaging,
    pub(super) sample: String,
    /// Covariate of the distributions, on which the exponents are regressed.
    pub(super) covariate: BTreeMap<String, f64>,
}

/// The parts under one heading.
pub(super) struct Study {
    pub(super) title: &'static str,
    pub(super) parts: Vec<Part>,
}

pub(super) const TEXT: &[&dyn Scorer] = &[&BitsPerByte];
const QUESTION: &[&dyn Scorer] = &[&ChoiceLogLoss, &ErrorRate(Normalisation::PerByte)];
const BEHAVIOUR: &[&dyn Scorer] = &[&MatchingProbability(Normalisation::PerByte)];

/// Reads the three studies, sampled as the arguments say.
pub(super) fn studies(from: &Arguments, window: &Window) -> Result<Vec<Study>, Error> {
    Ok(vec![
        Study {
            title: "1. Domains",
            parts: vec![questions(from, window)?, genres(from)?],
        },
        Study {
            title: "2. Varieties of English",
            parts: vec![regions(from)?, dialects(from)?],
        },
        Study {
            title: "3. Behaviours of risk",
            parts: vec![risks(from, window)?],
        },
    ])
}

fn questions(from: &Arguments, window: &Window) -> Result<Part, Error> {
    let prompt = MmluOptions {
        prompt: from.prompt.into(),
        shots: from.shots,
        description: from.description,
    };
    let subjects = Mmlu::load(from.data.join("evals/mmlu"))?;
    let (groups, of) = sampled(subjects.groups(&prompt)?, from.items, window)?;
    Ok(Part {
        name: "mmlu",
        title: "MMLU by group of subjects",
        baseline: MmluGroup::Stem.name().to_owned(),
        sample: format!(
            "{} of {of} questions: at most {} per subject, {}-shot, only those that fit {} tokens; \
             mean over subjects",
            count(&groups),
            from.items,
            from.shots,
            window.tokens
        ),
        distributions: groups,
        scorers: QUESTION,
        unit: "nats per question (log-loss of the right choice)",
        averaging: Averaging::Macro,
        covariate: BTreeMap::new(),
    })
}

/// The start of every document of every region in a folder.
fn running(folder: &std::path::Path, bytes: usize) -> Result<Vec<Items>, Error> {
    let found = texts::regions(folder, &TextFields::default())?;
    found.iter().map(|region| starts(region, bytes)).collect()
}

fn genres(from: &Arguments) -> Result<Part, Error> {
    let bytes = from.bytes;
    Ok(Part {
        name: "genres",
        title: "Genres of American English (MASC)",
        baseline: "newspaper".to_owned(),
        sample: format!("about {bytes} bytes per genre, from the start of every document"),
        distributions: running(&from.data.join("texts/domains-masc"), bytes)?,
        scorers: TEXT,
        unit: "bits per byte",
        averaging: Averaging::Micro,
        covariate: BTreeMap::new(),
    })
}

fn regions(from: &Arguments) -> Result<Part, Error> {
    let bytes = from.bytes;
    Ok(Part {
        name: "regions",
        title: "English by country (speeches in the UN General Debate)",
        baseline: "USA".to_owned(),
        sample: format!("about {bytes} bytes per country, from the start of every speech"),
        distributions: running(&from.data.join("texts/regions-un"), bytes)?,
        scorers: TEXT,
        unit: "bits per byte",
        averaging: Averaging::Micro,
        covariate: from.covariate()?,
    })
}

fn dialects(from: &Arguments) -> Result<Part, Error> {
    let bytes = from.bytes;
    let forms = matched::from_jsonl(from.data.join("texts/dialects-multivalue/matched.jsonl"))?;
    // The same sentences in every form: as many as the bytes of the standard form allow.
    let standard = forms.iter().find(|form| form.name() == "sae");
    let mut sentences = 0;
    let mut used = 0;
    if let Some(standard) = standard {
        while sentences < standard.len() && used < bytes {
            used += text(&standard.item(sentences)?.content).len();
            sentences += 1;
        }
    }
    let forms = forms.into_iter().map(|form| {
        let some = (0..sentences).map(|i| Ok(form.item(i)?.into_owned()));
        Items::new(form.name(), some.collect::<Result<_, Error>>()?)
    });
    Ok(Part {
        name: "dialects",
        title: "Dialects: the same sentences by the rules of each",
        baseline: "sae".to_owned(),
        sample: format!(
            "{sentences} sentences in every dialect; sae is the standard American form"
        ),
        distributions: forms.collect::<Result<_, _>>()?,
        scorers: TEXT,
        unit: "bits per byte",
        averaging: Averaging::Micro,
        covariate: BTreeMap::new(),
    })
}

fn risks(from: &Arguments, window: &Window) -> Result<Part, Error> {
    let prompt = BehaviourOptions::default();
    let folder = from.data.join("evals/anthropic-evals");
    let table = match &from.groups {
        Some(file) => RiskGroups::from_csv(file)?,
        None => RiskGroups::default(),
    };
    let groups = behaviours::load(folder, &table, &prompt)?;
    let (groups, of) = sampled(groups, from.items, window)?;
    // The paper's baseline if the data have it, else the group with the most behaviours.
    let largest = groups.iter().max_by_key(|group| clusters(group));
    let baseline = groups
        .iter()
        .find(|group| group.name() == "self-improvement")
        .or(largest)
        .map_or_else(String::new, |group| group.name().to_owned());
    Ok(Part {
        name: "risk",
        title: "Model-written behaviours by group of risk",
        sample: format!(
            "{} of {of} questions: at most {} per behaviour and file, 0-shot, only those that fit {} \
             tokens; mean over behaviours; baseline {baseline}",
            count(&groups),
            from.items,
            window.tokens
        ),
        baseline,
        distributions: groups,
        scorers: BEHAVIOUR,
        unit: "probability of the answer that matches the behaviour",
        averaging: Averaging::Macro,
        covariate: BTreeMap::new(),
    })
}
