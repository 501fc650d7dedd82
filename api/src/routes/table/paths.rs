//! The paths, but for those below a tenant.

use super::Endpoint;

/// Endpoints, the tenant, and the variable parts after it.
pub(super) type Resource<'p> = (&'static [Endpoint], &'p str, [&'p str; 3]);

/// The endpoints of a path, with its variable parts.
pub(super) fn resource<'p>(parts: &[&'p str]) -> Option<Resource<'p>> {
    use Endpoint as E;
    Some(match *parts {
        ["v1", "tenants", t, ref inner @ ..] if !inner.is_empty() => return super::tenant::inner(t, inner),
        [""] => (&[E::Root], "", ["", "", ""]),
        ["livez"] => (&[E::Livez], "", ["", "", ""]),
        ["readyz"] => (&[E::Readyz], "", ["", "", ""]),
        ["metrics"] => (&[E::Metrics], "", ["", "", ""]),
        ["openapi.json"] => (&[E::Openapi], "", ["", "", ""]),
        ["v1", "tenants"] => (&[E::Tenants, E::TenantCreate], "", ["", "", ""]),
        ["v1", "tenants", t] => (&[E::Tenant, E::TenantPatch, E::TenantDelete], t, ["", "", ""]),
        ["v1", "operations", id] => (&[E::Operation], "", [id, "", ""]),
        ["v1", "operations", id, "cancel"] => (&[E::OperationCallOff], "", [id, "", ""]),
        ["v1", "regions"] => (&[E::Regions], "", ["", "", ""]),
        ["v1", "cells"] => (&[E::Cells], "", ["", "", ""]),
        ["v1", "cells", cell, "hash"] => (&[E::CellHash], "", [cell, "", ""]),
        ["v1", "cells", cell, "restore"] => (&[E::CellRestore], "", [cell, "", ""]),
        ["v1", "cells", cell, "scrub"] => (&[E::CellScrub, E::ScrubBegin], "", [cell, "", ""]),
        ["v1", "nodes"] => (&[E::Nodes], "", ["", "", ""]),
        ["v1", "nodes", node, "drain"] => (&[E::NodeDrain, E::NodeUndrain], "", [node, "", ""]),
        ["v1", "nodes", node, "restart"] => (&[E::NodeRestart], "", [node, "", ""]),
        ["v1", "balance"] => (&[E::Balance], "", ["", "", ""]),
        ["v1", "cluster"] => (&[E::Cluster], "", ["", "", ""]),
        ["v1", "cluster", "apply"] => (&[E::ClusterApply, E::ClusterCancel], "", ["", "", ""]),
        ["v1", "cluster", "initialize"] => (&[E::Initialize], "", ["", "", ""]),
        _ => return None,
    })
}
