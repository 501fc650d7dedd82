//! The command that begins a scrub, at its own position of the log.

use serde::{Deserialize, Serialize};
use storage::table::LastScrub;
use uuid::Uuid;

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Begins a scrub: every replica hashes what it holds after this command.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScrubBegin {
    /// The scrub.
    pub(crate) id: Uuid,
}

/// When a group was scrubbed last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// The scrub.
    pub(crate) id: Uuid,
    /// Its stamp, in microseconds since the epoch.
    pub(crate) stamp: u64,
}

/// Versions of [`Last`].
#[derive(Serialize, Deserialize)]
pub(crate) enum LastRow {
    /// The first.
    V1(Last),
}

impl Command for ScrubBegin {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        let last = Last {
            id: self.id,
            stamp: world.stamp,
        };
        world.put(&LastScrub { space: world.space }, &LastRow::V1(last));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::reader::Reader;
    use crate::machine::stage::{SPACE, Stage};

    #[test]
    fn it_stores_when_it_came_and_nothing_else() {
        let mut stage = Stage::empty();
        for number in [1, 2] {
            let id = Uuid::from_u128(number);
            stage.apply(ScrubBegin { id }).result.expect("no refusal");
            let row = stage.snapshot().row(&LastScrub { space: SPACE }).expect("no fault");
            let Some(LastRow::V1(last)) = row else { panic!("no row") };
            assert_eq!((last.id, last.stamp), (id, 1_000_000 + 10 * number as u64));
        }
        assert_eq!(
            stage
                .snapshot()
                .scan(storage::KeyRange::all(), storage::Direction::Forward)
                .count(),
            1
        );
    }
}
