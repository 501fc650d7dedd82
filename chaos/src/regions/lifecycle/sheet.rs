//! The keepsake's document: written by one client of Yjs, mark by mark, and held against what a restored tenant has in its place. There the
//! client goes on, with what it had at that time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::ids::Id;
use rig::http::{Request, send};
use rig::{cluster, tenant};
use serde_json::{Value, json};
use uuid::Uuid;

use super::keepsake::{KEEPSAKE, TIMEOUT, TRIED_FOR};
use crate::invariants::names;
use crate::pages;
use crate::regions::runtime;
use crate::yjs::{self, Paper};

/// Its record.
const ID: Id = Id(Uuid::from_u128(0x6B65_6570_0000_4000_8000_0000_0000_0001));
/// The number of the client.
const CLIENT: u64 = 101;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The client's copy at a time: all of it as an update.
pub(super) struct Leaf(Vec<u8>);

/// See the module.
pub(super) struct Sheet {
    nodes: Vec<SocketAddr>,
    token: String,
    paper: Paper,
    marks: u64,
}

impl Sheet {
    /// Not written yet, of a tenant with this token.
    pub(super) fn new(nodes: &[SocketAddr], token: &str) -> Self {
        Self {
            nodes: nodes.to_vec(),
            token: token.to_owned(),
            paper: Paper::new(CLIENT),
            marks: 0,
        }
    }

    /// Makes collection and record.
    pub(super) fn make(&self) -> Result<()> {
        let schema = json!({ "fields": { names::PAGE_BODY: { "type": "document" } } });
        let record = json!({ "id": ID, "fields": {} });
        for (method, below, body) in [
            ("PUT", format!("collections/{}", names::PAGES), schema),
            ("POST", format!("records/{}", names::PAGES), record),
        ] {
            let made = |status: u16| matches!(status, 200 | 201);
            self.ask(method, &below, &body.to_string(), |status, _| made(status))?;
        }
        Ok(())
    }

    /// Asks the nodes until one gives the answer that is wanted.
    fn ask(&self, method: &str, below: &str, body: &str, is_right: impl Fn(u16, &[u8]) -> bool) -> Result<()> {
        let (path, headers) = (
            format!("/v1/tenants/{KEEPSAKE}/{below}"),
            format!("idempotency-key: {}\r\n", below.replace('/', "-")),
        );
        let request = Request {
            method,
            path: &path,
            token: &self.token,
            headers: if method == "POST" { &headers } else { "" },
            body: body.as_bytes(),
        };
        let gives = |node: &SocketAddr| send(*node, request, TIMEOUT).is_ok_and(|(status, body)| is_right(status, &body));
        let given = cluster::poll(TRIED_FOR, || self.nodes.iter().any(gives));
        ensure!(given, "{method} {path} was not answered as it should be within {TRIED_FOR:?}");
        Ok(())
    }

    /// Writes so many marks more; all of them are taken and the record shows them once it returns.
    pub(super) fn write(&mut self, marks: u64) -> Result<()> {
        for _ in 0..marks {
            self.marks += 1;
            mark(&self.paper, &format!("{KEEPSAKE}{}", self.marks))?;
            self.exchange(&self.paper, KEEPSAKE)?;
        }
        let text = self.paper.text();
        let shows = |status: u16, body: &[u8]| {
            let record: Value = serde_json::from_slice(body).unwrap_or_default();
            status == 200 && record["fields"][names::PAGE_BODY] == text.as_str()
        };
        self.ask("GET", &format!("records/{}/{}", names::PAGES, ID.0), "", shows)
    }

    /// What the client has now.
    pub(super) fn leaf(&self) -> Result<Leaf> {
        Ok(Leaf(self.paper.lacking(&Paper::new(CLIENT).vector())?))
    }

    /// Synchronises a copy both ways with the document of a tenant, whatever becomes of nodes meanwhile.
    fn exchange(&self, paper: &Paper, slug: &str) -> Result<()> {
        let deadline = Instant::now() + TRIED_FOR;
        let attempt = async |node: SocketAddr| {
            let client = tenant::client_of(node, &self.token)?.with_timeout(TIMEOUT);
            let mut connection = client.document(slug, names::PAGES, ID, names::PAGE_BODY).await?;
            yjs::exchange(&mut connection, paper).await
        };
        for node in self.nodes.iter().cycle() {
            match runtime()?.block_on(attempt(*node)) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error).context("synchronise the document"),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        bail!("there is no node to ask")
    }

    /// Looks whether a tenant that was made of this one has the document as it was, and whether its client can go on there. An error says what
    /// is not so.
    pub(super) fn compare(&self, slug: &str, leaf: &Leaf) -> Result<()> {
        let was = Paper::of(&leaf.0)?;
        let id = ID.0.to_string();
        for node in &self.nodes {
            let document = (names::PAGES, id.as_str(), names::PAGE_BODY);
            let fetched = runtime()?.block_on(pages::fetch(*node, (slug, &self.token), document))?;
            let is = fetched.context("the document is not there")?;
            ensure!(
                (is.text(), is.clocks()) == (was.text(), was.clocks()),
                "the document is {:?}, it was {:?}",
                is.text(),
                was.text()
            );
        }
        let client = Paper::new(CLIENT);
        client.apply(&leaf.0)?;
        mark(&client, "again")?;
        self.exchange(&client, slug).context("go on with the document")
    }
}

/// Writes a mark at the end.
fn mark(paper: &Paper, mark: &str) -> Result<()> {
    let end = u32::try_from(paper.text().len()).context("the document is too long")?;
    paper.insert(end, &format!("{mark} "));
    Ok(())
}
