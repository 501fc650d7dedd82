//! A store of one space, in which commands of the log are applied again. It lies in the node's data and goes when it is dropped; what a
//! crash leaves goes at the next start.

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use storage::blob::ChunkHash;
use storage::{Options, Space, Store};
use uuid::Uuid;

use super::manifest::Part;
use super::segment::Entry;
use crate::archive::{self, Chunk, Owner, Reader, Summary};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::{self, Answer, Command, Stamped, answer};
use crate::machine::envelope::{open, seal};
use crate::machine::reader::Reader as _;
use crate::machine::rows::Actor;
use crate::placement::arrive::SpaceArrive;
use crate::placement::clear::SpaceClear;
use crate::placement::turn::{SpaceTurn, Turn};

/// Entries between two looks at how much is in memory.
const LOOK: u64 = 256;

/// A store of one space.
pub(crate) struct Scratch {
    /// None once it was closed.
    store: Option<Store>,
    catalogs: Catalogs,
    space: Space,
    index: u64,
    directory: Directory,
}

/// A directory that goes when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "what a restore has left cannot be removed");
        }
    }
}

/// What was restored: an archive, and the directory that it is in.
pub(crate) struct Restored {
    /// What is in the archive.
    pub(crate) summary: Summary,
    /// The archive, without the chunks of files.
    pub(crate) file: fs::File,
    /// The chunks of files that its rows name, ascending.
    pub(crate) chunks: Vec<ChunkHash>,
    _directory: Directory,
}

type Result<T> = std::result::Result<T, String>;

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Scratch {
    /// An empty store for a space, below `root`. Blocking, as all of it.
    pub(crate) fn new(root: &Path, space: Space) -> Result<Self> {
        let path = root.join(Uuid::now_v7().to_string());
        fs::create_dir_all(&path).map_err(told)?;
        let directory = Directory(path);
        let store = Store::open(&directory.0.join("store"), Options::default()).map_err(told)?;
        Ok(Self {
            store: Some(store),
            catalogs: Catalogs::default(),
            space,
            index: 0,
            directory,
        })
    }

    fn store(&self) -> Result<&Store> {
        self.store.as_ref().ok_or_else(|| "the store is closed".to_owned())
    }

    /// Takes the archive of a base. It comes as a space that moves does, and stands in the end where it stood.
    pub(crate) fn load(&mut self, part: &Part, archive: impl Read) -> Result<()> {
        let attempt = 1;
        let tenant = part.tenant;
        self.command(SpaceClear {
            attempt,
            tenant,
            comes: true,
        })?;
        let owner = Owner {
            space: self.space,
            tenant,
            slug: part.slug.clone(),
            keeps_tokens: true,
        };
        let mut chunks = (0..).zip(Reader::new(archive, owner).map_err(told)?);
        let mut is_whole = false;
        for (chunk, read) in &mut chunks {
            let Chunk { rows, end, .. } = read.map_err(told)?;
            is_whole = end.is_some();
            let end = end.map(|header| (header, 0));
            self.command(SpaceArrive {
                attempt,
                chunk,
                rows,
                end,
            })?;
        }
        if !is_whole {
            return Err("the archive has no end".to_owned());
        }
        for turn in [Turn::Arrive { index: 0, epoch: 1 }, Turn::Live] {
            self.command(SpaceTurn { attempt, turn })?;
        }
        if let Some(attempt) = part.held {
            let turn = Turn::Hold;
            self.command(SpaceTurn { attempt, turn })?;
        }
        Ok(())
    }

    /// A command of ours: it is never refused.
    fn command<C: Command>(&mut self, command: C) -> Result<()> {
        let stamped = Stamped {
            stamp: 0,
            space: self.space.0,
            actor: Actor::System,
            schema: None,
            access: None,
            idempotency: None,
            payload: command.into(),
        };
        let reply = self.take_in(&seal(&stamped))?.unwrap_or_default();
        let answer: Answer<C::Reply> = answer(&reply).map_err(told)?;
        answer
            .result
            .map(drop)
            .map_err(|refusal| format!("a step was refused: {refusal:?}"))
    }

    fn take_in(&mut self, command: &[u8]) -> Result<Option<storage::Bytes>> {
        self.index += 1;
        let store = self.store()?;
        if self.index.is_multiple_of(LOOK) && store.over_limit() {
            store.persist().map_err(told)?;
        }
        let mut batch = store.begin_batch().map_err(told)?;
        let done = dispatch::apply(&mut batch, self.index, command, &self.catalogs).map_err(told)?;
        let mark = storage::Mark {
            index: self.index,
            state: Vec::new(),
        };
        batch.commit(mark).map_err(told)?;
        Ok(done.answer)
    }

    /// Applies commands of the log that are for the space, up to the first that was stamped after `until`. True: there was one.
    pub(crate) fn replay(&mut self, entries: &[Entry], until: Option<u64>) -> Result<bool> {
        let space = self.space.0;
        for entry in entries.iter().filter(|entry| entry.space == space) {
            if let Some(until) = until {
                let stamped: Stamped = open(&entry.command).map_err(|error| format!("log entry {}: {error}", entry.index))?;
                let header = self.store()?.begin_read().header(self.space).map_err(told)?;
                // As the machine stamps it.
                let stamp = header.map_or(stamped.stamp, |header| stamped.stamp.max(header.stamp.saturating_add(1)));
                if stamp > until {
                    return Ok(true);
                }
            }
            self.take_in(&entry.command)?;
        }
        Ok(false)
    }

    /// Writes what there is now as an archive; none: no tenant is served in the space.
    pub(crate) fn finish(mut self) -> Result<Option<Restored>> {
        let snapshot = self.store()?.begin_read();
        let placed = snapshot.placed(self.space).map_err(told)?;
        if placed.and_then(super::base::served).is_none() {
            return Ok(None);
        }
        let path = self.directory.0.join("tenant.archive");
        let file = fs::File::options().read(true).write(true).create_new(true).open(&path);
        let mut out = BufWriter::new(file.map_err(told)?);
        let summary = archive::write(&snapshot, self.space, &mut out).map_err(told)?;
        let chunks: std::result::Result<Vec<_>, _> = archive::named(&snapshot, self.space).collect();
        let chunks = chunks.map_err(told)?;
        out.flush().map_err(told)?;
        let file = fs::File::open(&path).map_err(told)?;
        // It is thrown away: nothing of it need be made durable.
        drop((snapshot, self.store.take()));
        Ok(Some(Restored {
            summary,
            file,
            chunks,
            _directory: self.directory,
        }))
    }
}
