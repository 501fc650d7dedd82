//! What becomes of documents while they are written: about once a second the text is worked out and proposed, with one merged update where
//! there are many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::error::{Code, Error, Result};
use api::service::{DocumentAt, RequestContext};
use bytes::Bytes;

use super::{damaged, locate};
use crate::documents::ROWS;
use crate::documents::merge::{Unreadable, Whole};
use crate::documents::rows::Stored;
use crate::documents::settle::{DocumentSettle, Merged};
use crate::mutant::Mutant;
use crate::service::Front;
use crate::service::error::refused;

/// How long a document is written before its text is worked out. Raised: lists and search are further behind. Lowered: more versions.
const SETTLE: Duration = Duration::from_secs(1);

/// How long it takes at most until it is tried again.
const SETTLE_MOST: Duration = Duration::from_secs(64);

/// Documents that are to be settled, and whether they were written since somebody began with that.
#[derive(Default)]
pub(crate) struct Settling(Mutex<HashMap<(u64, DocumentAt), bool>>);

impl Front {
    /// Has the text of a document worked out in a moment.
    pub(super) fn settle_soon(&self, ctx: &RequestContext, at: &DocumentAt) {
        let key = (ctx.placement.uid, at.clone());
        let mut settling = self.settling.0.lock().unwrap_or_else(PoisonError::into_inner);
        if settling.insert(key.clone(), true).is_some() {
            return;
        }
        drop(settling);
        let (front, ctx) = (self.clone(), ctx.clone());
        tokio::spawn(async move {
            let mut pause = SETTLE;
            loop {
                tokio::time::sleep(pause).await;
                front.settling.begin(&key);
                pause = match front.settle(&ctx, &key.1).await {
                    Err(error) if is_passing(&error) && pause < SETTLE_MOST => {
                        tracing::debug!(%error, again_in = ?pause * 2, "work out the text of a document");
                        pause * 2
                    }
                    settled => {
                        if let Err(error) = settled {
                            // Whoever opens the document next has it worked out again.
                            tracing::debug!(%error, "work out the text of a document");
                        }
                        if front.settling.ended(&key) {
                            return;
                        }
                        SETTLE
                    }
                };
            }
        });
    }

    /// Works out the text of a document, and merges its updates where there are many.
    async fn settle(&self, ctx: &RequestContext, at: &DocumentAt) -> Result<()> {
        let found = {
            let moment = self.moment(ctx)?;
            locate(&moment.snapshot, &moment.catalog, ctx, at)?.1
        };
        let work = |stored: &Stored, whole: &Whole| Ok::<_, Unreadable>((whole.text()?, merged(stored, whole)?));
        let (stored, done) = self.work_out(ctx, found.stored, Bytes::new(), work).await?;
        let (text, merged) = done.and_then(|done| done).map_err(damaged)?;
        let written = self.write_as(ctx, None, |view, _| {
            let found = locate(view.snapshot, view.catalog, ctx, at)?.1;
            if !found.stored.updates.starts_with(&stored.updates) {
                let detail = "the document has become another one while its text was worked out";
                return Err(Error::new(Code::Contention, detail));
            }
            Ok(DocumentSettle {
                collection: found.place.collection,
                id: found.place.id,
                field: found.field,
                text: text.clone(),
                merged: merged.clone(),
            })
        });
        written.await?.result.map(drop).map_err(|refusal| refused(&refusal))
    }
}

/// Whether it may go better in a moment.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.code,
        Code::Unavailable | Code::TooManyRequests | Code::Contention | Code::Timeout
    )
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

/// What takes the place of many updates; none: there are few.
fn merged(stored: &Stored, whole: &Whole) -> Result<Option<Merged>, Unreadable> {
    let is_many = stored.updates.len() > ROWS;
    let Some((from, to)) = stored.ends().filter(|_| is_many) else {
        return Ok(None);
    };
    let mut update = whole.merged()?;
    if Mutant::DocumentUpdateLost.active() {
        let mut stored = stored.clone();
        stored.updates.pop();
        update = Whole::of(&stored)?.merged()?;
    }
    Ok(Some(Merged { from, to, update }))
}
