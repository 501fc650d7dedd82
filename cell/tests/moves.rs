//! Moves of a tenant between the cells of its region, over HTTP on real nodes, while it is written and read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use api::body::control::{Operation, TenantMove};
use api::client::{Balance, Call, Client, Method};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::random::Random;
use rig::tenant::{self, Tenant};
use rig::verify;
use rig::wait::{PATIENCE, until};
use serde_json::{Value as Json, json};

/// Clients that write at the same time.
const WRITERS: usize = 4;
/// Records of the tenant before it moves.
const RECORDS: usize = 3_000;

/// Records that are imported while it moves.
const IMPORTED: usize = 3_000;
/// Another seed than 7 for what is killed, and when.
const SEED: &str = "CLOUDNEST_MOVES_SEED";

const SHARED: &str = "eu-west-1-shared";
const DEDICATED: &str = "eu-west-1-dedicated-0";

/// Three nodes, of which so many vote in the directory; the others keep a copy of it.
fn up(voters: usize) -> Cluster {
    let mut layout = Layout::one_region(3).expect("a layout");
    layout.dedicated = 1;
    layout.voters = Some(voters);
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

/// Makes a call, where it is sent on to another region there too; its status and body.
async fn ask(client: &Client, method: Method, path: &str, key: Option<&str>, body: Option<&Json>) -> (u16, Json) {
    let mut answer = ask_once(client, method.clone(), path, key, body).await;
    // Two regions may send on to each other while a tenant is on its way.
    for _ in 0..200 {
        let Some(endpoint) = answer.1["endpoint"].as_str().filter(|_| answer.0 == 421) else {
            break;
        };
        let there = client
            .clone()
            .with_base_urls(&[endpoint.to_owned()], Balance::Failover)
            .expect("a client");
        answer = ask_once(&there, method.clone(), path, key, body).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    answer
}

async fn ask_once(client: &Client, method: Method, path: &str, key: Option<&str>, body: Option<&Json>) -> (u16, Json) {
    let mut call = Call::new(method, path.to_owned());
    if let Some(body) = body {
        call = call.body("application/json", body.to_string());
    }
    if let Some(key) = key {
        call = call.header("idempotency-key", key);
    }
    match client.call(call).await {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let status = answer.status.as_u16();
            (status, serde_json::from_str(&text).unwrap_or(Json::String(text)))
        }
        Err(error) => (0, Json::String(error.to_string())),
    }
}

fn operator(cluster: &Cluster) -> Client {
    tenant::client(&cluster.addresses(), cluster.operator_token())
        .expect("a client")
        .with_retries(200)
}

async fn begin(operator: &Client, slug: &str, cell: Option<&str>) -> Operation {
    let to = TenantMove {
        cell: cell.map(str::to_owned),
        dedicated: cell.is_none(),
        ..TenantMove::default()
    };
    let begun = operator.tenant_move(slug, &to, None).await.expect("a move");
    assert_eq!((begun.status.as_u16(), begun.body.kind.as_str()), (202, "tenant.move"));
    begun.body
}

async fn ended(operator: &Client, begun: &Operation) -> Operation {
    until("the end of the move", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        (now.status != "running").then_some(now)
    })
    .await
}

/// Waits until a move is at a phase, or past it.
async fn reached(operator: &Client, begun: &Operation, phase: &str) {
    const PHASES: [&str; 6] = ["waiting", "clearing", "copying", "following", "holding", "erasing"];
    let place = |name: &str| PHASES.iter().position(|phase| *phase == name);
    until("a phase of the move", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        let at = now.phase.as_deref().and_then(place);
        (now.status != "running" || at >= place(phase)).then_some(())
    })
    .await;
}

/// What one client has been answered.
#[derive(Default)]
struct Wrote {
    /// Numbers of the sequence, and the id that each key was answered with.
    tasks: Vec<(u64, String, String)>,
    failures: Vec<(u16, String)>,
}

/// A tenant with a project, and what clients do to it.
struct Scene {
    tenant: Tenant,
    project: String,
    stop: AtomicBool,
    written: AtomicU64,
}

impl Scene {
    async fn new(cluster: &Cluster) -> Arc<Self> {
        let tenant = tenant::create(cluster, "acme", Some("workspace")).await.expect("a tenant");
        let records = format!("/v1/tenants/{}/records", tenant.slug);
        let project = json!({"fields": {"key": "P", "name": "One"}});
        let (status, project) = ask(
            &tenant.client,
            Method::POST,
            &format!("{records}/projects"),
            None,
            Some(&project),
        )
        .await;
        assert_eq!(status, 201, "{project}");
        let project = project["id"].as_str().expect("an id").to_owned();
        let lines: String = (0..RECORDS)
            .map(|number| format!("{}\n", json!({"title": format!("old {number}"), "project": project})))
            .collect();
        // A leader that changes ends it early; it goes on by its id.
        until("the end of the import", async || {
            let call = Call::new(Method::POST, format!("{records}/tasks/import")).body("application/x-ndjson", lines.clone());
            let answer = tenant.client.call(call.header("import-id", "old")).await.ok()?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            text.contains(&format!("\"imported\":{RECORDS},\"failed\":0")).then_some(())
        })
        .await;
        Arc::new(Self {
            tenant,
            project,
            stop: AtomicBool::new(false),
            written: AtomicU64::new(0),
        })
    }

    fn tasks(&self) -> String {
        format!("/v1/tenants/{}/records/tasks", self.tenant.slug)
    }

    /// Writes task after task, and reads each at another node: it must be there.
    async fn write(self: Arc<Self>, writer: usize, clients: Vec<Client>, retries: u32) -> Wrote {
        let mut wrote = Wrote::default();
        for turn in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let (here, there) = (&clients[turn % clients.len()], &clients[(turn + 1) % clients.len()]);
            let key = format!("key-{writer}-{turn}");
            let task = json!({"fields": {"title": key, "project": self.project}});
            let (status, made) = ask(here, Method::POST, &self.tasks(), Some(&key), Some(&task)).await;
            let (Some(id), Some(number)) = (made["id"].as_str(), made["fields"]["number"].as_u64()) else {
                wrote.failures.push((status, format!("a write: {status} {made}")));
                continue;
            };
            self.written.fetch_add(1, Ordering::Relaxed);
            wrote.tasks.push((number, key.clone(), id.to_owned()));
            let path = format!("{}/{id}", self.tasks());
            let (status, read) = ask(there, Method::GET, &path, None, None).await;
            if status != 200 {
                wrote.failures.push((status, format!("a read of {id}: {status} {read}")));
            }
            let patch = json!({"fields": {"points": turn}});
            // Without a key it must not be sent twice where it may have had an effect.
            let key = format!("p{key}");
            let changing = (retries > 0 || turn % 2 == 0).then_some(key.as_str());
            let (status, read) = ask(there, Method::PATCH, &path, changing, Some(&patch)).await;
            if status != 200 || read["version"] != 2 {
                wrote.failures.push((status, format!("a change of {id}: {status} {read}")));
            }
        }
        wrote
    }

    /// Clients of single nodes.
    fn clients(&self, cluster: &Cluster, retries: u32) -> Vec<Client> {
        let client = |address| {
            let client = tenant::client_of(address, &self.tenant.token).expect("a client");
            client.with_retries(retries)
        };
        cluster.addresses().into_iter().map(client).collect()
    }

    /// Waits until clients have written so much more.
    async fn progress(&self, more: u64) {
        let goal = self.written.load(Ordering::Relaxed) + more;
        until("progress of the writers", async || {
            (self.written.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Every write that was answered is there once, sequences and positions have no gaps, and keys are answered as they were.
    /// `others`: records beside those, where that is known. `forgives`: what says that it failed for now.
    async fn judge(&self, cluster: &Cluster, wrote: &[Wrote], others: Option<usize>, forgives: bool) {
        let failures = wrote.iter().flat_map(|wrote| &wrote.failures);
        let failures: Vec<_> = failures
            .filter(|(status, _)| !forgives || (1..500).contains(status))
            .collect();
        assert!(failures.is_empty(), "{} failures: {failures:#?}", failures.len());
        let all: Vec<_> = wrote.iter().flat_map(|wrote| &wrote.tasks).collect();
        let numbers: BTreeSet<u64> = all.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers.len(), all.len(), "a number was given twice");
        let client = &self.tenant.client;
        let (status, page) = ask(
            client,
            Method::GET,
            &format!("{}?count=true&limit=1", self.tasks()),
            None,
            None,
        )
        .await;
        let count = page["count"].as_u64();
        let count = count.unwrap_or_else(|| panic!("no count: {status} {page}"));
        let known = (RECORDS + all.len()) as u64;
        let all_known = others.map(|others| known + others as u64);
        assert!(
            Some(count) == all_known || (all_known.is_none() && count >= known),
            "{count} records, {known} were answered"
        );
        let last = *numbers.last().expect("a number");
        assert!(
            last == known || (others.is_none() && last >= known),
            "{last} is the last of {known} numbers"
        );
        for (_, key, id) in all.iter().step_by(1 + all.len() / 20) {
            let task = json!({"fields": {"title": key, "project": self.project}});
            let (status, again) = ask(client, Method::POST, &self.tasks(), Some(key), Some(&task)).await;
            assert_eq!(
                (status, again["id"].as_str()),
                (201, Some(id.as_str())),
                "the key is answered as it was"
            );
        }
        verify::replicas_agree(cluster, PATIENCE).await.expect("equal replicas");
    }
}

/// Follows the tenant's events until it has seen a position; each comes once, in order.
async fn follow(tenant: Tenant, until: Arc<AtomicU64>) -> u64 {
    let client = tenant.client.tenant(&tenant.slug);
    let mut feed = client.events().follow();
    loop {
        let before = feed.position();
        if before >= until.load(Ordering::Relaxed) {
            return before;
        }
        match feed.next().await.expect("an event") {
            Some(event) => assert_eq!(event.position, before + 1, "events have no gap"),
            None => panic!("the feed has ended"),
        }
    }
}

/// The terms of the groups.
async fn terms(operator: &Client) -> BTreeMap<String, u64> {
    let cells = operator.cells().await.expect("cells");
    cells.into_iter().map(|cell| (cell.name, cell.term)).collect()
}

/// The longest hold that the nodes have counted, as the upper bound of its bucket; and how many there were.
async fn holds(cluster: &Cluster) -> (String, u64) {
    let (mut longest, mut count) = (0.0_f64, 0);
    for address in cluster.addresses() {
        let metrics = tenant::client_of(address, "")
            .expect("a client")
            .metrics()
            .await
            .expect("metrics");
        let mut before = 0;
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix("cloudnest_move_hold_seconds_bucket{le=\"") else {
                continue;
            };
            let (bound, value) = rest.split_once("\"} ").expect("a bucket");
            let value: u64 = value.parse().expect("a number");
            if value > before {
                longest = longest.max(bound.parse().unwrap_or(f64::INFINITY));
            }
            before = value;
        }
        count += before;
    }
    (format!("{longest} s"), count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_moves_there_and_back_and_nobody_notices() {
    let cluster = up(1);
    let operator = operator(&cluster);
    let scene = Scene::new(&cluster).await;
    let before = terms(&operator).await;
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let follower = tokio::spawn(follow(scene.tenant.clone(), Arc::clone(&last)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(Arc::clone(&scene).write(writer, scene.clients(&cluster, 0), 0)))
        .collect();
    scene.progress(20).await;
    let client = scene.tenant.client.clone().with_retries(0).tenant("acme");
    let importing = tokio::spawn(async move {
        let rows: Vec<_> = (0..IMPORTED)
            .map(|number| json!({"title": format!("new {number}")}))
            .collect();
        client.records("tasks").import().rows(rows).await
    });
    for (to, name) in [(None, DEDICATED), (Some(SHARED), SHARED), (Some(DEDICATED), DEDICATED)] {
        let begun = begin(&operator, "acme", to).await;
        let end = ended(&operator, &begun).await;
        assert_eq!((end.status.as_str(), end.phase), ("done", None));
        assert_eq!(operator.tenant_show("acme").await.expect("a tenant").body.cell, name);
        scene.progress(20).await;
    }
    scene.stop.store(true, Ordering::Relaxed);
    let mut wrote = Vec::new();
    for writer in writers {
        wrote.push(writer.await.expect("a writer"));
    }
    let imported = importing.await.expect("an import").expect("a summary");
    assert_eq!((imported.imported, imported.failed), (IMPORTED as u64, 0));
    let (longest, count) = holds(&cluster).await;
    println!(
        "{count} holds, each shorter than {longest}; {} records written",
        scene.written.load(Ordering::Relaxed)
    );
    assert!(count <= 3);
    // A machine that is too busy for heartbeats elects: then the one attempt of a request may fail, for all that moves.
    let steady = terms(&operator).await == before;
    println!("no leader has changed: {steady}");
    scene.judge(&cluster, &wrote, steady.then_some(IMPORTED), !steady).await;
    if !steady {
        return;
    }
    // The import, the records, and the change of each.
    followed(&scene, &wrote, IMPORTED, &last, follower).await;
    refusals(&operator).await;
}

/// A follower has seen an event for each change: two for each task of the writers, and one for each of these others.
async fn followed(scene: &Scene, wrote: &[Wrote], others: usize, last: &AtomicU64, follower: tokio::task::JoinHandle<u64>) {
    let tasks: usize = wrote.iter().map(|wrote| wrote.tasks.len()).sum();
    let events = (RECORDS + 2 * tasks + others) as u64;
    last.store(events, Ordering::Relaxed);
    // One more event, for the follower to look up.
    let end = json!({"fields": {"title": "end"}});
    let (status, _) = ask(&scene.tenant.client, Method::POST, &scene.tasks(), None, Some(&end)).await;
    assert_eq!(status, 201);
    let seen = tokio::time::timeout(PATIENCE, follower).await;
    assert!(seen.expect("all events").expect("a follower") >= events);
}

/// What is refused says why.
async fn refusals(operator: &Client) {
    for (body, message) in [
        (json!({}), "takes the name of a cell"),
        (json!({"cell": "nowhere"}), "is not a cell of eu-west-1"),
        (json!({"cell": DEDICATED}), "is where the tenant is"),
    ] {
        let (status, problem) = ask(operator, Method::POST, "/v1/tenants/acme/move", None, Some(&body)).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (422, &json!("/cell")),
            "{problem}"
        );
        assert!(
            problem["errors"][0]["message"].as_str().expect("a message").contains(message),
            "{problem}"
        );
    }
    let to = json!({"cell": SHARED});
    let (status, problem) = ask(operator, Method::POST, "/v1/tenants/nobody/move", None, Some(&to)).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_survives_the_loss_of_leaders_and_can_be_called_off() {
    let cluster = up(3);
    let operator = operator(&cluster);
    let scene = Scene::new(&cluster).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let clients = vec![scene.tenant.client.clone().with_retries(200); 3];
            tokio::spawn(Arc::clone(&scene).write(writer, clients, 200))
        })
        .collect();
    scene.progress(10).await;
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let mut random = Random::new(seed);
    for to in [DEDICATED, SHARED, DEDICATED] {
        let begun = begin(&operator, "acme", Some(to)).await;
        // Somewhere on the way the leader of one of the two cells is gone.
        let victim = if random.below(2) == 0 { SHARED } else { DEDICATED };
        let phases = ["copying", "following", "holding", "erasing"];
        match phases.get(usize::try_from(random.below(6)).expect("small")) {
            Some(phase) => reached(&operator, &begun, phase).await,
            None => scene.progress(random.below(40)).await,
        }
        let leader = until("a leader", async || {
            let cells = operator.cells().await.ok()?;
            cells.into_iter().find(|cell| cell.name == victim)?.leader
        })
        .await;
        cluster.kill(&leader).expect("a killed leader");
        assert_eq!(ended(&operator, &begun).await.status, "done");
        assert_eq!(operator.tenant_show("acme").await.expect("a tenant").body.cell, to);
        scene.progress(5).await;
    }
    let begun = begin(&operator, "acme", Some(SHARED)).await;
    if operator.operation_call_off(begun.id).await.is_ok() {
        assert_eq!(ended(&operator, &begun).await.status, "cancelled");
        assert_eq!(operator.tenant_show("acme").await.expect("a tenant").body.cell, DEDICATED);
    } else {
        assert_eq!(ended(&operator, &begun).await.status, "done");
    }
    scene.progress(5).await;
    scene.stop.store(true, Ordering::Relaxed);
    let mut wrote = Vec::new();
    for writer in writers {
        wrote.push(writer.await.expect("a writer"));
    }
    scene.judge(&cluster, &wrote, None, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_leaves_its_region_only_by_name_while_it_is_written_and_comes_back() {
    let layout = Layout::new(&[("one", 1), ("two", 3)]).expect("a layout");
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    let (scene, operator) = (Scene::new(&cluster).await, operator(&cluster));
    let to = |cell: &str, region: Option<&str>| TenantMove {
        cell: Some(cell.to_owned()),
        region: region.map(str::to_owned),
        ..TenantMove::default()
    };
    for (wrong, what) in [
        (to("two-shared", None), "stays in one, unless the request says"),
        (to("one-shared", Some("two")), "is a cell of one"),
        (to("two-shared", Some("three")), "is not a region"),
    ] {
        let refused = operator.tenant_move("acme", &wrong, None).await.expect_err("a refusal");
        let problem = refused.problem().expect("a problem");
        assert_eq!(problem.status, 422);
        assert!(problem.detail.contains(what), "{}", problem.detail);
    }
    let writers: Vec<_> = (0..2)
        .map(|writer| tokio::spawn(Arc::clone(&scene).write(writer, scene.clients(&cluster, 200), 200)))
        .collect();
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let follower = tokio::spawn(follow(scene.tenant.clone(), Arc::clone(&last)));
    for (turn, (cell, region)) in [("two-shared", "two"), ("one-shared", "one"), ("two-shared", "two")]
        .into_iter()
        .enumerate()
    {
        scene.progress(20).await;
        let (to, key) = (to(cell, Some(region)), format!("across-{turn}"));
        let begun = operator.tenant_move("acme", &to, Some(&key)).await.expect("a move").body;
        assert_eq!(ended(&operator, &begun).await.status, "done");
        let tenant = operator.tenant_show("acme").await.expect("a tenant").body;
        assert_eq!((tenant.region.as_str(), tenant.cell.as_str()), (region, cell));
    }
    scene.progress(20).await;
    scene.stop.store(true, Ordering::Relaxed);
    let mut wrote = Vec::new();
    for writer in writers {
        wrote.push(writer.await.expect("a writer"));
    }
    scene.judge(&cluster, &wrote, Some(0), false).await;
    followed(&scene, &wrote, 0, &last, follower).await;
    // Who asks in the region that it left is told where it is.
    let (status, body) =
        rig::http::status(cluster.addresses()[0], "/v1/tenants/acme/me", &scene.tenant.token, PATIENCE).expect("an answer");
    assert_eq!(status, 421);
    assert!(String::from_utf8_lossy(&body).contains("\"region\":\"two\""));
}
