//! Lists: one page of the records that a query asks for.
//!
//! [`super::plan`] says which ranges of keys to read, in which order; here the rows are read, kept where the filter holds, and shown.
//! A list that would read too much is refused with the index that would help. Cursors name the list they belong to and the key they
//! stopped at, so that they stay right while records change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::record::{ListQuery, Page, Record as Body};
use api::error::{Code, Error};
use api::ids::Id;
use storage::table::{IndexEntry, Record as RecordKey};
use storage::{Direction, Key, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::budget::Budget;
use super::cursor::{decode, digest, encode, resume};
use super::entries::Place;
use super::expand::Expand;
use super::guard::Sight;
use super::plan::{Asked, Plan};
use super::render;
use super::schema::Collection;
use super::time::now_micros;
use super::value::Record;
use crate::expr::{Expression, Facts, Scope};
use crate::service::error::internal;

/// A page ends early when its fields are this long, in bytes; the cursor goes on from there.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;
/// How long counting may take. Raised: a large list holds a thread for longer. Lowered: large lists cannot be counted.
const COUNT_TIME: Duration = Duration::from_secs(5);
/// How many rows are read between two looks at the time. A filter may take 10 ms for each of them.
const TIME_STEP: u64 = 16;

/// One page of a list, whatever it takes.
#[cfg(test)]
pub(crate) fn list(
    snapshot: &Snapshot,
    space: Space,
    collection: &Arc<Collection>,
    query: &ListQuery,
    sight: Sight<'_>,
    expand: &Expand<'_>,
) -> Result<Page<Body>, Error> {
    let page = list_within(snapshot, space, collection, query, sight, expand, &mut Budget::whole())?;
    page.ok_or_else(|| internal(&"a list has ended before its page was whole"))
}

/// One page of a list; none: the budget was one for a glance, and the page takes longer.
pub(crate) fn list_within(
    snapshot: &Snapshot,
    space: Space,
    collection: &Arc<Collection>,
    query: &ListQuery,
    sight: Sight<'_>,
    expand: &Expand<'_>,
    budget: &mut Budget,
) -> Result<Option<Page<Body>>, Error> {
    let wanted = query.fields.as_deref();
    if let Some(unknown) = wanted.and_then(|wanted| wanted.iter().find(|name| collection.field(name).is_none())) {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("fields: {unknown:?} is not a field of {}", collection.name),
        ));
    }
    let filter = filter(collection, query)?;
    let asked = Asked::read(collection, query, filter.as_ref())?;
    let plan = asked.plan(snapshot, space, collection)?;
    let reading = Reading {
        snapshot,
        space,
        collection,
        sieve: Sieve {
            filter: filter.as_ref(),
            asked: &asked,
            sight,
            now: now_micros(),
        },
        asked: &asked,
        plan: &plan,
        expand,
    };
    let digest = digest(space, collection, query, &plan);
    let count = query.count.then(|| reading.count()).transpose()?;
    if let Some(sort) = &plan.sort {
        let after = query.cursor.as_ref().map(|cursor| decode(cursor, digest)).transpose()?;
        let page = reading.sorted(sort, after, query.limit, wanted, budget)?;
        return Ok(page.map(|(items, last)| Page {
            items,
            next_cursor: last.map(|place| encode(digest, &place)),
            count,
        }));
    }
    let ranges = match &query.cursor {
        None => plan.ranges.clone(),
        Some(cursor) => resume(&plan, cursor, digest)?,
    };
    let page = reading.page(ranges, query.limit, wanted, budget)?;
    Ok(page.map(|(items, last)| Page {
        items,
        next_cursor: last.map(|key| encode(digest, key.as_bytes())),
        count,
    }))
}

/// The filter of a query.
fn filter(collection: &Collection, query: &ListQuery) -> Result<Option<Expression>, Error> {
    let compile = |text: &String| Expression::compile(text, Scope::Filter(collection));
    let compiled = query.filter.as_ref().map(compile).transpose();
    compiled.map_err(|message| Error::new(Code::InvalidParameter, format!("filter: {message}")))
}

/// What a record must keep to be in a list.
pub(super) struct Sieve<'a> {
    filter: Option<&'a Expression>,
    asked: &'a Asked,
    sight: Sight<'a>,
    now: u64,
}

impl Sieve<'_> {
    /// Whether it lets everything through that the ranges hold.
    pub(super) fn is_open(&self, plan: &Plan) -> bool {
        self.filter.is_none()
            && self.sight.is_whole()
            && (self.asked.equals.is_empty() || (plan.index.is_some() && self.asked.is_covered(plan)))
    }

    pub(super) fn keeps(&self, id: Uuid, record: &Record) -> bool {
        let facts = Facts {
            record: Some((id, record)),
            now: self.now,
            ..Facts::default()
        };
        self.asked.equals_hold(record) && self.sight.shows(id, record) && self.filter.is_none_or(|filter| filter.holds(&facts))
    }
}

/// The records of a page, and the key that it ends with where there may be more.
type Items = (Vec<Body>, Option<Key>);

/// A list that is read.
pub(super) struct Reading<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) space: Space,
    pub(super) collection: &'a Arc<Collection>,
    pub(super) sieve: Sieve<'a>,
    pub(super) asked: &'a Asked,
    pub(super) plan: &'a Plan,
    expand: &'a Expand<'a>,
}

impl Reading<'_> {
    /// A page; none: a glance was not enough.
    fn page(
        &self,
        mut ranges: Vec<KeyRange>,
        limit: usize,
        wanted: render::Wanted<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Items>, Error> {
        let open = self.sieve.is_open(self.plan);
        let mut items = Vec::with_capacity(limit.min(api::limits::LIST_MAX));
        let mut last: Option<Key> = None;
        let mut bytes = 0;
        if self.plan.direction == Direction::Backward {
            ranges.reverse();
        }
        for range in ranges {
            for row in self.snapshot.scan(range, self.plan.direction) {
                let (key, value) = row.map_err(|error| internal(&error))?;
                if items.len() == limit || bytes > PAGE_BYTES {
                    return Ok(Some((items, last)));
                }
                if budget.is_over_at_next() {
                    return Ok(None);
                }
                let (id, record) = self.record(&key, &value)?;
                if !open && !self.sieve.keeps(id, &record) {
                    if budget.is_spent() {
                        return Err(self.asked.no_index(self.collection, "the filter reads too many records"));
                    }
                    continue;
                }
                let (shown, length) = self.show(id, &record, wanted)?;
                bytes += length;
                items.push(shown);
                last = Some(key);
            }
        }
        Ok(Some((items, None)))
    }

    /// A record as it is shown, and how long its fields are, in bytes.
    pub(super) fn show(&self, id: Uuid, record: &Record, wanted: render::Wanted<'_>) -> Result<(Body, usize), Error> {
        let mut shown = render::record(self.collection, id, record, wanted).map_err(|error| internal(&error))?;
        shown.expand = self.expand.of(self.snapshot, self.space, record)?;
        let others: usize = shown.expand.values().map(|other| other.fields.get().len()).sum();
        let length = shown.fields.get().len() + others;
        Ok((shown, length))
    }

    fn count(&self) -> Result<u64, Error> {
        let (start, open) = (Instant::now(), self.sieve.is_open(self.plan));
        let (mut count, mut read) = (0u64, 0u64);
        for range in &self.plan.ranges {
            for row in self.snapshot.scan(range.clone(), Direction::Forward) {
                let (key, value) = row.map_err(|error| internal(&error))?;
                let kept = open || {
                    let (id, record) = self.record(&key, &value)?;
                    self.sieve.keeps(id, &record)
                };
                count += u64::from(kept);
                read += 1;
                if read.is_multiple_of(TIME_STEP) && start.elapsed() > COUNT_TIME {
                    return Err(Error::new(
                        Code::Timeout,
                        format!("more than {read} records were read: too many to count"),
                    ));
                }
            }
        }
        Ok(count)
    }

    /// The record behind one key of the list.
    pub(super) fn record(&self, key: &Key, value: &[u8]) -> Result<(Uuid, Record), Error> {
        let bad = |error: storage::KeyError| internal(&crate::machine::idempotency::bad_key(key, &error));
        if self.plan.index.is_none() {
            let parsed = RecordKey::parse(key.as_bytes()).map_err(bad)?;
            let super::value::RecordRow::V1(record) =
                crate::machine::reader::decode(&parsed, value).map_err(|fault| internal(&fault))?;
            return Ok((Uuid::from_bytes(parsed.id), record));
        }
        let id = Uuid::from_bytes(IndexEntry::parse(key.as_bytes()).map_err(bad)?.id);
        let place = Place {
            space: self.space,
            collection: self.collection.number,
            id,
        };
        let record = place.read(self.snapshot).map_err(|fault| internal(&fault))?;
        Ok((id, record.ok_or_else(|| internal(&format!("{key} has no record")))?))
    }
}

/// One record.
pub(crate) fn get(
    snapshot: &Snapshot,
    space: Space,
    collection: &Arc<Collection>,
    id: Id,
    sight: Sight<'_>,
    expand: &Expand<'_>,
) -> Result<Body, Error> {
    let place = Place {
        space,
        collection: collection.number,
        id: id.0,
    };
    let record = place.read(snapshot).map_err(|fault| internal(&fault))?;
    let seen = record.filter(|record| sight.shows(id.0, record));
    let record = seen.ok_or_else(|| Error::new(Code::NotFound, format!("there is no record {}/{id}", collection.name)))?;
    let mut shown = render::record(collection, id.0, &record, None).map_err(|error| internal(&error))?;
    shown.expand = expand.of(snapshot, space, &record)?;
    Ok(shown)
}
