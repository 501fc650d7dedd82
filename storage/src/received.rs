//! A received snapshot, on its way from a file of its own to the store's.

use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Error;
use crate::ground::Ground;
use crate::progress::{Mark, Progress};

/// A file that is no store yet, and is removed unless it becomes one.
pub(crate) struct Incoming {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) name: String,
    pub(crate) kept: bool,
}

impl Incoming {
    /// The file of this name, which may not be there yet.
    pub(crate) fn new(disk: &Arc<dyn Disk>, name: String) -> Incoming {
        let disk = disk.clone();
        Incoming { disk, name, kept: false }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.disk.remove(&self.name)
        {
            tracing::warn!(%error, file = %self.name, "could not remove a snapshot that was not installed");
        }
    }
}

/// A whole snapshot in a file of its own, verified and durable, not installed yet. Dropping it removes the file.
pub struct ReceivedSnapshot {
    pub(crate) ground: Arc<Ground>,
    pub(crate) incoming: Incoming,
    pub(crate) progress: Progress,
}

impl ReceivedSnapshot {
    /// The position of the snapshot.
    pub fn mark(&self) -> &Mark {
        &self.progress.base
    }

    /// Puts the file under the store's name, which is not durable before the directory is synced. From then on it is not removed.
    pub(crate) fn rename_to(&mut self, name: &str) -> Result<(), Error> {
        let disk = &self.incoming.disk;
        let failed = |source| Error::io("rename file", disk.path(&self.incoming.name), source);
        disk.rename(&self.incoming.name, name).map_err(failed)?;
        self.incoming.kept = true;
        Ok(())
    }

    pub(crate) fn kept(&self) -> bool {
        self.incoming.kept
    }
}
