//! Files: what is said of them, their versions, and links. Their bytes are in [`content`], uploads that go on in [`tus`].

pub(crate) mod content;
mod disposition;
mod range;
pub(crate) mod tus;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tracing::Instrument;

use crate::body::file::{AttachedTo, File, FilePatch, NewLink};
use crate::error::{Code, Error, FieldError, Result};
use crate::front::Asked;
use crate::ids::Id;
use crate::inflate::{self, Pieces};
use crate::limits::LINK_SECONDS;
use crate::query::{Query, digits, invalid};
use crate::reply::{self, Marks, Reply};
use crate::service::{ByteSource, FileList, NewFile, Reply as Answered, RequestContext};
use crate::{gate, routes};

pub(super) async fn list(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    let list = FileList {
        attached_to: attached_to(&mut asked.query)?,
        limit: asked.query.limit()?,
        cursor: asked.query.cursor()?,
    };
    asked.query.finish()?;
    let page = asked.limited(false, asked.front.service.files(ctx, list)).await?;
    Ok(reply::json(StatusCode::OK, &page.body)?.at(page.position))
}

pub(super) async fn show(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.consistency()?;
    asked.query.finish()?;
    let file = asked.limited(false, asked.front.service.file(ctx, id)).await?;
    routes::versioned(&asked.head.headers, &file.body, file.body.revision, file.position)
}

/// A small upload: the body is the file.
pub(super) async fn create(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let name = asked.query.take("name");
    let new = NewFile {
        name: name.ok_or_else(|| invalid("name", "is missing: say what the file is called"))?,
        content_type: media_type(asked)?.unwrap_or_default(),
        attached_to: attached_to(&mut asked.query)?,
    };
    asked.query.finish()?;
    let key = gate::idempotency_of_stream(asked)?;
    let body = body(asked)?;
    let (service, ctx) = (Arc::clone(&asked.front.service), ctx.clone());
    let work = async move { service.file_create(&ctx, new, body, key).await };
    let file = spawned(work).await?;
    let path = format!("{}/{}", asked.head.uri.path(), file.body.id);
    Ok(stored(StatusCode::CREATED, &file)?.located(path))
}

/// A new version: the body is the content.
pub(super) async fn put(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.finish()?;
    let content_type = media_type(asked)?;
    let if_match = content::one_tag(&asked.head.headers)?;
    let body = body(asked)?;
    let (service, ctx) = (Arc::clone(&asked.front.service), ctx.clone());
    let work = async move { service.file_put(&ctx, id, content_type, if_match, body).await };
    stored(StatusCode::OK, &spawned(work).await?)
}

pub(super) async fn patch(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let patch: FilePatch = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let patched = asked.front.service.file_patch(ctx, id, patch, if_match, key);
    let file = asked.limited(true, patched).await?;
    stored(StatusCode::OK, &file)
}

pub(super) async fn delete(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.finish()?;
    let if_match = gate::if_match(&asked.head.headers)?;
    let deleted = asked
        .limited(true, asked.front.service.file_delete(ctx, id, if_match))
        .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT).at(deleted.position))
}

pub(super) async fn versions(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.consistency()?;
    let limit = asked.query.limit()?;
    let wrong = || Error::new(Code::InvalidCursor, "the cursor is not one that this list gave");
    let cursor = asked.query.cursor()?;
    let cursor = cursor.map(|cursor| digits(&cursor).ok_or_else(wrong)).transpose()?;
    asked.query.finish()?;
    let page = asked
        .limited(false, asked.front.service.file_versions(ctx, id, limit, cursor))
        .await?;
    Ok(reply::json(StatusCode::OK, &page.body)?.at(page.position))
}

pub(super) async fn restore(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (id, version) = (asked.id(asked.found.first)?, version(asked.found.second)?);
    asked.query.finish()?;
    let key = gate::idempotency(asked).await?;
    let restored = asked.front.service.file_restore(ctx, id, version, key);
    let file = asked.limited(true, restored).await?;
    stored(StatusCode::OK, &file)
}

pub(super) async fn version_delete(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let (id, version) = (asked.id(asked.found.first)?, version(asked.found.second)?);
    asked.query.finish()?;
    let deleted = asked.front.service.file_version_delete(ctx, id, version);
    let deleted = asked.limited(true, deleted).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT).at(deleted.position))
}

pub(super) async fn link(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let id = asked.id(asked.found.first)?;
    asked.query.finish()?;
    let new: NewLink = asked.json().await?;
    if !(1..=LINK_SECONDS).contains(&new.expires_in) {
        return Err(Error::fields(vec![FieldError {
            pointer: "/expires_in".to_owned(),
            message: format!("must be from 1 to {LINK_SECONDS} seconds"),
        }]));
    }
    let link = asked.limited(true, asked.front.service.link_create(ctx, id, new)).await?;
    Ok(reply::json(StatusCode::CREATED, &link.body)?.at(link.position))
}

pub(super) async fn links_revoke(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    asked.query.finish()?;
    let revoked = asked.limited(true, asked.front.service.links_revoke(ctx)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT).at(revoked.position))
}

fn stored(status: StatusCode, file: &Answered<File>) -> Result<Reply> {
    let reply = reply::json(status, &file.body)?;
    Ok(reply.at(file.position).tagged(file.body.revision))
}

/// Runs what must not end with its client: what has come of a body is kept, or at least said.
pub(super) async fn spawned<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let done = tokio::spawn(work.in_current_span()).await;
    done.map_err(|error| Error::new(Code::Internal, format!("take a file: {error}")).unknown())?
}

/// The number of a version, in a path.
fn version(text: &str) -> Result<u64> {
    let wrong = || Error::new(Code::InvalidParameter, "the version in the path is not a number from 1 on");
    digits(text).filter(|number| *number > 0).ok_or_else(wrong)
}

/// Takes the record that a file is, or is to be, attached to.
fn attached_to(query: &mut Query) -> Result<Option<AttachedTo>> {
    match (query.take("collection"), query.take("record")) {
        (None, None) => Ok(None),
        (Some(collection), Some(record)) => {
            let record: Id = record.parse().map_err(|_| invalid("record", "is not the id of a record"))?;
            Ok(Some(AttachedTo { collection, record }))
        }
        (Some(_), None) => Err(invalid(
            "collection",
            "goes with the parameter \"record\": the id of the record",
        )),
        (None, Some(_)) => Err(invalid(
            "record",
            "goes with the parameter \"collection\": where the record is",
        )),
    }
}

/// The media type that the body comes with.
fn media_type(asked: &Asked<'_>) -> Result<Option<String>> {
    let Some(value) = asked.head.headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Error::new(Code::InvalidParameter, "the Content-Type is not ASCII"))?;
    Ok(Some(text.trim().to_owned()))
}

/// The body of a request, for the service.
struct Body(Pieces);

#[async_trait]
impl ByteSource for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.0.next().await
    }
}

/// The body as a stream.
fn body(asked: &mut Asked<'_>) -> Result<Box<dyn ByteSource>> {
    let gzip = inflate::is_gzip(&asked.head.headers)?;
    Ok(Box::new(Body(Pieces::new(
        asked.body.stream(),
        gzip,
        asked.front.config.stream_idle,
    ))))
}
