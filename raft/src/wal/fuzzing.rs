//! The log against files that hold anything: frames with right checksums that make no sense together, and bytes changed in between.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};
use super::error::WalError;
use super::frame::{FRAME_ALIGN_BYTES, Frame, FrameHeader, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp};
use super::identity::{FORMAT_NAME, write_identity};
use super::options::LogOptions;
use super::recover::{Found, recover};
use super::segment::segment_name;

const DIR: &str = "/log";
const SEGMENT_BYTES: u64 = 64 << 10;
const LOG: u64 = 7;
const SALT: u64 = 9;
/// Most segments of a log.
const SEGMENTS: u64 = 4;

/// A disk in memory on which everything is durable.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<PathBuf, File>>>);

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self, path: &Path) -> io::Result<File> {
        self.files().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl File {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Memory {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(self.files().keys().filter_map(name).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.found(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::default();
        self.files().insert(path.to_owned(), file.clone());
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.found(from)?;
        self.files().remove(from);
        self.files().insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files()
            .remove(path)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn random(&self) -> u64 {
        SALT
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[from..end].copy_from_slice(new);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }
}

/// The bytes, taken one by one; zeros once they have run out.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A small number, one at an edge, or any.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX - u64::from(self.byte()),
            254 => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                u64::from_le_bytes(bytes)
            }
            byte => u64::from(byte),
        }
    }
}

/// Opens a log whose frames and flipped bytes are chosen by `data`. Opening it may be refused, never panic; where it opens, it opens
/// the same a second time.
pub(crate) fn log(data: &[u8]) {
    let disk = Memory::default();
    let mut choices = Choices(data);
    lay_out(&disk, &mut choices);
    damage(&disk, &mut choices);
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES,
        max_bytes: 16 * SEGMENT_BYTES,
        ..LogOptions::default()
    }
    .checked();
    let Ok(first) = recover(&disk, Path::new(DIR), &options) else {
        return;
    };
    let second = recover(&disk, Path::new(DIR), &options);
    let second = second.unwrap_or_else(|error| panic!("a log that opened does not open again: {error}"));
    assert_eq!(
        states(&first),
        states(&second),
        "what is read the second time is something else"
    );
    assert_eq!(
        (first.log, first.tail),
        (second.log, second.tail),
        "the log ends somewhere else"
    );
}

type States = BTreeMap<u64, (super::checkpoint::Checkpoint, Option<bytes::Bytes>)>;

fn states(found: &Found) -> States {
    let one = |(id, group): (&u64, &super::recover::Group)| (*id, (group.state.clone(), group.last.clone()));
    found.groups.iter().map(one).collect()
}

/// Writes segments of frames.
fn lay_out(disk: &Memory, choices: &mut Choices<'_>) {
    let must = |result: Result<(), WalError>| result.unwrap_or_else(|error| panic!("lay out a log: {error}"));
    must(write_identity(disk, Path::new(DIR), LOG));
    for sequence in 1..=SEGMENTS {
        let stamp = Stamp { sequence, salt: SALT };
        let header = SegmentHeader {
            log: LOG,
            stamp,
            capacity: SEGMENT_BYTES,
        };
        let mut bytes = header.encode().to_vec();
        let more = fill(&mut bytes, stamp, choices);
        bytes.resize(SEGMENT_BYTES as usize, 0);
        let file = File(Arc::new(Mutex::new(bytes)));
        disk.files().insert(Path::new(DIR).join(segment_name(sequence)), file);
        if !more {
            return;
        }
    }
}

/// Appends frames; says whether the segment was sealed and another one follows.
fn fill(bytes: &mut Vec<u8>, stamp: Stamp, choices: &mut Choices<'_>) -> bool {
    while !choices.0.is_empty() {
        let Some(kind) = Kind::from_byte(choices.byte() % 12) else {
            // No kind has this number: the frames of this log end here.
            return false;
        };
        let (group, index) = (choices.number() % 4, choices.number());
        let most = usize::from(choices.byte());
        let payload = match kind {
            Kind::Entry | Kind::Copy if most > 250 => vec![choices.byte(); most * 40],
            _ => choices.take(most).to_vec(),
        };
        let offset = bytes.len() as u64;
        let synced = match choices.byte() {
            byte if byte < 128 => SEGMENT_HEADER_BYTES,
            _ => offset,
        };
        let frame = Frame {
            kind,
            group,
            index: if kind == Kind::Seal && index == 0 {
                stamp.sequence + 1
            } else {
                index
            },
            payload: &payload,
        };
        let mut encoded = Vec::new();
        frame.encode(stamp, offset, synced, &mut encoded);
        if bytes.len() + encoded.len() > SEGMENT_BYTES as usize {
            return false;
        }
        bytes.extend_from_slice(&encoded);
        if kind == Kind::Seal {
            return true;
        }
    }
    false
}

/// Changes single bytes of what was laid out.
fn damage(disk: &Memory, choices: &mut Choices<'_>) {
    let files: Vec<File> = disk.files().values().cloned().collect();
    while !choices.0.is_empty() {
        let file = &files[usize::from(choices.byte()) % files.len()];
        let at = usize::try_from(choices.number()).unwrap_or(usize::MAX);
        let value = choices.byte();
        if let Some(byte) = file.bytes().get_mut(at) {
            *byte ^= value;
        }
    }
}

/// Reads bytes as the head of a segment, the head of a frame, and the state of a group.
pub(crate) fn parts(data: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(data) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
    let stamp = Stamp { sequence: 1, salt: SALT };
    for offset in [SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + FRAME_ALIGN_BYTES] {
        if let Some(header) = FrameHeader::decode(data, stamp, offset) {
            assert!(header.frame_bytes() >= FRAME_ALIGN_BYTES);
        }
    }
    if let Some(state) = super::checkpoint::Checkpoint::decode(data) {
        assert_eq!(super::checkpoint::Checkpoint::decode(&state.encode()), Some(state));
    }
    let disk = Memory::default();
    let file = File(Arc::new(Mutex::new(data.to_vec())));
    disk.files().insert(Path::new(DIR).join(FORMAT_NAME), file);
    let _ = super::identity::read_identity(&disk, Path::new(DIR));
}
