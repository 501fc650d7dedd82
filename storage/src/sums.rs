//! The checksums of a group of blocks, and of redb's header: how they lie on the disk, and what they are asked. See `checked`.

use std::io;

/// A block, in bytes: redb's page.
pub(crate) const BLOCK: usize = 4096;
/// Blocks of a group: their checksums fill one block, but for its head.
pub(crate) const GROUP_BLOCKS: u64 = 1020;
/// The sector that redb's header lies in, in bytes.
pub(crate) const HEAD_BYTES: usize = 512;
/// Where its checksum lies in it. redb's header is 320 bytes; what follows is empty.
const HEAD_SUM_AT: usize = 504;

const MAGIC: &[u8; 7] = b"CNSUMS\0";
const FORMAT: u8 = 1;
const SUMS_AT: usize = 16;

const _: () = assert!(SUMS_AT + GROUP_BLOCKS as usize * 4 == BLOCK);

/// Where a block lies in the file.
pub(crate) fn physical(block: u64) -> u64 {
    (block / GROUP_BLOCKS * (GROUP_BLOCKS + 1) + 1 + block % GROUP_BLOCKS) * BLOCK as u64
}

/// The stretches of whole blocks, each in one group, that cover the range: the first block, and how many. Block 0 is one of its own.
pub(crate) fn stretches(offset: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = (offset + len).div_ceil(BLOCK as u64);
    let mut block = offset / BLOCK as u64;
    std::iter::from_fn(move || {
        let most = if block == 0 { 1 } else { GROUP_BLOCKS - block % GROUP_BLOCKS };
        let count = end.checked_sub(block)?.min(most);
        let found = (block, count);
        block += count;
        (count > 0).then_some(found)
    })
}

/// The error of a wrong byte; `Error::engine` knows it by its kind.
pub(crate) fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The checksum of a block; never 0, which says that it was never written.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).max(1)
}

/// The checksums of one group.
#[derive(Debug)]
pub(crate) struct Sums {
    sums: Vec<u32>,
    /// Blocks that were read or written since the file was opened, a bit each.
    touched: Vec<u64>,
    /// The disk has others.
    changed: bool,
}

impl Sums {
    /// Reads a block of checksums. One that is all zeros belongs to a group that was never written. Fails with what `damaged` says.
    pub(crate) fn decode(group: u64, bytes: &[u8]) -> io::Result<Sums> {
        let (head, rest) = bytes.split_at(SUMS_AT);
        if bytes.iter().any(|byte| *byte != 0) {
            let whole = head[12..] == crc32c::crc32c(&head[..12]).to_le_bytes();
            let format = head[MAGIC.len()];
            if whole && head[..MAGIC.len()] == *MAGIC && format > FORMAT {
                let newer = format!("checksums of format {format}: written by a newer version");
                return Err(io::Error::other(newer));
            }
            if head != Sums::head(group) {
                return Err(damaged(format!("the checksums of group {group} are not what they should be")));
            }
        }
        let sums = rest
            .chunks_exact(4)
            .map(|sum| sum.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte)));
        Ok(Sums {
            sums: sums.collect(),
            touched: vec![0; (GROUP_BLOCKS as usize).div_ceil(64)],
            changed: false,
        })
    }

    fn head(group: u64) -> [u8; SUMS_AT] {
        let mut head = [0; SUMS_AT];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()] = FORMAT;
        // A file of 2^32 groups has 16 EiB.
        head[8..12].copy_from_slice(&u32::try_from(group).unwrap_or(u32::MAX).to_le_bytes());
        let sum = crc32c::crc32c(&head[..12]);
        head[12..].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// The block to write, if the disk has another.
    pub(crate) fn changes(&self, group: u64) -> Option<Vec<u8>> {
        self.changed.then(|| {
            let mut out = Sums::head(group).to_vec();
            self.sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
            out
        })
    }

    /// The block was written.
    pub(crate) fn written(&mut self) {
        self.changed = false;
    }

    /// Whether a block is what was written, or was never written. It counts as read if so.
    pub(crate) fn is_right(&mut self, at: u64, bytes: &[u8]) -> bool {
        let known = self.sums[at as usize];
        let right = known == 0 || known == sum(bytes);
        if right && known != 0 {
            self.touch(at);
        }
        right
    }

    /// A block was written.
    pub(crate) fn set(&mut self, at: u64, sum: u32) {
        self.touch(at);
        self.sums[at as usize] = sum;
        self.changed = true;
    }

    /// A block is gone.
    pub(crate) fn forget(&mut self, at: u64) {
        self.touched[at as usize / 64] &= !(1 << (at % 64));
        self.changed |= std::mem::take(&mut self.sums[at as usize]) != 0;
    }

    pub(crate) fn is_touched(&self, at: u64) -> bool {
        self.touched[at as usize / 64] & (1 << (at % 64)) != 0
    }

    fn touch(&mut self, at: u64) {
        self.touched[at as usize / 64] |= 1 << (at % 64);
    }
}

/// The sector with redb's header: `header | zeros | crc32c of all before it u32 | zeros`. Written in place, and whole, so that a crash
/// leaves the old one or the new one, each with its checksum.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES],
}

impl Default for Head {
    fn default() -> Head {
        Head { bytes: [0; HEAD_BYTES] }
    }
}

impl Head {
    /// The sector as it was found.
    pub(crate) fn of(bytes: [u8; HEAD_BYTES]) -> Head {
        Head { bytes }
    }

    /// Changes some of it, and returns what is to be written.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) -> io::Result<[u8; HEAD_BYTES]> {
        let own = data.len().min(HEAD_SUM_AT.saturating_sub(offset));
        if data[own..].iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("redb wrote behind its header"));
        }
        self.bytes[offset.min(HEAD_SUM_AT)..][..own].copy_from_slice(&data[..own]);
        let sum = sum(&self.bytes[..HEAD_SUM_AT]);
        self.bytes[HEAD_SUM_AT..HEAD_SUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
        Ok(self.bytes)
    }

    /// Whether a block 0 is what was written last, or at least what somebody wrote.
    pub(crate) fn is_right(&self, block: &[u8]) -> bool {
        let found = &block[HEAD_SUM_AT..HEAD_SUM_AT + 4];
        let never = block[..HEAD_BYTES].iter().all(|byte| *byte == 0);
        (never && self.bytes == [0; HEAD_BYTES]) || found == sum(&block[..HEAD_SUM_AT]).to_le_bytes()
    }

    /// Takes the checksum out of a block 0.
    pub(crate) fn hide(block: &mut [u8]) {
        block[HEAD_SUM_AT..HEAD_BYTES].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_group_never_change() {
        let mut sums = Sums::decode(3, &[0; BLOCK]).unwrap();
        assert_eq!(sums.changes(3), None);
        sums.set(0, 0x0403_0201);
        sums.set(1019, sum(b"block"));
        let bytes = sums.changes(3).unwrap();
        assert_eq!(bytes[..20], *b"CNSUMS\0\x01\x03\0\0\0\x47\x9d\x81\xec\x01\x02\x03\x04");
        let mut again = Sums::decode(3, &bytes).unwrap();
        assert!(again.is_right(1019, b"block") && !again.is_right(1019, b"black") && again.is_right(7, b"never written"));
        assert!(again.is_touched(1019) && !again.is_touched(7) && !again.is_touched(0));
        assert!(Sums::decode(4, &bytes).is_err(), "a block of checksums in the wrong place");
        for bit in 0..SUMS_AT * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Sums::decode(3, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_flipped_bit_of_the_header_is_found() {
        let mut head = Head::default();
        let mut block = vec![0; BLOCK];
        assert!(head.is_right(&block), "never written");
        let written = head.write(0, &[7; 320]).unwrap();
        assert!(!head.is_right(&block), "zeros in the place of a header");
        block[..HEAD_BYTES].copy_from_slice(&written);
        assert!(Head::of(written).is_right(&block));
        for bit in 0..HEAD_SUM_AT * 8 + 32 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(!head.is_right(&block), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        Head::hide(&mut block);
        assert_eq!(block[..320], [7; 320]);
        assert!(block[320..].iter().all(|byte| *byte == 0));
        assert!(head.write(500, &[1; 8]).is_err());
        head.write(320, &[0; 300]).unwrap();
    }

    #[test]
    fn blocks_lie_one_after_another_with_their_checksums_in_front() {
        assert_eq!(physical(0), 4096);
        assert_eq!(physical(1019), 1020 * 4096);
        assert_eq!(physical(1020), 1022 * 4096);
    }
}
