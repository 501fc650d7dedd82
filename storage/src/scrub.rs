//! One hash over a range of keys, by which replicas find out that one of them is damaged.
//!
//! It covers what the range means and nothing of how it lies on disk: replicas at the same position give the same hash, whatever
//! they flushed, compacted or received as a snapshot. Each key and value goes in with its length before it (u32, big-endian), so
//! that no shift between them can go unseen. Reading also checks every checksum on the way.

use crate::error::Error;
use crate::key::KeyRange;
use crate::scan::Direction;
use crate::snapshot::Snapshot;

/// What a range holds, in 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeHash {
    /// BLAKE3 over the keys and values in order.
    pub hash: [u8; 32],
    /// How many keys there are.
    pub keys: u64,
}

impl Snapshot {
    /// Hashes every key and value of a range. `Error::Replaying` while spaces stand at different positions after a crash.
    pub fn hash(&self, range: KeyRange) -> Result<RangeHash, Error> {
        if let Some(upto) = self.replaying_until() {
            return Err(Error::Replaying { upto });
        }
        let mut hasher = blake3::Hasher::new();
        let mut keys = 0;
        let mut frame = Vec::new();
        for entry in self.scan(range, Direction::Forward) {
            let (key, value) = entry?;
            frame.clear();
            frame_entry(key.as_bytes(), &value, &mut frame);
            hasher.update(&frame);
            keys += 1;
        }
        Ok(RangeHash {
            hash: *hasher.finalize().as_bytes(),
            keys,
        })
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
