//! Reads back the files of a tenant: what each is said to be, all its versions from every node, and on how many disks their chunks lie.
//!
//! The disks are looked at before anything is read: a node that lacks a chunk gets it from another one when it is read there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::http::{Connection, Request};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::content;
use crate::ending::{Kept, KeptVersion, TenantEnding};
use crate::field::Field;
use crate::history::{Action, Deed, Glimpse, Outcome};
use crate::liveness;
use crate::workload::{Controls, Workspace};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// The directory that chunks lie in, beside a store.
const CHUNKS: &str = "blobs";
/// Characters of a chunk's name.
const NAME_CHARS: usize = 64;
/// The replicas of a cell that must have a chunk: most of three.
const MAJORITY: usize = 2;

/// A node that is asked as the admin of a tenant.
struct Reader<'a> {
    node: SocketAddr,
    workspace: &'a Workspace,
    open: Option<Connection>,
}

/// Reads all files of a tenant.
pub async fn read(field: &Field<'_>, workspace: &Workspace, controls: &Controls, ending: &mut TenantEnding) -> Result<()> {
    let live = liveness::homes(field);
    let disks: Vec<_> = live.iter().map(|name| chunks(&field.cluster.data().join(name))).collect();
    let nodes = field.cluster.nodes().iter().filter(|node| live.contains(&node.name));
    let mut readers: Vec<_> = nodes
        .map(|node| {
            let reader = Reader {
                node: node.api,
                workspace,
                open: None,
            };
            (node.name.clone(), reader)
        })
        .collect();
    let known = contents(controls, workspace.place);
    let (_, first) = readers.first_mut().context("there is no node to ask")?;
    let mut files = Vec::new();
    for file in first.all("/files?").await? {
        let mut kept = of(&file);
        for version in first.all(&format!("/files/{}/versions?", kept.id)).await? {
            kept.versions.push(version_of(&version, &known, &disks));
        }
        files.push(kept);
    }
    for (name, reader) in &mut readers {
        for file in &mut files {
            for version in &mut file.versions {
                let path = format!("/files/{}/content?version={}", file.id, version.version);
                let glimpse = reader
                    .glimpse(&path)
                    .await
                    .with_context(|| format!("read a file at {name}"))?;
                version.seen.insert(name.clone(), glimpse);
            }
        }
        for (file, id) in deleted(controls, workspace.place) {
            if reader.glimpse(&format!("/files/{id}/content")).await?.is_some() {
                ending.ghosts.push(format!("{file} at {name}"));
            }
        }
    }
    // A disk that was wiped, or that lost what it said it had, is not among those that keep a promise.
    let hurt: BTreeSet<_> = field.lost.iter().chain(&field.doubtful).collect();
    ending.needed_disks = MAJORITY.saturating_sub(hurt.len());
    ending.files = files;
    Ok(())
}

fn of(file: &Value) -> Kept {
    let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
    Kept {
        id: text("id"),
        name: text("name"),
        version: file["version"].as_u64().unwrap_or(0),
        attached: file["attached_to"]["record"].as_str().map(str::to_owned),
        versions: Vec::new(),
    }
}

fn version_of(version: &Value, known: &BTreeMap<String, Vec<String>>, disks: &[BTreeSet<String>]) -> KeptVersion {
    let digest = version["blake3"].as_str().unwrap_or_default().to_owned();
    let chunks = known.get(&digest).cloned().unwrap_or_default();
    let has_all = |disk: &&BTreeSet<String>| chunks.iter().all(|chunk| disk.contains(chunk));
    KeptVersion {
        version: version["version"].as_u64().unwrap_or(0),
        bytes: version["size"].as_u64().unwrap_or(0),
        disks: disks.iter().filter(has_all).count(),
        digest,
        seen: BTreeMap::new(),
    }
}

/// The chunks of all contents that the load has made, by the hash of the whole.
fn contents(controls: &Controls, tenant: usize) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    controls.each(tenant, |operation| {
        if let Action::Shelve { deed, .. } = &operation.action
            && let Deed::Create(made) | Deed::Upload(made) | Deed::Replace(made) | Deed::Renew(made) = deed
        {
            all.insert(made.digest(), made.chunks());
        }
    });
    all
}

/// Files whose deletion was acknowledged: name and id.
fn deleted(controls: &Controls, tenant: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    controls.each(tenant, |operation| {
        if let (
            Action::Shelve {
                file,
                id: Some(id),
                deed: Deed::Delete,
                ..
            },
            Outcome::Ok,
        ) = (&operation.action, operation.outcome)
        {
            all.push((file.clone(), id.clone()));
        }
    });
    all
}

/// The names of the chunks below a node's directory.
fn chunks(directory: &Path) -> BTreeSet<String> {
    let (mut found, mut left) = (BTreeSet::new(), vec![(directory.to_path_buf(), false)]);
    while let Some((directory, is_inside)) = left.pop() {
        // What is removed meanwhile is not there.
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                left.push((PathBuf::from(&path), is_inside || name == CHUNKS));
            } else if is_inside && name.len() == NAME_CHARS {
                found.insert(name);
            }
        }
    }
    found
}

impl Reader<'_> {
    /// All pages of a list.
    async fn all(&mut self, path: &str) -> Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, bytes) = self.ask(&format!("{path}&limit=500{cursor}")).await?;
            // A file may be one whose deletion nobody knew the end of.
            ensure!(status == 200 || status == 404, "{path}: {status}");
            let body: Value = serde_json::from_slice(&bytes).context("read a page")?;
            all.extend(body["items"].as_array().into_iter().flatten().cloned());
            match body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// A content, unless there is none.
    async fn glimpse(&mut self, path: &str) -> Result<Option<Glimpse>> {
        let (status, bytes) = self.ask(path).await?;
        ensure!(
            matches!(status, 200 | 404),
            "{path}: {status} {}",
            String::from_utf8_lossy(&bytes)
        );
        Ok((status == 200).then(|| Glimpse {
            bytes: bytes.len() as u64,
            digest: content::digest(&bytes),
        }))
    }

    /// One request, and the answer that is not "later", if there is one in time.
    async fn ask(&mut self, path: &str) -> Result<(u16, Vec<u8>)> {
        let deadline = Instant::now() + liveness::WITHIN;
        loop {
            let said = timeout(ANSWER, self.attempt(path)).await;
            match said {
                Ok(Ok((status, body))) if status < 500 && status != 429 => return Ok((status, body)),
                _ if Instant::now() < deadline && !crate::stop::is_asked() => sleep(PAUSE).await,
                Ok(said) => return said.with_context(|| format!("ask {} for {path}", self.node)),
                Err(_) => anyhow::bail!("{} did not answer {path}", self.node),
            }
        }
    }

    async fn attempt(&mut self, path: &str) -> Result<(u16, Vec<u8>)> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Connection::open(self.node).await?,
        };
        let mut bytes = Vec::new();
        Request {
            method: "GET",
            path: &format!("/v1/tenants/{}{path}", self.workspace.slug),
            token: &self.workspace.token,
            headers: "",
            body: b"",
        }
        .write(&mut bytes);
        let reply = open.exchange(&bytes).await?;
        let answer = (reply.status, reply.body.to_vec());
        if reply.keep_alive {
            self.open = Some(open);
        }
        Ok(answer)
    }
}
