//! From a method and a path to its route. The paths below a tenant have a file of their own.

use http::Method;

use super::{Endpoint, Route, TABLE};

/// A route with the variable parts of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'p> {
    pub(crate) route: &'static Route,
    /// The tenant, where the path has one.
    pub(crate) tenant: &'p str,
    /// The next variable part: collection, token, cell or operation.
    pub(crate) first: &'p str,
    /// The one after that: the record.
    pub(crate) second: &'p str,
    /// The one after that: the field.
    pub(crate) third: &'p str,
}

/// Why there is no route.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The path is unknown.
    Path,
    /// The path takes these methods only.
    Method(String),
}

/// More parts than the longest path has.
const PARTS: usize = 8;

/// Finds the route of a request.
pub(crate) fn find<'p>(method: &Method, path: &'p str) -> Result<Found<'p>, Missing> {
    let mut parts = [""; PARTS];
    let mut count = 0;
    for part in path.strip_prefix('/').ok_or(Missing::Path)?.split('/') {
        *parts.get_mut(count).ok_or(Missing::Path)? = part;
        count += 1;
    }
    let (endpoints, tenant, [first, second, third]) = resource(&parts[..count]).ok_or(Missing::Path)?;
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    match endpoints
        .iter()
        .map(|endpoint| &TABLE[*endpoint as usize])
        .find(|route| route.method == *wanted)
    {
        Some(route) => Ok(Found {
            route,
            tenant,
            first,
            second,
            third,
        }),
        None => Err(Missing::Method(allowed(endpoints))),
    }
}

fn allowed(endpoints: &[Endpoint]) -> String {
    let mut methods = Vec::new();
    for endpoint in endpoints {
        let method = TABLE[*endpoint as usize].method.as_str();
        methods.push(method);
        if method == "GET" {
            methods.push("HEAD");
        }
    }
    methods.join(", ")
}

/// Endpoints, the tenant, and the variable parts after it.
pub(super) type Resource<'p> = (&'static [Endpoint], &'p str, [&'p str; 3]);

/// The endpoints of a path, with its variable parts.
fn resource<'p>(parts: &[&'p str]) -> Option<Resource<'p>> {
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
