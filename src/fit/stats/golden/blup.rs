//! Partial pooling against metafor's best linear unbiased predictions.

use super::Golden;
use crate::fit::stats::meta::shrink;

#[test]
fn metafor_blup() {
    let mut golden = Golden::new("blup.json", include_str!("blup.json"));
    golden.not_compared("versions");
    let (y, v) = (golden.numbers("y"), golden.numbers("v"));
    let found = shrink(&y, &v, 0.0).unwrap();
    let group = "metafor";
    // metafor's own search for τ² stops at 1e-9 of it.
    let loose = 1e-8;
    golden.close(group, "tau2", found.tau2, loose);
    golden.close(group, "mean", found.mean.0, loose);
    golden.close(group, "mean_se", found.mean.1.sqrt(), loose);
    let values: Vec<f64> = found.effects.iter().map(|e| e.value).collect();
    golden.close_all(group, "value", &values, loose);
    // metafor takes τ² as known: without the term of its error the two are the same.
    let tau2_variance = golden.number("tau2_variance");
    let errors: Vec<f64> = (found.effects.iter().zip(&v))
        .map(|(e, v)| {
            let g3 = v * v / (v + found.tau2).powi(3) * tau2_variance;
            (e.variance - 2.0 * g3).sqrt()
        })
        .collect();
    golden.close_all(group, "se", &errors, loose);
    golden.finish();
}
