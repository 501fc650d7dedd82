//! A tenant as one file: out as it is written, and in as a new tenant.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::streams::LINES;
use super::table::Endpoint;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::ids::Slug;
use crate::inflate::{self, Pieces};
use crate::query::{Query, invalid};
use crate::read::check_media_type;
use crate::reply::{self, Marks, Reply};
use crate::service::{ArchivedTenant, ByteSource, Operator, Placement, RequestContext};
use crate::{ARCHIVE, gate};

/// Whether an operator asks for the archive of a tenant.
pub(crate) fn is_operators(asked: &Asked<'_>) -> bool {
    asked.found.route.endpoint == Endpoint::Archive && gate::is_operators(&asked.head.headers)
}

/// The archive, for an operator. There was no tenant's gate, so that the read barrier is here.
pub(crate) async fn for_operator(asked: &mut Asked<'_>, placement: &Placement) -> Result<Reply> {
    let consistency = Query::parse(asked.head.uri.query())?.consistency()?;
    let barrier = asked.front.service.barrier(placement, consistency, asked.timing);
    tokio::time::timeout(asked.front.config.request, barrier)
        .await
        .map_err(|_| Error::new(Code::Timeout, "the read barrier took too long"))??;
    write(asked, placement).await
}

/// The archive, for an admin of the tenant.
pub(super) async fn for_admin(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    write(asked, &ctx.placement).await
}

async fn write(asked: &mut Asked<'_>, placement: &Placement) -> Result<Reply> {
    asked.query.consistency()?;
    asked.query.finish()?;
    let (sender, receiver) = mpsc::channel(LINES);
    let written = asked.front.service.archive(placement, sender).await?;
    Ok(reply::pieces(HeaderValue::from_static(ARCHIVE), receiver).at(written.position))
}

/// A new tenant out of an archive. It goes on, to one end or the other, though the client be gone.
pub(super) async fn receive(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    let slug: Slug = asked
        .found
        .tenant
        .parse()
        .map_err(|error: crate::ids::IdError| Error::new(Code::InvalidParameter, format!("the tenant: {error}")))?;
    let region = asked.query.take("region");
    let region = region.ok_or_else(|| invalid("region", "is missing: say where the tenant's data stays"))?;
    let plan = asked.query.take("plan");
    let keeps_tokens = match asked.query.take("tokens").as_deref() {
        None | Some("keep") => true,
        Some("drop") => false,
        Some(_) => return Err(invalid("tokens", "must be keep or drop")),
    };
    asked.query.finish()?;
    check_media_type(&asked.head.headers, &[ARCHIVE])?;
    let gzip = inflate::is_gzip(&asked.head.headers)?;
    let body = Body(Pieces::new(asked.body.stream(), gzip, asked.front.config.stream_idle));
    let new = ArchivedTenant {
        slug,
        region,
        plan,
        keeps_tokens,
    };
    let (service, operator) = (Arc::clone(&asked.front.service), operator.clone());
    let work = async move { service.tenant_receive(&operator, new, Box::new(body)).await };
    let done = tokio::spawn(work.in_current_span()).await;
    let tenant = done.map_err(|error| Error::new(Code::Internal, format!("import an archive: {error}")).unknown())??;
    Ok(reply::json(StatusCode::CREATED, &tenant)?.located(format!("/v1/tenants/{}", tenant.slug)))
}

/// The body of a request, for the service.
struct Body(Pieces);

#[async_trait]
impl ByteSource for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.0.next().await
    }
}
