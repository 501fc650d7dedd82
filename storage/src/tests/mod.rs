//! Stories of the store as a whole. What one module does alone is tested beside it.

mod crash;
mod damage;
mod fault;
mod keys;
mod rebuild;
mod sim;
mod store;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::buffered::{Backend, Buffered};
use crate::disk::Disk;
use crate::ground::STORE_FORMAT;
use crate::progress::Progress;
use crate::value;
use crate::{Bytes, Direction, Event, Key, KeyRange, Mark, Options, Snapshot, Space, Store};
use sim::SimDisk;

/// Nothing flushes by itself, and small deltas make many commits.
fn options() -> Options {
    Options {
        cache_bytes: 1 << 20,
        freeze_bytes: 1 << 30,
        commit_bytes: 2 << 10,
        delta_limit_bytes: 1 << 30,
        idle_flush: Duration::from_secs(3600),
        pace: false,
        on_flush: None,
    }
}

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), options()).unwrap()
}

/// Makes a store's file as the first version did, without checksums of blocks: what protects it are those of the values.
fn without_checksums(disk: &SimDisk) {
    let file = disk.open("store.redb").unwrap();
    let backend = Backend(Arc::new(Buffered::new(file, Arc::default(), true)));
    let database = redb::Database::builder().create_with_backend(backend).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = |name| redb::TableDefinition::<&[u8], &[u8]>::new(name);
    transaction.open_table(table("data")).unwrap();
    for (name, row) in [
        (&b"format"[..], STORE_FORMAT.to_be_bytes().to_vec()),
        (&b"progress"[..], Progress::default().encode()),
    ] {
        let mut wrapped = Vec::new();
        value::wrap(name, &row, &mut wrapped);
        let mut meta = transaction.open_table(table("meta")).unwrap();
        meta.insert(name, wrapped.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    disk.sync_dir().unwrap();
}

fn mark(index: u64) -> Mark {
    Mark {
        index,
        state: format!("state at {index}").into_bytes(),
    }
}

fn event(space: u64, position: u64) -> Event {
    Event {
        space: Space(space),
        position,
    }
}

/// Commits one command that writes these values, `None` deleting.
fn write(store: &Store, index: u64, space: u64, changes: &[(u64, Option<&str>)]) {
    let mut batch = store.begin_batch().unwrap();
    let mut command = batch.command(index, Space(space)).unwrap();
    for (position, value) in changes {
        match value {
            Some(value) => command.put(&event(space, *position), value.to_string()),
            None => command.delete(&event(space, *position)),
        }
    }
    command.accept();
    batch.commit(mark(index)).unwrap();
}

fn contents(snapshot: &Snapshot) -> BTreeMap<Key, Bytes> {
    snapshot
        .scan(KeyRange::all(), Direction::Forward)
        .map(Result::unwrap)
        .collect()
}

/// Waits for something that another thread does.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::yield_now();
    }
}
