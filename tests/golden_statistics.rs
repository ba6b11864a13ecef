//! The statistical routines against numbers computed by statsmodels, scipy and R.
//!
//! The two JSON files stand beside the repository. Every number in them must be compared: the
//! test keeps count and fails on a key it does not know. Without the files it says so and passes,
//! except where the environment says `CI=true`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use relscale::fit::laws::fit_floor_law;
use relscale::fit::meta::{
    Heterogeneity, MetaFit, meta_regression, moderate_variances, random_effects, shrink,
};
use relscale::fit::multiplicity::{Correction, adjust};
use relscale::fit::quantile;
use relscale::fit::regression::{ConfidenceSet, Errors, Estimate, Line, LinearFit, rank_trend};
use relscale::fit::resample::{PairsBootstrap, pairs_bootstrap, permutation_test, wild_test};
use serde_json::Value;

/// A file of reference numbers that remembers which of them were asked for.
struct Golden {
    name: &'static str,
    leaves: BTreeMap<String, Value>,
    seen: BTreeSet<String>,
    worst: BTreeMap<String, (f64, String)>,
    failures: Vec<String>,
}

impl Golden {
    fn open(name: &'static str) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared/statistics")
            .join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            let required = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(!required, "{} is missing", path.display());
            println!("skipped: {} is not here", path.display());
            return None;
        };
        let root: Value = serde_json::from_str(&text).expect("the reference file is JSON");
        let mut leaves = BTreeMap::new();
        flatten(&root, String::new(), &mut leaves);
        Some(Self {
            name,
            leaves,
            seen: BTreeSet::new(),
            worst: BTreeMap::new(),
            failures: Vec::new(),
        })
    }

    /// A number at `path`.
    fn number(&mut self, path: &str) -> f64 {
        self.seen.insert(path.to_owned());
        self.leaves
            .get(path)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{}: no number at {path}", self.name))
    }

    /// The numbers path.0, path.1, …
    fn numbers(&mut self, path: &str) -> Vec<f64> {
        let mut found = Vec::new();
        while self.leaves.contains_key(&format!("{path}.{}", found.len())) {
            found.push(self.number(&format!("{path}.{}", found.len())));
        }
        assert!(!found.is_empty(), "{}: no numbers at {path}", self.name);
        found
    }

    /// Marks everything below `path` as input or provenance.
    fn input(&mut self, path: &str) {
        let below = format!("{path}.");
        let keys: Vec<String> = self
            .leaves
            .keys()
            .filter(|k| k.starts_with(&below))
            .cloned()
            .collect();
        self.seen.extend(keys);
    }

    /// Compares one number, relatively (absolutely where the reference is zero).
    fn close(&mut self, group: &str, path: &str, found: f64, tolerance: f64) {
        let wanted = self.number(path);
        let scale = if wanted == 0.0 { 1.0 } else { wanted.abs() };
        let error = (found - wanted).abs() / scale;
        let worst = self.worst.entry(group.to_owned()).or_default();
        if error >= worst.0 || error.is_nan() {
            *worst = (error, path.to_owned());
        }
        if error.is_nan() || error > tolerance {
            self.failures.push(format!(
                "{path}: {found:e}, wanted {wanted:e}, off by {error:.1e}"
            ));
        }
    }

    fn close_all(&mut self, group: &str, path: &str, found: &[f64], tolerance: f64) {
        for (k, value) in found.iter().enumerate() {
            self.close(group, &format!("{path}.{k}"), *value, tolerance);
        }
    }

    fn finish(self) {
        for (group, (error, path)) in &self.worst {
            println!(
                "{}: {group}: worst relative error {error:.1e} at {path}",
                self.name
            );
        }
        let unknown: Vec<&String> = self
            .leaves
            .keys()
            .filter(|k| !self.seen.contains(*k))
            .collect();
        assert!(
            unknown.is_empty(),
            "{}: not compared: {unknown:?}",
            self.name
        );
        assert!(
            self.failures.is_empty(),
            "{}: {:#?}",
            self.name,
            self.failures
        );
    }
}

fn flatten(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| flatten(v, join(k), leaves)),
        Value::Array(list) => {
            for (k, v) in list.iter().enumerate() {
                flatten(v, join(&k.to_string()), leaves);
            }
        }
        leaf => {
            leaves.insert(path, leaf.clone());
        }
    }
}

/// Relative error allowed wherever the reference itself is exact to rounding.
const TIGHT: f64 = 1e-10;

fn both(fit: &LinearFit, errors: Errors<'_>) -> [Estimate; 2] {
    [[1.0, 0.0], [0.0, 1.0]].map(|contrast| fit.estimate(&contrast, errors).unwrap())
}

fn standard_errors(fit: &LinearFit, errors: Errors<'_>) -> [f64; 2] {
    both(fit, errors).map(|e| e.standard_error)
}

#[test]
fn statsmodels_and_scipy() {
    let Some(mut golden) = Golden::open("golden.json") else {
        return;
    };
    golden.input("versions");
    ladder(&mut golden);
    resampling(&mut golden);
    multiplicity(&mut golden);
    meta(&mut golden);
    floor_law(&mut golden);
    quantiles(&mut golden);
    golden.finish();
}

fn ladder_data(golden: &mut Golden) -> (Vec<f64>, Vec<f64>, Line) {
    let flops = golden.numbers("ladder7.C");
    let g = golden.numbers("ladder7.g");
    let x: Vec<f64> = flops.iter().map(|c| c.ln()).collect();
    let line = Line::new(&x, &g).unwrap();
    (x, g, line)
}

fn ladder(golden: &mut Golden) {
    let group = "least squares";
    let (x, g, line) = ladder_data(golden);
    let fit = line.fit();
    let n = g.len() as f64;
    let centred: Vec<f64> = x.iter().map(|x| x - line.x_mean()).collect();
    // The sum of seven logarithms near 44 is exact to 1e-15 of them, not of its small differences.
    golden.close_all(group, "ladder7.x_centered", &centred, TIGHT);
    let [level, slope] = both(fit, Errors::Classical);
    assert_eq!([level, slope], [line.level(), line.slope()]);
    for (k, e) in [level, slope].iter().enumerate() {
        golden.close(group, &format!("ladder7.params.{k}"), e.value, TIGHT);
        golden.close(group, &format!("ladder7.bse.{k}"), e.standard_error, TIGHT);
        golden.close(group, &format!("ladder7.t.{k}"), e.t(), TIGHT);
        golden.close(group, &format!("ladder7.p.{k}"), e.p_value(), TIGHT);
        let (low, high) = e.interval(0.95);
        golden.close_all(group, &format!("ladder7.ci95.{k}"), &[low, high], TIGHT);
    }
    golden.close(group, "ladder7.sigma", fit.variance().sqrt(), TIGHT);
    let mean = g.iter().sum::<f64>() / n;
    let total: f64 = g.iter().map(|y| (y - mean).powi(2)).sum();
    golden.close(group, "ladder7.r2", 1.0 - fit.rss() / total, TIGHT);
    golden.close(group, "ladder7.F", slope.t().powi(2), TIGHT);
    golden.close(group, "ladder7.gamma_at_gmean", level.value.exp(), TIGHT);
    golden.close(
        group,
        "ladder7.ln_gamma_at_1flop",
        line.at(0.0).value,
        TIGHT,
    );
    let deviance = n * ((std::f64::consts::TAU * fit.rss() / n).ln() + 1.0);
    golden.close(group, "ladder7.aic", deviance + 4.0, TIGHT);
    golden.close(group, "ladder7.bic", deviance + 2.0 * n.ln(), TIGHT);
    let e = fit.residuals();
    let watson: f64 = e.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum();
    golden.close(group, "ladder7.durbin_watson", watson / fit.rss(), TIGHT);

    let group = "influence";
    let influence = fit.influence().unwrap();
    golden.close_all(group, "ladder7.leverage", &influence.leverage, TIGHT);
    golden.close_all(group, "ladder7.cooks", &influence.cook, TIGHT);
    golden.close_all(group, "ladder7.rstudent", &influence.studentized, TIGHT);
    golden.close_all(group, "ladder7.dffits", &influence.dffits, TIGHT);
    for (i, row) in influence.dfbetas.iter().enumerate() {
        golden.close_all(group, &format!("ladder7.dfbetas.{i}"), row, TIGHT);
    }
    golden.close(group, "ladder7.press", influence.press, TIGHT);
    let without: Vec<f64> = influence.without.iter().map(|b| b[1]).collect();
    golden.close_all(group, "ladder7.jackknife.leave_one_out", &without, TIGHT);
    let centre = without.iter().sum::<f64>() / n;
    let square: f64 = without.iter().map(|b| (b - centre).powi(2)).sum();
    let jackknife = ((n - 1.0) / n * square).sqrt();
    golden.close(group, "ladder7.jackknife.se", jackknife, TIGHT);

    let group = "robust variances";
    for (name, errors) in [
        ("HC0", Errors::Hc0),
        ("HC1", Errors::Hc1),
        ("HC2", Errors::Hc2),
        ("HC3", Errors::Hc3),
    ] {
        let found = standard_errors(fit, errors);
        golden.close_all(group, &format!("ladder7.{name}"), &found, TIGHT);
    }
    let df = fit.estimate(&[0.0, 1.0], Errors::Hc2).unwrap().df;
    golden.close(group, "ladder7.HC2_satterthwaite_df", df, TIGHT);

    let group = "weighted and curved";
    let weights = golden.numbers("ladder7.WLS.weights");
    let weighted = Line::weighted(&x, &g, &weights).unwrap();
    let estimates = [weighted.level(), weighted.slope()];
    golden.close_all(
        group,
        "ladder7.WLS.params",
        &estimates.map(|e| e.value),
        TIGHT,
    );
    golden.close_all(
        group,
        "ladder7.WLS.bse",
        &estimates.map(|e| e.standard_error),
        TIGHT,
    );
    golden.close(group, "ladder7.WLS.scale", weighted.fit().variance(), TIGHT);
    let squares: Vec<f64> = centred.iter().map(|x| x * x).collect();
    let curved = LinearFit::new(&[&vec![1.0; g.len()], &centred, &squares], &g).unwrap();
    let bend = curved
        .estimate(&[0.0, 0.0, 1.0], Errors::Classical)
        .unwrap();
    golden.close(group, "ladder7.curvature.coef", bend.value, TIGHT);
    golden.close(group, "ladder7.curvature.se", bend.standard_error, TIGHT);
    golden.close(group, "ladder7.curvature.t", bend.t(), TIGHT);
    golden.close(group, "ladder7.curvature.p", bend.p_value(), TIGHT);
    let f = (fit.rss() - curved.rss()) / curved.variance();
    golden.close(group, "ladder7.curvature.F", f, TIGHT);
    golden.close(
        group,
        "ladder7.curvature.p_F",
        quantile::f_sf(f, 1.0, 4.0),
        TIGHT,
    );

    let group = "prediction and parity";
    for (key, flops) in [("predict_1e+21", 1e21_f64), ("predict_1e+22", 1e22)] {
        let at = flops.ln();
        golden.close(
            group,
            &format!("ladder7.{key}.mean"),
            line.at(at).value,
            TIGHT,
        );
        let (low, high) = line.at(at).interval(0.95);
        golden.close_all(group, &format!("ladder7.{key}.ci95"), &[low, high], TIGHT);
        let (low, high) = line.prediction(at).interval(0.95);
        golden.close_all(group, &format!("ladder7.{key}.pi95"), &[low, high], TIGHT);
    }
    let ln10 = std::f64::consts::LN_10;
    let parity = line.x_mean() - level.value / slope.value;
    golden.close(group, "ladder7.fieller.log10_Fstar", parity / ln10, TIGHT);
    let ConfidenceSet::Bounded { lower, upper } = line.zero(0.95) else {
        panic!("the parity set is bounded");
    };
    golden.close_all(
        group,
        "ladder7.fieller.ci95_log10",
        &[lower / ln10, upper / ln10],
        TIGHT,
    );
    let critical = quantile::t_critical(0.95, 5.0);
    golden.close(
        group,
        "ladder7.fieller.g_stat",
        (critical / slope.t()).powi(2),
        TIGHT,
    );
    let margin = golden.number("ladder7.tost.margin");
    golden.close(group, "ladder7.tost.p", slope.equivalence_p(margin), TIGHT);
}

fn resampling(golden: &mut Golden) {
    let group = "resampling";
    let (x, g, _) = ladder_data(golden);
    let bootstrap = pairs_bootstrap(&x, &g, 0.95, 0).unwrap();
    assert!(bootstrap.exact);
    let at = |key: &str| format!("ladder7.pairs_bootstrap_exact.{key}");
    golden.close(
        group,
        &at("n_multisets_used"),
        bootstrap.resamples as f64,
        0.0,
    );
    golden.close(group, &at("mean"), bootstrap.mean, TIGHT);
    golden.close(group, &at("sd"), bootstrap.standard_deviation, TIGHT);
    let (low, high) = bootstrap.percentile;
    golden.close_all(group, &at("pct95"), &[low, high], TIGHT);
    golden.close(group, &at("acceleration"), bootstrap.acceleration, TIGHT);
    bias_correction(golden, &x, &g, bootstrap);
    for (key, test) in [
        ("permutation", permutation_test(&x, &g, 0).unwrap()),
        ("wild_null_imposed_HC2", wild_test(&x, &g, 0.0, 0).unwrap()),
    ] {
        assert!(test.exact);
        golden.close(
            group,
            &format!("ladder7.{key}.count"),
            test.count as f64,
            0.0,
        );
        golden.close(
            group,
            &format!("ladder7.{key}.total"),
            test.total as f64,
            0.0,
        );
        golden.close(group, &format!("ladder7.{key}.p"), test.p_value, TIGHT);
    }
    let trend = rank_trend(&x, &g, 0.95).unwrap();
    golden.close(group, "ladder7.theil_sen.median", trend.slope, TIGHT);
    let ends = [trend.lower, trend.upper];
    golden.close_all(group, "ladder7.theil_sen.ci_exact_kendall_97", &ends, TIGHT);
    let mut slopes = Vec::new();
    for i in 0..x.len() {
        for j in i + 1..x.len() {
            slopes.push((g[j] - g[i]) / (x[j] - x[i]));
        }
    }
    slopes.sort_by(f64::total_cmp);
    golden.close_all(group, "ladder7.theil_sen.sorted", &slopes, TIGHT);
}

/// The reference counts the resample equal to the data one and a half times: its slope there is
/// an ulp below the fitted one, so it falls both under "smaller" and under "equal, by half". In
/// rational arithmetic P(slope* < slope) + ½·P(slope* = slope) is 0.50357, z₀ = 0.00894871, which
/// is ours. With the double count put back, every number of the reference follows.
fn bias_correction(golden: &mut Golden, x: &[f64], g: &[f64], bootstrap: PairsBootstrap) {
    let group = "resampling";
    let at = |key: &str| format!("ladder7.pairs_bootstrap_exact.{key}");
    assert!((bootstrap.z0 / 0.008_948_710_784_869_278 - 1.0).abs() < TIGHT);
    let usable = 1.0 - 7.0_f64.powi(-6);
    let identity = 5_040.0 / 7.0_f64.powi(7) / usable;
    let z0 = quantile::normal_quantile(quantile::normal_cdf(bootstrap.z0) + identity);
    golden.close(group, &at("z0"), z0, TIGHT);
    let z = quantile::normal_quantile(0.975);
    let level = |z0: f64, z: f64| {
        quantile::normal_cdf(z0 + (z0 + z) / (1.0 - bootstrap.acceleration * (z0 + z)))
    };
    assert!((bootstrap.bca_levels.0 - level(bootstrap.z0, -z)).abs() < 1e-15);
    assert!((bootstrap.bca_levels.1 - level(bootstrap.z0, z)).abs() < 1e-15);
    let levels = [level(z0, -z), level(z0, z)];
    golden.close_all(group, &at("bca_levels"), &levels, TIGHT);
    // All 7⁷ resamples, one by one.
    let mut slopes = Vec::new();
    for code in 0..7_u32.pow(7) {
        let members: Vec<usize> = (0..7).map(|k| (code / 7_u32.pow(k) % 7) as usize).collect();
        let mean = |v: &[f64]| members.iter().map(|i| v[*i]).sum::<f64>() / 7.0;
        let (mx, my) = (mean(x), mean(g));
        let sxx: f64 = members.iter().map(|i| (x[*i] - mx).powi(2)).sum();
        let sxy: f64 = members.iter().map(|i| (x[*i] - mx) * (g[*i] - my)).sum();
        if sxx > 1e-9 {
            slopes.push(sxy / sxx);
        }
    }
    slopes.sort_by(f64::total_cmp);
    let quantile = |p: f64| slopes[(p * slopes.len() as f64).ceil() as usize - 1];
    golden.close_all(group, &at("bca95"), &levels.map(quantile), TIGHT);
    let (low, high) = bootstrap.bca_levels;
    assert!((bootstrap.bca.0 / quantile(low) - 1.0).abs() < TIGHT);
    assert!((bootstrap.bca.1 / quantile(high) - 1.0).abs() < TIGHT);
    let (low, high) = bootstrap.percentile;
    assert!((low / quantile(0.025) - 1.0).abs() < TIGHT);
    assert!((high / quantile(0.975) - 1.0).abs() < TIGHT);
}

fn multiplicity(golden: &mut Golden) {
    let p = golden.numbers("multiplicity.p");
    for (key, correction) in [
        ("bonferroni", Correction::Bonferroni),
        ("sidak", Correction::Sidak),
        ("holm", Correction::Holm),
        ("holm-sidak", Correction::HolmSidak),
        ("hommel", Correction::Hommel),
        ("simes-hochberg", Correction::Hochberg),
        ("fdr_bh", Correction::BenjaminiHochberg),
        ("fdr_by", Correction::BenjaminiYekutieli),
    ] {
        let adjusted = adjust(&p, correction).unwrap();
        golden.close_all(
            "multiplicity",
            &format!("multiplicity.{key}"),
            &adjusted,
            TIGHT,
        );
    }
}

fn meta(golden: &mut Golden) {
    let group = "meta-analysis";
    let y = golden.numbers("meta.y");
    let v = golden.numbers("meta.v");
    for (key, method) in [
        ("DL", Heterogeneity::DerSimonianLaird),
        ("PM", Heterogeneity::PauleMandel),
    ] {
        let fit = random_effects(&y, &v, method).unwrap();
        golden.close(group, &format!("meta.{key}.tau2"), fit.tau2, TIGHT);
        let mean = fit.coefficients[0];
        golden.close(group, &format!("meta.{key}.mean_re"), mean.value, TIGHT);
        golden.close(
            group,
            &format!("meta.{key}.se_hksj"),
            mean.standard_error,
            TIGHT,
        );
        let plain = fit.plain_standard_errors[0];
        golden.close(group, &format!("meta.{key}.se_re"), plain, TIGHT);
        golden.close(group, &format!("meta.{key}.Q"), fit.q, TIGHT);
        let fixed = LinearFit::weighted(
            &[&vec![1.0; y.len()]],
            &y,
            &v.iter().map(|v| 1.0 / v).collect::<Vec<_>>(),
        )
        .unwrap();
        golden.close(
            group,
            &format!("meta.{key}.mean_fe"),
            fixed.coefficients()[0],
            TIGHT,
        );
        let se = v.iter().map(|v| 1.0 / v).sum::<f64>().powf(-0.5);
        golden.close(group, &format!("meta.{key}.se_fe"), se, TIGHT);
    }
    let reml = random_effects(&y, &v, Heterogeneity::Reml).unwrap();
    golden.close(group, "meta.REML.tau2", reml.tau2, TIGHT);
    golden.close(group, "meta.REML.mean", reml.coefficients[0].value, TIGHT);
    golden.close(group, "meta.REML.se", reml.plain_standard_errors[0], TIGHT);
    let moment = random_effects(&y, &v, Heterogeneity::DerSimonianLaird).unwrap();
    golden.close(group, "meta.I2", moment.i2, TIGHT);
    golden.close(group, "meta.p_Q", moment.q_p_value, TIGHT);
    let shrunk = shrink(&y, &v, reml.coefficients[0].value, reml.tau2).unwrap();
    golden.close_all(group, "meta.eb_shrunk", &shrunk, TIGHT);
}

fn floor_law(golden: &mut Golden) {
    let flops = golden.numbers("ladder7.C");
    let x: Vec<f64> = flops.iter().map(|c| (c / 1e19).ln()).collect();
    let errors = golden.numbers("three_param.E");
    let noise = golden.numbers("three_param.perturbation_log");
    let noisy: Vec<f64> = errors
        .iter()
        .zip(&noise)
        .map(|(e, n)| e * n.exp())
        .collect();
    for (key, errors, huber, tolerance) in [
        ("noiseless", &errors, None, 1e-9),
        ("noisy_ls", &noisy, None, 1e-6),
        ("noisy_huber_5e-4", &noisy, Some(5e-4), 1e-6),
    ] {
        let law = fit_floor_law(&x, errors, huber, 0.95).unwrap();
        let group = "floor law";
        golden.close(
            group,
            &format!("three_param.{key}.E_inf"),
            law.floor,
            tolerance,
        );
        golden.close(
            group,
            &format!("three_param.{key}.A_at_1e19"),
            law.amplitude,
            tolerance,
        );
        golden.close(
            group,
            &format!("three_param.{key}.b"),
            law.exponent,
            tolerance,
        );
        let path = format!("three_param.{key}.cost");
        if key == "noiseless" {
            // The cost of an exact fit is rounding: both must be nothing.
            assert!(golden.number(&path) < 1e-25 && law.cost < 1e-25, "{law:?}");
        } else {
            golden.close(group, &path, law.cost, tolerance);
        }
        assert!(
            law.certificate.gradient < 1e-6 || law.cost < 1e-25,
            "{law:?}"
        );
    }
}

fn quantiles(golden: &mut Golden) {
    let group = "quantiles";
    for df in ["1", "2", "2.9", "3", "4", "5", "7", "9.3", "30", "120"] {
        let found = quantile::t_quantile(0.975, df.parse().unwrap());
        golden.close(group, &format!("quantiles.t_0.975.{df}"), found, TIGHT);
    }
    for df in ["2", "2.9", "5", "30"] {
        let found = quantile::t_sf(2.5, df.parse().unwrap());
        golden.close(group, &format!("quantiles.t_sf(2.5).{df}"), found, TIGHT);
    }
    let at = |key: &str| format!("quantiles.{key}");
    golden.close(
        group,
        &at("norm_sf(1.96)"),
        quantile::normal_sf(1.96),
        TIGHT,
    );
    golden.close(
        group,
        &at("chi2_sf(11.07;5)"),
        quantile::chi2_sf(11.07, 5.0),
        TIGHT,
    );
    golden.close(
        group,
        &at("F_sf(7.7;1,4)"),
        quantile::f_sf(7.7, 1.0, 4.0),
        TIGHT,
    );
    let found = quantile::nct_sf(2.5705818366147395, 5.0, 3.5);
    golden.close(
        group,
        &at("nct_sf(2.5705818366147395;5,nc=3.5)"),
        found,
        TIGHT,
    );
}

#[test]
fn r_packages() {
    let Some(mut golden) = Golden::open("golden_r.json") else {
        return;
    };
    golden.input("versions");

    let group = "sandwich, clubSandwich";
    let flops = [1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20_f64];
    let g = [0.1520, 0.1615, 0.1660, 0.1748, 0.1835, 0.1931, 0.1926];
    let line = Line::new(&flops.map(f64::ln), &g).unwrap();
    let fit = line.fit();
    golden.close_all(group, "ladder7.coef", fit.coefficients(), TIGHT);
    golden.close_all(
        group,
        "ladder7.se",
        &standard_errors(fit, Errors::Classical),
        TIGHT,
    );
    for (name, errors) in [
        ("HC0", Errors::Hc0),
        ("HC1", Errors::Hc1),
        ("HC2", Errors::Hc2),
        ("HC3", Errors::Hc3),
        ("HC4", Errors::Hc4),
        ("HC4m", Errors::Hc4m),
        ("HC5", Errors::Hc5),
    ] {
        let found = standard_errors(fit, errors);
        golden.close_all(group, &format!("ladder7.{name}"), &found, TIGHT);
    }
    let robust = |golden: &mut Golden, path: &str, found: [Estimate; 2]| {
        golden.close_all(
            group,
            &format!("{path}.se"),
            &found.map(|e| e.standard_error),
            TIGHT,
        );
        golden.close_all(group, &format!("{path}.df"), &found.map(|e| e.df), TIGHT);
        golden.close_all(
            group,
            &format!("{path}.p"),
            &found.map(|e| e.p_value()),
            TIGHT,
        );
    };
    let singletons: Vec<usize> = (0..7).collect();
    let found = both(fit, Errors::Cr2(&singletons));
    robust(&mut golden, "ladder7.CR2_singletons", found);
    for (a, b) in found.iter().zip(both(fit, Errors::Hc2)) {
        assert!((a.df / b.df - 1.0).abs() < 1e-12, "singletons are HC2");
    }

    let x = golden.numbers("clustered.data.x");
    let y = golden.numbers("clustered.data.y");
    let labels: Vec<usize> = (golden.numbers("clustered.data.cluster").iter())
        .map(|c| *c as usize)
        .collect();
    let fit = LinearFit::new(&[&vec![1.0; x.len()], &x], &y).unwrap();
    golden.close_all(group, "clustered.coef", fit.coefficients(), TIGHT);
    for (name, errors) in [
        ("CR0", Errors::Cr0(&labels)),
        ("CR1", Errors::Cr1(&labels)),
        ("CR1S", Errors::Cr1s(&labels)),
        ("CR2", Errors::Cr2(&labels)),
        ("CR3", Errors::Cr3(&labels)),
    ] {
        robust(
            &mut golden,
            &format!("clustered.{name}"),
            both(&fit, errors),
        );
    }

    let y = golden.numbers("meta.data.y");
    let v = golden.numbers("meta.data.v");
    let z = golden.numbers("meta.data.z");
    let ones = vec![1.0; y.len()];
    let spread = |fit: &MetaFit, f: &dyn Fn(&Estimate) -> f64| -> Vec<f64> {
        fit.coefficients.iter().map(f).collect()
    };
    for (name, method) in [
        ("DL", Heterogeneity::DerSimonianLaird),
        ("PM", Heterogeneity::PauleMandel),
        ("REML", Heterogeneity::Reml),
        ("ML", Heterogeneity::MaximumLikelihood),
        // The empirical-Bayes equation is Paule and Mandel's.
        ("EB", Heterogeneity::PauleMandel),
        ("SJ", Heterogeneity::SidikJonkman),
        ("HE", Heterogeneity::HedgesOlkin),
    ] {
        let group = "metafor";
        let mean = random_effects(&y, &v, method).unwrap();
        let at = |key: &str| format!("meta.{name}.{key}");
        golden.close(group, &at("tau2"), mean.tau2, TIGHT);
        let estimate = mean.coefficients[0];
        golden.close(group, &at("b"), estimate.value, TIGHT);
        golden.close(group, &at("se"), estimate.standard_error, TIGHT);
        golden.close(group, &at("p"), estimate.p_value(), TIGHT);
        let (low, high) = estimate.interval(0.95);
        golden.close_all(group, &at("ci"), &[low, high], TIGHT);
        golden.close(group, &at("I2"), 100.0 * mean.i2, TIGHT);
        golden.close(group, &at("Q"), mean.q, TIGHT);
        let (low, high) = mean.prediction_interval(0.95).unwrap();
        golden.close_all(group, &at("pi"), &[low, high], TIGHT);

        let group = "metafor, regression";
        let slope = meta_regression(&[&ones, &z], &y, &v, method).unwrap();
        let at = |key: &str| format!("metareg.{name}.{key}");
        golden.close(group, &at("tau2"), slope.tau2, TIGHT);
        golden.close_all(group, &at("b"), &spread(&slope, &|e| e.value), TIGHT);
        golden.close_all(
            group,
            &at("se"),
            &spread(&slope, &|e| e.standard_error),
            TIGHT,
        );
        golden.close_all(group, &at("p"), &spread(&slope, &|e| e.p_value()), TIGHT);
        golden.close(group, &at("QE"), slope.q, TIGHT);
        let explained = 100.0 * (1.0 - slope.tau2 / mean.tau2);
        golden.close(group, &at("R2"), explained, TIGHT);
    }

    let group = "limma";
    let variances = golden.numbers("squeeze.s2");
    let df = golden.number("squeeze.df");
    let moderated = moderate_variances(&variances, df).unwrap();
    golden.close(group, "squeeze.df.prior", moderated.prior_df, TIGHT);
    golden.close(group, "squeeze.var.prior", moderated.prior_variance, TIGHT);
    golden.close_all(group, "squeeze.var.post", &moderated.variances, TIGHT);
    golden.finish();
}
