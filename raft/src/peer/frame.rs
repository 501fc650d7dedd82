//! The frame between nodes.
//!
//! `len u32 | version u8 | kind u8 | group u64 | request u64 | payload | crc32c u32`, little-endian; `len` counts what follows it, the
//! checksum covers all between `len` and itself. TLS already protects the bytes on the way; the checksum guards the buffers on both
//! sides of it, and lets a test or a tool check a captured frame.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::FRAME_BYTES_MAX;

/// The version that this build writes; it reads the same only. A change of a message gets a new kind or a new version.
pub(crate) const WIRE_VERSION: u8 = 1;

const HEAD_BYTES: usize = 18;
const CRC_BYTES: usize = 4;

/// What a frame is. A number once given is never used for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    pub(crate) const HELLO: Kind = Kind(1);
    pub(crate) const REFUSED: Kind = Kind(2);
    pub(crate) const PING: Kind = Kind(3);
    pub(crate) const APPEND: Kind = Kind(10);
    pub(crate) const VOTE: Kind = Kind(11);
    pub(crate) const PRE_VOTE: Kind = Kind(12);
    pub(crate) const TRANSFER: Kind = Kind(13);
    pub(crate) const READ_INDEX: Kind = Kind(14);
    /// The same with the vote of who asks.
    pub(crate) const READ_INDEX_VOTED: Kind = Kind(15);
    /// Which vote the other one holds.
    pub(crate) const VOTE_HELD: Kind = Kind(16);
    pub(crate) const SNAPSHOT_BEGIN: Kind = Kind(20);
    pub(crate) const SNAPSHOT_CHUNK: Kind = Kind(21);
    pub(crate) const SNAPSHOT_END: Kind = Kind(22);
    /// The answer to a request, with its request id.
    pub(crate) const REPLY: Kind = Kind(100);
    /// The request could not be answered; the payload says why.
    pub(crate) const FAILED: Kind = Kind(101);
}

/// A frame that was received and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) group: u64,
    pub(crate) request: u64,
    pub(crate) payload: Bytes,
}

/// A frame that is being written: its payload is appended to it, then it is sealed.
pub(crate) struct FrameWriter(BytesMut);

impl FrameWriter {
    /// Begins a frame whose payload will have about this size.
    pub(crate) fn new(kind: Kind, group: u64, payload_bytes: usize) -> FrameWriter {
        let mut out = BytesMut::with_capacity(4 + HEAD_BYTES + payload_bytes + CRC_BYTES);
        out.put_u32_le(0);
        out.put_u8(WIRE_VERSION);
        out.put_u8(kind.0);
        out.put_u64_le(group);
        out.put_u64_le(0);
        FrameWriter(out)
    }

    /// Where the payload goes.
    pub(crate) fn payload(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// Size of the whole frame once it is sealed.
    pub(crate) fn len(&self) -> usize {
        self.0.len() + CRC_BYTES
    }

    /// Finishes it under a request id.
    pub(crate) fn seal(mut self, request: u64) -> Bytes {
        let length = u32::try_from(self.0.len() - 4 + CRC_BYTES).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        self.0[14..22].copy_from_slice(&request.to_le_bytes());
        let crc = crc32c::crc32c(&self.0[4..]);
        self.0.put_u32_le(crc);
        self.0.freeze()
    }
}

/// A whole frame at once.
pub(crate) fn frame(kind: Kind, group: u64, request: u64, payload: &[u8]) -> Bytes {
    let mut writer = FrameWriter::new(kind, group, payload.len());
    writer.payload().put_slice(payload);
    writer.seal(request)
}

/// Takes the next frame from the front of what was received; None when it is not complete yet.
pub(crate) fn take_frame(buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("read frame: {what}"));
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if !(HEAD_BYTES + CRC_BYTES..=FRAME_BYTES_MAX).contains(&length) {
        return Err(wrong(format!("length {length}")));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    let mut body = buffer.split_to(length).freeze();
    let crc = body.split_off(length - CRC_BYTES).get_u32_le();
    if crc32c::crc32c(&body) != crc {
        return Err(wrong("the checksum does not match".to_owned()));
    }
    let version = body.get_u8();
    if version != WIRE_VERSION {
        return Err(wrong(format!("version {version} is not known to this build")));
    }
    let (kind, group, request) = (Kind(body.get_u8()), body.get_u64_le(), body.get_u64_le());
    Ok(Some(Frame {
        kind,
        group,
        request,
        payload: body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_these_bytes() {
        let bytes = frame(Kind::VOTE, 7, 9, b"hi");
        let golden = "18000000010b0700000000000000090000000000000068693cf8cf3b";
        assert_eq!(hex(&bytes), golden);
        let mut buffer = BytesMut::from(&bytes[..]);
        let expected = Frame {
            kind: Kind::VOTE,
            group: 7,
            request: 9,
            payload: Bytes::from_static(b"hi"),
        };
        assert_eq!(take_frame(&mut buffer).unwrap(), Some(expected));
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole_and_sound() {
        let bytes = frame(Kind::APPEND, 1, 2, &[5; 100]);
        for cut in 0..bytes.len() {
            assert_eq!(take_frame(&mut BytesMut::from(&bytes[..cut])).unwrap(), None);
        }
        for place in 4..bytes.len() {
            let mut damaged = BytesMut::from(&bytes[..]);
            damaged[place] ^= 1;
            assert!(take_frame(&mut damaged).is_err(), "byte {place}");
        }
        assert!(take_frame(&mut BytesMut::from(&[0xff; 8][..])).is_err());
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
