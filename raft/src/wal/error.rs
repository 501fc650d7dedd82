//! What the log refuses and why; every variant is one that a caller tells apart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A refusal or a failure of the log.
///
/// It is `Clone` because one failure is the answer to everything that waits.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WalError {
    /// The disk failed. During a write or an fsync this is final for the process: the log stops.
    #[error("{what}: {source}")]
    Io {
        /// Verb and object of what was tried.
        what: String,
        /// What the disk answered.
        source: Arc<io::Error>,
    },
    /// Another process holds this directory.
    #[error("the log in {} is in use by another process", dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// A newer version of this software wrote the file.
    #[error("{} has format {found}, written by a newer version; this build reads up to format {supported}", file.display())]
    NewerFormat {
        /// The file that says so.
        file: PathBuf,
        /// The format it names.
        found: u32,
        /// The newest that this build reads.
        supported: u32,
    },
    /// Bytes that had been durable are wrong or gone. Nothing of this log may be served.
    #[error("{} is damaged at byte {offset}: {reason}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where the first wrong byte's frame begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room for entries: the log's bound or the disk is reached. Votes are still taken.
    #[error("the log is full: {0}")]
    Full(String),
    /// The log stopped, for the reason given, until the process starts again.
    #[error("the log stopped: {0}")]
    Stopped(String),
    /// One entry is larger than a segment can hold.
    #[error("an entry of {bytes} bytes is over the log's limit of {limit} bytes")]
    TooLarge {
        /// Size of the entry.
        bytes: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// Entries that do not continue the log.
    #[error("group {group}: expected index {expected}, found {found}")]
    OutOfOrder {
        /// The group.
        group: u64,
        /// The index that continues its log.
        expected: u64,
        /// The index that was given.
        found: u64,
    },
}

impl WalError {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> WalError {
        WalError::Io {
            what: what.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, reason: impl Into<String>) -> WalError {
        WalError::Damaged {
            file: file.to_path_buf(),
            offset,
            reason: reason.into(),
        }
    }

    /// Is this a process without file descriptors? Only opening a file fails for it, so that nothing is in doubt.
    pub(crate) fn is_no_descriptor(&self) -> bool {
        let errors = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
        matches!(self, WalError::Io { source, .. } if errors.contains(&source.raw_os_error()))
    }

    /// Is this a disk without space, as opposed to a disk that fails?
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, WalError::Io { source, .. } if is_no_space(source))
    }
}

/// ENOSPC, EDQUOT and EFBIG: more space would have helped.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl From<WalError> for io::Error {
    fn from(error: WalError) -> io::Error {
        let kind = match &error {
            WalError::Io { source, .. } => source.kind(),
            WalError::Locked { .. } => io::ErrorKind::ResourceBusy,
            WalError::NewerFormat { .. } => io::ErrorKind::Unsupported,
            WalError::Damaged { .. } => io::ErrorKind::InvalidData,
            WalError::Full(_) => io::ErrorKind::StorageFull,
            WalError::Stopped(_) => io::ErrorKind::Other,
            WalError::TooLarge { .. } | WalError::OutOfOrder { .. } => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
