//! Lists: which index serves a list, and one page of it.
//!
//! A list is served from exactly one ordered range of keys: the records of a collection by id, or an index whose first
//! parts are the equalities and whose next parts are the order. A list that no index serves is refused with the index that
//! would. Cursors name the list they belong to and the key they stopped at, so that they stay right while records change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::record::{ListQuery, Page, Record as Body};
use api::error::{Code, Error};
use api::ids::Id;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use storage::table::{IndexEntry, Record as RecordKey};
use storage::{Direction, Element, Key, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::convert::query_value;
use super::entries::Place;
use super::render;
use super::schema::{Collection, Part};
use crate::service::error::internal;

/// A page ends early when its fields are this long, in bytes; the cursor goes on from there.
const PAGE_BYTES: usize = 1024 * 1024;
/// How long counting may take. Raised: a large list holds a thread for longer. Lowered: large lists cannot be counted.
const COUNT_TIME: Duration = Duration::from_secs(5);
/// How many keys are counted between two looks at the time.
const COUNT_STEP: u64 = 4_096;
/// Bytes of the digest that ties a cursor to its list.
const DIGEST_BYTES: usize = 8;

/// How a list is served.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// The index; none: by id.
    index: Option<u32>,
    /// The keys of the whole list.
    range: KeyRange,
    /// From which end.
    direction: Direction,
}

/// One page of a list.
pub(crate) fn list(
    snapshot: &Snapshot,
    space: Space,
    collection: &Arc<Collection>,
    query: &ListQuery,
) -> Result<Page<Body>, Error> {
    let wanted = query.fields.as_deref();
    if let Some(unknown) = wanted.and_then(|wanted| wanted.iter().find(|name| collection.field(name).is_none())) {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("fields: {unknown:?} is not a field of {}", collection.name),
        ));
    }
    let plan = plan(space, collection, query)?;
    let digest = digest(space, collection, query, &plan);
    let count = query.count.then(|| count(snapshot, &plan.range)).transpose()?;
    let range = match &query.cursor {
        None => plan.range,
        Some(cursor) => resume(plan.range, plan.direction, cursor, digest)?,
    };
    let mut items = Vec::with_capacity(query.limit.min(api::limits::LIST_MAX));
    let mut last: Option<Key> = None;
    let mut bytes = 0;
    let mut more = false;
    for row in snapshot.scan(range, plan.direction) {
        let (key, value) = row.map_err(|error| internal(&error))?;
        if items.len() == query.limit {
            more = true;
            break;
        }
        let shown = item(snapshot, space, collection, plan.index, &key, &value, wanted)?;
        bytes += shown.fields.get().len();
        items.push(shown);
        last = Some(key);
        if bytes > PAGE_BYTES {
            more = true;
            break;
        }
    }
    let next_cursor = last.filter(|_| more).map(|key| encode(digest, &key));
    Ok(Page {
        items,
        next_cursor,
        count,
    })
}

/// The record behind one key of a list.
fn item(
    snapshot: &Snapshot,
    space: Space,
    collection: &Arc<Collection>,
    index: Option<u32>,
    key: &Key,
    value: &[u8],
    wanted: render::Wanted<'_>,
) -> Result<Body, Error> {
    let bad = |error: storage::KeyError| internal(&crate::machine::idempotency::bad_key(key, &error));
    let (id, record) = if index.is_some() {
        let id = Uuid::from_bytes(IndexEntry::parse(key.as_bytes()).map_err(bad)?.id);
        let place = Place {
            space,
            collection: collection.number,
            id,
        };
        let record = place.read(snapshot).map_err(|fault| internal(&fault))?;
        (id, record.ok_or_else(|| internal(&format!("{key} has no record")))?)
    } else {
        let parsed = RecordKey::parse(key.as_bytes()).map_err(bad)?;
        let super::value::RecordRow::V1(record) =
            crate::machine::reader::decode(&parsed, value).map_err(|fault| internal(&fault))?;
        (Uuid::from_bytes(parsed.id), record)
    };
    render::record(collection, id, &record, wanted).map_err(|error| internal(&error))
}

/// Chooses the range that serves a list.
fn plan(space: Space, collection: &Collection, query: &ListQuery) -> Result<Plan, Error> {
    let (order, direction) = order(collection, query.order.as_deref())?;
    let mut equals: Vec<(Part, Element)> = Vec::with_capacity(query.equals.len());
    for (name, text) in &query.equals {
        equals.push(equality(collection, name, text)?);
    }
    if equals.is_empty() && order.is_empty() {
        return Ok(Plan {
            index: None,
            range: RecordKey::range(space, collection.number),
            direction,
        });
    }
    let fits = |parts: &[Part]| {
        let (first, rest) = parts.split_at(equals.len().min(parts.len()));
        let all = first.len() == equals.len() && equals.iter().all(|(part, _)| first.contains(part));
        all && rest.starts_with(&order)
    };
    let Some(index) = collection.indexes.iter().find(|index| !index.unique && fits(&index.parts)) else {
        return Err(no_index(collection, &equals, &order));
    };
    let value = |part: &Part| {
        equals
            .iter()
            .find(|(other, _)| other == part)
            .map(|(_, element)| element.clone())
    };
    let prefix: Vec<Element> = index.parts.iter().take(equals.len()).filter_map(value).collect();
    let range = IndexEntry::range(space, collection.number, index.number, &prefix);
    Ok(Plan {
        index: Some(index.number),
        range,
        direction,
    })
}

fn equality(collection: &Collection, name: &str, text: &str) -> Result<(Part, Element), Error> {
    let wrong = |message: String| Error::new(Code::InvalidParameter, format!("{name}: {message}"));
    let field = collection
        .field(name)
        .ok_or_else(|| wrong(format!("is neither a parameter nor a field of {}", collection.name)))?;
    if !field.kind.indexable() {
        return Err(wrong("is a list or json and cannot be filtered by".to_owned()));
    }
    let value = query_value(field, text).map_err(wrong)?;
    Ok((
        Part::Field(field.number),
        value.map_or(Element::Null, |value| value.element()),
    ))
}

/// The parts of an order and its direction.
fn order(collection: &Collection, order: Option<&str>) -> Result<(Vec<Part>, Direction), Error> {
    let wrong = |message: String| Error::new(Code::InvalidParameter, format!("order: {message}"));
    let mut parts = Vec::new();
    let mut direction = None;
    for name in order.unwrap_or("").split(',').filter(|name| !name.is_empty()) {
        let (name, this) = name
            .strip_prefix('-')
            .map_or((name, Direction::Forward), |name| (name, Direction::Backward));
        if *direction.get_or_insert(this) != this {
            return Err(wrong("all of its fields must have the same direction".to_owned()));
        }
        parts.push(match (name, collection.field(name)) {
            ("id", _) => continue,
            ("created_at", _) => Part::CreatedAt,
            ("updated_at", _) => Part::UpdatedAt,
            (_, Some(field)) => Part::Field(field.number),
            (_, None) => return Err(wrong(format!("{name:?} is not a field of {}", collection.name))),
        });
    }
    Ok((parts, direction.unwrap_or(Direction::Forward)))
}

/// The refusal of a list that no index serves, with the index that would.
fn no_index(collection: &Collection, equals: &[(Part, Element)], order: &[Part]) -> Error {
    let parts = equals.iter().map(|(part, _)| part).chain(order);
    let names: Vec<_> = parts.map(|part| collection.part_name(*part)).collect();
    let detail = format!(
        "no index of {} serves this list; an index over [{}] would",
        collection.name,
        names.join(", ")
    );
    Error::new(Code::InvalidParameter, detail)
}

fn count(snapshot: &Snapshot, range: &KeyRange) -> Result<u64, Error> {
    let start = Instant::now();
    let mut count = 0u64;
    for row in snapshot.scan(range.clone(), Direction::Forward) {
        row.map_err(|error| internal(&error))?;
        count += 1;
        if count.is_multiple_of(COUNT_STEP) && start.elapsed() > COUNT_TIME {
            return Err(Error::new(
                Code::Timeout,
                format!("the list has more than {count} records: too many to count"),
            ));
        }
    }
    Ok(count)
}

/// What ties a cursor to its list.
fn digest(space: Space, collection: &Collection, query: &ListQuery, plan: &Plan) -> [u8; DIGEST_BYTES] {
    let what = (space.0, collection.number, plan.index, &query.order, &query.equals);
    let hash = blake3::hash(format!("{what:?}").as_bytes());
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&hash.as_bytes()[..DIGEST_BYTES]);
    digest
}

fn encode(digest: [u8; DIGEST_BYTES], key: &Key) -> String {
    URL_SAFE_NO_PAD.encode([&digest, key.as_bytes()].concat())
}

/// The rest of a list after a cursor.
fn resume(range: KeyRange, direction: Direction, cursor: &str, digest: [u8; DIGEST_BYTES]) -> Result<KeyRange, Error> {
    let wrong = || {
        Error::new(
            Code::InvalidCursor,
            "the cursor is not one that this list gave: start again without it",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let (head, key) = bytes.split_at_checked(DIGEST_BYTES).ok_or_else(wrong)?;
    if head != digest || !range.contains(key) {
        return Err(wrong());
    }
    let key = Key::from_bytes(bytes::Bytes::copy_from_slice(key)).map_err(|_| wrong())?;
    Ok(match direction {
        Direction::Forward => range.after(&key),
        Direction::Backward => range.before(&key),
    })
}

/// One record.
pub(crate) fn get(snapshot: &Snapshot, space: Space, collection: &Arc<Collection>, id: Id) -> Result<Body, Error> {
    let place = Place {
        space,
        collection: collection.number,
        id: id.0,
    };
    let record = place.read(snapshot).map_err(|fault| internal(&fault))?;
    let record = record.ok_or_else(|| Error::new(Code::NotFound, format!("there is no record {}/{id}", collection.name)))?;
    render::record(collection, id.0, &record, None).map_err(|error| internal(&error))
}
