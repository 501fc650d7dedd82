//! Few tenants with few records, and what a node keeps of them.

use bench::memory::{Size, run};
use bench::report::MEMORY_MIB;
use rig::binary;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;

#[test]
fn every_tenant_has_its_part_of_the_records_and_nodes_are_looked_at() {
    let program = binary::build(env!("CARGO")).unwrap();
    let mut cluster = Cluster::up(Options::new(Layout::one_region(1).unwrap(), program)).unwrap();
    let size = Size {
        tenants: 20,
        records: 1_001,
    };
    let rows = run(&cluster, &size).unwrap();
    cluster.stop().unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    // Each has the same: of all together no fewer than were asked for.
    assert_eq!(row.workload, "1020 records of 20 tenants");
    let more = &row.runs[0].more;
    assert!(more[MEMORY_MIB] > 1.0 && more["MiB of store a node"] > 0.0, "{more:?}");
    let largest = more["GB of memory of the largest node"] * 1e9 / 1024.0 / 1024.0;
    assert!((largest - more[MEMORY_MIB]).abs() < 1.0, "one node is the largest: {more:?}");
}
