//! Search: what a tenant's records say, found by words.
//!
//! ```text
//!  commands applied ── touched ──► indexer ── events from the mark on ──► rows ──► storage::search, one commit a second
//!                                                                                      │
//!  GET …/search ── syntax ──► question ── the index: ranks ──► rows of a snapshot ── rule, filter ──► items, total, facets
//! ```
//!
//! Each replica has an index of its own, which nobody replicates: it follows what its store holds. A space's mark in the index says up to which
//! position it is followed; events after it say which records to read again ([`follow`]). Where events do not reach (they are no longer
//! kept, the index is new, the schema or the language asks for other words) the records are gone through, some at a time. All of it is done by one
//! thread of the lowest priority ([`indexer`]), and writes know nothing of it but a note of which space they touched.
//!
//! An index finds candidates; what is answered are rows of the store, read then, and shown only to who may read them ([`answer`]).
//! Counts and facets are made of those rows too. Where somebody may not read everything, words are not weighed by how rare they are: an
//! order would say how many records have them.
//!
//! CAVEATS: what was committed within the last second may not be found yet, unless `consistency` asks for it.

pub(crate) mod answer;
pub(crate) mod counts;
mod cursor;
mod document;
pub(crate) mod effort;
mod facets;
mod follow;
mod indexer;
pub(crate) mod language;
mod scope;
pub(crate) mod seeker;
pub(crate) mod snippet;
mod stand;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;
