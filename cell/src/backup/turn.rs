//! The command that says how far a cell's log is archived, and the row that keeps it.

use api::error::Error;
use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table::Backup;
use uuid::Uuid;

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Refusal, Stop};
use crate::machine::world::World;
use crate::node::replica::Replica;
use crate::service::error::internal;

/// How far a cell is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Archived {
    /// The life of the cell's log.
    pub(crate) line: Uuid,
    /// The last position that is archived, or was given up.
    pub(crate) index: u64,
    /// The last position that was given up: a base before it is not one that the log goes on from.
    pub(crate) gap: u64,
    /// The position of the newest base; 0: there is none that the log goes on from.
    pub(crate) base: u64,
    /// When that was begun, in microseconds since the epoch.
    pub(crate) base_stamp: u64,
}

/// Versions of [`Archived`].
#[derive(Serialize, Deserialize)]
pub(crate) enum ArchivedRow {
    /// The first.
    V1(Archived),
}

/// Says how far it is. What goes back, or belongs to another life, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupTurn {
    /// The life of the cell's log.
    pub(crate) line: Uuid,
    /// The last position that is archived.
    pub(crate) index: u64,
    /// Log before that position was purged, or never archived.
    pub(crate) is_gap: bool,
    /// A base that was made: its position, and when it was begun.
    pub(crate) base: Option<(u64, u64)>,
}

impl Archived {
    /// When the life of the cell's log began to be archived, in microseconds since the epoch.
    pub(crate) fn began(&self) -> u64 {
        let (seconds, nanos) = self.line.get_timestamp().map_or((0, 0), |time| time.to_unix());
        seconds.saturating_mul(1_000_000).saturating_add(u64::from(nanos) / 1_000)
    }
}

/// Whether the space of a tenant that is not there may be made empty. Where the cell is backed up, the life of its log began with the first
/// round of the backup, or before: a tenant that was entered earlier had its space in an earlier life of the cell, which was lost. It is for an
/// operator to bring that back (`cell restore`). False also where it cannot be told yet.
pub(crate) fn may_make(replica: &Replica, entered: u64) -> Result<bool, Error> {
    if !replica.is_archived {
        return Ok(true);
    }
    let archived = read(&replica.store.begin_read()).map_err(|fault| internal(&fault))?;
    Ok(archived.is_some_and(|archived| archived.began() <= entered))
}

/// Reads how far a cell is archived; none: it never was.
pub(crate) fn read(reader: &impl Reader) -> Result<Option<Archived>, Fault> {
    let row = reader.row(&Backup { space: Space::SYSTEM })?;
    Ok(row.map(|ArchivedRow::V1(archived)| archived))
}

impl Command for BackupTurn {
    type Reply = Archived;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Archived, Stop> {
        let before = read(world)?;
        if before.is_some_and(|before| before.line != self.line || self.index < before.index) {
            return Err(Refusal::Stale.into());
        }
        let mut now = Archived {
            index: self.index,
            ..before.unwrap_or(Archived {
                line: self.line,
                index: 0,
                gap: 0,
                base: 0,
                base_stamp: 0,
            })
        };
        if self.is_gap {
            (now.gap, now.base, now.base_stamp) = (now.index, 0, 0);
        }
        if let Some((base, stamp)) = self.base
            && base >= now.gap
            && base > now.base
        {
            (now.base, now.base_stamp) = (base, stamp);
        }
        world.put(&Backup { space: world.space }, &ArchivedRow::V1(now));
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::stage::Stage;

    #[test]
    fn it_goes_forward_only_and_in_one_line() {
        let mut stage = Stage::of(Space::SYSTEM);
        let mut turn = |line, index, is_gap, base: Option<u64>| {
            let command = BackupTurn {
                line: Uuid::from_u128(line),
                index,
                is_gap,
                base: base.map(|base| (base, base * 10)),
            };
            let archived = stage.apply(command).result;
            archived.map(|now| (now.index, now.gap, now.base, now.base_stamp))
        };
        assert_eq!(turn(1, 5, true, None), Ok((5, 5, 0, 0)), "it begins with a gap");
        assert_eq!(turn(1, 9, false, Some(7)), Ok((9, 5, 7, 70)));
        assert_eq!(turn(1, 12, false, None), Ok((12, 5, 7, 70)), "a base that is known stays");
        assert_eq!(turn(1, 12, false, Some(6)), Ok((12, 5, 7, 70)), "so does the newest");
        assert_eq!(turn(1, 11, false, Some(11)), Err(Refusal::Stale));
        assert_eq!(turn(2, 20, false, None), Err(Refusal::Stale));
        assert_eq!(turn(1, 20, true, None), Ok((20, 20, 0, 0)), "a gap needs another base");
        assert_eq!(turn(1, 25, false, Some(19)), Ok((25, 20, 0, 0)), "and not one before it");
        assert_eq!(turn(1, 25, false, Some(20)), Ok((25, 20, 20, 200)));
    }
}
