//! Making durable what was only found.
//!
//! A frame that can be read is not a frame that is on the disk: a process that was killed between its write and its
//! fdatasync leaves the frame in the page cache, and so does a failed fdatasync, after which the kernel takes the page for clean
//! and another fdatasync for done. Whoever sees such a frame answers for it: as a follower that has the entry already and
//! acknowledges it without another write. So before anyone sees what was read, the bytes that no completed fdatasync covered are
//! written once more, which makes their pages dirty, and synced by this process.
//!
//! What was covered is what the frames themselves say (`synced`): that was written after the fdatasync had returned.
//! Dying in here changes nothing: each sector is replaced by the same bytes.

use super::super::error::WalError;
use super::super::frame::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES};
use super::super::segment::{Segment, failed, zero};

/// How far a segment's good frames reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// One of its frames says that it is durable up to here.
    pub proven: u64,
    /// Where the last good frame ends.
    pub end: u64,
}

impl Default for Extent {
    fn default() -> Extent {
        Extent {
            proven: SEGMENT_HEADER_BYTES,
            end: SEGMENT_HEADER_BYTES,
        }
    }
}

impl Extent {
    /// One more good frame.
    pub(super) fn frame(&mut self, offset: u64, header: &FrameHeader) {
        self.proven = self.proven.max(u64::from(header.synced));
        self.end = offset + header.frame_bytes();
    }

    /// Writes the frames that are not proven to be durable once more, zeros behind them up to `wipe_to`, and syncs the file.
    pub(super) fn settle(self, segment: &Segment, wipe_to: u64) -> Result<(), WalError> {
        let file = &*segment.file;
        if self.end > self.proven {
            let bytes = read_again(segment, self.proven, self.end)?;
            file.write_at(&bytes, self.proven)
                .map_err(|error| failed("write the last frames again of", &segment.path, error))?;
        }
        zero(file, self.end, wipe_to).map_err(|error| failed("wipe the torn end of", &segment.path, error))?;
        file.sync_data().map_err(|error| failed("fsync", &segment.path, error))
    }
}

/// The bytes of whole frames. They are checked again: a page that could not be written may have left the cache since it was
/// read, and what the disk has in its place must not be written over it as if it had been meant.
fn read_again(segment: &Segment, from: u64, to: u64) -> Result<Vec<u8>, WalError> {
    let mut bytes = vec![0; (to - from) as usize];
    // The file may end within the last frame's padding, which is zeros.
    segment
        .file
        .read_at(&mut bytes, from)
        .map_err(|error| failed("read", &segment.path, error))?;
    let mut at = from;
    while at < to {
        let frame = &bytes[(at - from) as usize..];
        let header = FrameHeader::decode(frame, segment.stamp(), at)
            .filter(|header| {
                let payload = frame.get(FRAME_HEADER_BYTES as usize..FRAME_HEADER_BYTES as usize + header.length as usize);
                payload.is_some_and(|payload| header.payload_matches(payload))
            })
            .ok_or_else(|| WalError::damaged(&segment.path, at, "a frame that was good is not when it is read again"))?;
        at += header.frame_bytes();
    }
    Ok(bytes)
}
