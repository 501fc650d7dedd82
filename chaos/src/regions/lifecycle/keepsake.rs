//! A tenant that is written by nobody else, and what it was at some times.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::http::{Request, send};
use rig::random::Random;
use rig::tenant::{self, Tenant};
use rig::{clock, cluster};
use serde_json::json;

use super::sheet::{Leaf, Sheet};
use crate::content::Content;
use crate::field::Field;
use crate::regions::desk::Desk;
use crate::regions::runtime;

/// Its name.
pub(super) const KEEPSAKE: &str = "keepsake";
/// How long an answer may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a write, or the look at an archive, may be tried while a node is down.
pub(super) const TRIED_FOR: Duration = Duration::from_secs(60);
/// Most records that are written between two times.
const RECORDS: u64 = 12;
/// Most files that are stored between two times, and the most bytes of one.
const FILES: u64 = 3;
const MOST_BYTES: u64 = 5 << 19;
/// Most changes of its document.
const MARKS: u64 = 12;

/// What the tenant was at a time.
pub(super) struct Moment {
    pub(super) at: String,
    pub(super) archive: Vec<u8>,
    /// The copy of the one who writes its document.
    pub(super) leaf: Leaf,
}

/// See the module.
pub(super) struct Keepsake {
    tenant: Tenant,
    nodes: Vec<SocketAddr>,
    desk: Desk,
    random: Random,
    pub(super) sheet: Sheet,
    /// In their order.
    pub(super) moments: Vec<Moment>,
}

impl Keepsake {
    /// Makes it in a region.
    pub(super) fn new(field: &Field<'_>, region: &str, seed: u64) -> Result<Self> {
        let made = tenant::create_in(field.cluster, region, KEEPSAKE, Some("workspace"));
        let nodes = field.cluster.nodes().iter().filter(|node| node.region == region);
        let (tenant, nodes) = (runtime()?.block_on(made)?, nodes.map(|node| node.api).collect::<Vec<_>>());
        let sheet = Sheet::new(&nodes, &tenant.token);
        sheet.make()?;
        Ok(Self {
            tenant,
            nodes,
            sheet,
            desk: Desk::of(field.cluster, region),
            random: Random::new(seed ^ 0x6B65_6570),
            moments: Vec::new(),
        })
    }

    /// Writes into it, and remembers what it is then.
    pub(super) fn live(&mut self) -> Result<()> {
        let round = self.moments.len();
        for number in 0..1 + self.random.below(RECORDS) {
            let key = format!("K{round}X{number}");
            let body = json!({ "fields": { "key": key, "name": format!("{} {key}", self.random.draw()) } }).to_string();
            self.store("records/projects", &key, body.as_bytes())?;
        }
        for number in 0..1 + self.random.below(FILES) {
            let key = format!("F{round}X{number}");
            let content = Content {
                tag: KEEPSAKE.to_owned(),
                mark: format!("{KEEPSAKE}-{key}-{}", self.random.draw()),
                bytes: 1 + self.random.below(MOST_BYTES),
                common: self.random.draw(),
            };
            self.store(&format!("files?name={key}"), &key, &content.make())?;
        }
        self.sheet.write(1 + self.random.below(MARKS))?;
        let leaf = self.sheet.leaf()?;
        let archive = self.archive_of(KEEPSAKE)?;
        // What comes afterwards is stamped later: the clock of the nodes is this one.
        let at = clock::now();
        self.moments.push(Moment { at, archive, leaf });
        Ok(())
    }

    /// Stores a record or a file, whatever becomes of nodes meanwhile.
    fn store(&self, below: &str, key: &str, body: &[u8]) -> Result<()> {
        let (path, headers) = (
            format!("/v1/tenants/{KEEPSAKE}/{below}"),
            format!("idempotency-key: {key}\r\n"),
        );
        let request = Request {
            method: "POST",
            path: &path,
            token: &self.tenant.token,
            headers: &headers,
            body,
        };
        let takes = |node: &SocketAddr| matches!(send(*node, request, TIMEOUT), Ok((201, _)));
        let is_stored = cluster::poll(TRIED_FOR, || self.nodes.iter().any(takes));
        ensure!(is_stored, "{key} of {below} was not stored within {TRIED_FOR:?}");
        Ok(())
    }

    /// The archive of a tenant of its region, which is served.
    pub(super) fn archive_of(&self, slug: &str) -> Result<Vec<u8>> {
        let mut last = None;
        cluster::poll(TRIED_FOR, || {
            last = Some(self.desk.archive(slug));
            last.as_ref().is_some_and(Result::is_ok)
        });
        let last = last.context("nobody was asked")?;
        last.with_context(|| format!("take the archive of {slug}"))
    }
}
