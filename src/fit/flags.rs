//! The reservations of one law.

use std::collections::BTreeMap;

use super::comparison::Comparison;
use super::design::Design;
use super::options::Options;
use super::path::{LadderPath, epochs, ladder_path, one_trajectory, unnamed_trajectory};
use super::readings::{ProfileFit, spread_out};
use super::result::{
    AbsoluteLaw, Alternatives, Backtest, Diagnostics, ItemReport, Prediction, RelativeLaw,
    RuleResult,
};
use super::verdict::Flag;
use super::view::CorpusView;

/// Level at which tests of assumptions raise a flag. It is a convention of reading and does not follow
/// the level of the claims: a stricter claim is no reason to look less closely.
pub(crate) const QUESTIONED: f64 = 0.05;

/// Degrees of freedom of a cluster variance below which it is flagged: eight clusters in one stratum.
/// With fewer, its own relative error exceeds a half (√(2/7)) and the normal theory of sums over
/// clusters is in doubt.
pub(crate) const FEWEST_CLUSTER_DF: usize = 7;

/// The reservations that the law itself gives rise to, in no order.
pub(crate) fn flags(
    comparison: &Comparison<'_, '_>,
    diagnostics: &Diagnostics,
    alternatives: &Alternatives,
    predictions: &[Prediction],
    options: &Options,
) -> Vec<Flag> {
    let resampling = &diagnostics.resampling;
    // Only where t rejects: a permutation test of seven readings has little power of its own.
    let fragile = comparison.delta_beta.p_value <= options.alpha
        && resampling.permutation_p.is_some_and(|p| p > options.alpha);
    // The lag-one test of eight to twelve residuals sees an autocorrelation of 0.6 in one ladder of
    // ten, so that a claim on rungs must also stand where errors may be correlated.
    let claims_too_much = comparison.view.plan.design == Design::Rungs
        && comparison.delta_beta.p_value <= options.alpha
        && (alternatives.autocorrelated).is_some_and(|s| s.delta_beta.p_value > options.alpha);
    let autocorrelated = claims_too_much
        || resampling
            .autocorrelation_p
            .is_some_and(|p| p <= QUESTIONED);
    let own = [
        (diagnostics.curvature.questioned, Flag::PowerLawQuestioned),
        (fragile, Flag::Fragile),
        (autocorrelated, Flag::Autocorrelated),
        (
            rules_flip(&alternatives.rules, options),
            Flag::OptimumRuleFlips,
        ),
        (
            diagnostics.leave_one_out.verdict_stability < 1.0,
            Flag::InfluentialReading,
        ),
        (
            diagnostics.outlying_runs.iter().any(|o| o.spoils),
            Flag::OutlyingRun,
        ),
        (
            alternatives.difference.discordant,
            Flag::DifferenceDiscordant,
        ),
        (misses(&diagnostics.backtest), Flag::BacktestMisses),
        (
            predictions.iter().any(|p| p.beyond_one_ladder),
            Flag::Extrapolated,
        ),
    ];
    plan_flags(comparison.view, options)
        .into_iter()
        .chain(item_flags(comparison, &diagnostics.items))
        .chain(profile_flags(comparison, diagnostics))
        .chain(own)
        // The order does not matter here: `flag_ranges` adds the last flags and sorts.
        .filter_map(|(raised, flag)| raised.then_some(flag))
        .collect()
}

/// Flags of the way in which the corpus was read.
pub(crate) fn plan_flags(view: &CorpusView<'_>, options: &Options) -> Vec<(bool, Flag)> {
    let plan = &view.plan;
    let main = plan.main();
    let unchecked =
        options.specification_term && plan.design != Design::Rungs && plan.check.is_none();
    let mut flags = design_flags(view);
    flags.extend([
        // Three degrees of freedom or fewer: a t interval is then half as wide again as a normal one.
        (plan.x.len() < 5, Flag::FewReadings),
        (!plan.refused.is_empty(), Flag::BudgetRefused),
        (spread_out(view.corpus, &plan.groups), Flag::BudgetSpread),
        (unchecked, Flag::NoSpecificationCheck),
    ]);
    if let Some(f) = &main.frontier {
        let best_run = main.profiles.iter().any(|p| p.fit == ProfileFit::BestRun);
        flags.extend([
            (view.corpus.aggregate_from_tested, Flag::AggregateFromTested),
            (best_run, Flag::BestRunReading),
            (main.profiles.iter().any(|p| p.widened), Flag::WideWindow),
            (f.inside.contains(&false), Flag::FrontierOutsideGrid),
        ]);
    }
    flags
}

/// Most epochs in which no token counts as repeated: logged epochs end within a step of one.
const ONE_EPOCH: f64 = 1.01;

/// Flags of the runs of a design, whatever is read from them.
pub(crate) fn design_flags(view: &CorpusView<'_>) -> Vec<(bool, Flag)> {
    let (corpus, members) = (view.corpus, &view.members);
    let equal_tokens = ladder_path(corpus, members) == Some(LadderPath::EqualTokens);
    vec![
        (unnamed_trajectory(corpus, members), Flag::UnnamedTrajectory),
        (
            one_trajectory(corpus, &view.plan.groups),
            Flag::OneTrajectory,
        ),
        (
            epochs(corpus, members).is_some_and(|[_, most]| most > ONE_EPOCH),
            Flag::RepeatedData,
        ),
        (
            equal_tokens && view.plan.design == Design::Rungs,
            Flag::EqualTokens,
        ),
    ]
}

fn item_flags(comparison: &Comparison<'_, '_>, items: &ItemReport) -> Vec<(bool, Flag)> {
    let silent = comparison.fitted.lacks_item_variance;
    // Every stratum takes one degree of freedom.
    let sides = [
        (
            items.treatment_errors_stated,
            items.treatment_clusters - items.treatment_strata,
        ),
        (
            items.baseline_errors_stated,
            items.baseline_clusters - items.baseline_strata,
        ),
    ];
    // A variance that is stated does not rest on the clusters that there are.
    let measured = sides.iter().filter(|s| !s.0).map(|s| s.1);
    let df = measured.min().unwrap_or(FEWEST_CLUSTER_DF);
    vec![
        (silent, Flag::NoItemVariance),
        (!silent && df < FEWEST_CLUSTER_DF, Flag::FewClusters),
        (items.dropped_clusters > 0, Flag::DroppedClusters),
        (!items.dropped_runs.is_empty(), Flag::DroppedRuns),
    ]
}

/// Flags of the size profiles of the ratio and of the aggregate.
fn profile_flags(comparison: &Comparison<'_, '_>, diagnostics: &Diagnostics) -> Vec<(bool, Flag)> {
    use super::diagnostics::{lack_of_fit, next_power};
    let (corpus, readout) = (comparison.corpus(), comparison.readout());
    let lack = [
        diagnostics.lack_of_fit,
        lack_of_fit(corpus, readout, &corpus.aggregate),
    ];
    let power = [
        diagnostics.next_power,
        next_power(corpus, readout, &corpus.aggregate),
    ];
    let lacks = lack.iter().flatten().any(|l| l.p_value < QUESTIONED);
    let further = power.iter().flatten().any(|n| n.p_value < QUESTIONED);
    vec![(lacks, Flag::LackOfFit), (further, Flag::NextPower)]
}

/// If true, another rule gives another verdict, or the opposite sign beyond chance.
fn rules_flip(rules: &[RuleResult], options: &Options) -> bool {
    rules
        .iter()
        // A sign that flips about zero is noise; it counts where the rule claims a change.
        .any(|r| r.verdict_flips || (r.sign_flips && r.delta_beta.p_value <= options.alpha))
}

/// If true, more than a fifth of the predictions of held-out readings miss. Of fewer than five one miss
/// alone would be a fifth.
fn misses(backtest: &Backtest) -> bool {
    // Below five, one miss is more than a fifth, and a 95 % interval misses one in twenty by right.
    backtest.holdouts.len() >= 5 && backtest.coverage.is_some_and(|c| c < 0.8)
}

/// Flags laws whose errors are still at chance, or already at their floor, and sorts all flags.
///
/// A law is given with the names of the distributions that its sides are made of.
pub(crate) fn flag_ranges<'l>(
    laws: impl Iterator<Item = (&'l mut RelativeLaw, Vec<String>)>,
    absolute: impl Iterator<Item = &'l AbsoluteLaw>,
    options: &Options,
) {
    let known: BTreeMap<(&str, &str), &AbsoluteLaw> = absolute
        .map(|t| ((t.corpus.as_str(), t.distribution.as_str()), t))
        .collect();
    for (law, distributions) in laws {
        let of: Vec<_> = (distributions.iter())
            .map(|d| known.get(&(law.corpus.as_str(), d.as_str())))
            .collect();
        // Four readings are the fewest with which a line can be doubted.
        let needed = law.readings.len().min(4);
        let at_chance = |t: &&&AbsoluteLaw| t.readings_past_chance.is_some_and(|n| n < needed);
        if of.iter().flatten().any(at_chance) {
            law.flags.push(Flag::PreOnset);
        }
        let near_floor = |t: &&&AbsoluteLaw| {
            t.floor
                // Half of the error at the largest scale, and only a floor that the data show: many
                // fits have a floor that is not identified.
                .is_some_and(|f| f.p_value <= options.alpha && f.floor_share > 0.5)
        };
        if of.iter().flatten().any(near_floor) {
            law.flags.push(Flag::NearFloor);
        }
        law.flags.sort_unstable();
    }
}
