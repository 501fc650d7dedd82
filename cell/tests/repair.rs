//! Damage in the store of one replica, tried against real nodes: nothing wrong is ever answered, and the replica is rebuilt from the
//! others, whether it was found at the start, by a read, or by a scrub.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use api::body::control::{Cell, NewTenant, Scrub};
use api::body::record::{Fields, NewRecord, Record};
use api::client::{Balance, Client};
use api::ids::Id;
use api::service::Consistency;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::random::Random;
use serde_json::json;

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// A block of a store's file, in bytes.
const BLOCK: u64 = 4096;

/// A cluster whose nodes are started by nobody but the test, with a tenant `acme`.
struct Field {
    cluster: Cluster,
    cell: String,
    token: String,
}

impl Field {
    async fn new(nodes: usize) -> Self {
        let layout = Layout::one_region(nodes).expect("a layout");
        let mut cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
        cluster.detach().expect("nodes on their own");
        let new = NewTenant {
            slug: "acme".parse().expect("a slug"),
            name: None,
            region: cluster.layout().regions()[0].to_owned(),
            plan: None,
            dedicated: false,
            template: Some("workspace".to_owned()),
        };
        let made = client(&cluster, cluster.operator_token()).tenant_create(&new, None).await;
        let token = made.expect("a tenant").body.admin_token.expect("its first token");
        let cells = client(&cluster, cluster.operator_token()).cells().await.expect("cells");
        let cell = cells
            .into_iter()
            .find(|cell| cell.kind == "shared")
            .expect("a shared cell")
            .name;
        Self { cluster, cell, token }
    }

    fn names(&self) -> Vec<String> {
        self.cluster.nodes().iter().map(|node| node.name.clone()).collect()
    }

    /// A client of one node, with the operator's token or the tenant's.
    fn at(&self, name: &str, token: &str) -> Client {
        let address = self.cluster.layout().node(name).expect("a node").api;
        Client::new(&format!("http://{address}"), token)
            .expect("a client")
            .with_timeout(Duration::from_secs(10))
    }

    fn operator(&self, name: &str) -> Client {
        self.at(name, self.cluster.operator_token())
    }

    /// A client that any node serves.
    fn tenant(&self) -> Client {
        client(&self.cluster, &self.token)
    }

    /// Stores tasks through any node; each has its number in its title.
    async fn fill(&self, numbers: std::ops::Range<usize>) -> Vec<(Id, usize)> {
        let (tenant, mut stored) = (self.tenant(), Vec::new());
        for number in numbers {
            let key = format!("task-{number}");
            let made = tenant.record_create("acme", "tasks", &task(number), Some(&key)).await;
            stored.push((made.expect("written").body.id, number));
        }
        stored
    }

    /// The cell as one node sees it.
    async fn cell_at(&self, name: &str) -> Option<Cell> {
        let cells = self.operator(name).cells().await.ok()?;
        cells.into_iter().find(|cell| cell.name == self.cell)
    }

    async fn leader(&self) -> String {
        until("a leader", async || {
            for name in self.names() {
                if let Some(leader) = self.cell_at(&name).await.and_then(|cell| cell.leader) {
                    return Some(leader);
                }
            }
            None
        })
        .await
    }

    /// Waits until all that a node has applied is in its file.
    async fn flushed(&self, name: &str) {
        until("the flush", async || {
            let cell = self.cell_at(name).await?;
            (cell.applied > 0 && cell.durable == cell.applied).then_some(())
        })
        .await;
    }

    fn store(&self, name: &str) -> PathBuf {
        self.cluster.data().join(name).join("store/2/store.redb")
    }

    /// Flips bits all over a store's file, empty blocks left out.
    fn flip(&self, name: &str, bits: usize, seed: u64) {
        let file: File = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.store(name))
            .expect("the store");
        let length = file.metadata().expect("its length").len();
        let (mut random, mut flipped) = (Random::new(seed), 0);
        while flipped < bits {
            let at = random.below(length);
            let mut block = vec![0; BLOCK as usize];
            file.read_exact_at(&mut block, at / BLOCK * BLOCK).expect("a block");
            if block.iter().any(|byte| *byte != 0) {
                let byte = block[(at % BLOCK) as usize] ^ (1 << random.below(8));
                file.write_all_at(&[byte], at).expect("a flipped bit");
                flipped += 1;
            }
        }
    }

    /// A counter or gauge of the cell, from a node's metrics.
    async fn metric(&self, name: &str, metric: &str) -> Option<u64> {
        let text = self.operator(name).metrics().await.ok()?;
        let line = format!("{metric}{{cell=\"{}\"}} ", self.cell);
        text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
    }

    /// Waits until every node is ready and all replicas hold the same at one position.
    async fn healthy(&self) {
        for name in self.names() {
            self.cluster.wait_ready(&name, PATIENCE).expect("a healthy node");
        }
        until("equal hashes", async || {
            let mut hashes = Vec::new();
            for name in self.names() {
                let hash = self.operator(&name).cell_hash(&self.cell).await.ok()?;
                hashes.push((hash.applied, hash.hash, hash.keys));
            }
            hashes.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        })
        .await;
        for name in self.names() {
            let cell = self.cell_at(&name).await.expect("the cell");
            assert_eq!(cell.stopped, None);
            assert!(
                cell.replicas
                    .iter()
                    .all(|replica| ["leader", "follower"].contains(&replica.role.as_str()))
            );
        }
    }

    /// Scrubs until an end that `wanted` accepts.
    async fn scrub(&self, wanted: impl Fn(&Scrub) -> bool) -> Scrub {
        until("the scrub", async || {
            for name in self.names() {
                let operator = self.operator(&name);
                let Ok(begun) = operator.scrub_begin(&self.cell).await else {
                    continue;
                };
                let ended = until_some("its end", async || match operator.cell_scrub(&self.cell).await {
                    Ok(scrub) if scrub.id == begun.id && scrub.ended_at.is_none() => None,
                    // The leader that led it may be another one by now, which knows nothing of it.
                    other => Some(other.ok().filter(|scrub| scrub.id == begun.id)),
                });
                if let Some(scrub) = ended.await.filter(&wanted) {
                    return Some(scrub);
                }
            }
            None
        })
        .await
    }
}

fn client(cluster: &Cluster, token: &str) -> Client {
    let urls: Vec<_> = cluster
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    let client = Client::new(&urls[0], token)
        .expect("a client")
        .with_retries(40)
        .with_timeout(Duration::from_secs(5));
    client.with_base_urls(&urls, Balance::Failover).expect("base URLs")
}

fn fields(json: serde_json::Value) -> Fields {
    json.as_object().expect("an object").clone()
}

fn title(number: usize) -> String {
    format!("the task of number {number}")
}

fn task(number: usize) -> NewRecord {
    NewRecord {
        id: None,
        fields: fields(json!({"title": title(number), "description": "d".repeat(600 + number % 900)})),
    }
}

fn assert_right(record: &Record, number: usize) {
    let found: Fields = serde_json::from_str(record.fields.get()).expect("fields");
    assert_eq!(found["title"], title(number), "a wrong answer");
}

/// Asks again until it holds.
async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    until_some(what, ask).await
}

async fn until_some<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come true within {PATIENCE:?}");
        tokio::task::yield_now().await;
    }
}

/// Reads every record at one node, as it has it and confirmed: what it does not answer rightly it must not answer.
async fn read_all(field: &Field, name: &str, stored: &[(Id, usize)]) {
    let tenant = field.at(name, &field.token);
    for (id, number) in stored {
        for consistency in [Consistency::Local, Consistency::Strong] {
            match tenant.record("acme", "tasks", *id, consistency).await {
                Ok(record) => assert_right(&record.body, *number),
                Err(error) => assert!(error.status().is_none_or(|status| status >= 500), "a wrong answer: {error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_flipped_bits_in_the_store_of_a_dead_replica_cost_no_answer_and_are_repaired() {
    let mut field = Field::new(3).await;
    let mut stored = field.fill(0..400).await;
    let leader = field.leader().await;
    let victim = field.names().into_iter().find(|name| *name != leader).expect("a follower");
    field.flushed(&victim).await;
    field.cluster.kill(&victim).expect("killed");
    field.cluster.wait_ended(&victim, PATIENCE).expect("ended");
    field.flip(&victim, 200, 7);
    // And the directory, in the header of the database, which lies behind the first block of checksums.
    let directory = field.cluster.data().join(&victim).join("store/1/store.redb");
    let directory = OpenOptions::new().write(true).open(directory).expect("the directory's store");
    directory.write_all_at(&[0xFF; 64], BLOCK + 64).expect("damage");
    field.cluster.start_node(&victim).expect("started");
    // No sooner than it answers at all.
    until("an answer", async || field.operator(&victim).livez().await.ok()).await;
    read_all(&field, &victim, &stored).await;
    stored.extend(field.fill(400..500).await);
    until("a repair", async || {
        field
            .metric(&victim, "cloudnest_cell_repairs_total")
            .await
            .filter(|repairs| *repairs > 0)
    })
    .await;
    assert!(field.metric(&victim, "cloudnest_cell_damage_total").await > Some(0));
    field.cluster.wait_ready(&victim, PATIENCE).expect("both groups are back");
    let text = field.operator(&victim).metrics().await.expect("metrics");
    assert!(
        text.contains("cloudnest_cell_repairs_total{cell=\"directory\"} 1\n"),
        "{text}"
    );
    read_all(&field, &victim, &stored).await;
    let scrub = field.scrub(|scrub| scrub.status == "equal").await;
    assert_eq!(scrub.replicas.len(), 3);
    assert!(
        scrub
            .replicas
            .iter()
            .all(|replica| replica.status == "equal" && replica.blocks > Some(0)),
        "{scrub:?}"
    );
    field.healthy().await;

    let address = field.cluster.addresses()[1];
    let said = Command::new(env!("CARGO_BIN_EXE_cloudnest"))
        .args(["cluster", "scrub", "--token", field.cluster.operator_token()])
        .args(["--url", &format!("http://{address}")])
        .output()
        .expect("the command line");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(
        text.matches("equal").count(),
        6,
        "the directory and the cell, on three nodes each:\n{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_under_a_running_leader_is_found_by_a_scrub_and_its_other_groups_do_not_notice() {
    let field = Field::new(3).await;
    let mut stored = field.fill(0..300).await;
    let victim = field.leader().await;
    field.flushed(&victim).await;
    let pid = field.cluster.pid(&victim).expect("a process");
    let directory = async |name: &str| {
        let cells = field.operator(name).cells().await.expect("cells");
        cells
            .into_iter()
            .find(|cell| cell.kind == "directory")
            .expect("the directory")
    };
    let before = directory(&victim).await;
    field.flip(&victim, 60, 3);
    // Nobody reads meanwhile. The report may go with the leadership: what counts is what the victim says of itself.
    until("the damage to be found", async || {
        let _ = field.operator(&victim).scrub_begin(&field.cell).await;
        let found = field.metric(&victim, "cloudnest_cell_damage_total").await;
        found.filter(|damages| *damages > 0)
    })
    .await;
    until("a repair", async || {
        field
            .metric(&victim, "cloudnest_cell_repairs_total")
            .await
            .filter(|repairs| *repairs > 0)
    })
    .await;
    stored.extend(field.fill(300..350).await);
    field.scrub(|scrub| scrub.status == "equal").await;
    field.healthy().await;
    read_all(&field, &victim, &stored).await;
    let after = directory(&victim).await;
    assert_eq!((after.term, after.stopped), (before.term, None), "the directory went on");
    assert_eq!(field.cluster.pid(&victim).expect("a process"), pid, "the process went on");
}

/// Puts other words into a store: all of its checksums are right, and it holds something that was never written.
fn forge(dir: &std::path::Path, from: &[u8], to: &[u8]) {
    let store = storage::Store::open(dir, storage::Options::default()).expect("the store");
    let (mut reader, mut writer) = (store.send_snapshot(), store.receive_snapshot().expect("a new file"));
    let (mut hasher, mut forged) = (blake3::Hasher::new(), 0);
    while let Some(chunk) = reader.next_chunk().expect("a chunk") {
        // `format u8 | kind u8 | sequence u64 | payload | crc32c u32`, and at the end `keys u64 | hash`.
        let (mut bytes, end) = (chunk.to_vec(), chunk.len() - 4);
        if bytes[1] == 3 {
            bytes[18..end].copy_from_slice(hasher.finalize().as_bytes());
        }
        while let Some(at) = bytes[10..end].windows(from.len()).position(|found| found == from) {
            bytes[10 + at..10 + at + from.len()].copy_from_slice(to);
            forged += 1;
        }
        hasher.update(&bytes[10..end]);
        let sum = crc32c::crc32c(&bytes[..end]).to_be_bytes();
        bytes[end..].copy_from_slice(&sum);
        writer.write(&bytes).expect("a chunk that looks right");
    }
    assert!(forged > 0, "the words are in it");
    store.install(writer.finish().expect("a whole snapshot")).expect("installed");
    store.close().expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_holds_something_else_is_outvoted_and_rebuilt_even_when_it_leads() {
    let mut field = Field::new(3).await;
    let stored = field.fill(0..60).await;
    let leader = field.leader().await;
    let victim = field.names().into_iter().find(|name| *name != leader).expect("a follower");
    field.flushed(&victim).await;
    field.cluster.terminate(&victim).expect("asked to end");
    assert!(field.cluster.wait_ended(&victim, PATIENCE).expect("ended"));
    let dir = field.store(&victim);
    forge(
        dir.parent().expect("its directory"),
        title(33).as_bytes(),
        b"the tusk of number 33",
    );
    field.cluster.start_node(&victim).expect("started");
    field.cluster.wait_ready(&victim, PATIENCE).expect("it cannot know by itself");

    // Until it leads, so that the scrub is its own: with the third node down, a leader that ends has nobody else to hand over to.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let leads = field.leader().await;
        if leads == victim {
            break;
        }
        assert!(Instant::now() < deadline, "it never led");
        let third = field.names().into_iter().find(|name| *name != leads && *name != victim);
        let third = third.expect("three nodes");
        field.cluster.kill(&third).expect("killed");
        field.cluster.wait_ended(&third, PATIENCE).expect("ended");
        field.cluster.terminate(&leads).expect("asked to end");
        field.cluster.wait_ended(&leads, PATIENCE).expect("ended");
        for name in [&third, &leads] {
            field.cluster.start_node(name).expect("started");
        }
        for name in [&third, &leads] {
            field.cluster.wait_ready(name, PATIENCE).expect("ready");
        }
    }
    until("a scrub", async || {
        field.operator(&victim).scrub_begin(&field.cell).await.ok()
    })
    .await;
    until("a repair", async || {
        field
            .metric(&victim, "cloudnest_cell_repairs_total")
            .await
            .filter(|repairs| *repairs > 0)
    })
    .await;
    let scrub = field.scrub(|scrub| scrub.status == "equal").await;
    assert!(scrub.position > Some(0));
    field.healthy().await;
    for name in field.names() {
        let read = field.at(&name, &field.token);
        let (id, number) = stored[33];
        let record = read
            .record("acme", "tasks", id, Consistency::Local)
            .await
            .expect("the record");
        assert_right(&record.body, number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_with_nobody_to_ask_keeps_its_node_from_starting() {
    let mut field = Field::new(1).await;
    field.fill(0..5).await;
    let name = field.names().remove(0);
    field.cluster.terminate(&name).expect("asked to end");
    field.cluster.wait_ended(&name, PATIENCE).expect("ended");
    let file = OpenOptions::new().write(true).open(field.store(&name)).expect("the store");
    // The header of the database lies behind the first block of checksums.
    file.write_all_at(&[0xFF; 64], BLOCK + 64).expect("damage");
    field.cluster.start_node(&name).expect("started");
    assert!(
        !field.cluster.wait_ended(&name, PATIENCE).expect("ended"),
        "it must not serve"
    );
    let said = Command::new(env!("CARGO_BIN_EXE_cloudnest"))
        .args(["node", "--node", &name, "--config"])
        .arg(field.cluster.config())
        .arg("--data")
        .arg(field.cluster.data().join(&name))
        .output()
        .expect("the node");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("no other replica to rebuild it from"), "{text}");
}
