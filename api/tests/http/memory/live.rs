//! Events, and the position.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::event::{EventQuery, Seen};
use api::error::{Code, Error, Result};
use api::service::{DocumentAt, Documents, Lacking, Live, Reply, RequestContext};
use async_trait::async_trait;
use bytes::Bytes;

use super::Memory;

#[async_trait]
impl Live for Memory {
    fn events_check(&self, _ctx: &RequestContext, query: &EventQuery) -> Result<()> {
        if self.has_left.load(Ordering::SeqCst) {
            return Err(Error::new(Code::NotLeader, "it is led elsewhere"));
        }
        let unknown = query.collections.iter().flatten().any(|name| name.as_str() == "unknown");
        match unknown {
            true => Err(Error::new(
                Code::InvalidParameter,
                "collections: there is no collection \"unknown\"",
            )),
            false => Ok(()),
        }
    }

    async fn events(&self, _ctx: &RequestContext, query: &EventQuery, wait: Duration) -> Result<Reply<Vec<Seen>>> {
        let until = tokio::time::Instant::now() + wait;
        self.state().calls.push("events".into());
        if self.busy.load(Ordering::SeqCst) {
            self.happen("notes");
        }
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let (body, position): (Vec<Seen>, u64) = {
                let state = self.state();
                let later = state.events.iter().filter(|event| event.position > query.after);
                let seen = later.take(query.limit).map(|event| Seen::plain(event.clone()));
                (seen.collect(), state.events.len() as u64)
            };
            if !body.is_empty() || tokio::time::timeout_at(until, changed).await.is_err() {
                return Ok(Reply { body, position });
            }
        }
    }

    async fn position(&self, _ctx: &RequestContext, after: u64, wait: Duration) -> Result<u64> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let position = self.position();
            if position > after || tokio::time::timeout_at(until, changed).await.is_err() {
                return Ok(position);
            }
        }
    }
}

#[async_trait]
impl Documents for Memory {
    async fn document(&self, _ctx: &RequestContext, at: &DocumentAt, _state_vector: Option<Bytes>) -> Result<Lacking> {
        if at.field.as_str() != "text" {
            return Err(Error::new(Code::NotFound, "there is no such document"));
        }
        let document = self.document.lock().expect("a lock");
        Ok(Lacking {
            update: document.last().cloned().unwrap_or(Bytes::from_static(&[0, 0])),
            state_vector: Bytes::from_static(&[0]),
            last: document.len() as u64,
        })
    }

    fn document_last(&self, _ctx: &RequestContext, _at: &DocumentAt) -> Result<u64> {
        Ok(self.document.lock().expect("a lock").len() as u64)
    }

    async fn document_update(&self, ctx: &RequestContext, _at: &DocumentAt, update: Bytes) -> Result<Option<u64>> {
        if ctx.principal.role == api::body::token::Role::Guest {
            return Err(Error::new(Code::Forbidden, "a guest only watches"));
        }
        let mut document = self.document.lock().expect("a lock");
        document.push(update);
        Ok(Some(document.len() as u64))
    }
}
