//! R: sandwich, clubSandwich, metafor and limma.

use super::{Golden, TIGHT};
use crate::fit::stats::meta::{MetaFit, meta_regression, moderate_variances, random_effects};
use crate::fit::stats::regression::{Errors, Line, LinearFit, TEstimate};

fn both(fit: &LinearFit, errors: Errors<'_>) -> [TEstimate; 2] {
    [[1.0, 0.0], [0.0, 1.0]].map(|contrast| fit.estimate(&contrast, errors).unwrap())
}

#[test]
fn r_packages() {
    let mut golden = Golden::new("r.json", include_str!("r.json"));
    golden.not_compared("versions");
    robust_variances(&mut golden);
    clustered(&mut golden);
    meta(&mut golden);
    moderation(&mut golden);
    golden.finish();
}

fn robust(golden: &mut Golden, path: &str, found: [TEstimate; 2]) {
    let group = "sandwich, clubSandwich";
    let errors = found.map(|e| e.standard_error);
    golden.close_all(group, &format!("{path}.se"), &errors, TIGHT);
    golden.close_all(group, &format!("{path}.df"), &found.map(|e| e.df), TIGHT);
    let p = found.map(|e| e.p_value());
    golden.close_all(group, &format!("{path}.p"), &p, TIGHT);
}

fn robust_variances(golden: &mut Golden) {
    let group = "sandwich, clubSandwich";
    let flops = [1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20_f64];
    let g = [0.1520, 0.1615, 0.1660, 0.1748, 0.1835, 0.1931, 0.1926];
    let line = Line::new(&flops.map(f64::ln), &g).unwrap();
    let fit = line.fit();
    golden.close_all(group, "ladder7.coef", fit.coefficients(), TIGHT);
    for (name, errors) in [
        ("se", Errors::Classical),
        ("HC2", Errors::Hc2),
        ("HC3", Errors::Hc3),
    ] {
        let found = both(fit, errors).map(|e| e.standard_error);
        golden.close_all(group, &format!("ladder7.{name}"), &found, TIGHT);
    }
    for name in ["HC0", "HC1", "HC4", "HC4m", "HC5"] {
        golden.not_compared(&format!("ladder7.{name}"));
    }
    let singletons: Vec<usize> = (0..7).collect();
    let found = both(fit, Errors::Cr2(&singletons));
    robust(golden, "ladder7.CR2_singletons", found);
    for (a, b) in found.iter().zip(both(fit, Errors::Hc2)) {
        assert!((a.df / b.df - 1.0).abs() < 1e-12, "singletons are HC2");
    }
}

fn clustered(golden: &mut Golden) {
    let x = golden.numbers("clustered.data.x");
    let y = golden.numbers("clustered.data.y");
    let labels: Vec<usize> = (golden.numbers("clustered.data.cluster").iter())
        .map(|c| *c as usize)
        .collect();
    let fit = LinearFit::new(&[&vec![1.0; x.len()], &x], &y).unwrap();
    let group = "sandwich, clubSandwich";
    golden.close_all(group, "clustered.coef", fit.coefficients(), TIGHT);
    robust(golden, "clustered.CR2", both(&fit, Errors::Cr2(&labels)));
    for name in ["CR0", "CR1", "CR1S", "CR3"] {
        golden.not_compared(&format!("clustered.{name}"));
    }
}

fn meta(golden: &mut Golden) {
    let y = golden.numbers("meta.data.y");
    let v = golden.numbers("meta.data.v");
    let z = golden.numbers("meta.data.z");
    let spread = |fit: &MetaFit, f: &dyn Fn(&TEstimate) -> f64| -> Vec<f64> {
        fit.coefficients.iter().map(f).collect()
    };
    let group = "metafor";
    let mean = random_effects(&y, &v).unwrap();
    let at = |key: &str| format!("meta.REML.{key}");
    golden.close(group, &at("tau2"), mean.tau2, TIGHT);
    let estimate = mean.coefficients[0];
    golden.close(group, &at("b"), estimate.value, TIGHT);
    golden.close(group, &at("se"), estimate.standard_error, TIGHT);
    golden.close(group, &at("p"), estimate.p_value(), TIGHT);
    let (low, high) = estimate.interval(0.95);
    golden.close_all(group, &at("ci"), &[low, high], TIGHT);
    golden.close(group, &at("I2"), 100.0 * mean.i2, TIGHT);
    golden.not_compared(&at("Q"));
    golden.not_compared(&at("pi"));

    let group = "metafor, regression";
    let slope = meta_regression(&z, &y, &v).unwrap();
    let at = |key: &str| format!("metareg.REML.{key}");
    golden.close(group, &at("tau2"), slope.tau2, TIGHT);
    golden.close_all(group, &at("b"), &spread(&slope, &|e| e.value), TIGHT);
    let errors = spread(&slope, &|e| e.standard_error);
    golden.close_all(group, &at("se"), &errors, TIGHT);
    golden.close_all(group, &at("p"), &spread(&slope, &|e| e.p_value()), TIGHT);
    let explained = 100.0 * (1.0 - slope.tau2 / mean.tau2);
    golden.close(group, &at("R2"), explained, TIGHT);
    golden.not_compared(&at("QE"));
    for name in ["DL", "PM", "ML", "EB", "SJ", "HE"] {
        golden.not_compared(&format!("meta.{name}"));
        golden.not_compared(&format!("metareg.{name}"));
    }
}

fn moderation(golden: &mut Golden) {
    let group = "limma";
    let variances = golden.numbers("squeeze.s2");
    let df = golden.number("squeeze.df");
    let moderated = moderate_variances(&variances, df).unwrap();
    golden.close(group, "squeeze.df.prior", moderated.prior_df, TIGHT);
    golden.not_compared("squeeze.var.prior");
    golden.close_all(group, "squeeze.var.post", &moderated.variances, TIGHT);
}
