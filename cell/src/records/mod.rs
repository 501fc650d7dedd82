//! Records: a tenant's schema-checked data.
//!
//! A request becomes a decision above the log ([`decide`]): fields are checked against the schema and turned into a
//! document, patches are merged, ids are made. What goes into the log is the whole new document with the versions of
//! everything that was read. Below the log ([`write`]) the versions are compared, and unique values, references and
//! sequences are enforced where nothing can change in between; the record, its index entries and its event are one commit.
//!
//! Invariant: index, unique and reference entries are functions of a record and its schema. They are written by the same
//! command as the record, so that no reader ever sees one without the other.

mod admit;
pub(crate) mod budget;
pub(crate) mod change;
pub(crate) mod collection_define;
pub(crate) mod collection_delete;
pub(crate) mod collection_put;
pub(crate) mod convert;
pub(crate) mod count;
mod cursor;
pub(crate) mod decide;
mod deletion;
pub(crate) mod derived;
mod documents;
pub(crate) mod entries;
pub(crate) mod events;
pub(crate) mod evolve;
pub(crate) mod expand;
pub(crate) mod export;
pub(crate) mod growth;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod import_lines;
mod indexed;
pub(crate) mod interest;
pub(crate) mod line;
mod merge;
mod page;
mod plan;
pub(crate) mod policy;
pub(crate) mod query;
mod ranges;
pub(crate) mod render;
pub(crate) mod rest;
pub(crate) mod restore;
pub(crate) mod restore_lines;
pub(crate) mod schema;
pub(crate) mod schema_change;
pub(crate) mod schema_check;
mod schema_index;
mod schema_kind;
mod sorted;
pub(crate) mod tail;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod totals;
pub(crate) mod trim;
pub(crate) mod value;
pub(crate) mod versions;
mod want;
pub(crate) mod write;

#[cfg(test)]
mod tests;
