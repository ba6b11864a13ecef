//! The four groups of subjects.

/// One of the four groups of MMLU subjects.
///
/// The groups are those of lm-evaluation-harness, where anatomy is a STEM subject. The table of the
/// authors of MMLU has it under health, which belongs to [`MmluGroup::Other`].
///
/// Exhaustive: MMLU is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MmluGroup {
    /// Science, technology, engineering and mathematics: 19 subjects.
    Stem,
    /// Humanities: 13 subjects.
    Humanities,
    /// Social sciences: 12 subjects.
    SocialSciences,
    /// Business, health and the remaining subjects: 13.
    Other,
}

impl MmluGroup {
    /// The four groups in the order of the harness.
    pub const ALL: [Self; 4] = [
        Self::Stem,
        Self::Humanities,
        Self::SocialSciences,
        Self::Other,
    ];

    /// Name in results (`"social_sciences"`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Stem => "stem",
            Self::Humanities => "humanities",
            Self::SocialSciences => "social_sciences",
            Self::Other => "other",
        }
    }

    /// Subjects of the group, spelt as in the names of the files.
    pub fn subjects(self) -> &'static [&'static str] {
        match self {
            Self::Stem => STEM,
            Self::Humanities => HUMANITIES,
            Self::SocialSciences => SOCIAL_SCIENCES,
            Self::Other => OTHER,
        }
    }

    /// Group of a subject; `None` for a name that is not a subject of MMLU.
    pub fn of(subject: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|group| group.subjects().contains(&subject))
    }
}

const STEM: &[&str] = &[
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "electrical_engineering",
    "elementary_mathematics",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_mathematics",
    "high_school_physics",
    "high_school_statistics",
    "machine_learning",
];

const HUMANITIES: &[&str] = &[
    "formal_logic",
    "high_school_european_history",
    "high_school_us_history",
    "high_school_world_history",
    "international_law",
    "jurisprudence",
    "logical_fallacies",
    "moral_disputes",
    "moral_scenarios",
    "philosophy",
    "prehistory",
    "professional_law",
    "world_religions",
];

const SOCIAL_SCIENCES: &[&str] = &[
    "econometrics",
    "high_school_geography",
    "high_school_government_and_politics",
    "high_school_macroeconomics",
    "high_school_microeconomics",
    "high_school_psychology",
    "human_sexuality",
    "professional_psychology",
    "public_relations",
    "security_studies",
    "sociology",
    "us_foreign_policy",
];

const OTHER: &[&str] = &[
    "business_ethics",
    "clinical_knowledge",
    "college_medicine",
    "global_facts",
    "human_aging",
    "management",
    "marketing",
    "medical_genetics",
    "miscellaneous",
    "nutrition",
    "professional_accounting",
    "professional_medicine",
    "virology",
];
