//! Request units: the one measure of cost, for limits, fairness and billing.
//!
//! One unit is what a strong point read of a record of 300 bytes costs: 40 µs of a core, all replicas together. The constants below are
//! derived from the processor time of the bench's workloads on the reference machine (docs/bench.md, docs/fairness.md):
//!
//! | workload | measured, µs of a core | units |
//! |---|---|---|
//! | W2, point read, strong | 37 | 1 |
//! | W4, list of 50 by an index | 236 | 6 |
//! | W1, create a task of 300 bytes, three replicas | 171 | 4.3 |
//! | W5, a line of an import, three replicas | 35 | 0.9 |

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// An amount of request units, counted in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Units(pub(crate) u64);

/// Thousandths in one unit.
const MILLI: u64 = 1_000;
/// Time on a core that is worth one unit, in microseconds.
const CORE_MICROS: u64 = 40;
/// What each request costs before it does anything: its head, its gate, its place in the log of requests.
const REQUEST: Units = Units(MILLI);
/// What a command costs, whatever is in it: its way through three logs.
const COMMAND: Units = Units(2 * MILLI);
/// What each record costs that it changes: with its index entries and its event it is applied three times.
const CHANGE: Units = Units(400);
/// Bytes of a command that cost one unit.
const COMMAND_BYTES: u64 = 800;
/// Bytes of a body, either way, that cost one unit: read, checked, copied, encrypted.
const BODY_BYTES: u64 = 64 * 1024;
/// What a row costs that was looked at, beside the time on the core: it takes room in caches that others have to read again.
const ROW: Units = Units(25);
/// Bytes of an export or an archive that cost one unit: each row is read, decoded and written.
const EXPORT_BYTES: u64 = 8 * 1024;
/// What an event costs that is sent to a follower; that one is woken for it; and that it is not among the last ones of its space, which are kept
/// as they are told, but read from the store.
const EVENT: Units = Units(50);
const WAKING: Units = Units(500);
const EVENT_READ: Units = Units(250);
/// Bytes of a file that come and cost one unit: hashed twice, sent to two nodes, hashed there, written three times; and what each of its chunks costs
/// besides: three files are made and synced. Measured: 13 ms of a core for a MiB in one chunk, 3 ms for a chunk of 16 KiB (`bench files`).
const KEPT_BYTES: u64 = 4 * 1024;
const KEPT_CHUNK: Units = Units(60 * MILLI);

/// What a request did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Bytes of the bodies of request and reply.
    pub(crate) body_bytes: u64,
    /// Bytes of the commands that went into the log.
    pub(crate) command_bytes: u64,
    /// Commands that went into the log.
    pub(crate) commands: u64,
    /// Records that they change.
    pub(crate) changes: u64,
    /// Rows that were looked at.
    pub(crate) rows: u64,
    /// Time on a core, for deciding and reading.
    pub(crate) core: Duration,
}

impl Work {
    /// What it costs.
    pub(crate) fn units(&self) -> Units {
        let micros = u64::try_from(self.core.as_micros()).unwrap_or(u64::MAX);
        REQUEST
            + COMMAND.times(self.commands)
            + CHANGE.times(self.changes)
            + part(self.command_bytes, COMMAND_BYTES)
            + part(self.body_bytes, BODY_BYTES)
            + ROW.times(self.rows)
            + part(micros, CORE_MICROS)
    }
}

/// What a command of the elastic class costs that changes so many records.
pub(crate) fn of_command(changes: usize, bytes: usize) -> Units {
    COMMAND + CHANGE.times(changes as u64) + part(bytes as u64, COMMAND_BYTES)
}

/// What a read of one record is thought to cost, before it has been served.
pub(crate) const READ: Units = REQUEST;
/// What a list is thought to cost.
pub(crate) const LIST: Units = Units(6 * MILLI);

/// What a write with so large a body is thought to cost.
pub(crate) fn of_write(body_bytes: usize) -> Units {
    REQUEST + of_command(1, body_bytes)
}

/// What some time on a core costs.
pub(crate) fn of_core(core: Duration) -> Units {
    part(u64::try_from(core.as_micros()).unwrap_or(u64::MAX), CORE_MICROS)
}

/// What it costs to wake a follower and to send it some events.
pub(crate) fn of_events(events: u64) -> Units {
    WAKING + EVENT.times(events)
}

/// What it costs to read some old events, and to send them.
pub(crate) fn of_old_events(events: u64) -> Units {
    of_events(events) + EVENT_READ.times(events)
}

/// What some bytes cost that are read for an export or an archive.
pub(crate) fn of_export(bytes: usize) -> Units {
    part(bytes as u64, EXPORT_BYTES)
}

/// What a chunk of a file costs that comes, and is kept.
pub(crate) fn of_kept(bytes: usize) -> Units {
    KEPT_CHUNK + part(bytes as u64, KEPT_BYTES)
}

/// What some bytes of a file cost that go.
pub(crate) fn of_content(bytes: usize) -> Units {
    part(bytes as u64, BODY_BYTES)
}

fn part(amount: u64, whole: u64) -> Units {
    Units(amount.saturating_mul(MILLI) / whole)
}

impl Units {
    /// Whole units.
    pub(crate) const fn whole(units: u64) -> Self {
        Self(units.saturating_mul(MILLI))
    }

    const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// One of so many equal parts.
    pub(crate) const fn part_of(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }

    /// As a number of units.
    pub(crate) fn as_f64(self) -> f64 {
        self.0 as f64 / MILLI as f64
    }
}

impl Add for Units {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workloads_cost_what_the_table_says() {
        let read = Work {
            body_bytes: 500,
            core: Duration::from_micros(2),
            rows: 1,
            ..Work::default()
        };
        let list = Work {
            body_bytes: 25_000,
            core: Duration::from_micros(150),
            rows: 50,
            ..Work::default()
        };
        let create = Work {
            body_bytes: 1_000,
            command_bytes: 500,
            commands: 1,
            changes: 1,
            core: Duration::from_micros(10),
            ..Work::default()
        };
        for (work, least, most) in [(read, 1.0, 1.2), (list, 5.5, 6.5), (create, 4.2, 4.6)] {
            let units = work.units().as_f64();
            assert!((least..=most).contains(&units), "{units} for {work:?}");
        }
        let line = of_command(500, 500 * 400).as_f64() / 500.0;
        assert!((0.8..=1.1).contains(&line), "{line}");
    }

    #[test]
    fn nothing_overflows() {
        let most = Work {
            body_bytes: u64::MAX,
            command_bytes: u64::MAX,
            commands: u64::MAX,
            changes: u64::MAX,
            rows: u64::MAX,
            core: Duration::MAX,
        };
        assert_eq!(most.units(), Units(u64::MAX));
    }
}
