//! Restoring: the decision that gives a record the fields of an older version again, also one that was deleted.
//!
//! It is a write like any other: the old fields must fit today's schema, rules and workflow are asked, and it makes a new version. Only
//! the workflow's first states are not: what was deleted comes back in the state that it had.

use api::body::record::Fields;
use api::error::{Code, Error};
use uuid::Uuid;

use super::admit::references;
use super::change::RecordsChange;
use super::decide::{View, change, missing, whole};
use super::history::{self, Superseded};
use super::render;
use super::schema::Collection;
use super::value::Record;
use super::write::{Expect, Operation};
use crate::service::error::internal;

/// What gives a record the fields of `version` again.
pub(crate) fn restore(
    view: &View<'_>,
    collection: &str,
    id: Uuid,
    version: u64,
    if_match: Option<u64>,
) -> Result<RecordsChange, Error> {
    let collection = view.collection(collection)?;
    let old = view.stored(collection, id)?;
    if old.as_ref().is_some_and(|old| old.version == version) {
        let detail = format!("version {version} is what the record has: there is nothing to restore");
        return Err(Error::new(Code::InvalidFields, detail));
    }
    let kept = kept(view, collection, id, old.as_ref(), version)?;
    let shown = render::fields(collection, &kept.record).map_err(|error| internal(&error))?;
    let fields: Fields = serde_json::from_str(shown.get()).map_err(|error| internal(&error))?;
    let doc = whole(collection, &fields, "/fields").map_err(|error| Error {
        detail: format!("version {version} does not fit the schema any more: {}", error.detail),
        ..error
    })?;
    if let Some((guard, asker)) = view.guard(collection) {
        match &old {
            Some(old) => guard.update(asker, collection, id, old, &doc)?,
            None => guard.bring_back(asker, collection, id, &doc)?,
        }
    }
    if let Some(asker) = &view.asker {
        references(view, asker, collection.number, id, &doc)?;
    }
    let expect = match (if_match, &old) {
        (Some(version), _) => Expect::Match(version),
        (None, Some(old)) => Expect::Read(old.version),
        (None, None) => Expect::Absent,
    };
    Ok(change(vec![Operation::Store {
        collection: collection.number,
        id,
        expect,
        doc,
        created: old.is_none().then_some(kept.record.created),
    }]))
}

/// The version that is asked for, if who asks may see both it and what the record is now, or was at last.
fn kept(view: &View<'_>, collection: &Collection, id: Uuid, old: Option<&Record>, version: u64) -> Result<Superseded, Error> {
    let place = view.place(collection, id);
    let guard = view.guard(collection);
    let sees = |record: &Record| guard.is_none_or(|(guard, asker)| guard.shows(asker, id, record));
    let gone = match old {
        Some(_) => None,
        None => history::last(view.snapshot, place).map_err(|fault| internal(&fault))?,
    };
    if !old.or(gone.as_ref().map(|gone| &gone.record)).is_some_and(sees) {
        return Err(missing(collection, id));
    }
    let kept = history::version(view.snapshot, place, version).map_err(|fault| internal(&fault))?;
    kept.filter(|kept| sees(&kept.record)).ok_or_else(|| {
        let detail = format!(
            "there is no version {version} of {}/{id}, or it is no longer kept",
            collection.name
        );
        Error::new(Code::NotFound, detail)
    })
}
