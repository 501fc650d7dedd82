//! The rows of files, and how they are read.

use serde::{Deserialize, Serialize};
use storage::blob::{CHUNK_BYTES, ChunkHash};
use storage::table::{self, ChunkUse, FileTotals, FileVersion};
use storage::{Direction, Space, Table};
use uuid::Uuid;

use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::rows::{Actor, EventKind, Subject};
use crate::machine::world::World;

/// Longest content of a file, in chunks: 4 GiB. Raised: the command that ends an upload touches more keys. Lowered: large files are refused.
pub(crate) const CHUNKS: usize = 4_096;
/// Versions of a file that are kept: with one more the oldest goes.
pub(crate) const VERSIONS: u64 = 100;
/// Uploads of a tenant that are under way at a time.
pub(crate) const UPLOADS: u64 = 1_000;

const _: () = assert!(CHUNKS as u64 * CHUNK_BYTES as u64 == api::limits::FILE_BYTES);
// A version that comes and one that goes, each with a row for every chunk, and an upload's own rows.
const _: () = assert!(3 * CHUNKS + 64 < crate::machine::limits::APPLY_KEYS);

/// A record that a file is attached to: collection and id.
pub(crate) type Attached = (u32, Uuid);

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// What it is called.
    pub(crate) name: String,
    /// The record that it is attached to.
    pub(crate) attached: Option<Attached>,
    /// The version that it has.
    pub(crate) current: u64,
    /// The last version that it ever had: a number is never used again.
    pub(crate) last: u64,
    /// Versions that are kept.
    pub(crate) kept: u64,
    /// Raised by each change.
    pub(crate) revision: u64,
    /// When it was made, in microseconds since the epoch.
    pub(crate) created: u64,
    /// When it was changed last.
    pub(crate) updated: u64,
    /// Who made it.
    pub(crate) created_by: Actor,
    /// Who changed it last.
    pub(crate) updated_by: Actor,
    /// It is deleted, and its versions are being taken away.
    pub(crate) leaves: bool,
}

/// Versions of [`File`].
#[derive(Serialize, Deserialize)]
pub(crate) enum FileRow {
    /// The first.
    V1(File),
}

/// What a version of a file consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// Its length, in bytes.
    pub(crate) size: u64,
    /// BLAKE3 of all of it.
    pub(crate) blake3: [u8; 32],
    /// SHA-256 of all of it.
    pub(crate) sha256: [u8; 32],
    /// Its chunks in order: all but the last are 1 MiB long.
    pub(crate) chunks: Vec<ChunkHash>,
}

impl Content {
    /// Whether it can be: as many chunks as its length takes, and no more than a file has.
    pub(crate) fn is_sound(&self) -> bool {
        self.chunks.len() <= CHUNKS && self.chunks.len() as u64 == self.size.div_ceil(CHUNK_BYTES as u64)
    }
}

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// What it consists of.
    pub(crate) content: Content,
    /// Its media type.
    pub(crate) media_type: String,
    /// When it was made, in microseconds since the epoch.
    pub(crate) stamp: u64,
    /// Who made it.
    pub(crate) by: Actor,
}

/// Versions of [`Version`].
#[derive(Serialize, Deserialize)]
pub(crate) enum VersionRow {
    /// The first.
    V1(Version),
}

/// How often a chunk is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Use {
    /// So often.
    pub(crate) count: u64,
    /// When that changed last, in microseconds since the epoch.
    pub(crate) since: u64,
}

/// Versions of [`Use`].
#[derive(Serialize, Deserialize)]
pub(crate) enum UseRow {
    /// The first.
    V1(Use),
}

/// How much a tenant's files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Files.
    pub(crate) files: u64,
    /// Bytes of all versions.
    pub(crate) bytes: u64,
    /// Uploads, those that have ended and are still remembered among them.
    pub(crate) uploads: u64,
    /// Bytes of what is being uploaded, by the length that was announced.
    pub(crate) uploading: u64,
    /// Files that are deleted and whose versions are being taken away.
    pub(crate) leaving: u64,
}

/// Versions of [`Totals`].
#[derive(Serialize, Deserialize)]
pub(crate) enum TotalsRow {
    /// The first.
    V1(Totals),
}

/// The key of a file.
pub(crate) fn key(space: Space, id: Uuid) -> table::File {
    table::File {
        space,
        id: id.into_bytes(),
    }
}

/// A file that is there.
pub(crate) fn file(reader: &impl Reader, space: Space, id: Uuid) -> Result<Option<File>, Fault> {
    let row = reader.row(&key(space, id))?;
    Ok(row.map(|FileRow::V1(file)| file).filter(|file| !file.leaves))
}

/// A file that is there, or the refusal of a command.
pub(crate) fn found(world: &World<'_>, id: Uuid, expect: Option<u64>) -> Result<File, Stop> {
    let file = file(world, world.space, id)?.ok_or_else(|| missing(id))?;
    match expect {
        Some(revision) if revision != file.revision => Err(Refusal::VersionMismatch { current: file.revision }.into()),
        _ => Ok(file),
    }
}

/// A version of a file.
pub(crate) fn version(reader: &impl Reader, space: Space, id: Uuid, version: u64) -> Result<Option<Version>, Fault> {
    let id = id.into_bytes();
    let row = reader.row(&FileVersion { space, id, version })?;
    Ok(row.map(|VersionRow::V1(version)| version))
}

/// The versions of a file, the oldest first.
pub(crate) fn versions(
    reader: &impl Reader,
    space: Space,
    id: Uuid,
    direction: Direction,
) -> impl Iterator<Item = Result<(u64, Version), Fault>> {
    let rows = reader.scan(FileVersion::range(space, id.into_bytes()), direction);
    rows.map(|row| {
        let (raw, bytes) = row?;
        let key = FileVersion::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let VersionRow::V1(version) = decode(&key, &bytes)?;
        Ok((key.version, version))
    })
}

/// How often a chunk is named; none: it never was, or is forgotten.
pub(crate) fn chunk_use(reader: &impl Reader, space: Space, hash: ChunkHash) -> Result<Option<Use>, Fault> {
    let row = reader.row(&ChunkUse { space, hash })?;
    Ok(row.map(|UseRow::V1(used)| used))
}

/// How much a tenant's files are.
pub(crate) fn totals(reader: &impl Reader, space: Space) -> Result<Totals, Fault> {
    let row = reader.row(&FileTotals { space })?;
    Ok(row.map_or_else(Totals::default, |TotalsRow::V1(totals)| totals))
}

/// Changes how much a tenant's files are.
pub(crate) fn count(world: &mut World<'_>, change: impl FnOnce(&mut Totals)) -> Result<(), Stop> {
    let space = world.space;
    let mut totals = totals(world, space)?;
    change(&mut totals);
    world.put(&FileTotals { space }, &TotalsRow::V1(totals));
    Ok(())
}

/// Refuses what is more than a tenant's plan lets it store.
pub(crate) fn check_quota(reader: &impl Reader, space: Space, more: u64, quota: u64) -> Result<(), Stop> {
    let totals = totals(reader, space)?;
    let used = totals.bytes.saturating_add(totals.uploading);
    match used.saturating_add(more) > quota {
        true => Err(Refusal::StorageFull { used, quota }.into()),
        false => Ok(()),
    }
}

/// Stores a file whose attachment may be another than before, with its event.
pub(crate) fn store(world: &mut World<'_>, id: Uuid, before: Option<&File>, file: File, kind: EventKind) -> Result<(), Stop> {
    let old = before.and_then(|file| file.attached);
    if old != file.attached {
        if let Some(old) = old {
            world.delete(&attached(world.space, old, id));
        }
        if let Some(new) = file.attached {
            world.put_key(&attached(world.space, new, id));
        }
    }
    world.event(kind, Subject::File(id, file.current, file.attached))?;
    world.put(&key(world.space, id), &FileRow::V1(file));
    Ok(())
}

/// The entry of a file at the record that it is attached to.
pub(crate) fn attached(space: Space, (collection, record): Attached, id: Uuid) -> table::FileAttached {
    table::FileAttached {
        space,
        collection,
        record: record.into_bytes(),
        id: id.into_bytes(),
    }
}

/// The refusal of what is about a file that is not there.
pub(crate) fn missing(id: Uuid) -> Refusal {
    Refusal::NotFound {
        what: format!("file {id}"),
    }
}
