//! Reads everything back: exports, events, and what every replica holds, before and after all nodes were killed once more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::body::control::CellHash;
use api::client::Client;
use rig::verify;
use serde_json::Value;

use crate::ending::{Ending, Event, Owner, Record, ReplicaEnding, TenantEnding, Wanted};
use crate::field::Field;
use crate::invariants::streams;
use crate::liveness;
use crate::workload::{Controls, Scribes, Streams, Workspace, follower};
use crate::{calls, pages, searches, shapes, shelves};

/// How long the replicas may take to stand at one position after a replay.
const REPLAY_WITHIN: Duration = Duration::from_secs(60);
/// How long a copy of the directory may be behind.
const OWNERS_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Those who go on after the load has ended, and what the followers of events got until then.
pub struct Remaining {
    /// What each tenant's follower got.
    pub followed: Vec<Vec<Event>>,
    /// The consumers of streams.
    pub streams: Streams,
    /// Those who write documents.
    pub scribes: Scribes,
}

/// All that there is to read, of a cluster that came back. Those who remain end here, once they have what is theirs.
pub async fn all(field: &mut Field<'_>, workspaces: &[Workspace], remaining: Remaining, live: &[String]) -> Result<Ending> {
    let mut ending = Ending::default();
    let controls = field.controls;
    let Remaining {
        followed,
        streams: running,
        scribes,
    } = remaining;
    // Until they are through they write.
    let pages = pages::read(field, workspaces, scribes).await?;
    for ((workspace, followed), pages) in workspaces.iter().zip(followed).zip(pages) {
        let tenant = tenant(field, workspace, followed, controls).await?;
        ending.tenants.push(TenantEnding { pages, ..tenant });
    }
    let last = |place: usize, wanted: &Wanted| {
        let mut actions = Vec::new();
        controls.each(place, |operation| actions.push(operation.action.clone()));
        let events = ending.tenants.get(place).map_or(&[][..], |tenant| &tenant.events);
        streams::last(events, wanted, &streams::claims(actions.iter()))
    };
    for (place, stream) in running.end(last)? {
        if let Some(tenant) = ending.tenants.get_mut(place) {
            tenant.streams.push(stream);
        }
    }
    ending.owners = owners(field, workspaces).await?;
    ending.replicas = replicas(field, live).await?;
    Ok(ending)
}

/// A tenant's export and events. `followed` is what its follower got.
pub async fn tenant(field: &Field<'_>, workspace: &Workspace, followed: Vec<Event>, controls: &Controls) -> Result<TenantEnding> {
    let live = liveness::homes(field);
    let nodes: Vec<_> = field
        .cluster
        .nodes()
        .iter()
        .filter(|node| live.contains(&node.name))
        .map(|node| node.api)
        .collect();
    let client = rig::tenant::client(&nodes, &workspace.token)?;
    let mut ending = TenantEnding {
        followed,
        sittings: controls.sittings(workspace.place),
        calls: calls::read(field, workspace).await?,
        ..TenantEnding::default()
    };
    // One more change of a schema may come of this, so it is before the export.
    if workspace.place == 0 {
        shapes::read(field, workspace, controls, &mut ending)
            .await
            .with_context(|| format!("read what changes of schemas left in {}", workspace.slug))?;
    }
    shelves::read(field, workspace, controls, &mut ending)
        .await
        .with_context(|| format!("read the files of {}", workspace.slug))?;
    let mut export = client.export(&workspace.slug).await.context("export a tenant")?;
    while let Some(line) = export.next_raw().await.context("read an export")? {
        if let Some(tag) = workspace.foreign(&line) {
            ending.foreign_tags.push(format!("{tag} in the export of {}", workspace.slug));
        }
        take(
            &mut ending,
            &serde_json::from_slice(&line).context("read a line of an export")?,
        );
    }
    ending.counted = counted(&client, workspace, &ending).await?;
    searches::read(field, workspace, &mut ending)
        .await
        .with_context(|| format!("search {}", workspace.slug))?;
    ending.events = follower::read_all(nodes[0], workspace, controls)
        .await
        .with_context(|| format!("read the events of {}", workspace.slug))?;
    Ok(ending)
}

/// How many records a tenant's usage counts: as many as were exported, or what it says when time is up. What a dropped collection had goes in the
/// background, and is counted until then.
async fn counted(client: &Client, workspace: &Workspace, ending: &TenantEnding) -> Result<Option<u64>> {
    let exported: usize = ending.records.values().map(BTreeMap::len).sum();
    let deadline = Instant::now() + OWNERS_WITHIN;
    loop {
        let usage = client.usage(&workspace.slug).await.context("ask what a tenant uses")?;
        let records = usage.body.stored.records;
        if records == Some(exported as u64) || Instant::now() > deadline {
            return Ok(records);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Where each node of their region has each tenant: once they agree, or as they are when time is up.
pub async fn owners(field: &Field<'_>, workspaces: &[Workspace]) -> Result<Vec<Owner>> {
    let deadline = Instant::now() + OWNERS_WITHIN;
    loop {
        let owners = ask_owners(field, workspaces).await?;
        let agree = |one: &Owner| {
            owners
                .iter()
                .all(|other| one.tenant != other.tenant || one.cell == other.cell)
        };
        if owners.iter().all(agree) || Instant::now() > deadline {
            return Ok(owners);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn ask_owners(field: &Field<'_>, workspaces: &[Workspace]) -> Result<Vec<Owner>> {
    let mut owners = Vec::new();
    for node in liveness::homes(field) {
        let address = field.cluster.layout().node(&node)?.api;
        let client = rig::tenant::client_of(address, field.cluster.operator_token())?;
        for workspace in workspaces {
            let shown = client.tenant_show(&workspace.slug).await;
            let shown = shown.with_context(|| format!("ask {node} where {} is", workspace.slug))?;
            owners.push(Owner {
                tenant: workspace.slug.clone(),
                node: node.clone(),
                cell: shown.body.cell,
            });
        }
    }
    Ok(owners)
}

/// Takes one line of an export.
fn take(ending: &mut TenantEnding, line: &Value) {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    match line["kind"].as_str() {
        Some("header") => ending.position = line["position"].as_u64().unwrap_or(0),
        Some("record") => {
            let record = Record {
                version: line["version"].as_u64().unwrap_or(0),
                fields: line["fields"].as_object().cloned().unwrap_or_default(),
            };
            ending
                .records
                .entry(text("collection"))
                .or_default()
                .insert(text("id"), record);
        }
        _ => {}
    }
}

/// What every replica on these nodes holds. All nodes are then killed and started, and say it again.
pub async fn replicas(field: &mut Field<'_>, live: &[String]) -> Result<Vec<ReplicaEnding>> {
    let before = verify::hashes(field.cluster, live, liveness::WITHIN).await?;
    let places: Vec<_> = (0..field.network.nodes())
        .filter(|place| live.contains(&field.name(*place)))
        .collect();
    field.kill_running(&places)?;
    field.start(&places)?;
    for name in live {
        field.cluster.wait_ready(name, REPLAY_WITHIN)?;
    }
    let after = verify::hashes(field.cluster, live, REPLAY_WITHIN).await?;
    Ok(pair(before, &after))
}

fn pair(before: BTreeMap<String, Vec<CellHash>>, after: &BTreeMap<String, Vec<CellHash>>) -> Vec<ReplicaEnding> {
    let again = |hash: &CellHash| {
        let cell = after.get(&hash.cell)?;
        // The hash covers what is held, not the position: a new leader's blank entry does not change it.
        cell.iter()
            .find(|other| other.node == hash.node)
            .map(|other| other.hash.clone())
    };
    let replicas = before.into_values().flatten().map(|hash| ReplicaEnding {
        hash_after_replay: again(&hash),
        cell: hash.cell,
        node: hash.node,
        applied: hash.applied,
        hash: hash.hash,
        keys: hash.keys,
    });
    replicas.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_export_is_taken_line_by_line() {
        let mut ending = TenantEnding::default();
        for line in [
            json!({ "kind": "header", "format": 1, "tenant": "a", "position": 7 }),
            json!({ "kind": "record", "collection": "once", "id": "x", "version": 2, "fields": { "key": "k" } }),
            json!({ "kind": "trailer", "records": 1 }),
        ] {
            take(&mut ending, &line);
        }
        assert_eq!(ending.position, 7);
        assert_eq!(ending.records["once"]["x"].version, 2);
        assert_eq!(ending.records["once"]["x"].fields["key"], "k");
    }

    #[test]
    fn a_replica_is_paired_with_itself_after_the_replay() {
        let hash = |node: &str, applied, hash: &str| CellHash {
            cell: "c".to_owned(),
            node: node.to_owned(),
            applied,
            hash: hash.to_owned(),
            keys: 1,
        };
        let of = |hashes| BTreeMap::from([("c".to_owned(), hashes)]);
        let paired = pair(of(vec![hash("a", 5, "h"), hash("b", 5, "h")]), &of(vec![hash("b", 6, "i")]));
        assert_eq!(
            (paired[0].hash_after_replay.as_deref(), paired[1].hash_after_replay.as_deref()),
            (None, Some("i"))
        );
    }
}
