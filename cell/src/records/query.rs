//! Lists: one page of the records that a query asks for.
//!
//! [`super::plan`] says which ranges of keys to read, in which order; here the rows are read, kept where the filter holds, and shown.
//! A list that would read too much is refused with the index that would help. Cursors name the list they belong to and the key they
//! stopped at, so that they stay right while records change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::record::{ListQuery, Page, Record as Body};
use api::body::rendered::Rendered;
use api::error::{Code, Error};
use api::ids::Id;
use bytes::Bytes;
use storage::table::{IndexEntry, Record as RecordKey};
use storage::{Direction, Key, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::budget::Budget;
use super::cursor::{decode, digest, encode, resume};
use super::entries::Place;
use super::expand::Expand;
use super::guard::Sight;
use super::page::PageText;
use super::plan::{Asked, Plan};
use super::render::{self, Answered};
use super::schema::Collection;
use super::time::now_micros;
use super::value::{Record, RecordRow};
use crate::expr::{Expression, Facts, Scope};
use crate::machine::envelope::open;
use crate::machine::refusal::Fault;
use crate::service::error::internal;

/// A page ends early when it is this long, in bytes; the cursor goes on from there.
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
    let page = page.ok_or_else(|| internal(&"a list has ended before its page was whole"))?;
    page.read().map_err(|error| internal(&error))
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
) -> Result<Option<Rendered<Page<Body>>>, Error> {
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
        let page = page.map(|(page, last)| page.finish(last.map(|place| encode(digest, &place)).as_deref(), count));
        return page.transpose();
    }
    let ranges = match &query.cursor {
        None => plan.ranges.clone(),
        Some(cursor) => resume(&plan, cursor, digest)?,
    };
    let page = reading.page(ranges, query.limit, wanted, budget)?;
    let page = page.map(|(page, last)| page.finish(last.map(|key| encode(digest, key.as_bytes())).as_deref(), count));
    page.transpose()
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

    pub(super) fn keeps<S: AsRef<str> + Sync>(&self, id: Uuid, record: &Record<S>) -> bool {
        let facts = Facts {
            record: Some((id, record)),
            now: self.now,
            ..Facts::default()
        };
        self.asked.equals_hold(record) && self.sight.shows(id, record) && self.filter.is_none_or(|filter| filter.holds(&facts))
    }
}

/// A page, and the key that it ends with where there may be more.
type Items = (PageText, Option<Key>);

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
        // Where records are hidden, a cursor tells of more only once another one may be seen.
        let hides = !self.sieve.sight.is_whole();
        let mut page = PageText::new(limit);
        let mut last: Option<Key> = None;
        if self.plan.direction == Direction::Backward {
            ranges.reverse();
        }
        for range in ranges {
            for row in self.snapshot.scan(range, self.plan.direction) {
                let (key, value) = row.map_err(|error| internal(&error))?;
                let is_full = page.records() == limit || page.bytes() > PAGE_BYTES;
                if is_full && !hides {
                    return Ok(Some((page, last)));
                }
                if budget.is_over_at_next() {
                    return Ok(None);
                }
                let (id, row) = self.row(&key, value)?;
                let record = self.record(id, &row)?;
                if !open && !self.sieve.keeps(id, &record) {
                    match budget.is_spent() {
                        false => continue,
                        // It is not known whether more follows, and without a cursor it would be lost. The cursor names a record
                        // that is shown; that so many are not, the error of the next page would tell as well.
                        true if is_full => return Ok(Some((page, last))),
                        true => return Err(self.asked.no_index(self.collection, "the filter reads too many records")),
                    }
                }
                if is_full {
                    return Ok(Some((page, last)));
                }
                page.push(&self.show(id, &record, wanted)?)?;
                last = Some(key);
            }
        }
        Ok(Some((page, None)))
    }

    /// A record as it is shown.
    pub(super) fn show<'r, S: AsRef<str>>(
        &'r self,
        id: Uuid,
        record: &'r Record<S>,
        wanted: render::Wanted<'r>,
    ) -> Result<Answered<'r, S>, Error> {
        let mut shown = Answered::new(self.collection, id, record, wanted);
        shown.expand = self.expand.of(self.snapshot, self.space, record)?;
        Ok(shown)
    }

    fn count(&self) -> Result<u64, Error> {
        let (start, open) = (Instant::now(), self.sieve.is_open(self.plan));
        let (mut count, mut read) = (0u64, 0u64);
        for range in &self.plan.ranges {
            for row in self.snapshot.scan(range.clone(), Direction::Forward) {
                let (key, value) = row.map_err(|error| internal(&error))?;
                let kept = open || {
                    let (id, row) = self.row(&key, value)?;
                    let record = self.record(id, &row)?;
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

    /// The id and the row of the record behind one key of the list.
    pub(super) fn row(&self, key: &Key, value: Bytes) -> Result<(Uuid, Bytes), Error> {
        let bad = |error: storage::KeyError| internal(&crate::machine::idempotency::bad_key(key, &error));
        if self.plan.index.is_none() {
            let id = RecordKey::parse(key.as_bytes()).map_err(bad)?.id;
            return Ok((Uuid::from_bytes(id), value));
        }
        let id = IndexEntry::id_of(key.as_bytes()).map_err(bad)?;
        let row = self.snapshot.get(&self.place(Uuid::from_bytes(id)).key());
        let row = row.map_err(|error| internal(&error))?;
        Ok((
            Uuid::from_bytes(id),
            row.ok_or_else(|| internal(&format!("{key} has no record")))?,
        ))
    }

    /// The record in a row; its texts stay there.
    pub(super) fn record<'r>(&self, id: Uuid, row: &'r [u8]) -> Result<Record<&'r str>, Error> {
        let RecordRow::V1(record) =
            open(row).map_err(|error| internal(&Fault::Row(self.place(id).key().key().to_string(), error)))?;
        Ok(record)
    }

    pub(super) fn place(&self, id: Uuid) -> Place {
        Place {
            space: self.space,
            collection: self.collection.number,
            id,
        }
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
