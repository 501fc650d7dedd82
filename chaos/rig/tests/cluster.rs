//! The rig with the built program: nodes that run by themselves, and a cluster that stops and starts again on its data.

use std::time::Duration;

use rig::cluster::{Cluster, Options, is_alive, poll};
use rig::layout::Layout;
use rig::{binary, tenant, verify};

const LONG: Duration = Duration::from_secs(60);

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_detached_node_stays_dead_until_it_is_started_and_misses_nothing() {
    let program = binary::build(env!("CARGO")).unwrap();
    let mut cluster = Cluster::up(Options::new(Layout::one_region(3).unwrap(), program)).unwrap();
    cluster.detach().unwrap();

    let pid = cluster.kill("eu-west-1b").unwrap();
    assert!(poll(LONG, || !is_alive(pid)));
    // Two of three go on; the third catches up once it is back.
    let created = run(tenant::create(&cluster, "acme", Some("workspace"))).unwrap();
    assert_eq!(run(verify::count(&created, "tasks")).unwrap(), 0);
    cluster.start_node("eu-west-1b").unwrap();
    cluster.wait_ready("eu-west-1b", LONG).unwrap();
    assert_ne!(cluster.pid("eu-west-1b").unwrap(), pid);
    run(verify::replicas_agree(&cluster, LONG)).unwrap();
    run(verify::exports_agree(&cluster, &created)).unwrap();

    cluster.terminate("eu-west-1c").unwrap();
    assert!(
        cluster.wait_ended("eu-west-1c", LONG).unwrap(),
        "SIGTERM ends a node with code 0"
    );
    cluster.stop().unwrap();
    cluster.up_again().unwrap();
    assert_eq!(run(verify::count(&created, "tasks")).unwrap(), 0);
}
