//! Backups in a bucket: the program speaks S3 with a server that looks at signatures and conditions as S3 does: moto's, on loopback.
//!
//! `CLOUDNEST_MOTO` names a virtual environment of Python with it, which `.ci/s3` makes; then it has to be there. Where it is not named,
//! nothing of this is covered, and the test says so.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use api::body::record::NewRecord;
use rig::nursery;
use rig::ports::Ports;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

/// Names the virtual environment.
const MOTO: &str = "CLOUDNEST_MOTO";
/// What is asked for before keys count: a bucket, a user, their policy and key.
const OPEN_REQUESTS: &str = "4";

/// The virtual environment. What is written this way is seen although the test passes.
fn moto() -> Option<PathBuf> {
    let named = std::env::var_os(MOTO).map(PathBuf::from);
    if named.is_none() {
        let told =
            format!("\nNOT COVERED: backups in S3. {MOTO} names no server of it; `.ci/s3` installs one and runs this test.\n");
        std::io::stderr().write_all(told.as_bytes()).expect("said");
    }
    named
}

/// A server of S3, with a bucket and a key to it.
struct Bucket {
    server: Child,
    address: SocketAddr,
    _port: Ports,
    python: PathBuf,
    key: String,
    secret: String,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bucket {
    async fn start(moto: &Path) -> Self {
        let kept = Ports::keep(1).expect("a port");
        let address = kept.addresses().expect("its address")[0];
        let mut command = nursery::command(&moto.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", OPEN_REQUESTS);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut bucket = Self {
            server: nursery::spawn(command).expect("a server of S3"),
            address,
            _port: kept,
            python: moto.join("bin/python"),
            key: String::new(),
            secret: String::new(),
        };
        until("the server of S3", async || {
            let ended = bucket.server.try_wait().expect("a look at it");
            assert!(ended.is_none(), "moto's server has ended: {ended:?}");
            TcpStream::connect(bucket.address).await.ok()
        })
        .await;
        let made = bucket.ask("setup", &[]);
        let (key, secret) = made.trim().split_once(' ').expect("a key and its secret");
        (bucket.key, bucket.secret) = (key.to_owned(), secret.to_owned());
        bucket
    }

    /// What the script says.
    fn ask(&self, what: &str, rest: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backup/s3.py");
        let mut command = Command::new(&self.python);
        command
            .arg(script)
            .arg(what)
            .arg(format!("http://{}", self.address))
            .args(rest);
        let output = command.output().expect("python runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {told}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The objects below folders of a name.
    fn names(&self, folder: &str) -> Vec<String> {
        let told = self.ask("names", &[&self.key, &self.secret, folder]);
        told.lines().map(str::to_owned).collect()
    }

    /// Turns a bit of each object over.
    fn turn(&self, names: &[String]) {
        let rest: Vec<&str> = [&self.key, &self.secret]
            .into_iter()
            .chain(names)
            .map(String::as_str)
            .collect();
        self.ask("turn", &rest);
    }
}

/// A way to the server that can be closed: the bucket is away.
struct Way {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (open, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    if !*seen.borrow() {
                        return;
                    }
                    let Ok(mut there) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        _ = seen.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }
}

/// Why the backup does not work, as soon as it does not.
async fn failure(cluster: &Cluster) -> String {
    until("the failure to be told of", async || {
        told(cluster, SHARED).await?.backup?.error
    })
    .await
}

/// Waits until the cell has another base than now.
async fn based_again(cluster: &Cluster) {
    let base = async || told(cluster, SHARED).await?.backup?.base_at;
    let before = until("a base", base).await;
    until("another base", async || base().await.filter(|now| *now != before)).await;
}

async fn goes_on(cluster: &Cluster) {
    until("the backup to go on", async || {
        told(cluster, SHARED).await?.backup?.error.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_backed_up_to_and_restored_from() {
    let Some(moto) = moto() else { return };
    let bucket = Bucket::start(&moto).await;
    let way = Way::to(bucket.address).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let (key, secret) = (file("key", &bucket.key), file("secret", &bucket.secret));
    let mut layout = Layout::one_region(1).expect("a layout");
    layout.backup = Some(format!(
        "store = \"s3://backups/{{region}}\"\nendpoint = \"http://{}\"\naccess_key = {{ file = {key:?} }}\n\
         secret_key = {{ file = {secret:?} }}\nevery_seconds = 1\nbase_every_seconds = 5",
        way.address
    ));
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    based(&cluster).await;
    let operator = operator(&cluster);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    write(&acme, "FIRST").await;
    contents::put(&acme, "file.bin", 3_000_000).await;
    let first = Moment::of(&acme).await;
    comes_back(&operator, "first", "acme", &first).await;
    // A time behind a base that has the tenant, and needs both its pieces and the log.
    until("a base with a tenant", async || {
        (!bucket.names("bases").is_empty()).then_some(())
    })
    .await;
    based_again(&cluster).await;
    write(&acme, "SECOND").await;
    let second = Moment::of(&acme).await;
    comes_back(&operator, "second", "acme", &second).await;
    damage_in_the_bucket_is_named(&operator, &bucket, &second).await;
    let moments = writes_go_on_without_the_bucket(&cluster, &acme, &way).await;
    for (at, moment) in moments.iter().enumerate() {
        comes_back(&operator, &format!("away-{at}"), "acme", moment).await;
    }
    // The secret is read anew with every round: a wrong one is told of by what to do, and nobody waits for it.
    fs::write(&secret, "not the secret").expect("a wrong one");
    let why = until("the key to be named", async || {
        Some(failure(&cluster).await).filter(|why| why.contains("does not let this key"))
    })
    .await;
    assert!(why.contains("check the id of the access key and its secret"), "{why}");
    let once = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let refusal = once.with_retries(0).tenant_restore("none", &wanted("acme", None), None).await;
    let why = refused(&refusal.expect_err("the key is wrong"));
    assert!(
        why.contains("503") && why.contains("check the id of the access key and its secret"),
        "{why}"
    );
    write(&acme, "LAST").await;
    let last = Moment::of(&acme).await;
    fs::write(&secret, &bucket.secret).expect("the right one");
    goes_on(&cluster).await;
    comes_back(&operator, "last", "acme", &last).await;
}

/// A bit of each object of one kind at a time is another one: the restore names it, and nothing is there afterwards.
async fn damage_in_the_bucket_is_named(operator: &Client, bucket: &Bucket, moment: &Moment) {
    for folder in ["bases", "log", "chunks"] {
        let names = bucket.names(folder);
        assert!(!names.is_empty(), "there is nothing in {folder}");
        bucket.turn(&names);
        let failed = restore(operator, "spoilt", &wanted("acme", Some(&moment.at))).await;
        let why = failed.error.unwrap_or_default();
        let is_named = names.iter().any(|name| why.contains(name.trim_start_matches("eu-west-1/")));
        assert!(
            failed.status == "failed" && why.contains("is damaged") && is_named,
            "{folder}: {why}"
        );
        assert!(
            operator.tenant_show("spoilt").await.is_err(),
            "{folder}: nothing of it is there"
        );
        bucket.turn(&names);
    }
    comes_back(operator, "spoilt", "acme", moment).await;
}

/// No write fails while the bucket cannot be reached. What the tenant was meanwhile.
async fn writes_go_on_without_the_bucket(cluster: &Cluster, acme: &Tenant, way: &Way) -> Vec<Moment> {
    way.open.send_replace(false);
    failure(cluster).await;
    let mut moments = Vec::new();
    for number in 0..20 {
        let fields = json!({ "key": format!("AWAY{number}"), "name": "away" });
        let new = NewRecord {
            id: None,
            fields: fields.as_object().cloned().unwrap_or_default(),
        };
        let once = acme.client.clone().with_retries(0);
        let stored = once.record_create("acme", "projects", &new, None).await;
        stored.expect("a write while the bucket is away");
        if number % 7 == 0 {
            moments.push(Moment::of(acme).await);
        }
    }
    way.open.send_replace(true);
    goes_on(cluster).await;
    moments
}
