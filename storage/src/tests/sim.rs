//! A disk in memory that forgets what was not synced, for the crash tests.
//!
//! Every call that changes something is counted, and the disk can be told to die at a certain count: from then on every call fails,
//! and `survivor` gives the disk as it would come back: what was synced, and of what was not, a random part of the 512-byte sectors
//! that were written, and a random first part of the changes to names.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// A small generator of random numbers (xorshift64*), so that a test can be repeated by its seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// The contents of a file: what is durable, and the writes since.
#[derive(Clone, Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that were written since the last sync.
    dirty: BTreeMap<usize, ()>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    /// Calls that changed something so far.
    calls: u64,
    syncs: u64,
    die_at: Option<u64>,
    /// The count at which a sync fails once, and nothing else does.
    fail_sync_at: Option<u64>,
    full: bool,
    /// The count from which on it is full.
    full_at: Option<u64>,
    /// Writes that found no space.
    refused: u64,
    /// Syncs wait while this is set.
    held: bool,
    /// Syncs that wait now.
    waiting: usize,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<(Mutex<State>, Condvar)>);

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// How many changing calls were made so far.
    pub(crate) fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// How many syncs were made so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Dies at the changing call of this number, counted from now: 0 is the next one.
    pub(crate) fn die_after(&self, calls: u64) {
        let mut state = self.lock();
        state.die_at = Some(state.calls + calls);
    }

    /// The sync of this number from now fails, once.
    pub(crate) fn fail_sync_after(&self, syncs: u64) {
        let mut state = self.lock();
        state.fail_sync_at = Some(state.syncs + syncs);
    }

    /// From now on, whether writes fail for lack of space.
    pub(crate) fn set_full(&self, full: bool) {
        let mut state = self.lock();
        (state.full, state.full_at) = (full, None);
    }

    /// Writes fail for lack of space from the changing call of this number on, counted from now.
    pub(crate) fn full_after(&self, calls: u64) {
        let mut state = self.lock();
        state.full_at = Some(state.calls + calls);
    }

    /// How many writes have failed for lack of space.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Waits until a write has failed for lack of space.
    pub(crate) fn wait_for_refused_write(&self) {
        let waited = self
            .0
            .1
            .wait_timeout_while(self.lock(), Duration::from_secs(60), |state| state.refused == 0);
        assert!(!waited.unwrap().1.timed_out(), "no write was refused");
    }

    /// From now on syncs wait, until `release`.
    pub(crate) fn hold(&self) {
        self.lock().held = true;
    }

    pub(crate) fn release(&self) {
        self.lock().held = false;
        self.0.1.notify_all();
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_held_sync(&self) {
        let waited = self
            .0
            .1
            .wait_timeout_while(self.lock(), Duration::from_secs(60), |state| state.waiting == 0);
        assert!(!waited.unwrap().1.timed_out(), "no sync came");
    }

    pub(crate) fn is_dead(&self) -> bool {
        let state = self.lock();
        state.die_at.is_some_and(|at| state.calls > at)
    }

    /// Changes bytes of a file behind everybody's back.
    pub(crate) fn corrupt(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let file = state.names[name];
        let contents = &mut state.files[file];
        change(&mut contents.now);
        contents.durable = contents.now.clone();
    }

    /// The disk after the power came back.
    pub(crate) fn survivor(&self, random: &mut Random) -> SimDisk {
        let state = self.lock();
        let mut names = state.durable_names.clone();
        let kept = random.below(state.changes.len() as u64 + 1) as usize;
        for change in &state.changes[..kept] {
            apply(&mut names, change);
        }
        let chance = random.below(5);
        let survive = |contents: &Contents, random: &mut Random| {
            let mut bytes = contents.durable.clone();
            if chance > 0 && contents.now.len() != bytes.len() && random.below(2) == 0 {
                bytes.resize(contents.now.len(), 0);
            }
            for sector in contents.dirty.keys() {
                let start = (sector * SECTOR).min(bytes.len());
                let end = (start + SECTOR).min(bytes.len()).min(contents.now.len());
                if start < end && random.below(4) < chance {
                    bytes[start..end].copy_from_slice(&contents.now[start..end]);
                }
            }
            Contents {
                now: bytes.clone(),
                durable: bytes,
                dirty: BTreeMap::new(),
            }
        };
        let files = state.files.iter().map(|contents| survive(contents, random)).collect();
        let state = State {
            files,
            durable_names: names.clone(),
            names,
            ..State::default()
        };
        SimDisk(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// Counts a changing call; an error once the disk is dead.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.calls += 1;
        match state.die_at {
            Some(at) if state.calls > at => Err(io::Error::other("the power is gone")),
            _ => Ok(state),
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Create(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.lock().names.get(name).copied();
        let file = match found {
            Some(file) => file,
            None => {
                let mut state = self.change()?;
                state.files.push(Contents::default());
                let file = state.files.len() - 1;
                let change = NameChange::Create(name.to_owned(), file);
                apply(&mut state.names, &change);
                state.changes.push(change);
                file
            }
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
        }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        apply(&mut state.names, &change);
        state.changes.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let change = NameChange::Remove(name.to_owned());
        apply(&mut state.names, &change);
        state.changes.push(change);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].now.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.lock();
        if state.die_at.is_some_and(|at| state.calls > at) {
            return Err(io::Error::other("the power is gone"));
        }
        let found = state.files[self.file].now.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.change()?;
        if state.full || state.full_at.is_some_and(|at| state.calls > at) {
            state.refused += 1;
            self.disk.0.1.notify_all();
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let contents = &mut state.files[self.file];
        let end = offset as usize + data.len();
        if contents.now.len() < end {
            contents.now.resize(end, 0);
        }
        contents.now[offset as usize..end].copy_from_slice(data);
        contents
            .dirty
            .extend((offset as usize / SECTOR..end.div_ceil(SECTOR)).map(|sector| (sector, ())));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let contents = &mut state.files[self.file];
        let (before, after) = (contents.now.len(), len as usize);
        contents.now.resize(after, 0);
        let changed = before.min(after) / SECTOR..before.max(after).div_ceil(SECTOR);
        contents.dirty.extend(changed.map(|sector| (sector, ())));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.waiting += 1;
        self.disk.0.1.notify_all();
        state = self.disk.0.1.wait_while(state, |state| state.held).unwrap();
        state.waiting -= 1;
        drop(state);
        let mut state = self.disk.change()?;
        state.syncs += 1;
        if state.fail_sync_at.is_some_and(|at| state.syncs > at) {
            state.fail_sync_at = None;
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let contents = &mut state.files[self.file];
        contents.durable.resize(contents.now.len(), 0);
        for sector in std::mem::take(&mut contents.dirty).into_keys() {
            let start = (sector * SECTOR).min(contents.now.len());
            let end = (start + SECTOR).min(contents.now.len());
            contents.durable[start..end].copy_from_slice(&contents.now[start..end]);
        }
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn wait_writeback(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}
