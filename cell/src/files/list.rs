//! Files as users see them: one, a page of them, and the versions of one.

use api::body::file::{AttachedTo, File as Body, FileVersion as VersionBody};
use api::body::record::Page;
use api::error::{Code, Error};
use api::ids::Id;
use storage::blob::hex;
use storage::table::{self, FileAttached};
use storage::{Direction, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::rows::{self, Attached, File, Version};
use super::sight::Looker;
use crate::machine::catalog::Catalog;
use crate::records::time::format_stamp;
use crate::service::error::internal;

/// Most files that are looked at for a page of who sees them all.
const PAGE_ROWS: usize = 2_000;
/// The same for who does not: a page goes on over what is hidden, because a cursor may name no such file. Raised: one page holds a thread
/// for longer. Lowered: who sees few files of many must list those of a record.
const SIFTED_ROWS: usize = 10 * PAGE_ROWS;

/// A file with its current version.
pub(crate) fn show(catalog: &Catalog, id: Uuid, file: &File, version: &Version) -> Body {
    let attached_to = file.attached.and_then(|(number, record)| {
        let collection = catalog.numbered(number)?.name.clone();
        Some(AttachedTo {
            collection,
            record: Id(record),
        })
    });
    Body {
        id: Id(id),
        name: file.name.clone(),
        content_type: version.media_type.clone(),
        size: version.content.size,
        version: file.current,
        revision: file.revision,
        blake3: hex(&version.content.blake3),
        sha256: hex(&version.content.sha256),
        attached_to,
        created_at: format_stamp(file.created),
        created_by: file.created_by.to_string(),
        updated_at: format_stamp(file.updated),
        updated_by: file.updated_by.to_string(),
    }
}

/// A page of the files that may be seen, in the order of their ids, after a cursor.
pub(crate) fn page(
    snapshot: &Snapshot,
    looker: &Looker<'_>,
    attached: Option<Attached>,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page<Body>, Error> {
    let rows = if sees_all(looker) { PAGE_ROWS } else { SIFTED_ROWS };
    page_within(snapshot, looker, attached, limit, cursor, rows)
}

/// A page for which at most so many files are looked at. For who does not see them all, its cursor is the last file that it shows, and is
/// there only if another may be seen: neither an id nor the end of a list tells of what is hidden.
pub(super) fn page_within(
    snapshot: &Snapshot,
    looker: &Looker<'_>,
    attached: Option<Attached>,
    limit: usize,
    cursor: Option<&str>,
    rows: usize,
) -> Result<Page<Body>, Error> {
    let space = looker.space;
    let wrong = || Error::new(Code::InvalidCursor, "the cursor is not one of this list");
    let after = cursor
        .map(|cursor| Uuid::try_parse(cursor).map_err(|_| wrong()))
        .transpose()?;
    // All files of a record are seen, or none.
    if attached.is_some() && !looker.sees(snapshot, attached).map_err(|fault| internal(&fault))? {
        return Ok(ended(Vec::new(), None));
    }
    let (range, sees_all) = (range(space, attached, after), sees_all(looker));
    let (mut items, mut last, mut looked) = (Vec::new(), None, 0);
    for row in snapshot.scan(range, Direction::Forward) {
        let (raw, _) = row.map_err(|error| internal(&error))?;
        let is_full = items.len() == limit;
        if (is_full && sees_all) || looked == rows {
            // After the last that is shown the list goes on, as far as anybody knows yet. Where none is, no place may be named.
            return match last {
                Some(last) => Ok(ended(items, Some(last))),
                None => Err(too_many()),
            };
        }
        let id = match attached {
            Some(_) => FileAttached::parse(raw.as_bytes()).map(|key| key.id),
            None => table::File::parse(raw.as_bytes()).map(|key| key.id),
        };
        let id = Uuid::from_bytes(id.map_err(|error| internal(&error))?);
        looked += 1;
        let file = seen(snapshot, looker, id)?;
        if is_full && file.is_some() {
            return Ok(ended(items, last));
        }
        if sees_all || file.is_some() {
            last = Some(id);
        }
        items.extend(file);
    }
    Ok(ended(items, None))
}

/// Whether no file of the tenant is hidden from who looks.
fn sees_all(looker: &Looker<'_>) -> bool {
    looker.scopes.is_none() && !looker.asker.is_bound()
}

/// A page that ends, and the file after which the next begins.
fn ended(items: Vec<Body>, last: Option<Uuid>) -> Page<Body> {
    Page {
        items,
        next_cursor: last.map(|id| id.to_string()),
        count: None,
    }
}

fn too_many() -> Error {
    Error::new(
        Code::FilterTooBroad,
        "the list reads too many files: ask for those of one record, with collection and record",
    )
}

/// A file, if it is there and may be seen.
pub(crate) fn seen(snapshot: &Snapshot, looker: &Looker<'_>, id: Uuid) -> Result<Option<Body>, Error> {
    let fault = |fault| internal(&fault);
    let Some(file) = rows::file(snapshot, looker.space, id).map_err(fault)? else {
        return Ok(None);
    };
    if !looker.sees(snapshot, file.attached).map_err(fault)? {
        return Ok(None);
    }
    let version = rows::version(snapshot, looker.space, id, file.current).map_err(fault)?;
    let version = version.ok_or_else(|| internal(&format_args!("file {id} has no version {}", file.current)))?;
    Ok(Some(show(looker.catalog, id, &file, &version)))
}

fn range(space: Space, attached: Option<Attached>, after: Option<Uuid>) -> KeyRange {
    match (attached, after) {
        (Some((collection, record)), None) => FileAttached::range(space, collection, record.into_bytes()),
        (Some(record), Some(id)) => {
            let range = FileAttached::range(space, record.0, record.1.into_bytes());
            range.after(&rows::attached(space, record, id).key())
        }
        (None, None) => table::File::range(space),
        (None, Some(id)) => table::File::range(space).after(&rows::key(space, id).key()),
    }
}

/// A page of the versions of a file below a number, the newest first.
pub(crate) fn versions(
    snapshot: &Snapshot,
    space: Space,
    id: Uuid,
    current: u64,
    limit: usize,
    below: Option<u64>,
) -> Result<Page<VersionBody>, Error> {
    let mut items: Vec<VersionBody> = Vec::new();
    for found in rows::versions(snapshot, space, id, Direction::Backward) {
        let (number, version) = found.map_err(|fault| internal(&fault))?;
        if below.is_some_and(|below| number >= below) {
            continue;
        }
        if items.len() == limit {
            let next_cursor = items.last().map(|last| last.version.to_string());
            return Ok(Page {
                items,
                next_cursor,
                count: None,
            });
        }
        items.push(VersionBody {
            version: number,
            current: number == current,
            content_type: version.media_type,
            size: version.content.size,
            blake3: hex(&version.content.blake3),
            sha256: hex(&version.content.sha256),
            created_at: format_stamp(version.stamp),
            created_by: version.by.to_string(),
        });
    }
    Ok(Page {
        items,
        next_cursor: None,
        count: None,
    })
}
