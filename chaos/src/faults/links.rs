//! What faults of the network have in common: they are counted by what they met on the links of a node, and go on until that is something.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rig::cluster::poll;

use super::Hold;
use crate::field::Field;
use crate::proxy::Mode;

/// How long a fault of the network goes on at most until it has met something: longer than a node takes to come back and to be dialled.
const MEETS_WITHIN: Duration = Duration::from_secs(10);
/// Between two attempts at connections that were not there yet.
const ONCE_MORE: Duration = Duration::from_millis(100);

/// A hold of the network: counts what has been done so far to the links of `nodes[0]`.
pub(super) fn watched(field: &Field<'_>, nodes: Vec<usize>, said: impl Into<String>) -> Hold {
    Hold {
        mark: touched(field, nodes[0]),
        ..Hold::new(nodes, said)
    }
}

/// Does something to the connections of `nodes[0]` that exist, again until there was one: a node that was down, or has just been cut
/// off, has none yet.
pub(super) fn strike(field: &Field<'_>, hold: &Hold, strike: impl Fn(usize, usize)) {
    let place = hold.nodes[0];
    let all = || field.others(place).into_iter().for_each(|other| strike(place, other));
    strike_until(|| touched(field, place) > hold.mark, all);
}

/// Strikes until something was met, and not once more.
fn strike_until(mut met: impl FnMut() -> bool, mut strike: impl FnMut()) {
    let mut next = Instant::now();
    poll(MEETS_WITHIN, || {
        if met() {
            return true;
        }
        // A connection takes a moment to notice.
        if Instant::now() >= next {
            strike();
            next = Instant::now() + ONCE_MORE;
        }
        false
    });
}

/// All ways of `nodes[0]` pass again.
pub(super) fn reconnect(field: &Field<'_>, hold: &Hold) -> Result<String> {
    let place = hold.nodes[0];
    // A node that was down, or is just back, has nothing on its links yet.
    poll(MEETS_WITHIN, || touched(field, place) > hold.mark);
    for other in field.others(place) {
        field.network.set_both(place, other, Mode::Pass);
    }
    let met = touched(field, place).saturating_sub(hold.mark);
    ensure!(met > 0, "it met no connection and no byte");
    Ok(format!("met {met} connections or pieces"))
}

fn touched(field: &Field<'_>, place: usize) -> u64 {
    field
        .others(place)
        .into_iter()
        .map(|other| field.network.touched(place, other))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meets_nothing_yet_is_done_again_until_it_does() {
        let strikes = std::cell::Cell::new(0);
        strike_until(|| strikes.get() == 3, || strikes.set(strikes.get() + 1));
        assert_eq!(strikes.get(), 3);
        strike_until(|| true, || strikes.set(100));
        assert_eq!(strikes.get(), 3);
    }
}
