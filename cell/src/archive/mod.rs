//! The archive: a tenant as one file. Export, import, backup and restore have this one format; docs/archive.md has it byte by byte.
//!
//! ```text
//! CNARCH 0 | format │ head │ rows … │ chunks … │ trailer          each block: kind | length | stored length | crc32c | deflated bytes
//! ```
//!
//! What is in it is what a tenant holds at one position: every row of every `Carried` table, its key without the space, and of the header
//! what is not of a place. Slug, id, cell, space, epoch and the time of writing are not: two archives of the same content are the same
//! bytes, wherever and whenever they are made. `Derived` rows are not either: the reader builds them again ([`derive`]).
//!
//! - [`write`](fn@write) walks a snapshot, a block at a time. [`write_with`] has the chunks of files follow the rows that name them, a block each.
//! - [`Reader`] gives out chunks as a space takes them (`placement::arrive`), with keys of the space that is wanted, derived rows among
//!   them. It holds one block, and the definitions of collections. The header comes with the last chunk, once the trailer has been found
//!   right and nothing follows it: who brings chunks to a space as they come must not let it be served before.
//!
//! Invariants:
//! - A checksum covers every byte: each block has one, over its number in the file as well, and the trailer has a hash of all before it.
//! - No length is believed: blocks are bounded before they are allocated, and what they inflate to is bounded by what they say.
//! - A row that no command could have left is refused here: what a space is given is what its machine can read.
//!
//! CAVEATS: the hash says that an archive is whole, not who made it. Whoever can write one can write what they like into it, as operators
//! can. While the schema of a collection is being changed, derived rows of leftovers of a schema that is not used are not built again:
//! nobody reads them, and the operation that would have removed them finds fewer.

mod block;
mod derive;
mod error;
mod read;
mod rows;
mod write;

#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use block::forge;
pub(crate) use error::{ReadError, WriteError};
pub(crate) use read::{Chunk, Owner, Reader};
pub(crate) use write::{Summary, named, write, write_with};

/// How every archive begins.
pub(crate) const MAGIC: &[u8; 7] = b"CNARCH\0";
/// The newest format that this program reads, and the one that it writes where there are chunks of files.
const FORMAT: u8 = 2;
/// The format that it writes where there are none: what is in it is what it always was.
const PLAIN: u8 = 1;
