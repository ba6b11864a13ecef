//! The rotary embedding in `config.json`, in the old spelling and the new.
//!
//! Old files have `rope_theta` and the object `rope_scaling`; new ones have everything in the object
//! `rope_parameters`. Some have both. Values that are there twice must agree, because versions of
//! `transformers` differ in the one they read.

use serde_json::Value;

use super::Fields;
use crate::error::Error;
use crate::model::config::{Config, Positions, RopeConfig, RopeScaling};

/// All supported scaling rules.
pub(in crate::model) const RULES: &[&str] = &["default", "linear", "llama3"];

/// Base of the frequencies where a file has none.
// The default of every class but Gemma 3.
const THETA: f64 = 10_000.0;

/// Sets the rotary embedding of whole heads, the same in all layers.
pub(in crate::model) fn whole(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    let objects = objects(fields)?;
    refuse_partial(std::iter::once(fields).chain(&objects))?;
    let rope = read(fields, "rope_theta", &objects, THETA, RULES, config)?;
    config.positions = Positions::everywhere(rope);
    Ok(())
}

/// Refuses objects that rotate a fraction of each head.
pub(in crate::model) fn refuse_partial<'a, 'b: 'a>(
    objects: impl IntoIterator<Item = &'a Fields<'b>>,
) -> Result<(), Error> {
    let whole = [Value::from(1.0), Value::from(1)];
    objects
        .into_iter()
        .try_for_each(|object| object.only("partial_rotary_factor", &whole))
}

/// Names that a class has for the rotary embedding outside the objects.
pub(in crate::model) struct PartialNames {
    pub(in crate::model) theta: &'static str,
    pub(in crate::model) fraction: &'static str,
    /// The fraction where the field is missing.
    pub(in crate::model) default_fraction: f64,
}

/// Sets the rotary embedding of a fraction of each head, the same in all layers; returns it.
pub(in crate::model) fn partial(
    config: &mut Config,
    fields: &Fields<'_>,
    names: &PartialNames,
    rules: &[&str],
) -> Result<RopeConfig, Error> {
    let objects = objects(fields)?;
    let mut rope = read(fields, names.theta, &objects, THETA, rules, config)?;
    let mut fractions = vec![(fields, names.fraction)];
    fractions.extend(objects.iter().map(|o| (o, "partial_rotary_factor")));
    let fraction = agreed(&fractions)?.unwrap_or(names.default_fraction);
    rope.partial_rotary_factor = fraction;
    let (dim, head) = (rope.rotary_dim(config.head_dim), config.head_dim);
    if !(fraction > 0.0 && fraction <= 1.0) || dim == 0 || dim % 2 != 0 {
        let message = format!("{fraction} of a head of {head} rotates {dim} elements, no pairs");
        return Err(fields.error(names.fraction, message));
    }
    config.positions = Positions::everywhere(rope);
    Ok(rope)
}

/// The objects for the rotary embedding, where they are present.
fn objects<'a>(fields: &'a Fields<'_>) -> Result<Vec<Fields<'a>>, Error> {
    let mut objects = Vec::new();
    for name in ["rope_scaling", "rope_parameters"] {
        if fields.present(name).is_some() {
            let object = fields.object(name)?;
            // One object per kind of layer, which only Gemma 3 reads.
            object.only("full_attention", &[])?;
            object.only("sliding_attention", &[])?;
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Reads base and scaling rule from `theta_field` of the file and from `objects`.
pub(in crate::model) fn read(
    fields: &Fields<'_>,
    theta_field: &str,
    objects: &[Fields<'_>],
    default_theta: f64,
    rules: &[&str],
    config: &Config,
) -> Result<RopeConfig, Error> {
    let mut thetas = vec![(fields, theta_field)];
    thetas.extend(objects.iter().map(|o| (o, "rope_theta")));
    let theta = agreed(&thetas)?.unwrap_or(default_theta);
    // At 1 all frequencies are equal, below it they grow: no model has been trained so. The
    // comparison is false for NaN.
    if !(theta > 1.0 && theta.is_finite()) {
        return Err(fields.error(theta_field, format!("{theta} is not above 1")));
    }
    let mut found = None;
    for object in objects {
        let rule = scaling(object, rules, config.max_position_embeddings)?;
        if found.is_some_and(|other| other != rule) {
            return Err(fields.error("rope_scaling", "contradicts rope_parameters"));
        }
        found = Some(rule);
    }
    let rule = found.unwrap_or(RopeScaling::Default);
    if let RopeScaling::Llama3 {
        original_max_position_embeddings: original,
        ..
    } = rule
    {
        // Some versions prefer this field to the one of the rule.
        fields.must_be("original_max_position_embeddings", original)?;
    }
    Ok(RopeConfig {
        theta,
        partial_rotary_factor: 1.0,
        scaling: rule,
    })
}

/// The number that all of these fields hold, those that are missing or null aside.
fn agreed(sources: &[(&Fields<'_>, &str)]) -> Result<Option<f64>, Error> {
    let mut first: Option<(f64, &Fields<'_>, &str)> = None;
    for (fields, name) in sources {
        let Some(x) = fields.number(name)? else {
            continue;
        };
        match first {
            Some((value, first, first_name)) if value != x => {
                let other = fields.full_name(name);
                return Err(first.error(first_name, format!("{value} contradicts {other}: {x}")));
            }
            Some(_) => {}
            None => first = Some((x, fields, name)),
        }
    }
    Ok(first.map(|(value, ..)| value))
}

/// The scaling rule of one object.
fn scaling(
    fields: &Fields<'_>,
    rules: &[&str],
    max_position_embeddings: usize,
) -> Result<RopeScaling, Error> {
    // The oldest files write `type`.
    let field = if fields.present("rope_type").is_some() {
        "rope_type"
    } else {
        "type"
    };
    let Some(value) = fields.present(field) else {
        return Ok(RopeScaling::Default);
    };
    let positive = |name: &str| -> Result<f64, Error> {
        fields
            .positive(name, None)?
            .ok_or_else(|| fields.error(name, "missing"))
    };
    match value.as_str().filter(|rule| rules.contains(rule)) {
        Some("default") => Ok(RopeScaling::Default),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: positive("factor")?,
        }),
        Some("llama3") => {
            let (low, high) = (positive("low_freq_factor")?, positive("high_freq_factor")?);
            // The rule divides by their difference.
            if low >= high {
                let message = format!("{high} is not above low_freq_factor {low}");
                return Err(fields.error("high_freq_factor", message));
            }
            Ok(RopeScaling::Llama3 {
                factor: positive("factor")?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: fields
                    .positive("original_max_position_embeddings", None)?
                    .unwrap_or(max_position_embeddings as f64),
            })
        }
        _ => {
            let rules = rules.join(", ");
            let message = format!("{value} is not supported; supported: {rules}");
            Err(fields.error(field, message))
        }
    }
}
