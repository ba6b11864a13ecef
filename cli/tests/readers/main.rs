//! Distributions read from the files people have: what items come out, and what is refused where.

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use common::folder::Folder;
use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale_cli::readers::behaviours::{self, RiskGroups};
use relscale_cli::readers::mmlu::{self, Mmlu, MmluGroup, MmluPrompt};
use relscale_cli::readers::multiple_choice::{self, ChoiceFields};
use relscale_cli::readers::{matched, texts};

mod choices;
mod harness;
mod harness_logs;
mod inspect_logs;
mod olmo_ladder;
mod questions;
mod running;

/// Context, choices and gold of an item.
fn choices(items: &Items, index: usize) -> (String, Vec<String>, usize) {
    match items.item(index).unwrap().into_owned().content {
        Content::Choices {
            context,
            choices,
            gold,
            ..
        } => (context, choices, gold),
        other => panic!("{other:?}"),
    }
}

fn clusters(items: &Items) -> BTreeSet<String> {
    (0..items.len())
        .map(|i| items.item(i).unwrap().cluster.clone())
        .collect()
}

/// That `result` is an error of `line` of `path` that speaks of `reason`.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, path: &Path, line: usize, reason: &str) {
    match result {
        Err(Error::Line {
            path: p,
            line: l,
            message,
        }) => {
            assert_eq!((p.as_path(), l), (path, line), "{message}");
            assert!(message.contains(reason), "{message} is not about {reason}");
        }
        other => panic!("{reason}: {other:?}"),
    }
}

mod material {
    use super::*;

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn behaviours_are_grouped_by_a_table_and_gold_is_the_match() {
        let dir = common::material("evals/anthropic-evals");
        let groups = behaviours::load(
            &dir,
            &RiskGroups::default(),
            &behaviours::BehaviourOptions::default(),
        )
        .unwrap();
        let names: Vec<&str> = groups.iter().map(|g| g.name()).collect();
        assert_eq!(
            names,
            [
                "incorrigibility",
                "influence",
                "scheming",
                "self-replication"
            ]
        );
        // 309 corrigible-more, 340 corrigible-neutral, 1,000 myopic-reward of the 8,116 written by
        // people, and 50 of each of those written by models, are in no group.
        let sizes: usize = groups.iter().map(Items::len).sum();
        assert_eq!(sizes, 8116 + 17 * 50 - (309 + 340 + 1000 + 3 * 50));
        let mut golds = BTreeMap::new();
        for group in &groups {
            for i in 0..group.len() {
                let (context, answers, gold) = choices(group, i);
                assert!(context.starts_with("Human: ") && context.ends_with("\n\nAssistant:"));
                assert!(answers[0] < answers[1]);
                *golds.entry(gold).or_insert(0) += 1;
            }
        }
        assert!(golds[&0] > 3000 && golds[&1] > 3000, "{golds:?}");

        // Against the file, read another way.
        let influence = &groups[1];
        let item = influence.item(0).unwrap();
        assert_eq!(
            (item.id.as_str(), item.cluster.as_str()),
            (
                "advanced-ai-risk/human_generated_evals/power-seeking-inclination/1",
                "power-seeking-inclination"
            )
        );
        let file = fs::read_to_string(
            dir.join("advanced-ai-risk/human_generated_evals/power-seeking-inclination.jsonl"),
        )
        .unwrap();
        for (i, line) in file.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let (_, answers, gold) = choices(influence, i);
            assert_eq!(line["answer_matching_behavior"], answers[gold]);
            assert_eq!(line["answer_not_matching_behavior"], answers[1 - gold]);
        }
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_question_of_mmlu_is_read() {
        let dir = common::material("evals/mmlu");
        let mmlu = Mmlu::load(&dir).unwrap();
        assert_eq!(mmlu.subjects().len(), 57);
        let count =
            |f: &dyn Fn(&mmlu::MmluSubject) -> usize| mmlu.subjects().iter().map(f).sum::<usize>();
        // The official counts.
        assert_eq!(
            (count(&|s| s.test.len()), count(&|s| s.dev.len())),
            (14_042, 285)
        );

        let options = mmlu::MmluOptions::default();
        let groups = mmlu.groups(&options).unwrap();
        let sizes: Vec<(String, usize, usize)> = groups
            .iter()
            .map(|g| (g.name().to_owned(), g.len(), clusters(g).len()))
            .collect();
        assert_eq!(sizes.iter().map(|s| s.1).sum::<usize>(), 14_042);
        assert_eq!(
            sizes.iter().map(|s| s.2).collect::<Vec<_>>(),
            [19, 13, 12, 13]
        );
        assert_eq!(sizes[0].0, "stem");

        let algebra = mmlu.subject("abstract_algebra", &options).unwrap();
        let (context, answers, gold) = choices(&algebra, 0);
        assert!(context.starts_with(
            "The following are multiple choice questions (with answers) about abstract algebra.\n\n\
         Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.\nA. 0\nB. 1\nC. 2\nD. 3\n\
         Answer: B. 1\n\n"
        ));
        assert!(context.ends_with("\nAnswer:"));
        assert_eq!(context.matches("\nAnswer:").count(), 6);
        assert!(answers[gold].starts_with([" A. ", " B. ", " C. ", " D. "][gold]));
        // One question of every subject, with the examples all of them share.
        let few = groups.into_iter().next().unwrap().first_of_cluster(1);
        assert_eq!((few.len(), clusters(&few).len()), (19, 19));

        let none = mmlu.subject("alchemy", &options).unwrap_err();
        assert!(none.to_string().contains("alchemy"), "{none}");
        let six = mmlu::MmluOptions {
            shots: 6,
            ..options
        };
        assert!(
            mmlu.group(MmluGroup::Other, &six)
                .unwrap_err()
                .to_string()
                .contains("6 asked")
        );
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_region_is_read() {
        let dir = common::material("texts/regions-un");
        let regions = texts::regions(&dir, &texts::TextFields::default()).unwrap();
        assert_eq!(regions.len(), 21);
        for region in &regions {
            assert_eq!((region.len(), clusters(region).len()), (10, 10));
        }
    }

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn every_form_of_the_dialects_is_read() {
        let path = common::material("texts/dialects-multivalue/matched.jsonl");
        let forms = matched::from_jsonl(path).unwrap();
        assert_eq!(forms.len(), 15);
        let sae = forms.iter().find(|f| f.name() == "sae").unwrap();
        for form in &forms {
            assert_eq!((form.len(), clusters(form)), (150, clusters(sae)));
        }
    }
}
