//! Looks for canaries: on the disks and in the logs of all nodes, in all stores of backups, and in what went over the links.
//!
//! Two things show that the search would have found one: each canary that is kept is found at home, on disks and in the store; and slugs,
//! which are public, were heard on the links. And a segment of a region's backup that is laid into the store of another is found there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use rig::cluster::Cluster;

use super::guest::Guest;
use super::{NOT_KEPT, Row, stores};
use crate::regions::canary::{Canary, Search};

/// Where canaries were found in their own region.
type Found<'a> = BTreeSet<(&'a str, &'static str)>;

/// Looks everywhere; `heard` is what went over links, `stores` what backups wrote.
pub(super) fn everywhere(cluster: &Cluster, [heard, stores]: [&Path; 2], canaries: &[Canary], guests: &[Guest]) -> Result<Row> {
    let search = Search::new(canaries);
    let mut row = Row {
        canaries: canaries.len(),
        disk_bytes: 0,
        link_bytes: 0,
        store_bytes: 0,
        at_home: 0,
        in_store: 0,
        leaks: Vec::new(),
        doubts: Vec::new(),
    };
    let at_home = disks(cluster, &search, &mut row)?;
    let regions = cluster.layout().regions();
    let (in_store, leaks, bytes) = in_stores(stores, &regions, &search)?;
    row.store_bytes = bytes;
    row.leaks.extend(leaks);
    let (found, bytes) = search.below(heard)?;
    row.link_bytes = bytes;
    for (canary, file) in found {
        let link = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        row.leaks.push(format!(
            "{} of {} went over a link between regions: {link}",
            canary.what, canary.region
        ));
    }
    (row.at_home, row.in_store) = (at_home.len(), in_store.len());
    for canary in canaries.iter().filter(|canary| !NOT_KEPT.contains(&canary.what)) {
        for (found, place) in [(&at_home, "in its own region"), (&in_store, "in the store of its region")] {
            if !found.contains(&(canary.region.as_str(), canary.what)) {
                row.doubts
                    .push(format!("{} of {} is not even {place}", canary.what, canary.region));
            }
        }
    }
    row.doubts.extend(unheard(heard, guests)?);
    row.doubts.extend(unseen(stores, &regions, &search)?);
    row.leaks.sort();
    Ok(row)
}

/// The files of all nodes.
fn disks<'a>(cluster: &Cluster, search: &Search<'a>, row: &mut Row) -> Result<Found<'a>> {
    let mut at_home = Found::new();
    let beside = cluster.config();
    for node in cluster.nodes() {
        let logs = ["stderr", "stdout"].map(|kind| beside.with_file_name(format!("{}.{kind}", node.name)));
        for path in [cluster.data().join(&node.name)].into_iter().chain(logs) {
            let (found, bytes) = search.below(&path)?;
            row.disk_bytes += bytes;
            for (canary, file) in found {
                if canary.region == node.region {
                    at_home.insert((&canary.region, canary.what));
                } else {
                    row.leaks.push(format!(
                        "{} of {} is on {} in {}",
                        canary.what,
                        canary.region,
                        node.name,
                        file.display()
                    ));
                }
            }
        }
    }
    Ok(at_home)
}

/// The stores of all regions: what is at home there, what is not, and how many bytes were looked at.
fn in_stores<'a>(stores: &Path, regions: &[&str], search: &Search<'a>) -> Result<(Found<'a>, BTreeSet<String>, u64)> {
    let (mut at_home, mut leaks, mut bytes) = (Found::new(), BTreeSet::new(), 0);
    for region in regions {
        let held = stores::read(&stores.join(region))?;
        bytes += held.bytes;
        for (path, text) in &held.texts {
            for canary in search.among(text) {
                if canary.region == *region {
                    at_home.insert((&canary.region, canary.what));
                } else {
                    leaks.insert(format!(
                        "{} of {} is in the store of {region}, in {}",
                        canary.what,
                        canary.region,
                        path.display()
                    ));
                }
            }
        }
    }
    Ok((at_home, leaks, bytes))
}

/// Slugs that were not heard on a link.
fn unheard(heard: &Path, guests: &[Guest]) -> Result<Vec<String>> {
    let slugs: Vec<_> = guests
        .iter()
        .map(|guest| Canary::of_text(&guest.region, "a slug", &guest.slug))
        .collect();
    let (heard, _) = Search::new(&slugs).below(heard)?;
    let unheard = guests
        .iter()
        .filter(|guest| !heard.iter().any(|(slug, _)| slug.region == guest.region));
    let told = unheard.map(|guest| format!("{} was not heard on a link, though slugs are public", guest.slug));
    Ok(told.collect())
}

/// Segments that are found by nobody when they are laid into the store of another region.
fn unseen(stores: &Path, regions: &[&str], search: &Search<'_>) -> Result<Vec<String>> {
    let mut unseen = Vec::new();
    for (at, region) in regions.iter().enumerate() {
        let other = regions[(at + 1) % regions.len()];
        // One that has a canary: the first ones of a log have none.
        let held = stores::read(&stores.join(region))?;
        let with = |path: &&Path| {
            let texts = held.texts.iter().filter(|(own, _)| own.as_path() == *path);
            texts.map(|(_, text)| search.among(text).len()).sum::<usize>() > 0
        };
        let segment = held.segments.iter().map(AsRef::as_ref).find(with);
        let segment = segment.with_context(|| format!("no segment in the store of {region} has a canary"))?;
        let name = segment.file_name().context("a segment has a name")?;
        let laid = stores.join(other).join("log").join(name);
        std::fs::create_dir_all(laid.parent().unwrap_or(stores)).context("make a folder of a store")?;
        std::fs::copy(segment, &laid).context("lay a segment into another store")?;
        let (_, leaks, _) = in_stores(stores, &[other], search)?;
        if !leaks.iter().any(|leak| leak.contains(region)) {
            unseen.push(format!("a segment of {region} in the store of {other} was not found"));
        }
        std::fs::remove_file(&laid).context("take a segment away")?;
    }
    Ok(unseen)
}
