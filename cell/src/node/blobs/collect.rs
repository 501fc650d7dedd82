//! Removing chunks from the region's store that nothing names: done by leaders alone, each for what it can judge.
//!
//! A folder belongs to a tenant. Where the tenant lives in a cell that this node leads, its rows say what is named. Where it has moved to another
//! region, or is deleted, nothing here is needed any more. Anything else is left alone: a folder that this cluster knows nothing of, a tenant of
//! another cell, and whatever comes or goes while this looks. What is removed was not written for a day: whoever brings a chunk writes it anew where
//! it is half as old ([`super::bucket`]), and has the rest of the time to name it.
//!
//! Invariant: who judges knows. Rows are asked behind a read barrier, so that a leader of yesterday hears that it is none; the directory is fresh,
//! or nothing is said of who is not there.

use std::sync::Arc;

use api::error::Error;

use super::super::platform::Platform;
use super::super::replica::Replica;
use super::bucket::{Bucket, Folder, UNNAMED_SECONDS, now_seconds};
use super::unread;
use crate::backup::vault::VaultError;
use crate::directory::GROUP;
use crate::directory::moves;
use crate::directory::rows::tenant_by_uid;
use crate::files::rows::chunk_use;
use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::rows::{Header, Place, SpaceStatus};
use crate::service::error::{away, internal};

/// What becomes of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is left alone.
    Left,
    /// What the rows of a cell that this node leads do not name goes; which one of them.
    Unnamed(usize),
    /// All of it goes.
    Whole,
}

/// What the directory has of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// What this node has may be old.
    Unknown,
    /// It has none of this id.
    None,
    /// It is on its way between two cells.
    Moves,
    /// It is in a region.
    In(String),
}

/// Removes what nothing names, as far as this node leads cells. An error: the store or the
/// directory does not answer.
pub(super) async fn run(platform: &Arc<Platform>, bucket: &Bucket) -> Result<(), Error> {
    if led(platform).is_empty() {
        return Ok(());
    }
    let silent = |error: VaultError| {
        platform.blobs.store_failed(&error);
        unread(&error)
    };
    let mut is_fresh = true;
    for folder in bucket.folders().await.map_err(silent)? {
        let mut removed = 0;
        let (_, fate, known) = judge(platform, folder).await?;
        is_fresh &= known;
        if fate == Fate::Left {
            continue;
        }
        let before = now_seconds().saturating_sub(UNNAMED_SECONDS);
        for part in bucket.parts(folder).await.map_err(silent)? {
            let old = bucket.older(&part, before).await.map_err(silent)?;
            if old.is_empty() {
                continue;
            }
            let (led, fate, _) = judge(platform, folder).await?;
            for hash in old {
                let is_named = || match fate {
                    Fate::Left => true,
                    Fate::Unnamed(at) => names(&led[at], folder, hash).unwrap_or(true),
                    Fate::Whole => still(platform, &led, folder) != Fate::Whole,
                };
                removed += u64::from(bucket.remove(folder, hash, before, is_named).await.map_err(silent)?);
            }
        }
        if removed > 0 {
            platform.blobs.removed(removed);
            tracing::info!(space = folder.space.0, removed, %bucket, "removed chunks that nothing names");
        }
    }
    match is_fresh {
        true => Ok(()),
        false => Err(away()),
    }
}

/// The cells that this node leads.
pub(super) fn led(platform: &Platform) -> Vec<Arc<Replica>> {
    let replicas = platform.replicas();
    replicas
        .filter(|replica| replica.number != GROUP && replica.group.is_leader())
        .collect()
}

/// The cells that this node leads, for sure; what becomes of a folder; and whether the directory answered, where it was asked.
async fn judge(platform: &Platform, folder: Folder) -> Result<(Vec<Arc<Replica>>, Fate, bool), Error> {
    let mut leads = Vec::new();
    for replica in led(platform) {
        // Everything that was answered is applied then, and who is not the leader any more knows.
        if replica.group.read_barrier().await.is_ok() && replica.group.is_leader() {
            leads.push(replica);
        }
    }
    let stands = stands(&leads, folder)?;
    let (region, leads_first) = (&platform.me.region, leads_first(platform, &leads));
    let fate = |entry| fate(folder, &stands, &entry, region, leads_first);
    Ok(match fate(Entry::Unknown) {
        Fate::Left if platform.freshen_directory().await => {
            let fate = fate(entry(platform, folder));
            (leads, fate, true)
        }
        Fate::Left => (leads, Fate::Left, false),
        fate => (leads, fate, true),
    })
}

/// What becomes of a folder whose tenant was nowhere here a moment ago.
fn still(platform: &Platform, led: &[Arc<Replica>], folder: Folder) -> Fate {
    let Ok(stands) = stands(led, folder) else { return Fate::Left };
    let entry = entry(platform, folder);
    fate(folder, &stands, &entry, &platform.me.region, leads_first(platform, led))
}

/// Where the space of a folder stands in cells.
fn stands(led: &[Arc<Replica>], folder: Folder) -> Result<Vec<Option<(Header, Place)>>, Error> {
    let placed = led.iter().map(|replica| replica.store.begin_read().placed(folder.space));
    placed.map(|placed| placed.map_err(|fault| internal(&fault))).collect()
}

/// What the directory has of a folder's tenant, as this node has it.
fn entry(platform: &Platform, folder: Folder) -> Entry {
    let Ok(snapshot) = platform.directory.read() else {
        return Entry::Unknown;
    };
    let found = tenant_by_uid(&snapshot, folder.space.0);
    match (found, moves::read(&snapshot, folder.space.0)) {
        (Err(_), _) | (_, Err(_)) => Entry::Unknown,
        (_, Ok(Some(_))) => Entry::Moves,
        (Ok(Some(tenant)), _) if tenant.id == folder.tenant => Entry::In(tenant.region),
        (Ok(_), _) => Entry::None,
    }
}

/// Whether this node leads the cell of the region that looks after tenants which are in none of its cells.
fn leads_first(platform: &Platform, led: &[Arc<Replica>]) -> bool {
    let first = platform.region_cells().iter().map(|cell| cell.number).min();
    led.iter().any(|replica| Some(replica.number) == first)
}

/// What becomes of a folder: by where its space stands in the cells that this node leads, and by what the directory has.
fn fate(folder: Folder, stands: &[Option<(Header, Place)>], entry: &Entry, region: &str, leads_first: bool) -> Fate {
    let is_own = |header: &Header| header.tenant == folder.tenant;
    let mut was_here = false;
    for (at, stand) in stands.iter().enumerate() {
        match stand {
            Some((header, Place::Here)) if is_own(header) && header.status == SpaceStatus::Live => return Fate::Unnamed(at),
            Some((_, Place::Here)) | None => {}
            Some((_, Place::Departed { .. })) => {}
            // It comes or goes: what names its chunks may come last.
            Some(_) => return Fate::Left,
        }
        was_here |= stand
            .as_ref()
            .is_some_and(|(header, _)| is_own(header) && header.status == SpaceStatus::Erased);
    }
    match entry {
        Entry::In(other) if other != region && leads_first => Fate::Whole,
        Entry::None if was_here => Fate::Whole,
        Entry::Unknown | Entry::Moves | Entry::In(_) | Entry::None => Fate::Left,
    }
}

/// Whether a chunk is named by the rows of a space that is here, or may be.
fn names(replica: &Replica, folder: Folder, hash: [u8; 32]) -> Result<bool, Fault> {
    let snapshot = replica.store.begin_read();
    let is_here = match snapshot.placed(folder.space)? {
        Some((header, Place::Here)) => header.status == SpaceStatus::Live && header.tenant == folder.tenant,
        _ => false,
    };
    Ok(!is_here || chunk_use(&snapshot, folder.space, hash)?.is_some())
}

#[cfg(test)]
mod tests {
    use storage::Space;
    use uuid::Uuid;

    use super::*;

    const TENANT: Uuid = Uuid::from_u128(7);
    const FOLDER: Folder = Folder {
        space: Space(7),
        tenant: TENANT,
    };

    fn header(tenant: Uuid, status: SpaceStatus) -> Header {
        Header {
            tenant,
            slug: String::new(),
            name: String::new(),
            status,
            position: 0,
            stamp: 0,
            schema: 0,
            access: 0,
            next: 0,
        }
    }

    fn judged(stands: &[Option<(Header, Place)>], entry: Entry) -> Fate {
        fate(FOLDER, stands, &entry, "here", true)
    }

    #[test]
    fn rows_judge_a_tenant_that_lives_in_a_cell_of_the_leader() {
        let stands = [None, Some((header(TENANT, SpaceStatus::Live), Place::Here))];
        for entry in [Entry::Unknown, Entry::None, Entry::Moves, Entry::In("here".to_owned())] {
            assert_eq!(judged(&stands, entry), Fate::Unnamed(1));
        }
        // The same number of another cluster's tenant is not this one.
        let other = [Some((header(Uuid::nil(), SpaceStatus::Live), Place::Here))];
        assert_eq!(judged(&other, Entry::None), Fate::Left);
    }

    #[test]
    fn what_comes_or_goes_is_left_alone() {
        let (attempt, chunks, index, epoch) = (3, 1, 9, 2);
        let places = [
            Place::Held { attempt },
            Place::Clearing { attempt },
            Place::Copying { attempt, chunks },
            Place::Following { attempt, index },
            Place::Arrived { attempt, epoch },
        ];
        for place in places {
            for status in [SpaceStatus::Live, SpaceStatus::Erased] {
                let stands = [Some((header(TENANT, status), place))];
                for entry in [Entry::None, Entry::In("there".to_owned())] {
                    assert_eq!(judged(&stands, entry), Fate::Left, "{place:?}");
                }
            }
        }
        let departed = [Some((header(TENANT, SpaceStatus::Erased), Place::Departed { attempt }))];
        assert_eq!(judged(&departed, Entry::Moves), Fate::Left);
        assert_eq!(judged(&[], Entry::Moves), Fate::Left);
    }

    #[test]
    fn only_who_is_known_to_be_gone_is_removed() {
        let erased = [Some((header(TENANT, SpaceStatus::Erased), Place::Here))];
        let erasing = [Some((header(TENANT, SpaceStatus::Erasing), Place::Here))];
        let (here, there) = (Entry::In("here".to_owned()), Entry::In("there".to_owned()));
        assert_eq!(judged(&erased, Entry::None), Fate::Whole, "it was deleted here");
        assert_eq!(judged(&erasing, Entry::None), Fate::Left, "it is being erased");
        assert_eq!(judged(&erased, Entry::Unknown), Fate::Left, "the directory does not answer");
        assert_eq!(
            judged(&erased, here.clone()),
            Fate::Left,
            "it is in another cell of the region"
        );
        assert_eq!(judged(&[], here), Fate::Left, "and this node has no part of that");
        assert_eq!(judged(&erased, there.clone()), Fate::Whole, "it lives in another region");
        assert_eq!(judged(&[], there.clone()), Fate::Whole, "wherever it has been here");
        assert_eq!(
            fate(FOLDER, &[], &there, "here", false),
            Fate::Left,
            "that is for another leader"
        );
        assert_eq!(judged(&[], Entry::None), Fate::Left, "nobody knows whose it is");
        let other = [Some((header(Uuid::nil(), SpaceStatus::Erased), Place::Here))];
        assert_eq!(judged(&other, Entry::None), Fate::Left, "it is another cluster's");
    }
}
