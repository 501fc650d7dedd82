//! What chunks of files a piece of the log names, and which tenants came in it with files that they had before.
//!
//! Commands of files name the chunks that they bring. Those of a tenant that comes from another cell, or from an archive, are named by rows,
//! which come before the chunks do: only when the space arrives, so that it can be served, all of them are in the cell. So it is the step that
//! has it arrive which names them, and its rows at that time say which they are.

use std::collections::{BTreeMap, BTreeSet};

use storage::blob::ChunkHash;

use crate::files::rows::Use;
use crate::machine::dispatch::{Payload, Stamped};
use crate::placement::turn::Turn;

/// How far clocks of leaders may be apart, in microseconds.
const SKEW_MICROS: u64 = 3_600 * 1_000_000;

/// What a piece of the log names. By the number of a space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// The chunks that commands name.
    pub(crate) chunks: BTreeMap<u64, BTreeSet<ChunkHash>>,
    /// Spaces that arrived, with the stamp of the step, in microseconds since the epoch.
    pub(crate) arrived: BTreeMap<u64, u64>,
}

impl Named {
    /// Takes what a command names.
    pub(super) fn take(&mut self, stamped: &Stamped) {
        if let Payload::SpaceTurn(step) = &stamped.payload
            && matches!(step.turn, Turn::Arrive { .. })
        {
            self.arrived.entry(stamped.space).or_insert(stamped.stamp);
        }
        let named = stamped.payload.named_chunks();
        if !named.is_empty() {
            self.chunks.entry(stamped.space).or_default().extend(named);
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.arrived.is_empty()
    }
}

/// Whether a row names a chunk, or may have named it when its space arrived at a time: a row whose count is 0 stays for a day.
pub(super) fn was_named(used: &Use, arrived: u64) -> bool {
    used.count > 0 || used.since.saturating_add(SKEW_MICROS) >= arrived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_was_given_back_after_the_space_arrived_was_named_then() {
        let used = |count, since| Use { count, since };
        let arrived = 10 * SKEW_MICROS;
        assert!(was_named(&used(1, 0), arrived));
        assert!(was_named(&used(0, arrived + 1), arrived));
        assert!(
            was_named(&used(0, arrived - SKEW_MICROS), arrived),
            "by a clock that is behind"
        );
        assert!(!was_named(&used(0, arrived - SKEW_MICROS - 1), arrived));
    }
}
