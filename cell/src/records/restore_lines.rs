//! Records of an archive, as they were: with their versions, times and creators. The way back from an export.
//!
//! References are not asked about, because a record may come before the one that it refers to; an archive is whole, and whoever reads it
//! looks at the references in the end ([`dangling`]).

use std::collections::BTreeSet;

use api::body::record::{Fields, Record as Body};
use api::error::{Code, Error};
use api::limits::VERSION_MAX;
use serde::{Deserialize, Serialize};
use storage::table::ReferenceEntry;
use storage::{Direction, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::convert::{Mode, document, timestamp};
use super::entries::Place;
use super::evolve::shape::Shape;
use super::growth;
use super::history;
use super::import::{Imported, Span, advance};
use super::schema::Collection;
use super::totals::Growth;
use super::value::{Doc, Record};
use super::write::put;
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch::Command;
use crate::machine::idempotency::bad_key;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::rows::Actor;
use crate::machine::world::World;

/// A record of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArchivedRecord {
    /// The number of its line, from 1.
    pub(crate) line: u64,
    /// The number of its collection.
    pub(crate) collection: u32,
    /// Its id.
    pub(crate) id: Uuid,
    /// The record.
    pub(crate) record: Record,
}

/// Stores some records of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordsRestore {
    /// The digest of the import's name.
    pub(crate) import: [u8; 32],
    /// The checkpoint that they follow.
    pub(crate) after: u64,
    /// The checkpoint after them.
    pub(crate) last: u64,
    /// The records, in the order of their lines.
    pub(crate) records: Vec<ArchivedRecord>,
    /// Lines between `after` and `last` that were refused before the log.
    pub(crate) refused: u64,
}

impl ArchivedRecord {
    /// Where it is, in a space.
    pub(crate) fn place(&self, space: Space) -> Place {
        Place {
            space,
            collection: self.collection,
            id: self.id,
        }
    }
}

impl Command for RecordsRestore {
    type Reply = Imported;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<Imported, Stop> {
        let version = world.live()?.schema;
        world.keep_history();
        let catalog = catalogs.get(world, world.space, version)?;
        let span = Span {
            import: self.import,
            after: self.after,
            last: self.last,
            refused: self.refused,
        };
        let records = self.records.into_iter().map(|record| (record.line, record));
        advance(world, span, records, |world, record| restore(world, &catalog, record))
    }
}

fn restore(world: &mut World<'_>, catalog: &Catalog, archived: ArchivedRecord) -> Result<(), Stop> {
    let shape = Shape::find(catalog, archived.collection)?;
    let place = Place {
        space: world.space,
        collection: archived.collection,
        id: archived.id,
    };
    let what = || format!("{}/{}", shape.collection.name, place.id);
    if place.read(world)?.is_some() {
        return Err(Refusal::AlreadyExists { what: what() }.into());
    }
    let mut record = archived.record;
    if history::last(world, place)?.is_some_and(|gone| gone.record.version.saturating_add(1) >= record.version) {
        let what = format!("a history of {}, which was deleted here: restore it from that", what());
        return Err(Refusal::AlreadyExists { what }.into());
    }
    let counters = shape.complete(world, place, None, &mut record.doc)?;
    shape.check_values(world, place, &record)?;
    for (key, last) in counters {
        world.put(&key, &last);
    }
    put(world, &shape, place, None, record).map(|_| ())
}

/// A record of an export as it is stored.
pub(crate) fn read(collection: &Collection, line: u64, body: &Body) -> Result<ArchivedRecord, Error> {
    let fields: Fields =
        serde_json::from_str(body.fields.get()).map_err(|error| Error::new(Code::MalformedBody, format!("/fields: {error}")))?;
    let doc = document(collection, &fields, Doc::default(), Mode::Part, "/fields").map_err(Error::fields)?;
    let invalid = |what: &str, message: &str| Error::new(Code::InvalidFields, format!("/{what}: {message}"));
    let time = |what: &str, text: &str| {
        let micros = timestamp(&serde_json::Value::String(text.to_owned())).map_err(|message| invalid(what, &message))?;
        u64::try_from(micros).map_err(|_| invalid(what, "must not be before 1970"))
    };
    if !(1..=VERSION_MAX).contains(&body.version) {
        return Err(invalid("version", &format!("must be 1 to {VERSION_MAX}")));
    }
    let by: Actor = body
        .created_by
        .parse()
        .map_err(|()| invalid("created_by", "is nobody's name"))?;
    Ok(ArchivedRecord {
        line,
        collection: collection.number,
        id: body.id.0,
        record: Record {
            version: body.version,
            created: time("created_at", &body.created_at)?,
            updated: time("updated_at", &body.updated_at)?,
            by,
            doc,
        },
    })
}

/// What a record of an archive adds to a tenant's records. One that is there already is refused and adds nothing.
pub(crate) fn growth_of(snapshot: &Snapshot, space: Space, archived: &ArchivedRecord) -> Result<Growth, Fault> {
    let place = archived.place(space);
    Ok(match place.read(snapshot)? {
        Some(_) => Growth::default(),
        None => growth::of_new(place, &archived.record.doc),
    })
}

/// References to records that are not there: how many, and one of them as text.
pub(crate) fn dangling(snapshot: &Snapshot, space: Space, catalog: &Catalog) -> Result<Option<(u64, String)>, Fault> {
    let (mut count, mut example, mut known) = (0, None, BTreeSet::new());
    for row in Reader::scan(snapshot, KeyRange::table(space, ReferenceEntry::TAG), Direction::Forward) {
        let (raw, _) = row?;
        let entry = ReferenceEntry::parse(raw.as_bytes()).map_err(|error| bad_key(&raw, &error))?;
        let target = Place {
            space,
            collection: entry.target_collection,
            id: Uuid::from_bytes(entry.target),
        };
        // Entries come in the order of their targets: one is enough to remember.
        if known.contains(&target) || Reader::get(snapshot, &target.key())?.is_some() {
            known = BTreeSet::from([target]);
            continue;
        }
        count += 1;
        example.get_or_insert_with(|| {
            let name = |number| catalog.numbered(number).map_or("", |collection| &collection.name);
            let source = (name(entry.source_collection), Uuid::from_bytes(entry.source));
            format!(
                "{}/{} refers to {}/{}",
                source.0,
                source.1,
                name(target.collection),
                target.id
            )
        });
    }
    Ok(example.map(|example| (count, example)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::stage::{SPACE, Stage};
    use crate::records::totals;

    fn line(version: u64) -> Body {
        let body = json!({
            "id": Uuid::from_u128(1), "collection": "tasks", "version": version, "fields": { "title": "one", "status": "todo" },
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z", "created_by": "system",
        });
        serde_json::from_str(&body.to_string()).expect("a record")
    }

    fn read_line(stage: &Stage, version: u64) -> Result<ArchivedRecord, Error> {
        read(stage.catalog().named("tasks").expect("tasks"), 1, &line(version))
    }

    #[test]
    fn a_version_that_nothing_can_follow_is_refused() {
        let stage = Stage::with_template("workspace");
        read_line(&stage, VERSION_MAX).expect("the highest");
        for version in [0, VERSION_MAX + 1, u64::MAX] {
            let error = read_line(&stage, version).expect_err("no version");
            assert_eq!(error.code, Code::InvalidFields);
            assert_eq!(error.detail, format!("/version: must be 1 to {VERSION_MAX}"));
        }
    }

    #[test]
    fn a_record_that_is_there_adds_nothing() {
        let mut stage = Stage::with_template("workspace");
        let archived = read_line(&stage, 7).expect("a record");
        let said = growth_of(&stage.snapshot(), SPACE, &archived).expect("no fault");
        let restore = RecordsRestore {
            import: [7; 32],
            after: 0,
            last: 1,
            records: vec![archived.clone()],
            refused: 0,
        };
        assert!(stage.apply(restore).result.expect("stored").refused.is_empty());
        let is = totals::read(&stage.snapshot(), SPACE).expect("no fault").expect("counted");
        assert!(said.records == 1 && said.bytes >= is.bytes as i64, "{said:?}, {is:?}");
        let again = growth_of(&stage.snapshot(), SPACE, &archived).expect("no fault");
        assert_eq!(again, Growth::default());
    }
}
