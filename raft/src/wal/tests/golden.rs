//! The bytes on the disk, written down. If one of these tests fails, the format has changed: raise its version instead.

use bytes::Bytes;

use super::*;
use crate::wal::checkpoint::Checkpoint;
use crate::wal::frame::{Frame, FrameHeader, HeaderError, Kind, SEGMENT_FORMAT, SegmentHeader, Stamp};
use crate::wal::identity::{read_identity, write_identity};

const STAMP: Stamp = Stamp {
    sequence: 7,
    salt: 0x0123_4567_89ab_cdef,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_segment_header_has_these_bytes() {
    let header = SegmentHeader {
        log: 0x00c0_ffee,
        stamp: STAMP,
        capacity: 64 << 20,
    };
    let bytes = header.encode();
    assert_eq!(
        hex(&bytes[..56]),
        "434e4c4f475345470100000000020000eeffc000000000000700000000000000efcdab89674523010000000400000000\
         886f296100000000"
    );
    assert!(bytes[52..].iter().all(|byte| *byte == 0));
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
}

#[test]
fn a_frame_has_these_bytes_and_no_other_place_takes_them() {
    let mut bytes = Vec::new();
    Frame {
        kind: Kind::Entry,
        group: 3,
        index: 42,
        payload: b"hello",
    }
    .encode(STAMP, 4096, 512, &mut bytes);
    assert_eq!(
        hex(&bytes),
        "0500000001000000000200004cbb719a03000000000000002a000000000000002a1a6a0068656c6c6f00000000000000"
    );
    let header = FrameHeader::decode(&bytes, STAMP, 4096).unwrap();
    assert_eq!(
        (header.kind, header.group, header.index, header.synced),
        (Kind::Entry as u8, 3, 42, 512)
    );
    assert!(header.payload_matches(b"hello") && !header.payload_matches(b"hallo"));
    assert_eq!(header.frame_bytes(), bytes.len() as u64);
    assert_eq!(FrameHeader::decode(&bytes, STAMP, 4104), None, "another offset");
    assert_eq!(
        FrameHeader::decode(&bytes, Stamp { salt: 1, ..STAMP }, 4096),
        None,
        "another life of the file"
    );
    assert_eq!(
        FrameHeader::decode(&bytes, Stamp { sequence: 8, ..STAMP }, 4096),
        None,
        "another segment"
    );
    for bit in 0..36 * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FrameHeader::decode(&flipped, STAMP, 4096), None, "bit {bit}");
    }
}

#[test]
fn a_checkpoint_has_these_bytes() {
    let state = Checkpoint {
        first: 5,
        next: 9,
        vote: Some(Bytes::from_static(b"vote")),
        committed: None,
        purged: Some((4, Bytes::from_static(b"p"))),
    };
    assert_eq!(
        hex(&state.encode()),
        "01050000000000000009000000000000000504000000766f746504000000000000000100000070"
    );
    assert_eq!(Checkpoint::decode(&state.encode()), Some(state.clone()));
    for length in 0..state.encode().len() {
        assert_eq!(Checkpoint::decode(&state.encode()[..length]), None);
    }
    assert_eq!(Kind::from_byte(10), Some(Kind::Closed));
    assert_eq!(Kind::from_byte(11), None);
}

#[test]
fn a_newer_segment_is_refused_by_its_name() {
    let disk = Forgetful::default();
    open(&disk).0.close().unwrap();
    let path = segment_path(1);
    let mut bytes = disk.contents(&path);
    bytes[8..12].copy_from_slice(&(SEGMENT_FORMAT + 1).to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(SEGMENT_FORMAT + 1)));
    disk.put(&path, bytes);
    let error = open_error(&disk);
    assert!(
        matches!(&error, WalError::NewerFormat { file, found: 2, supported: 1 } if *file == path),
        "{error}"
    );
}

#[test]
fn a_newer_directory_is_refused_by_its_name() {
    let disk = Forgetful::default();
    open(&disk).0.close().unwrap();
    let path = Path::new(DIR).join("FORMAT");
    let text = String::from_utf8(disk.contents(&path)).unwrap();
    assert!(text.starts_with("cloudnest log\nformat 1\nid "), "{text}");
    disk.put(&path, text.replace("format 1", "format 2").into_bytes());
    let error = open_error(&disk);
    assert!(error.to_string().contains("/log/FORMAT has format 2"), "{error}");
    write_identity(&disk, Path::new(DIR), 0xc0ffee).unwrap();
    assert_eq!(disk.contents(&path), b"cloudnest log\nformat 1\nid 0000000000c0ffee\n");
    assert_eq!(read_identity(&disk, Path::new(DIR)).unwrap(), Some(0xc0ffee));
    assert!(open_error(&disk).to_string().contains("another log"));
}
