//! Levels: what one version of this program understands and the one before it does not.
//!
//! A command, a kind of row or an exchange between nodes that came with a version belongs to that version's level. Each group keeps the
//! level that all of its replicas have reached, in its state: [`LevelRaise`] raises it once every replica has said that it can (node/levels.rs),
//! and it never goes down. Until then what belongs to a higher level is not proposed, so that the version before can still read all that
//! is there, and a node can be taken back to it. From then on a replica of that version is refused: it stops at the command that raised
//! the level, and does not open what was written since.
//!
//! Both levels that a program knows run in one group: the newest, and the one before it. `--compat-level` makes a program behave as the
//! one before.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table;

use super::catalog::Catalogs;
use super::dispatch::{Command, Payload, Stamped};
use super::envelope::{EnvelopeError, open};
use super::reader::Reader;
use super::refusal::{Fault, Stop};
use super::world::World;

/// The oldest level that this program can run at: that of a group that was never raised.
pub(crate) const OLDEST: u32 = 1;
/// The newest level that this program knows.
pub(crate) const NEWEST: u32 = 2;

/// What a group's level is, and what it is held against.
#[derive(Debug)]
pub(crate) struct Level {
    /// That of this process.
    own: u32,
    /// That of the group, as of what is applied here.
    group: AtomicU32,
}

impl Level {
    /// For a process at this level; the group's is to be read yet.
    pub(crate) fn new(own: u32) -> Self {
        Self {
            own,
            group: AtomicU32::new(OLDEST),
        }
    }

    /// The group's level.
    pub(crate) fn group(&self) -> u32 {
        self.group.load(Ordering::Acquire)
    }

    /// Takes the group's level from its state, which came to be without this process: from the disk, or from another replica.
    pub(crate) fn read(&self, state: &impl Reader) -> Result<(), Fault> {
        let level = of_state(state)?;
        self.check(&"the state", level)?;
        self.group.store(level, Ordering::Release);
        Ok(())
    }

    /// Takes the level to which a command has raised the group.
    pub(super) fn raised(&self, level: u32) {
        self.group.fetch_max(level, Ordering::AcqRel);
    }

    /// Whether this process understands what belongs to a level.
    pub(super) fn check(&self, what: &dyn std::fmt::Display, level: u32) -> Result<(), Fault> {
        if level <= self.own {
            return Ok(());
        }
        Err(Fault::Level {
            what: what.to_string(),
            level,
            own: self.own,
        })
    }
}

/// The level of the group whose state this is.
pub(crate) fn of_state(reader: &impl Reader) -> Result<u32, Fault> {
    let row: Option<LevelRow> = reader.row(&table::Level { space: Space::SYSTEM })?;
    Ok(row.map_or(OLDEST, |LevelRow::V1(level)| level))
}

/// The level that a group must have for an encoded command to be proposed in it, those among them that it repeats from another cell. Fails
/// for what this program does not know.
pub(crate) fn needed(command: &[u8]) -> Result<u32, EnvelopeError> {
    let of = |command: &[u8]| open::<Stamped>(command).map(|stamped| stamped.payload);
    let payload = of(command)?;
    let mut needed = payload.level();
    if let Payload::SpaceFollow(follow) = &payload {
        for (_, repeated) in &follow.commands {
            needed = needed.max(of(repeated)?.level());
        }
    }
    Ok(needed)
}

/// Versions of the row of a level.
#[derive(Serialize, Deserialize)]
pub(crate) enum LevelRow {
    /// The first.
    V1(u32),
}

/// Raises the level of a group: every replica has reached it. Never lowers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LevelRaise {
    /// To this level.
    pub(crate) level: u32,
}

impl Command for LevelRaise {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        let key = table::Level { space: world.space };
        let now = world.row(&key)?.map_or(OLDEST, |LevelRow::V1(level)| level);
        if self.level > now {
            world.put(&key, &LevelRow::V1(self.level));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::stage::Stage;

    #[test]
    fn a_level_is_raised_and_never_lowered() {
        let mut stage = Stage::of(Space::SYSTEM);
        assert_eq!(of_state(&stage.snapshot()).expect("a level"), OLDEST);
        for (raise, then) in [(2, 2), (1, 2), (5, 5), (4, 5)] {
            stage.apply(LevelRaise { level: raise }).result.expect("no refusal");
            assert_eq!(of_state(&stage.snapshot()).expect("a level"), then);
        }
    }

    #[test]
    fn what_belongs_to_a_higher_level_than_the_process_has_is_refused_by_name() {
        let level = Level::new(1);
        level.check(&"log entry 7", 1).expect("its own");
        let message = level.check(&"log entry 7", 2).expect_err("too high").to_string();
        assert!(
            message.contains("log entry 7") && message.contains("level 2") && message.contains("level 1"),
            "{message}"
        );
    }
}
