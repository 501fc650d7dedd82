//! What chunks ask of the file system. Each failure says what was tried, and where.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

use super::BlobError;

/// Writes a file that is not there yet, and syncs it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BlobError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed("create the file", path))?;
    file.write_all(bytes).map_err(failed("write the chunk", path))?;
    file.sync_all().map_err(failed("sync the chunk", path))
}

/// Says that a chunk is wanted now.
pub(super) fn renew(path: &Path) -> Result<(), BlobError> {
    let moment = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: moment(UTIME_OMIT),
        last_modification: moment(UTIME_NOW),
    };
    utimensat(CWD, path, &times, AtFlags::empty()).map_err(|error| failed("renew the chunk", path)(error.into()))
}

/// What is free on the disk of a directory, in bytes. What cannot be asked counts as enough, since writing will tell.
pub(super) fn room(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes a directory below the root, and those between. Their names are not durable yet.
pub(super) fn make(root: &Path, directory: &Path) -> Result<(), BlobError> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(above) = directory.parent().filter(|_| directory != root) {
        make(root, above)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("create the directory", directory)(error)),
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync(directory: &Path) -> Result<(), BlobError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(failed("sync the directory", directory))
}

/// The names in a directory; one that is not there has none.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, BlobError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read the directory", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read the directory", directory))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.display().to_string();
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => BlobError::Full { action },
        _ => BlobError::Disk { action, path, source },
    }
}
