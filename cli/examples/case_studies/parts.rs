//! The distributions of the three studies.

use std::path::Path;

use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::fit::Averaging;
use relscale::scorer::{
    BitsPerByte, ChoiceLogLoss, ErrorRate, MatchingProbability, Normalisation, Scorer,
};
use relscale_cli::readers::behaviours::{self, BehaviourOptions, RiskGroups};
use relscale_cli::readers::matched;
use relscale_cli::readers::mmlu::{Mmlu, MmluGroup, MmluOptions, MmluPrompt};
use relscale_cli::readers::texts::{self, TextFields};

use super::WINDOW;
use super::sampling::{clusters, count, sampled, starts, text};

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
}

/// The parts under one heading.
pub(super) struct Study {
    pub(super) title: &'static str,
    pub(super) parts: Vec<Part>,
}

pub(super) const TEXT: &[&dyn Scorer] = &[&BitsPerByte];
const QUESTION: &[&dyn Scorer] = &[&ChoiceLogLoss, &ErrorRate(Normalisation::PerByte)];
const BEHAVIOUR: &[&dyn Scorer] = &[&MatchingProbability(Normalisation::PerByte)];

/// Reads the three studies: at most `bytes` bytes per text distribution and `items` questions per
/// subject or behaviour.
pub(super) fn studies(data: &Path, bytes: usize, items: usize) -> Result<Vec<Study>, Error> {
    Ok(vec![
        Study {
            title: "1. Domains",
            parts: vec![questions(data, items)?, genres(data, bytes)?],
        },
        Study {
            title: "2. Varieties of English",
            parts: vec![regions(data, bytes)?, dialects(data, bytes)?],
        },
        Study {
            title: "3. Behaviours of risk",
            parts: vec![risks(data, items)?],
        },
    ])
}

fn questions(data: &Path, items: usize) -> Result<Part, Error> {
    let prompt = MmluOptions {
        prompt: MmluPrompt::LetterAndText,
        shots: 0,
        description: false,
    };
    let subjects = Mmlu::load(data.join("evals/mmlu"))?;
    let (groups, of) = sampled(subjects.groups(&prompt)?, items)?;
    Ok(Part {
        name: "mmlu",
        title: "MMLU by group of subjects",
        baseline: MmluGroup::Stem.name().to_owned(),
        sample: format!(
            "{} of {of} questions: at most {items} per subject, 0-shot, only those that fit {WINDOW} \
             tokens; mean over subjects",
            count(&groups)
        ),
        distributions: groups,
        scorers: QUESTION,
        unit: "nats per question (log-loss of the right choice)",
        averaging: Averaging::Macro,
    })
}

/// The start of every document of every region in a folder.
fn running(folder: &Path, bytes: usize) -> Result<Vec<Items>, Error> {
    let found = texts::regions(folder, &TextFields::default())?;
    found.iter().map(|region| starts(region, bytes)).collect()
}

fn genres(data: &Path, bytes: usize) -> Result<Part, Error> {
    Ok(Part {
        name: "genres",
        title: "Genres of American English (MASC)",
        baseline: "newspaper".to_owned(),
        sample: format!("about {bytes} bytes per genre, from the start of every document"),
        distributions: running(&data.join("texts/domains-masc"), bytes)?,
        scorers: TEXT,
        unit: "bits per byte",
        averaging: Averaging::Micro,
    })
}

fn regions(data: &Path, bytes: usize) -> Result<Part, Error> {
    Ok(Part {
        name: "regions",
        title: "English by country (speeches in the UN General Debate)",
        baseline: "USA".to_owned(),
        sample: format!("about {bytes} bytes per country, from the start of every speech"),
        distributions: running(&data.join("texts/regions-un"), bytes)?,
        scorers: TEXT,
        unit: "bits per byte",
        averaging: Averaging::Micro,
    })
}

fn dialects(data: &Path, bytes: usize) -> Result<Part, Error> {
    let forms = matched::from_jsonl(data.join("texts/dialects-multivalue/matched.jsonl"))?;
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
    })
}

fn risks(data: &Path, items: usize) -> Result<Part, Error> {
    let prompt = BehaviourOptions::default();
    let folder = data.join("evals/anthropic-evals");
    let groups = behaviours::load(folder, &RiskGroups::default(), &prompt)?;
    let (groups, of) = sampled(groups, items)?;
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
            "{} of {of} questions: at most {items} per behaviour and file, 0-shot, only those that \
             fit {WINDOW} tokens; mean over behaviours; baseline {baseline}",
            count(&groups)
        ),
        baseline,
        distributions: groups,
        scorers: BEHAVIOUR,
        unit: "probability of the answer that matches the behaviour",
        averaging: Averaging::Macro,
    })
}
