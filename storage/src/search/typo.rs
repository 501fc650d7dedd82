//! Words that somebody may have meant: within so many typos of what was typed, the first letter right.
//!
//! A typo is a letter too many, too few, another one, or two that changed places. A question's word becomes an automaton that walks the
//! dictionary and sees only words that can still match.

use std::sync::OnceLock;

use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder, SINK_STATE};
use tantivy_fst::Automaton;

/// From so many letters on one typo is forgiven, and from so many two.
const ONE_TYPO_CHARS: usize = 4;
const TWO_TYPOS_CHARS: usize = 8;

/// How many typos are forgiven in a word. A digit is never taken for another.
pub(super) fn forgiven(word: &str) -> u8 {
    if word.chars().any(|character| character.is_numeric()) {
        return 0;
    }
    match word.chars().count() {
        ..ONE_TYPO_CHARS => 0,
        ONE_TYPO_CHARS..TWO_TYPOS_CHARS => 1,
        _ => 2,
    }
}

/// What is near a word.
pub(super) struct Near {
    first: String,
    rest: String,
    /// Made where it is needed: that takes as long as a short question.
    automaton: OnceLock<DFA>,
}

impl Near {
    /// What is near a word; none: only the word itself is meant.
    pub(super) fn of(word: &str) -> Option<Near> {
        let (second, _) = word.char_indices().nth(1).filter(|_| forgiven(word) > 0)?;
        let (first, rest) = word.split_at(second);
        Some(Near {
            first: first.to_owned(),
            rest: rest.to_owned(),
            automaton: OnceLock::new(),
        })
    }

    fn automaton(&self) -> &DFA {
        // What a distance needs beforehand is made once.
        static ONE: OnceLock<LevenshteinAutomatonBuilder> = OnceLock::new();
        static TWO: OnceLock<LevenshteinAutomatonBuilder> = OnceLock::new();
        self.automaton.get_or_init(|| {
            let builder = match self.first.chars().chain(self.rest.chars()).count() {
                ..TWO_TYPOS_CHARS => ONE.get_or_init(|| LevenshteinAutomatonBuilder::new(1, true)),
                _ => TWO.get_or_init(|| LevenshteinAutomatonBuilder::new(2, true)),
            };
            builder.build_dfa(&self.rest)
        })
    }

    /// How many typos lie between them; none: too many.
    pub(super) fn typos(&self, word: &str) -> Option<u8> {
        match self.automaton().eval(word.strip_prefix(&self.first)?) {
            Distance::Exact(typos) => Some(typos),
            Distance::AtLeast(_) => None,
        }
    }

    /// The automaton over terms that begin with `head`.
    pub(super) fn after<'n>(&'n self, head: &str) -> NearTerms<'n> {
        NearTerms {
            fixed: [head, &self.first].concat().into_bytes(),
            rest: self.automaton(),
        }
    }
}

/// See [`Near::after`].
pub(super) struct NearTerms<'n> {
    fixed: Vec<u8>,
    rest: &'n DFA,
}

/// Where the automaton stands.
#[derive(Clone, Copy)]
pub(super) enum At {
    /// In what must be as it is.
    Fixed(usize),
    /// In what may have typos.
    Rest(u32),
    /// Nothing can match any more.
    Lost,
}

impl Automaton for NearTerms<'_> {
    type State = At;

    fn start(&self) -> At {
        At::Fixed(0)
    }

    fn is_match(&self, at: &At) -> bool {
        matches!(at, At::Rest(state) if matches!(self.rest.distance(*state), Distance::Exact(_)))
    }

    fn can_match(&self, at: &At) -> bool {
        !matches!(at, At::Lost)
    }

    fn accept(&self, at: &At, byte: u8) -> At {
        match *at {
            At::Fixed(place) if self.fixed.get(place) != Some(&byte) => At::Lost,
            At::Fixed(place) if place + 1 == self.fixed.len() => At::Rest(self.rest.initial_state()),
            At::Fixed(place) => At::Fixed(place + 1),
            At::Rest(state) => match self.rest.transition(state, byte) {
                SINK_STATE => At::Lost,
                next => At::Rest(next),
            },
            At::Lost => At::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_forgiven_by_the_length_of_a_word() {
        let typos = |word: &str, typed: &str| Near::of(typed).and_then(|near| near.typos(word));
        assert_eq!(typos("from", "form"), Some(1), "two that changed places");
        assert_eq!(typos("form", "form"), Some(0));
        assert_eq!(typos("firm", "for"), None, "short words are meant as they are");
        assert_eq!(typos("dorm", "form"), None, "the first letter is right");
        assert_eq!(typos("replicate", "replcaite"), Some(2));
        assert_eq!(typos("replica", "relpca"), None, "two are too many for a short one");
        assert_eq!(typos("v2026", "v2025"), None, "a digit is meant as it is");
        assert_eq!(typos("größe", "größen"), Some(1));
    }
}
