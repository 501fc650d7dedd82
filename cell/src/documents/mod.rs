//! Documents: texts that several people write at the same time.
//!
//! A field of the type `document` holds a document of Yjs. What clients send are updates: bytes that any replica can merge in any
//! order. They go through the log as they are ([`update`]) and become rows, one an update. Nothing below the log reads them. Above it
//! the leader checks that an update can be read and applied at all, answers what a client lacks ([`merge`]), and every so often
//! proposes what has become of the document ([`settle`]): its plain text, which is what the record shows, finds and remembers as the
//! field, and one merged update in the place of many.
//!
//! Invariants:
//! - The document is what all its rows together say; settling changes how many there are, never what they say.
//! - The text in a record is that of some moment of the document; it is written by [`settle`] alone. Writes of the record keep it.
//! - The rows of a document go with its record, or with its field.
//!
//! CAVEATS: The text is behind the document by a second or so. Lines of an export have the text and not the document; an archive has both.

mod check;
pub(crate) mod merge;
pub(crate) mod rows;
pub(crate) mod settle;
pub(crate) mod update;

/// The level that a cell must have for its tenants to have documents.
pub(crate) const LEVEL: u32 = 2;
/// Most bytes of all updates of a document. One command carries them merged, and a row holds them.
pub(crate) const DOCUMENT_BYTES: usize = 768 * 1024;
/// More rows than this are merged into one. Raised: opening a document reads more. Lowered: busy documents are written anew more often.
pub(crate) const ROWS: usize = 64;
/// Longest text that a record shows of a document, in characters: what is behind it is in the document alone.
pub(crate) const TEXT_CHARS: usize = 100_000;
