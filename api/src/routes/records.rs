//! Records: one, many, and batches.

use http::StatusCode;

use super::versioned;
use crate::body::record::{Batch, BatchOperation, BatchVerb, Fields, FieldsBody, ListQuery, NewRecord, Record};
use crate::error::{Code, Error, FieldError, Result};
use crate::front::Asked;
use crate::gate;
use crate::ids::{Id, Name};
use crate::limits::{BATCH_OPERATIONS, EXPAND_FIELDS, FILTER_BYTES};
use crate::query::{Query, invalid};
use crate::reply::{self, Marks, Reply};
use crate::service::{self, RequestContext, Service, Stored};

/// How often a record is looked at again that others change while it is replaced.
const REPLACE_ATTEMPTS: usize = 3;

pub(super) fn path(ctx: &RequestContext, collection: &Name, id: Id) -> String {
    format!("/v1/tenants/{}/records/{collection}/{id}", ctx.placement.slug)
}

pub(super) async fn show(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (collection, id) = (gate::collection(asked, ctx)?, asked.id(asked.found.second)?);
    let expand = expand(&mut asked.query)?;
    asked.query.consistency()?;
    asked.query.finish()?;
    let is_alone = expand.is_empty();
    let record = asked
        .limited(false, asked.front.service.record(ctx, &collection, id, expand))
        .await?;
    if !is_alone {
        // The version of the record says nothing of what it refers to.
        return Ok(reply::json(StatusCode::OK, &record.body)?.at(record.position));
    }
    versioned(&asked.head.headers, &record.body, record.body.version, record.position)
}

pub(super) async fn create(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let collection = gate::collection(asked, ctx)?;
    asked.query.finish()?;
    let new: NewRecord = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let record = asked
        .limited(true, asked.front.service.record_create(ctx, &collection, new, key))
        .await?;
    let location = path(ctx, &collection, record.body.id);
    let reply = reply::json(StatusCode::CREATED, &record.body)?;
    Ok(reply.at(record.position).tagged(record.body.version).located(location))
}

pub(super) async fn put(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (collection, id) = (gate::collection(asked, ctx)?, asked.id(asked.found.second)?);
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let body: FieldsBody = asked.json().await?;
    let service = &asked.front.service;
    let put = async {
        match gate::matches_any(&asked.head.headers) {
            true => replace(service.as_ref(), ctx, &collection, id, body.fields).await,
            false => service.record_put(ctx, &collection, id, body.fields, if_match).await,
        }
    };
    let stored = asked.limited(true, put).await?;
    let (record, created) = (stored.body.body, stored.body.created);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let reply = reply::json(status, &record)?.at(stored.position).tagged(record.version);
    Ok(if created {
        reply.located(path(ctx, &collection, id))
    } else {
        reply
    })
}

/// Replaces a record that exists, whatever its version (`If-Match: *`), and makes none: the version that is found is the one that must
/// still be there.
async fn replace(
    service: &dyn Service,
    ctx: &RequestContext,
    collection: &Name,
    id: Id,
    fields: Fields,
) -> Result<service::Reply<Stored<Record>>> {
    for _ in 0..REPLACE_ATTEMPTS {
        let now = service.record(ctx, collection, id, Vec::new()).await;
        let version = match now {
            Ok(now) => now.body.version,
            Err(error) if error.code == Code::NotFound => {
                return Err(Error::new(Code::VersionMismatch, "there is no record to replace"));
            }
            Err(error) => return Err(error),
        };
        match service.record_put(ctx, collection, id, fields.clone(), Some(version)).await {
            Err(error) if error.code == Code::VersionMismatch => {}
            settled => return settled,
        }
    }
    Err(Error::new(
        Code::Contention,
        "the record changed each time that it was about to be replaced",
    ))
}

pub(super) async fn patch(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (collection, id) = (gate::collection(asked, ctx)?, asked.id(asked.found.second)?);
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let body: FieldsBody = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let patched = asked
        .front
        .service
        .record_patch(ctx, &collection, id, body.fields, if_match, key);
    let record = asked.limited(true, patched).await?;
    Ok(reply::json(StatusCode::OK, &record.body)?
        .at(record.position)
        .tagged(record.body.version))
}

pub(super) async fn delete(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (collection, id) = (gate::collection(asked, ctx)?, asked.id(asked.found.second)?);
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let deleted = asked
        .limited(true, asked.front.service.record_delete(ctx, &collection, id, if_match))
        .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT).at(deleted.position))
}

pub(super) async fn list(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let collection = gate::collection(asked, ctx)?;
    let query = list_query(&mut asked.query)?;
    let page = asked
        .limited(false, asked.front.service.records(ctx, &collection, query))
        .await?;
    Ok(reply::full(StatusCode::OK, reply::JSON, page.body.json().clone()).at(page.position))
}

/// The references to follow.
fn expand(query: &mut Query) -> Result<Vec<String>> {
    let names = names(query, "expand", "project,assignee")?.unwrap_or_default();
    if names.len() > EXPAND_FIELDS {
        return Err(invalid("expand", &format!("takes at most {EXPAND_FIELDS} fields")));
    }
    Ok(names)
}

/// A parameter that lists names of fields.
fn names(query: &mut Query, parameter: &str, example: &str) -> Result<Option<Vec<String>>> {
    let Some(text) = query.take(parameter) else {
        return Ok(None);
    };
    let names: Vec<String> = text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.iter().any(|name| name.parse::<Name>().is_err()) {
        return Err(invalid(parameter, &format!("takes names of fields, such as {example}")));
    }
    Ok(Some(names))
}

pub(crate) fn list_query(query: &mut Query) -> Result<ListQuery> {
    let expand = expand(query)?;
    query.consistency()?;
    let limit = query.limit()?;
    let cursor = query.cursor()?;
    let filter = query.take("filter");
    if filter.as_ref().is_some_and(|filter| filter.len() > FILTER_BYTES) {
        return Err(invalid("filter", &format!("is longer than {FILTER_BYTES} bytes")));
    }
    let order = query.take("order");
    for part in order.iter().flat_map(|order| order.split(',')) {
        if part.strip_prefix('-').unwrap_or(part).parse::<Name>().is_err() {
            return Err(invalid("order", "takes names of fields, such as -created_at,title"));
        }
    }
    let fields = names(query, "fields", "title,status")?;
    let count = query.flag("count")?.unwrap_or(false);
    let equals = query.rest();
    if let Some((name, _)) = equals.iter().find(|(name, _)| name.parse::<Name>().is_err()) {
        return Err(invalid(name, "is neither a parameter of this call nor the name of a field"));
    }
    Ok(ListQuery {
        limit,
        cursor,
        order,
        equals,
        filter,
        fields,
        expand,
        count,
    })
}

pub(super) async fn batch(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.finish()?;
    let batch: Batch = asked.json().await?;
    check_batch(&batch, ctx)?;
    let key = gate::idempotency(asked).await?;
    let done = asked.limited(true, asked.front.service.batch(ctx, batch, key)).await?;
    Ok(reply::json(StatusCode::OK, &done.body)?.at(done.position))
}

/// Checks the shape of a batch; what its values mean is for the service.
fn check_batch(batch: &Batch, ctx: &RequestContext) -> Result<()> {
    if batch.operations.len() > BATCH_OPERATIONS {
        let message = format!(
            "a batch takes at most {BATCH_OPERATIONS} operations; this one has {}",
            batch.operations.len()
        );
        return Err(Error::fields(vec![FieldError {
            pointer: "/operations".into(),
            message,
        }]));
    }
    let mut errors = Vec::new();
    for (place, operation) in batch.operations.iter().enumerate() {
        if !gate::in_scope(&ctx.principal, operation.collection.as_str()) {
            return Err(gate::out_of_scope(operation.collection.as_str()));
        }
        for (member, message) in misshapen(operation) {
            errors.push(FieldError {
                pointer: format!("/operations/{place}/{member}"),
                message: message.to_owned(),
            });
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::fields(errors))
    }
}

fn misshapen(operation: &BatchOperation) -> Vec<(&'static str, &'static str)> {
    let takes_fields = matches!(operation.op, BatchVerb::Create | BatchVerb::Put | BatchVerb::Patch);
    let mut wrong = Vec::new();
    if takes_fields && operation.fields.is_none() {
        wrong.push(("fields", "create, put and patch need fields"));
    }
    if !takes_fields && operation.fields.is_some() {
        wrong.push(("fields", "delete and check take no fields"));
    }
    if operation.id.is_none() && operation.op != BatchVerb::Create {
        wrong.push(("id", "only create may leave out the id"));
    }
    if operation.if_match.is_some() && operation.op == BatchVerb::Create {
        wrong.push(("if_match", "a new record has no version"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::limits::CURSOR_BYTES;

    fn parsed(query: &str) -> Result<ListQuery> {
        list_query(&mut Query::parse(Some(query)).expect("a query"))
    }

    #[test]
    fn parameters_that_are_not_known_are_equalities() {
        let query = parsed("filter=points%20%3E%203&status=todo&limit=9&order=-created_at,title&fields=title,status&count=true")
            .expect("a query");
        assert_eq!(query.equals, vec![("status".to_owned(), "todo".to_owned())]);
        assert_eq!(query.filter.as_deref(), Some("points > 3"));
        assert_eq!(
            (query.limit, query.count, query.fields.map(|fields| fields.len())),
            (9, true, Some(2))
        );
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (query, name) in [
            ("expand=B", "expand"),
            ("expand=a,b,c,d,e,f", "expand"),
            ("Bad=1", "Bad"),
            ("order=;", "order"),
            ("fields=A", "fields"),
        ] {
            let error = parsed(query).expect_err(query);
            assert!(
                error.code == Code::InvalidParameter && error.detail.contains(name),
                "{query}: {error}"
            );
        }
        assert_eq!(parsed("cursor=").expect_err("empty").code, Code::InvalidCursor);
        let long = format!("filter={}", "x".repeat(FILTER_BYTES + 1));
        assert_eq!(parsed(&long).expect_err("too long").code, Code::InvalidParameter);
        let long = format!("cursor={}", "x".repeat(CURSOR_BYTES + 1));
        assert_eq!(parsed(&long).expect_err("too long").code, Code::InvalidCursor);
    }
}
