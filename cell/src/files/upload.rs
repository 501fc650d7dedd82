//! Uploads that go on after they broke off: their rows, the command that begins one, and how one becomes a file.
//!
//! How far an upload is, its row says: whole chunks, each a row of its own, and a tail that is shorter than one and is written anew when
//! more comes. What hashing needs to go on is there too, so that nobody has to read again what was uploaded before.

use serde::{Deserialize, Serialize};
use storage::blob::{CHUNK_BYTES, ChunkHash};
use storage::table::{self, UploadChunk};
use storage::{Direction, Space, Table};
use uuid::Uuid;

use super::create::{check_attached, make};
use super::digest::{INITIAL, Inner, Leaf};
use super::rows::{self, Attached, Content, UPLOADS};
use super::version_add::add;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::rows::Actor;
use crate::machine::world::World;

/// How long an upload is kept after it got further last, in microseconds of stamped time, and one that has ended after its end.
pub(crate) const KEPT_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// What the file is to be called.
    pub(crate) name: String,
    /// Its media type.
    pub(crate) media_type: String,
    /// The file whose version it becomes; none: a new one.
    pub(crate) file: Option<Uuid>,
    /// The record that a new file is attached to.
    pub(crate) attached: Option<Attached>,
    /// What the client said of it, as it said it.
    pub(crate) metadata: String,
    /// How long it is as a whole, in bytes.
    pub(crate) length: u64,
    /// Whole chunks that have come.
    pub(crate) chunks: u64,
    /// What has come after them: its name and length.
    pub(crate) tail: Option<(ChunkHash, u32)>,
    /// The inner value of SHA-256 after the whole chunks.
    pub(crate) inner: Inner,
    /// Until when it is kept, in microseconds since the epoch.
    pub(crate) expires: u64,
    /// Who began it.
    pub(crate) by: Actor,
    /// What it has become: the file.
    pub(crate) done: Option<Uuid>,
}

impl Upload {
    /// How much of it has come, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        if self.done.is_some() {
            return self.length;
        }
        self.chunks.saturating_mul(CHUNK_BYTES as u64) + self.tail.map_or(0, |(_, bytes)| u64::from(bytes))
    }
}

/// Versions of [`Upload`].
#[derive(Serialize, Deserialize)]
pub(crate) enum UploadRow {
    /// The first.
    V1(Upload),
}

/// Versions of the row of a whole chunk.
#[derive(Serialize, Deserialize)]
pub(crate) enum LeafRow {
    /// The first.
    V1(Leaf),
}

/// What an upload becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    /// The id of a new file.
    pub(crate) id: Uuid,
    /// BLAKE3 of all of it.
    pub(crate) blake3: [u8; 32],
    /// SHA-256 of all of it.
    pub(crate) sha256: [u8; 32],
}

/// Begins an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UploadBegin {
    /// Its id.
    pub(crate) id: Uuid,
    /// It: how far it is, when it expires and who began it say nothing yet.
    pub(crate) upload: Upload,
    /// What the tenant may store, in bytes.
    pub(crate) quota: u64,
    /// It is empty, and becomes a file at once.
    pub(crate) end: Option<End>,
}

impl Command for UploadBegin {
    type Reply = Upload;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Upload, Stop> {
        world.live()?;
        let upload = Upload {
            chunks: 0,
            tail: None,
            inner: INITIAL,
            expires: world.stamp.saturating_add(KEPT_MICROS),
            by: world.actor.clone(),
            done: None,
            ..self.upload
        };
        if upload.length > api::limits::FILE_BYTES {
            return Err(super::create::unsound());
        }
        if world.get_raw(&key(world.space, self.id).key())?.is_some() {
            let what = format!("upload {}", self.id);
            return Err(Refusal::AlreadyExists { what }.into());
        }
        if rows::totals(world, world.space)?.uploads >= UPLOADS {
            let what = format!("a tenant has at most {UPLOADS} uploads at a time: end some, or wait until they expire");
            return Err(Refusal::TooLarge { what }.into());
        }
        if let Some(file) = upload.file {
            rows::found(world, file, None)?;
        }
        check_attached(world, upload.attached)?;
        rows::check_quota(world, world.space, upload.length, self.quota)?;
        rows::count(world, |totals| {
            totals.uploads = totals.uploads.saturating_add(1);
            totals.uploading = totals.uploading.saturating_add(upload.length);
        })?;
        match self.end {
            Some(end) => finish(world, self.id, upload, end),
            None => Ok(put(world, self.id, upload)),
        }
    }
}

/// Stores an upload.
pub(super) fn put(world: &mut World<'_>, id: Uuid, upload: Upload) -> Upload {
    world.put(&key(world.space, id), &UploadRow::V1(upload.clone()));
    upload
}

/// Makes a file, or a version of one, of an upload of which all has come. Its chunks are counted already.
pub(super) fn finish(world: &mut World<'_>, id: Uuid, upload: Upload, end: End) -> Result<Upload, Stop> {
    if upload.offset() != upload.length {
        return Err(Refusal::OffsetMismatch { offset: upload.offset() }.into());
    }
    let leaves = leaves(world, world.space, id)?;
    let chunks = leaves.iter().map(|leaf| leaf.hash).chain(upload.tail.map(|(hash, _)| hash));
    let content = Content {
        size: upload.length,
        blake3: end.blake3,
        sha256: end.sha256,
        chunks: chunks.collect(),
    };
    for number in 0..leaves.len() as u64 {
        world.delete(&chunk_key(world.space, id, number));
    }
    rows::count(world, |totals| {
        totals.uploading = totals.uploading.saturating_sub(upload.length)
    })?;
    let stored = match upload.file {
        Some(file) => {
            let before = rows::found(world, file, None)?;
            add(world, file, before, upload.media_type.clone(), content)?
        }
        None => {
            let (name, media_type) = (upload.name.clone(), upload.media_type.clone());
            make(world, end.id, name, media_type, upload.attached, content)?
        }
    };
    let done = Upload {
        chunks: 0,
        tail: None,
        expires: world.stamp.saturating_add(KEPT_MICROS),
        done: Some(stored.id),
        ..upload
    };
    Ok(put(world, id, done))
}

/// The key of an upload.
pub(super) fn key(space: Space, id: Uuid) -> table::Upload {
    table::Upload {
        space,
        id: id.into_bytes(),
    }
}

/// The key of a whole chunk.
pub(super) fn chunk_key(space: Space, id: Uuid, number: u64) -> UploadChunk {
    UploadChunk {
        space,
        id: id.into_bytes(),
        number,
    }
}

/// An upload.
pub(crate) fn read(reader: &impl Reader, space: Space, id: Uuid) -> Result<Option<Upload>, Fault> {
    let row = reader.row(&key(space, id))?;
    Ok(row.map(|UploadRow::V1(upload)| upload))
}

/// The whole chunks of an upload, in order.
pub(crate) fn leaves(reader: &impl Reader, space: Space, id: Uuid) -> Result<Vec<Leaf>, Fault> {
    let rows = reader.scan(UploadChunk::range(space, id.into_bytes()), Direction::Forward);
    let leaf = |row: Result<(storage::Key, bytes::Bytes), storage::Error>| {
        let (raw, bytes) = row?;
        let key = UploadChunk::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let LeafRow::V1(leaf) = decode(&key, &bytes)?;
        Ok(leaf)
    };
    rows.map(leaf).collect()
}

/// The uploads that have expired, some of them.
pub(crate) fn expired(reader: &impl Reader, space: Space, now: u64, most: usize) -> Result<Vec<Uuid>, Fault> {
    let mut found = Vec::new();
    for row in reader.scan(table::Upload::range(space), Direction::Forward) {
        let (raw, bytes) = row?;
        let key = table::Upload::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let UploadRow::V1(upload) = decode(&key, &bytes)?;
        if upload.expires < now {
            found.push(Uuid::from_bytes(key.id));
        }
        if found.len() == most {
            break;
        }
    }
    Ok(found)
}

/// The refusal of what is about an upload that is not there.
pub(crate) fn missing(id: Uuid) -> Refusal {
    Refusal::NotFound {
        what: format!("upload {id}: it has expired, or was ended"),
    }
}
