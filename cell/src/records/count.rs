//! Counting the records of a space of before there were totals ([`super::totals`]), while they are written.
//!
//! ```text
//!  no row ── Begin ──► Counting { since, grown } ── End { base } ──► Known { base + grown }
//!                              │     ▲
//!                              │     └─ every command adds what it changes
//!                              └─ one snapshot: grown as it was then, and what a walk counts; base: the second without the first
//! ```
//!
//! What was there when counting began is the same whoever works it out, and from whichever snapshot: a leader that is interrupted
//! leaves nothing behind, the next one walks again, and saying it twice changes nothing.

use serde::{Deserialize, Serialize};
use storage::{Direction, Key, KeyRange, Snapshot, Space};

use super::totals::{self, COUNTED, Growth, TotalsRow};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Begins to count, or ends it. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecordsCount {
    /// From here on what commands change is kept. Nothing where that is so already.
    Begin,
    /// Says what was there when that began. Nothing where it is known, or was about another beginning.
    End {
        /// The stamp of the beginning.
        since: u64,
        /// What was there.
        base: Growth,
    },
}

impl Command for RecordsCount {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        match (self, totals::row(world, world.space)?) {
            (Self::Begin, None) => {
                let (since, grown) = (world.stamp, Growth::default());
                totals::write(world, TotalsRow::Counting { since, grown });
            }
            (Self::End { since, base }, Some(TotalsRow::Counting { since: begun, grown })) if begun == since => {
                totals::write(world, TotalsRow::Known(base.plus(grown).totals()));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a step of a walk did.
pub(crate) enum Stepped {
    /// It has read so many bytes, and there may be more.
    On {
        /// Keys and values.
        bytes: usize,
    },
    /// That was all that there is.
    Ended(Growth),
}

/// A walk over all that counts in one state of a space.
pub(crate) struct Walk {
    snapshot: Snapshot,
    space: Space,
    /// The table that it is at, and the last key that it has counted.
    table: usize,
    after: Option<Key>,
    found: Growth,
}

impl Walk {
    /// Before the first row.
    pub(crate) fn new(snapshot: Snapshot, space: Space) -> Self {
        Self {
            snapshot,
            space,
            table: 0,
            after: None,
            found: Growth::default(),
        }
    }

    /// Counts so many rows more.
    pub(crate) fn step(&mut self, rows: usize) -> Result<Stepped, storage::Error> {
        let Some(tag) = COUNTED.get(self.table) else {
            return Ok(Stepped::Ended(self.found));
        };
        let whole = KeyRange::table(self.space, *tag);
        let range = match &self.after {
            Some(key) => whole.after(key),
            None => whole,
        };
        let (mut counted, mut bytes) = (0, 0);
        for row in self.snapshot.scan(range, Direction::Forward).take(rows) {
            let (key, value) = row?;
            self.found.put(&key, value.len(), None);
            bytes += key.as_bytes().len() + value.len();
            self.after = Some(key);
            counted += 1;
        }
        if counted < rows {
            self.table += 1;
            self.after = None;
        }
        Ok(Stepped::On { bytes })
    }
}

/// What a space holds of all that counts, by walking over it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn walked(snapshot: &Snapshot, space: Space) -> Result<Growth, storage::Error> {
    let mut walk = Walk::new(snapshot.clone(), space);
    loop {
        if let Stepped::Ended(found) = walk.step(1_000)? {
            return Ok(found);
        }
    }
}
