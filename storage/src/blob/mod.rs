//! Blobs: the chunks of files, in a directory beside a replica's store, each under the name of what it holds.
//!
//! A chunk is at most [`CHUNK_BYTES`] long and is named by the BLAKE3 hash of its bytes, so that it never changes, that the same bytes are
//! kept once, and that whoever reads it can tell whether it is what was written. Chunks lie by space: one tenant's are never another's, be
//! they the same bytes, and a tenant's go with its directory.
//!
//! ```text
//! ROOT / space, 16 hex digits / first two of the hash / hash, 64 hex digits
//! ```
//!
//! A chunk is written under a name of its own, synced, renamed, and its directory synced: it is there as a whole or not at all, and once
//! [`Blobs::put`] has answered it stays. One that is there already is answered for once its directory is known to be synced (`durable`).
//! What lies under the right name and is not what it should be is [`BlobError::Rotten`]: it is never given out, and a `put` of the right
//! bytes takes its place.
//!
//! When a chunk was last wanted, its file's time of change says: `put` renews it where the chunk is there already. [`Blobs::remove_older`]
//! takes away what was not wanted since, and nothing that is put at the same time: both take the chunk's turn.
//!
//! Invariant: this knows no references. Whoever removes knows that nothing names a chunk.
//!
//! CAVEATS: bytes are kept as they are, without a head: a chunk's format is that there is none. A directory that does not sync its names
//! (no local file system does that) could lose a chunk that was answered for.

mod durable;
mod files;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::durable::Durable;
use self::files::{failed, make, names, renew, room, sync, write};
use crate::key::push_hex;
use crate::space::Space;

/// Longest chunk, in bytes. Raised: more memory for each read and write. Lowered: more rows and more files.
pub const CHUNK_BYTES: usize = 1 << 20;
/// What chunks leave of their disk, in bytes: a log and a store that find no room stop, and files should not have them stop. Raised: a disk is
/// full of files earlier. Lowered: what is on its way to the log at that moment may not fit.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// Turns that chunks take: those of one are never under way together. Raised: more memory. Lowered: they wait for each other.
const TURNS: usize = 64;
/// What the name of a file begins with that is being written.
const UNFINISHED: &str = "new-";

/// The BLAKE3 hash of a chunk's bytes.
pub type ChunkHash = [u8; 32];

/// Why a chunk could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// It is not there.
    #[error("the chunk {0} is missing")]
    Missing(String),
    /// What lies there is not what was written.
    #[error("the chunk {0} is rotten: its bytes have another hash")]
    Rotten(String),
    /// It is longer than a chunk.
    #[error("a chunk has {0} bytes, at most {CHUNK_BYTES} are allowed")]
    TooLong(usize),
    /// The disk has no room.
    #[error("{action}: the disk is full")]
    Full {
        /// What was tried, as "verb object".
        action: &'static str,
    },
    /// The disk failed.
    #[error("{action} {path}: {source}")]
    Disk {
        /// What was tried, as "verb object".
        action: &'static str,
        /// Where.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// A chunk that lies in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub hash: ChunkHash,
    /// When it was last wanted, in seconds since the epoch.
    pub wanted: i64,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// The chunks of one replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    root: Arc<Path>,
    turns: Arc<Vec<Mutex<()>>>,
    unfinished: Arc<AtomicU64>,
    durable: Arc<Durable>,
}

impl Blobs {
    /// The chunks below a directory, which is made when the first one comes. What writes have left unfinished is removed.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        let blobs = Self {
            root: Arc::from(root),
            turns: Arc::new((0..TURNS).map(|_| Mutex::new(())).collect()),
            unfinished: Arc::default(),
            durable: Arc::new(Durable::new(sync)),
        };
        for space in blobs.spaces()? {
            blobs.sweep(space)?;
        }
        Ok(blobs)
    }

    /// Keeps a chunk for good; its name.
    pub fn put(&self, space: Space, bytes: &[u8]) -> Result<ChunkHash, BlobError> {
        if bytes.len() > CHUNK_BYTES {
            return Err(BlobError::TooLong(bytes.len()));
        }
        let hash = *blake3::hash(bytes).as_bytes();
        let _turn = self.turn(hash[0]);
        let (path, directory) = (self.path(space, &hash), self.directory(space, hash[0]));
        match self.read(space, &hash) {
            Ok(_) => {
                renew(&path)?;
                self.confirm(space, hash[0])?;
                return Ok(hash);
            }
            Err(BlobError::Missing(_) | BlobError::Rotten(_)) => {}
            Err(error) => return Err(error),
        }
        make(&self.root, &directory)?;
        if room(&directory) < RESERVE_BYTES + bytes.len() as u64 {
            return Err(BlobError::Full {
                action: "write the chunk",
            });
        }
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.space(space).join(format!("{UNFINISHED}{number}"));
        let written = write(&unfinished, bytes).and_then(|()| {
            fs::rename(&unfinished, &path).map_err(failed("rename the chunk", &path))?;
            self.durable.confirm(space, hash[0], &directory)
        });
        if written.is_err() {
            // What is left of it is swept away when the directory is opened next.
            let _ = fs::remove_file(&unfinished);
        }
        written.map(|()| hash)
    }

    /// A chunk, as it was written.
    pub fn get(&self, space: Space, hash: &ChunkHash) -> Result<Bytes, BlobError> {
        self.read(space, hash)
    }

    /// Whether there is something under a chunk's name, for good; whether that is the chunk, [`Blobs::get`] says.
    pub fn has(&self, space: Space, hash: &ChunkHash) -> bool {
        let _turn = self.turn(hash[0]);
        self.path(space, hash).is_file() && self.confirm(space, hash[0]).is_ok()
    }

    /// Makes sure that the names of chunks that are there are durable. Who calls it has their turn.
    fn confirm(&self, space: Space, first: u8) -> Result<(), BlobError> {
        match self.durable.is_known(space, first) {
            true => Ok(()),
            false => self.durable.confirm(space, first, &self.directory(space, first)),
        }
    }

    /// The spaces that have chunks, ascending.
    pub fn spaces(&self) -> Result<Vec<Space>, BlobError> {
        let numbers = names(&self.root)?;
        let mut spaces: Vec<_> = numbers
            .iter()
            .filter(|name| name.len() == 16)
            .filter_map(|name| u64::from_str_radix(name, 16).ok())
            .map(Space)
            .collect();
        spaces.sort_unstable();
        Ok(spaces)
    }

    /// The chunks of a space whose hash begins with a byte, ascending.
    pub fn list(&self, space: Space, first: u8) -> Result<Vec<Found>, BlobError> {
        let directory = self.directory(space, first);
        let mut found = Vec::new();
        for name in names(&directory)? {
            let Some(hash) = unhex(&name) else { continue };
            match fs::metadata(directory.join(&name)) {
                Ok(about) => found.push(Found {
                    hash,
                    wanted: about.mtime(),
                    bytes: about.len(),
                }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed("look at the chunk", &directory.join(&name))(error)),
            }
        }
        found.sort_unstable_by_key(|found| found.hash);
        Ok(found)
    }

    /// Removes a chunk that was not wanted since a time, in seconds since the epoch. False: it was, or is not there.
    pub fn remove_older(&self, space: Space, hash: &ChunkHash, than: i64) -> Result<bool, BlobError> {
        let _turn = self.turn(hash[0]);
        let path = self.path(space, hash);
        match fs::metadata(&path) {
            Ok(about) if about.mtime() < than => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("look at the chunk", &path)(error)),
        }
        fs::remove_file(&path).map_err(failed("remove the chunk", &path))?;
        Ok(true)
    }

    /// Removes the directories of a space that has no chunks any more. One that has some stays.
    pub fn remove_empty(&self, space: Space) {
        for first in 0..=u8::MAX {
            let _turn = self.turn(first);
            // A directory that is not empty, or not there, stays as it is.
            if fs::remove_dir(self.directory(space, first)).is_ok() {
                self.durable.forget(space, first);
            }
        }
        let _ = fs::remove_dir(self.space(space));
    }

    fn read(&self, space: Space, hash: &ChunkHash) -> Result<Bytes, BlobError> {
        let path = self.path(space, hash);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(BlobError::Missing(hex(hash))),
            Err(error) => return Err(failed("read the chunk", &path)(error)),
        };
        match blake3::hash(&bytes).as_bytes() == hash {
            true => Ok(bytes.into()),
            false => Err(BlobError::Rotten(hex(hash))),
        }
    }

    /// Removes what writes have left unfinished.
    fn sweep(&self, space: Space) -> Result<(), BlobError> {
        let directory = self.space(space);
        for name in names(&directory)? {
            if name.starts_with(UNFINISHED) {
                let path = directory.join(name);
                fs::remove_file(&path).map_err(failed("remove the file", &path))?;
            }
        }
        Ok(())
    }

    /// The turn of the chunks whose hash begins with a byte.
    fn turn(&self, first: u8) -> MutexGuard<'_, ()> {
        // There is nothing in it that a panic could leave half done.
        self.turns[usize::from(first) % TURNS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn space(&self, space: Space) -> PathBuf {
        self.root.join(format!("{:016x}", space.0))
    }

    fn directory(&self, space: Space, first: u8) -> PathBuf {
        self.space(space).join(format!("{first:02x}"))
    }

    fn path(&self, space: Space, hash: &ChunkHash) -> PathBuf {
        self.directory(space, hash[0]).join(hex(hash))
    }
}

/// A hash as lower-case hexadecimal.
pub fn hex(hash: &ChunkHash) -> String {
    let mut text = String::with_capacity(64);
    push_hex(hash, &mut text);
    text
}

/// The hash that a text of 64 lower-case hexadecimal digits is; none: it is none.
pub fn unhex(text: &str) -> Option<ChunkHash> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 64 || !text.bytes().all(is_digit) {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}
