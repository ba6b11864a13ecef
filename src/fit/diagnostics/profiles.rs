//! Tests of the polynomials over `ln N` from which the size profiles are read.

use std::collections::{BTreeMap, BTreeSet};

use crate::fit::corpus::Corpus;
use crate::fit::readings::Readout;
use crate::fit::result::{LackOfFit, NextPower};
use crate::fit::stats::quantile::f_sf;
use crate::fit::stats::sums::dot;

/// Positions in `members` of seed replicates: runs with one size and one number of tokens whose seeds
/// are known and differ. Any other run stands alone.
fn replicates(corpus: &Corpus<'_>, members: &[usize]) -> Vec<Vec<usize>> {
    let runs = corpus.ladder.runs();
    let mut alike: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for (i, &m) in members.iter().enumerate() {
        let run = &runs[corpus.runs[m]];
        let key = (run.params.to_bits(), run.tokens.to_bits());
        alike.entry(key).or_default().push(i);
    }
    let mut groups = Vec::with_capacity(alike.len());
    for group in alike.into_values() {
        let seeds: BTreeSet<u64> = group
            .iter()
            .filter_map(|&i| runs[corpus.runs[members[i]]].seed)
            .collect();
        // Runs without a seed may be copies of one run, whose pure error would be zero.
        if seeds.len() == group.len() {
            groups.push(group);
        } else {
            groups.extend(group.into_iter().map(|i| vec![i]));
        }
    }
    groups
}

/// Tests the size profiles of `y` against seed replicates.
pub(crate) fn lack_of_fit(corpus: &Corpus<'_>, readout: &Readout, y: &[f64]) -> Option<LackOfFit> {
    let (mut budgets, mut df, mut pure_df) = (0, 0, 0);
    let (mut lack, mut pure) = (0.0, 0.0);
    for profile in &readout.profiles {
        let Some(poly) = &profile.poly else { continue };
        let groups = replicates(corpus, &profile.members);
        // Without replicates there is no pure error, without spare sizes no lack of fit.
        if groups.len() == profile.members.len() || groups.len() <= poly.terms() {
            continue;
        }
        let pick = |v: &[f64]| -> Vec<f64> { profile.members.iter().map(|&m| v[m]).collect() };
        let residuals = poly.residuals(&pick(&corpus.size), &pick(y))?;
        for group in &groups {
            // Replicates share a fitted value: residuals spread about their mean as the runs do.
            let mean = group.iter().map(|&i| residuals[i]).sum::<f64>() / group.len() as f64;
            lack += group.len() as f64 * mean * mean;
            pure += (group.iter().map(|&i| (residuals[i] - mean).powi(2))).sum::<f64>();
        }
        budgets += 1;
        df += groups.len() - poly.terms();
        pure_df += profile.members.len() - groups.len();
    }
    let f = (lack / df as f64) / (pure / pure_df as f64);
    (f.is_finite() && pure > 0.0).then(|| LackOfFit {
        budgets,
        f,
        df,
        pure_df,
        pure_sd: (pure / pure_df as f64).sqrt(),
        p_value: f_sf(f, df as f64, pure_df as f64),
    })
}

/// Tests the size profiles of `y` for the power after their last, with one coefficient for all
/// budgets read by the same degree.
pub(crate) fn next_power(corpus: &Corpus<'_>, readout: &Readout, y: &[f64]) -> Option<NextPower> {
    // Power: sums of products of the residuals of that power with those of `y` and with themselves.
    let mut powers: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    let (mut rss, mut size, mut budgets, mut df) = (0.0, 0.0, 0, 0);
    for profile in &readout.profiles {
        let Some(poly) = &profile.poly else { continue };
        let power = poly.terms();
        if profile.members.len() <= power {
            continue;
        }
        let pick = |v: &[f64]| -> Vec<f64> { profile.members.iter().map(|&m| v[m]).collect() };
        let (n, values) = (pick(&corpus.size), pick(y));
        // Another centre changes the power by lower ones, which the polynomial takes out.
        let middle = n.iter().sum::<f64>() / n.len() as f64;
        let raised: Vec<f64> = n.iter().map(|u| (u - middle).powi(power as i32)).collect();
        let (e, z) = (poly.residuals(&n, &values)?, poly.residuals(&n, &raised)?);
        rss += dot(&e, &e);
        size += dot(&values, &values);
        df += n.len() - power;
        budgets += 1;
        // As many sizes as coefficients determine the power by rounding only.
        let own = dot(&z, &z);
        if own > 1e-16 * dot(&raised, &raised) {
            let sums = powers.entry(power).or_default();
            sums.0 += dot(&e, &z);
            sums.1 += own;
        }
    }
    let explained: f64 = powers.values().map(|(ez, zz)| ez * ez / zz).sum();
    let (k, left) = (powers.len(), rss - explained);
    // Values without noise leave rounding, which is no noise.
    if k == 0 || df <= k || left.is_nan() || left <= 1e-20 * size {
        return None;
    }
    let residual_df = df - k;
    let f = (explained / k as f64) / (left / residual_df as f64);
    let (&power, &(ez, zz)) = powers.last_key_value()?;
    f.is_finite().then(|| NextPower {
        budgets,
        power,
        coefficient: ez / zz,
        f,
        df: k,
        residual_df,
        p_value: f_sf(f, k as f64, residual_df as f64),
    })
}
