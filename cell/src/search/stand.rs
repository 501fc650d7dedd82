//! Where a space stands in the store, held against its mark in the index.

use storage::search::{SearchError, SpaceMark};
use storage::{Snapshot, Space, table};

use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::rows::{EventRow, Header, SpaceStatus};
use crate::records::trim;

/// Why a space cannot be followed now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    /// The store answers nothing.
    #[error("{0}")]
    Store(#[from] Fault),
    /// The index does not take it.
    #[error("{0}")]
    Index(#[from] SearchError),
}

impl From<storage::Error> for Halt {
    fn from(error: storage::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The header of a space that is served here.
pub(super) fn served(snapshot: &Snapshot, space: Space) -> Result<Option<Header>, Fault> {
    let placed = snapshot.placed(space)?;
    let served = placed.filter(|(header, place)| header.status == SpaceStatus::Live && place.is_read());
    Ok(served.map(|(header, _)| header))
}

/// Whether events do not lead from a mark to where the space is: they are no longer kept, or are of another history.
pub(super) fn is_cut(snapshot: &Snapshot, space: Space, header: &Header, mark: SpaceMark) -> Result<bool, Fault> {
    match stamp_at(snapshot, space, mark.position)? {
        Some(stamp) => Ok(mark.stamp != 0 && mark.stamp != stamp),
        // A space begins with an event, and what is trimmed reaches its last one at most.
        None => Ok(mark.position < trim::trimmed_to(snapshot, space, header)?),
    }
}

/// The stamp of an event; none: it is no longer kept.
pub(super) fn stamp_at(snapshot: &Snapshot, space: Space, position: u64) -> Result<Option<u64>, Fault> {
    let event: Option<EventRow> = snapshot.row(&table::Event { space, position })?;
    Ok(event.map(|EventRow::V1(event)| event.stamp))
}
