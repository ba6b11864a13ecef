//! Replicates in parallel, intervals counted, tables printed; and least squares of its own.

use nalgebra::{DMatrix, DVector};
use statrs::distribution::{ContinuousCDF, StudentsT};

pub(super) const REPLICATES: usize = 2000;
pub(super) const ITEM_REPLICATES: usize = 1000;

#[derive(Clone, Copy)]
pub(super) struct Interval {
    pub(super) value: f64,
    pub(super) half: f64,
}

pub(super) type Named = (&'static str, Interval);

pub(super) fn parallel<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if i >= n {
                            break own;
                        }
                        own.push((i, f(i)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, t)| t).collect()
}

/// A least-squares coefficient with its classical standard error.
#[derive(Clone, Copy)]
pub(super) struct Coefficient {
    pub(super) value: f64,
    pub(super) standard_error: f64,
    pub(super) df: f64,
}

/// Least squares by singular values, independent of the library's.
pub(super) fn least_squares(columns: &[Vec<f64>], y: &[f64]) -> Vec<Coefficient> {
    let (n, p) = (y.len(), columns.len());
    let x = DMatrix::from_fn(n, p, |i, k| columns[k][i]);
    let y = DVector::from_column_slice(y);
    let inverse = x.clone().pseudo_inverse(1e-12).unwrap();
    let b = &inverse * &y;
    let df = (n - p) as f64;
    let variance = (&y - &x * &b).norm_squared() / df;
    let coefficient = |k: usize| Coefficient {
        value: b[k],
        standard_error: (variance * inverse.row(k).norm_squared()).sqrt(),
        df,
    };
    (0..p).map(coefficient).collect()
}

/// The 97.5 % quantile of Student's t.
pub(super) fn t_975(df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).unwrap().inverse_cdf(0.975)
}

pub(super) struct Row {
    pub(super) scenario: String,
    pub(super) method: &'static str,
    pub(super) bias: f64,
    pub(super) sd: f64,
    pub(super) coverage: f64,
    pub(super) half: f64,
    pub(super) se: f64,
}

pub(super) fn summary(name: &str, truth: f64, outcomes: &[Vec<Named>]) -> Vec<Row> {
    let n = outcomes.len() as f64;
    (0..outcomes[0].len())
        .map(|m| {
            let all: Vec<Interval> = outcomes.iter().map(|o| o[m].1).collect();
            let mean = all.iter().map(|i| i.value).sum::<f64>() / n;
            let var = all.iter().map(|i| (i.value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let hit = all
                .iter()
                .filter(|i| (i.value - truth).abs() <= i.half)
                .count() as f64
                / n;
            Row {
                scenario: name.to_owned(),
                method: outcomes[0][m].0,
                bias: mean - truth,
                sd: var.sqrt(),
                coverage: 100.0 * hit,
                half: all.iter().map(|i| i.half).sum::<f64>() / n,
                se: 100.0 * (0.05_f64 * 0.95 / n).sqrt(),
            }
        })
        .collect()
}

pub(super) fn print(rows: &[Row]) {
    for r in rows {
        println!(
            "| {} | {} | {:+.2} | {:.2} | {:.1} | {:.2} |",
            r.scenario,
            r.method,
            1e3 * r.bias,
            1e3 * r.sd,
            r.coverage,
            1e3 * r.half
        );
    }
}

pub(super) const HEADER: &str = "| scenario | method | bias x1e3 | SD x1e3 | coverage % | mean half-width x1e3 |\n\
                      |---|---|---:|---:|---:|---:|";
