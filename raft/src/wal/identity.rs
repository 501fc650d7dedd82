//! The file `FORMAT`: it says that a directory is a log, in which format, and gives the log an identity.
//!
//! It is three lines of text, so that whoever looks into the directory can read it:
//!
//! ```text
//! cloudnest log
//! format 1
//! id 00c0ffee00c0ffee
//! ```
//!
//! It is written after the first segment is durable. So a directory with `FORMAT` and without segments has lost its log,
//! and is refused: a node without its votes must not come back under its old identity.

use std::io;
use std::path::Path;

use super::disk::Disk;
use super::error::WalError;
use super::segment::failed;

/// Raise it when a directory is laid out so differently that an older build must not touch it.
pub(crate) const LOG_FORMAT: u32 = 1;
pub(crate) const FORMAT_NAME: &str = "FORMAT";
pub(crate) const LOCK_NAME: &str = "LOCK";
const FORMAT_DRAFT_NAME: &str = "FORMAT.new";

/// The log's identity, or `None` in a directory that is not one yet.
pub(crate) fn read_identity(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, WalError> {
    let path = dir.join(FORMAT_NAME);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path, error)),
    };
    let mut bytes = [0; 256];
    let count = file.read_at(&mut bytes, 0).map_err(|error| failed("read", &path, error))?;
    let text = String::from_utf8_lossy(&bytes[..count]);
    let mut lines = text.lines();
    let damaged = |reason: &str| WalError::damaged(&path, 0, reason);
    if lines.next() != Some("cloudnest log") {
        return Err(damaged("it does not say that this is a log"));
    }
    let format = lines
        .next()
        .and_then(|line| line.strip_prefix("format ")?.parse::<u32>().ok());
    let found = format
        .filter(|format| *format > 0)
        .ok_or_else(|| damaged("it names no format"))?;
    if found > LOG_FORMAT {
        return Err(WalError::NewerFormat {
            file: path,
            found,
            supported: LOG_FORMAT,
        });
    }
    let id = lines
        .next()
        .and_then(|line| u64::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    id.map(Some).ok_or_else(|| damaged("it names no identity"))
}

/// Writes the file, durably and at once.
pub(crate) fn write_identity(disk: &dyn Disk, dir: &Path, id: u64) -> Result<(), WalError> {
    let (draft, path) = (dir.join(FORMAT_DRAFT_NAME), dir.join(FORMAT_NAME));
    let text = format!("cloudnest log\nformat {LOG_FORMAT}\nid {id:016x}\n");
    let file = disk.create(&draft).map_err(|error| failed("create", &draft, error))?;
    file.write_at(text.as_bytes(), 0)
        .map_err(|error| failed("write", &draft, error))?;
    file.sync_data().map_err(|error| failed("fsync", &draft, error))?;
    disk.rename(&draft, &path).map_err(|error| failed("rename", &draft, error))?;
    disk.sync_dir(dir).map_err(|error| failed("fsync", dir, error))
}
