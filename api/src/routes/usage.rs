//! What a tenant may use and has used, and what a request is before it is let in.

use http::StatusCode;

use super::table::Endpoint;
use crate::error::Result;
use crate::front::Asked;
use crate::reply::{self, Reply};
use crate::routes::table::Plane;
use crate::service::{Kind, Reach, RequestContext};

/// `GET …/usage`.
pub(super) async fn show(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    asked.query.finish()?;
    let usage = asked.limited(false, asked.front.service.usage(ctx)).await?;
    reply::json(StatusCode::OK, &usage)
}

/// What a request is, as far as it can be told before it is served.
pub(crate) fn kind(asked: &Asked<'_>) -> Kind {
    let route = asked.found.route;
    match (route.endpoint, route.plane) {
        (Endpoint::Usage, _) => Kind::Free,
        _ if route.streams => Kind::Stream,
        (_, Plane::Tenant(Reach::Leader, _)) if asked.is_write() => Kind::Write(asked.body.kept_bytes()),
        (Endpoint::Records | Endpoint::History | Endpoint::Search | Endpoint::Files | Endpoint::FileVersions, _) => Kind::List,
        _ => Kind::Read,
    }
}
