//! What can go wrong on the ground, in the variants that a caller tells apart.
//!
//! `Io`, `Damaged` and `Engine` are faults of the disk or of what lies on it: they halt the store, because a replica that cannot
//! trust its disk must stop serving. After `Damaged` it can be rebuilt from its peers (`Rebuild`). The others are refusals: nothing was
//! changed.

use std::io;
use std::path::{Path, PathBuf};

/// Why a call on the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a read, a write or a sync. A failed sync is never tried again.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, as "verb object".
        action: &'static str,
        /// The file or directory that it was tried on.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A checksum or a structure on disk is wrong; `what` names the key or the file.
    #[error("damaged: {what}")]
    Damaged {
        /// The printed key, or the file and its reason.
        what: String,
    },
    /// The file was written by a newer version of this program.
    #[error("{what} has format version {found}, this program reads up to {known}")]
    NewerFormat {
        /// The file or row that carries the version.
        what: String,
        /// The version that it carries.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// Another process (or another handle, or a snapshot that outlived its store) holds the directory.
    #[error("{} is locked by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The store has halted after an earlier fault; only a restart or a rebuild helps.
    #[error("the store has halted: {0}")]
    Halted(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A second batch was begun, or a snapshot installed, while a batch was open: there is one writer.
    #[error("a batch is already open")]
    BatchOpen,
    /// A batch's mark lies before the store's mark or before one of its own commands.
    #[error("mark {mark} lies before {reached}, which was already applied")]
    OutOfOrder {
        /// The mark that was to be committed.
        mark: u64,
        /// The position that had been reached.
        reached: u64,
    },
    /// A command read or wrote outside the one space that it is bound to.
    #[error("a command of space {bound} touched {touched}")]
    OtherSpace {
        /// The space of the command.
        bound: u64,
        /// The key or the range that it touched, printed.
        touched: String,
    },
    /// A key or a value is larger than the store's limits.
    #[error("{what} of {bytes} bytes is over the limit of {limit_bytes}")]
    TooLarge {
        /// Which of the two, and its printed key.
        what: String,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// A received snapshot has a hole, a wrong order, damage, or no end. Nothing of it was installed.
    #[error("snapshot refused: {0}")]
    SnapshotRefused(String),
    /// The store is replaying after a crash and its spaces stand at different positions, so a hash over them says nothing.
    #[error("replaying up to {upto}, spaces stand at different positions until then")]
    Replaying {
        /// The log position from which on all spaces agree again.
        upto: u64,
    },
    /// redb refused for a reason that is neither I/O nor damage.
    #[error("{action}: {reason}")]
    Engine {
        /// What was tried, as "verb object".
        action: &'static str,
        /// redb's answer.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io {
            action,
            path: path.into(),
            source,
        }
    }

    /// Translates redb's error on a store of this directory. `action` reads as "verb object".
    pub(crate) fn engine(action: &'static str, dir: &Path, error: impl Into<redb::Error>) -> Error {
        let damaged = |what: String| Error::Damaged {
            what: format!("{}: {action}: {what}", dir.display()),
        };
        match error.into() {
            // Our own word for a page whose checksum is wrong (`checked`).
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => damaged(source.to_string()),
            redb::Error::Io(source) => Error::io(action, dir, source),
            redb::Error::Corrupted(what) => damaged(what),
            redb::Error::TableTypeMismatch { table, .. } => damaged(format!("table {table} has another type")),
            redb::Error::PreviousIo => Error::Halted(format!("{action}: an earlier read or write failed")),
            other => Error::Engine {
                action,
                reason: other.to_string(),
            },
        }
    }

    /// Whether the disk, or what is on it, can no longer be trusted, so that the store has to halt.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Error::Io { .. } | Error::Damaged { .. } | Error::Engine { .. })
    }
}
