//! Reads documents back: what a client of Yjs gets at every node that has nothing yet, what their records show there, and what is found of them.
//!
//! Before that, those who wrote them have been waited for; nobody writes any more. The record shows the text about a second later, and whoever
//! opens a document has it written down where that was interrupted: so it is read until it is that text, or time is up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::client::ClientError;
use serde_json::Value;
use tokio::time::sleep;

use crate::ending::{Page, PageCopy, PageSought};
use crate::field::Field;
use crate::history::{Action, Outcome, Stroke};
use crate::invariants::names;
use crate::liveness;
use crate::reader::{Reader, readers};
use crate::workload::{Controls, Scribes, Workspace};
use crate::yjs::{self, Paper};

/// How long a record may take to show the text.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Marks of a document that are searched for: among those that it has, and among those that it had.
const MARKS: usize = 3;

/// Reads the documents of all tenants, once those who wrote them are through; how they were left is read as well.
pub async fn read(field: &Field<'_>, workspaces: &[Workspace], scribes: Scribes) -> Result<Vec<Vec<Page>>> {
    scribes.settle();
    let mut all = Vec::new();
    for workspace in workspaces {
        let mut pages = Vec::new();
        for id in scribes.pages(workspace.place) {
            let page = page(field, workspace, &id).await;
            pages.push(page.with_context(|| format!("read the document {id} of {}", workspace.slug))?);
        }
        all.push(pages);
    }
    let is = |id: &str| {
        let page = all.iter().flatten().find(|page: &&Page| page.id == id)?;
        let copy = page.copies.first()?;
        Some((copy.text.clone(), copy.clocks.clone()))
    };
    let left = scribes.end(is)?;
    for page in all.iter_mut().flatten() {
        let own = left.iter().filter(|(id, _)| *id == page.id);
        page.scribes = own.map(|(_, left)| left.clone()).collect();
    }
    Ok(all)
}

async fn page(field: &Field<'_>, workspace: &Workspace, id: &str) -> Result<Page> {
    let mut page = Page {
        id: id.to_owned(),
        ..Page::default()
    };
    for reader in &mut readers(field, workspace) {
        let address = field.cluster.layout().node(&reader.name)?.api;
        if let Some(paper) = fetch(
            address,
            (&workspace.slug, &workspace.token),
            (names::PAGES, id, names::PAGE_BODY),
        )
        .await?
        {
            let text = paper.text();
            page.copies.push(PageCopy {
                node: reader.name.clone(),
                shown: shown(reader, id, &text).await?,
                clocks: paper.clocks(),
                text,
            });
        }
    }
    let Some(copy) = page.copies.first() else {
        return Ok(page);
    };
    let marks = marks(field.controls, workspace.place, id, &copy.text);
    for reader in &mut readers(field, workspace) {
        for mark in &marks {
            page.sought.push(seek(reader, mark).await?);
        }
    }
    Ok(page)
}

/// What a client gets at a node that has nothing yet; none: there is no such document.
pub(crate) async fn fetch(
    node: SocketAddr,
    (slug, token): (&str, &str),
    (collection, id, field): (&str, &str, &str),
) -> Result<Option<Paper>> {
    let client = rig::tenant::client_of(node, token)?;
    let id = id.parse()?;
    let deadline = Instant::now() + liveness::WITHIN;
    loop {
        let opened = client.document(slug, collection, id, field).await;
        let error = match opened {
            Ok(mut connection) => match yjs::fetch(&mut connection).await {
                Ok(paper) => return Ok(Some(paper)),
                Err(error) => error,
            },
            Err(ClientError::Problem(problem)) if problem.status == 404 => return Ok(None),
            Err(error) => error.into(),
        };
        if Instant::now() > deadline || crate::stop::is_asked() {
            return Err(error).with_context(|| format!("open a document at {node}"));
        }
        sleep(PAUSE).await;
    }
}

/// The text as the record shows it: the one that it is to be, or whatever it is when time is up.
async fn shown(reader: &mut Reader<'_>, id: &str, text: &str) -> Result<Option<String>> {
    let path = format!("/records/{}/{id}", names::PAGES);
    let deadline = Instant::now() + SHOWN_WITHIN;
    loop {
        let (status, bytes) = reader.ask(&path).await?;
        ensure!(
            matches!(status, 200 | 404),
            "{path}: {status} {}",
            String::from_utf8_lossy(&bytes)
        );
        let record: Value = serde_json::from_slice(&bytes).context("read a record")?;
        let shown = (status == 200).then(|| record["fields"][names::PAGE_BODY].as_str().unwrap_or_default().to_owned());
        if shown.as_deref() == Some(text) || Instant::now() > deadline {
            return Ok(shown);
        }
        sleep(PAUSE).await;
    }
}

/// Some marks that a document has, and some that were taken away.
fn marks(controls: &Controls, tenant: usize, id: &str, text: &str) -> Vec<String> {
    let mut gone = Vec::new();
    controls.each(tenant, |operation| {
        if let Action::Scribe {
            page,
            mark,
            stroke: Stroke::Erase,
            ..
        } = &operation.action
            && page == id
            && operation.outcome == Outcome::Ok
        {
            gone.push(mark.clone());
        }
    });
    let mut marks: Vec<_> = text.split_whitespace().rev().take(MARKS).map(str::to_owned).collect();
    marks.extend(gone.into_iter().rev().take(MARKS));
    marks
}

/// What a node finds, once its index is built. One that is not in time is told by the checker of search.
async fn seek(reader: &mut Reader<'_>, mark: &str) -> Result<PageSought> {
    let path = format!("/search?q={mark}&consistency=strong");
    let deadline = Instant::now() + liveness::WITHIN;
    loop {
        let (status, bytes) = reader.ask(&path).await?;
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&bytes));
        let answer: Value = serde_json::from_slice(&bytes).context("read what a search found")?;
        if answer["building"] == true && Instant::now() < deadline {
            sleep(PAUSE).await;
            continue;
        }
        let items = answer["items"].as_array().into_iter().flatten();
        return Ok(PageSought {
            node: reader.name.clone(),
            mark: mark.to_owned(),
            found: items
                .map(|item| item["record"]["id"].as_str().unwrap_or_default().to_owned())
                .collect(),
        });
    }
}
