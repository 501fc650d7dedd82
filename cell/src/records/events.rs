//! Events as users see them.

use api::body::event::Event as Body;
use api::error::Error;
use storage::table;
use storage::{Direction, Snapshot, Space, Table};

use super::time::format_stamp;
use crate::machine::catalog::Catalog;
use crate::machine::reader::decode;
use crate::machine::rows::{Event, EventRow, Subject};
use crate::service::error::internal;

/// Events after a position, at most `limit`.
pub(crate) fn after(
    snapshot: &Snapshot,
    space: Space,
    catalog: &Catalog,
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
        events.push(show(catalog, slug, key.position, event));
    }
    Ok(events)
}

/// One event.
fn show(catalog: &Catalog, slug: &str, position: u64, event: Event) -> Body {
    let (collection, record, version) = match event.subject {
        Subject::Tenant => (None, None, None),
        Subject::Record(number, id, version) => (
            catalog.numbered(number).map(|collection| collection.name.clone()),
            Some(id.to_string()),
            Some(version),
        ),
        Subject::Collection(name, version) => (Some(name), None, Some(version)),
        Subject::Token(id) => (None, Some(id.to_string()), None),
    };
    let subject = match (&collection, &record) {
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
    }
}
