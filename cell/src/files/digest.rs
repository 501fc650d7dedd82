//! Cuts what arrives into chunks, and hashes it so that somebody else can go on.
//!
//! BLAKE3 is a tree, and a chunk of 1 MiB is one of its subtrees: each chunk's chaining value is kept, and the hash of the whole is made of
//! them in the end. SHA-256 is a chain: its inner value after the last whole chunk is kept, and what comes after that is hashed in the end.
//! So an upload goes on from its rows and its tail alone, at whatever node.

use blake3::hazmat::{self, HasherExt, Mode};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::digest::generic_array::GenericArray;
use storage::blob::{CHUNK_BYTES, ChunkHash};

/// Bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// The inner value of SHA-256 after some whole blocks.
pub(crate) type Inner = [u32; 8];
/// The inner value before the first of them (FIPS 180-4, 5.3.3).
pub(crate) const INITIAL: Inner = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A chunk as a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    /// Its name.
    pub(crate) hash: ChunkHash,
    /// Its chaining value at its place in the file.
    pub(crate) value: [u8; 32],
}

impl Leaf {
    /// The leaf of a chunk at its place, from 0.
    pub(crate) fn of(bytes: &[u8], place: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(place * CHUNK_BYTES as u64);
        Self {
            hash: *blake3::hash(bytes).as_bytes(),
            value: hasher.update(bytes).finalize_non_root(),
        }
    }
}

/// BLAKE3 of a whole, by its chunks.
pub(crate) fn root(leaves: &[Leaf], size: u64) -> [u8; 32] {
    match leaves {
        [] => *blake3::hash(b"").as_bytes(),
        [one] => one.hash,
        many => {
            let (left, right) = halves(many, size);
            *hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        }
    }
}

fn value(leaves: &[Leaf], size: u64) -> [u8; 32] {
    match leaves {
        [one] => one.value,
        many => {
            let (left, right) = halves(many, size);
            hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }
}

/// The values of both sides of a tree of two leaves at least.
fn halves(leaves: &[Leaf], size: u64) -> ([u8; 32], [u8; 32]) {
    let left = hazmat::left_subtree_len(size);
    let (before, after) = leaves.split_at((left / CHUNK_BYTES as u64) as usize);
    (value(before, left), value(after, size - left))
}

/// SHA-256 goes on over whole blocks.
pub(crate) fn absorb(inner: &mut Inner, blocks: &[u8]) {
    for block in blocks.chunks_exact(BLOCK) {
        sha2::compress256(inner, std::slice::from_ref(GenericArray::from_slice(block)));
    }
}

/// SHA-256 of a whole: after whole blocks comes a tail.
pub(crate) fn finish(mut inner: Inner, tail: &[u8], size: u64) -> [u8; 32] {
    let whole = tail.len() - tail.len() % BLOCK;
    absorb(&mut inner, &tail[..whole]);
    let mut last = tail[whole..].to_vec();
    last.push(0x80);
    while last.len() % BLOCK != BLOCK - 8 {
        last.push(0);
    }
    last.extend_from_slice(&(size.wrapping_mul(8)).to_be_bytes());
    absorb(&mut inner, &last);
    let mut out = [0; 32];
    for (at, word) in inner.iter().enumerate() {
        out[4 * at..4 * at + 4].copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// Bytes on their way to be chunks. It holds less than two.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    buffer: BytesMut,
}

impl Cutter {
    /// After a tail.
    pub(crate) fn after(tail: &[u8]) -> Self {
        Self {
            buffer: BytesMut::from(tail),
        }
    }

    /// Takes what has arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole chunk; none: there is not enough for one.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        (self.buffer.len() >= CHUNK_BYTES).then(|| self.buffer.split_to(CHUNK_BYTES).freeze())
    }

    /// What is left, which is no whole chunk.
    pub(crate) fn tail(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).freeze()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Hashes bytes that come in two parts, as an upload that breaks off does.
    fn hashed(bytes: &[u8], cut: usize) -> ([u8; 32], [u8; 32]) {
        let (mut leaves, mut inner) = (Vec::new(), INITIAL);
        let mut tail = Bytes::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            let mut cutter = Cutter::after(&tail);
            part.chunks(300_001).for_each(|piece| cutter.push(piece));
            while let Some(chunk) = cutter.next() {
                leaves.push(Leaf::of(&chunk, leaves.len() as u64));
                absorb(&mut inner, &chunk);
            }
            tail = cutter.tail();
        }
        let sha256 = finish(inner, &tail, bytes.len() as u64);
        if !tail.is_empty() {
            leaves.push(Leaf::of(&tail, leaves.len() as u64));
        }
        (root(&leaves, bytes.len() as u64), sha256)
    }

    #[test]
    fn the_hashes_of_the_whole_are_those_of_its_parts_wherever_it_broke_off() {
        let bytes: Vec<u8> = (0_u32..5 * CHUNK_BYTES as u32 + 70)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for size in [
            0,
            1,
            55,
            56,
            64,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            2 * CHUNK_BYTES,
            3 * CHUNK_BYTES + 5,
            4 * CHUNK_BYTES,
            bytes.len(),
        ] {
            let whole = &bytes[..size];
            let wanted = (*blake3::hash(whole).as_bytes(), Sha256::digest(whole).into());
            for cut in [0, size / 3, size.saturating_sub(1), size] {
                assert_eq!(hashed(whole, cut), wanted, "{size} bytes cut at {cut}");
            }
        }
    }
}
