//! Signatures.
#![allow(missing_docs, unused_variables)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use crate::{Bytes, Direction, Error, Key, KeyRange, Scan, Snapshot, Space, Table};
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark { pub index: u64, pub state: Vec<u8> }
#[derive(Clone)]
pub struct Options { pub cache_bytes: usize, pub freeze_bytes: usize, pub delta_limit_bytes: usize, pub idle_flush: Duration, pub pace: bool, pub on_flush: Option<Arc<dyn Fn() + Send + Sync>> }
impl Default for Options { fn default() -> Options { unimplemented!() } }
#[derive(Clone, Debug)]
pub struct Store;
#[derive(Clone, Debug, Default)]
pub struct Stats { pub delta_keys: usize, pub delta_bytes: usize, pub flushes: u64, pub flush_time: Duration, pub file_bytes: u64 }
pub struct Batch { _private: () }
pub struct Command<'a> { batch: &'a mut Batch }
pub struct SnapshotReader { mark: Mark }
pub struct SnapshotWriter { _private: () }
pub struct ReceivedSnapshot { mark: Mark }
impl Store {
    pub fn open(dir: &Path, options: Options) -> Result<Store, Error> { unimplemented!() }
    pub fn begin_read(&self) -> Snapshot { unimplemented!() }
    pub fn begin_batch(&self) -> Result<Batch, Error> { unimplemented!() }
    pub fn mark(&self) -> Mark { unimplemented!() }
    pub fn durable(&self) -> u64 { unimplemented!() }
    pub fn durable_mark(&self) -> Mark { unimplemented!() }
    pub fn persist(&self) -> Result<Mark, Error> { unimplemented!() }
    pub fn delta_bytes(&self) -> usize { unimplemented!() }
    pub fn over_limit(&self) -> bool { unimplemented!() }
    pub fn halted(&self) -> Option<String> { unimplemented!() }
    pub fn send_snapshot(&self) -> SnapshotReader { unimplemented!() }
    pub fn receive_snapshot(&self) -> Result<SnapshotWriter, Error> { unimplemented!() }
    pub fn install(&self, received: ReceivedSnapshot) -> Result<(), Error> { unimplemented!() }
    pub fn stats(&self) -> Stats { unimplemented!() }
    pub fn close(self) -> Result<(), Error> { unimplemented!() }
}
impl Batch {
    pub fn command(&mut self, index: u64, space: Space) -> Option<Command<'_>> { unimplemented!() }
    pub fn commit(self, mark: Mark) -> Result<(), Error> { unimplemented!() }
}
impl Command<'_> {
    pub fn space(&self) -> Space { unimplemented!() }
    pub fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, Error> { unimplemented!() }
    pub fn get_raw(&self, key: &[u8]) -> Result<Option<Bytes>, Error> { unimplemented!() }
    pub fn scan(&self, range: KeyRange, direction: Direction) -> Scan { unimplemented!() }
    pub fn put<T: Table>(&mut self, key: &T, value: impl Into<Bytes>) { unimplemented!() }
    pub fn delete<T: Table>(&mut self, key: &T) { unimplemented!() }
    pub fn put_raw(&mut self, key: Key, value: Bytes) { unimplemented!() }
    pub fn delete_raw(&mut self, key: Key) { unimplemented!() }
    pub fn touched(&self) -> usize { unimplemented!() }
    pub fn accept(self) { unimplemented!() }
}
impl SnapshotReader { pub fn mark(&self) -> &Mark { &self.mark } pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> { unimplemented!() } }
impl SnapshotWriter { pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> { unimplemented!() } pub fn finish(self) -> Result<ReceivedSnapshot, Error> { unimplemented!() } }
impl ReceivedSnapshot { pub fn mark(&self) -> &Mark { &self.mark } }
