//! Import: lines become commands of some hundred records each; the import's checkpoint is in the same commit.
//!
//! A line that is wrong is reported with its number and stops nothing else. The checkpoint makes a second attempt under the
//! same `Import-Id` skip what is stored: a command whose lines are below it changes nothing.

use std::sync::Arc;

use api::body::record::Fields;
use api::error::{Code, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use storage::table::Import;
use uuid::Uuid;

use super::convert::timestamp;
use super::decide::whole;
use super::entries::Place;
use super::evolve::shape::Shape;
use super::schema::{Collection, Kind};
use super::value::Doc;
use super::write::{Expect, store};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Most lines of one command.
pub(crate) const CHUNK_LINES: usize = 500;
/// Most bytes of lines of one command: together with the larger of two lines still below the limit of a command.
pub(crate) const CHUNK_BYTES: usize = 512 * 1024;

/// One record of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImportRow {
    /// The number of its line, from 1.
    pub(crate) line: u64,
    /// Its id.
    pub(crate) id: Uuid,
    /// When it was created, in microseconds since the epoch, where the line says so.
    pub(crate) created: Option<u64>,
    /// Its fields.
    pub(crate) doc: Doc,
}

/// Stores some lines of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImportChunk {
    /// The digest of the import's name.
    pub(crate) import: [u8; 32],
    /// The collection.
    pub(crate) collection: u32,
    /// The checkpoint that this chunk follows.
    pub(crate) after: u64,
    /// The checkpoint after it.
    pub(crate) last: u64,
    /// The records, in order of their lines.
    pub(crate) rows: Vec<ImportRow>,
    /// Lines between `after` and `last` that were refused before the log.
    pub(crate) refused: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The last line that is settled.
    pub(crate) last: u64,
    /// Records stored.
    pub(crate) imported: u64,
    /// Lines refused.
    pub(crate) failed: u64,
}

/// Versions of [`Checkpoint`].
#[derive(Serialize, Deserialize)]
pub(crate) enum ImportRowVersion {
    /// The first.
    V1(Checkpoint),
}

/// What a chunk did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Imported {
    /// Where the import is now.
    pub(crate) checkpoint: Checkpoint,
    /// The lines that were refused, and why.
    pub(crate) refused: Vec<(u64, Refusal)>,
}

/// Where an import is.
pub(crate) fn checkpoint(reader: &impl Reader, key: &Import) -> Result<Checkpoint, Stop> {
    Ok(reader
        .row(key)?
        .map_or_else(Checkpoint::default, |ImportRowVersion::V1(checkpoint)| checkpoint))
}

impl Command for ImportChunk {
    type Reply = Imported;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Imported, Stop> {
        let version = world.live()?.schema;
        let space = world.space;
        let catalog = catalogs.get(world, space, version)?;
        let shape = Shape::find(&catalog, self.collection)?;
        let key = Import {
            space,
            import: self.import,
        };
        let mut checkpoint = checkpoint(world, &key)?;
        if checkpoint.last >= self.last {
            return Ok(Imported {
                checkpoint,
                refused: Vec::new(),
            });
        }
        if checkpoint.last != self.after {
            return Err(Refusal::Stale.into());
        }
        let mut refused = Vec::new();
        for row in self.rows {
            let place = Place {
                space,
                collection: self.collection,
                id: row.id,
            };
            match store(world, &shape, place, Expect::Absent, row.doc, row.created) {
                Ok(_) => checkpoint.imported = checkpoint.imported.saturating_add(1),
                Err(Stop::Refused(refusal)) => refused.push((row.line, refusal)),
                Err(stop) => return Err(stop),
            }
        }
        checkpoint.last = self.last;
        checkpoint.failed = checkpoint
            .failed
            .saturating_add(self.refused)
            .saturating_add(refused.len() as u64);
        world.put(&key, &ImportRowVersion::V1(checkpoint));
        Ok(Imported { checkpoint, refused })
    }
}

/// Decides one line: a flat JSON object of fields, with `id` and `created_at` where it brings its own. `texts`: all values are texts, as
/// CSV has them.
pub(crate) fn line(collection: &Arc<Collection>, number: u64, text: &[u8], fresh: Uuid, texts: bool) -> Result<ImportRow, Error> {
    let malformed = |error: serde_json::Error| Error::new(Code::MalformedBody, format!("not a JSON object: {error}"));
    let mut fields: Fields = serde_json::from_slice(text).map_err(malformed)?;
    let invalid = |what: &str, message: &str| Error::new(Code::InvalidFields, format!("/{what}: {message}"));
    let own = |name: &str| collection.field(name).is_none();
    let id = match own("id").then(|| fields.remove("id")).flatten() {
        None | Some(Json::Null) => fresh,
        Some(json) => {
            let id: Option<api::ids::Id> = json.as_str().and_then(|text| text.parse().ok());
            id.ok_or_else(|| invalid("id", "must be a UUID"))?.0
        }
    };
    let created = match own("created_at").then(|| fields.remove("created_at")).flatten() {
        None | Some(Json::Null) => None,
        Some(json) => {
            let micros = timestamp(&json).map_err(|message| invalid("created_at", &message))?;
            Some(u64::try_from(micros).map_err(|_| invalid("created_at", "must not be before 1970"))?)
        }
    };
    if texts {
        fields.iter_mut().for_each(|(name, value)| read_text(collection, name, value));
    }
    let doc = whole(collection, &fields, "")?;
    Ok(ImportRow {
        line: number,
        id,
        created,
        doc,
    })
}

/// Reads a text by the type of its field. What is no value of it stays a text, and is refused as one.
fn read_text(collection: &Collection, name: &str, value: &mut Json) {
    let Json::String(text) = &*value else { return };
    let Some(field) = collection.field(name) else { return };
    let read = match &field.kind {
        Kind::Bool | Kind::Integer | Kind::Number | Kind::Sequence { .. } | Kind::Json => serde_json::from_str(text.trim()).ok(),
        Kind::Tags | Kind::MultiSelect(_) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
        Kind::Tags | Kind::MultiSelect(_) => Some(text.split(',').map(str::trim).collect()),
        _ => None,
    };
    if let Some(read) = read {
        *value = read;
    }
}

/// The digest of an import's name. Names are a tenant's own, so that the collection is part of it.
pub(crate) fn digest(collection: &str, name: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(collection.len() as u64).to_be_bytes());
    hasher.update(collection.as_bytes());
    hasher.update(name.as_bytes());
    *hasher.finalize().as_bytes()
}
