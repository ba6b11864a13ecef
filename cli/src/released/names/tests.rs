//! Names of every release, and names that are refused.

use super::*;
use relscale::isoflop::Recipe;

fn read(name: &str, revision: Option<&str>, params: u64) -> Result<Release, String> {
    let planned = Recipe::relative_scaling_laws().runs().unwrap();
    release(name, revision, params, &planned)
}

#[test]
fn isoflop_names_are_the_configurations_of_the_recipe() {
    let name = "isoflop-1ep19-d2048-L21-B16-nemo-wider-depth-adapt-178bd6";
    let r = read(name, None, 7).unwrap();
    assert_eq!((r.run.id.as_str(), r.run.corpus.as_str()), (name, "nemo"));
    assert_eq!(r.experiment, "nemo-wider-depth-adapt");
    assert_eq!(r.run.budget, 1e19);
    assert!((r.run.flops / 3e19 - 1.0).abs() < 0.01);
    assert_eq!(r.run.params, 1_934_716_160.0);
    assert_eq!(r.run.tokens % (16.0 * 4096.0), 0.0);
    assert_eq!(r.convention, FlopConvention::Training);

    // Every configuration, with and without the suffix, and with the plus sign.
    let planned = Recipe::relative_scaling_laws().runs().unwrap();
    for plan in planned {
        for (budget, end) in [
            (
                format!("{:e}", plan.budget).replace('e', "ep"),
                "dclm-default-0a1b2c",
            ),
            (format!("{:e}", plan.budget).replace('e', "e+"), "comma-mix"),
        ] {
            let (h, l, b) = (plan.hidden, plan.layers, plan.batch);
            let name = format!("isoflop-{budget}-d{h}-L{l}-B{b}-{end}");
            let r = read(&name, Some("main"), 7).unwrap();
            assert_eq!(r.run.tokens, plan.tokens as f64);
            assert_eq!(r.run.params, plan.params as f64);
            assert_eq!(r.run.flops, plan.training_flops);
        }
    }
}

#[test]
fn pythia_has_its_tokens_by_step() {
    let r = read("pythia-160m", Some("step3000"), 162_322_944).unwrap();
    assert_eq!(r.run.id, "pythia-160m-step3000");
    assert_eq!(r.run.tokens, 6_291_456_000.0);
    assert_eq!(r.run.flops, 6.0 * 162_322_944.0 * 6_291_456_000.0);
    assert_eq!(
        (r.run.corpus.as_str(), r.trained.as_str()),
        ("pythia", "pythia-160m")
    );
    let last = read("pythia-1.4b-deduped", None, 1).unwrap();
    assert_eq!(last.run.id, "pythia-1.4b-deduped-step143000");
    assert_eq!(last.run.tokens, 299_892_736_000.0);
    assert_eq!(last.run.corpus, "pythia-deduped");
    let seed = read("pythia-14m-seed3", Some("main"), 1).unwrap();
    assert_eq!(
        (seed.run.seed, seed.run.corpus.as_str()),
        (Some(3), "pythia")
    );
    assert_eq!(seed.trained, "pythia-14m-seed3");
}

#[test]
fn olmo_and_cerebras_have_the_tokens_that_were_published() {
    // The name rounds up: 293.6, 9.02 and 5,000.1 billion.
    for (name, revision, tokens) in [
        (
            "OLMo-2-0425-1B",
            "stage1-step140000-tokens294B",
            293_601_280_000.0,
        ),
        (
            "OLMo-2-1124-7B",
            "stage1-step2150-tokens10B",
            9_017_753_600.0,
        ),
        (
            "OLMo-2-1124-13B",
            "stage1-step596057-tokens5001B",
            5_000_088_518_656.0,
        ),
        (
            "OLMo-2-0325-32B",
            "stage1-step721901-tokens6056B",
            6_055_744_503_808.0,
        ),
    ] {
        let r = read(name, Some(revision), 10).unwrap();
        assert_eq!(r.run.tokens, tokens, "{name}");
        assert_eq!(r.run.id, format!("{name}-{revision}"));
        assert_eq!(r.run.corpus, "olmo-2");
    }
    let r = read("Cerebras-GPT-111M", None, 111_050_496).unwrap();
    assert_eq!(r.run.tokens, 2_221_009_920.0);
    assert_eq!(r.convention, FlopConvention::SixNd);
    let hash = "0123456789abcdef0123456789abcdef01234567";
    assert!(read("Cerebras-GPT-13B", Some(hash), 1).is_ok());
}

/// Tokens as the model cards state them: 100 per parameter, 2 billion per 477 steps, 99 billion.
#[test]
fn suites_of_many_corpora_and_shapes_have_the_tokens_that_were_published() {
    for (name, revision, tokens, corpus) in [
        (
            "DataDecide-c4-150M",
            "step38157-seed-default",
            15_003_942_912.0,
            "c4",
        ),
        (
            "DataDecide-dolma1_7-no-code-1B",
            "step69369-seed-default",
            100_015_669_248.0,
            "dolma1_7-no-code",
        ),
        (
            "DataDecide-dclm-baseline-25p-dolma1.7-75p-4M",
            "step5725-seed-default",
            375_193_600.0,
            "dclm-baseline-25p-dolma1.7-75p",
        ),
        (
            "Gemstone-256x23",
            "step_00000477",
            2_000_683_008.0,
            "gemstones",
        ),
        (
            "Gemstone-512x16_lr_ablation",
            "step_00023850",
            100_034_150_400.0,
            "gemstones-lr-ablation",
        ),
        (
            "Gemstone-3072x12_cooldown",
            "step_00002385_cooldown_00002622",
            10_997_465_088.0,
            "gemstones-cooldown",
        ),
        ("pythia-160m-v0", "step1000", 2_097_152_000.0, "pythia-v0"),
        (
            "pythia-1.4b-deduped-v0",
            "main",
            299_892_736_000.0,
            "pythia-deduped-v0",
        ),
        (
            "pythia-160m-data-seed2",
            "step512",
            1_073_741_824.0,
            "pythia-data-seed",
        ),
        (
            "pythia-160m-weight-seed3",
            "step143000",
            299_892_736_000.0,
            "pythia-weight-seed",
        ),
    ] {
        let r = read(name, Some(revision), 10).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(r.run.tokens, tokens, "{name}");
        assert_eq!((r.run.corpus.as_str(), r.trained.as_str()), (corpus, name));
        assert_eq!(r.convention, FlopConvention::SixNd);
    }
    // Two revisions are two runs of one training.
    let of = |revision| {
        read("DataDecide-c4-150M", Some(revision), 10)
            .unwrap()
            .run
            .id
    };
    assert_ne!(of("step1250-seed-default"), of("step2500-seed-default"));
}

#[test]
fn what_a_name_does_not_say_is_refused() {
    for (name, revision, expected) in [
        ("llama-7b", None, "is not the name of a known release"),
        ("OLMo-1B-hf", None, "is not the name of a known release"),
        ("isoflop-1ep19-d2048", None, "is not `isoflop-BUDGET"),
        ("isoflop-1ep19-d2048-L21-B16", None, "has the corpus ``"),
        (
            "isoflop-1ep19-d2048-L21-B16-pile",
            None,
            "has the corpus `pile`",
        ),
        (
            "isoflop-1ep19-d2048-L20-B16-nemo",
            None,
            "none of the 85 configurations",
        ),
        (
            "isoflop-xp19-d2048-L21-B16-nemo",
            None,
            "is not `isoflop-BUDGET",
        ),
        (
            "isoflop-6ep10-d8-L1-B2-mixed",
            None,
            "has the corpus `mixed`",
        ),
        (
            "isoflop-1ep19-d2048-L21-B16-nemo",
            Some("step1000"),
            "was not released",
        ),
        ("pythia-150m", None, "has the size `150m`"),
        ("pythia-14m-v0", None, "unknown variant, `v0`"),
        ("pythia-160m-v0", Some("step512"), "multiple of 1,000"),
        (
            "pythia-70m-data-seed1",
            None,
            "unknown variant, `data-seed1`",
        ),
        (
            "pythia-160m-weight-seed4",
            None,
            "unknown variant, `weight-seed4`",
        ),
        ("pythia-1b-seed1", None, "unknown variant, `seed1`"),
        (
            "DataDecide-c4-150M",
            None,
            "is not a revision `stepN-seed-default`",
        ),
        (
            "DataDecide-c4-150M",
            Some("main"),
            "is not a revision `stepN-seed-default`",
        ),
        (
            "DataDecide-c4-150M",
            Some("step38157-seed-small-aux-2"),
            "is not a revision",
        ),
        (
            "DataDecide-c4-150M",
            Some("step38158-seed-default"),
            "has more than 38157 steps",
        ),
        (
            "DataDecide-c4-150M",
            Some("step0-seed-default"),
            "has not been trained",
        ),
        (
            "DataDecide-pile-150M",
            Some("step1-seed-default"),
            "has the corpus `pile`",
        ),
        (
            "DataDecide-c4-12M",
            Some("step1-seed-default"),
            "has the size `12M`",
        ),
        (
            "DataDecide-c4",
            Some("step1-seed-default"),
            "is not `DataDecide-CORPUS-SIZE`",
        ),
        (
            "Gemstone-256",
            Some("step_00000477"),
            "is not `Gemstone-WIDTHxDEPTH`",
        ),
        ("Gemstone-256x23", None, "the step of `main` is not known"),
        ("Gemstone-256x23", Some("step_0"), "has not been trained"),
        (
            "Gemstone-256x23",
            Some("step_00100000"),
            "has 419430400000 tokens",
        ),
        (
            "Gemstone-256x23_sft",
            Some("step_00000477"),
            "unknown variant, `sft`",
        ),
        (
            "Gemstone-256x23_cooldown",
            Some("step_00002385"),
            "`step_N_cooldown_N`",
        ),
        (
            "Gemstone-256x23_cooldown",
            Some("step_00002622_cooldown_00002385"),
            "is not a revision",
        ),
        (
            "OLMo-Ladder-190M-5xC",
            None,
            "is not the name of a known release",
        ),
        ("marin-8b-base", None, "is not the name of a known release"),
        ("pythia-160m-seed10", None, "unknown variant, `seed10`"),
        ("pythia-160m", Some("step0"), "has not been trained"),
        ("pythia-160m", Some("step144000"), "is not `stepN`"),
        (
            "pythia-160m",
            Some("0123456789abcdef0123456789abcdef01234567"),
            "is not `stepN`",
        ),
        ("OLMo-2-0425-1B", None, "is not `stage1-stepN-tokensMB`"),
        (
            "OLMo-2-0425-1B",
            Some("main"),
            "is not `stage1-stepN-tokensMB`",
        ),
        (
            "OLMo-2-0425-1B",
            Some("stage2-ingredient3-step6000-tokens13B"),
            "is not `stage1-stepN-tokensMB`",
        ),
        (
            "OLMo-2-0425-1B",
            Some("stage1-step140000-tokens300B"),
            "has 293601280000 tokens",
        ),
        (
            "OLMo-2-0425-1B",
            Some("stage1-step0-tokens0B"),
            "has not been trained",
        ),
        ("OLMo-2-0425-1B-Instruct", None, "is not one of 0425-1B"),
        ("Cerebras-GPT-112M", None, "has the size `112M`"),
        ("Cerebras-GPT-111M", Some("step5"), "was not released"),
    ] {
        let error = read(name, revision, 1).err();
        assert!(
            error.as_ref().is_some_and(|e| e.contains(expected)),
            "{name} {revision:?}: {error:?}"
        );
    }
}
