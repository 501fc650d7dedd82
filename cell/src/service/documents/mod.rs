//! Documents: who may read and write them, and what becomes of them while they are written.
//!
//! An update is decided like any other write: on what this leader has, with the guard of its collection, and again where that has changed.
//! Whether it fits to its document is tried before. Small documents are put together where requests are served; larger ones take a while — with
//! an update that was made to be slow, seconds —, which the others on such a thread must not wait for: they have a blocking one, and
//! places of their own.

mod settling;
mod writing;

pub(crate) use settling::Settling;
pub(crate) use writing::Writing;

use std::sync::{Arc, Mutex, PoisonError};

use api::error::{Code, Error, Result};
use api::service::{DocumentAt, Documents, Lacking, RequestContext};
use async_trait::async_trait;
use bytes::Bytes;
use storage::{Snapshot, Space};

use super::Front;
use super::admission::crowded;
use super::error::internal;
use super::writing::{asker, principal};
use crate::documents::DOCUMENT_BYTES;
use crate::documents::merge::{self, Unreadable, Whole, says_nothing};
use crate::documents::rows::{self, Stored};
use crate::documents::update::DocumentUpdate;
use crate::fair::turns::Turn;
use crate::fair::unit::{self, Units};
use crate::machine::catalog::Catalog;
use crate::machine::dispatch::Answer;
use crate::records::entries::Place;
use crate::records::guard::{Asker, Sight};
use crate::records::schema::{Collection, Kind};
use crate::records::value::{Record, Value};

/// Bytes of a document that is put together in a few milliseconds whatever it holds: the library looks at each of its items for each at worst,
/// and an item takes eight bytes or more.
const SMALL: usize = 16 * 1024;

/// How often an update is tried on a large document that changes meanwhile: settling may do that, and the update that waits for its turn.
const TRIES: usize = 5;

/// A document as it was found.
struct Found {
    place: Place,
    field: u16,
    record: Record,
    stored: Stored,
}

#[async_trait]
impl Documents for Front {
    async fn document(&self, ctx: &RequestContext, at: &DocumentAt, state_vector: Option<Bytes>) -> Result<Lacking> {
        let moment = self.moment(ctx)?;
        let principal = principal(ctx);
        let asker = asker(ctx, &principal);
        let (collection, mut found) = find(&moment.snapshot, &moment.catalog, ctx, at, asker)?;
        let has = state_vector.unwrap_or(Bytes::from_static(&[0]));
        let wrong = |Unreadable(why)| Error::new(Code::MalformedBody, format!("the state vector cannot be read: {why}"));
        let last = found.stored.ends().map_or(0, |(_, last)| last);
        let read = move |whole: &Whole| {
            let lacking = Lacking {
                update: whole.lacking(&has)?.into(),
                state_vector: whole.state_vector()?.into(),
                last,
            };
            Ok((lacking, whole.text()?))
        };
        let stored = std::mem::take(&mut found.stored);
        let (_, done) = self.work_out(ctx, stored, Bytes::new(), move |_, whole| read(whole)).await?;
        let (lacking, text) = done.map_err(damaged)?.map_err(wrong)?;
        if shown(&found.record, found.field) != text && self.may_write(&moment.catalog, &collection, asker, &found).is_ok() {
            // Whoever was to write it down was interrupted.
            self.settle_soon(ctx, at);
        }
        Ok(lacking)
    }

    fn document_last(&self, ctx: &RequestContext, at: &DocumentAt) -> Result<u64> {
        let moment = self.moment(ctx)?;
        let principal = principal(ctx);
        let found = find(&moment.snapshot, &moment.catalog, ctx, at, asker(ctx, &principal))?.1;
        Ok(found.stored.ends().map_or(0, |(_, last)| last))
    }

    async fn document_update(&self, ctx: &RequestContext, at: &DocumentAt, update: Bytes) -> Result<Option<u64>> {
        let wrong = |Unreadable(why)| Error::new(Code::MalformedBody, format!("the update cannot be read: {why}"));
        if says_nothing(&update).map_err(wrong)? {
            return Ok(None);
        }
        let check = |snapshot: &Snapshot, catalog: &Catalog, asker: Asker<'_>| -> Result<Found> {
            let (collection, found) = find(snapshot, catalog, ctx, at, asker)?;
            self.may_write(catalog, &collection, asker, &found)?;
            if found.stored.bytes() + update.len() > DOCUMENT_BYTES {
                let detail = format!("the document would be longer than {DOCUMENT_BYTES} bytes");
                return Err(Error::new(Code::TooLarge, detail));
            }
            self.check_room_for(ctx, snapshot, update.len())?;
            Ok(found)
        };
        let (mut turn, mut tried) = (None, None);
        for _ in 0..TRIES {
            let untried = Mutex::new(None);
            let written = self.write_as(ctx, None, |view, _| {
                // What is decided anew may end otherwise.
                let mut untried = untried.lock().unwrap_or_else(PoisonError::into_inner);
                *untried = None;
                let asker = view.asker.ok_or_else(|| internal(&"nobody asks"))?;
                let found = check(view.snapshot, view.catalog, asker)?;
                if !is_large(&found.stored, &update) {
                    let (applied, core) = merge::with(&found.stored, &update, |whole| whole.apply(&update));
                    self.charge(ctx, unit::of_core(core));
                    applied.map_err(damaged)?.map_err(wrong)?;
                } else if tried.as_ref() != Some(&found.stored) {
                    *untried = Some(found.stored);
                    return Err(Error::new(
                        Code::Contention,
                        "others write the document all the time; try again",
                    ));
                }
                Ok(DocumentUpdate {
                    collection: found.place.collection,
                    id: found.place.id,
                    field: found.field,
                    version: found.record.version,
                    update: update.to_vec(),
                })
            });
            let written = written.await;
            let Some(stored) = untried.into_inner().unwrap_or_else(PoisonError::into_inner) else {
                return self.updated(ctx, at, written?);
            };
            if turn.is_none() {
                // One at a time has the document for itself. What it was tried on is another one by now.
                turn = Some(self.writing.turn(ctx, at).await);
                continue;
            }
            let more = update.clone();
            let (stored, applied) = self
                .work_out(ctx, stored, update.clone(), move |_, whole| whole.apply(&more))
                .await?;
            applied.map_err(damaged)?.map_err(wrong)?;
            tried = Some(stored);
        }
        Err(Error::new(
            Code::Contention,
            "others write the document all the time; try again",
        ))
    }
}

impl Front {
    /// An update is written, or refused.
    fn updated(&self, ctx: &RequestContext, at: &DocumentAt, answer: Answer<u64>) -> Result<Option<u64>> {
        let number = answer.result.map_err(|refusal| super::error::refused(&refusal))?;
        self.settle_soon(ctx, at);
        Ok(Some(number))
    }

    /// Charges what a connection costs after it was let in.
    fn charge(&self, ctx: &RequestContext, cost: Units) {
        let (account, limits) = self.platform.account(&ctx.placement);
        account.charge(&limits, cost);
    }

    /// Puts a document together on a thread that nobody else waits for, works with it, and charges that. `more`: see [`merge::with`].
    async fn work_out<T: Send + 'static>(
        &self,
        ctx: &RequestContext,
        stored: Stored,
        more: Bytes,
        work: impl FnOnce(&Stored, &Whole) -> T + Send + 'static,
    ) -> Result<(Stored, std::result::Result<T, Unreadable>)> {
        let place = match is_large(&stored, &more) {
            true => Some(self.place(ctx).await?),
            false => None,
        };
        let working = tokio::task::spawn_blocking(move || {
            let (done, core) = merge::with(&stored, &more, |whole| work(&stored, whole));
            if let Some(place) = place {
                place.end(unit::of_core(core));
            }
            (stored, done, core)
        });
        let (stored, done, core) = working.await.map_err(|error| internal(&error))?;
        self.charge(ctx, unit::of_core(core));
        Ok((stored, done))
    }

    /// A place for a large document. None for who owes what earlier ones have taken: nobody asks that of a message of a connection that is open.
    async fn place(&self, ctx: &RequestContext) -> Result<Turn> {
        let (fair, (account, limits)) = (&self.platform.fair, self.platform.account(&ctx.placement));
        if let Some(wait) = account.level(&limits).empty_for.filter(|_| fair.is_on) {
            let detail = format!("the tenant has used up the request units of its plan {:?}", limits.plan);
            return Err(Error::new(Code::TooManyRequests, detail).retry_after(wait));
        }
        let place = fair.documents.enter(ctx.placement.uid, limits.weight, unit::LIST);
        place.await.map_err(crowded)
    }

    /// Refuses who may not change the record.
    fn may_write(&self, catalog: &Catalog, collection: &Collection, asker: Asker<'_>, found: &Found) -> Result<()> {
        if matches!(asker.auth.role, api::body::token::Role::Guest) {
            return Err(Error::new(Code::Forbidden, "a guest only reads: the document is not changed"));
        }
        let Some(guard) = catalog.guard(collection) else {
            return Ok(());
        };
        guard.update(&asker, collection, found.place.id, &found.record, &found.record.doc)
    }
}

/// Whether a document, with an update that is to come to it, takes long to be put together.
fn is_large(stored: &Stored, more: &[u8]) -> bool {
    stored.bytes() + more.len() > SMALL
}

/// A stored document that cannot be read.
fn damaged(Unreadable(why): Unreadable) -> Error {
    internal(&format!("a stored document: {why}"))
}

/// The text that a record shows of a document.
fn shown(record: &Record, field: u16) -> &str {
    match record.doc.get(field) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// A document that somebody may read.
fn find(
    snapshot: &Snapshot,
    catalog: &Catalog,
    ctx: &RequestContext,
    at: &DocumentAt,
    asker: Asker<'_>,
) -> Result<(Arc<Collection>, Found)> {
    if !super::view::in_scope(ctx, at.collection.as_str()) {
        let detail = format!(
            "the token's scopes do not include the collection {:?}",
            at.collection.as_str()
        );
        return Err(Error::new(Code::Forbidden, detail));
    }
    let (collection, found) = locate(snapshot, catalog, ctx, at)?;
    let sight = Sight::new(catalog.guard(&collection).map(AsRef::as_ref), asker);
    if !sight.shows(found.place.id, &found.record) {
        return Err(missing(at));
    }
    Ok((collection, found))
}

fn locate(snapshot: &Snapshot, catalog: &Catalog, ctx: &RequestContext, at: &DocumentAt) -> Result<(Arc<Collection>, Found)> {
    let collection = catalog.named(at.collection.as_str()).ok_or_else(|| missing(at))?;
    let field = collection
        .field(at.field.as_str())
        .filter(|field| field.kind == Kind::Document);
    let field = field.ok_or_else(|| {
        let detail = format!(
            "{} is not a field of the type document of {}",
            at.field.as_str(),
            at.collection.as_str()
        );
        Error::new(Code::NotFound, detail)
    })?;
    let place = Place {
        space: Space(ctx.placement.uid),
        collection: collection.number,
        id: at.id.0,
    };
    let record = place.read(snapshot).map_err(|fault| internal(&fault))?;
    let found = Found {
        place,
        field: field.number,
        record: record.ok_or_else(|| missing(at))?,
        stored: rows::read(snapshot, place, field.number).map_err(|fault| internal(&fault))?,
    };
    Ok((Arc::clone(collection), found))
}

fn missing(at: &DocumentAt) -> Error {
    let detail = format!("there is no record {}/{}", at.collection.as_str(), at.id);
    Error::new(Code::NotFound, detail)
}
