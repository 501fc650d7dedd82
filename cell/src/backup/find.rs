//! Where a time can be restored from: lines and bases of the cells of a region.

use std::collections::{BTreeMap, BTreeSet};

use super::keep::{finished, segments};
use super::manifest::{Manifest, Through};
use super::names::{self, BaseName, Line, SegmentName};
use super::vault::{Vault, VaultError};

/// A base and the log behind it, in which a time lies.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The life of the cell.
    pub(crate) line: Line,
    /// The base.
    pub(crate) base: BaseName,
    /// What it consists of.
    pub(crate) manifest: Manifest,
    /// The segments that reach behind it, by position.
    pub(crate) segments: Vec<SegmentName>,
}

/// What a region can be restored to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Where the time lies, the likeliest first.
    pub(crate) sources: Vec<Source>,
    /// The earliest time of all cells, in microseconds since the epoch; none: there is no backup at all.
    pub(crate) earliest: Option<u64>,
    /// The latest of each cell.
    pub(crate) latest: BTreeMap<u64, u64>,
}

impl Found {
    /// Of these cells one whose archive does not reach a time yet, and up to when it does. What a tenant was there then cannot be told.
    pub(crate) fn behind(&self, of: &[u64], at: u64) -> Option<(u64, u64)> {
        let known = self.latest.iter().map(|(cell, latest)| (*cell, *latest));
        known
            .filter(|(cell, latest)| of.contains(cell) && *latest < at)
            .min_by_key(|(_, latest)| *latest)
    }

    /// The latest time that can be had: of what is in this cell, or of what may be in any of these.
    pub(crate) fn latest(&self, cell: Option<u64>, of: &[u64]) -> Option<u64> {
        if let Some(latest) = cell.and_then(|cell| self.latest.get(&cell)) {
            return Some(*latest);
        }
        let known = self.latest.iter().filter(|(cell, _)| of.contains(cell));
        known
            .map(|(_, latest)| *latest)
            .min()
            .or_else(|| self.latest.values().copied().max())
    }
}

/// The cells that have backups: those that are named first, then the others.
pub(crate) async fn cells(vault: &Vault, first: &[u64]) -> Result<Vec<u64>, VaultError> {
    let known: BTreeSet<u64> = vault
        .folders(names::CELLS)
        .await?
        .iter()
        .filter_map(|folder| folder.parse().ok())
        .collect();
    let named = first.iter().copied().filter(|cell| known.contains(cell));
    let others = known.iter().copied().filter(|cell| !first.contains(cell));
    Ok(named.chain(others).collect())
}

/// Where a time lies in the backups of these cells; none: the latest of each life of a cell.
pub(crate) async fn find(vault: &Vault, cells: &[u64], at: Option<u64>) -> Result<Found, VaultError> {
    let mut found = Found::default();
    for cell in cells {
        let folders = vault.folders(&names::cell(*cell)).await?;
        // The newest life first.
        for id in folders.iter().rev().filter_map(|folder| folder.parse().ok()) {
            look(vault, Line { cell: *cell, id }, at, &mut found).await?;
        }
    }
    Ok(found)
}

async fn look(vault: &Vault, line: Line, at: Option<u64>, found: &mut Found) -> Result<(), VaultError> {
    let bases = finished(line, &vault.list(&line.bases()).await?);
    let Some(oldest) = bases.first() else { return Ok(()) };
    let head = vault.get(&line.head()).await?;
    let through = Through::decode(&head).map_err(VaultError::content(&line.head()))?.stamp;
    let earliest = manifest(vault, line, *oldest).await?.stamp;
    found.earliest = Some(found.earliest.map_or(earliest, |known| known.min(earliest)));
    let latest = found.latest.entry(line.cell).or_insert(through);
    *latest = through.max(*latest);
    if at.is_some_and(|at| at < earliest || at > through) {
        return Ok(());
    }
    for base in bases.iter().rev() {
        let manifest = manifest(vault, line, *base).await?;
        if at.is_some_and(|at| manifest.stamp > at) {
            continue;
        }
        let mut segments = segments(&vault.list(&line.log()).await?);
        segments.retain(|segment| segment.last > base.index);
        found.sources.push(Source {
            line,
            base: *base,
            manifest,
            segments,
        });
        return Ok(());
    }
    Ok(())
}

async fn manifest(vault: &Vault, line: Line, base: BaseName) -> Result<Manifest, VaultError> {
    let name = line.manifest(base);
    let manifest = Manifest::decode(&vault.get(&name).await?).map_err(VaultError::content(&name))?;
    if manifest.index != base.index {
        return Err(VaultError::content(&name)("it is of another position".to_owned()));
    }
    Ok(manifest)
}

/// The next segment of those that follow a position: the one that reaches furthest. Two leaders may have cut the log differently.
pub(crate) fn next(segments: &[SegmentName], after: u64) -> Option<SegmentName> {
    let covers = |segment: &&SegmentName| segment.first <= after + 1 && segment.last > after;
    segments.iter().filter(covers).max_by_key(|segment| segment.last).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(first: u64, last: u64) -> SegmentName {
        SegmentName { first, last }
    }

    #[test]
    fn a_cell_whose_archive_does_not_reach_a_time_is_told_of() {
        let found = Found {
            latest: BTreeMap::from([(2, 100), (3, 50), (4, 20)]),
            ..Found::default()
        };
        assert_eq!(found.behind(&[2, 3], 80), Some((3, 50)));
        assert_eq!(found.behind(&[2, 3, 4], 80), Some((4, 20)));
        assert_eq!(found.behind(&[2, 3], 50), None, "the other one is not of the region any more");
    }

    #[test]
    fn segments_that_two_leaders_cut_differently_are_read_once() {
        let segments = [segment(1, 5), segment(4, 9), segment(6, 8), segment(10, 12), segment(14, 20)];
        let mut at = 2;
        let mut read = Vec::new();
        while let Some(next) = next(&segments, at) {
            read.push(next);
            at = next.last;
        }
        assert_eq!(read, [segment(1, 5), segment(4, 9), segment(10, 12)], "and a gap ends it");
    }
}
