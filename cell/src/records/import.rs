//! The checkpoint of an import, and the command that moved it before lines could change records ([`super::import_lines`] is today's).
//!
//! A line that is wrong is reported with its number and stops nothing else. The checkpoint makes a second attempt under the
//! same `Import-Id` skip what is stored: a command whose lines are below it changes nothing.

use serde::{Deserialize, Serialize};
use storage::table::Import;
use uuid::Uuid;

use super::entries::Place;
use super::evolve::shape::Shape;
use super::value::Doc;
use super::write::{Expect, store};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

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
        let catalog = catalogs.get(world, world.space, version)?;
        let shape = Shape::find(&catalog, self.collection)?;
        let span = Span {
            import: self.import,
            after: self.after,
            last: self.last,
            refused: self.refused,
        };
        let rows = self.rows.into_iter().map(|row| (row.line, row));
        advance(world, span, rows, |world, row| {
            let place = Place {
                space: world.space,
                collection: self.collection,
                id: row.id,
            };
            store(world, &shape, place, Expect::Absent, row.doc, row.created).map(|_| ())
        })
    }
}

/// The lines that a command settles.
pub(super) struct Span {
    /// The digest of the import's name.
    pub(super) import: [u8; 32],
    /// The checkpoint that they follow.
    pub(super) after: u64,
    /// The checkpoint after them.
    pub(super) last: u64,
    /// How many of them were refused before the log.
    pub(super) refused: u64,
}

/// Stores what a command brings, if it follows the checkpoint, and moves that. What is settled already is left as it is.
pub(super) fn advance<R>(
    world: &mut World<'_>,
    span: Span,
    rows: impl Iterator<Item = (u64, R)>,
    mut store: impl FnMut(&mut World<'_>, R) -> Result<(), Stop>,
) -> Result<Imported, Stop> {
    let key = Import {
        space: world.space,
        import: span.import,
    };
    let mut checkpoint = checkpoint(world, &key)?;
    if checkpoint.last >= span.last {
        return Ok(Imported {
            checkpoint,
            refused: Vec::new(),
        });
    }
    if checkpoint.last != span.after {
        return Err(Refusal::Stale.into());
    }
    let mut refused = Vec::new();
    for (line, row) in rows {
        match store(world, row) {
            Ok(()) => checkpoint.imported = checkpoint.imported.saturating_add(1),
            Err(Stop::Refused(refusal)) => refused.push((line, refusal)),
            Err(stop) => return Err(stop),
        }
    }
    checkpoint.last = span.last;
    checkpoint.failed = checkpoint
        .failed
        .saturating_add(span.refused)
        .saturating_add(refused.len() as u64);
    world.put(&key, &ImportRowVersion::V1(checkpoint));
    Ok(Imported { checkpoint, refused })
}

/// The digest of an import's name. Names are a tenant's own, so that the collection is part of it.
pub(crate) fn digest(collection: &str, name: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(collection.len() as u64).to_be_bytes());
    hasher.update(collection.as_bytes());
    hasher.update(name.as_bytes());
    *hasher.finalize().as_bytes()
}
