//! The changes of the directory, for nodes that keep a copy without being one of its replicas.
//!
//! Each command of the directory leaves the keys that it wrote or removed under the position that it reached. What a copy at one
//! position lacks is what those keys hold now: it is taken in one commit, and the copy is then the directory at the later position.
//! Only so many changes are kept. A copy that lacks more takes the whole state.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::table::DirectoryChange;
use storage::{Command, Direction, Key, Mark, Snapshot, Space, Store, Table};

use crate::machine::envelope::seal;
use crate::machine::reader::{Reader, decode};
use crate::machine::refusal::Fault;

/// Changes that are kept. Raised: more disk on the voters. Lowered: a node that was away for long takes the whole directory.
const KEPT: u64 = 10_000;
/// Changes that have fallen out of it and go with one command.
const TRIMMED: usize = 4;
/// Most keys of one delta: a copy that lacks more takes the whole state.
const DELTA_KEYS: usize = 4_096;

/// Versions of the keys that a change wrote or removed.
#[derive(Serialize, Deserialize)]
pub(crate) enum ChangeRow {
    /// Encoded keys.
    V1(Vec<Vec<u8>>),
}

/// Notes what a command of the directory wrote, and forgets what is no longer kept.
pub(crate) fn note(command: &mut Command<'_>, position: u64, written: Vec<Key>) {
    let space = Space::SYSTEM;
    let keys = written.iter().map(|key| key.as_bytes().to_vec()).collect();
    command.put(&DirectoryChange { space, position }, seal(&ChangeRow::V1(keys)));
    let least = DirectoryChange {
        space,
        position: position.saturating_sub(KEPT),
    };
    let old = command.scan(DirectoryChange::range(space), Direction::Forward).take(TRIMMED);
    // A row that cannot be read halts the store, and its commit with it.
    let old: Vec<Key> = old.map_while(Result::ok).map(|(key, _)| key).collect();
    old.into_iter()
        .filter(|key| key.as_bytes() <= least.key().as_bytes())
        .for_each(|key| command.delete_raw(key));
}

/// What a copy lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta {
    /// The directory's position that it leads to.
    pub(crate) position: u64,
    /// The log position of the replica that it was taken from.
    pub(crate) index: u64,
    /// Raft's own of that position.
    pub(crate) state: Vec<u8>,
    /// Keys, and what they hold; none: they are gone.
    pub(crate) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The position of the directory in a snapshot; 0 when there is none.
pub(crate) fn position(snapshot: &Snapshot) -> Result<u64, Fault> {
    Ok(snapshot.header(Space::SYSTEM)?.map_or(0, |header| header.position))
}

/// What a copy at a position lacks of a snapshot. None: more than a delta holds.
pub(crate) fn since(snapshot: &Snapshot, after: u64) -> Result<Option<Delta>, Fault> {
    let space = Space::SYSTEM;
    let position = position(snapshot)?;
    let range = DirectoryChange::range(space);
    let first = snapshot.scan(range.clone(), Direction::Forward).next().transpose()?;
    let first = first.map(|(raw, _)| parse(&raw)).transpose()?;
    // What came before the first change that is kept is not known.
    if after > position || first.is_none_or(|first| after.saturating_add(1) < first) {
        return Ok(None);
    }
    let mut keys: BTreeSet<Vec<u8>> = BTreeSet::new();
    let after = DirectoryChange { space, position: after };
    for row in snapshot.scan(range.after(&after.key()), Direction::Forward) {
        let (raw, bytes) = row?;
        let key = DirectoryChange {
            space,
            position: parse(&raw)?,
        };
        let ChangeRow::V1(changed) = decode(&key, &bytes)?;
        keys.extend(changed);
        keys.insert(raw.as_bytes().to_vec());
        if keys.len() > DELTA_KEYS {
            return Ok(None);
        }
    }
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let value = snapshot.get_raw(&key)?.map(|bytes| bytes.to_vec());
        rows.push((key, value));
    }
    let Mark { index, state } = snapshot.mark().clone();
    Ok(Some(Delta {
        position,
        index,
        state,
        rows,
    }))
}

fn parse(raw: &Key) -> Result<u64, Fault> {
    let key = DirectoryChange::parse(raw.as_bytes()).map_err(|error| crate::machine::idempotency::bad_key(raw, &error))?;
    Ok(key.position)
}

/// Takes a delta into a copy, in one commit.
pub(crate) fn take(copy: &Store, delta: Delta) -> Result<(), storage::Error> {
    let mut batch = copy.begin_batch()?;
    if let Some(mut command) = batch.command(delta.index, Space::SYSTEM) {
        for (key, value) in delta.rows {
            let key = Key::from_bytes(key.into()).map_err(|error| storage::Error::SnapshotRefused(error.to_string()))?;
            match value {
                Some(value) => command.put_raw(key, Bytes::from(value)),
                None => command.delete_raw(key),
            }
        }
        command.accept();
    }
    batch.commit(Mark {
        index: delta.index,
        state: delta.state,
    })
}

#[cfg(test)]
mod tests {
    use storage::{KeyRange, Options};

    use super::*;
    use crate::directory::tenant_delete::TenantDelete;
    use crate::directory::tenant_forget::TenantForget;
    use crate::directory::tenant_reserve::TenantReserve;
    use crate::machine::stage::Stage;
    use uuid::Uuid;

    fn reserve(slug: &str) -> TenantReserve {
        TenantReserve {
            id: Uuid::from_u128(1),
            slug: slug.to_owned(),
            region: "one".to_owned(),
            cell: 2,
            dedicated: false,
            plan: "free".to_owned(),
            template: None,
        }
    }

    fn rows(snapshot: &Snapshot) -> Vec<(Key, Bytes)> {
        let all = snapshot.scan(KeyRange::all(), Direction::Forward);
        all.map(|row| row.expect("a row")).collect()
    }

    #[test]
    fn a_copy_that_takes_every_delta_is_the_directory() {
        let mut stage = Stage::of(Space::SYSTEM);
        let dir = tempfile::tempdir().expect("a directory");
        let copy = Store::open(dir.path(), Options::default()).expect("a store");
        let follow = |stage: &Stage| {
            let after = position(&copy.begin_read()).expect("a position");
            let delta = since(&stage.snapshot(), after).expect("no fault").expect("a delta");
            take(&copy, delta).expect("taken");
            assert_eq!(rows(&copy.begin_read()), rows(&stage.snapshot()));
        };
        let uid = stage.apply(reserve("acme")).result.expect("reserved").uid;
        follow(&stage);
        stage.apply(reserve("beta")).result.expect("reserved");
        stage.apply(reserve("acme")).result.expect_err("there already");
        follow(&stage);
        let (slug, operation) = ("acme".to_owned(), Uuid::from_u128(2));
        stage.apply(TenantDelete { slug, operation }).result.expect("begun");
        stage.apply(TenantForget { uid, keys: 3 }).result.expect("forgotten");
        follow(&stage);
        follow(&stage);
    }

    #[test]
    fn a_copy_that_lacks_too_much_or_is_ahead_takes_the_whole_state() {
        let mut stage = Stage::of(Space::SYSTEM);
        assert_eq!(since(&stage.snapshot(), 0).expect("no fault"), None, "there is nothing yet");
        for at in 0..KEPT + 50 {
            let slug = format!("t{at}");
            stage.apply(reserve(&slug)).result.expect("reserved");
        }
        let snapshot = stage.snapshot();
        let now = position(&snapshot).expect("a position");
        assert_eq!(since(&snapshot, 0).expect("no fault"), None, "no longer kept");
        assert_eq!(since(&snapshot, now - KEPT).expect("no fault"), None, "more than a delta");
        assert_eq!(since(&snapshot, now + 1).expect("no fault"), None, "of another directory");
        let kept = snapshot
            .scan(DirectoryChange::range(Space::SYSTEM), Direction::Forward)
            .count();
        assert_eq!(kept as u64, KEPT);
        let delta = since(&snapshot, now - 100).expect("no fault").expect("a delta");
        assert_eq!(delta.position, now);
    }
}
