//! Collections and their schemas.

use http::StatusCode;

use super::{page, versioned};
use crate::body::collection::CollectionSchema;
use crate::body::control::Operation;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::gate;
use crate::reply::{self, Marks, Reply};
use crate::service::{Changed, RequestContext};

pub(super) async fn list(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    let mut collections = asked.limited(false, asked.front.service.collections(ctx)).await?;
    collections
        .body
        .retain(|collection| gate::in_scope(&ctx.principal, &collection.name));
    let page = page(&mut asked.query, collections.body, |collection| collection.name.clone())?;
    Ok(reply::json(StatusCode::OK, &page)?.at(collections.position))
}

pub(super) async fn show(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let name = gate::collection(asked, ctx)?;
    asked.query.consistency()?;
    asked.query.finish()?;
    let collection = asked.limited(false, asked.front.service.collection(ctx, &name)).await?;
    versioned(
        &asked.head.headers,
        &collection.body,
        collection.body.version,
        collection.position,
    )
}

pub(super) async fn put(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let name = gate::collection(asked, ctx)?;
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let schema: CollectionSchema = asked.json().await?;
    let service = &asked.front.service;
    let put = async {
        let mut if_match = if_match;
        if gate::matches_any(&asked.head.headers) {
            // One that exists, whatever its version: the version that is found must still be there.
            let now = service.collection(ctx, &name).await.map_err(|error| match error.code {
                Code::NotFound => Error::new(Code::VersionMismatch, "there is no collection to replace"),
                _ => error,
            })?;
            if_match = Some(now.body.version);
        }
        service.collection_put(ctx, &name, schema, if_match).await
    };
    let stored = asked.limited(true, put).await?;
    let (collection, created) = match stored.body {
        Changed::Done(stored) => (stored.body, stored.created),
        Changed::Begun(operation) => return begun(ctx, &operation, stored.position),
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let reply = reply::json(status, &collection)?
        .at(stored.position)
        .tagged(collection.version);
    let location = format!("/v1/tenants/{}/collections/{name}", ctx.placement.slug);
    Ok(if created { reply.located(location) } else { reply })
}

pub(super) async fn delete(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let name = gate::collection(asked, ctx)?;
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let deleted = asked
        .limited(true, asked.front.service.collection_delete(ctx, &name, if_match))
        .await?;
    match deleted.body {
        Changed::Done(()) => Ok(reply::empty(StatusCode::NO_CONTENT).at(deleted.position)),
        Changed::Begun(operation) => begun(ctx, &operation, deleted.position),
    }
}

/// What is answered where an operation does the rest.
fn begun(ctx: &RequestContext, operation: &Operation, position: u64) -> Result<Reply> {
    let location = format!("/v1/tenants/{}/operations/{}", ctx.placement.slug, operation.id);
    Ok(reply::json(StatusCode::ACCEPTED, operation)?.at(position).located(location))
}

pub(super) async fn operations(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    let operations = asked.limited(false, asked.front.service.tenant_operations(ctx)).await?;
    let page = page(&mut asked.query, operations.body, |operation| operation.id.to_string())?;
    Ok(reply::json(StatusCode::OK, &page)?.at(operations.position))
}

pub(super) async fn operation(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.consistency()?;
    asked.query.finish()?;
    let operation = asked.limited(false, asked.front.service.tenant_operation(ctx, id)).await?;
    Ok(reply::json(StatusCode::OK, &operation.body)?.at(operation.position))
}

pub(super) async fn cancel(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.finish()?;
    let operation = asked.limited(true, asked.front.service.operation_cancel(ctx, id)).await?;
    begun(ctx, &operation.body, operation.position)
}
