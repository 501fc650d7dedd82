//! One segment file: how it is named, made, prewritten and read.
//!
//! A file becomes a segment in this order, each step durable before the next: bytes (zeros, or an earlier life's), header
//! with a new salt, name. So a file with a segment's name always has a good header, and anything else is damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::disk::{Disk, DiskFile};
use super::error::WalError;
use super::frame::{
    FRAME_HEADER_BYTES, FrameHeader, HeaderError, Kind, SEGMENT_FORMAT, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp,
};
use super::options::PREWRITE_STEP_BYTES;
use super::runs::Place;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A segment that is in use.
pub(crate) struct Segment {
    pub header: SegmentHeader,
    pub path: PathBuf,
    pub file: Box<dyn DiskFile>,
    /// The file is durable up to here: writing below it never grows the file.
    pub prewritten: AtomicU64,
    /// Bytes of the entries in it that are needed. It can be released at 0.
    pub live: AtomicU64,
}

/// `00000000000000000007.segment`, so that names sort by age.
pub(crate) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}.segment")
}

/// The sequence number in a segment's name.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// A file that waits to become a segment.
pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number}")
}

/// The number in a spare's name.
pub(crate) fn spare_number(name: &str) -> Option<u64> {
    name.strip_prefix("spare-")?.parse().ok()
}

impl Segment {
    pub(crate) fn sequence(&self) -> u64 {
        self.header.stamp.sequence
    }

    pub(crate) fn prewritten(&self) -> u64 {
        self.prewritten.load(Ordering::Acquire)
    }

    /// Makes `spare` the segment with this header: a prewritten file, or one that does not exist yet.
    pub(crate) fn make(disk: &dyn Disk, dir: &Path, spare: &Path, header: SegmentHeader) -> Result<Arc<Segment>, WalError> {
        let file = match disk.open(spare) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let file = disk.create(spare).map_err(|error| failed("create", spare, error))?;
                zero(&*file, 0, PREWRITE_STEP_BYTES.min(header.capacity)).map_err(|error| failed("prewrite", spare, error))?;
                file
            }
            Err(error) => return Err(failed("open", spare, error)),
        };
        file.write_at(&header.encode(), 0)
            .map_err(|error| failed("write the header of", spare, error))?;
        file.sync_data().map_err(|error| failed("fsync", spare, error))?;
        let path = dir.join(segment_name(header.stamp.sequence));
        disk.rename(spare, &path).map_err(|error| failed("rename", spare, error))?;
        disk.sync_dir(dir).map_err(|error| failed("fsync", dir, error))?;
        let prewritten = file
            .len()
            .map_err(|error| failed("measure", &path, error))?
            .min(header.capacity);
        Ok(Arc::new(Segment {
            header,
            path,
            file,
            prewritten: AtomicU64::new(prewritten),
            live: AtomicU64::new(0),
        }))
    }

    /// Opens an existing segment and checks its header against its name and its log.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf, sequence: u64, log: u64) -> Result<Segment, WalError> {
        let file = disk.open(&path).map_err(|error| failed("open", &path, error))?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        let count = file.read_at(&mut bytes, 0).map_err(|error| failed("read", &path, error))?;
        let header = SegmentHeader::decode(&bytes[..count]).map_err(|error| match error {
            HeaderError::Newer(found) => WalError::NewerFormat {
                file: path.clone(),
                found,
                supported: SEGMENT_FORMAT,
            },
            HeaderError::Damaged(reason) => WalError::damaged(&path, 0, reason),
        })?;
        if header.stamp.sequence != sequence {
            return Err(WalError::damaged(
                &path,
                24,
                format!("it is segment {} under another's name", header.stamp.sequence),
            ));
        }
        if header.log != log {
            return Err(WalError::damaged(&path, 16, "it belongs to another log"));
        }
        let prewritten = file
            .len()
            .map_err(|error| failed("measure", &path, error))?
            .min(header.capacity);
        Ok(Segment {
            header,
            path,
            file,
            prewritten: AtomicU64::new(prewritten),
            live: AtomicU64::new(0),
        })
    }

    /// Writes one more step of zeros, durably. It uses a file handle of its own, so that an error of the disk is told to
    /// this fsync and to that of the sync thread, instead of to whichever comes first.
    pub(crate) fn prewrite_step(&self, disk: &dyn Disk) -> Result<(), WalError> {
        let from = self.prewritten();
        let to = (from + PREWRITE_STEP_BYTES).min(self.header.capacity);
        let file = disk.open(&self.path).map_err(|error| failed("open", &self.path, error))?;
        zero(&*file, from, to).map_err(|error| failed("prewrite", &self.path, error))?;
        file.sync_data().map_err(|error| failed("fsync", &self.path, error))?;
        self.prewritten.store(to, Ordering::Release);
        Ok(())
    }

    /// Reads an entry back and verifies that it is the one that was meant.
    pub(crate) fn read_entry(&self, place: Place, group: u64, index: u64) -> Result<Bytes, WalError> {
        let offset = u64::from(place.offset);
        let mut bytes = vec![0; place.bytes as usize];
        let count = self
            .file
            .read_at(&mut bytes, offset)
            .map_err(|error| failed("read", &self.path, error))?;
        let damaged = |reason: &str| WalError::damaged(&self.path, offset, format!("entry {index} of group {group}: {reason}"));
        let header = FrameHeader::decode(&bytes[..count], self.stamp(), offset)
            .ok_or_else(|| damaged("its header's checksum does not match"))?;
        let end = FRAME_HEADER_BYTES as usize + header.length as usize;
        // The file may end within the padding.
        let payload = bytes[..count]
            .get(FRAME_HEADER_BYTES as usize..end)
            .ok_or_else(|| damaged("the file ends within it"))?;
        if !header.payload_matches(payload) {
            return Err(damaged("its checksum does not match"));
        }
        let is_entry = matches!(Kind::from_byte(header.kind), Some(Kind::Entry | Kind::Copy));
        if !is_entry || header.group != group || header.index != index {
            return Err(damaged("another frame is in its place"));
        }
        Ok(Bytes::from(bytes).slice(FRAME_HEADER_BYTES as usize..end))
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.header.stamp
    }
}

/// Overwrites a range with zeros.
pub(crate) fn zero(file: &dyn DiskFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

pub(crate) fn failed(verb: &str, path: &Path, error: std::io::Error) -> WalError {
    WalError::io(format!("{verb} {}", path.display()), error)
}
