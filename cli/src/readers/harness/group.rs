//! Groups of tasks with the harness's weighting.

use relscale::Error;

use super::documents::{compare, mean};
use super::logs::Document;
use super::metric::{Loss, Metric};
use super::results::Evaluation;

/// The documents of a group's tasks, weighted so that their mean is the harness's aggregate: the mean
/// over tasks, by their number of documents or with equal weights.
pub(super) fn group(
    e: &Evaluation,
    name: &str,
    parts: Vec<(&str, Metric, Vec<Document>)>,
    all: &[Evaluation],
) -> Result<(Metric, Vec<Document>), Error> {
    let refuse = |message: String| Error::format(&e.path, format!("group `{name}`: {message}"));
    let Some(metric) = parts.first().map(|part| part.1.clone()) else {
        return Err(refuse("no tasks".to_owned()));
    };
    if let Some(other) = parts.iter().find(|part| part.1 != metric) {
        let (one, two) = (&metric.scorer, &other.1.scorer);
        return Err(refuse(format!(
            "tasks by {one} and by {two}; choose with --metric"
        )));
    }
    if matches!(metric.loss, Loss::Nats | Loss::NatsPerUnit) {
        let message =
            "the harness averages perplexities, which no mean of losses gives; name its tasks";
        return Err(refuse(message.to_owned()));
    }
    let tasks: Vec<&str> = parts.iter().map(|part| part.0).collect();
    let by_size = weighting(all, name, &tasks).ok_or_else(|| {
        refuse(
            "its metrics are means of its tasks neither by size nor with equal weights".to_owned(),
        )
    })?;
    let weight = |documents: &[Document]| documents.iter().map(|d| d.weight).sum::<f64>();
    let all: f64 = parts.iter().map(|part| part.2.len() as f64).sum();
    let total: f64 = parts.iter().map(|part| weight(&part.2)).sum();
    let tasks = parts.len() as f64;
    let mut documents = Vec::new();
    for (task, _, part) in parts {
        let own = weight(&part);
        let share = if by_size {
            part.len() as f64 / all
        } else {
            1.0 / tasks
        };
        // One document, one unit: nothing to round.
        let plain = by_size && own == part.len() as f64 && total == all;
        let factor = if plain { 1.0 } else { share * total / own };
        documents.extend(part.into_iter().map(|d| Document {
            id: format!("{task}/{}", d.id),
            weight: d.weight * factor,
            ..d
        }));
    }
    compare(e, name, &metric, mean(&documents), &e.path)?;
    Ok((metric, documents))
}

/// If true, the aggregates of a group weight its tasks by their number of documents; `None` if they are
/// neither that nor plain means.
///
/// The results do not say which; the metrics of all models show it, because a single one may have the
/// same accuracy on every task.
fn weighting(all: &[Evaluation], group: &str, tasks: &[&str]) -> Option<bool> {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
    let mut fits = [true, true];
    let mut compared = false;
    let of = |e| {
        Evaluation::metrics(e, group)
            .into_iter()
            .map(move |key| (e, key))
    };
    for (e, (metric, filter)) in all.iter().flat_map(of) {
        let stated = e.value(group, metric, filter);
        let values: Option<Vec<f64>> = (tasks.iter()).map(|t| e.value(t, metric, filter)).collect();
        let sizes: Option<Vec<f64>> = (tasks.iter())
            .map(|t| e.documents(t).map(|n| n as f64))
            .collect();
        let (Some(stated), Some(values), Some(sizes)) = (stated, values, sizes) else {
            continue;
        };
        compared = true;
        let by_size = values.iter().zip(&sizes).map(|(v, n)| v * n).sum::<f64>();
        let by_size = by_size / sizes.iter().sum::<f64>();
        let equal = values.iter().sum::<f64>() / values.len() as f64;
        fits[0] &= close(stated, by_size);
        fits[1] &= close(stated, equal);
    }
    match (compared, fits) {
        (true, [true, _]) => Some(true),
        (true, [false, true]) => Some(false),
        _ => None,
    }
}
