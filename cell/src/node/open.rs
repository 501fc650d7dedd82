//! Opening this node's replicas: at its start, and again after a repair.
//!
//! What is damaged is told from what cannot work. A store is damaged when it says so itself, at once or while the log is replayed into
//! it, and when it is older than what the log was purged to: entries are missing then that only another replica has. The log must be
//! whole for either; one that is not does not open at all, and the node does not start.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use raft::{GroupId, GroupOptions, Host};
use storage::{Options, Store};

use super::data::Data;
use super::replica::Replica;
use super::slot::Slot;
use crate::config::{CellEntry, Config, NodeEntry};
use crate::directory::GROUP;

/// Memory for the page cache of all stores of a node, in bytes. Raised: more reads without the disk. Lowered: less memory.
const CACHE_BYTES: usize = 256 * 1024 * 1024;

/// How replicas are opened on this node.
pub(crate) struct Opener {
    host: Host,
    data: Data,
    /// The node's region: its cells stay there.
    region: String,
    /// The share of each store in the page cache.
    cache_bytes: usize,
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
        let bound = GroupOptions {
            region: (slot.number != GROUP).then(|| self.region.clone()),
        };
        let delta_limit_bytes = self.options().delta_limit_bytes;
        let joined = Replica::join(&self.host, slot.number, &slot.name, store, delta_limit_bytes, bound);
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
    pub(crate) directory: Arc<Slot>,
    pub(crate) cells: BTreeMap<u64, Arc<Slot>>,
}

/// Opens the directory and this node's cells. Opening reads disks: it has threads of its own. The place of a damaged replica stays
/// empty, if another node can help.
pub(crate) async fn open_replicas(config: &Arc<Config>, me: &NodeEntry, host: &Host, data: Data) -> anyhow::Result<Places> {
    let cells = config.region_cells(&me.region);
    let cells: Vec<CellEntry> = cells
        .into_iter()
        .filter(|cell| cell.nodes.contains(&me.name))
        .cloned()
        .collect();
    let opener = Arc::new(Opener {
        host: host.clone(),
        data,
        region: me.region.clone(),
        cache_bytes: CACHE_BYTES / (cells.len() + 1),
    });
    let alone = config.region_nodes(&me.region).len() < 2;
    let opened = tokio::task::spawn_blocking(move || {
        let directory = place(&opener, GROUP, "directory", alone)?;
        let mut places = BTreeMap::new();
        for cell in cells {
            let slot = place(&opener, cell.number, &cell.name, cell.nodes.len() < 2)?;
            places.insert(cell.number, slot);
        }
        anyhow::Ok(Places {
            opener,
            directory,
            cells: places,
        })
    });
    opened.await?
}

/// Opens one replica, or leaves its place empty for its repair.
fn place(opener: &Opener, number: u64, name: &str, alone: bool) -> anyhow::Result<Arc<Slot>> {
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
