//! Signatures.
#![allow(missing_docs, unused_variables)]
use crate::{Bytes, Error, Key, KeyRange, Mark, Space, Table};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction { Forward, Backward }
#[derive(Clone, Debug)]
pub struct Snapshot { mark: Mark }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeHash { pub hash: [u8; 32], pub keys: u64 }
pub struct Scan { _private: () }
impl Iterator for Scan { type Item = Result<(Key, Bytes), Error>; fn next(&mut self) -> Option<Self::Item> { unimplemented!() } }
impl Snapshot {
    pub fn mark(&self) -> &Mark { &self.mark }
    pub fn get<T: Table>(&self, key: &T) -> Result<Option<Bytes>, Error> { unimplemented!() }
    pub fn get_raw(&self, key: &[u8]) -> Result<Option<Bytes>, Error> { unimplemented!() }
    pub fn scan(&self, range: KeyRange, direction: Direction) -> Scan { unimplemented!() }
    pub fn hash(&self, range: KeyRange) -> Result<RangeHash, Error> { unimplemented!() }
    pub fn spaces(&self) -> Box<dyn Iterator<Item = Result<Space, Error>> + Send> { unimplemented!() }
}
