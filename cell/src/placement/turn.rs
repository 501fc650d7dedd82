//! The command that takes a space from one stage of a move to the next, in the cell that it leaves and in the one that it goes to.

use serde::{Deserialize, Serialize};

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{Place, SpaceStatus};
use crate::machine::world::World;
use crate::mutant::Mutant;

/// Takes a step. A step that was taken before is taken again without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpaceTurn {
    /// The attempt.
    pub(crate) attempt: u64,
    /// The step.
    pub(crate) turn: Turn,
}

/// The steps. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Turn {
    /// Where it leaves: from here on no write is taken.
    Hold,
    /// Where it would have left: writes are taken again.
    Release,
    /// Where it goes to: everything is here.
    Arrive {
        /// The last position of the other cell's log that must be here.
        index: u64,
        /// The epoch that the tenant has here.
        epoch: u64,
    },
    /// Where it leaves: nothing is served any more.
    Depart,
    /// Where it has gone to: writes are taken.
    Live,
}

impl SpaceTurn {
    /// Whether the space is served here afterwards.
    pub(crate) fn lands(&self) -> bool {
        self.turn == Turn::Live
    }

    /// Where a space stands after the step.
    fn next(self, place: Place) -> Result<Place, Refusal> {
        let attempt = self.attempt;
        let is_not_newer = |held: u64| held <= attempt;
        match (self.turn, place) {
            // Mutant, B25: writes are taken until it departs.
            (Turn::Hold, Place::Here) if Mutant::HoldNotApplied.active() => Ok(place),
            (Turn::Depart, Place::Here) if Mutant::HoldNotApplied.active() => Ok(Place::Departed { attempt }),
            (Turn::Hold, Place::Here) => Ok(Place::Held { attempt }),
            (Turn::Hold, Place::Held { attempt: held }) if is_not_newer(held) => Ok(Place::Held { attempt }),
            (Turn::Release, Place::Here) => Ok(Place::Here),
            (Turn::Release, Place::Held { attempt: held }) if is_not_newer(held) => Ok(Place::Here),
            (Turn::Arrive { index, epoch }, Place::Following { attempt: now, index: at }) if now == attempt && at == index => {
                Ok(Place::Arrived { attempt, epoch })
            }
            (Turn::Arrive { .. }, Place::Arrived { attempt: now, .. }) if now == attempt => Ok(place),
            (Turn::Depart, Place::Held { attempt: held }) if held == attempt => Ok(Place::Departed { attempt }),
            (Turn::Depart, Place::Departed { attempt: gone }) if gone == attempt => Ok(place),
            (Turn::Live, Place::Arrived { attempt: now, .. }) if now == attempt => Ok(Place::Here),
            (Turn::Live, Place::Here) => Ok(Place::Here),
            _ => Err(Refusal::Stale),
        }
    }
}

impl Command for SpaceTurn {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        // A space that is being erased, or was never made, goes nowhere. What has departed is erased, and stays departed.
        let header = world.header().ok_or(Refusal::NoSpace)?;
        if self.turn != Turn::Depart && header.status != SpaceStatus::Live {
            return Err(Refusal::NoSpace.into());
        }
        let place = self.next(world.place())?;
        world.set_place(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: u64 = 5;

    fn places(attempt: u64) -> [Place; 7] {
        [
            Place::Here,
            Place::Held { attempt },
            Place::Departed { attempt },
            Place::Clearing { attempt },
            Place::Copying { attempt, chunks: 3 },
            Place::Following { attempt, index: 9 },
            Place::Arrived { attempt, epoch: 2 },
        ]
    }

    /// For each step, the places that it is taken at, and what they become.
    fn taken(turn: Turn, attempt: u64) -> Vec<(Place, Place)> {
        let step = SpaceTurn { attempt: ATTEMPT, turn };
        let taken = places(attempt).into_iter();
        taken
            .filter_map(|place| step.next(place).ok().map(|next| (place, next)))
            .collect()
    }

    #[test]
    fn each_step_is_taken_at_its_place_and_again_without_effect() {
        let attempt = ATTEMPT;
        let [here, held, departed, _, _, following, arrived] = places(attempt);
        assert_eq!(taken(Turn::Hold, attempt), [(here, held), (held, held)]);
        assert_eq!(taken(Turn::Release, attempt), [(here, here), (held, here)]);
        assert_eq!(
            taken(Turn::Arrive { index: 9, epoch: 2 }, attempt),
            [(following, arrived), (arrived, arrived)]
        );
        assert_eq!(
            taken(Turn::Arrive { index: 8, epoch: 2 }, attempt),
            [(arrived, arrived)],
            "something is missing"
        );
        assert_eq!(taken(Turn::Depart, attempt), [(held, departed), (departed, departed)]);
        assert_eq!(taken(Turn::Live, attempt), [(here, here), (arrived, here)]);
    }

    #[test]
    fn an_attempt_that_was_overtaken_is_refused_and_an_older_hold_gives_way() {
        let (older, newer) = (ATTEMPT - 1, ATTEMPT + 1);
        let here = Place::Here;
        for turn in [
            Turn::Hold,
            Turn::Release,
            Turn::Arrive { index: 9, epoch: 2 },
            Turn::Depart,
            Turn::Live,
        ] {
            assert!(taken(turn, newer).iter().all(|(place, _)| *place == here), "{turn:?}");
        }
        let held = Place::Held { attempt: older };
        assert_eq!(taken(Turn::Hold, older)[1], (held, Place::Held { attempt: ATTEMPT }));
        assert_eq!(taken(Turn::Release, older)[1], (held, here));
        assert_eq!(
            taken(Turn::Depart, older),
            [],
            "the hold of another attempt is no promise of this one"
        );
        assert_eq!(taken(Turn::Live, older).len(), 1);
    }
}
