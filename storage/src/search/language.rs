//! Languages: how the words of a text are brought to their stems.

use std::borrow::Cow;

use frostem::{Algorithm, Stemmer};

/// The language of texts; the default has no stems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Language(Option<Algorithm>);

/// Languages by their codes (ISO 639-1). Append only: what is indexed names them by their place.
const LANGUAGES: [(&str, Algorithm); 18] = [
    ("ar", Algorithm::Arabic),
    ("da", Algorithm::Danish),
    ("de", Algorithm::German),
    ("el", Algorithm::Greek),
    ("en", Algorithm::English),
    ("es", Algorithm::Spanish),
    ("fi", Algorithm::Finnish),
    ("fr", Algorithm::French),
    ("hu", Algorithm::Hungarian),
    ("it", Algorithm::Italian),
    ("nl", Algorithm::Dutch),
    ("no", Algorithm::Norwegian),
    ("pt", Algorithm::Portuguese),
    ("ro", Algorithm::Romanian),
    ("ru", Algorithm::Russian),
    ("sv", Algorithm::Swedish),
    ("ta", Algorithm::Tamil),
    ("tr", Algorithm::Turkish),
];

impl Language {
    /// The language of a code, such as `en`; none: it is not known.
    pub fn of(code: &str) -> Option<Language> {
        let known = LANGUAGES.iter().find(|(known, _)| *known == code);
        known.map(|(_, algorithm)| Language(Some(*algorithm)))
    }

    /// The codes of all languages that have stems.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        LANGUAGES.iter().map(|(code, _)| *code)
    }

    /// Its code; empty for the one without stems.
    pub fn code(self) -> &'static str {
        let known = LANGUAGES.iter().find(|(_, algorithm)| Some(*algorithm) == self.0);
        known.map_or("", |(code, _)| code)
    }

    /// The stem of a word in lower case; none: there are no stems, or what is no word (it has digits) has none.
    pub(super) fn stem(self, word: &str) -> Option<Cow<'_, str>> {
        let algorithm = self.0.filter(|_| !word.bytes().any(|byte| byte.is_ascii_digit()))?;
        Some(Stemmer::new(algorithm).stem(word))
    }
}
