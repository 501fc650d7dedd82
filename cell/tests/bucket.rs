//! Contents of files in a store of their region, over real nodes: a directory that the nodes share. In a bucket: `bucket/s3.rs`.

#[path = "bucket/carried.rs"]
mod carried;
#[path = "bucket/s3.rs"]
mod s3;
#[path = "shared/s3.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use api::body::control::{Operation, TenantMove};
use api::body::file::File;
use api::client::{Call, Client, ClientError, Method};
use api::ids::Id;
use bytes::Bytes;
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::until;

const MIB: usize = 1 << 20;
/// How long a node that was killed may take to be there again.
const RESTART: Duration = Duration::from_secs(60);
/// Longer than any chunk is left alone that nothing names.
const OLD: Duration = Duration::from_secs(25 * 3_600);

/// A store of files for each region, below a directory.
fn keys(store: &Path) -> String {
    format!("store = \"file://{}/{{region}}\"", store.display())
}

fn up(nodes: usize, store: &Path) -> Cluster {
    let mut layout = Layout::one_region(nodes).expect("a layout");
    layout.dedicated = 1;
    layout.files = Some(keys(store));
    start(layout)
}

fn start(layout: Layout) -> Cluster {
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

/// Bytes that are another's for another name, and compress badly.
fn noise(name: &str, bytes: usize) -> Bytes {
    let mut out = vec![0; bytes];
    blake3::Hasher::new_derive_key("contents of a test")
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut out);
    out.into()
}

async fn put(tenant: &Tenant, name: &str, bytes: usize) -> File {
    let content = noise(name, bytes);
    let made = tenant
        .client
        .file_create(&tenant.slug, name, "application/x-noise", None, content, Some(name));
    made.await.expect("a file").body
}

async fn read(client: &Client, slug: &str, id: Id) -> Result<Vec<u8>, ClientError> {
    let mut content = client.file_content(slug, id, None).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = content.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads a file at every node.
async fn assert_everywhere(cluster: &Cluster, tenant: &Tenant, file: &File, wanted: &[u8]) {
    for node in cluster.nodes() {
        let client = tenant::client_of(node.api, &tenant.token).expect("a client").with_retries(20);
        let found = read(&client, &tenant.slug, file.id).await.expect("the content");
        assert!(found == wanted, "{} has another content", node.name);
    }
}

/// The chunks below a directory, by name.
fn chunks(below: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![below.to_owned()]);
    while let Some(directory) = left.pop() {
        for path in fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            let is_chunk = path.file_name().is_some_and(|name| name.len() == 64);
            match path.is_dir() {
                true => left.push(path),
                false if is_chunk => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Has objects or chunks be older than what is left alone.
fn age(paths: &[PathBuf]) {
    for path in paths {
        let file = fs::File::options().write(true).open(path).expect("an object");
        file.set_modified(SystemTime::now() - OLD).expect("an age");
    }
}

fn operator(cluster: &Cluster) -> Client {
    tenant::client(&cluster.addresses(), cluster.operator_token())
        .expect("a client")
        .with_retries(200)
}

/// Has every node begin again, and with it its pass over chunks.
fn restart(cluster: &Cluster) {
    for node in cluster.nodes() {
        let pid = cluster.kill(&node.name).expect("killed");
        cluster.wait_restarted(&node.name, pid, RESTART).expect("started again");
    }
    for node in cluster.nodes() {
        cluster.wait_ready(&node.name, RESTART).expect("ready");
    }
}

async fn ended(operator: &Client, begun: &Operation) {
    until("the end of an operation", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        assert_ne!(now.status, "failed", "{now:?}");
        (now.status == "done").then_some(())
    })
    .await;
}

async fn delete(operator: &Client, slug: &str) {
    operator.tenant_delete(slug).await.expect("a deletion");
    until("the end of the tenant", async || {
        operator.tenant_show(slug).await.is_err().then_some(())
    })
    .await;
}

/// Asks once, without trying again.
fn once(client: &Client) -> Client {
    client.clone().with_retries(0)
}

/// The status, the problem and the head `Retry-After` of what a call is answered.
async fn refusal(client: &Client, call: Call) -> (u16, String, Option<String>) {
    let answer = once(client).call(call).await.expect("an answer");
    let after = answer
        .headers
        .get("retry-after")
        .map(|value| value.to_str().expect("text").to_owned());
    (
        answer.status.as_u16(),
        String::from_utf8_lossy(&answer.body).into_owned(),
        after,
    )
}

/// Wants 503 with `Retry-After` and an outcome for uploads and downloads, and that all else of the tenant goes on.
async fn is_told_and_others_go_on(tenant: &Tenant, file: &File) {
    let files = format!("/v1/tenants/{}/files", tenant.slug);
    let upload = Call::new(Method::POST, format!("{files}?name=away.bin")).body("application/x-noise", noise("away", 2 * MIB));
    let (status, told, after) = refusal(&tenant.client, upload).await;
    assert_eq!(status, 503, "{told}");
    assert!(
        told.contains("the store of the region's files did not take") && told.contains("\"not_applied\""),
        "{told}"
    );
    assert!(after.is_some(), "{told}");
    let download = Call::new(Method::GET, format!("{files}/{}/content", file.id));
    let (status, told, after) = refusal(&tenant.client, download).await;
    assert_eq!(status, 503, "{told}");
    assert!(
        told.contains("the store of the region's files does not give") && after.is_some(),
        "{told}"
    );
    let body = "{\"fields\": {\"key\": \"GOESON\", \"name\": \"on\"}}";
    let record = Call::new(
        Method::PUT,
        format!("/v1/tenants/{}/records/projects/{}", tenant.slug, file.id),
    );
    let stored = once(&tenant.client)
        .call(record.body("application/json", body))
        .await
        .expect("an answer");
    assert!(stored.status.is_success(), "{stored:?}");
    let named = once(&tenant.client)
        .file(&tenant.slug, file.id)
        .await
        .expect("what is said of it")
        .body;
    assert_eq!(named.blake3, file.blake3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_are_in_the_store_and_no_disk_has_them() {
    let store = tempfile::tempdir().expect("a directory");
    let cluster = up(3, store.path());
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let beta = tenant::create(&cluster, "beta", Some("workspace")).await.expect("a tenant");
    let content = noise("large.bin", 5 * MIB + 17);
    let file = put(&acme, "large.bin", content.len()).await;
    assert_everywhere(&cluster, &acme, &file, &content).await;
    let kept = chunks(store.path());
    assert_eq!((kept.len(), chunks(&cluster.data()).len()), (6, 0), "{kept:?}");
    assert!(
        kept.iter()
            .all(|path| path.starts_with(store.path().join("eu-west-1/chunks")))
    );
    // The same again is the same; another tenant's is its own.
    let again = acme.client.file_put("acme", file.id, None, None, content.clone()).await;
    assert_eq!(again.expect("a version").body.version, 2);
    assert_eq!(chunks(store.path()), kept);
    let theirs = put(&beta, "large.bin", content.len()).await;
    assert_eq!(chunks(store.path()).len(), 12);
    // A tenant that moves within the region leaves its chunks where they are.
    let operator = operator(&cluster);
    let to = TenantMove {
        dedicated: true,
        ..TenantMove::default()
    };
    let begun = operator.tenant_move("acme", &to, None).await.expect("a move").body;
    ended(&operator, &begun).await;
    assert_everywhere(&cluster, &acme, &file, &content).await;
    assert_eq!((chunks(store.path()).len(), chunks(&cluster.data()).len()), (12, 0));
    // Old ones stay while something names them, whoever leads; what was a deleted tenant's goes.
    age(&chunks(store.path()));
    delete(&operator, "beta").await;
    restart(&cluster);
    until("the end of what nothing names", async || {
        (chunks(store.path()) == kept).then_some(())
    })
    .await;
    assert_everywhere(&cluster, &acme, &file, &content).await;
    let gone = read(&beta.client, "beta", theirs.id).await;
    gone.expect_err("there is no such tenant");
}

/// What the program says of a configuration whose key is nowhere: it fails.
fn said(cluster: &Cluster, config: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudnest"));
    command.args(arguments).arg("--config").arg(config);
    let output = command.arg("--data").arg(cluster.data().join("eu-west-1a")).output();
    let output = output.expect("the program runs");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_read_keeps_a_node_from_starting() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::one_region(1).expect("a layout");
    let cluster = start(layout.clone());
    let (config, variable) = (directory.path().join("cluster.toml"), "CLOUDNEST_TEST_NEVER_SET");
    let key = format!("{{ env = \"{variable}\" }}");
    layout.files = Some(format!(
        "store = \"s3://b/{{region}}\"\naccess_key = {key}\nsecret_key = {key}"
    ));
    fs::write(&config, layout.to_toml()).expect("a configuration");
    // The node runs already: this one does not come so far as to find out.
    let told = said(&cluster, &config, &["node", "--node", "eu-west-1a"]);
    for word in [
        "the key of the store of files",
        "s3://b/eu-west-1",
        "[region.files]",
        variable,
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let told = said(&cluster, &config, &["doctor"]);
    assert!(told.contains(&format!("{variable} is not set")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_told_and_nothing_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("store");
    let cluster = up(1, &store);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let content = noise("a.bin", 2 * MIB + 1);
    let file = put(&acme, "a.bin", content.len()).await;
    let aside = directory.path().join("aside");
    fs::rename(&store, &aside).expect("away");
    fs::write(&store, "no directory").expect("a file");
    is_told_and_others_go_on(&acme, &file).await;
    fs::remove_file(&store).expect("no file");
    fs::rename(&aside, &store).expect("back");
    assert_everywhere(&cluster, &acme, &file, &content).await;
    let more = put(&acme, "more.bin", MIB + 9).await;
    assert_everywhere(&cluster, &acme, &more, &noise("more.bin", MIB + 9)).await;
    // A node starts without it, and what rots in it is told of and never given out.
    let rotten = chunks(&store);
    for path in &rotten {
        let mut bytes = fs::read(path).expect("an object");
        *bytes.last_mut().expect("a byte") ^= 1;
        fs::write(path, bytes).expect("rotten");
    }
    let download = Call::new(Method::GET, format!("/v1/tenants/acme/files/{}/content", file.id));
    let (status, told, _) = refusal(&acme.client, download).await;
    assert!(status == 503 && told.contains("is damaged in the store"), "{status} {told}");
    // Bringing it again mends it.
    let again = acme.client.file_put("acme", file.id, None, None, content.clone()).await;
    again.expect("a version");
    assert_everywhere(&cluster, &acme, &file, &content).await;
}
