//! Several regions with one directory: what goes on without it, and how a cluster is changed by its file.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use api::body::control::NewTenant;
use api::body::record::{Fields, NewRecord};
use api::client::{Client, ClientError};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::wait::{PATIENCE, until};
use rig::{nursery, tenant};
use serde_json::json;

fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_cloudnest").into()
}

/// A client of the nodes of a region.
fn client(layout: &Layout, region: &str, token: &str) -> Client {
    let nodes = layout.nodes.iter().filter(|node| node.region == region);
    tenant::client(&nodes.map(|node| node.api).collect::<Vec<_>>(), token).expect("a client")
}

/// Its first token; none: an earlier attempt of which nobody could say what became of it has made the tenant, and the token is shown once.
async fn create(layout: &Layout, region: &str, slug: &str, token: &str) -> Result<Option<String>, ClientError> {
    let new = NewTenant {
        slug: slug.parse().expect("a slug"),
        name: Some(format!("The name of {slug}")),
        region: region.to_owned(),
        plan: None,
        dedicated: false,
        template: Some("workspace".to_owned()),
    };
    let made = client(layout, region, token)
        .with_retries(3)
        .tenant_create(&new, Some(slug))
        .await?;
    Ok(made.body.admin_token)
}

fn task(title: &str) -> NewRecord {
    let mut fields = Fields::new();
    fields.insert("title".to_owned(), json!(title));
    NewRecord { id: None, fields }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_served_while_the_directory_is_gone() {
    let layout = Layout::new(&[("one", 3), ("two", 1), ("three", 1)]).expect("a layout");
    let mut cluster = Cluster::up(Options::new(layout.clone(), binary())).expect("a cluster");
    cluster.detach().expect("nodes by themselves");
    let operator = cluster.operator_token().to_owned();
    let token = create(&layout, "one", "acme", &operator)
        .await
        .expect("a tenant")
        .expect("its token");
    let far = create(&layout, "two", "beta", &operator)
        .await
        .expect("a tenant elsewhere")
        .expect("its token");
    // A tenant of another region is named to every node, and found there.
    let onec = layout.node("onec").expect("a node").api;
    until("a word of the other region's tenant", async || {
        let (status, body) = rig::http::status(onec, "/v1/tenants/beta/me", &far, PATIENCE).ok()?;
        (status == 421).then(|| assert!(String::from_utf8_lossy(&body).contains("\"region\":\"two\"")))
    })
    .await;
    let found = tenant::client_of(onec, &far).expect("a client").me("beta").await;
    assert_eq!(found.expect("the client goes there by itself").body.tenant.as_str(), "beta");
    for voter in ["twoa", "threea"] {
        cluster.kill(voter).expect("a kill");
        cluster.wait_ended(voter, PATIENCE).expect("its end");
    }
    let acme = client(&layout, "one", &token);
    for number in 0..20 {
        acme.record_create("acme", "tasks", &task(&format!("without {number}")), None)
            .await
            .expect("a write without the directory");
    }
    // A node that starts meanwhile serves from its copy.
    cluster.kill("oneb").expect("a kill");
    cluster.wait_ended("oneb", PATIENCE).expect("its end");
    cluster.start_node("oneb").expect("a start");
    cluster.wait_ready("oneb", PATIENCE).expect("ready without the directory");
    let oneb = tenant::client_of(layout.node("oneb").expect("a node").api, &token).expect("a client");
    assert_eq!(oneb.me("acme").await.expect("served from the copy").status.as_u16(), 200);
    let refused = create(&layout, "one", "late", &operator)
        .await
        .expect_err("nobody can enter a tenant");
    // A leader that has just lost its quorum may have taken it, and cannot say what became of it.
    let status = refused.problem().map(|problem| problem.status);
    assert!(matches!(status, Some(503 | 504)), "{refused}");
    for voter in ["twoa", "threea"] {
        cluster.start_node(voter).expect("a start");
    }
    until("a new tenant", async || create(&layout, "one", "late", &operator).await.ok()).await;
    cluster.stop().expect("an orderly end");
}

/// A command of the program against this cluster.
fn run(cluster: &Cluster, config: &Path, arguments: &[&str]) -> Output {
    let data = cluster.data();
    let mut command = Command::new(binary());
    command
        .arg("cluster")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .arg("--data")
        .arg(data);
    command.env_remove("CLOUDNEST_URL").env_remove("CLOUDNEST_TOKEN");
    command.output().expect("the program runs")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Brings a configuration about; what was said.
fn apply(cluster: &Cluster, config: &Path, text: &str) -> String {
    std::fs::write(config, text).expect("a configuration");
    let output = run(cluster, config, &["apply"]);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// A process that ends with its owner.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_region_takes_an_edit_and_one_apply_and_what_would_lose_something_is_refused() {
    let all = Layout::new(&[("one", 3), ("two", 1), ("three", 1), ("four", 1)]).expect("a layout");
    let mut three = all.clone();
    three.nodes.retain(|node| node.region != "four");
    let cluster = Cluster::up(Options::new(three.clone(), binary())).expect("a cluster");
    let operator = cluster.operator_token().to_owned();
    let token = create(&all, "one", "acme", &operator).await.expect("a tenant");
    let token = token.expect("its first token");
    let config = cluster.data().join("wanted.toml");
    assert!(apply(&cluster, &config, &three.to_toml()).contains("nothing to do"));

    // Others go on meanwhile.
    let acme = client(&all, "one", &token);
    let writing = tokio::spawn(async move {
        for number in 0..300 {
            acme.record_create("acme", "tasks", &task(&format!("meanwhile {number}")), None)
                .await
                .expect("a write");
        }
    });
    std::fs::write(&config, all.to_toml()).expect("a configuration");
    let plan = said(&run(&cluster, &config, &["plan"]));
    for line in ["+ region four", "+ node foura", "+ cell four-shared"] {
        assert!(plan.contains(line), "{plan}");
    }
    // Its node does not run yet: the apply waits, keeps others out, and is called off; what it had begun is not forgotten.
    let begun = run(&cluster, &config, &["apply", "--no-wait"]);
    assert!(said(&begun).contains("under way: operation"), "{}", said(&begun));
    let other = cluster.data().join("other.toml");
    std::fs::write(&other, all.to_toml().replace("weight = 1", "weight = 2")).expect("a configuration");
    let refused = said(&run(&cluster, &other, &["apply"]));
    assert!(refused.contains("another apply is under way"), "{refused}");
    let called_off = said(&run(&cluster, &config, &["apply", "--cancel"]));
    assert!(called_off.contains("called off"), "{called_off}");
    let plan = said(&run(&cluster, &config, &["plan"]));
    assert!(plan.contains("cell four-shared"), "{plan}");
    let mut up = nursery::command(&binary());
    up.args(["cluster", "up", "--region", "four", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(cluster.data());
    up.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let four = Running(nursery::spawn(up).expect("the fourth region starts"));
    assert!(apply(&cluster, &config, &all.to_toml()).ends_with("done\n"));
    assert!(apply(&cluster, &config, &all.to_toml()).contains("nothing to do"));
    let delta = until("a tenant of the fourth region", async || {
        create(&all, "four", "delta", &operator).await.ok().flatten()
    })
    .await;
    let made = client(&all, "four", &delta)
        .record_create("delta", "tasks", &task("the first"), None)
        .await;
    assert_eq!(made.expect("a write in the fourth region").status.as_u16(), 201);

    // A region with tenants, a number that means another node: refused with the reason, before anything is changed.
    for (text, reason) in [
        (three.to_toml(), "1 tenants live"),
        (
            all.to_toml()
                .replace("name = \"foura\"\nnumber = 6", "name = \"foura\"\nnumber = 60"),
            "a node keeps its number",
        ),
    ] {
        std::fs::write(&config, text).expect("a configuration");
        let refused = run(&cluster, &config, &["apply"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(reason), "{}", said(&refused));
    }

    // A cell shrinks to one replica and grows back.
    let cell = "nodes = [\"onea\", \"oneb\", \"onec\"]";
    assert!(all.to_toml().contains(cell));
    apply(&cluster, &config, &all.to_toml().replace(cell, "nodes = [\"oneb\"]"));
    apply(&cluster, &config, &all.to_toml());
    writing.await.expect("no write failed");
    let cells = client(&all, "one", &operator).cells().await.expect("cells");
    let shared = cells.iter().find(|cell| cell.name == "one-shared").expect("the cell");
    assert_eq!(shared.replicas.len(), 3, "{shared:?}");
    drop(four);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_and_a_drain_cost_no_request() {
    let layout = Layout::one_region(3).expect("a layout");
    let cluster = Cluster::up(Options::new(layout.clone(), binary())).expect("a cluster");
    let operator = cluster.operator_token().to_owned();
    let region = layout.regions()[0].to_owned();
    let token = create(&layout, &region, "acme", &operator).await.expect("a tenant");
    let token = token.expect("its first token");
    let before = cluster.pids().expect("processes");
    // A connection that is refused, or closed before anything was sent, is tried at the next node; nothing else is tried again.
    let acme = client(&layout, &region, &token).with_retries(2);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (acme, stopped) = (acme.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut written = 0;
                while !*stopped.borrow() {
                    let task = task(&format!("{writer} {written}"));
                    acme.record_create("acme", "tasks", &task, None)
                        .await
                        .expect("no request fails");
                    written += 1;
                }
                written
            })
        })
        .collect();
    let config = cluster.config();
    let restarted = tokio::task::block_in_place(|| run(&cluster, &config, &["restart", "--rolling", "--pause", "0"]));
    assert!(restarted.status.success(), "{}", said(&restarted));
    assert_eq!(said(&restarted).matches("is back after").count(), 3, "{}", said(&restarted));
    let after = cluster.pids().expect("processes");
    assert!(
        before.iter().zip(&after).all(|(old, new)| old != new),
        "every node is a new process: {before:?} {after:?}"
    );

    // A node that drains leads nothing and is not ready, until it is asked back.
    let name = layout.nodes[0].name.clone();
    let drained = tokio::task::block_in_place(|| run(&cluster, &config, &["drain", &name]));
    assert!(drained.status.success(), "{}", said(&drained));
    let its_own = tenant::client_of(layout.nodes[0].api, &operator).expect("a client");
    until("it leads nothing", async || {
        let cells = its_own.cells().await.ok()?;
        cells
            .iter()
            .all(|cell| cell.leader.as_ref().is_some_and(|leader| *leader != name))
            .then_some(())
    })
    .await;
    assert!(its_own.clone().with_retries(0).readyz().await.is_err());
    let back = tokio::task::block_in_place(|| run(&cluster, &config, &["drain", &name, "--undo"]));
    assert!(back.status.success(), "{}", said(&back));
    cluster.wait_ready(&name, PATIENCE).expect("ready again");
    stop.send_replace(true);
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("a writer");
    }
    assert_eq!(
        rig::verify::count(
            &rig::tenant::Tenant {
                slug: "acme".to_owned(),
                token,
                client: acme
            },
            "tasks"
        )
        .await
        .expect("a count"),
        written
    );
}
