//! Options of the estimator from a file.

use std::path::Path;

use relscale::fit::Options;

use crate::commands::fields::{read_fields, typed};

/// Reads options in TOML or JSON. In their place an analysis as `--json` writes it may stand, whose options
/// are used again. `baseline` is used instead of the one in the file.
///
/// # Errors
/// A file that cannot be read, a field that is unknown or of another type: the file, the field and, where
/// one is like it, the field that was meant.
pub(in crate::commands) fn read(path: &Path, baseline: Option<&str>) -> Result<Options, String> {
    let mut fields = read_fields(path, "options", "schema")?;
    if let Some(baseline) = baseline {
        fields.insert("baseline".to_owned(), baseline.into());
    }
    if !fields.contains_key("baseline") {
        let cure = "set it there, or give --baseline NAME";
        return Err(format!("{}: no `baseline`: {cure}", path.display()));
    }
    typed(path, fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relscale::fit::{Contrast, DesignChoice, Group};

    fn parse(text: &str, baseline: Option<&str>) -> Result<Options, String> {
        let name = format!("relscale-options-{:?}.toml", std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let read = read(&path, baseline);
        std::fs::remove_file(path).unwrap();
        read
    }

    #[test]
    fn toml_and_json_give_the_same_options() {
        let toml = "baseline = \"web\"\ndesign = \"rungs\"\nalpha = 0.1\npredict_at = [1e21, 3e21]\n\
                    [[contrasts]]\ntreatment = \"law\"\nbaseline = \"code\"\n\
                    [groups]\nrisky = [\"fraud\", \"weapons\"]\n";
        let mut wanted = Options::new("web");
        wanted.design = DesignChoice::Rungs;
        wanted.alpha = 0.1;
        wanted.predict_at = vec![1e21, 3e21];
        wanted.contrasts = vec![Contrast::new("law", "code")];
        let group = Group::Equal(vec!["fraud".into(), "weapons".into()]);
        wanted.groups.insert("risky".into(), group);
        assert_eq!(parse(toml, None).unwrap(), wanted);
        let json = serde_json::to_string(&wanted).unwrap();
        assert_eq!(parse(&json, None).unwrap(), wanted);
        let analysis = format!("{{\"schema\": 2, \"options\": {json}, \"laws\": []}}");
        assert_eq!(parse(&analysis, None).unwrap(), wanted);
        wanted.baseline = "law".into();
        assert_eq!(parse(toml, Some("law")).unwrap(), wanted);
        assert_eq!(parse("", Some("web")).unwrap(), Options::new("web"));
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        for (text, parts) in [
            ("alpha = 0.1", vec!["no `baseline`", "--baseline NAME"]),
            (
                "baseline = \"web\"\nmargin_percnt = 1",
                vec![
                    "unknown field `margin_percnt`",
                    "did you mean `margin_percent`?",
                ],
            ),
            (
                "baseline = \"web\"\ndesign = \"rung\"",
                vec!["`design`: unknown variant", "did you mean `rungs`?"],
            ),
            (
                "baseline = \"web\"\nalpha = \"x\"",
                vec!["`alpha`: invalid type"],
            ),
            (
                "baseline = \"web\"\n[[contrasts]]\ntreatment = \"a\"\nbase = \"b\"",
                vec![
                    "`contrasts[0].base`",
                    "unknown field `base`",
                    "did you mean `baseline`?",
                ],
            ),
            ("baseline = \"web\"\nalpha = = 1", vec!["line 2: "]),
            ("{\"baseline\": \"web\",}", vec!["line 1"]),
            (
                "baseline = \"web\"\nalpha = 0.1\n[options]\nseed = 3",
                vec!["unknown field `options`"],
            ),
            // A table of TOML.
            ("[\"web\"]", vec!["no `baseline`"]),
        ] {
            let message = parse(text, None).unwrap_err();
            assert_eq!(message.lines().count(), 1, "{message}");
            for part in parts {
                assert!(message.contains(part), "no {part} in {message}");
            }
        }
    }
}
