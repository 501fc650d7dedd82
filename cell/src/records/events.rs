//! Events as users see them.

use api::body::event::Event as Body;
use api::error::{Code, Error};
use storage::table;
use storage::{Direction, Snapshot, Space, Table};

use super::entries::Place;
use super::guard::Asker;
use super::time::format_stamp;
use super::{history, trim};
use crate::machine::catalog::Catalog;
use crate::machine::reader::decode;
use crate::machine::rows::{Event, EventRow, Header, Subject};
use crate::service::error::internal;

/// Events after a position, at most `limit`.
pub(crate) fn after(
    snapshot: &Snapshot,
    space: Space,
    catalog: &Catalog,
    asker: &Asker<'_>,
    slug: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<Body>, Error> {
    let mut events = Vec::new();
    for row in snapshot
        .scan(table::Event::range_after(space, after), Direction::Forward)
        .take(limit)
    {
        let (raw, bytes) = row.map_err(|error| internal(&error))?;
        let key = table::Event::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
        let EventRow::V1(event) = decode(&key, &bytes).map_err(|fault| internal(&fault))?;
        let hidden = is_hidden(snapshot, space, catalog, asker, &event.subject)?;
        events.push(Body {
            hidden,
            ..show(catalog, slug, key.position, event)
        });
    }
    Ok(events)
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

/// Whether the rules of its collection hide a record from somebody. Of what is gone its last version is asked about; what nobody
/// remembers any more is hidden.
fn is_hidden(snapshot: &Snapshot, space: Space, catalog: &Catalog, asker: &Asker<'_>, subject: &Subject) -> Result<bool, Error> {
    let (number, id) = match subject {
        Subject::Record(number, id, _) | Subject::File(_, _, Some((number, id))) => (number, id),
        _ => return Ok(false),
    };
    let Some(guard) = catalog.numbered(*number).and_then(|collection| catalog.guard(collection)) else {
        return Ok(false);
    };
    if guard.shows_all(asker) {
        return Ok(false);
    }
    let place = Place {
        space,
        collection: *number,
        id: *id,
    };
    let mut record = place.read(snapshot).map_err(|fault| internal(&fault))?;
    if record.is_none() {
        let gone = history::last(snapshot, place).map_err(|fault| internal(&fault))?;
        record = gone.map(|gone| gone.record);
    }
    Ok(!record.is_some_and(|record| guard.shows(asker, *id, &record)))
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
        hidden: false,
    }
}
