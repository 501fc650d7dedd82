//! One redb file: all keys in one table, and what is known about them in another.
//!
//! `data` holds every key of the group, space first, so that a tenant's keys lie together; its values are wrapped (`value`).
//! `meta` holds two rows, wrapped alike: `format`, the version of all of this, and `progress` (`progress`), which every commit of
//! a flush writes together with the keys that it speaks of.
//!
//! Commits are durable, in two phases, with quick repair: the primary slot is then always whole, and opening after a crash costs a
//! millisecond instead of reading the whole file.
//!
//! The file has a checksum for every block (`checked`), since redb does not look at its own when it reads.
//!
//! redb panics on some damaged pages. What reads here catches that and calls it damage, so that no file can take the process down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::buffered::{Backend, Buffered};
use crate::checked::{self, Checked};
use crate::delta::Entry;
use crate::disk::Disk;
use crate::error::Error;
use crate::inner::{INCOMING, STORE_FILE};
use crate::key::{self, Key};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::range::KeyRange;
use crate::sorted;
use crate::table;
use crate::value;

/// The version of the tables and rows of the file.
pub(crate) const STORE_FORMAT: u32 = 1;

type Bytewise = &'static [u8];
const DATA: TableDefinition<Bytewise, Bytewise> = TableDefinition::new("data");
const META: TableDefinition<Bytewise, Bytewise> = TableDefinition::new("meta");
const FORMAT_ROW: &[u8] = b"format";
const PROGRESS_ROW: &[u8] = b"progress";

/// An open file. Everything that reads from it keeps it alive, since redb answers nothing once its database is dropped.
#[derive(Debug)]
pub(crate) struct Ground {
    database: Database,
    buffered: Arc<Buffered>,
    /// The file's checksums; none in a file from before there were any.
    checked: Option<Arc<Checked>>,
    path: PathBuf,
    /// The store's directory, for messages about a file that may have been renamed since.
    dir: PathBuf,
}

impl Ground {
    /// Opens a finished file and reads how far it is.
    pub(crate) fn open(
        disk: &dyn Disk,
        name: &str,
        cache_bytes: usize,
        pace: &Arc<Pace>,
    ) -> Result<(Arc<Ground>, Progress), Error> {
        let path = disk.path(name);
        let file = disk.open(name).map_err(|source| Error::io("open file", &path, source))?;
        if file.len().map_err(|source| Error::io("measure file", &path, source))? == 0 {
            return Err(Error::Damaged {
                what: format!("{} is empty", path.display()),
            });
        }
        let ground = Ground::open_file(disk, name, cache_bytes, pace, true)?;
        let progress = guarded(&path.display().to_string(), || ground.read_meta())?;
        Ok((ground, progress))
    }

    /// Opens a file, new and empty when there is none. That is no store before its first `write` with a progress. Where there is no
    /// room on the disk its writes wait for some if it `waits`, and fail with `Io` if not.
    pub(crate) fn open_file(
        disk: &dyn Disk,
        name: &str,
        cache_bytes: usize,
        pace: &Arc<Pace>,
        waits: bool,
    ) -> Result<Arc<Ground>, Error> {
        let path = disk.path(name);
        let file = disk.open(name).map_err(|source| Error::io("open file", &path, source))?;
        let (file, checked) = checked::open(file).map_err(|source| Error::io("open file", &path, source))?;
        let buffered = Arc::new(Buffered::new(file, pace.clone(), waits));
        let backend = Backend(buffered.clone());
        let opened = guarded(&path.display().to_string(), || {
            Database::builder()
                .set_cache_size(cache_bytes)
                .create_with_backend(backend)
                .map_err(|error| match error {
                    redb::DatabaseError::Storage(redb::StorageError::Io(source))
                        if source.kind() != std::io::ErrorKind::InvalidData =>
                    {
                        Error::io("open file", &path, source)
                    }
                    other => Error::Damaged {
                        what: format!("{}: {other}", path.display()),
                    },
                })
        });
        Ok(Arc::new(Ground {
            database: opened?,
            buffered,
            checked,
            path,
            dir: disk.path(""),
        }))
    }

    fn read_meta(&self) -> Result<Progress, Error> {
        let file = self.path.display().to_string();
        let transaction = self
            .database
            .begin_read()
            .map_err(|error| Error::engine("begin read", &self.dir, error))?;
        let table = transaction
            .open_table(META)
            .map_err(|error| Error::engine("open table meta", &self.dir, error))?;
        let row = |name: &'static [u8]| -> Result<Vec<u8>, Error> {
            let missing = || Error::Damaged {
                what: format!("{file} has no row {}", String::from_utf8_lossy(name)),
            };
            let found = table
                .get(name)
                .map_err(|error| Error::engine("read meta", &self.dir, error))?
                .ok_or_else(missing)?;
            Ok(value::unwrap(name, found.value())?.to_vec())
        };
        let format = row(FORMAT_ROW)?;
        let format: [u8; 4] = format.try_into().map_err(|_| Error::Damaged {
            what: format!("{file}: the row format"),
        })?;
        let found = u32::from_be_bytes(format);
        if found != STORE_FORMAT {
            return Err(Error::NewerFormat {
                what: file,
                found,
                known: STORE_FORMAT,
            });
        }
        Progress::decode(&row(PROGRESS_ROW)?, &format!("{file}: the row progress"))
    }

    /// One durable commit: these changes in ascending order of their keys (one without a value deletes), and, when given, the progress row.
    pub(crate) fn write<'a>(&self, changes: impl Iterator<Item = &'a Entry>, progress: Option<&Progress>) -> Result<(), Error> {
        let mut transaction = self
            .database
            .begin_write()
            .map_err(|error| Error::engine("begin write", &self.dir, error))?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        {
            let mut table = transaction
                .open_table(DATA)
                .map_err(|error| Error::engine("open table data", &self.dir, error))?;
            sorted::write(&mut table, changes).map_err(|error| Error::engine("write data", &self.dir, error))?;
        }
        if let Some(progress) = progress {
            let mut table = transaction
                .open_table(META)
                .map_err(|error| Error::engine("open table meta", &self.dir, error))?;
            for (name, row) in [
                (FORMAT_ROW, STORE_FORMAT.to_be_bytes().to_vec()),
                (PROGRESS_ROW, progress.encode()),
            ] {
                let mut wrapped = Vec::new();
                value::wrap(name, &row, &mut wrapped);
                table
                    .insert(name, wrapped.as_slice())
                    .map_err(|error| Error::engine("write meta", &self.dir, error))?;
            }
        }
        transaction
            .commit()
            .map_err(|error| Error::engine("commit", &self.dir, error))
    }

    /// The file as of its last commit.
    pub(crate) fn view(self: &Arc<Ground>) -> Result<Arc<GroundView>, Error> {
        let transaction = self
            .database
            .begin_read()
            .map_err(|error| Error::engine("begin read", &self.dir, error))?;
        let table = transaction
            .open_table(DATA)
            .map_err(|error| Error::engine("open table data", &self.dir, error))?;
        Ok(Arc::new(GroundView {
            table,
            ground: self.clone(),
        }))
    }

    /// Reads on from a block what of the file is in use or was, and checks it: see `checked`. Returns where to go on.
    pub(crate) fn verify(&self, from: u64, verified: &mut u64) -> Result<Option<u64>, Error> {
        let Some(checked) = &self.checked else { return Ok(None) };
        let found = checked.verify(from, verified);
        found.map_err(|source| Error::engine("verify file", &self.dir, redb::Error::Io(source)))
    }

    /// How often a page of the file was in its cache, and how often not.
    pub(crate) fn pages(&self) -> (u64, u64) {
        let stats = self.database.cache_stats();
        (stats.read_hits(), stats.read_misses())
    }

    /// It has become the store's file and waits for room from now on, or another one has, and it does not any more.
    pub(crate) fn set_waits(&self, waits: bool) {
        self.buffered.set_waits(waits);
    }

    /// The length of the file.
    pub(crate) fn bytes(&self) -> std::io::Result<u64> {
        self.buffered.bytes()
    }
}

/// The file as of one commit. Fields drop in order: the transaction before the database.
pub(crate) struct GroundView {
    table: ReadOnlyTable<Bytewise, Bytewise>,
    ground: Arc<Ground>,
}

impl GroundView {
    pub(crate) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let read = || {
            let found = self
                .table
                .get(key)
                .map_err(|error| Error::engine("read data", &self.ground.dir, error))?;
            found
                .map(|wrapped| value::unwrap(key, wrapped.value()).map(Bytes::copy_from_slice))
                .transpose()
        };
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(panicked(&table::print(key))))
    }

    pub(crate) fn scan(self: &Arc<GroundView>, range: &KeyRange) -> Result<GroundScan, Error> {
        let range = guarded("a range", || {
            self.table
                .range::<&[u8]>(range.bounds())
                .map_err(|error| Error::engine("read data", &self.ground.dir, error))
        })?;
        Ok(GroundScan {
            range,
            view: self.clone(),
        })
    }
}

/// Walks over a range of the file.
pub(crate) struct GroundScan {
    range: redb::Range<'static, Bytewise, Bytewise>,
    view: Arc<GroundView>,
}

impl GroundScan {
    /// The next key, from the front or from the back.
    pub(crate) fn next(&mut self, forward: bool) -> Result<Option<(Key, Bytes)>, Error> {
        let (range, dir) = (&mut self.range, &self.view.ground.dir);
        guarded("a range", || {
            let Some(found) = (if forward { range.next() } else { range.next_back() }) else {
                return Ok(None);
            };
            let (key, wrapped) = found.map_err(|error| Error::engine("read data", dir, error))?;
            let value = Bytes::copy_from_slice(value::unwrap(key.value(), wrapped.value())?);
            Ok(Some((key::trusted(key.value()), value)))
        })
    }
}

/// Makes an empty store. It gets its name only when it is whole, so that a crash leaves none or one.
pub(crate) fn create(disk: &dyn Disk, cache_bytes: usize, pace: &Arc<Pace>) -> Result<(), Error> {
    let name = format!("{INCOMING}new.redb");
    let ground = Ground::open_file(disk, &name, cache_bytes, pace, true)?;
    ground.write(std::iter::empty(), Some(&Progress::default()))?;
    drop(ground);
    disk.rename(&name, STORE_FILE)
        .map_err(|source| Error::io("rename file", disk.path(&name), source))?;
    disk.sync_dir()
        .map_err(|source| Error::io("sync directory", disk.path(""), source))
}

fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(panicked(what)))
}

fn panicked(what: &str) -> Error {
    Error::Damaged {
        what: format!("{what}: the pages on disk make no sense"),
    }
}
