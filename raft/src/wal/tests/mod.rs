//! The log against disks that forget, tear, fill up and lie in their bits.

mod crash;
mod damage;
mod forgetful;
mod golden;
mod kill;
mod model;
mod operation;
mod panics;
mod room;
mod space;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::blocking::block_on;
use super::options::{LogEntry, LogOptions, Recovery};
use super::segment::segment_name;
use super::{Done, GroupLog, Synced, Wal, WalError};
use forgetful::Forgetful;

const DEADLINE: Duration = Duration::from_secs(60);
const DIR: &str = "/log";

/// A small generator, so that a seed names a run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 64 << 10,
        max_bytes: 16 * (64 << 10),
        tail_bytes: 2 << 10,
        copy_after_segments: 3,
        ..LogOptions::default()
    }
}

fn open(disk: &Forgetful) -> (Wal, Recovery) {
    Wal::open(Path::new(DIR), small(), Arc::new(disk.clone())).unwrap()
}

fn open_error(disk: &Forgetful) -> WalError {
    match Wal::open(Path::new(DIR), small(), Arc::new(disk.clone())) {
        Ok(_) => panic!("the log opened"),
        Err(error) => error,
    }
}

fn segment_path(sequence: u64) -> PathBuf {
    Path::new(DIR).join(segment_name(sequence))
}

/// A callback and what waits for it.
fn waiter() -> (Done, Receiver<io::Result<Synced>>) {
    let (sender, receiver) = sync_channel(1);
    (
        Box::new(move |result| {
            let _ = sender.send(result);
        }),
        receiver,
    )
}

fn wait(receiver: &Receiver<io::Result<Synced>>) -> io::Result<Synced> {
    receiver.recv_timeout(DEADLINE).expect("called back in time")
}

fn entry(index: u64, bytes: &[u8]) -> LogEntry {
    LogEntry {
        index,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

/// The calls of a group for threads without a runtime: they block while they wait for room.
trait Blocking {
    fn append_blocking(&self, entries: Vec<LogEntry>, done: Done) -> Result<(), WalError>;
    fn save_vote_blocking(&self, vote: Bytes, done: Done) -> Result<(), WalError>;
    fn truncate_after_blocking(&self, index: Option<u64>, done: Done) -> Result<(), WalError>;
    fn purge_blocking(&self, upto: u64, purged: Bytes, done: Done) -> Result<(), WalError>;
}

impl Blocking for GroupLog {
    fn append_blocking(&self, entries: Vec<LogEntry>, done: Done) -> Result<(), WalError> {
        block_on(self.append(entries, done))
    }

    fn save_vote_blocking(&self, vote: Bytes, done: Done) -> Result<(), WalError> {
        block_on(self.save_vote(vote, done))
    }

    fn truncate_after_blocking(&self, index: Option<u64>, done: Done) -> Result<(), WalError> {
        block_on(self.truncate_after(index, done))
    }

    fn purge_blocking(&self, upto: u64, purged: Bytes, done: Done) -> Result<(), WalError> {
        block_on(self.purge(upto, purged, done))
    }
}

/// Waits until the keeper has looked and found no more to do.
fn keeper_looks(wal: &Wal) {
    let asked = wal.owner.shared.ask_keeper();
    eventually("the keeper has looked", || wal.owner.shared.has_answered(asked));
}

/// Appends and waits until it is durable.
fn append(group: &GroupLog, index: u64, bytes: &[u8]) {
    let (done, waiting) = waiter();
    group.append_blocking(vec![entry(index, bytes)], done).unwrap();
    wait(&waiting).unwrap();
}

fn vote(group: &GroupLog, vote: &[u8]) {
    let (done, waiting) = waiter();
    group.save_vote_blocking(Bytes::copy_from_slice(vote), done).unwrap();
    wait(&waiting).unwrap();
}

fn purge(group: &GroupLog, upto: u64) {
    let (done, waiting) = waiter();
    group
        .purge_blocking(upto, Bytes::from(format!("purged {upto}")), done)
        .unwrap();
    wait(&waiting).unwrap();
}

fn all(group: &GroupLog) -> Vec<LogEntry> {
    let state = group.state();
    group.read(state.first, u64::MAX, usize::MAX).unwrap()
}

/// Waits until the condition holds, by looking again.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::yield_now();
    }
}
