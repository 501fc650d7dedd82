//! What people type into a field of search, as clauses.
//!
//! ```text
//!  release notes          both words, each also in other forms, or with a typo
//!  "release notes"        these words, one after the other
//!  -draft  -"to do"       not that
//!  releas*                words that begin so; the last word always may be such a beginning
//! ```
//!
//! What is no word is not looked at. A word that has something in its midst (`CN-12`, `user_id`, `node.js`) is a phrase of its parts.

use api::error::{Code, Error};
use storage::search::{Clause, Cut, Language, Pattern, Word, words};

/// Longest question, in characters.
pub(crate) const QUESTION_CHARS: usize = 500;
/// Most words of a question, those in phrases included. Raised: a question costs more. Lowered: long titles cannot be pasted.
const WORDS: usize = 32;

/// A question that was read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// What a record must have, each of them.
    pub(crate) needed: Vec<Clause>,
    /// What it must not have, any of them.
    pub(crate) excluded: Vec<Clause>,
}

/// A piece of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece<'q> {
    text: &'q str,
    is_excluded: bool,
    is_quoted: bool,
    /// Nothing comes after it: it may not be finished.
    is_last: bool,
}

/// Reads a question. The error says what is wrong and at which character.
pub(crate) fn parse(question: &str, language: Language) -> Result<Parsed, Error> {
    let chars = question.chars().count();
    if chars > QUESTION_CHARS {
        return Err(wrong(format!("has {chars} characters, at most {QUESTION_CHARS} are allowed")));
    }
    let (mut parsed, mut count) = (Parsed::default(), 0);
    for piece in pieces(question)? {
        let words: Vec<Word> = words(piece.text, language).collect();
        count += words.len();
        if count > WORDS {
            return Err(wrong(format!("has more than {WORDS} words: leave some out")));
        }
        let list = match piece.is_excluded {
            true => &mut parsed.excluded,
            false => &mut parsed.needed,
        };
        list.extend(clause(&words, piece));
    }
    if parsed.needed.is_empty() {
        let what = match parsed.excluded.is_empty() {
            true => "has no word to look for",
            false => "says only what is not wanted: a search needs a word to look for",
        };
        return Err(wrong(what.to_owned()));
    }
    Ok(parsed)
}

fn wrong(what: String) -> Error {
    Error::new(Code::InvalidParameter, format!("q: {what}"))
}

/// Cuts a question at spaces and quotes.
fn pieces(question: &str) -> Result<Vec<Piece<'_>>, Error> {
    let (mut pieces, mut rest) = (Vec::new(), question);
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(pieces);
        }
        let is_excluded = rest.starts_with('-');
        let begun = &rest[usize::from(is_excluded)..];
        let (text, after, is_quoted) = match begun.strip_prefix('"') {
            Some(inner) => {
                let (text, after) = inner.split_once('"').ok_or_else(|| {
                    let at = question[..question.len() - begun.len()].chars().count();
                    wrong(format!("the quote at character {at} is not closed"))
                })?;
                (text, after, true)
            }
            None => {
                let end = begun.find(|character: char| character.is_whitespace() || character == '"');
                let (text, after) = begun.split_at(end.unwrap_or(begun.len()));
                (text, after, false)
            }
        };
        pieces.push(Piece {
            text,
            is_excluded,
            is_quoted,
            is_last: after.is_empty(),
        });
        rest = after;
    }
}

/// What a piece asks for; none: it has no word.
fn clause(words: &[Word], piece: Piece<'_>) -> Option<Clause> {
    let is_prefix = !piece.is_quoted && (piece.text.ends_with('*') || (piece.is_last && !piece.is_excluded));
    let begins = |pattern: Pattern| if is_prefix { pattern.prefix() } else { pattern };
    // The last character of what has no spaces goes with the pair before it.
    let in_pair =
        words.len() > 1 && words.last().is_some_and(|last| last.cut == Cut::Last) && words[words.len() - 2].cut == Cut::Pair;
    match &words[..words.len() - usize::from(in_pair)] {
        [] => None,
        [word] if piece.is_quoted => Some(Clause::Word(Pattern::exact(word))),
        [word] => Some(Clause::Word(begins(Pattern::loose(word)))),
        [before @ .., last] => {
            let before = before.iter().map(Pattern::exact);
            Some(Clause::Phrase(before.chain([begins(Pattern::exact(last))]).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(question: &str) -> String {
        let parsed = parse(question, Language::of("en").expect("a language")).expect(question);
        let clause = |clause: &Clause| match clause {
            Clause::Word(pattern) => format!("{pattern:?}"),
            Clause::Phrase(patterns) => format!("{patterns:?}"),
        };
        let list = |clauses: &[Clause]| clauses.iter().map(clause).collect::<Vec<_>>().join(" ");
        match parsed.excluded.is_empty() {
            true => list(&parsed.needed),
            false => format!("{} NOT {}", list(&parsed.needed), list(&parsed.excluded)),
        }
    }

    #[test]
    fn words_phrases_and_what_is_not_wanted_are_told_apart() {
        for (question, clauses) in [
            ("release notes", "~release ~notes*"),
            ("release notes ", "~release ~notes"),
            ("\"release notes\"", "[release, notes]"),
            ("log -\"to do\" -drafts", "log NOT [to, do] ~drafts"),
            ("log -draft", "log NOT ~draft"),
            ("CN-12", "[cn, 12*]"),
            ("cn-12 is", "[cn, 12] is*"),
            ("re* a", "re* a"),
            ("\"form\"", "form"),
            ("say\"these words\"now", "say [these, words] now*"),
            ("?! x…y", "[x, y]"),
            ("東京都 ", "[東京, 京都]"),
            ("東", "東*"),
        ] {
            assert_eq!(shown(question), clauses, "{question}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (question, what) in [
            ("", "no word"),
            ("   ", "no word"),
            ("\"\" - ?", "no word"),
            ("-draft", "only what is not wanted"),
            ("élan \"not closed", "the quote at character 5 is not closed"),
            ("a -\"b", "the quote at character 3 is not closed"),
        ] {
            let error = parse(question, Language::default()).expect_err(question);
            assert!(
                error.code == Code::InvalidParameter && error.detail.contains(what),
                "{question}: {error}"
            );
        }
        assert!(parse(&"x".repeat(QUESTION_CHARS + 1), Language::default()).is_err());
        assert!(parse(&"x ".repeat(WORDS + 1), Language::default()).is_err());
        assert!(parse(&"x ".repeat(WORDS), Language::default()).is_ok());
    }
}
