//! The files of an index, written without waiting for the disk.
//!
//! The engine syncs every file that it writes, a dozen a commit, and each sync makes the log's wait. An index is a cache: whatever a loss of power
//! leaves of it is read through when it is opened, with the checksums of its files, and what is not whole is made anew. So nothing here is
//! synced, and the system writes it when it likes. A process that is killed loses nothing by that.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite, WatchCallback, WatchHandle,
    WritePtr,
};

/// What a file is called until it is whole.
const UNFINISHED: &str = "unfinished";

/// The directory of an index.
#[derive(Clone, Debug)]
pub(super) struct Files {
    path: PathBuf,
    mapped: MmapDirectory,
}

impl Files {
    /// A directory that is there.
    pub(super) fn open(path: &Path) -> tantivy::Result<Files> {
        Ok(Files {
            path: path.to_owned(),
            mapped: MmapDirectory::open(path)?,
        })
    }
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.mapped.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.mapped.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.mapped.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let opened = OpenOptions::new().write(true).create_new(true).open(self.path.join(path));
        match opened {
            Ok(file) => Ok(BufWriter::new(Box::new(Unsynced(file)))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(OpenWriteError::FileAlreadyExists(path.to_owned())),
            Err(error) => Err(OpenWriteError::wrap_io_error(error, path.to_owned())),
        }
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.mapped.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let whole = self.path.join(path);
        let unfinished = whole.with_extension(UNFINISHED);
        fs::write(&unfinished, data)?;
        fs::rename(unfinished, whole)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.mapped.acquire_lock(lock)
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        // Readers are told of a commit by who commits.
        Ok(WatchHandle::empty())
    }
}

/// A file that nobody waits for.
struct Unsynced(fs::File);

impl Write for Unsynced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TerminatingWrite for Unsynced {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.flush()
    }
}
