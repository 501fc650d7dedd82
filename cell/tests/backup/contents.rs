//! Contents of files in backups: what a file was is in the store, whatever has become of the disks since.

use std::collections::BTreeSet;

use api::body::file::File;
use api::ids::Id;
use bytes::Bytes;

use super::*;

const MIB: usize = 1 << 20;

/// Bytes that are another's for another name, and compress badly.
fn noise(name: &str, bytes: usize) -> Bytes {
    let mut out = vec![0; bytes];
    blake3::Hasher::new_derive_key("contents of a test")
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut out);
    out.into()
}

/// Makes a file.
pub(super) async fn put(tenant: &Tenant, name: &str, bytes: usize) -> File {
    let content = noise(&format!("{}/{name}", tenant.slug), bytes);
    until("a file", async || {
        let (client, slug, content) = (&tenant.client, &tenant.slug, content.clone());
        let made = client.file_create(slug, name, "application/x-noise", None, content, Some(name));
        made.await.ok().map(|made| made.body)
    })
    .await
}

async fn read(client: &Client, slug: &str, id: Id) -> Result<Vec<u8>, ClientError> {
    let mut content = client.file_content(slug, id, None).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = content.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The chunks on the disks of all nodes.
fn chunks(cluster: &Cluster) -> BTreeSet<PathBuf> {
    let names = cluster.nodes().iter().map(|node| cluster.data().join(&node.name));
    let is_chunk = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    names.flat_map(|node| files(&node)).filter(is_chunk).collect()
}

/// Loses what lies on the disks.
fn lose(chunks: &BTreeSet<PathBuf>) {
    for chunk in chunks {
        fs::remove_file(chunk).expect("lost");
    }
}

/// A cluster whose log alone has what comes: the first bases are of empty cells.
fn up_once(nodes: usize, store: &Path) -> Cluster {
    let mut layout = Layout::one_region(nodes).expect("a layout");
    layout.dedicated = 1;
    let keys = keys(store).replace("base_every_seconds = 5", "base_every_seconds = 86400");
    layout.backup = Some(keys);
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_back_with_their_contents_whatever_became_of_the_disks() {
    let store = tempfile::tempdir().expect("a directory");
    let cluster = up_once(3, store.path());
    based(&cluster).await;
    let operator = operator(&cluster);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    put(&acme, "small.bin", 100).await;
    let large = put(&acme, "large.bin", 3 * MIB + 17).await;
    let gone = put(&acme, "gone.bin", MIB).await;
    let mut moments = vec![Moment::of(&acme).await];
    let version = noise("another", 2 * MIB);
    let put_version = acme.client.file_put("acme", large.id, None, Some(&large.blake3), version);
    assert_eq!(put_version.await.expect("a version").body.version, 2);
    acme.client.file_delete("acme", gone.id).await.expect("deleted");
    moments.push(Moment::of(&acme).await);
    // In another cell its chunks are archived as well, when it has arrived there.
    let to = TenantMove {
        cell: Some(DEDICATED.to_owned()),
        dedicated: false,
        ..TenantMove::default()
    };
    let moving = operator.tenant_move("acme", &to, None).await.expect("a move").body;
    assert_eq!(ended(&operator, &moving).await.status, "done");
    write(&acme, "MOVED").await;
    moments.push(Moment::of(&acme).await);
    for (at, moment) in moments.iter().enumerate() {
        comes_back(&operator, &format!("there-{at}"), "acme", moment).await;
    }
    operator.tenant_delete("acme").await.expect("a deletion");
    until("the end of the tenant", async || {
        operator.tenant_show("acme").await.is_err().then_some(())
    })
    .await;
    lose(&chunks(&cluster));
    for (at, moment) in moments.iter().enumerate() {
        comes_back(&operator, &format!("lost-{at}"), "acme", moment).await;
    }
    a_chunk_that_the_store_lost_is_named(&operator, store.path(), &moments[0]).await;
}

/// A restore that needs an object which is not there fails, and nothing of the tenant is there.
async fn a_chunk_that_the_store_lost_is_named(operator: &Client, store: &Path, moment: &Moment) {
    let kept: Vec<PathBuf> = files(store)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("/chunks/"))
        .collect();
    let aside = tempfile::tempdir().expect("a directory");
    for (number, path) in kept.iter().enumerate() {
        fs::copy(path, aside.path().join(number.to_string())).expect("kept aside");
        fs::remove_file(path).expect("lost");
    }
    let failed = restore(operator, "short", &wanted("acme", Some(&moment.at))).await;
    let why = failed.error.unwrap_or_default();
    assert!(
        failed.status == "failed" && why.contains("has no object") && why.contains("/chunks/"),
        "{why}"
    );
    assert!(operator.tenant_show("short").await.is_err(), "nothing of it is there");
    for (number, path) in kept.iter().enumerate() {
        fs::copy(aside.path().join(number.to_string()), path).expect("back");
    }
    comes_back(operator, "short", "acme", moment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_all_replicas_lost_does_not_stop_the_backup() {
    let store = tempfile::tempdir().expect("a directory");
    let place = store.path().join("place");
    let cluster = up_once(1, &place);
    based(&cluster).await;
    let operator = operator(&cluster);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let whole = put(&acme, "whole.bin", MIB + 5).await;
    let first = Moment::of(&acme).await;
    comes_back(&operator, "first", "acme", &first).await;
    // Its chunks are lost while the store is away, so that nobody has archived them.
    let before = chunks(&cluster);
    let away = Away::take(&cluster, &place).await;
    let lost = put(&acme, "lost.bin", 2 * MIB).await;
    let new: BTreeSet<PathBuf> = chunks(&cluster).difference(&before).cloned().collect();
    assert_eq!(new.len(), 2, "{new:?}");
    lose(&new);
    write(&acme, "LATER").await;
    let at = now();
    until("another time", async || (now() != at).then_some(())).await;
    away.bring_back();
    let backup = until("the backup to go on without them", async || {
        let backup = told(&cluster, SHARED).await?.backup?;
        (backup.error.is_none() && backup.chunks_lacking > 0).then_some(backup)
    })
    .await;
    assert_eq!(backup.chunks_lacking, 2, "{backup:?}");
    let metrics = operator
        .call(Call::new(Method::GET, "/metrics".to_owned()))
        .await
        .expect("metrics")
        .body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let lacking = format!("cloudnest_backup_chunks_lacking_total{{cell=\"{SHARED}\"}} 2");
    assert!(metrics.contains(&lacking), "{metrics}");
    let done = restore(&operator, "later", &wanted("acme", Some(&at))).await;
    assert_eq!(done.status, "done", "{done:?}");
    let later = tenant::client(&cluster.addresses(), &acme.token)
        .expect("a client")
        .with_retries(0);
    let content = read(&later, "later", whole.id).await.expect("the content");
    assert!(content == noise("acme/whole.bin", MIB + 5));
    let refusal = read(&later, "later", lost.id).await.expect_err("nobody has it");
    assert!(refused(&refusal).contains("on no replica that can be reached"), "{refusal:?}");
}
