//! Search: an index of words beside a store, derived from what the store holds.
//!
//! ```text
//!  SearchWriter   put, remove, remove_collection, remove_space, mark → commit(covered): one commit, visible to what opens afterwards
//!  SearchIndex    find(Question) → records, the best first;  mark(space): how far a space is indexed
//! ```
//!
//! An index is a cache. It may be lost, damaged, of an older version, behind the store or ahead of it: [`SearchIndex::open`] makes an empty
//! one of what it cannot use, [`SearchIndex::check`] finds the rest, and who writes follows each space from its mark on, which is part of the commit that it speaks of. The commit's
//! payload says the version and the log position that it covers.
//!
//! Where to read: `words` and `language` say what a word is; `shape` what is in a document; `question` what can be asked; `rank`, `lists` and `phrase` how matches are
//! found and ordered, the same on every replica; `scan` how a list is gone through, `value` what a word is worth in a text, `budget` what one question may
//! read; `typo` which words are near one; `index` opens, writes and reads; `view` what is seen between two commits; `files` what it is kept in.
//!
//! Invariants:
//! - What is found is of the space that was asked for: its terms begin with the space, and its column has it.
//! - An order depends on the documents of one space alone: not on segments, deleted documents, other spaces, or when what was committed.
//!
//! CAVEATS: it knows nothing of who may read what, and it does not keep texts: who asks reads the records, and shows what may be shown.

mod budget;
#[cfg(test)]
mod exhaustive;
mod files;
mod index;
mod language;
mod lists;
mod phrase;
mod question;
mod rank;
mod scan;
mod shape;
#[cfg(test)]
mod tests;
mod typo;
mod value;
mod view;
mod words;

pub use index::{SearchIndex, SearchWriter};
pub use language::Language;
pub use question::{Clause, Pattern, Question};
pub use rank::{Found, Rank};
pub use words::{Cut, Word, words};

use crate::space::Space;

/// The parts of a document, each of which weighs differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What a record is called.
    Title,
    /// What it is tagged with: short texts that are the same in many records.
    Label,
    /// Everything else.
    Body,
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Part; 3] = [Part::Title, Part::Label, Part::Body];

    const fn name(self) -> &'static str {
        match self {
            Part::Title => "title",
            Part::Label => "label",
            Part::Body => "body",
        }
    }

    /// How much a match weighs. The relevance in docs/search.md was measured with these.
    const fn weight(self) -> f64 {
        match self {
            Part::Title => 2.5,
            Part::Label => 1.2,
            Part::Body => 1.0,
        }
    }

    /// How many words it usually has: longer ones weigh less. A constant, so that an order depends on no average of what others wrote.
    const fn usual_words(self) -> f64 {
        match self {
            Part::Title => 10.0,
            Part::Label => 6.0,
            Part::Body => 120.0,
        }
    }
}

/// What is indexed of a record.
#[derive(Clone, Debug)]
pub struct Indexed<'t> {
    /// The space of the record.
    pub space: Space,
    /// Its collection.
    pub collection: u32,
    /// Its id.
    pub id: [u8; 16],
    /// The language of its texts.
    pub language: Language,
    /// Its texts.
    pub texts: Vec<(Part, std::borrow::Cow<'t, str>)>,
}

/// How far a space is indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceMark {
    /// The last position of the space that the index shows.
    pub position: u64,
    /// The stamp of that position: two histories of a space differ in it.
    pub stamp: u64,
    /// What the documents were made like; who writes says what that means.
    pub shape: u64,
}

/// Why an index did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// It is damaged, or its disk is: it must be built anew.
    #[error("the search index is of no use: {0}")]
    Unusable(String),
    /// The question matches too much. What to do is said.
    #[error("{0}")]
    TooBroad(String),
    /// It took longer than it may.
    #[error("the search took longer than it may")]
    TimedOut,
}

impl From<tantivy::TantivyError> for SearchError {
    fn from(error: tantivy::TantivyError) -> Self {
        SearchError::Unusable(error.to_string())
    }
}

impl From<std::io::Error> for SearchError {
    fn from(error: std::io::Error) -> Self {
        SearchError::Unusable(error.to_string())
    }
}
