//! Why an archive is not read, or not written.

use std::io;

use crate::machine::refusal::Fault;

/// Why an archive is not read. Offsets are in bytes from its beginning.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Its source fails.
    #[error("the archive cannot be read at byte {at}: {error}")]
    Io {
        /// Where.
        at: u64,
        /// Why.
        error: io::Error,
    },
    /// It does not begin as an archive does.
    #[error(
        "this is no archive of a tenant: it does not begin as one; give a file that `cloudnest tenant export --archive` wrote"
    )]
    Foreign,
    /// A newer version wrote it.
    #[error(
        "the archive has format {found} at byte 7, and this version reads formats up to {known}: read it with the version that wrote it"
    )]
    Newer {
        /// Its format.
        found: u8,
        /// The newest that is known.
        known: u8,
    },
    /// Something is missing at its end.
    #[error("the archive ends at byte {at}, and should not end there: it was cut; use another copy, or export the tenant again")]
    Cut {
        /// Where it ends.
        at: u64,
    },
    /// Bytes are not those that were written.
    #[error("the archive is damaged in the block at byte {at}: {what}; use another copy, or export the tenant again")]
    Damaged {
        /// Where the block begins.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// Something comes after its end.
    #[error(
        "the archive goes on at byte {at}, behind its end: something was added to it; use another copy, or export the tenant again"
    )]
    Longer {
        /// Where it should have ended.
        at: u64,
    },
    /// A row is whole, and yet none that this version could have written.
    #[error(
        "the archive has a row in the block at byte {at} that this version cannot take: {what}; read it with the version that wrote it"
    )]
    Row {
        /// Where the block begins.
        at: u64,
        /// What is wrong.
        what: String,
    },
}

/// Why an archive is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Where it is written to fails.
    #[error("the archive cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The store fails.
    #[error("the tenant cannot be read: {0}")]
    Storage(#[from] storage::Error),
    /// A row of the store cannot be read.
    #[error("the tenant cannot be read: {0}")]
    Fault(#[from] Fault),
    /// The space is not one that is served.
    #[error("there is no tenant in the space")]
    NoSpace,
}
