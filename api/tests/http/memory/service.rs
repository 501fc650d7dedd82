//! The trait, over the maps of [`Memory`].

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::body::backup::{CellRestore, TenantRestore};
use api::body::balance::Balance;
use api::body::control::{Cell, CellHash, NewTenant, Operation, Region, Scrub, Tenant, TenantMove, TenantPatch, TenantStatus};
use api::body::node::{Node, NodeChange};
use api::body::record::{Fields, Page, Record};
use api::body::token::{Me, NewToken, Token};
use api::body::topology::{Cluster, NewTopology, Topology};
use api::error::{Code, Error, Result};
use api::ids::{Id, Name, NodeNumber, Slug};
use api::service::{
    ArchivedTenant, BoxStream, ByteSource, Consistency, Idempotency, Import, LineSender, LineSource, Location, Operator,
    Placement, Principal, Reach, Reply, RequestContext, Service, Stage, Timing,
};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;

use super::{Memory, Peer, TIME, new_id, placement};

/// What every archive is here.
pub(crate) const ARCHIVE: &[u8] = b"CNARCH\0 of what a tenant holds";

fn tenant_body(slug: &Slug) -> Tenant {
    Tenant {
        id: new_id(),
        slug: slug.clone(),
        region: "here".into(),
        cell: "c1".into(),
        endpoint: "http://here".into(),
        plan: "free".into(),
        status: TenantStatus::Active,
        created_at: TIME.into(),
        cors_origins: Vec::new(),
        admin_token: None,
    }
}

fn token_body(new: NewToken) -> Token {
    let NewToken {
        name,
        role,
        scopes,
        expires_at,
    } = new;
    Token {
        id: new_id(),
        name,
        role,
        scopes,
        created_at: TIME.into(),
        expires_at,
        secret: Some("cnt_new".into()),
    }
}

pub(super) fn operation_body(id: Id) -> Operation {
    Operation {
        id,
        kind: "tenant.delete".into(),
        tenant: "acme".into(),
        status: "running".into(),
        progress: 1,
        created_at: TIME.into(),
        updated_at: TIME.into(),
        error: None,
        collection: None,
        phase: None,
        failed: None,
        failures: Vec::new(),
        admin_token: None,
    }
}

#[async_trait]
impl Service for Memory {
    fn locate(&self, slug: &Slug, _reach: Reach) -> Location {
        match &self.state().locate {
            Some(locate) => locate(slug),
            None if slug.as_str() == "acme" => Location::Here(placement(slug)),
            None => Location::Nowhere,
        }
    }

    fn locate_control(&self) -> Location {
        let slug = "directory".parse().expect("a slug");
        match &self.state().locate {
            Some(locate) => locate(&slug),
            None => Location::Here(placement(&slug)),
        }
    }

    async fn refresh(&self) -> bool {
        let mut state = self.state();
        state.calls.push("refresh".into());
        if let Some(locate) = state.behind.take() {
            state.locate = Some(locate);
        }
        !state.unasked
    }

    async fn leader_change(&self) {
        self.leaders.notified().await;
    }

    fn leader_hint(&self, _slug: Option<&Slug>, leader: Option<NodeNumber>) {
        let mut state = self.state();
        state.hints.push(leader);
        if leader.is_none()
            && let Some(locate) = state.unhinted.take()
        {
            state.locate = Some(locate);
        }
    }

    fn cors_origins(&self, slug: &Slug) -> Vec<String> {
        if slug.as_str() == "acme" {
            self.state().cors.clone()
        } else {
            Vec::new()
        }
    }

    async fn dial(&self, node: NodeNumber) -> io::Result<BoxStream> {
        let mut state = self.state();
        state.calls.push("dial".into());
        let peer = state.peers.get(&node).cloned();
        let (near, far) = tokio::io::duplex(64 * 1024);
        match peer {
            Some(Peer::Refuses) | None => return Err(io::ErrorKind::ConnectionRefused.into()),
            Some(peer) => tokio::spawn(peer.takes(far)),
        };
        Ok(Box::new(near))
    }

    async fn authenticate(&self, _placement: &Placement, secret: &str, _timing: &Timing) -> Result<Principal> {
        let mut state = self.state();
        state.calls.push("authenticate".into());
        if secret == "cnt_foreign" {
            return Err(Error::new(Code::NotFound, "a token of tenant other"));
        }
        let principal = state.principals.get(secret).cloned();
        principal.ok_or_else(|| Error::new(Code::Unauthenticated, "the token is not known"))
    }

    async fn authenticate_operator(&self, secret: &str) -> Result<Operator> {
        match secret {
            "cno_op" => Ok(Operator { name: "op".into() }),
            _ => Err(Error::new(Code::Unauthenticated, "the token is not known")),
        }
    }

    async fn barrier(&self, _placement: &Placement, consistency: Consistency, timing: &Timing) -> Result<()> {
        self.state().calls.push(format!("barrier {consistency:?}"));
        timing.add(Stage::Barrier, Duration::from_micros(5));
        Ok(())
    }

    async fn me(&self, ctx: &RequestContext) -> Result<Reply<Me>> {
        self.begin("me").await?;
        let body = Me {
            tenant: ctx.placement.slug.to_string(),
            principal: format!("token:{}", ctx.principal.token),
            name: ctx.principal.name.to_string(),
            role: ctx.principal.role,
            scopes: None,
            expires_at: None,
        };
        Ok(Reply {
            body,
            position: self.position(),
        })
    }

    async fn tokens(&self, _ctx: &RequestContext) -> Result<Reply<Vec<Token>>> {
        Ok(Reply {
            body: Vec::new(),
            position: self.position(),
        })
    }

    async fn token_create(&self, _ctx: &RequestContext, new: NewToken, _key: Option<Idempotency>) -> Result<Reply<Token>> {
        self.begin("token_create").await?;
        Ok(Reply {
            body: token_body(new),
            position: self.position(),
        })
    }

    async fn token_delete(&self, _ctx: &RequestContext, _id: Id) -> Result<Reply<()>> {
        Ok(Reply {
            body: (),
            position: self.position(),
        })
    }

    async fn import(
        &self,
        _ctx: &RequestContext,
        collection: &Name,
        import: Import,
        mut lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        self.begin("import").await?;
        if import.id.as_deref() == Some("refused") {
            return Err(Error::new(Code::InvalidParameter, "this import is refused"));
        }
        let (mut imported, mut failed) = (0, 0);
        while let Some((number, line)) = lines.next().await? {
            let fields = line.and_then(|line| {
                serde_json::from_slice::<Fields>(&line).map_err(|_| Error::new(Code::MalformedBody, "the line is not an object"))
            });
            let answer = match fields {
                Ok(fields) => {
                    self.put(collection, new_id(), &fields, None)?;
                    imported += 1;
                    json!({ "stored": number })
                }
                Err(error) => {
                    failed += 1;
                    json!({ "line": number, "code": error.code.name(), "message": error.detail })
                }
            };
            if out.send(Ok(Bytes::from(answer.to_string()))).await.is_err() {
                return Ok(());
            }
        }
        let summary = json!({ "imported": imported, "failed": failed, "position": self.position() });
        let _ = out.send(Ok(Bytes::from(summary.to_string()))).await;
        Ok(())
    }

    async fn tenant_import(
        &self,
        ctx: &RequestContext,
        import: Option<String>,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        let collection = "tasks".parse().expect("a name");
        let import = Import {
            id: import,
            upsert: None,
        };
        self.import(ctx, &collection, import, lines, out).await
    }

    async fn archive(&self, _placement: &Placement, out: LineSender) -> Result<Reply<()>> {
        self.begin("archive").await?;
        let position = self.position();
        let breaks = self.breaks_archives.load(Ordering::Relaxed);
        tokio::spawn(async move {
            for piece in ARCHIVE.chunks(10) {
                let _ = out.send(Ok(Bytes::from_static(piece))).await;
            }
            if breaks {
                let _ = out.send(Err(Box::new(Error::new(Code::Internal, "the disk is gone")))).await;
            }
        });
        Ok(Reply { body: (), position })
    }

    async fn export(&self, _ctx: &RequestContext, out: LineSender) -> Result<Reply<()>> {
        self.begin("export").await?;
        let records: Vec<Record> = self.state().records.values().cloned().collect();
        let position = self.position();
        let mut lines = vec![json!({ "kind": "header", "format": 1, "tenant": "acme", "position": position }).to_string()];
        let count = records.len();
        for record in records {
            let text = serde_json::to_string(&record).expect("JSON");
            lines.push(format!("{{\"kind\":\"record\",{}", &text[1..]));
        }
        lines.push(json!({ "kind": "trailer", "records": count }).to_string());
        for line in lines {
            if out.send(Ok(Bytes::from(line))).await.is_err() {
                break;
            }
        }
        Ok(Reply { body: (), position })
    }

    async fn tenant_create(&self, _operator: &Operator, new: NewTenant, _key: Option<Idempotency>) -> Result<Tenant> {
        self.begin("tenant_create").await?;
        Ok(Tenant {
            admin_token: Some("cnt_first".into()),
            ..tenant_body(&new.slug)
        })
    }

    async fn tenant_receive(&self, _operator: &Operator, new: ArchivedTenant, mut body: Box<dyn ByteSource>) -> Result<Tenant> {
        self.begin("tenant_receive").await?;
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await? {
            bytes.extend_from_slice(&piece);
        }
        if bytes != ARCHIVE {
            return Err(Error::new(Code::MalformedBody, "the archive is damaged"));
        }
        Ok(Tenant {
            admin_token: (!new.keeps_tokens).then(|| "cnt_first".into()),
            plan: new.plan.unwrap_or_else(|| "free".into()),
            ..tenant_body(&new.slug)
        })
    }

    async fn tenants(&self, _operator: &Operator, _limit: usize, _cursor: Option<String>) -> Result<Page<Tenant>> {
        Ok(Page {
            items: vec![tenant_body(&"acme".parse().expect("a slug"))],
            next_cursor: None,
            count: None,
        })
    }

    async fn tenant(&self, _operator: &Operator, slug: &Slug) -> Result<Tenant> {
        Ok(tenant_body(slug))
    }

    async fn tenant_patch(&self, _operator: &Operator, slug: &Slug, patch: TenantPatch) -> Result<Tenant> {
        let mut state = self.state();
        if let Some(origins) = patch.cors_origins {
            state.cors = origins;
        }
        Ok(Tenant {
            plan: patch.plan.unwrap_or_default(),
            cors_origins: state.cors.clone(),
            ..tenant_body(slug)
        })
    }

    async fn tenant_delete(&self, _operator: &Operator, _slug: &Slug) -> Result<Operation> {
        Ok(operation_body(new_id()))
    }

    async fn tenant_move(&self, _: &Operator, slug: &Slug, to: TenantMove, _: Option<Idempotency>) -> Result<Operation> {
        Ok(Operation {
            tenant: format!("{slug} to {}", to.cell.unwrap_or_default()),
            ..operation_body(new_id())
        })
    }

    async fn tenant_restore(
        &self,
        _: &Operator,
        slug: &Slug,
        wanted: TenantRestore,
        _: Option<Idempotency>,
    ) -> Result<Operation> {
        Ok(Operation {
            tenant: format!("{slug} from {}", wanted.from),
            ..operation_body(new_id())
        })
    }

    async fn cell_restore(&self, _: &Operator, cell: &str, _: CellRestore, _: Option<Idempotency>) -> Result<Operation> {
        Ok(Operation {
            tenant: cell.to_owned(),
            ..operation_body(new_id())
        })
    }

    async fn operation_call_off(&self, _operator: &Operator, id: Id) -> Result<Operation> {
        Ok(operation_body(id))
    }

    async fn tenant_token(
        &self,
        _operator: &Operator,
        _placement: &Placement,
        new: NewToken,
        key: Option<Idempotency>,
    ) -> Result<Token> {
        self.begin("tenant_token").await?;
        let Some(key) = key else { return Ok(token_body(new)) };
        let mut state = self.state();
        let (body, token) = state.minted.entry(key.scope).or_insert_with(|| (key.body, token_body(new)));
        match *body == key.body {
            true => Ok(token.clone()),
            false => Err(Error::new(Code::IdempotencyMismatch, "the key was used with another body")),
        }
    }

    async fn operation(&self, _operator: &Operator, id: Id) -> Result<Operation> {
        Ok(operation_body(id))
    }

    async fn regions(&self, _operator: &Operator) -> Result<Vec<Region>> {
        let region = |name: &str| Region {
            name: name.into(),
            endpoint: "http://x".into(),
            nodes: vec![],
            cells: vec![],
        };
        Ok(vec![region("there"), region("here")])
    }

    async fn cells(&self, _operator: &Operator) -> Result<Vec<Cell>> {
        Ok(Vec::new())
    }

    async fn cell_hash(&self, _operator: &Operator, cell: &str) -> Result<CellHash> {
        Ok(CellHash {
            cell: cell.into(),
            node: "n1".into(),
            applied: 1,
            hash: "00".into(),
            keys: 0,
        })
    }

    async fn node_change(&self, _operator: &Operator, node: &str, change: NodeChange) -> Result<()> {
        match (node, change) {
            ("n1", NodeChange::Drain | NodeChange::Undrain) => Ok(()),
            _ => Err(Error::new(Code::NotFound, "there is no such node")),
        }
    }

    async fn balance(&self, _operator: &Operator) -> Result<Balance> {
        Ok(Balance {
            region: "eu".to_owned(),
            cells: Vec::new(),
            moves: Vec::new(),
        })
    }

    async fn cluster(&self, _operator: &Operator) -> Result<Cluster> {
        Ok(Cluster {
            version: 1,
            topology: Topology::default(),
            applying: None,
        })
    }

    async fn cluster_apply(&self, _operator: &Operator, wanted: NewTopology) -> Result<Option<Operation>> {
        match (wanted.after, wanted.topology == Topology::default()) {
            (1, true) => Ok(None),
            (1, false) => Ok(Some(operation_body(new_id()))),
            _ => Err(Error::new(Code::Contention, "the topology was changed meanwhile")),
        }
    }

    async fn cluster_cancel(&self, _operator: &Operator) -> Result<Operation> {
        Err(Error::new(Code::NotFound, "no apply is under way"))
    }

    async fn cell_scrub(&self, _operator: &Operator, cell: &str, begin: bool) -> Result<Scrub> {
        Ok(Scrub {
            id: Id(uuid::Uuid::from_u128(7)),
            cell: cell.into(),
            status: if begin { "running" } else { "equal" }.into(),
            position: Some(1),
            started_at: "2026-01-01T00:00:00Z".into(),
            ended_at: None,
            replicas: Vec::new(),
        })
    }

    async fn nodes(&self, _operator: &Operator) -> Result<Vec<Node>> {
        Ok(Vec::new())
    }

    async fn initialize(&self, _operator: &Operator, alone: bool) -> Result<bool> {
        Ok(!alone)
    }

    fn ready(&self) -> Result<(), String> {
        if self.unready.load(Ordering::SeqCst) {
            Err("no leader is known".into())
        } else {
            Ok(())
        }
    }

    fn metrics(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "cloudnest_test 1")
    }

    fn identity(&self) -> (String, String) {
        ("n1".into(), "here".into())
    }
}
