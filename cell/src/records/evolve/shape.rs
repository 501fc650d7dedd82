//! What a record of a collection must keep: its schema, and the one that it is to have, while there is one.

use std::sync::Arc;

use storage::table::Sequence;

use super::super::documents;
use super::super::entries::{self, Place};
use super::super::schema::{Collection, FieldSpec};
use super::super::value::{Doc, Record};
use super::super::write::number;
use super::extra;
use super::pending::{Pending, Shared, Unfit};
use crate::machine::catalog::Catalog;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;
use crate::mutant::Mutant;

/// See the module.
#[derive(Clone)]
pub(crate) struct Shape {
    /// The schema.
    pub(crate) collection: Arc<Collection>,
    pending: Option<Shared>,
    /// References that it had, of which the record may have values still.
    retired: Option<Vec<FieldSpec>>,
}

impl Shape {
    /// The shape of a collection that is there. Commands are decided on the schema that they are applied to, so it is.
    pub(crate) fn find(catalog: &Catalog, number: u32) -> Result<Self, Refusal> {
        let found = catalog.numbered(number).filter(|collection| !collection.dropped);
        Ok(Self {
            collection: Arc::clone(found.ok_or(Refusal::Stale)?),
            pending: catalog.pending(number).cloned(),
            retired: catalog.retired(number).cloned(),
        })
    }

    /// Completes a document: numbers of sequences, and what it is to have besides. Returns the counters to store.
    pub(crate) fn complete(
        &self,
        world: &World<'_>,
        place: Place,
        old: Option<&Record>,
        doc: &mut Doc,
    ) -> Result<Vec<(Sequence, i64)>, Stop> {
        let mut counters = number(world, &self.collection, place, old, doc)?;
        if let Some(pending) = &self.pending
            && fit_or_wait(pending, old, doc)?
        {
            counters.extend(number(world, &pending.extra, place, old, doc)?);
        }
        Ok(counters)
    }

    /// Makes the document of a record that another one's deletion changes fit again.
    pub(crate) fn refit(&self, world: &mut World<'_>, place: Place, old: &Record, doc: &mut Doc) -> Result<(), Stop> {
        if let Some(pending) = &self.pending
            && fit_or_wait(pending, Some(old), doc)?
        {
            for (key, last) in number(world, &pending.extra, place, Some(old), doc)? {
                world.put(&key, &last);
            }
        }
        Ok(())
    }

    /// Refuses a record whose unique values are taken or whose references point nowhere. Writes nothing.
    pub(crate) fn check(&self, world: &World<'_>, place: Place, old: Option<&Record>, new: &Record) -> Result<(), Stop> {
        entries::check(world, &self.collection, place, old, new)?;
        match &self.pending {
            Some(pending) => extra::check(world, &pending.extra, place, old, new),
            None => Ok(()),
        }
    }

    /// Refuses a record whose unique values are taken, wherever its references point. Writes nothing.
    pub(crate) fn check_values(&self, world: &World<'_>, place: Place, new: &Record) -> Result<(), Stop> {
        entries::check_values(world, &self.collection, place, new)?;
        match &self.pending {
            Some(pending) => entries::check_values(world, &pending.extra, place, new),
            None => Ok(()),
        }
    }

    /// Replaces the entries of the old record by those of the new one.
    pub(crate) fn replace(
        &self,
        world: &mut World<'_>,
        place: Place,
        old: Option<&Record>,
        new: Option<&Record>,
    ) -> Result<(), Stop> {
        entries::replace(world, &self.collection, place, old, new);
        if new.is_none() {
            documents::forget(world, place, &self.collection.fields)?;
        }
        if let (Some(fields), Some(old)) = (&self.retired, old) {
            entries::forget_references(world, fields, place, old);
        }
        match &self.pending {
            Some(pending) => extra::replace(world, &pending.extra, place, old, new),
            None => Ok(()),
        }
    }

    /// Brings a stored record along: its document as it is to be, and the counters and entries for that.
    pub(super) fn bring_along(&self, world: &mut World<'_>, place: Place, old: &Record) -> Result<Doc, Stop> {
        let pending = self.pending.as_ref().ok_or(Refusal::Stale)?;
        let mut new = old.clone();
        pending.fit(&mut new.doc).map_err(Refusal::from)?;
        let counters = number(world, &pending.extra, place, Some(old), &mut new.doc)?;
        // Mutant, without a number.
        if !Mutant::DuplicatesNotListed.active() {
            entries::check(world, &pending.extra, place, Some(old), &new)?;
        }
        for (key, last) in counters {
            world.put(&key, &last);
        }
        extra::replace(world, &pending.extra, place, None, Some(&new))?;
        Ok(new.doc)
    }
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        let Unfit { field, message } = unfit;
        Refusal::Unfit { field, message }
    }
}

/// Makes a document fit what its collection is to have. False: it does not, but neither did what is stored, whose turn is still to come.
fn fit_or_wait(pending: &Pending, old: Option<&Record>, doc: &mut Doc) -> Result<bool, Stop> {
    let Err(unfit) = pending.fit(doc) else { return Ok(true) };
    if old.is_some_and(|old| pending.fit(&mut old.doc.clone()) == Err(unfit.clone())) {
        return Ok(false);
    }
    Err(Refusal::from(unfit).into())
}
