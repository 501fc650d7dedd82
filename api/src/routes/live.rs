//! Live connections, and who is at a topic.

use http::StatusCode;

use crate::body::live::Presence;
use crate::error::Result;
use crate::front::Asked;
use crate::live;
use crate::query::invalid;
use crate::reply::{self, Reply};
use crate::service::RequestContext;

/// `GET …/live`.
pub(super) async fn connect(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    live::answer(asked, ctx).await
}

/// `GET …/documents/{collection}/{id}/{field}`.
pub(super) async fn edit(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    live::edit(asked, ctx).await
}

/// `GET …/presence`.
pub(super) async fn presence(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let topic = asked
        .query
        .take("topic")
        .ok_or_else(|| invalid("topic", "is missing: COLLECTION or COLLECTION/ID"))?;
    asked.query.finish()?;
    let service = asked.front.service.as_ref();
    asked.limited(false, live::topic::check(service, ctx, &topic)).await?;
    let members = asked.front.presences.members(ctx.placement.uid, &topic);
    reply::json(StatusCode::OK, &Presence { topic, members })
}
