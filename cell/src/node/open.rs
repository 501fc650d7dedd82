//! Opening this node's replicas: at its start, and again after a repair.
//!
//! What is damaged is told from what cannot work. A store is damaged when it says so itself, at once or while the log is replayed into
//! it, and when it is older than what the log was purged to: entries are missing then that only another replica has. The log must be
//! whole for either; one that is not does not open at all, and the node does not start.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use raft::{GroupId, GroupOptions, Host, Timing};
use storage::blob::Blobs;
use storage::{Options, Store};

use super::data::Data;
use super::directory::Directory;
use super::replica::{Followers, Replica};
use super::slot::Slot;
use crate::config::{CellEntry, Config, NodeEntry, Topology};
use crate::directory::{GROUP, topology};
use crate::machine::level::Level;

/// Memory for the page cache of all stores of a node, in bytes. Raised: more reads without the disk. Lowered: less memory.
const CACHE_BYTES: usize = 256 * 1024 * 1024;

/// Where the chunks of files are, in the store's directory.
const BLOBS: &str = "blobs";
/// Where the search index of a store is, in the store's directory.
const SEARCH: &str = "search";

/// Heartbeats and elections of a directory whose voters are in several regions.
const WIDE_TIMING: Timing = Timing {
    heartbeat_ms: 500,
    election_min_ms: 2_000,
    election_max_ms: 4_000,
};

/// How replicas are opened on this node.
pub(crate) struct Opener {
    host: Host,
    data: Data,
    /// The level that this process runs at.
    pub(crate) level: u32,
    /// The node's region: its cells stay there.
    region: String,
    /// The share of each store in the page cache.
    cache_bytes: usize,
    /// Whether the cells of the region are backed up: their logs are kept until they are archived.
    backs_up: bool,
    /// Heartbeats and elections of the directory; none: those of the cells.
    directory_timing: Option<Timing>,
}

/// Why a replica is not open.
pub(crate) enum Unopened {
    /// Its store is damaged. The log is whole: another replica can give the state.
    Damaged(String),
    /// Another replica would not help.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Unopened {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl Opener {
    /// How the stores of this node are opened.
    pub(crate) fn options(&self) -> Options {
        Options {
            cache_bytes: self.cache_bytes,
            ..Options::default()
        }
    }

    /// The data directory.
    pub(crate) fn root(&self) -> &std::path::Path {
        self.data.root()
    }

    /// Where the copy of the directory is.
    pub(crate) fn copy_directory(&self) -> std::path::PathBuf {
        self.data.copy()
    }

    /// Where stores are made that nobody needs after a restart.
    pub(crate) fn scratch_directory(&self) -> std::path::PathBuf {
        self.data.scratch()
    }

    /// Where the store of a place is.
    pub(crate) fn directory(&self, slot: &Slot) -> std::path::PathBuf {
        self.data.store(slot.number)
    }

    /// Opens a store and joins the group. Blocking.
    pub(crate) fn open(&self, slot: &Slot) -> Result<Replica, Unopened> {
        let directory = self.directory(slot);
        match Store::open(&directory, self.options()) {
            Ok(store) => self.join(slot, &store),
            Err(storage::Error::Damaged { what }) => Err(Unopened::Damaged(what)),
            Err(error) => {
                let context = format!("open the store of {} in {}", slot.name, directory.display());
                Err(Unopened::Other(anyhow::Error::new(error).context(context)))
            }
        }
    }

    /// Joins the group with a store that is open. Blocking.
    pub(crate) fn join(&self, slot: &Slot, store: &Store) -> Result<Replica, Unopened> {
        // The directory is the one group whose members may be anywhere: it has nothing of a tenant's content.
        let of_directory = slot.number == GROUP;
        let options = GroupOptions {
            region: (!of_directory).then(|| self.region.clone()),
            timing: self.directory_timing.filter(|_| of_directory),
        };
        let level = Level::new(self.level);
        level
            .read(&store.begin_read())
            .with_context(|| format!("open {}", slot.name))?;
        let search = self.directory(slot).join(SEARCH);
        let blobs = Blobs::open(&self.directory(slot).join(BLOBS));
        let blobs = blobs.with_context(|| format!("open the chunks of files of {}", slot.name))?;
        let follows = Followers {
            is_archived: self.backs_up && !of_directory,
            search: (!of_directory).then_some(&*search),
            blobs: (!of_directory).then_some(blobs),
        };
        let joined = Replica::join(
            &self.host,
            slot,
            store,
            level,
            self.options().delta_limit_bytes,
            &follows,
            options,
        );
        joined.map_err(|error| match (error, store.damaged()) {
            (_, Some(what)) => Unopened::Damaged(what),
            (raft::Error::Behind { applied, purged, .. }, None) => {
                let what = format!("the store ends at log position {applied}, but the log begins after {purged}");
                match store.mark_damaged(&what) {
                    Ok(()) => Unopened::Damaged(what),
                    Err(error) => Unopened::Other(error.into()),
                }
            }
            (error, None) => {
                let context = format!("open the group of {}", slot.name);
                Unopened::Other(anyhow::Error::new(error).context(context))
            }
        })
    }

    /// Up to where the log of a group is purged: what its store is rebuilt from must reach there.
    pub(crate) fn purged(&self, slot: &Slot) -> u64 {
        self.host.purged(GroupId(slot.number))
    }
}

/// The places of one node.
pub(crate) struct Places {
    pub(crate) opener: Arc<Opener>,
    pub(crate) directory: Directory,
    /// What the cluster consists of: what the directory says, or, before there is one here, what the file says.
    pub(crate) topology: Topology,
    pub(crate) cells: BTreeMap<u64, Arc<Slot>>,
}

/// Opens the directory and this node's cells. Opening reads disks: it has threads of its own. The place of a damaged replica stays
/// empty, if another node can help.
pub(crate) async fn open_replicas(
    config: &Arc<Config>,
    me: &NodeEntry,
    host: &Host,
    data: Data,
    level: u32,
) -> anyhow::Result<Places> {
    let (config, me, host) = (Arc::clone(config), me.clone(), host.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let cells = config.region_cells(&me.region).len();
        let opener = Arc::new(Opener {
            directory_timing: directory_timing(&config),
            level,
            region: me.region.clone(),
            cache_bytes: CACHE_BYTES / (cells + 1),
            backs_up: config.backup(&me.region).is_some(),
            host,
            data,
        });
        let directory = open_directory(&opener, &config, &me)?;
        let stored = directory.read().ok().map(|snapshot| topology::read(&snapshot));
        let stored = stored.transpose().context("read the topology in the directory")?.flatten();
        let topology = stored.map_or_else(|| config.topology.clone(), |(_, topology)| topology);
        let mut cells = BTreeMap::new();
        for cell in own_cells(&topology, &me) {
            let slot = place(&opener, cell.number, &cell.name, cell.nodes.len() < 2)?;
            cells.insert(cell.number, slot);
        }
        anyhow::Ok(Places {
            opener,
            directory,
            topology,
            cells,
        })
    });
    opened.await?
}

/// The cells of which a node has a replica.
pub(crate) fn own_cells<'t>(topology: &'t Topology, me: &NodeEntry) -> impl Iterator<Item = &'t CellEntry> {
    let cells = topology.cells.iter().filter(|cell| cell.region == me.region);
    cells.filter(|cell| cell.nodes.contains(&me.name))
}

/// The replica of the directory, where this node has voted; elsewhere a copy, and a replica beside it where it is to vote.
fn open_directory(opener: &Opener, config: &Config, me: &NodeEntry) -> anyhow::Result<Directory> {
    let voters = &config.topology.directory_voters;
    let (votes, alone) = (voters.contains(&me.name), voters.len() < 2);
    let has_voted = opener.host.logged_groups().contains(&GroupId(GROUP));
    if has_voted || (votes && alone) {
        return Ok(Directory::seated(place(opener, GROUP, "directory", alone)?));
    }
    let joining = votes.then(|| place(opener, GROUP, "directory", false)).transpose()?;
    let directory = Directory::copying(&opener.copy_directory(), opener.options(), joining)?;
    if let Ok(snapshot) = directory.read() {
        let level = Level::new(opener.level);
        level.read(&snapshot).context("open the copy of the directory")?;
    }
    Ok(directory)
}

/// Voters that are far from each other hear less often of each other, and are longer patient.
fn directory_timing(config: &Config) -> Option<Timing> {
    config.topology.directory_is_wide().then_some(WIDE_TIMING)
}

/// Opens one replica, or leaves its place empty for its repair.
pub(super) fn place(opener: &Opener, number: u64, name: &str, alone: bool) -> anyhow::Result<Arc<Slot>> {
    let slot = Slot::new(number, name);
    match opener.open(&slot) {
        Ok(replica) => slot.fill(replica),
        Err(Unopened::Other(error)) => return Err(error),
        Err(Unopened::Damaged(what)) if alone => {
            bail!("the store of {name} is damaged, and there is no other replica to rebuild it from: {what}")
        }
        Err(Unopened::Damaged(what)) if !opener.host.logged_groups().contains(&GroupId(number)) => {
            return Err(anyhow!(what)).with_context(|| {
                format!("the store of {name} is damaged, and the log knows nothing of its group: this node has lost its votes")
            });
        }
        Err(Unopened::Damaged(what)) => slot.clear(&what),
    }
    Ok(Arc::new(slot))
}
