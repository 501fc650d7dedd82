//! Changes of a topology whose plans give what came later than the rest of what is stored of them.
//!
//! The commands that change a topology carry it as it was first stored, and a replica of the version before reads those. Where a plan
//! says more, the same change goes into the log as [`TopologyLimited`], from level 2 on; where none does nothing is different.

use api::error::Error;
use serde::{Deserialize, Serialize};

use super::begin::ApplyBegin;
use super::turn::ApplyTurn;
use crate::config::Topology;
use crate::directory::topology::{PlanLimits, TopologyPut};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::rows::Actor;
use crate::machine::world::World;
use crate::node::platform::Platform;

/// The level that the directory must have for such plans.
pub(crate) const LEVEL: u32 = 2;

/// A change of the topology. Append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum TopologyChange {
    /// It replaces it.
    Put(TopologyPut),
    /// It begins to be brought about.
    Begin(ApplyBegin),
    /// It has come one step further.
    Turn(ApplyTurn),
}

/// Changes the topology, with what plans got later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopologyLimited {
    /// The change.
    pub(crate) change: TopologyChange,
    /// What the plans of its topology got later, in their order.
    pub(crate) limits: Vec<PlanLimits>,
}

impl Command for TopologyLimited {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        match self.change {
            TopologyChange::Put(put) => put.put(world, self.limits).map(drop),
            TopologyChange::Begin(begin) => begin.begin(world, self.limits),
            TopologyChange::Turn(turn) => turn.turn(world, self.limits),
        }
    }
}

impl Platform {
    /// Has the directory change its topology; `to`: the topology that the change carries.
    pub(crate) async fn change_topology(&self, actor: Actor, change: TopologyChange, to: Option<&Topology>) -> Result<(), Error> {
        let limits = to.map_or_else(Vec::new, PlanLimits::of);
        if !limits.is_empty() {
            return self.at_directory(actor, TopologyLimited { change, limits }).await;
        }
        match change {
            TopologyChange::Put(put) => self.at_directory(actor, put).await.map(drop),
            TopologyChange::Begin(begin) => self.at_directory(actor, begin).await,
            TopologyChange::Turn(turn) => self.at_directory(actor, turn).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use storage::{Space, table};
    use uuid::Uuid;

    use super::super::begin::{Wanted, wanted};
    use super::*;
    use crate::config::Config;
    use crate::directory::topology::{self, TopologyRow};
    use crate::machine::reader::Reader;
    use crate::machine::stage::Stage;

    fn example() -> Topology {
        let text = include_str!("../../../cluster.toml");
        let config = Config::parse(text, Path::new("cluster.toml"));
        config.expect("the example").topology
    }

    fn limited(change: TopologyChange, to: &Topology) -> TopologyLimited {
        TopologyLimited {
            change,
            limits: PlanLimits::of(to),
        }
    }

    #[test]
    fn what_plans_got_later_is_stored_beside_the_rest_and_goes_again_with_it() {
        let (plain, mut wide) = (example(), example());
        wide.plans[0].records = Some(1_000);
        wide.plans[1].connections = Some(50);
        assert_eq!(PlanLimits::of(&plain), []);
        let mut stage = Stage::of(Space::SYSTEM);
        let topology = (&wide).into();
        let put = TopologyChange::Put(TopologyPut { after: 0, topology });
        stage.apply(limited(put, &wide)).result.expect("put");
        assert_eq!(topology::read(&stage.snapshot()).expect("no fault"), Some((1, wide.clone())));

        let mut wider = wide.clone();
        wider.plans[2].records = Some(5);
        let operation = Uuid::from_u128(9);
        let topology = (&wider).into();
        let begin = ApplyBegin {
            after: 1,
            wanted: Wanted { operation, topology },
        };
        stage
            .apply(limited(TopologyChange::Begin(begin), &wider))
            .result
            .expect("begun");
        let under_way = wanted(&stage.snapshot()).expect("no fault").expect("under way");
        assert_eq!((under_way.operation, &under_way.topology), (operation, &wider));
        let turn = |after, then: &Topology| ApplyTurn {
            operation,
            after,
            then: Some(then.into()),
        };
        let wider_turn = TopologyChange::Turn(turn(1, &wider));
        stage.apply(limited(wider_turn, &wider)).result.expect("a step");
        assert_eq!(topology::read(&stage.snapshot()).expect("no fault"), Some((2, wider)));

        stage.apply(turn(2, &plain)).result.expect("a step back");
        assert_eq!(topology::read(&stage.snapshot()).expect("no fault"), Some((3, plain)));
        let row: Option<TopologyRow> = stage
            .snapshot()
            .row(&table::Topology { space: Space::SYSTEM })
            .expect("no fault");
        assert!(
            matches!(row, Some(TopologyRow::V1(3, _))),
            "what says all is stored as it always was"
        );
    }
}
