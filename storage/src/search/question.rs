//! What can be asked of an index: patterns of words, put together to clauses.
//!
//! A pattern says which words of the dictionary it takes, and how well each fits: the word as it was typed, words of the same stem, words that
//! begin so (the last word of who is still typing), words within a typo or two. The same pattern says it of the words of a text, so that what is
//! highlighted is what was found.

use std::fmt;

use tantivy::postings::TermInfo;
use tantivy::termdict::TermDictionary;

use super::shape::STEM;
use super::typo::Near;
use super::words::Cut;
use super::{SearchError, Word};
use crate::space::Space;

/// Most words of one dictionary that a pattern stands for. Raised: a prefix of two letters costs more. Lowered: it is refused sooner.
const EXPANSIONS: usize = 20_000;
/// A prefix of one letter stands for itself only.
const PREFIX_CHARS: usize = 2;

/// How well a word fits that is not the one that was typed.
const STEM_FIT: f64 = 0.8;
const PREFIX_FIT: f64 = 0.65;
const TYPO_FITS: [f64; 3] = [1.0, 0.4, 0.25];

/// A question.
#[derive(Debug)]
pub struct Question {
    /// The space that is asked.
    pub space: Space,
    /// What a record must have, each of them.
    pub needed: Vec<Clause>,
    /// What it must not have, any of them.
    pub excluded: Vec<Clause>,
    /// The collections to look into, ascending; none: all.
    pub collections: Option<Vec<u32>>,
    /// Whether it matters how many records have a word: rare ones count for more, and frequent ones are no typos. Not where who asks may not read
    /// everything: an order would tell how many there are.
    pub by_rarity: bool,
}

/// What a record has or has not.
#[derive(Debug)]
pub enum Clause {
    /// A word that fits a pattern.
    Word(Pattern),
    /// Words that fit patterns, one after the other.
    Phrase(Vec<Pattern>),
}

impl Clause {
    /// Its patterns.
    pub fn patterns(&self) -> &[Pattern] {
        match self {
            Clause::Word(pattern) => std::slice::from_ref(pattern),
            Clause::Phrase(patterns) => patterns,
        }
    }

    pub(super) fn patterns_mut(&mut self) -> &mut [Pattern] {
        match self {
            Clause::Word(pattern) => std::slice::from_mut(pattern),
            Clause::Phrase(patterns) => patterns,
        }
    }
}

/// The terms of one dictionary that a pattern means.
pub(super) struct Terms {
    /// What it says of the word itself.
    pub(super) own: Option<TermInfo>,
    /// All of them, each with how well it fits.
    pub(super) meant: Vec<(f64, TermInfo)>,
}

/// Which words are meant.
pub struct Pattern {
    text: String,
    stem: Option<String>,
    /// Whether other words of its stem are meant, too.
    is_loose: bool,
    is_prefix: bool,
    near: Option<Near>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = if self.near.is_some() { "~" } else { "" };
        let prefix = if self.is_prefix { "*" } else { "" };
        write!(formatter, "{near}{}{prefix}", self.text)
    }
}

impl Pattern {
    /// This word alone.
    pub fn exact(word: &Word) -> Pattern {
        Pattern {
            text: word.text.clone(),
            stem: None,
            is_loose: false,
            // Where it stands alone, the last character of a text without spaces is any that a pair begins with.
            is_prefix: word.cut == Cut::Last,
            near: None,
        }
    }

    /// This word, and what else may be meant by it.
    pub fn loose(word: &Word) -> Pattern {
        let near = (word.cut == Cut::Run).then(|| Near::of(&word.text)).flatten();
        Pattern {
            stem: word.stem.clone(),
            is_loose: true,
            near,
            ..Pattern::exact(word)
        }
    }

    /// The same, and all words that begin so.
    #[must_use]
    pub fn prefix(self) -> Pattern {
        Pattern {
            is_prefix: self.is_prefix || self.text.chars().count() >= PREFIX_CHARS,
            ..self
        }
    }

    /// Whether a word of a text is meant.
    pub fn fits(&self, word: &Word) -> bool {
        let own = self.stem.as_ref().unwrap_or(&self.text);
        let of_stem = word.stem.as_ref() == Some(own) || word.text == *own;
        word.text == self.text
            || (self.is_loose && of_stem)
            || (self.is_prefix && word.text.starts_with(&self.text))
            || self.near.as_ref().is_some_and(|near| near.typos(&word.text).is_some())
    }

    /// Whether words may be meant that are near this one.
    pub(super) fn forgives(&self) -> bool {
        self.near.is_some()
    }

    /// From now on no words are meant that are near this one.
    pub(super) fn means_itself(&mut self) {
        self.near = None;
    }

    /// The terms of a dictionary that are meant, but for those that are near.
    pub(super) fn terms(&self, terms: &TermDictionary, head: &str) -> Result<Terms, SearchError> {
        let begin = [head, &self.text].concat();
        let own = terms.get(&begin)?;
        let mut meant = Vec::new();
        meant.extend(own.clone().map(|info| (1.0, info)));
        if self.is_loose {
            // Words whose stem is what was typed, or the stem of what was typed.
            let stem = self.stem.as_deref().unwrap_or(&self.text);
            meant.extend(terms.get(format!("{head}{STEM}{stem}"))?.map(|info| (STEM_FIT, info)));
        }
        if let Some(stem) = &self.stem {
            meant.extend(terms.get([head, stem.as_str()].concat())?.map(|info| (STEM_FIT, info)));
        }
        if self.is_prefix {
            let end = [begin.as_bytes(), &[0xFF]].concat();
            let mut stream = terms.range().gt(&begin).lt(end).into_stream()?;
            while stream.advance() {
                meant.push((PREFIX_FIT, stream.value().clone()));
                self.check(meant.len())?;
            }
        }
        Ok(Terms { own, meant })
    }

    /// Adds the terms of a dictionary that are near.
    pub(super) fn add_near(&self, terms: &TermDictionary, head: &str, to: &mut Terms) -> Result<(), SearchError> {
        let Some(near) = &self.near else { return Ok(()) };
        let mut stream = terms.search(near.after(head)).into_stream()?;
        while let Some((term, info)) = stream.next() {
            let word = term.get(head.len()..).and_then(|word| std::str::from_utf8(word).ok());
            let typos = word.and_then(|word| near.typos(word)).filter(|typos| *typos > 0);
            if let Some(fit) = typos.and_then(|typos| TYPO_FITS.get(usize::from(typos))) {
                to.meant.push((*fit, info.clone()));
            }
        }
        Ok(())
    }

    fn check(&self, terms: usize) -> Result<(), SearchError> {
        if terms <= EXPANSIONS {
            return Ok(());
        }
        let what = format!("more than {EXPANSIONS} words begin with {:?}: type more of it", self.text);
        Err(SearchError::TooBroad(what))
    }
}
