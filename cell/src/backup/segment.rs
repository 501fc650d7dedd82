//! A segment: consecutive committed commands of a cell's log, as one object.
//!
//! `length of the head u32 LE | head, sealed | entries, sealed and deflated`. The head says what a restore may pass over: it is read alone.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use storage::Space;
use uuid::Uuid;

use super::named::Named;
use crate::machine::dispatch::{Payload, Stamped};
use crate::machine::envelope::{open, seal};
use crate::space::open::SpaceOpenCounted;

/// Most that the entries of a segment take, in bytes: what is read of the log at a time, and one more command.
const ENTRIES_BYTES: u64 = 2 * READ_BYTES as u64 + 2 * raft::PAYLOAD_BYTES_MAX as u64;
/// How much of the log goes into a segment, in bytes. Raised: fewer objects after a burst. Lowered: less memory.
pub(crate) const READ_BYTES: usize = 4 << 20;

const _: () = assert!(READ_BYTES + 2 * raft::PAYLOAD_BYTES_MAX < storage::objects::OBJECT_BYTES_MAX);

/// What is in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The first position that it covers.
    pub(crate) first: u64,
    /// The last.
    pub(crate) last: u64,
    /// The earliest stamp of its commands, in microseconds since the epoch; 0 where there are none.
    pub(crate) first_stamp: u64,
    /// The latest.
    pub(crate) last_stamp: u64,
    /// The spaces that its commands are for, ascending.
    pub(crate) spaces: Vec<u64>,
    /// Tenants that were made in it, or came to the cell.
    pub(crate) tenants: Vec<Made>,
}

/// A tenant that came to be in a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// The number of its space.
    pub(crate) uid: u64,
    /// Its public id.
    pub(crate) tenant: Uuid,
    /// Its slug.
    pub(crate) slug: String,
}

/// Versions of [`Head`].
#[derive(Serialize, Deserialize)]
enum HeadRow {
    /// The first.
    V1(Head),
}

/// A command of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its position.
    pub(crate) index: u64,
    /// The space that it is for.
    pub(crate) space: u64,
    /// It, as it is in the log.
    pub(crate) command: Vec<u8>,
}

/// Versions of the entries.
#[derive(Serialize, Deserialize)]
enum EntriesRow {
    /// The first.
    V1(Vec<Entry>),
}

/// Consecutive commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// What is in it.
    pub(crate) head: Head,
    /// Its commands.
    pub(crate) entries: Vec<Entry>,
}

impl Segment {
    /// A segment of what the log holds from `first` to `last`, and the chunks of files that it names.
    pub(crate) fn of_log(first: u64, last: u64, log: &[raft::Entry]) -> Result<(Self, Named), String> {
        let (mut entries, mut spaces, mut tenants) = (Vec::with_capacity(log.len()), BTreeSet::new(), Vec::new());
        let (mut first_stamp, mut last_stamp, mut named) = (u64::MAX, 0, Named::default());
        for entry in log {
            let stamped: Stamped = open(&entry.payload).map_err(|error| format!("log entry {}: {error}", entry.index))?;
            first_stamp = first_stamp.min(stamped.stamp);
            last_stamp = last_stamp.max(stamped.stamp);
            spaces.insert(stamped.space);
            tenants.extend(made(&stamped));
            named.take(&stamped);
            entries.push(Entry {
                index: entry.index,
                space: stamped.space,
                command: entry.payload.to_vec(),
            });
        }
        let head = Head {
            first,
            last,
            first_stamp: if entries.is_empty() { 0 } else { first_stamp },
            last_stamp,
            spaces: spaces.into_iter().collect(),
            tenants,
        };
        Ok((Self { head, entries }, named))
    }

    /// Whether it holds nothing of any tenant.
    pub(crate) fn is_idle(&self) -> bool {
        self.head.spaces.iter().all(|space| *space == Space::SYSTEM.0)
    }

    /// Its bytes.
    pub(crate) fn encode(self) -> std::io::Result<Vec<u8>> {
        let head = seal(&HeadRow::V1(self.head));
        let length = u32::try_from(head.len()).map_err(std::io::Error::other)?;
        let mut out = length.to_le_bytes().to_vec();
        out.extend_from_slice(&head);
        let mut deflater = DeflateEncoder::new(out, Compression::fast());
        deflater.write_all(&seal(&EntriesRow::V1(self.entries)))?;
        deflater.finish()
    }

    /// Reads the bytes of a segment.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (head, rest) = split(bytes)?;
        let mut entries = Vec::new();
        let mut inflater = DeflateDecoder::new(rest).take(ENTRIES_BYTES + 1);
        inflater
            .read_to_end(&mut entries)
            .map_err(|error| format!("its entries cannot be inflated: {error}"))?;
        if entries.len() as u64 > ENTRIES_BYTES {
            return Err("its entries are longer than any".to_owned());
        }
        let EntriesRow::V1(entries) = open(&entries).map_err(|error| error.to_string())?;
        let within = |entry: &Entry| (head.first..=head.last).contains(&entry.index);
        if !entries.iter().all(within) || !entries.is_sorted_by(|one, next| one.index < next.index) {
            return Err("its entries are not those that it says".to_owned());
        }
        Ok(Self { head, entries })
    }

    /// Reads the head alone.
    pub(crate) fn head(bytes: &[u8]) -> Result<Head, String> {
        split(bytes).map(|(head, _)| head)
    }
}

fn split(bytes: &[u8]) -> Result<(Head, &[u8]), String> {
    let short = || "it is too short".to_owned();
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (head, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let HeadRow::V1(head) = open(head).map_err(|error| error.to_string())?;
    Ok((head, rest))
}

/// The tenant that a command brings to the cell.
fn made(stamped: &Stamped) -> Option<Made> {
    let (tenant, slug) = match &stamped.payload {
        Payload::SpaceOpen(open) | Payload::SpaceOpenCounted(SpaceOpenCounted(open)) => (open.create.tenant, &open.create.slug),
        Payload::SpaceCreate(create) => (create.tenant, &create.slug),
        Payload::SpaceArrive(arrive) => {
            let (header, _) = arrive.end.as_ref()?;
            (header.tenant, &header.slug)
        }
        _ => return None,
    };
    Some(Made {
        uid: stamped.space,
        tenant,
        slug: slug.clone(),
    })
}
