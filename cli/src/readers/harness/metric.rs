//! Metrics by name: the loss that stands for each, and the harness's own number of it.

use serde_json::Value;

use super::results::Evaluation;
use super::{Measure, flag, number};

/// Loss of a task's documents by one metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metric {
    /// Name and filter of the harness's own number; `None` for losses that it does not compute.
    pub(super) logged: Option<(String, String)>,
    /// Name of the scorer in tables.
    pub(super) scorer: String,
    pub(super) loss: Loss,
}

/// The loss behind a metric, whose mean by weight gives the metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loss {
    /// Computed from the log-likelihoods of the document.
    Likelihoods(Measure),
    /// One minus a share.
    Miss,
    /// The metric itself.
    Itself,
    /// `−ln` of the probability, of which the metric is the exponential.
    Nats,
    /// `−ln` of the probability per byte or word, of which the metric is the exponential.
    NatsPerUnit,
    /// Bits per byte.
    BitsPerByte,
}

/// Losses that are computed here, with the kind of task that has them.
const OWN: [(&str, Measure, &str); 5] = [
    ("choice_log_loss", Measure::ChoiceNats, "multiple_choice"),
    ("brier", Measure::ChoiceBrier, "multiple_choice"),
    (
        "answer_bits_per_byte",
        Measure::AnswerBitsPerByte,
        "multiple_choice",
    ),
    ("answer_nats", Measure::AnswerNats, "loglikelihood"),
    (
        "bits_per_byte",
        Measure::TextBitsPerByte,
        "loglikelihood_rolling",
    ),
];

impl Metric {
    /// The metric of a task that `wanted` names as `NAME` or `NAME,FILTER`; by default the log loss that
    /// its kind of requests has, or the first metric of generated text.
    pub(super) fn of(e: &Evaluation, task: &str, wanted: Option<&str>) -> Result<Self, String> {
        let kind = e.output_type(task);
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => match OWN.iter().find(|own| own.2 == kind) {
                Some(own) => own.0,
                None => e
                    .first_metric(task)
                    .ok_or("no metric that is known by name")?,
            },
        };
        let (name, filter) = match wanted.split_once(',') {
            Some((name, filter)) => (name, Some(filter)),
            None => (wanted, None),
        };
        let filters = e.filters(task, name);
        if let Some(filter) = filters.iter().find(|f| filter.is_none_or(|w| w == **f)) {
            return Self::logged(e, task, name, filter);
        }
        let own = OWN.iter().find(|own| own.0 == name && filter.is_none());
        // One request is a choice of one, and has an answer.
        let answers = |own: &&(&str, Measure, &str)| {
            own.2 == kind || own.0.starts_with("answer") && kind != "loglikelihood_rolling"
        };
        if let Some(own) = own.filter(answers).filter(|_| kind != "generate_until") {
            return Ok(Self {
                logged: None,
                scorer: own.0.to_owned(),
                loss: Loss::Likelihoods(own.1),
            });
        }
        let found = e.metrics(task);
        let metrics = found
            .iter()
            .map(|(metric, filter)| format!("{metric},{filter}"));
        let own = OWN
            .iter()
            .filter(|own| own.2 == kind)
            .map(|own| own.0.to_owned());
        let all: Vec<String> = metrics.chain(own).collect();
        Err(format!("no metric `{wanted}`; it has {}", all.join(" ")))
    }

    fn logged(e: &Evaluation, task: &str, name: &str, filter: &str) -> Result<Self, String> {
        let (scorer, loss) = match (name, e.aggregation(task, name)) {
            ("bits_per_byte", _) => ("bits_per_byte", Loss::BitsPerByte),
            ("byte_perplexity", _) => ("nats_per_byte", Loss::NatsPerUnit),
            ("word_perplexity", _) => ("nats_per_word", Loss::NatsPerUnit),
            ("perplexity", _) => ("answer_nats", Loss::Nats),
            ("brier_score", _) => ("brier", Loss::Likelihoods(Measure::ChoiceBrier)),
            // A task in Python states no aggregation; the comparison with its results shows another.
            (_, None | Some("mean" | "nanmean")) => match e.higher_is_better(task, name) {
                Some(true) if name == "acc" => ("error_rate", Loss::Miss),
                Some(true) if name == "acc_bytes" => ("error_rate_per_byte", Loss::Miss),
                Some(true) => ("", Loss::Miss),
                Some(false) => (name, Loss::Itself),
                None => {
                    return Err(format!(
                        "`{name}`: the results do not say if more is better"
                    ));
                }
            },
            (_, Some(aggregation)) => {
                return Err(format!(
                    "`{name}` is the {aggregation} of the whole task and no mean over documents"
                ));
            }
        };
        let scorer = match scorer {
            "" if filter == "none" => format!("1-{name}"),
            "" => format!("1-{name},{filter}"),
            scorer => scorer.to_owned(),
        };
        Ok(Self {
            logged: Some((name.to_owned(), filter.to_owned())),
            scorer,
            loss,
        })
    }

    /// Loss and weight of a document.
    pub(super) fn of_document(&self, sample: &Value) -> Result<(f64, f64), String> {
        if let Loss::Likelihoods(measure) = self.loss {
            return measure.of(sample);
        }
        let name = self.logged.as_ref().map_or("", |l| l.0.as_str());
        let value = sample.get(name).ok_or_else(|| format!("no `{name}`"))?;
        let finite = |v: &Value| {
            number(v)
                .or_else(|| flag(v).map(f64::from))
                .filter(|v| v.is_finite())
        };
        let odd = || format!("`{name}` is {value}");
        match self.loss {
            Loss::NatsPerUnit | Loss::BitsPerByte => {
                let pair = value.as_array().map(Vec::as_slice);
                let Some([log_likelihood, units]) = pair else {
                    return Err(format!("{}, not a pair", odd()));
                };
                let nats = -finite(log_likelihood).ok_or_else(odd)?;
                let units = finite(units).filter(|u| *u > 0.0).ok_or_else(odd)?;
                let nats = nats / units;
                let bits = self.loss == Loss::BitsPerByte;
                Ok((
                    if bits {
                        nats / std::f64::consts::LN_2
                    } else {
                        nats
                    },
                    units,
                ))
            }
            _ => {
                let value = finite(value).ok_or_else(|| format!("{}, not a number", odd()))?;
                match self.loss {
                    Loss::Nats => Ok((-value, 1.0)),
                    Loss::Miss if (0.0..=1.0).contains(&value) => Ok((1.0 - value, 1.0)),
                    Loss::Miss => Err(format!("{}, which has no greatest value", odd())),
                    _ => Ok((value, 1.0)),
                }
            }
        }
    }

    /// The metric of a task whose documents have this mean loss.
    pub(super) fn of_mean(&self, loss: f64) -> f64 {
        match self.loss {
            Loss::Miss => 1.0 - loss,
            Loss::Nats | Loss::NatsPerUnit => libm::exp(loss),
            Loss::Likelihoods(_) | Loss::Itself | Loss::BitsPerByte => loss,
        }
    }

    /// Loss of a model that knows nothing on a document of `choices` choices.
    pub(super) fn chance(&self, sample: &Value, choices: usize) -> Option<f64> {
        let uniform = 1.0 - 1.0 / choices as f64;
        if choices < 2 {
            return None;
        }
        match (self.loss, &self.logged) {
            (Loss::Likelihoods(Measure::ChoiceNats), _) => Some(libm::log(choices as f64)),
            (Loss::Likelihoods(Measure::ChoiceBrier), _) => Some(uniform),
            (Loss::Miss, Some((name, _))) if name.starts_with("acc") => {
                // Several correct choices, or a share of the probability, have another level.
                let target = sample.get("target");
                let text = target.and_then(Value::as_str).unwrap_or("");
                let several = text.starts_with('[') || target.is_some_and(Value::is_array);
                let value = sample.get(name).and_then(number)?;
                (!several && (value == 0.0 || value == 1.0)).then_some(uniform)
            }
            _ => None,
        }
    }
}
