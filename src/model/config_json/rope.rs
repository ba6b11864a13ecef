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
pub(in crate::model) const RULES: &[&str] = &[
    "default", "linear", "llama3", "yarn", "longrope", "su", "dynamic",
];

/// Base of the frequencies where a file has none.
// The default of every class but Gemma 3.
const THETA: f64 = 10_000.0;

/// Sets the rotary embedding of whole heads, the same in all layers.
pub(in crate::model) fn whole(config: &mut Config, fields: &Fields<'_>) -> Result<(), Error> {
    whole_from(config, fields, THETA)
}

/// The same for a class with another base where a file has none.
pub(in crate::model) fn whole_from(
    config: &mut Config,
    fields: &Fields<'_>,
    theta: f64,
) -> Result<(), Error> {
    let objects = objects(fields)?;
    refuse_partial(std::iter::once(fields).chain(&objects))?;
    let rope = read(fields, "rope_theta", &objects, theta, RULES, config)?;
    config.positions = Positions::everywhere(rope);
    Ok(())
}

/// Sets one rotary embedding for layers of full attention and one for layers with a window.
///
/// Old files have a base for either under the names `thetas` and the object `rope_scaling` for the
/// former. New files have both in `rope_parameters`.
pub(in crate::model) fn two(
    config: &mut Config,
    fields: &Fields<'_>,
    [full_theta, sliding_theta]: [&str; 2],
    [full_default, sliding_default]: [f64; 2],
) -> Result<(), Error> {
    refuse_partial([fields])?;
    let (mut full, mut sliding) = (Vec::new(), Vec::new());
    if fields.present("rope_scaling").is_some() {
        full.push(fields.object("rope_scaling")?);
    }
    let new = match fields.present("rope_parameters") {
        Some(_) => Some(fields.object("rope_parameters")?),
        None => None,
    };
    if let Some(new) = &new {
        for name in new.names() {
            match name {
                "full_attention" => full.push(new.object(name)?),
                "sliding_attention" => sliding.push(new.object(name)?),
                other => {
                    let message = "expected full_attention and sliding_attention";
                    return Err(new.error(other, message));
                }
            }
        }
    }
    refuse_partial(full.iter().chain(&sliding))?;
    for object in full.iter().chain(&sliding) {
        // The classes look for it elsewhere, where it cannot be.
        object.only("truncate", &[Value::from(true)])?;
    }
    config.positions = Positions::Rotary {
        full: read(fields, full_theta, &full, full_default, RULES, config)?,
        sliding: read(
            fields,
            sliding_theta,
            &sliding,
            sliding_default,
            RULES,
            config,
        )?,
    };
    Ok(())
}

/// Refuses objects that rotate a fraction of each head.
fn refuse_partial<'a, 'b: 'a>(
    objects: impl IntoIterator<Item = &'a Fields<'b>>,
) -> Result<(), Error> {
    const FIELD: &str = "partial_rotary_factor";
    objects.into_iter().try_for_each(|object| {
        let Some(factor) = object.number(FIELD)?.filter(|factor| *factor != 1.0) else {
            return Ok(());
        };
        let message = format!(
            "{factor} is ambiguous in this class: transformers 5 rotates whole heads whatever the field \
             says, other programs a part of each; remove the field for the numbers of transformers"
        );
        Err(object.error(FIELD, message))
    })
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
    config.positions = Positions::everywhere(rope.clone());
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
fn read(
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
        let rule = scaling(object, fields, rules, config.max_position_embeddings)?;
        if found.as_ref().is_some_and(|other| *other != rule) {
            return Err(fields.error("rope_scaling", "contradicts rope_parameters"));
        }
        found = Some(rule);
    }
    let rule = found.unwrap_or(RopeScaling::Default);
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

/// Context of the first training stage, which the rule or the file may name.
fn original_context(fields: &Fields<'_>, file: &Fields<'_>) -> Result<Option<f64>, Error> {
    const FIELD: &str = "original_max_position_embeddings";
    // Versions differ in the one they prefer.
    let original = agreed(&[(fields, FIELD), (file, FIELD)])?;
    match original {
        Some(x) if !(x >= 1.0 && x.is_finite()) => {
            Err(fields.error(FIELD, format!("{x} is not positive")))
        }
        other => Ok(other),
    }
}

/// The rule YaRN.
fn yarn(fields: &Fields<'_>, original: f64, longest: f64) -> Result<RopeScaling, Error> {
    let factor = match fields.positive("factor", None)? {
        Some(factor) => factor,
        // A context as long as the original one has nothing to scale.
        None if longest == original => return Err(fields.error("factor", "missing")),
        None => longest / original,
    };
    // Of the publication, and the defaults of the reference implementation.
    let beta_fast = fields.positive("beta_fast", None)?.unwrap_or(32.0);
    let beta_slow = fields.positive("beta_slow", None)?.unwrap_or(1.0);
    let scale = |mscale: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * mscale * libm::log(factor) + 1.0
        }
    };
    // Zero means the same as a missing field.
    let mscale = fields.number("mscale")?.filter(|x| *x != 0.0);
    let all = fields.number("mscale_all_dim")?.filter(|x| *x != 0.0);
    let attention_factor = match fields.positive("attention_factor", None)? {
        Some(x) => x,
        None => match (mscale, all) {
            (Some(mscale), Some(all)) => scale(mscale) / scale(all),
            _ => scale(1.0),
        },
    };
    if !attention_factor.is_finite() {
        return Err(fields.error("mscale", format!("a scale of {attention_factor}")));
    }
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast,
        beta_slow,
        original_max_position_embeddings: original,
        truncate: fields.flag("truncate", true)?,
        attention_factor,
    })
}

/// The rule LongRoPE.
fn long_rope(fields: &Fields<'_>, original: f64, longest: f64) -> Result<RopeScaling, Error> {
    const FIELD: &str = "short_factor";
    let list = fields.present(FIELD).and_then(Value::as_array);
    let short_factor: Option<Vec<f64>> = list.and_then(|list| {
        let positive = |x: &f64| *x > 0.0 && x.is_finite();
        let numbers = list.iter().map(|x| x.as_f64().filter(positive));
        numbers.collect()
    });
    let Some(short_factor) = short_factor else {
        return Err(fields.error(FIELD, "missing or no list of positive numbers"));
    };
    let factor = fields
        .positive("factor", None)?
        .unwrap_or(longest / original);
    let attention_factor = match fields.positive("attention_factor", None)? {
        Some(x) => x,
        None if factor <= 1.0 => 1.0,
        None if original <= 1.0 => {
            let message = format!("{original} leaves no attention_factor");
            return Err(fields.error("original_max_position_embeddings", message));
        }
        None => (1.0 + libm::log(factor) / libm::log(original)).sqrt(),
    };
    Ok(RopeScaling::LongRope {
        short_factor,
        original_max_position_embeddings: original,
        attention_factor,
    })
}

/// The scaling rule of one object of `file`.
fn scaling(
    fields: &Fields<'_>,
    file: &Fields<'_>,
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
    let longest = max_position_embeddings as f64;
    let original = original_context(fields, file)?.unwrap_or(longest);
    match value.as_str().filter(|rule| rules.contains(rule)) {
        Some("default") => Ok(RopeScaling::Default),
        // It begins beyond `max_position_embeddings` tokens, which is the longest sequence.
        Some("dynamic") => positive("factor").map(|_| RopeScaling::Default),
        Some("yarn") => yarn(fields, original, longest),
        // `su` is the name of the first files.
        Some("longrope" | "su") => long_rope(fields, original, longest),
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
                original_max_position_embeddings: original,
            })
        }
        _ => {
            let rules = rules.join(", ");
            let message = format!("{value} is not supported; supported: {rules}");
            Err(fields.error(field, message))
        }
    }
}
