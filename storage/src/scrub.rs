//! Scrubbing: one hash over a range of keys, by which replicas find out that one of them is damaged, and a look at every block of the
//! file that is in use.
//!
//! It covers what the range means and nothing of how it lies on disk: replicas at the same position give the same hash, whatever
//! they flushed, compacted or received as a snapshot. Each key and value goes in with its length before it (u32, big-endian), so
//! that no shift between them can go unseen. Reading also checks every checksum on the way.
//!
//! redb answers from its page cache what it has in there, so that a walk over all keys alone says little about the disk. Whatever is
//! in the cache was read from the file, and checked, or written to it since it was opened, and the file remembers those blocks
//! (`checked`). So after the walk they are read once more, past redb's cache and the system's, and every block that matters has been
//! looked at where it lies. redb's own check of its checksums is of no use here: it needs the database for itself.
//!
//! A scrub works on a thread of its own, of the lowest priority, and rests as long as it works.
//!
//! CAVEATS: a walk holds its snapshot, and with it freed pages of the file and deltas, for as long as it takes.

use crate::error::Error;
use crate::pace::Stopwatch;
use crate::range::KeyRange;
use crate::scan::Direction;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::sums::BLOCK;

/// What a range holds, in 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeHash {
    /// BLAKE3 over the keys and values in order.
    pub hash: [u8; 32],
    /// How many keys there are.
    pub keys: u64,
}

/// What a scrub found to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrubbed {
    /// All keys and values.
    pub hash: RangeHash,
    /// Blocks of 4 KiB that were read from the file and are right; 0 in a file from before there were checksums of blocks.
    pub blocks: u64,
}

/// A scrub rests after so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// The lowest priority that Linux has for ordinary threads.
const LOWEST_PRIORITY: i32 = 19;

impl Snapshot {
    /// Hashes every key and value of a range. `Error::Replaying` while spaces stand at different positions after a crash.
    pub fn hash(&self, range: KeyRange) -> Result<RangeHash, Error> {
        self.hash_in_pieces(range, || Ok(()))
    }

    /// Hashes a range, and calls after each piece.
    fn hash_in_pieces(&self, range: KeyRange, mut piece: impl FnMut() -> Result<(), Error>) -> Result<RangeHash, Error> {
        if let Some(upto) = self.replaying_until() {
            return Err(Error::Replaying { upto });
        }
        let mut hasher = blake3::Hasher::new();
        let (mut keys, mut bytes) = (0, 0);
        let mut frame = Vec::new();
        for entry in self.scan(range, Direction::Forward) {
            let (key, value) = entry?;
            frame.clear();
            frame_entry(key.as_bytes(), &value, &mut frame);
            hasher.update(&frame);
            keys += 1;
            bytes += frame.len();
            if bytes >= PIECE_BYTES {
                bytes = 0;
                piece()?;
            }
        }
        Ok(RangeHash {
            hash: *hasher.finalize().as_bytes(),
            keys,
        })
    }
}

impl Store {
    /// Hashes all that a snapshot of this store holds, and looks at every block of the file that is in use. Takes long, rests as long as
    /// it works, and lowers the priority of the thread that it is called on. `stop` is asked now and then.
    ///
    /// What is wrong halts the store and is `Damaged`. `Replaying` while spaces stand at different positions after a crash; `Closed`
    /// when the store was closed or `stop` said so.
    pub fn scrub(&self, snapshot: &Snapshot, stop: impl Fn() -> bool) -> Result<Scrubbed, Error> {
        let inner = &self.inner;
        if inner.options.pace
            && let Err(error) = rustix::process::setpriority_process(None, LOWEST_PRIORITY)
        {
            tracing::debug!(%error, "a scrub keeps its priority");
        }
        let mut watch = Stopwatch::start();
        let mut rest = || {
            if stop() || inner.lock().closed {
                return Err(Error::Closed);
            }
            if inner.options.pace {
                inner.pace.rest(watch.elapsed());
            }
            watch = Stopwatch::start();
            Ok(())
        };
        let hash = snapshot.hash_in_pieces(KeyRange::all(), &mut rest)?;
        let (mut blocks, mut next) = (0, Some(0));
        while let Some(from) = next {
            next = inner.health.watch(snapshot.view.file().verify(from, &mut blocks))?;
            if from.is_multiple_of(PIECE_BYTES as u64 / BLOCK as u64) {
                rest()?;
            }
        }
        Ok(Scrubbed { hash, blocks })
    }
}

/// `key length u32 | value length u32 | key | value`: how an entry goes into a hash and into a transfer.
pub(crate) fn frame_entry(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length(key));
    out.extend_from_slice(&length(value));
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}
