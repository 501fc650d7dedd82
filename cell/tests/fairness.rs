//! Limits of plans, over real nodes: who has used up what it may is told so by every node, and nobody else notices.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use api::body::usage::Usage;
use api::client::{Call, Client, EventsFrom, Method};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::wait::{PATIENCE, until};
use rig::{import, tenant};

fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_cloudnest").into()
}

/// Gives the cluster plans beside its own: name, units a second, units at once.
fn apply(cluster: &Cluster, plans: &[(&str, u64, u64)]) {
    let config: PathBuf = cluster.data().join("wanted.toml");
    let mut text = cluster.layout().to_toml();
    for (name, rate, burst) in plans {
        text.push_str(&format!(
            "\n[[plan]]\nname = {name:?}\nunits_per_second = {rate}\nburst_units = {burst}\nstorage_gib = 1\n"
        ));
    }
    std::fs::write(&config, text).expect("a configuration");
    run(&["cluster", "apply", "--config"], &config, &cluster.data());
}

fn run(words: &[&str], config: &Path, data: &Path) {
    let mut command = Command::new(binary());
    command.args(words).arg(config).arg("--data").arg(data);
    command.env_remove("CLOUDNEST_URL").env_remove("CLOUDNEST_TOKEN");
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The status of a read, and of its head what it says of limits: the policy, and when to come back.
async fn read(client: &Client, slug: &str) -> (u16, Option<String>, Option<String>) {
    let call = Call::new(Method::GET, format!("/v1/tenants/{slug}/me?consistency=local"));
    let answer = client.call(call).await.expect("an answer");
    let header = |name: &str| Some(answer.headers.get(name)?.to_str().expect("a text").to_owned());
    (answer.status.as_u16(), header("ratelimit-policy"), header("retry-after"))
}

async fn usage(client: &Client, slug: &str) -> Usage {
    client.usage(slug).await.expect("usage").body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_one_limit_on_all_nodes_and_a_changed_plan_holds_at_once() {
    let cluster = Cluster::up(Options::new(Layout::one_region(3).expect("a layout"), binary())).expect("a cluster");
    tokio::task::block_in_place(|| apply(&cluster, &[("small", 1, 200)]));
    let small = tenant::create_on(&cluster, "small", "small").await.expect("a tenant").token;
    let other = tenant::create_on(&cluster, "unlimited", "other")
        .await
        .expect("a tenant")
        .token;
    let addresses = cluster.addresses();
    let one = |at: usize, token: &str| tenant::client_of(addresses[at], token).expect("a client");
    let (first, second, beside) = (one(0, &small), one(1, &small), one(0, &other));

    // Every node hears of the new plan; the second knows the tenant then, and has charged it next to nothing.
    let policy = Some("\"units\";q=200;w=200".to_owned());
    for node in [&first, &second] {
        until("the new plan is known", async || {
            (read(node, "small").await.1 == policy).then_some(())
        })
        .await;
    }
    let mut served = 0;
    let back = loop {
        let (status, _, back) = read(&first, "small").await;
        if status == 429 {
            break back;
        }
        assert_eq!(status, 200);
        served += 1;
        assert!(served < 400, "nothing was refused");
    };
    assert!(back.is_some(), "it is not told when to come back");
    assert_eq!(read(&beside, "other").await.0, 200, "another tenant notices nothing");
    until("the other node hears of it", async || {
        let seen = usage(&second, "small").await;
        (seen.units.left < 100 && seen.units.used_elsewhere > 100.0).then_some(())
    })
    .await;
    let here = usage(&first, "small").await;
    assert_eq!(
        (here.plan.as_str(), here.units.left, here.limits.burst_units),
        ("small", 0, 200)
    );
    assert!(here.refused > 0 && here.requests > here.refused, "{here:?}");

    tokio::task::block_in_place(|| apply(&cluster, &[("small", 10_000, 100_000)]));
    until("the larger plan holds", async || {
        let (status, ..) = read(&first, "small").await;
        (status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_on_as_fast_as_the_plan_allows() {
    let cluster = Cluster::up(Options::new(Layout::one_region(1).expect("a layout"), binary())).expect("a cluster");
    tokio::task::block_in_place(|| apply(&cluster, &[("slow", 600, 600)]));
    let token = tenant::create_on(&cluster, "slow", "slow").await.expect("a tenant").token;
    let client = tenant::client_of(cluster.addresses()[0], &token).expect("a client");
    let client = client.with_timeout(Duration::from_secs(60));
    let mut lines = Vec::new();
    (0..2_500).for_each(|number| {
        lines.extend_from_slice(format!("{{\"title\":\"task {number}\"}}\n").as_bytes());
    });
    let done = import::import(&client, "slow", "tasks", "paced", &lines, PATIENCE)
        .await
        .expect("an import");
    assert_eq!((done.summary.imported, done.summary.failed), (2_500, 0));
    let seen = usage(&client, "slow").await;
    assert!(seen.units.used > 600.0, "more than it may use at once: {seen:?}");
}

/// Units that elastic work has taken at a node.
async fn elastic(operator: &Client) -> f64 {
    let metrics = operator.metrics().await.expect("metrics");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cloudnest_fair_elastic_units_total "));
    line.expect("the metric").parse().expect("a number")
}

/// How many events there are after a position.
async fn events_after(client: &Client, after: u64) -> usize {
    let from = EventsFrom {
        after,
        ..EventsFrom::default()
    };
    let mut stream = client.events("bulk", from).await.expect("a stream");
    let mut events = 0;
    while stream.next().await.expect("whole").is_some() {
        events += 1;
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_and_old_events_are_elastic_and_small_ones_are_not() {
    let cluster = Cluster::up(Options::new(Layout::one_region(1).expect("a layout"), binary())).expect("a cluster");
    let address = cluster.addresses()[0];
    let operator = tenant::client_of(address, cluster.operator_token()).expect("a client");
    let token = tenant::create_on(&cluster, "unlimited", "bulk")
        .await
        .expect("a tenant")
        .token;
    let client = tenant::client_of(address, &token).expect("a client");

    let file = |bytes: usize| client.file_create("bulk", "a.bin", "application/octet-stream", None, vec![7; bytes], None);
    file(60_000).await.expect("a small file");
    assert!(elastic(&operator).await < 0.001, "it passes at once");
    let large = file(3 * 1024 * 1024).await.expect("a large file").body;
    let kept = elastic(&operator).await;
    assert!(kept > 100.0, "{kept}");
    let mut content = client.file_content("bulk", large.id, None).await.expect("its content");
    let mut bytes = 0;
    while let Some(piece) = content.next().await.expect("a piece") {
        bytes += piece.len();
    }
    assert_eq!(bytes, 3 * 1024 * 1024);
    let sent = elastic(&operator).await;
    assert!(sent >= kept + 32.0, "its chunks after the first: {sent} after {kept}");

    for number in 0..40 {
        let new = serde_json::json!({ "fields": { "title": format!("task {number}") } });
        let new = serde_json::from_value(new).expect("a record");
        client.record_create("bulk", "tasks", &new, None).await.expect("a record");
    }
    let events = events_after(&client, 0).await;
    assert!(events > 40, "{events}");
    let old = elastic(&operator).await;
    assert!(old >= sent + 10.0, "events that nobody had read: {old} after {sent}");
    assert_eq!(events_after(&client, 1).await, events - 1);
    assert!(
        elastic(&operator).await < old + 0.001,
        "the last ones are kept as they are told"
    );
}
