//! Control: what operators ask for.

use http::StatusCode;

use super::table::Endpoint;
use super::{archive, page};
use crate::body::backup::{CellRestore, TenantRestore};
use crate::body::control::{Initialized, NewTenant, Operation, TenantMove, TenantPatch};
use crate::body::node::NodeChange;
use crate::body::topology::NewTopology;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::ids::Slug;
use crate::reply::{self, Marks, Reply};
use crate::service::Operator;
use crate::{cors, gate};

/// Serves a request behind the operators' gate.
pub(crate) async fn answer(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    use Endpoint as E;
    asked.receive().await?;
    match asked.found.route.endpoint {
        E::TenantCreate => Box::pin(tenant_create(asked, operator)).await,
        E::TenantReceive => Box::pin(archive::receive(asked, operator)).await,
        E::NodeDrain => node_change(asked, operator, NodeChange::Drain).await,
        E::NodeUndrain => node_change(asked, operator, NodeChange::Undrain).await,
        E::NodeRestart => node_change(asked, operator, NodeChange::Restart).await,
        E::ClusterApply | E::ClusterCancel => Box::pin(topology(asked, operator)).await,
        E::Tenants | E::Tenant | E::TenantPatch | E::TenantDelete => Box::pin(tenants(asked, operator)).await,
        E::TenantRestore | E::CellRestore => Box::pin(restores(asked, operator)).await,
        E::TenantMove | E::OperationCallOff => Box::pin(moves(asked, operator)).await,
        _ => Box::pin(cluster(asked, operator)).await,
    }
}

async fn tenant_create(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    asked.query.finish()?;
    let new: NewTenant = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let tenant = asked
        .limited(true, asked.front.service.tenant_create(operator, new, key))
        .await?;
    Ok(reply::json_once(StatusCode::CREATED, &tenant, "admin_token")?.located(format!("/v1/tenants/{}", tenant.slug)))
}

async fn tenants(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    let service = &asked.front.service;
    if asked.found.route.endpoint == Endpoint::Tenants {
        let (limit, cursor) = (asked.query.limit()?, asked.query.cursor()?);
        asked.query.finish()?;
        return reply::json(
            StatusCode::OK,
            &asked.limited(false, service.tenants(operator, limit, cursor)).await?,
        );
    }
    asked.query.finish()?;
    let slug: Slug = asked.found.tenant.parse().map_err(|_| no_tenant(asked))?;
    match asked.found.route.endpoint {
        Endpoint::Tenant => reply::json(StatusCode::OK, &asked.limited(false, service.tenant(operator, &slug)).await?),
        Endpoint::TenantPatch => {
            let patch: TenantPatch = asked.json().await?;
            cors::check(patch.cors_origins.as_deref().unwrap_or_default())?;
            let tenant = asked
                .limited(true, asked.front.service.tenant_patch(operator, &slug, patch))
                .await?;
            reply::json(StatusCode::OK, &tenant)
        }
        _ => {
            let operation = asked.limited(true, service.tenant_delete(operator, &slug)).await?;
            begun(&operation)
        }
    }
}

async fn node_change(asked: &mut Asked<'_>, operator: &Operator, change: NodeChange) -> Result<Reply> {
    asked.query.finish()?;
    let changed = asked.front.service.node_change(operator, asked.found.first, change);
    asked.limited(true, changed).await?;
    Ok(reply::empty(StatusCode::ACCEPTED))
}

async fn topology(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    asked.query.finish()?;
    let service = &asked.front.service;
    let operation = if asked.found.route.endpoint == Endpoint::ClusterCancel {
        Some(asked.limited(true, service.cluster_cancel(operator)).await?)
    } else {
        let wanted: NewTopology = asked.json().await?;
        asked.limited(true, service.cluster_apply(operator, wanted)).await?
    };
    match operation {
        Some(operation) => begun(&operation),
        None => reply::json(StatusCode::OK, &asked.limited(false, service.cluster(operator)).await?),
    }
}

async fn moves(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    asked.query.finish()?;
    if asked.found.route.endpoint == Endpoint::OperationCallOff {
        let id = asked.id(asked.found.first)?;
        let called_off = asked.front.service.operation_call_off(operator, id);
        return begun(&asked.limited(true, called_off).await?);
    }
    let slug: Slug = asked.found.tenant.parse().map_err(|_| no_tenant(asked))?;
    let to: TenantMove = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let moving = asked.front.service.tenant_move(operator, &slug, to, key);
    begun(&asked.limited(true, moving).await?)
}

async fn restores(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    asked.query.finish()?;
    if asked.found.route.endpoint == Endpoint::CellRestore {
        let wanted: CellRestore = asked.json().await?;
        let key = gate::idempotency(asked).await?;
        let restoring = asked.front.service.cell_restore(operator, asked.found.first, wanted, key);
        return begun(&asked.limited(true, restoring).await?);
    }
    let slug: Slug = asked.found.tenant.parse().map_err(|_| no_tenant(asked))?;
    let wanted: TenantRestore = asked.json().await?;
    let key = gate::idempotency(asked).await?;
    let restoring = asked.front.service.tenant_restore(operator, &slug, wanted, key);
    begun(&asked.limited(true, restoring).await?)
}

/// Long work that has begun.
fn begun(operation: &Operation) -> Result<Reply> {
    Ok(reply::json(StatusCode::ACCEPTED, operation)?.located(format!("/v1/operations/{}", operation.id)))
}

fn no_tenant(asked: &Asked<'_>) -> Error {
    let slug: String = asked.found.tenant.chars().take(60).collect();
    Error::new(Code::NotFound, format!("there is no tenant {slug:?}"))
}

async fn cluster(asked: &mut Asked<'_>, operator: &Operator) -> Result<Reply> {
    let service = &asked.front.service;
    match asked.found.route.endpoint {
        Endpoint::Regions => {
            let regions = asked.limited(false, service.regions(operator)).await?;
            reply::json(
                StatusCode::OK,
                &page(&mut asked.query, regions, |region| region.name.clone())?,
            )
        }
        Endpoint::Cells => {
            let cells = asked.limited(false, service.cells(operator)).await?;
            reply::json(StatusCode::OK, &page(&mut asked.query, cells, |cell| cell.name.clone())?)
        }
        Endpoint::Nodes => {
            let nodes = asked.limited(false, service.nodes(operator)).await?;
            reply::json(StatusCode::OK, &page(&mut asked.query, nodes, |node| node.name.clone())?)
        }
        Endpoint::Operation => {
            asked.query.finish()?;
            let id = asked.id(asked.found.first)?;
            reply::json(StatusCode::OK, &asked.limited(false, service.operation(operator, id)).await?)
        }
        Endpoint::CellHash => {
            asked.query.finish()?;
            reply::json(
                StatusCode::OK,
                &asked.limited(false, service.cell_hash(operator, asked.found.first)).await?,
            )
        }
        Endpoint::CellScrub => {
            asked.query.finish()?;
            let scrub = asked
                .limited(false, service.cell_scrub(operator, asked.found.first, false))
                .await?;
            reply::json(StatusCode::OK, &scrub)
        }
        Endpoint::ScrubBegin => {
            asked.query.finish()?;
            let scrub = asked
                .limited(true, service.cell_scrub(operator, asked.found.first, true))
                .await?;
            Ok(reply::json(StatusCode::ACCEPTED, &scrub)?.located(format!("/v1/cells/{}/scrub", scrub.cell)))
        }
        Endpoint::Balance => {
            asked.query.finish()?;
            reply::json(StatusCode::OK, &asked.limited(false, service.balance(operator)).await?)
        }
        Endpoint::Cluster => {
            asked.query.finish()?;
            reply::json(StatusCode::OK, &asked.limited(false, service.cluster(operator)).await?)
        }
        Endpoint::Initialize => {
            let alone = asked.query.flag("alone")?.unwrap_or(false);
            asked.query.finish()?;
            let initialized = asked.limited(true, service.initialize(operator, alone)).await?;
            reply::json(StatusCode::OK, &Initialized { initialized })
        }
        other => Err(Error::new(Code::Internal, format!("{other:?} is not a control route"))),
    }
}
