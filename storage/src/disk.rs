//! The directory of one store, as the few things that the store does with it, so that a test can put a disk in its place that
//! forgets what was not synced.
//!
//! A name in the directory is durable only after `sync_dir`; bytes of a file only after `sync_data`. Both fail for good: after a
//! failed sync nobody knows what the disk holds, and the kernel forgets the error once it was told.
//!
//! The directory is locked by an exclusive lock on the file `lock`, which lives as long as any file that was opened here: a
//! snapshot that outlives its store keeps another process from writing under it.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::mutant::Mutant;
use crate::writeback;

/// A directory.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Opens a file, creating it empty when it is missing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Renames over whatever has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// The path of a name, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file in it.
pub(crate) trait DiskFile: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` or fails.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Writes what belongs to the writes so far. It may be tried again after there was no room for it.
    fn finish_writes(&self) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()>;
    /// Asks the system to begin writing these bytes; promises nothing.
    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Waits until the system has handed these bytes to the device; promises nothing about power loss.
    fn wait_writeback(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Asks the system to forget what it has in memory of these bytes, so that the next read comes from the device; promises nothing.
    fn forget_cached(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A directory of the operating system.
#[derive(Debug)]
pub(crate) struct RealDisk {
    dir: PathBuf,
    lock: Arc<File>,
}

impl RealDisk {
    /// Creates the directory when it is missing, and locks it.
    pub(crate) fn open(dir: &Path) -> Result<RealDisk, Error> {
        if !dir.is_dir() {
            fs::create_dir_all(dir).map_err(|source| Error::io("create directory", dir, source))?;
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent).map_err(|source| Error::io("sync directory", parent, source))?;
            }
        }
        let path = dir.join("lock");
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = opened.map_err(|source| Error::io("open lock file", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(RealDisk {
                dir: dir.to_owned(),
                lock: Arc::new(file),
            }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(source)) => Err(Error::io("lock file", &path, source)),
        }
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(name))?;
        Ok(Arc::new(RealFile {
            file,
            _lock: self.lock.clone(),
        }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_directory(&self.dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// Keeps the directory locked while anybody can still read or write the file.
    _lock: Arc<File>,
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Mutant, B1.
        if Mutant::FlushNotSynced.active() {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        writeback::start(&self.file, offset, len)
    }

    fn wait_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        writeback::wait(&self.file, offset, len)
    }

    fn forget_cached(&self, offset: u64, len: u64) -> io::Result<()> {
        let advice = rustix::fs::Advice::DontNeed;
        rustix::fs::fadvise(&self.file, offset, std::num::NonZeroU64::new(len), advice).map_err(io::Error::from)
    }
}
