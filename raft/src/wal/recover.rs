//! Opening: reads every segment from the oldest on, rebuilds each group, and decides between a torn tail and damage.
//!
//! - A segment is sealed, and fsynced, before the first frame of the next one is written. So only the last segment that
//!   has frames may end without a seal; one prepared segment without any frame may follow it.
//! - What follows the last good frame there was never durable as a whole, if no frame behind it says otherwise (`frame`). It
//!   is cut: overwritten with zeros before anything new is written, so that no trace of it can ever continue a new frame.
//! - Everything else is damage, and nothing of this log is served: the error names file and offset.
//!
//! What is read may be in the page cache only, names included: it is made durable before anyone sees it (`settle`).
//!
//! Recovery writes nothing but these zeros, frames that it has read over themselves and, in a new directory, the first segment
//! and `FORMAT`. Dying anywhere in it and starting again comes to the same result.
//!
//! CAVEAT: damage that is confined to the very last batch of frames, with nothing written after it, cannot be told from a
//! torn write. After an orderly end, or once a committed position followed, it can.

mod replay;
mod settle;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use replay::Replay;

use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::error::WalError;
use super::frame::{SEGMENT_HEADER_BYTES, SegmentHeader, Stamp};
use super::identity::{read_identity, write_identity};
use super::options::{LogOptions, Recovery};
use super::runs::Runs;
use super::scan::{End, scan};
use super::segment::{Segment, failed, sequence_of, spare_name, spare_number};

/// A log as it was found, ready to be continued.
pub(crate) struct Found {
    pub log: u64,
    /// Segments with frames; the last one is continued.
    pub table: BTreeMap<u64, Arc<Segment>>,
    pub tail: u64,
    /// The last segment has no complete checkpoint: it is begun again.
    pub fresh: bool,
    /// A prepared segment without frames.
    pub next: Option<Arc<Segment>>,
    /// Numbers of the prewritten files.
    pub spares: Vec<u64>,
    pub groups: BTreeMap<u64, Group>,
    pub report: Recovery,
}

/// What was read back of a group.
#[derive(Default)]
pub(crate) struct Group {
    pub state: Checkpoint,
    pub runs: Runs,
    /// The last entry's bytes.
    pub last: Option<Bytes>,
}

/// Opens what is in the directory, or begins a log there.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path, options: &LogOptions) -> Result<Found, WalError> {
    // A name that a killed process left may not be durable yet; what follows relies on it, and on those that are gone.
    disk.sync_dir(dir).map_err(|error| failed("fsync", dir, error))?;
    let names = disk.list(dir).map_err(|error| failed("list", dir, error))?;
    let identity = read_identity(disk, dir)?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let spares = keep_spares(disk, dir, options, names.iter().filter_map(|name| spare_number(name)))?;
    let log = match identity {
        Some(log) if sequences.is_empty() => {
            let reason = format!("it belongs to log {log:016x}, but all segments are gone: this node lost its votes and entries");
            return Err(WalError::damaged(&dir.join(super::identity::FORMAT_NAME), 0, reason));
        }
        Some(log) => log,
        None => return begin(disk, dir, options, &sequences, spares),
    };
    let mut segments = Vec::new();
    for (sequence, expected) in sequences.iter().zip(sequences[0]..) {
        let path = dir.join(super::segment::segment_name(expected));
        if *sequence != expected {
            return Err(WalError::damaged(
                &path,
                0,
                format!("the file is missing, but segment {sequence} is there"),
            ));
        }
        segments.push(Arc::new(Segment::open(disk, path, expected, log)?));
    }
    let mut replay = Replay::default();
    let (active, next) = replay.read_all(&segments)?;
    replay.finish(log, segments, active, next, spares)
}

/// Prewritten files of the right size wait for their use; others are half-made or too many.
fn keep_spares(
    disk: &dyn Disk,
    dir: &Path,
    options: &LogOptions,
    numbers: impl Iterator<Item = u64>,
) -> Result<Vec<u64>, WalError> {
    let mut kept = Vec::new();
    for number in numbers {
        let path = dir.join(spare_name(number));
        let length = disk
            .open(&path)
            .and_then(|file| file.len())
            .map_err(|error| failed("measure", &path, error))?;
        if length == options.segment_bytes && kept.len() < options.recycle {
            kept.push(number);
        } else {
            disk.remove(&path).map_err(|error| failed("remove", &path, error))?;
        }
    }
    Ok(kept)
}

/// Begins a log: the first segment, then `FORMAT`.
fn begin(disk: &dyn Disk, dir: &Path, options: &LogOptions, sequences: &[u64], spares: Vec<u64>) -> Result<Found, WalError> {
    // A beginning that was interrupted leaves the first segment at most, without a frame in it.
    let path = dir.join(super::segment::segment_name(1));
    if !matches!(sequences, [] | [1]) {
        return Err(WalError::damaged(
            &dir.join(super::identity::FORMAT_NAME),
            0,
            "the file is missing, but segments are there",
        ));
    }
    if sequences == [1] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        let file = disk.open(&path).map_err(|error| failed("open", &path, error))?;
        let count = file.read_at(&mut bytes, 0).map_err(|error| failed("read", &path, error))?;
        if let Ok(header) = SegmentHeader::decode(&bytes[..count]) {
            let segment = Segment::open(disk, path, 1, header.log)?;
            if scan(&segment, |_, _, _, _| Ok(()))?
                != (End::Open {
                    at: SEGMENT_HEADER_BYTES,
                })
            {
                let reason = "the file is missing, but the first segment has frames";
                return Err(WalError::damaged(&dir.join(super::identity::FORMAT_NAME), 0, reason));
            }
        }
    }
    let log = disk.random();
    let header = SegmentHeader {
        log,
        stamp: Stamp {
            sequence: 1,
            salt: disk.random(),
        },
        capacity: options.segment_bytes,
    };
    let draft = dir.join(spare_name(spares.iter().max().map_or(1, |number| number + 1)));
    let segment = Segment::make(disk, dir, &draft, header)?;
    write_identity(disk, dir, log)?;
    Ok(Found {
        log,
        table: BTreeMap::from([(1, segment)]),
        tail: SEGMENT_HEADER_BYTES,
        fresh: true,
        next: None,
        spares,
        groups: BTreeMap::new(),
        report: Recovery {
            segments: 1,
            ..Recovery::default()
        },
    })
}
