//! Backups over real nodes: any time comes back as it was, the store may go away, and what is damaged is never taken for whole.

#[path = "backup/contents.rs"]
mod contents;
#[path = "backup/s3.rs"]
mod s3;
#[path = "shared/s3.rs"]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use api::body::backup::{CellRestore, TenantRestore};
use api::body::control::{Cell, Operation, TenantMove};
use api::client::{Call, Client, ClientError, Method};
use rig::clock::now;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::random::Random;
use rig::tenant::{self, Tenant};
use rig::verify;
use rig::wait::{PATIENCE, until};
use serde_json::json;

const SHARED: &str = "eu-west-1-shared";
const DEDICATED: &str = "eu-west-1-dedicated-0";

/// A cluster whose backups lie in a directory of the test, and are made all the time.
fn up(nodes: usize, store: &Path) -> Cluster {
    let mut layout = Layout::one_region(nodes).expect("a layout");
    layout.dedicated = 1;
    layout.backup = Some(keys(store));
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

fn keys(store: &Path) -> String {
    format!(
        "store = \"file://{}/{{region}}\"\nevery_seconds = 1\nbase_every_seconds = 5",
        store.display()
    )
}

fn operator(cluster: &Cluster) -> Client {
    tenant::client(&cluster.addresses(), cluster.operator_token())
        .expect("a client")
        .with_retries(200)
}

/// The archive of a tenant, as it is now.
async fn archive(client: &Client, slug: &str) -> Vec<u8> {
    until("the archive of a tenant", async || {
        let call = Call::new(Method::GET, format!("/v1/tenants/{slug}/archive"));
        let answer = client.call(call).await.ok()?;
        (answer.status.as_u16() == 200).then(|| answer.body.to_vec())
    })
    .await
}

/// Stores a record; sent again until it is answered.
async fn write(tenant: &Tenant, text: &str) {
    let body = json!({"fields": {"key": text, "name": text}}).to_string();
    until("a write", async || {
        let call = Call::new(Method::POST, format!("/v1/tenants/{}/records/projects", tenant.slug));
        let call = call.body("application/json", body.clone()).header("idempotency-key", text);
        let status = tenant.client.call(call).await.ok()?.status.as_u16();
        (status == 201).then_some(())
    })
    .await;
}

/// A tenant at a time.
struct Moment {
    at: String,
    archive: Vec<u8>,
}

impl Moment {
    async fn of(tenant: &Tenant) -> Self {
        let archive = archive(&tenant.client, &tenant.slug).await;
        let at = now();
        // What comes afterwards is stamped later: the clock of the nodes is this one.
        until("another time", async || (now() != at).then_some(())).await;
        Self { at, archive }
    }
}

fn wanted(from: &str, at: Option<&str>) -> TenantRestore {
    TenantRestore {
        from: from.to_owned(),
        at: at.map(str::to_owned),
        plan: None,
        keep_tokens: true,
    }
}

/// Waits for the first base of each cell: no time before it comes back.
async fn based(cluster: &Cluster) {
    until("the first bases", async || {
        let (mut all, mut found) = (BTreeSet::new(), BTreeSet::new());
        for address in cluster.addresses() {
            let node = tenant::client_of(address, cluster.operator_token()).ok()?;
            for cell in node.cells().await.ok()?.into_iter().filter(|cell| cell.kind != "directory") {
                if cell.backup.is_some_and(|backup| backup.base_at.is_some()) {
                    found.insert(cell.name.clone());
                }
                all.insert(cell.name);
            }
        }
        (found == all).then_some(())
    })
    .await;
}

/// Why a call was refused.
fn refused(error: &ClientError) -> String {
    format!("{error:?}")
}

/// Restores, once the time is archived, and waits for the end.
async fn restore(operator: &Client, slug: &str, wanted: &TenantRestore) -> Operation {
    until("a time that is archived where the tenant was", async || {
        let done = restore_once(operator, slug, wanted).await;
        let is_early = done.error.as_ref().is_some_and(|why| why.ends_with("ask again later"));
        (!is_early).then_some(done)
    })
    .await
}

async fn restore_once(operator: &Client, slug: &str, wanted: &TenantRestore) -> Operation {
    let begun = until("a time that is archived", async || {
        match operator.tenant_restore(slug, wanted, None).await {
            Ok(begun) => Some(begun.body),
            Err(error) => {
                let why = refused(&error);
                let is_early = ["later than what is archived", "no backup of any cell", "under way"];
                assert!(is_early.iter().any(|early| why.contains(early)), "{why}");
                None
            }
        }
    })
    .await;
    ended(operator, &begun).await
}

async fn ended(operator: &Client, begun: &Operation) -> Operation {
    until("the end of a restore", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        (now.status != "running").then_some(now)
    })
    .await
}

async fn comes_back(operator: &Client, slug: &str, from: &str, moment: &Moment) {
    let done = restore(operator, slug, &wanted(from, Some(&moment.at))).await;
    assert_eq!(
        (done.status.as_str(), done.kind.as_str()),
        ("done", "tenant.restore"),
        "{done:?}"
    );
    assert!(
        archive(operator, slug).await == moment.archive,
        "{slug}: the state at {} is not what it was",
        moment.at
    );
}

/// All files below a directory.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn leader_of(cells: &[Cell], name: &str) -> Option<String> {
    cells.iter().find(|cell| cell.name == name)?.leader.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_time_comes_back_as_it_was() {
    let store = tempfile::tempdir().expect("a directory");
    let cluster = up(3, store.path());
    based(&cluster).await;
    let operator = operator(&cluster);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let other = tenant::create(&cluster, "other", Some("workspace")).await.expect("a tenant");
    let mut random = Random::new(5);
    let mut moments = Vec::new();
    for round in 0..6 {
        for number in 0..random.below(12) + 1 {
            write(&acme, &format!("A{round}X{number}")).await;
            write(&other, &format!("O{round}X{number}")).await;
        }
        contents::put(&acme, &format!("{round}.bin"), 1_200_000).await;
        moments.push(Moment::of(&acme).await);
        match round {
            1 | 4 => {
                // The next leader goes on where the last one was.
                let cells = operator.cells().await.expect("cells");
                let cell = if round == 1 { SHARED } else { DEDICATED };
                if let Some(leader) = leader_of(&cells, cell) {
                    cluster.kill(&leader).expect("killed");
                }
            }
            2 => {
                let to = TenantMove {
                    cell: Some(DEDICATED.to_owned()),
                    dedicated: false,
                    ..TenantMove::default()
                };
                let moving = operator.tenant_move("acme", &to, None).await.expect("a move").body;
                assert_eq!(ended(&operator, &moving).await.status, "done");
            }
            3 => another_base(store.path()).await,
            _ => {}
        }
    }
    for at in [3, 0, 5, 1, 4, 2] {
        comes_back(&operator, &format!("acme-{at}"), "acme", &moments[at]).await;
    }
    tokens_are_dropped_unless_they_are_kept(&cluster, &operator, &acme, &moments[4]).await;
    // One that is deleted comes back as well.
    operator.tenant_delete("acme").await.expect("a deletion");
    until("the end of the tenant", async || {
        operator.tenant_show("acme").await.is_err().then_some(())
    })
    .await;
    comes_back(&operator, "acme", "acme", &moments[1]).await;
    times_that_are_not_there_are_refused(&operator).await;
    damage_is_loud(&operator, store.path(), &moments[5]).await;
}

/// Waits until there is another base in every cell.
async fn another_base(store: &Path) {
    let manifests = || files(store).iter().filter(|path| path.ends_with("manifest")).count();
    let before = manifests();
    until("another base", async || (manifests() >= before + 2).then_some(())).await;
}

async fn tokens_are_dropped_unless_they_are_kept(cluster: &Cluster, operator: &Client, acme: &Tenant, moment: &Moment) {
    let mut order = wanted("acme", Some(&moment.at));
    order.keep_tokens = false;
    let ask = async |slug: &str, order: &TenantRestore| operator.tenant_restore(slug, order, Some("again")).await;
    let begun = ask("fresh", &order).await.expect("a restore").body;
    let token = begun.admin_token.clone().expect("a token that is shown once");
    let again = ask("fresh", &order).await.expect("the first reply").body;
    assert_eq!((again.id, again.admin_token), (begun.id, None), "while it goes on");
    let done = ended(operator, &begun).await;
    assert_eq!((done.status.as_str(), done.admin_token), ("done", None));
    let again = ask("fresh", &order).await.expect("the first reply").body;
    assert_eq!(again.id, begun.id, "and when it is there");
    order.keep_tokens = true;
    let other = refused(&ask("fresh", &order).await.expect_err("another request"));
    assert!(other.contains("422") && other.contains("idempotency_mismatch"), "{other}");
    let me = || Call::new(Method::GET, "/v1/tenants/fresh/me".to_owned());
    let fresh = tenant::client(&cluster.addresses(), &token)
        .expect("a client")
        .with_retries(200);
    let status = async |client: &Client, call: Call| client.call(call).await.expect("an answer").status.as_u16();
    assert_eq!(status(&fresh, me()).await, 200, "the new token is the tenant's");
    assert_eq!(status(&acme.client, me()).await, 404, "no token of before is");
    // What was restored is a tenant as any other.
    let body = json!({"fields": {"key": "NEW", "name": "new"}}).to_string();
    let call = Call::new(Method::POST, "/v1/tenants/fresh/records/projects".to_owned()).body("application/json", body);
    assert_eq!(status(&fresh, call).await, 201);
}

async fn times_that_are_not_there_are_refused(operator: &Client) {
    for (at, why) in [
        ("2001-01-01T00:00:00Z", "is before what is kept"),
        ("2999-01-01T00:00:00Z", "is later than what is archived"),
        ("yesterday", "is not a time"),
    ] {
        let error = operator
            .tenant_restore("late", &wanted("other", Some(at)), None)
            .await
            .expect_err("refused");
        let told = refused(&error);
        assert!(told.contains(why) && told.contains("422"), "{at}: {told}");
    }
    let taken = operator
        .tenant_restore("other", &wanted("other", None), None)
        .await
        .expect_err("refused");
    assert!(refused(&taken).contains("there is a tenant"), "{taken:?}");
    let unknown = restore(operator, "late", &wanted("nobody", None)).await;
    assert!(
        unknown.status == "failed"
            && unknown
                .error
                .as_deref()
                .is_some_and(|why| why.contains("has no tenant \"nobody\"")),
        "{unknown:?}"
    );
    assert!(operator.tenant_show("late").await.is_err());
}

/// One byte of each object of one kind at a time is turned: the restore names it, and nothing is there afterwards.
async fn damage_is_loud(operator: &Client, store: &Path, moment: &Moment) {
    for (kind, folder) in [("piece", "/bases/"), ("segment", "/log/"), ("chunk", "/chunks/")] {
        let spoilt: Vec<(PathBuf, Vec<u8>)> = files(store)
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(folder) && !path.ends_with("manifest"))
            .map(|path| {
                let whole = fs::read(&path).expect("an object");
                let mut wrong = whole.clone();
                *wrong.last_mut().expect("not empty") ^= 1;
                fs::write(&path, wrong).expect("spoilt");
                (path, whole)
            })
            .collect();
        assert!(!spoilt.is_empty(), "there is no {kind}");
        let failed = restore(operator, "spoilt", &wanted("acme", Some(&moment.at))).await;
        let why = failed.error.unwrap_or_default();
        assert!(
            failed.status == "failed" && why.contains("is damaged") && why.contains(folder),
            "{kind}: {why}"
        );
        assert!(
            operator.tenant_show("spoilt").await.is_err(),
            "{kind}: nothing of it is there"
        );
        for (path, whole) in spoilt {
            fs::write(path, whole).expect("mended");
        }
    }
    let done = restore(operator, "spoilt", &wanted("acme", Some(&moment.at))).await;
    assert_eq!(done.status, "done", "{done:?}");
}

/// A cell, as its leader tells of it: with its backup.
async fn told(cluster: &Cluster, name: &str) -> Option<Cell> {
    for address in cluster.addresses() {
        let client = tenant::client_of(address, cluster.operator_token()).ok()?;
        let Ok(cells) = client.cells().await else { continue };
        let found = cells.into_iter().find(|cell| cell.name == name && cell.backup.is_some());
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A store that is away: a file where its directory was, so that every request fails.
struct Away {
    place: PathBuf,
    aside: PathBuf,
}

impl Away {
    /// Takes it away, and waits until the cell tells of it.
    async fn take(cluster: &Cluster, place: &Path) -> Self {
        let away = Self {
            place: place.to_owned(),
            aside: place.with_extension("aside"),
        };
        fs::rename(&away.place, &away.aside).expect("away");
        fs::write(&away.place, "no directory").expect("a file");
        until("the failure to be told of", async || {
            told(cluster, SHARED).await?.backup?.error.map(drop)
        })
        .await;
        away
    }

    fn bring_back(self) {
        fs::remove_file(&self.place).expect("no file");
        fs::rename(&self.aside, &self.place).expect("back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_while_the_store_is_away_and_nothing_is_lost() {
    let store = tempfile::tempdir().expect("a directory");
    let place = store.path().join("place");
    let cluster = up(1, &place);
    based(&cluster).await;
    let operator = operator(&cluster);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    write(&acme, "BEFORE").await;
    let before = Moment::of(&acme).await;
    comes_back(&operator, "before", "acme", &before).await;
    let away = Away::take(&cluster, &place).await;
    let mut moments = Vec::new();
    for number in 0..20 {
        write(&acme, &format!("AWAY{number}")).await;
        if number % 7 == 0 {
            moments.push(Moment::of(&acme).await);
        }
    }
    // A client that may asks a store that is away for long.
    let once = tenant::client(&cluster.addresses(), cluster.operator_token())
        .expect("a client")
        .with_retries(0);
    let error = once
        .tenant_restore("none", &wanted("acme", None), None)
        .await
        .expect_err("no store");
    assert!(refused(&error).contains("the backup cannot be read"), "{error:?}");
    away.bring_back();
    until("the backup to go on", async || {
        told(&cluster, SHARED).await?.backup?.error.is_none().then_some(())
    })
    .await;
    for (at, moment) in moments.iter().enumerate() {
        comes_back(&operator, &format!("away-{at}"), "acme", moment).await;
    }
    let metrics = operator
        .call(Call::new(Method::GET, "/metrics".to_owned()))
        .await
        .expect("metrics")
        .body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let failures = format!("cloudnest_backup_failures_total{{cell=\"{SHARED}\"}} ");
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&failures))
        .expect("counted");
    assert!(count.parse::<u64>().is_ok_and(|count| count > 0), "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_was_lost_with_its_one_replica_comes_back_on_a_new_disk() {
    a_lost_cell_comes_back(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_was_lost_with_all_of_three_replicas_comes_back_on_new_disks() {
    a_lost_cell_comes_back(3).await;
}

/// All disks of a region are lost, and with them all replicas of its cell; the directory is elsewhere.
async fn a_lost_cell_comes_back(replicas: usize) {
    let store = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::new(&[("home", 1), ("away", replicas)]).expect("a layout");
    layout.backup = Some(keys(store.path()));
    let options = Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into());
    let mut cluster = Cluster::up(options).expect("a cluster");
    based(&cluster).await;
    let mut tenants = Vec::new();
    for slug in ["one", "two", "three"] {
        let made = tenant::create_in(&cluster, "away", slug, Some("workspace"))
            .await
            .expect("a tenant");
        write(&made, "FIRST").await;
        contents::put(&made, "before.bin", 1 << 20).await;
        tenants.push(made);
    }
    // Some of the files are in a base, and some are named behind it.
    another_base(store.path()).await;
    for made in &tenants {
        contents::put(made, "behind.bin", 3_000_000).await;
    }
    let away = cluster.nodes().iter().filter(|node| node.region == "away");
    let (names, addresses): (Vec<_>, Vec<_>) = away.map(|node| (node.name.clone(), node.api)).unzip();
    let operator = tenant::client(&addresses, cluster.operator_token())
        .expect("a client")
        .with_retries(200);
    let mut moments = Vec::new();
    for tenant in &tenants {
        moments.push(Moment::of(tenant).await);
    }
    // All of it is archived once the last time can be had.
    comes_back(&operator, "copy", "three", &moments[2]).await;
    // So is the copy, before all is lost.
    let applied = until("the cell", async || told(&cluster, "away-shared").await).await.applied;
    until("the end of the log in the archive", async || {
        let backup = told(&cluster, "away-shared").await?.backup?;
        (backup.archived >= applied).then_some(())
    })
    .await;
    cluster.stop().expect("stopped");
    for name in names {
        fs::remove_dir_all(cluster.data().join(name)).expect("lost");
    }
    cluster.up_again().expect("up again");
    let refusal = operator
        .cell_restore("home-shared", &CellRestore::default(), None)
        .await
        .expect_err("another region");
    assert!(refused(&refusal).contains("404"), "{refusal:?}");
    let key = Some("once");
    let begun = until("the restore of the cell", async || {
        let begun = operator.cell_restore("away-shared", &CellRestore::default(), key).await;
        begun.ok().map(|begun| begun.body)
    })
    .await;
    let done = ended(&operator, &begun).await;
    let again = operator.cell_restore("away-shared", &CellRestore::default(), key).await;
    assert_eq!(
        again.expect("the first reply").body.id,
        begun.id,
        "though nothing is missing now"
    );
    assert_eq!(
        (done.status.as_str(), done.kind.as_str()),
        ("done", "cell.restore"),
        "{done:?}"
    );
    for (tenant, moment) in tenants.iter().zip(&moments) {
        assert!(
            archive(&tenant.client, &tenant.slug).await == moment.archive,
            "{}",
            tenant.slug
        );
        write(tenant, "LATER").await;
    }
    let again = operator
        .cell_restore("away-shared", &CellRestore::default(), None)
        .await
        .expect_err("nothing is missing");
    assert!(refused(&again).contains("has all its tenants"), "{again:?}");
    let cells = operator.cells().await.expect("cells");
    let cell = cells.iter().find(|cell| cell.name == "away-shared").expect("the cell");
    assert_eq!(cell.replicas.len(), replicas, "{cell:?}");
    verify::replicas_agree(&cluster, PATIENCE).await.expect("equal replicas");
}
