//! A tenant as a replica has it at one moment, and how long a read waits for the moment that it asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::{Code, Error};
use api::service::Consistency;
use storage::{Snapshot, Space};

use super::replica::Replica;
use crate::machine::catalog::Catalog;
use crate::machine::reader::Reader;
use crate::machine::rows::{Header, SpaceStatus};
use crate::mutant::Mutant;
use crate::records::guard::{Asker, Sight};
use crate::records::schema::Collection;
use crate::service::error::{self, internal};

/// How long a read at a position waits for it.
const POSITION_WAIT: Duration = Duration::from_secs(2);

/// A tenant at one moment.
pub(crate) struct Moment {
    /// What is stored.
    pub(crate) snapshot: Snapshot,
    /// The header of the space.
    pub(crate) header: Header,
    /// Its collections.
    pub(crate) catalog: Arc<Catalog>,
}

impl Moment {
    /// What somebody may see of a collection.
    pub(crate) fn sight<'a>(&'a self, collection: &Collection, asker: Asker<'a>) -> Sight<'a> {
        Sight::new(self.catalog.guard(collection).map(AsRef::as_ref), asker)
    }
}

impl Replica {
    /// A tenant at this moment, as this replica has it.
    pub(crate) fn moment(&self, space: Space) -> Result<Moment, Error> {
        let snapshot = self.store.begin_read();
        let placed = snapshot.placed(space).map_err(|fault| internal(&fault))?;
        let (header, place) = placed.ok_or_else(error::no_space)?;
        if !place.is_read() {
            return Err(error::moved());
        }
        self.moment_of(snapshot, space, header)
    }

    /// A tenant as it was after a write that has been answered, though it may have left meanwhile.
    pub(crate) fn moment_after(&self, space: Space) -> Result<Moment, Error> {
        let snapshot = self.store.begin_read();
        let header = snapshot.header(space).map_err(|fault| internal(&fault))?;
        self.moment_of(snapshot, space, header.ok_or_else(error::no_space)?)
    }

    fn moment_of(&self, snapshot: Snapshot, space: Space, header: Header) -> Result<Moment, Error> {
        if header.status != SpaceStatus::Live {
            return Err(error::no_space());
        }
        let catalog = self
            .catalogs()
            .get(&snapshot, space, header.schema)
            .map_err(|fault| internal(&fault))?;
        Ok(Moment {
            snapshot,
            header,
            catalog,
        })
    }

    /// Makes what follows see what was answered before it began, or what else is asked for.
    pub(crate) async fn barrier(&self, space: Space, consistency: Consistency) -> Result<(), Error> {
        match consistency {
            Consistency::Local => {}
            Consistency::Strong => {
                self.group.read_barrier().await.map_err(error::barrier)?;
            }
            // Mutant, B5.
            Consistency::AtLeast(_) if Mutant::PositionNotAwaited.active() => {}
            Consistency::AtLeast(position) => self.wait_position(space, position).await?,
        }
        Ok(())
    }

    async fn wait_position(&self, space: Space, position: u64) -> Result<(), Error> {
        let deadline = Instant::now() + POSITION_WAIT;
        let mut watch = self.watches.watch(space);
        loop {
            let snapshot = self.store.begin_read();
            let header = snapshot.header(space).map_err(|fault| internal(&fault))?;
            if header.is_some_and(|header| header.position >= position) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // Nothing is pinned while it waits.
            drop(snapshot);
            if left.is_zero() || !watch.changed(left).await {
                return Err(Error::new(
                    Code::Timeout,
                    format!("this replica has not reached position {position} yet"),
                ));
            }
        }
    }
}
