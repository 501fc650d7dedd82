//! Empty tenants and idle cells, few of each and for a moment.

use bench::idle::{Size, run};
use bench::report::MEMORY_MIB;
use bench::setup::ClusterArgs;
use rig::binary;

#[test]
fn tenants_and_cells_are_watched_each_in_a_cluster_of_its_own() {
    binary::build(env!("CARGO")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let args = ClusterArgs {
        nodes: 1,
        data: Some(data.path().to_owned()),
        sched_rr: false,
    };
    let size = Size {
        tenants: 3,
        cells: 3,
        seconds: 1,
        runs: 2,
    };
    let rows = run(&args, &size).unwrap();
    let names: Vec<_> = rows.iter().map(|row| (row.workload.as_str(), row.runs.len())).collect();
    assert_eq!(names, [("3 empty tenants", 2), ("3 idle cells", 2)]);
    for run in &rows[1].runs {
        let percent = run.more["% of a core a node with 3 idle cells"];
        assert!((0.0..400.0).contains(&percent), "{percent}");
        assert!(run.more[MEMORY_MIB] > 1.0);
    }
    let cells = Size { tenants: 0, ..size };
    assert!(run(&args, &Size { seconds: 0, ..cells }).is_err());
}
