//! Documents: who may read and write them, and what becomes of them while they are written.
//!
//! An update is decided like any other write: on what this leader has, with the guard of its collection, and again where that has changed.
//! While a document is written, its text is worked out about once a second and proposed, with one merged update where there are many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::error::{Code, Error, Result};
use api::service::{DocumentAt, Documents, Lacking, RequestContext};
use async_trait::async_trait;
use bytes::Bytes;
use storage::{Snapshot, Space};

use super::Front;
use super::error::internal;
use super::writing::{asker, principal};
use crate::documents::merge::{self, Unreadable, Whole, says_nothing};
use crate::documents::rows::{self, Stored};
use crate::documents::settle::{DocumentSettle, Merged};
use crate::documents::update::DocumentUpdate;
use crate::documents::{DOCUMENT_BYTES, ROWS};
use crate::fair::threads::core_time;
use crate::fair::unit::{self, Units};
use crate::machine::catalog::Catalog;
use crate::mutant::Mutant;
use crate::records::entries::Place;
use crate::records::guard::{Asker, Sight};
use crate::records::schema::{Collection, Kind};
use crate::records::value::{Record, Value};

/// How long a document is written before its text is worked out. Raised: lists and search are further behind. Lowered: more versions.
const SETTLE: Duration = Duration::from_secs(1);

/// Documents that are to be settled, and whether they were written since somebody began with that.
#[derive(Default)]
pub(crate) struct Settling(Mutex<HashMap<(u64, DocumentAt), bool>>);

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
        // A large document takes a while, which others on this thread must not wait for.
        let reading = tokio::task::spawn_blocking(move || timed(|| merge::with(&stored, &[], read)));
        let (done, core) = reading.await.map_err(|error| internal(&error))?;
        self.charge(ctx, unit::of_core(core));
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
        let written = self.write_as(ctx, None, |view, _| {
            let asker = view.asker.ok_or_else(|| internal(&"nobody asks"))?;
            let (collection, found) = find(view.snapshot, view.catalog, ctx, at, asker)?;
            self.may_write(view.catalog, &collection, asker, &found)?;
            if found.stored.bytes() + update.len() > DOCUMENT_BYTES {
                let detail = format!("the document would be longer than {DOCUMENT_BYTES} bytes");
                return Err(Error::new(Code::TooLarge, detail));
            }
            self.check_room_for(ctx, view.snapshot, update.len())?;
            let (applied, core) = timed(|| merge::with(&found.stored, &update, |whole| whole.apply(&update)));
            self.charge(ctx, unit::of_core(core));
            applied.map_err(damaged)?.map_err(wrong)?;
            Ok(DocumentUpdate {
                collection: found.place.collection,
                id: found.place.id,
                field: found.field,
                version: found.record.version,
                update: update.to_vec(),
            })
        });
        let answer = written.await?;
        let number = answer.result.map_err(|refusal| super::error::refused(&refusal))?;
        self.settle_soon(ctx, at);
        Ok(Some(number))
    }
}

impl Front {
    /// Charges what a connection costs after it was let in.
    fn charge(&self, ctx: &RequestContext, cost: Units) {
        let (account, limits) = self.platform.account(&ctx.placement);
        account.charge(&limits, cost);
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

    /// Has the text of a document worked out in a moment.
    fn settle_soon(&self, ctx: &RequestContext, at: &DocumentAt) {
        let key = (ctx.placement.uid, at.clone());
        let mut settling = self.settling.0.lock().unwrap_or_else(PoisonError::into_inner);
        if settling.insert(key.clone(), true).is_some() {
            return;
        }
        drop(settling);
        let (front, ctx) = (self.clone(), ctx.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SETTLE).await;
                front.settling.begin(&key);
                if let Err(error) = front.settle(&ctx, &key.1).await {
                    // Whoever opens the document next has it worked out again.
                    tracing::debug!(%error, "work out the text of a document");
                }
                if front.settling.ended(&key) {
                    return;
                }
            }
        });
    }

    /// Works out the text of a document, and merges its updates where there are many.
    async fn settle(&self, ctx: &RequestContext, at: &DocumentAt) -> Result<()> {
        let decide = |snapshot: &Snapshot, catalog: &Catalog| -> Result<DocumentSettle> {
            let found = locate(snapshot, catalog, ctx, at)?.1;
            let (stored, many) = (&found.stored, found.stored.updates.len() > ROWS);
            let read = |whole: &Whole| {
                let merged = match stored.ends().filter(|_| many) {
                    Some((from, to)) => Some(Merged {
                        from,
                        to,
                        update: merged(stored, whole)?,
                    }),
                    None => None,
                };
                Ok((whole.text()?, merged))
            };
            let (text, merged) = merge::with(stored, &[], read).and_then(|read| read).map_err(damaged)?;
            Ok(DocumentSettle {
                collection: found.place.collection,
                id: found.place.id,
                field: found.field,
                text,
                merged,
            })
        };
        let answer = self
            .write_as(ctx, None, |view, _| decide(view.snapshot, view.catalog))
            .await?;
        answer.result.map(drop).map_err(|refusal| super::error::refused(&refusal))
    }
}

impl Settling {
    fn begin(&self, key: &(u64, DocumentAt)) {
        if let Some(written) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            *written = false;
        }
    }

    /// Whether nothing was written since it began; it is forgotten then.
    fn ended(&self, key: &(u64, DocumentAt)) -> bool {
        let mut settling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if settling.get(key).copied().unwrap_or_default() {
            return false;
        }
        settling.remove(key);
        true
    }
}

/// Does something, and says how long this thread was on a core for it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = core_time();
    let done = work();
    (done, core_time() - start)
}

/// A stored document that cannot be read.
fn damaged(Unreadable(why): Unreadable) -> Error {
    internal(&format!("a stored document: {why}"))
}

/// The update that takes the place of many.
fn merged(stored: &Stored, whole: &Whole) -> Result<Vec<u8>, Unreadable> {
    if !Mutant::DocumentUpdateLost.active() {
        return whole.merged();
    }
    let mut stored = stored.clone();
    stored.updates.pop();
    Whole::of(&stored)?.merged()
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
