//! Laws of merging LoRA adapters, on random matrices of every format.

use crate::common;

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use proptest::prelude::*;
use relscale::checkpoint::{Checkpoint, Weights};
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::Cpu;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

/// Numbers as a file stores them, and those that a reader finds.
fn stored(dtype: Dtype, numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let each = numbers.iter();
    match dtype {
        Dtype::F32 => (
            each.flat_map(|x| x.to_le_bytes()).collect(),
            numbers.to_vec(),
        ),
        Dtype::F16 => {
            let halves: Vec<f16> = each.map(|x| f16::from_f32(*x)).collect();
            let bytes = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
            (bytes, halves.iter().map(|x| x.to_f32()).collect())
        }
        _ => {
            let halves: Vec<bf16> = each.map(|x| bf16::from_f32(*x)).collect();
            let bytes = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
            (bytes, halves.iter().map(|x| x.to_f32()).collect())
        }
    }
}

fn write(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A matrix with an adapter.
#[derive(Debug, Clone)]
struct Case {
    outputs: usize,
    inputs: usize,
    rank: usize,
    alpha: f64,
    root: bool,
    /// If true, the base is a GPT-2, whose matrices have a row per input.
    by_inputs: bool,
    /// The field of the configuration, which PEFT corrects by the class of the layer.
    fan_in_fan_out: bool,
    dtypes: [Dtype; 3],
    numbers: Vec<f32>,
}

fn cases() -> impl Strategy<Value = Case> {
    let dtype = || prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::BF16]);
    let alpha = prop::sample::select(vec![1.0, 0.3, 16.0, -2.5]);
    let sizes = (1usize..9, 1usize..9, 1usize..6);
    (
        sizes,
        alpha,
        any::<[bool; 3]>(),
        [dtype(), dtype(), dtype()],
    )
        .prop_flat_map(
            |((outputs, inputs, rank), alpha, [root, by_inputs, fan_in_fan_out], dtypes)| {
                let count = outputs * inputs + rank * (inputs + outputs);
                prop::collection::vec(-4.0f32..4.0, count).prop_map(move |numbers| Case {
                    outputs,
                    inputs,
                    rank,
                    alpha,
                    root,
                    by_inputs,
                    fan_in_fan_out,
                    dtypes,
                    numbers,
                })
            },
        )
}

/// The merged matrix of a case, and `W`, `A` and `B` as the files hold them, each output by input.
struct Merged {
    merged: Vec<f32>,
    w: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
}

/// Writes base and adapter and reads the merged matrix.
fn merged(case: &Case, zero: bool) -> Merged {
    let folder = tempfile::tempdir().unwrap();
    let (base, adapter) = (folder.path().join("base"), folder.path().join("adapter"));
    fs::create_dir_all(&base).unwrap();
    fs::create_dir_all(&adapter).unwrap();
    let Case {
        outputs,
        inputs,
        rank,
        ..
    } = *case;
    let (w, rest) = case.numbers.split_at(outputs * inputs);
    let (a, b) = rest.split_at(rank * inputs);
    let b = if zero { vec![0.0; b.len()] } else { b.to_vec() };
    // One of the zeros has a sign.
    let mut w = w.to_vec();
    w[0] = if zero { -0.0 } else { w[0] };
    let model = if case.by_inputs { "gpt2" } else { "llama" };
    fs::write(
        base.join("config.json"),
        json!({"model_type": model}).to_string(),
    )
    .unwrap();
    let (w_bytes, w) = stored(case.dtypes[0], &w);
    let size = w_bytes.len() / w.len();
    let (shape, laid) = if case.by_inputs {
        let mut laid = Vec::new();
        for input in 0..inputs {
            for output in 0..outputs {
                laid.extend(&w_bytes[(output * inputs + input) * size..][..size]);
            }
        }
        (vec![inputs, outputs], laid)
    } else {
        (vec![outputs, inputs], w_bytes)
    };
    let tensor = ("h.weight", case.dtypes[0], shape.clone(), laid);
    write(&base.join("model.safetensors"), &[tensor]);
    let (a_bytes, a) = stored(case.dtypes[1], a);
    let (b_bytes, b) = stored(case.dtypes[2], &b);
    let config = json!({"peft_type": "LORA", "r": rank, "lora_alpha": case.alpha,
        "use_rslora": case.root, "fan_in_fan_out": case.fan_in_fan_out});
    fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
    let name = |part: &str| format!("base_model.model.h.{part}.weight");
    let (a_name, b_name) = (name("lora_A"), name("lora_B"));
    write(
        &adapter.join("adapter_model.safetensors"),
        &[
            (&a_name, case.dtypes[1], vec![rank, inputs], a_bytes),
            (&b_name, case.dtypes[2], vec![outputs, rank], b_bytes),
        ],
    );
    let checkpoint = Checkpoint::from(&adapter).with_base(&base);
    let mut weights = Weights::open(checkpoint).unwrap();
    let read = weights.tensor("h.weight", &shape).unwrap();
    let read = read.values().to_f32();
    let merged = if case.by_inputs {
        let at = |o: usize, i: usize| read[i * outputs + o];
        (0..outputs)
            .flat_map(|o| (0..inputs).map(move |i| at(o, i)))
            .collect()
    } else {
        read
    };
    Merged { merged, w, a, b }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `W + s·B·A` with `s = α/r` or `α/√r`, in `f64`, rounded once.
    #[test]
    fn a_merged_matrix_is_the_sum_rounded_once(case in cases()) {
        let Merged { merged, w, a, b } = merged(&case, false);
        let rank = case.rank as f64;
        let scale = case.alpha / if case.root { rank.sqrt() } else { rank };
        let delta = |o: usize, i: usize| -> f64 {
            (0..case.rank)
                .map(|k| f64::from(b[o * case.rank + k]) * f64::from(a[k * case.inputs + i]))
                .sum()
        };
        for o in 0..case.outputs {
            let (mut together, mut apart, mut size) = (0.0, 0.0, 0.0);
            for i in 0..case.inputs {
                let at = o * case.inputs + i;
                let right = (f64::from(w[at]) + scale * delta(o, i)) as f32;
                prop_assert_eq!(merged[at].to_bits(), right.to_bits(), "{} {}", o, i);
                // One input vector through the merged matrix, and through both parts.
                let x = (i as f64 + 1.0).sin();
                together += x * f64::from(merged[at]);
                size += (x * f64::from(merged[at])).abs();
                apart += x * f64::from(w[at]);
            }
            for k in 0..case.rank {
                let inner: f64 = (0..case.inputs)
                    .map(|i| (i as f64 + 1.0).sin() * f64::from(a[k * case.inputs + i]))
                    .sum();
                apart += scale * f64::from(b[o * case.rank + k]) * inner;
            }
            // Half a unit in the last place per weight; the rest is of `f64`.
            let bound = size * f64::from(f32::EPSILON) + 1e-12;
            prop_assert!((together - apart).abs() <= bound, "{together} {apart}");
        }
    }

    #[test]
    fn an_adapter_of_zeros_changes_no_bit(case in cases()) {
        let Merged { merged, w, .. } = merged(&case, true);
        let bits = |numbers: &[f32]| -> Vec<u32> { numbers.iter().map(|x| x.to_bits()).collect() };
        prop_assert_eq!(bits(&merged), bits(&w));
    }
}

/// As training starts: B is zero.
#[test]
fn a_model_with_an_adapter_of_zeros_scores_as_its_base() {
    let adapter = tempfile::tempdir().unwrap();
    let from = common::fixture("adapters/patterns");
    fs::copy(
        from.join("adapter_config.json"),
        adapter.path().join("adapter_config.json"),
    )
    .unwrap();
    let bytes = fs::read(from.join("adapter_model.safetensors")).unwrap();
    let mut tensors = Vec::new();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let zero = name.contains("lora_B");
        let data = if zero {
            vec![0; view.data().len()]
        } else {
            view.data().to_vec()
        };
        tensors.push((name, view.shape().to_vec(), data));
    }
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, shape, data)| (name.as_str(), Dtype::F32, shape.clone(), data.clone()))
        .collect();
    write(&adapter.path().join("adapter_model.safetensors"), &tensors);
    let base = common::fixture("checkpoints/llama-plain");
    let score = |checkpoint: Checkpoint| {
        let model = Transformer::load(checkpoint, Cpu::new()).unwrap();
        let mut batch = Batch::new();
        common::rolling(&mut batch, &[3, 1, 4, 1, 5, 9, 2, 6]);
        model.log_likelihoods(&batch).unwrap()
    };
    let adapted = score(Checkpoint::from(adapter.path()).with_base(&base));
    assert_eq!(adapted, score(Checkpoint::from(&base)));
}
