//! Tokens that the settings of a folder add to its vocabulary.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::super::bos::{TOKENIZER_CONFIG, field_error, settings as read};
use super::Settings;
use crate::error::Error;

const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const DECODER: &str = "added_tokens_decoder";
/// The fields that name a special token, in the order in which `transformers` adds them.
const NAMED: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A token that is found in a text whole.
struct Token {
    content: String,
    /// The file and field that name it, and the id that they give it.
    declared: Option<(PathBuf, String, u32)>,
    special: bool,
    normalized: bool,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
}

/// The added tokens in the order of their ids.
#[derive(Default)]
pub(super) struct Added(Vec<Token>);

impl Added {
    /// Reads the tokens of the settings, as `transformers` 5 does: `added_tokens_decoder` of
    /// `tokenizer_config.json`, or else `special_tokens_map.json` and `added_tokens.json`; then the
    /// special tokens that the settings or the class name.
    pub(super) fn of(settings: &Settings<'_>) -> Result<Self, Error> {
        let config = settings.config;
        let map = match config[DECODER].is_object() {
            true => Json::Null,
            false => read(&settings.dir.join(SPECIAL_TOKENS))?,
        };
        let mut added = Self::default();
        let mut named = Named::default();
        for field in NAMED.into_iter().chain(EXTRA) {
            // The map wins over the settings, as in `transformers`.
            let sources = [(SPECIAL_TOKENS, &map), (TOKENIZER_CONFIG, config)];
            let found = sources
                .into_iter()
                .find_map(|(f, map)| Some((f, map.get(field)?)));
            if let Some((file, value)) = found {
                named.0.push((field, file, value.clone()));
            }
        }
        if config[DECODER].is_object() {
            added.decoder(settings)?;
        } else {
            added.encoder(settings, &named)?;
        }
        added.specials(settings, &named)?;
        Ok(added)
    }

    /// Tokens of `added_tokens_decoder`.
    fn decoder(&mut self, settings: &Settings<'_>) -> Result<(), Error> {
        let path = settings.dir.join(TOKENIZER_CONFIG);
        let mut tokens = Vec::new();
        for (id, value) in settings.config[DECODER].as_object().into_iter().flatten() {
            let field = format!("{DECODER}.{id}");
            let Ok(number) = id.parse::<u32>() else {
                return Err(field_error(path, &field, format!("{id:?} is no token id")));
            };
            let mut token = Token::read(value, false)
                .ok_or_else(|| field_error(path.clone(), &field, format!("{value} is no token")))?;
            token.declared = Some((path.clone(), field, number));
            tokens.push((number, token));
        }
        tokens.sort_by_key(|(id, _)| *id);
        self.0.extend(tokens.into_iter().map(|(_, token)| token));
        Ok(())
    }

    /// Tokens of `added_tokens.json`.
    fn encoder(&mut self, settings: &Settings<'_>, named: &Named) -> Result<(), Error> {
        let path = settings.dir.join(ADDED_TOKENS);
        let file = read(&path)?;
        if file.is_null() {
            return Ok(());
        }
        let Some(entries) = file.as_object() else {
            return Err(Error::format(&path, "is no map from tokens to ids"));
        };
        let names = |value: &Json| Token::read(value, true).map(|token| token.content);
        let special: HashSet<String> = NAMED
            .iter()
            .filter_map(|field| match named.get(field) {
                None => settings.class.special(field).map(str::to_owned),
                Some(value) => names(value),
            })
            .chain(named.extra().filter_map(|(_, _, value)| names(value)))
            .collect();
        let mut tokens = Vec::new();
        for (content, id) in entries {
            let Some(number) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                return Err(field_error(path, content, format!("{id} is no token id")));
            };
            let special = special.contains(content);
            let mut token = Token::plain(content, special);
            token.declared = Some((path.clone(), content.clone(), number));
            tokens.push((number, token));
        }
        tokens.sort_by_key(|(id, _)| *id);
        self.0.extend(tokens.into_iter().map(|(_, token)| token));
        Ok(())
    }

    /// Special tokens that the settings or the class name.
    fn specials(&mut self, settings: &Settings<'_>, named: &Named) -> Result<(), Error> {
        let mut tokens = Vec::new();
        for field in NAMED {
            let class = settings.class.special(field).map(Json::from);
            let (file, value) = match (named.find(field), class) {
                (Some((_, file, value)), _) => (*file, value.clone()),
                (None, Some(class)) => (TOKENIZER_CONFIG, class),
                (None, None) => continue,
            };
            // An empty name stands for none, as for the beginning-of-sequence token.
            if !value.is_null() && value != "" {
                tokens.push((field, file, value));
            }
        }
        tokens.extend(
            named
                .extra()
                .map(|(field, file, value)| (field, file, value.clone())),
        );
        let places = self.0.iter().enumerate();
        let mut places: HashMap<String, usize> = places
            .map(|(place, token)| (token.content.clone(), place))
            .collect();
        for (field, file, value) in tokens {
            let Some(mut token) = Token::read(&value, true) else {
                let path = settings.dir.join(file);
                return Err(field_error(path, field, format!("{value} is no token")));
            };
            match places.get(&token.content) {
                Some(&place) => self.0[place].special |= NAMED.contains(&field),
                None => {
                    token.special = true;
                    places.insert(token.content.clone(), self.0.len());
                    self.0.push(token);
                }
            }
        }
        Ok(())
    }

    /// Adds tokens in front of those of the settings, unless they are among them.
    pub(super) fn precede(&mut self, tokens: impl Iterator<Item = (String, bool)>) {
        let known: HashSet<&str> = self.0.iter().map(|token| token.content.as_str()).collect();
        let mut first: Vec<Token> = tokens
            .filter(|(content, _)| !known.contains(content.as_str()))
            .map(|(content, special)| Token {
                normalized: false,
                ..Token::plain(&content, special)
            })
            .collect();
        first.append(&mut self.0);
        self.0 = first;
    }

    /// The tokens as JSON. `ids` finds a token of the vocabulary, `taken` is true for an id of it,
    /// and `count` is its number of tokens.
    ///
    /// # Errors
    /// A token whose declared id is not the one that the library gives it: the next free one after the
    /// vocabulary, unless the vocabulary has the token.
    pub(super) fn json(
        self,
        ids: &dyn Fn(&str) -> Option<u32>,
        taken: &dyn Fn(u32) -> bool,
        count: usize,
    ) -> Result<Json, Error> {
        let mut next = u32::try_from(count).unwrap_or(u32::MAX);
        let mut seen = HashSet::new();
        let mut list = Vec::new();
        for token in self.0 {
            if token.content.is_empty() || !seen.insert(token.content.clone()) {
                continue;
            }
            let id = ids(&token.content).unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            if let Some((path, field, declared)) = &token.declared
                && *declared != id
            {
                let message = format!(
                    "{:?} has the id {declared}, but would be token {id} of the vocabulary",
                    token.content
                );
                return Err(field_error(path.clone(), field, message));
            }
            if ids(&token.content).is_none() && taken(id) {
                // Ids of the vocabulary have gaps, and the library counts tokens.
                let (path, field) = match token.declared {
                    Some((path, field, _)) => (path, field),
                    None => (PathBuf::from(TOKENIZER_CONFIG), token.content.clone()),
                };
                let message = format!("{:?} would share the id {id}", token.content);
                return Err(field_error(path, &field, message));
            }
            list.push(token.json(id));
        }
        Ok(Json::Array(list))
    }
}

/// The fields that list further special tokens: the present name and that before it.
const EXTRA: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// The special tokens that the settings name: field, file and value.
#[derive(Default)]
struct Named(Vec<(&'static str, &'static str, Json)>);

impl Named {
    fn find(&self, field: &str) -> Option<&(&'static str, &'static str, Json)> {
        self.0.iter().find(|(name, _, _)| *name == field)
    }

    fn get(&self, field: &str) -> Option<&Json> {
        self.find(field).map(|(_, _, value)| value)
    }

    /// The tokens of the fields that are lists.
    fn extra(&self) -> impl Iterator<Item = (&'static str, &'static str, &Json)> {
        EXTRA
            .iter()
            .filter_map(|field| self.find(field))
            .flat_map(|(field, file, list)| {
                let list = list.as_array().into_iter().flatten();
                list.map(|value| (*field, *file, value))
            })
    }
}

impl Token {
    /// A token as a file writes it: its name, or an object with its properties.
    fn read(value: &Json, special: bool) -> Option<Self> {
        if let Some(content) = value.as_str() {
            return Some(Self::plain(content, special));
        }
        let flag = |field: &str| value[field].as_bool().unwrap_or(false);
        let special = special || flag("special");
        Some(Self {
            content: value["content"].as_str()?.to_owned(),
            declared: None,
            special,
            normalized: value["normalized"].as_bool().unwrap_or(!special),
            single_word: flag("single_word"),
            lstrip: flag("lstrip"),
            rstrip: flag("rstrip"),
        })
    }

    fn plain(content: &str, special: bool) -> Self {
        Self {
            content: content.to_owned(),
            declared: None,
            special,
            normalized: !special,
            single_word: false,
            lstrip: false,
            rstrip: false,
        }
    }

    fn json(&self, id: u32) -> Json {
        json!({"id": id, "content": self.content, "single_word": self.single_word,
               "lstrip": self.lstrip, "rstrip": self.rstrip, "normalized": self.normalized,
               "special": self.special})
    }
}
