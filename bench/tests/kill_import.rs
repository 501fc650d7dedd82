//! Three replicas of the built program, an import, and nodes that are killed with SIGKILL by seed meanwhile.

use std::path::Path;

use bench::data;
use bench::kill_import::{Plan, run};
use rig::binary;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_during_an_import() {
    let program = binary::build(env!("CARGO")).unwrap();
    let extract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chaos/rig/data");
    let plan = Plan {
        sources: data::sources(&extract).unwrap(),
        seed: 7,
        kills: 6,
        pieces: 3,
    };
    let mut cluster = Cluster::up(Options::new(Layout::one_region(3).unwrap(), program)).unwrap();
    let survived = run(&cluster, &plan).unwrap();
    assert!(survived.victims.len() >= 6);
    assert_eq!(survived.imported, 302);
    assert!(
        survived.agreements.iter().any(|agreement| agreement.keys > 302),
        "{:?}",
        survived.agreements
    );
    cluster.stop().unwrap();
}
