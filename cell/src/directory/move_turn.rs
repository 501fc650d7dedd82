//! The command that takes a move from one stage to the next, as the directory sees it. Switching is one of its steps: it alone says
//! where the tenant is served.

use serde::{Deserialize, Serialize};
use storage::Space;
use storage::table::DirectoryMove;
use uuid::Uuid;

use super::moves::{self, Move, Phase, Stage};
use super::rows::{self, CellCount};
use super::tenant_reserve::{count, put_count};
use super::topology;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;

/// Takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveTurn {
    /// The tenant.
    pub(crate) uid: u64,
    /// The operation of the move: a later move of the tenant is another.
    pub(crate) operation: Uuid,
    /// The step.
    pub(crate) turn: Turn,
}

/// The steps. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Turn {
    /// Asks for an attempt: no earlier one can switch from here on. Where the move has switched, or was called off, nothing changes.
    Attempt,
    /// Says what the attempt is at.
    Tell {
        /// The attempt.
        attempt: u64,
        /// What it is at.
        phase: Phase,
        /// Keys so far.
        progress: u64,
    },
    /// Calls the move off, unless it has switched.
    CallOff,
    /// Serves the tenant in the other cell from now on.
    Switch {
        /// The attempt: it must be the last one.
        attempt: u64,
    },
    /// Nothing of the move is left to do.
    End,
}

impl Command for MoveTurn {
    /// The move as it is now; none: it has ended.
    type Reply = Option<Move>;

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<Option<Move>, Stop> {
        let moving = moves::read(world, self.uid)?.filter(|moving| moving.operation == self.operation);
        let Some(mut moving) = moving else { return Ok(None) };
        match (self.turn, moving.stage) {
            (Turn::Attempt | Turn::CallOff, Stage::Copying) => {
                moving.attempt = rows::touch(world).position;
                if self.turn == Turn::CallOff {
                    moving.stage = Stage::CalledOff;
                }
                moves::put(world, moving.clone());
            }
            (Turn::Attempt | Turn::CallOff, _) => {}
            (
                Turn::Tell {
                    attempt,
                    phase,
                    progress,
                },
                _,
            ) => {
                if attempt == moving.attempt {
                    tell(world, &moving, phase, progress)?;
                }
            }
            (Turn::Switch { attempt }, Stage::Copying) if attempt == moving.attempt => {
                let mut tenant = rows::tenant_by_uid(world, moving.uid)?.ok_or(Refusal::Stale)?;
                tenant.cell = moving.to;
                tenant.epoch = moving.epoch;
                // Another one than it had only where the move went across by name.
                if let Some((_, topology)) = topology::read(world)?
                    && let Some(cell) = topology.cell(moving.to)
                {
                    tenant.region.clone_from(&cell.region);
                }
                rows::touch(world);
                rows::put_tenant(world, &tenant);
                moving.stage = Stage::Departing;
                moves::put(world, moving.clone());
            }
            (Turn::Switch { attempt }, Stage::Departing) if attempt == moving.attempt => {}
            (Turn::Switch { .. }, _) | (Turn::End, Stage::Copying) => return Err(Refusal::Stale.into()),
            (Turn::End, _) => {
                end(world, &moving)?;
                return Ok(None);
            }
        }
        Ok(Some(moving))
    }
}

fn tell(world: &mut World<'_>, moving: &Move, phase: Phase, progress: u64) -> Result<(), Stop> {
    if let Some(mut told) = moves::told(world, moving.operation)? {
        told.phase = Some(phase);
        told.operation.progress = progress;
        told.operation.updated = world.stamp;
        rows::touch(world);
        moves::put_told(world, told);
    }
    Ok(())
}

fn end(world: &mut World<'_>, moving: &Move) -> Result<(), Stop> {
    let is_called_off = moving.stage == Stage::CalledOff;
    // The cell that has nothing of the tenant any more.
    let left = if is_called_off { moving.to } else { moving.from };
    rows::touch(world);
    let tenants = count(world, left)?.tenants.saturating_sub(1);
    put_count(world, left, CellCount { tenants });
    world.delete(&DirectoryMove {
        space: Space::SYSTEM,
        uid: moving.uid,
    });
    if let Some(mut told) = moves::told(world, moving.operation)? {
        told.phase = None;
        told.is_called_off = is_called_off;
        told.operation.done = true;
        told.operation.updated = world.stamp;
        moves::put_told(world, told);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::move_begin::MoveBegin;
    use crate::directory::rows::Tenant;
    use crate::directory::tenant_delete::TenantDelete;
    use crate::directory::tenant_reserve::TenantReserve;
    use crate::machine::envelope::seal;
    use crate::machine::stage::Stage as Scene;

    const OPERATION: Uuid = Uuid::from_u128(9);
    const TENANT: Uuid = Uuid::from_u128(1);

    fn scene() -> Scene {
        let mut scene = Scene::of(Space::SYSTEM);
        for (slug, cell) in [("acme", 2), ("other", 3)] {
            let reserve = TenantReserve {
                id: Uuid::from_u128(1),
                slug: slug.to_owned(),
                region: "one".to_owned(),
                cell,
                dedicated: false,
                plan: "free".to_owned(),
                template: None,
            };
            scene.apply(reserve).result.expect("reserved");
        }
        scene
    }

    fn begin(to: u64, dedicated: bool) -> MoveBegin {
        MoveBegin {
            slug: "acme".to_owned(),
            to,
            dedicated,
            operation: OPERATION,
        }
    }

    fn turn(scene: &mut Scene, turn: Turn) -> Result<Option<Move>, Refusal> {
        let uid = 1;
        let operation = OPERATION;
        scene.apply(MoveTurn { uid, operation, turn }).result
    }

    fn tenant(scene: &Scene) -> Tenant {
        rows::tenant(&scene.snapshot(), "acme").expect("no fault").expect("a tenant")
    }

    fn counts(scene: &Scene) -> [u64; 3] {
        [2, 3, 4].map(|cell| count(&scene.snapshot(), cell).expect("no fault").tenants)
    }

    #[test]
    fn a_move_begins_once_switches_once_and_ends() {
        let mut scene = scene();
        assert!(
            matches!(scene.apply(begin(2, false)).result, Err(Refusal::Invalid { .. })),
            "it is there"
        );
        assert!(
            matches!(scene.apply(begin(3, true)).result, Err(Refusal::Invalid { .. })),
            "it has a tenant"
        );
        let begun = scene.apply(begin(4, true)).result.expect("begun");
        let again = scene
            .apply(MoveBegin {
                operation: Uuid::from_u128(10),
                ..begin(3, false)
            })
            .result;
        assert_eq!(again, Ok(begun), "the one that is under way");
        assert_eq!(counts(&scene), [1, 1, 1], "nobody else gets the dedicated cell");
        let delete = TenantDelete {
            slug: "acme".to_owned(),
            operation: Uuid::from_u128(11),
        };
        assert_eq!(
            scene.apply(delete).result,
            Err(Refusal::MoveUnderWay { operation: OPERATION })
        );

        let first = turn(&mut scene, Turn::Attempt).expect("no refusal").expect("a move").attempt;
        let second = turn(&mut scene, Turn::Attempt).expect("no refusal").expect("a move").attempt;
        assert!(second > first);
        assert_eq!(
            turn(&mut scene, Turn::Switch { attempt: first }),
            Err(Refusal::Stale),
            "it was overtaken"
        );
        assert_eq!(turn(&mut scene, Turn::End), Err(Refusal::Stale));
        let before = tenant(&scene);
        for _ in 0..2 {
            let switched = turn(&mut scene, Turn::Switch { attempt: second })
                .expect("switched")
                .expect("a move");
            assert_eq!(switched.stage, Stage::Departing);
        }
        let (cell, epoch) = (4, before.epoch + 1);
        assert_eq!(tenant(&scene), Tenant { cell, epoch, ..before });
        for late in [Turn::Attempt, Turn::CallOff] {
            let moving = turn(&mut scene, late).expect("no refusal").expect("a move");
            assert_eq!((moving.stage, moving.attempt), (Stage::Departing, second), "too late");
        }
        assert_eq!(turn(&mut scene, Turn::End), Ok(None));
        assert_eq!(turn(&mut scene, Turn::End), Ok(None), "it has ended");
        assert_eq!(counts(&scene), [0, 1, 1]);
        let told = moves::told(&scene.snapshot(), OPERATION)
            .expect("no fault")
            .expect("an operation");
        assert_eq!((told.operation.done, told.phase, told.is_called_off), (true, None, false));
    }

    #[test]
    fn a_move_across_takes_the_region_along_and_begins_only_by_its_name() {
        use crate::directory::move_begin::MoveAcross;
        use crate::directory::topology::TopologyPut;
        let text = "cluster = \"one\"\n[directory]\nvoters = [\"a\"]\n[[plan]]\nname = \"free\"\nweight = 1\nunits_per_second = 1\nburst_units = 1\nstorage_gib = 1\n";
        let place = |region: &str, node: &str, number: u64| {
            format!(
                "[[region]]\nname = \"{region}\"\n[[node]]\nname = \"{node}\"\nnumber = {number}\nregion = \"{region}\"\napi = \"127.0.0.1:74{number}1\"\npeer = \"127.0.0.1:74{number}2\"\n\
                 [[cell]]\nname = \"{region}-shared\"\nnumber = {cell}\nregion = \"{region}\"\nkind = \"shared\"\nnodes = [\"{node}\"]\n",
                cell = number + 1,
            )
        };
        let text = format!("{text}{}{}", place("one", "a", 1), place("two", "b", 2));
        let config = crate::config::Config::parse(&text, std::path::Path::new("/")).expect("a configuration");
        let mut scene = scene();
        let topology = (&config.topology).into();
        scene.apply(TopologyPut { after: 0, topology }).result.expect("a topology");
        assert!(
            matches!(scene.apply(begin(3, false)).result, Err(Refusal::Invalid { .. })),
            "it is of two"
        );
        for (to, region) in [(3, "one"), (2, "two"), (9, "two")] {
            let (begin, region) = (begin(to, false), region.to_owned());
            let refused = scene.apply(MoveAcross { begin, region }).result;
            assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{to}");
        }
        let (begin, region) = (begin(3, false), "two".to_owned());
        scene.apply(MoveAcross { begin, region }).result.expect("begun");
        assert_eq!(tenant(&scene).region, "one", "until it switches");
        let attempt = turn(&mut scene, Turn::Attempt).expect("no refusal").expect("a move").attempt;
        turn(&mut scene, Turn::Switch { attempt }).expect("switched");
        let now = tenant(&scene);
        assert_eq!((now.region.as_str(), now.cell), ("two", 3));
    }

    #[test]
    fn a_move_that_is_called_off_never_switches() {
        let mut scene = scene();
        scene.apply(begin(4, false)).result.expect("begun");
        let attempt = turn(&mut scene, Turn::Attempt).expect("no refusal").expect("a move").attempt;
        let phase = Phase::Copying;
        turn(
            &mut scene,
            Turn::Tell {
                attempt,
                phase,
                progress: 7,
            },
        )
        .expect("told");
        turn(
            &mut scene,
            Turn::Tell {
                attempt: 0,
                phase,
                progress: 9,
            },
        )
        .expect("passed over");
        let off = turn(&mut scene, Turn::CallOff).expect("no refusal").expect("a move");
        assert!(off.attempt > attempt && off.stage == Stage::CalledOff);
        for attempt in [attempt, off.attempt] {
            assert_eq!(turn(&mut scene, Turn::Switch { attempt }), Err(Refusal::Stale));
        }
        assert_eq!(turn(&mut scene, Turn::End), Ok(None));
        let told = moves::told(&scene.snapshot(), OPERATION)
            .expect("no fault")
            .expect("an operation");
        assert_eq!(
            (told.operation.done, told.is_called_off, told.operation.progress),
            (true, true, 7)
        );
        assert_eq!((tenant(&scene).cell, counts(&scene)), (2, [1, 1, 0]));
        scene
            .apply(MoveBegin {
                operation: Uuid::from_u128(12),
                ..begin(4, false)
            })
            .result
            .expect("another one");
        assert_eq!(turn(&mut scene, Turn::Attempt), Ok(None), "that is not this one");
    }

    #[test]
    fn the_bytes_of_a_move_never_change() {
        let moving = Move {
            operation: OPERATION,
            uid: 7,
            tenant: TENANT,
            slug: "a".to_owned(),
            from: 2,
            to: 3,
            epoch: 4,
            attempt: 5,
            stage: Stage::Departing,
        };
        let golden = [
            &[1, 0, 0, 16][..],
            OPERATION.as_bytes(),
            &[7, 16],
            TENANT.as_bytes(),
            &[1, b'a', 2, 3, 4, 5, 2],
        ];
        assert_eq!(seal(&moves::MoveRow::V1(moving)), golden.concat());
        let turn = Turn::Switch { attempt: 5 };
        assert_eq!(seal(&turn), [1, 0, 3, 5]);
    }
}
