//! Reads back the files of a tenant: what each is said to be, all its versions from every node, and on how many disks their chunks lie.
//!
//! The disks are looked at before anything is read: a node that lacks a chunk gets it from another one when it is read there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::content;
use crate::ending::{Kept, KeptVersion, TenantEnding};
use crate::field::Field;
use crate::history::{Action, Deed, Glimpse, Outcome};
use crate::liveness;
use crate::reader::{Reader, readers};
use crate::workload::{Controls, Workspace};

/// The directory that chunks lie in, beside a store.
const CHUNKS: &str = "blobs";
/// Characters of a chunk's name.
const NAME_CHARS: usize = 64;
/// The replicas of a cell that must have a chunk: most of three.
const MAJORITY: usize = 2;

/// Reads all files of a tenant.
pub async fn read(field: &Field<'_>, workspace: &Workspace, controls: &Controls, ending: &mut TenantEnding) -> Result<()> {
    let live = liveness::homes(field);
    let disks: Vec<_> = live.iter().map(|name| chunks(&field.cluster.data().join(name))).collect();
    let mut readers = readers(field, workspace);
    let known = contents(controls, workspace.place);
    let first = readers.first_mut().context("there is no node to ask")?;
    let mut files = Vec::new();
    for file in first.all("/files?").await? {
        let mut kept = of(&file);
        for version in first.all(&format!("/files/{}/versions?", kept.id)).await? {
            kept.versions.push(version_of(&version, &known, &disks));
        }
        files.push(kept);
    }
    for reader in &mut readers {
        let name = reader.name.clone();
        for file in &mut files {
            for version in &mut file.versions {
                let path = format!("/files/{}/content?version={}", file.id, version.version);
                let seen = glimpse(reader, &path).await;
                let seen = seen.with_context(|| format!("read a file at {name}"))?;
                version.seen.insert(name.clone(), seen);
            }
        }
        for (file, id) in deleted(controls, workspace.place) {
            if glimpse(reader, &format!("/files/{id}/content")).await?.is_some() {
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

/// A content, unless there is none.
async fn glimpse(reader: &mut Reader<'_>, path: &str) -> Result<Option<Glimpse>> {
    let (status, bytes) = reader.ask(path).await?;
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
