//! Reading a segment from its begin, and judging what follows the last good frame.

use std::io;

use super::disk::DiskFile;
use super::error::WalError;
use super::frame::{FRAME_ALIGN_BYTES, FRAME_HEADER_BYTES, FrameHeader, Kind, SEGMENT_HEADER_BYTES};
use super::segment::{Segment, failed};

const WINDOW_BYTES: usize = 1 << 20;

/// How a segment's good frames end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a seal, which names the next segment.
    Sealed { next: u64 },
    /// With something that is not a good frame: nothing yet, or a torn one.
    Open { at: u64 },
}

/// What lies behind the end of an unsealed segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Traces of this segment's frames reach up to here: the tail was torn.
    pub torn_to: Option<u64>,
    /// A good frame here says that the end had been durable: it is damage.
    pub evidence: Option<u64>,
}

/// A view of a file through one buffer.
struct Window<'a> {
    file: &'a dyn DiskFile,
    limit: u64,
    bytes: Vec<u8>,
    at: u64,
}

impl<'a> Window<'a> {
    fn new(segment: &'a Segment) -> Window<'a> {
        Window {
            file: &*segment.file,
            limit: segment.prewritten(),
            bytes: Vec::new(),
            at: 0,
        }
    }

    /// These bytes, or as many of them as there are.
    fn get(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let count = count.min(self.limit.saturating_sub(offset) as usize);
        let inside = offset >= self.at && offset + count as u64 <= self.at + self.bytes.len() as u64;
        if !inside {
            let size = WINDOW_BYTES.max(count).min(self.limit.saturating_sub(offset) as usize);
            self.bytes.resize(size, 0);
            let filled = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(filled);
            self.at = offset;
        }
        let start = (offset - self.at) as usize;
        Ok(&self.bytes[start..(start + count).min(self.bytes.len())])
    }
}

/// Calls `visit` with each good frame (its offset, header, kind and payload) until the good frames end.
pub(crate) fn scan(
    segment: &Segment,
    mut visit: impl FnMut(u64, &FrameHeader, Kind, &[u8]) -> Result<(), WalError>,
) -> Result<End, WalError> {
    let read_failed = |error| failed("read", &segment.path, error);
    let mut window = Window::new(segment);
    let mut at = SEGMENT_HEADER_BYTES;
    loop {
        let bytes = window.get(at, FRAME_HEADER_BYTES as usize).map_err(read_failed)?;
        let Some(header) = FrameHeader::decode(bytes, segment.stamp(), at) else {
            return Ok(End::Open { at });
        };
        if at + header.frame_bytes() > segment.header.capacity {
            return Ok(End::Open { at });
        }
        let length = header.length as usize;
        let bytes = window.get(at, FRAME_HEADER_BYTES as usize + length).map_err(read_failed)?;
        let payload = bytes.get(FRAME_HEADER_BYTES as usize..).unwrap_or_default();
        if !header.payload_matches(payload) {
            return Ok(End::Open { at });
        }
        let Some(kind) = Kind::from_byte(header.kind) else {
            let reason = format!(
                "a frame of kind {} is good, but this build does not know it: a newer version wrote it",
                header.kind
            );
            return Err(WalError::damaged(&segment.path, at, reason));
        };
        visit(at, &header, kind, payload)?;
        at += header.frame_bytes();
        if kind == Kind::Seal {
            return Ok(End::Sealed { next: header.index });
        }
    }
}

/// Looks for this segment's frames in what follows its last good one, at every place where one could begin.
pub(crate) fn look_behind(segment: &Segment, end: u64) -> Result<Behind, WalError> {
    let read_failed = |error| failed("read", &segment.path, error);
    let mut window = Window::new(segment);
    let mut payloads = Window::new(segment);
    let mut found = Behind::default();
    let mut at = end;
    loop {
        let bytes = window.get(at, WINDOW_BYTES).map_err(read_failed)?;
        if bytes.len() < FRAME_HEADER_BYTES as usize {
            return Ok(found);
        }
        let places = (bytes.len() as u64 - FRAME_HEADER_BYTES) / FRAME_ALIGN_BYTES + 1;
        let mut headers = Vec::new();
        for place in 0..places {
            let offset = at + place * FRAME_ALIGN_BYTES;
            let bytes = &bytes[(place * FRAME_ALIGN_BYTES) as usize..];
            headers.extend(FrameHeader::decode(bytes, segment.stamp(), offset).map(|header| (offset, header)));
        }
        for (offset, header) in headers {
            found.torn_to = found
                .torn_to
                .max(Some((offset + header.frame_bytes()).min(segment.header.capacity)));
            let payload = payloads
                .get(offset + FRAME_HEADER_BYTES, header.length as usize)
                .map_err(read_failed)?;
            if u64::from(header.synced) > end && header.payload_matches(payload) && found.evidence.is_none() {
                found.evidence = Some(offset);
            }
        }
        at += places * FRAME_ALIGN_BYTES;
    }
}
