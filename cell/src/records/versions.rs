//! The history of a record as users see it: its versions and deletions, the newest first.

use std::sync::Arc;

use api::body::record::{Page, RecordVersion};
use api::error::{Code, Error};
use api::ids::Id;
use storage::{Snapshot, Space};

use super::entries::Place;
use super::guard::Sight;
use super::history::{Superseded, versions};
use super::query::PAGE_BYTES;
use super::render;
use super::schema::Collection;
use super::time::format_stamp;
use super::value::Record;
use crate::machine::rows::Actor;
use crate::service::error::internal;

/// Most versions that are read for a page: those that rules hide are not shown, and cost as much.
const PAGE_ROWS: usize = 1_000;

/// A page of the versions below `cursor`. Rules are asked about every one of them, and about what the record is or was at last: where that
/// is hidden, so is its history.
pub(crate) fn list(
    snapshot: &Snapshot,
    space: Space,
    collection: &Arc<Collection>,
    id: Id,
    sight: Sight<'_>,
    limit: usize,
    cursor: Option<u64>,
) -> Result<Page<RecordVersion>, Error> {
    let place = Place {
        space,
        collection: collection.number,
        id: id.0,
    };
    let current = place.read(snapshot).map_err(|fault| internal(&fault))?;
    let last = super::history::last(snapshot, place).map_err(|fault| internal(&fault))?;
    let head = current.as_ref().or(last.as_ref().map(|last| &last.record));
    if !head.is_some_and(|head| sight.shows(id.0, head)) {
        let detail = format!("there is no record {}/{id}", collection.name);
        return Err(Error::new(Code::NotFound, detail));
    }
    let mut page = Versions {
        collection,
        sight,
        id,
        limit,
        below: cursor.unwrap_or(u64::MAX),
        bytes: 0,
        items: Vec::new(),
    };
    if let Some(current) = &current {
        page.show(current, last.as_ref())?;
    }
    // One more than is shown: who made a version is in the row of the one before it.
    let mut rows = versions(snapshot, place, page.below).peekable();
    let mut read = 0;
    let mut at = current.as_ref().map(|current| current.version);
    while let Some(row) = rows.next() {
        let row = row.map_err(|fault| internal(&fault))?;
        if page.is_full() || read == PAGE_ROWS {
            return Ok(page.finish(at));
        }
        page.deletion(&row);
        if page.is_full() {
            return Ok(page.finish(Some(row.record.version.saturating_add(1))));
        }
        let before = match rows.peek() {
            Some(Ok(before)) => Some(before.clone()),
            // What is wrong with it is said when its turn comes.
            _ => None,
        };
        page.show(&row.record, before.as_ref())?;
        read += 1;
        at = Some(row.record.version);
    }
    Ok(page.finish(None))
}

/// A page that is being made.
struct Versions<'a> {
    collection: &'a Arc<Collection>,
    sight: Sight<'a>,
    id: Id,
    limit: usize,
    below: u64,
    bytes: usize,
    items: Vec<RecordVersion>,
}

impl Versions<'_> {
    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.bytes > PAGE_BYTES
    }

    fn show(&mut self, record: &Record, before: Option<&Superseded>) -> Result<(), Error> {
        if record.version >= self.below || !self.sight.shows(self.id.0, record) {
            return Ok(());
        }
        let fields = render::fields(self.collection, record).map_err(|error| internal(&error))?;
        self.bytes += fields.get().len();
        self.items.push(RecordVersion {
            version: record.version,
            changed_at: format_stamp(record.updated),
            changed_by: changed_by(record, before).map(|actor| actor.to_string()),
            deleted: false,
            fields: Some(fields),
        });
        Ok(())
    }

    /// A deletion is a version of its own, without fields.
    fn deletion(&mut self, row: &Superseded) {
        let version = row.record.version.saturating_add(1);
        if !row.deleted || version >= self.below || !self.sight.shows(self.id.0, &row.record) {
            return;
        }
        self.items.push(RecordVersion {
            version,
            changed_at: format_stamp(row.stamp),
            changed_by: Some(row.actor.to_string()),
            deleted: true,
            fields: None,
        });
    }

    /// The page, and where the next one begins.
    fn finish(self, below: Option<u64>) -> Page<RecordVersion> {
        Page {
            items: self.items,
            next_cursor: below.map(|below| below.to_string()),
            count: None,
        }
    }
}

/// Who made a version: whoever superseded the one before it, or created the record. None: that is no longer kept.
fn changed_by<'a>(record: &'a Record, before: Option<&'a Superseded>) -> Option<&'a Actor> {
    match before {
        Some(before) if before.deleted => Some(&record.by),
        Some(before) if before.record.version.saturating_add(1) == record.version => Some(&before.actor),
        _ => (record.version == 1).then_some(&record.by),
    }
}
