//! Every route, once: the router, the gate, ingress, the metrics and the OpenAPI document all read this table.

mod paths;
mod tenant;

use http::Method;

pub(crate) use self::paths::{Found, Missing, find};
use crate::body::token::Role;
use crate::service::Reach;

/// A route, by name. The order is that of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Endpoint {
    Root,
    Livez,
    Readyz,
    Metrics,
    Openapi,
    Tenants,
    TenantCreate,
    Tenant,
    TenantPatch,
    TenantDelete,
    TenantMove,
    TenantRestore,
    TenantReceive,
    Operation,
    OperationCallOff,
    Regions,
    Cells,
    CellHash,
    CellScrub,
    ScrubBegin,
    CellRestore,
    Nodes,
    NodeDrain,
    NodeUndrain,
    NodeRestart,
    Balance,
    Cluster,
    ClusterApply,
    ClusterCancel,
    Initialize,
    Me,
    Usage,
    Tokens,
    TokenCreate,
    TokenDelete,
    Collections,
    Collection,
    CollectionPut,
    CollectionDelete,
    TenantOperations,
    TenantOperation,
    OperationCancel,
    Records,
    RecordCreate,
    Record,
    RecordPut,
    RecordPatch,
    RecordDelete,
    History,
    Restore,
    Batch,
    Import,
    TenantImport,
    Export,
    Archive,
    Events,
    Search,
    SearchSettings,
    SearchSet,
    Files,
    FileCreate,
    LinksRevoke,
    UploadCreate,
    Upload,
    UploadWrite,
    UploadDelete,
    File,
    FilePatch,
    FileDelete,
    FileContent,
    FilePut,
    LinkCreate,
    FileVersions,
    FileVersionDelete,
    FileRestore,
    Live,
    Presence,
    Document,
}

/// Where a route is served, and who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    /// On any node, by anyone.
    Open,
    /// On any node, by operators.
    Control,
    /// Where a change of the directory is decided, by operators.
    ControlLeader,
    /// Where the tenant is, by its principals with this role or a higher one.
    Tenant(Reach, Role),
}

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) plane: Plane,
    /// Whether it takes an `Idempotency-Key`.
    pub(crate) keyed: bool,
    /// Whether request or reply is a stream, which no time limit ends.
    pub(crate) streams: bool,
    pub(crate) summary: &'static str,
}

const fn route(endpoint: Endpoint, method: Method, path: &'static str, plane: Plane, summary: &'static str) -> Route {
    Route {
        endpoint,
        method,
        path,
        plane,
        keyed: false,
        streams: false,
        summary,
    }
}

const fn keyed(mut route: Route) -> Route {
    route.keyed = true;
    route
}

const fn streams(mut route: Route) -> Route {
    route.streams = true;
    route
}

const READ: Plane = Plane::Tenant(Reach::Replica, Role::Guest);
const READ_ADMIN: Plane = Plane::Tenant(Reach::Replica, Role::Admin);
/// Reads of what is in the memory of the leader's node.
const READ_LEADER: Plane = Plane::Tenant(Reach::Leader, Role::Guest);
const WRITE: Plane = Plane::Tenant(Reach::Leader, Role::Member);
const WRITE_ADMIN: Plane = Plane::Tenant(Reach::Leader, Role::Admin);

/// All routes. HEAD is GET without the body.
#[rustfmt::skip]
pub(crate) static TABLE: [Route; 78] = {
    use Endpoint as E;
    use Plane::{Control, ControlLeader, Open};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    [
        route(E::Root, GET, "/", Open, "Links and a quick start, as HTML or JSON"),
        route(E::Livez, GET, "/livez", Open, "Whether the process is alive"),
        route(E::Readyz, GET, "/readyz", Open, "Whether the node is ready to serve"),
        route(E::Metrics, GET, "/metrics", Open, "Metrics in the Prometheus text format"),
        route(E::Openapi, GET, "/openapi.json", Open, "This document"),
        route(E::Tenants, GET, "/v1/tenants", Control, "Tenants, by slug"),
        keyed(route(E::TenantCreate, POST, "/v1/tenants", ControlLeader, "Create a tenant; the reply has its first admin token")),
        route(E::Tenant, GET, "/v1/tenants/{tenant}", Control, "One tenant"),
        route(E::TenantPatch, Method::PATCH, "/v1/tenants/{tenant}", ControlLeader, "Change a tenant"),
        route(E::TenantDelete, DELETE, "/v1/tenants/{tenant}", ControlLeader, "Erase a tenant: long work"),
        keyed(route(E::TenantMove, POST, "/v1/tenants/{tenant}/move", ControlLeader, "Move a tenant to another cell: long work")),
        keyed(route(E::TenantRestore, POST, "/v1/tenants/{tenant}/restore", Control, "Create a tenant out of what another one was at a time: long work")),
        streams(route(E::TenantReceive, POST, "/v1/tenants/{tenant}/archive", Control, "Create a tenant out of an archive")),
        route(E::Operation, GET, "/v1/operations/{id}", Control, "How far an operation is"),
        route(E::OperationCallOff, POST, "/v1/operations/{id}/cancel", ControlLeader, "Call a move of a tenant off, while it still can be"),
        route(E::Regions, GET, "/v1/regions", Control, "All regions"),
        route(E::Cells, GET, "/v1/cells", Control, "The region's cells, as this node sees them"),
        route(E::CellHash, GET, "/v1/cells/{cell}/hash", Control, "The hash of this node's replica of a cell"),
        route(E::CellScrub, GET, "/v1/cells/{cell}/scrub", Control, "The last scrub of a cell, as its leader knows it"),
        route(E::ScrubBegin, POST, "/v1/cells/{cell}/scrub", Control, "Compare all that the replicas of a cell hold: long work"),
        keyed(route(E::CellRestore, POST, "/v1/cells/{cell}/restore", Control, "Bring the tenants of a lost cell back from its backup: long work")),
        route(E::Nodes, GET, "/v1/nodes", Control, "The region's nodes, as this node sees them"),
        route(E::NodeDrain, POST, "/v1/nodes/{node}/drain", Control, "Have a node hand its leaderships over and not be ready"),
        route(E::NodeUndrain, DELETE, "/v1/nodes/{node}/drain", Control, "Have a node serve again that drains"),
        route(E::NodeRestart, POST, "/v1/nodes/{node}/restart", Control, "Have a node drain and end: whoever supervises it starts it again"),
        route(E::Balance, GET, "/v1/balance", Control, "How busy the region's cells are, and which tenants to move"),
        route(E::Cluster, GET, "/v1/cluster", Control, "What the cluster consists of, and the change of it that is under way"),
        route(E::ClusterApply, POST, "/v1/cluster/apply", ControlLeader, "Bring another topology about: long work"),
        route(E::ClusterCancel, DELETE, "/v1/cluster/apply", ControlLeader, "Call the change of the topology off; what was done stays"),
        route(E::Initialize, POST, "/v1/cluster/initialize", Control, "Initialise the region's groups, once"),
        route(E::Me, GET, "/v1/tenants/{tenant}/me", READ, "Who this token is"),
        route(E::Usage, GET, "/v1/tenants/{tenant}/usage", READ_ADMIN, "What the tenant may use, and has used"),
        route(E::Tokens, GET, "/v1/tenants/{tenant}/tokens", READ_ADMIN, "API keys, without secrets"),
        keyed(route(E::TokenCreate, POST, "/v1/tenants/{tenant}/tokens", WRITE_ADMIN, "Create an API key; its secret is shown once")),
        route(E::TokenDelete, DELETE, "/v1/tenants/{tenant}/tokens/{id}", WRITE_ADMIN, "Revoke an API key"),
        route(E::Collections, GET, "/v1/tenants/{tenant}/collections", READ, "All collections"),
        route(E::Collection, GET, "/v1/tenants/{tenant}/collections/{collection}", READ, "One collection"),
        route(E::CollectionPut, Method::PUT, "/v1/tenants/{tenant}/collections/{collection}", WRITE_ADMIN, "Create a collection, or replace its schema"),
        route(E::CollectionDelete, DELETE, "/v1/tenants/{tenant}/collections/{collection}", WRITE_ADMIN, "Delete a collection with its records"),
        route(E::TenantOperations, GET, "/v1/tenants/{tenant}/operations", READ_ADMIN, "Operations on collections, the newest last"),
        route(E::TenantOperation, GET, "/v1/tenants/{tenant}/operations/{id}", READ_ADMIN, "How far an operation on a collection is"),
        route(E::OperationCancel, POST, "/v1/tenants/{tenant}/operations/{id}/cancel", WRITE_ADMIN, "Call an operation on a collection back"),
        route(E::Records, GET, "/v1/tenants/{tenant}/records/{collection}", READ, "A page of records"),
        keyed(route(E::RecordCreate, POST, "/v1/tenants/{tenant}/records/{collection}", WRITE, "Create a record")),
        route(E::Record, GET, "/v1/tenants/{tenant}/records/{collection}/{id}", READ, "One record"),
        route(E::RecordPut, Method::PUT, "/v1/tenants/{tenant}/records/{collection}/{id}", WRITE, "Create or replace a record"),
        keyed(route(E::RecordPatch, Method::PATCH, "/v1/tenants/{tenant}/records/{collection}/{id}", WRITE, "Merge into a record (RFC 7396)")),
        route(E::RecordDelete, DELETE, "/v1/tenants/{tenant}/records/{collection}/{id}", WRITE, "Delete a record"),
        route(E::History, GET, "/v1/tenants/{tenant}/records/{collection}/{id}/history", READ, "The versions of a record, the newest first"),
        keyed(route(E::Restore, POST, "/v1/tenants/{tenant}/records/{collection}/{id}/restore", WRITE, "Give a record the fields of an older version again")),
        keyed(route(E::Batch, POST, "/v1/tenants/{tenant}/batch", WRITE, "Several operations, all or none")),
        streams(route(E::Import, POST, "/v1/tenants/{tenant}/records/{collection}/import", WRITE, "Import records from a stream of lines")),
        streams(route(E::TenantImport, POST, "/v1/tenants/{tenant}/import", WRITE_ADMIN, "Read an export back, with ids, versions and times")),
        streams(route(E::Export, GET, "/v1/tenants/{tenant}/export", READ_ADMIN, "Everything that the tenant owns, at one position")),
        streams(route(E::Archive, GET, "/v1/tenants/{tenant}/archive", READ_ADMIN, "The tenant as one file, at one position")),
        streams(route(E::Events, GET, "/v1/tenants/{tenant}/events", READ, "Events after a position")),
        route(E::Search, GET, "/v1/tenants/{tenant}/search", READ, "What is found by words, the best first"),
        route(E::SearchSettings, GET, "/v1/tenants/{tenant}/search/settings", READ, "How the tenant's records are searched"),
        route(E::SearchSet, Method::PUT, "/v1/tenants/{tenant}/search/settings", WRITE_ADMIN, "Say how the tenant's records are searched"),
        route(E::Files, GET, "/v1/tenants/{tenant}/files", READ, "A page of files"),
        streams(keyed(route(E::FileCreate, POST, "/v1/tenants/{tenant}/files", WRITE, "Create a file: the body is its content"))),
        route(E::LinksRevoke, DELETE, "/v1/tenants/{tenant}/files/links", WRITE_ADMIN, "Make all links to files worthless that were given out"),
        streams(route(E::UploadCreate, POST, "/v1/tenants/{tenant}/files/uploads", WRITE, "Begin an upload that can go on after it broke off (tus 1.0)")),
        route(E::Upload, GET, "/v1/tenants/{tenant}/files/uploads/{id}", READ, "How far an upload is"),
        streams(route(E::UploadWrite, Method::PATCH, "/v1/tenants/{tenant}/files/uploads/{id}", WRITE, "Bring an upload further")),
        route(E::UploadDelete, DELETE, "/v1/tenants/{tenant}/files/uploads/{id}", WRITE, "End an upload without a file"),
        route(E::File, GET, "/v1/tenants/{tenant}/files/{id}", READ, "One file"),
        keyed(route(E::FilePatch, Method::PATCH, "/v1/tenants/{tenant}/files/{id}", WRITE, "Rename a file, or attach it to a record")),
        route(E::FileDelete, DELETE, "/v1/tenants/{tenant}/files/{id}", WRITE, "Delete a file with all its versions"),
        streams(route(E::FileContent, GET, "/v1/tenants/{tenant}/files/{id}/content", READ, "The content of a file, whole or a part")),
        streams(route(E::FilePut, Method::PUT, "/v1/tenants/{tenant}/files/{id}/content", WRITE, "Give a file a new version: the body is its content")),
        route(E::LinkCreate, POST, "/v1/tenants/{tenant}/files/{id}/links", WRITE, "A link to the content of a file that needs no token"),
        route(E::FileVersions, GET, "/v1/tenants/{tenant}/files/{id}/versions", READ, "The versions of a file, the newest first"),
        route(E::FileVersionDelete, DELETE, "/v1/tenants/{tenant}/files/{id}/versions/{version}", WRITE, "Delete an older version of a file"),
        keyed(route(E::FileRestore, POST, "/v1/tenants/{tenant}/files/{id}/versions/{version}/restore", WRITE, "Make an older version of a file its newest")),
        streams(route(E::Live, GET, "/v1/tenants/{tenant}/live", READ_LEADER, "Events and presence as they happen, over a WebSocket")),
        route(E::Presence, GET, "/v1/tenants/{tenant}/presence", READ_LEADER, "Who is at a topic now"),
        streams(route(E::Document, GET, "/v1/tenants/{tenant}/documents/{collection}/{id}/{field}", READ_LEADER, "A document that is written together, over a WebSocket of y-websocket")),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_table_finds_itself() {
        for (place, route) in TABLE.iter().enumerate() {
            assert_eq!(route.endpoint as usize, place, "{} is out of order", route.path);
            let found = find(&route.method, route.path).expect("a route");
            assert_eq!(found.route.endpoint, route.endpoint, "{}", route.path);
        }
    }

    #[test]
    fn head_is_get_and_other_methods_are_named() {
        assert_eq!(
            find(&Method::HEAD, "/v1/tenants/acme/me").expect("a route").route.endpoint,
            Endpoint::Me
        );
        let missing = find(&Method::POST, "/v1/tenants/acme/records/tasks/1").expect_err("no such method");
        assert_eq!(missing, Missing::Method("GET, HEAD, PUT, PATCH, DELETE".into()));
        for path in [
            "",
            "/v2",
            "/v1/tenants/",
            "/v1/tenants/a/b",
            "/a/b/c/d/e/f/g/h/i/j",
            "/livez/",
        ] {
            let found = find(&Method::GET, path);
            let unknown = matches!(found, Err(Missing::Path)) || found.is_ok_and(|found| found.tenant.is_empty());
            assert!(unknown, "{path}");
        }
    }
}
