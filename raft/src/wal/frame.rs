//! The bytes of the log: a segment's header and the frames after it.
//!
//! ```text
//! segment header, 512 bytes, little-endian             frame, 36 bytes of header, padded with zeros to 8
//!   0  magic "CNLOGSEG"                                   0  length of the payload   u32
//!   8  format version         u32                         4  kind u8, then 3 zeros
//!  12  bytes of this header   u32                         8  synced                  u32
//!  16  log id                 u64                        12  crc32c of the payload   u32
//!  24  sequence number        u64                        16  group                   u64
//!  32  salt                   u64                        24  index                   u64
//!  40  capacity in bytes      u64                        32  crc32c of salt, sequence number,
//!  48  crc32c of 0..48        u32                            offset, and bytes 0..32 u32
//!  52  zeros                                             36  payload
//! ```
//!
//! The header's checksum covers the payload's checksum, and is salted by the segment and by the frame's own offset: the
//! bytes of an earlier life of a recycled file, of another segment or of another place never pass.
//!
//! `synced` is the offset up to which this segment was known to be durable when the frame was written. It decides what
//! a bad frame means when good ones follow it: if any of those says "durable beyond the bad one", then acknowledged bytes
//! were damaged; if none does, all of them belong to writes that no fdatasync had covered, and of which a power loss may
//! keep any sectors.

use crate::mutant::Mutant;

/// Bytes before the first frame. One sector, so that writing frames never touches the header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 512;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER_BYTES: u64 = 36;
/// Frames begin at multiples of this.
pub(crate) const FRAME_ALIGN_BYTES: u64 = 8;
/// The version of everything in a segment. Raise it when any byte changes its meaning; keep reading the one before.
pub(crate) const SEGMENT_FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"CNLOGSEG";

/// What a frame says. The numbers are never changed or used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An entry at `index`.
    Entry = 1,
    /// The group's vote.
    Vote = 2,
    /// The group's committed position.
    Committed = 3,
    /// Entries from `index` on are gone.
    Truncate = 4,
    /// Entries up to and including `index` are gone; the payload is the group's purged position.
    Purge = 5,
    /// The live entry at `index`, copied forward: its place changes, nothing else.
    Copy = 6,
    /// A group's state when the segment began.
    Checkpoint = 7,
    /// The checkpoints are complete; `index` is their number.
    CheckpointEnd = 8,
    /// Nothing follows in this segment; `index` is the next segment's sequence number.
    Seal = 9,
    /// The log was closed: all before it is durable.
    Closed = 10,
}

impl Kind {
    pub(crate) fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::*;
        [
            Entry,
            Vote,
            Committed,
            Truncate,
            Purge,
            Copy,
            Checkpoint,
            CheckpointEnd,
            Seal,
            Closed,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// Which segment a frame belongs to, as far as its checksum is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The segment's sequence number.
    pub sequence: u64,
    /// Drawn anew each time that a file becomes a segment.
    pub salt: u64,
}

impl Stamp {
    fn seed(self, offset: u64) -> u32 {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.salt.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..].copy_from_slice(&offset.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// A frame's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: u8,
    pub length: u32,
    pub synced: u32,
    pub payload_crc: u32,
    pub group: u64,
    pub index: u64,
}

impl FrameHeader {
    /// `None` if these bytes were not written as a frame header at this offset of this segment.
    pub(crate) fn decode(bytes: &[u8], stamp: Stamp, offset: u64) -> Option<FrameHeader> {
        let header = bytes.get(..FRAME_HEADER_BYTES as usize)?;
        // Zeros, the usual end of a log, are told apart without a checksum: a search looks at millions of places.
        if header[4] == 0 || header[5..8] != [0; 3] {
            return None;
        }
        let crc = crc32c::crc32c_append(stamp.seed(offset), &header[..32]);
        if crc != u32_at(header, 32) {
            return None;
        }
        Some(FrameHeader {
            kind: header[4],
            length: u32_at(header, 0),
            synced: u32_at(header, 8),
            payload_crc: u32_at(header, 12),
            group: u64_at(header, 16),
            index: u64_at(header, 24),
        })
    }

    pub(crate) fn payload_matches(&self, payload: &[u8]) -> bool {
        // Mutant, B18.
        let unchecked = Mutant::TornTailAccepted.active();
        payload.len() == self.length as usize && (unchecked || crc32c::crc32c(payload) == self.payload_crc)
    }

    /// Bytes from this frame's begin to the next one's.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.length as usize)
    }
}

/// Bytes that a frame with such a payload takes, padding included.
pub(crate) fn frame_bytes(payload_bytes: usize) -> u64 {
    (FRAME_HEADER_BYTES + payload_bytes as u64).next_multiple_of(FRAME_ALIGN_BYTES)
}

/// What is to be written as one frame.
pub(crate) struct Frame<'a> {
    pub kind: Kind,
    pub group: u64,
    pub index: u64,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Appends the frame's bytes, for this place in this segment.
    pub(crate) fn encode(&self, stamp: Stamp, offset: u64, synced: u64, out: &mut Vec<u8>) {
        debug_assert!(offset.is_multiple_of(FRAME_ALIGN_BYTES) && synced <= offset && offset <= u64::from(u32::MAX));
        let mut header = [0; FRAME_HEADER_BYTES as usize];
        header[..4].copy_from_slice(&(self.payload.len() as u32).to_le_bytes());
        header[4] = self.kind as u8;
        header[8..12].copy_from_slice(&(synced as u32).to_le_bytes());
        header[12..16].copy_from_slice(&crc32c::crc32c(self.payload).to_le_bytes());
        header[16..24].copy_from_slice(&self.group.to_le_bytes());
        header[24..32].copy_from_slice(&self.index.to_le_bytes());
        let crc = crc32c::crc32c_append(stamp.seed(offset), &header[..32]);
        header[32..].copy_from_slice(&crc.to_le_bytes());
        let end = out.len() + frame_bytes(self.payload.len()) as usize;
        out.extend_from_slice(&header);
        out.extend_from_slice(self.payload);
        out.resize(end, 0);
    }
}

/// What a segment's first sector says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Identity of the log: a segment of another log is refused.
    pub log: u64,
    pub stamp: Stamp,
    /// Frames end before this offset. A file may be shorter while it is being prewritten.
    pub capacity: u64,
}

/// Why a first sector is not a segment's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Newer(u32),
    Damaged(&'static str),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&(SEGMENT_HEADER_BYTES as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.stamp.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.stamp.salt.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..48]);
        bytes[48..52].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        if bytes.len() < SEGMENT_HEADER_BYTES as usize || bytes[..8] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin as a segment of the log"));
        }
        // The version stands before the checksum on purpose: a newer format may compute that differently.
        let version = u32_at(bytes, 8);
        if crc32c::crc32c(&bytes[..48]) != u32_at(bytes, 48) {
            return Err(if version > SEGMENT_FORMAT {
                HeaderError::Newer(version)
            } else {
                HeaderError::Damaged("the checksum of the segment header does not match")
            });
        }
        if version > SEGMENT_FORMAT {
            return Err(HeaderError::Newer(version));
        }
        let capacity = u64_at(bytes, 40);
        if version == 0 || u64::from(u32_at(bytes, 12)) != SEGMENT_HEADER_BYTES || capacity > u64::from(u32::MAX) {
            return Err(HeaderError::Damaged("the segment header is not possible"));
        }
        let stamp = Stamp {
            sequence: u64_at(bytes, 24),
            salt: u64_at(bytes, 32),
        };
        Ok(SegmentHeader {
            log: u64_at(bytes, 16),
            stamp,
            capacity,
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
