//! A file whose every block has a checksum, so that no wrong byte of it is ever taken for a right one.
//!
//! redb keeps checksums of its pages and looks at them only when it repairs, never when it reads. A flipped bit in an inner page would
//! hide the keys below it, and no checksum of a value would say so. So the store's file is kept in blocks of 4 KiB, and each block that
//! is read is checked, whatever redb keeps in it.
//!
//! ```text
//!  group 0                                   group 1
//!  ┌──────┬─────────┬─────────┬─── ─┬──────┬──────┬─────── ─
//!  │ sums │ block 0 │ block 1 │  …  │ 1019 │ sums │ 1020  …        what redb sees is the blocks alone
//!  └──────┴─────────┴─────────┴─── ─┴──────┴──────┴─────── ─
//!   magic, version, group, crc32c of these | 1020 × crc32c of a block, 0: never written
//! ```
//!
//! A block's checksum goes to the disk by the sync that brings the block. That is enough: redb never writes over a page that the last
//! commit needs, so when power fails between the two, the block is one that nothing refers to, and it is written whole before it is
//! read. The one exception is redb's header at the front of block 0, which is written in place: its checksum lies in the same sector.
//!
//! Which blocks were read or written since the file was opened is remembered. `verify` reads those again, from the disk and not from
//! any memory; others may be the leftovers of a crash, whose checksum means nothing. Whoever has walked over all keys has read all
//! blocks that are needed, so that a walk and `verify` together find every wrong byte that matters.
//!
//! A file from before there were checksums begins with redb's own first bytes; it is read and written as it is, and nothing of it is
//! checked, until a snapshot takes its place.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::disk::DiskFile;
use crate::mutant::Mutant;
use crate::sums::{BLOCK, GROUP_BLOCKS, HEAD_BYTES, Head, Sums, damaged, physical, stretches, sum};

/// What `verify` reads at a time.
pub(crate) const VERIFY_BLOCKS: u64 = 64;

/// A file with checksums.
#[derive(Debug)]
pub(crate) struct Checked {
    file: Arc<dyn DiskFile>,
    sums: RwLock<State>,
    /// Held while blocks and their checksums change, and by who wants to be sure of both.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    groups: BTreeMap<u64, Sums>,
    head: Head,
}

/// A file for redb, and its checksums if it has any.
type Opened = (Arc<dyn DiskFile>, Option<Arc<Checked>>);

/// Opens a file for redb: with checksums, unless it was made without.
pub(crate) fn open(file: Arc<dyn DiskFile>) -> io::Result<Opened> {
    const REDB: &[u8] = b"redb";
    let mut first = [0; REDB.len()];
    if file.len()? >= BLOCK as u64 {
        file.read_at(0, &mut first)?;
    }
    if first == REDB {
        return Ok((file, None));
    }
    let checked = Arc::new(Checked::new(file)?);
    Ok((checked.clone(), Some(checked)))
}

impl Checked {
    fn new(file: Arc<dyn DiskFile>) -> io::Result<Checked> {
        let mut head = Head::default();
        if file.len()? >= physical(0) + BLOCK as u64 {
            let mut bytes = [0; HEAD_BYTES];
            file.read_at(physical(0), &mut bytes)?;
            head = Head::of(bytes);
        }
        Ok(Checked {
            file,
            sums: RwLock::new(State {
                groups: BTreeMap::new(),
                head,
            }),
            writing: Mutex::new(()),
        })
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that the checksums of a group are in memory.
    fn load(&self, group: u64) -> io::Result<()> {
        let read = self.sums.read().unwrap_or_else(PoisonError::into_inner);
        if read.groups.contains_key(&group) {
            return Ok(());
        }
        drop(read);
        let place = group * (GROUP_BLOCKS + 1) * BLOCK as u64;
        let mut bytes = vec![0; BLOCK];
        if self.file.len()? >= place + BLOCK as u64 {
            self.file.read_at(place, &mut bytes)?;
        }
        let sums = Sums::decode(group, &bytes)?;
        let mut state = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        state.groups.entry(group).or_insert(sums);
        Ok(())
    }

    /// The first of these blocks that is not what it was written as. Those that are right count as read.
    fn wrong(&self, block: u64, bytes: &[u8]) -> io::Result<Option<u64>> {
        let group = block / GROUP_BLOCKS;
        self.load(group)?;
        // Mutant, B19.
        if Mutant::ValueChecksumIgnored.active() {
            return Ok(None);
        }
        let mut state = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        let State { groups, head } = &mut *state;
        let Some(sums) = groups.get_mut(&group) else { return Ok(None) };
        for (block, bytes) in (block..).zip(bytes.chunks_exact(BLOCK)) {
            let right = match block {
                0 => head.is_right(bytes),
                _ => sums.is_right(block % GROUP_BLOCKS, bytes),
            };
            if !right {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Reads whole blocks of one group and checks them.
    fn checked(&self, block: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(physical(block), out)?;
        if self.wrong(block, out)?.is_none() {
            return Ok(());
        }
        // It may have been read while it was being written.
        let _writing = self.writing();
        self.file.read_at(physical(block), out)?;
        match self.wrong(block, out)? {
            None => Ok(()),
            Some(block) => Err(damaged(format!("the checksum of block {block} is wrong"))),
        }
    }

    /// Reads from the disk what of the next [`VERIFY_BLOCKS`] was read or written since the file was opened, and checks it. Returns where
    /// to go on; `None` at the end.
    pub(crate) fn verify(&self, from: u64, verified: &mut u64) -> io::Result<Option<u64>> {
        let blocks = self.len()?.div_ceil(BLOCK as u64);
        if from >= blocks {
            return Ok(None);
        }
        let count = VERIFY_BLOCKS.min(GROUP_BLOCKS - from % GROUP_BLOCKS).min(blocks - from);
        let known = {
            let state = self.sums.read().unwrap_or_else(PoisonError::into_inner);
            let sums = state.groups.get(&(from / GROUP_BLOCKS));
            let known = |block: &u64| *block == 0 || sums.is_some_and(|sums| sums.is_touched(block % GROUP_BLOCKS));
            (from..from + count).filter(known).collect::<Vec<u64>>()
        };
        if let (Some(first), Some(last)) = (known.first(), known.last()) {
            self.file.forget_cached(physical(*first), (last - first + 1) * BLOCK as u64)?;
        }
        let mut bytes = vec![0; BLOCK];
        for block in known {
            self.checked(block, &mut bytes)?;
            *verified += 1;
        }
        Ok(Some(from + count))
    }

    /// Writes whole blocks of one group, none of them block 0.
    fn write_blocks(&self, block: u64, bytes: &[u8]) -> io::Result<()> {
        let group = block / GROUP_BLOCKS;
        self.load(group)?;
        let mut state = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(sums) = state.groups.get_mut(&group) {
            for (block, bytes) in (block..).zip(bytes.chunks_exact(BLOCK)) {
                sums.set(block % GROUP_BLOCKS, sum(bytes));
            }
        }
        drop(state);
        self.file.write_at(physical(block), bytes)
    }

    fn write_head(&self, offset: usize, data: &[u8]) -> io::Result<()> {
        let bytes = {
            let mut state = self.sums.write().unwrap_or_else(PoisonError::into_inner);
            state.head.write(offset, data)?
        };
        self.file.write_at(physical(0), &bytes)
    }
}

impl DiskFile for Checked {
    fn len(&self) -> io::Result<u64> {
        let bytes = self.file.len()?;
        let group = (GROUP_BLOCKS + 1) * BLOCK as u64;
        let (full, rest) = (bytes / group, bytes % group);
        Ok(full * GROUP_BLOCKS * BLOCK as u64 + rest.saturating_sub(BLOCK as u64))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        for (block, count) in stretches(offset, out.len() as u64) {
            let skip = (offset + filled as u64 - block * BLOCK as u64) as usize;
            let length = (count as usize * BLOCK - skip).min(out.len() - filled);
            let part = &mut out[filled..filled + length];
            if skip == 0 && length == count as usize * BLOCK && block > 0 {
                self.checked(block, part)?;
            } else {
                let mut bytes = vec![0; count as usize * BLOCK];
                self.checked(block, &mut bytes)?;
                if block == 0 {
                    Head::hide(&mut bytes);
                }
                part.copy_from_slice(&bytes[skip..skip + length]);
            }
            filled += length;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _writing = self.writing();
        let mut written = 0;
        for (block, count) in stretches(offset, data.len() as u64) {
            let skip = (offset + written as u64 - block * BLOCK as u64) as usize;
            let length = (count as usize * BLOCK - skip).min(data.len() - written);
            let part = &data[written..written + length];
            written += length;
            if block == 0 {
                self.write_head(skip, part)?;
            } else if skip == 0 && length.is_multiple_of(BLOCK) {
                self.write_blocks(block, part)?;
            } else {
                let mut bytes = vec![0; count as usize * BLOCK];
                self.file.read_at(physical(block), &mut bytes)?;
                if let Some(block) = self.wrong(block, &bytes)? {
                    return Err(damaged(format!("the checksum of block {block} is wrong")));
                }
                bytes[skip..skip + length].copy_from_slice(part);
                self.write_blocks(block, &bytes)?;
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let _writing = self.writing();
        let (blocks, before) = (len.div_ceil(BLOCK as u64), self.len()?.div_ceil(BLOCK as u64));
        // What is cut off is forgotten, and what comes in its place was never written.
        let (from, to) = (blocks.min(before), blocks.max(before));
        for group in from / GROUP_BLOCKS..to.div_ceil(GROUP_BLOCKS) {
            self.load(group)?;
            let mut state = self.sums.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(sums) = state.groups.get_mut(&group) {
                let first = group * GROUP_BLOCKS;
                (from.max(first)..to.min(first + GROUP_BLOCKS)).for_each(|block| sums.forget(block - first));
            }
            if group >= blocks.div_ceil(GROUP_BLOCKS) {
                state.groups.remove(&group);
            }
        }
        self.file.set_len(match blocks {
            0 => 0,
            blocks => physical(blocks - 1) + BLOCK as u64,
        })
    }

    fn finish_writes(&self) -> io::Result<()> {
        let _writing = self.writing();
        let mut state = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        for (group, sums) in &mut state.groups {
            if let Some(bytes) = sums.changes(*group) {
                self.file.write_at(group * (GROUP_BLOCKS + 1) * BLOCK as u64, &bytes)?;
                sums.written();
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.finish_writes()?;
        self.file.sync_data()
    }

    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        let from = physical(offset / BLOCK as u64);
        let to = physical((offset + len).div_ceil(BLOCK as u64));
        self.file.start_writeback(from, to - from)
    }

    fn wait_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        let from = physical(offset / BLOCK as u64);
        let to = physical((offset + len).div_ceil(BLOCK as u64));
        self.file.wait_writeback(from, to - from)
    }
}
