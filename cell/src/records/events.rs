//! Events as users see them.

use std::sync::Arc;

use api::body::event::{Event as Body, EventQuery, Seen, Told};
use api::error::{Code, Error};
use serde_json::value::RawValue;
use storage::table;
use storage::{Direction, Snapshot, Space, Table};
use uuid::Uuid;

use super::entries::Place;
use super::guard::{Asker, Sight};
use super::interest::Filters;
use super::schema::Collection;
use super::tail::{Line, Shown, Tails};
use super::time::format_stamp;
use super::value::Record;
use super::{history, interest, render, trim};
use crate::machine::catalog::Catalog;
use crate::machine::reader::decode;
use crate::machine::rows::{Event, EventKind, EventRow, Header, Subject};
use crate::service::error::internal;

/// A page of events ends early when the fields of their records are this long, in bytes.
const PAGE_BYTES: usize = 256 * 1024;

/// A tenant whose events are read, and who reads them.
pub(crate) struct Reading<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) header: &'a Header,
    pub(crate) catalog: &'a Catalog,
    pub(crate) space: Space,
    pub(crate) slug: &'a str,
    pub(crate) asker: Asker<'a>,
    pub(crate) tails: &'a Tails,
    pub(crate) filters: &'a Filters,
}

impl Reading<'_> {
    /// Events after a position, at most as many as the query says.
    pub(crate) fn after(&self, query: &EventQuery) -> Result<Vec<Seen>, Error> {
        let shown = Shown {
            slug: self.slug.to_owned(),
            schema: self.header.schema,
        };
        let last = self.header.position;
        let kept = self.tails.after(self.space, &shown, query.after, last, query.limit);
        let lines = match kept {
            Some(lines) => lines,
            None => {
                let lines = self.read(query.after, query.limit)?;
                if lines.last().is_some_and(|line| line.position() == last) {
                    self.tails.keep(self.space, &shown, &lines);
                }
                lines
            }
        };
        let (mut seen, mut bytes) = (Vec::with_capacity(lines.len()), 0);
        for line in &lines {
            let one = self.see(line, query)?;
            bytes += one.fields.as_ref().map_or(0, |fields| fields.get().len());
            seen.push(one);
            // Whoever is slow holds one page.
            if bytes > PAGE_BYTES {
                break;
            }
        }
        Ok(seen)
    }

    /// Reads events from the store.
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Arc<Line>>, Error> {
        let mut lines = Vec::new();
        let rows = self
            .snapshot
            .scan(table::Event::range_after(self.space, after), Direction::Forward);
        for row in rows.take(limit) {
            let (raw, bytes) = row.map_err(|error| internal(&error))?;
            let key = table::Event::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
            let EventRow::V1(event) = decode(&key, &bytes).map_err(|fault| internal(&fault))?;
            let (kind, subject) = (event.kind, event.subject.clone());
            let told = Told::new(show(self.catalog, self.slug, key.position, event));
            lines.push(Arc::new(Line::new(kind, subject, told)));
        }
        Ok(lines)
    }

    /// An event as the asker may see it.
    fn see(&self, line: &Line, query: &EventQuery) -> Result<Seen, Error> {
        let seen = |hidden, fields| Seen {
            told: Arc::clone(&line.told),
            hidden,
            fields,
        };
        if !interest::names(query, line.told.event()) {
            return Ok(seen(true, None));
        }
        let (number, id, version) = match &line.subject {
            Subject::Record(number, id, version) => (number, id, version),
            Subject::File(_, _, Some(record)) => return Ok(seen(query.filter.is_some() || self.hides(*record)?, None)),
            _ => return Ok(seen(query.filter.is_some(), None)),
        };
        let Some(collection) = self.catalog.numbered(*number) else {
            return Ok(seen(false, None));
        };
        let place = Place {
            space: self.space,
            collection: *number,
            id: *id,
        };
        let sight = Sight::new(self.catalog.guard(collection).map(AsRef::as_ref), self.asker);
        if !sight.is_whole() && self.is_hidden(place, sight)? {
            return Ok(seen(true, None));
        }
        if let Some(text) = &query.filter {
            let Some(filter) = self.filters.get(self.space, self.header.schema, collection, text) else {
                return Ok(seen(true, None));
            };
            let record = self.left(place, line.kind, *version)?;
            // Where the version itself is hidden, its fields must not be found out by asking.
            let kept = record.filter(|record| sight.shows(*id, record));
            if !kept.is_some_and(|record| interest::holds(&filter, *id, &record, self.asker.now)) {
                return Ok(seen(true, None));
            }
        }
        let fields = if query.with_fields && line.kind != EventKind::RecordDeleted {
            self.fields(line, collection, place, *version, sight)?
        } else {
            None
        };
        Ok(seen(false, fields))
    }

    /// Whether rules hide what is attached to a record.
    fn hides(&self, (number, id): (u32, Uuid)) -> Result<bool, Error> {
        let Some(collection) = self.catalog.numbered(number) else {
            return Ok(false);
        };
        let place = Place {
            space: self.space,
            collection: number,
            id,
        };
        let sight = Sight::new(self.catalog.guard(collection).map(AsRef::as_ref), self.asker);
        Ok(!sight.is_whole() && self.is_hidden(place, sight)?)
    }

    /// The fields of a version, where it is kept and may be seen.
    fn fields(
        &self,
        line: &Line,
        collection: &Collection,
        place: Place,
        version: u64,
        sight: Sight<'_>,
    ) -> Result<Option<Arc<RawValue>>, Error> {
        let read = || -> Result<Option<Arc<RawValue>>, Error> {
            let record = self.left(place, line.kind, version)?;
            let Some(record) = record.filter(|record| sight.shows(place.id, record)) else {
                return Ok(None);
            };
            let fields = render::fields(collection, &record).map_err(|error| internal(&error))?;
            Ok(Some(Arc::from(fields)))
        };
        // What a rule decides is not for others.
        if sight.is_whole() { line.fields(read) } else { read() }
    }

    /// A record as a change left it; of one that was deleted, as it was at last. None: that is no longer kept.
    fn left(&self, place: Place, kind: EventKind, version: u64) -> Result<Option<Record>, Error> {
        let snapshot = self.snapshot;
        let version = match kind {
            EventKind::RecordDeleted => version.saturating_sub(1),
            _ => version,
        };
        let current = place.read(snapshot).map_err(|fault| internal(&fault))?;
        if current.as_ref().is_some_and(|current| current.version == version) {
            return Ok(current);
        }
        let kept = history::version(snapshot, place, version).map_err(|fault| internal(&fault))?;
        Ok(kept.map(|kept| kept.record))
    }

    /// Whether rules hide a record. Of what is gone its last version is asked about; what nobody remembers any more is hidden.
    fn is_hidden(&self, place: Place, sight: Sight<'_>) -> Result<bool, Error> {
        let snapshot = self.snapshot;
        let mut record = place.read(snapshot).map_err(|fault| internal(&fault))?;
        if record.is_none() {
            let gone = history::last(snapshot, place).map_err(|fault| internal(&fault))?;
            record = gone.map(|gone| gone.record);
        }
        Ok(!record.is_some_and(|record| sight.shows(place.id, &record)))
    }
}

/// Refuses a position from which on not everything is kept any more.
pub(crate) fn check_kept(snapshot: &Snapshot, space: Space, header: &Header, after: u64) -> Result<(), Error> {
    let trimmed = trim::trimmed_to(snapshot, space, header).map_err(|fault| internal(&fault))?;
    if after >= trimmed {
        return Ok(());
    }
    let detail = format!(
        "events up to position {trimmed} are no longer kept, so that what follows {after} is not whole: read what you need (lists, or an \
         export) and go on from the CloudNest-Position of that reply; `after={trimmed}` begins with the first event that is kept"
    );
    Err(Error::new(Code::PositionTrimmed, detail))
}

/// One event.
fn show(catalog: &Catalog, slug: &str, position: u64, event: Event) -> Body {
    let file = match event.subject {
        Subject::File(id, ..) => Some(id.to_string()),
        _ => None,
    };
    let (collection, record, version) = match event.subject {
        Subject::Tenant => (None, None, None),
        Subject::Record(number, id, version) => (
            catalog.numbered(number).map(|collection| collection.name.clone()),
            Some(id.to_string()),
            Some(version),
        ),
        Subject::Collection(name, version) => (Some(name), None, Some(version)),
        Subject::Token(id) => (None, Some(id.to_string()), None),
        Subject::File(_, version, None) => (None, None, Some(version)),
        Subject::File(_, version, Some((number, id))) => (
            catalog.numbered(number).map(|collection| collection.name.clone()),
            Some(id.to_string()),
            Some(version),
        ),
    };
    let subject = match (&collection, &record) {
        _ if file.is_some() => file.as_ref().map(|file| format!("files/{file}")),
        (Some(collection), Some(record)) => Some(format!("{collection}/{record}")),
        (one, other) => one.clone().or_else(|| other.clone()),
    };
    Body {
        specversion: "1.0".to_owned(),
        id: format!("{slug}/{position}"),
        source: format!("/v1/tenants/{slug}"),
        kind: event.kind.name().to_owned(),
        subject,
        time: format_stamp(event.stamp),
        position,
        actor: event.actor.to_string(),
        collection,
        record,
        version,
        file,
        fields: None,
    }
}
