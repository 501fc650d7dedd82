//! CloudNest and what of the others is installed take one short turn each with every workload.

use bench::peers::{Size, Which, run};
use bench::report::MEMORY_MIB;
use rig::binary;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;

#[test]
fn every_program_that_is_installed_has_a_turn_with_every_workload() {
    let program = binary::build(env!("CARGO")).unwrap();
    let mut cluster = Cluster::up(Options::new(Layout::one_region(3).unwrap(), program)).unwrap();
    let size = Size {
        peers: vec![Which::Postgres, Which::Etcd],
        workload: ["w1", "w2", "w3", "w4"].map(str::to_owned).to_vec(),
        seconds: 1,
        runs: 1,
        clients: vec![4],
    };
    let found = run(&cluster, &size).unwrap();
    cluster.stop().unwrap();
    let missing: Vec<_> = found.notes.iter().filter(|note| note.starts_with("NOT MEASURED")).collect();
    for note in &missing {
        eprintln!("SKIPPED in part: {note}");
    }
    let mut programs: Vec<_> = ["CloudNest", "Postgres", "etcd"].to_vec();
    programs.retain(|name| !missing.iter().any(|note| note.contains(name)));
    assert_eq!(programs.len() + missing.len(), 3);
    for workload in ["W1", "W2", "W3", "W4"] {
        let rows = found.rows.iter().filter(|row| row.workload.starts_with(workload));
        let names: Vec<_> = rows.clone().map(|row| row.at.clone().unwrap_or_default()).collect();
        assert_eq!(names, programs, "{workload}");
        for run in rows.flat_map(|row| &row.runs) {
            assert!(run.rate > 0.0 && run.errors.is_empty(), "{workload}: {run:?}");
            assert!(run.cpu_micros.is_some_and(|micros| micros > 0.0), "{workload}: {run:?}");
            assert!(run.more.get(MEMORY_MIB).is_some_and(|mib| *mib > 1.0));
        }
        let ratios = found.ratios.iter().filter(|ratio| ratio.workload.starts_with(workload));
        // Over each of the others, and over the best where there are two.
        assert_eq!(ratios.clone().count(), [0, 1, 3][programs.len() - 1], "{workload}");
        assert!(
            ratios
                .flat_map(|ratio| &ratio.rounds)
                .all(|ratio| ratio.is_finite() && *ratio > 0.0)
        );
    }
}
