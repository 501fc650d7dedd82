//! The versions of a record: its history, and the way back.

use http::StatusCode;

use super::records::path;
use crate::body::record::Restore;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::gate;
use crate::reply::{self, Marks, Reply};
use crate::service::RequestContext;

pub(super) async fn history(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (collection, id) = (gate::collection(asked, ctx)?, asked.id(asked.found.second)?);
    asked.query.consistency()?;
    let limit = asked.query.limit()?;
    let wrong = || {
        Error::new(
            Code::InvalidCursor,
            "the cursor is not one that this history gave: start again without it",
        )
    };
    let cursor = asked.query.cursor()?;
    let cursor = cursor
        .map(|cursor| crate::query::digits(&cursor).ok_or_else(wrong))
        .transpose()?;
    asked.query.finish()?;
    let history = asked.front.service.record_history(ctx, &collection, id, limit, cursor);
    let page = asked.limited(false, history).await?;
    Ok(reply::json(StatusCode::OK, &page.body)?.at(page.position))
}

pub(super) async fn restore(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (collection, id) = (gate::collection(asked, ctx)?, asked.id(asked.found.second)?);
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let Restore { version } = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let restored = asked
        .front
        .service
        .record_restore(ctx, &collection, id, version, if_match, key);
    let stored = asked.limited(true, restored).await?;
    let (record, created) = (stored.body.body, stored.body.created);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let reply = reply::json(status, &record)?.at(stored.position).tagged(record.version);
    Ok(if created {
        reply.located(path(ctx, &collection, id))
    } else {
        reply
    })
}
