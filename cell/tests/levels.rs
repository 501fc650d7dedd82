//! Two versions in one cell: a newer program that runs as the one before it, and is brought up to its own level node by node.
//!
//! `CLOUDNEST_PREVIOUS_BIN` names a program of the level before, built from the commit that docs/upgrades.md names: with it the nodes start
//! as that program instead.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use api::body::record::{Fields, NewRecord};
use api::client::Client;
use rig::cluster::{Cluster, Options, Own};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::verify;
use rig::wait::{PATIENCE, until};
use serde_json::json;

const NODES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];

/// How the nodes of the version before are started.
fn before() -> Own {
    match std::env::var_os("CLOUDNEST_PREVIOUS_BIN") {
        Some(binary) => Own {
            binary: Some(binary.into()),
            arguments: Some(Vec::new()),
            ..Own::default()
        },
        None => Own {
            arguments: Some(["--compat-level", "1"].map(str::to_owned).to_vec()),
            ..Own::default()
        },
    }
}

/// Ends a node as an operator would, and starts it as another version.
fn restart(cluster: &mut Cluster, node: &str, own: Own) {
    cluster.terminate(node).expect("a request to end");
    assert!(cluster.wait_ended(node, PATIENCE).expect("its end"));
    cluster.give(node, own);
    cluster.start_node(node).expect("a node");
    cluster.wait_ready(node, PATIENCE).expect("a ready node");
}

/// Creates records one after the other until it is told to stop; how many there are.
async fn write(client: Client, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> u64 {
    for number in 0_u64.. {
        if stop.load(Ordering::Acquire) {
            return number;
        }
        let mut fields = Fields::new();
        fields.insert("title".to_owned(), json!(format!("task {number}")));
        let new = NewRecord { id: None, fields };
        let made = client
            .record_create("acme", "tasks", &new, Some(&format!("task-{number}")))
            .await;
        made.unwrap_or_else(|error| panic!("write {number}: {error}"));
        done.store(number + 1, Ordering::Release);
    }
    0
}

/// The levels of the cells as one node shows them; none: it does not answer just now, or not all of them.
async fn levels(node: &Client) -> Option<Vec<u32>> {
    let cells = node.cells().await.ok()?;
    cells.into_iter().map(|cell| cell.level).collect()
}

/// Waits until writes have got on.
async fn goes_on(done: &AtomicU64) {
    let before = done.load(Ordering::Acquire);
    until("progress of the writer", async || {
        (done.load(Ordering::Acquire) >= before + 10).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_runs_two_versions_rises_with_the_last_node_and_takes_none_back_then() {
    let mut options = Options::new(
        Layout::one_region(3).expect("a layout"),
        env!("CARGO_BIN_EXE_cloudnest").into(),
    );
    // Whoever brings the cluster up may be either.
    if let Some(binary) = std::env::var_os("CLOUDNEST_PREVIOUS_BIN").map(PathBuf::from) {
        options.binary = binary;
    } else {
        options.arguments = ["--compat-level", "1"].map(str::to_owned).to_vec();
    }
    let mut cluster = Cluster::up(options).expect("a cluster");
    for node in NODES {
        cluster.give(node, before());
    }
    cluster.detach().expect("nodes by themselves");
    let newest = Own {
        binary: Some(env!("CARGO_BIN_EXE_cloudnest").into()),
        arguments: Some(Vec::new()),
        ..Own::default()
    };

    let Tenant { client, token, .. } = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = tokio::spawn(write(client.clone().with_retries(200), Arc::clone(&stop), Arc::clone(&done)));
    let addresses = cluster.addresses();
    let one = |place: usize| tenant::client_of(addresses[place], cluster.operator_token()).expect("a client");
    let [first, second, third] = [one(0), one(1), one(2)];

    // Two of three; the second one is taken back, and comes again.
    for node in [NODES[0], NODES[1]] {
        restart(&mut cluster, node, newest.clone());
        goes_on(&done).await;
    }
    restart(&mut cluster, NODES[1], before());
    goes_on(&done).await;
    restart(&mut cluster, NODES[1], newest.clone());
    goes_on(&done).await;
    for node in [&first, &second] {
        assert_eq!(
            levels(node).await.expect("levels"),
            [1, 1],
            "the third node holds the level back"
        );
    }

    restart(&mut cluster, NODES[2], newest.clone());
    for node in [&first, &second, &third] {
        until("the new level", async || {
            levels(node).await.filter(|levels| levels[..] == [2, 2])
        })
        .await;
    }
    goes_on(&done).await;

    // Nobody goes back from here.
    cluster.terminate(NODES[2]).expect("a request to end");
    assert!(cluster.wait_ended(NODES[2], PATIENCE).expect("its end"));
    cluster.give(
        NODES[2],
        Own {
            arguments: Some(["--compat-level", "1"].map(str::to_owned).to_vec()),
            ..newest.clone()
        },
    );
    cluster.start_node(NODES[2]).expect("a node of the level before");
    assert!(!cluster.wait_ended(NODES[2], PATIENCE).expect("its end"), "it does not start");
    let tails = cluster.tails();
    assert!(tails.contains("is of level 2, this node runs at level 1"), "{tails}");
    cluster.give(NODES[2], newest);
    cluster.start_node(NODES[2]).expect("a node");
    cluster.wait_ready(NODES[2], PATIENCE).expect("a ready node");
    goes_on(&done).await;

    stop.store(true, Ordering::Release);
    let written = writer.await.expect("a writer whose writes were all answered");
    let tenant = Tenant {
        client,
        token,
        slug: "acme".to_owned(),
    };
    let records = verify::records(&tenant, "tasks").await.expect("records");
    assert_eq!(records.len() as u64, written);
    let counted = until("records of before are counted", async || {
        tenant.client.usage("acme").await.ok()?.body.stored.records
    })
    .await;
    assert_eq!(counted, written, "they were counted while they were written");
    verify::replicas_agree(&cluster, PATIENCE).await.expect("equal replicas");
}
