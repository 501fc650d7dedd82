//! From one replica to three, and a dead node replaced by a new one: by the file and one apply each. A hot cell evened out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::body::control::NewTenant;
use api::body::record::{Fields, NewRecord};
use api::client::Client;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::wait::{PATIENCE, until};
use rig::{nursery, tenant};
use serde_json::json;

fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_cloudnest").into()
}

/// A node that ends with its owner.
struct Node(Child);

impl Node {
    fn start(name: &str, config: &Path, data: &Path) -> Self {
        let mut command = nursery::command(&binary());
        command.arg("node").arg("--config").arg(config).args(["--node", name]);
        command
            .arg("--data")
            .arg(data.join(name))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(nursery::spawn(command).expect("a node starts"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The text of a layout in which the cell and the directory are on these nodes.
fn on(layout: &Layout, names: &[&str]) -> String {
    let list = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let all: Vec<&str> = layout.nodes.iter().map(|node| node.name.as_str()).collect();
    let text = layout.to_toml();
    let text = text.replace(&format!("nodes = [{}]", list(&all)), &format!("nodes = [{}]", list(names)));
    let voters = text
        .lines()
        .find(|line| line.starts_with("voters = "))
        .expect("voters")
        .to_owned();
    text.replace(&voters, &format!("voters = [{}]", list(names)))
}

/// Brings a configuration about. It may have to wait for nodes that come up.
fn apply(cluster: &Cluster, config: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut command = Command::new(binary());
        command
            .args(["cluster", "apply", "--config"])
            .arg(config)
            .arg("--data")
            .arg(cluster.data());
        command.env_remove("CLOUDNEST_URL").env_remove("CLOUDNEST_TOKEN");
        let output = command.output().expect("the program runs");
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        if output.status.success() {
            return;
        }
        assert!(said.contains("do not answer") && Instant::now() < deadline, "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn write(client: &Client, title: &str) {
    let mut fields = Fields::new();
    fields.insert("title".to_owned(), json!(title));
    client
        .record_create("acme", "tasks", &NewRecord { id: None, fields }, Some(title))
        .await
        .expect("a write");
}

/// The nodes that have a replica of a cell and of the directory, each list in order.
async fn members(operator: &Client) -> Vec<Vec<String>> {
    let cells = operator.cells().await.expect("cells");
    let names = |cell: api::body::control::Cell| {
        let mut names: Vec<String> = cell.replicas.into_iter().map(|replica| replica.node).collect();
        names.sort();
        names
    };
    cells.into_iter().map(names).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_grows_to_three_and_a_dead_node_is_replaced() {
    let four = Layout::new(&[("one", 4)]).expect("a layout");
    let mut first = four.clone();
    first.nodes.truncate(1);
    let mut cluster = Cluster::up(Options::new(first, binary())).expect("a cluster");
    let data = cluster.data();
    let made = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    write(&made.client, "alone").await;

    let (config, mut three) = (data.join("wanted.toml"), four.clone());
    three.nodes.truncate(3);
    std::fs::write(&config, on(&three, &["onea", "oneb", "onec"])).expect("a configuration");
    let (second, third) = (Node::start("oneb", &config, &data), Node::start("onec", &config, &data));
    tokio::task::block_in_place(|| apply(&cluster, &config));
    let addresses: Vec<_> = four.nodes.iter().map(|node| node.api).collect();
    let everywhere = tenant::client(&addresses, &made.token).expect("a client");
    write(&everywhere, "three").await;

    // The one that was there from the start goes for good; nothing of what was answered is lost.
    cluster.detach().expect("by itself");
    cluster.kill("onea").expect("a kill");
    cluster.wait_ended("onea", PATIENCE).expect("its end");
    write(&everywhere, "two of three").await;
    let operator = tenant::client(&addresses, cluster.operator_token()).expect("a client");
    std::fs::write(&config, on(&four, &["oneb", "onec", "oned"])).expect("a configuration");
    let fourth = Node::start("oned", &config, &data);
    tokio::task::block_in_place(|| apply(&cluster, &config));
    let expected = vec![vec!["oneb".to_owned(), "onec".to_owned(), "oned".to_owned()]; 2];
    let deadline = Instant::now() + PATIENCE;
    while members(&operator).await != expected {
        assert!(Instant::now() < deadline, "{:?}", members(&operator).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    write(&everywhere, "replaced").await;
    let records = rig::verify::records(
        &tenant::Tenant {
            client: everywhere,
            ..made
        },
        "tasks",
    )
    .await
    .expect("records");
    assert_eq!(records.len(), 4);
    drop((second, third, fourth));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_of_the_directory_that_loses_its_vote_while_it_lives_hears_of_it() {
    let layout = Layout::new(&[("one", 3)]).expect("a layout");
    let cluster = Cluster::up(Options::new(layout.clone(), binary())).expect("a cluster");
    let (config, text) = (cluster.data().join("wanted.toml"), layout.to_toml());
    let voters = text.lines().find(|line| line.starts_with("voters = ")).expect("voters");
    let text = text.replace(voters, "voters = [\"onea\"]");
    std::fs::write(&config, text).expect("a configuration");
    tokio::task::block_in_place(|| apply(&cluster, &config));
    for (node, address) in layout.nodes.iter().zip(cluster.addresses()) {
        let own = tenant::client_of(address, cluster.operator_token()).expect("a client");
        until(&format!("{} hears of it", node.name), async || {
            let shown = own.cluster().await.ok()?;
            (shown.topology.directory_voters == ["onea"] && shown.applying.is_none()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_wants_a_cell_of_its_own_gets_one_and_an_apply_keeps_it() {
    let layout = Layout::new(&[("one", 3)]).expect("a layout");
    let cluster = Cluster::up(Options::new(layout.clone(), binary())).expect("a cluster");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let new = |slug: &str| NewTenant {
        slug: slug.parse().expect("a slug"),
        name: None,
        region: "one".to_owned(),
        plan: None,
        dedicated: true,
        template: Some("workspace".to_owned()),
    };
    let mut cells = Vec::new();
    for slug in ["acme", "beta"] {
        let made = operator.tenant_create(&new(slug), Some(slug)).await.expect("a tenant").body;
        let again = operator
            .tenant_create(&new(slug), Some(slug))
            .await
            .expect("the same answer")
            .body;
        assert_eq!(
            (made.id, &made.cell),
            (again.id, &again.cell),
            "a second attempt makes no second cell"
        );
        let own = operator
            .clone()
            .with_token(&made.admin_token.expect("a token"))
            .expect("a client");
        let levels: BTreeMap<_, _> = operator
            .cells()
            .await
            .expect("cells")
            .into_iter()
            .map(|cell| (cell.name, cell.level))
            .collect();
        assert_eq!(
            levels[&made.cell], levels["one-shared"],
            "it knows from its first moment what its nodes know: {levels:?}"
        );
        let mut fields = Fields::new();
        fields.insert("title".to_owned(), json!("the first"));
        own.record_create(slug, "tasks", &NewRecord { id: None, fields }, None)
            .await
            .expect("a write");
        cells.push(made.cell);
    }
    assert_ne!(cells[0], cells[1]);
    let shown = operator.cells().await.expect("cells");
    for name in &cells {
        let cell = shown.iter().find(|cell| cell.name == *name).expect("the cell");
        assert_eq!(
            (cell.kind.as_str(), cell.replicas.len(), cell.tenants),
            ("dedicated", 3, 1),
            "{cell:?}"
        );
    }
    let config = cluster.data().join("wanted.toml");
    std::fs::write(&config, layout.to_toml()).expect("a configuration");
    tokio::task::block_in_place(|| apply(&cluster, &config));
    assert_eq!(
        operator.cells().await.expect("cells").len(),
        shown.len(),
        "an apply of the file keeps them"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_cell_is_shown_and_one_command_evens_it_out_while_it_is_written() {
    let mut layout = Layout::new(&[("one", 1)]).expect("a layout");
    layout.shared = 2;
    let cluster = Cluster::up(Options::new(layout, binary())).expect("a cluster");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let mut cells = BTreeMap::new();
    let mut made = Vec::new();
    for slug in ["acme", "beta", "corp"] {
        made.push(tenant::create(&cluster, slug, Some("workspace")).await.expect("a tenant"));
        let shown = operator.tenant_show(slug).await.expect("the tenant").body;
        cells.entry(shown.cell).or_insert_with(Vec::new).push(slug);
    }
    assert_eq!(cells.len(), 2, "new tenants go where there is most room: {cells:?}");
    let (hot, busy) = cells
        .into_iter()
        .find(|(_, tenants)| tenants.len() == 2)
        .expect("a cell with two tenants");

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = made
        .into_iter()
        .filter(|tenant| busy.contains(&tenant.slug.as_str()))
        .flat_map(|tenant| [tenant.clone(), tenant])
        .map(|tenant| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    let mut fields = Fields::new();
                    fields.insert("title".to_owned(), json!("busy"));
                    let new = NewRecord { id: None, fields };
                    let written = tenant.client.record_create(&tenant.slug, "tasks", &new, None).await;
                    written.expect("a write");
                }
            })
        })
        .collect();
    let proposed = until("a proposal", async || {
        let balance = operator.balance().await.ok()?;
        balance.moves.into_iter().find(|one| one.to.is_some())
    })
    .await;
    assert_eq!(proposed.from, hot);
    assert!(
        busy.contains(&proposed.tenant.as_str()) && proposed.writes_per_second > 0.0,
        "{proposed:?}"
    );

    let mut command = Command::new(binary());
    command.args(["cluster", "rebalance", "--yes", "--url"]);
    command.arg(format!("http://{}", cluster.addresses()[0]));
    command.args(["--token", cluster.operator_token()]);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("a thread")
        .expect("the program runs");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success() && said.contains(&format!("from {hot} to ")), "{said}");
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.expect("a writer whose writes were all answered");
    }
    let mut now = Vec::new();
    for slug in busy {
        now.push(operator.tenant_show(slug).await.expect("the tenant").body.cell);
    }
    assert_ne!(now[0], now[1], "{said}");
}
