//! A damaged store, and how the state of another replica takes its place.
//!
//! ```text
//!  store halts, or does not open ──► mark: the file `damaged`, durable ──► receive: chunks into a file beside the damaged one
//!                                                                              │ whole and durable
//!             opens as a new store ◄── unmark ◄── sync ◄── rename over it ◄────┘
//! ```
//!
//! While the mark is there the directory does not open as a store, whatever else is in it. It is taken away only when the name of the
//! new file is durable. So a crash at any point leaves a directory that is damaged and says so, or the new store; and the damaged file
//! stays where it is until there is something better.
//!
//! What was there before shares nothing with the new store but the directory and its lock: who still reads an old snapshot is refused
//! (`health`), and lets go of the old file in his own time.
//!
//! CAVEATS: the mark is about what lies on the disk. It does not make a disk whole that fails to write; then nothing is rebuilt.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, RealDisk};
use crate::error::Error;
use crate::inner::{DAMAGED, INCOMING, STORE_FILE};
use crate::pace::Pace;
use crate::received::ReceivedSnapshot;
use crate::store::{Options, Store};
use crate::transfer::SnapshotWriter;

/// The longest reason that is kept, in bytes.
const REASON_BYTES: usize = 4 << 10;

/// The directory of a damaged store, on its way to be a store again.
pub struct Rebuild {
    disk: Arc<dyn Disk>,
    reason: String,
    options: Options,
    pace: Arc<Pace>,
}

impl Rebuild {
    /// Takes the directory of a store that did not open, and marks it as damaged. Fails with `Locked` or `Io`.
    pub fn open(dir: &Path, reason: &str, options: Options) -> Result<Rebuild, Error> {
        Rebuild::on(Arc::new(RealDisk::open(dir)?), reason, options)
    }

    /// Takes the directory of a store that is open and has halted for damage, and marks it. Fails with `Halted` when the store halted
    /// for another reason, and with `Io`.
    pub fn of(store: &Store) -> Result<Rebuild, Error> {
        let inner = &store.inner;
        let Some(reason) = inner.health.damage() else {
            let other = inner.health.reason().map_or("it is not damaged", String::as_str);
            return Err(Error::Halted(other.to_owned()));
        };
        Rebuild::on(inner.disk.clone(), reason, inner.options.clone())
    }

    pub(crate) fn on(disk: Arc<dyn Disk>, reason: &str, options: Options) -> Result<Rebuild, Error> {
        let pace = Arc::new(Pace::default());
        // Where there is no room it fails, and whoever rebuilds tries again later.
        pace.leave();
        let rebuild = Rebuild {
            disk,
            reason: reason.to_owned(),
            options,
            pace,
        };
        mark(rebuild.disk.as_ref(), reason)?;
        Ok(rebuild)
    }

    /// A new file beside the damaged one, to be filled with the chunks of another replica. What an attempt before this one left is
    /// removed.
    pub fn receive(&self) -> Result<SnapshotWriter, Error> {
        // An install that failed may have taken the mark away.
        mark(self.disk.as_ref(), &self.reason)?;
        let names = self
            .disk
            .list()
            .map_err(|source| Error::io("list directory", self.disk.path(""), source))?;
        for name in names.iter().filter(|name| name.starts_with(INCOMING)) {
            self.disk
                .remove(name)
                .map_err(|source| Error::io("remove file", self.disk.path(name), source))?;
        }
        SnapshotWriter::create(&self.disk, &self.options, &self.pace)
    }

    /// Puts a received snapshot in the place of the damaged store, and opens it. When it fails, the directory is as damaged as before,
    /// or the new store is in it; it may be tried again from `receive` on.
    pub fn install(&self, mut received: ReceivedSnapshot) -> Result<Store, Error> {
        let sync = || {
            self.disk
                .sync_dir()
                .map_err(|source| Error::io("sync directory", self.disk.path(""), source))
        };
        received.rename_to(STORE_FILE)?;
        sync()?;
        // redb writes to its file when it is closed, and the store opens it anew.
        drop(received);
        self.disk
            .remove(DAMAGED)
            .map_err(|source| Error::io("remove file", self.disk.path(DAMAGED), source))?;
        sync()?;
        Store::open_on(self.disk.clone(), self.options.clone())
    }
}

/// Writes the mark. It is the name that counts, so a mark that is cut short is one all the same.
pub(crate) fn mark(disk: &dyn Disk, reason: &str) -> Result<(), Error> {
    let failed = |source| Error::io("mark as damaged", disk.path(DAMAGED), source);
    let names = disk
        .list()
        .map_err(|source| Error::io("list directory", disk.path(""), source))?;
    if !names.iter().any(|name| name == DAMAGED) {
        let file = disk.open(DAMAGED).map_err(failed)?;
        let reason = &reason.as_bytes()[..reason.len().min(REASON_BYTES)];
        file.write_at(0, reason).map_err(failed)?;
        file.sync_data().map_err(failed)?;
    }
    disk.sync_dir()
        .map_err(|source| Error::io("sync directory", disk.path(""), source))
}

/// What a marked directory answers to whoever opens it.
pub(crate) fn marked(disk: &dyn Disk) -> Error {
    let read = || {
        let file = disk.open(DAMAGED)?;
        let length = usize::try_from(file.len()?).unwrap_or(REASON_BYTES).min(REASON_BYTES);
        let mut bytes = vec![0; length];
        file.read_at(0, &mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Error::Damaged {
        what: read().unwrap_or_else(|error| format!("{} is there, and cannot be read: {error}", disk.path(DAMAGED).display())),
    }
}
