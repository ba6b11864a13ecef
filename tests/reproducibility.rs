//! The same item on the same checkpoint gives the same bits on the CPU backend, whatever else is
//! in the batch, however its prefix is shared, on any number of threads and instruction set.

mod common;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use relscale::Error;
use relscale::backend::Target;
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::Evaluation;
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::{Cpu, Precision};

const CHECKPOINTS: [&str; 23] = [
    "checkpoints/llama-gqa-tied-bf16",
    "checkpoints/llama3-rope-sharded",
    "checkpoints/qwen3-gqa",
    "checkpoints/qwen3-tied-sharded",
    // Windows; windows in every other layer and soft caps; attention and MLP side by side.
    "architectures/mistral",
    "architectures/gemma2",
    "architectures/gpt-neox-parallel",
    // Learned positions.
    "architectures/gpt2",
    // Linear biases; experts, with a shared one and without; clipped heads; factors on sublayers; rotated
    // and other layers.
    "architectures/bloom",
    "architectures/qwen2-moe",
    "architectures/mixtral",
    "architectures/olmo-clip",
    "architectures/granite",
    "architectures/smollm3",
    // Interleaved pairs of rotated dimensions; biased heads; one key head, norms per layer; a part of the
    // dimensions rotated; a tanh GELU; windows with scaled positions; experts behind norms; another base
    // of rotation by layer.
    "architectures/gptj",
    "architectures/phi",
    "architectures/falcon-multi-query",
    "architectures/stablelm",
    "architectures/starcoder2",
    "architectures/olmo3",
    "architectures/olmoe",
    "architectures/phi3-longrope",
    "architectures/opt",
];

/// One checkpoint in one precision, on the default backend and on others that must agree with it.
struct Variants {
    model: Transformer<Cpu>,
    others: BTreeMap<String, Transformer<Cpu>>,
}

fn variants() -> &'static [Variants] {
    static LOADED: OnceLock<Vec<Variants>> = OnceLock::new();
    LOADED.get_or_init(|| {
        let load = |name: &str, cpu: Cpu| Transformer::load(common::fixture(name), cpu).unwrap();
        let mut backends = BTreeMap::new();
        for threads in [1, 2, 3, 8, 61] {
            let cpu = Cpu::with_threads(threads).unwrap();
            backends.insert(format!("{threads} threads"), cpu);
        }
        for name in ["scalar", "avx2", "avx512", "avx512bf16", "neon"] {
            match Cpu::with_threads(2).unwrap().with_instructions(name) {
                Ok(cpu) => drop(backends.insert(name.to_owned(), cpu)),
                Err(error) => println!("skipped: {error}"),
            }
        }
        let precisions = [Precision::F32, Precision::Bf16].into_iter();
        precisions
            .flat_map(|precision| CHECKPOINTS.iter().map(move |name| (name, precision)))
            .map(|(name, precision)| Variants {
                model: load(name, Cpu::new().with_precision(precision)),
                others: backends
                    .iter()
                    .map(|(k, v)| (k.clone(), load(name, v.clone().with_precision(precision))))
                    .collect(),
            })
            .collect()
    })
}

/// Number of [`variants`]: every checkpoint in both precisions.
const VARIANTS: usize = 2 * CHECKPOINTS.len();

/// A forest before it is known how large the vocabulary and the context are.
#[derive(Debug, Clone)]
struct Shape {
    /// Parent (a root now and then) and tokens of each segment.
    segments: Vec<(Option<Index>, Vec<u16>)>,
    /// Segment, offset and token of each target.
    targets: Vec<(Index, Index, u16)>,
}

fn shapes() -> impl Strategy<Value = Shape> {
    // Lengths around the 64 positions of a block of keys now and then.
    let len = prop_oneof![3 => 1..12usize, 1 => 50..80usize];
    let tokens = len.prop_flat_map(|len| prop::collection::vec(any::<u16>(), len));
    let parent = prop::option::weighted(0.8, any::<Index>());
    let segments = prop::collection::vec((parent, tokens), 1..9);
    let targets = prop::collection::vec((any::<Index>(), any::<Index>(), any::<u16>()), 1..14);
    (segments, targets).prop_map(|(segments, targets)| Shape { segments, targets })
}

impl Shape {
    fn batch(&self, model: &dyn Model) -> Batch {
        let vocab = model.vocab_size() as u32;
        let mut batch = Batch::new();
        for (parent, tokens) in &self.segments {
            let tokens: Vec<u32> = tokens.iter().map(|&t| u32::from(t) % vocab).collect();
            let count = batch.segments().len();
            let parent = parent
                .filter(|_| count > 0)
                .map(|p| p.index(count))
                .filter(|&p| {
                    let parent = batch.segments()[p];
                    parent.position + parent.len + tokens.len() <= model.context_len()
                });
            batch.segment(parent, &tokens).unwrap();
        }
        for (segment, offset, token) in &self.targets {
            let segment = segment.index(batch.segments().len());
            let offset = offset.index(batch.segments()[segment].len);
            batch
                .target(segment, offset, u32::from(*token) % vocab)
                .unwrap();
        }
        batch
    }
}

/// The batch with a prefix before all of its roots.
fn preceded(batch: &Batch, prefix: &[u32]) -> Batch {
    let mut whole = Batch::new();
    let root = whole.segment(None, prefix).unwrap();
    for s in batch.segments() {
        let parent = s.parent.map_or(root, |p| p + 1);
        let tokens = &batch.tokens()[s.start..s.start + s.len];
        whole.segment(Some(parent), tokens).unwrap();
    }
    for target in batch.targets() {
        let at = batch.segments().iter().rposition(|s| s.start <= target.row);
        let at = at.unwrap();
        let offset = target.row - batch.segments()[at].start;
        whole.target(at + 1, offset, target.token).unwrap();
    }
    whole
}

/// The tokens up to and with the target's row.
fn path(batch: &Batch, target: Target) -> Vec<u32> {
    let segments = batch.segments();
    let mut at = segments.iter().rposition(|s| s.start <= target.row);
    let mut end = target.row + 1;
    let mut tokens = Vec::new();
    while let Some(index) = at {
        let segment = segments[index];
        tokens.extend(batch.tokens()[segment.start..end].iter().rev());
        at = segment.parent;
        end = at.map_or(0, |p| segments[p].start + segments[p].len);
    }
    tokens.reverse();
    tokens
}

/// A sequence of its own with one target at its end.
fn alone(model: &dyn Model, tokens: &[u32], token: u32) -> f64 {
    let mut batch = Batch::new();
    let segment = batch.segment(None, tokens).unwrap();
    batch.target(segment, tokens.len() - 1, token).unwrap();
    model.log_likelihoods(&batch).unwrap()[0]
}

fn bits(values: &[f64]) -> Vec<u64> {
    assert!(values.iter().all(|x| x.is_finite()));
    values.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_forest_scores_each_path_as_if_it_stood_alone(
        which in 0..VARIANTS,
        shape in shapes(),
    ) {
        let model = &variants()[which].model;
        let batch = shape.batch(model);
        let together = model.log_likelihoods(&batch).unwrap();
        for (&target, together) in batch.targets().iter().zip(together) {
            let alone = alone(model, &path(&batch, target), target.token);
            prop_assert_eq!(together.to_bits(), alone.to_bits(), "{:?}", target);
        }
    }

    #[test]
    fn threads_and_instruction_sets_do_not_change_a_bit(
        which in 0..VARIANTS,
        shape in shapes(),
    ) {
        let Variants { model, others } = &variants()[which];
        let batch = shape.batch(model);
        let want = bits(&model.log_likelihoods(&batch).unwrap());
        for (name, other) in others {
            prop_assert_eq!(&bits(&other.log_likelihoods(&batch).unwrap()), &want, "{}", name);
        }
    }

    #[test]
    fn a_prefix_may_have_been_computed_before(
        which in 0..VARIANTS,
        shape in shapes(),
        prefix in prop::collection::vec(any::<u16>(), 1..80),
    ) {
        let Variants { model, others } = &variants()[which];
        // Segments have up to 80 tokens, and some models 128 positions.
        let most = model.context_len() - 80;
        let prefix: Vec<u32> = prefix
            .iter()
            .take(most)
            .map(|&t| u32::from(t) % model.vocab_size() as u32)
            .collect();
        let after = model.with_prefix(&prefix).unwrap();
        let batch = shape.batch(&*after);
        let got = bits(&after.log_likelihoods(&batch).unwrap());
        let whole = preceded(&batch, &prefix);
        prop_assert_eq!(&got, &bits(&model.log_likelihoods(&whole).unwrap()));
        for (name, other) in others {
            let after = other.with_prefix(&prefix).unwrap();
            prop_assert_eq!(&bits(&after.log_likelihoods(&batch).unwrap()), &got, "{}", name);
        }
    }

    #[test]
    fn a_sequence_does_not_notice_its_batch(
        which in 0..VARIANTS,
        texts in prop::collection::vec(prop::collection::vec(any::<u16>(), 2..60), 1..12),
        order in any::<[u32; 12]>(),
        cut in any::<Index>(),
    ) {
        let model = &variants()[which].model;
        let vocab = model.vocab_size() as u32;
        let texts: Vec<Vec<u32>> =
            texts.iter().map(|t| t.iter().map(|&t| u32::from(t) % vocab).collect()).collect();
        let score = |texts: &[&Vec<u32>]| {
            let mut batch = Batch::new();
            texts.iter().for_each(|text| common::rolling(&mut batch, text));
            let mut all = bits(&model.log_likelihoods(&batch).unwrap()).into_iter();
            texts.iter().map(|t| all.by_ref().take(t.len() - 1).collect()).collect::<Vec<Vec<_>>>()
        };
        let in_order: Vec<&Vec<u32>> = texts.iter().collect();
        let together = score(&in_order);
        let mut shuffled: Vec<usize> = (0..texts.len()).collect();
        shuffled.sort_by_key(|&i| order[i]);
        let (one, two) = shuffled.split_at(cut.index(texts.len()));
        for part in [one, two] {
            let scored = score(&part.iter().map(|&i| &texts[i]).collect::<Vec<_>>());
            for (&i, scored) in part.iter().zip(scored) {
                prop_assert_eq!(&scored, &together[i], "text {}", i);
            }
        }
    }

    #[test]
    fn what_follows_changes_nothing(
        which in 0..VARIANTS,
        tokens in prop::collection::vec(any::<u16>(), 2..90),
        other in prop::collection::vec(any::<u16>(), 0..70),
        cut in any::<Index>(),
    ) {
        let model = &variants()[which].model;
        let vocab = model.vocab_size() as u32;
        let cut = 1 + cut.index(tokens.len() - 1);
        let id = |t: &u16| u32::from(*t) % vocab;
        let score = |tokens: &[u32]| {
            let mut batch = Batch::new();
            let segment = batch.segment(None, tokens).unwrap();
            for offset in 0..cut {
                batch.target(segment, offset, 1).unwrap();
            }
            bits(&model.log_likelihoods(&batch).unwrap())
        };
        let one: Vec<u32> = tokens.iter().map(id).collect();
        let two = tokens[..cut].iter().chain(&other).take(model.context_len());
        let two: Vec<u32> = two.map(id).collect();
        prop_assert_eq!(score(&one), score(&two));
    }

    #[test]
    fn probabilities_sum_to_one(
        which in 0..VARIANTS,
        context in prop::collection::vec(any::<u16>(), 1..100),
    ) {
        let model = &variants()[which].model;
        let vocab = model.vocab_size() as u32;
        let context = context.iter().take(model.context_len());
        let context: Vec<u32> = context.map(|&t| u32::from(t) % vocab).collect();
        let mut batch = Batch::new();
        let segment = batch.segment(None, &context).unwrap();
        for token in 0..vocab {
            batch.target(segment, context.len() - 1, token).unwrap();
        }
        let all = model.log_likelihoods(&batch).unwrap();
        let sum: f64 = all.iter().map(|l| l.exp()).sum();
        // Rounding of logits cancels; what is left is that of the exponentials in `f32`.
        prop_assert!((sum - 1.0).abs() < 1e-6, "{}", sum);
    }
}

/// A model, and how often it was asked after a prefix.
struct Counting<'a>(&'a dyn Model, AtomicUsize);

impl Model for Counting<'_> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn context_len(&self) -> usize {
        self.0.context_len()
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        self.0.log_likelihoods(batch)
    }

    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.with_prefix(prefix)
    }

    fn prefix_cost(&self) -> Option<f64> {
        self.0.prefix_cost()
    }
}

#[test]
fn questions_after_the_same_examples_get_the_same_in_any_batches() {
    for Variants { model, .. } in variants() {
        let vocab = model.vocab_size() as u32;
        let items = (0..24).map(|question| {
            let token = |t: u32| (t * 7 + 3) % vocab;
            let own = (0..3 + question % 5).map(|t| (t * 11 + question) % vocab);
            Item {
                id: question.to_string(),
                cluster: String::new(),
                content: Content::ChoicesTokens {
                    context: (0..70).map(token).chain(own).collect(),
                    choices: vec![vec![1, 2, 3], vec![1, 4], vec![5]],
                    gold: 0,
                    unconditional: None,
                },
            }
        });
        let items = Items::new("questions", items.collect()).unwrap();
        let score = |batch_tokens, asked: &dyn Model| {
            let evaluation = Evaluation::new(asked).batch_tokens(batch_tokens);
            let all = evaluation.log_likelihoods(&items).unwrap();
            let sequences = all.iter().flat_map(|item| &item.sequences);
            let values: Vec<f64> = sequences.flat_map(|s| s.log_likelihoods.clone()).collect();
            bits(&values)
        };
        let want = score(8192, model);
        let mut kept = 0;
        for batch_tokens in [1, 90, 128, 200, 1000] {
            let counting = Counting(model, AtomicUsize::new(0));
            assert_eq!(score(batch_tokens, &counting), want, "{batch_tokens}");
            kept += counting.1.into_inner();
        }
        assert!(kept > 0);
    }
}

/// The bits of three texts in both precisions, folded into one number (FNV-1a).
fn checksum(checkpoint: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for precision in [Precision::F32, Precision::Bf16] {
        let cpu = Cpu::with_threads(2).unwrap().with_precision(precision);
        let model = Transformer::load(common::fixture(checkpoint), cpu).unwrap();
        for step in [3, 5, 7] {
            let tokens: Vec<u32> = (0..40).map(|i| (i * step + 1) % 60).collect();
            let mut batch = Batch::new();
            let segment = batch.segment(None, &tokens).unwrap();
            for row in 0..39 {
                batch.target(segment, row, tokens[row + 1]).unwrap();
            }
            for value in model.log_likelihoods(&batch).unwrap() {
                for byte in value.to_bits().to_le_bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
        }
    }
    hash
}

/// Logs of one revision of the kernels are continued with another one only if the bits are the same. If
/// this fails, the bits have changed: raise `relscale_cpu::KERNEL_REVISION` and note the new numbers.
#[test]
fn the_bits_are_those_of_this_revision() {
    let all = [
        "checkpoints/llama-gqa-tied-bf16",
        "architectures/gemma2",
        "architectures/bloom",
        "architectures/mixtral",
    ];
    let found = all.map(checksum);
    let revision_1 = [
        0x3f52_89e5_b90e_80c0,
        0xf734_fe2e_8ce9_98f8,
        0x0865_2b3f_45f5_b258,
        0xe7fe_5e6d_d8f5_33a4,
    ];
    assert_eq!((relscale_cpu::KERNEL_REVISION, found), (1, revision_1));
}
