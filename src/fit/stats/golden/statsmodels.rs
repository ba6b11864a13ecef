//! statsmodels and scipy, and exact enumerations in Python.

use super::{Golden, TIGHT};
use crate::fit::stats::laws::fit_floor_law;
use crate::fit::stats::meta::random_effects;
use crate::fit::stats::multiplicity::{Correction, adjust};
use crate::fit::stats::quantile;
use crate::fit::stats::regression::{
    ConfidenceSet, Errors, Line, LinearFit, TEstimate, fieller, rank_trend,
};
use crate::fit::stats::resample::{
    bias_correction, jackknife_acceleration, pairs_bootstrap, permutation_test, resampled_slopes,
    wild_test,
};
use crate::fit::stats::special::gamma_tails;

#[test]
fn statsmodels_and_scipy() {
    let mut golden = Golden::new("statsmodels.json", include_str!("statsmodels.json"));
    golden.not_compared("versions");
    let ladder = Ladder::new(&mut golden);
    ladder.line(&mut golden);
    ladder.influence(&mut golden);
    ladder.variances(&mut golden);
    ladder.curvature(&mut golden);
    ladder.prediction_and_parity(&mut golden);
    ladder.resampling(&mut golden);
    multiplicity(&mut golden);
    meta(&mut golden);
    floor_law(&mut golden);
    quantiles(&mut golden);
    golden.finish();
}

/// Seven budgets with a rising log ratio.
struct Ladder {
    x: Vec<f64>,
    g: Vec<f64>,
    line: Line,
    centred: Vec<f64>,
}

impl Ladder {
    fn new(golden: &mut Golden) -> Self {
        let flops = golden.numbers("ladder7.C");
        let g = golden.numbers("ladder7.g");
        let x: Vec<f64> = flops.iter().map(|c| c.ln()).collect();
        let line = Line::new(&x, &g).unwrap();
        let centred: Vec<f64> = x.iter().map(|x| x - line.x_mean()).collect();
        // The sum of seven logarithms near 44 is exact to 1e-15 of them, not of its small differences.
        golden.close_all("least squares", "ladder7.x_centered", &centred, TIGHT);
        Self {
            x,
            g,
            line,
            centred,
        }
    }

    fn line(&self, golden: &mut Golden) {
        let group = "least squares";
        let (line, fit, g) = (&self.line, self.line.fit(), &self.g);
        let n = g.len() as f64;
        let [level, slope] = [[1.0, 0.0], [0.0, 1.0]]
            .map(|contrast| fit.estimate(&contrast, Errors::Classical).unwrap());
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
        let at_one = line.at(0.0).value;
        golden.close(group, "ladder7.ln_gamma_at_1flop", at_one, TIGHT);
        let deviance = n * ((std::f64::consts::TAU * fit.rss() / n).ln() + 1.0);
        golden.close(group, "ladder7.aic", deviance + 4.0, TIGHT);
        golden.close(group, "ladder7.bic", deviance + 2.0 * n.ln(), TIGHT);
        let e = fit.residuals();
        let watson: f64 = e.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum();
        golden.close(group, "ladder7.durbin_watson", watson / fit.rss(), TIGHT);
    }

    fn influence(&self, golden: &mut Golden) {
        let group = "influence";
        let fit = self.line.fit();
        let n = self.g.len() as f64;
        let influence = fit.influence().unwrap();
        golden.close_all(group, "ladder7.leverage", fit.leverages(), TIGHT);
        golden.close_all(group, "ladder7.cooks", &influence.cook, TIGHT);
        for (i, row) in influence.dfbetas.iter().enumerate() {
            golden.close_all(group, &format!("ladder7.dfbetas.{i}"), row, TIGHT);
        }
        let without: Vec<f64> = influence.without.iter().map(|b| b[1]).collect();
        golden.close_all(group, "ladder7.jackknife.leave_one_out", &without, TIGHT);
        let centre = without.iter().sum::<f64>() / n;
        let square: f64 = without.iter().map(|b| (b - centre).powi(2)).sum();
        let jackknife = ((n - 1.0) / n * square).sqrt();
        golden.close(group, "ladder7.jackknife.se", jackknife, TIGHT);
        for key in ["rstudent", "dffits", "press"] {
            golden.not_compared(&format!("ladder7.{key}"));
        }
    }

    fn variances(&self, golden: &mut Golden) {
        let group = "robust variances";
        let both = |fit: &LinearFit, errors| -> [TEstimate; 2] {
            [[1.0, 0.0], [0.0, 1.0]].map(|contrast| fit.estimate(&contrast, errors).unwrap())
        };
        let fit = self.line.fit();
        for (name, errors) in [("HC2", Errors::Hc2), ("HC3", Errors::Hc3)] {
            let found = both(fit, errors).map(|e| e.standard_error);
            golden.close_all(group, &format!("ladder7.{name}"), &found, TIGHT);
        }
        golden.not_compared("ladder7.HC0");
        golden.not_compared("ladder7.HC1");
        let [_, slope] = both(fit, Errors::Hc2);
        golden.close(group, "ladder7.HC2_satterthwaite_df", slope.df, TIGHT);

        let group = "weighted";
        let weights = golden.numbers("ladder7.WLS.weights");
        let ones = vec![1.0; self.g.len()];
        let weighted = LinearFit::weighted(&[&ones, &self.centred], &self.g, &weights).unwrap();
        let estimates = both(&weighted, Errors::Classical);
        let params = estimates.map(|e| e.value);
        golden.close_all(group, "ladder7.WLS.params", &params, TIGHT);
        let errors = estimates.map(|e| e.standard_error);
        golden.close_all(group, "ladder7.WLS.bse", &errors, TIGHT);
        golden.close(group, "ladder7.WLS.scale", weighted.variance(), TIGHT);
    }

    fn curvature(&self, golden: &mut Golden) {
        let group = "curved";
        let squares: Vec<f64> = self.centred.iter().map(|x| x * x).collect();
        let ones = vec![1.0; self.g.len()];
        let curved = LinearFit::new(&[&ones, &self.centred, &squares], &self.g).unwrap();
        let bend = curved
            .estimate(&[0.0, 0.0, 1.0], Errors::Classical)
            .unwrap();
        golden.close(group, "ladder7.curvature.coef", bend.value, TIGHT);
        golden.close(group, "ladder7.curvature.se", bend.standard_error, TIGHT);
        golden.close(group, "ladder7.curvature.t", bend.t(), TIGHT);
        golden.close(group, "ladder7.curvature.p", bend.p_value(), TIGHT);
        let f = (self.line.fit().rss() - curved.rss()) / curved.variance();
        golden.close(group, "ladder7.curvature.F", f, TIGHT);
        let p = quantile::f_sf(f, 1.0, 4.0);
        golden.close(group, "ladder7.curvature.p_F", p, TIGHT);
    }

    fn prediction_and_parity(&self, golden: &mut Golden) {
        let group = "prediction and parity";
        let line = &self.line;
        let (level, slope) = (line.level(), line.slope());
        for (key, flops) in [("predict_1e+21", 1e21_f64), ("predict_1e+22", 1e22)] {
            let at = line.at(flops.ln());
            golden.close(group, &format!("ladder7.{key}.mean"), at.value, TIGHT);
            let (low, high) = at.interval(0.95);
            golden.close_all(group, &format!("ladder7.{key}.ci95"), &[low, high], TIGHT);
            golden.not_compared(&format!("ladder7.{key}.pi95"));
        }
        let ln10 = std::f64::consts::LN_10;
        let parity = line.x_mean() - level.value / slope.value;
        golden.close(group, "ladder7.fieller.log10_Fstar", parity / ln10, TIGHT);
        let critical = quantile::t_critical(0.95, 5.0);
        let covariance = line.fit().covariance(Errors::Classical).unwrap();
        let set = fieller(
            [level.value, slope.value],
            [covariance[0][0], covariance[0][1], covariance[1][1]],
            critical,
        );
        let ConfidenceSet::Bounded { lower, upper } = set.shifted(line.x_mean()) else {
            panic!("the parity set is bounded");
        };
        let ends = [lower / ln10, upper / ln10];
        golden.close_all(group, "ladder7.fieller.ci95_log10", &ends, TIGHT);
        let g_stat = (critical / slope.t()).powi(2);
        golden.close(group, "ladder7.fieller.g_stat", g_stat, TIGHT);
        let margin = golden.number("ladder7.tost.margin");
        golden.close(group, "ladder7.tost.p", slope.equivalence_p(margin), TIGHT);
    }

    fn resampling(&self, golden: &mut Golden) {
        let group = "resampling";
        let (x, g) = (&self.x, &self.g);
        self.pairs(golden);
        for (key, test) in [
            ("permutation", permutation_test(x, g, 0).unwrap()),
            ("wild_null_imposed_HC2", wild_test(x, g, 0.0, 0).unwrap()),
        ] {
            assert!(test.exact);
            let total = golden.number(&format!("ladder7.{key}.total"));
            let count = golden.number(&format!("ladder7.{key}.count"));
            assert_eq!(test.p_value, count / total);
            golden.close(group, &format!("ladder7.{key}.p"), test.p_value, TIGHT);
        }
        let trend = rank_trend(x, g, 0.95).unwrap();
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
    fn pairs(&self, golden: &mut Golden) {
        let group = "resampling";
        let at = |key: &str| format!("ladder7.pairs_bootstrap_exact.{key}");
        let slopes = resampled_slopes(&self.x, &self.g, 0).unwrap();
        golden.close(group, &at("n_multisets_used"), slopes.len() as f64, 0.0);
        let mean: f64 = slopes.iter().map(|v| v.0 * v.1).sum();
        golden.close(group, &at("mean"), mean, TIGHT);
        let square: f64 = slopes.iter().map(|v| (v.0 - mean).powi(2) * v.1).sum();
        golden.close(group, &at("sd"), square.sqrt(), TIGHT);
        let bootstrap = pairs_bootstrap(&self.x, &self.g, 0.95, 0).unwrap();
        let (low, high) = bootstrap.percentile;
        golden.close_all(group, &at("pct95"), &[low, high], TIGHT);
        let acceleration = jackknife_acceleration(&self.line).unwrap();
        golden.close(group, &at("acceleration"), acceleration, TIGHT);

        let ours = bias_correction(&slopes, self.line.slope().value);
        assert!((ours / 0.008_948_710_784_869_278 - 1.0).abs() < TIGHT);
        let usable = 1.0 - 7.0_f64.powi(-6);
        let identity = 5_040.0 / 7.0_f64.powi(7) / usable;
        let z0 = quantile::normal_quantile(quantile::normal_cdf(ours) + identity);
        golden.close(group, &at("z0"), z0, TIGHT);
        let z = quantile::normal_quantile(0.975);
        let level =
            |z0: f64, z: f64| quantile::normal_cdf(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)));
        let levels = [level(z0, -z), level(z0, z)];
        golden.close_all(group, &at("bca_levels"), &levels, TIGHT);
        let all = self.every_resample();
        let read = |p: f64| all[(p * all.len() as f64).ceil() as usize - 1];
        golden.close_all(group, &at("bca95"), &levels.map(read), TIGHT);
        for (found, p) in [
            (bootstrap.bca.0, level(ours, -z)),
            (bootstrap.bca.1, level(ours, z)),
            (bootstrap.percentile.0, 0.025),
            (bootstrap.percentile.1, 0.975),
        ] {
            assert!((found / read(p) - 1.0).abs() < TIGHT);
        }
    }

    /// The slopes of all 7⁷ resamples, one by one, sorted.
    fn every_resample(&self) -> Vec<f64> {
        let mut slopes = Vec::new();
        for code in 0..7_u32.pow(7) {
            let members: Vec<usize> = (0..7).map(|k| (code / 7_u32.pow(k) % 7) as usize).collect();
            let mean = |v: &[f64]| members.iter().map(|i| v[*i]).sum::<f64>() / 7.0;
            let (mx, my) = (mean(&self.x), mean(&self.g));
            let (mut sxx, mut sxy) = (0.0, 0.0);
            for &i in &members {
                sxx += (self.x[i] - mx).powi(2);
                sxy += (self.x[i] - mx) * (self.g[i] - my);
            }
            if sxx > 1e-9 {
                slopes.push(sxy / sxx);
            }
        }
        slopes.sort_by(f64::total_cmp);
        slopes
    }
}

fn multiplicity(golden: &mut Golden) {
    let p = golden.numbers("multiplicity.p");
    for (key, correction) in [
        ("holm", Correction::Holm),
        ("simes-hochberg", Correction::Hochberg),
        ("fdr_bh", Correction::BenjaminiHochberg),
        ("fdr_by", Correction::BenjaminiYekutieli),
    ] {
        let adjusted = adjust(&p, correction).unwrap();
        let path = format!("multiplicity.{key}");
        golden.close_all("multiplicity", &path, &adjusted, TIGHT);
    }
    for key in ["bonferroni", "sidak", "holm-sidak", "hommel"] {
        golden.not_compared(&format!("multiplicity.{key}"));
    }
}

fn meta(golden: &mut Golden) {
    let group = "meta-analysis";
    let y = golden.numbers("meta.y");
    let v = golden.numbers("meta.v");
    let reml = random_effects(&y, &v).unwrap();
    golden.close(group, "meta.REML.tau2", reml.tau2, TIGHT);
    golden.close(group, "meta.REML.mean", reml.coefficients[0].value, TIGHT);
    // Without Knapp and Hartung's factor: τ² taken as known.
    let weights: f64 = v.iter().map(|v| 1.0 / (v + reml.tau2)).sum();
    golden.close(group, "meta.REML.se", weights.powf(-0.5), TIGHT);
    // Other estimators of τ², Cochran's Q and shrunken effects.
    for key in ["DL", "PM", "I2", "p_Q", "eb_shrunk"] {
        golden.not_compared(&format!("meta.{key}"));
    }
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
    for (key, errors, tolerance) in [("noiseless", &errors, 1e-9), ("noisy_ls", &noisy, 1e-6)] {
        let law = fit_floor_law(&x, errors, 0.95).unwrap();
        let group = "floor law";
        let at = |name: &str| format!("three_param.{key}.{name}");
        golden.close(group, &at("E_inf"), law.floor, tolerance);
        golden.close(group, &at("A_at_1e19"), law.amplitude, tolerance);
        golden.close(group, &at("b"), law.exponent, tolerance);
        let cost: f64 = x
            .iter()
            .zip(errors)
            .map(|(x, e)| 0.5 * (e.ln() - law.curve().ln_error(*x)).powi(2))
            .sum();
        if key == "noiseless" {
            // The cost of an exact fit is rounding: both must be nothing.
            assert!(
                golden.number(&at("cost")) < 1e-25 && cost < 1e-25,
                "{law:?}"
            );
        } else {
            golden.close(group, &at("cost"), cost, tolerance);
        }
    }
    golden.not_compared("three_param.noisy_huber_5e-4");
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
    for (key, found) in [
        ("norm_sf(1.96)", quantile::normal_sf(1.96)),
        ("chi2_sf(11.07;5)", gamma_tails(0.5 * 5.0, 0.5 * 11.07).1),
        ("F_sf(7.7;1,4)", quantile::f_sf(7.7, 1.0, 4.0)),
        (
            "nct_sf(2.5705818366147395;5,nc=3.5)",
            quantile::nct_sf(2.5705818366147395, 5.0, 3.5),
        ),
    ] {
        golden.close(group, &format!("quantiles.{key}"), found, TIGHT);
    }
}
