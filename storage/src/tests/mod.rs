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
