//! Contents on their way between disks and stores: a region that gets a store, and tenants that move between regions.

use rig::cluster::Own;

use super::*;

/// Has a node begin again with another configuration.
fn begin_with(cluster: &mut Cluster, name: &str, config: &str) {
    let own = Own {
        config: Some(config.to_owned()),
        ..cluster.given(name)
    };
    cluster.give(name, own);
    begin_again(cluster, name);
}

fn begin_again(cluster: &mut Cluster, name: &str) {
    cluster.kill(name).expect("killed");
    cluster.wait_ended(name, RESTART).expect("its end");
    cluster.start_node(name).expect("started");
    cluster.wait_ready(name, RESTART).expect("ready");
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.nodes().iter().map(|node| node.name.clone()).collect()
}

/// What all nodes have counted together.
async fn counted(cluster: &Cluster, metric: &str) -> u64 {
    let mut sum = 0;
    for address in cluster.addresses() {
        let client = tenant::client_of(address, cluster.operator_token()).expect("a client");
        let metrics = client
            .call(Call::new(Method::GET, "/metrics".to_owned()))
            .await
            .expect("metrics")
            .body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        sum += line.expect("it is counted").parse::<u64>().expect("a number");
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_gets_a_store_has_its_contents_carried_there() {
    let store = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::one_region(3).expect("a layout");
    let mut cluster = start(layout.clone());
    cluster.detach().expect("nodes by themselves");
    layout.files = Some(keys(store.path()));
    let config = layout.to_toml();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let before = noise("before.bin", 3 * MIB + 1);
    let file = put(&acme, "before.bin", before.len()).await;
    assert!(chunks(store.path()).is_empty());
    // Node after node gets it: all contents can be read at every node on the way.
    let mut files = vec![(file.clone(), before.clone())];
    for (at, name) in names(&cluster).into_iter().enumerate() {
        begin_with(&mut cluster, &name, &config);
        let (name, content) = (format!("{at}.bin"), noise(&format!("{at}.bin"), MIB + at));
        let made = until("a file", async || {
            let made = acme
                .client
                .file_create("acme", &name, "application/x-noise", None, content.clone(), Some(&name));
            made.await.ok()
        });
        files.push((made.await.body, content));
        for (file, content) in &files {
            assert_everywhere(&cluster, &acme, file, content).await;
        }
    }
    let all: usize = files.iter().map(|(_, content)| content.len().div_ceil(MIB)).sum();
    until("all of it in the store", async || {
        (chunks(store.path()).len() == all).then_some(())
    })
    .await;
    // What the store has leaves the disks, once it is old.
    for name in names(&cluster) {
        age(&chunks(&cluster.data().join(&name)));
        begin_again(&mut cluster, &name);
    }
    until("disks without chunks", async || {
        chunks(&cluster.data()).is_empty().then_some(())
    })
    .await;
    for (file, content) in &files {
        assert_everywhere(&cluster, &acme, file, content).await;
    }
    // What is lost then is lost: it is told of, at once to who asks, and in the metrics without that.
    for path in chunks(store.path()) {
        fs::remove_file(path).expect("lost");
    }
    for name in names(&cluster) {
        begin_again(&mut cluster, &name);
    }
    until("the loss to be counted", async || {
        (counted(&cluster, "cloudnest_chunks_missing_total").await >= all as u64).then_some(())
    })
    .await;
    let download = Call::new(Method::GET, format!("/v1/tenants/acme/files/{}/content", file.id));
    let (status, told, _) = refusal(&acme.client, download).await;
    assert!(status == 503 && told.contains("is missing in the store"), "{status} {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_takes_its_contents_to_another_region_and_leaves_none_behind() {
    let store = tempfile::tempdir().expect("a directory");
    let (near, far) = (store.path().join("one"), store.path().join("three"));
    let mut layout = Layout::new(&[("one", 1), ("two", 1), ("three", 1)]).expect("a layout");
    let without = layout.to_toml();
    layout.files = Some(keys(store.path()));
    let mut cluster = start(layout.clone());
    cluster.detach().expect("nodes by themselves");
    // The second region has no store.
    begin_with(&mut cluster, "twoa", &without);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let content = noise("large.bin", 4 * MIB + 5);
    let file = put(&acme, "large.bin", content.len()).await;
    let disk = cluster.data().join("twoa");
    let counts = || [chunks(&near).len(), chunks(&disk).len(), chunks(&far).len()];
    assert_eq!(counts(), [5, 0, 0]);
    let operator = operator(&cluster);
    for (region, there, left) in [
        ("two", [5, 5, 0], "onea"),
        ("three", [0, 5, 5], "twoa"),
        ("one", [5, 0, 5], "threea"),
    ] {
        let to = TenantMove {
            cell: Some(format!("{region}-shared")),
            region: Some(region.to_owned()),
            ..TenantMove::default()
        };
        let begun = operator.tenant_move("acme", &to, None).await.expect("a move").body;
        ended(&operator, &begun).await;
        assert_eq!(counts(), there, "in {region}");
        let found = read(&acme.client, "acme", file.id).await.expect("the content");
        assert!(found == content, "in {region}");
        // What is left behind goes when it is old.
        age(&[chunks(&near), chunks(&disk), chunks(&far)].concat());
        begin_again(&mut cluster, left);
        let gone = match left {
            "onea" => near.clone(),
            "twoa" => disk.clone(),
            _ => far.clone(),
        };
        until("the end of what was left behind", async || {
            chunks(&gone).is_empty().then_some(())
        })
        .await;
        let found = read(&acme.client, "acme", file.id).await.expect("the content");
        assert!(found == content, "in {region}, alone");
    }
}
