//! What clients put into files: bytes that are made again from a few words, so that a record of a run need not hold them.
//!
//! A content is cut where the platform cuts it, into chunks of 1 MiB. Each chunk is made of blocks that begin with whose it is and which
//! number they have, so that chunks that were mixed up are no content that anybody made. Some whole chunks are common to all contents of a
//! tenant: the platform keeps those once.
//!
//! CAVEATS: contents of a few bytes are the beginning of a tag, and may be the same.

use rig::random::Random;
use serde::{Deserialize, Serialize};

/// Where the platform cuts contents, in bytes.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes of a block.
const BLOCK_BYTES: usize = 4_096;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What its tenant's values start with.
    pub tag: String,
    /// What its own chunks begin with: starts with the tag, and is unique in the run.
    pub mark: String,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Bit n: its n-th chunk, where it is whole, is one that the tenant's contents have in common.
    pub common: u64,
}

impl Content {
    /// All of it.
    pub fn make(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0) + BLOCK_BYTES);
        for chunk in 0..self.bytes.div_ceil(CHUNK_BYTES) {
            let left = CHUNK_BYTES.min(self.bytes - chunk * CHUNK_BYTES);
            let is_common = left == CHUNK_BYTES && self.common >> (chunk % 64) & 1 == 1;
            let name = match is_common {
                true => format!("{}-common-{chunk}", self.tag),
                false => format!("{}-chunk-{chunk}", self.mark),
            };
            let end = out.len() + usize::try_from(left).unwrap_or(0);
            fill(&mut out, &name, end);
        }
        out
    }

    /// BLAKE3 of it, in hexadecimal.
    pub fn digest(&self) -> String {
        digest(&self.make())
    }

    /// What its chunks are called.
    pub fn chunks(&self) -> Vec<String> {
        let all = self.make();
        // A chunk fits into memory.
        all.chunks(CHUNK_BYTES as usize).map(digest).collect()
    }
}

/// BLAKE3 of bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Adds blocks of a name up to a length.
fn fill(out: &mut Vec<u8>, name: &str, end: usize) {
    let seed = name
        .bytes()
        .fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = Random::new(seed);
    let mut noise = Vec::with_capacity(BLOCK_BYTES);
    while noise.len() < BLOCK_BYTES {
        noise.extend_from_slice(&random.draw().to_le_bytes());
    }
    for block in 0.. {
        let start = out.len();
        if start >= end {
            break;
        }
        out.extend_from_slice(format!("{name}-{block}-").as_bytes());
        let left = BLOCK_BYTES.saturating_sub(out.len() - start);
        out.extend_from_slice(&noise[..left]);
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(mark: &str, bytes: u64, common: u64) -> Content {
        Content {
            tag: "acme".to_owned(),
            mark: format!("acme-{mark}"),
            bytes,
            common,
        }
    }

    #[test]
    fn a_content_is_as_long_as_it_says_and_the_same_again() {
        for bytes in [1, 7, 4_095, 4_096, 4_097, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let one = content("a", bytes, 0);
            assert_eq!(one.make().len() as u64, bytes);
            assert_eq!(one.digest(), one.digest());
            assert_eq!(one.chunks().len() as u64, bytes.div_ceil(CHUNK_BYTES));
            assert_eq!(one.digest() == content("b", bytes, 0).digest(), bytes <= 5, "{bytes}");
        }
    }

    #[test]
    fn only_whole_chunks_are_common() {
        let (one, other) = (
            content("a", 2 * CHUNK_BYTES + 9, 0b111),
            content("b", 2 * CHUNK_BYTES + 9, 0b101),
        );
        let (one, other) = (one.chunks(), other.chunks());
        assert_eq!(one[0], other[0]);
        assert_ne!(one[0], one[1]);
        assert!(one[1] != other[1] && one[2] != other[2]);
    }
}
