//! A disk in memory that forgets: what was not synced may be lost sector by sector, names too, at any operation.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;
use crate::wal::disk::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, u64),
    Remove(PathBuf),
}

#[derive(Default)]
struct Inner {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<NameChange>,
    random: u64,
    operations: u64,
    dies_at: Option<u64>,
    off: bool,
    space_bytes: Option<u64>,
    fail_sync_of: Option<String>,
    no_descriptors: bool,
    hold_sync_of: Option<String>,
    let_pass: u64,
    held: u64,
    panic_at_sync_of: Option<String>,
    failed_syncs: u64,
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    Clean,
    /// Any subset of the sectors, any prefix of the changes of names.
    Random(u64),
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Forgetful(Arc<Mutex<Inner>>);

impl Forgetful {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The power goes with the n-th change from now.
    pub(crate) fn dies_after(&self, operations: u64) {
        let mut inner = self.lock();
        inner.dies_at = Some(inner.operations + operations);
    }

    /// Takes back `dies_after`; `false` if it was too late.
    pub(crate) fn lives_on(&self) -> bool {
        let mut inner = self.lock();
        inner.dies_at = None;
        !inner.off
    }

    pub(crate) fn is_off(&self) -> bool {
        self.lock().off
    }

    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Writes that make files grow fail beyond so many bytes in all.
    pub(crate) fn limit_space(&self, bytes: Option<u64>) {
        self.lock().space_bytes = bytes;
    }

    /// Opening and creating files fails for lack of a file descriptor, or does not any more.
    pub(crate) fn take_descriptors(&self, taken: bool) {
        self.lock().no_descriptors = taken;
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// The next fdatasync of a file with this in its name fails, and what was dirty is lost although later ones succeed.
    pub(crate) fn fail_sync_of(&self, name: &str) {
        self.lock().fail_sync_of = Some(name.into());
    }

    /// fdatasync of files with this in their name does not return until it is released by `None`.
    pub(crate) fn hold_sync_of(&self, name: Option<&str>) {
        self.lock().hold_sync_of = name.map(Into::into);
    }

    /// Of those that are held, this many more may return.
    pub(crate) fn let_syncs_pass(&self, count: u64) {
        self.lock().let_pass = count;
    }

    /// Is an fdatasync being held?
    pub(crate) fn holds(&self) -> bool {
        self.held() > 0
    }

    /// How many are.
    pub(crate) fn held(&self) -> u64 {
        self.lock().held
    }

    /// The next fdatasync of a file with this in its name panics.
    pub(crate) fn panic_at_sync_of(&self, name: &str) {
        self.lock().panic_at_sync_of = Some(name.into());
    }

    /// Cuts the power: this disk answers nothing any more; returns what is left of it.
    pub(crate) fn power_cut(&self, cut: Cut) -> Forgetful {
        self.lock().off = true;
        self.image_after_power_cut(cut)
    }

    /// What a power cut would leave now.
    pub(crate) fn image_after_power_cut(&self, cut: Cut) -> Forgetful {
        let inner = self.lock();
        let mut random = Random::new(match cut {
            Cut::Clean => 0,
            Cut::Random(seed) => seed,
        });
        let mut names = inner.durable_names.clone();
        let kept = if cut == Cut::Clean {
            0
        } else {
            random.below(inner.changes.len() as u64 + 1) as usize
        };
        for change in &inner.changes[..kept] {
            match change {
                NameChange::Set(path, inode) => {
                    names.retain(|_, other| other != inode);
                    names.insert(path.clone(), *inode);
                }
                NameChange::Remove(path) => {
                    names.remove(path);
                }
            }
        }
        let mut inodes = BTreeMap::new();
        for (id, inode) in &inner.inodes {
            let left = inode.left(cut != Cut::Clean, &mut random);
            inodes.insert(
                *id,
                Inode {
                    now: left.clone(),
                    durable: left,
                    dirty: BTreeSet::new(),
                },
            );
        }
        let left = Inner {
            inodes,
            names: names.clone(),
            durable_names: names,
            random: inner.random,
            ..Inner::default()
        };
        Forgetful(Arc::new(Mutex::new(left)))
    }

    /// Kills the process: this handle answers nothing any more. The kernel lives on and keeps all that was written, durable or
    /// not; returns the disk for the next process.
    pub(crate) fn kill(&self) -> Forgetful {
        let mut inner = self.lock();
        inner.off = true;
        let left = Inner {
            inodes: inner.inodes.clone(),
            names: inner.names.clone(),
            durable_names: inner.durable_names.clone(),
            changes: inner.changes.clone(),
            random: inner.random,
            ..Inner::default()
        };
        Forgetful(Arc::new(Mutex::new(left)))
    }

    /// A copy of a disk at rest.
    pub(crate) fn image(&self) -> Forgetful {
        let inner = self.lock();
        let copy = Inner {
            inodes: inner.inodes.clone(),
            names: inner.names.clone(),
            durable_names: inner.names.clone(),
            random: inner.random,
            ..Inner::default()
        };
        Forgetful(Arc::new(Mutex::new(copy)))
    }

    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        let inner = self.lock();
        inner.inodes[&inner.names[path]].now.clone()
    }

    /// Replaces a file's bytes, durably.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = self.lock();
        let id = inner.names.get(path).copied().unwrap_or_else(|| inner.new_inode());
        inner.inodes.insert(
            id,
            Inode {
                now: bytes.clone(),
                durable: bytes,
                dirty: BTreeSet::new(),
            },
        );
        inner.names.insert(path.to_path_buf(), id);
        inner.durable_names.insert(path.to_path_buf(), id);
    }

    pub(crate) fn delete(&self, path: &Path) {
        let mut inner = self.lock();
        inner.names.remove(path);
        inner.durable_names.remove(path);
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }
}

impl Inode {
    fn left(&self, keep_some: bool, random: &mut Random) -> Vec<u8> {
        let mut left = self.durable.clone();
        if !keep_some {
            return left;
        }
        // A length that was not synced may be the old or the new one.
        let length = if random.below(2) == 0 {
            self.durable.len()
        } else {
            self.now.len()
        };
        left.resize(length, 0);
        let odds = 1 + random.below(4);
        for sector in &self.dirty {
            let (start, end) = (
                sector * SECTOR_BYTES,
                ((sector + 1) * SECTOR_BYTES).min(self.now.len()).min(left.len()),
            );
            if start < end && random.below(4) < odds {
                left[start..end].copy_from_slice(&self.now[start..end]);
            }
        }
        left
    }
}

impl Inner {
    fn new_inode(&mut self) -> u64 {
        let id = self.inodes.keys().next_back().map_or(1, |id| id + 1);
        self.inodes.insert(id, Inode::default());
        id
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|id| self.inodes[id].now.len() as u64).sum()
    }

    fn descriptor(&self) -> io::Result<()> {
        match self.no_descriptors {
            true => Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())),
            false => Ok(()),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    /// Counts a change, and dies at the chosen one.
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.dies_at.is_some_and(|at| self.operations > at) {
            self.off = true;
        }
        self.check()
    }
}

struct Handle {
    disk: Forgetful,
    inode: u64,
}

impl Handle {
    fn name(&self, inner: &Inner) -> String {
        let found = inner.names.iter().find(|(_, inode)| **inode == self.inode);
        found.map(|(path, _)| path.display().to_string()).unwrap_or_default()
    }
}

impl DiskFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.lock();
        inner.check()?;
        let bytes = &inner.inodes[&self.inode].now;
        let start = (offset as usize).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let died = inner.step();
        if died.is_err() && inner.operations != inner.dies_at.unwrap_or(0) + 1 {
            return died;
        }
        let (used, space) = (inner.used_bytes(), inner.space_bytes);
        let inode = inner.inodes.get_mut(&self.inode).unwrap();
        let end = offset as usize + bytes.len();
        if end > inode.now.len() {
            let growth = (end - inode.now.len()) as u64;
            if space.is_some_and(|space| used + growth > space) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            inode.now.resize(end, 0);
        }
        inode.now[offset as usize..end].copy_from_slice(bytes);
        inode.dirty.extend(offset as usize / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        // The write that the power cut interrupts may have reached some sectors.
        died
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let name = self.name(&inner);
        inner.held += 1;
        while !inner.off && inner.let_pass == 0 && inner.hold_sync_of.as_ref().is_some_and(|part| name.contains(part.as_str())) {
            drop(inner);
            std::thread::yield_now();
            inner = self.disk.lock();
        }
        inner.held -= 1;
        if inner.hold_sync_of.as_ref().is_some_and(|part| name.contains(part.as_str())) {
            inner.let_pass = inner.let_pass.saturating_sub(1);
        }
        if inner.panic_at_sync_of.take_if(|part| name.contains(part.as_str())).is_some() {
            drop(inner);
            panic!("a fault in the disk's code");
        }
        inner.step()?;
        let fails = inner.fail_sync_of.as_ref().is_some_and(|part| name.contains(part.as_str()));
        if fails {
            inner.fail_sync_of = None;
            inner.failed_syncs += 1;
        }
        let inode = inner.inodes.get_mut(&self.inode).unwrap();
        if fails {
            inode.dirty.clear();
            return Err(io::Error::other("the disk failed"));
        }
        let length = inode.now.len();
        inode.durable.resize(length, 0);
        for sector in std::mem::take(&mut inode.dirty) {
            let (start, end) = (sector * SECTOR_BYTES, ((sector + 1) * SECTOR_BYTES).min(length));
            if start < end {
                let (now, durable) = (&inode.now, &mut inode.durable);
                durable[start..end].copy_from_slice(&now[start..end]);
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.lock();
        inner.check()?;
        Ok(inner.inodes[&self.inode].now.len() as u64)
    }
}

impl Disk for Forgetful {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.lock().check()
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.lock().check()?;
        Ok(Box::new(()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        inner.check()?;
        let inside = inner.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.lock();
        inner.check()?;
        inner.descriptor()?;
        let inode = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle {
            disk: self.clone(),
            inode,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.descriptor()?;
        inner.step()?;
        let inode = inner.new_inode();
        inner.names.insert(path.to_path_buf(), inode);
        inner.changes.push(NameChange::Set(path.to_path_buf(), inode));
        Ok(Box::new(Handle {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.step()?;
        let inode = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_path_buf(), inode);
        inner.changes.push(NameChange::Set(to.to_path_buf(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.step()?;
        inner.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        inner.changes.push(NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.step()?;
        inner.durable_names = inner.names.clone();
        inner.changes.clear();
        Ok(())
    }

    fn random(&self) -> u64 {
        let mut inner = self.lock();
        inner.random = inner.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        inner.random ^ (inner.random >> 29)
    }
}
