//! Linear contrasts of log errors: the one estimator behind every law.
//!
//! A contrast is a per-run scalar `y_r = Σ_d c_d ln E_dr`: with `c = (+1, −1)` it is the log ratio of
//! two distributions, with a single `+1` a traditional law, with `c_d = 1{d} − 1/D` an exponent that
//! no baseline enters. Parts from several corpora add their readings, each at its own frontier. Since
//! readings are linear in `y`, shared runs, a shared baseline and shared items are all treated exactly.

use std::collections::BTreeMap;

use super::design::{Corpus, Design, Losses, Plan, Readout, stratum_sizes};
use super::error::FitError;
use super::inference::{Cov, Estimate, Stage};
use super::options::{Items, Options};
use super::stats::regression::LinearFit;
use super::stats::sums::dot;

/// How one distribution's clusters move level and exponent, for one plan.
#[derive(Debug, Clone)]
pub(crate) struct Influence {
    /// Ladder-wide cluster ids, ascending.
    ids: Vec<usize>,
    /// Leave-one-out values of level and exponent about their mean over the stratum, times
    /// `√((G−1)/G)` with the `G` clusters of the stratum.
    pull: [Vec<f64>; 2],
    /// Leave-one-out change of the exponent, not centred: `δ(−g) − δ`.
    shift: Vec<f64>,
    /// Item-by-run residuals times `√((G−1)/G) / √(1−h_r)`, `g * runs + r`.
    noise: Vec<f64>,
    item: Cov,
    idiosyncratic: Cov,
    /// One more than the degrees of freedom.
    pub(crate) effective: f64,
}

/// One corpus read over one set of runs, with the item influences of the distributions asked for.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) corpus: &'a Corpus<'a>,
    pub(crate) plan: Plan,
    /// Positions of the runs used.
    pub(crate) members: Vec<usize>,
    influences: BTreeMap<usize, Influence>,
    pub(crate) weights: [Vec<f64>; 2],
}

impl<'a> View<'a> {
    /// `cluster_ids[d][g]` names cluster `g` of distribution `d` across the ladder.
    pub(crate) fn new(
        corpus: &'a Corpus<'a>,
        members: Vec<usize>,
        distributions: impl IntoIterator<Item = usize>,
        cluster_ids: &[Vec<usize>],
        options: &Options,
    ) -> Result<Self, FitError> {
        let plan = super::design::plan(corpus, &members, options)?;
        let runs = corpus.runs.len();
        let weights = [0, 1].map(|k| plan.main().run_weights(k, runs));
        let basis = orthonormal(&plan.run_design);
        let mut influences = BTreeMap::new();
        for d in distributions {
            let Some(losses) = &corpus.losses[d] else {
                continue;
            };
            if let Some(i) = influence(losses, &weights, &basis, &cluster_ids[d]) {
                influences.insert(d, i);
            }
        }
        Ok(Self {
            corpus,
            plan,
            members,
            influences,
            weights,
        })
    }

    pub(crate) fn influence(&self, distribution: usize) -> Option<&Influence> {
        self.influences.get(&distribution)
    }

    /// `Σ c_d ln E_dr` per run; NaN for runs that lack a distribution.
    pub(crate) fn scalar(&self, terms: &[(usize, f64)]) -> Result<Vec<f64>, FitError> {
        let mut y = vec![0.0; self.corpus.runs.len()];
        for &(d, c) in terms {
            for (y, e) in y.iter_mut().zip(&self.corpus.losses(d)?.log_error) {
                *y += c * e;
            }
        }
        Ok(y)
    }
}

/// Orthonormal columns spanning the rows of `design` (empty rows: runs not used).
fn orthonormal(design: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let p = design.iter().map(Vec::len).max().unwrap_or(0);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(p);
    for k in 0..p {
        let mut v: Vec<f64> = design
            .iter()
            .map(|r| r.get(k).copied().unwrap_or(0.0))
            .collect();
        let before = dot(&v, &v).sqrt();
        for _ in 0..2 {
            for b in &basis {
                let c = dot(b, &v);
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= c * b);
            }
        }
        let norm = dot(&v, &v).sqrt();
        if norm > 1e-9 * before {
            v.iter_mut().for_each(|v| *v /= norm);
            basis.push(v);
        }
    }
    basis
}

fn influence(
    losses: &Losses,
    weights: &[Vec<f64>; 2],
    basis: &[Vec<f64>],
    ids: &[usize],
) -> Option<Influence> {
    let g = losses.clusters.len();
    let runs = losses.log_error.len();
    if losses.without.is_empty() || g < 2 {
        return None;
    }
    let used: Vec<usize> = (0..runs)
        .filter(|&r| weights.iter().any(|w| w[r] != 0.0) || basis.iter().any(|b| b[r] != 0.0))
        .collect();
    let n = used.len();
    let sizes: Vec<f64> = stratum_sizes(&losses.strata)
        .into_iter()
        .map(|n| n as f64)
        .collect();
    let scale: Vec<f64> = sizes.iter().map(|n| ((n - 1.0) / n).sqrt()).collect();
    // Means over the clusters of each stratum.
    let means = |values: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
        let mut sums = vec![0.0; sizes.len()];
        for (v, &h) in values.zip(&losses.strata) {
            sums[h] += v;
        }
        sums.iter().zip(&sizes).map(|(s, n)| s / n).collect()
    };
    let rows: Vec<&[f64]> = losses.without.chunks_exact(runs).collect();
    let mut pull = [vec![0.0; g], vec![0.0; g]];
    let mut shift = vec![0.0; g];
    for (k, pull) in pull.iter_mut().enumerate() {
        let w: Vec<f64> = used.iter().map(|&r| weights[k][r]).collect();
        for (p, row) in pull.iter_mut().zip(&rows) {
            // Against the full-sample error first: the mean over clusters then loses no digits.
            *p = used
                .iter()
                .zip(&w)
                .map(|(&r, w)| w * (row[r] - losses.log_error[r]))
                .sum();
        }
        if k == 1 {
            shift.clone_from(pull);
        }
        let mean = means(&mut pull.iter().copied());
        for (p, &h) in pull.iter_mut().zip(&losses.strata) {
            *p = (*p - mean[h]) * scale[h];
        }
    }
    // Item-by-run noise: what is left of each cluster's profile over the runs.
    let run_means: Vec<Vec<f64>> = used
        .iter()
        .map(|&r| means(&mut rows.iter().map(|row| row[r] - losses.log_error[r])))
        .collect();
    let columns: Vec<Vec<f64>> = basis
        .iter()
        .map(|b| used.iter().map(|&r| b[r]).collect())
        .collect();
    let gap: Vec<f64> = (0..n)
        .map(|i| 1.0 - columns.iter().map(|b| b[i] * b[i]).sum::<f64>())
        .map(|v| if v > 1e-8 { 1.0 / v.sqrt() } else { 0.0 })
        .collect();
    let mut noise = vec![0.0; g * runs];
    for (i, (row, &h)) in rows.iter().zip(&losses.strata).enumerate() {
        let mut e: Vec<f64> = used
            .iter()
            .zip(&run_means)
            .map(|(&r, m)| row[r] - losses.log_error[r] - m[h])
            .collect();
        let raw = e.clone();
        for b in &columns {
            let c = dot(b, &raw);
            e.iter_mut().zip(b).for_each(|(e, b)| *e -= c * b);
        }
        for (k, &r) in used.iter().enumerate() {
            noise[i * runs + r] = e[k] * gap[k] * scale[h];
        }
    }
    // Relative weights: fourth powers of large normalisers would overflow.
    let mut high = vec![0.0_f64; sizes.len()];
    for (w, &h) in losses.weights.iter().zip(&losses.strata) {
        high[h] = high[h].max(*w);
    }
    let (mut second, mut fourth) = (vec![0.0; sizes.len()], vec![0.0; sizes.len()]);
    for (w, &h) in losses.weights.iter().zip(&losses.strata) {
        second[h] += (w / high[h]).powi(2);
        fourth[h] += (w / high[h]).powi(4);
    }
    let effective = 1.0
        + (0..sizes.len())
            .map(|h| 2.0 / (1.0 / sizes[h] + fourth[h] / (second[h] * second[h])) - 1.0)
            .sum::<f64>();
    let influence = Influence {
        ids: losses.clusters.iter().map(|&c| ids[c]).collect(),
        pull,
        shift,
        noise,
        item: Cov::default(),
        idiosyncratic: Cov::default(),
        effective,
    };
    Some(influence.own(weights))
}

/// One corpus' share of a contrast.
#[derive(Debug, Clone)]
pub(crate) struct Part<'v, 'a> {
    pub(crate) view: &'v View<'a>,
    /// Distribution and coefficient.
    pub(crate) terms: Vec<(usize, f64)>,
}

/// A fitted contrast.
#[derive(Debug, Clone)]
pub(crate) struct Fitted {
    pub(crate) readings: Vec<f64>,
    pub(crate) fit: LinearFit,
    pub(crate) level: f64,
    pub(crate) slope: f64,
    pub(crate) sigma2: f64,
    pub(crate) run: Cov,
    pub(crate) frontier: Cov,
    pub(crate) specification: Cov,
    pub(crate) item: Cov,
    pub(crate) idiosyncratic: Cov,
    /// Degrees of freedom of `run`, for level and exponent.
    pub(crate) run_df: [f64; 2],
    /// `Σ_d V_item,d² / (G_eff,d − 1)` for level and exponent.
    item_df: [f64; 2],
    pub(crate) effective: Option<f64>,
    /// Distributions whose clusters carry no variance.
    pub(crate) silent: bool,
}

impl Fitted {
    /// Variance and degrees of freedom of `level` (0) or exponent (1).
    pub(crate) fn variance(&self, k: usize, items: Items) -> (f64, f64) {
        let of = |c: &Cov| if k == 0 { c.level } else { c.slope };
        let run = of(&self.run) + of(&self.frontier) + of(&self.specification);
        let item = of(&self.item);
        if items == Items::Fixed || item <= 0.0 {
            return (run, self.run_df[k]);
        }
        let total = (run + item - of(&self.idiosyncratic)).max(run).max(item);
        let spread = run * run / self.run_df[k] + self.item_df[k];
        let df = if spread > 0.0 {
            total * total / spread
        } else {
            self.run_df[k]
        };
        // Never fewer than the smallest share's, never so many that the quantile is unstable.
        (total, df.clamp(1.0, 1e6))
    }

    /// Replaces the residual variance by a moderated one with `df` degrees of freedom.
    pub(crate) fn moderate(&mut self, sigma2: f64, df: f64) {
        if self.sigma2 > 0.0 {
            self.run = self.run.scaled(sigma2 / self.sigma2);
            self.run_df = [df; 2];
        }
    }

    /// Covariance of (level, exponent) that the intervals use.
    pub(crate) fn covariance(&self, items: Items) -> Cov {
        let level = self.variance(0, items).0;
        let slope = self.variance(1, items).0;
        let run = self.run.cross + self.frontier.cross + self.specification.cross;
        let cross = match items {
            Items::Fixed => run,
            Items::Population => run + self.item.cross - self.idiosyncratic.cross,
        };
        let bound = (level * slope).sqrt();
        Cov {
            level,
            cross: cross.clamp(-bound, bound),
            slope,
        }
    }

    pub(crate) fn estimate(&self, k: usize, items: Items, alpha: f64) -> Estimate {
        let (variance, df) = self.variance(k, items);
        let value = if k == 0 { self.level } else { self.slope };
        Estimate::new(value, variance, df, alpha)
    }

    /// Run and frontier variance only, for rules compared with one another.
    pub(crate) fn plain(&self, alpha: f64) -> (Estimate, Estimate) {
        let of = |k: usize| {
            let (value, v) = match k {
                0 => (self.level, self.run.level + self.frontier.level),
                _ => (self.slope, self.run.slope + self.frontier.slope),
            };
            Estimate::new(value, v, self.run_df[k], alpha)
        };
        (of(0), of(1))
    }
}

/// Reads `y` by one rule of a plan.
pub(crate) fn fit_readout(readout: &Readout, y: &[f64]) -> Result<Fitted, FitError> {
    let readings = readout.readings(y);
    let slope = readout.mean_slope(y);
    fit_readings(&readout.stage, readings, frontier_variance(readout, slope))
}

/// `s̄² Var(e)` for level and slope of the frontier.
pub(crate) fn frontier_variance(readout: &Readout, mean_slope: f64) -> Cov {
    match &readout.frontier {
        None => Cov::default(),
        Some(f) => Cov {
            level: f.line.level().standard_error.powi(2),
            cross: 0.0,
            slope: f.line.slope().standard_error.powi(2),
        }
        .scaled(mean_slope * mean_slope),
    }
}

pub(crate) fn fit_readings(
    stage: &Stage,
    readings: Vec<f64>,
    frontier: Cov,
) -> Result<Fitted, FitError> {
    let fit = stage.fit(&readings)?;
    let (run, run_df) = stage.covariance(&fit)?;
    Ok(Fitted {
        level: stage.coefficient(0, &readings),
        slope: stage.coefficient(1, &readings),
        sigma2: fit.variance(),
        readings,
        fit,
        run,
        frontier,
        specification: Cov::default(),
        item: Cov::default(),
        idiosyncratic: Cov::default(),
        run_df,
        item_df: [0.0; 2],
        effective: None,
        silent: false,
    })
}

/// Fits a contrast over one or several corpora. With several, readings are matched one to one and
/// `stage` is the regression of their sum.
pub(crate) fn fit(
    parts: &[Part<'_, '_>],
    stage: Option<&Stage>,
    options: &Options,
) -> Result<Fitted, FitError> {
    let mut scalars = Vec::with_capacity(parts.len());
    let mut terms = Vec::new();
    let mut silent = false;
    for part in parts {
        scalars.push((part.view, part.view.scalar(&part.terms)?));
        for &(d, c) in part.terms.iter().filter(|t| t.1 != 0.0) {
            match part.view.influence(d) {
                Some(i) => terms.push((i, c, part.view)),
                None => silent = true,
            }
        }
    }
    fit_scalars(&scalars, &terms, silent, stage, options)
}

/// Fits a per-run scalar of one corpus with the item influences it is made of.
pub(crate) fn fit_scalar(
    view: &View<'_>,
    y: &[f64],
    influences: &[(&Influence, f64)],
    silent: bool,
    options: &Options,
) -> Result<Fitted, FitError> {
    let terms: Vec<_> = influences.iter().map(|&(i, c)| (i, c, view)).collect();
    fit_scalars(&[(view, y.to_vec())], &terms, silent, None, options)
}

fn fit_scalars(
    scalars: &[(&View<'_>, Vec<f64>)],
    terms: &[(&Influence, f64, &View<'_>)],
    silent: bool,
    stage: Option<&Stage>,
    options: &Options,
) -> Result<Fitted, FitError> {
    let Some((first, _)) = scalars.first() else {
        return Err(FitError::TooFew {
            what: "parts of a contrast".into(),
            found: 0,
            needed: 1,
        });
    };
    let stage = stage.unwrap_or(&first.plan.main().stage);
    let mut readings = vec![0.0; stage.readings()];
    let mut frontier = Cov::default();
    let mut check = (0.0, 0.0);
    for (view, y) in scalars {
        let plan = &view.plan;
        let main = plan.main();
        let f = main.readings(y);
        if f.len() != readings.len() {
            return Err(FitError::Length {
                what: "readings of two corpora".into(),
                found: f.len(),
                needed: readings.len(),
            });
        }
        readings.iter_mut().zip(&f).for_each(|(r, f)| *r += f);
        frontier = frontier.plus(frontier_variance(main, main.mean_slope(y)));
        if let Some(c) = plan.check {
            let readout = &plan.readouts[c];
            let other = readout.readings(y);
            for (k, gap) in [&mut check.0, &mut check.1].into_iter().enumerate() {
                *gap += main.stage.coefficient(k, &f) - readout.stage.coefficient(k, &other);
            }
        }
    }
    if !readings.iter().all(|f| f.is_finite()) {
        return Err(FitError::Unsupported {
            reason: format!("a reading of corpus {:?} is not finite", first.corpus.name),
        });
    }
    let mut fitted = fit_readings(stage, readings, frontier)?;
    if options.specification_term {
        // The quadratic form of a grid is centred elsewhere: its level is not the plane's.
        let level = if first.plan.design == Design::Grid {
            0.0
        } else {
            check.0
        };
        fitted.specification = Cov::outer(level, check.1);
    }
    fitted.silent = silent;
    items(terms, &mut fitted);
    Ok(fitted)
}

/// Adds what the sampling of items contributes: clusters of one name are left out of every
/// distribution and corpus at once.
fn items(terms: &[(&Influence, f64, &View<'_>)], fitted: &mut Fitted) {
    fitted.effective = terms.iter().map(|t| t.0.effective).reduce(f64::min);
    let mut shared = false;
    for (n, &(one, c, view)) in terms.iter().enumerate() {
        fitted.item = fitted.item.plus(one.item.scaled(c * c));
        fitted.idiosyncratic = fitted.idiosyncratic.plus(one.idiosyncratic.scaled(c * c));
        for &(two, e, other) in &terms[..n] {
            // Noise of items in runs is shared within a run only: other corpora have other runs.
            let weights = std::ptr::eq(view, other).then_some(&view.weights);
            if let Some((item, noise)) = one.with(two, weights) {
                shared = true;
                fitted.item = fitted.item.plus(item.scaled(2.0 * c * e));
                fitted.idiosyncratic = fitted.idiosyncratic.plus(noise.scaled(2.0 * c * e));
            }
        }
    }
    // Clusters in common that cancel leave rounding, of either sign.
    for c in [&mut fitted.item, &mut fitted.idiosyncratic] {
        c.level = c.level.max(0.0);
        c.slope = c.slope.max(0.0);
    }
    fitted.item_df = if shared {
        let df = (fitted.effective.unwrap_or(2.0) - 1.0).max(1.0);
        [fitted.item.level, fitted.item.slope].map(|v| v * v / df)
    } else {
        let mut spread = [0.0; 2];
        for (i, c, _) in terms {
            let own = i.item.scaled(c * c);
            for (s, v) in spread.iter_mut().zip([own.level, own.slope]) {
                *s += v * v / (i.effective - 1.0).max(1.0);
            }
        }
        spread
    };
}

/// Number of common ids of two ascending lists.
pub(crate) fn overlap(a: &[usize], b: &[usize]) -> usize {
    let (mut i, mut j, mut n) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                n += 1;
                i += 1;
                j += 1;
            }
        }
    }
    n
}

impl Influence {
    pub(crate) fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// Covariance of item and of item-by-run contributions with another distribution, through the
    /// clusters that both have; `None` without any.
    pub(crate) fn with(&self, other: &Self, weights: Option<&[Vec<f64>; 2]>) -> Option<(Cov, Cov)> {
        let (mut i, mut j) = (0, 0);
        let (mut item, mut noise) = (Cov::default(), Cov::default());
        let mut any = false;
        while let (Some(x), Some(y)) = (self.ids.get(i), other.ids.get(j)) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    any = true;
                    let (a, b) = (self.at(i), other.at(j));
                    item = item.plus(Cov {
                        level: a[0] * b[0],
                        cross: 0.5 * (a[0] * b[1] + a[1] * b[0]),
                        slope: a[1] * b[1],
                    });
                    if let Some([level, slope]) = weights {
                        let runs = level.len();
                        let rows = (&self.noise[i * runs..], &other.noise[j * runs..]);
                        for r in 0..runs {
                            let e = rows.0[r] * rows.1[r];
                            noise.level += e * level[r] * level[r];
                            noise.cross += e * level[r] * slope[r];
                            noise.slope += e * slope[r] * slope[r];
                        }
                    }
                    i += 1;
                    j += 1;
                }
            }
        }
        any.then_some((item, noise))
    }

    fn at(&self, g: usize) -> [f64; 2] {
        [self.pull[0][g], self.pull[1][g]]
    }

    /// Sets the own variances from pulls and noise.
    fn own(mut self, weights: &[Vec<f64>; 2]) -> Self {
        if let Some((item, noise)) = self.with(&self, Some(weights)) {
            self.item = item;
            self.idiosyncratic = noise;
        }
        self
    }
}

/// Exponents without one cluster, in ascending order of cluster id.
pub(crate) fn without_clusters(terms: &[(&Influence, f64)], slope: f64) -> Vec<(usize, f64)> {
    let mut shift: BTreeMap<usize, f64> = BTreeMap::new();
    for (i, c) in terms {
        for (&id, s) in i.ids.iter().zip(&i.shift) {
            *shift.entry(id).or_default() += c * s;
        }
    }
    shift.into_iter().map(|(id, s)| (id, slope + s)).collect()
}

impl View<'_> {
    /// Name of a ladder-wide cluster id among the clusters of some distributions.
    pub(crate) fn cluster_name(&self, distributions: &[usize], id: usize) -> &str {
        for d in distributions {
            let (Some(i), Some(l), Some(s)) = (
                self.influences.get(d),
                self.corpus.losses.get(*d).and_then(Option::as_ref),
                self.corpus.ladder.scores().get(*d),
            ) else {
                continue;
            };
            if let Ok(g) = i.ids.binary_search(&id) {
                return l
                    .clusters
                    .get(g)
                    .and_then(|&c| s.clusters().get(c))
                    .map_or("", String::as_str);
            }
        }
        ""
    }
}

impl View<'_> {
    /// Leave-one-out changes of the exponent by independent sample of clusters: the strata of each
    /// distribution, those with clusters in common taken together.
    pub(crate) fn samples(&self, terms: &[(usize, f64)]) -> Vec<Vec<f64>> {
        // Samples are numbered from 0 over all distributions; `root` joins those that share clusters.
        let mut root: Vec<usize> = Vec::new();
        fn find(root: &[usize], mut s: usize) -> usize {
            while root[s] != s {
                s = root[s];
            }
            s
        }
        // Cluster id: the change without it, and its sample.
        let mut changes: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for &(d, c) in terms {
            let (Some(i), Some(Some(l))) = (self.influences.get(&d), self.corpus.losses.get(d))
            else {
                continue;
            };
            let sizes = stratum_sizes(&l.strata);
            let first = root.len();
            root.extend(first..first + sizes.len());
            for ((id, pull), &h) in i.ids.iter().zip(&i.pull[1]).zip(&l.strata) {
                let n = sizes[h] as f64;
                let change = c * pull / ((n - 1.0) / n).sqrt();
                let entry = changes.entry(*id).or_insert((0.0, first + h));
                entry.0 += change;
                let (a, b) = (find(&root, entry.1), find(&root, first + h));
                root[a.max(b)] = a.min(b);
            }
        }
        let mut samples: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (change, sample) in changes.into_values() {
            samples.entry(find(&root, sample)).or_default().push(change);
        }
        samples.into_values().collect()
    }

    /// The influences of a weighted sum of distributions, as those of one.
    pub(crate) fn pooled(&self, terms: &[(&Influence, f64)]) -> Option<Influence> {
        let runs = self.corpus.runs.len();
        let mut ids: Vec<usize> = terms.iter().flat_map(|t| t.0.ids.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let n = ids.len();
        let effective = terms.iter().map(|t| t.0.effective).reduce(f64::min)?;
        let mut sum = Influence {
            pull: [vec![0.0; n], vec![0.0; n]],
            shift: vec![0.0; n],
            noise: vec![0.0; n * runs],
            item: Cov::default(),
            idiosyncratic: Cov::default(),
            effective,
            ids,
        };
        for (i, c) in terms {
            for (g, id) in i.ids.iter().enumerate() {
                let Ok(at) = sum.ids.binary_search(id) else {
                    continue;
                };
                for k in 0..2 {
                    sum.pull[k][at] += c * i.pull[k][g];
                }
                sum.shift[at] += c * i.shift[g];
                let (to, from) = (at * runs, g * runs);
                for r in 0..runs {
                    sum.noise[to + r] += c * i.noise[from + r];
                }
            }
        }
        Some(sum.own(&self.weights))
    }
}
