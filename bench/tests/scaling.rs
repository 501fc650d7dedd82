//! Two cells, some records, some tenants: each point a small cluster that is measured for a moment.

use bench::report::MEMORY_MIB;
use bench::scaling::{Axis, Size, run};
use bench::setup::ClusterArgs;
use rig::binary;

#[test]
fn every_point_has_rates_and_memory_and_its_tenants_are_in_all_cells() {
    binary::build(env!("CARGO")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let args = ClusterArgs {
        nodes: 1,
        data: Some(data.path().to_owned()),
        sched_rr: false,
    };
    let size = Size {
        axes: vec![Axis::Cells, Axis::Tenants],
        cells: vec![1, 2],
        records: Vec::new(),
        tenants: vec![3],
        clients: 2,
        seconds: 1,
        runs: 1,
    };
    // The run itself refuses tenants that are not spread over all cells.
    let rows = run(&args, &size).unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.name()).collect();
    let named = |what: &str, at: &str| names.iter().any(|name| name.starts_with(what) && name.ends_with(at));
    for (what, at) in [
        ("W1", "by cells: 1 cell"),
        ("W2", "by cells: 2 cells"),
        ("W2", "by tenants: 3 tenants"),
    ] {
        assert!(named(what, at), "{what} {at}: {names:?}");
    }
    assert_eq!(rows.len(), 6);
    for row in &rows {
        let run = &row.runs[0];
        assert!(run.rate > 0.0 && run.errors.is_empty(), "{}: {run:?}", row.name());
        assert!(
            run.more.get(MEMORY_MIB).is_some_and(|mib| *mib > 1.0),
            "{}: {run:?}",
            row.name()
        );
    }
}
